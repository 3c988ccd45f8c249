//! Programs outside the cluster that look at requests, and a hot vault that may not come to hold more than so much.

use super::{Class, Coin, DESTINATIONS, Plan, UNIT, pick};
use crate::Dice;
use crate::hostile::people;

/// The checkers: the first two look at requests, the last one tells what the hot vault holds.
pub(crate) const CHECKERS: [&str; 3] = ["screening", "second-look", "watch"];
/// The one that is the adversary's, if any is.
pub(crate) const BOUGHT: usize = 1;
/// The one that tells what the hot vault holds.
pub(crate) const WATCH: usize = 2;
/// How long what they find counts, in seconds.
pub(crate) const MAX_AGE_SECS: u64 = 120;
/// The destination that is the hot vault's only account.
pub(crate) const HOT: usize = 0;
/// The hot vault.
pub(crate) const VAULT: &str = "hot";

/// The most that the hot vault may come to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ceiling {
    /// Of what.
    pub coin: Coin,
    /// How much, in the smallest unit.
    pub amount: u128,
}

/// What is outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outside {
    /// One of those that look at requests is the adversary's.
    pub bought: bool,
    /// What may flow in.
    pub ceiling: Option<Ceiling>,
}

impl Plan {
    /// Lets some rules ask for checks, and the hot vault have a ceiling.
    pub(crate) fn with_outside(mut self, ceiling: bool, dice: &mut Dice) -> Self {
        let coin = pick(dice, &[Coin::Native, Coin::Token]);
        let ceiling = ceiling.then(|| Ceiling { coin, amount: UNIT * u128::from(2 + dice.below(4)) });
        self.outside = Some(Outside { bought: dice.chance(500), ceiling });
        let wanted: [Vec<usize>; 2] = std::array::from_fn(|_| pick(dice, &[vec![0], vec![0, 1], vec![0, 1], vec![]]));
        for rule in self.versions.iter_mut().flat_map(|version| &mut version.rules) {
            let own = matches!(rule.class, Class::Transfer | Class::Message) && rule.verb != super::Verb::Deny;
            // Those that ask for something, and those that do not, each alike.
            let plain = rule.approvals.is_none() && rule.delay_secs == 0;
            rule.checks = if own { wanted[usize::from(plain)].clone() } else { Vec::new() };
        }
        self
    }

    /// What may flow into the hot vault, if anybody has said so.
    pub(crate) fn ceiling(&self) -> Option<Ceiling> {
        self.outside.and_then(|outside| outside.ceiling)
    }

    pub(super) fn outside_toml(&self) -> String {
        let Some(Outside { ceiling, .. }) = self.outside else { return String::new() };
        let mut text = String::new();
        for (index, name) in CHECKERS.iter().enumerate() {
            let key = people::checker_key(index).public_key();
            text += &format!("[[checkers]]\nid = \"{name}\"\npublic_key = \"{key}\"\nmax_age_secs = {MAX_AGE_SECS}\n");
            if index == WATCH && ceiling.is_some() {
                text += &format!("balances_of = [\"{VAULT}\"]\n");
            }
        }
        let Some(Ceiling { coin, amount }) = ceiling else { return text };
        text + &format!(
            "[[vaults]]\nid = \"{VAULT}\"\ntier = \"hot\"\nkeys = [\"hot-key\"]\n[[address_book]]\nid = \"hot-account\"\n\
             chain = \"eip155:31337\"\naddress = \"{}\"\nvault = \"{VAULT}\"\n[[ceilings]]\nid = \"full\"\nvault = \"{VAULT}\"\n\
             asset = \"{}\"\nmax_balance = \"{amount}\"\n",
            DESTINATIONS[HOT],
            coin.word()
        )
    }
}
