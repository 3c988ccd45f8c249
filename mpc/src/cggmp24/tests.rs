//! CGGMP24 at a reduced level, over the same network and adversary as the integration tests.

#![allow(dead_code, reason = "part of the shared network serves other suites only")]

use std::collections::BTreeMap;
use std::sync::Arc;

use cggmp24::PregeneratedPrimes;
use cggmp24::backend::Integer;
use limen_wire::ids::{CommitteeSize, PartyIndex, Protocol, Scheme, SignerSet, tagged_hash};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::{Level, Primes};
use crate::{
    DerivationPath, KeyShare, Output, PreimageHash, Presignature, Session, SessionParams, SignInput, SignMode,
    Signature, Step, derive_public,
};

#[path = "../../tests/it/net.rs"]
mod net;
#[path = "../../tests/it/params.rs"]
mod params;
#[path = "../../tests/it/spoil.rs"]
mod spoil;

mod moduli;
mod presignatures;
mod reshared;
mod runs;
mod spoiled;

use net::{Order, honest, run};
use params::{among, params, party, seed, set, size};

cggmp24::define_security_level!(ReducedLevel {
    kappa_bits: 256,
    rsa_prime_bitlen: 513,
    rsa_pubkey_bitlen: 1025,
    epsilon: 320,
    ell: 256,
    ell_prime: 640,
    m: 128,
});

/// 1024-bit moduli: insecure, and nameable only in this crate's unit tests.
#[derive(Clone)]
pub(super) struct ReducedLevel;

type Shares = BTreeMap<PartyIndex, Arc<KeyShare>>;
type Starts = Vec<(Session, Step)>;

/// A prime of `bits` bits that is 3 modulo 4: not safe, but found in milliseconds.
fn blum_prime(rng: &mut ChaCha20Rng, bits: u32) -> Integer {
    loop {
        let prime = Integer::generate_prime(rng, bits);
        if prime.mod_u(4) == 3 {
            return prime;
        }
    }
}

fn four_primes(number: u64) -> [Integer; 4] {
    let mut rng = ChaCha20Rng::from_seed(tagged_hash("test primes", [&number.to_be_bytes()[..]]));
    [(); 4].map(|()| blum_prime(&mut rng, 513))
}

fn primes(number: u64) -> Primes {
    Primes::from_library(PregeneratedPrimes::<Level>::try_from(four_primes(number)).unwrap())
}

fn cggmp(size: CommitteeSize, run: u64) -> SessionParams {
    params(Scheme::EcdsaSecp256k1, Protocol::Cggmp24, size, run)
}

fn keys(outputs: BTreeMap<PartyIndex, Output>) -> Shares {
    let key = |(party, output)| match output {
        Output::Key(share) => (party, Arc::new(*share)),
        other => panic!("expected a key, found {other:?}"),
    };
    outputs.into_iter().map(key).collect()
}

fn start_keygen(size: CommitteeSize) -> Starts {
    let params = cggmp(size, 1);
    params.signers.parties().iter().map(|party| Session::keygen(params.clone(), *party, seed()).unwrap()).collect()
}

fn start_aux(shares: &Shares, primes: impl Fn(PartyIndex) -> Primes) -> Starts {
    let public = shares.values().next().unwrap().public();
    let params = SessionParams { epoch: public.epoch, ..cggmp(public.size, 2) };
    let start = |(party, share): (&PartyIndex, &Arc<KeyShare>)| {
        Session::aux_info(params.clone(), *party, share.clone(), primes(*party), seed()).unwrap()
    };
    shares.iter().map(start).collect()
}

/// Key generation without auxiliary information.
fn bare(size: CommitteeSize) -> Shares {
    keys(run(start_keygen(size), Order::Fifo, honest).outputs())
}

/// A whole key.
fn whole(size: CommitteeSize) -> Shares {
    let starts = start_aux(&bare(size), |party| primes(party.as_u16().into()));
    keys(run(starts, Order::Fifo, honest).outputs())
}

fn preimage(number: u64) -> SignInput {
    SignInput::Preimage { hash: PreimageHash::Keccak256, bytes: number.to_be_bytes().to_vec() }
}

fn run_params(shares: &Shares, signers: &SignerSet, number: u64) -> SessionParams {
    let public = shares.values().next().unwrap().public();
    let params = among(cggmp(public.size, number), signers);
    SessionParams { epoch: public.epoch, ..params }
}

fn start_sign(shares: &Shares, signers: &SignerSet, path: &str, input: &SignInput, number: u64) -> Starts {
    let path: DerivationPath = path.parse().unwrap();
    let params = run_params(shares, signers, number);
    let start = |party: &PartyIndex| {
        let share = shares[party].clone();
        Session::sign(params.clone(), *party, share, &path, input, SignMode::Full, seed()).unwrap()
    };
    signers.parties().iter().map(start).collect()
}

fn start_presign(shares: &Shares, signers: &SignerSet, path: &str, number: u64) -> Starts {
    let path: DerivationPath = path.parse().unwrap();
    let params = run_params(shares, signers, number);
    let start =
        |party: &PartyIndex| Session::presign(params.clone(), *party, &shares[party], &path, [3; 32], seed()).unwrap();
    signers.parties().iter().map(start).collect()
}

fn presignatures(
    shares: &Shares,
    signers: &SignerSet,
    path: &str,
    number: u64,
) -> BTreeMap<PartyIndex, Box<Presignature>> {
    let part = |(party, output)| match output {
        Output::Presignature(presignature) => (party, presignature),
        other => panic!("expected a presignature, found {other:?}"),
    };
    run(start_presign(shares, signers, path, number), Order::Fifo, honest).outputs().into_iter().map(part).collect()
}

fn start_online(
    shares: &Shares,
    parts: BTreeMap<PartyIndex, Box<Presignature>>,
    path: &str,
    input: &SignInput,
    number: u64,
) -> Starts {
    let path: DerivationPath = path.parse().unwrap();
    let signers = SignerSet::new(parts.keys().copied().collect()).unwrap();
    let params = run_params(shares, &signers, number);
    let start = |(party, presignature)| {
        let mode = SignMode::Presignature { presignature, boots: [3; 32] };
        Session::sign(params.clone(), party, Arc::clone(&shares[&party]), &path, input, mode, seed()).unwrap()
    };
    parts.into_iter().map(start).collect()
}

/// All outputs are one signature that verifies under the child key.
fn check_signature(shares: &Shares, path: &str, input: &SignInput, outputs: BTreeMap<PartyIndex, Output>) -> Signature {
    let public = shares.values().next().unwrap().public();
    let child = derive_public(&public.public_key, &public.chain_code, &path.parse().unwrap()).unwrap();
    let signatures: Vec<Signature> = outputs
        .into_values()
        .map(|output| match output {
            Output::Signature(signature) => signature,
            other => panic!("expected a signature, found {other:?}"),
        })
        .collect();
    for signature in &signatures {
        assert_eq!(signature, &signatures[0]);
        signature.verify(&child.public_key, input).unwrap();
    }
    signatures[0]
}
