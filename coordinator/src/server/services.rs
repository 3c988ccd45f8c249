//! From gRPC to the parts that do the work.

use std::sync::Arc;

use limen_wire::error::{ApiError, Code};
use limen_wire::pb;
use limen_wire::pb::admin_server::Admin;
use limen_wire::pb::custody_server::Custody;
use tonic::{Request, Response, Status, async_trait};

use crate::context::{Core, store_failed};
use crate::ledger::Ledgers;
use crate::{backups, charters, drills, intake, keys, log, watch};

/// The door for clients.
pub(super) struct CustodyService(pub(super) Arc<Core>);

/// The door for the security team.
pub(super) struct AdminService(pub(super) Arc<Core>);

fn envelope(envelope: Option<pb::Envelope>) -> Result<pb::Envelope, ApiError> {
    envelope.ok_or_else(|| ApiError::new(Code::Malformed, "field envelope is missing"))
}

#[async_trait]
impl Custody for CustodyService {
    async fn submit(&self, request: Request<pb::SubmitRequest>) -> Result<Response<pb::SubmitResponse>, Status> {
        let envelope = envelope(request.into_inner().envelope)?;
        let (entry, repeated_submit) = intake::submit(&self.0, envelope).await?;
        Ok(Response::new(pb::SubmitResponse { request: Some(entry.record.to_wire()), repeated_submit }))
    }

    async fn get(&self, request: Request<pb::GetRequest>) -> Result<Response<pb::GetResponse>, Status> {
        let entry = intake::find(&self.0, request.into_inner())?;
        Ok(Response::new(pb::GetResponse { request: Some(entry.record.to_wire()) }))
    }

    async fn list(&self, request: Request<pb::ListRequest>) -> Result<Response<pb::ListResponse>, Status> {
        Ok(Response::new(watch::list(&self.0, request.into_inner())?))
    }

    type WatchStream = watch::Changes;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(watch::watch(&self.0, request.into_inner())?))
    }

    async fn cancel(&self, request: Request<pb::CancelRequest>) -> Result<Response<pb::CancelResponse>, Status> {
        let envelope = envelope(request.into_inner().envelope)?;
        let entry = intake::cancel(&self.0, envelope).await?;
        Ok(Response::new(pb::CancelResponse { request: Some(entry.record.to_wire()) }))
    }

    async fn approve(&self, request: Request<pb::ApproveRequest>) -> Result<Response<pb::ApproveResponse>, Status> {
        let entry = intake::approve(&self.0, envelope(request.into_inner().approval)?).await?;
        Ok(Response::new(pb::ApproveResponse { request: Some(entry.record.to_wire()) }))
    }

    async fn simulate(&self, request: Request<pb::SimulateRequest>) -> Result<Response<pb::SimulateResponse>, Status> {
        let envelope = envelope(request.into_inner().envelope)?;
        Ok(Response::new(intake::simulate(&self.0, envelope).await?))
    }

    async fn receipt(&self, request: Request<pb::ReceiptRequest>) -> Result<Response<pb::ReceiptResponse>, Status> {
        Ok(Response::new(log::receipt(&self.0, request.get_ref())?))
    }

    async fn list_keys(&self, request: Request<pb::ListKeysRequest>) -> Result<Response<pb::ListKeysResponse>, Status> {
        Ok(Response::new(keys::list_told(&self.0, &request.into_inner()).await?))
    }

    async fn shadow(&self, _request: Request<pb::ShadowRequest>) -> Result<Response<pb::ShadowResponse>, Status> {
        Ok(Response::new(self.0.shadow_report()))
    }

    async fn submit_charter(
        &self,
        request: Request<pb::SubmitCharterRequest>,
    ) -> Result<Response<pb::CharterStatusResponse>, Status> {
        let signed = envelope(request.into_inner().signed)?;
        Ok(Response::new(charters::submit(&self.0, signed).await?))
    }

    async fn veto_charter(
        &self,
        request: Request<pb::VetoCharterRequest>,
    ) -> Result<Response<pb::CharterStatusResponse>, Status> {
        let record = envelope(request.into_inner().veto)?;
        Ok(Response::new(charters::veto(&self.0, record).await))
    }

    async fn charter_status(
        &self,
        request: Request<pb::CharterStatusRequest>,
    ) -> Result<Response<pb::CharterStatusResponse>, Status> {
        Ok(Response::new(charters::status(&self.0, request.into_inner().from_number).await))
    }
}

#[async_trait]
impl Admin for AdminService {
    async fn create_key(
        &self,
        request: Request<pb::CreateKeyRequest>,
    ) -> Result<Response<pb::CreateKeyResponse>, Status> {
        let pb::CreateKeyRequest { envelope: order, pieces } = request.into_inner();
        let key = keys::create(&self.0, envelope(order)?, pieces).await?;
        Ok(Response::new(pb::CreateKeyResponse { key: Some(key) }))
    }

    async fn hand_over(&self, request: Request<pb::HandOverRequest>) -> Result<Response<pb::HandOverResponse>, Status> {
        let envelope = envelope(request.into_inner().envelope)?;
        let key = keys::hand_over(&self.0, envelope).await?;
        Ok(Response::new(pb::HandOverResponse { key: Some(key) }))
    }

    async fn cluster_status(
        &self,
        _request: Request<pb::ClusterStatusRequest>,
    ) -> Result<Response<pb::ClusterStatusResponse>, Status> {
        Ok(Response::new(status(&self.0).await?))
    }

    async fn list_backups(
        &self,
        request: Request<pb::ListBackupsRequest>,
    ) -> Result<Response<pb::ListBackupsResponse>, Status> {
        Ok(Response::new(backups::list(&self.0, request.into_inner()).await?))
    }

    async fn fetch_backup(
        &self,
        request: Request<pb::FetchBackupRequest>,
    ) -> Result<Response<pb::FetchBackupResponse>, Status> {
        Ok(Response::new(backups::fetch(&self.0, request.into_inner()).await?))
    }

    async fn prove_backup(
        &self,
        request: Request<pb::ProveBackupRequest>,
    ) -> Result<Response<pb::ProveBackupResponse>, Status> {
        Ok(Response::new(backups::prove(&self.0, request.into_inner()).await?))
    }

    async fn file_drill(
        &self,
        request: Request<pb::FileDrillRequest>,
    ) -> Result<Response<pb::FileDrillResponse>, Status> {
        Ok(Response::new(drills::file(&self.0, request.into_inner()).await?))
    }
}

async fn status(core: &Core) -> Result<pb::ClusterStatusResponse, ApiError> {
    let (requests_open, requests_ended) = core.store.counts().map_err(store_failed)?;
    let signers = core.signers.all().iter().map(|signer| {
        let health = signer.health();
        pb::SignerHealth {
            node: signer.node.to_string(),
            // A signer that has said nothing yet has not answered.
            reachable: health.reachable && health.status.is_some(),
            round_trip_us: health.round_trip_us,
            status: health.status,
            error: health.error,
        }
    });
    Ok(pb::ClusterStatusResponse {
        cluster: core.charter().cluster.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        charter_hash: core.charter().hash().as_bytes().to_vec().into(),
        signers: signers.collect(),
        requests_open,
        requests_ended,
        witnesses: Ledgers::witnesses(core).await,
    })
}
