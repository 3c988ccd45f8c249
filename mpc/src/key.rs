//! Key material: the public part, the Shamir core share, and the protocol set-up, each apart from the others.
//!
//! The core share is all that a reshare or a change of protocol keeps; the set-up (oblivious transfer, Paillier keys) is
//! renewed. Both leave this crate only through the explicit exports, versioned and wiped on drop, and come back only
//! through [`KeyShare::import`], which believes nothing.

use std::collections::BTreeMap;
use std::fmt;

use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, KeyId, PartyIndex, Protocol, Scheme, tagged_hash};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::point::Point;
use crate::{cggmp24, dkls23};

mod core_share;
mod polynomial;

pub(crate) use core_share::CoreShare;

/// What everyone may know about one epoch of a key; equal on all its signers. Plain data: check it by
/// [`KeyPublic::validate`] or by [`KeyShare::import`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPublic {
    /// The cluster that the key belongs to.
    pub cluster: ClusterId,
    /// The key.
    pub key: KeyId,
    /// The generation of its shares.
    pub epoch: Epoch,
    /// What it signs.
    pub scheme: Scheme,
    /// The protocol that signs with it.
    pub protocol: Protocol,
    /// Its committee.
    pub size: CommitteeSize,
    /// The public key.
    pub public_key: Point,
    /// The chain code for derivation.
    pub chain_code: [u8; 32],
    /// `x_i · G` for each signer `i`.
    pub verifying_shares: BTreeMap<PartyIndex, Point>,
}

/// Why key material was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// An encoding is damaged, of another version, or of another scheme or protocol.
    #[error("loading a key share: the {0} is damaged or of another kind")]
    Encoding(&'static str),
    /// Protocol and scheme do not go together, or points are of another curve.
    #[error("loading a key share: protocol, scheme and points do not go together")]
    SchemeMismatch,
    /// The verifying shares are not those of exactly the committee's signers.
    #[error("loading a key share: the verifying shares are not of exactly the signers 1..={0}")]
    Committee(u8),
    /// The verifying shares are not on one polynomial of degree below `signers_required` that gives the public key.
    #[error("loading a key share: the verifying shares do not interpolate to the public key")]
    Polynomial,
    /// The polynomial has a lower degree than `signers_required` says.
    #[error(
        "loading a key share: fewer than {0} shares give the key: signers_required is not the number it was made with"
    )]
    Degree(u8),
    /// The secret share is not the one of its verifying share.
    #[error("loading a key share: the secret is not the one of the verifying share of party {0}")]
    WrongSecret(PartyIndex),
    /// The set-up does not fit the committee.
    #[error("loading a key share: the set-up does not fit: {0}")]
    Setup(&'static str),
}

impl KeyPublic {
    /// Checks that the verifying shares are exactly the committee's, lie with the public key (at zero) on one polynomial, and
    /// that its degree is `signers_required − 1` exactly: any `signers_required` shares give the key, and no fewer do.
    pub fn validate(&self) -> Result<(), ImportError> {
        let total = self.size.signers_total();
        if !self.protocol.supports(self.scheme) {
            return Err(ImportError::SchemeMismatch);
        }
        if !self.protocol.is_threshold() {
            return self.validate_alone();
        }
        if self.size == CommitteeSize::ALONE {
            return Err(ImportError::Committee(total));
        }
        let indices = self.verifying_shares.keys().map(|party| party.as_u8());
        if !indices.eq(1..=total) {
            return Err(ImportError::Committee(total));
        }
        polynomial::check(self.scheme, self.size, &self.public_key, &self.verifying_shares)
    }
    /// A key in one token: the whole key is its one member's, and it has no children.
    fn validate_alone(&self) -> Result<(), ImportError> {
        let of_scheme = matches!(
            (self.scheme, &self.public_key),
            (Scheme::EcdsaSecp256k1, Point::Secp256k1(_))
                | (Scheme::EddsaEd25519, Point::Ed25519(_))
                | (Scheme::EcdsaP256, Point::P256(_))
        );
        if !of_scheme || self.chain_code != [0; 32] {
            return Err(ImportError::SchemeMismatch);
        }
        let alone =
            self.verifying_shares.iter().map(|(party, point)| (party.as_u8(), point)).eq([(1, &self.public_key)]);
        if self.size != CommitteeSize::ALONE || !alone { Err(ImportError::Committee(1)) } else { Ok(()) }
    }
    /// The public share of one signer.
    pub fn verifying_share(&self, party: PartyIndex) -> Option<&Point> {
        self.verifying_shares.get(&party)
    }
    /// Hash over every field: what the signers compare and acknowledge before they adopt an epoch.
    pub fn digest(&self) -> [u8; 32] {
        let shares: Vec<u8> = self
            .verifying_shares
            .iter()
            .flat_map(|(party, share)| std::iter::once(party.as_u8()).chain(share.as_bytes().iter().copied()))
            .collect();
        tagged_hash(
            "limen mpc public key v1",
            [
                self.cluster.as_str().as_bytes(),
                self.key.as_str().as_bytes(),
                &self.epoch.0.to_be_bytes(),
                self.scheme.as_str().as_bytes(),
                self.protocol.as_str().as_bytes(),
                &[self.size.signers_required(), self.size.signers_total()],
                self.public_key.as_bytes(),
                &self.chain_code,
                &shares,
            ],
        )
    }
}

