//! Keys out of use: what each signer refuses in its decision, and what is left of a destroyed key.

use std::sync::Arc;

use limen_node::clock::Clock;
use limen_node::store::rows::{KeyPhase, KeyRow};
use limen_wire::destroyed::KeyDestroyed;
use limen_wire::ids::{CharterHash, Epoch, KeyId, Protocol, Scheme};
use limen_wire::intent::seal_intent;
use limen_wire::pb;

use crate::charters::{HOUR_MS, TestClock, stands, take, version};
use crate::cluster::{
    Cluster, eventually, evm_transfer, message_intent, refusal, session, shared_nonces, sign_request, signature,
};
use crate::standing::copy;

const KEY: &str = "treasury";
/// What a version has instead of it, or besides.
const ANCHOR: &str = "[[rules]]\nname = \"words\"";
/// Whom [`evm_transfer`] pays.
const BOOK: &str = "[[address_book]]\nid = \"refuge\"\nchain = \"eip155:31337\"\n\
                    address = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"\n\
                    [[address_book]]\nid = \"elsewhere\"\nchain = \"eip155:31337\"\n\
                    address = \"0x90F79bf6EB2c4f870365E785982E1f101E93b906\"\n";

fn key() -> KeyId {
    KeyId::new(KEY).unwrap()
}

fn row(cluster: &Cluster, index: usize) -> KeyRow {
    cluster.node(index).shared().store.view().unwrap().key(&key()).unwrap().unwrap()
}

struct Line {
    clock: Arc<TestClock>,
    cluster: Cluster,
    newest: CharterHash,
    number: u64,
}

impl Line {
    async fn begin(scheme: Scheme, protocol: Protocol) -> Self {
        let clock = Arc::new(TestClock::default());
        let cluster = Cluster::start_by_under(3, 2, Arc::clone(&clock) as Arc<dyn Clock>, BOOK.to_owned()).await;
        cluster.make_key(KEY, scheme, protocol).await;
        let newest = cluster.charter_hash();
        Self { clock, cluster, newest, number: 1 }
    }

    /// Signs a version in which the key stands so, and hands it to one signer.
    async fn say(&mut self, state: &str) -> CharterHash {
        self.number += 1;
        let mark = match state {
            "active" => ANCHOR.to_owned(),
            state => format!("[[keys]]\nkey = \"{KEY}\"\nstate = \"{state}\"\n{ANCHOR}"),
        };
        let version = version(&self.cluster, &[self.newest], self.number, &[(ANCHOR, &mark)]);
        let place = (0..3).find(|index| self.cluster.nodes[*index].is_some()).unwrap();
        take(&self.cluster, place, &version.envelope).await.unwrap();
        self.newest = version.hash;
        version.hash
    }

    /// The same, until it is in force at all.
    async fn goes(&mut self, state: &str) {
        let version = self.say(state).await;
        if matches!(state, "active" | "destroyed") {
            stands(&self.cluster, version, pb::CharterState::Waiting).await;
            self.clock.run_for(HOUR_MS + 1);
        }
        stands(&self.cluster, version, pb::CharterState::InForce).await;
        self.cluster.linked().await;
    }

    /// Starts a stopped signer again, by the same clock.
    async fn again(&mut self, index: usize) {
        self.cluster.start_again(index, Arc::clone(&self.clock) as Arc<dyn Clock>).await;
        self.cluster.linked().await;
    }

    async fn refused(&self, name: &str) -> String {
        self.refused_by(name, &[1, 2]).await
    }

    async fn refused_by(&self, name: &str, signers: &[u32]) -> String {
        let (_, intent) = message_intent(&self.cluster, KEY, name, "hello");
        let answers = self.cluster.sign(&intent, signers).await;
        let codes: Vec<&str> = answers.iter().map(|answer| refusal(answer).code.as_str()).collect();
        assert_eq!(codes[0], codes[1]);
        codes[0].to_owned()
    }

    async fn signs(&self, name: &str) {
        let (_, intent) = message_intent(&self.cluster, KEY, name, "hello");
        signature(&self.cluster.sign(&intent, &[1, 2]).await[0]);
    }

    async fn state_told(&self, index: usize) -> pb::KeyShareRecord {
        let told = self.cluster.client(index).list_key_shares(pb::ListKeySharesRequest {}).await.unwrap().into_inner();
        told.shares.into_iter().find(|share| share.key_id == KEY).unwrap()
    }

