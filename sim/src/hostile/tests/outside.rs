//! Checks from outside and ceilings, step by step.

use limen_wire::error::Code;

use super::reserving::{make, reserve, show, sign as sign_under};
use super::{draft, plan, sign, stage};
use crate::hostile::plan::{BOUGHT, Ceiling, Coin, Keepers, Outside, Plan, UNIT, WATCH};
use crate::hostile::program::{Doctored, Draft, EntryDraft, Found, Kind, Label, OutsideStep, Step, Tells};
use crate::hostile::stage::Stage;
use crate::hostile::{Flaw, Rank};

/// Whatever is paid has to be passed by these.
fn screened(checks: &[usize]) -> Plan {
    let mut plan = Plan { outside: Some(Outside { bought: true, ceiling: None }), ..plan() };
    plan.versions[0].rules[1].checks = checks.to_vec();
    plan
}

fn finding(label: Label, checker: usize, request: Label, objects: bool, tells: Tells, off_secs: i64) -> Step {
    let (version, life_secs) = (0, 3600);
    Step::Outside(OutsideStep::Find { label, checker, request, version, objects, tells, life_secs, off_secs })
}

fn passes(label: Label, checker: usize, request: Label) -> Step {
    finding(label, checker, request, false, Tells::Nothing, 0)
}

fn along(request: Label, label: Label, doctored: Option<Doctored>) -> Step {
    Step::Outside(OutsideStep::Show(request, vec![Found { label, doctored }]))
}

/// Whether request 0 is signed after these steps, where these checks are asked for.
fn signed(checks: &[usize], steps: &[Step]) -> bool {
    let mut stage = stage(screened(checks), None);
    stage.plays([Step::Ask(0, draft(0, 1, 0)), Step::Ask(1, draft(1, 1, 0))]);
    stage.plays(steps.to_vec()).plays([sign(&[1, 3], 1, 0, &[])]);
    let (signed, refused) = (stage.signed().contains(&0), stage.refusals(Code::ApprovalsMissing) > 0);
    assert_ne!(signed, refused, "{:?}", stage.counts);
    signed
}

#[test]
fn what_a_rule_has_checked_is_signed_with_fresh_findings_of_all_that_it_names() {
    let pass = passes(0, 0, 0);
    assert!(!signed(&[0], &[]));
    assert!(signed(&[0], std::slice::from_ref(&pass)));
    assert!(signed(&[0], &[pass.clone(), Step::Wait(119_000)]));
    assert!(!signed(&[0], &[pass.clone(), Step::Wait(120_000)]), "it is too old");
    assert!(!signed(&[0], &[pass.clone(), finding(1, 0, 0, true, Tells::Nothing, 0)]), "an objection outweighs it");
    assert!(signed(&[0], &[pass.clone(), finding(1, 1, 0, true, Tells::Nothing, 0)]), "by somebody whom nobody asks");
    assert!(!signed(&[0, 1], std::slice::from_ref(&pass)));
    assert!(!signed(&[0, 1], &[passes(0, BOUGHT, 0)]), "the one that is bought does not stand for the other");
    assert!(signed(&[0, 1], &[pass, passes(1, BOUGHT, 0)]));
    assert!(!signed(&[1], &[finding(0, BOUGHT, 0, false, Tells::Nothing, 31)]), "it is from the future");
    assert!(!signed(&[0], &[passes(0, 0, 1), along(0, 0, None)]), "it is about another request");
}

#[test]
fn spoilt_findings_count_for_nothing() {
    for doctored in [Doctored::Request, Doctored::Key, Doctored::Later] {
        assert!(!signed(&[0], &[passes(0, 0, 1), along(0, 0, Some(doctored))]), "{doctored:?}");
    }
    let objects = finding(0, 0, 0, true, Tells::Nothing, 0);
    assert!(!signed(&[0], &[objects, along(0, 0, Some(Doctored::Pass))]));
    assert!(!signed(&[0], &[passes(0, 0, 0), Step::Wait(130_000), along(0, 0, Some(Doctored::Later))]));
}

