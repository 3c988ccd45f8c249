//! FROST without an adversary: one suite for both curves, every size, subset, path, mode and order of delivery.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_mpc::{
    DerivationPath, KeyShare, NonceCommitment, NoncePair, Output, Point, Session, SessionParams, SignInput, SignMode,
    Signature, Step, derive_public, nonce_batch,
};
use limen_wire::ids::{CommitteeSize, PartyIndex, Protocol, Scheme, SignerSet};

use crate::net::{Order, honest, run};
use crate::params::{among, params, seed, set, size};

pub(crate) type Shares = BTreeMap<PartyIndex, Arc<KeyShare>>;

pub(crate) const SCHEMES: [Scheme; 2] = [Scheme::EddsaEd25519, Scheme::SchnorrBip340];

pub(crate) fn frost(scheme: Scheme, size: CommitteeSize, run: u64) -> SessionParams {
    params(scheme, Protocol::Frost, size, run)
}

/// Starts key generation at every party.
pub(crate) fn start_keygen(scheme: Scheme, size: CommitteeSize, run: u64) -> Vec<(Session, Step)> {
    let params = frost(scheme, size, run);
    let start = |party: &PartyIndex| Session::keygen(params.clone(), *party, seed()).unwrap();
    params.signers.parties().iter().map(start).collect()
}

/// A key, made by its signers.
pub(crate) fn keygen(scheme: Scheme, size: CommitteeSize, order: Order) -> Shares {
    let outputs = run(start_keygen(scheme, size, 1), order, honest).outputs();
    outputs.into_iter().map(|(party, output)| (party, key(output))).collect()
}

pub(crate) fn key(output: Output) -> Arc<KeyShare> {
    match output {
        Output::Key(share) => Arc::new(*share),
        other => panic!("expected a key, found {other:?}"),
    }
}

/// What is signed, where, by whom.
pub(crate) struct Job<'a> {
    pub(crate) shares: &'a Shares,
    pub(crate) signers: SignerSet,
    pub(crate) path: &'a str,
    pub(crate) message: &'a [u8],
    pub(crate) run: u64,
}

impl Job<'_> {
    pub(crate) fn params(&self) -> SessionParams {
        let public = self.shares.values().next().unwrap().public();
        among(frost(public.scheme, public.size, self.run), &self.signers)
    }
    fn path(&self) -> DerivationPath {
        self.path.parse().unwrap()
    }
    pub(crate) fn start_one(&self, party: PartyIndex, mode: SignMode) -> (Session, Step) {
        let input = SignInput::Message(self.message.to_vec());
        Session::sign(self.params(), party, self.shares[&party].clone(), &self.path(), &input, mode, seed()).unwrap()
    }
    /// Two rounds.
    pub(crate) fn start(&self) -> Vec<(Session, Step)> {
        self.signers.parties().iter().map(|party| self.start_one(*party, SignMode::Full)).collect()
    }
    /// One round.
    pub(crate) fn start_shared(&self, nonces: BTreeMap<PartyIndex, NoncePair>) -> Vec<(Session, Step)> {
        let commitments = commitments(&nonces);
        let start = |(party, own)| self.start_one(party, SignMode::Shared { own, commitments: commitments.clone() });
        nonces.into_iter().map(start).collect()
    }
    /// One fresh nonce of each signer.
    pub(crate) fn nonces(&self) -> BTreeMap<PartyIndex, NoncePair> {
        let nonce = |party: &PartyIndex| (*party, nonce_batch(&self.shares[party], 1, seed()).unwrap().remove(0));
        self.signers.parties().iter().map(nonce).collect()
    }
    pub(crate) fn child(&self) -> Point {
        let public = self.shares.values().next().unwrap().public();
        derive_public(&public.public_key, &public.chain_code, &self.path()).unwrap().public_key
    }
    /// All signers end with one signature that verifies under the child key by independent means.
    pub(crate) fn check(&self, outputs: BTreeMap<PartyIndex, Output>) -> Signature {
        let mut signatures = outputs.into_values().map(|output| match output {
            Output::Signature(signature) => signature,
            other => panic!("expected a signature, found {other:?}"),
        });
        let first = signatures.next().unwrap();
        assert!(signatures.all(|other| other == first));
        independent(&first, &self.child(), self.message);
        let other = SignInput::Message([self.message, b"!"].concat());
        assert!(first.verify(&self.child(), &other).is_err());
        first
    }
    pub(crate) fn sign(&self, order: Order) -> Signature {
        self.check(run(self.start(), order, honest).outputs())
    }
    pub(crate) fn sign_shared(&self, order: Order) -> Signature {
        self.check(run(self.start_shared(self.nonces()), order, honest).outputs())
    }
}

pub(crate) fn commitments(nonces: &BTreeMap<PartyIndex, NoncePair>) -> BTreeMap<PartyIndex, NonceCommitment> {
    nonces.iter().map(|(party, nonce)| (*party, nonce.commitment())).collect()
}

