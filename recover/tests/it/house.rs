//! Keys dealt by a dealer who knows them, and custodians with identities of their own.

use std::collections::BTreeMap;

use curve25519_dalek::EdwardsPoint;
use k256::elliptic_curve::PrimeField;
use k256::elliptic_curve::sec1::ToEncodedPoint;
use limen_mpc::{KeyPublic, KeyShare, Point};
use limen_recover::age::secrecy::ExposeSecret;
use limen_recover::age::{NoCallbacks, x25519};
use limen_recover::{Backup, Custodian, Identities, Order, Piece, Plugins, Recipient};
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
    let mut coefficients: Vec<[u8; 32]> = (0..required).map(coefficient).collect();
    if scheme == Scheme::SchnorrBip340 && evaluate(scheme, &coefficients, 0).1.as_bytes()[0] == 3 {
        // the key of BIP-340 is the point with even y
        for each in &mut coefficients {
            let scalar: k256::Scalar = Option::from(k256::Scalar::from_repr((*each).into())).unwrap();
            *each = (-scalar).to_repr().into();
        }
    }
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
    /// The same person under another name.
    pub(crate) fn alias(&self, name: &'static str) -> Self {
        Self { name, key: self.key.clone() }
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
    // no two backups have a coefficient in common, or the difference of two shares would lie open
    let seed = tagged_hash("backup", [&share.export_core()[..], &share.public().digest(), &[pieces_required]]);
    Backup::make(share, order, &Plugins::none(), &NoCallbacks, &mut ChaCha20Rng::from_seed(seed)).unwrap()
}

/// Bytes as BIP-173 writes them under a prefix.
pub(crate) fn bech32(prefix: &str, bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let digit = |bits: &[u8]| (0..5).fold(0, |sum, at| sum << 1 | bits.get(at).copied().unwrap_or(0));
    let digits: Vec<u8> = bits.chunks(5).map(digit).collect();
    let mut all: Vec<u8> = prefix.bytes().map(|b| b >> 5).chain([0]).chain(prefix.bytes().map(|b| b & 31)).collect();
    all.extend(digits.iter().copied().chain([0; 6]));
    let sum = 1 ^ all.into_iter().fold(1u32, |sum, value| {
        let terms = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
        let start = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        (0..).zip(terms).filter(|(at, _)| sum >> 25 >> at & 1 == 1).fold(start, |sum, (_, term)| sum ^ term)
    });
    let check = (0..6).map(|at| u8::try_from(sum >> (5 * (5 - at)) & 31).unwrap());
    let word: String = digits.into_iter().chain(check).map(|digit| char::from(ALPHABET[usize::from(digit)])).collect();
    format!("{prefix}1{word}")
}

/// X25519 recipients of low order: with each everybody knows the shared secret.
pub(crate) fn low_order() -> Vec<String> {
    let torsion = curve25519_dalek::constants::EIGHT_TORSION;
    let keys: std::collections::BTreeSet<[u8; 32]> =
        torsion.iter().map(|point| point.to_montgomery().to_bytes()).collect();
    let minus_one = "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
    let twist = <[u8; 32]>::try_from(hex::decode(minus_one).unwrap()).unwrap();
    let keys: Vec<String> = keys.into_iter().chain([twist]).map(|key| bech32("age", &key)).collect();
    assert_eq!(keys.len(), 5);
    keys
}
