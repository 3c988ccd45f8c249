//! Checked forms of what people and backends sign: intents, key orders, cancellations.
//!
//! A value of these types has passed every check that needs no charter: canonical encoding, sizes, spelling, version.
//! Whether the signer may ask for it is the guard's question.

use bytes::Bytes;
use prost::Message as _;

use crate::effects::ChainId;
use crate::envelope::{self, EnvelopeError, Opened, PayloadType};
use crate::ids::{ClusterId, CommitteeSize, IdError, IntentId, KeyId, NodeId, Protocol, RequesterId, Scheme, VaultId};
use crate::imported::ImportedKey;
use crate::keys::SigningKey;
use crate::{limits, pb};

/// Why a signed wish is not well formed. Always the requester's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntentError {
    /// The envelope around it.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// A name or number.
    #[error("field {field}: {source}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        source: IdError,
    },
    /// Anything else that a reader must not guess about.
    #[error("field {field}: {reason}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
}

pub(crate) fn field(field: &'static str) -> impl FnOnce(IdError) -> IntentError {
    move |source| IntentError::Field { field, source }
}

pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> IntentError {
    IntentError::Invalid { field, reason: reason.into() }
}

/// The exact bytes to be signed, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Unsigned EIP-2718 transaction bytes.
    EvmTransaction(Bytes),
    /// EIP-191 personal message text.
    EvmMessage(Bytes),
    /// EIP-712 JSON.
    EvmTypedData(Bytes),
    /// A plain message (Ed25519, BIP-340; P-256 over its SHA-256).
    Message(Bytes),
    /// A bare digest.
    RawDigest([u8; 32]),
}

impl Payload {
    /// The bytes, whatever the kind.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::EvmTransaction(bytes)
            | Self::EvmMessage(bytes)
            | Self::EvmTypedData(bytes)
            | Self::Message(bytes) => bytes,
            Self::RawDigest(digest) => digest,
        }
    }
    /// The kind as a fixed word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::EvmTransaction(_) => "evm-transaction",
            Self::EvmMessage(_) => "evm-message",
            Self::EvmTypedData(_) => "evm-typed-data",
            Self::Message(_) => "message",
            Self::RawDigest(_) => "raw-digest",
        }
    }
}

/// What a requester wants: checked, together with its id. The requester's signature is checked by the guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// SHA-256 of the envelope's pre-authentication encoding.
    pub id: IntentId,
    /// The cluster asked.
    pub cluster: ClusterId,
    /// Who asks.
    pub requester: RequesterId,
    /// The requester's own name for it, 1 to 64 printable ASCII characters.
    pub idempotency_key: String,
    /// The vault that pays, once there are vaults.
    pub vault: Option<VaultId>,
    /// The key that signs.
    pub key_id: KeyId,
    /// Non-hardened derivation steps, each below 2³¹.
    pub path: Vec<u32>,
    /// The chain; `None` for plain messages.
    pub chain: Option<ChainId>,
    /// What is to be signed.
    pub payload: Payload,
    /// Seconds since 1970 after which no signer signs.
    pub expires_at_secs: u64,
    /// The intent that this one replaces.
    pub replaces: Option<IntentId>,
    /// For people.
    pub note: String,
}

/// Checks a derivation path: at most [`limits::PATH_STEPS`] steps, none hardened.
pub fn check_path(path: &[u32]) -> Result<(), IntentError> {
    if path.len() > limits::PATH_STEPS {
        return Err(invalid("path", format!("{} steps, at most {} allowed", path.len(), limits::PATH_STEPS)));
    }
    match path.iter().find(|step| **step >= 1 << 31) {
        Some(step) => {
            Err(invalid("path", format!("step {step} is hardened; a threshold key has no hardened children")))
        }
        None => Ok(()),
    }
}

pub(crate) fn check_text(name: &'static str, text: &str, limit: usize) -> Result<(), IntentError> {
    if text.len() > limit {
        return Err(invalid(name, format!("{} bytes, at most {limit} allowed", text.len())));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(name, "control characters are not allowed"));
    }
    Ok(())
}

