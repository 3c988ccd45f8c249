//! From submission to signature, and the answers that callers get on the way.

use limen_coordinator::intake;
use limen_coordinator::lifecycle::State;
use limen_wire::error::Code;
use limen_wire::ids::{Protocol, Scheme};
use limen_wire::pb;

use crate::world::{CHAIN, START_SECS, World, intent, seal_as, seal_intent, until};

#[tokio::test]
async fn a_transfer_is_signed_and_attached() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let (entry, repeated) = running.submit(&world.transfer("one")).await.unwrap();
    assert!(!repeated);
    assert_eq!(entry.record.state, State::Evaluated);
    assert_eq!(entry.record.effects[0].text.split(" from ").next(), Some("1 ETH"));
    let signed = running.in_state(&entry.record.id, State::Signed).await;
    let result = signed.result.unwrap();
    assert_eq!(result.signature.len(), 64);
    assert_eq!(result.transaction_hash.len(), 32);
    assert_eq!(result.signed_transaction[0], 2, "an EIP-1559 transaction");
    assert_eq!(result.signers.len(), 2);
    assert_eq!(world.intents_signed(), 1);
}

#[tokio::test]
async fn every_member_hears_of_the_request_and_every_opinion_is_kept() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.in_state(&entry.record.id, State::Signed).await;
    let record = running.until(&entry.record.id, |record| record.opinions.len() == 3).await;
    assert!(record.opinions.values().all(|opinion| opinion.decision.allowed));
}

#[tokio::test]
async fn messages_are_signed_by_ecdsa_and_ed25519_keys() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    running.create(&world.order("greeter", Scheme::EddsaEd25519, Protocol::Frost)).await.unwrap();
    running.key_in_state("greeter", pb::KeyState::Active).await;
    let text = || bytes::Bytes::from_static(b"good morning");
    let evm = seal_intent("treasury", "evm", CHAIN, pb::intent::Payload::EvmMessage(text()));
    let plain = seal_intent("greeter", "plain", "", pb::intent::Payload::Message(text()));
    for envelope in [evm, plain] {
        let (entry, _) = running.submit(&envelope).await.unwrap();
        let signed = running.in_state(&entry.record.id, State::Signed).await;
        assert!(signed.result.unwrap().signed_transaction.is_empty());
    }
}

#[tokio::test]
async fn the_same_bytes_give_the_same_request_for_ever() {
    let world = World::new(3);
    let (disk, running) = world.with_key().await;
    let envelope = world.transfer("one");
    let (first, _) = running.submit(&envelope).await.unwrap();
    running.in_state(&first.record.id, State::Signed).await;
    let (again, repeated) = running.submit(&envelope).await.unwrap();
    assert!(repeated);
    assert_eq!(again.record.state, State::Signed);
    world.advance(10_000);
    let disk = running.stop(&disk).await;
    let running = world.start(&disk).await;
    let (later, repeated) = running.submit(&envelope).await.unwrap();
    assert!(repeated, "also after the expiry and a restart");
    assert_eq!(later.record.result, again.record.result);
    assert_eq!(world.intents_signed(), 1);
}

#[tokio::test]
async fn other_bytes_under_the_same_name_are_refused_and_told_apart() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    running.submit(&world.transfer("one")).await.unwrap();
    let error = running.submit(&world.transfer_of("one", 2)).await.unwrap_err();
    assert_eq!(error.code, Code::IdempotencyConflict);
    assert!(error.message.contains("payload") && !error.message.contains("note"), "{error}");
    let mut other = intent("treasury", "one", CHAIN, pb::intent::Payload::EvmMessage(b"hi".to_vec().into()));
    other.requester = "other".to_owned();
    running.submit(&seal_as(&other)).await.unwrap();
}

#[tokio::test]
async fn racing_submits_of_the_same_bytes_have_one_effect() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let envelope = world.transfer("one");
    let racers: Vec<_> = (0..40)
        .map(|_| {
            let (core, envelope) = (running.core.clone(), envelope.clone());
            tokio::spawn(async move { intake::submit(&core, envelope).await.unwrap() })
        })
        .collect();
    let mut fresh = 0;
    let mut id = None;
    for racer in racers {
        let (entry, repeated) = racer.await.unwrap();
        fresh += usize::from(!repeated);
        id = Some(entry.record.id);
    }
    assert_eq!(fresh, 1);
    let record = running.in_state(&id.unwrap(), State::Signed).await;
    assert_eq!(record.sessions, 1);
}

#[tokio::test]
async fn what_is_not_right_is_refused_by_its_code_and_leaves_no_trace() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let good = || intent("treasury", "bad", CHAIN, pb::intent::Payload::EvmMessage(b"hi".to_vec().into()));
    let with = |change: &dyn Fn(&mut pb::Intent)| {
        let mut intent = good();
        change(&mut intent);
        seal_as(&intent)
    };
    let mut damaged = world.transfer("bad");
    damaged.signatures[0].signature = vec![0; 64].into();
    let cases = [
        (with(&|intent| intent.cluster = "elsewhere".to_owned()), Code::WrongCluster),
        (with(&|intent| intent.requester = "nobody".to_owned()), Code::NotEnrolled),
        (with(&|intent| intent.requester = "officer".to_owned()), Code::NotPermitted),
        (damaged, Code::BadSignature),
        (with(&|intent| intent.key_id = "nokey".to_owned()), Code::UnknownKey),
        (with(&|intent| intent.expires_at_secs = START_SECS - 1), Code::Expired),
        (with(&|intent| intent.expires_at_secs = START_SECS + 1_000_000), Code::ExpiryTooFar),
        (with(&|intent| intent.path = vec![1 << 31]), Code::Malformed),
        (with(&|intent| intent.payload = Some(pb::intent::Payload::EvmTransaction(vec![1].into()))), Code::Undecodable),
        (pb::Envelope::default(), Code::Malformed),
    ];
    for (envelope, code) in cases {
        let error = running.submit(&envelope).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
    assert_eq!(running.core.store.counts().unwrap(), (0, 0));
}

