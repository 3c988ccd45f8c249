//! Between the library's `k256` 0.14 types and ours, always through canonical bytes.

use k256_14::elliptic_curve::PrimeField;
use k256_14::elliptic_curve::sec1::{FromSec1Point, Sec1Point, ToSec1Point};
use k256_14::{AffinePoint, Scalar};
use zeroize::Zeroizing;

use crate::point::Point;

/// The library's point as ours; `None` for the identity.
pub(super) fn to_point(point: &AffinePoint) -> Option<Point> {
    Point::secp256k1(point.to_sec1_point(true).as_bytes()).ok()
}

/// Our point as the library's.
pub(super) fn from_point(point: &Point) -> Option<AffinePoint> {
    let encoded = Sec1Point::<super::Curve>::from_bytes(point.as_bytes()).ok()?;
    Option::from(AffinePoint::from_sec1_point(&encoded))
}

/// A scalar as 32 big-endian bytes.
pub(super) fn to_bytes(scalar: &Scalar) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(scalar.to_repr().into())
}

/// 32 big-endian bytes as a scalar; `None` if not below the group's order.
pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Scalar> {
    Option::from(Scalar::from_repr((*bytes).into()))
}
