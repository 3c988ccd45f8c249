//! The way to one node that cosigns the log.

use std::sync::Arc;

use limen_wire::limits;
use limen_wire::pb::{self, evidence_client::EvidenceClient};
use limen_wire::tls::{self, Dial, TlsError, TlsIdentity};
use tonic::transport::Channel;
use tonic::{Request, async_trait};

use crate::signers::CallError;

/// What the log's keeper asks of one node. The real one speaks gRPC; tests bring their own.
#[async_trait]
pub trait EvidencePort: Send + Sync + 'static {
    /// Shows leaves and a checkpoint, asks for leaves and a cosignature.
    async fn follow(&self, request: pb::FollowRequest) -> Result<pb::FollowResponse, CallError>;
    /// What the node holds.
    async fn show_log(&self, request: pb::ShowLogRequest) -> Result<pb::ShowLogResponse, CallError>;
}

/// A node at the other end of a mutual TLS connection with pinned keys.
#[derive(Debug, Clone)]
pub struct GrpcEvidencePort(EvidenceClient<Channel>);

impl GrpcEvidencePort {
    /// Prepares the connection; it is made when first used, and again whenever it breaks.
    pub fn new(identity: &TlsIdentity, node: &limen_policy::charter::Node) -> Result<Self, TlsError> {
        let config = tls::pinned_client(identity, node.id.as_str(), &node.public_key)?;
        let channel = Dial::new(node.address.clone(), node.id.as_str()).lazy(config)?;
        let client = EvidenceClient::new(channel)
            .max_decoding_message_size(limits::GRPC_MESSAGE_BYTES)
            .max_encoding_message_size(limits::GRPC_MESSAGE_BYTES);
        Ok(Self(client))
    }

    /// As a port.
    pub fn shared(self) -> Arc<dyn EvidencePort> {
        Arc::new(self)
    }
}

#[async_trait]
impl EvidencePort for GrpcEvidencePort {
    async fn follow(&self, request: pb::FollowRequest) -> Result<pb::FollowResponse, CallError> {
        Ok(self.0.clone().follow(Request::new(request)).await?.into_inner())
    }
    async fn show_log(&self, request: pb::ShowLogRequest) -> Result<pb::ShowLogResponse, CallError> {
        Ok(self.0.clone().show_log(Request::new(request)).await?.into_inner())
    }
}
