//! Percentiles of measured times.

use std::time::Duration;

use serde::Serialize;

/// How measured times are spread, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) samples: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl Spread {
    /// None without samples.
    pub(crate) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let max = times.last()?;
        Some(Self {
            samples: times.len(),
            p50_ms: millis(rank(&times, 50)?),
            p95_ms: millis(rank(&times, 95)?),
            p99_ms: millis(rank(&times, 99)?),
            max_ms: millis(*max),
        })
    }
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The smallest time that at least `percent` of all do not exceed (nearest rank).
fn rank(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).max(1);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let spread = Spread::of((1..=100).rev().map(Duration::from_millis).collect()).expect("samples");
        assert_eq!((spread.p50_ms, spread.p95_ms, spread.p99_ms, spread.max_ms), (50.0, 95.0, 99.0, 100.0));
        let one = Spread::of(vec![Duration::from_millis(7)]).expect("a sample");
        assert_eq!((one.p50_ms, one.p99_ms), (7.0, 7.0));
        assert!(Spread::of(Vec::new()).is_none());
    }
}
