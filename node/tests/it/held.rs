//! Keys that live wholly in one signer's token: marked in the charter or refused, judged as every other, believed as far as they
//! verify.

use std::sync::{Arc, Mutex};

use limen_chain::NoTokenKinds;
use limen_hsm::conformance::{Device, Mode};
use limen_hsm::{Kind, Provider as _};
use limen_node::clock::Clock;
use limen_wire::effects::ChainId;
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::{HeldId, KeyId, Protocol, Scheme};
use limen_wire::intent::seal_intent;
use limen_wire::pb;
use limen_wire::statement::combine;
use prost::Message as _;

use crate::charters::{HOUR_MS, TestClock, stands, take, version};
use crate::claims;
use crate::cluster::{
    Cluster, eventually, evm_transfer, message_intent, raw_message, refusal, session, sign_request, signature,
};

const VAULT: &str =
    "[[vaults]]\nid = \"deep\"\ntier = \"cold\"\nkeys = [\"coins\", \"words\", \"papers\", \"later\"]\n";

fn marks() -> String {
    let mark = |id: &str, scheme: &str| {
        format!(
            "[[hsm_keys]]\nid = \"{id}\"\nnode = \"n1\"\nscheme = \"{scheme}\"\noutside_the_promise = true # {id}\n"
        )
    };
    claims::CHARTER.to_owned()
        + VAULT
        + &mark("coins", "ecdsa-secp256k1")
        + &mark("words", "eddsa-ed25519")
        + &mark("papers", "ecdsa-p256")
}

/// Two signers with a device each under a charter with both keys; the first one's device.
async fn begin() -> (Cluster, Arc<Device>) {
    let first = Mutex::new(None);
    let cluster = Cluster::start_behind_bridges_under(2, 2, marks(), |socket| {
        let device = Device::at_socket(socket, 0xa1);
        first.lock().unwrap().get_or_insert(device);
    });
    (cluster.await, first.into_inner().unwrap().unwrap())
}

fn order(cluster: &Cluster, key: &str, scheme: Scheme, edit: impl FnOnce(&mut pb::KeyGeneration)) -> pb::Envelope {
    let envelope = cluster.order(key, scheme, Protocol::Hsm);
    let mut order = pb::KeyGeneration::decode(envelope.payload).unwrap();
    (order.signers_required, order.nodes) = (1, vec!["n1".to_owned()]);
    edit(&mut order);
    seal(PayloadType::KeyGeneration, order.encode_to_vec(), "security", &cluster.security)
}

async fn ask(cluster: &Cluster, index: usize, order: &pb::Envelope) -> pb::GenerateKeyResponse {
    let request = pb::GenerateKeyRequest {
        order: Some(order.clone()),
        session_id: session().into(),
        timeout_ms: 5_000,
        ..Default::default()
    };
    cluster.client(index).generate_key(request).await.unwrap().into_inner()
}

/// Makes and activates one at the first signer; gives its public key.
async fn make(cluster: &Cluster, key: &str, scheme: Scheme) -> Vec<u8> {
    let answer = ask(cluster, 0, &order(cluster, key, scheme, |_| {})).await;
    let statement = answer.statement.unwrap_or_else(|| panic!("refused: {:?}", answer.refusal));
    let said = pb::KeyStatement::decode(statement.payload.clone()).unwrap();
    assert_eq!((said.signers_required, said.nodes.as_slice()), (1, &["n1".to_owned()][..]));
    assert_eq!((said.protocol(), said.chain_code.as_ref()), (pb::Protocol::Hsm, &[0; 32][..]));
    let request = pb::ActivateKeyRequest { certificate: Some(combine(&[statement]).unwrap()), order: None };
    let state = cluster.client(0).activate_key(request).await.unwrap().into_inner().state;
    assert_eq!(state, pb::KeyState::Active as i32);
    said.public_key.to_vec()
}

/// By a certificate where there is one: what is refused for another reason is refused before anybody asks for it.
async fn sign(cluster: &Cluster, intent: &pb::Envelope) -> pb::SignResponse {
    sign_by(cluster, intent, claims::certify(cluster, intent).await.ok()).await
}

async fn sign_by(cluster: &Cluster, intent: &pb::Envelope, certificate: Option<pb::Envelope>) -> pb::SignResponse {
    let mut request = sign_request(intent, &[1], session());
    request.authorization.get_or_insert_default().reservations.extend(certificate);
    cluster.client(0).sign(request).await.unwrap().into_inner()
}

