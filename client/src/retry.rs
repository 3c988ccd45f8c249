//! Repeating calls until they are answered: every call of the API is safe to repeat.

use std::future::Future;
use std::time::Duration;

use limen_wire::error::ApiError;
use tokio::time::Instant;
use tonic::Status;

use crate::error::Error;

/// How long and how often a call is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The bound on a call with all its repetitions.
    pub deadline: Duration,
    /// The bound on one attempt.
    pub attempt: Duration,
    /// The pause after the first failed attempt; doubles each time.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            attempt: Duration::from_secs(10),
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(2),
        }
    }
}

enum Verdict {
    Final(Error),
    Again(String),
}

/// An error of the table is final unless the table says that the same call may succeed later.
fn judge(status: &Status) -> Verdict {
    if let Some(error) = ApiError::from_status(status) {
        return if error.code.retryable() { Verdict::Again(error.to_string()) } else { Verdict::Final(error.into()) };
    }
    // Without details the transport speaks, or something that is no Limen coordinator.
    Verdict::Again(format!("{:?}: {}", status.code(), describe(status)))
}

fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}

impl Retry {
    /// Calls until there is an answer, a final error, or no time left.
    pub(crate) async fn run<T, F, C>(&self, call: &'static str, attempt: C) -> Result<T, Error>
    where
        C: Fn() -> F,
        F: Future<Output = Result<T, Status>>,
    {
        let started = Instant::now();
        let mut attempts = 0u32;
        let mut last_refusal = None;
        loop {
            attempts = attempts.saturating_add(1);
            let left = self.deadline.saturating_sub(started.elapsed());
            let bound = self.attempt.min(left).max(Duration::from_millis(1));
            let last = match tokio::time::timeout(bound, attempt()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(status)) => {
                    last_refusal = ApiError::from_status(&status);
                    match judge(&status) {
                        Verdict::Final(error) => return Err(error),
                        Verdict::Again(reason) => reason,
                    }
                }
                Err(_) => format!("no answer within {:.1} s", bound.as_secs_f64()),
            };
            let pause = self.pause(attempts);
            if started.elapsed() + pause >= self.deadline {
                return Err(match last_refusal {
                    Some(refusal) => refusal.into(),
                    None => Error::Unreachable { call, attempts, waited: started.elapsed(), last },
                });
            }
            tracing::debug!(call, attempts, %last, "call failed, trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// Doubles from attempt to attempt, and takes between half and all of that: clients that failed together must not
    /// come back together.
    pub(crate) fn pause(&self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        let full = self.first_pause.saturating_mul(1 << doublings).min(self.longest_pause);
        let mut byte = [0u8; 1];
        // Without random bytes the pause is just not spread.
        let _ = getrandom::getrandom(&mut byte);
        full.mul_f64(0.5 + f64::from(byte[0]) / 512.0)
    }
}
