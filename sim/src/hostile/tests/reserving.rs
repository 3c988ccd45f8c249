//! The ledger in the simulation, step by step: what an honest coordinator gets, and what another one does not.

use limen_wire::error::Code;

use super::{draft, limit, plan, stage};
use crate::hostile::plan::{FEE, Keepers, Plan, UNIT};
use crate::hostile::program::{Bend, Counterfeit, Draft, EntryDraft, Handed, Label, LedgerStep, Step};
use crate::hostile::stage::Stage;

/// Two of three signers, of whom the third is corrupt, and a witness; so many requests of one unit fit in an hour.
fn keeping(holds: u128) -> Plan {
    let limits = vec![limit(Some(holds * (UNIT + FEE)), None, Some(3600))];
    Plan { keepers: Some(Keepers { reservation_secs: 60 }), limits, ..plan() }
}

pub(super) fn reserve(entry: Label, request: Label) -> Step {
    Step::Ledger(LedgerStep::Reserve { entry, requests: vec![request], version: 0 })
}

pub(super) fn make(entry: Label, draft: EntryDraft) -> Step {
    Step::Ledger(LedgerStep::Make(entry, draft))
}

fn claims(requests: &[Label]) -> EntryDraft {
    EntryDraft { requests: requests.to_vec(), ..EntryDraft::default() }
}

pub(super) fn show(entry: Label, members: &[u8]) -> Step {
    Step::Ledger(LedgerStep::Show { entry, members: members.to_vec(), quiet: false })
}

/// Asks the honest one of a set with the corrupt signer.
pub(super) fn sign(signer: u8, session: usize, request: Label, entry: Label, forge: Option<Counterfeit>) -> Step {
    let (certificates, papers) = (vec![Handed { entry, forge }], Vec::new());
    let (set, asked) = (vec![signer, 3], vec![signer]);
    Step::Sign { set, asked, session, request, papers, certificates, spoil: None, finish: false }
}

fn count(stage: &Stage, what: &str) -> u64 {
    stage.counts.get(what).copied().unwrap_or(0)
}

#[test]
fn what_is_reserved_is_signed_and_nothing_else() {
    let mut stage = stage(keeping(9), None);
    stage.plays([Step::Ask(0, draft(0, 1, 0)), Step::Ask(1, draft(1, 1, 0)), Step::Ask(2, draft(2, 1, 0))]);
    stage.plays([sign(1, 0, 0, 7, None)]);
    assert_eq!(stage.refusals(Code::ReservationMissing), 1, "there is no such entry");
    stage.plays([reserve(0, 0), sign(1, 1, 1, 0, None)]);
    assert_eq!(stage.refusals(Code::ReservationMissing), 2, "it reserves another request");
    for (session, forge) in [Counterfeit::Short, Counterfeit::Key, Counterfeit::Other(1)].into_iter().enumerate() {
        // Another entry of the same request has other acknowledgements.
        stage.plays([reserve(1, 2), sign(1, 2 + session, 0, 0, Some(forge))]);
    }
    assert_eq!(stage.refusals(Code::ReservationMissing), 5);
    assert!(stage.signed().is_empty());
    stage.plays([sign(1, 9, 0, 0, None), sign(2, 10, 2, 1, None)]);
    assert_eq!(stage.signed().len(), 2);
    // It ends.
    stage.plays([reserve(2, 1), Step::Wait(60_000), sign(1, 11, 1, 2, None)]);
    assert_eq!(stage.refusals(Code::ReservationMissing), 6);
    stage.plays([reserve(3, 1), sign(1, 12, 1, 3, None)]);
    assert_eq!(stage.signed().len(), 3);
}

#[test]
fn a_limit_is_filled_and_never_exceeded() {
    let mut stage = stage(keeping(3), None);
    for request in 0..6 {
        let signer = 1 + u8::try_from(request % 2).unwrap();
        let ask = Step::Ask(request, draft(request, 1, 0));
        stage.plays([ask, reserve(request, request), sign(signer, request, request, request, None)]);
    }
    assert_eq!(stage.signed().len(), 3);
    assert!(count(&stage, "ledger: limit reached") > 0);
    // What was acknowledged by the corrupt member alone is settled, and room comes back with time only.
    stage.plays([Step::Wait(3_600_000 + 120_000), Step::Ask(7, draft(7, 1, 0)), reserve(7, 7), sign(1, 7, 7, 7, None)]);
    assert_eq!(stage.signed().len(), 4);
}

