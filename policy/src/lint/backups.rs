//! Custodians: who is too near to requests, and who must not be away.

use std::collections::BTreeSet;

use limen_wire::ids::PersonId;

use super::{Findings, Severity};
use crate::charter::vault::Vault;

impl Findings<'_> {
    pub(super) fn backups(&mut self) {
        for (id, backups) in &self.charter.backups {
            let place = format!("backups of vault {id}");
            let everybody = backups.custodians.values().flatten().map(|custodian| &custodian.person);
            let everybody: BTreeSet<&PersonId> = everybody.collect();
            for person in &everybody {
                self.asks(&place, person);
                let required = usize::from(backups.signers_required);
                if backups.shares_of(|other| other != *person) < required {
                    let message = format!("if {person} is gone fewer than {required} shares come back: no key does");
                    self.add(Severity::Error, &place, message);
                }
            }
            for (node, list) in &backups.custodians {
                if list.len() == usize::from(backups.pieces_required) {
                    let message =
                        format!("every custodian of {node} is needed: if one is gone its share does not come back");
                    self.add(Severity::Warning, &place, message);
                }
            }
            let keys = self.charter.vaults.by_id.get(id).into_iter().flat_map(|vault: &Vault| &vault.keys);
            for key in keys.filter(|key| self.charter.hsm_keys.contains_key(*key)) {
                let message =
                    format!("key {key} lives in a token and has no shares: its token's own backup is the only one");
                self.list.push(super::Finding { severity: Severity::Warning, place: place.clone(), message });
            }
        }
    }

    /// Who asks for signatures should not be one of those who can do without asking.
    fn asks(&mut self, place: &str, person: &PersonId) {
        let requesters = self.charter.requesters.values().filter(|requester| requester.people.contains(person));
        let names: Vec<String> = requesters.map(|requester| requester.id.to_string()).collect();
        if !names.is_empty() {
            let message = format!(
                "{person} keeps pieces and is behind requester {}: let somebody else keep them",
                names.join(", ")
            );
            self.add(Severity::Warning, place, message);
        }
    }
}
