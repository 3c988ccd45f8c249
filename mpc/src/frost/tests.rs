//! The published example of RFC 9591, and what a signature share depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use frost_core::compute_binding_factor_list;
use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, IntentId, KeyId, Protocol, SessionId, SignerSet};
use rand_core::{CryptoRng, RngCore};

use super::nonce::batch_from;
use super::suite::identifier;
use super::*;
use crate::key::KeyPublic;
use crate::session::{Output, Received, Session, SignMode};
use crate::{Point, Purpose, SessionParams};

/// RFC 9591, appendix E.1 (erratum-free): participants 1 and 3 of a 2-of-3 key sign "test".
mod rfc {
    pub(super) const KEY: &str = "15d21ccd7ee42959562fc8aa63224c8851fb3ec85a3faf66040d380fb9738673";
    pub(super) const SHARES: [&str; 3] = [
        "929dcc590407aae7d388761cddb0c0db6f5627aea8e217f4a033f2ec83d93509",
        "a91e66e012e4364ac9aaa405fcafd370402d9859f7b6685c07eed76bf409e80d",
        "d3cb090a075eb154e82fdb4b3cb507f110040905468bb9c46da8bdea643a9a02",
    ];
    pub(super) struct Signer {
        pub(super) randomness: [&'static str; 2],
        pub(super) commitments: [&'static str; 2],
        pub(super) factor: &'static str,
        pub(super) share: &'static str,
    }
    pub(super) const SIGNERS: [(u16, Signer); 2] = [
        (
            1,
            Signer {
                randomness: [
                    "06894e04ee4aceec8619d5f6a0a180e2f47194d2ac306cba586b555e7c48d765",
                    "40d6f879ff22e22409f7d808fed81f37118e7d3e4af71c0f44c60207553bcbce",
                ],
                commitments: [
                    "9b116f12589591a7e23fe8048059ab10ab48e67739e7a2fb3890f61a7999478c",
                    "c39b66b7dfccb122da24f13587f9a08c4347cae70046ca15169adf90ba65854d",
                ],
                factor: "ff960a65374e216a0918729b153466016664fa980d409bc3f308daa7acb30d0d",
                share: "60997f0142e43e8005027fe5ab7447dac00d22c2d7ddd9571a02613ba7d81c08",
            },
        ),
        (
            3,
            Signer {
                randomness: [
                    "fa5d950626782aade9e33fa781376d4888c2d1de7c37518bc248eb818ed0cdde",
                    "7459a4d14ded0e365b085271be8dc6600d5b88f3978a2174297ffa32001a5afc",
                ],
                commitments: [
                    "e679a2a971748ccfaabead4dbe8ac1def61275c186c79d471e1e45091ad1e687",
                    "b2a942478453fabb6bd3181c56ba657413447b4136e1daea2484d396d1a516b3",
                ],
                factor: "279d48ec56f16d234c09ea62f3d02ab776ee38e03f66b20f939f1316e13df10f",
                share: "79390e78bc59699c7af831f8f5fb478ec871a85f561a8641b5670ac4443f720f",
            },
        ),
    ];
    pub(super) const SIGNATURE: &str = "154fb694ee7fcb37bf2381d94488c2a84b03b3352ad085feca81ad26d45852b7ecfe971ce4da95c4a95db93ac376b053897fca212ef85f99cf696bffeb178f07";
}

fn hex32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn party(index: u16) -> PartyIndex {
    PartyIndex::new(index).unwrap()
}

fn params(signers: &[u16]) -> SessionParams {
    SessionParams {
        cluster: ClusterId::new("test").unwrap(),
        key: KeyId::new("rfc").unwrap(),
        epoch: Epoch::FIRST,
        scheme: Scheme::EddsaEd25519,
        protocol: Protocol::Frost,
        size: CommitteeSize::new(2, 3).unwrap(),
        signers: SignerSet::new(signers.iter().map(|index| party(*index)).collect()).unwrap(),
        session: SessionId::new([1; 32]),
        intent: IntentId::new([2; 32]),
    }
}

/// The RFC's key, loaded like any other.
fn share(index: u16) -> Arc<KeyShare> {
    let params = params(&[1, 3]);
    let verifying_share = |(at, secret): (u16, &&str)| {
        let secret = curve25519_dalek::Scalar::from_canonical_bytes(hex32(secret)).unwrap();
        let point = curve25519_dalek::EdwardsPoint::mul_base(&secret).compress();
        (party(at), Point::ed25519(point.as_bytes()).unwrap())
    };
    let public = KeyPublic {
        cluster: params.cluster,
        key: params.key,
        epoch: params.epoch,
        scheme: params.scheme,
        protocol: params.protocol,
        size: params.size,
        public_key: Point::ed25519(&hex32(rfc::KEY)).unwrap(),
        chain_code: [0; 32],
        verifying_shares: (1..).zip(&rfc::SHARES).map(verifying_share).collect(),
    };
    let secret = hex32(rfc::SHARES[usize::from(index) - 1]);
    let core = [&b"LMC1\x02"[..], &[u8::try_from(index).unwrap()], &secret].concat();
    Arc::new(KeyShare::import(public, &core, &[]).unwrap())
}

/// Gives out the bytes it was made with, once.
struct Tape(Vec<u8>);

impl RngCore for Tape {
    fn next_u32(&mut self) -> u32 {
        panic!("the library draws bytes only")
    }
    fn next_u64(&mut self) -> u64 {
        panic!("the library draws bytes only")
    }
    fn fill_bytes(&mut self, dest: &mut [u8]) {
        let rest = self.0.split_off(dest.len());
        dest.copy_from_slice(&self.0);
        self.0 = rest;
    }
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}
impl CryptoRng for Tape {}

fn nonce(index: u16, signer: &rfc::Signer) -> NoncePair {
    let mut tape = Tape(signer.randomness.iter().flat_map(|text| hex32(text)).collect());
    batch_from::<Ed25519>(&share(index), 1, &mut tape).unwrap().remove(0)
}

#[test]
fn rfc_9591_example() {
    let nonces: BTreeMap<_, _> = rfc::SIGNERS.iter().map(|(index, signer)| (*index, nonce(*index, signer))).collect();
    let list: BTreeMap<_, _> = nonces.iter().map(|(index, nonce)| (party(*index), nonce.commitment())).collect();
    let library = list.iter().map(|(party, one)| (identifier(*party).unwrap(), one.to_library().unwrap())).collect();
    let package = frost_core::SigningPackage::<Ed25519>::new(library, b"test");
    let key = frost_core::VerifyingKey::deserialize(&hex32(rfc::KEY)).unwrap();
    let factors = compute_binding_factor_list(&package, &key, &[]).unwrap();
    let mut sessions = Vec::new();
    for ((index, own), (_, expected)) in nonces.into_iter().zip(&rfc::SIGNERS) {
        let commitments: Vec<u8> = expected.commitments.iter().flat_map(|text| hex32(text)).collect();
        assert_eq!(own.commitment().to_bytes(), commitments);
        let factor = factors.get(&identifier(party(index)).unwrap()).unwrap();
        assert_eq!(factor.serialize(), hex32(expected.factor));
        let mode = SignMode::Shared { own, commitments: list.clone() };
        let input = SignInput::Message(b"test".to_vec());
        let root = DerivationPath::root();
        let seed = Seed::new([0; 32]);
        let (session, step) =
            Session::sign(params(&[1, 3]), party(index), share(index), &root, &input, mode, seed).unwrap();
        assert_eq!(step.send[0].body, hex32(expected.share));
        sessions.push((session, step.send[0].clone()));
    }
    let frame = sessions[1].1.clone();
    let Ok(Received::Step(step)) = sessions[0].0.receive(party(3), frame) else { panic!("no step") };
    let Some(Output::Signature(signature)) = step.done else { panic!("no signature") };
    assert_eq!(hex::encode(signature.to_bytes()), rfc::SIGNATURE);
}

/// A reused nonce cannot be written down with our types; with the library's it shows why the binding factor matters: one
/// nonce under 512 lists gives 512 unrelated shares, so no linear system (ROS, ePrint 2020/945) is left to solve.
#[test]
fn every_list_of_commitments_gives_another_share() {
    let key = share(1);
    let binding = Binding::new(params(&[1, 3]), Purpose::Sign, [0; 32]);
    let child = derive_public(&key.public().public_key, &[0; 32], &DerivationPath::root()).unwrap();
    let signer = sign::Signer::<Ed25519>::new(&binding, party(1), &key, child, b"test").unwrap();
    let own = nonce(1, &rfc::SIGNERS[0].1);
    let own_commitment = own.commitment();
    let library = own.into_library::<Ed25519>().unwrap();
    let mut shares = BTreeSet::new();
    for peer in nonce_batch(&share(3), 512, Seed::new([9; 32])).unwrap() {
        let list = BTreeMap::from([(party(1), own_commitment), (party(3), peer.commitment())]);
        let (_, share) = signer.sign(&library, &list).unwrap();
        assert!(shares.insert(share.serialize()));
    }
}
