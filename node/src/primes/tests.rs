//! What becomes of a set that was found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::PrimePool;
use crate::metrics::Metrics;

fn pool(target: usize) -> Arc<PrimePool<u32>> {
    Arc::new(PrimePool::new(target, Arc::new(Metrics::default())))
}

/// Searches until nothing is wanted any more; the number of sets found.
fn search(pool: &PrimePool<u32>) -> u32 {
    let found = AtomicU32::new(0);
    let idle = || {
        let state = pool.lock();
        state.waiting.is_empty() && state.ready.len() >= state.target
    };
    while !idle() {
        assert!(pool.wanted());
        pool.hand_out(found.fetch_add(1, Ordering::Relaxed));
    }
    found.into_inner()
}

#[tokio::test]
async fn found_sets_are_kept_until_they_are_taken() {
    let pool = pool(2);
    assert_eq!(search(&pool), 2, "each set found is one set more");
    assert_eq!((pool.ready(), pool.metrics.prime_sets.get()), (2, 2));
    assert_eq!(pool.take().await, Some(0));
    assert_eq!((pool.ready(), pool.metrics.prime_sets.get()), (1, 1));
}

#[tokio::test]
async fn whoever_waits_is_served_first_and_who_gave_up_is_passed_over() {
    let pool = pool(0);
    let (gone, waits) = (pool.take(), pool.take());
    tokio::pin!(waits);
    {
        tokio::pin!(gone);
        assert!(poll_once(gone.as_mut()).is_none());
        assert!(poll_once(waits.as_mut()).is_none());
    }
    assert_eq!(search(&pool), 1);
    assert_eq!(waits.await, Some(0));
    assert_eq!(pool.ready(), 0);
}

#[tokio::test]
async fn a_pool_that_stops_keeps_nothing_and_lets_everybody_go() {
    let pool = pool(1);
    let waits = pool.take();
    tokio::pin!(waits);
    assert!(poll_once(waits.as_mut()).is_none());
    pool.stop();
    assert_eq!(waits.await, None);
    assert!(!pool.wanted());
    pool.hand_out(7);
    assert_eq!(pool.ready(), 0, "a set found too late is dropped");
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}
