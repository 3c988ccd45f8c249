//! Versions of the charter in the simulation, step by step.

use limen_wire::error::Code;

use super::{draft, plan, sign, stage};
use crate::hostile::plan::{Place, Plan, Version};
use crate::hostile::program::{CharterStep, Quorum, Step};
use crate::hostile::stage::Stage;

/// Version 1 lets more be sent, version 2 less; both follow version 0. Version 3 voids the first one, after the second.
fn line() -> Plan {
    let plan = Plan { live: Some(60), ..plan() };
    let after = |parent: usize, most: u128, waits_secs, voids: Vec<usize>| {
        let mut rules = plan.versions[0].rules.clone();
        rules[1].most = Some(most);
        let place = Place { parents: vec![parent], voids, waits_secs };
        Version { rules, place, ..plan.versions[0].clone() }
    };
    let versions = [after(0, 11, Some(60), vec![]), after(0, 1, None, vec![]), after(1, 2, None, vec![2])];
    Plan { versions: [plan.versions.clone(), versions.to_vec()].concat(), ..plan }
}

fn submit(version: usize, signer: u8, quorum: Quorum) -> Step {
    Step::Charter(CharterStep::Submit { version, signer, quorum })
}

fn veto(version: usize, signer: u8, person: usize, forged: bool) -> Step {
    Step::Charter(CharterStep::Veto { version, signer, person, forged })
}

/// What is in force at signer 1 after these steps.
fn in_force(steps: impl IntoIterator<Item = Step>) -> usize {
    played(steps).in_force(1)
}

fn played(steps: impl IntoIterator<Item = Step>) -> Stage {
    let mut stage = stage(line(), None);
    stage.plays(steps);
    stage
}

const WHOLE: Quorum = Quorum::Whole;

#[test]
fn a_version_that_tightens_binds_at_once_and_one_that_loosens_after_its_delay() {
    assert_eq!(in_force([submit(2, 1, WHOLE)]), 2);
    assert_eq!(in_force([submit(1, 1, WHOLE), Step::Wait(59_999)]), 0);
    assert_eq!(in_force([submit(1, 1, WHOLE), Step::Wait(60_000)]), 1);
    let off = [submit(1, 1, WHOLE), Step::Kill(1, false), Step::Wait(60_000), Step::Start(1, 0), Step::Wait(59_999)];
    assert_eq!(in_force(off), 0, "while a signer is off no delay passes");
    assert_eq!(in_force([submit(1, 2, WHOLE), Step::Deliver, Step::Wait(60_000)]), 1, "signer 2 tells signer 1");
    assert_eq!(in_force([submit(3, 1, WHOLE)]), 0, "it follows what is not known here");
}

#[test]
fn nothing_binds_that_the_quorum_has_not_signed() {
    for quorum in [Quorum::One, Quorum::Twice, Quorum::Others, Quorum::Forged, Quorum::OfAnother(1)] {
        assert_eq!(in_force([submit(2, 1, quorum)]), 0, "{quorum:?}");
    }
    assert_eq!(in_force([submit(2, 1, Quorum::OfAnother(2))]), 2);
}

#[test]
fn whoever_has_a_say_vetoes_a_version_until_it_is_in_force() {
    let wait = Step::Wait;
    for person in 0..4 {
        assert_eq!(in_force([submit(1, 1, WHOLE), veto(1, 1, person, false), wait(60_000)]), 0);
        assert_eq!(in_force([veto(1, 1, person, false), submit(1, 1, WHOLE), wait(60_000)]), 0, "before it came");
    }
    assert_eq!(in_force([submit(1, 1, WHOLE), veto(1, 1, 4, false), wait(60_000)]), 1, "somebody else");
    assert_eq!(in_force([submit(1, 1, WHOLE), veto(1, 1, 0, true), wait(60_000)]), 1, "forged");
    assert_eq!(in_force([submit(1, 1, WHOLE), wait(60_000), veto(1, 1, 0, false)]), 1, "too late");
}

#[test]
fn siblings_shown_to_different_signers_allow_nothing_until_one_is_void() {
    let mut stage = played([
        Step::Ask(0, draft(0, 1, 0)),
        submit(1, 1, WHOLE),
        submit(2, 2, WHOLE),
        Step::Lose,
        Step::Lose,
        Step::Wait(60_000),
    ]);
    assert_eq!((stage.in_force(1), stage.in_force(2)), (1, 2));
    stage.plays([submit(2, 1, WHOLE), sign(&[1, 3], 1, 0, &[])]);
    assert_eq!(stage.refusals(Code::CharterFork), 1);
    stage.plays([submit(3, 1, WHOLE), sign(&[1, 3], 2, 0, &[])]);
    assert_eq!(stage.in_force(1), 3);
    assert!(stage.signed().contains(&0));
}

#[test]
fn a_file_that_is_no_version_here_does_not_start_a_signer() {
    let stage = played([Step::Kill(1, false), Step::Start(1, 1)]);
    assert_eq!(stage.counts.get("charter: file refused"), Some(&1));
    assert_eq!(in_force([submit(2, 1, WHOLE), Step::Kill(1, false), Step::Start(1, 0)]), 2);
}
