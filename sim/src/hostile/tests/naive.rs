//! The harness bites: naive signers are found, and by a short program.

use crate::hostile::{AUTOMATIC_EVERY, Case, Flaw, LEDGER_EVERY, OUTSIDE_EVERY, Rank};

/// The first violation among some seeds, made small.
fn found(flaw: Flaw, mut seeds: impl Iterator<Item = u64>) -> Option<(Rank, usize)> {
    seeds.find_map(|seed| {
        let case = Case::of(seed);
        let rank = case.play(Some(flaw)).violation?.rank;
        let small = case.shrunk(rank, Some(flaw));
        assert_eq!(small.play(Some(flaw)).violation.map(|violation| violation.rank), Some(rank));
        Some((rank, small.program.len()))
    })
}

fn is_found(flaw: Flaw, seeds: u64, ranks: &[Rank], steps: usize) {
    is_found_among(flaw, 0..seeds, ranks, steps);
}

/// Among so many seeds that have a ledger.
fn is_found_at_the_ledger(flaw: Flaw, seeds: u64, ranks: &[Rank], steps: usize) {
    let (every, first) = LEDGER_EVERY;
    is_found_among(flaw, (0..seeds).map(|seed| seed * every + first), ranks, steps);
}

fn is_found_among(flaw: Flaw, seeds: impl Iterator<Item = u64>, ranks: &[Rank], steps: usize) {
    let Some((rank, found)) = found(flaw, seeds) else { panic!("{flaw:?} was not found") };
    assert!(ranks.contains(&rank), "{flaw:?} was found as {rank:?}");
    assert!(found <= steps, "{flaw:?} takes {found} steps");
}

#[test]
fn signers_that_count_alone_are_found() {
    is_found(Flaw::CountsAlone, 1000, &[Rank::Limit], 14);
}

#[test]
fn signers_that_count_nothing_are_found() {
    is_found(Flaw::CountsNothing, 300, &[Rank::Limit, Rank::Rules], 10);
}

#[test]
fn signers_that_never_wait_are_found() {
    is_found(Flaw::NeverWaits, 300, &[Rank::Delay], 8);
}

#[test]
fn signers_that_ask_nobody_are_found() {
    is_found(Flaw::AsksNobody, 300, &[Rank::Approvals, Rank::Rejected], 6);
}

#[test]
fn signers_that_deny_nothing_are_found() {
    is_found(Flaw::DeniesNothing, 600, &[Rank::Rules], 6);
}

#[test]
fn deaf_signers_are_found() {
    is_found(Flaw::Deaf, 1000, &[Rank::Rejected, Rank::Cancelled, Rank::Approvals, Rank::Delay, Rank::Frozen], 12);
}

#[test]
fn signers_that_forget_at_a_restart_are_found() {
    is_found(
        Flaw::ForgetsAtRestart,
        1000,
        &[
            Rank::Sessions,
            Rank::Limit,
            Rank::Delay,
            Rank::Rejected,
            Rank::Nonce,
            Rank::Idempotency,
            Rank::Cancelled,
            Rank::Frozen,
            Rank::Leaf,
            Rank::Charter,
        ],
        10,
    );
}

#[test]
fn members_that_acknowledge_two_values_at_one_number_are_found() {
    is_found_at_the_ledger(Flaw::PromisesTwice, 500, &[Rank::Limit, Rank::Nonce, Rank::Idempotency], 14);
}

#[test]
fn members_that_add_nothing_up_are_found() {
    is_found_at_the_ledger(Flaw::AddsNothingUp, 200, &[Rank::Limit, Rank::Nonce, Rank::Idempotency], 14);
}

#[test]
fn signers_that_freeze_nobody_by_themselves_are_found() {
    let (every, first, _) = AUTOMATIC_EVERY;
    let seeds = (0..60).map(|seed| seed * every + first);
    is_found_among(Flaw::FreezesNobody, seeds, &[Rank::Frozen], 8);
}

#[test]
fn signers_that_want_no_checks_are_found() {
    let (every, first, _) = OUTSIDE_EVERY;
    is_found_among(Flaw::ChecksNothing, (0..60).map(|seed| seed * every + first), &[Rank::Check], 8);
}

#[test]
fn signers_that_fill_a_vault_up_are_found() {
    is_found_at_the_ledger(Flaw::FillsUp, 200, &[Rank::Ceiling], 14);
}
