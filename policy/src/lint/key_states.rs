//! Keys that are out of use: value that can go nowhere, and what still names a key that is gone.

use super::{Findings, Severity};
use crate::charter::key_state::{KeyMark, KeyState};

impl Findings<'_> {
    pub(super) fn key_states(&mut self) {
        for mark in self.charter.key_marks.values() {
            let place = format!("state of key {}", mark.key);
            match mark.state {
                KeyState::Compromised => self.compromised(mark, &place),
                KeyState::Destroyed => self.destroyed(mark, &place),
                KeyState::Suspended | KeyState::Deactivated => {}
            }
        }
    }

    fn compromised(&mut self, mark: &KeyMark, place: &str) {
        let Some(vault) = self.charter.vaults.of_key(&mark.key) else { return };
        if mark.sweep_to.is_empty() {
            let message = format!(
                "no sweep_to: what vault {} holds under it can be moved by whoever has the key, and not by you",
                vault.id
            );
            self.add(Severity::Warning, place, message);
        }
        for entry in mark.sweep_to.iter().filter_map(|id| self.charter.book.entry(id)) {
            let others = vault.keys.iter().any(|key| !self.charter.key_marks.contains_key(key));
            if entry.vault.as_ref() == Some(&vault.id) && !others {
                let message = format!("value would be moved to {}, of a vault with no key in use", entry.id);
                self.add(Severity::Warning, place, message);
            }
        }
    }

    fn destroyed(&mut self, mark: &KeyMark, place: &str) {
        let key = &mark.key;
        let charter = self.charter;
        let mut warn = |message: String| self.add(Severity::Warning, place, message);
        if let Some(vault) = charter.vaults.of_key(key) {
            warn(format!("it is a key of vault {} still: see that nothing is paid to it any more", vault.id));
            if charter.backups.contains_key(&vault.id) {
                warn(format!("custodians of vault {} have pieces of it: destroyed is what signers held", vault.id));
            }
            if charter.limits.values().any(|limit| limit.vaults.contains(&vault.id)) && vault.keys.len() == 1 {
                warn(format!("limits of vault {} bound nothing any more: it is its only key", vault.id));
            }
        }
        for rule in charter.rules.iter().filter(|rule| rule.keys.contains(key)) {
            warn(format!("rule {:?} names it still", rule.name));
        }
        if charter.committees.contains_key(key) {
            warn("a committee is named that it could be handed over to".to_owned());
        }
        if charter.hsm_keys.contains_key(key) {
            warn("it lives in a token, which no signer empties: whoever has the token destroys it there".to_owned());
        }
    }
}
