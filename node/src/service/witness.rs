//! The door of a witness for the signers of its charter: they bring versions and stop records, which prove themselves.

use std::sync::Arc;

use bytes::Bytes;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::NodeId;
use limen_wire::pb;
use limen_wire::pb::witness_server::Witness;
use limen_wire::tls;
use tonic::{Request, Response, Status};

use super::Keeps;
use crate::charters::{Follows, history};
use crate::shared::{CallerKind, Shared, parse_caller};
use crate::stops::exchange;

/// The service for signers.
#[derive(Debug)]
pub struct WitnessService<K>(Arc<K>);

impl<K: Keeps> WitnessService<K> {
    /// Serves this witness.
    pub const fn new(host: Arc<K>) -> Self {
        Self(host)
    }

    fn signer<T>(&self, request: &Request<T>) -> Result<NodeId, ApiError> {
        let name = tls::caller(request, self.0.pins());
        match name.as_deref().and_then(parse_caller) {
            Some((CallerKind::Node, id)) => Ok(id),
            _ => Err(ApiError::new(Code::NotEnrolled, "only a signer of the charter may call this")),
        }
    }
}

#[tonic::async_trait]
impl<K: Keeps + Follows> Witness for WitnessService<K> {
    async fn hear(&self, request: Request<pb::HearRequest>) -> Result<Response<pb::HearResponse>, Status> {
        let host = self.0.as_ref();
        let status = |error: ApiError| Status::from(host.refuse(error));
        let from = self.signer(&request).map_err(status)?;
        let pb::HearRequest { page, texts } = request.into_inner();
        history::take_in(host, texts).await.map_err(status)?;
        if let Some(page) = page {
            exchange::take_in(host, &from, page).await.map_err(status)?;
        }
        let wanted = history::wanted(host).map_err(|error| status(Shared::store_error(&error)))?;
        let read = exchange::question(host.decisions().store, &from);
        Ok(Response::new(pb::HearResponse {
            read: Some(read.map_err(|error| status(Shared::store_error(&error)))?),
            charter: Bytes::copy_from_slice(host.charter().hash().as_bytes()),
            wanted: wanted.iter().map(|hash| Bytes::copy_from_slice(hash.as_bytes())).collect(),
        }))
    }
}
