//! A trusted dealer for DKLs23 shares, for tests only: milliseconds instead of seconds of key generation.
//!
//! It writes the set-up in the crate's stored encoding, so it also holds that encoding still.

use std::collections::BTreeMap;
use std::sync::Arc;

use dkls23::protocols::re_key::re_key;
use dkls23::protocols::{Parameters, Party, PartyIndex as LibIndex};
use dkls23::utilities::multiplication::{MulReceiver, MulSender};
use dkls23::utilities::zero_shares::ZeroShare;
use k256_14::elliptic_curve::PrimeField;
use k256_14::elliptic_curve::sec1::ToSec1Point;
use k256_14::{AffinePoint, ProjectivePoint, Scalar, Secp256k1};
use limen_mpc::{KeyPublic, KeyShare, Point, SessionParams};
use limen_wire::ids::{PartyIndex, tagged_hash};
use serde::Serialize;

use crate::params::party;

/// The fields of the stored set-up, in order.
#[derive(Serialize)]
struct StoredSetup<'a> {
    owner: [u8; 32],
    index: u8,
    session_id: &'a [u8],
    zero_share: &'a ZeroShare,
    mul_senders: &'a BTreeMap<LibIndex, MulSender<Secp256k1>>,
    mul_receivers: &'a BTreeMap<LibIndex, MulReceiver<Secp256k1>>,
}

/// The private key that the dealer shares: known to the test, so that it can look for it.
pub(crate) fn secret() -> Scalar {
    let mut bytes = tagged_hash("test secret", []);
    bytes[0] = 0;
    Option::from(Scalar::from_repr(bytes.into())).unwrap()
}

fn point(point: &AffinePoint) -> Point {
    Point::secp256k1(point.to_sec1_point(true).as_bytes()).unwrap()
}

/// One party's parts as they would be stored.
pub(crate) struct Parts {
    pub(crate) public: KeyPublic,
    pub(crate) core: Vec<u8>,
    pub(crate) setup: Vec<u8>,
}

/// Shares of [`secret`] for every signer of `params`, as stored parts.
pub(crate) fn deal_parts(params: &SessionParams) -> BTreeMap<PartyIndex, Parts> {
    let parameters = Parameters::new(params.size.signers_required(), params.size.signers_total()).unwrap();
    let chain_code = tagged_hash("test chain code", []);
    let (parties, _) = re_key::<Secp256k1>(&parameters, b"dealt", &secret(), Some(chain_code), |_| String::new());
    let share = |dealt: &Party<Secp256k1>| point(&(ProjectivePoint::GENERATOR * dealt.poly_point).to_affine());
    let verifying_shares =
        parties.iter().map(|dealt| (party(u16::from(dealt.party_index.as_u8())), share(dealt))).collect();
    let public = KeyPublic {
        cluster: params.cluster.clone(),
        key: params.key.clone(),
        epoch: params.epoch,
        scheme: params.scheme,
        protocol: params.protocol,
        size: params.size,
        public_key: point(&parties[0].pk),
        chain_code,
        verifying_shares,
    };
    parties.iter().map(|dealt| (party(u16::from(dealt.party_index.as_u8())), parts(dealt, &public))).collect()
}

fn parts(dealt: &Party<Secp256k1>, public: &KeyPublic) -> Parts {
    let index = dealt.party_index.as_u8();
    let shares = KeyPublic { chain_code: [0; 32], ..public.clone() };
    let stored = StoredSetup {
        owner: tagged_hash("limen mpc dkls23 set-up owner v1", [&shares.digest()[..]]),
        index,
        session_id: &dealt.session_id,
        zero_share: &dealt.zero_share,
        mul_senders: &dealt.mul_senders,
        mul_receivers: &dealt.mul_receivers,
    };
    let mut setup = b"LMD2".to_vec();
    setup.extend(postcard::to_stdvec(&stored).unwrap());
    let mut core = b"LMC1\x01".to_vec();
    core.push(index);
    core.extend_from_slice(&dealt.poly_point.to_repr());
    Parts { public: public.clone(), core, setup }
}

/// Shares of [`secret`] for every signer of `params`.
pub(crate) fn deal(params: &SessionParams) -> BTreeMap<PartyIndex, Arc<KeyShare>> {
    let import = |(index, parts): (PartyIndex, Parts)| {
        (index, Arc::new(KeyShare::import(parts.public, &parts.core, &parts.setup).unwrap()))
    };
    deal_parts(params).into_iter().map(import).collect()
}
