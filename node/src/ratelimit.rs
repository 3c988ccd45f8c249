//! Log lines that a peer can cause are limited: one a second for each kind, with the number left out since.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Limits lines by kind. Kinds are fixed words, so the map is bounded by the program text.
#[derive(Debug, Default)]
pub struct RateLimit {
    kinds: Mutex<HashMap<&'static str, (Instant, u64)>>,
}

/// The limit shared by all warnings of this process.
pub static WARNINGS: LazyLock<RateLimit> = LazyLock::new(RateLimit::default);

impl RateLimit {
    /// `Some(n)` if a line may be written now, `n` being how many of its kind it stands for.
    pub fn pass(&self, kind: &'static str) -> Option<u64> {
        self.pass_every(kind, Duration::from_secs(1))
    }

    /// The same for what stays so for long: one line in each such time.
    pub fn pass_every(&self, kind: &'static str, pause: Duration) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match kinds.get_mut(kind) {
            Some((last, held)) if now.saturating_duration_since(*last) < pause => {
                *held = held.saturating_add(1);
                None
            }
            Some(entry) => {
                let count = entry.1.saturating_add(1);
                *entry = (now, 0);
                Some(count)
            }
            None => {
                kinds.insert(kind, (now, 0));
                Some(1)
            }
        }
    }
}
