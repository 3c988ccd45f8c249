//! Keys that were whole, dealt outside and taken in; and dealings with each part spoiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use k256::elliptic_curve::PrimeField as _;
use k256::elliptic_curve::sec1::ToEncodedPoint as _;
use limen_mpc::{Dealing, DealingError, DealingFacts, Session, StartError, Step};
use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, KeyId, PartyIndex, Protocol, Scheme, tagged_hash};

use crate::frost_run::{Shares, key};
use crate::net::{End, Order, honest, run};
use crate::params::{party, size};
use crate::reshare_run::{BIP340, CGGMP, DKLS, ED25519, Kind, hand_over, handover, public, run_ids, sign};

/// A dealing and the scalar of each member: the arithmetic is the curves' own.
struct Dealt {
    facts: DealingFacts,
    shares: BTreeMap<PartyIndex, [u8; 32]>,
}

fn coefficient(number: u8) -> [u8; 32] {
    let mut bytes = tagged_hash("test dealt coefficient", [&[number][..]]);
    // Below both orders, in either byte order.
    (bytes[0], bytes[31]) = (0, 0);
    bytes
}

fn secp256k1(size: CommitteeSize, even: bool) -> (Vec<Vec<u8>>, Vec<[u8; 32]>) {
    let point = |scalar: &k256::Scalar| (k256::ProjectivePoint::GENERATOR * scalar).to_affine().to_encoded_point(true);
    let read = |number| k256::Scalar::from_repr(coefficient(number).into()).unwrap();
    let mut coefficients: Vec<_> = (0..size.signers_required()).map(read).collect();
    if even && point(&coefficients[0]).as_bytes()[0] == 3 {
        coefficients[0] = -coefficients[0];
    }
    let value =
        |x: u8| coefficients.iter().rev().fold(k256::Scalar::ZERO, |sum, c| sum * k256::Scalar::from(u64::from(x)) + c);
    let shares = (1..=size.signers_total()).map(|x| value(x).to_bytes().into()).collect();
    (coefficients.iter().map(|c| point(c).as_bytes().to_vec()).collect(), shares)
}

fn ed25519(size: CommitteeSize) -> (Vec<Vec<u8>>, Vec<[u8; 32]>) {
    use curve25519_dalek::{EdwardsPoint, Scalar};
    let read = |number| Scalar::from_bytes_mod_order(coefficient(number));
    let coefficients: Vec<Scalar> = (0..size.signers_required()).map(read).collect();
    let value = |x: u8| coefficients.iter().rev().fold(Scalar::ZERO, |sum, c| sum * Scalar::from(x) + c);
    let shares = (1..=size.signers_total()).map(|x| value(x).to_bytes()).collect();
    (coefficients.iter().map(|c| EdwardsPoint::mul_base(c).compress().as_bytes().to_vec()).collect(), shares)
}

fn dealt((scheme, protocol): Kind, size: CommitteeSize) -> Dealt {
    let (commitments, shares) = match scheme {
        Scheme::EddsaEd25519 => ed25519(size),
        _ => secp256k1(size, scheme == Scheme::SchnorrBip340),
    };
    let facts = DealingFacts {
        cluster: ClusterId::new("test").unwrap(),
        key: KeyId::new("hot").unwrap(),
        scheme,
        protocol,
        size,
        public_key: if scheme == Scheme::SchnorrBip340 { commitments[0][1..].to_vec() } else { commitments[0].clone() },
        chain_code: [7; 32],
        commitments,
    };
    Dealt { facts, shares: (1u16..).map(party).zip(shares).collect() }
}

impl Dealt {
    fn start(&self, number: u64) -> Vec<(Session, Step)> {
        let dealing = Dealing::new(&self.facts).unwrap();
        let start = |(member, share): (&PartyIndex, &[u8; 32])| {
            Session::import(&dealing, run_ids(number), *member, share).unwrap()
        };
        self.shares.iter().map(start).collect()
    }

