//! Keys that are out of use, by the charter's word: suspended, deactivated, compromised, destroyed (NIST SP 800-57 part 1, section 7).
//!
//! A key that stands in no entry is in use as far as its shares are. What a key may still sign is for each signer to see, in the very
//! transaction of its decision.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::effects::{AllowanceChange, Amount, Effect, Effects};
use limen_wire::ids::{BookEntryId, KeyId};
use serde::Deserialize;

use super::Charter;

/// Where a key stands that is out of use. Later ones are nearer to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Signs nothing for now.
    Suspended,
    /// Signs nothing any more.
    Deactivated,
    /// Somebody else may have it: signs nothing but what moves value to where the charter says.
    Compromised,
    /// Its shares are erased.
    Destroyed,
}

impl KeyState {
    /// As the charter spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
        }
    }
}

impl std::fmt::Display for KeyState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the charter says of a key that is out of use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyMark {
    /// The key.
    pub key: KeyId,
    /// Where it stands.
    pub state: KeyState,
    /// Entries of the address book to which value leaves a compromised key; nothing leaves it where there are none.
    pub sweep_to: BTreeSet<BookEntryId>,
    /// Why, in somebody's words.
    pub reason: Option<String>,
}

/// Keys that are out of use.
pub type KeyMarks = BTreeMap<KeyId, KeyMark>;

/// Why a key signs this not, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyStateError {
    /// For now.
    #[error("the charter says that key {key} is suspended{}", because(.reason.as_deref()))]
    Suspended {
        /// The key.
        key: KeyId,
        /// Why.
        reason: Option<String>,
    },
    /// For good.
    #[error("the charter says that key {key} is {state}{}", because(.reason.as_deref()))]
    Retired {
        /// The key.
        key: KeyId,
        /// Deactivated, compromised or destroyed.
        state: KeyState,
        /// Why.
        reason: Option<String>,
    },
    /// A compromised key was to sign something else than a sweep.
    #[error("the charter says that key {key} is compromised: it only moves value to {}, and {what}", listed(.sweep_to))]
    NoSweep {
        /// The key.
        key: KeyId,
        /// Where value may go.
        sweep_to: BTreeSet<BookEntryId>,
        /// What else was asked.
        what: String,
    },
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

fn listed(entries: &BTreeSet<BookEntryId>) -> String {
    entries.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

impl Charter {
    /// Where a key stands that is out of use; `None` for one that is not.
    pub fn key_state(&self, key: &KeyId) -> Option<KeyState> {
        self.key_marks.get(key).map(|mark| mark.state)
    }

    /// Whether a key may be used ahead of any request: what is made for requests to come serves no key that is out of use.
    pub fn check_key_in_use(&self, key: &KeyId) -> Result<(), KeyStateError> {
        self.key_marks.get(key).map_or(Ok(()), |mark| Err(out_of_use(mark)))
    }

    /// Whether a key may sign something with these effects, as far as its state goes. Rules are asked besides.
    pub fn check_key_state(&self, key: &KeyId, effects: &Effects) -> Result<(), KeyStateError> {
        let Some(mark) = self.key_marks.get(key) else { return Ok(()) };
        if mark.state != KeyState::Compromised || mark.sweep_to.is_empty() {
            return Err(out_of_use(mark));
        }
        let strays = effects.list.iter().find_map(|effect| self.strays(mark, effects, effect));
        let moves = effects.list.iter().any(|effect| !matches!(effect, Effect::Fee { .. }));
        let what = match (strays, moves) {
            (None, true) => return Ok(()),
            (Some(what), _) => what,
            (None, false) => "this moves none".to_owned(),
        };
        Err(KeyStateError::NoSweep { key: key.clone(), sweep_to: mark.sweep_to.clone(), what })
    }

    /// What an effect does that is no part of a sweep.
    fn strays(&self, mark: &KeyMark, effects: &Effects, effect: &Effect) -> Option<String> {
        match effect {
            Effect::Fee { .. } => None,
            // What takes an allowance back leaves less to whoever may have the key.
            Effect::Allowance { change: AllowanceChange::Set, amount, .. } if *amount == Amount::ZERO => None,
            Effect::Transfer { to, .. } => {
                let mut there = self.book.at(&effects.chain, to).filter(|entry| mark.sweep_to.contains(&entry.id));
                there.next().is_none().then(|| format!("this goes to {to}"))
            }
            other => Some(format!("this has an effect of class {}", other.class())),
        }
    }
}

fn out_of_use(mark: &KeyMark) -> KeyStateError {
    let (key, reason) = (mark.key.clone(), mark.reason.clone());
    match mark.state {
        KeyState::Suspended => KeyStateError::Suspended { key, reason },
        state => KeyStateError::Retired { key, state, reason },
    }
}

/// What is wrong with a key's next state after these of the charters before; `None` stands for a key in use.
pub(crate) fn forbidden_step(before: &[Option<KeyState>], after: Option<KeyState>) -> Option<&'static str> {
    use KeyState::{Compromised, Deactivated, Destroyed, Suspended};
    // No order among two branches brings a key back: each of them has to be a way to what follows.
    for before in before {
        match (before, after) {
            (Some(Destroyed), Some(Destroyed)) => {}
            (Some(Destroyed), _) => {
                return Some("is destroyed for good: its entry stays, so that its name is not used again");
            }
            (Some(Compromised), Some(Compromised | Destroyed)) => {}
            (Some(Compromised), _) => return Some("is compromised: it can only be destroyed"),
            (Some(Deactivated), None | Some(Suspended)) => {
                return Some("is deactivated: it can only be compromised or destroyed");
            }
            _ => {}
        }
    }
    let is_ready = before.iter().any(|before| before.is_some_and(|before| before >= Deactivated));
    (after == Some(Destroyed) && !is_ready)
        .then_some("is to be destroyed and was neither deactivated nor compromised: do that first")
}

#[cfg(test)]
mod tests;
