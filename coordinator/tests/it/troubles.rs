//! Signers that are away, hang, refuse, disagree, restart or lie.

use std::sync::atomic::Ordering;

use limen_coordinator::config::{Limits, Presign};
use limen_coordinator::intake;
use limen_coordinator::lifecycle::State;
use limen_coordinator::run;
use limen_wire::error::Code;
use limen_wire::ids::{Protocol, Scheme};
use limen_wire::pb;

use crate::disk::Disk;
use crate::fake::Mode;
use crate::world::{World, seal_intent, until};

#[tokio::test]
async fn one_signer_of_three_may_be_in_any_trouble() {
    for mode in [
        Mode::Down,
        Mode::Silent,
        Mode::Frozen,
        Mode::Denies,
        Mode::Lies,
        Mode::Refuses(Code::SessionAborted),
        Mode::Refuses(Code::Internal),
        Mode::Refuses(Code::Overloaded),
        Mode::Refuses(Code::PolicyDenied),
    ] {
        let world = World::new(3);
        let (_disk, running) = world.with_key().await;
        world.signers[0].set(mode.clone());
        let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
        let record = running.until(&entry.record.id, |record| record.state.is_end()).await;
        assert_eq!(record.state, State::Signed, "{mode:?}: {:?}", record.error);
        assert!(record.result.is_some());
    }
}

#[tokio::test]
async fn too_few_signers_are_told_by_code_and_the_request_goes_on_when_one_returns() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    world.signers[0].set(Mode::Down);
    world.signers[2].set(Mode::Frozen);
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let id = entry.record.id;
    let stuck = |record: &limen_coordinator::lifecycle::Record| {
        record.error.as_ref().is_some_and(|error| error.code == Code::TooFewSigners)
    };
    let record = running.until(&id, stuck).await;
    assert_eq!(record.state, State::Signing);
    let message = record.error.unwrap().message;
    assert!(message.contains("signer-1") && message.contains("connection refused"), "{message}");
    world.signers[0].set(Mode::Up);
    running.in_state(&id, State::Signed).await;
}

#[tokio::test]
async fn without_signers_a_request_expires_cleanly_if_nobody_was_asked() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    for signer in &world.signers {
        signer.set(Mode::Down);
    }
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.until(&entry.record.id, |record| record.state == State::Signing).await;
    world.advance(61);
    running.in_state(&entry.record.id, State::Expired).await;
}

#[tokio::test]
async fn a_request_that_somebody_may_have_signed_expires_as_possibly_signed() {
    let world = World::new(2);
    let (_disk, running) = world.with_key().await;
    // One allows and waits, the other never answers a session: nobody can know.
    let (entry, _) = {
        world.signers[1].set(Mode::Refuses(Code::SessionAborted));
        running.submit(&world.transfer("one")).await.unwrap()
    };
    running.until(&entry.record.id, |record| record.exposed).await;
    world.advance(61);
    let record = running.until(&entry.record.id, |record| record.state.is_end()).await;
    assert_eq!(record.state, State::PossiblySigned);
    assert_eq!(record.error.unwrap().code, Code::PossiblySigned);
}

#[tokio::test]
async fn failing_sessions_are_bounded_by_the_charter() {
    let world = World::new(2);
    let (_disk, running) = world.with_key().await;
    world.signers[1].set(Mode::Refuses(Code::SessionAborted));
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let record = running.until(&entry.record.id, |record| record.state.is_end()).await;
    assert_eq!(record.state, State::PossiblySigned);
    assert_eq!(record.sessions, 7, "six of the charter and one that only asks for what was made before");
}

#[tokio::test]
async fn members_that_all_refuse_deny_the_request_and_raise_the_alarm() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    for signer in &world.signers {
        signer.set(Mode::Denies);
    }
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let record = running.in_state(&entry.record.id, State::Denied).await;
    assert!(record.error.unwrap().message.contains("not here"));
    until("two alarms", || running.core.metrics.disagreements.get() >= 2).await;
}

#[tokio::test]
async fn a_signature_that_is_none_is_an_alarm_and_never_stored() {
    let world = World::new(2);
    let (_disk, running) = world.with_key().await;
    for signer in &world.signers {
        signer.set(Mode::Lies);
    }
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.until(&entry.record.id, |record| record.exposed).await;
    assert!(running.core.metrics.bad_signatures.get() >= 1);
    for signer in &world.signers {
        signer.set(Mode::Up);
    }
    running.in_state(&entry.record.id, State::Signed).await;
}

#[tokio::test]
async fn banned_pairs_never_sit_together() {
    let world = World::new(3);
    world.signers[0].bans.lock().unwrap().push("signer-2".to_owned());
    let (_disk, running) = world.with_key().await;
    for number in 0..20 {
        let (entry, _) = running.submit(&world.transfer(&format!("n{number}"))).await.unwrap();
        let record = running.in_state(&entry.record.id, State::Signed).await;
        let signers = record.result.unwrap().signers;
        assert_ne!(signers, [1, 2]);
    }
}

