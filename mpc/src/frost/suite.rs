//! The two ciphersuites, and the way between the library's types and ours: always through canonical encodings.

use frost_core::keys::{CoefficientCommitment, KeyPackage, PublicKeyPackage, SigningShare, VerifyingShare};
use frost_core::{Ciphersuite, Element, Group, Identifier, Scalar, VerifyingKey};
use frost_secp256k1_tr::keys::EvenY as _;
use limen_wire::ids::{PartyIndex, Scheme};
use zeroize::{Zeroize, Zeroizing};

use super::nonce::NonceSecrets;
use crate::blame::{Abort, AbortReason, Action, Blame};
use crate::derive::ChildKey;
use crate::key::KeyShare;
use crate::point::Point;
use crate::signature::Signature;

/// FROST(Ed25519, SHA-512), RFC 9591 section 6.1.
pub(super) type Ed25519 = frost_ed25519::Ed25519Sha512;
/// FROST(secp256k1, SHA-256) with BIP-340 signatures.
pub(super) type Bip340 = frost_secp256k1_tr::Secp256K1Sha256TR;

/// What the library's ciphersuites leave to us.
pub(super) trait Suite: Ciphersuite {
    /// The scheme.
    const SCHEME: Scheme;
    /// Bytes of an encoded point.
    const POINT_LEN: usize;

    /// Checks an encoded point: on the curve, canonical, of prime order, not the identity.
    fn read_point(bytes: &[u8]) -> Option<Point>;
    /// The encoding of a point that this process has computed itself: of prime order by construction. Checking that again
    /// would cost a scalar multiplication.
    fn own_point(bytes: &[u8]) -> Option<Point>;
    /// A point that has been checked, as the library's.
    fn element(point: &Point) -> Option<Element<Self>>;
    /// 32 bytes in the curve's own order as a scalar; `None` unless below the group's order.
    fn scalar(bytes: &[u8; 32]) -> Option<Scalar<Self>>;
    /// A scalar as 32 bytes in the curve's own order.
    fn scalar_bytes(scalar: &Scalar<Self>) -> Zeroizing<[u8; 32]>;
    /// The same key as those know it who see only what signatures verify under.
    fn normal(own: KeyPackage<Self>, public: PublicKeyPackage<Self>) -> (KeyPackage<Self>, PublicKeyPackage<Self>);
    /// Overwrites a scalar for good.
    fn wipe(scalar: &mut Scalar<Self>);
    /// The 64 bytes that the library made, as our signature.
    fn signature(bytes: [u8; 64]) -> Signature;
    /// Wraps nonces of this suite.
    fn wrap(nonces: frost_core::round1::SigningNonces<Self>) -> NonceSecrets;
    /// Unwraps nonces, if they are of this suite.
    fn unwrap(secrets: NonceSecrets) -> Option<frost_core::round1::SigningNonces<Self>>;
}

impl Suite for Ed25519 {
    const SCHEME: Scheme = Scheme::EddsaEd25519;
    const POINT_LEN: usize = 32;

    fn read_point(bytes: &[u8]) -> Option<Point> {
        Point::ed25519(bytes).ok()
    }
    fn own_point(bytes: &[u8]) -> Option<Point> {
        bytes.try_into().map(Point::Ed25519).ok()
    }
    fn element(point: &Point) -> Option<Element<Self>> {
        match point {
            // a `Point` has been checked for its order when it was made
            Point::Ed25519(bytes) => curve25519_dalek::edwards::CompressedEdwardsY(*bytes).decompress(),
            Point::Secp256k1(_) | Point::P256(_) => None,
        }
    }
    fn scalar(bytes: &[u8; 32]) -> Option<Scalar<Self>> {
        curve25519_dalek::Scalar::from_canonical_bytes(*bytes).into()
    }
    fn scalar_bytes(scalar: &Scalar<Self>) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(scalar.to_bytes())
    }
    fn normal(own: KeyPackage<Self>, public: PublicKeyPackage<Self>) -> (KeyPackage<Self>, PublicKeyPackage<Self>) {
        (own, public)
    }
    fn wipe(scalar: &mut Scalar<Self>) {
        scalar.zeroize();
    }
    fn signature(bytes: [u8; 64]) -> Signature {
        Signature::Ed25519(bytes)
    }
    fn wrap(nonces: frost_core::round1::SigningNonces<Self>) -> NonceSecrets {
        NonceSecrets::Ed25519(nonces)
    }
    fn unwrap(secrets: NonceSecrets) -> Option<frost_core::round1::SigningNonces<Self>> {
        match secrets {
            NonceSecrets::Ed25519(nonces) => Some(nonces),
            NonceSecrets::Bip340(_) => None,
        }
    }
}

impl Suite for Bip340 {
    const SCHEME: Scheme = Scheme::SchnorrBip340;
    const POINT_LEN: usize = 33;

