//! A key that was whole, dealt to its members outside of the cluster: what everyone may know of the dealing, checked.
//!
//! Feldman, "A practical scheme for non-interactive verifiable secret sharing" (FOCS 1987): the dealer makes public each coefficient of its
//! polynomial times the generator, so that everyone computes what every member's share times the generator is. Whoever dealt has had
//! the whole key; that it is dealt rightly is checked, that it is forgotten is not.

use std::collections::BTreeMap;

use limen_wire::ids::{
    ClusterId, CommitteeSize, Epoch, IntentId, KeyId, PartyIndex, Protocol, Scheme, SessionId, SignerSet, tagged_hash,
};
use zeroize::Zeroizing;

use crate::binding::SessionParams;
use crate::group::{Edwards25519, Group, Secp256k1, evaluate};
use crate::key::{CoreShare, ImportError, KeyPublic};
use crate::point::Point;

/// What a dealing says of itself. Nothing of it is believed before [`Dealing::new`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DealingFacts {
    /// The cluster that the key comes into.
    pub cluster: ClusterId,
    /// Its name there.
    pub key: KeyId,
    /// What it signs.
    pub scheme: Scheme,
    /// By which protocol it is to sign.
    pub protocol: Protocol,
    /// Its committee.
    pub size: CommitteeSize,
    /// The public key as statements have it: compressed (33 bytes), Ed25519 (32) or x-only (32, the point with even y).
    pub public_key: Vec<u8>,
    /// The chain code for derivation.
    pub chain_code: [u8; 32],
    /// Coefficient 0, 1, … times the generator, compressed.
    pub commitments: Vec<Vec<u8>>,
}

/// Why a dealing, or a share of one, was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DealingError {
    /// Only threshold keys have shares, and each scheme has its protocols.
    #[error("importing a key: {protocol} does not sign {scheme} with shares")]
    Protocol {
        /// The protocol.
        protocol: Protocol,
        /// The scheme.
        scheme: Scheme,
    },
    /// The polynomial is of another degree than `signers_required` says.
    #[error("importing a key: {found} commitments are given, {needed} signers required take exactly {needed}")]
    Degree {
        /// Commitments given.
        found: usize,
        /// As many as signers are required.
        needed: u8,
    },
    /// Bytes that are no point of the scheme's group: not canonical, not on the curve, of small order, or the identity.
    #[error("importing a key: {0} is no point of the scheme's curve, or is the identity")]
    NotAPoint(String),
    /// The polynomial is of another key.
    #[error("importing a key: the first commitment is not the public key: another key was dealt")]
    OtherKey,
    /// A member's share would be zero: nothing is secret about it.
    #[error("importing a key: the share of member {0} is zero: deal anew")]
    ZeroShare(u8),
    /// The verifying shares do not hold together.
    #[error("importing a key: the dealing does not hold together")]
    Inconsistent(#[source] ImportError),
    /// There is no such member.
    #[error("importing a key: there is no member {member} among {total}")]
    NoSuchMember {
        /// Whose share it is said to be.
        member: PartyIndex,
        /// How many there are.
        total: u8,
    },
    /// The share is not the value of the polynomial that was committed to.
    #[error(
        "importing a key: the share is not the one of member {0} that the commitments say: the dealing is wrong, or altered"
    )]
    WrongShare(PartyIndex),
}

/// A dealing whose public side holds together: on the curve, of exactly the degree, with this public key at zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dealing {
    public: KeyPublic,
    /// Hash over the commitments: the verifying shares follow from them, and they from the shares.
    commitments: [u8; 32],
}

impl Dealing {
    /// Checks what a dealing says of itself.
    pub fn new(facts: &DealingFacts) -> Result<Self, DealingError> {
        let (scheme, protocol) = (facts.scheme, facts.protocol);
        if !protocol.is_threshold() || !protocol.supports(scheme) {
            return Err(DealingError::Protocol { protocol, scheme });
        }
        match scheme {
            Scheme::EddsaEd25519 => Self::of::<Edwards25519>(facts),
            Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => Self::of::<Secp256k1>(facts),
            Scheme::EcdsaP256 => Err(DealingError::Protocol { protocol, scheme }),
        }
    }

    fn of<G: Group>(facts: &DealingFacts) -> Result<Self, DealingError> {
        let (needed, found) = (facts.size.signers_required(), facts.commitments.len());
        if found != usize::from(needed) {
            return Err(DealingError::Degree { found, needed });
        }
        let none = |what: &str| DealingError::NotAPoint(what.to_owned());
        let public_key = Point::of_key(facts.scheme, &facts.public_key).map_err(|_| none("the public key"))?;
        let mut elements = Vec::with_capacity(found);
        for (number, bytes) in facts.commitments.iter().enumerate() {
            let point = G::read(bytes).and_then(|point| G::element(&point));
            elements.push(point.ok_or_else(|| DealingError::NotAPoint(format!("commitment {number}")))?);
        }
        if elements.first().and_then(G::point) != Some(public_key) {
            return Err(DealingError::OtherKey);
        }
        let mut verifying_shares = BTreeMap::new();
        for member in SignerSet::all(facts.size).parties() {
            let share = evaluate::<G, _>(&elements, member.as_u8()).and_then(|share| G::point(&share));
            verifying_shares.insert(*member, share.ok_or(DealingError::ZeroShare(member.as_u8()))?);
        }
        let public = KeyPublic {
            cluster: facts.cluster.clone(),
            key: facts.key.clone(),
            epoch: Epoch::FIRST,
            scheme: facts.scheme,
            protocol: facts.protocol,
            size: facts.size,
            public_key,
            chain_code: facts.chain_code,
            verifying_shares,
        };
        public.validate().map_err(DealingError::Inconsistent)?;
        let commitments = tagged_hash("limen mpc dealt commitments v1", facts.commitments.iter().map(Vec::as_slice));
        Ok(Self { public, commitments })
    }

    /// The public part of the key that members get shares of.
    pub fn public(&self) -> &KeyPublic {
        &self.public
    }

    /// Checks that a scalar, in the curve's own byte order, is the share of this member.
    pub fn check_share(&self, member: PartyIndex, scalar: &[u8; 32]) -> Result<(), DealingError> {
        self.core(member, scalar).map(drop)
    }

    /// The parameters of run `session`, authorised by `intent`, among all members.
    pub fn params(&self, session: SessionId, intent: IntentId) -> SessionParams {
        let public = &self.public;
        SessionParams {
            cluster: public.cluster.clone(),
            key: public.key.clone(),
            epoch: public.epoch,
            scheme: public.scheme,
            protocol: public.protocol,
            size: public.size,
            signers: SignerSet::all(public.size),
            session,
            intent,
        }
    }

    /// A member's core share, checked.
    pub(crate) fn core(&self, member: PartyIndex, scalar: &[u8; 32]) -> Result<CoreShare, DealingError> {
        let total = self.public.size.signers_total();
        self.public.verifying_share(member).ok_or(DealingError::NoSuchMember { member, total })?;
        let core = CoreShare::new(member, Zeroizing::new(*scalar));
        core.check(&self.public).map_err(|_| DealingError::WrongShare(member))?;
        Ok(core)
    }

    /// Hash over all that members have to have alike: in the session's binding, so that those who were shown different dealings do not
    /// hear each other.
    pub(crate) fn context(&self) -> [u8; 32] {
        tagged_hash("limen mpc import context v1", [&self.public.digest()[..], &self.commitments])
    }
}
