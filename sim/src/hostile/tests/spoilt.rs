//! What is approved is what is signed: one thing changed between approval and signer, and no honest signer takes part.

use limen_wire::error::Code;

use super::{announce, draft, papers, plan, says, sign, stage};
use crate::hostile::program::{Draft, Forge, Paper, Spoil, Step, Verdict};
use crate::hostile::stage::Stage;

fn ready() -> Stage {
    let mut stage = stage(plan(), None);
    let ask = Step::Ask(0, draft(0, 5, 0));
    stage.plays([ask, says(0, 0, 0, Verdict::Approve), says(1, 1, 0, Verdict::Approve)]);
    stage.plays([announce(1, 0, &[0, 1]), announce(2, 0, &[0, 1]), Step::Wait(60_000)]);
    stage
}

#[test]
fn two_people_and_a_minute_are_enough() {
    let mut stage = ready();
    stage.plays([sign(&[1, 3], 1, 0, &[])]);
    assert!(stage.signed().contains(&0));
}

#[test]
fn every_byte_of_an_approved_request_is_covered() {
    let mut stage = ready();
    for at in 0..400 {
        for spoil in [Spoil::Byte(at), Spoil::Encoding, Spoil::Key] {
            let (set, asked, spoil) = (vec![1, 3], vec![1], Some(spoil));
            let papers = papers(&[0, 1]);
            stage.plays([Step::Sign {
                set,
                asked,
                session: at,
                request: 0,
                papers,
                certificates: Vec::new(),
                spoil,
                finish: false,
            }]);
        }
    }
    assert!(!stage.counts.contains_key("permitted"), "{:?}", stage.counts);
    stage.plays([sign(&[1, 3], 1, 0, &[])]);
    assert!(stage.signed().contains(&0), "and what was approved is signed");
}

#[test]
fn every_field_of_a_request_is_another_request() {
    let other: [fn(&mut Draft); 6] = [
        |draft| draft.to = 1,
        |draft| draft.units += 1,
        |draft| draft.nonce += 1,
        |draft| draft.name += 1,
        |draft| draft.life_secs += 1,
        |draft| draft.requester = 1,
    ];
    for (number, edit) in other.into_iter().enumerate() {
        let mut stage = ready();
        let mut changed = draft(0, 5, 0);
        // Every other request of the requester's needs a name of its own.
        changed.name = 9;
        edit(&mut changed);
        stage.plays([Step::Ask(1, changed), announce(1, 1, &[0, 1]), announce(2, 1, &[0, 1]), Step::Wait(60_000)]);
        stage.plays([sign(&[1, 3], 1, 1, &[0, 1]), sign(&[2, 3], 2, 1, &[0, 1])]);
        assert_eq!(stage.refusals(Code::ApprovalsMissing), 2, "edit {number}");
        assert!(stage.signed().is_empty(), "edit {number}");
    }
}

#[test]
fn forged_approvals_count_for_nothing() {
    for forge in [Forge::Request, Forge::Person(1), Forge::Approve, Forge::Expiry, Forge::Key] {
        let mut stage = stage(plan(), None);
        stage.plays([Step::Ask(0, draft(0, 5, 0)), says(0, 0, 0, Verdict::Approve), says(1, 1, 0, Verdict::Reject)]);
        let papers = vec![Paper { said: 0, forge: None }, Paper { said: 1, forge: Some(forge) }];
        let show = Step::Announce { signer: 1, request: 0, papers, spoil: None };
        stage.plays([show, Step::Wait(60_000), sign(&[1, 3], 1, 0, &[])]);
        assert!(stage.signed().is_empty(), "{forge:?}");
    }
}

/// The signer stands still for a while, so that the request's life by its running time ends later than by its wall clock.
#[test]
fn a_request_ends_in_the_second_of_its_expiry() {
    let mut stage = stage(plan(), None);
    stage.plays([Step::Ask(0, draft(0, 1, 0)), announce(1, 0, &[]), Step::Kill(1, false), Step::Wait(10_000)]);
    stage.plays([Step::Start(1, 0), Step::Wait(3_590_000), sign(&[1, 3], 1, 0, &[])]);
    assert_eq!(stage.refusals(Code::Expired), 1);
    stage.plays([Step::Turn(1, -1), sign(&[1, 3], 2, 0, &[])]);
    assert!(stage.signed().contains(&0), "a second before");
}

/// Whatever was allowed is counted for as long as it can be signed, also if somebody turns all clocks back.
#[test]
fn no_turned_clock_makes_a_limit_forget() {
    let mut plan = plan();
    plan.limits = vec![super::limit(None, Some(2), Some(60))];
    let mut stage = stage(plan, None);
    let short = |label, units| Draft { life_secs: 60, ..draft(label, units, 0) };
    stage.plays([Step::Ask(0, short(0, 1))]);
    // Both honest signers allow it, each in a session that the other knows nothing of.
    for signer in [1, 2] {
        let (set, asked, session) = (vec![1, 2], vec![signer], usize::from(signer));
        stage.plays([Step::Sign {
            set,
            asked,
            session,
            request: 0,
            papers: Vec::new(),
            certificates: Vec::new(),
            spoil: None,
            finish: false,
        }]);
    }
    assert!(stage.signed().is_empty());
    stage.plays([Step::Wait(130_000), Step::Turn(1, -130), Step::Turn(2, -130)]);
    stage.plays([Step::Ask(1, draft(1, 1, 0)), Step::Ask(2, draft(2, 1, 0))]);
    stage.plays([sign(&[1, 3], 3, 1, &[]), sign(&[2, 3], 4, 2, &[]), sign(&[1, 2], 5, 0, &[])]);
    assert!(!stage.signed().contains(&0), "by the running time its life is over");
}