#[tokio::test]
async fn cancelling_stops_a_request_that_waits_and_nobody_elses() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    world.signers[0].set(Mode::Down);
    world.signers[1].set(Mode::Down);
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let id = entry.record.id;
    running.until(&id, |record| record.state == State::Signing).await;
    let error = intake::cancel(&running.core, world.cancellation(&id, "other")).await.unwrap_err();
    assert_eq!(error.code, Code::UnknownRequest);
    let ended = intake::cancel(&running.core, world.cancellation(&id, "backend")).await.unwrap();
    assert_eq!(ended.record.state, State::Cancelled);
    let again = intake::cancel(&running.core, world.cancellation(&id, "backend")).await.unwrap();
    assert_eq!(again.record.state, State::Cancelled);
    assert!(world.signers[2].memory.lock().unwrap().intents[0].stopped);
    assert_eq!(world.intents_signed(), 0);
}

#[tokio::test]
async fn a_signed_request_cannot_be_cancelled() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.in_state(&entry.record.id, State::Signed).await;
    let error = intake::cancel(&running.core, world.cancellation(&entry.record.id, "backend")).await.unwrap_err();
    assert_eq!(error.code, Code::WrongState);
}

#[tokio::test]
async fn more_open_requests_than_allowed_are_refused() {
    let world = World::new(3);
    let (disk, running) = world.with_key().await;
    let disk = running.stop(&disk).await;
    let limits = Limits { max_open_requests: 3, ..Limits::default() };
    let running = world.core(&disk, Vec::new(), limits);
    run::start(&running.core).await.unwrap();
    for signer in &world.signers {
        signer.set(Mode::Down);
    }
    for number in 0..3 {
        running.submit(&world.transfer(&format!("n{number}"))).await.unwrap();
    }
    assert_eq!(running.submit(&world.transfer("n3")).await.unwrap_err().code, Code::Overloaded);
    assert!(running.submit(&world.transfer("n0")).await.unwrap().1, "known ones are still answered");
}

#[tokio::test]
async fn shared_nonces_are_given_out_once_and_a_restarted_signer_costs_one_retry() {
    let world = World::new(2);
    let disk = Disk::default();
    let running = world.start(&disk).await;
    running.create(&world.order("greeter", Scheme::EddsaEd25519, Protocol::Frost)).await.unwrap();
    running.key_in_state("greeter", pb::KeyState::Active).await;
    for signer in &world.signers {
        *signer.pool_end.lock().unwrap() = 1000;
    }
    let used = |world: &World| world.signers[0].memory.lock().unwrap().nonces.len();
    let message = |name: &str| seal_intent("greeter", name, "", pb::intent::Payload::Message(b"hi".to_vec().into()));
    // The pools are seen with the next status call; until then sessions take two rounds.
    let mut number = 0;
    while used(&world) < 20 {
        let (entry, _) = running.submit(&message(&format!("n{number}"))).await.unwrap();
        running.in_state(&entry.record.id, State::Signed).await;
        number += 1;
        assert!(number < 5000, "the pools are never used");
    }
    assert_eq!(world.signers[0].memory.lock().unwrap().refused_nonces, 0);
    world.signers[1].restart();
    let (entry, _) = running.submit(&message("after")).await.unwrap();
    let record = running.in_state(&entry.record.id, State::Signed).await;
    assert!(record.sessions <= 2);
}

#[tokio::test]
async fn who_says_again_and_again_that_something_is_gone_is_asked_last() {
    for code in [Code::NonceUnavailable, Code::EpochChanged] {
        let world = World::new(3);
        let (_disk, running) = world.with_key().await;
        world.signers[0].set(Mode::Refuses(code));
        for name in ["one", "two"] {
            let (entry, _) = running.submit(&world.transfer(name)).await.unwrap();
            let record = running.in_state(&entry.record.id, State::Signed).await;
            assert!(record.sessions <= 2, "{code:?}: {} sessions", record.sessions);
        }
        assert!(running.core.metrics.sessions_failed.get() <= 2, "{code:?}");
    }
}

#[tokio::test]
async fn presignatures_are_made_ahead_and_used() {
    let world = World::new(3);
    let disk = Disk::default();
    let wish = Presign { key_id: "treasury".parse().unwrap(), path: Vec::new(), target: 2 };
    let running = world.core(&disk, vec![wish], Limits::default());
    run::start(&running.core).await.unwrap();
    running.create(&world.order("treasury", Scheme::EcdsaSecp256k1, Protocol::Cggmp24)).await.unwrap();
    running.key_in_state("treasury", pb::KeyState::Active).await;
    let made = || world.signers.iter().map(|signer| signer.memory.lock().unwrap().presigned).sum::<u32>();
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(2));
    let filled = async {
        while made() < 4 {
            tick.tick().await;
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, filled).await.unwrap();
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.in_state(&entry.record.id, State::Signed).await;
}

#[tokio::test]
async fn the_clock_of_the_machine_may_jump_back() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    world.now_ms.fetch_sub(1_000_000, Ordering::SeqCst);
    let mut intent = crate::world::intent(
        "treasury",
        "one",
        crate::world::CHAIN,
        pb::intent::Payload::EvmMessage(b"hi".to_vec().into()),
    );
    intent.expires_at_secs = crate::world::START_SECS - 900;
    let (entry, _) = running.submit(&crate::world::seal_as(&intent)).await.unwrap();
    running.in_state(&entry.record.id, State::Signed).await;
}
