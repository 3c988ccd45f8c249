//! Counting by hand: who counts, who does not, and what the answer says.

use std::collections::BTreeSet;

use limen_wire::approval::{Approval, Verdict};
use limen_wire::ids::{ApprovalId, GroupId, IntentId, PersonId, SliceHash};
use limen_wire::limits;

use super::{NOW, approval, facts, group};
use crate::approval::{Missing, Question, Tally, Verified};
use crate::charter::people::{CredentialClass, Roster};
use crate::formula::{Formula, Leaf};

/// Ann, Ben and Cid are the treasury, Cid, Dan and Eve the risk group, which takes no synced passkeys.
fn roster() -> Roster {
    let groups = [group("treasury", &["ann", "ben", "cid"], true), group("risk", &["cid", "dan", "eve"], false)];
    Roster { people: Default::default(), groups: groups.into_iter().map(|group| (group.id.clone(), group)).collect() }
}

/// A terminal's approval after a change.
fn said(person: &str, change: impl FnOnce(&mut Approval)) -> Verified {
    let mut approval = approval(person, "token");
    change(&mut approval);
    Verified::unproved(approval, CredentialClass::Terminal, false)
}

fn yes(person: &str) -> Verified {
    said(person, |_| {})
}

fn after(person: &str, preceding: &Verified) -> Verified {
    said(person, |a| a.preceding = Some(preceding.id()))
}

fn no(person: &str, reason: &str) -> Verified {
    said(person, |a| (a.verdict, a.reason) = (Verdict::Reject, reason.to_owned()))
}

fn withdraws(person: &str) -> Verified {
    said(person, |a| a.verdict = Verdict::Withdraw)
}

fn tally_without(formula: &str, excluded: &[&str], approvals: &[Verified]) -> Tally {
    let formula = Formula::parse(formula).unwrap();
    let excluded = excluded.iter().map(|person| person.parse().unwrap()).collect();
    let question =
        Question { formula: &formula, roster: &roster(), excluded: &excluded, facts: &facts(), now_secs: NOW };
    question.tally(approvals)
}

fn tally(formula: &str, approvals: &[Verified]) -> Tally {
    tally_without(formula, &[], approvals)
}

fn met_by(formula: &str, approvals: &[Verified]) -> Vec<String> {
    match tally(formula, approvals) {
        Tally::Met { by } => by.keys().map(PersonId::to_string).collect(),
        other => panic!("{formula}: {other:?}"),
    }
}

