//! The signers as the coordinator sees them: calls with deadlines, health, round trips.

mod grpc;
mod health;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use limen_wire::error::ApiError;
use limen_wire::ids::NodeId;
use limen_wire::keys::PublicKey;
use limen_wire::{limits, pb};
use tokio::sync::watch;
use tonic::async_trait;

pub use grpc::GrpcPort;
pub use health::Health;

/// Why a call to a signer gave no answer of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The signer answered with a typed refusal.
    #[error("{0}")]
    Refused(ApiError),
    /// The connection failed, before or after the signer had the request.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("did not answer within {0:?}")]
    Timeout(Duration),
    /// An answer that no honest signer gives.
    #[error("answered with what cannot be: {0}")]
    Invalid(String),
}

/// What a coordinator asks of one signer. The real one speaks gRPC; tests bring signers that lie, hang and vanish.
#[async_trait]
pub trait SignerPort: Send + Sync + 'static {
    /// Shows an intent.
    async fn announce(&self, request: pb::AnnounceRequest) -> Result<pb::AnnounceResponse, CallError>;
    /// Asks for a decision without a trace.
    async fn simulate(&self, request: pb::AnnounceRequest) -> Result<pb::AnnounceResponse, CallError>;
    /// Starts or joins a signing session.
    async fn sign(&self, request: pb::SignRequest) -> Result<pb::SignResponse, CallError>;
    /// Starts or joins key generation.
    async fn generate_key(&self, request: pb::GenerateKeyRequest) -> Result<pb::GenerateKeyResponse, CallError>;
    /// Starts or joins an attempt to hand a key over.
    async fn hand_over_key(&self, request: pb::HandOverKeyRequest) -> Result<pb::HandOverKeyResponse, CallError>;
    /// Hands over a certificate.
    async fn activate_key(&self, request: pb::ActivateKeyRequest) -> Result<pb::ActivateKeyResponse, CallError>;
    /// Starts or joins presigning.
    async fn presign(&self, request: pb::PresignRequest) -> Result<pb::PresignResponse, CallError>;
    /// Hands over a stop record.
    async fn stop(&self, request: pb::StopRequest) -> Result<pb::StopResponse, CallError>;
    /// Hands over a signed version of the charter.
    async fn take_charter(&self, request: pb::TakeCharterRequest) -> Result<pb::TakeCharterResponse, CallError>;
    /// A page of the versions that it knows.
    async fn list_charters(&self, request: pb::ListChartersRequest) -> Result<pb::ListChartersResponse, CallError>;
    /// Asks how it is.
    async fn status(&self) -> Result<pb::StatusResponse, CallError>;
    /// A page of the intents it remembers.
    async fn list_intents(&self, request: pb::ListIntentsRequest) -> Result<pb::ListIntentsResponse, CallError>;
    /// The key shares it holds.
    async fn list_key_shares(&self) -> Result<pb::ListKeySharesResponse, CallError>;
    /// The backups that it has made.
    async fn list_backups(&self, request: pb::ListBackupsRequest) -> Result<pb::ListBackupsResponse, CallError>;
    /// One of them.
    async fn fetch_backup(&self, request: pb::FetchBackupRequest) -> Result<pb::FetchBackupResponse, CallError>;
    /// Hands a custodian's proof over.
    async fn prove_backup(&self, request: pb::ProveBackupRequest) -> Result<pb::ProveBackupResponse, CallError>;
}

/// One signer.
pub struct Signer {
    /// Its name.
    pub node: NodeId,
    /// Its pinned identity key.
    pub public_key: PublicKey,
    port: Arc<dyn SignerPort>,
    health: Mutex<Health>,
    changed: watch::Sender<u64>,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.node)
    }
}

impl Signer {
    /// The way to it. Every call must go through [`Signer::within`].
    pub fn port(&self) -> &dyn SignerPort {
        &*self.port
    }

    /// Waits for a call at most this long, and notes a broken connection.
    pub async fn within<T>(
        &self,
        bound: Duration,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let result = tokio::time::timeout(bound, call).await.unwrap_or(Err(CallError::Timeout(bound)));
        if let Err(error @ CallError::Unreachable(_)) = &result {
            self.mark_down(&error.to_string());
        }
        result
    }

    /// The key shares it holds, within the bound on their number.
    pub(crate) async fn key_shares(&self, bound: Duration) -> Result<Vec<pb::KeyShareRecord>, CallError> {
        let shares = self.within(bound, self.port.list_key_shares()).await?.shares;
        if shares.len() > limits::KEY_SHARES {
            let message = format!("{} key shares, at most {} are possible", shares.len(), limits::KEY_SHARES);
            return Err(CallError::Invalid(message));
        }
        Ok(shares)
    }

    /// Its health now.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether calling it makes sense.
    pub fn is_reachable(&self) -> bool {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).reachable
    }

    fn mark_down(&self, error: &str) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(&mut health.reachable, false);
        error.clone_into(&mut health.error);
        drop(health);
        if was {
            tracing::warn!(node = %self.node, error, "signer is not reachable");
            self.notify();
        }
    }

    fn notify(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// All signers of the charter, in its order.
#[derive(Debug, Clone)]
pub struct Signers {
    list: Arc<Vec<Arc<Signer>>>,
    changed: watch::Receiver<u64>,
}

impl Signers {
    /// Puts ports behind names and pinned keys.
    pub fn new(ports: Vec<(NodeId, PublicKey, Arc<dyn SignerPort>)>) -> Self {
        let (changed, receiver) = watch::channel(0);
        let make = |(node, public_key, port)| {
            Arc::new(Signer { node, public_key, port, health: Mutex::default(), changed: changed.clone() })
        };
        Self { list: Arc::new(ports.into_iter().map(make).collect()), changed: receiver }
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<Signer>] {
        &self.list
    }

    /// The signer of this name.
    pub fn find(&self, node: &NodeId) -> Option<&Arc<Signer>> {
        self.list.iter().find(|signer| signer.node == *node)
    }

    /// Those of these names that exist.
    pub fn among<'a>(&'a self, nodes: &'a [NodeId]) -> impl Iterator<Item = &'a Arc<Signer>> + 'a {
        nodes.iter().filter_map(|node| self.find(node))
    }

    /// Changes whenever, from now on, a signer comes, goes, restarts or changes its bans.
    pub fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changed.clone();
        changes.mark_unchanged();
        changes
    }
}
