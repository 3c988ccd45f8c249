//! Waiting for the end of a request, which may take people days.

use std::time::Duration;

use limen_wire::ids::IntentId;
use limen_wire::request::RequestState;
use tokio::time::Instant;

use crate::client::{Client, standing};
use crate::error::{Error, Untrue};
use crate::request::Request;

/// How long to wait for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    at_most: Duration,
    in_all: bool,
}

impl Patience {
    /// So long for the machines. The time in which people decide or delays run does not count.
    pub const fn with_machines(at_most: Duration) -> Self {
        Self { at_most, in_all: false }
    }
    /// So long and no longer, whoever is waited for.
    pub const fn in_all(at_most: Duration) -> Self {
        Self { at_most, in_all: true }
    }
}

impl From<Duration> for Patience {
    fn from(at_most: Duration) -> Self {
        Self::with_machines(at_most)
    }
}

impl Client {
    /// Waits until the request has ended, whichever way. A bare duration is [`Patience::with_machines`].
    pub async fn wait(&self, id: IntentId, patience: impl Into<Patience>) -> Result<Request, Error> {
        self.follow(id, patience, |_| {}).await
    }

    /// As [`Client::wait`]; tells of every change.
    pub async fn follow(
        &self,
        id: IntentId,
        patience: impl Into<Patience>,
        mut told: impl FnMut(&Request),
    ) -> Result<Request, Error> {
        let patience = patience.into();
        let (started, mut left) = (Instant::now(), patience.at_most);
        let mut state = RequestState::Submitted;
        let mut watch = self.watch(Some(id));
        loop {
            let since = Instant::now();
            let request = if state.is_waiting() && !patience.in_all {
                watch.next().await?
            } else {
                let Ok(next) = tokio::time::timeout(left, watch.next()).await else {
                    return self.not_ended(id, started).await;
                };
                left = left.saturating_sub(since.elapsed());
                next?
            };
            if request.id() != id {
                return Err(Untrue::OtherIntent.into());
            }
            told(&request);
            state = request.state;
            if state.is_end() {
                return Ok(request);
            }
        }
    }

    async fn not_ended(&self, id: IntentId, started: Instant) -> Result<Request, Error> {
        match self.get(id).await? {
            request if request.state.is_end() => Ok(request),
            request => Err(Error::NotEnded { state: standing(&request), waited: started.elapsed() }),
        }
    }
}
