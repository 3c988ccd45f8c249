//! What is wrong with a charter that can be read: formulas nobody can meet, people and places that reach too far, and no
//! way back.
//!
//! An *error* is something that no charter for real money may have; a *warning* wants a reason. Development charters are
//! shown both and refused for neither.

mod backups;
mod key_states;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::effects::Amount;
use limen_wire::ids::PersonId;

use crate::approval::assign;
use crate::charter::assets::Assets;
use crate::charter::governance::AutomaticFreeze;
use crate::charter::people::{CredentialClass, Roster};
use crate::charter::rule::{Destinations, Rule, Verb};
use crate::charter::vault::{Limit, Tier};
use crate::charter::{Charter, Currency, Duty};
use crate::formula::{Formula, Leaf};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// No charter for real money may have it.
    Error,
    /// It wants a reason.
    Warning,
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Where.
    pub place: String,
    /// What, and what to do.
    pub message: String,
}

/// Looks at a whole charter. Errors come first.
pub fn lint(charter: &Charter) -> Vec<Finding> {
    let mut findings = Findings { charter, list: Vec::new() };
    for rule in &charter.rules {
        findings.rule(rule);
    }
    findings.governance();
    findings.concentration();
    findings.backups();
    findings.key_states();
    findings.ledgers();
    findings.claims();
    findings.uncounted();
    findings.ceilings();
    findings.unused();
    findings.list.sort();
    findings.list.dedup();
    findings.list
}

struct Findings<'a> {
    charter: &'a Charter,
    list: Vec<Finding>,
}

/// Whether these people together could meet a formula, each with every credential that they have.
fn can_meet(formula: &Formula, roster: &Roster, people: &BTreeSet<&PersonId>) -> bool {
    let fits = |person: &PersonId, leaf: &Leaf| {
        let in_group = roster.groups.get(&leaf.group).is_some_and(|group| group.members.contains(person));
        let credentials = roster.people.get(person).map(|person| &person.credentials);
        let suits = |class| !leaf.terminal || class == CredentialClass::Terminal;
        in_group && credentials.is_some_and(|all| all.values().any(|credential| suits(credential.class)))
    };
    formula.ways().unwrap_or_default().iter().any(|way| {
        let need: Vec<usize> = way.iter().map(|staged| staged.leaf.count.into()).collect();
        let able: Vec<u32> = people
            .iter()
            .map(|person| {
                let bits = way.iter().enumerate().filter(|(_, staged)| fits(person, &staged.leaf));
                bits.filter_map(|(leaf, _)| 1u32.checked_shl(u32::try_from(leaf).ok()?)).fold(0, |all, bit| all | bit)
            })
            .collect();
        let taken = assign(&able, &need);
        taken.iter().zip(&need).all(|(people, need)| people.len() >= *need)
    })
}

impl<'a> Findings<'a> {
    fn add(&mut self, severity: Severity, place: impl Into<String>, message: impl Into<String>) {
        self.list.push(Finding { severity, place: place.into(), message: message.into() });
    }

