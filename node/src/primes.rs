//! CGGMP24's safe primes: found by one thread of the lowest priority, ahead of need where the configuration says so.
//!
//! A set takes about a minute of processor time and serves one key. It stays in memory, secret, until a key generation
//! takes it.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use limen_mpc::{Primes, Seed, generate_primes};
use tokio::sync::oneshot;

use crate::entropy;
use crate::metrics::Metrics;

/// The pool. What it holds is a parameter for tests only, which cannot wait for primes.
pub struct PrimePool<T = Primes> {
    state: Mutex<State<T>>,
    work: Condvar,
    metrics: Arc<Metrics>,
}

struct State<T> {
    ready: VecDeque<T>,
    waiting: VecDeque<oneshot::Sender<T>>,
    target: usize,
    stopped: bool,
}

impl PrimePool {
    /// A pool that keeps `target` sets ready. Its thread ends with [`PrimePool::stop`], after the set in work.
    pub fn start(target: usize, metrics: Arc<Metrics>) -> std::io::Result<Arc<Self>> {
        let pool = Arc::new(Self::new(target, metrics));
        let worker = Arc::clone(&pool);
        let search = move || worker.run(|| generate_primes(Seed::new(*entropy::random())));
        std::thread::Builder::new().name("limen-primes".to_owned()).spawn(search)?;
        Ok(pool)
    }
}

impl<T> PrimePool<T> {
    const fn new(target: usize, metrics: Arc<Metrics>) -> Self {
        let state = State { ready: VecDeque::new(), waiting: VecDeque::new(), target, stopped: false };
        Self { state: Mutex::new(state), work: Condvar::new(), metrics }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, find: impl Fn() -> T) {
        // Without permission to be nice the thread just competes like any other.
        if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19) {
            tracing::debug!(%error, "the prime thread keeps its priority");
        }
        while self.wanted() {
            self.hand_out(find());
        }
    }

    /// Waits until a set is wanted; `false` once the pool has stopped.
    fn wanted(&self) -> bool {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return false;
            }
            if !state.waiting.is_empty() || state.ready.len() < state.target {
                return true;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn hand_out(&self, mut set: T) {
        let mut state = self.lock();
        while let Some(waiting) = state.waiting.pop_front() {
            // whoever gave up waiting leaves the set to the next
            match waiting.send(set) {
                Ok(()) => return,
                Err(back) => set = back,
            }
        }
        if !state.stopped {
            state.ready.push_back(set);
        }
        self.metrics.prime_sets.set(i64::try_from(state.ready.len()).unwrap_or(i64::MAX));
    }

    /// Takes a set, now or once the thread has found one; `None` if the pool stops first.
    pub async fn take(&self) -> Option<T> {
        let waiting = {
            let mut state = self.lock();
            let ready = state.ready.pop_front();
            self.metrics.prime_sets.set(i64::try_from(state.ready.len()).unwrap_or(i64::MAX));
            self.work.notify_one();
            match ready {
                Some(primes) => return Some(primes),
                None => {
                    let (send, receive) = oneshot::channel();
                    state.waiting.push_back(send);
                    receive
                }
            }
        };
        waiting.await.ok()
    }

    /// Sets that are ready.
    pub fn ready(&self) -> usize {
        self.lock().ready.len()
    }

    /// Wipes the sets and lets the thread end.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.ready.clear();
        state.waiting.clear();
        self.work.notify_one();
    }
}

impl<T> std::fmt::Debug for PrimePool<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrimePool({} sets, redacted)", self.ready())
    }
}