/// Two of three signers and a witness; the hot vault holds three at most.
fn filling(flaw: Option<Flaw>) -> Stage {
    let ceiling = Some(Ceiling { coin: Coin::Native, amount: 3 * UNIT });
    let outside = Some(Outside { bought: true, ceiling });
    let mut stage = stage(Plan { keepers: Some(Keepers { reservation_secs: 60 }), outside, ..plan() }, flaw);
    let ask = |request| Step::Ask(request, Draft { life_secs: 86_400, ..draft(request, 1, 0) });
    stage.plays((0..12).map(ask));
    stage
}

/// Has one unit flow in, by what the watch tells now.
fn refill(request: Label, tells: Tells) -> [Step; 3] {
    let sign = sign_under(1, request, request, request, None);
    [finding(request, WATCH, request, false, tells, 0), reserve(request, request), sign]
}

fn pass(numbers: u64) -> Step {
    Step::Outside(OutsideStep::Pass { numbers, turn: 0, fail: false })
}

#[test]
fn a_vault_is_filled_to_its_ceiling_and_no_further_whatever_is_held_back() {
    let mut stage = filling(None);
    for request in 0..5 {
        stage.plays(refill(request, Tells::Numbers));
    }
    assert_eq!(stage.signed().len(), 3, "{}", stage.trace.join("\n"));
    stage.plays([Step::Wait(20_000_000)]).plays(refill(5, Tells::Numbers));
    assert_eq!(stage.signed().len(), 3, "what is held back has not gone");
    stage.plays([pass(3)]).plays(refill(6, Tells::Numbers));
    assert_eq!(stage.signed().len(), 3, "it has arrived");
    stage.plays([Step::Outside(OutsideStep::Pay(2))]).plays(refill(7, Tells::Balance));
    assert_eq!(stage.signed().len(), 3, "nobody tells that it has");
    stage.plays(refill(8, Tells::Numbers)).plays(refill(9, Tells::Numbers)).plays(refill(10, Tells::Numbers));
    assert_eq!(stage.signed().len(), 5);
}

#[test]
fn only_the_watch_tells_what_a_vault_holds_and_only_for_the_request_that_it_looked_at() {
    let mut stage = filling(None);
    let [_, reserve, sign] = refill(0, Tells::Numbers);
    stage.plays([reserve.clone(), sign.clone()]);
    stage.plays([finding(0, BOUGHT, 0, false, Tells::Lies, 0), reserve, sign]);
    stage.plays([
        finding(1, WATCH, 1, false, Tells::Numbers, 0),
        along(0, 1, None),
        make(7, EntryDraft { requests: vec![0], ..EntryDraft::default() }),
    ]);
    stage.plays([show(7, &[1, 2, 4]), sign_under(1, 9, 0, 7, None)]);
    for (session, doctored) in
        [Doctored::Request, Doctored::Balance, Doctored::Numbers, Doctored::Key].into_iter().enumerate()
    {
        stage.plays([along(0, 1, Some(doctored)), show(7, &[1, 2, 4]), sign_under(1, 20 + session, 0, 7, None)]);
    }
    assert!(stage.signed().is_empty(), "{}", stage.trace.join("\n"));
    // Leave to take is told of by no number.
    let leave = Draft { kind: Kind::Allowance, ..draft(12, 1, 0) };
    stage.plays([Step::Ask(12, leave), super::announce(1, 12, &[])]);
    assert_eq!(stage.counts.get("announced, allowed"), None);
}

#[test]
fn signers_without_checks_or_ceilings_are_found() {
    let mut unchecked = stage(screened(&[0]), Some(Flaw::ChecksNothing));
    let broken = unchecked.breaks([Step::Ask(0, draft(0, 1, 0)), sign(&[1, 3], 1, 0, &[])]);
    assert_eq!(broken.map(|violation| violation.rank), Some(Rank::Check));
    let mut stage = filling(Some(Flaw::FillsUp));
    let broken = stage.breaks((0..5).flat_map(|request| refill(request, Tells::Numbers)));
    assert_eq!(broken.map(|violation| violation.rank), Some(Rank::Ceiling));
}
