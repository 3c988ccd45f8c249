//! Freezes that a signer makes by itself, step by step.

use super::{draft, plan, sign, stage};
use crate::hostile::plan::Automatic;
use crate::hostile::program::{Draft, Label, LiftOwn, Spoil, Step};
use crate::hostile::stage::Stage;
use crate::hostile::{Flaw, Rank};

/// Two denied requests of one requester within ten minutes.
fn counting(flaw: Option<Flaw>) -> Stage {
    let automatic = Some(Automatic { refused: 2, within_secs: 600 });
    stage(super::Plan { automatic, ..plan() }, flaw)
}

/// A request of requester 0 for more than anybody may have.
fn denied(request: Label) -> Step {
    Step::Ask(request, draft(request, 11, 0))
}

fn shown(signer: u8, request: Label) -> Step {
    super::announce(signer, request, &[])
}

fn lift(signer: u8, person: usize) -> Step {
    Step::LiftOwn(LiftOwn { signer, requester: 0, person, old: false, forged: false })
}

/// Whether a small payment is signed by signer 1 and the corrupt one after these steps.
fn signed(steps: impl IntoIterator<Item = Step>) -> bool {
    let mut stage = counting(None);
    stage.plays([denied(0), denied(1), denied(2), denied(3), Step::Ask(9, draft(9, 1, 0))]);
    stage.plays(steps);
    stage.plays([sign(&[1, 3], 1, 9, &[])]);
    let (signed, refused) = (stage.signed().contains(&9), stage.counts.contains_key("own freeze: refuses"));
    assert_ne!(signed, refused, "{:?}", stage.counts);
    signed
}

#[test]
fn so_many_denied_requests_freeze_their_requester_at_whom_they_were_shown() {
    assert!(!signed([shown(1, 0), shown(1, 1)]));
    assert!(!signed([shown(1, 0), Step::Wait(599_999), shown(1, 1)]));
    assert!(!signed([shown(1, 0), Step::Kill(1, true), Step::Start(1, 0), shown(1, 1)]));
    assert!(signed([shown(1, 0), Step::Wait(600_000), shown(1, 1)]), "too far from each other");
    assert!(signed([shown(1, 0), shown(1, 0), Step::Kill(1, true), Step::Start(1, 0), shown(1, 0)]), "one is one");
    assert!(signed([shown(1, 0), shown(2, 1)]), "each has seen one only");
    assert!(signed([shown(2, 0), shown(2, 1)]), "another one's freeze is none here");
    let forged = Step::Announce { signer: 1, request: 1, papers: Vec::new(), spoil: Some(Spoil::Key) };
    assert!(signed([shown(1, 0), forged]), "who did not sign it did not ask for it");
}

#[test]
fn the_board_lifts_it_after_the_delay_and_counting_begins_anew() {
    let frozen = [shown(1, 0), shown(1, 1)];
    let after = |steps: &[Step]| signed([&frozen[..], steps].concat());
    assert!(after(&[lift(1, 2), lift(1, 3), Step::Wait(60_000)]));
    assert!(!after(&[lift(1, 2), lift(1, 3), Step::Wait(59_999)]));
    assert!(!after(&[lift(1, 2), lift(1, 2), Step::Wait(60_000)]), "one person twice");
    let over = [lift(1, 2), lift(1, 3), Step::Wait(60_000)];
    assert!(after(&[&over[..], &[shown(1, 0), shown(1, 1), shown(1, 2)]].concat()), "one new request");
    assert!(!after(&[&over[..], &[shown(1, 2), shown(1, 3)]].concat()));
    let old = |person| Step::LiftOwn(LiftOwn { signer: 1, requester: 0, person, old: true, forged: false });
    let again = [shown(1, 2), shown(1, 3), old(2), old(3), Step::Wait(60_000)];
    assert!(!after(&[&over[..], &again].concat()), "old words lift nothing new");
}

#[test]
fn only_who_asked_is_frozen() {
    let mut stage = counting(None);
    stage.plays([denied(0), denied(1), Step::Ask(2, Draft { requester: 1, ..draft(2, 1, 0) })]);
    stage.plays([shown(1, 0), shown(1, 1), sign(&[1, 3], 1, 2, &[])]);
    assert!(stage.signed().contains(&2) && stage.counts.contains_key("own freeze: made"));
}

#[test]
fn a_signer_that_freezes_nobody_is_found() {
    let mut stage = counting(Some(Flaw::FreezesNobody));
    let steps =
        [denied(0), denied(1), Step::Ask(2, draft(2, 1, 0)), shown(1, 0), shown(1, 1), sign(&[1, 3], 1, 2, &[])];
    assert_eq!(stage.breaks(steps).map(|violation| violation.rank), Some(Rank::Frozen));
}