#[test]
fn of_two_entries_at_one_number_one_counts() {
    for first in [vec![1], vec![1, 2], vec![4], vec![2, 4], vec![1, 2, 4]] {
        let mut stage = stage(keeping(9), None);
        let same = Draft { nonce: 0, ..draft(1, 1, 0) };
        stage.plays([Step::Ask(0, draft(0, 1, 0)), Step::Ask(1, same)]);
        stage.plays([make(0, claims(&[0])), make(1, claims(&[1])), show(0, &first), show(1, &[1, 2, 4])]);
        assert!(count(&stage, "ledger: bound") + count(&stage, "ledger: refused") > 0);
        for (session, (request, entry)) in [(0, 0), (1, 1)].into_iter().enumerate() {
            stage.plays([sign(1, session, request, entry, None), sign(2, 2 + session, request, entry, None)]);
        }
        assert!(stage.signed().len() <= 1, "{first:?}");
        // Whatever is split is settled on the way, and one of the two takes the number.
        stage.plays([reserve(2, 0), reserve(3, 1), sign(1, 8, 0, 2, None), sign(2, 9, 1, 3, None)]);
        assert_eq!(stage.signed().len(), 1, "{first:?}\n{}", stage.trace.join("\n"));
    }
}

#[test]
fn bent_entries_are_not_acknowledged() {
    for bend in [
        Bend::Committee,
        Bend::Ahead(1),
        Bend::Time(3_600_000),
        Bend::Time(-3_600_000),
        Bend::Life(1),
        Bend::Less,
        Bend::Dropped,
        Bend::Replaces(1),
        Bend::Carries(9),
    ] {
        let mut stage = stage(keeping(9), None);
        stage.plays([Step::Ask(0, draft(0, 1, 0)), Step::Ask(1, draft(1, 1, 0)), make(9, claims(&[1]))]);
        stage.plays([make(0, EntryDraft { bend: Some(bend), ..claims(&[0]) }), show(0, &[1, 2, 4])]);
        stage.plays([sign(1, 0, 0, 0, None), sign(2, 1, 0, 0, None)]);
        assert_eq!(count(&stage, "ledger: acknowledged"), 0, "{bend:?}");
        assert!(stage.signed().is_empty());
    }
}

#[test]
fn a_cancelled_request_gives_its_number_back_and_a_signed_one_does_not() {
    for signed in [false, true] {
        let mut stage = stage(keeping(9), None);
        let same = Draft { nonce: 0, ..draft(1, 1, 0) };
        stage.plays([Step::Ask(0, draft(0, 1, 0)), Step::Ask(1, same), reserve(0, 0)]);
        if signed {
            stage.plays([sign(1, 0, 0, 0, None)]);
        }
        let cancel = |signer| Step::Cancel { signer, request: 0, requester: 0, forged: false };
        stage.plays([cancel(1), cancel(2), Step::Ledger(LedgerStep::Void(0))]);
        stage.plays([make(1, EntryDraft { releases: vec![0], ..EntryDraft::default() }), show(1, &[1, 2, 4])]);
        assert_eq!(count(&stage, "ledger: released"), u64::from(!signed));
        stage.plays([reserve(2, 1), sign(2, 1, 1, 2, None), sign(1, 2, 0, 0, None)]);
        assert_eq!(stage.signed().iter().copied().collect::<Vec<_>>(), [usize::from(!signed)]);
    }
}

#[test]
fn promises_outlive_a_power_cut() {
    for power in [false, true] {
        let mut stage = stage(keeping(1), None);
        stage.plays([Step::Ask(0, draft(0, 1, 0)), Step::Ask(1, draft(1, 1, 0))]);
        stage.plays([make(0, claims(&[0])), make(1, claims(&[1])), show(0, &[1, 2, 4])]);
        for machine in [1, 2, 4] {
            stage.plays([Step::Kill(machine, power), Step::Start(machine, 0)]);
        }
        stage.plays([show(1, &[1, 2, 4]), sign(1, 0, 0, 0, None), sign(2, 1, 1, 1, None)]);
        assert_eq!(stage.signed().len(), 1);
        assert_eq!(count(&stage, "ledger: certified"), 1);
    }
}