/// What a protocol needs beside the core share.
pub(crate) enum ProtocolSetup {
    /// Oblivious-transfer and zero-share seeds with each other signer.
    Dkls23(Box<dkls23::Setup>),
    /// Paillier and ring-Pedersen keys of all signers; missing until [`crate::Session::aux_info`] has made them.
    Cggmp24(Option<Box<cggmp24::Setup>>),
    /// Nothing (FROST).
    None,
}

/// One signer's share of one epoch of a key: consistent within itself by construction. Unprintable, wiped on drop.
pub struct KeyShare {
    public: KeyPublic,
    core: CoreShare,
    setup: ProtocolSetup,
}

impl KeyShare {
    /// Joins the parts and checks everything that one signer can check alone.
    pub(crate) fn assemble(public: KeyPublic, core: CoreShare, setup: ProtocolSetup) -> Result<Self, ImportError> {
        public.validate()?;
        core.check(&public)?;
        match (&setup, public.protocol) {
            (ProtocolSetup::Dkls23(setup), Protocol::Dkls23) => setup.check(&public, core.index())?,
            (ProtocolSetup::Cggmp24(Some(setup)), Protocol::Cggmp24) => setup.check(&public, &core)?,
            (ProtocolSetup::Cggmp24(None), Protocol::Cggmp24) | (ProtocolSetup::None, Protocol::Frost) => {}
            _ => return Err(ImportError::Setup("it is of another protocol")),
        }
        Ok(Self { public, core, setup })
    }

    /// Loads a share from its exported parts. Nothing is believed: points, polynomial, secret and set-up are checked.
    pub fn import(public: KeyPublic, core: &[u8], setup: &[u8]) -> Result<Self, ImportError> {
        let core = CoreShare::decode(public.scheme, core)?;
        let setup = match public.protocol {
            Protocol::Dkls23 => ProtocolSetup::Dkls23(Box::new(dkls23::Setup::decode(setup)?)),
            Protocol::Cggmp24 if setup.is_empty() => ProtocolSetup::Cggmp24(None),
            Protocol::Cggmp24 => ProtocolSetup::Cggmp24(Some(Box::new(cggmp24::Setup::decode(setup)?))),
            Protocol::Frost if setup.is_empty() => ProtocolSetup::None,
            Protocol::Frost => return Err(ImportError::Encoding("set-up")),
            // There are no shares of it.
            Protocol::Hsm => return Err(ImportError::SchemeMismatch),
        };
        Self::assemble(public, core, setup)
    }
    /// The Shamir share alone, in a versioned encoding of at most 64 bytes. Seal it before it touches a disk.
    pub fn export_core(&self) -> Zeroizing<Vec<u8>> {
        self.core.encode(self.public.scheme)
    }
    /// The protocol set-up alone, in a versioned encoding: about 100 kB for a DKLs23 share of 2-of-3, 12 kB for CGGMP24,
    /// empty where there is none.
    pub fn export_setup(&self) -> Result<Zeroizing<Vec<u8>>, ImportError> {
        match &self.setup {
            ProtocolSetup::Dkls23(setup) => setup.encode(),
            ProtocolSetup::Cggmp24(Some(setup)) => setup.encode(),
            ProtocolSetup::Cggmp24(None) | ProtocolSetup::None => Ok(Zeroizing::default()),
        }
    }
    /// Whether the share can sign: a CGGMP24 share cannot before it has its auxiliary information.
    pub fn can_sign(&self) -> bool {
        !matches!(self.setup, ProtocolSetup::Cggmp24(None))
    }
    /// The same core share under CGGMP24 as `epoch`, still without auxiliary information: how a DKLs23 key changes its
    /// protocol. Old shares must be retired when the new epoch is adopted; one key never runs both protocols.
    pub fn migrate_to_cggmp24(&self, epoch: Epoch) -> Result<Self, ImportError> {
        let public = KeyPublic { protocol: Protocol::Cggmp24, epoch, ..self.public.clone() };
        Self::assemble(public, self.core.duplicate(), ProtocolSetup::Cggmp24(None))
    }
    /// The same core share with a new set-up.
    pub(crate) fn with_setup(&self, setup: ProtocolSetup) -> Result<Self, ImportError> {
        Self::assemble(self.public.clone(), self.core.duplicate(), setup)
    }
    /// The set-up alone, for a core share that it fits as well.
    pub(crate) fn into_setup(self) -> ProtocolSetup {
        self.setup
    }
    /// The public part.
    pub fn public(&self) -> &KeyPublic {
        &self.public
    }
    /// Whose share this is.
    pub fn index(&self) -> PartyIndex {
        self.core.index()
    }
    pub(crate) fn core(&self) -> &CoreShare {
        &self.core
    }
    pub(crate) fn setup(&self) -> &ProtocolSetup {
        &self.setup
    }
}

impl fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyShare({}, epoch {}, party {}, secret redacted)", self.public.key, self.public.epoch, self.index())
    }
}

#[cfg(test)]
mod tests;
