//! Spoiled messages: one dishonest party, and what must hold however it lies.

use std::collections::BTreeSet;

use limen_mpc::{Binding, Blame, Session, Step};
use limen_wire::ids::PartyIndex;

use super::net::{End, Order, Packet, Report, run};

/// Which message is spoiled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) round: u8,
    pub(crate) from: PartyIndex,
    /// Who gets the spoiled message; `None` spoils it for everyone alike.
    pub(crate) to: Option<PartyIndex>,
    pub(crate) direct: bool,
    /// Whether the liar hears nothing of later rounds: spares its work where only the others' answer matters.
    pub(crate) deaf: bool,
}

impl Target {
    fn hits(&self, packet: &Packet) -> bool {
        self.to.is_none_or(|to| to == packet.receiver) && packet.is(self.round, self.from, packet.receiver, self.direct)
    }
}

/// Runs with the target's body replaced by `change(body)`, tagged as its sender can. If the round is echoed and everyone
/// is told the same lie, the liar's echo keeps to it, and the liar does not notice that the others repeat it.
pub(crate) fn run_spoiled(
    starts: Vec<(Session, Step)>,
    target: Target,
    mut change: impl FnMut(&[u8]) -> Vec<u8>,
) -> Report {
    let binding: Binding = starts[0].0.binding().clone();
    let tag = |body: &[u8]| binding.frame_tag(target.round, target.from, None, body);
    let mut lie = None;
    let mut hits = 0;
    let report = run(starts, Order::Fifo, |packet| {
        if target.hits(&packet) {
            hits += 1;
            let body = change(&packet.frame.body);
            lie = Some((tag(&packet.frame.body), tag(&body)));
            return vec![packet.with_body(&binding, body)];
        }
        if target.deaf && packet.receiver == target.from && packet.frame.round > target.round {
            return Vec::new();
        }
        match lie {
            Some((truth, lie)) if target.to.is_none() && packet.frame.round == target.round + 1 => {
                let body = if packet.sender == target.from {
                    replaced(&packet.frame.body, truth, lie)
                } else if packet.receiver == target.from {
                    replaced(&packet.frame.body, lie, truth)
                } else {
                    packet.frame.body.clone()
                };
                vec![packet.with_body(&binding, body)]
            }
            _ => vec![packet],
        }
    });
    assert!(hits > 0, "no message is {target:?}");
    report
}

pub(crate) fn replaced(body: &[u8], from: [u8; 32], to: [u8; 32]) -> Vec<u8> {
    let (chunks, rest) = body.as_chunks::<32>();
    let swap = |chunk: &[u8; 32]| if *chunk == from { to } else { *chunk };
    chunks.iter().flat_map(swap).chain(rest.iter().copied()).collect()
}

/// What must hold at every honest party: no blame on another honest party, and bans only for the dishonest one.
pub(crate) fn check_blame(report: &Report, liar: PartyIndex, what: &str) {
    for (party, end) in report.ends.iter().filter(|(party, _)| **party != liar) {
        let End::Aborted(abort) = end else { continue };
        match &abort.blame {
            Blame::Nobody => panic!("{what}: party {party} blames nobody: {abort}"),
            Blame::Suspects(set) => assert!(set.contains(&liar) && !set.contains(party), "{what}: {party}: {abort:?}"),
            Blame::Party { party: blamed, .. } => {
                assert_eq!(*blamed, liar, "{what}: party {party} frames an honest party: {abort}");
            }
        }
    }
}

/// One way to damage a body.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Damage {
    CutTo(usize),
    Longer,
    AllZero,
    AllOnes,
    Flip(usize, u32),
    ZeroFrom(usize),
    FillFrom(usize),
}

impl Damage {
    /// The damaged body, never the same as before. Positions past the end mean the last byte.
    pub(crate) fn apply(self, body: &[u8]) -> Vec<u8> {
        let mut copy = body.to_vec();
        let last = body.len() - 1;
        let window = |at: usize| at.min(last)..body.len().min(at.min(last) + 32);
        match self {
            Self::CutTo(len) => copy.truncate(len),
            Self::Longer => copy.push(0),
            Self::AllZero => copy.fill(0),
            Self::AllOnes => copy.fill(0xff),
            Self::Flip(at, bit) => copy[at.min(last)] ^= 1 << bit,
            Self::ZeroFrom(at) => copy[window(at)].fill(0),
            Self::FillFrom(at) => copy[window(at)].fill(0xff),
        }
        if copy == body {
            copy[0] ^= 1;
        }
        copy
    }
}

/// Ways to damage a body of `len` bytes: half of about `dense` positions in its head, where lengths and indices are, the
/// rest spread evenly, the last byte always.
pub(crate) fn damages(len: usize, dense: usize) -> Vec<Damage> {
    let mut out = vec![
        Damage::CutTo(0),
        Damage::CutTo(len - 1),
        Damage::CutTo(len / 2),
        Damage::Longer,
        Damage::AllZero,
        Damage::AllOnes,
    ];
    let stride = len.div_ceil(dense.div_ceil(2)).max(1);
    let positions: BTreeSet<usize> =
        (0..len).take(dense / 2).chain((0..len).step_by(stride)).chain(len.checked_sub(1)).collect();
    for (turn, at) in (0..).zip(positions) {
        out.push(match turn % 4 {
            0 | 2 => Damage::Flip(at, turn % 8),
            1 => Damage::ZeroFrom(at),
            _ => Damage::FillFrom(at),
        });
    }
    out
}
