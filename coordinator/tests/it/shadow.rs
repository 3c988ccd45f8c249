//! A draft beside the charter: it is asked about every new request, and changes nothing.

use limen_coordinator::lifecycle::State;
use limen_policy::charter::Charter;
use limen_wire::effects::Amount;

use crate::world::World;

/// The charter in force, with at most so many coins in one transfer.
fn draft(charter: &Charter, coins: &str) -> Charter {
    let mut draft = charter.clone();
    draft.rules[0].amount.max_amount = Amount::from_units(coins, 18);
    draft
}

#[tokio::test]
async fn a_draft_says_what_it_would_decide_otherwise_and_decides_nothing() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    running.core.set_shadow(draft(&running.core.charter(), "2"));
    let (small, _) = running.submit(&world.transfer_of("small", 2)).await.unwrap();
    let (large, _) = running.submit(&world.transfer_of("large", 3)).await.unwrap();
    for entry in [&small, &large] {
        running.in_state(&entry.record.id, State::Signed).await;
    }
    // The same bytes again are no new request.
    running.submit(&world.transfer_of("large", 3)).await.unwrap();
    let report = running.core.shadow_report();
    assert_eq!((report.judged, report.different, report.differences.len()), (2, 1, 1));
    let difference = &report.differences[0];
    assert_eq!(difference.intent_id, large.record.id.as_bytes().as_slice());
    assert_eq!((difference.requester.as_str(), difference.key_id.as_str()), ("backend", "treasury"));
    assert!(difference.sentences[0].starts_with("it would be denied: "), "{difference:?}");
    let metrics = running.core.metrics.text(&running.core);
    assert!(metrics.contains("shadow_judged_total 2") && metrics.contains("shadow_different_total 1"), "{metrics}");
}

#[tokio::test]
async fn what_is_remembered_of_differences_is_bounded_and_without_a_draft_there_is_nothing() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    running.submit(&world.transfer("before")).await.unwrap();
    assert_eq!(running.core.shadow_report(), Default::default());
    running.core.set_shadow(draft(&running.core.charter(), "0.5"));
    // A second draft changes nothing.
    running.core.set_shadow(draft(&running.core.charter(), "9"));
    for number in 0..203 {
        running.submit(&world.transfer(&format!("t-{number}"))).await.unwrap();
    }
    let report = running.core.shadow_report();
    assert_eq!((report.judged, report.different, report.differences.len()), (203, 203, 200));
    assert!(report.differences.iter().all(|one| one.sentences.len() == 1 && one.sentences[0].len() < 1100));
}
