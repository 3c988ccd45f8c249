//! A signer that lies in every field of every message. Fields are found generically: every leaf of the message's CBOR.

use ciborium::Value;

use super::super::messages::PresignMessage;
use super::net::Report;
use super::spoil::{Damage, Target, check_blame, run_spoiled};
use super::*;
use crate::{AbortReason, Dropped};

/// All leaves and lists of a value, as paths.
fn places(value: &Value, path: &mut Vec<usize>, out: &mut Vec<Vec<usize>>) {
    let children: Vec<&Value> = match value {
        Value::Array(items) => items.iter().collect(),
        Value::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
        _ => Vec::new(),
    };
    if !matches!(value, Value::Map(_)) {
        out.push(path.clone());
    }
    for (index, child) in children.into_iter().enumerate() {
        path.push(index);
        places(child, path, out);
        path.pop();
    }
}

fn at<'a>(value: &'a mut Value, path: &[usize]) -> &'a mut Value {
    let Some((first, rest)) = path.split_first() else { return value };
    match value {
        Value::Array(items) => at(&mut items[*first], rest),
        Value::Map(entries) => at(&mut entries[*first].1, rest),
        other => panic!("no child in {other:?}"),
    }
}

/// Changes one place to another value of its kind.
fn change(value: &mut Value) {
    match value {
        Value::Bytes(bytes) => match bytes.last_mut() {
            Some(last) => *last ^= 1,
            None => bytes.push(1),
        },
        Value::Text(text) => match text.pop() {
            Some(last) => text.push(if last == '1' { '2' } else { '1' }),
            None => text.push('1'),
        },
        Value::Bool(bit) => *bit = !*bit,
        Value::Array(items) => drop(items.pop()),
        Value::Integer(number) => {
            let number = i128::from(*number);
            *value = Value::Integer((number.wrapping_add(1) & 0xff).try_into().unwrap());
        }
        other => *other = Value::Bytes(vec![1]),
    }
}

fn parse(body: &[u8]) -> Value {
    ciborium::from_reader(body).unwrap()
}

fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

/// Up to `most` places of a message, evenly chosen.
fn chosen(body: &[u8], most: usize) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    places(&parse(body), &mut Vec::new(), &mut all);
    let stride = all.len().div_ceil(most).max(1);
    all.into_iter().step_by(stride).collect()
}

struct Bench {
    shares: Shares,
    signers: SignerSet,
}

impl Bench {
    fn start(&self) -> Starts {
        start_sign(&self.shares, &self.signers, "m/1", &preimage(1), 5)
    }
    fn check(&self, report: &Report, target: Target, what: &str) {
        check_blame(report, target.from, what);
        let victim = target.to.unwrap_or(party(2));
        let refused = report.abort(victim).is_some() || report.dropped(victim, Dropped::Oversize) > 0;
        assert!(refused, "{what}: {:?}", report.ends);
    }
    /// Spoils `most` places of the message, and its bytes as a whole.
    fn spoil(&self, target: Target, body: &[u8], most: usize) {
        for path in chosen(body, most) {
            let report = run_spoiled(self.start(), target, |body| {
                let mut message = parse(body);
                change(at(&mut message, &path));
                encode(&message)
            });
            self.check(&report, target, &format!("{target:?} {path:?}"));
        }
        for damage in [Damage::CutTo(body.len() / 2), Damage::Longer, Damage::AllOnes] {
            let report = run_spoiled(self.start(), target, |body| damage.apply(body));
            self.check(&report, target, &format!("{target:?} {damage:?}"));
        }
    }
}

// wire rounds: 1 ciphertexts and range proofs, 2 echo, 3 affine operations, 4 masked nonce, 5 partial signature
#[test]
fn every_spoiled_field_of_signing_ends_in_an_abort() {
    let bench = Bench { shares: whole(size(2, 2)), signers: set(&[1, 2]) };
    let sent = run(bench.start(), Order::Fifo, honest).sent;
    for (round, direct, most) in [(1, false, 8), (1, true, 14), (3, true, 18), (4, false, 10)] {
        let packet = sent.iter().find(|packet| packet.is(round, party(1), party(2), direct)).unwrap();
        let target = Target { round, from: party(1), to: direct.then(|| party(2)), direct, deaf: round > 1 };
        bench.spoil(target, &packet.frame.body, most);
    }
    let partial = Target { round: 5, from: party(1), to: None, direct: false, deaf: true };
    for damage in [Damage::Flip(31, 0), Damage::Flip(0, 7), Damage::AllZero, Damage::AllOnes, Damage::CutTo(31)] {
        let report = run_spoiled(bench.start(), partial, |body| damage.apply(body));
        bench.check(&report, partial, "partial signature");
        let reason = &report.abort(party(2)).unwrap().reason;
        let malformed = AbortReason::Malformed { from: party(1), what: "signature share" };
        assert!(*reason == malformed || *reason == AbortReason::SignatureShare { from: party(1) }, "{reason:?}");
    }
}

