//! The disk is gone: what the signers remember is enough.

use limen_coordinator::lifecycle::State;
use limen_wire::pb;

use crate::disk::Disk;
use crate::fake::Mode;
use crate::world::World;

#[tokio::test]
async fn signed_requests_and_keys_come_back() {
    let world = World::new(3);
    let (disk, running) = world.with_key().await;
    let mut before = Vec::new();
    for number in 0..7 {
        let (entry, _) = running.submit(&world.transfer(&format!("n{number}"))).await.unwrap();
        before.push(running.in_state(&entry.record.id, State::Signed).await);
    }
    running.stop(&disk).await;
    let running = world.start(&Disk::default()).await;
    running.key_in_state("treasury", pb::KeyState::Active).await;
    for old in before {
        let new = running.record(&old.id);
        assert_eq!(new.state, State::Signed);
        assert_eq!(new.result.unwrap().signed_transaction, old.result.unwrap().signed_transaction);
        let (again, repeated) = running.submit(&old.envelope).await.unwrap();
        assert!(repeated);
        assert_eq!(again.record.state, State::Signed);
    }
    assert_eq!(world.intents_signed(), 7);
}

#[tokio::test]
async fn a_request_that_nobody_finished_goes_on() {
    let world = World::new(3);
    let (disk, running) = world.with_key().await;
    world.signers[0].set(Mode::Down);
    world.signers[1].set(Mode::Down);
    let envelope = world.transfer("one");
    let (entry, _) = running.submit(&envelope).await.unwrap();
    running.until(&entry.record.id, |record| record.state == State::Signing).await;
    running.stop(&disk).await;
    world.signers[0].set(Mode::Up);
    let running = world.start(&Disk::default()).await;
    assert!(running.submit(&envelope).await.unwrap().1, "it is known again");
    running.in_state(&entry.record.id, State::Signed).await;
    assert_eq!(world.intents_signed(), 1);
}

#[tokio::test]
async fn a_request_that_may_be_signed_never_claims_otherwise() {
    let world = World::new(2);
    let (disk, running) = world.with_key().await;
    world.signers[1].set(Mode::Refuses(limen_wire::error::Code::SessionAborted));
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.until(&entry.record.id, |record| record.exposed).await;
    running.stop(&disk).await;
    world.advance(61);
    let running = world.start(&Disk::default()).await;
    let record = running.until(&entry.record.id, |record| record.state.is_end()).await;
    assert_eq!(record.state, State::PossiblySigned);
}

#[tokio::test]
async fn a_signer_that_was_away_is_read_when_it_returns() {
    let world = World::new(3);
    let (disk, running) = world.with_key().await;
    world.signers[2].set(Mode::Down);
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.in_state(&entry.record.id, State::Signed).await;
    running.stop(&disk).await;
    // Only the one that knows nothing of the request answers at first.
    world.signers[2].set(Mode::Up);
    world.signers[0].set(Mode::Down);
    world.signers[1].set(Mode::Down);
    let running = world.start(&Disk::default()).await;
    assert!(running.core.store.request(&entry.record.id).unwrap().is_none());
    world.signers[0].set(Mode::Up);
    let found = async {
        let mut changes = running.core.store.subscribe();
        while running.core.store.request(&entry.record.id).unwrap().is_none() {
            drop(changes.recv().await);
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, found).await.unwrap();
    assert_eq!(running.record(&entry.record.id).state, State::Signed);
}

#[tokio::test]
async fn a_key_whose_making_was_cut_short_is_finished_from_the_statements() {
    let world = World::new(3);
    let (disk, running) = world.with_key().await;
    running.stop(&disk).await;
    for signer in &world.signers {
        let mut memory = signer.memory.lock().unwrap();
        let share = memory.keys.get_mut("treasury").unwrap();
        share.certificate = None;
        share.state = pb::KeyState::PreActive.into();
    }
    let running = world.start(&Disk::default()).await;
    running.key_in_state("treasury", pb::KeyState::Active).await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.in_state(&entry.record.id, State::Signed).await;
}
