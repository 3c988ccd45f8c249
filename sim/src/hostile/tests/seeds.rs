//! Seeds: no violation, enough of everything, and the same again.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::hostile::Case;

/// So many of a thousand seeds must meet each of these: what nobody meets was not tried.
const ENOUGH: [(&str, u64); 65] = [
    ("signed", 350),
    ("signed again", 150),
    ("signed after approvals", 100),
    ("signed after a delay", 10),
    ("signed after approvals and a delay", 15),
    ("announced, denied", 200),
    ("repeated", 60),
    ("power cut", 100),
    ("stopped in order", 50),
    ("started under another charter", 20),
    ("clock turned", 80),
    ("compacted", 80),
    ("news delivered", 20),
    ("news lost", 5),
    ("bad news taken", 50),
    ("approvals_missing", 150),
    ("time_locked", 100),
    ("limit_reached", 50),
    ("rejected", 50),
    ("frozen", 50),
    ("withdrawn", 50),
    ("policy_denied", 150),
    ("expired", 100),
    ("expiry_too_far", 50),
    ("not_permitted", 50),
    ("bad_signature", 50),
    ("malformed", 20),
    ("idempotency_conflict", 15),
    ("nonce_conflict", 5),
    ("too_many_sessions", 30),
    ("session_dead", 20),
    ("own freeze: made", 30),
    ("own freeze: lifted", 10),
    ("own freeze: refuses", 20),
    ("check: passed", 45),
    ("check: objected", 20),
    ("check: missing", 25),
    ("ceiling: let in", 10),
    ("ceiling: full", 2),
    ("ceiling: arrived", 4),
    ("ledger: certified", 50),
    ("ledger: settled", 40),
    ("ledger: given up", 40),
    ("ledger: unfit", 40),
    ("ledger: refused", 20),
    ("ledger: bound", 10),
    ("ledger: limit reached", 3),
    ("ledger: void", 8),
    ("reservation_missing", 15),
    ("charter: in force", 30),
    ("charter: taken", 30),
    ("charter: veto taken", 10),
    ("charter: file refused", 1),
    ("charter_fork", 1),
    ("leaf_missing", 5),
    ("log: cosigned", 30),
    ("log: forked", 10),
    ("log: leaf safe", 20),
    ("log_forked", 5),
    ("no_standing", 6),
    ("talk: bad news read", 12),
    ("talk: disk put back", 5),
    ("talk: lied", 5),
    ("talk: lost", 4),
    ("talk: repeated", 8),
];

#[test]
fn no_program_gets_a_signature_that_the_rules_forbid() {
    const SEEDS: u64 = 2000;
    let (next, with) = (AtomicU64::new(0), Mutex::new(BTreeMap::<&str, u64>::new()));
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= SEEDS {
            return;
        }
        let case = Case::of(seed);
        let report = case.play(None);
        if let Some(violation) = report.violation {
            let small = case.shrunk(violation.rank, None);
            panic!("seed {seed}: {violation}\n{}\n{}", small.in_words(), small.play(None).trace.join("\n"));
        }
        let mut with = with.lock().unwrap();
        report.counts.keys().for_each(|what| *with.entry(what).or_default() += 1);
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let with = with.into_inner().unwrap();
    for (what, least) in ENOUGH {
        let found = with.get(what).copied().unwrap_or(0) * 1000 / SEEDS;
        assert!(found >= least, "{what}: {found} of a thousand seeds, {least} wanted");
    }
    assert!(with.contains_key("real protocol"));
}

#[test]
fn a_seed_always_plays_the_same() {
    for seed in 0..40 {
        let (one, other) = (Case::of(seed), Case::of(seed));
        assert_eq!(one.in_words(), other.in_words());
        let (one, other) = (one.play(None), other.play(None));
        assert_eq!((one.trace, one.counts), (other.trace, other.counts), "seed {seed}");
    }
}
