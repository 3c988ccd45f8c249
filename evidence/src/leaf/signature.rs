//! "This signature was made": the second leaf of a request. It proves itself under the account's key.

use limen_chain::SigningInput;
use limen_wire::effects::sha256;
use limen_wire::ids::{ClusterId, Epoch, IntentId, KeyId, Scheme, SessionId, SignerSet};

use super::{Kind, LeafError, VERSION, body, fields};
use crate::codec::{Malformed, put_name};
use crate::merkle::{TreeHash, leaf_hash};

/// The public key under which a signature verifies: of the account, derived along the intent's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountKey {
    scheme: Scheme,
    bytes: Vec<u8>,
}

impl AccountKey {
    /// Checks the length: 33 bytes (compressed SEC 1) for ECDSA, 32 for Ed25519 and for BIP-340's x coordinate.
    pub fn new(scheme: Scheme, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == scheme.public_key_len()).then(|| Self { scheme, bytes: bytes.to_vec() })
    }
    /// Which signatures it verifies.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }
    /// The key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Verifies by the scheme's own rules: ECDSA must be low-S with the right recovery id, which is 0 for other schemes.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64], recovery_id: u8) -> bool {
        let verified = match self.scheme {
            Scheme::EcdsaSecp256k1 => self.verify_ecdsa(message, signature, recovery_id),
            Scheme::EddsaEd25519 => self.verify_ed25519(message, signature),
            Scheme::SchnorrBip340 => self.verify_bip340(message, signature),
            Scheme::EcdsaP256 => self.verify_p256(message, signature, recovery_id),
        };
        let recovery_fits = recovery_id == 0 || self.scheme.is_ecdsa();
        recovery_fits && verified == Some(true)
    }

    fn verify_ecdsa(&self, digest: &[u8], signature: &[u8; 64], recovery_id: u8) -> Option<bool> {
        use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
        let key = VerifyingKey::from_sec1_bytes(&self.bytes).ok()?;
        let signature = Signature::from_slice(signature).ok()?;
        let low = signature.normalize_s().is_none() && digest.len() == 32;
        // Recovery verifies the signature under the key that it recovers.
        let recovery_id = RecoveryId::from_byte(recovery_id)?;
        let recovered = VerifyingKey::recover_from_prehash(digest, &signature, recovery_id).ok()?;
        Some(low && recovered == key)
    }

    /// As on the other curve; the message is the digest that was signed.
    fn verify_p256(&self, digest: &[u8], signature: &[u8; 64], recovery_id: u8) -> Option<bool> {
        use p256::ecdsa::{Signature, VerifyingKey};
        let key = VerifyingKey::from_sec1_bytes(&self.bytes).ok()?;
        let signature = Signature::from_slice(signature).ok()?;
        let low = signature.normalize_s().is_none() && digest.len() == 32;
        let recovery_id = k256::ecdsa::RecoveryId::from_byte(recovery_id)?;
        let recovered = VerifyingKey::recover_from_prehash(digest, &signature, recovery_id).ok()?;
        Some(low && recovered == key)
    }

    fn verify_ed25519(&self, message: &[u8], signature: &[u8; 64]) -> Option<bool> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(self.bytes.as_slice().try_into().ok()?).ok()?;
        Some(key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok())
    }

    fn verify_bip340(&self, message: &[u8], signature: &[u8; 64]) -> Option<bool> {
        use k256::schnorr::{Signature, VerifyingKey};
        // the library panics on any other length
        let bytes = <[u8; 32]>::try_from(self.bytes.as_slice()).ok()?;
        let key = VerifyingKey::from_bytes(&bytes).ok()?;
        Some(key.verify_raw(message, &Signature::try_from(&signature[..]).ok()?).is_ok())
    }
}

/// What was signed, in 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// The digest that was signed as it is.
    Digest([u8; 32]),
    /// SHA-256 of the message that the scheme hashed itself.
    Message([u8; 32]),
}

impl Signed {
    /// Of what `chain` says is signed for an intent.
    pub fn of(input: &SigningInput) -> Self {
        match input {
            SigningInput::Digest(digest) => Self::Digest(*digest),
            SigningInput::Message(message) => Self::Message(sha256(message)),
        }
    }
}

/// The leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The cluster.
    pub cluster: ClusterId,
    /// What was asked for.
    pub intent: IntentId,
    /// The key.
    pub key: KeyId,
    /// Generation of its shares.
    pub epoch: Epoch,
    /// Scheme and public key of the account.
    pub account_key: AccountKey,
    /// What was signed.
    pub signed: Signed,
    /// ECDSA `r ‖ s`, Ed25519 `R ‖ S` or BIP-340, 64 bytes.
    pub signature: [u8; 64],
    /// ECDSA: the recovery id of SEC 1 section 4.1.6. Else 0.
    pub recovery_id: u8,
    /// The session that made it.
    pub session: SessionId,
    /// Its participants.
    pub signers: SignerSet,
}

impl Signature {
    /// The bytes that stand in the log.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, Kind::Signature as u8];
        put_name(&mut out, self.cluster.as_str());
        out.extend_from_slice(self.intent.as_bytes());
        put_name(&mut out, self.key.as_str());
        out.extend_from_slice(&self.epoch.0.to_be_bytes());
        out.push(fields::scheme_byte(self.account_key.scheme));
        out.extend_from_slice(&self.account_key.bytes);
        let (kind, hash) = match &self.signed {
            Signed::Digest(hash) => (1, hash),
            Signed::Message(hash) => (2, hash),
        };
        out.push(kind);
        out.extend_from_slice(hash);
        out.extend_from_slice(&self.signature);
        out.push(self.recovery_id);
        out.extend_from_slice(self.session.as_bytes());
        fields::put_signers(&mut out, &self.signers);
        out
    }

    /// Reads a leaf.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        let mut reader = body(bytes, Kind::Signature)?;
        let cluster = reader.name("cluster", ClusterId::new)?;
        let intent = IntentId::new(reader.array("intent")?);
        let key = reader.name("key", KeyId::new)?;
        let epoch = Epoch(reader.u64("epoch")?);
        let scheme = fields::scheme(&mut reader)?;
        let account_key = AccountKey { scheme, bytes: reader.take("account_key", scheme.public_key_len())?.to_vec() };
        let kind = reader.u8("signed")?;
        let hash = reader.array("signed")?;
        let signed = match kind {
            1 => Signed::Digest(hash),
            2 => Signed::Message(hash),
            _ => return Err(Malformed::Field { field: "signed", form: "1 (a digest) or 2 (a message)" }.into()),
        };
        let signature = reader.array("signature")?;
        let recovery_id = reader.u8("recovery_id")?;
        if recovery_id > 3 || (recovery_id != 0 && !scheme.is_ecdsa()) {
            return Err(Malformed::Field { field: "recovery_id", form: "0 to 3 for ECDSA, else 0" }.into());
        }
        let session = SessionId::new(reader.array("session")?);
        let signers = fields::signers(&mut reader)?;
        reader.end()?;
        Ok(Self { cluster, intent, key, epoch, account_key, signed, signature, recovery_id, session, signers })
    }

    /// What the tree holds of it.
    pub fn hash(&self) -> TreeHash {
        leaf_hash(&self.encode())
    }
}
