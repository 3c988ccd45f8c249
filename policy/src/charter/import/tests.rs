//! Which keys a charter lets in, and what it then says of orders.

use limen_wire::ids::{CommitteeSize, IntentId, NodeId, Protocol, RequesterId};
use limen_wire::imported::ImportedKey;
use limen_wire::intent::KeyGeneration;

use super::*;
use crate::charter::tests::sample;
use crate::charter::{Charter, CharterError, Duty};
use crate::diff::{Direction, diff};
use crate::key_order::{KeyOrderError, check};

/// The generator of secp256k1.
const POINT: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
const OTHER: &str = "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5";

fn import() -> String {
    format!(
        "\n[[imports]]\nkey = \"old-cold\"\nscheme = \"ecdsa-secp256k1\"\npublic_key = \"{POINT}\"\nreason = \"the old vault\"\n"
    )
}

fn read(more: &str) -> Result<Charter, CharterError> {
    Charter::from_toml(&format!("{}{more}", sample()))
}

#[test]
fn an_import_is_read() {
    let known = KeyImport {
        key: KeyId::new("old-cold").unwrap(),
        scheme: Scheme::EcdsaSecp256k1,
        public_key: hex::decode(POINT).unwrap(),
        reason: "the old vault".to_owned(),
    };
    assert_eq!(read(&import()).unwrap().imports.into_values().collect::<Vec<_>>(), [known]);
    assert!(read("").unwrap().imports.is_empty());
    // An x-only key, and one of Ed25519 (RFC 8032's base point).
    read(&import().replace("ecdsa-secp256k1", "schnorr-bip340").replace(POINT, &POINT[2..])).unwrap();
    let base = "5866666666666666666666666666666666666666666666666666666666666666";
    read(&import().replace("ecdsa-secp256k1", "eddsa-ed25519").replace(POINT, base)).unwrap();
}

#[test]
fn what_is_no_import_is_refused() {
    let many: String = (0..256).map(|n| import().replace("old-cold", &format!("k{n}"))).collect();
    let identity = format!("01{}", "00".repeat(31));
    for (from, to, says) in [
        ("\"old-cold\"", "\"\"", "import of key"),
        ("ecdsa-secp256k1", "ecdsa-p256", "no shares of a P-256 key"),
        ("ecdsa-secp256k1", "rsa", "rsa"),
        ("ecdsa-secp256k1", "eddsa-ed25519", "32 bytes"),
        (POINT, &POINT[2..], "33 bytes"),
        (POINT, &POINT.to_uppercase(), "lower-case hexadecimal"),
        (POINT, &POINT.replace("0279", "0579"), "must be a point"),
        (POINT, "", "33 bytes"),
        (POINT, "xyz", "lower-case hexadecimal"),
        (
            &format!("ecdsa-secp256k1\"\npublic_key = \"{POINT}"),
            &format!("eddsa-ed25519\"\npublic_key = \"{identity}"),
            "must be a point",
        ),
        ("the old vault", " ", "reason has"),
        ("the old vault", &"x".repeat(257), "reason has"),
        ("reason = \"the old vault\"\n", "", "reason"),
        ("reason", "colour = 1\nreason", "colour"),
        ("\n[[", &format!("{}\n[[", import()), "named twice"),
        ("\n[[", &format!("{}\n[[", import().replace("old-cold", "older")), "one key, two names"),
        (
            "\n[[",
            &format!(
                "{}\n[[",
                import()
                    .replace("old-cold", "older")
                    .replace("ecdsa-secp256k1", "schnorr-bip340")
                    .replace(POINT, &POINT[2..])
            ),
            "one key, two names",
        ),
        ("\n[[", &format!("{many}\n[["), "at most 256"),
    ] {
        assert!(import().contains(from), "{from}");
        let error = read(&import().replacen(from, to, 1)).expect_err(says).to_string();
        assert!(error.contains(says), "{from} → {to}: {error}");
    }
}

#[test]
fn a_key_that_may_come_in_loosens() {
    let (none, one) = (read("").unwrap(), read(&import()).unwrap());
    let other = read(&import().replace(POINT, OTHER)).unwrap();
    let directions =
        |old: &Charter, new: &Charter| diff(old, new).iter().map(|change| change.direction).collect::<Vec<_>>();
    assert_eq!(directions(&none, &one), [Direction::Loosens]);
    assert_eq!(directions(&one, &other), [Direction::Loosens]);
    assert_eq!(directions(&one, &none), [Direction::Tightens]);
    let sentence = &diff(&none, &one)[0].sentence;
    let known = format!(
        "key old-cold may be imported, ecdsa-secp256k1 with public key {POINT}, which was whole elsewhere: \"the old vault\""
    );
    assert_eq!(*sentence, known);
}

fn order(charter: &Charter) -> KeyGeneration {
    let may = |one: &&crate::charter::Requester| one.duties.contains(&Duty::Keys);
    KeyGeneration {
        id: IntentId::new([1; 32]),
        cluster: charter.cluster.clone(),
        requester: charter.requesters.iter().find(|(_, one)| may(one)).unwrap().0.clone(),
        key_id: KeyId::new("old-cold").unwrap(),
        scheme: Scheme::EcdsaSecp256k1,
        protocol: Protocol::Dkls23,
        size: CommitteeSize::new(2, 3).unwrap(),
        nodes: ["signer-1", "signer-2", "signer-3"].map(|name| NodeId::new(name).unwrap()).to_vec(),
        expires_at_secs: 1,
        imported: Some(ImportedKey {
            public_key: hex::decode(POINT).unwrap(),
            chain_code: [3; 32],
            commitments: vec![hex::decode(POINT).unwrap(), hex::decode(OTHER).unwrap()],
        }),
    }
}

#[test]
fn only_the_very_key_that_the_charter_names_comes_in() {
    let (none, one) = (read("").unwrap(), read(&import()).unwrap());
    let named = order(&one);
    check(&one, &named).unwrap();
    check(&one, &KeyGeneration { protocol: Protocol::Cggmp24, ..named.clone() }).unwrap();
    // A key that is made has nothing to do with it, but for its name.
    let made = KeyGeneration { imported: None, ..named.clone() };
    check(&none, &made).unwrap();
    assert!(matches!(check(&one, &made), Err(KeyOrderError::NameOfImport { .. })));
    let refused = |charter: &Charter, order: &KeyGeneration| check(charter, order).unwrap_err();
    assert!(matches!(refused(&none, &named), KeyOrderError::ImportNotNamed { .. }));
    let other_name = KeyGeneration { key_id: KeyId::new("other").unwrap(), ..named.clone() };
    assert!(matches!(refused(&one, &other_name), KeyOrderError::ImportNotNamed { .. }));
    let imported = named.imported.clone().unwrap();
    let other_key = ImportedKey { public_key: hex::decode(OTHER).unwrap(), ..imported };
    let other = KeyGeneration { imported: Some(other_key), ..named.clone() };
    let error = refused(&one, &other);
    assert!(matches!(&error, KeyOrderError::ImportNotNamed { public_key, .. } if public_key == OTHER), "{error}");
    let bip340 = KeyGeneration { scheme: Scheme::SchnorrBip340, protocol: Protocol::Frost, ..named.clone() };
    assert!(matches!(refused(&one, &bip340), KeyOrderError::ImportNotNamed { .. }));
    // The duty is asked for as ever.
    let stranger = KeyGeneration { requester: RequesterId::new("stranger").unwrap(), ..named };
    assert!(matches!(refused(&one, &stranger), KeyOrderError::NotPermitted(_)));
}
