use std::collections::BTreeMap;
use std::sync::Arc;

use k256::ecdsa::SigningKey;
use k256::ecdsa::hazmat::SignPrimitive as _;
use limen_mpc::{DerivationPath, KeyShare, NonceCommitment, NoncePair, Output, Seed, Session, SignInput, SignMode};
use limen_mpc::{SessionParams, nonce_batch};
use limen_wire::ids::{
    ClusterId, CommitteeSize, Epoch, IntentId, KeyId, PartyIndex, Protocol, Scheme, SessionId, SignerSet, tagged_hash,
};

use super::*;
use crate::{Mesh, Weather};

fn party(index: u16) -> PartyIndex {
    PartyIndex::new(index).unwrap()
}

fn params(session: u8, signers: SignerSet) -> SessionParams {
    SessionParams {
        cluster: ClusterId::new("sim").unwrap(),
        key: KeyId::new("k").unwrap(),
        epoch: Epoch::FIRST,
        scheme: Scheme::EddsaEd25519,
        protocol: Protocol::Frost,
        size: CommitteeSize::new(2, 3).unwrap(),
        signers,
        session: SessionId::new([session; 32]),
        intent: IntentId::new([session; 32]),
    }
}

fn run(parties: Vec<(PartyIndex, Session, limen_mpc::Step)>) -> Vec<(PartyIndex, Output)> {
    let mut mesh = Mesh::start(1, Weather::CALM, parties);
    mesh.run();
    mesh.into_outputs().unwrap()
}

fn shares() -> BTreeMap<PartyIndex, Arc<KeyShare>> {
    let all = SignerSet::all(CommitteeSize::new(2, 3).unwrap());
    let started = all.parties().iter().map(|member| {
        let seed = Seed::new(tagged_hash("limen solver key", [&[member.as_u8()][..]]));
        let (session, step) = Session::keygen(params(250, all.clone()), *member, seed).unwrap();
        (*member, session, step)
    });
    let shares = run(started.collect()).into_iter().map(|(member, output)| match output {
        Output::Key(share) => (member, Arc::from(share)),
        other => panic!("{other:?}"),
    });
    shares.collect()
}

fn nonce(share: &KeyShare, seed: u8) -> NoncePair {
    let seed = Seed::new(tagged_hash("limen solver nonce", [&[share.index().as_u8(), seed][..]]));
    nonce_batch(share, 1, seed).unwrap().pop().unwrap()
}

/// A session of signers 1 and 2 in which their nonces are those of these seeds: what each lets go, and the signature.
fn signs(shares: &BTreeMap<PartyIndex, Arc<KeyShare>>, session: u8, seeds: (u8, u8)) -> Vec<Seen> {
    let set = SignerSet::new(vec![party(1), party(2)]).unwrap();
    let message = vec![session; 40];
    let (input, path) = (SignInput::Message(message.clone()), DerivationPath::default());
    let public = shares[&party(1)].public().public_key.to_key(Scheme::EddsaEd25519);
    let key: [u8; 32] = public[..].try_into().unwrap();
    let seed_of = |member: &PartyIndex| if *member == party(1) { seeds.0 } else { seeds.1 };
    let commitments: BTreeMap<PartyIndex, NonceCommitment> =
        set.parties().iter().map(|member| (*member, nonce(&shares[member], seed_of(member)).commitment())).collect();
    let (mut seen, mut parties) = (Vec::new(), Vec::new());
    for member in set.parties() {
        let share = Arc::clone(&shares[member]);
        let own = nonce(&share, seed_of(member));
        let mode = SignMode::Shared { own, commitments: commitments.clone() };
        let seed = Seed::new([session; 32]);
        let (started, step) =
            Session::sign(params(session, set.clone()), *member, share, &path, &input, mode, seed).unwrap();
        let public = commitments.iter().map(|(party, points)| (u16::from(party.as_u8()), points.to_bytes()));
        let frames = &step.send;
        seen.push(Seen::Frost(Share {
            key,
            party: member.as_u8().into(),
            commitments: public.collect(),
            message: message.clone(),
            share: frames[0].body[..].try_into().unwrap(),
        }));
        parties.push((*member, started, step));
    }
    let (_, Output::Signature(signature)) = run(parties).remove(0) else { panic!("no signature") };
    seen.push(Seen::Ed25519 { key, message, signature: signature.to_bytes() });
    seen
}