pub(crate) fn check_version(version: u32) -> Result<(), IntentError> {
    if version == 1 { Ok(()) } else { Err(invalid("version", format!("{version} is not known here; 1 is"))) }
}

impl Intent {
    /// Opens an envelope and checks everything but the signature. Returns both, so that the caller can verify.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::Intent)?;
        let raw: pb::Intent = opened.decode("intent")?;
        Ok((Self::check(raw, opened.id())?, opened))
    }

    fn check(raw: pb::Intent, id: IntentId) -> Result<Self, IntentError> {
        check_version(raw.version)?;
        let key = &raw.idempotency_key;
        if key.is_empty() || key.len() > limits::IDEMPOTENCY_KEY_BYTES || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(invalid("idempotency_key", "1 to 64 printable ASCII characters without spaces are needed"));
        }
        check_path(&raw.path)?;
        check_text("note", &raw.note, limits::NOTE_BYTES)?;
        if raw.expires_at_secs == 0 {
            return Err(invalid("expires_at_secs", "an intent must expire"));
        }
        let payload = Self::check_payload(raw.payload)?;
        let chain = match raw.chain.as_str() {
            "" => None,
            text => Some(ChainId::new(text).ok_or_else(|| invalid("chain", "not a CAIP-2 name such as eip155:1"))?),
        };
        let evm = matches!(payload, Payload::EvmTransaction(_) | Payload::EvmMessage(_) | Payload::EvmTypedData(_));
        if evm && chain.as_ref().and_then(ChainId::eip155_number).is_none() {
            return Err(invalid("chain", format!("a payload of kind {} needs an eip155 chain", payload.kind())));
        }
        Ok(Self {
            id,
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            requester: RequesterId::new(raw.requester).map_err(field("requester"))?,
            idempotency_key: raw.idempotency_key,
            vault: match raw.vault.as_str() {
                "" => None,
                _ => Some(VaultId::new(raw.vault).map_err(field("vault"))?),
            },
            key_id: KeyId::new(raw.key_id).map_err(field("key_id"))?,
            path: raw.path,
            chain,
            payload,
            expires_at_secs: raw.expires_at_secs,
            replaces: match raw.replaces.len() {
                0 => None,
                _ => Some(IntentId::from_slice(&raw.replaces).map_err(field("replaces"))?),
            },
            note: raw.note,
        })
    }

    fn check_payload(raw: Option<pb::intent::Payload>) -> Result<Payload, IntentError> {
        use pb::intent::Payload as Raw;
        let payload = match raw {
            None => return Err(invalid("payload", "nothing to sign")),
            Some(Raw::EvmTransaction(bytes)) => Payload::EvmTransaction(bytes),
            Some(Raw::EvmMessage(bytes)) => Payload::EvmMessage(bytes),
            Some(Raw::EvmTypedData(bytes)) => Payload::EvmTypedData(bytes),
            Some(Raw::Message(bytes)) => Payload::Message(bytes),
            Some(Raw::RawDigest(bytes)) => {
                let digest = <[u8; 32]>::try_from(bytes.as_ref());
                Payload::RawDigest(digest.map_err(|_| invalid("raw_digest", "32 bytes are needed"))?)
            }
        };
        let size = payload.bytes().len();
        if size == 0 && !matches!(payload, Payload::Message(_) | Payload::EvmMessage(_)) {
            return Err(invalid("payload", "nothing to sign"));
        }
        if size > limits::INTENT_PAYLOAD_BYTES {
            let limit = limits::INTENT_PAYLOAD_BYTES;
            return Err(invalid("payload", format!("{size} bytes, at most {limit} allowed")));
        }
        Ok(payload)
    }

    /// The wire form; [`Intent::id`] is not part of it.
    pub fn to_wire(&self) -> pb::Intent {
        use pb::intent::Payload as Raw;
        pb::Intent {
            version: 1,
            cluster: self.cluster.to_string(),
            requester: self.requester.to_string(),
            idempotency_key: self.idempotency_key.clone(),
            vault: self.vault.as_ref().map(ToString::to_string).unwrap_or_default(),
            key_id: self.key_id.to_string(),
            path: self.path.clone(),
            chain: self.chain.as_ref().map(ToString::to_string).unwrap_or_default(),
            payload: Some(match &self.payload {
                Payload::EvmTransaction(bytes) => Raw::EvmTransaction(bytes.clone()),
                Payload::EvmMessage(bytes) => Raw::EvmMessage(bytes.clone()),
                Payload::EvmTypedData(bytes) => Raw::EvmTypedData(bytes.clone()),
                Payload::Message(bytes) => Raw::Message(bytes.clone()),
                Payload::RawDigest(digest) => Raw::RawDigest(Bytes::copy_from_slice(digest)),
            }),
            expires_at_secs: self.expires_at_secs,
            replaces: self.replaces.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default(),
            note: self.note.clone(),
        }
    }
}

