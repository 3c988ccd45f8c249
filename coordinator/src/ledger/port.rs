//! The way to one member of a ledger's committee.

use std::sync::Arc;
use std::time::Duration;

use limen_wire::limits;
use limen_wire::pb::{self, ledger_client::LedgerClient};
use limen_wire::tls::{self, Dial, TlsError, TlsIdentity};
use tonic::transport::Channel;
use tonic::{Request, async_trait};

use crate::signers::CallError;

/// What a coordinator asks of one member. The real one speaks gRPC; tests bring their own.
#[async_trait]
pub trait LedgerPort: Send + Sync + 'static {
    /// Shows certificates, requests and an entry.
    async fn reserve(&self, request: pb::LedgerReserveRequest) -> Result<pb::LedgerReserveResponse, CallError>;
    /// Asks it to give numbers up.
    async fn close(&self, request: pb::LedgerCloseRequest) -> Result<pb::LedgerCloseResponse, CallError>;
    /// A page of its certificates.
    async fn show(&self, request: pb::LedgerShowRequest) -> Result<pb::LedgerShowResponse, CallError>;
}

/// A call that takes no longer than this.
pub(super) async fn bounded<T>(
    patience: Duration,
    call: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout(patience, call).await.unwrap_or(Err(CallError::Timeout(patience)))
}

/// A member at the other end of a mutual TLS connection with pinned keys.
#[derive(Debug, Clone)]
pub struct GrpcLedgerPort(LedgerClient<Channel>);

impl GrpcLedgerPort {
    /// Prepares the connection; it is made when first used, and again whenever it breaks.
    pub fn new(identity: &TlsIdentity, node: &limen_policy::charter::Node) -> Result<Self, TlsError> {
        let config = tls::pinned_client(identity, node.id.as_str(), &node.public_key)?;
        let channel = Dial::new(node.address.clone(), node.id.as_str()).lazy(config)?;
        let client = LedgerClient::new(channel)
            .max_decoding_message_size(limits::GRPC_MESSAGE_BYTES)
            .max_encoding_message_size(limits::GRPC_MESSAGE_BYTES);
        Ok(Self(client))
    }

    /// As a port.
    pub fn shared(self) -> Arc<dyn LedgerPort> {
        Arc::new(self)
    }
}

#[async_trait]
impl LedgerPort for GrpcLedgerPort {
    async fn reserve(&self, request: pb::LedgerReserveRequest) -> Result<pb::LedgerReserveResponse, CallError> {
        Ok(self.0.clone().reserve(Request::new(request)).await?.into_inner())
    }
    async fn close(&self, request: pb::LedgerCloseRequest) -> Result<pb::LedgerCloseResponse, CallError> {
        Ok(self.0.clone().close(Request::new(request)).await?.into_inner())
    }
    async fn show(&self, request: pb::LedgerShowRequest) -> Result<pb::LedgerShowResponse, CallError> {
        Ok(self.0.clone().show(Request::new(request)).await?.into_inner())
    }
}