#[tokio::test]
async fn what_the_rules_forbid_ends_denied_without_asking_anybody() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let (entry, _) = running.submit(&world.transfer_of("much", 11)).await.unwrap();
    assert_eq!(entry.record.state, State::Denied);
    let error = entry.record.error.unwrap();
    assert_eq!(error.code, Code::PolicyDenied);
    assert!(error.message.contains("covers at most"), "{error}");
    assert_eq!(world.signers[0].memory.lock().unwrap().announced, 0);
}

#[tokio::test]
async fn simulating_shows_every_view_and_stores_nothing() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    world.signers[1].set(crate::fake::Mode::Denies);
    let answer = intake::simulate(&running.core, world.transfer("try")).await.unwrap();
    assert!(answer.decision.unwrap().allowed);
    let views: Vec<bool> = answer.signer_decisions.iter().map(|view| view.decision.as_ref().unwrap().allowed).collect();
    assert_eq!(views, [true, false, true]);
    assert_eq!(running.core.store.counts().unwrap(), (0, 0));
}

#[tokio::test]
async fn a_request_is_found_by_both_its_names() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let id = entry.record.id;
    let names = [
        pb::get_request::Name::IntentId(id.as_bytes().to_vec().into()),
        pb::get_request::Name::Idempotency(pb::IdempotencyName {
            requester: "backend".to_owned(),
            idempotency_key: "one".to_owned(),
        }),
    ];
    for name in names {
        let found = intake::find(&running.core, pb::GetRequest { name: Some(name) }).unwrap();
        assert_eq!(found.record.id, id);
    }
    let unknown = pb::get_request::Name::IntentId(vec![0; 32].into());
    let error = intake::find(&running.core, pb::GetRequest { name: Some(unknown) }).unwrap_err();
    assert_eq!(error.code, Code::UnknownRequest);
}

#[tokio::test]
async fn two_hundred_requests_at_once_are_all_signed() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let mut ids = Vec::new();
    for number in 0..200 {
        ids.push(running.submit(&world.transfer(&format!("n{number}"))).await.unwrap().0.record.id);
    }
    for id in ids {
        running.in_state(&id, State::Signed).await;
    }
    assert_eq!(world.intents_signed(), 200);
    assert_eq!(running.core.store.counts().unwrap(), (0, 200));
}

/// Signers count what their rules deny for good where the charter says so, and only if they hear of it.
#[tokio::test]
async fn signers_that_count_denied_requests_are_told_of_them() {
    let hours = "[[rules]]\nname = \"never now\"\ndeny = \"message\"\n\
                 hours_except = { from = \"00:00\", until = \"00:01\", utc_offset = \"+00:00\" }\n";
    let world = World::freezing(hours);
    let (_disk, running) = world.with_key().await;
    let told = || world.signers.iter().map(|signer| signer.memory.lock().unwrap().announced).collect::<Vec<_>>();
    let before = told();
    let one_more: Vec<u64> = before.iter().map(|count| count + 1).collect();
    let (denied, _) = running.submit(&world.transfer_of("dear", 11)).await.unwrap();
    assert_eq!(denied.record.state, State::Denied);
    until("every signer was told", || told() == one_more).await;
    // The same again, and what another hour may allow, is nothing to count.
    running.submit(&world.transfer_of("dear", 11)).await.unwrap();
    let words = pb::intent::Payload::EvmMessage(b"good night".to_vec().into());
    let (late, _) = running.submit(&seal_intent("treasury", "late", CHAIN, words)).await.unwrap();
    assert_eq!(late.record.state, State::Denied);
    let (good, _) = running.submit(&world.transfer_of("good", 1)).await.unwrap();
    running.in_state(&good.record.id, State::Signed).await;
    let last: Vec<u64> = one_more.iter().map(|count| count + 1).collect();
    until("every signer was asked about the good one", || told() == last).await;
}

#[tokio::test]
async fn signers_that_count_nothing_hear_nothing_of_denied_requests() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let told = || world.signers.iter().map(|signer| signer.memory.lock().unwrap().announced).collect::<Vec<_>>();
    let after: Vec<u64> = told().iter().map(|count| count + 1).collect();
    let (denied, _) = running.submit(&world.transfer_of("dear", 11)).await.unwrap();
    assert_eq!(denied.record.state, State::Denied);
    let (good, _) = running.submit(&world.transfer_of("good", 1)).await.unwrap();
    running.in_state(&good.record.id, State::Signed).await;
    until("every signer was asked about the good one", || told() == after).await;
}
