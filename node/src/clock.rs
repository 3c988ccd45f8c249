//! The only place where this daemon asks what time it is. Everything else takes a time.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Wall-clock time in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// Whole seconds since 1970.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }
    /// Earlier by this much, not below zero.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// Milliseconds for which this node has been running, over all boots: downtime counts zero, and nobody can set it forward.
/// Delays are measured in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Uptime(pub u64);

/// Both times of one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// What the wall clock says.
    pub wall: Millis,
    /// How long this node has been running.
    pub uptime: Uptime,
}

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Millis;
    /// Time since some moment of this process, which only ever grows, at the pace of seconds.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    fn now(&self) -> Millis {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Millis(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        ORIGIN.elapsed()
    }
}

/// Counts on where the boot before left off.
pub struct Running {
    clock: Arc<dyn Clock>,
    before: Uptime,
    origin: Duration,
}

impl Running {
    /// Goes on from the time that was durable last.
    pub fn new(clock: Arc<dyn Clock>, before: Uptime) -> Self {
        let origin = clock.monotonic();
        Self { clock, before, origin }
    }

    /// Both times.
    pub fn now(&self) -> Now {
        let here = self.clock.monotonic().saturating_sub(self.origin);
        let here = u64::try_from(here.as_millis()).unwrap_or(u64::MAX);
        Now { wall: self.clock.now(), uptime: Uptime(self.before.0.saturating_add(here)) }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running(since {:?})", self.before)
    }
}
