//! Keys that live wholly in the token: nothing of them lies here but what everybody may know. The token signs, and what it says
//! is believed as far as it verifies under the key that this signer has stated.

use std::collections::BTreeMap;

use limen_hsm::held::{check_input, proof_input};
use limen_hsm::{HeldKind, HeldPublic, HsmError, Kind};
use limen_mpc::{KeyPublic, Point, SignInput, Signature};
use limen_wire::ids::{
    ClusterId, CommitteeSize, Epoch, HeldId, IntentId, KeyId, NodeId, PartyIndex, Scheme, tagged_hash,
};
use limen_wire::intent::KeyGeneration;

use super::{Opened, Vault, VaultError, What, decode_public};
use crate::entropy;
use crate::guard::SignToken;
use crate::store::rows::KeyRow;

/// No children.
const NO_CHAIN_CODE: [u8; 32] = [0; 32];

/// A key in the token, which the token has shown to be the one that this signer stated.
#[derive(Debug)]
pub(super) struct TokenKey {
    name: HeldId,
    kind: HeldKind,
    pub(super) public: KeyPublic,
}

/// The name in the token: of this order alone, because names are bounded and a token may serve another cluster too. A key that another
/// order made is never taken for this one's.
fn name(cluster: &ClusterId, node: &NodeId, key: &KeyId, order: &IntentId) -> Result<HeldId, HsmError> {
    let parts = [cluster.as_str().as_bytes(), node.as_str().as_bytes(), key.as_str().as_bytes(), order.as_bytes()];
    let hash = hex::encode(tagged_hash("limen node held key v1", parts).split_at(15).0);
    HeldId::new(format!("{key}.{hash}"))
        .map_err(|error| HsmError::new(Kind::Input, "name a held key", error.to_string()))
}

const fn kind(scheme: Scheme) -> Option<HeldKind> {
    match scheme {
        Scheme::EcdsaSecp256k1 => Some(HeldKind::EcdsaSecp256k1),
        Scheme::EddsaEd25519 => Some(HeldKind::EddsaEd25519),
        Scheme::EcdsaP256 => Some(HeldKind::EcdsaP256),
        Scheme::SchnorrBip340 => None,
    }
}

fn no_kind(scheme: Scheme) -> HsmError {
    HsmError::new(Kind::HeldUnsupported, "use a held key", format!("no token makes {scheme} signatures"))
}

/// What ECDSA or EdDSA takes of an input.
fn bytes(kind: HeldKind, input: &SignInput) -> Option<Vec<u8>> {
    match input {
        SignInput::Message(message) => (!kind.takes_digest()).then(|| message.clone()),
        _ if kind.takes_digest() => input.ecdsa_digest().map(|digest| digest.to_vec()),
        _ => None,
    }
}

/// Another key than the stated one, in this vault's words.
fn other_key(error: HsmError, key: &KeyId) -> VaultError {
    match error.kind() {
        Kind::OtherKey | Kind::WrongSignature => VaultError::WrongAnswer { key: key.clone(), why: error.to_string() },
        _ => VaultError::Provider(error),
    }
}

impl Vault {
    /// Makes a key in the token for an order; takes up the one that an attempt under the very same order has left there. Blocks.
    pub fn make_in_token(&self, order: &KeyGeneration) -> Result<KeyPublic, VaultError> {
        let kind = kind(order.scheme).ok_or_else(|| no_kind(order.scheme))?;
        let name = name(&self.cluster, &self.node, &order.key_id, &order.id)?;
        let shown = match self.provider.create_held(&name, kind) {
            Err(error) if error.kind() == Kind::Exists => self.provider.held(&name)?,
            other => other?,
        };
        let wrong = |why: &str| VaultError::WrongAnswer { key: order.key_id.clone(), why: why.to_owned() };
        if shown.kind() != kind {
            return Err(wrong("it holds a key of another kind under this name"));
        }
        let point = Point::of_key(order.scheme, &shown.to_bytes()).map_err(|error| wrong(&error.to_string()))?;
        let alone = PartyIndex::new(1).map_err(|error| wrong(&error.to_string()))?;
        let public = KeyPublic {
            cluster: self.cluster.clone(),
            key: order.key_id.clone(),
            epoch: Epoch::FIRST,
            scheme: order.scheme,
            protocol: order.protocol,
            size: CommitteeSize::ALONE,
            public_key: point,
            chain_code: NO_CHAIN_CODE,
            verifying_shares: BTreeMap::from([(alone, point)]),
        };
        public.validate().map_err(|source| VaultError::Import { key: order.key_id.clone(), source })?;
        Ok(public)
    }

