//! Paillier and ring-Pedersen moduli as a dishonest party would choose them: every one ends in an abort that names it.

use cggmp24::key_refresh::msg::Msg;
use sha2::Sha256;

use super::super::modulus::{check_bases, check_modulus};
use super::net::Report;
use super::spoil::{Target, check_blame, run_spoiled};
use super::*;
use crate::{Abort, AbortReason, Action, Blame};

type AuxMessage = Msg<Sha256, Level>;

/// Party 1 sends these moduli in place of its own. Nothing before the check of the moduli depends on its commitment.
fn with_moduli(shares: &Shares, change: impl Fn(&mut Integer, &mut Integer)) -> Report {
    let starts = start_aux(shares, |party| primes(party.as_u16().into()));
    let opening = Target { round: 3, from: party(1), to: None, direct: false, deaf: true };
    let report = run_spoiled(starts, opening, |body| {
        let mut message: AuxMessage = ciborium::from_reader(body).unwrap();
        if let Msg::Round2(opening) = &mut message {
            change(&mut opening.N, &mut opening.hat_N);
        }
        let mut out = Vec::new();
        ciborium::into_writer(&message, &mut out).unwrap();
        out
    });
    check_blame(&report, party(1), "moduli");
    report
}

fn abort(report: &Report) -> &Abort {
    report.abort(party(2)).unwrap_or_else(|| panic!("{:?}", report.ends))
}

fn product(factors: &[Integer]) -> Integer {
    factors.iter().fold(Integer::one(), |product, factor| product * factor)
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::from_seed([8; 32])
}

/// A product of small primes and one large one, 1026 bits: BitForge's modulus.
fn smooth() -> Integer {
    let mut rng = rng();
    let mut modulus = Integer::one();
    while modulus.significant_bits() < 700 {
        modulus *= Integer::generate_prime(&mut rng, 16);
    }
    let rest = 1026 - u32::try_from(modulus.significant_bits()).unwrap();
    modulus * Integer::generate_prime(&mut rng, rest)
}

#[test]
fn moduli_of_a_wrong_shape_name_their_owner() {
    let shares = bare(size(2, 2));
    let [p, q, hat_p, hat_q] = four_primes(1);
    let good = product(&[p.clone(), q.clone()]);
    let hat_good = product(&[hat_p, hat_q]);
    let mut rng = rng();
    let small_factor = Integer::from(65_521) * Integer::generate_prime(&mut rng, 1010);
    let cases = [
        ("even modulus", good.clone() - Integer::one()),
        ("modulus of a wrong size", p.clone()),
        ("modulus of a wrong size", product(&[good.clone(), q])),
        ("modulus of a wrong size", Integer::zero()),
        ("modulus of a wrong size", Integer::zero() - good.clone()),
        ("modulus with a small factor", small_factor),
        ("modulus with a small factor", smooth()),
        ("modulus that is a square", p.square_ref()),
        ("modulus that is another's or used twice", hat_good),
    ];
    // both moduli go through the same check: they take turns
    for ((what, modulus), pedersen) in cases.into_iter().zip([false, true].into_iter().cycle()) {
        let report = with_moduli(&shares, |n, hat_n| {
            *n = good.clone();
            let place = if pedersen { hat_n } else { n };
            *place = modulus.clone();
        });
        let abort = abort(&report);
        assert_eq!(abort.reason, AbortReason::Proof { from: party(1), what }, "pedersen: {pedersen}");
        assert_eq!(abort.blame, Blame::party(party(1), Action::Replace));
    }
}

#[test]
fn another_modulus_than_committed_is_noticed() {
    let shares = bare(size(2, 2));
    let other = four_primes(77);
    let report = with_moduli(&shares, |n, _| *n = &other[0] * &other[1]);
    assert_eq!(abort(&report).reason, AbortReason::Commitment { from: party(1) });
}

/// Party 1 really runs the protocol with factors that are not primes: only the proofs can tell.
fn dishonest(factors: [Integer; 4]) -> Report {
    let shares = bare(size(2, 2));
    let starts = start_aux(&shares, |party| {
        let own = Primes::from_library(PregeneratedPrimes::<Level>::try_from(factors.clone()).unwrap());
        if party.as_u8() == 1 { own } else { primes(2) }
    });
    run(starts, Order::Fifo, honest)
}

#[test]
fn a_modulus_of_three_primes_is_not_proven() {
    let mut rng = rng();
    let [_, q, hat_p, hat_q] = four_primes(1);
    // as long as a prime would be, without small factors, but two primes itself
    let composite = loop {
        let candidate = product(&[blum_prime(&mut rng, 257), blum_prime(&mut rng, 257)]);
        if candidate.significant_bits() == 513 {
            break candidate;
        }
    };
    let report = dishonest([composite, q, hat_p, hat_q]);
    check_blame(&report, party(1), "three primes");
    match report.abort(party(2)) {
        Some(abort) => {
            let what = "Paillier modulus of two primes";
            assert_eq!(abort.reason, AbortReason::Proof { from: party(1), what });
        }
        // the library cannot even make the proof: party 1 is silent and party 2 knows whom it waits for
        None => assert!(matches!(&report.ends[&party(2)], net::End::Waiting(who) if who == &[party(1)])),
    }
}

#[test]
fn a_modulus_with_one_large_and_one_short_prime_is_not_proven() {
    // each modulus has the right length, but the factors are 340 and 686 bits: the range of the factor proof is broken
    let mut rng = rng();
    let [_, _, hat_p, hat_q] = four_primes(1);
    let (short, long) = (blum_prime(&mut rng, 340), blum_prime(&mut rng, 686));
    assert!(PregeneratedPrimes::<Level>::try_from([short, long, hat_p, hat_q]).is_err());
}

#[test]
fn proofs_of_another_run_or_party_do_not_pass() {
    let shares = bare(size(2, 2));
    let recorded = run(start_aux(&shares, |party| primes(party.as_u16().into())), Order::Fifo, honest).sent;
    let proofs = |from: u16| {
        let old = recorded.iter().find(|packet| packet.frame.round == 4 && packet.sender == party(from));
        old.unwrap().frame.body.clone()
    };
    // the same primes in a new session: a proof of the old one, and the victim's own proof sent back
    for body in [proofs(1), proofs(2)] {
        let target = Target { round: 4, from: party(1), to: Some(party(2)), direct: true, deaf: true };
        let starts = start_aux(&shares, |party| primes(party.as_u16().into()));
        let report = run_spoiled(starts, target, |_| body.clone());
        check_blame(&report, party(1), "old proofs");
        assert!(matches!(abort(&report).reason, AbortReason::Proof { from, .. } if from == party(1)));
    }
}

#[test]
fn honest_moduli_pass_and_bases_must_be_units() {
    let [p, q, ..] = four_primes(1);
    let modulus = &p * &q;
    assert_eq!(check_modulus(&modulus), Ok(()));
    let (two, three) = (Integer::from(2), Integer::from(3));
    assert_eq!(check_bases(&modulus, &two, &three), Ok(()));
    let minus_one = modulus.clone() - Integer::one();
    for (s, t) in [
        (Integer::one(), two.clone()),
        (two.clone(), Integer::zero()),
        (two.clone(), two.clone()),
        (p, two.clone()),
        (minus_one, two.clone()),
        (modulus.clone() + &two, three),
    ] {
        assert!(check_bases(&modulus, &s, &t).is_err());
    }
}
