//! Spoiled messages: one dishonest party, and what must hold however it lies.

use std::collections::BTreeMap;

use limen_mpc::{Action, Binding, Blame, Session, Step};
use limen_wire::ids::PartyIndex;

use crate::net::{End, Order, Packet, Report, run};

/// Which message is spoiled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) round: u8,
    pub(crate) from: PartyIndex,
    /// Who gets the spoiled message; `None` spoils it for everyone alike.
    pub(crate) to: Option<PartyIndex>,
    pub(crate) direct: bool,
}

impl Target {
    fn hits(&self, packet: &Packet) -> bool {
        self.to.is_none_or(|to| to == packet.receiver) && packet.is(self.round, self.from, packet.receiver, self.direct)
    }
}

/// Runs with the target's body replaced by `change(body)`, tagged as its sender can.
pub(crate) fn run_spoiled(
    starts: Vec<(Session, Step)>,
    target: Target,
    mut change: impl FnMut(&[u8]) -> Vec<u8>,
) -> Report {
    let binding: Binding = starts[0].0.binding().clone();
    let mut hits = 0;
    let report = run(starts, Order::Fifo, |packet| {
        if !target.hits(&packet) {
            return vec![packet];
        }
        hits += 1;
        let body = change(&packet.frame.body);
        vec![packet.with_body(&binding, body)]
    });
    assert!(hits > 0, "no message is {target:?}");
    report
}

/// What must hold at every honest party: no blame on another honest party, and bans only for the dishonest one.
pub(crate) fn check_blame(report: &Report, liar: PartyIndex, what: &str) {
    for (party, end) in report.ends.iter().filter(|(party, _)| **party != liar) {
        let End::Aborted(abort) = end else { continue };
        match &abort.blame {
            Blame::Nobody => panic!("{what}: party {party} blames nobody: {abort}"),
            Blame::Suspects(set) => assert!(set.contains(&liar) && !set.contains(party), "{what}: {party}: {abort:?}"),
            Blame::Party { party: blamed, action } => {
                assert_eq!(*blamed, liar, "{what}: party {party} frames an honest party: {abort}");
                assert!(*action != Action::Retry || !matches!(end, End::Done(_)));
            }
        }
    }
}

/// Damaged copies of a body: bits flipped, windows zeroed and filled, cut short, made longer. `dense` positions in all.
pub(crate) fn damaged(body: &[u8], dense: usize) -> Vec<(String, Vec<u8>)> {
    let mut out = vec![
        ("empty".to_owned(), Vec::new()),
        ("one byte short".to_owned(), body[..body.len() - 1].to_vec()),
        ("half".to_owned(), body[..body.len() / 2].to_vec()),
        ("one byte more".to_owned(), [body, &[0]].concat()),
        ("zeros".to_owned(), vec![0; body.len()]),
        ("ones".to_owned(), vec![0xff; body.len()]),
    ];
    // the head, where lengths and indices are, densely; the rest evenly
    let head = (0..body.len()).take(dense / 2);
    let stride = body.len().div_ceil(dense.div_ceil(2)).max(1);
    let positions: std::collections::BTreeSet<usize> =
        head.chain((0..body.len()).step_by(stride)).chain(body.len().checked_sub(1)).collect();
    for (turn, at) in positions.into_iter().enumerate() {
        let mut copy = body.to_vec();
        let window = at..body.len().min(at + 32);
        let how = match turn % 4 {
            0 | 2 => {
                copy[at] ^= 1 << (turn % 8);
                "flipped"
            }
            1 => {
                copy[window].iter_mut().for_each(|byte| *byte = 0);
                "zeroed"
            }
            _ => {
                copy[window].iter_mut().for_each(|byte| *byte = 0xff);
                "filled"
            }
        };
        if copy != body {
            out.push((format!("{how} at {at} of {}", body.len()), copy));
        }
    }
    out
}

/// The kinds of ends, for a test's expectation of a table of spoiled messages.
pub(crate) fn ends(report: &Report) -> BTreeMap<PartyIndex, &'static str> {
    let name = |end: &End| match end {
        End::Done(_) => "done",
        End::Aborted(_) => "aborted",
        End::Waiting(_) => "waiting",
    };
    report.ends.iter().map(|(party, end)| (*party, name(end))).collect()
}
