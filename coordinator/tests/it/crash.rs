//! The process dies before or after every durable write; what is left always ends right, once.

use limen_coordinator::intake;
use limen_coordinator::lifecycle::State;
use limen_wire::ids::{IntentId, Protocol, Scheme};
use limen_wire::intent::Intent;
use limen_wire::pb;

use crate::disk::{Disk, Moment};
use crate::fake::Mode;
use crate::world::{Running, World};

const BOTH: [Moment; 2] = [Moment::Before, Moment::After];

/// Waits for the crash, or for the scenario to be over without one; true if it crashed.
async fn played(disk: &Disk, scenario: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = disk.crashed.cancelled() => true,
        () = scenario => disk.crashed.is_cancelled(),
    }
}

async fn die(running: Running) {
    running.core.stop();
    drop(running);
    tokio::task::yield_now().await;
}

fn id_of(envelope: &pb::Envelope) -> IntentId {
    Intent::open(envelope).unwrap().0.id
}

#[tokio::test]
async fn signing_survives_a_crash_at_every_write() {
    for moment in BOTH {
        let mut crashes = 0;
        for flush in 1.. {
            let world = World::new(3);
            let (disk, running) = world.with_key().await;
            let envelope = world.transfer("one");
            let id = id_of(&envelope);
            disk.crash_in(flush, moment);
            let crashed = played(&disk, async {
                if running.submit(&envelope).await.is_ok() {
                    running.in_state(&id, State::Signed).await;
                }
            })
            .await;
            die(running).await;
            let disk = disk.after_crash();
            let running = world.start(&disk).await;
            // A client that got no answer asks again; one that did finds its request.
            running.submit(&envelope).await.unwrap();
            let record = running.in_state(&id, State::Signed).await;
            assert!(record.sessions <= 2, "{moment:?} flush {flush}: {} sessions", record.sessions);
            assert_eq!(world.intents_signed(), 1);
            assert_eq!(running.core.store.counts().unwrap(), (0, 1));
            if !crashed {
                break;
            }
            crashes += 1;
        }
        assert!(crashes >= 3, "{crashes} writes were cut: submitting, planning and signing are one each");
    }
}

#[tokio::test]
async fn cancelling_survives_a_crash_at_every_write() {
    for moment in BOTH {
        for flush in 1.. {
            let world = World::new(3);
            let (disk, running) = world.with_key().await;
            world.signers[0].set(Mode::Down);
            world.signers[1].set(Mode::Down);
            let envelope = world.transfer("one");
            let id = id_of(&envelope);
            running.submit(&envelope).await.unwrap();
            running.until(&id, |record| record.state == State::Signing).await;
            disk.crash_in(flush, moment);
            let stop = world.cancellation(&id, "backend");
            let crashed = played(&disk, async { drop(intake::cancel(&running.core, stop.clone()).await) }).await;
            die(running).await;
            let running = world.start(&disk.after_crash()).await;
            match intake::cancel(&running.core, stop).await {
                Ok(entry) => assert_eq!(entry.record.state, State::Cancelled),
                Err(error) => panic!("{moment:?} flush {flush}: {error}"),
            }
            assert_eq!(world.intents_signed(), 0);
            if !crashed {
                break;
            }
        }
    }
}

#[tokio::test]
async fn waiting_for_signers_survives_a_crash() {
    for moment in BOTH {
        for flush in 1..=3 {
            let world = World::new(3);
            let (disk, running) = world.with_key().await;
            world.signers[0].set(Mode::Down);
            world.signers[1].set(Mode::Down);
            let envelope = world.transfer("one");
            let id = id_of(&envelope);
            disk.crash_in(flush, moment);
            played(&disk, async {
                if running.submit(&envelope).await.is_ok() {
                    running.until(&id, |record| record.state == State::Signing).await;
                }
            })
            .await;
            die(running).await;
            let running = world.start(&disk.after_crash()).await;
            running.submit(&envelope).await.unwrap();
            running.until(&id, |record| record.error.is_some()).await;
            world.signers[0].set(Mode::Up);
            running.in_state(&id, State::Signed).await;
        }
    }
}

#[tokio::test]
async fn making_a_key_survives_a_crash_at_every_write() {
    for moment in BOTH {
        for flush in 1.. {
            let world = World::new(3);
            let disk = Disk::default();
            let running = world.start(&disk).await;
            let order = world.order("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23);
            disk.crash_in(flush, moment);
            let crashed = played(&disk, async {
                if running.create(&order).await.is_ok() {
                    running.key_until("treasury", |key| key.progress.contains("all 3")).await;
                }
            })
            .await;
            die(running).await;
            let running = world.start(&disk.after_crash()).await;
            running.create(&order).await.unwrap();
            running.key_until("treasury", |key| key.progress.contains("all 3")).await;
            let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
            running.in_state(&entry.record.id, State::Signed).await;
            if !crashed {
                break;
            }
        }
    }
}
