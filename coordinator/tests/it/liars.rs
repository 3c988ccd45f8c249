//! Signers that lie about what they remember: nothing of it gets into the books, and nobody waits for them.

use std::sync::atomic::Ordering;

use limen_coordinator::lifecycle::State;
use limen_wire::envelope::PayloadType;
use limen_wire::ids::{IntentId, Protocol, Scheme};
use limen_wire::intent::Intent;
use limen_wire::pb;

use crate::disk::Disk;
use crate::fake::{FakeSigner, Mode, seal};
use crate::world::{CHAIN, Running, START_SECS, World, identity, intent, seal_as, seal_intent, until};

fn id_of(envelope: &pb::Envelope) -> IntentId {
    Intent::open(envelope).unwrap().0.id
}

/// As an honest signer would remember it.
fn record(sequence: u64, envelope: &pb::Envelope) -> pb::IntentRecord {
    pb::IntentRecord {
        sequence,
        intent: Some(envelope.clone()),
        intent_id: id_of(envelope).as_bytes().to_vec().into(),
        first_seen_ms: START_SECS * 1000,
        ..Default::default()
    }
}

fn remember(signer: &FakeSigner, records: Vec<pb::IntentRecord>) {
    signer.memory.lock().unwrap().intents = records;
}

/// A cluster whose coordinator has a key and has lost its disk since.
async fn after_a_loss(signers: u8) -> World {
    let world = World::new(signers);
    let (disk, running) = world.with_key().await;
    drop(running.stop(&disk).await);
    world
}

#[tokio::test]
async fn a_stop_that_one_signer_remembers_outlives_the_coordinators_disk() {
    let world = after_a_loss(3).await;
    let [stopped, foreign, other] = ["stopped", "foreign", "other"].map(|name| world.transfer(name));
    let told = |sequence, envelope: &pb::Envelope, stop| pb::IntentRecord {
        stopped: true,
        stop: Some(stop),
        ..record(sequence, envelope)
    };
    let records = vec![
        told(1, &stopped, world.cancellation(&id_of(&stopped), "backend")),
        // a stranger's record, and one for another request: neither counts
        told(2, &foreign, world.cancellation(&id_of(&foreign), "other")),
        told(3, &other, world.cancellation(&id_of(&stopped), "backend")),
    ];
    remember(&world.signers[0], records);
    remember(&world.signers[1], vec![record(1, &stopped)]);
    remember(&world.signers[2], vec![record(1, &stopped)]);
    let running = world.start(&Disk::default()).await;
    running.in_state(&id_of(&stopped), State::Cancelled).await;
    let told_all = || world.signers.iter().all(|signer| signer.memory.lock().unwrap().intents[0].stopped);
    until("every signer has the stop record", told_all).await;
    assert!(running.core.store.request(&id_of(&foreign)).unwrap().unwrap().record.stop.is_none());
    assert!(running.core.store.request(&id_of(&other)).unwrap().unwrap().record.stop.is_none());
}

