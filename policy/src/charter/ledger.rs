//! Ledgers in the charter: which limits they keep, and what a request claims from each.

use std::collections::BTreeMap;

use limen_wire::effects::{Amount, Effects};
use limen_wire::ids::LedgerId;
use limen_wire::intent::Intent;

use super::Charter;
use super::vault::Limit;
use crate::check::{Attested, Held};
use crate::decide::{Sum, alone, takes};
use crate::ledger::{self, Bound, Claim, Counts, Demand, LimitError, Passed, Scope};

impl Limit {
    /// The limit as its ledger and the signers divide it: what is not set aside is certified. `None` for a limit that no
    /// ledger keeps. What the limit does not bound is not bound there either. A ceiling has no room but what
    /// [`Charter::ledger_room`] finds.
    pub fn divided(&self) -> Option<Result<ledger::Limit, LimitError>> {
        self.ledger.as_ref()?;
        let amount = |part: Amount| self.max_amount.map_or(Amount::MAX, |_| part);
        let count = |part: u64| self.max_count.map_or(u64::MAX, |_| part);
        let certified = self.max_amount.and_then(|max| max.checked_sub(self.split_amount)).unwrap_or(Amount::ZERO);
        let counted = self.max_count.unwrap_or(0).saturating_sub(self.split_count);
        let certified = Bound { amount: amount(certified), count: count(counted) };
        let uncertified = Bound { amount: amount(self.split_amount), count: count(self.split_count) };
        let counts = match (&self.ceiling_of, self.window_secs) {
            (Some(_), _) => Ok(Counts::UntilPassed(Passed::default())),
            (None, Some(secs)) => Counts::window(secs),
            (None, None) => Ok(Counts::Ever),
        };
        Some(counts.map(|counts| ledger::Limit { counts, certified, uncertified }))
    }

    /// Its scope in a ledger.
    fn scope(&self, subject: &str) -> Scope {
        let (name, subject) = (self.id.to_string(), subject.to_owned());
        match self.window_secs {
            Some(_) => Scope::Limit { name, subject },
            None => Scope::Lasting { name, subject },
        }
    }
}

impl Charter {
    /// The limit behind a ledger's scope.
    pub fn ledger_limit(&self, ledger: &LedgerId, scope: &Scope) -> Option<ledger::Limit> {
        let limit = self.limits.get(&scope.limit()?)?;
        let same = limit.ledger.as_ref() == Some(ledger) && limit.window_secs.is_none() == scope.is_lasting();
        limit.divided().filter(|_| same)?.ok()
    }

    /// The same as far as there is room in it: what a vault holds already takes room from its ceiling. `told` is what is
    /// attested for each request that is to go in; of several the worst counts, and where one has nothing attested there is
    /// no room.
    pub fn ledger_room<'a>(
        &self,
        ledger: &LedgerId,
        scope: &Scope,
        told: impl Iterator<Item = Option<&'a Attested>>,
    ) -> Option<ledger::Limit> {
        let mut room = self.ledger_limit(ledger, scope)?;
        let id = scope.limit()?;
        if self.limits.get(&id)?.ceiling_of.is_some() {
            let told: Option<Vec<&Held>> = told.map(|told| told?.get(&id)).collect();
            let worst = told.and_then(|told| told.into_iter().cloned().reduce(|worst, held| worst.or_worse(&held)));
            let left = worst.as_ref().and_then(|worst| room.certified.amount.checked_sub(worst.amount));
            room.certified.amount = left.unwrap_or(Amount::ZERO);
            room.counts = Counts::UntilPassed(worst.unwrap_or_default().passed);
        }
        Some(room)
    }

    /// Whether each charge of a claim is one that its limit has room for where nothing else counts: whatever says otherwise no
    /// honest member has acknowledged, at whatever prices.
    pub fn fits_alone(&self, claim: &Claim) -> Result<(), String> {
        for (scope, amount) in &claim.charges {
            let Some(limit) = scope.limit().and_then(|id| self.limits.get(&id)) else { continue };
            alone(limit, *amount)?;
        }
        Ok(())
    }

    /// What a request claims, by ledger, as soon as it is known what things are worth: what it takes of the limits that the
    /// ledger keeps, and in the ledger of `claims` what counts once. By its bytes, requester and key alone, whether or not rules
    /// allow it now. An error if it can never fit.
    pub fn demands(&self, intent: &Intent, effects: &Effects) -> Result<BTreeMap<LedgerId, Demand>, String> {
        let mut demands: BTreeMap<LedgerId, Demand> = BTreeMap::new();
        let mut demand = |ledger: LedgerId, scope: Scope, sum: Sum| {
            let fresh = || Demand { intent: intent.id, replaces: intent.replaces, sums: BTreeMap::new() };
            demands.entry(ledger).or_insert_with(fresh).sums.insert(scope, sum);
        };
        for take in takes(self, intent, effects)? {
            let Some(ledger) = take.limit.ledger.clone() else { continue };
            demand(ledger, take.limit.scope(&take.subject), take.sum);
        }
        if let Some(ledger) = &self.claims_ledger {
            once(intent, effects).for_each(|scope| demand(ledger.clone(), scope, Sum::Units(Amount::ZERO)));
        }
        Ok(demands)
    }
}

/// What a request has that counts once: the requester's own name for it, and what its bytes use up. Messages and bare digests
/// use nothing up.
fn once(intent: &Intent, effects: &Effects) -> impl Iterator<Item = Scope> {
    let (requester, key) = (intent.requester.clone(), intent.idempotency_key.clone());
    let nonce = |number| Scope::Nonce { chain: effects.chain.clone(), account: effects.account.clone(), number };
    std::iter::once(Scope::Idempotency { requester, key }).chain(effects.nonce.map(nonce))
}
