//! Files of version 1 as they were written once: whatever changes, they are read for ever, and give the same.

use std::path::PathBuf;

use limen_recover::age::NoCallbacks;
use limen_recover::{Backup, Identities, Nonce, Recovery};
use limen_wire::ids::Scheme;

use crate::house::{back_up, deal, keepers, person};

fn read(scheme: Scheme, name: &str) -> Vec<u8> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    std::fs::read(dir.join(scheme.as_str()).join(name)).unwrap()
}

fn identities(scheme: Scheme, name: &str) -> Identities {
    Identities::read(&read(scheme, name), NoCallbacks).unwrap()
}

/// Scheme, scalar, that of the child at m/0/5, and the proof of anna for member 1's backup under a nonce of bytes `5a`.
pub(crate) const VECTORS: [(Scheme, &str, &str, &str); 3] = [
    (
        Scheme::EcdsaSecp256k1,
        "01f6e2915962923e6c5572162bc38ee1d09ee3a563e7ea3d10318bddd2a2f000",
        "364d14b9556a740d40535823c2ae73945458325967c32d539b268b8c307ce881",
        "ca7f82c5a49d7467339c41f89adffead2ee033c3497dd90a25bf6a9c8df908bc2254c3b7a74b4ecdf74ea79aaada7d12edf8f17c312af9eb46ccfe7fe5b3dcb2",
    ),
    (
        Scheme::SchnorrBip340,
        "09d557ba835c2ed57d270903d10a0cacd4c11771a042e0680b8715c3f62ee903",
        "d6f2f410a198c39f0b7a78dd6dee66a433b63a229074bb50e4b2a73579d057c0",
        "1f1091a39937ff68312b75085642f5f015ed6457c77773764a2af7704913ae452347b9877d14cef9cbd49f0dffa449e0a435436dbb6bb7024e901496684d56fe",
    ),
    (
        Scheme::EddsaEd25519,
        "0920442acc4cd859502a5a10729d456f2f09e7854f6e7ca47c46bdf3dd74bd08",
        "a7d382b3c227ad95b76a819c8c0eefd454f522567041269f35e6780749432205",
        "705b307b3f1573883e3de41501990c5539e11fd9720e23404eda719dbd54901925e8d8576733d228db9f91c1a77bb1933e99e03a93be433c5f755327c53d7803",
    ),
];

#[test]
fn files_that_were_written_once_give_the_same_for_ever() {
    for (scheme, secret, child, proof) in VECTORS {
        let backup = |member: u8| Backup::decode(&read(scheme, &format!("{member}.backup"))).unwrap();
        let piece = backup(1).open_one(&person("anna"), &identities(scheme, "anna.identity")).unwrap();
        assert_eq!(piece.prove(&Nonce([0x5a; 32])).unwrap().to_string(), proof, "{scheme}");
        let mut recovery = Recovery::new((2..=3).map(|member| (member.to_string(), backup(member)))).unwrap();
        for name in ["bela.identity", "carla.identity"] {
            assert_eq!(recovery.open(&identities(scheme, name)).pieces, 2);
        }
        let key = recovery.finish().unwrap();
        assert_eq!(*key.scalar_hex(), secret);
        let child_key = key.child(&"m/0/5".parse().unwrap()).unwrap();
        assert_eq!(*child_key.scalar_hex(), child);
        if scheme == Scheme::EddsaEd25519 {
            let signature = "240c51fab6af0d51716b45988c27f597a6230bfde0c57e07dcdb4b2932adbcb06190734aef828cec2363e8157ff7a93ef4fc044e9d3f05a504f3bb154a44000f";
            assert_eq!(hex::encode(key.sign_sweep(b"sweep").unwrap()), signature);
            let signature = "b3f160c42e0af3111942a83c2c34e09874f0f77d39db475aeb8577c7610ef5fb63e43666f177f62edeb7fe57abfa8caddba1bf47112acdef67ae04af10b6bd08";
            assert_eq!(hex::encode(child_key.sign_sweep(b"sweep").unwrap()), signature);
        }
    }
}

/// No coefficient of a polynomial is in two files: two pieces at one place would lie as far apart as the shares.
#[test]
fn every_file_has_randomness_of_its_own() {
    let mut seen = std::collections::BTreeSet::new();
    for (scheme, ..) in VECTORS {
        for member in 1..=3 {
            let text = String::from_utf8(read(scheme, &format!("{member}.backup"))).unwrap();
            let commitments: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("commitment: ")).collect();
            assert_eq!(commitments.len(), 2);
            assert!(commitments.iter().all(|commitment| seen.insert((*commitment).to_owned())), "{scheme} {member}");
        }
    }
}

/// Makes the files anew: what is in them is fixed but for what age draws. `LIMEN_VECTORS` says where to.
#[test]
#[ignore = "writes sample files"]
fn write() {
    let Some(dir) = std::env::var_os("LIMEN_VECTORS").map(PathBuf::from) else { return };
    for (scheme, ..) in VECTORS {
        let (dir, dealt, keepers) = (dir.join(scheme.as_str()), deal("hot", 3, scheme, 2, 3), keepers());
        std::fs::create_dir_all(&dir).unwrap();
        for (member, share) in (1..).zip(&dealt.shares) {
            std::fs::write(dir.join(format!("{member}.backup")), back_up(share, &keepers, 2).encode()).unwrap();
        }
        let first = Backup::decode(&std::fs::read(dir.join("1.backup")).unwrap()).unwrap();
        let piece = keepers[0].open(&first);
        println!("{scheme}: {}", piece.prove(&Nonce([0x5a; 32])).unwrap());
        for keeper in &keepers {
            std::fs::write(dir.join(format!("{}.identity", keeper.name)), keeper.identity_file()).unwrap();
        }
    }
}