    fn words(&self, index: usize) -> usize {
        row(&self.cluster, index).destroyed.words.len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_key_signs_nothing_until_it_is_taken_into_use_again() {
    let mut line = Line::begin(Scheme::EddsaEd25519, Protocol::Frost).await;
    line.signs("before").await;
    // In flight: announced to all before, decided after.
    let (_, waiting) = message_intent(&line.cluster, KEY, "in-flight", "hello");
    for index in 0..3 {
        let request = pb::AnnounceRequest { intent: Some(waiting.clone()), ..pb::AnnounceRequest::default() };
        line.cluster.client(index).announce(request).await.unwrap();
    }
    let nonces = shared_nonces(&line.cluster, KEY, &[1, 2]).await;
    line.goes("suspended").await;
    for answer in line.cluster.sign(&waiting, &[1, 2]).await {
        assert_eq!(refusal(&answer).code, "key_suspended");
    }
    assert_eq!(line.refused("after").await, "key_suspended");
    assert_eq!(line.state_told(1).await.state(), pb::KeyState::Suspended);
    eventually("nonces made ahead to go", || {
        (0..3).all(|index| {
            let pool = line.cluster.node(index).shared().nonces.pool(&key());
            pool.is_none_or(|pool| pool.next_index == pool.end_index)
        })
    })
    .await;
    assert!(line.cluster.sign_with(&waiting, &[1, 2], nonces).await.iter().all(|one| refusal(one).code != "internal"));
    line.goes("active").await;
    line.signs("again").await;
    assert_eq!(line.state_told(1).await.state(), pb::KeyState::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivated_key_signs_nothing_and_a_compromised_one_only_a_sweep() {
    let mut line = Line::begin(Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    let transfer = |cluster: &Cluster, name: &str, nonce| {
        seal_intent(&evm_transfer(KEY, name, nonce, 1), &cluster.backend).unwrap().1
    };
    signature(&line.cluster.sign(&transfer(&line.cluster, "first", 0), &[1, 2]).await[0]);
    line.goes("deactivated").await;
    for answer in line.cluster.sign(&transfer(&line.cluster, "second", 1), &[1, 2]).await {
        assert_eq!(refusal(&answer).code, "key_retired");
    }
    assert_eq!(line.state_told(2).await.state(), pb::KeyState::Deactivated);
    line.goes("compromised").await;
    for answer in line.cluster.sign(&transfer(&line.cluster, "third", 1), &[1, 2]).await {
        assert_eq!(refusal(&answer).code, "key_retired");
    }
    // Where the charter says where to, value leaves for there, and nothing else is signed.
    for (places, signs) in [("\"elsewhere\"", false), ("\"elsewhere\", \"refuge\"", true)] {
        let state = format!("compromised\"\nsweep_to = [{places}]\nreason = \"a disk is gone");
        let version = line.say(&state).await;
        stands(&line.cluster, version, pb::CharterState::Waiting).await;
        line.clock.run_for(HOUR_MS + 1);
        stands(&line.cluster, version, pb::CharterState::InForce).await;
        line.cluster.linked().await;
        for answer in line.cluster.sign(&transfer(&line.cluster, &format!("sweep-{signs}"), 1), &[1, 2]).await {
            match signs {
                true => drop(signature(&answer).clone()),
                false => assert_eq!(refusal(&answer).code, "key_retired"),
            }
        }
        let (_, words) = crate::cluster::evm_message(&line.cluster, KEY, &format!("words-{signs}"), "hello");
        for answer in line.cluster.sign(&words, &[1, 2]).await {
            assert_eq!(refusal(&answer).code, "key_retired");
        }
    }
}

/// Erases a key that all hold, one of the three away; gives the line with two words.
async fn destroyed_without_the_third(mut line: Line) -> Line {
    line.goes("deactivated").await;
    line.cluster.stop(2).await;
    line.goes("destroyed").await;
    eventually("both to have erased it and to have heard of it", || (0..2).all(|index| line.words(index) == 2)).await;
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_key_leaves_no_share_and_two_words_and_then_a_third() {
    let line = Line::begin(Scheme::EddsaEd25519, Protocol::Frost).await;
    line.signs("before").await;
    let mut line = destroyed_without_the_third(line).await;
    for index in 0..2 {
        let (row, shared) = (row(&line.cluster, index), line.cluster.node(index).shared());
        assert_eq!((row.phase, row.share.as_ref(), row.epochs.old.len()), (KeyPhase::Destroyed, None, 0));
        assert!(shared.store.view().unwrap().share_records().unwrap().is_empty(), "nothing sealed is left");
        assert!(!shared.vault.is_in_use(&key()), "nothing opened is left");
        assert!(shared.key(&key()).is_none());
        assert!(shared.open_share(&key(), Epoch::FIRST).await.is_err());
        let told = line.state_told(index).await;
        assert_eq!((told.state(), told.destroyed.len()), (pb::KeyState::Destroyed, 2));
        let (word, signed) = KeyDestroyed::open(&told.destroyed[0]).unwrap();
        let node = format!("n{}", index + 1);
        signed.verify(&node, &line.cluster.machines[index].public.parse().unwrap()).unwrap();
        assert_eq!((word.node.as_str(), word.key_id.as_str(), &word.epochs[..]), (node.as_str(), KEY, &[Epoch(1)][..]));
        assert_eq!((word.charter, word.wrapping_keys_left.len()), (line.newest, 0));
    }
    assert_eq!(line.refused("after").await, "key_retired");
    // A signer that was away does not sign on: it hears of the charter before it decides, and then erases its own.
    line.again(2).await;
    eventually("the third to hear of it", || {
        line.cluster.node(2).shared().store.view().unwrap().charter(line.newest).unwrap().is_some()
    })
    .await;
    assert_eq!(line.refused_by("meanwhile", &[1, 3]).await, "key_retired");
    line.clock.run_for(HOUR_MS + 1);
    stands(&line.cluster, line.newest, pb::CharterState::InForce).await;
    eventually("the third to have erased it too", || (0..3).all(|index| line.words(index) == 3)).await;
    assert_eq!(row(&line.cluster, 2).share, None);
}

/// The name is not used again, whoever asks, and no share of it is made anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_destroyed_key_is_never_used_again() {
    let line = Line::begin(Scheme::EddsaEd25519, Protocol::Frost).await;
    let held = line.state_told(0).await;
    let line = destroyed_without_the_third(line).await;
    let order = line.cluster.order(KEY, Scheme::EddsaEd25519, Protocol::Frost);
    let request = pb::GenerateKeyRequest {
        order: Some(order),
        session_id: session().into(),
        timeout_ms: 1_000,
        ..Default::default()
    };
    let answer = line.cluster.client(0).generate_key(request).await.unwrap().into_inner();
    assert_eq!(answer.refusal.unwrap().code, "key_retired");
    // Nor does its certificate bring it back.
    let request = pb::ActivateKeyRequest { certificate: held.certificate, order: None };
    line.cluster.client(0).activate_key(request).await.unwrap();
    assert_eq!(row(&line.cluster, 0).phase, KeyPhase::Destroyed);
    assert!(line.cluster.node(0).shared().key(&key()).is_none());
}

/// Whatever a kill leaves: the mark without the erasing, the wrapping key gone and the records there.
#[tokio::test(flavor = "multi_thread")]
async fn erasing_that_was_cut_off_goes_on_after_the_start() {
    let mut line = Line::begin(Scheme::EddsaEd25519, Protocol::Frost).await;
    line.goes("deactivated").await;
    let shared = Arc::clone(line.cluster.node(2).shared());
    let mut cut = row(&line.cluster, 2);
    (cut.phase, cut.destroyed.charter) = (KeyPhase::Destroyed, [7; 32]);
    cut.destroyed.public_key = held_key(&cut);
    cut.destroyed.epochs = vec![1];
    shared.store.write(move |txn| txn.put_key(&key(), &cut)).await.unwrap();
    shared.vault.destroy_keks_of(&key()).unwrap();
    drop(shared);
    line.cluster.stop(2).await;
    line.again(2).await;
    line.goes("destroyed").await;
    eventually("all to have erased it", || (0..3).all(|index| line.words(index) == 3)).await;
    assert!(line.cluster.node(2).shared().store.view().unwrap().share_records().unwrap().is_empty());
}

fn held_key(row: &KeyRow) -> Vec<u8> {
    use prost::Message as _;
    let certificate = pb::Envelope::decode(row.certificate.as_slice()).unwrap();
    limen_wire::statement::KeyStatement::decode(&certificate).unwrap().public_key
}

/// Other keys of the epoch have the same wrapping key: the word says that it is there still.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrapping_key_that_others_need_stays_and_is_named() {
    let line = Line::begin(Scheme::EddsaEd25519, Protocol::Frost).await;
    line.cluster.make_key("other", Scheme::EddsaEd25519, Protocol::Frost).await;
    let line = destroyed_without_the_third(line).await;
    let told = line.state_told(0).await;
    let (word, _) = KeyDestroyed::open(&told.destroyed[0]).unwrap();
    assert_eq!(word.wrapping_keys_left.len(), 1);
    let (_, intent) = message_intent(&line.cluster, "other", "other", "hello");
    signature(&line.cluster.sign(&intent, &[1, 2]).await[0]);
}

/// A disk from before knows nothing of the end, and its signer decides nothing before it has asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_put_back_signs_nothing() {
    let mut line = Line::begin(Scheme::EddsaEd25519, Protocol::Frost).await;
    line.cluster.stop(1).await;
    let (data, old) = (line.cluster.path("n2"), line.cluster.path("n2.old"));
    copy(&data, &old);
    line.again(1).await;
    line.goes("deactivated").await;
    line.goes("destroyed").await;
    eventually("all to have erased it", || (0..3).all(|index| line.words(index) == 3)).await;
    line.cluster.stop(1).await;
    std::fs::remove_dir_all(&data).unwrap();
    copy(&old, &data);
    line.cluster.start_again(1, Arc::clone(&line.clock) as Arc<dyn Clock>).await;
    assert!(line.cluster.node(1).shared().key(&key()).is_some(), "the old disk has the share");
    let (_, intent) = message_intent(&line.cluster, KEY, "old-disk", "hello");
    let answer = line.cluster.client(1).sign(sign_request(&intent, &[1, 2], session())).await.unwrap().into_inner();
    let code = refusal(&answer).code.clone();
    // What sealed its share is gone as well, outside of that disk.
    let due = ["no_standing", "key_retired", "too_few_signers", "hsm_unavailable", "share_damaged"];
    assert!(due.contains(&code.as_str()), "{code}");
    // Its share alone is nothing: the others have none.
    for index in [0, 2] {
        assert_eq!(row(&line.cluster, index).share, None);
    }
}
