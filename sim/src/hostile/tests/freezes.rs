//! What a guardian has stopped is signed by nobody who has heard of it.

use super::{draft, plan, sign, stage};
use crate::hostile::program::{Label, Step, Stop};
use crate::hostile::{Flaw, Rank};

fn freeze(signer: u8, person: usize, stop: Stop) -> Step {
    Step::Freeze { label: 0, signer, person, stop, forged: false }
}

fn lift(signer: u8, person: usize) -> Step {
    Step::Lift { signer, person, freezes: vec![0], forged: false }
}

/// Whether a small payment of requester 0 to destination 0 is signed by signer 1 and the corrupt one after these steps.
fn signed(steps: impl IntoIterator<Item = Step>) -> bool {
    let mut stage = stage(plan(), None);
    stage.plays([Step::Ask(0, draft(0, 1, 0))]);
    stage.plays(steps);
    stage.plays([sign(&[1, 3], 1, 0, &[])]);
    let (signed, frozen) = (stage.signed().contains(&0), stage.counts.contains_key("frozen"));
    assert_ne!(signed, frozen, "{:?}", stage.counts);
    signed
}

#[test]
fn one_guardian_stops_what_the_scope_says() {
    use crate::hostile::plan::Coin;
    for stop in [Stop::All, Stop::Requester(0), Stop::Coin(Coin::Native), Stop::Place(0)] {
        assert!(!signed([freeze(1, 0, stop)]), "{stop:?}");
    }
    for stop in [Stop::Requester(1), Stop::Coin(Coin::Token), Stop::Place(1)] {
        assert!(signed([freeze(1, 0, stop)]), "{stop:?}");
    }
    assert!(signed([freeze(1, 4, Stop::All)]), "somebody who is no guardian");
    let forged = Step::Freeze { label: 0, signer: 1, person: 0, stop: Stop::All, forged: true };
    assert!(signed([forged]));
    assert!(!signed([freeze(2, 0, Stop::All), Step::Deliver]), "signer 2 tells signer 1");
    assert!(signed([freeze(2, 0, Stop::All), Step::Lose]), "what a signer has not heard of");
}

#[test]
fn enough_people_lift_it_after_the_delay() {
    let wait = Step::Wait;
    let after = |steps: Vec<Step>| signed([vec![freeze(1, 0, Stop::All)], steps].concat());
    assert!(after(vec![lift(1, 2), lift(1, 3), wait(60_000)]));
    assert!(!after(vec![lift(1, 2), lift(1, 3), wait(59_999)]));
    assert!(!after(vec![lift(1, 2), wait(60_000), lift(1, 3)]), "the delay begins when there are enough");
    assert!(!after(vec![lift(1, 2), lift(1, 2), wait(60_000)]), "one person twice");
    assert!(!after(vec![lift(1, 2), lift(1, 0), wait(60_000)]), "a guardian does not lift");
    let other = Step::Lift { signer: 1, person: 3, freezes: vec![1 as Label], forged: false };
    assert!(!after(vec![lift(1, 2), other, wait(60_000)]), "another freeze");
    let cut = [Step::Kill(1, true), Step::Start(1, 0)];
    assert!(!after(cut.to_vec()), "a power cut");
    let off = [vec![lift(1, 2), lift(1, 3), Step::Kill(1, false), wait(60_000), Step::Start(1, 0)], vec![wait(59_999)]];
    assert!(!after(off.concat()), "while a signer is off no delay passes");
}

#[test]
fn a_signer_that_does_not_hear_is_found() {
    let mut stage = stage(plan(), Some(Flaw::Deaf));
    let broken = stage.breaks([Step::Ask(0, draft(0, 1, 0)), freeze(1, 1, Stop::All), sign(&[1, 3], 1, 0, &[])]);
    assert_eq!(broken.map(|violation| violation.rank), Some(Rank::Frozen));
}
