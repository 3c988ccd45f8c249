//! A signer over gRPC.

use std::sync::Arc;

use limen_wire::error::ApiError;
use limen_wire::limits;
use limen_wire::pb::{self, signer_client::SignerClient};
use limen_wire::tls::{self, Dial, TlsError, TlsIdentity};
use tonic::transport::Channel;
use tonic::{Request, Status, async_trait};

use super::{CallError, SignerPort};

/// A signer at the other end of a mutual TLS connection with pinned keys.
#[derive(Debug, Clone)]
pub struct GrpcPort(SignerClient<Channel>);

impl GrpcPort {
    /// Prepares the connection; it is made when first used, and again whenever it breaks.
    pub fn new(identity: &TlsIdentity, node: &limen_policy::charter::Node) -> Result<Self, TlsError> {
        let config = tls::pinned_client(identity, node.id.as_str(), &node.public_key)?;
        let channel = Dial::new(node.address.clone(), node.id.as_str()).lazy(config)?;
        let client = SignerClient::new(channel)
            .max_decoding_message_size(limits::GRPC_MESSAGE_BYTES)
            .max_encoding_message_size(limits::GRPC_MESSAGE_BYTES);
        Ok(Self(client))
    }

    /// As a port.
    pub fn shared(self) -> Arc<dyn SignerPort> {
        Arc::new(self)
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        match ApiError::from_status(&status) {
            Some(error) => Self::Refused(error),
            None => Self::Unreachable(format!("{:?}: {}", status.code(), status.message())),
        }
    }
}

macro_rules! call {
    ($self:ident.$method:ident($request:expr)) => {
        Ok($self.0.clone().$method(Request::new($request)).await?.into_inner())
    };
}

#[async_trait]
impl SignerPort for GrpcPort {
    async fn announce(&self, request: pb::AnnounceRequest) -> Result<pb::AnnounceResponse, CallError> {
        call!(self.announce(request))
    }
    async fn simulate(&self, request: pb::AnnounceRequest) -> Result<pb::AnnounceResponse, CallError> {
        call!(self.simulate(request))
    }
    async fn sign(&self, request: pb::SignRequest) -> Result<pb::SignResponse, CallError> {
        call!(self.sign(request))
    }
    async fn generate_key(&self, request: pb::GenerateKeyRequest) -> Result<pb::GenerateKeyResponse, CallError> {
        call!(self.generate_key(request))
    }
    async fn hand_over_key(&self, request: pb::HandOverKeyRequest) -> Result<pb::HandOverKeyResponse, CallError> {
        call!(self.hand_over_key(request))
    }
    async fn activate_key(&self, request: pb::ActivateKeyRequest) -> Result<pb::ActivateKeyResponse, CallError> {
        call!(self.activate_key(request))
    }
    async fn presign(&self, request: pb::PresignRequest) -> Result<pb::PresignResponse, CallError> {
        call!(self.presign(request))
    }
    async fn stop(&self, request: pb::StopRequest) -> Result<pb::StopResponse, CallError> {
        call!(self.stop(request))
    }
    async fn take_charter(&self, request: pb::TakeCharterRequest) -> Result<pb::TakeCharterResponse, CallError> {
        call!(self.take_charter(request))
    }
    async fn list_charters(&self, request: pb::ListChartersRequest) -> Result<pb::ListChartersResponse, CallError> {
        call!(self.list_charters(request))
    }
    async fn status(&self) -> Result<pb::StatusResponse, CallError> {
        call!(self.status(pb::StatusRequest {}))
    }
    async fn list_intents(&self, request: pb::ListIntentsRequest) -> Result<pb::ListIntentsResponse, CallError> {
        call!(self.list_intents(request))
    }
    async fn list_key_shares(&self) -> Result<pb::ListKeySharesResponse, CallError> {
        call!(self.list_key_shares(pb::ListKeySharesRequest {}))
    }
    async fn list_backups(&self, request: pb::ListBackupsRequest) -> Result<pb::ListBackupsResponse, CallError> {
        call!(self.list_backups(request))
    }
    async fn fetch_backup(&self, request: pb::FetchBackupRequest) -> Result<pb::FetchBackupResponse, CallError> {
        call!(self.fetch_backup(request))
    }
    async fn prove_backup(&self, request: pb::ProveBackupRequest) -> Result<pb::ProveBackupResponse, CallError> {
        call!(self.prove_backup(request))
    }
}
