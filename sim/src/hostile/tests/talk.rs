//! Standing in the simulation, step by step: who has not heard its peers signs nothing.

use limen_wire::error::Code;

use super::{draft, plan, sign, stage};
use crate::hostile::plan::Plan;
use crate::hostile::program::{Lie, Step, Stop, TalkStep};
use crate::hostile::stage::Stage;

fn standing(corrupt: u8) -> Plan {
    Plan { standing: true, corrupt, ..plan() }
}

fn round() -> Step {
    Step::Talk(TalkStep::Round { cut: Vec::new(), pages: true })
}

fn without(cut: &[u8], pages: bool) -> Step {
    Step::Talk(TalkStep::Round { cut: cut.to_vec(), pages })
}

fn asking(request: usize) -> Step {
    Step::Ask(request, draft(request, 1, 0))
}

/// How often signers refused for lack of standing, and whether the small payment 0 is signed in the end.
fn outcome(corrupt: u8, steps: impl IntoIterator<Item = Step>) -> (u64, bool) {
    let mut stage = stage(standing(corrupt), None);
    stage.plays([asking(0)]);
    stage.plays(steps);
    (stage.refusals(Code::NoStanding), stage.signed().contains(&0))
}

/// Signer 1 together with the corrupt one.
fn both() -> Step {
    sign(&[1, 3], 1, 0, &[])
}

#[test]
fn whoever_has_heard_nobody_signs_nothing() {
    assert_eq!(outcome(1, [both()]), (1, false));
    assert_eq!(outcome(1, [round(), both()]), (0, true));
    assert_eq!(outcome(1, [round(), Step::Wait(30_000), both()]), (0, true));
    assert_eq!(outcome(1, [round(), Step::Wait(30_001), both()]), (1, false));
    assert_eq!(outcome(1, [without(&[1], true), both()]), (1, false));
    assert_eq!(outcome(1, [round(), Step::Kill(1, false), Step::Start(1, 0), both()]), (1, false));
    assert_eq!(outcome(1, [round(), Step::Turn(1, 31), round(), both()]), (1, false));
}

#[test]
fn whoever_hears_that_there_is_bad_news_waits_for_it() {
    let frozen = [round(), Step::Freeze { label: 0, signer: 2, person: 0, stop: Stop::Requester(1), forged: false }];
    let lost = [&frozen[..], &[Step::Lose]].concat();
    assert_eq!(outcome(1, [&lost[..], &[without(&[], false), both()]].concat()), (1, false));
    assert_eq!(outcome(1, [&lost[..], &[round(), both()]].concat()), (0, true));
    assert_eq!(outcome(1, [&lost[..], &[without(&[], false), round(), both()]].concat()), (0, true));
    assert_eq!(outcome(1, [&frozen[..], &[Step::Deliver, without(&[], false), both()]].concat()), (1, false));
}

#[test]
fn a_corrupt_signer_can_vouch_only_for_itself() {
    let answer = |lie| Step::Talk(TalkStep::Answer { from: 3, to: 1, lie });
    let asked = || vec![Step::Talk(TalkStep::Ask(1)), Step::Talk(TalkStep::Carry(2)), Step::Talk(TalkStep::Carry(2))];
    let with = |lie| outcome(1, [asked(), vec![answer(lie), both()]].concat());
    assert_eq!(with(None), (0, true), "one peer is enough where two sign");
    assert_eq!(with(Some(Lie::Forgets)), (0, true));
    for lie in [Lie::More(2), Lie::Clock(31), Lie::Key, Lie::Nonce, Lie::Log] {
        assert_eq!(with(Some(lie)), (1, false), "{lie:?}");
    }
    let late = vec![Step::Wait(30_001), answer(None), both()];
    assert_eq!(outcome(1, [asked(), late].concat()), (1, false), "a word is as old as its question");
    let again = vec![answer(None), Step::Wait(30_001), Step::Talk(TalkStep::Again(2)), both()];
    assert_eq!(outcome(1, [asked(), again].concat()), (1, false), "it serves once");
}

fn put_back(stage: &mut Stage) {
    stage.plays([asking(0), asking(1), round(), Step::Talk(TalkStep::KeepDisk(1))]);
    stage.plays([sign(&[1, 2], 1, 0, &[]), round(), round()]);
    stage.plays([Step::Talk(TalkStep::PutBack(1)), Step::Start(1, 0)]);
    assert_eq!(stage.counts.get("talk: disk put back"), Some(&1));
}

#[test]
fn a_signer_whose_disk_was_put_back_finds_out_before_it_signs() {
    let mut stage = stage(standing(0), None);
    put_back(&mut stage);
    for session in 2..5 {
        stage.plays([sign(&[1, 2], session, 1, &[]), round()]);
    }
    stage.plays([Step::Kill(1, true), Step::Start(1, 0), round(), sign(&[1, 2], 5, 1, &[])]);
    assert_eq!(stage.refusals(Code::NoStanding), 4, "{}", stage.trace.join("\n"));
    assert!(!stage.signed().contains(&1));
}

#[test]
fn of_what_no_peer_was_told_nobody_is_blamed() {
    let mut stage = stage(standing(0), None);
    stage.plays([asking(0), round(), round(), Step::Talk(TalkStep::KeepDisk(1)), sign(&[1, 2], 1, 0, &[])]);
    stage.plays([Step::Talk(TalkStep::PutBack(1)), Step::Start(1, 0)]);
    assert_eq!(stage.counts.get("talk: disk put back"), None);
}
