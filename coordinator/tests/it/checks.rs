//! What external checkers find: taken in, kept, shown to every signer.

use limen_coordinator::intake;
use limen_coordinator::lifecycle::{Record, State};
use limen_wire::check::Check;
use limen_wire::error::Code;
use limen_wire::ids::{CharterHash, CheckerId, ClusterId, IntentId};
use limen_wire::pb;

use crate::approvals::{PEOPLE_ONLY, approved, waiting};
use crate::world::{CHECKER, START_SECS, World, identity, until};

pub(crate) fn found(world: &World, record: &Record, at_secs: u64) -> Check {
    Check {
        cluster: ClusterId::new("test").unwrap(),
        intent_id: record.id,
        charter: world.charter.hash(),
        checker: CheckerId::new("screening").unwrap(),
        checked_at_secs: at_secs,
        expires_at_secs: at_secs + 300,
        objection: None,
        balances: [].into(),
        prices: [].into(),
        sequences: [].into(),
    }
}

pub(crate) fn sealed(check: &Check) -> pb::Envelope {
    check.seal(&identity(CHECKER))
}

async fn shown(world: &World, expected: &[pb::Envelope]) {
    until("every signer is shown it", || {
        world.signers.iter().all(|signer| signer.memory.lock().unwrap().checks == expected)
    })
    .await;
}

#[tokio::test]
async fn the_newest_finding_of_a_checker_is_shown_to_every_signer() {
    let world = World::new(3);
    let (disk, running, record) = waiting(&world, PEOPLE_ONLY).await;
    let (old, new) = (sealed(&found(&world, &record, START_SECS - 10)), sealed(&found(&world, &record, START_SECS)));
    for envelope in [&old, &new, &old, &new] {
        intake::approve(&running.core, envelope.clone()).await.unwrap();
    }
    shown(&world, std::slice::from_ref(&new)).await;
    let disk = running.stop(&disk).await;
    let running = world.start(&disk).await;
    assert_eq!(running.record(&record.id).to_wire().external_checks, std::slice::from_ref(&new));
    approved(&world, &running, &record, &["anna", "ben"]).await;
    running.in_state(&record.id, State::Signed).await;
    shown(&world, std::slice::from_ref(&new)).await;
    // What is known is answered, what comes too late is not taken.
    assert!(intake::approve(&running.core, old).await.is_ok());
    let late = sealed(&found(&world, &record, START_SECS + 1));
    assert_eq!(intake::approve(&running.core, late).await.unwrap_err().code, Code::WrongState);
}

#[tokio::test]
async fn findings_that_count_for_nothing_are_refused_at_once() {
    let world = World::new(3);
    let (_disk, running, record) = waiting(&world, PEOPLE_ONLY).await;
    let good = || found(&world, &record, START_SECS);
    for (envelope, code) in [
        (sealed(&Check { cluster: ClusterId::new("other").unwrap(), ..good() }), Code::WrongCluster),
        (sealed(&Check { intent_id: IntentId::new([9; 32]), ..good() }), Code::UnknownRequest),
        (sealed(&Check { charter: CharterHash::new([9; 32]), ..good() }), Code::ApprovalLapsed),
        (sealed(&Check { checker: CheckerId::new("nobody").unwrap(), ..good() }), Code::NotEnrolled),
        (sealed(&found(&world, &record, START_SECS - 300)), Code::Expired),
        (sealed(&found(&world, &record, START_SECS + 31)), Code::ApprovalLapsed),
        (good().seal(&identity(CHECKER + 1)), Code::BadSignature),
        (pb::Envelope { payload: vec![1, 2, 3].into(), ..sealed(&good()) }, Code::Malformed),
    ] {
        assert_eq!(intake::approve(&running.core, envelope).await.unwrap_err().code, code);
    }
    assert!(running.record(&record.id).checks.is_empty());
    assert_eq!(running.core.metrics.approvals_refused.get(), 8);
}
