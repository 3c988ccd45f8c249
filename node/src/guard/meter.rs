//! How much of a limit this signer has allowed by itself, without the ledger's certificate.
//!
//! Each signer may allow a share of what the charter sets aside for this (`docs/limits.md`): `⌊split / (n − 1)⌋`, where n is
//! how many signers the charter names. A signature takes at least one honest signer, which counts it in full, whatever
//! sets a coordinator picks and whatever sizes the keys have; the honest ones together never get beyond the whole.
//!
//! Time is the node's own running time, so no step of the wall clock makes a window shorter. What is allowed counts until
//! the intent has expired and the window has passed after that.

#[cfg(test)]
mod tests;

use limen_policy::charter::Charter;
use limen_policy::charter::vault::Limit;
use limen_policy::decide::Charge;
use limen_policy::ledger::{Bound, Signers};
use limen_wire::effects::Amount;
use limen_wire::error::{ApiError, Code};
use serde::{Deserialize, Serialize};

use crate::clock::Uptime;

/// A window is counted in so many steps; what ends within one step ends at its end.
const STEPS: u64 = 64;
/// Parts of one meter: requests of very different expiry are counted together, never for a shorter time.
const MOST_PARTS: usize = 128;

/// What was allowed and still counts, by when it stops counting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meter {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    /// In milliseconds of running time.
    until: u64,
    amount: Amount,
    count: u64,
}

impl Meter {
    /// Amount and number of what counts now. A sum beyond 256 bits counts as the most there is.
    pub fn used(&self, now: Uptime) -> Bound {
        let live = self.parts.iter().filter(|part| part.until > now.0);
        live.fold(Bound { amount: Amount::ZERO, count: 0 }, |sum, part| Bound {
            amount: sum.amount.checked_add(part.amount).unwrap_or(Amount::MAX),
            count: sum.count.saturating_add(part.count),
        })
    }

    /// Counts one request more. `life_ms` is how long it can still be signed.
    pub fn add(&mut self, limit: &Limit, amount: Amount, life_ms: u64, now: Uptime) {
        self.parts.retain(|part| part.until > now.0);
        let until = match limit.window_secs {
            None => u64::MAX,
            Some(window) => {
                let window = window.saturating_mul(1000);
                let step = (window / STEPS).max(1);
                now.0.saturating_add(life_ms).saturating_add(window).div_ceil(step).saturating_mul(step)
            }
        };
        match self.parts.iter_mut().find(|part| part.until == until) {
            Some(part) => part.join(amount, 1),
            None => {
                let place = self.parts.partition_point(|part| part.until < until);
                self.parts.insert(place, Part { until, amount, count: 1 });
            }
        }
        self.shrink();
    }

    /// Joins the two that end nearest to each other while there are too many: the earlier one counts longer by that.
    fn shrink(&mut self) {
        while self.parts.len() > MOST_PARTS {
            let gaps = self.parts.iter().zip(self.parts.iter().skip(1));
            let nearest = gaps.enumerate().min_by_key(|(_, (one, next))| next.until.saturating_sub(one.until));
            let Some(place) = nearest.map(|(place, _)| place) else { return };
            let early = self.parts.remove(place);
            self.parts.get_mut(place).into_iter().for_each(|next| next.join(early.amount, early.count));
        }
    }
}

impl Part {
    fn join(&mut self, amount: Amount, count: u64) {
        self.amount = self.amount.checked_add(amount).unwrap_or(Amount::MAX);
        self.count = self.count.saturating_add(count);
    }
}

/// This signer's share of a limit.
pub(super) fn share(charter: &Charter, limit: &Limit) -> Bound {
    let total = charter.nodes.len() as u64;
    // The least favourable committee: what holds for two signers of which one may be corrupt holds for every other. A key in one
    // token uses no shares.
    let signers = Signers { total, required: 2, corrupt: 1 };
    let amount = if limit.max_amount.is_none() { Amount::MAX } else { limit.split_amount };
    let count = if limit.max_count.is_none() { u64::MAX } else { limit.split_count };
    let share = signers.share(Bound { amount, count });
    // What the limit does not bound is not shared either.
    Bound {
        amount: if limit.max_amount.is_none() { Amount::MAX } else { share.amount },
        count: if limit.max_count.is_none() { u64::MAX } else { share.count },
    }
}

/// Whether a charge fits into this signer's share.
pub(super) fn fits(charter: &Charter, charge: &Charge, meter: &Meter, now: Uptime) -> Result<(), ApiError> {
    let unknown = || ApiError::new(Code::Internal, format!("the charter has no limit {}", charge.limit));
    let limit = charter.limits.get(&charge.limit).ok_or_else(unknown)?;
    let (share, used) = (share(charter, limit), meter.used(now));
    let of = if charge.subject.is_empty() { String::new() } else { format!(" for {}", charge.subject) };
    let reached = |what: String| Err(ApiError::new(Code::LimitReached, format!("{}{of}: {what}", limit.title())));
    match used.amount.checked_add(charge.amount) {
        Some(sum) if sum <= share.amount => {}
        _ => {
            let (have, used, takes) = (share.amount, used.amount, charge.amount);
            return reached(format!("{used} of this signer's share of {have} is used, this request takes {takes}"));
        }
    }
    if used.count >= share.count {
        return reached(format!("{} of this signer's share of {} requests are used", used.count, share.count));
    }
    Ok(())
}
