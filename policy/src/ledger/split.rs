//! What a signer allows without a certificate: its share of `L_split`, counted over its own signatures alone.
//!
//! A signature needs t signers, of whom at least t − f are honest and count it in full. The n − f honest ones together
//! count at most `(n − f) · ⌊L_split · (t − f) / (n − f)⌋`, so all uncertified signatures together stay within `L_split`.

use std::collections::BTreeMap;

use limen_wire::effects::Amount;
use limen_wire::ids::IntentId;
use serde::{Deserialize, Serialize};

use super::book::{self, Misfit};
use super::entry::Claim;
use super::scope::{Bound, Counts, Limit, Scope};

/// How many signers there are. For a limit over several keys: all signers of all of them, the least `required`, and the
/// greatest `corrupt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signers {
    /// n.
    pub total: u64,
    /// t: how many must take part in a signature.
    pub required: u64,
    /// f: how many may be corrupt.
    pub corrupt: u64,
}

impl Signers {
    /// One signer's share of a bound: `⌊bound · (t − f) / (n − f)⌋`; nothing where no signature needs an honest signer.
    pub fn share(&self, bound: Bound) -> Bound {
        let (honest_needed, honest) =
            (self.required.saturating_sub(self.corrupt), self.total.saturating_sub(self.corrupt));
        let nothing = Bound { amount: Amount::ZERO, count: 0 };
        if honest_needed == 0 || honest_needed > honest {
            return nothing;
        }
        // With bound = quotient · honest + rest the product stays below the bound, so it always fits.
        let part = |amount: Amount| {
            let (quotient, rest) = amount.checked_div_rem_u64(honest)?;
            let rest = Amount::from_u128(rest.into()).checked_mul_u64(honest_needed)?.checked_div_rem_u64(honest)?.0;
            quotient.checked_mul_u64(honest_needed)?.checked_add(rest)
        };
        let count = part(Amount::from_u128(bound.count.into())).and_then(Amount::to_u64);
        match (part(bound.amount), count) {
            (Some(amount), Some(count)) => Bound { amount, count },
            _ => nothing,
        }
    }

    /// Whether any two signer sets share an honest signer, who by itself keeps what counts once from being used twice:
    /// `2t − n > f`.
    pub const fn any_two_sets_share_an_honest_signer(&self) -> bool {
        self.required.saturating_mul(2) > self.total.saturating_add(self.corrupt)
    }
}

/// One request allowed without a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// What it takes.
    pub claim: Claim,
    /// When its session ends at the latest, in milliseconds.
    pub expires_at_ms: u64,
}

/// A signer's own uncertified signatures. To be recorded durably with the decision, before anything leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncertified {
    spent: BTreeMap<IntentId, Spent>,
}

/// Why a request needs a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NeedsCertificate {
    /// Two signer sets could use it twice.
    #[error("{scope} counts once, and two signer sets need not share an honest signer: have it certified")]
    CountsOnce {
        /// What counts once.
        scope: Box<Scope>,
    },
    /// The share is used up.
    #[error("without a certificate: {0}")]
    Misfit(#[from] Misfit),
}

impl Uncertified {
    /// Whether a request fits into this signer's shares. `key` are the signers of its key; `limit` gives each limit with the
    /// signers of all its keys.
    pub fn fits(
        &self,
        claim: &Claim,
        now_ms: u64,
        key: Signers,
        limit: &dyn Fn(&Scope) -> Option<(Limit, Signers)>,
    ) -> Result<(), NeedsCertificate> {
        for scope in claim.charges.keys() {
            if scope.is_limit() {
                let (limit, signers) = limit(scope).ok_or_else(|| Misfit::UnknownLimit(Box::new(scope.clone())))?;
                self.stays_within(scope, claim, now_ms, (&limit.counts, signers.share(limit.uncertified)))?;
            } else if !key.any_two_sets_share_an_honest_signer() {
                return Err(NeedsCertificate::CountsOnce { scope: Box::new(scope.clone()) });
            }
        }
        Ok(())
    }

    /// Counts a request; the same one again counts once.
    pub fn record(&mut self, spent: Spent) {
        self.spent.insert(spent.claim.intent, spent);
    }

    fn stays_within(
        &self,
        scope: &Scope,
        claim: &Claim,
        now_ms: u64,
        (counts, bound): (&Counts, Bound),
    ) -> Result<(), Misfit> {
        let others = self.spent.values().filter(|spent| spent.claim.intent != claim.intent);
        let live = others.filter(|spent| counts.still(&spent.claim.charges, spent.expires_at_ms, now_ms));
        let amounts: Vec<Amount> =
            live.map(|spent| &spent.claim).chain([claim]).filter_map(|c| c.charges.get(scope)).copied().collect();
        book::within(scope, &amounts, bound, counts)
    }
}
