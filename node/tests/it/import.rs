//! Keys that were whole, dealt outside and taken in by real signers; and every way to spoil that.

use std::sync::Arc;

use limen_recover::age::x25519;
use limen_recover::{DealtKey, Recipient, WholeForm, WholeKey};
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::{ClusterId, Epoch, KeyId, NodeId, Protocol, Scheme};
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, combine};
use prost::Message as _;
use rand_core::OsRng;

use crate::cluster::{Cluster, all, evm_message, message_intent, session, signature};
use crate::epochs::{Plan, THREE, all_switched};

const KEY: &str = "treasury";
const SECRET: &str = "0c28fca386c7a227600b2fe50b7cae11ec86d3bf1fbe471be89827e19d720a0d";

/// Each name has a key of its own.
fn whole(scheme: Scheme, key: &str) -> WholeKey {
    let secret = if key == KEY { SECRET.to_owned() } else { SECRET.replace("0a0d", "0a0c") };
    WholeKey::read(WholeForm::Scalar, scheme, &secret).unwrap()
}

fn deal(scheme: Scheme, key: &str, members: &[(NodeId, Recipient)]) -> (DealtKey, Vec<Vec<u8>>) {
    let name = (ClusterId::new("test").unwrap(), KeyId::new(key).unwrap());
    DealtKey::deal(&whole(scheme, key), [5; 32], name, (2, members), &mut OsRng).unwrap()
}

/// The public key, which does not depend on who gets shares.
fn public_key(scheme: Scheme, key: &str) -> Vec<u8> {
    let recipient = || Recipient::new(&x25519::Identity::generate().to_public().to_string()).unwrap();
    let member = |n| (NodeId::new(format!("n{n}")).unwrap(), recipient());
    deal(scheme, key, &[member(1), member(2)]).0.imported().public_key.clone()
}

fn named(scheme: Scheme, keys: &[&str]) -> String {
    let section = |key: &&str| {
        let public_key = hex::encode(public_key(scheme, key));
        format!(
            "[[imports]]\nkey = \"{key}\"\nscheme = \"{scheme}\"\npublic_key = \"{public_key}\"\nreason = \"old\"\n"
        )
    };
    keys.iter().map(section).collect()
}

/// Each signer with its own recipient.
async fn members(cluster: &Cluster) -> Vec<(NodeId, Recipient)> {
    let mut members = Vec::new();
    for index in THREE {
        let vault = Arc::clone(&cluster.node(index).shared().vault);
        let recipient = tokio::task::spawn_blocking(move || vault.import_recipient().unwrap()).await.unwrap();
        members.push((NodeId::new(format!("n{}", index + 1)).unwrap(), recipient));
    }
    members
}

fn order(
    cluster: &Cluster,
    dealt: &DealtKey,
    protocol: Protocol,
    change: impl FnOnce(&mut pb::KeyGeneration),
) -> pb::Envelope {
    let made = cluster.order(dealt.key().as_str(), dealt.scheme(), protocol);
    let mut order = pb::KeyGeneration::decode(made.payload).unwrap();
    order.imported = Some(dealt.imported().to_wire());
    change(&mut order);
    seal(PayloadType::KeyGeneration, order.encode_to_vec(), "security", &cluster.security)
}

/// Calls all signers, each with an order and a piece.
async fn import(cluster: &Cluster, calls: &[(pb::Envelope, Vec<u8>)]) -> Vec<pb::GenerateKeyResponse> {
    import_within(cluster, calls, 0).await
}

async fn import_within(
    cluster: &Cluster,
    calls: &[(pb::Envelope, Vec<u8>)],
    timeout_ms: u32,
) -> Vec<pb::GenerateKeyResponse> {
    let session = session();
    let calls = (0..).zip(calls).map(|(index, (order, piece))| {
        let mut client = cluster.client(index);
        let request = pb::GenerateKeyRequest {
            order: Some(order.clone()),
            session_id: session.clone().into(),
            timeout_ms,
            piece: piece.clone().into(),
        };
        async move { client.generate_key(request).await.unwrap().into_inner() }
    });
    all(calls).await
}

fn alike(order: &pb::Envelope, pieces: &[Vec<u8>]) -> Vec<(pb::Envelope, Vec<u8>)> {
    pieces.iter().map(|piece| (order.clone(), piece.clone())).collect()
}

async fn activate(cluster: &Cluster, answers: Vec<pb::GenerateKeyResponse>) -> KeyStatement {
    let statement =
        |answer: pb::GenerateKeyResponse| answer.statement.unwrap_or_else(|| panic!("{:?}", answer.refusal));
    let certificate = combine(&answers.into_iter().map(statement).collect::<Vec<_>>()).unwrap();
    for index in THREE {
        let request = pb::ActivateKeyRequest { certificate: Some(certificate.clone()), order: None };
        cluster.client(index).activate_key(request).await.unwrap();
    }
    KeyStatement::decode(&certificate).unwrap()
}

