//! Threads for protocol steps. A step takes micro- to milliseconds (seconds in CGGMP24 set-up), so it never runs on the
//! threads that serve connections; as many run at a time as there are threads, the rest wait in order.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::memory::leaving_no_trace;

/// The bound on protocol steps that run at the same time.
#[derive(Debug, Clone)]
pub struct CryptoPool {
    /// None: every step runs on the thread that asks for it.
    places: Option<Arc<Semaphore>>,
}

/// The step panicked or the runtime is going down. The session is lost, the process is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a protocol step did not finish")]
pub struct StepLost;

impl CryptoPool {
    /// A pool of this many threads.
    pub fn new(threads: usize) -> Self {
        Self { places: Some(Arc::new(Semaphore::new(threads.max(1)))) }
    }

    /// No pool: every step runs at once on the thread that asks for it, which may wait. For simulations, which have no runtime.
    pub const fn none() -> Self {
        Self { places: None }
    }

    /// Runs a step.
    pub async fn run<T: Send + 'static>(&self, step: impl FnOnce() -> T + Send + 'static) -> Result<T, StepLost> {
        let Some(places) = &self.places else { return Ok(step()) };
        let place = Arc::clone(places).acquire_owned().await.map_err(|_| StepLost)?;
        let job = move || {
            let _place = place;
            leaving_no_trace(step)
        };
        tokio::task::spawn_blocking(job).await.map_err(|_| StepLost)
    }

    /// Runs what waits for the disk instead of the processor: it takes no place.
    pub async fn aside<T: Send + 'static>(&self, step: impl FnOnce() -> T + Send + 'static) -> Result<T, StepLost> {
        match self.places {
            None => Ok(step()),
            Some(_) => tokio::task::spawn_blocking(move || leaving_no_trace(step)).await.map_err(|_| StepLost),
        }
    }
}
