//! Ed25519 signatures (RFC 8032) by a scalar: keys of distributed key generation have no seed.

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use limen_wire::ids::tagged_hash;

use crate::curve;
use limen_mpc::Point;
use limen_wire::ids::Scheme;

/// Signs as RFC 8032 section 5.1.6 does from its step 2 on. The prefix that its step 1 takes out of the seed's hash is
/// `tagged_hash("limen/ed25519-scalar-prefix/v1", [scalar])` here: as secret as the scalar, and of it alone, so that a message has one
/// signature and no two messages share a nonce. Nothing for scalars that are zero or not canonical.
pub(crate) fn sign_ed25519(scalar: &[u8; 32], message: &[u8]) -> Option<[u8; 64]> {
    let Some(Point::Ed25519(public)) = curve::public_point(Scheme::EddsaEd25519, scalar) else { return None };
    let expanded = ExpandedSecretKey {
        scalar: Option::from(curve25519_dalek::Scalar::from_canonical_bytes(*scalar))?,
        hash_prefix: tagged_hash("limen/ed25519-scalar-prefix/v1", [&scalar[..]]),
    };
    let key = VerifyingKey::from_bytes(&public).ok()?;
    let signature = raw_sign::<sha2::Sha512>(&expanded, message, &key);
    key.verify_strict(message, &signature).is_ok().then(|| signature.to_bytes())
}
