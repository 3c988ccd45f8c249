//! Rotating signer sets, against signers as they are and against naive counters.

use super::{draft, limit, plan, sign, stage};
use crate::hostile::plan::UNIT;
use crate::hostile::program::{Label, Step};
use crate::hostile::{Flaw, Rank};

/// Requests of one unit each, each tried with one set of 2-of-3 after the other until it is signed. Gives what was signed of the limit, in per cent.
fn spent(flaw: Option<Flaw>, corrupt: u8) -> u128 {
    let most = 20 * UNIT;
    let mut plan = plan();
    plan.corrupt = corrupt;
    plan.limits = vec![limit(Some(most), None, Some(3600))];
    let mut stage = stage(plan, flaw);
    let mut broken = None;
    for request in 0..64 {
        broken = broken.or(stage.breaks([Step::Ask(request, draft(request, 1, 0))]));
        // An adversary with a signer of its own never asks two honest ones.
        let sets: &[&[u8]] = if corrupt == 0 { &[&[1, 2], &[1, 3], &[2, 3]] } else { &[&[1, 3], &[2, 3]] };
        let first = request % sets.len();
        for turn in 0..sets.len() {
            // One signature is enough: the next set is for the next request.
            if stage.signed().contains(&request) {
                break;
            }
            let session: Label = request * 3 + turn;
            let set = sets[(first + turn) % sets.len()];
            let asked = set.iter().copied().filter(|member| *member <= 3 - corrupt).collect();
            let Step::Sign { papers, .. } = sign(set, session, request, &[]) else { return 0 };
            let step = Step::Sign {
                set: set.to_vec(),
                asked,
                session,
                request,
                papers,
                certificates: Vec::new(),
                spoil: None,
                finish: false,
            };
            broken = broken.or(stage.breaks([step]));
        }
    }
    assert_eq!(broken.map(|violation| violation.rank), flaw.map(|_| Rank::Limit));
    let used = stage.judge.used(stage.elapsed_ms());
    used.values().map(|(amount, _)| amount * 100 / most).max().unwrap_or(0)
}

#[test]
fn rotating_signer_sets_never_exceed_a_limit() {
    for corrupt in [0, 1] {
        let spent = spent(None, corrupt);
        assert!((40..=100).contains(&spent), "{spent} %");
    }
}

#[test]
fn naive_counters_leak_as_much_as_they_must() {
    let leaks = |corrupt| spent(Some(Flaw::CountsAlone), corrupt);
    assert!(leaks(0) >= 140, "1.5 times the limit but for what does not fill it: {} %", leaks(0));
    assert!(leaks(1) >= 190, "twice the limit with one corrupt signer: {} %", leaks(1));
}
