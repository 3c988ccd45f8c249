//! Drift, 2026: approvals were collected over weeks, then the roster was changed and the delay set to nothing, and then
//! everything was executed at once. Here with real signers, their own time and versions of the charter.

use std::sync::Arc;

use limen_node::clock::{Clock, SystemClock};
use limen_wire::ids::{Protocol, Scheme};
use limen_wire::intent::seal_intent;
use limen_wire::keys::SigningKey;
use limen_wire::pb;

use crate::charters::{HOUR_MS, TestClock, stands, take, version};
use crate::cluster::{Cluster, evm_transfer, person_key, refusal, requester_key, signature};
use crate::people::approves;

const DELAY: &str = "delay_secs = 7200";
/// Requests have to live longer than the delays here.
const LONG_LIVED: (&str, &str) = ("max_expiry_secs = 3600", "max_expiry_secs = 80000");

fn boris() -> SigningKey {
    requester_key(8)
}

fn more() -> String {
    let boris = boris().public_key();
    format!(
        "[[people]]\nid = \"boris\"\n[[people.credentials]]\nid = \"boris-terminal\"\nclass = \"terminal\"\n\
         public_key = \"{boris}\"\n[groups.treasury]\nmembers = [\"boris\"]\n\
         [[rules]]\nname = \"moving out\"\nrequire = \"transfer\"\napprovals = \"1 of treasury\"\n{DELAY}\n"
    )
}

fn payment(cluster: &Cluster, number: u64) -> pb::Envelope {
    let mut raw = evm_transfer("treasury", &format!("payment-{number}"), number, 1);
    raw.expires_at_secs = Clock::now(&SystemClock).as_secs() + 60_000;
    seal_intent(&raw, &cluster.backend).unwrap().1
}

/// The code with which every one of these signers refuses.
async fn refused(cluster: &Cluster, intent: &pb::Envelope, approvals: &[pb::Envelope]) -> String {
    let answers = cluster.sign_approved(intent, &[1, 2], approvals).await;
    let codes: Vec<_> = answers.iter().map(|answer| refusal(answer).code.clone()).collect();
    assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
    codes[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_2026_stockpiled_approvals_do_not_outlive_the_roster_and_the_delay() {
    let clock = Arc::new(TestClock::default());
    let cluster = Cluster::start_by_under(2, 2, Arc::clone(&clock) as Arc<dyn Clock>, more()).await;
    cluster.make_key("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    let longer = version(&cluster, &[cluster.charter_hash()], 2, &[LONG_LIVED]);
    take(&cluster, 0, &longer.envelope).await.unwrap();
    stands(&cluster, longer.hash, pb::CharterState::Waiting).await;
    clock.run_for(HOUR_MS);
    stands(&cluster, longer.hash, pb::CharterState::InForce).await;

    // A quorum that was won over signs a charter without the delay and with another approver. It waits out the delay that
    // it gives up, although the charter's own delay for versions is half of that.
    let looser = [LONG_LIVED, (DELAY, "delay_secs = 0"), ("members = [\"boris\"]", "members = [\"boris\", \"anna\"]")];
    let looser = version(&cluster, &[longer.hash], 3, &looser);
    let view = take(&cluster, 0, &looser.envelope).await.unwrap();
    assert_eq!((view.state(), view.remaining_ms), (pb::CharterState::Waiting, 2 * HOUR_MS));
    stands(&cluster, looser.hash, pb::CharterState::Waiting).await;

    // Meanwhile approvals are collected, and every signer holds them.
    clock.run_for(HOUR_MS);
    cluster.linked().await;
    let payments: Vec<_> = (0..3).map(|number| payment(&cluster, number)).collect();
    let approvals: Vec<_> = payments.iter().map(|intent| approves(&cluster, intent, "boris", &boris())).collect();
    for (intent, approval) in payments.iter().zip(&approvals) {
        assert_eq!(refused(&cluster, intent, std::slice::from_ref(approval)).await, "time_locked");
    }
    clock.run_for(HOUR_MS - 1);
    cluster.linked().await;
    stands(&cluster, looser.hash, pb::CharterState::Waiting).await;
    assert_eq!(refused(&cluster, &payments[0], &approvals[..1]).await, "time_locked");

    // Now nothing has to wait any more, and the approvals are worth nothing: they were given under other rules.
    clock.run_for(1);
    stands(&cluster, looser.hash, pb::CharterState::InForce).await;
    cluster.linked().await;
    for (intent, approval) in payments.iter().zip(&approvals) {
        assert_eq!(refused(&cluster, intent, std::slice::from_ref(approval)).await, "approvals_missing");
        assert_eq!(refused(&cluster, intent, &[]).await, "approvals_missing");
    }

    // Who approves under the rules as they are now is heard, which shows that nothing else was in the way.
    let anna = approves(&cluster, &payments[0], "anna", &person_key());
    for answer in cluster.sign_approved(&payments[0], &[1, 2], &[anna]).await {
        signature(&answer);
    }
}
