//! Files of version 1 as they were written once: whatever changes, they are read for ever, and give the same.

use std::path::PathBuf;

use limen_recover::age::NoCallbacks;
use limen_recover::{Backup, Identities, Nonce, Recovery};
use limen_wire::ids::Scheme;

use crate::house::person;

fn read(scheme: Scheme, name: &str) -> Vec<u8> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    std::fs::read(dir.join(scheme.as_str()).join(name)).unwrap()
}

fn identities(scheme: Scheme, name: &str) -> Identities {
    Identities::read(&read(scheme, name), NoCallbacks).unwrap()
}

/// Scheme, scalar, and the proof of anna for member 1's backup under a nonce of bytes `5a`.
const VECTORS: [(Scheme, &str, &str); 3] = [
    (
        Scheme::EcdsaSecp256k1,
        "01f6e2915962923e6c5572162bc38ee1d09ee3a563e7ea3d10318bddd2a2f000",
        "b68ef713d53df6f3768649b9a129a123a4f6f704dd42e83acf095ad44f847fb6cc7c5a210dcdb527d478c4e16c22acafe15dfde366636c6c4e74b39831d92797",
    ),
    (
        Scheme::SchnorrBip340,
        "09d557ba835c2ed57d270903d10a0cacd4c11771a042e0680b8715c3f62ee903",
        "f6ad717153096b2e40a54956c92184630dfc78c1128f1d0f0767e47dec6a68e671f102db784371e8db54a06b70ab5e8898bc312dcf757ec6134b0e4616a8063b",
    ),
    (
        Scheme::EddsaEd25519,
        "0920442acc4cd859502a5a10729d456f2f09e7854f6e7ca47c46bdf3dd74bd08",
        "9b8e15735c86a6f01de374338f6fe68884add8d3f54b0d41e954c6a7cb9c055dc424dd9dc710f7861c3ada575119f4d7bae3df842c925e978de919c8e0dab103",
    ),
];

#[test]
fn files_that_were_written_once_give_the_same_for_ever() {
    for (scheme, secret, proof) in VECTORS {
        let backup = |member: u8| Backup::decode(&read(scheme, &format!("{member}.backup"))).unwrap();
        let piece = backup(1).open_one(&person("anna"), &identities(scheme, "anna.identity")).unwrap();
        assert_eq!(piece.prove(&Nonce([0x5a; 32])).unwrap().to_string(), proof, "{scheme}");
        let mut recovery = Recovery::new((2..=3).map(|member| (member.to_string(), backup(member)))).unwrap();
        for name in ["bela.identity", "carla.identity"] {
            assert_eq!(recovery.open(&identities(scheme, name)).pieces, 2);
        }
        let key = recovery.finish().unwrap();
        assert_eq!(*key.scalar_hex(), secret);
        if scheme == Scheme::EddsaEd25519 {
            let signature = "240c51fab6af0d51716b45988c27f597a6230bfde0c57e07dcdb4b2932adbcb06190734aef828cec2363e8157ff7a93ef4fc044e9d3f05a504f3bb154a44000f";
            assert_eq!(hex::encode(key.sign_sweep(b"sweep").unwrap()), signature);
        }
    }
}
