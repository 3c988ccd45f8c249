//! The door for the keeper of the evidence log: signers and witnesses have the same.

use std::sync::Arc;

use limen_wire::error::{ApiError, Code};
use limen_wire::pb;
use limen_wire::pb::evidence_server::Evidence;
use limen_wire::tls;
use tonic::{Request, Response, Status};

use super::Keeps;
use crate::log::{Follower, LogAlarm};
use crate::shared::{CallerKind, Shared, parse_caller};

/// A process that follows the log.
pub trait FollowsLog: Keeps {
    /// What it follows it with, now; a refusal while it stops.
    fn follower(&self) -> Result<Follower<'_>, ApiError>;
    /// Whether another log was shown.
    fn log_alarm(&self) -> &LogAlarm;
}

impl FollowsLog for Shared {
    fn follower(&self) -> Result<Follower<'_>, ApiError> {
        self.check_running()?;
        // An old disk has forgotten what it cosigned.
        if let Some(words) = self.standings.rolled_back() {
            return Err(ApiError::new(Code::NoStanding, words));
        }
        let Self { store, me, identity, metrics, .. } = self;
        Ok(Follower { charter: self.charter(), store, me, identity, metrics, now: self.time() })
    }
    fn log_alarm(&self) -> &LogAlarm {
        &self.log_alarm
    }
}

/// The service for the log's keeper.
#[derive(Debug)]
pub struct EvidenceService<F>(Arc<F>);

impl<F: FollowsLog> EvidenceService<F> {
    /// Serves this process.
    pub const fn new(host: Arc<F>) -> Self {
        Self(host)
    }

    /// One log has one keeper: the first coordinator of the charter.
    fn follower<T>(&self, request: &Request<T>) -> Result<Follower<'_>, Status> {
        let name = tls::caller(request, self.0.pins());
        let follower = self.0.follower().and_then(|follower| {
            let keeper = follower.charter.coordinators.first().map(|coordinator| &coordinator.id);
            match name.as_deref().and_then(parse_caller) {
                Some((CallerKind::Coordinator, id)) if Some(&id) == keeper => Ok(follower),
                _ => Err(ApiError::new(Code::NotEnrolled, "only the first coordinator of the charter keeps the log")),
            }
        });
        follower.map_err(|error| self.status(error))
    }

    fn status(&self, error: ApiError) -> Status {
        self.0.refuse(error).into()
    }
}

#[tonic::async_trait]
impl<F: FollowsLog> Evidence for EvidenceService<F> {
    async fn follow(&self, request: Request<pb::FollowRequest>) -> Result<Response<pb::FollowResponse>, Status> {
        let follower = self.follower(&request)?;
        let outcome = follower.follow(request.into_inner()).await;
        self.0.log_alarm().note(&outcome, follower.metrics);
        outcome.map(Response::new).map_err(|error| self.status(error))
    }

    async fn show_log(&self, request: Request<pb::ShowLogRequest>) -> Result<Response<pb::ShowLogResponse>, Status> {
        let follower = self.follower(&request)?;
        follower.show(request.get_ref()).map(Response::new).map_err(|error| self.status(error))
    }
}