fn missing(tally: Tally) -> String {
    match tally {
        Tally::Wanting { missing } => missing.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn enough_different_people_meet_a_formula() {
    assert_eq!(met_by("2 of treasury", &[yes("ann"), yes("ben")]), ["ann", "ben"]);
    assert_eq!(met_by("1 of treasury and 1 of risk", &[yes("ann"), yes("dan")]), ["ann", "dan"]);
    assert_eq!(met_by("2 of risk or 1 of treasury", &[yes("ben"), yes("dan")]), ["ben"]);
}

#[test]
fn what_is_missing_is_said_in_words() {
    assert_eq!(missing(tally("2 of treasury", &[yes("ann"), yes("dan")])), "1 more of treasury");
    assert_eq!(missing(tally("2 of treasury and 1 of risk", &[yes("ann")])), "1 more of risk and 1 more of treasury");
    assert_eq!(
        missing(tally("1 of treasury or 1 terminal of risk", &[])),
        "1 more terminal of risk, or 1 more of treasury"
    );
    assert_eq!(missing(tally("2 of risk or 3 of treasury", &[yes("dan")])), "1 more of risk");
    assert_eq!(missing(tally("1 of treasury then 1 of risk", &[])), "1 more of treasury, then 1 more of risk");
    assert_eq!(Missing::default().to_string(), "nobody can meet this formula");
}

#[test]
fn one_person_counts_once() {
    // With two credentials, with two nonces, and in two groups.
    let other = said("ann", |a| a.credential = "ann-other".parse().unwrap());
    let again = said("ann", |a| a.nonce = [6; 32]);
    assert_eq!(missing(tally("2 of treasury", &[yes("ann"), other, again, yes("ann")])), "1 more of treasury");
    let both = missing(tally("1 of treasury and 1 of risk", &[yes("cid")]));
    assert!(["1 more of treasury", "1 more of risk"].contains(&both.as_str()), "{both}");
    // Cid can stand for risk because Ann stands for the treasury.
    assert_eq!(met_by("1 of treasury and 1 of risk", &[yes("cid"), yes("ann")]), ["ann", "cid"]);
    assert_eq!(met_by("2 of treasury and 1 of risk", &[yes("ann"), yes("ben"), yes("cid")]), ["ann", "ben", "cid"]);
}

#[test]
fn strangers_and_unknown_groups_count_for_nothing() {
    assert_eq!(missing(tally("1 of treasury", &[yes("dan"), yes("zoe")])), "1 more of treasury");
    assert_eq!(missing(tally("1 of nobody", &[yes("ann")])), "1 more of nobody");
}

#[test]
fn a_browser_is_no_terminal() {
    let console = Verified::unproved(approval("ann", "phone"), CredentialClass::Console, false);
    assert_eq!(met_by("1 of treasury", std::slice::from_ref(&console)), ["ann"]);
    assert_eq!(missing(tally("1 terminal of treasury", std::slice::from_ref(&console))), "1 more terminal of treasury");
    // The same person may add a terminal's approval.
    assert_eq!(met_by("1 terminal of treasury", &[console, yes("ann")]), ["ann"]);
}

#[test]
fn synced_passkeys_count_where_the_group_takes_them() {
    let synced = |person: &str| Verified::unproved(approval(person, "phone"), CredentialClass::Console, true);
    assert_eq!(met_by("1 of treasury", &[synced("cid")]), ["cid"]);
    assert_eq!(missing(tally("1 of risk", &[synced("cid"), synced("dan")])), "1 more of risk");
}

#[test]
fn who_asks_does_not_approve_but_may_reject() {
    assert_eq!(missing(tally_without("1 of treasury", &["ann"], &[yes("ann")])), "1 more of treasury");
    assert!(matches!(tally_without("1 of treasury", &["ann"], &[yes("ben")]), Tally::Met { .. }));
    assert!(matches!(tally_without("1 of treasury", &["ann"], &[no("ann", "typo")]), Tally::Rejected { .. }));
}

#[test]
fn one_rejection_by_somebody_of_the_formula_ends_it() {
    let enough = [yes("ann"), yes("ben"), no("dan", "unknown customer")];
    let expected = Tally::Rejected { by: "dan".parse().unwrap(), reason: "unknown customer".to_owned() };
    assert_eq!(tally("2 of treasury and 1 of risk", &enough), expected);
    // Of several the first by name is shown.
    assert_eq!(tally("1 of treasury and 1 of risk", &[no("eve", "x"), no("dan", "unknown customer")]), expected);
    // Dan has no say in what the treasury decides.
    assert!(matches!(tally("2 of treasury", &enough), Tally::Met { .. }));
    // Another intent's rejection is not this one's.
    let other = said("ann", |a| {
        (a.verdict, a.reason, a.intent_id) = (Verdict::Reject, "x".to_owned(), IntentId::new([9; 32]));
    });
    assert!(matches!(tally("1 of treasury", &[yes("ben"), other]), Tally::Met { .. }));
}

#[test]
fn a_rejection_does_not_expire_and_needs_no_slice() {
    let late = said("dan", |a| {
        (a.verdict, a.reason, a.expires_at_secs) = (Verdict::Reject, "x".to_owned(), 1);
        a.slice = SliceHash::new([9; 32]);
    });
    assert!(matches!(tally("1 of risk", &[yes("eve"), late]), Tally::Rejected { .. }));
}

#[test]
fn what_has_expired_or_lapsed_does_not_count() {
    let spoil: [fn(&mut Approval); 7] = [
        |a| a.expires_at_secs = NOW,
        |a| a.slice = SliceHash::new([9; 32]),
        |a| a.freeze_epoch = limen_wire::ids::FreezeEpoch::new([9; 32]),
        |a| a.effects_digest = [9; 32],
        |a| a.decoder_version = 2,
        |a| a.intent_id = IntentId::new([9; 32]),
        |a| a.cluster = "other".parse().unwrap(),
    ];
    for change in spoil {
        assert_eq!(missing(tally("1 of treasury", &[said("ann", change)])), "1 more of treasury");
    }
}

#[test]
fn a_withdrawal_takes_back_what_its_person_approved_before() {
    let (ann, ben) = (yes("ann"), yes("ben"));
    let back = withdraws("ann");
    assert_eq!(missing(tally("2 of treasury", &[ann.clone(), ben.clone(), back.clone()])), "1 more of treasury");
    // With every credential.
    let other = said("ann", |a| a.credential = "ann-other".parse().unwrap());
    assert_eq!(missing(tally("2 of treasury", &[other, ben.clone(), back.clone()])), "1 more of treasury");
    // Somebody else's withdrawal takes back nothing of Ann's.
    assert_eq!(met_by("2 of treasury", &[ann, ben.clone(), withdraws("dan")]), ["ann", "ben"]);
    // What she approves in sight of her withdrawal counts again.
    let anew = after("ann", &back);
    assert_eq!(met_by("2 of treasury", &[anew, ben, back]), ["ann", "ben"]);
}

#[test]
fn a_withdrawal_outlives_its_expiry() {
    let back = said("ann", |a| (a.verdict, a.expires_at_secs) = (Verdict::Withdraw, 1));
    assert_eq!(missing(tally("1 of treasury", &[yes("ann"), back])), "1 more of treasury");
}

#[test]
fn later_stages_count_only_in_sight_of_the_earlier_ones() {
    let ann = yes("ann");
    let formula = "1 of treasury then 1 of risk";
    assert_eq!(missing(tally(formula, &[ann.clone(), yes("dan")])), "1 more of risk");
    assert_eq!(met_by(formula, &[ann.clone(), after("dan", &ann)]), ["ann", "dan"]);
    // Dan saw Ben, whose approval is not here.
    assert_eq!(missing(tally(formula, &[ann.clone(), after("dan", &yes("ben"))])), "1 more of risk");
    // Dan saw both through what Ben saw.
    let ben = after("ben", &ann);
    let both = [ann.clone(), ben.clone(), after("dan", &ben)];
    assert_eq!(met_by("2 of treasury then 1 of risk", &both), ["ann", "ben", "dan"]);
    // Ann and Ben side by side: Dan can have seen one of them only.
    let apart = [ann.clone(), yes("ben"), after("dan", &ann)];
    assert_eq!(missing(tally("2 of treasury then 1 of risk", &apart)), "1 more of risk");
    // What was seen and is withdrawn was not seen.
    let back = withdraws("ann");
    let fresh = yes("ben");
    let gone = [ann.clone(), back, fresh, after("dan", &ann)];
    assert_eq!(missing(tally(formula, &gone)), "1 more of risk");
}

#[test]
fn three_stages_descend_from_each_other() {
    let formula = "1 of treasury then 1 of risk then 1 terminal of treasury";
    let ann = yes("ann");
    let dan = after("dan", &ann);
    assert_eq!(met_by(formula, &[after("ben", &dan), ann.clone(), dan.clone()]), ["ann", "ben", "dan"]);
    assert_eq!(missing(tally(formula, &[after("ben", &ann), ann, dan])), "1 more terminal of treasury");
}

#[test]
fn a_preceding_digest_of_nothing_known_leads_nowhere() {
    let lost = said("ann", |a| a.preceding = Some(ApprovalId::new([9; 32])));
    assert_eq!(met_by("1 of treasury", &[lost]), ["ann"]);
}

#[test]
fn a_formula_that_asks_nothing_of_nobody_is_never_met() {
    let group: GroupId = "treasury".parse().unwrap();
    let none = Formula::Leaf(Leaf { count: 0, group: group.clone(), terminal: false });
    let wide = Formula::All(vec![Formula::Leaf(Leaf { count: 1, group, terminal: false }); 17]);
    for formula in [Formula::All(vec![]), Formula::Any(vec![]), none, wide] {
        let excluded = BTreeSet::new();
        let question =
            Question { formula: &formula, roster: &roster(), excluded: &excluded, facts: &facts(), now_secs: NOW };
        assert_eq!(question.tally(&[yes("ann")]), Tally::Wanting { missing: Missing::default() });
    }
}

#[test]
fn more_approvals_than_are_counted_are_not_counted() {
    let numbered = |n: usize| {
        said("ann", |a| {
            a.nonce = [0; 32];
            a.nonce[..8].copy_from_slice(&(n as u64).to_be_bytes());
        })
    };
    let mut many: Vec<_> = (0..limits::APPROVALS).map(numbered).collect();
    assert!(matches!(tally("1 of treasury", &many), Tally::Met { .. }));
    many.extend(many.clone());
    assert!(matches!(tally("1 of treasury", &many), Tally::Met { .. }), "the same twice is the same");
    many.push(numbered(limits::APPROVALS));
    assert_eq!(tally("1 of treasury", &many), Tally::TooMany { found: limits::APPROVALS + 1 });
    many.push(no("ben", "flood"));
    assert!(matches!(tally("1 of treasury", &many), Tally::Rejected { .. }));
}
