//! What guardians have stopped, and when it may go on.

use std::collections::BTreeMap;

use crate::hostile::plan::{BOARD, Coin, Plan};
use crate::hostile::program::{Draft, Kind, Label, Stop};

/// Everything that signers were handed, by signer and number: times are their true running time in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Freezes {
    frozen: BTreeMap<(u8, Label), (Stop, u64)>,
    lifted: BTreeMap<(u8, Label), BTreeMap<usize, u64>>,
}

impl Freezes {
    pub(super) fn frozen(&mut self, signer: u8, label: Label, stop: Stop, uptime: u64) {
        self.frozen.entry((signer, label)).or_insert((stop, uptime));
    }

    pub(super) fn lifted(&mut self, signer: u8, label: Label, person: usize, uptime: u64) {
        self.lifted.entry((signer, label)).or_default().entry(person).or_insert(uptime);
    }

    /// Whether a signer was ever handed a freeze that may stop something of this requester's: nobody has to be able to read it.
    pub(super) fn may_stop(&self, signer: u8, requester: usize) -> bool {
        let mut held = self.frozen.iter().filter(|((holder, _), _)| *holder == signer);
        held.any(|(_, (stop, _))| !matches!(stop, Stop::Requester(other) if *other != requester))
    }

    /// A freeze that stops this at a signer that has been running for so long.
    pub(super) fn stops(&self, plan: &Plan, signer: u8, draft: &Draft, uptime: u64) -> Option<Label> {
        let held = self.frozen.iter().filter(|((holder, _), (stop, _))| *holder == signer && touches(*stop, draft));
        let mut live = held.filter(|(place, (_, since))| {
            let words = self.lifted.get(place);
            let all = BOARD.map(|person| words.and_then(|words| words.get(&person)));
            let [Some(one), Some(other)] = all else { return true };
            uptime < *one.max(other).max(since) + plan.lift_delay_secs * 1000
        });
        live.next().map(|((_, label), _)| *label)
    }
}

fn touches(stop: Stop, draft: &Draft) -> bool {
    let coin = match draft.kind {
        Kind::Native => Some(Coin::Native),
        Kind::Token | Kind::Allowance => Some(Coin::Token),
        Kind::Unknown | Kind::Delegatecall | Kind::Message => None,
    };
    match stop {
        Stop::All => true,
        Stop::Requester(requester) => draft.requester == requester,
        Stop::Coin(stopped) => coin == Some(stopped),
        Stop::Place(place) => coin.is_some() && draft.to == place,
    }
}
