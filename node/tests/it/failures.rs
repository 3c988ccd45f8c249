//! What goes wrong: refusals, dead sessions, lost peers, restarts.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_node::clock::{Clock, Millis, SystemClock};
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::{ClusterId, CredentialId, FreezeEpoch, NodeId, PersonId, Protocol, Scheme, SessionId, SliceHash};
use limen_wire::intent::seal_intent;
use limen_wire::pb;
use prost::Message as _;

use crate::cluster::{
    Cluster, evm_transfer, message_intent, person_key, raw_message, refusal, requester_key, session, sign_request,
    signature,
};

const FROST: (Scheme, Protocol) = (Scheme::EddsaEd25519, Protocol::Frost);

async fn frost_cluster() -> Cluster {
    let cluster = Cluster::start(3, 2).await;
    cluster.make_key("words", FROST.0, FROST.1).await;
    cluster
}

async fn code(cluster: &Cluster, intent: &pb::Envelope, signers: &[u32]) -> String {
    let request = sign_request(intent, signers, session());
    let answer = cluster.client(0).sign(request).await.unwrap().into_inner();
    refusal(&answer).code.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guard_does_not_allow_is_refused_by_name() {
    let cluster = frost_cluster().await;
    let seal_with = |change: &dyn Fn(&mut pb::Intent)| {
        let mut raw = raw_message("words", "m-1", "hello");
        change(&mut raw);
        seal_intent(&raw, &cluster.backend).unwrap().1
    };
    let now = SystemClock.now().as_secs();
    let cases: Vec<(&str, pb::Envelope, &[u32])> = vec![
        ("malformed", pb::Envelope::default(), &[1, 2]),
        ("wrong_cluster", seal_with(&|raw| raw.cluster = "other".to_owned()), &[1, 2]),
        ("not_enrolled", seal_with(&|raw| raw.requester = "stranger".to_owned()), &[1, 2]),
        ("unknown_key", seal_with(&|raw| raw.key_id = "none".to_owned()), &[1, 2]),
        ("expired", seal_with(&|raw| raw.expires_at_secs = now - 1), &[1, 2]),
        ("expiry_too_far", seal_with(&|raw| raw.expires_at_secs = now + 4000), &[1, 2]),
        ("bad_signer_set", seal_with(&|_| {}), &[1]),
        ("bad_signer_set", seal_with(&|_| {}), &[2, 1]),
        ("bad_signer_set", seal_with(&|_| {}), &[1, 2, 3]),
        ("bad_signer_set", seal_with(&|_| {}), &[1, 4]),
        ("bad_signer_set", seal_with(&|_| {}), &[2, 3]),
        ("bad_signer_set", seal_with(&|_| {}), &[0, 1]),
    ];
    for (expected, intent, signers) in cases {
        assert_eq!(code(&cluster, &intent, signers).await, expected, "{signers:?}");
    }
    let (_, forged) = seal_intent(&raw_message("words", "m-1", "hello"), &requester_key(9)).unwrap();
    assert_eq!(code(&cluster, &forged, &[1, 2]).await, "bad_signature");
    let mut raw = raw_message("words", "raw", "");
    raw.payload = Some(pb::intent::Payload::RawDigest(vec![7; 32].into()));
    let (_, raw) = seal_intent(&raw, &cluster.backend).unwrap();
    assert_eq!(code(&cluster, &raw, &[1, 2]).await, "policy_denied");
    let mut wrong = raw_message("words", "evm", "");
    wrong.chain = "eip155:31337".to_owned();
    wrong.payload = Some(pb::intent::Payload::EvmMessage(b"x".to_vec().into()));
    let (_, wrong) = seal_intent(&wrong, &cluster.backend).unwrap();
    assert_eq!(code(&cluster, &wrong, &[1, 2]).await, "wrong_scheme");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_number_is_claimed_once_unless_it_is_handed_over_by_name() {
    let cluster = Cluster::start(3, 2).await;
    cluster.make_key("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    let seal = |raw: &pb::Intent| seal_intent(raw, &cluster.backend).unwrap();
    let (first_id, first) = seal(&evm_transfer("treasury", "w-1", 5, 100));
    signature(&cluster.sign(&first, &[1, 2]).await[0]);
    let (_, second) = seal(&evm_transfer("treasury", "w-2", 5, 200));
    assert_eq!(code(&cluster, &second, &[1, 2]).await, "nonce_conflict");
    let mut other_number = evm_transfer("treasury", "w-3", 6, 200);
    other_number.replaces = first_id.as_bytes().to_vec().into();
    assert_eq!(code(&cluster, &seal(&other_number).1, &[1, 2]).await, "nonce_conflict");
    let mut replacement = evm_transfer("treasury", "w-4", 5, 300);
    replacement.replaces = first_id.as_bytes().to_vec().into();
    let (_, replacement) = seal(&replacement);
    let answers = cluster.sign(&replacement, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    // too much, and to where no rule leads
    let (_, too_much) = seal(&evm_transfer("treasury", "w-5", 7, 11_000_000_000_000_000_000));
    assert_eq!(code(&cluster, &too_much, &[1, 2]).await, "policy_denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_intent_is_not_signed() {
    let cluster = frost_cluster().await;
    let (id, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let announced = cluster
        .client(0)
        .announce(pb::AnnounceRequest { intent: Some(intent.clone()), ..Default::default() })
        .await
        .unwrap();
    assert!(announced.into_inner().decision.unwrap().allowed);
    let cancel = |requester: &str, key| {
        let record = pb::Cancellation {
            version: 1,
            cluster: "test".to_owned(),
            requester: requester.to_owned(),
            intent_id: id.as_bytes().to_vec().into(),
            reason: String::new(),
        };
        seal(PayloadType::Cancellation, record.encode_to_vec(), requester, key)
    };
    let foreign = pb::StopRequest { record: Some(cancel("security", &cluster.security)), intent: None };
    assert_eq!(cluster.client(0).stop(foreign).await.unwrap_err().code(), tonic::Code::PermissionDenied);
    let own = pb::StopRequest { record: Some(cancel("backend", &cluster.backend)), intent: None };
    assert!(!cluster.client(0).stop(own).await.unwrap().into_inner().possibly_signed);
    assert_eq!(code(&cluster, &intent, &[1, 2]).await, "stopped");
    // the record is passed on to the other signers, who had not seen the intent
    let stopped = || cluster.node(1).shared().store.view().unwrap().stop(&id, "backend").unwrap().is_some();
    crate::cluster::eventually("the stop record at signer 2", stopped).await;
    // a coordinator that has lost its disk is shown the record itself
    let page =
        cluster.client(0).list_intents(pb::ListIntentsRequest { after_sequence: 0, page_size: 10 }).await.unwrap();
    let listed = page.into_inner().intents.remove(0);
    assert!(listed.stopped && listed.stop == Some(cancel("backend", &cluster.backend)));
}

/// One signer hears a no, and the coordinator keeps it to itself: the others hear it from that signer.
#[tokio::test(flavor = "multi_thread")]
async fn undelivered_rejection() {
    let cluster = Cluster::start(3, 2).await;
    cluster.make_key("asked", FROST.0, FROST.1).await;
    let (id, intent) = message_intent(&cluster, "asked", "m-1", "hello");
    let shown = || pb::AnnounceRequest { intent: Some(intent.clone()), ..Default::default() };
    let mut slice = None;
    for index in 0..3 {
        let answer = cluster.client(index).announce(shown()).await.unwrap().into_inner();
        assert_eq!(answer.requirements[0].missing, "1 more of risk");
        slice = SliceHash::from_slice(&answer.decision.unwrap().slice_hash).ok();
    }
    let says = |verdict: Verdict, reason: &str| {
        let approval = Approval {
            cluster: ClusterId::new("test").unwrap(),
            intent_id: id,
            effects_digest: [0; 32],
            decoder_version: 1,
            slice: slice.unwrap(),
            freeze_epoch: FreezeEpoch::NONE,
            person: PersonId::new("anna").unwrap(),
            credential: CredentialId::new("anna-terminal").unwrap(),
            preceding: None,
            expires_at_secs: u64::MAX,
            verdict,
            reason: reason.to_owned(),
            nonce: [1; 32],
        };
        let proof = Proof::Signature(person_key().sign(approval.digest().as_bytes()));
        pb::StopRequest { record: Some(SignedApproval { approval, proof }.to_envelope()), intent: None }
    };
    let refused = cluster.client(0).stop(says(Verdict::Approve, "")).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "an approval is no stop record");
    cluster.client(0).stop(says(Verdict::Reject, "not this")).await.unwrap();
    let rejected = |index: usize| {
        let row = cluster.node(index).shared().store.view().unwrap().intent(&id).unwrap().unwrap().1;
        row.live.unwrap().rejected.is_some()
    };
    crate::cluster::eventually("the rejection at signers 2 and 3", || rejected(1) && rejected(2)).await;
    for index in 0..3 {
        let refused = cluster.client(index).announce(shown()).await.unwrap_err();
        assert!(refused.message().contains("anna rejected it: not this"), "{refused}");
    }
    assert_eq!(code(&cluster, &intent, &[1, 2]).await, "rejected");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_signer_is_named_and_the_others_go_on() {
    let mut cluster = frost_cluster().await;
    cluster.stop(1).await;
    crate::cluster::eventually("the loss", || !cluster.node(0).shared().mesh.connected(&NodeId::new("n2").unwrap()))
        .await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let answer = cluster.client(0).sign(sign_request(&intent, &[1, 2], session())).await.unwrap().into_inner();
    assert_eq!((refusal(&answer).code.as_str(), answer.suspects.as_slice()), ("too_few_signers", &[2][..]));
    let answers = cluster.sign(&intent, &[1, 3]).await;
    let first = signature(&answers[0]).clone();
    cluster.restart(1).await;
    let (_, next) = message_intent(&cluster, "words", "m-2", "hello again");
    let answers = cluster.sign(&next, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    assert_eq!(signature(&cluster.sign(&intent, &[1, 3]).await[0]), &first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_lost_in_the_middle_ends_the_session_with_its_name() {
    let mut cluster = frost_cluster().await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    // only signer 1 is asked: it waits for 2, which then goes away
    let mut client = cluster.client(0);
    let request = sign_request(&intent, &[1, 2], session());
    let waiting = tokio::spawn(async move { client.sign(request).await.unwrap().into_inner() });
    crate::cluster::eventually("the session", || cluster.node(0).shared().sessions.running() == 1).await;
    cluster.stop(1).await;
    let answer = waiting.await.unwrap();
    assert_eq!((refusal(&answer).code.as_str(), answer.suspects.as_slice()), ("session_aborted", &[2][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_a_session_is_dead_and_a_result_is_repeated() {
    let mut cluster = frost_cluster().await;
    let used = session();
    let (id, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let first = signature(&cluster.sign_in(&intent, &[1, 2], used.clone()).await[0]).clone();
    for index in 0..3 {
        cluster.stop(index).await;
    }
    for index in 0..3 {
        cluster.start_again(index, Arc::new(SystemClock)).await;
    }
    cluster.linked().await;
    let again = cluster.sign_in(&intent, &[1, 2], used.clone()).await;
    assert_eq!(signature(&again[0]), &first);
    let (_, other) = message_intent(&cluster, "words", "m-2", "other");
    let dead = cluster.sign_in(&other, &[1, 2], used).await;
    assert_eq!(refusal(&dead[0]).code, "session_dead");
    assert_eq!(refusal(&dead[1]).code, "session_dead");
    // a wiped coordinator finds everything again
    let page = cluster.client(0).list_intents(pb::ListIntentsRequest::default()).await.unwrap().into_inner();
    let record = page.intents.iter().find(|record| record.intent_id == id.as_bytes()[..]).unwrap();
    assert_eq!(record.result.as_ref(), Some(&first));
    assert!(record.allowed && !record.stopped && !page.more);
    assert_eq!(record.intent.as_ref(), Some(&intent));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_an_intent_are_counted_and_time_out() {
    let cluster = Cluster::start_with(3, 2, "sign_timeout_ms = 50").await;
    cluster.make_key("words", FROST.0, FROST.1).await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    // signer 1 alone: every session times out, the ninth is one too many
    for _ in 0..8 {
        let answer = cluster.client(0).sign(sign_request(&intent, &[1, 2], session())).await.unwrap().into_inner();
        assert_eq!((refusal(&answer).code.as_str(), answer.suspects.as_slice()), ("session_timeout", &[2][..]));
    }
    assert_eq!(code(&cluster, &intent, &[1, 2]).await, "too_many_sessions");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_pair_stays_banned_over_restarts() {
    let mut cluster = frost_cluster().await;
    let peer = NodeId::new("n2").unwrap();
    let banned = peer.clone();
    let ban = limen_node::store::rows::BanRow {
        at_ms: 1,
        session: [1; 32],
        reason: "test".to_owned(),
        tainted: BTreeMap::new(),
    };
    cluster.node(0).shared().store.write(move |txn| txn.put_ban(&banned, &ban)).await.unwrap();
    cluster.stop(0).await;
    cluster.restart(0).await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    assert_eq!(code(&cluster, &intent, &[1, 2]).await, "peer_banned");
    let status = cluster.client(0).status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.banned_peers, ["n2"]);
    let answers = cluster.sign(&intent, &[1, 3]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
}

#[derive(Debug)]
struct LaterClock(u64);

impl Clock for LaterClock {
    fn now(&self) -> Millis {
        Millis(SystemClock.now().0 + self.0)
    }
    fn monotonic(&self) -> std::time::Duration {
        SystemClock.monotonic()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_request_still_answers_and_still_holds_its_claims() {
    let mut cluster = frost_cluster().await;
    let (id, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let first = signature(&cluster.sign(&intent, &[1, 2]).await[0]).clone();
    cluster.stop(0).await;
    let year = 365 * 24 * 3600 * 1000;
    cluster.start_again(0, Arc::new(LaterClock(year))).await;
    cluster.linked().await;
    let shared = cluster.node(0).shared();
    limen_node::upkeep::compact(shared, std::time::Duration::from_secs(24 * 3600)).await.unwrap();
    let row = shared.store.view().unwrap().intent(&id).unwrap().unwrap().1;
    assert!(row.live.is_none(), "a tombstone");
    let answer = cluster.client(0).sign(sign_request(&intent, &[1, 2], session())).await.unwrap().into_inner();
    assert_eq!(signature(&answer).signature, first.signature);
    let mut raw = raw_message("words", "m-1", "other bytes, same name");
    raw.expires_at_secs += year / 1000;
    let (_, other) = seal_intent(&raw, &cluster.backend).unwrap();
    assert_eq!(code(&cluster, &other, &[1, 2]).await, "idempotency_conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_orders_are_judged_and_a_name_is_used_once() {
    let cluster = frost_cluster().await;
    let generate = async |order: pb::Envelope| {
        let request = pb::GenerateKeyRequest {
            order: Some(order),
            session_id: session().into(),
            timeout_ms: 100,
            ..Default::default()
        };
        cluster.client(0).generate_key(request).await.unwrap().into_inner()
    };
    let code = |answer: pb::GenerateKeyResponse| answer.refusal.unwrap().code;
    let stranger = requester_key(9);
    let order = |change: &dyn Fn(&mut pb::KeyGeneration), signer: &str, key| {
        let envelope = cluster.order("fresh", FROST.0, FROST.1);
        let mut raw = pb::KeyGeneration::decode(envelope.payload).unwrap();
        change(&mut raw);
        seal(PayloadType::KeyGeneration, raw.encode_to_vec(), signer, key)
    };
    let same = |change: &dyn Fn(&mut pb::KeyGeneration)| order(change, "security", &cluster.security);
    assert_eq!(code(generate(same(&|o| o.cluster = "other".to_owned())).await), "wrong_cluster");
    assert_eq!(code(generate(same(&|o| o.nodes.reverse())).await), "bad_signer_set");
    assert_eq!(code(generate(same(&|o| o.nodes = vec!["n2".to_owned(), "n3".to_owned()])).await), "bad_signer_set");
    assert_eq!(code(generate(same(&|o| o.expires_at_secs = 1)).await), "expired");
    let taken = same(&|o| {
        o.key_id = "words".to_owned();
        o.expires_at_secs -= 300;
    });
    assert_eq!(code(generate(taken).await), "key_exists");
    let by_backend = order(&|o| o.requester = "backend".to_owned(), "backend", &cluster.backend);
    assert_eq!(code(generate(by_backend).await), "not_permitted");
    let forged = order(&|_| {}, "security", &stranger);
    assert_eq!(code(generate(forged).await), "bad_signature");
    // alone it times out; the name is then free for another session of the same order, not for another order
    assert_eq!(code(generate(cluster.order("fresh", FROST.0, FROST.1)).await), "session_timeout");
    assert_eq!(code(generate(same(&|o| o.signers_required = 3)).await), "key_exists");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_stored_but_not_yet_stated_is_stated_after_a_restart() {
    let mut cluster = frost_cluster().await;
    let key = limen_wire::ids::KeyId::new("words").unwrap();
    let (name, shared) = (key.clone(), cluster.node(0).shared().clone());
    // as a crash between storing and stating leaves it
    let cut = shared.store.write(move |txn| {
        let mut row = txn.key(&name)?.unwrap();
        row.phase = limen_node::store::rows::KeyPhase::Pending;
        row.certificate = Vec::new();
        row.share.as_mut().unwrap().statement = Vec::new();
        txn.put_key(&name, &row)
    });
    cut.await.unwrap();
    drop(shared);
    cluster.stop(0).await;
    cluster.restart(0).await;
    let shares = cluster.client(0).list_key_shares(pb::ListKeySharesRequest {}).await.unwrap().into_inner().shares;
    assert!(shares[0].statement.is_some());
    // the certificate comes back from the peers, who pass it on with every new link
    let active = || cluster.node(0).shared().key(&key).is_some_and(|facts| facts.active);
    crate::cluster::eventually("activation by a peer's certificate", active).await;
    let (_, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let answers = cluster.sign(&intent, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_names_every_decision_before_its_result() {
    use limen_node::store::journal::Event;
    let cluster = frost_cluster().await;
    let (id, intent) = message_intent(&cluster, "words", "m-1", "hello");
    let used = session();
    signature(&cluster.sign_in(&intent, &[1, 2], used.clone()).await[0]);
    let shared = cluster.node(0).shared();
    // one more write brings the result to disk, which nobody waits for
    shared.store.write(|_| Ok(())).await.unwrap();
    let view = shared.store.view().unwrap();
    let events: Vec<Event> = view.records().unwrap().into_iter().map(|record| record.event).collect();
    let allowed = events.iter().position(|event| match event {
        Event::Allowed(allowed) => {
            allowed.intent == *id.as_bytes()
                && SessionId::from_slice(&used).unwrap() == SessionId::new(allowed.session)
                && allowed.signers == [1, 2]
                && allowed.charter == *shared.charter().hash().as_bytes()
        }
        _ => false,
    });
    let signed =
        events.iter().position(|event| matches!(event, Event::Signed { intent, .. } if intent == id.as_bytes()));
    assert!(allowed.unwrap() < signed.unwrap());
    assert_eq!(view.verify_journal().unwrap(), view.head().unwrap());
}
