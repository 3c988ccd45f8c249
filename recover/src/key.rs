//! A key whose secret is whole again, and its children.

use std::fmt;

use limen_mpc::{DerivationPath, DeriveError, KeyPublic, Point, derive_public};

use crate::curve::{self, Secret};

/// A key or a child of it. Unprintable, wiped on drop; from here on, whoever has the machine has the key.
pub struct RecoveredKey {
    root: KeyPublic,
    path: DerivationPath,
    public_key: Point,
    chain_code: [u8; 32],
    secret: Secret,
}

/// Why a child was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChildError {
    /// There is no such child.
    #[error("making the child key at {path}")]
    Derive {
        /// Where.
        path: DerivationPath,
        /// Why.
        #[source]
        cause: DeriveError,
    },
    /// The secret does not give the child's public key.
    #[error("making the child key at {0}: the secret does not give its public key")]
    Secret(DerivationPath),
}

impl RecoveredKey {
    /// The key itself; whoever calls has checked that the secret is its.
    pub(crate) fn whole(root: KeyPublic, secret: Secret) -> Self {
        let (public_key, chain_code) = (root.public_key, root.chain_code);
        Self { root, path: DerivationPath::root(), public_key, chain_code, secret }
    }
    /// What everyone may know of the key, also where this is a child of it.
    pub fn public(&self) -> &KeyPublic {
        &self.root
    }
    /// Where below the key this is.
    pub fn path(&self) -> &DerivationPath {
        &self.path
    }
    /// Its own public key; for `schnorr-bip340` the whole point, which may have odd y below the root.
    pub fn public_key(&self) -> &Point {
        &self.public_key
    }
    /// The scalar: big-endian for secp256k1, little-endian for Ed25519. For exports.
    pub fn scalar(&self) -> &[u8; 32] {
        &self.secret
    }
    /// The child at a path below this: the scalar and what the path adds to it ([`limen_mpc::derive`]), checked against the public
    /// derivation.
    pub fn child(&self, path: &DerivationPath) -> Result<Self, ChildError> {
        let failed = |cause| ChildError::Derive { path: path.clone(), cause };
        let child = derive_public(&self.public_key, &self.chain_code, path).map_err(failed)?;
        let steps = [self.path.steps(), path.steps()].concat();
        let whole = DerivationPath::new(steps).map_err(failed)?;
        let wrong = || ChildError::Secret(whole.clone());
        let secret = curve::add(self.root.scheme, &self.secret, &child.tweak).ok_or_else(wrong)?;
        if curve::public_point(self.root.scheme, &secret) != Some(child.public_key) {
            return Err(wrong());
        }
        let (root, public_key, chain_code) = (self.root.clone(), child.public_key, child.chain_code);
        Ok(Self { root, path: whole, public_key, chain_code, secret })
    }
}

impl fmt::Debug for RecoveredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoveredKey({} at {}, secret redacted)", self.root.key, self.path)
    }
}
