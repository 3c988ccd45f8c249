//! Threads for protocol steps. A step takes micro- to milliseconds (seconds in CGGMP24 set-up), so it never runs on the
//! threads that serve connections; as many run at a time as there are threads, the rest wait in order.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use crate::memory::leaving_no_trace;

/// The bound on protocol steps that run at the same time.
#[derive(Debug, Clone)]
pub struct CryptoPool {
    /// None: every step runs on the thread that asks for it.
    places: Option<Places>,
    /// Whether steps run behind all others.
    behind: bool,
}

#[derive(Debug, Clone)]
struct Places {
    ahead: Arc<Semaphore>,
    behind: Arc<Semaphore>,
}

/// How much the scheduler puts threads of steps that run behind after the others: a tenth of the processor time where both want it
/// (sched(7), nice(2)).
const NICE: i32 = 10;

/// The step panicked or the runtime is going down. The session is lost, the process is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a protocol step did not finish")]
pub struct StepLost;

impl CryptoPool {
    /// A pool of this many threads.
    pub fn new(threads: usize) -> Self {
        let places = || Arc::new(Semaphore::new(threads.max(1)));
        Self { places: Some(Places { ahead: places(), behind: places() }), behind: false }
    }

    /// No pool: every step runs at once on the thread that asks for it, which may wait. For simulations, which have no runtime.
    pub const fn none() -> Self {
        Self { places: None, behind: false }
    }

    /// The same pool for what nobody waits for: its steps take places of their own, and processor time that no other step wants. The
    /// set-up of new shares takes seconds, and signatures are asked for meanwhile.
    #[must_use]
    pub fn behind(&self) -> Self {
        Self { places: self.places.clone(), behind: true }
    }

    /// Runs a step.
    pub async fn run<T: Send + 'static>(&self, step: impl FnOnce() -> T + Send + 'static) -> Result<T, StepLost> {
        let Some(places) = &self.places else { return Ok(step()) };
        let places = if self.behind { &places.behind } else { &places.ahead };
        let place = Arc::clone(places).acquire_owned().await.map_err(|_| StepLost)?;
        let job = move || {
            let _place = place;
            leaving_no_trace(step)
        };
        if self.behind { behind(job).await } else { tokio::task::spawn_blocking(job).await.map_err(|_| StepLost) }
    }

    /// Runs what waits for the disk instead of the processor: it takes no place.
    pub async fn aside<T: Send + 'static>(&self, step: impl FnOnce() -> T + Send + 'static) -> Result<T, StepLost> {
        match self.places {
            None => Ok(step()),
            Some(_) => tokio::task::spawn_blocking(move || leaving_no_trace(step)).await.map_err(|_| StepLost),
        }
    }
}

/// On a thread of its own: no thread gets its precedence back without a privilege.
async fn behind<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T, StepLost> {
    let (done, outcome) = oneshot::channel();
    let thread = std::thread::Builder::new().name("limen-behind".to_owned());
    let started = thread.spawn(move || {
        // Refused where somebody has forbidden it: then the step is as quick as the others, and in their way.
        rustix::process::nice(NICE).ok();
        done.send(job()).ok();
    });
    started.map_err(|_| StepLost)?;
    outcome.await.map_err(|_| StepLost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_runs_behind_takes_no_place_from_the_others() {
        let pool = CryptoPool::new(1);
        let (release, held) = std::sync::mpsc::sync_channel::<()>(1);
        let behind = tokio::spawn({
            let pool = pool.behind();
            async move { pool.run(move || held.recv().is_ok()).await }
        });
        assert_eq!(pool.run(|| 7).await, Ok(7), "while the other one runs");
        release.send(()).unwrap();
        assert_eq!(behind.await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn what_runs_behind_gives_way() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let here = nice();
        assert_eq!(CryptoPool::new(1).behind().run(nice).await, Ok((here + NICE).min(19)));
        assert_eq!(CryptoPool::new(1).run(nice).await, Ok(here));
    }

    #[tokio::test]
    async fn a_step_that_panics_is_lost_in_both() {
        let pool = CryptoPool::new(1);
        for pool in [pool.clone(), pool.behind()] {
            assert_eq!(pool.run(|| panic!("as wanted")).await, Err::<(), _>(StepLost));
            assert_eq!(pool.run(|| 1).await, Ok(1), "the place is free again");
        }
    }
}