    fn read_point(bytes: &[u8]) -> Option<Point> {
        Point::secp256k1(bytes).ok()
    }
    fn own_point(bytes: &[u8]) -> Option<Point> {
        bytes.try_into().map(Point::Secp256k1).ok()
    }
    fn element(point: &Point) -> Option<Element<Self>> {
        match point {
            Point::Secp256k1(bytes) => k256::PublicKey::from_sec1_bytes(bytes).ok().map(|key| key.to_projective()),
            Point::Ed25519(_) | Point::P256(_) => None,
        }
    }
    fn scalar(bytes: &[u8; 32]) -> Option<Scalar<Self>> {
        <k256::Scalar as k256::elliptic_curve::PrimeField>::from_repr((*bytes).into()).into()
    }
    fn scalar_bytes(scalar: &Scalar<Self>) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(scalar.to_bytes().into())
    }
    // An x coordinate stands for the point with even y (`lift_x`).
    fn normal(own: KeyPackage<Self>, public: PublicKeyPackage<Self>) -> (KeyPackage<Self>, PublicKeyPackage<Self>) {
        (own.into_even_y(None), public.into_even_y(None))
    }
    fn wipe(scalar: &mut Scalar<Self>) {
        scalar.zeroize();
    }
    fn signature(bytes: [u8; 64]) -> Signature {
        Signature::Bip340(bytes)
    }
    fn wrap(nonces: frost_core::round1::SigningNonces<Self>) -> NonceSecrets {
        NonceSecrets::Bip340(nonces)
    }
    fn unwrap(secrets: NonceSecrets) -> Option<frost_core::round1::SigningNonces<Self>> {
        match secrets {
            NonceSecrets::Bip340(nonces) => Some(nonces),
            NonceSecrets::Ed25519(_) => None,
        }
    }
}

/// Which key a signature is for, once the child is derived. One case today; a BIP-341 output key with its merkle root is
/// the next, and joins here so that every signature names what was added to the derived key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputKey {
    /// The derived key itself: nothing is added.
    Child,
}

/// The library's point as ours.
pub(super) fn point<C: Suite>(element: &Element<C>) -> Option<Point> {
    let bytes = <C::Group as Group>::serialize(element).ok()?;
    C::read_point(bytes.as_ref())
}

/// The same for an element that is no peer's: computed here from a secret of ours.
pub(super) fn own_point<C: Suite>(element: &Element<C>) -> Option<Point> {
    // the identity has no encoding
    let bytes = <C::Group as Group>::serialize(element).ok()?;
    C::own_point(bytes.as_ref())
}

/// Our index as the library's identifier.
pub(super) fn identifier<C: Suite>(party: PartyIndex) -> Result<Identifier<C>, Abort> {
    Identifier::try_from(party.as_u16()).map_err(|_| Abort::local("a party index is no identifier"))
}

/// A coefficient's commitment that a peer sent.
pub(super) fn coefficient<C: Suite>(bytes: &[u8]) -> Option<CoefficientCommitment<C>> {
    C::read_point(bytes)?;
    CoefficientCommitment::deserialize(bytes).ok()
}

/// A share, tweaked to the child key and wrapped for the library, with the child's public key.
pub(super) fn key_package<C: Suite>(key: &KeyShare, child: &ChildKey, output: OutputKey) -> Option<KeyPackage<C>> {
    let OutputKey::Child = output;
    let share = Zeroizing::new(SigningShare::<C>::new(C::scalar(key.core().scalar())? + C::scalar(&child.tweak)?));
    let verifying_share = verifying_share::<C>(key, key.index(), child)?;
    let verifying_key = VerifyingKey::new(C::element(&child.public_key)?);
    let required = u16::from(key.public().size.signers_required());
    Some(KeyPackage::new(identifier(key.index()).ok()?, *share, verifying_share, verifying_key, required))
}

/// The public side of [`key_package`] for these signers.
pub(super) fn public_package<C: Suite>(
    key: &KeyShare,
    signers: &[PartyIndex],
    child: &ChildKey,
    output: OutputKey,
) -> Option<PublicKeyPackage<C>> {
    let OutputKey::Child = output;
    let shares =
        signers.iter().map(|party| Some((identifier(*party).ok()?, verifying_share::<C>(key, *party, child)?)));
    let shares: Option<_> = shares.collect();
    let verifying_key = VerifyingKey::new(C::element(&child.public_key)?);
    Some(PublicKeyPackage::new(shares?, verifying_key, Some(u16::from(key.public().size.signers_required()))))
}

fn verifying_share<C: Suite>(key: &KeyShare, party: PartyIndex, child: &ChildKey) -> Option<VerifyingShare<C>> {
    let share = C::element(key.public().verifying_share(party)?)?;
    Some(VerifyingShare::new(share + C::Group::generator() * C::scalar(&child.tweak)?))
}

/// Translates an error of the library. Whoever it names is to blame; what names nobody is our own state, since every
/// message was checked before it reached the library.
pub(super) fn translate<C: Suite>(
    error: &frost_core::Error<C>,
    others: &[PartyIndex],
    reason: impl Fn(PartyIndex) -> AbortReason,
) -> Abort {
    let culprits = error.culprits();
    let culprit = others.iter().find(|party| identifier::<C>(**party).is_ok_and(|id| culprits.contains(&id)));
    match culprit {
        Some(party) => Abort::new(Blame::party(*party, Action::Replace), reason(*party)),
        None => Abort::local(error.to_string()),
    }
}
