//! "I have allowed this intent in this session": what a signer's guard recorded, signed by the signer.

use limen_chain::DerivationPath;
use limen_wire::envelope::pre_authentication_encoding;
use limen_wire::ids::{CharterHash, ClusterId, Epoch, IntentId, KeyId, NodeId, SessionId, SignerSet};
use limen_wire::keys::{PublicKey, SigningKey};

use super::{Kind, LeafError, VERSION, body, fields};
use crate::codec::{Malformed, Reader, put_name};
use crate::merkle::{TreeHash, leaf_hash};

/// What is signed with the body, so that no other signature of a node passes for this one (DSSE).
pub const PAYLOAD_TYPE: &str = "application/vnd.limen.authorization.v1";

/// Most digests of a list.
pub const MAX_DIGESTS: usize = 64;

/// A set of SHA-256 digests: strictly increasing, at most [`MAX_DIGESTS`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digests(Vec<[u8; 32]>);

impl Digests {
    /// Sorts and removes doubles; `None` if too many remain.
    pub fn new(mut digests: Vec<[u8; 32]>) -> Option<Self> {
        digests.sort_unstable();
        digests.dedup();
        (digests.len() <= MAX_DIGESTS).then_some(Self(digests))
    }
    /// The digests, increasing.
    pub fn as_slice(&self) -> &[[u8; 32]] {
        &self.0
    }
}

/// A guard's durable record of a permission. Digests are 32 bytes of SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The cluster.
    pub cluster: ClusterId,
    /// The signer that says so.
    pub node: NodeId,
    /// What was allowed.
    pub intent: IntentId,
    /// The key under which this signer verified the requester's signature, as its charter has it.
    pub requester_key: PublicKey,
    /// Digest of the effects, recomputed by this signer from the bytes.
    pub effects: [u8; 32],
    /// Version of the decoder that did.
    pub decoder_version: u32,
    /// The charter in force.
    pub charter: CharterHash,
    /// Hash of the charter's slice that the decision consulted.
    pub slice: [u8; 32],
    /// Freeze epoch of the touched scopes.
    pub freeze_epoch: [u8; 32],
    /// Digests of the approvals that the decision rests on.
    pub approvals: Digests,
    /// Hash of the certificate of the limits' ledger entry, where one was needed.
    pub certificate: Option<[u8; 32]>,
    /// The session.
    pub session: SessionId,
    /// Its participants.
    pub signers: SignerSet,
    /// The key that signs.
    pub key: KeyId,
    /// Generation of its shares.
    pub epoch: Epoch,
    /// Path below the key.
    pub path: DerivationPath,
    /// `f` of the key: how many of its signers the charter reckons may be corrupt.
    pub max_corrupt: u8,
    /// When, in milliseconds since 1970 on this signer's clock.
    pub allowed_at_ms: u64,
}

impl Authorization {
    /// The leaf without its signature.
    pub fn to_body(&self) -> Vec<u8> {
        let mut out = vec![VERSION, Kind::Authorization as u8];
        put_name(&mut out, self.cluster.as_str());
        put_name(&mut out, self.node.as_str());
        out.extend_from_slice(self.intent.as_bytes());
        fields::put_public_key(&mut out, &self.requester_key);
        out.extend_from_slice(&self.effects);
        out.extend_from_slice(&self.decoder_version.to_be_bytes());
        out.extend_from_slice(self.charter.as_bytes());
        out.extend_from_slice(&self.slice);
        out.extend_from_slice(&self.freeze_epoch);
        out.push(u8::try_from(self.approvals.0.len()).unwrap_or(u8::MAX));
        self.approvals.0.iter().for_each(|digest| out.extend_from_slice(digest));
        out.push(u8::from(self.certificate.is_some()));
        out.extend(self.certificate.iter().flatten());
        out.extend_from_slice(self.session.as_bytes());
        fields::put_signers(&mut out, &self.signers);
        put_name(&mut out, self.key.as_str());
        out.extend_from_slice(&self.epoch.0.to_be_bytes());
        fields::put_path(&mut out, &self.path);
        out.push(self.max_corrupt);
        out.extend_from_slice(&self.allowed_at_ms.to_be_bytes());
        out
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            cluster: reader.name("cluster", ClusterId::new)?,
            node: reader.name("node", NodeId::new)?,
            intent: IntentId::new(reader.array("intent")?),
            requester_key: fields::public_key(reader, "requester_key")?,
            effects: reader.array("effects")?,
            decoder_version: reader.u32("decoder_version")?,
            charter: CharterHash::new(reader.array("charter")?),
            slice: reader.array("slice")?,
            freeze_epoch: reader.array("freeze_epoch")?,
            approvals: read_digests(reader)?,
            certificate: match reader.u8("certificate")? {
                0 => None,
                1 => Some(reader.array("certificate")?),
                _ => return Err(Malformed::Field { field: "certificate", form: "0, or 1 and a hash" }),
            },
            session: SessionId::new(reader.array("session")?),
            signers: fields::signers(reader)?,
            key: reader.name("key", KeyId::new)?,
            epoch: Epoch(reader.u64("epoch")?),
            path: fields::path(reader)?,
            max_corrupt: reader.u8("max_corrupt")?,
            allowed_at_ms: reader.u64("allowed_at_ms")?,
        })
    }

    /// The bytes that the signer signs: the DSSE pre-authentication encoding of [`PAYLOAD_TYPE`] and the body.
    pub fn to_message(&self) -> Vec<u8> {
        pre_authentication_encoding(PAYLOAD_TYPE, &self.to_body())
    }

    /// Signs it with the node's identity key.
    pub fn sign(self, key: &SigningKey) -> SignedAuthorization {
        let signature = key.sign(&self.to_message());
        SignedAuthorization { authorization: self, signature }
    }
}

fn read_digests(reader: &mut Reader<'_>) -> Result<Digests, Malformed> {
    let count = reader.u8("approvals")?;
    let digests: Result<Vec<_>, _> = (0..count).map(|_| reader.array::<32>("approvals")).collect();
    let digests = digests?;
    let sorted = Digests::new(digests.clone()).filter(|sorted| sorted.0 == digests);
    sorted.ok_or(Malformed::Field { field: "approvals", form: "at most 64 digests, strictly increasing" })
}

/// The leaf: an authorization with its signer's signature, which is not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedAuthorization {
    authorization: Authorization,
    signature: [u8; 64],
}

impl SignedAuthorization {
    /// Puts a stored signature under an authorization.
    pub const fn new(authorization: Authorization, signature: [u8; 64]) -> Self {
        Self { authorization, signature }
    }

    /// Reads a leaf.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        let mut reader = body(bytes, Kind::Authorization)?;
        let authorization = Authorization::read(&mut reader)?;
        let signature = reader.array("signature")?;
        reader.end()?;
        Ok(Self { authorization, signature })
    }

    /// The bytes that stand in the log: body and signature.
    pub fn encode(&self) -> Vec<u8> {
        [&self.authorization.to_body()[..], &self.signature].concat()
    }

    /// What the tree holds of it.
    pub fn hash(&self) -> TreeHash {
        leaf_hash(&self.encode())
    }

    /// What it says, believed by nobody yet.
    pub const fn unverified(&self) -> &Authorization {
        &self.authorization
    }

    /// What it says, if the signature is by this key: the one pinned for its node.
    pub fn verify(&self, key: &PublicKey) -> Option<&Authorization> {
        key.verify(&self.authorization.to_message(), &self.signature).then_some(&self.authorization)
    }
}
