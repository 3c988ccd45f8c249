//! How often one caller may call: a stolen client certificate must not keep a signer busy.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::Uptime;

/// Calls that one caller may make at once.
pub const BURST: u64 = 64;
/// Milliseconds after which it may make one more.
pub const REFILL_MS: u64 = 250;
/// Callers that are told apart; more are refused until some have been quiet.
pub const CALLERS: usize = 1024;

/// What one caller has used up.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    used: u64,
    since: Uptime,
}

impl Bucket {
    /// What is used up now: less by one for each interval since.
    fn at(self, now: Uptime) -> Self {
        let back = now.0.saturating_sub(self.since.0).checked_div(REFILL_MS).unwrap_or_default();
        let since = Uptime(self.since.0.saturating_add(back.saturating_mul(REFILL_MS)));
        Self { used: self.used.saturating_sub(back), since }
    }
}

/// Callers by the hash of their certificate's key.
#[derive(Debug, Default)]
pub struct Quotas {
    callers: Mutex<HashMap<[u8; 32], Bucket>>,
}

impl Quotas {
    /// Whether the caller may call now, counted if so.
    pub fn pass(&self, caller: [u8; 32], now: Uptime) -> bool {
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if !callers.contains_key(&caller) && callers.len() >= CALLERS {
            callers.retain(|_, bucket| bucket.at(now).used > 0);
            if callers.len() >= CALLERS {
                return false;
            }
        }
        let bucket = callers.entry(caller).or_insert(Bucket { used: 0, since: now });
        *bucket = bucket.at(now);
        if bucket.used >= BURST {
            return false;
        }
        bucket.used = bucket.used.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_a_burst_and_then_a_pace_and_takes_nothing_from_others() {
        let quotas = Quotas::default();
        let start = Uptime(1_000_000);
        assert!((0..BURST).all(|_| quotas.pass([1; 32], start)));
        assert!(!quotas.pass([1; 32], start));
        assert!(quotas.pass([2; 32], start), "another caller");
        assert!(!quotas.pass([1; 32], Uptime(start.0 + REFILL_MS - 1)));
        assert!(quotas.pass([1; 32], Uptime(start.0 + REFILL_MS)));
        assert!(!quotas.pass([1; 32], Uptime(start.0 + REFILL_MS)));
    }

    #[test]
    fn callers_are_bounded_and_quiet_ones_make_room() {
        let quotas = Quotas::default();
        let caller = |n: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_be_bytes());
            id
        };
        assert!((0..CALLERS).all(|n| quotas.pass(caller(n), Uptime(0))));
        assert!(!quotas.pass(caller(CALLERS), Uptime(0)));
        assert!(quotas.pass(caller(CALLERS), Uptime(REFILL_MS)));
    }
}
