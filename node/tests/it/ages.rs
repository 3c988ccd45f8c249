//! Rules about ages at real signers: an entry or a credential counts once it has been in force for so long, by the running
//! time of the signer that is asked.

use std::sync::Arc;

use limen_node::clock::Clock;
use limen_wire::error::Code;
use limen_wire::ids::{Protocol, Scheme};
use limen_wire::pb;

use crate::charters::{HOUR_MS, TestClock, allowed, stands, take, version};
use crate::cluster::{Cluster, message_intent, person_key, refusal, signature};
use crate::people::approves;

const MINUTE_MS: u64 = 60_000;
const VENUE: &str = "tags = [\"venue\"]";

/// Fifteen coins are more than the charter's other rule allows.
async fn large(cluster: &Cluster, name: &str) -> Vec<Result<bool, Code>> {
    allowed(cluster, 15, name).await
}

fn book() -> String {
    format!(
        "[[address_book]]\nid = \"exchange\"\nchain = \"eip155:31337\"\n\
         address = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"\n{VENUE}\n\
         [[rules]]\nname = \"large\"\nallow = \"transfer\"\nasset = \"eth\"\nmax_amount = \"18\"\n\
         destinations = [\"tag:venue\"]\nentry_at_least_secs = 600\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_counts_once_it_is_old_at_this_signer_and_a_changed_one_begins_anew() {
    let clock = Arc::new(TestClock::default());
    let time = || Arc::clone(&clock) as Arc<dyn Clock>;
    let mut cluster = Cluster::start_by_under(3, 2, time(), book()).await;
    let first = cluster.charter_hash();
    cluster.make_key("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    assert_eq!(large(&cluster, "a").await, [Ok(false); 3]);
    clock.run_for(9 * MINUTE_MS);

    // A version about something else takes no time from it.
    let sessions = ("max_sessions = 8", "max_sessions = 7");
    let other = version(&cluster, &[first], 2, &[sessions]);
    take(&cluster, 0, &other.envelope).await.unwrap();
    stands(&cluster, other.hash, pb::CharterState::InForce).await;
    clock.run_for(MINUTE_MS - 1);
    assert_eq!(large(&cluster, "b").await, [Ok(false); 3]);
    clock.run_for(1);
    assert_eq!(large(&cluster, "c").await, [Ok(true); 3]);

    // The entry gets another tag: by a version that waits, and the entry is new when that comes into force.
    let tagged = version(&cluster, &[other.hash], 3, &[sessions, (VENUE, "tags = [\"venue\", \"desk\"]")]);
    take(&cluster, 0, &tagged.envelope).await.unwrap();
    stands(&cluster, tagged.hash, pb::CharterState::Waiting).await;
    assert_eq!(large(&cluster, "d").await, [Ok(true); 3]);
    clock.run_for(HOUR_MS);
    stands(&cluster, tagged.hash, pb::CharterState::InForce).await;
    assert_eq!(large(&cluster, "e").await, [Ok(false); 3]);

    // A signer that stands still does not see it grow older; what it forgets of its own time makes it wait only longer.
    clock.run_for(4 * MINUTE_MS);
    cluster.stop(2).await;
    clock.run_for(6 * MINUTE_MS);
    assert_eq!(large(&cluster, "f").await, [Ok(true); 2]);
    cluster.start_again(2, time()).await;
    assert_eq!(large(&cluster, "g").await, [Ok(true), Ok(true), Ok(false)]);
    clock.run_for(10 * MINUTE_MS);
    assert_eq!(large(&cluster, "h").await, [Ok(true); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_credential_approves_counts_once_it_is_old() {
    let clock = Arc::new(TestClock::default());
    let more = "[[rules]]\nname = \"seasoned\"\nrequire = \"message\"\nkeys = [\"asked\"]\napprovals = \"1 of risk\"\n\
                credentials_for_secs = 300\n";
    let time = Arc::clone(&clock) as Arc<dyn Clock>;
    let cluster = Cluster::start_by_under(2, 2, time, more.to_owned()).await;
    cluster.make_key("asked", Scheme::EddsaEd25519, Protocol::Frost).await;
    let (_, intent) = message_intent(&cluster, "asked", "m-1", "hello");
    let yes = approves(&cluster, &intent, "anna", &person_key());
    for answer in cluster.sign_approved(&intent, &[1, 2], std::slice::from_ref(&yes)).await {
        assert_eq!(refusal(&answer).code, "approvals_missing");
    }
    // It was kept all the same, and counts when its time has come.
    clock.run_for(5 * MINUTE_MS - 1);
    cluster.linked().await;
    for answer in cluster.sign(&intent, &[1, 2]).await {
        assert_eq!(refusal(&answer).code, "approvals_missing");
    }
    clock.run_for(1);
    cluster.linked().await;
    for answer in cluster.sign(&intent, &[1, 2]).await {
        signature(&answer);
    }
}