    /// Asks the token for a key whose row lies here, and has it sign something of no worth: it must be the key that the row tells
    /// of. Blocks.
    pub fn read_in_token(&self, key: &KeyId, row: &KeyRow) -> Result<KeyPublic, VaultError> {
        let found = self.find_in_token(key, row)?;
        let input = proof_input(&found.name, &entropy::random::<32>());
        let signed = self.provider.sign_held(&found.name, found.kind, &input).map_err(|error| other_key(error, key))?;
        let shown = HeldPublic::new(found.kind, found.public.public_key.to_key(found.public.scheme));
        if shown.is_none_or(|shown| !shown.verify(&input, &signed)) {
            let why = "a signature that it made to show its key does not verify".to_owned();
            return Err(VaultError::WrongAnswer { key: key.clone(), why });
        }
        Ok(found.public)
    }

    /// The key of a row, if the token shows this very one. Blocks.
    pub(super) fn find_in_token(&self, key: &KeyId, row: &KeyRow) -> Result<TokenKey, VaultError> {
        let share = row.share.as_ref().ok_or_else(|| VaultError::NoShare(key.clone()))?;
        let public = decode_public(key, &share.public)?;
        let is_here =
            public.epoch.0 == share.epoch && public.cluster == self.cluster && !public.protocol.is_threshold();
        if public.key != *key || !is_here {
            return Err(VaultError::Public(key.clone()));
        }
        public.validate().map_err(|source| VaultError::Import { key: key.clone(), source })?;
        let kind = kind(public.scheme).ok_or_else(|| no_kind(public.scheme))?;
        let name = name(&self.cluster, &self.node, key, &IntentId::new(row.order_id))?;
        let shown = self.provider.held(&name).map_err(|error| other_key(error, key))?;
        if shown.kind() != kind || shown.to_bytes() != public.public_key.to_key(public.scheme) {
            let why = "it shows another public key than the one that this signer has stated".to_owned();
            return Err(VaultError::WrongAnswer { key: key.clone(), why });
        }
        Ok(TokenKey { name, kind, public })
    }

    /// Whether a key in the token is gone from there: whoever has the token destroys it, and no signer asks for that. Blocks.
    pub(super) fn is_gone_from_token(&self, key: &KeyId, row: &KeyRow) -> Result<bool, VaultError> {
        match self.provider.held(&name(&self.cluster, &self.node, key, &IntentId::new(row.order_id))?) {
            Err(error) if error.kind() == Kind::Missing => Ok(true),
            Err(error) => Err(VaultError::Provider(error)),
            Ok(_) => Ok(false),
        }
    }

    /// Signs by a key in the token, for the session that the guard has allowed. What the token answers leaves here with S in the
    /// lower half and a recovery id of our own, and only if it verifies under the key that was judged. Blocks.
    pub fn sign_in_token(&self, opened: &Opened, token: &SignToken) -> Result<Signature, VaultError> {
        let public = &token.key().public;
        let no_share = || VaultError::NoShare(public.key.clone());
        let What::InToken(key) = &opened.what else { return Err(no_share()) };
        if key.public != *public || !token.path().steps().is_empty() {
            return Err(no_share());
        }
        let input = bytes(key.kind, token.input()).ok_or_else(no_share)?;
        let claimed = self.provider.sign_held(&key.name, key.kind, &input);
        let claimed = claimed.map_err(|error| other_key(error, &public.key))?;
        Signature::of_token(&public.public_key, token.input(), &claimed)
            .map_err(|error| VaultError::WrongAnswer { key: public.key.clone(), why: error.to_string() })
    }
}

impl Opened {
    /// Whether the key lives in the token, which signs by itself.
    pub fn is_in_token(&self) -> bool {
        matches!(self.what, What::InToken(_))
    }

    /// Refuses what the token does not take, before anything is decided.
    pub fn check_input(&self, input: &SignInput) -> Result<(), VaultError> {
        let What::InToken(key) = &self.what else { return Ok(()) };
        let input = bytes(key.kind, input).ok_or_else(|| VaultError::NoShare(key.public.key.clone()))?;
        Ok(check_input(key.kind, &input)?)
    }
}