/// The library's integers name their own radix.
#[test]
fn an_impossible_radix_is_malformed_and_no_panic() {
    let bench = Bench { shares: whole(size(2, 2)), signers: set(&[1, 2]) };
    let target = Target { round: 1, from: party(1), to: None, direct: false, deaf: false };
    for radix in [0, 1, 37, 255, 65_535] {
        let report = run_spoiled(bench.start(), target, |body| {
            let mut message = parse(body);
            *at(&mut message, &[0, 0, 0]) = Value::Integer(radix.into());
            encode(&message)
        });
        let what = "CGGMP24 message";
        assert_eq!(report.abort(party(2)).unwrap().reason, AbortReason::Malformed { from: party(1), what }, "{radix}");
    }
}

/// The library accepts a round in which either proof holds: see the module `range`.
#[test]
fn each_range_proof_is_checked_alone() {
    let bench = Bench { shares: whole(size(2, 2)), signers: set(&[1, 2]) };
    let target = Target { round: 1, from: party(1), to: Some(party(2)), direct: true, deaf: true };
    for spoil in [0, 1] {
        let report = run_spoiled(bench.start(), target, |body| {
            let mut message: PresignMessage = ciborium::from_reader(body).unwrap();
            if let PresignMessage::Round1b(proofs) = &mut message {
                let proof = if spoil == 0 { &mut proofs.psi0 } else { &mut proofs.psi1 };
                proof.proof.z1 = proof.proof.z1.clone() + Integer::one();
            }
            let mut out = Vec::new();
            ciborium::into_writer(&message, &mut out).unwrap();
            out
        });
        bench.check(&report, target, "one range proof");
        let reason = AbortReason::Proof { from: party(1), what: "encryption in range" };
        assert_eq!(report.abort(party(2)).unwrap().reason, reason, "proof {spoil}");
    }
}

#[test]
fn a_message_of_another_round_is_refused() {
    let bench = Bench { shares: whole(size(2, 2)), signers: set(&[1, 2]) };
    let sent = run(bench.start(), Order::Fifo, honest).sent;
    let third = sent.iter().find(|packet| packet.is(4, party(1), party(2), false)).unwrap().frame.body.clone();
    let target = Target { round: 1, from: party(1), to: None, direct: false, deaf: false };
    let report = run_spoiled(bench.start(), target, |_| third.clone());
    let what = "message of another round";
    assert_eq!(report.abort(party(2)).unwrap().reason, AbortReason::Malformed { from: party(1), what });
}

#[test]
fn spoiled_key_generation_and_auxiliary_information_make_no_key() {
    let keygen = |target: Target, most: usize| {
        let sent = run(start_keygen(size(2, 3)), Order::Fifo, honest).sent;
        let body = &sent
            .iter()
            .find(|packet| packet.is(target.round, target.from, party(2), target.direct))
            .unwrap()
            .frame
            .body;
        for path in chosen(body, most) {
            let report = run_spoiled(start_keygen(size(2, 3)), target, |body| {
                let mut message = parse(body);
                change(at(&mut message, &path));
                encode(&message)
            });
            check_blame(&report, party(1), &format!("{target:?} {path:?}"));
            assert!(report.abort(party(2)).is_some(), "{target:?} {path:?}: {:?}", report.ends);
        }
    };
    let all = |round| Target { round, from: party(1), to: None, direct: false, deaf: round > 1 };
    keygen(all(1), 8);
    keygen(all(3), 30);
    keygen(Target { to: Some(party(2)), direct: true, ..all(3) }, 8);
    keygen(all(4), 8);

    let shares = bare(size(2, 2));
    let start = || start_aux(&shares, |party| primes(party.as_u16().into()));
    let sent = run(start(), Order::Fifo, honest).sent;
    for (round, direct, most) in [(1, false, 2), (3, false, 4), (4, true, 5)] {
        let body = &sent.iter().find(|packet| packet.is(round, party(1), party(2), direct)).unwrap().frame.body;
        let target = Target { to: direct.then(|| party(2)), direct, ..all(round) };
        for path in chosen(body, most) {
            let report = run_spoiled(start(), target, |body| {
                let mut message = parse(body);
                change(at(&mut message, &path));
                encode(&message)
            });
            check_blame(&report, party(1), &format!("aux {target:?} {path:?}"));
            assert!(report.abort(party(2)).is_some(), "aux {target:?} {path:?}: {:?}", report.ends);
        }
    }
}