#[test]
fn fresh_nonces_give_nothing_away() {
    let shares = shares();
    let seen: Vec<Seen> = (0..20).flat_map(|session| signs(&shares, session, (session, session))).collect();
    let again = [&seen[..], &seen[..]].concat();
    assert_eq!(solve(&again), []);
}

#[test]
fn a_pair_of_nonces_that_serves_three_times_gives_the_share_away() {
    let shares = shares();
    let once = [signs(&shares, 1, (1, 1)), signs(&shares, 2, (2, 2))].concat();
    let twice = [once, signs(&shares, 3, (1, 3))].concat();
    assert!(matches!(solve(&twice)[..], [Finding::Reused(_)]), "two are one equation short");
    let thrice = [twice, signs(&shares, 4, (1, 4))].concat();
    let found = solve(&thrice);
    let [Finding::Reused(_), Finding::Solved(secret)] = found[..] else { panic!("{found:?}") };
    let public = shares[&party(1)].public().verifying_shares[&party(1)];
    assert_eq!(EdwardsPoint::mul_base(&ed_scalar(&secret)).compress().as_bytes()[..], public.as_bytes()[..]);
}

#[test]
fn one_r_in_two_ecdsa_signatures_gives_the_key_away() {
    let key = SigningKey::from_slice(&[7; 32]).unwrap();
    let public: [u8; 33] = key.verifying_key().to_encoded_point(true).as_bytes().try_into().unwrap();
    let sign = |digest: u8, nonce: u8| {
        let digest = [digest; 32];
        let made = key.as_nonzero_scalar().try_sign_prehashed(scalar(&[nonce; 32]), &digest.into());
        let made = made.unwrap().0;
        let made = made.normalize_s().unwrap_or(made);
        Seen::Ecdsa { key: public, digest, signature: made.to_bytes().into() }
    };
    assert_eq!(solve(&[sign(1, 1), sign(2, 2), sign(3, 3), sign(1, 1)]), []);
    for digest in 2..12 {
        let found = solve(&[sign(1, 1), sign(digest, 1)]);
        assert!(matches!(found[..], [Finding::Reused(_), Finding::Solved([7, ..])]), "{digest}: {found:?}");
    }
}

#[test]
fn one_nonce_in_two_schnorr_signatures_gives_the_key_away() {
    let x = EdScalar::from(77u8);
    let key = EdwardsPoint::mul_base(&x).compress().to_bytes();
    let sign = |message: u8, nonce: u8| {
        let (k, message) = (EdScalar::from(nonce), vec![message]);
        let r = EdwardsPoint::mul_base(&k).compress().to_bytes();
        let s = k + ed_challenge(&r, &key, &message) * x;
        Seen::Ed25519 { key, message, signature: [r, s.to_bytes()].concat().try_into().unwrap() }
    };
    assert_eq!(solve(&[sign(1, 1), sign(2, 2)]), []);
    assert!(solve(&[sign(1, 1), sign(2, 1)]).contains(&Finding::Solved(x.to_bytes())));

    let x = scalar(&[9; 32]);
    let point = (ProjectivePoint::GENERATOR * x).to_bytes();
    let x = if point[0] == 2 { x } else { -x };
    let key: [u8; 32] = point[1..].try_into().unwrap();
    let sign = |message: u8, nonce: u8| {
        let (k, message) = (scalar(&[nonce; 32]), vec![message]);
        let r = (ProjectivePoint::GENERATOR * k).to_bytes();
        let k = if r[0] == 2 { k } else { -k };
        let nonce: [u8; 32] = r[1..].try_into().unwrap();
        let s: [u8; 32] = (k + bip340_challenge(&nonce, &key, &message) * x).to_repr().into();
        Seen::Bip340 { key, message, signature: [nonce, s].concat().try_into().unwrap() }
    };
    assert_eq!(solve(&[sign(1, 1), sign(2, 2)]), []);
    assert!(solve(&[sign(1, 1), sign(2, 1)]).contains(&Finding::Solved(x.to_repr().into())));
}
