//! The door for those who carry a ledger's entries around: signers and witnesses have the same.

use std::sync::Arc;

use limen_wire::error::{ApiError, Code};
use limen_wire::pb;
use limen_wire::pb::ledger_server::Ledger;
use limen_wire::tls::{self, Pins};
use tonic::{Request, Response, Status};

use crate::ledger::{Keeper, Peers, Reserved};
use crate::peers;
use crate::shared::{CallerKind, Shared, parse_caller};

/// A process that keeps ledgers.
pub trait Keeps: Send + Sync + 'static {
    /// What it keeps them with, now; a refusal while it stops.
    fn keeper(&self) -> Result<Keeper<'_>, ApiError>;
    /// Names by pinned TLS key.
    fn pins(&self) -> &Pins;
    /// An error that names this node, counted.
    fn refuse(&self, error: ApiError) -> ApiError;
    /// Tells peers, if it has any, what people said against requests.
    fn tell(&self, news: &[pb::Envelope]);
}

impl Keeps for Shared {
    fn keeper(&self) -> Result<Keeper<'_>, ApiError> {
        self.check_running()?;
        // An old disk has forgotten what it promised.
        if let Some(words) = self.standings.rolled_back() {
            return Err(ApiError::new(Code::NoStanding, words));
        }
        let decisions = self.decisions();
        Ok(Keeper { decisions, ledgers: &self.ledgers, me: &self.me, identity: &self.identity, peers: self })
    }
    fn pins(&self) -> &Pins {
        &self.pins
    }
    fn refuse(&self, error: ApiError) -> ApiError {
        Self::refuse(self, error)
    }
    fn tell(&self, news: &[pb::Envelope]) {
        crate::stops::tell(self, news);
    }
}

impl Peers for Shared {
    /// As for a permission, where f is t − 1. A witness is no peer.
    fn stand(&self, needed: usize) -> Result<(), ApiError> {
        peers::stands(self, needed)
    }
}

/// The service for coordinators.
#[derive(Debug)]
pub struct LedgerService<K>(Arc<K>);

impl<K: Keeps> LedgerService<K> {
    /// Serves this process.
    pub const fn new(host: Arc<K>) -> Self {
        Self(host)
    }

    fn keeper<T>(&self, request: &Request<T>) -> Result<Keeper<'_>, Status> {
        let name = tls::caller(request, self.0.pins());
        let keeper = self.0.keeper().and_then(|keeper| {
            let coordinators = &keeper.decisions.charter.coordinators;
            match name.as_deref().and_then(parse_caller) {
                Some((CallerKind::Coordinator, id)) if coordinators.iter().any(|one| one.id == id) => Ok(keeper),
                _ => Err(ApiError::new(Code::NotEnrolled, "only a coordinator of the charter may call this")),
            }
        });
        keeper.map_err(|error| self.status(error))
    }

    fn status(&self, error: ApiError) -> Status {
        self.0.refuse(error).into()
    }
}

#[tonic::async_trait]
impl<K: Keeps> Ledger for LedgerService<K> {
    async fn reserve(
        &self,
        request: Request<pb::LedgerReserveRequest>,
    ) -> Result<Response<pb::LedgerReserveResponse>, Status> {
        let keeper = self.keeper(&request)?;
        let Reserved { response, news } =
            keeper.reserve(request.into_inner()).await.map_err(|error| self.status(error))?;
        self.0.tell(&news);
        Ok(Response::new(response))
    }

    async fn close(
        &self,
        request: Request<pb::LedgerCloseRequest>,
    ) -> Result<Response<pb::LedgerCloseResponse>, Status> {
        let keeper = self.keeper(&request)?;
        keeper.close(request.into_inner()).await.map(Response::new).map_err(|error| self.status(error))
    }

    async fn show(&self, request: Request<pb::LedgerShowRequest>) -> Result<Response<pb::LedgerShowResponse>, Status> {
        let keeper = self.keeper(&request)?;
        keeper.show(request.into_inner()).await.map(Response::new).map_err(|error| self.status(error))
    }
}