/// The value of one of the metrics that name a node.
fn counted(running: &Running, name: &str, node: &str) -> u64 {
    let text = running.core.metrics.text(&running.core);
    let start = format!("limen_coordinator_{name}_total{{node=\"{node}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&start)).map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn what_its_requester_has_not_signed_is_not_taken_over() {
    let world = after_a_loss(3).await;
    let words = |text: &str| pb::intent::Payload::EvmMessage(text.as_bytes().to_vec().into());
    let good = world.transfer("good");
    let mut unsigned = world.transfer("unsigned");
    unsigned.signatures[0].signature = vec![7; 64].into();
    let stranger =
        seal(PayloadType::Intent, &intent("treasury", "stranger", CHAIN, words("a")), "backend", &identity(101));
    let nobody = seal(PayloadType::Intent, &intent("treasury", "nobody", CHAIN, words("a")), "nobody", &identity(9));
    let mut abroad = intent("treasury", "abroad", CHAIN, words("b"));
    abroad.cluster = "other".to_owned();
    let abroad = seal_as(&abroad);
    let mut misnamed = record(5, &world.transfer("misnamed"));
    misnamed.intent_id = vec![9; 32].into();
    let mut short = record(6, &world.transfer("short"));
    short.intent_id = vec![9; 31].into();
    let bytes = pb::Envelope { payload: b"no intent at all".to_vec().into(), ..good.clone() };
    let unreadable =
        pb::IntentRecord { sequence: 7, intent: Some(bytes), intent_id: vec![8; 32].into(), ..Default::default() };
    let planted = [&unsigned, &stranger, &nobody, &abroad];
    let mut records: Vec<_> = (1..).zip(planted).map(|(sequence, envelope)| record(sequence, envelope)).collect();
    records.extend([misnamed, short, unreadable, record(8, &good)]);
    // A lie about what somebody else tells honestly does not keep it out.
    let mut spoiled = record(9, &world.transfer("told-by-two"));
    spoiled.intent.as_mut().unwrap().signatures[0].signature = vec![7; 64].into();
    records.push(spoiled);
    remember(&world.signers[0], records);
    remember(&world.signers[1], vec![record(1, &world.transfer("told-by-two"))]);
    let running = world.start(&Disk::default()).await;
    for envelope in planted {
        assert!(running.core.store.request(&id_of(envelope)).unwrap().is_none());
    }
    for name in ["good", "told-by-two"] {
        running.in_state(&id_of(&world.transfer(name)), State::Signed).await;
    }
    assert_eq!(running.core.store.counts().unwrap(), (0, 2));
    assert!([7, 8].contains(&counted(&running, "rebuild_records_dropped", "signer-1")), "the last may come second");
    assert_eq!(counted(&running, "rebuild_records_dropped", "signer-2"), 0);
    assert_eq!(counted(&running, "alarm_signers_given_up", "signer-1"), 0);
}

#[tokio::test]
async fn endless_pages_keep_nobody_from_serving() {
    let world = after_a_loss(3).await;
    let good = world.transfer("good");
    remember(&world.signers[1], vec![record(1, &good)]);
    let again = record(0, &good);
    world.signers[0].spoil(move |request, _| {
        let next = |step| pb::IntentRecord { sequence: request.after_sequence + step, ..again.clone() };
        pb::ListIntentsResponse { intents: (1..=3).map(next).collect(), more: true }
    });
    let running = world.start(&Disk::default()).await;
    running.in_state(&id_of(&good), State::Signed).await;
    running.submit(&world.transfer("new")).await.unwrap();
    let read = || running.core.store.signers_read().unwrap();
    until("the others are read", || read().len() == 2).await;
    assert_eq!(read(), ["signer-2", "signer-3"]);
}

#[tokio::test]
async fn a_signer_whose_sequence_does_not_rise_is_read_no_further() {
    for falling in [vec![5, 4], vec![5, 5], vec![0]] {
        let world = after_a_loss(3).await;
        let envelopes = [world.transfer("a"), world.transfer("b")];
        let records: Vec<_> =
            falling.iter().zip(&envelopes).map(|(sequence, envelope)| record(*sequence, envelope)).collect();
        world.signers[0].spoil(move |_, _| pb::ListIntentsResponse { intents: records.clone(), more: true });
        let running = world.start(&Disk::default()).await;
        assert_eq!(counted(&running, "alarm_signers_given_up", "signer-1"), 1, "{falling:?}");
        assert_eq!(running.core.store.signers_read().unwrap(), ["signer-2", "signer-3"]);
        assert_eq!(world.signers[0].pages.load(Ordering::SeqCst), 2, "once before the loss, once after");
    }
}

#[tokio::test]
async fn pages_that_are_empty_or_too_long_end_the_reading() {
    for length in [0, limen_wire::limits::INTENT_PAGE as u64 + 1] {
        let world = after_a_loss(3).await;
        let envelope = world.transfer("a");
        world.signers[0].spoil(move |request, _| {
            let intents = (1..=length).map(|step| record(request.after_sequence + step, &envelope)).collect();
            pb::ListIntentsResponse { intents, more: true }
        });
        let running = world.start(&Disk::default()).await;
        assert_eq!(counted(&running, "alarm_signers_given_up", "signer-1"), 1, "{length}");
        assert!(running.core.store.request(&id_of(&world.transfer("a"))).unwrap().is_none());
    }
}

#[tokio::test]
async fn a_signer_that_shows_a_thousand_invalid_records_is_read_no_further() {
    let world = after_a_loss(3).await;
    let mut bad = record(0, &world.transfer("bad"));
    bad.intent.as_mut().unwrap().signatures[0].signature = vec![7; 64].into();
    world.signers[0].spoil(move |request, _| {
        let next = |step| pb::IntentRecord { sequence: request.after_sequence + step, ..bad.clone() };
        pb::ListIntentsResponse { intents: (1..=300).map(next).collect(), more: true }
    });
    let running = world.start(&Disk::default()).await;
    until("it is given up", || counted(&running, "alarm_signers_given_up", "signer-1") == 1).await;
    assert_eq!(counted(&running, "rebuild_records_dropped", "signer-1"), 1000);
    assert_eq!(world.signers[0].pages.load(Ordering::SeqCst), 1 + 4);
    assert_eq!(running.core.store.counts().unwrap(), (0, 0));
}

#[tokio::test]
async fn more_key_shares_than_can_be_end_the_reading() {
    let world = after_a_loss(3).await;
    for number in 0..limen_wire::limits::KEY_SHARES {
        world.signers[0].memory.lock().unwrap().keys.insert(format!("k{number}"), pb::KeyShareRecord::default());
    }
    let running = world.start(&Disk::default()).await;
    assert_eq!(counted(&running, "alarm_signers_given_up", "signer-1"), 1);
    running.key_in_state("treasury", pb::KeyState::Active).await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.in_state(&entry.record.id, State::Signed).await;
}

#[tokio::test]
async fn a_signature_that_is_none_is_passed_over_for_one_that_verifies() {
    for honest in [true, false] {
        let world = after_a_loss(3).await;
        let envelope = world.transfer("one");
        let (intent, _) = Intent::open(&envelope).unwrap();
        let lie = pb::SignatureResult { signature: vec![1; 64].into(), ..Default::default() };
        let told = |result| vec![pb::IntentRecord { allowed: true, result, ..record(1, &envelope) }];
        remember(&world.signers[0], told(Some(lie)));
        let truth = world.shared.sign(&intent);
        remember(&world.signers[1], told(honest.then(|| truth.clone())));
        let running = world.start(&Disk::default()).await;
        // With nobody who knows better the request goes on and is signed for the first time.
        let signed = running.in_state(&intent.id, State::Signed).await;
        assert_eq!(signed.result.unwrap().signature, truth.signature);
        assert_eq!(signed.sessions, u32::from(!honest));
        until("the lie is counted", || running.core.metrics.bad_signatures.get() >= 1).await;
        assert_eq!(running.core.metrics.conflicts.get(), 0);
    }
}

#[tokio::test]
async fn two_signatures_for_one_request_are_an_alarm() {
    for late in [false, true] {
        let world = after_a_loss(3).await;
        let envelope = world.transfer("one");
        let (intent, _) = Intent::open(&envelope).unwrap();
        let told = |result| vec![pb::IntentRecord { allowed: true, result: Some(result), ..record(1, &envelope) }];
        let first = world.shared.sign(&intent);
        remember(&world.signers[0], told(first.clone()));
        remember(&world.signers[1], told(world.shared.sign_otherwise(&envelope)));
        remember(&world.signers[2], told(first.clone()));
        if late {
            world.signers[1].set(Mode::Down);
        }
        let running = world.start(&Disk::default()).await;
        running.in_state(&intent.id, State::Signed).await;
        assert!(!late || running.core.metrics.conflicts.get() == 0, "two that say the same are no alarm");
        world.signers[1].set(Mode::Up);
        until("the alarm", || running.core.metrics.conflicts.get() >= 1).await;
        assert_eq!(running.core.metrics.bad_signatures.get(), 0);
        assert_eq!(running.record(&intent.id).state, State::Signed);
    }
}

#[tokio::test]
async fn two_signed_intents_under_one_name_are_an_alarm() {
    let world = after_a_loss(3).await;
    let (one, other) = (world.transfer_of("name", 1), world.transfer_of("name", 2));
    remember(&world.signers[0], vec![record(1, &one)]);
    remember(&world.signers[1], vec![record(1, &other)]);
    let running = world.start(&Disk::default()).await;
    until("the alarm", || running.core.metrics.conflicts.get() == 1).await;
    let held = [&one, &other].map(|envelope| running.core.store.request(&id_of(envelope)).unwrap().is_some());
    assert_ne!(held[0], held[1], "one of them is in the books");
}

#[tokio::test]
async fn what_is_remembered_without_bytes_counts_as_soon_as_somebody_shows_them() {
    for bytes_first in [false, true] {
        let world = after_a_loss(3).await;
        let envelope = world.transfer("one");
        let (intent, _) = Intent::open(&envelope).unwrap();
        let signature = world.shared.sign(&intent);
        let dead =
            pb::IntentRecord { intent: None, allowed: true, result: Some(signature.clone()), ..record(1, &envelope) };
        let lie = pb::SignatureResult { signature: vec![1; 64].into(), ..Default::default() };
        remember(&world.signers[0], vec![dead.clone()]);
        remember(&world.signers[1], vec![record(1, &envelope)]);
        remember(&world.signers[2], vec![pb::IntentRecord { result: Some(lie), ..dead }]);
        world.advance(61);
        world.signers[usize::from(!bytes_first)].set(Mode::Down);
        let running = world.start(&Disk::default()).await;
        world.signers[usize::from(!bytes_first)].set(Mode::Up);
        until("it is known", || running.core.store.request(&intent.id).unwrap().is_some()).await;
        let record = running.until(&intent.id, |record| record.state == State::Signed).await;
        assert_eq!(record.result.unwrap().signature, signature.signature);
        assert_eq!(running.core.metrics.conflicts.get(), 0);
    }
}

#[tokio::test]
async fn an_end_that_claims_too_much_is_corrected_when_a_signer_comes_back() {
    let world = after_a_loss(3).await;
    let envelope = world.transfer("one");
    remember(&world.signers[0], vec![pb::IntentRecord { allowed: true, ..record(1, &envelope) }]);
    remember(&world.signers[1], vec![record(1, &envelope)]);
    world.signers[0].set(Mode::Down);
    world.advance(61);
    let running = world.start(&Disk::default()).await;
    let id = id_of(&envelope);
    running.in_state(&id, State::Expired).await;
    world.signers[0].set(Mode::Up);
    running.until(&id, |record| record.state == State::PossiblySigned).await;
    assert_eq!(running.core.store.counts().unwrap(), (0, 1));
}

#[tokio::test]
async fn reports_of_nonces_that_cannot_be_are_dropped_and_counted() {
    let world = World::new(2);
    let running = world.start(&Disk::default()).await;
    running.create(&world.order("greeter", Scheme::EddsaEd25519, Protocol::Frost)).await.unwrap();
    running.key_in_state("greeter", pb::KeyState::Active).await;
    let lie = |key_id: &str, boot: usize| pb::NoncePool {
        key_id: key_id.to_owned(),
        boot: vec![9; boot].into(),
        next_index: 0,
        end_index: 1000,
    };
    *world.signers[1].false_pools.lock().unwrap() = vec![lie("nobodys", 16), lie("greeter", 15)];
    until("it is counted", || counted(&running, "nonce_reports_refused", "signer-2") > 0).await;
    assert_eq!(counted(&running, "nonce_reports_refused", "signer-1"), 0);
    let message = pb::intent::Payload::Message(b"hi".to_vec().into());
    let (entry, _) = running.submit(&seal_intent("greeter", "one", "", message)).await.unwrap();
    running.in_state(&entry.record.id, State::Signed).await;
    assert_eq!(world.signers[1].memory.lock().unwrap().refused_nonces, 0);
}
