//! Set-ups for shares that are there: 2 of 3, by hand, where a party may bring another share than its own.

use k256_14::elliptic_curve::PrimeField as _;
use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, IntentId, KeyId, SessionId, SignerSet};

use super::*;
use crate::binding::{Purpose, SessionParams};

fn party(number: u16) -> PartyIndex {
    PartyIndex::new(number).unwrap()
}

fn binding() -> Binding {
    let size = CommitteeSize::new(2, 3).unwrap();
    let params = SessionParams {
        cluster: ClusterId::new("test").unwrap(),
        key: KeyId::new("k").unwrap(),
        epoch: Epoch(2),
        scheme: Scheme::EcdsaSecp256k1,
        protocol: Protocol::Dkls23,
        size,
        signers: SignerSet::all(size),
        session: SessionId::new([1; 32]),
        intent: IntentId::new([2; 32]),
    };
    Binding::new(params, Purpose::Reshare, [3; 32])
}

/// The value at `x` of 5 + 7 x.
fn share(x: u16) -> CoreShare {
    let scalar = Scalar::from(5 + 7 * u64::from(x));
    CoreShare::new(party(x), Zeroizing::new(scalar.to_repr().into()))
}

fn shares() -> BTreeMap<PartyIndex, Point> {
    let point = |x: u16| {
        let scalar = k256::NonZeroScalar::try_from(&share(x).scalar()[..]).unwrap();
        let point = k256::PublicKey::from_secret_scalar(&scalar);
        Point::secp256k1(k256::elliptic_curve::sec1::ToEncodedPoint::to_encoded_point(&point, true).as_bytes()).unwrap()
    };
    (1..=3).map(|x| (party(x), point(x))).collect()
}

/// Runs it with the third party bringing this share, and gives how each of the others ends.
fn run(third: &CoreShare) -> Vec<Result<Box<KeyShare>, Abort>> {
    let own = [share(1), share(2), CoreShare::new(party(3), Zeroizing::new(*third.scalar()))];
    let start = |core: &CoreShare| setup_for(&binding(), core.index(), core, shares()).unwrap();
    let (mut machines, mut sent): (Vec<_>, Vec<_>) = own.iter().map(start).unzip();
    let mut ends: Vec<Option<Result<Box<KeyShare>, Abort>>> = vec![None, None, None];
    for _ in 0..SETUP_ROUNDS.len() {
        let round = std::mem::take(&mut sent);
        for (at, (machine, me)) in machines.iter_mut().zip((1..).map(party)).enumerate() {
            let mut inbox = Inbox::default();
            for (from, outgoing) in (1..).map(party).zip(&round).filter(|(from, _)| *from != me) {
                inbox.broadcast.extend(outgoing.broadcast.clone().map(|body| (from, Zeroizing::new(body))));
                inbox.direct.extend(outgoing.direct.get(&me).map(|body| (from, Zeroizing::new(body.clone()))));
            }
            match machine.advance(inbox) {
                Ok(Advance::Next(outgoing)) => sent.push(outgoing),
                Ok(Advance::Done(Output::Key(key))) => ends[at] = Some(Ok(key)),
                Ok(Advance::Done(_)) => panic!("no key"),
                Err(abort) => ends[at] = Some(Err(abort)),
            }
        }
        if ends.iter().any(Option::is_some) {
            break;
        }
    }
    ends.into_iter().take(2).map(Option::unwrap).collect()
}

#[test]
fn who_proves_another_share_than_its_own_is_named() {
    for end in run(&share(3)) {
        assert_eq!(end.unwrap().public().verifying_shares, shares());
    }
    // Of another polynomial, and somebody else's.
    for other in [share(4), share(1)] {
        for end in run(&other) {
            let abort = end.unwrap_err();
            assert!(matches!(abort.reason, AbortReason::Proof { from, .. } if from == party(3)), "{abort:?}");
            assert!(matches!(abort.blame, Blame::Party { party: liar, .. } if liar == party(3)));
        }
    }
}
