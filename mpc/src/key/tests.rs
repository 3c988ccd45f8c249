//! Keys that live in one token: which public parts are taken.

use super::*;
use crate::group::{Edwards25519, Group, Secp256k1, evaluate, node};

/// The generator of P-256, compressed (SP 800-186 section 3.2.1.3); the same bytes are a point of secp256k1.
const GENERATOR: &str = "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";

fn held(scheme: Scheme, point: Point) -> KeyPublic {
    let alone = PartyIndex::new(1).unwrap();
    KeyPublic {
        cluster: ClusterId::new("test").unwrap(),
        key: KeyId::new("held").unwrap(),
        epoch: Epoch::FIRST,
        scheme,
        protocol: Protocol::Hsm,
        size: CommitteeSize::ALONE,
        public_key: point,
        chain_code: [0; 32],
        verifying_shares: BTreeMap::from([(alone, point)]),
    }
}

#[test]
fn a_key_in_a_token_is_a_point_of_its_schemes_own_curve() {
    let bytes = hex::decode(GENERATOR).unwrap();
    let (p256, secp256k1) = (Point::p256(&bytes).unwrap(), Point::secp256k1(&bytes).unwrap());
    held(Scheme::EcdsaP256, p256).validate().unwrap();
    held(Scheme::EcdsaSecp256k1, secp256k1).validate().unwrap();
    for (scheme, point) in [
        (Scheme::EcdsaP256, secp256k1),
        (Scheme::EcdsaSecp256k1, p256),
        (Scheme::EddsaEd25519, p256),
        (Scheme::SchnorrBip340, p256),
    ] {
        assert_eq!(held(scheme, point).validate(), Err(ImportError::SchemeMismatch), "{scheme}");
    }
    // Signers compare this digest: equal bytes on two curves give two.
    assert_ne!(held(Scheme::EcdsaP256, p256).digest(), held(Scheme::EcdsaSecp256k1, secp256k1).digest());
}

#[test]
fn p256_has_no_shares_and_no_children() {
    let point = Point::p256(&hex::decode(GENERATOR).unwrap()).unwrap();
    let key = held(Scheme::EcdsaP256, point);
    let chained = KeyPublic { chain_code: [1; 32], ..key.clone() };
    assert_eq!(chained.validate(), Err(ImportError::SchemeMismatch));
    let (core, size) = ([&b"LMC1"[..], &[4, 1], &[1; 32]].concat(), CommitteeSize::new(2, 2).unwrap());
    assert_eq!(KeyShare::import(key.clone(), &core, &[]).unwrap_err(), ImportError::SchemeMismatch);
    let parties = (1..=2).map(|party| (PartyIndex::new(party).unwrap(), point));
    let verifying_shares: BTreeMap<_, _> = parties.collect();
    for protocol in [Protocol::Dkls23, Protocol::Cggmp24, Protocol::Frost] {
        let shared = KeyPublic { protocol, size, verifying_shares: verifying_shares.clone(), ..key.clone() };
        assert_eq!(shared.validate(), Err(ImportError::SchemeMismatch), "{protocol}");
    }
    // A secp256k1 key's shares are not taken from points of the other curve either.
    let mixed = KeyPublic { scheme: Scheme::EcdsaSecp256k1, protocol: Protocol::Dkls23, size, verifying_shares, ..key };
    assert_eq!(mixed.validate(), Err(ImportError::SchemeMismatch));
}

/// Shares `1..=total` of the polynomial with these coefficients, and the public key.
fn shared(scheme: Scheme, coefficients: &[u8], required: u16, total: u16) -> KeyPublic {
    fn points<G: Group>(coefficients: &[u8], total: u16) -> Vec<Point> {
        let coefficients: Vec<G::Scalar> = coefficients.iter().map(|each| node::<G>(*each)).collect();
        let value = |x| evaluate::<G, G::Scalar>(&coefficients, u8::try_from(x).unwrap()).unwrap();
        (0..=total).map(|x| G::point(&G::mul_base(&value(x))).unwrap()).collect()
    }
    let (protocol, points) = match scheme {
        Scheme::EddsaEd25519 => (Protocol::Frost, points::<Edwards25519>(coefficients, total)),
        Scheme::SchnorrBip340 => (Protocol::Frost, points::<Secp256k1>(coefficients, total)),
        _ => (Protocol::Cggmp24, points::<Secp256k1>(coefficients, total)),
    };
    let parties = (1..=total).map(|party| PartyIndex::new(party).unwrap());
    KeyPublic {
        protocol,
        size: CommitteeSize::new(required, total).unwrap(),
        verifying_shares: parties.zip(points[1..].iter().copied()).collect(),
        ..held(scheme, points[0])
    }
}

#[test]
fn the_threshold_is_neither_lower_nor_higher_than_it_says() {
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::SchnorrBip340, Scheme::EddsaEd25519] {
        for (coefficients, made_with) in [(&[5, 7][..], 2), (&[5, 0, 7], 3), (&[5, 1, 0, 2], 4), (&[5, 1, 0, 2, 0], 4)]
        {
            for total in made_with..=6u16 {
                for said in 2..=total {
                    let expected = match said.cmp(&made_with) {
                        std::cmp::Ordering::Less => Err(ImportError::Polynomial),
                        std::cmp::Ordering::Equal => Ok(()),
                        std::cmp::Ordering::Greater => Err(ImportError::Degree(u8::try_from(said).unwrap())),
                    };
                    let key = shared(scheme, coefficients, said, total);
                    assert_eq!(key.validate(), expected, "{scheme}: {coefficients:?}, {said} of {total}");
                }
            }
        }
        // every share the key itself
        assert_eq!(shared(scheme, &[5], 2, 3).validate(), Err(ImportError::Degree(2)));
    }
}