    fn import(&self, order: Order) -> Shares {
        let outputs = run(self.start(1), order, honest).outputs();
        outputs.into_iter().map(|(party, output)| (party, key(output))).collect()
    }
}

#[test]
fn a_key_that_was_dealt_signs_under_its_public_key_and_is_refreshed() {
    for (kind, size) in
        [(ED25519, size(2, 3)), (ED25519, size(3, 5)), (BIP340, size(2, 3)), (BIP340, size(2, 2)), (DKLS, size(2, 3))]
    {
        let dealt = dealt(kind, size);
        let shares = dealt.import(Order::Shuffled(3));
        assert_eq!(public(&shares).public_key.to_key(kind.0), dealt.facts.public_key);
        assert_eq!((public(&shares).epoch, public(&shares).chain_code), (Epoch::FIRST, [7; 32]));
        let signers: Vec<u16> = (1..=size.signers_required().into()).collect();
        sign(&shares, &signers, "m", 1);
        sign(&shares, &signers, "m/0/5", 2);
        let holders: Vec<(u16, Option<u16>)> = signers.iter().map(|holder| (*holder, Some(*holder))).collect();
        let refreshed = hand_over(&handover(&shares, size, kind.1, &holders), &shares, Order::Fifo);
        assert_eq!(public(&refreshed).public_key, public(&shares).public_key);
        sign(&refreshed, &signers, "m/1", 3);
    }
}

/// Its auxiliary information is the session that there is for every CGGMP24 share.
#[test]
fn a_cggmp24_key_is_taken_in_and_wants_its_auxiliary_information() {
    let dealt = dealt(CGGMP, size(2, 3));
    for share in dealt.import(Order::Lifo).values() {
        assert!(!share.can_sign());
        assert_eq!(share.public().public_key.to_key(CGGMP.0), dealt.facts.public_key);
    }
}

type Spoil = fn(&mut DealingFacts);
type Expected = fn(&DealingError) -> bool;

#[test]
fn a_dealing_with_any_part_spoiled_is_refused() {
    let identity = |facts: &DealingFacts| match facts.scheme {
        Scheme::EddsaEd25519 => [vec![1], vec![0; 31]].concat(),
        _ => vec![0; 33],
    };
    for kind in [ED25519, BIP340, DKLS, CGGMP] {
        let good = dealt(kind, size(2, 3)).facts;
        Dealing::new(&good).unwrap();
        let spoils: [(Spoil, Expected); 8] = [
            (|facts| facts.commitments.truncate(1), |e| matches!(e, DealingError::Degree { found: 1, needed: 2 })),
            (
                |facts| facts.commitments.push(facts.commitments[1].clone()),
                |e| matches!(e, DealingError::Degree { found: 3, .. }),
            ),
            (|facts| facts.size = size(3, 3), |e| matches!(e, DealingError::Degree { found: 2, needed: 3 })),
            (|facts| facts.commitments.swap(0, 1), |e| matches!(e, DealingError::OtherKey)),
            (|facts| facts.commitments[0].truncate(31), |e| matches!(e, DealingError::NotAPoint(_))),
            (|facts| facts.commitments[1] = vec![0xff; 33], |e| matches!(e, DealingError::NotAPoint(_))),
            (|facts| facts.public_key = vec![], |e| matches!(e, DealingError::NotAPoint(_))),
            (|facts| facts.protocol = Protocol::Hsm, |e| matches!(e, DealingError::Protocol { .. })),
        ];
        for (number, (spoil, fits)) in spoils.iter().enumerate() {
            let mut facts = good.clone();
            spoil(&mut facts);
            let error = Dealing::new(&facts).unwrap_err();
            assert!(fits(&error), "{kind:?}, {number}: {error}");
        }
        for place in 0..2 {
            let mut facts = good.clone();
            facts.commitments[place] = identity(&facts);
            assert!(matches!(Dealing::new(&facts), Err(DealingError::NotAPoint(_))), "{kind:?}, {place}");
        }
    }
    // The negative of a BIP-340 key has the same name and is another key.
    let mut odd = dealt(BIP340, size(2, 3)).facts;
    odd.commitments[0][0] = 3;
    assert_eq!(Dealing::new(&odd), Err(DealingError::OtherKey));
    // The second coefficient is the negative of the first: the share at one is zero.
    let mut zero = dealt(DKLS, size(2, 3)).facts;
    zero.commitments[1] = zero.commitments[0].clone();
    zero.commitments[1][0] ^= 1;
    assert_eq!(Dealing::new(&zero), Err(DealingError::ZeroShare(1)));
}

