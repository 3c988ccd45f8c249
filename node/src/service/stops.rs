//! The door for people: whoever holds a certificate of the client authority hands stop records in, and does nothing else.

use std::sync::Arc;

use limen_policy::freeze::Lifters;
use limen_wire::error::{ApiError, Code};
use limen_wire::pb;
use limen_wire::pb::stops_server::Stops;
use limen_wire::tls;
use prost::Message as _;
use tonic::{Request, Response, Status};

use crate::charters::Door;
use crate::shared::Shared;
use crate::stops::quota::Quotas;
use crate::store::stops::Lifting;
use crate::{freezes, stops};

/// The service for clients.
#[derive(Debug, Clone)]
pub struct StopsService {
    shared: Arc<Shared>,
    quotas: Arc<Quotas>,
}

impl StopsService {
    /// Serves this signer.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, quotas: Arc::default() }
    }

    fn status(&self, error: ApiError) -> Status {
        self.shared.refuse(error).into()
    }

    /// Any certificate that got in will do: what is handed in proves itself.
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let caller = tls::caller_key(request);
        let unknown = || self.status(ApiError::new(Code::NotEnrolled, "no certificate was shown"));
        if self.quotas.pass(caller.ok_or_else(unknown)?, self.shared.time().uptime) {
            return Ok(());
        }
        Err(self.status(ApiError::new(Code::Overloaded, "this caller calls too often")))
    }
}

#[tonic::async_trait]
impl Stops for StopsService {
    async fn hand_in(&self, request: Request<pb::HandInRequest>) -> Result<Response<pb::HandInResponse>, Status> {
        self.admit(&request)?;
        let record = request.into_inner().record.unwrap_or_default();
        let possibly_signed =
            stops::take(self.shared.as_ref(), record, Door::People).await.map_err(|error| self.status(error))?;
        Ok(Response::new(pb::HandInResponse { node: self.shared.me.to_string(), possibly_signed }))
    }

    async fn list_freezes(
        &self,
        request: Request<pb::ListFreezesRequest>,
    ) -> Result<Response<pb::ListFreezesResponse>, Status> {
        self.admit(&request)?;
        let rows = self.shared.store.view().and_then(|view| Ok((view.freeze_rows()?, view.automatic_rows()?)));
        let (rows, own) = rows.map_err(|error| self.status(Shared::store_error(&error)))?;
        let (charter, now) = (self.shared.charter(), self.shared.time().uptime);
        let left = |lifting: Option<&Lifting>| lifting.map_or(0, |lifting| freezes::wait_ms(&charter, lifting, now));
        let names = |lifters: &Lifters| lifters.keys().map(ToString::to_string).collect();
        let held = rows.into_iter().map(|(_, row)| pb::HeldFreeze {
            freeze: pb::Envelope::decode(row.envelope.as_slice()).ok(),
            held_since_ms: row.held_since_ms,
            lifted_by: names(&row.lifters),
            lifting: row.lifting.is_some(),
            wait_ms: left(row.lifting.as_ref()),
        });
        let automatic = own.into_iter().map(|(requester, row)| pb::AutomaticFreeze {
            id: row.id.to_vec().into(),
            requester: requester.to_string(),
            refused: row.refused,
            within_secs: row.within_secs,
            since_ms: row.since_ms,
            lifted_by: names(&row.lifters),
            lifting: row.lifting.is_some(),
            wait_ms: left(row.lifting.as_ref()),
        });
        let (node, freezes) = (self.shared.me.to_string(), held.collect());
        Ok(Response::new(pb::ListFreezesResponse { node, freezes, automatic: automatic.collect() }))
    }
}
