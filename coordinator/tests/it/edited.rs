//! Requests that were edited on the coordinator's disk, and signers that call honest ones so.

use limen_coordinator::lifecycle::State;
use limen_coordinator::store::Store;
use limen_wire::error::Code;
use limen_wire::ids::{ClusterId, IntentId};
use limen_wire::pb;

use crate::disk::Disk;
use crate::fake::Mode;
use crate::world::{Running, World, until};

/// A stored request that too few signers have heard of, and the disk of the coordinator that stopped.
async fn stored(world: &World, name: &str) -> (Disk, IntentId) {
    let (disk, running) = world.with_key().await;
    world.signers.iter().for_each(|signer| signer.set(Mode::Down));
    let (entry, _) = running.submit(&world.transfer(name)).await.unwrap();
    let id = entry.record.id;
    running.until(&id, |record| record.error.is_some()).await;
    (running.stop(&disk).await, id)
}

/// The same disk with other bytes under the request's name.
async fn edit(disk: &Disk, id: &IntentId, envelope: pb::Envelope) -> Disk {
    let store = Store::open_backend(disk.clone(), &ClusterId::new("test").unwrap()).unwrap();
    let mut record = store.request(id).unwrap().unwrap().record;
    record.envelope = envelope;
    store.update(record).await.unwrap();
    drop(store);
    disk.after_crash()
}

/// The same words, signed by nobody.
fn forged(world: &World, name: &str) -> pb::Envelope {
    let mut envelope = world.transfer(name);
    let [signature] = envelope.signatures.as_mut_slice() else { panic!("it has one signature") };
    signature.signature = vec![7; 64].into();
    envelope
}

async fn restarted(world: &World, disk: &Disk, modes: [Mode; 3]) -> Running {
    let running = world.start(disk).await;
    until("the alarm", || running.core.metrics.altered.get() == 1).await;
    world.signers.iter().zip(modes).for_each(|(signer, mode)| signer.set(mode));
    running
}

#[tokio::test]
async fn what_its_requester_has_not_signed_ends_when_signers_say_so() {
    let world = World::new(3);
    let (disk, id) = stored(&world, "one").await;
    let disk = edit(&disk, &id, forged(&world, "one")).await;
    let running = restarted(&world, &disk, [Mode::Up, Mode::Up, Mode::Down]).await;
    let error = running.in_state(&id, State::Failed).await.error.unwrap();
    assert_eq!(error.code, Code::BadSignature);
    assert!(error.message.starts_with("2 signers refuse its bytes as not its requester's: signer-1: "), "{error}");
    assert_eq!((world.intents_signed(), running.core.metrics.disagreements.get()), (0, 0));
}

#[tokio::test]
async fn what_signers_said_of_other_bytes_is_forgotten() {
    let world = World::new(3);
    *world.shared.asks.lock().unwrap() = Some(crate::fake::Asks { people: 1, delay_ms: 0 });
    let (disk, running) = world.with_key().await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let id = entry.record.id;
    running.until(&id, |record| record.state == State::AwaitingApproval && record.opinions.len() == 3).await;
    let disk = edit(&running.stop(&disk).await, &id, forged(&world, "one")).await;
    let running = restarted(&world, &disk, [Mode::Up, Mode::Up, Mode::Up]).await;
    let ended = running.in_state(&id, State::Failed).await;
    assert_eq!((ended.error.unwrap().code, ended.sessions), (Code::BadSignature, 0));
}

#[tokio::test]
async fn bytes_of_another_request_or_of_none_end_at_once() {
    for other in [true, false] {
        let world = World::new(3);
        let (disk, id) = stored(&world, "one").await;
        let nothing = pb::Envelope { payload: b"nothing".to_vec().into(), ..world.transfer("one") };
        let disk = edit(&disk, &id, if other { world.transfer("two") } else { nothing }).await;
        let running = restarted(&world, &disk, [Mode::Down, Mode::Down, Mode::Down]).await;
        let error = running.in_state(&id, State::Failed).await.error.unwrap();
        assert_eq!(error.code, Code::Malformed);
        let why = if other { "the stored bytes are those of intent" } else { "the stored bytes are no intent" };
        assert!(error.message.starts_with(why), "{error}");
    }
}

#[tokio::test]
async fn a_single_signer_that_disowns_an_honest_request_does_not_end_it() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    world.signers[0].set(Mode::Disowns);
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let signed = running.in_state(&entry.record.id, State::Signed).await;
    assert_eq!(signed.result.unwrap().signers, [2, 3]);
    until("the alarm that names the liar", || running.core.metrics.disagreements.get() == 1).await;
    assert_eq!(running.core.metrics.altered.get(), 0);
}

/// A new version may have changed the requester's key: signers that are late with it say for some seconds that the request is
/// not signed so.
#[tokio::test]
async fn signers_that_learn_of_a_new_key_late_do_not_end_its_request() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    world.signers.iter().take(2).for_each(|signer| signer.set(Mode::Disowns));
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let held_up = running.until(&entry.record.id, |record| record.error.is_some()).await;
    assert_eq!((held_up.state, held_up.error.unwrap().code), (State::Signing, Code::TooFewSigners));
    world.signers[0].set(Mode::Up);
    let signed = running.in_state(&entry.record.id, State::Signed).await;
    assert_eq!(signed.result.unwrap().signers, [1, 3]);
    assert_eq!(running.core.metrics.disagreements.get(), 2, "once of each, however often they are asked");
}
