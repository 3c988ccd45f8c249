//! Shares as they lie sealed on the signers' disks, and what they make together.

use std::iter::{Product, Sum};
use std::ops::{Mul, Sub};

use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::sec1::ToEncodedPoint as _;
use limen_hsm::DangerSoftware;
use limen_node::store::{Options, Store};
use limen_node::vault::Vault;
use limen_wire::ids::{KeyId, NodeId, Scheme};

use super::cluster::{Cluster, signer};

/// What one signer holds of one key.
pub(crate) struct Share {
    pub(crate) key: KeyId,
    pub(crate) index: u8,
    pub(crate) scheme: Scheme,
    pub(crate) secret: [u8; 32],
    /// The protocol's own secrets beside the share, such as seeds of oblivious transfer; empty for FROST.
    pub(crate) setup: Vec<u8>,
}

/// Opens a stopped signer's store the way the signer itself does.
pub(crate) fn of_signer(cluster: &Cluster, index: usize) -> Vec<Share> {
    let name = signer(index);
    let folder = cluster.path().join(&name);
    let (node, name) = (NodeId::new(name).unwrap(), cluster.config.cluster.clone());
    let store = Store::open(&folder.join("data"), Options::new(node.clone(), name.clone())).unwrap();
    let provider = DangerSoftware::open(&folder.join("share-wrapping.key"), true).unwrap();
    let vault = Vault::new(name, node, std::sync::Arc::new(provider), store.clone(), std::time::Duration::ZERO);
    let view = store.view().unwrap();
    let keys = view.keys().unwrap();
    keys.into_iter()
        .map(|(key, row)| {
            let share = vault.read(&view, &key, &row.share.unwrap()).unwrap();
            let secret = *share.export_core().last_chunk::<32>().unwrap();
            let setup = share.export_setup().unwrap().to_vec();
            Share { key, index: share.index().as_u8(), scheme: share.public().scheme, secret, setup }
        })
        .collect()
}

/// The scalar that these shares of one key interpolate to at zero, and the public key that would belong to it.
pub(crate) fn join(shares: &[&Share]) -> ([u8; 32], Vec<u8>) {
    if shares.iter().all(|share| share.scheme == Scheme::EddsaEd25519) {
        let value = |share: &Share| curve25519_dalek::Scalar::from_canonical_bytes(share.secret).unwrap();
        let points: Vec<_> = shares.iter().map(|share| (share.index.into(), value(share))).collect();
        let secret = interpolate(&points, |scalar| scalar.invert());
        let public = curve25519_dalek::EdwardsPoint::mul_base(&secret).compress();
        return (secret.to_bytes(), public.to_bytes().to_vec());
    }
    let value = |share: &Share| k256::Scalar::from_repr(share.secret.into()).unwrap();
    let points: Vec<_> = shares.iter().map(|share| (share.index.into(), value(share))).collect();
    let secret = interpolate(&points, |scalar| scalar.invert().unwrap());
    let public = (k256::ProjectivePoint::GENERATOR * secret).to_affine().to_encoded_point(true);
    let is_x_only = shares.iter().all(|share| share.scheme == Scheme::SchnorrBip340);
    (secret.to_bytes().into(), public.as_bytes()[usize::from(is_x_only)..].to_vec())
}

/// Lagrange's formula at zero.
fn interpolate<T>(points: &[(u64, T)], invert: fn(T) -> T) -> T
where
    T: Copy + From<u64> + Sub<Output = T> + Mul<Output = T> + Sum + Product,
{
    let weight = |me: u64| -> T {
        let others = points.iter().map(|(x, _)| *x).filter(|x| *x != me);
        others.map(|x| T::from(x) * invert(T::from(x) - T::from(me))).product()
    };
    points.iter().map(|(x, value)| *value * weight(*x)).sum()
}
