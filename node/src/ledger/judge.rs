//! The guard's eyes on an entry: what each of its requests takes, by its bytes, and whether it would be allowed.

use std::collections::BTreeMap;

use limen_policy::charter::Charter;
use limen_policy::check::Attested;
use limen_policy::ledger::{Claim, Demand, Entry, Judge, KeySigners, Limit, Price, Scope, common};
use limen_wire::ids::{CharterHash, CommitteeHash, IntentId, NodeId};

use super::line::Kept;
use super::read::claimed_in;
use crate::approvals::{self, Shown};
use crate::clock::Now;
use crate::guard::{self, Examined, Progress};
use crate::store::{StoreError, Txn};

/// A request as one charter sees it, or why it cannot be judged.
pub(super) type Seen = Result<Examined, String>;

/// The requests of an entry and of what it carries, each under the charter by which it was claimed.
#[derive(Default)]
pub(super) struct Requests {
    /// The charters that carried entries name, as far as they are known here and not in force.
    pub(super) past: BTreeMap<CharterHash, Charter>,
    /// What they are, by charter and request.
    pub(super) seen: BTreeMap<(CharterHash, IntentId), Seen>,
}

/// Everything that a member asks about one entry, found out before it asks.
pub(super) struct Judging<'a> {
    charter: &'a Charter,
    kept: &'a Kept,
    requests: &'a Requests,
    /// What each request takes, by the charter by which it was claimed.
    demands: BTreeMap<(CharterHash, IntentId), Result<Demand, String>>,
    allows: BTreeMap<IntentId, Result<(), String>>,
    /// What the findings that came with each request attest.
    attested: BTreeMap<IntentId, Attested>,
}

fn unseen() -> String {
    "it was not shown here".to_owned()
}

/// The charter in force, or the one before it by which something is carried.
fn known<'a>(charter: &'a Charter, requests: &'a Requests, by: CharterHash) -> Result<&'a Charter, String> {
    let known = if by == charter.hash() { Some(charter) } else { requests.past.get(&by) };
    known.ok_or_else(|| format!("it was claimed under charter {by}, which is not known here"))
}

impl<'a> Judging<'a> {
    pub(super) fn of(
        txn: &mut Txn<'_>,
        (charter, kept): (&'a Charter, &'a Kept),
        entry: &Entry,
        (requests, mut progress): (&'a Requests, BTreeMap<IntentId, Progress>),
        now: Now,
    ) -> Result<Self, StoreError> {
        let ledger = kept.id();
        let freezes = Txn::freezes(txn)?;
        let (mut allows, mut attested) = (BTreeMap::new(), BTreeMap::new());
        for claim in &entry.claims {
            let Some(Ok(examined)) = requests.seen.get(&(charter.hash(), claim.intent)) else { continue };
            let examined = examined.clone().under(charter, &freezes);
            let settled = match progress.remove(&claim.intent) {
                Some(settled) => settled,
                None => approvals::settle(txn, charter, &examined, Shown::default(), now)?,
            };
            let allowed = guard::admit_claim(txn, charter, &examined, &settled, now.wall)?;
            allows.insert(claim.intent, allowed.map_err(|error| error.to_string()));
            attested.insert(claim.intent, settled.attested);
        }
        // Whether it is allowed is asked apart, and of what is carried it was asked when it was claimed: here hours, ages and
        // prices must not matter, or what honest members have acknowledged could not be settled.
        let takes = |by: CharterHash, intent: IntentId| -> Result<Demand, String> {
            let known = known(charter, requests, by)?;
            let examined = requests.seen.get(&(by, intent)).cloned().unwrap_or_else(|| Err(unseen()))?;
            let mut demands = examined.demands(known)?;
            demands.remove(ledger).ok_or_else(|| format!("it takes nothing from ledger {ledger}"))
        };
        let demands = claimed_in(entry).map(|(by, intent)| ((by, intent), takes(by, intent))).collect();
        Ok(Self { charter, kept, requests, demands, allows, attested })
    }

    /// What a request takes of the ledger by this charter.
    fn demand(&self, by: CharterHash, intent: IntentId) -> Result<&Demand, String> {
        self.demands.get(&(by, intent)).ok_or_else(unseen)?.as_ref().map_err(Clone::clone)
    }
}

impl Judge for Judging<'_> {
    fn charter(&self) -> CharterHash {
        self.charter.hash()
    }

    fn limit(&self, scope: &Scope, claims: &[Claim]) -> Option<Limit> {
        let counted = claims.iter().filter(|claim| claim.charges.contains_key(scope));
        self.charter.ledger_room(self.kept.id(), scope, counted.map(|claim| self.attested.get(&claim.intent)))
    }

    fn recompute(&self, entry: &Entry, intent: &IntentId) -> Result<Claim, String> {
        let quotes = Price::quotes(&entry.prices);
        let claim = self.demand(entry.charter, *intent)?.at(&quotes).map_err(|error| error.to_string())?;
        // The prices of what is carried may be one member's invention: they make no more of it than the limit.
        known(self.charter, self.requests, entry.charter)?.fits_alone(&claim)?;
        Ok(claim)
    }

    fn prices(&self, entry: &Entry) -> Result<Vec<Price>, String> {
        let told = |claim: &Claim| {
            let seen = self.requests.seen.get(&(entry.charter, claim.intent)).ok_or_else(unseen)?;
            let examined = seen.as_ref().map_err(Clone::clone)?;
            Ok::<_, String>((self.demand(entry.charter, claim.intent)?, examined.quotes()))
        };
        let told = entry.claims.iter().map(told).collect::<Result<Vec<_>, _>>()?;
        common(told).map(|quotes| Price::all(&quotes)).map_err(|error| error.to_string())
    }

    fn allows(&self, intent: &IntentId) -> Result<(), String> {
        self.allows.get(intent).cloned().unwrap_or_else(|| Err(unseen()))
    }

    /// All signers of the key, of whom fewer than sign together may be corrupt.
    fn signers(&self, intent: &IntentId) -> Option<KeySigners> {
        // The key's signers are the same under every version.
        let mut seen = self.requests.seen.iter().filter(|((_, id), _)| id == intent);
        let key = seen.find_map(|(_, seen)| seen.as_ref().ok())?.key();
        if key.moved {
            return None;
        }
        let named = |node: &NodeId| Some((node.clone(), self.charter.node_key(node)?));
        let nodes = key.nodes.iter().map(named).collect::<Option<Vec<_>>>()?;
        let required = usize::from(key.public.size.signers_required());
        Some(KeySigners::new(nodes, required))
    }

    fn successor(&self) -> Option<CommitteeHash> {
        self.kept.successor
    }
}
