//! The evidence log in the simulation, step by step: whoever misses a leaf of its own signs nothing.

use limen_wire::error::Code;

use super::{draft, plan, sign, stage};
use crate::hostile::plan::Plan;
use crate::hostile::program::{LogStep, Shown, Step};
use crate::hostile::stage::Stage;

fn round(log: usize, to: &[u8], without: Option<u8>, corrupt: bool, shown: Shown) -> Step {
    Step::Log(LogStep::Round { log, to: to.to_vec(), without, corrupt, shown })
}

/// Request 0 is signed by signer 1 with the corrupt one; then these steps, and a minute; then request 1. How often a leaf was
/// missing.
fn missing(steps: impl IntoIterator<Item = Step>) -> u64 {
    let played = played(steps);
    played.refusals(Code::LeafMissing)
}

fn played(steps: impl IntoIterator<Item = Step>) -> Stage {
    let mut stage = stage(Plan { log: true, ..plan() }, None);
    stage.plays([Step::Ask(0, draft(0, 1, 0)), Step::Ask(1, draft(1, 1, 0)), sign(&[1, 3], 1, 0, &[])]);
    stage.plays(steps);
    stage.plays([Step::Wait(60_000), sign(&[1, 3], 2, 1, &[])]);
    stage
}

#[test]
fn a_leaf_has_to_be_in_a_log_that_enough_have_cosigned() {
    assert_eq!(missing([]), 1);
    assert_eq!(missing([round(0, &[1, 2], None, false, Shown::Whole)]), 0);
    assert_eq!(missing([round(0, &[1], None, true, Shown::Whole)]), 0, "the corrupt one and itself");
    assert_eq!(missing([round(0, &[1], None, false, Shown::Whole)]), 1, "itself alone");
    assert_eq!(missing([round(0, &[1, 2], Some(1), true, Shown::Whole)]), 1, "its leaf is lost");
    for shown in [Shown::Nothing, Shown::One, Shown::Forged, Shown::Old] {
        assert_eq!(missing([round(0, &[1, 2], None, true, shown)]), 1, "{shown:?}");
    }
}

#[test]
fn it_may_be_missing_for_a_minute_that_the_signer_runs() {
    let mut stage = stage(Plan { log: true, ..plan() }, None);
    stage.plays([Step::Ask(0, draft(0, 1, 0)), Step::Ask(1, draft(1, 1, 0)), Step::Wait(30_000)]);
    stage.plays([sign(&[1, 3], 1, 0, &[])]);
    // A power cut forgets how long it ran, but not since when the leaf is missing.
    stage.plays([Step::Kill(1, true), Step::Start(1, 0), Step::Wait(59_999), sign(&[1, 3], 3, 1, &[])]);
    assert_eq!(stage.refusals(Code::LeafMissing), 0);
    stage.plays([Step::Wait(1), sign(&[1, 3], 4, 1, &[])]);
    assert_eq!(stage.refusals(Code::LeafMissing), 1);
}

#[test]
fn no_signer_cosigns_two_logs() {
    let mut stage = played([
        round(0, &[1, 2], None, true, Shown::Whole),
        Step::Log(LogStep::Fork(0)),
        round(1, &[2], None, true, Shown::Whole),
        sign(&[2, 3], 3, 0, &[]),
        round(1, &[2], None, true, Shown::Whole),
    ]);
    assert!(stage.refusals(Code::LogForked) > 0);
    stage.plays([round(0, &[1, 2], None, true, Shown::Whole), Step::Wait(60_000), sign(&[1, 3], 5, 1, &[])]);
    assert_eq!(stage.refusals(Code::LeafMissing), 0, "the right log is shown again");
}
