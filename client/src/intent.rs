//! What is asked for, before and after signing it.

use std::time::Duration;

use bytes::Bytes;
use limen_wire::effects::ChainId;
use limen_wire::ids::{ClusterId, IntentId, KeyId, RequesterId, VaultId};
use limen_wire::intent::{self, Intent, IntentError, Payload};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use prost::Message as _;

use crate::clock::now_secs;
use crate::error::Error;

/// How long an intent lives unless said otherwise.
const DEFAULT_EXPIRY: Duration = Duration::from_secs(600);

/// What to sign, under which key; becomes a [`SignedIntent`] by [`crate::Client::sign_intent`].
#[derive(Debug, Clone)]
pub struct NewIntent {
    key_id: KeyId,
    path: Vec<u32>,
    chain: Option<ChainId>,
    payload: Payload,
    idempotency_key: Option<String>,
    expires_in: Duration,
    vault: Option<VaultId>,
    replaces: Option<IntentId>,
    note: String,
}

impl NewIntent {
    /// Exact bytes of any kind; `chain` is needed for everything that is meant for a chain.
    pub fn new(key_id: KeyId, chain: Option<ChainId>, payload: Payload) -> Self {
        Self {
            key_id,
            path: Vec::new(),
            chain,
            payload,
            idempotency_key: None,
            expires_in: DEFAULT_EXPIRY,
            vault: None,
            replaces: None,
            note: String::new(),
        }
    }
    /// A plain message for an ed25519 or BIP-340 key.
    pub fn message(key_id: KeyId, message: impl Into<Bytes>) -> Self {
        Self::new(key_id, None, Payload::Message(message.into()))
    }
    /// Unsigned EIP-2718 transaction bytes.
    pub fn evm_transaction(key_id: KeyId, chain: ChainId, unsigned: impl Into<Bytes>) -> Self {
        Self::new(key_id, Some(chain), Payload::EvmTransaction(unsigned.into()))
    }
    /// Signs with the child key along these non-hardened steps.
    #[must_use]
    pub fn path(mut self, path: Vec<u32>) -> Self {
        self.path = path;
        self
    }
    /// The caller's own name for this wish, for ever: with it a lost answer can be found again. Random if not given.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
    /// How long from now signers may sign it; ten minutes if not given.
    #[must_use]
    pub const fn expires_in(mut self, expires_in: Duration) -> Self {
        self.expires_in = expires_in;
        self
    }
    /// The vault that pays.
    #[must_use]
    pub fn vault(mut self, vault: VaultId) -> Self {
        self.vault = Some(vault);
        self
    }
    /// The request whose nonce this one takes over.
    #[must_use]
    pub const fn replaces(mut self, replaced: IntentId) -> Self {
        self.replaces = Some(replaced);
        self
    }
    /// A note for people.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Writes the exact bytes and signs them.
    pub(crate) fn sign(
        self,
        cluster: &ClusterId,
        requester: &RequesterId,
        key: &SigningKey,
    ) -> Result<SignedIntent, Error> {
        let idempotency_key = match self.idempotency_key {
            Some(key) => key,
            None => random_name()?,
        };
        let unsigned = Intent {
            // The id is computed from the bytes; this one is not part of them.
            id: IntentId::new([0; 32]),
            cluster: cluster.clone(),
            requester: requester.clone(),
            idempotency_key,
            vault: self.vault,
            key_id: self.key_id,
            path: self.path,
            chain: self.chain,
            payload: self.payload,
            expires_at_secs: now_secs().saturating_add(self.expires_in.as_secs()),
            replaces: self.replaces,
            note: self.note,
        };
        let (_, envelope) = intent::seal_intent(&unsigned.to_wire(), key)?;
        Ok(SignedIntent::from_envelope(envelope)?)
    }
}

/// 128 random bits as text.
fn random_name() -> Result<String, Error> {
    let mut bytes = [0u8; 16];
    getrandom::getrandom(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
    Ok(hex::encode(bytes))
}

/// A signed intent: the exact bytes that the cluster judges. Keep it (see [`SignedIntent::to_bytes`]) to submit the very
/// same request again after a crash.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedIntent {
    intent: Intent,
    envelope: pb::Envelope,
}

impl SignedIntent {
    /// Checks the form of an envelope that was made before. The signature is the cluster's to check.
    pub fn from_envelope(envelope: pb::Envelope) -> Result<Self, IntentError> {
        let (intent, _) = Intent::open(&envelope)?;
        Ok(Self { intent, envelope })
    }
    /// From what [`SignedIntent::to_bytes`] gave.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IntentError> {
        let envelope = pb::Envelope::decode(bytes)
            .map_err(|error| IntentError::Invalid { field: "envelope", reason: error.to_string() })?;
        Self::from_envelope(envelope)
    }
    /// The envelope in protocol-buffer form, for keeping.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.envelope.encode_to_vec()
    }
    /// SHA-256 of what was signed: the request's name in the cluster.
    pub const fn id(&self) -> IntentId {
        self.intent.id
    }
    /// The content.
    pub const fn intent(&self) -> &Intent {
        &self.intent
    }
    /// What goes over the wire.
    pub const fn envelope(&self) -> &pb::Envelope {
        &self.envelope
    }
}