/// Signs an intent and gives it its id.
pub fn seal_intent(raw: &pb::Intent, key: &SigningKey) -> Result<(IntentId, pb::Envelope), IntentError> {
    let envelope = envelope::seal(PayloadType::Intent, raw.encode_to_vec(), &raw.requester, key);
    let (intent, _) = Intent::open(&envelope)?;
    Ok((intent.id, envelope))
}

/// An order for a new key: checked, together with its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGeneration {
    /// SHA-256 of the envelope's pre-authentication encoding.
    pub id: IntentId,
    /// The cluster asked.
    pub cluster: ClusterId,
    /// Who orders.
    pub requester: RequesterId,
    /// The new key's name.
    pub key_id: KeyId,
    /// Which signature.
    pub scheme: Scheme,
    /// Which protocol; supports the scheme.
    pub protocol: Protocol,
    /// How many of the nodes must take part.
    pub size: CommitteeSize,
    /// The members in index order, all different.
    pub nodes: Vec<NodeId>,
    /// Seconds since 1970 after which no signer takes part.
    pub expires_at_secs: u64,
    /// The key is not made but imported.
    pub imported: Option<ImportedKey>,
}

impl KeyGeneration {
    /// Opens an envelope and checks everything but the signature.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::KeyGeneration)?;
        let raw: pb::KeyGeneration = opened.decode("key generation")?;
        check_version(raw.version)?;
        let scheme = scheme_from_wire(raw.scheme)?;
        let protocol = protocol_from_wire(raw.protocol)?;
        if !protocol.supports(scheme) {
            return Err(invalid("protocol", format!("{protocol} cannot make {scheme} signatures")));
        }
        let (size, nodes) = committee_from_wire(protocol, raw.signers_required, raw.nodes)?;
        if raw.expires_at_secs == 0 {
            return Err(invalid("expires_at_secs", "an order must expire"));
        }
        let imported = raw.imported.map(|raw| ImportedKey::from_wire(raw, (scheme, protocol), size)).transpose()?;
        let order = Self {
            id: opened.id(),
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            requester: RequesterId::new(raw.requester).map_err(field("requester"))?,
            key_id: KeyId::new(raw.key_id).map_err(field("key_id"))?,
            scheme,
            protocol,
            size,
            nodes,
            expires_at_secs: raw.expires_at_secs,
            imported,
        };
        Ok((order, opened))
    }

    /// The wire form.
    pub fn to_wire(&self) -> pb::KeyGeneration {
        pb::KeyGeneration {
            version: 1,
            cluster: self.cluster.to_string(),
            requester: self.requester.to_string(),
            key_id: self.key_id.to_string(),
            scheme: scheme_to_wire(self.scheme),
            protocol: protocol_to_wire(self.protocol),
            signers_required: self.size.signers_required().into(),
            nodes: self.nodes.iter().map(ToString::to_string).collect(),
            expires_at_secs: self.expires_at_secs,
            imported: self.imported.as_ref().map(ImportedKey::to_wire),
        }
    }
}

