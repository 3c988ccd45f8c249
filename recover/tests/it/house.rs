//! Keys dealt by a dealer who knows them, and custodians with identities of their own.

use std::collections::BTreeMap;

use curve25519_dalek::EdwardsPoint;
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use limen_mpc::{KeyPublic, KeyShare, Point};
use limen_recover::age::secrecy::ExposeSecret;
use limen_recover::age::{NoCallbacks, x25519};
use limen_recover::{Backup, Custodian, Identities, Order, Piece, Recipient};
use limen_wire::ids::{
    CharterHash, ClusterId, CommitteeSize, Epoch, KeyId, NodeId, PartyIndex, PersonId, Protocol, Scheme, tagged_hash,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

pub(crate) const SCHEMES: [Scheme; 3] = [Scheme::EcdsaSecp256k1, Scheme::SchnorrBip340, Scheme::EddsaEd25519];

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn party(index: u16) -> PartyIndex {
    PartyIndex::new(index).unwrap()
}

pub(crate) fn person(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

/// Bytes of a scalar of either curve, and its point.
fn evaluate(scheme: Scheme, coefficients: &[[u8; 32]], x: u64) -> ([u8; 32], Point) {
    if scheme == Scheme::EddsaEd25519 {
        type Scalar = curve25519_dalek::Scalar;
        let value = coefficients
            .iter()
            .rev()
            .fold(Scalar::ZERO, |sum, c| sum * Scalar::from(x) + Scalar::from_bytes_mod_order(*c));
        let point = EdwardsPoint::mul_base(&value).compress();
        return (value.to_bytes(), Point::ed25519(point.as_bytes()).unwrap());
    }
    let value = coefficients.iter().rev().fold(k256::Scalar::ZERO, |sum, c| {
        sum * k256::Scalar::from(x) + Option::<k256::Scalar>::from(k256::Scalar::from_repr((*c).into())).unwrap()
    });
    let point = (k256::ProjectivePoint::GENERATOR * value).to_affine().to_encoded_point(true);
    (value.to_repr().into(), Point::secp256k1(point.as_bytes()).unwrap())
}

/// A key whose secret the test knows.
pub(crate) struct Dealt {
    pub(crate) secret: [u8; 32],
    pub(crate) shares: Vec<KeyShare>,
}

pub(crate) fn deal(name: &str, epoch: u64, scheme: Scheme, required: u16, total: u16) -> Dealt {
    let coefficient = |degree: u16| {
        // The secret is the same in all epochs.
        let epoch = if degree == 0 { 0 } else { epoch };
        let mut bytes = tagged_hash(
            "dealt",
            [name.as_bytes(), scheme.as_str().as_bytes(), &epoch.to_be_bytes(), &degree.to_be_bytes()],
        );
        // Below both orders, whichever end counts.
        (bytes[0], bytes[31]) = (bytes[0] & 0x0f, bytes[31] & 0x0f);
        bytes
    };
    let coefficients: Vec<[u8; 32]> = (0..required).map(coefficient).collect();
    let (secret, public_key) = evaluate(scheme, &coefficients, 0);
    let values: Vec<_> = (1..=total).map(|x| (x, evaluate(scheme, &coefficients, x.into()))).collect();
    let public = KeyPublic {
        cluster: ClusterId::new("test").unwrap(),
        key: KeyId::new(name).unwrap(),
        epoch: Epoch(epoch),
        scheme,
        protocol: if scheme == Scheme::EcdsaSecp256k1 { Protocol::Cggmp24 } else { Protocol::Frost },
        size: CommitteeSize::new(required, total).unwrap(),
        public_key,
        chain_code: tagged_hash("chain code", [name.as_bytes()]),
        verifying_shares: values.iter().map(|(x, (_, point))| (party(*x), *point)).collect::<BTreeMap<_, _>>(),
    };
    let code = 1 + u8::try_from(
        [Scheme::EcdsaSecp256k1, Scheme::EddsaEd25519, Scheme::SchnorrBip340]
            .iter()
            .position(|s| *s == scheme)
            .unwrap(),
    )
    .unwrap();
    let share = |(x, (value, _)): &(u16, ([u8; 32], Point))| {
        let core = [&b"LMC1"[..], &[code, u8::try_from(*x).unwrap()], value].concat();
        KeyShare::import(public.clone(), &core, &[]).unwrap()
    };
    Dealt { secret, shares: values.iter().map(share).collect() }
}

/// Somebody who keeps pieces.
pub(crate) struct Keeper {
    pub(crate) name: &'static str,
    key: x25519::Identity,
}

impl Keeper {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, key: x25519::Identity::generate() }
    }
    pub(crate) fn person(&self) -> PersonId {
        person(self.name)
    }
    pub(crate) fn custodian(&self) -> Custodian {
        Custodian { person: self.person(), recipient: Recipient::new(&self.key.to_public().to_string()).unwrap() }
    }
    pub(crate) fn identity_file(&self) -> String {
        format!("# {}\n{}\n", self.name, self.key.to_string().expose_secret())
    }
    pub(crate) fn identities(&self) -> Identities {
        Identities::read(self.identity_file().as_bytes(), NoCallbacks).unwrap()
    }
    pub(crate) fn open(&self, backup: &Backup) -> Piece {
        backup.open_one(&self.person(), &self.identities()).unwrap()
    }
}

pub(crate) fn keepers() -> [Keeper; 3] {
    ["anna", "bela", "carla"].map(Keeper::new)
}

pub(crate) fn order(member: PartyIndex, keepers: &[Keeper], pieces_required: u8) -> Order {
    Order {
        node: NodeId::new(format!("signer-{member}")).unwrap(),
        charter: CharterHash::new([7; 32]),
        custodians: keepers.iter().map(Keeper::custodian).collect(),
        pieces_required,
    }
}

pub(crate) fn back_up(share: &KeyShare, keepers: &[Keeper], pieces_required: u8) -> Backup {
    let order = order(share.index(), keepers, pieces_required);
    Backup::make(share, order, &NoCallbacks, &mut rng(u64::from(pieces_required))).unwrap()
}
