//! Keys that live in one token: which public parts are taken.

use super::*;

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
