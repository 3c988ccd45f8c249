//! Children of recovered keys, against the public derivation and other software.

use ed25519_dalek::{Signature, VerifyingKey};
use limen_mpc::{DerivationPath, DeriveError, Point, derive_public};
use limen_recover::{ChildError, ExportError, RecoveredKey, Recovery};
use limen_wire::ids::Scheme;

use crate::command::{Folder, combine};
use crate::house::{SCHEMES, back_up, deal, keepers};

fn recovered(scheme: Scheme) -> RecoveredKey {
    let (dealt, keepers) = (deal("hot", 1, scheme, 2, 3), keepers());
    let files = (0..2).map(|at| (at.to_string(), back_up(&dealt.shares[at], &keepers, 2)));
    let mut recovery = Recovery::new(files).unwrap();
    keepers.iter().take(2).for_each(|keeper| assert_eq!(recovery.open(&keeper.identities()).pieces, 2));
    recovery.finish().unwrap()
}

fn path(text: &str) -> DerivationPath {
    text.parse().unwrap()
}

#[test]
fn a_child_has_the_secret_of_the_public_key_that_everybody_derives() {
    for scheme in SCHEMES {
        let key = recovered(scheme);
        let public = key.public().clone();
        for steps in ["m/0", "m/0/5", "m/44/60/0/0/7", "m/2147483647", "m/1/2/3/4/5/6/7/8/9/10"] {
            let child = key.child(&path(steps)).unwrap();
            let derived = derive_public(&public.public_key, &public.chain_code, &path(steps)).unwrap();
            assert_eq!(child.public_key(), &derived.public_key, "{scheme} {steps}");
            assert_eq!((child.path(), child.public()), (&path(steps), &public));
            match child.public_key() {
                Point::Secp256k1(bytes) => {
                    let secret = k256::SecretKey::from_slice(child.scalar()).unwrap();
                    assert_eq!(&secret.public_key().to_sec1_bytes()[..], bytes);
                }
                Point::Ed25519(bytes) => {
                    let signature = Signature::from_bytes(&child.sign_sweep(b"all of it").unwrap());
                    VerifyingKey::from_bytes(bytes).unwrap().verify_strict(b"all of it", &signature).unwrap();
                }
                Point::P256(_) => panic!(),
            }
        }
        let twice = key.child(&path("m/3")).unwrap().child(&path("m/4/5")).unwrap();
        let once = key.child(&path("m/3/4/5")).unwrap();
        assert_eq!((twice.scalar(), twice.path()), (once.scalar(), once.path()));
        assert_eq!(key.child(&DerivationPath::root()).unwrap().scalar(), key.scalar());
        let deep = key.child(&path("m/1/2/3/4/5/6")).unwrap().child(&path("m/1/2/3/4/5")).unwrap_err();
        assert!(matches!(deep, ChildError::Derive { cause: DeriveError::TooDeep(11), .. }), "{deep}");
    }
}

#[test]
fn an_extended_key_is_made_of_the_key_itself() {
    let key = recovered(Scheme::EcdsaSecp256k1);
    assert_eq!(key.child(&path("m/0")).unwrap().xprv().unwrap_err(), ExportError::NotOfChildren);
    key.xprv().unwrap();
}

#[test]
fn the_program_exports_and_signs_by_children() {
    for scheme in SCHEMES {
        let folder = Folder::new(scheme);
        let public = folder.dealt.shares[0].public();
        let child = derive_public(&public.public_key, &public.chain_code, &path("m/0/5")).unwrap();
        let scalar = |words: &[&str]| {
            let words = [&["--export", "scalar", "--danger-show-secret"], words].concat();
            folder.run(&combine(&words)).unwrap().trim().to_owned()
        };
        let found = scalar(&["--path", "0/5"]);
        assert_eq!(found, scalar(&["--path", "m/0/5"]));
        assert_ne!(found, scalar(&[]));
        let secret: [u8; 32] = hex::decode(&found).unwrap().try_into().unwrap();
        let point = match child.public_key {
            Point::Ed25519(_) => {
                let secret = curve25519_dalek::Scalar::from_canonical_bytes(secret).unwrap();
                curve25519_dalek::EdwardsPoint::mul_base(&secret).compress().to_bytes().to_vec()
            }
            _ => k256::SecretKey::from_slice(&secret).unwrap().public_key().to_sec1_bytes().to_vec(),
        };
        assert_eq!(point, child.public_key.as_bytes(), "{scheme}");
        let said = folder.run(&combine(&["--export", "scalar", "--out", "child", "--path", "0/5"])).unwrap();
        assert!(said.contains("at m/0/5") && said.contains(&hex::encode(child.public_key.to_key(scheme))), "{said}");
        for bad in ["0/", "/0", "0'", "m/0h", "x", "+1", "2147483648", "0/1/2/3/4/5/6/7/8/9/10"] {
            folder.run(&combine(&["--export", "scalar", "--danger-show-secret", "--path", bad])).unwrap_err();
        }
        if scheme != Scheme::EddsaEd25519 {
            let refused = folder.run(&combine(&["--export", "xprv", "--danger-show-secret", "--path", "0"]));
            assert!(refused.unwrap_err().contains("gives all its children"));
            for form in ["wif", "pkcs8"] {
                folder.run(&combine(&["--export", form, "--danger-show-secret", "--path", "0/5"])).unwrap();
            }
        }
    }
    let folder = Folder::new(Scheme::EddsaEd25519);
    std::fs::write(folder.path("message"), b"sweep").unwrap();
    let sweep =
        ["sign-sweep", "1.backup", "2.backup", "--identity", "anna", "--identity", "bela", "--message", "message"];
    let signature = folder.run(&[&sweep[..], &["--path", "0/5"]].concat()).unwrap();
    let signature: [u8; 64] = hex::decode(signature.trim()).unwrap().try_into().unwrap();
    let public = folder.dealt.shares[0].public();
    let child = derive_public(&public.public_key, &public.chain_code, &path("m/0/5")).unwrap();
    let key = VerifyingKey::from_bytes(child.public_key.as_bytes().try_into().unwrap()).unwrap();
    key.verify_strict(b"sweep", &Signature::from_bytes(&signature)).unwrap();
}