/// A stop record by the requester: checked, together with its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// SHA-256 of the envelope's pre-authentication encoding.
    pub id: IntentId,
    /// The cluster.
    pub cluster: ClusterId,
    /// Who cancels.
    pub requester: RequesterId,
    /// What is cancelled.
    pub intent_id: IntentId,
    /// Why.
    pub reason: String,
}

impl Cancellation {
    /// Opens an envelope and checks everything but the signature.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::Cancellation)?;
        let raw: pb::Cancellation = opened.decode("cancellation")?;
        check_version(raw.version)?;
        check_text("reason", &raw.reason, limits::NOTE_BYTES)?;
        let cancellation = Self {
            id: opened.id(),
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            requester: RequesterId::new(raw.requester).map_err(field("requester"))?,
            intent_id: IntentId::from_slice(&raw.intent_id).map_err(field("intent_id"))?,
            reason: raw.reason,
        };
        Ok((cancellation, opened))
    }
}

pub(crate) fn committee_from_wire(
    protocol: Protocol,
    required: u32,
    nodes: Vec<String>,
) -> Result<(CommitteeSize, Vec<NodeId>), IntentError> {
    let total = u16::try_from(nodes.len()).unwrap_or(u16::MAX);
    let size = CommitteeSize::of(protocol, u16::try_from(required).unwrap_or(u16::MAX), total)
        .map_err(field("signers_required"))?;
    let nodes: Vec<NodeId> = nodes.into_iter().map(NodeId::new).collect::<Result<_, _>>().map_err(field("nodes"))?;
    let distinct: std::collections::BTreeSet<_> = nodes.iter().collect();
    if distinct.len() != nodes.len() {
        return Err(invalid("nodes", "a node is named twice"));
    }
    Ok((size, nodes))
}

/// From the wire's number.
pub fn scheme_from_wire(raw: i32) -> Result<Scheme, IntentError> {
    match pb::Scheme::try_from(raw) {
        Ok(pb::Scheme::EcdsaSecp256k1) => Ok(Scheme::EcdsaSecp256k1),
        Ok(pb::Scheme::EddsaEd25519) => Ok(Scheme::EddsaEd25519),
        Ok(pb::Scheme::SchnorrBip340) => Ok(Scheme::SchnorrBip340),
        Ok(pb::Scheme::EcdsaP256) => Ok(Scheme::EcdsaP256),
        Ok(pb::Scheme::Unspecified) | Err(_) => Err(invalid("scheme", format!("{raw} is not a known scheme"))),
    }
}

/// To the wire's number.
pub const fn scheme_to_wire(scheme: Scheme) -> i32 {
    match scheme {
        Scheme::EcdsaSecp256k1 => pb::Scheme::EcdsaSecp256k1 as i32,
        Scheme::EddsaEd25519 => pb::Scheme::EddsaEd25519 as i32,
        Scheme::SchnorrBip340 => pb::Scheme::SchnorrBip340 as i32,
        Scheme::EcdsaP256 => pb::Scheme::EcdsaP256 as i32,
    }
}

/// From the wire's number.
pub fn protocol_from_wire(raw: i32) -> Result<Protocol, IntentError> {
    match pb::Protocol::try_from(raw) {
        Ok(pb::Protocol::Dkls23) => Ok(Protocol::Dkls23),
        Ok(pb::Protocol::Cggmp24) => Ok(Protocol::Cggmp24),
        Ok(pb::Protocol::Frost) => Ok(Protocol::Frost),
        Ok(pb::Protocol::Hsm) => Ok(Protocol::Hsm),
        Ok(pb::Protocol::Unspecified) | Err(_) => Err(invalid("protocol", format!("{raw} is not a known protocol"))),
    }
}

/// To the wire's number.
pub const fn protocol_to_wire(protocol: Protocol) -> i32 {
    match protocol {
        Protocol::Dkls23 => pb::Protocol::Dkls23 as i32,
        Protocol::Cggmp24 => pb::Protocol::Cggmp24 as i32,
        Protocol::Frost => pb::Protocol::Frost as i32,
        Protocol::Hsm => pb::Protocol::Hsm as i32,
    }
}
