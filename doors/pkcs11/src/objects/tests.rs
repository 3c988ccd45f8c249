use limen_wire::ids::{CommitteeSize, Protocol};

use super::*;
use crate::config::Config;
use crate::fake::{CONFIG, ED25519 as ED_POINT, SECP256K1 as EC_POINT, statement};

fn key(name: &str) -> Key {
    let config = Config::parse(CONFIG).unwrap();
    let shown = config.keys.iter().find(|shown| shown.key.as_str() == name).unwrap();
    Key::new(shown, &statement(name).unwrap()).unwrap()
}

fn value(class: Class, key: &Key, kind: CK_ATTRIBUTE_TYPE) -> Vec<u8> {
    match (Object { class, key }).attribute(kind) {
        Attribute::Value(value) => value,
        other => panic!("{kind:#x}: {other:?}"),
    }
}

fn long(number: CK_ULONG) -> Vec<u8> {
    number.to_ne_bytes().to_vec()
}

#[test]
fn an_ecdsa_key_looks_as_pkcs11_says() {
    let key = key("release");
    for (class, number) in [(Class::Public, CKO_PUBLIC_KEY), (Class::Private, CKO_PRIVATE_KEY)] {
        assert_eq!(value(class, &key, CKA_CLASS), long(number));
        assert_eq!(value(class, &key, CKA_KEY_TYPE), long(CKK_EC));
        assert_eq!(value(class, &key, CKA_ID), [1]);
        assert_eq!(value(class, &key, CKA_LABEL), b"release");
        assert_eq!(value(class, &key, CKA_EC_PARAMS), hex::decode("06052b8104000a").unwrap());
        let point = value(class, &key, CKA_EC_POINT);
        assert_eq!((point.len(), hex::encode(&point[..3])), (67, "044104".to_owned()));
        assert_eq!(hex::encode(&point[3..35]), &EC_POINT[2..]);
    }
    let allowed = value(Class::Private, &key, CKA_ALLOWED_MECHANISMS);
    assert_eq!(allowed, [long(CKM_ECDSA), long(CKM_ECDSA_SHA256)].concat());
}

#[test]
fn a_p256_key_names_its_own_curve() {
    let config = Config::parse(CONFIG).unwrap();
    let generator = "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    let held = |public_key: &str| KeyStatement {
        scheme: Scheme::EcdsaP256,
        protocol: Protocol::Hsm,
        size: CommitteeSize::ALONE,
        nodes: vec!["n1".parse().unwrap()],
        public_key: hex::decode(public_key).unwrap(),
        chain_code: [0; 32],
        ..statement("release").unwrap()
    };
    let key = Key::new(&config.keys[0], &held(generator)).unwrap();
    assert_eq!(value(Class::Public, &key, CKA_KEY_TYPE), long(CKK_EC));
    // 1.2.840.10045.3.1.7 (RFC 5480 section 2.1.1.1)
    assert_eq!(value(Class::Public, &key, CKA_EC_PARAMS), hex::decode("06082a8648ce3d030107").unwrap());
    let point = value(Class::Public, &key, CKA_EC_POINT);
    assert_eq!((point.len(), hex::encode(&point[..3])), (67, "044104".to_owned()));
    assert_eq!(hex::encode(&point[3..35]), generator[2..]);
    let allowed = value(Class::Private, &key, CKA_ALLOWED_MECHANISMS);
    assert_eq!(allowed, [long(CKM_ECDSA), long(CKM_ECDSA_SHA256)].concat());
    assert!(Key::new(&config.keys[0], &held(&format!("03{}", "ff".repeat(32)))).is_err(), "not on the curve");
    let child = Config::parse(&CONFIG.replace("key = \"release\"\n", "key = \"release\"\npath = \"m/0\"\n")).unwrap();
    let refused = Key::new(&child.keys[0], &held(generator)).unwrap_err();
    assert!(refused.contains("no chain code"), "{refused}");
}

#[test]
fn an_ed25519_key_looks_as_pkcs11_says() {
    let key = key("documents");
    assert_eq!(value(Class::Public, &key, CKA_KEY_TYPE), long(CKK_EC_EDWARDS));
    assert_eq!(value(Class::Public, &key, CKA_EC_PARAMS), hex::decode("06032b6570").unwrap());
    assert_eq!(hex::encode(value(Class::Public, &key, CKA_EC_POINT)), format!("0420{ED_POINT}"));
    let hash = Sha256::digest(hex::decode(ED_POINT).unwrap());
    assert_eq!(value(Class::Private, &key, CKA_ID), hash[..20], "without an id in the file");
    assert_eq!(value(Class::Private, &key, CKA_ALLOWED_MECHANISMS), long(CKM_EDDSA));
}

#[test]
fn nothing_leaves_and_nothing_but_signing_is_promised() {
    let key = key("release");
    let object = Object { class: Class::Private, key: &key };
    assert_eq!(object.attribute(CKA_VALUE), Attribute::Sensitive);
    assert!(!object.has(CKA_VALUE, &[]), "nor is it found by its value");
    for yes in [CKA_SENSITIVE, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_SIGN, CKA_TOKEN] {
        assert!(object.has(yes, &[CK_TRUE]), "{yes:#x}");
    }
    for no in
        [CKA_EXTRACTABLE, CKA_ALWAYS_AUTHENTICATE, CKA_DECRYPT, CKA_UNWRAP, CKA_DERIVE, CKA_PRIVATE, CKA_MODIFIABLE]
    {
        assert!(object.has(no, &[CK_FALSE]), "{no:#x}");
    }
    for none in [CKA_VERIFY, CKA_MODULUS, CKA_VENDOR_DEFINED] {
        assert_eq!(object.attribute(none), Attribute::Unknown, "{none:#x}");
    }
    let public = Object { class: Class::Public, key: &key };
    assert!(public.has(CKA_VERIFY, &[CK_TRUE]));
    assert_eq!((public.attribute(CKA_SIGN), public.attribute(CKA_VALUE)), (Attribute::Unknown, Attribute::Unknown));
}

#[test]
fn a_child_has_its_own_key() {
    let text = CONFIG.replace("key = \"release\"\n", "key = \"release\"\npath = \"m/0/7\"\n");
    let config = Config::parse(&text).unwrap();
    let child = Key::new(&config.keys[0], &statement("release").unwrap()).unwrap();
    assert_eq!(child.path, [0, 7]);
    assert_ne!(child.public_key, key("release").public_key);
}

#[test]
fn what_has_no_mechanism_is_not_shown() {
    let config = Config::parse(CONFIG).unwrap();
    let refused = Key::new(&config.keys[1], &statement("schnorr").unwrap()).unwrap_err();
    assert!(refused.contains("schnorr-bip340"), "{refused}");
    let mut statement = statement("release").unwrap();
    statement.public_key = vec![2; 33];
    statement.public_key[1..].fill(0xff);
    assert!(Key::new(&config.keys[0], &statement).is_err(), "not on the curve");
}

#[test]
fn handles_and_places_are_one_to_one() {
    for at in 0..70 {
        for class in [Class::Public, Class::Private] {
            assert_eq!(place(handle(at, class)), Some((at, class)));
        }
    }
    assert_eq!(place(CK_INVALID_HANDLE), None);
    assert!(place(CK_OBJECT_HANDLE::MAX).is_some_and(|(at, _)| at > 1000), "far beyond what is shown");
}
