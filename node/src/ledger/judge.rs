//! The guard's eyes on an entry: what each of its requests takes, by its bytes, and whether it would be allowed.

use std::collections::BTreeMap;

use limen_policy::charter::Charter;
use limen_policy::ledger::{Claim, Entry, Judge, KeySigners, Limit, Price, Scope};
use limen_wire::ids::{CharterHash, CommitteeHash, IntentId, LedgerId};

use crate::approvals::{self, Shown};
use crate::clock::{Millis, Now};
use crate::guard::{self, Examined, Progress};
use crate::store::{StoreError, Txn};

/// Everything that a member asks about one entry, found out before it asks.
pub(super) struct Judging<'a> {
    charter: &'a Charter,
    ledger: &'a LedgerId,
    claims: BTreeMap<IntentId, Result<Claim, String>>,
    allows: BTreeMap<IntentId, Result<(), String>>,
}

impl<'a> Judging<'a> {
    pub(super) fn of(
        txn: &mut Txn<'_>,
        (charter, ledger): (&'a Charter, &'a LedgerId),
        entry: &Entry,
        (claimed, mut progress): (BTreeMap<IntentId, Result<Examined, String>>, BTreeMap<IntentId, Progress>),
        now: Now,
    ) -> Result<Self, StoreError> {
        let mut allows = BTreeMap::new();
        for claim in &entry.claims {
            let Some(Ok(examined)) = claimed.get(&claim.intent) else { continue };
            let settled = match progress.remove(&claim.intent) {
                Some(settled) => settled,
                None => approvals::settle(txn, charter, examined, Shown::default(), now)?,
            };
            let allowed = guard::admit_claim(txn, charter, examined, &settled, now.wall)?;
            allows.insert(claim.intent, allowed.map_err(|error| error.to_string()));
        }
        // What is carried was judged when it was claimed.
        let at = |intent: &IntentId| {
            let claims = |one: &&Entry| one.claims.iter().any(|claim| claim.intent == *intent);
            let carried = entry.carried.iter().find(claims);
            Now { wall: carried.map_or(now.wall, |carried| Millis(carried.time_ms)), ..now }
        };
        let takes = |examined: Examined| {
            let when = at(&examined.intent().id);
            let examined = examined.at(charter, when);
            let mut claims = examined.claims(charter);
            claims.remove(ledger).ok_or_else(|| format!("it takes nothing from ledger {ledger}"))
        };
        let claims = claimed.into_iter().map(|(intent, examined)| (intent, examined.and_then(takes))).collect();
        Ok(Self { charter, ledger, claims, allows })
    }
}

impl Judge for Judging<'_> {
    fn charter(&self) -> CharterHash {
        self.charter.hash()
    }

    fn limit(&self, scope: &Scope) -> Option<Limit> {
        self.charter.ledger_limit(self.ledger, scope)
    }

    fn recompute(&self, charter: &CharterHash, intent: &IntentId, prices: &[Price]) -> Result<Claim, String> {
        if *charter != self.charter.hash() {
            return Err(format!("it was claimed under charter {charter}, which is not in force here"));
        }
        if !prices.is_empty() {
            return Err("no limit counts in money".to_owned());
        }
        self.claims.get(intent).cloned().unwrap_or_else(|| Err("it was not shown here".to_owned()))
    }

    fn allows(&self, intent: &IntentId) -> Result<(), String> {
        self.allows.get(intent).cloned().unwrap_or_else(|| Err("it was not shown here".to_owned()))
    }

    /// Signers void nothing, so nothing is released before it ages out.
    fn signers(&self, _intent: &IntentId) -> Option<KeySigners> {
        None
    }

    /// The charter names no successors: ledgers are not handed over.
    fn successor(&self) -> Option<CommitteeHash> {
        None
    }
}