async fn imported(scheme: Scheme, protocol: Protocol) {
    let cluster = Cluster::start_with_ledger(3, 2, named(scheme, &[KEY])).await;
    let (dealt, pieces) = deal(scheme, KEY, &members(&cluster).await);
    let order = order(&cluster, &dealt, protocol, |_| ());
    let statement = activate(&cluster, import(&cluster, &alike(&order, &pieces)).await).await;
    assert!(statement.was_whole);
    assert_eq!((statement.public_key, statement.chain_code), (public_key(scheme, KEY), [5; 32]));
    // The same again states the same, whatever piece comes with it that opens.
    let again = import(&cluster, &alike(&order, &pieces)).await;
    assert!(again.iter().all(|answer| answer.statement.is_some()), "{again:?}");
    let (_, intent) = match scheme {
        Scheme::EcdsaSecp256k1 => evm_message(&cluster, KEY, "first", "hello"),
        _ => message_intent(&cluster, KEY, "first", "hello"),
    };
    for answer in cluster.sign(&intent, &[1, 3]).await {
        // Signers verify what they make under the public key that they have stated.
        signature(&answer);
    }
    // New shares, the mark of old.
    let plan = Plan::new(&cluster, 0, &THREE, protocol).await;
    let certificate = plan.certified(&cluster, (2, &[0, 2]), &THREE).await;
    let refreshed = KeyStatement::decode(&certificate).unwrap();
    assert_eq!((refreshed.epoch, refreshed.was_whole, refreshed.public_key), (Epoch(2), true, public_key(scheme, KEY)));
    plan.tell(&cluster, 0, &certificate).await.unwrap();
    all_switched(&cluster, &THREE, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ed25519_key_comes_in_marked_signs_and_is_refreshed() {
    imported(Scheme::EddsaEd25519, Protocol::Frost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dkls23_key_comes_in_marked_signs_and_is_refreshed() {
    imported(Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
}

fn refusal(answer: &pb::GenerateKeyResponse) -> (String, String) {
    let refusal = answer.refusal.clone().unwrap_or_else(|| panic!("a statement was given: {answer:?}"));
    (refusal.code, refusal.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_that_is_not_this_members_of_this_order_takes_no_name() {
    let scheme = Scheme::EddsaEd25519;
    let cluster = Cluster::start_with_ledger(3, 2, named(scheme, &[KEY, "other"])).await;
    let bare = {
        let recipient = Recipient::new(&x25519::Identity::generate().to_public().to_string()).unwrap();
        deal(scheme, KEY, &["n1", "n2", "n3"].map(|name| (NodeId::new(name).unwrap(), recipient.clone())))
    };
    let early = order(&cluster, &bare.0, Protocol::Frost, |_| ());
    let (code, message) = refusal(&import(&cluster, &alike(&early, &bare.1)).await[0]);
    assert!(code == "wrong_state" && message.contains("no import recipient"), "{code}: {message}");
    let members = members(&cluster).await;
    let ((dealt, pieces), (other, others)) = (deal(scheme, KEY, &members), deal(scheme, "other", &members));
    let good = order(&cluster, &dealt, Protocol::Frost, |_| ());
    let cut = pieces[0][..pieces[0].len() - 1].to_vec();
    for (piece, says) in [
        (pieces[1].clone(), "not encrypted to the import recipient"),
        (others[0].clone(), "another import"),
        (cut, "does not decrypt"),
        (vec![7; 300], "does not decrypt"),
        (Vec::new(), "needs this member's piece"),
        (vec![0; 5000], "1 to 4096 bytes"),
    ] {
        let (code, message) = refusal(&import(&cluster, &[(good.clone(), piece)]).await[0]);
        assert!(code == "malformed" && message.contains(says), "{says}: {code}, {message}");
    }
    let replayed = order(&cluster, &other, Protocol::Frost, |_| ());
    let (_, message) = refusal(&import(&cluster, &[(replayed, pieces[0].clone())]).await[0]);
    assert!(message.contains("another import"), "{message}");
    let ordinary = cluster.order(KEY, scheme, Protocol::Frost);
    let (code, message) = refusal(&import(&cluster, &[(ordinary, Vec::new())]).await[0]);
    assert!(code == "not_permitted" && message.contains("choose another name"), "{code}: {message}");
    let made = cluster.order("made", scheme, Protocol::Frost);
    let (_, message) = refusal(&import(&cluster, &[(made, pieces[0].clone())]).await[0]);
    assert!(message.contains("imports nothing"), "{message}");
    // Nothing of all this has taken the name.
    assert!(activate(&cluster, import(&cluster, &alike(&good, &pieces)).await).await.was_whole);
    let second = order(&cluster, &dealt, Protocol::Frost, |order| order.expires_at_secs += 1);
    let (code, _) = refusal(&import(&cluster, &alike(&second, &pieces)).await[0]);
    assert_eq!(code, "key_exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_the_charter_names_comes_in() {
    let scheme = Scheme::EddsaEd25519;
    let cluster = Cluster::start_with_ledger(3, 2, named(scheme, &[KEY])).await;
    let members = members(&cluster).await;
    let ((dealt, pieces), (other, others)) = (deal(scheme, KEY, &members), deal(scheme, "other", &members));
    let unnamed = order(&cluster, &other, Protocol::Frost, |_| ());
    let (code, message) = refusal(&import(&cluster, &alike(&unnamed, &others)).await[0]);
    assert!(code == "not_permitted" && message.contains("[[imports]]"), "{code}: {message}");
    // The named key's public key, and another polynomial than the pieces'.
    for (says, change) in [
        ("another import", (|i| i.commitments[1] = i.commitments[0].clone()) as fn(&mut pb::ImportedKey)),
        ("another import", |i| i.chain_code = vec![6; 32].into()),
        ("another key was dealt", |i| i.commitments.swap(0, 1)),
        ("exactly 2", |i| i.commitments.truncate(1)),
        ("no point", |i| i.commitments[1] = [vec![1], vec![0; 31]].concat().into()),
    ] {
        let altered = order(&cluster, &dealt, Protocol::Frost, |order| change(order.imported.as_mut().unwrap()));
        for answer in import(&cluster, &alike(&altered, &pieces)).await {
            let (code, message) = refusal(&answer);
            assert!(code == "malformed" && message.contains(says), "{says}: {code}, {message}");
        }
    }
    let wider = order(&cluster, &dealt, Protocol::Frost, |order| order.signers_required = 3);
    assert!(refusal(&import(&cluster, &alike(&wider, &pieces)).await[0]).1.contains("exactly 3"));
}

/// A coordinator with two signed orders shows them to different members.
#[tokio::test(flavor = "multi_thread")]
async fn members_who_are_shown_different_dealings_state_nothing() {
    let scheme = Scheme::EddsaEd25519;
    let cluster = Cluster::start_with_ledger(3, 2, named(scheme, &[KEY])).await;
    let members = members(&cluster).await;
    let ((one, pieces), (two, others)) = (deal(scheme, KEY, &members), deal(scheme, KEY, &members));
    let [first, second] = [&one, &two].map(|dealt| order(&cluster, dealt, Protocol::Frost, |_| ()));
    let calls = [(first.clone(), pieces[0].clone()), (first, pieces[1].clone()), (second, others[2].clone())];
    for answer in import_within(&cluster, &calls, 2_000).await {
        assert_eq!(refusal(&answer).0, "session_timeout", "{answer:?}");
    }
}

/// What was forgotten opens nothing, and a later recipient is another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_forgotten_recipient_opens_no_piece() {
    let scheme = Scheme::EddsaEd25519;
    let cluster = Cluster::start_with_ledger(3, 2, named(scheme, &[KEY])).await;
    let before = members(&cluster).await;
    let (dealt, pieces) = deal(scheme, KEY, &before);
    let vault = Arc::clone(&cluster.node(0).shared().vault);
    let forgotten = tokio::task::spawn_blocking(move || {
        let first = vault.forget_import_recipient().unwrap();
        (first, vault.forget_import_recipient().unwrap())
    });
    assert_eq!(forgotten.await.unwrap(), (true, false));
    let order = order(&cluster, &dealt, Protocol::Frost, |_| ());
    // Only this member is asked: the others would wait for its words.
    let asked = [(order, pieces[0].clone())];
    assert!(refusal(&import(&cluster, &asked).await[0]).1.contains("no import recipient"));
    let after = members(&cluster).await;
    assert!(after[0].1 != before[0].1 && after[1].1 == before[1].1);
    assert!(refusal(&import(&cluster, &asked).await[0]).1.contains("not encrypted to"));
}

/// Two imports at a time do not stand in each other's way.
#[tokio::test(flavor = "multi_thread")]
async fn two_keys_come_in_at_once() {
    let scheme = Scheme::EddsaEd25519;
    let cluster = Cluster::start_with_ledger(3, 2, named(scheme, &[KEY, "other"])).await;
    let members = members(&cluster).await;
    let ((one, pieces), (two, others)) = (deal(scheme, KEY, &members), deal(scheme, "other", &members));
    let [one, two] = [&one, &two].map(|dealt| order(&cluster, dealt, Protocol::Frost, |_| ()));
    let (one, two) = (alike(&one, &pieces), alike(&two, &others));
    let (one, two) = tokio::join!(import(&cluster, &one), import(&cluster, &two));
    for answer in one.iter().chain(&two) {
        assert!(answer.statement.is_some(), "{:?}", answer.refusal);
    }
}