    fn everybody(&self) -> BTreeSet<&'a PersonId> {
        self.charter.roster.people.keys().collect()
    }

    /// Whether somebody alone could meet the formula.
    fn one_person_meets(&self, formula: &Formula) -> Option<&'a PersonId> {
        let roster = &self.charter.roster;
        self.everybody().into_iter().find(|person| can_meet(formula, roster, &BTreeSet::from([*person])))
    }

    fn rule(&mut self, rule: &Rule) {
        let place = format!("rule {:?}", rule.name);
        self.tier(rule, &place);
        let Some(formula) = &rule.needs.approvals else { return };
        if !can_meet(formula, &self.charter.roster, &self.everybody()) {
            self.add(Severity::Error, &place, format!("nobody can meet `{formula}`: enrol people or credentials"));
            return;
        }
        let askers: Vec<_> = self
            .charter
            .requesters
            .values()
            .filter(|requester| requester.duties.contains(&Duty::Request))
            .filter(|requester| rule.requesters.is_empty() || rule.requesters.contains(&requester.id))
            .collect();
        for requester in askers {
            let without: BTreeSet<_> =
                self.everybody().into_iter().filter(|person| !requester.people.contains(*person)).collect();
            if rule.needs.not_by_requester {
                if !can_meet(formula, &self.charter.roster, &without) {
                    let message =
                        format!("without the people behind requester {} nobody can meet `{formula}`", requester.id);
                    self.add(Severity::Error, &place, message);
                }
            } else if let Some(person) = requester.people.iter().find(|person| self.has_a_say(formula, person)) {
                let message = format!(
                    "{person} is behind requester {} and approves what it asks for: say not_by_requester",
                    requester.id
                );
                self.add(Severity::Warning, &place, message);
            }
        }
    }

    fn has_a_say(&self, formula: &Formula, person: &PersonId) -> bool {
        let groups = &self.charter.roster.groups;
        let member = |leaf: &&Leaf| groups.get(&leaf.group).is_some_and(|group| group.members.contains(person));
        formula.leaves().iter().any(member)
    }

    /// Warm and cold vaults pay on the word of several people only, one of whom has seen the bytes.
    fn tier(&mut self, rule: &Rule, place: &str) {
        let guarded = |tier| matches!(tier, Tier::Warm | Tier::Cold);
        let vaults = &self.charter.vaults.by_id;
        let Some(vault) = rule.vaults.iter().filter_map(|id| vaults.get(id)).find(|vault| guarded(vault.tier)) else {
            return;
        };
        if rule.verb != Verb::Allow || !rule.class.has_amount() {
            return;
        }
        let Some(formula) = &rule.needs.approvals else {
            let message = format!("vault {} is {:?}, but nobody approves what it pays", vault.id, vault.tier);
            return self.add(Severity::Error, place, message);
        };
        if let Some(person) = self.one_person_meets(formula) {
            self.add(Severity::Error, place, format!("{person} alone can move what vault {} holds", vault.id));
        }
        let ways = formula.ways().unwrap_or_default();
        if ways.iter().any(|way| way.iter().all(|staged| !staged.leaf.terminal)) {
            let message = format!(
                "vault {} can be moved by passkeys alone, which do not show what they sign: ask for a terminal",
                vault.id
            );
            self.add(Severity::Warning, place, message);
        }
    }

    fn governance(&mut self) {
        let Some(governance) = &self.charter.governance else { return };
        let roster = &self.charter.roster;
        let everybody = self.everybody();
        for (place, formula) in
            [("governance.quorum", &governance.quorum), ("governance.unfreeze", &governance.unfreeze)]
        {
            if !can_meet(formula, roster, &everybody) {
                self.add(Severity::Error, place, format!("nobody can meet `{formula}`: there is no way back"));
                continue;
            }
            if let Some(person) = self.one_person_meets(formula) {
                self.add(Severity::Error, place, format!("{person} alone can meet `{formula}`"));
            }
            for person in &everybody {
                let without: BTreeSet<_> = everybody.iter().copied().filter(|other| other != person).collect();
                if !can_meet(formula, roster, &without) {
                    let message = format!("if {person} is gone nobody can meet `{formula}`: there is no way back");
                    self.add(Severity::Error, place, message);
                }
            }
        }
        let mut no_delay = |place: &str, secs: u64| {
            if secs == 0 {
                self.add(Severity::Warning, place, "without a delay nobody has time to object");
            }
        };
        no_delay("governance.loosening_delay_secs", governance.loosening_delay_secs);
        no_delay("governance.unfreeze_delay_secs", governance.unfreeze_delay_secs);
        let repeated = match governance.automatic_freeze {
            None => {
                "without it whoever stole a requester's key may try what the rules let through as often as they like"
            }
            Some(AutomaticFreeze { refused: 1, .. }) => "one denied request freezes its requester: everybody errs once",
            Some(_) => return,
        };
        self.add(Severity::Warning, "governance.automatic_freeze", repeated);
    }

    /// A ledger that stops with its f corrupt members silent is an outage in one machine's hands.
    fn ledgers(&mut self) {
        for (id, committee) in &self.charter.ledgers {
            if !committee.stays_available_with_f_down() {
                let (down, f) = (committee.may_be_down(), committee.corrupt());
                let message = format!(
                    "{down} of its {} members may be down, fewer than the {f} that may be corrupt: {} members with a \
                     quorum of {} stay available, so add a witness",
                    committee.members().len(),
                    f.saturating_mul(3).saturating_add(1),
                    f.saturating_mul(2).saturating_add(1)
                );
                self.add(Severity::Warning, format!("ledger {id}"), message);
            }
            if committee.corrupt() == 0 {
                self.add(Severity::Warning, format!("ledger {id}"), "corrupt = 0 believes every single member");
            }
        }
    }

    /// Two signer sets need not share anybody honest who would notice what is used twice.
    fn claims(&mut self) {
        let Some(ledger) = &self.charter.claims_ledger else {
            // Keys of two signers have one set only.
            if self.charter.nodes.len() > 2 {
                let message = "without it each signer keeps idempotency keys and sequence numbers from being used twice by \
                     itself, and two signer sets may sign for the same one: name a ledger";
                self.add(Severity::Warning, "claims", message);
            }
            return;
        };
        let aside = |limit: &&Limit| limit.split_amount > Amount::ZERO || limit.split_count > 0;
        let kept = self.charter.limits.values().filter(|limit| limit.ledger.as_ref() == Some(ledger));
        for limit in kept.filter(aside) {
            let message = format!(
                "every request needs a certificate of ledger {ledger}, which keeps this limit too: the part that is set \
                 aside is never used"
            );
            self.add(Severity::Warning, limit.title(), message);
        }
    }

    /// What no ledger certifies and nothing is set aside for cannot be signed.
    fn uncounted(&mut self) {
        for limit in self.charter.limits.values().filter(|limit| limit.ledger.is_none()) {
            let nothing = limit.max_amount.is_some() && limit.split_amount == Amount::ZERO
                || limit.max_count.is_some() && limit.split_count == 0;
            if nothing {
                let message = "no ledger keeps it and no part is set aside: what it counts is never signed";
                self.add(Severity::Warning, limit.title(), message);
            }
        }
    }

    /// A ceiling sees no other addresses of its vault than those of the address book.
    fn ceilings(&mut self) {
        let charter = self.charter;
        for limit in charter.limits.values() {
            let Some(vault) = &limit.ceiling_of else { continue };
            if charter.book.entries().all(|entry| entry.vault.as_ref() != Some(vault)) {
                let message =
                    format!("no entry of the address book says vault = \"{vault}\": nothing ever counts in it");
                self.add(Severity::Error, limit.title(), message);
            }
            let unseen = |rule: &&Rule| {
                rule.verb == Verb::Allow
                    && rule.class.has_destination()
                    && rule
                        .amount
                        .assets
                        .as_ref()
                        .is_some_and(|assets| limit.assets.each().any(|one| assets.contains(one)))
                    && rule.destinations == Destinations::Anywhere
                    && (rule.vaults.len() != 1 || !rule.vaults.contains(vault))
            };
            for rule in charter.rules.iter().filter(unseen) {
                let message = format!(
                    "it pays anywhere, also to addresses of vault {vault} that {} does not know",
                    limit.title()
                );
                self.add(Severity::Warning, format!("rule {:?}", rule.name), message);
            }
        }
    }

    /// One site or account that holds two signers reaches every key that needs two.
    fn concentration(&mut self) {
        let mut count = |what: &str, of: fn(&crate::charter::Node) -> Option<&String>| {
            let mut places: BTreeMap<&String, usize> = BTreeMap::new();
            for place in self.charter.nodes.iter().filter_map(of) {
                let count = places.entry(place).or_default();
                *count = count.saturating_add(1);
            }
            let found: Vec<_> = places.into_iter().filter(|(_, count)| *count > 1).collect();
            for (place, count) in found {
                let message =
                    format!("{what} {place} reaches {count} signers: enough for every key that needs so many");
                self.list.push(Finding { severity: Severity::Error, place: "nodes".to_owned(), message });
            }
        };
        count("site", |node| node.site.as_ref());
        count("account", |node| node.account.as_ref());
    }

    /// What nothing refers to is mostly a slip of the pen.
    fn unused(&mut self) {
        let rules = &self.charter.rules;
        let asked: BTreeSet<_> = rules.iter().filter_map(|rule| rule.needs.approvals.as_ref()).collect();
        let governance = self.charter.governance.iter();
        let named: BTreeSet<_> = asked
            .into_iter()
            .chain(governance.clone().flat_map(|governance| [&governance.quorum, &governance.unfreeze]))
            .flat_map(Formula::leaves)
            .map(|leaf| &leaf.group)
            .chain(governance.map(|governance| &governance.guardians))
            .collect();
        for group in self.charter.roster.groups.keys().filter(|group| !named.contains(group)) {
            self.add(Severity::Warning, format!("group {group}"), "no formula names it");
        }
        let counted = |id: &String| {
            let is = |assets: &Assets| matches!(assets, Assets::Group(group) if group.id == *id);
            rules.iter().filter_map(|rule| rule.amount.assets.as_ref()).any(is)
                || self.charter.limits.values().any(|limit| is(&limit.assets))
        };
        for group in self.charter.asset_groups.keys().filter(|id| !counted(id)) {
            self.add(Severity::Warning, format!("asset group {group}"), "no rule and no limit names it");
        }
        for id in self.charter.currencies.keys() {
            let is = |currency: &Currency| currency.id == *id;
            let ruled = rules.iter().filter_map(|rule| rule.amount.currency.as_ref()).any(is);
            if !ruled && !self.charter.limits.values().filter_map(|limit| limit.currency.as_ref()).any(is) {
                self.add(Severity::Warning, format!("currency {id}"), "no rule and no limit names it");
            }
        }
        for limit in self.charter.limits.values().filter(|limit| limit.ceiling_of.is_none()) {
            let over = |rule: &&Rule| {
                rule.verb == Verb::Allow
                    && rule.amount.assets.as_ref() == Some(&limit.assets)
                    && rule.amount.currency == limit.currency
                    && limit.max_amount.is_some_and(|most| rule.amount.max_amount.is_some_and(|max| max > most))
                    && (limit.vaults.is_empty() || limit.vaults.is_superset(&rule.vaults) && !rule.vaults.is_empty())
                    && limit.requesters.is_empty()
            };
            for rule in rules.iter().filter(over) {
                let message = format!("it allows more in one request than limit {} ever lets through", limit.id);
                self.add(Severity::Warning, format!("rule {:?}", rule.name), message);
            }
        }
    }
}