fn transfer(cluster: &Cluster, key: &str, nonce: u64) -> (pb::Intent, pb::Envelope) {
    let raw = evm_transfer(key, &format!("t-{nonce}"), nonce, 1);
    let (_, intent) = seal_intent(&raw, &cluster.backend).unwrap();
    (raw, intent)
}

/// Whether the recovery id leads from the transaction and its signature to the key, by a library that has made neither.
fn recovers(raw: &pb::Intent, result: &pb::SignatureResult, public: &[u8]) -> bool {
    use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
    let Some(pb::intent::Payload::EvmTransaction(unsigned)) = &raw.payload else { panic!("no transaction") };
    let chain = ChainId::eip155(31337);
    let account = limen_chain::address(&chain, Scheme::EcdsaSecp256k1, public).unwrap();
    let payload = limen_chain::Payload::EvmTransaction(unsigned);
    let decoded = limen_chain::decode(&payload, &chain, &account, &NoTokenKinds).unwrap();
    let digest = decoded.signing.for_scheme(Scheme::EcdsaSecp256k1).unwrap();
    let signature = Signature::from_slice(&result.signature).unwrap();
    assert!(signature.normalize_s().is_none(), "S is in the lower half");
    let id = RecoveryId::from_byte(u8::try_from(result.recovery_id).unwrap()).unwrap();
    let found = VerifyingKey::recover_from_prehash(&digest, &signature, id).unwrap();
    assert!(!result.signed_transaction.is_empty());
    found.to_encoded_point(true).as_bytes() == public
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_token_is_made_and_signs_behind_the_guard() {
    let (mut cluster, device) = begin().await;
    let coins = make(&cluster, "coins", Scheme::EcdsaSecp256k1).await;
    let words = make(&cluster, "words", Scheme::EddsaEd25519).await;
    assert_eq!(device.software.held_names().unwrap().len(), 2, "both are in the token");

    let (raw, intent) = transfer(&cluster, "coins", 0);
    let first = sign(&cluster, &intent).await;
    assert!(recovers(&raw, signature(&first), &coins));
    assert_eq!(signature(&first).signers, [1]);
    // The same permission gives the same signature, also where a token would draw another nonce.
    assert_eq!(signature(&sign(&cluster, &intent).await), signature(&first));
    // Whichever S the token gives, one leaves.
    device.set(Mode::HighS);
    let (raw, intent) = transfer(&cluster, "coins", 1);
    assert!(recovers(&raw, signature(&sign(&cluster, &intent).await), &coins));
    device.set(Mode::Works);

    let (_, intent) = message_intent(&cluster, "words", "m-0", "hello");
    let signed = sign(&cluster, &intent).await;
    let key = ed25519_dalek::VerifyingKey::from_bytes(words.as_slice().try_into().unwrap()).unwrap();
    let bytes = ed25519_dalek::Signature::from_slice(&signature(&signed).signature).unwrap();
    let Some(pb::intent::Payload::Message(text)) = raw_message("words", "m-0", "hello").payload else { panic!() };
    key.verify_strict(&text, &bytes).unwrap();

    // The same guard: a number is burnt once, and what rules forbid is forbidden.
    let (_, again) = seal_intent(&evm_transfer("coins", "other", 1, 2), &cluster.backend).unwrap();
    assert_eq!(refusal(&sign(&cluster, &again).await).code, "nonce_conflict");
    let much = evm_transfer("coins", "much", 2, 11_000_000_000_000_000_000);
    let (_, much) = seal_intent(&much, &cluster.backend).unwrap();
    assert_eq!(refusal(&sign(&cluster, &much).await).code, "policy_denied");
    // No children, and no company.
    let mut child = raw_message("words", "child", "hello");
    child.path = vec![1];
    let (_, child) = seal_intent(&child, &cluster.backend).unwrap();
    assert_eq!(refusal(&sign(&cluster, &child).await).code, "no_child_keys");
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let two = cluster.client(0).sign(sign_request(&intent, &[1, 2], session())).await.unwrap().into_inner();
    assert!(["bad_signer_set", "too_few_signers"].contains(&refusal(&two).code.as_str()), "{two:?}");
    // Whatever can be read can be handed to a token.
    const { assert!(limen_chain::MAX_MESSAGE_BYTES <= limen_hsm::provider::MAX_MESSAGE) };

    cluster.stop(0).await;
    cluster.restart(0).await;
    signature(&sign(&cluster, &intent).await);
}

/// Verifies as FIPS 186-5 has it: ECDSA over P-256 of the message's SHA-256, here always with S in the lower half.
fn verifies_p256(result: &pb::SignatureResult, public: &[u8], message: &[u8]) {
    use p256::ecdsa::signature::Verifier as _;
    let signature = p256::ecdsa::Signature::from_slice(&result.signature).unwrap();
    assert!(signature.normalize_s().is_none(), "S is in the lower half");
    p256::ecdsa::VerifyingKey::from_sec1_bytes(public).unwrap().verify(message, &signature).unwrap();
    assert!(result.signed_transaction.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_p256_key_signs_messages_and_never_a_transaction() {
    let (mut cluster, device) = begin().await;
    let papers = make(&cluster, "papers", Scheme::EcdsaP256).await;
    assert!(p256::PublicKey::from_sec1_bytes(&papers).is_ok());
    for (number, mode) in [Mode::Works, Mode::HighS, Mode::Works].into_iter().enumerate() {
        device.set(mode);
        let (_, intent) = message_intent(&cluster, "papers", &format!("m-{number}"), "hello");
        verifies_p256(signature(&sign(&cluster, &intent).await), &papers, b"hello");
    }
    device.set(Mode::Works);
    let answer = sign(&cluster, &transfer(&cluster, "papers", 0).1).await;
    assert_eq!(refusal(&answer).code, "wrong_scheme");
    assert!(refusal(&answer).message.contains("ecdsa-p256 keys have no address on chain"), "{answer:?}");
    // A bare digest has no rule here.
    let digest = pb::intent::Payload::RawDigest(vec![5; 32].into());
    let digest = pb::Intent { payload: Some(digest), ..raw_message("papers", "digest", "") };
    let answer = sign(&cluster, &seal_intent(&digest, &cluster.backend).unwrap().1).await;
    assert_eq!(refusal(&answer).code, "policy_denied");
    let mut child = raw_message("papers", "child", "hello");
    child.path = vec![1];
    let (_, child) = seal_intent(&child, &cluster.backend).unwrap();
    assert_eq!(refusal(&sign(&cluster, &child).await).code, "no_child_keys");
    for mode in [Mode::SignsOther, Mode::SignsNothing, Mode::ShowsOther] {
        device.set(mode);
        let (_, intent) = message_intent(&cluster, "papers", &format!("{mode:?}").to_lowercase(), "hello");
        assert_eq!(refusal(&sign(&cluster, &intent).await).code, "hsm_wrong_answer", "{mode:?}");
    }
    device.set(Mode::Works);
    // The stored key is read back on its own curve.
    cluster.stop(0).await;
    cluster.restart(0).await;
    let (_, intent) = message_intent(&cluster, "papers", "later", "hello");
    verifies_p256(signature(&sign(&cluster, &intent).await), &papers, b"hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_says_leaves_only_if_it_verifies() {
    let (cluster, device) = begin().await;
    make(&cluster, "coins", Scheme::EcdsaSecp256k1).await;
    make(&cluster, "words", Scheme::EddsaEd25519).await;
    for (number, mode) in [(0, Mode::SignsOther), (1, Mode::SignsNothing), (2, Mode::ShowsOther)] {
        device.set(mode);
        let (_, coins) = transfer(&cluster, "coins", number);
        let (_, words) = message_intent(&cluster, "words", &format!("m-{number}"), "hello");
        for intent in [&coins, &words] {
            let answer = sign(&cluster, intent).await;
            assert_eq!(refusal(&answer).code, "hsm_wrong_answer", "{mode:?}: {answer:?}");
        }
        device.set(Mode::Works);
        for intent in [&coins, &words] {
            signature(&sign(&cluster, intent).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_away_stops_its_key_by_name_and_only_until_it_is_back() {
    let (mut cluster, device) = begin().await;
    make(&cluster, "coins", Scheme::EcdsaSecp256k1).await;
    let (raw, intent) = transfer(&cluster, "coins", 0);
    for kind in [Kind::Gone, Kind::PinLocked, Kind::TimedOut, Kind::Busy, Kind::Missing] {
        device.set(Mode::Refuses(kind));
        // More often than an intent may have sessions: it has cost none.
        for _ in 0..3 {
            let answer = sign(&cluster, &intent).await;
            let error = refusal(&answer);
            assert_eq!((error.code.as_str(), error.node.as_str()), ("hsm_unavailable", "n1"), "{kind:?}");
            assert!(error.message.contains(kind.code()), "{}", error.message);
        }
    }
    // A signer starts without it.
    cluster.stop(0).await;
    cluster.restart(0).await;
    assert_eq!(refusal(&sign(&cluster, &intent).await).code, "hsm_unavailable");
    device.set(Mode::Works);
    let public = cluster.node(0).shared().key(&KeyId::new("coins").unwrap()).unwrap();
    let public = public.public.public_key.to_key(Scheme::EcdsaSecp256k1).to_vec();
    assert!(recovers(&raw, signature(&sign(&cluster, &intent).await), &public));
}

/// The token has the permission's input when the deadline passes, and signs: that leaves by no way.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_that_comes_after_its_deadline_is_of_no_session() {
    let (cluster, device) = begin().await;
    let words = make(&cluster, "words", Scheme::EddsaEd25519).await;
    let key = ed25519_dalek::VerifyingKey::from_bytes(words.as_slice().try_into().unwrap()).unwrap();
    let is_of = |answer: &pb::SignResponse, text: &[u8]| {
        let bytes = ed25519_dalek::Signature::from_slice(&signature(answer).signature).unwrap();
        key.verify_strict(text, &bytes).is_ok()
    };
    let stored = |id| cluster.node(0).shared().store.view().unwrap().intent(&id).unwrap().unwrap().1.result;
    for number in 0..3 {
        device.set(Mode::HoldsBack);
        let (id, late) = message_intent(&cluster, "words", &format!("late-{number}"), "late");
        let answer = sign(&cluster, &late).await;
        let error = refusal(&answer);
        // Of the session, because nobody knows whether the token has signed.
        assert_eq!((error.code.as_str(), error.node.as_str()), ("session_aborted", "n1"), "{error:?}");
        assert!(error.message.contains(Kind::TimedOut.code()), "{error:?}");
        assert_eq!(device.inside(), 1, "it is asked still");

        device.set(Mode::Works);
        eventually("the late signature", || device.inside() == 0).await;
        let (next_id, next) = message_intent(&cluster, "words", &format!("next-{number}"), "next");
        let answer = sign(&cluster, &next).await;
        assert!(is_of(&answer, b"next") && !is_of(&answer, b"late"));
        eventually("the next one's record", || stored(next_id).is_some()).await;
        assert_eq!(stored(id), None, "nothing was signed late");
        // Whoever asks again has a session of his own.
        assert!(is_of(&sign(&cluster, &late).await, b"late"));
        eventually("the late one's record", || stored(id).is_some()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_that_the_charter_does_not_mark_are_refused() {
    let (cluster, device) = begin().await;
    let ecdsa = Scheme::EcdsaSecp256k1;
    let two = |order: &mut pb::KeyGeneration| order.nodes.push("n2".to_owned());
    let of_two = |order: &mut pb::KeyGeneration| (two(order), order.signers_required = 2).1;
    for (what, order, code) in [
        ("not marked", order(&cluster, "later", ecdsa, |_| {}), "hsm_key_refused"),
        ("of another scheme", order(&cluster, "words", ecdsa, |_| {}), "hsm_key_refused"),
        ("a threshold key of a marked name", cluster.order("coins", ecdsa, Protocol::Dkls23), "hsm_key_refused"),
        ("one of two", order(&cluster, "coins", ecdsa, two), "malformed"),
        ("two of two", order(&cluster, "coins", ecdsa, of_two), "malformed"),
        ("P-256 of the other curve's mark", order(&cluster, "coins", Scheme::EcdsaP256, |_| {}), "hsm_key_refused"),
        ("P-256 by DKLs23", cluster.order("free", Scheme::EcdsaP256, Protocol::Dkls23), "malformed"),
        ("P-256 by CGGMP24", cluster.order("free", Scheme::EcdsaP256, Protocol::Cggmp24), "malformed"),
        ("P-256 by FROST", cluster.order("free", Scheme::EcdsaP256, Protocol::Frost), "malformed"),
        ("of a scheme that no token has", order(&cluster, "coins", Scheme::SchnorrBip340, |_| {}), "malformed"),
    ] {
        let answer = ask(&cluster, 0, &order).await;
        assert_eq!(answer.refusal.map(|error| error.code).as_deref(), Some(code), "{what}");
    }
    let elsewhere = order(&cluster, "coins", ecdsa, |order| order.nodes = vec!["n2".to_owned()]);
    assert_eq!(ask(&cluster, 1, &elsewhere).await.refusal.unwrap().code, "hsm_key_refused", "at another signer");
    assert!(device.software.held_names().unwrap().is_empty(), "nothing was made");
    // Every other name is free for keys of all signers.
    cluster.make_key("free", Scheme::EddsaEd25519, Protocol::Frost).await;
}

/// As a kill between the token's call and the journal leaves it: the key is in the token, and the journal knows the order alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_cut_off_is_taken_up_and_makes_no_second_key() {
    let (mut cluster, device) = begin().await;
    let ordered = order(&cluster, "coins", Scheme::EcdsaSecp256k1, |_| {});
    // Cut off after 1, 2, … calls: as it is made, looked at and tried.
    for calls in 0..4 {
        device.pull_after(calls);
        let answer = ask(&cluster, 0, &ordered).await;
        device.put_back();
        assert!(device.software.held_names().unwrap().len() <= 1);
        if answer.statement.is_some() {
            break;
        }
        assert_eq!(answer.refusal.unwrap().code, "hsm_unavailable");
        cluster.stop(0).await;
        cluster.restart(0).await;
    }
    let names = device.software.held_names().unwrap();
    assert_eq!(names.len(), 1);
    let shown = device.software.held(&names[0]).unwrap().to_bytes();
    assert_eq!(make_by(&cluster, &ordered).await, shown);
    assert_eq!(device.software.held_names().unwrap(), names, "there is no other");
    // Another order has no claim to it.
    let other = order(&cluster, "coins", Scheme::EcdsaSecp256k1, |order| order.expires_at_secs += 1);
    assert_eq!(ask(&cluster, 0, &other).await.refusal.unwrap().code, "key_exists");
}

async fn make_by(cluster: &Cluster, order: &pb::Envelope) -> Vec<u8> {
    let answer = ask(cluster, 0, order).await;
    let statement = answer.statement.unwrap_or_else(|| panic!("refused: {:?}", answer.refusal));
    pb::KeyStatement::decode(statement.payload).unwrap().public_key.to_vec()
}

/// A key that lies in the token under the name that an order will have, made by nobody here.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_order_is_never_taken_for_this_ones() {
    let (cluster, device) = begin().await;
    for name in ["coins", "coins.0000000000000000"] {
        device.software.create_held(&HeldId::new(name).unwrap(), limen_hsm::HeldKind::EcdsaSecp256k1).unwrap();
    }
    let made = make(&cluster, "coins", Scheme::EcdsaSecp256k1).await;
    for name in ["coins", "coins.0000000000000000"] {
        assert_ne!(device.software.held(&HeldId::new(name).unwrap()).unwrap().to_bytes(), made);
    }
}

/// No signer has a token destroy anything: it refuses, waits, and says so when the token has lost the key.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_a_token_is_destroyed_by_whoever_has_the_token() {
    let clock = Arc::new(TestClock::default());
    let cluster = Cluster::start_by_under(2, 2, Arc::clone(&clock) as Arc<dyn Clock>, marks()).await;
    make(&cluster, "words", Scheme::EddsaEd25519).await;
    let anchor = "[[rules]]\nname = \"words\"";
    let mark = |state: &str| format!("[[keys]]\nkey = \"words\"\nstate = \"{state}\"\n{anchor}");
    let mut newest = cluster.charter_hash();
    for (number, state) in [(2, "deactivated"), (3, "destroyed")] {
        let next = version(&cluster, &[newest], number, &[(anchor, &mark(state))]);
        take(&cluster, 0, &next.envelope).await.unwrap();
        if state == "destroyed" {
            stands(&cluster, next.hash, pb::CharterState::Waiting).await;
            clock.run_for(HOUR_MS + 1);
        }
        stands(&cluster, next.hash, pb::CharterState::InForce).await;
        cluster.linked().await;
        let (_, late) = message_intent(&cluster, "words", state, "hello");
        assert_eq!(refusal(&sign_by(&cluster, &late, None).await).code, "key_retired");
        newest = next.hash;
    }
    let shared = cluster.node(0).shared();
    let row = || shared.store.view().unwrap().key(&KeyId::new("words").unwrap()).unwrap().unwrap();
    eventually("the end to have begun", || row().phase == limen_node::store::rows::KeyPhase::Destroyed).await;
    let held = || {
        std::fs::read_dir(cluster.path("n1.wrap.d"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("held-")))
    };
    let file = held().expect("the signer has left it there");
    assert!(!row().destroyed.erased && row().destroyed.words.is_empty());
    std::fs::remove_file(file).unwrap();
    eventually("the word", || row().destroyed.words.contains_key("n1")).await;
    assert!(row().share.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_later_charter_does_not_mark_signs_no_more() {
    let clock = Arc::new(TestClock::default());
    let cluster = Cluster::start_by_under(2, 2, Arc::clone(&clock) as Arc<dyn Clock>, marks()).await;
    make(&cluster, "coins", Scheme::EcdsaSecp256k1).await;
    make(&cluster, "words", Scheme::EddsaEd25519).await;
    let (_, early) = message_intent(&cluster, "words", "m-0", "hello");
    signature(&sign(&cluster, &early).await);

    // Taking the mark away tightens, and binds at once.
    let mark = |id: &str, scheme: &str| {
        format!(
            "[[hsm_keys]]\nid = \"{id}\"\nnode = \"n1\"\nscheme = \"{scheme}\"\noutside_the_promise = true # {id}\n"
        )
    };
    let words = mark("words", "eddsa-ed25519");
    let without = version(&cluster, &[cluster.charter_hash()], 2, &[(&words, "")]);
    let view = take(&cluster, 0, &without.envelope).await.unwrap();
    assert_eq!(view.state(), pb::CharterState::InForce);
    let (_, late) = message_intent(&cluster, "words", "m-1", "hello");
    assert_eq!(refusal(&sign(&cluster, &late).await).code, "hsm_key_refused");
    // The one that is marked still signs; and what was signed is still told.
    signature(&sign(&cluster, &transfer(&cluster, "coins", 0).1).await);
    signature(&sign(&cluster, &early).await);

    // To a hot vault it can only go without its mark, and does not sign there.
    let coins = mark("coins", "ecdsa-secp256k1");
    let papers = mark("papers", "ecdsa-p256");
    let unmarked = version(&cluster, &[without.hash], 3, &[(&words, ""), (&coins, ""), (&papers, "")]);
    take(&cluster, 0, &unmarked.envelope).await.unwrap();
    let hot = ("tier = \"cold\"", "tier = \"hot\"");
    let hot = version(&cluster, &[unmarked.hash], 4, &[(&words, ""), (&coins, ""), (&papers, ""), hot]);
    take(&cluster, 0, &hot.envelope).await.unwrap();
    stands(&cluster, hot.hash, pb::CharterState::Waiting).await;
    clock.run_for(HOUR_MS);
    stands(&cluster, hot.hash, pb::CharterState::InForce).await;
    let answer = sign(&cluster, &transfer(&cluster, "coins", 1).1).await;
    assert_eq!(refusal(&answer).code, "hsm_key_refused", "{answer:?}");
}

/// No other signer takes part, so none of them would notice a second signature: an old disk of the one that holds the key must
/// not decide alone.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_that_others_have_not_certified() {
    let (cluster, _device) = begin().await;
    make(&cluster, "coins", Scheme::EcdsaSecp256k1).await;
    make(&cluster, "words", Scheme::EddsaEd25519).await;
    let ((_, first), (_, words)) = (transfer(&cluster, "coins", 0), message_intent(&cluster, "words", "m", "hello"));
    for intent in [&first, &words] {
        assert_eq!(refusal(&sign_by(&cluster, intent, None).await).code, "reservation_missing");
    }
    let certificate = claims::certify(&cluster, &first).await.unwrap();
    let other = sign_by(&cluster, &words, Some(certificate.clone())).await;
    assert_eq!(refusal(&other).code, "reservation_missing", "another's certificate");
    let mut spoiled = certificate.clone();
    spoiled.signatures.truncate(1);
    assert_eq!(refusal(&sign_by(&cluster, &first, Some(spoiled)).await).code, "reservation_missing", "by one member");
    signature(&sign_by(&cluster, &first, Some(certificate)).await);
    // Who holds the other half of the ledger does not give the number away again.
    let (_, second) = seal_intent(&evm_transfer("coins", "second", 0, 2), &cluster.backend).unwrap();
    let refused = claims::certify(&cluster, &second).await.unwrap_err();
    assert!(refused[1].contains("is held by"), "{refused:?}");
}