#[test]
fn a_share_that_is_not_what_the_commitments_say_never_starts() {
    for kind in [ED25519, BIP340, DKLS, CGGMP] {
        let dealt = dealt(kind, size(2, 3));
        let dealing = Dealing::new(&dealt.facts).unwrap();
        let refused = |member: u16, share: &[u8; 32]| {
            let started = Session::import(&dealing, run_ids(1), party(member), share);
            match started.map(drop).unwrap_err() {
                StartError::Dealing(error) => error,
                other => panic!("{other}"),
            }
        };
        let second = dealt.shares[&party(2)];
        assert_eq!(refused(1, &second), DealingError::WrongShare(party(1)), "another member's");
        assert_eq!(refused(2, &[0; 32]), DealingError::WrongShare(party(2)), "zero");
        assert_eq!(refused(2, &[0xff; 32]), DealingError::WrongShare(party(2)), "no scalar");
        let mut other = second;
        other[16] ^= 1;
        assert_eq!(refused(2, &other), DealingError::WrongShare(party(2)), "altered");
        assert_eq!(refused(4, &second), DealingError::NoSuchMember { member: party(4), total: 3 });
        let mut altered = dealt.facts.clone();
        altered.commitments[1] = altered.commitments[0].clone();
        let altered = Dealing::new(&altered).unwrap();
        assert_eq!(altered.check_share(party(2), &second), Err(DealingError::WrongShare(party(2))));
    }
}

/// Whoever shows one dealing to some and another to others gets no key at all, and nobody is blamed for it.
#[test]
fn members_with_different_dealings_do_not_hear_each_other() {
    let spoils: [Spoil; 3] = [
        |facts| facts.chain_code = [8; 32],
        |facts| facts.key = KeyId::new("cold").unwrap(),
        |facts| facts.protocol = Protocol::Cggmp24,
    ];
    for spoil in spoils {
        let (one, mut other) = (dealt(DKLS, size(2, 3)), dealt(DKLS, size(2, 3)));
        spoil(&mut other.facts);
        let (mut starts, others) = (one.start(1), other.start(1));
        starts.truncate(2);
        starts.extend(others.into_iter().skip(2));
        let report = run(starts, Order::Fifo, honest);
        assert!(report.ends.values().all(|end| matches!(end, End::Waiting(missing) if !missing.is_empty())));
    }
}

#[test]
fn who_confirms_another_dealing_is_named() {
    let dealt = dealt(ED25519, size(2, 3));
    let starts = dealt.start(1);
    let binding = starts[0].0.binding().clone();
    let report = run(starts, Order::Fifo, |packet| {
        let is_lie = packet.frame.round == 1 && packet.sender == party(3);
        vec![if is_lie { packet.with_body(&binding, vec![9; 32]) } else { packet }]
    });
    for honest in [1, 2] {
        let abort = report.abort(party(honest)).unwrap();
        assert!(format!("{:?}", abort.blame).contains('3'), "{abort:?}");
    }
}

#[test]
fn only_whole_runs_of_one_session_meet() {
    let dealt = dealt(DKLS, size(2, 2));
    let (first, second) = (dealt.start(1), dealt.start(2));
    let mixed = first.into_iter().take(1).chain(second.into_iter().skip(1)).collect();
    assert!(run(mixed, Order::Fifo, honest).ends.values().all(|end| matches!(end, End::Waiting(_))));
    let _: Vec<Arc<limen_mpc::KeyShare>> = dealt.import(Order::Fifo).into_values().collect();
}