fn independent(signature: &Signature, key: &Point, message: &[u8]) {
    match (signature, key) {
        (Signature::Ed25519(bytes), Point::Ed25519(key)) => {
            let key = ed25519_dalek::VerifyingKey::from_bytes(key).unwrap();
            key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(bytes)).unwrap();
        }
        (Signature::Bip340(bytes), Point::Secp256k1(key)) => {
            let key = k256::schnorr::VerifyingKey::from_bytes(&key[1..]).unwrap();
            key.verify_raw(message, &k256::schnorr::Signature::try_from(&bytes[..]).unwrap()).unwrap();
        }
        other => panic!("schemes differ: {other:?}"),
    }
}

#[test]
fn makes_keys_and_signs_with_every_subset_of_2_of_3() {
    for scheme in SCHEMES {
        let shares = keygen(scheme, size(2, 3), Order::Fifo);
        let public: Vec<_> = shares.values().map(|share| share.public().clone()).collect();
        assert!(public.iter().all(|other| other == &public[0] && other.digest() == public[0].digest()));
        for (run, signers) in (0..).zip([[1, 2], [1, 3], [2, 3]]) {
            for (step, path) in (0..).zip(["m", "m/0", "m/44/60/0/0/5", "m/1/2/3/4/5/6/7/8/9/10"]) {
                let job = Job { shares: &shares, signers: set(&signers), path, message: b"pay", run: 10 * run + step };
                assert_ne!(job.sign(Order::Fifo), job.sign_shared(Order::Fifo));
            }
        }
    }
}

#[test]
fn makes_keys_and_signs_3_of_5_and_5_of_8() {
    for scheme in SCHEMES {
        let shares = keygen(scheme, size(3, 5), Order::Shuffled(3));
        for (run, signers) in (0..).zip([[1, 2, 3], [1, 3, 5], [2, 4, 5], [3, 4, 5]]) {
            let job = Job { shares: &shares, signers: set(&signers), path: "m/7", message: &[7; 300], run };
            job.sign(Order::Lifo);
            job.sign_shared(Order::Shuffled(9));
        }
        let shares = keygen(scheme, size(5, 8), Order::Lifo);
        for (run, signers) in (0..).zip([[1, 2, 3, 4, 5], [1, 3, 5, 7, 8], [4, 5, 6, 7, 8]]) {
            let job = Job { shares: &shares, signers: set(&signers), path: "m/0/1", message: b"", run };
            job.sign(Order::Shuffled(run + 1));
            job.sign_shared(Order::Lifo);
        }
    }
}

#[test]
fn what_is_exported_comes_back_and_signs() {
    for scheme in SCHEMES {
        let shares = keygen(scheme, size(2, 2), Order::Lifo);
        let again = |(party, share): (&PartyIndex, &Arc<KeyShare>)| {
            let (core, setup) = (share.export_core(), share.export_setup().unwrap());
            assert!(setup.is_empty() && core.len() <= 64);
            let mut damaged = core.clone();
            damaged[37] ^= 1;
            assert!(KeyShare::import(share.public().clone(), &damaged, &setup).is_err());
            assert!(KeyShare::import(share.public().clone(), &core, &[1]).is_err());
            (*party, Arc::new(KeyShare::import(share.public().clone(), &core, &setup).unwrap()))
        };
        let shares: Shares = shares.iter().map(again).collect();
        Job { shares: &shares, signers: set(&[1, 2]), path: "m/3", message: b"again", run: 1 }.sign(Order::Fifo);
    }
}

#[test]
fn a_bip340_key_is_the_point_that_its_x_coordinate_stands_for() {
    for run in 0..8 {
        for output in run_keygen(Scheme::SchnorrBip340, run).values() {
            // Even y, as `lift_x` gives it: clients derive children from the x coordinate alone.
            assert_eq!(output.public().public_key.as_bytes()[0], 2);
        }
    }
}

fn run_keygen(scheme: Scheme, number: u64) -> Shares {
    let outputs = run(start_keygen(scheme, size(2, 2), number), Order::Fifo, honest).outputs();
    outputs.into_iter().map(|(party, output)| (party, key(output))).collect()
}

#[test]
fn bip340_signs_under_odd_and_even_keys_alike() {
    // derivation gives children of both parities; each signs under its x coordinate
    let shares = keygen(Scheme::SchnorrBip340, size(2, 2), Order::Fifo);
    let mut parities = [0, 0];
    for index in 0..12 {
        let path = format!("m/{index}");
        let job = Job { shares: &shares, signers: set(&[1, 2]), path: &path, message: b"parity", run: index };
        parities[usize::from(job.child().as_bytes()[0] & 1)] += 1;
        job.sign(Order::Fifo);
    }
    assert!(parities.iter().all(|count| *count > 0), "{parities:?}");
}

#[test]
fn no_two_runs_share_anything() {
    for scheme in SCHEMES {
        let (first, second) = (keygen(scheme, size(2, 2), Order::Fifo), keygen(scheme, size(2, 2), Order::Fifo));
        let of = |shares: &Shares| shares.values().next().unwrap().public().clone();
        assert_ne!(of(&first).public_key, of(&second).public_key);
        assert_ne!(of(&first).chain_code, of(&second).chain_code);
    }
}
