//! Another program, written from `docs/recovery.md`, makes the same keys of the same files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use limen_recover::{Backup, Nonce};
use limen_wire::ids::Scheme;

use crate::command::{Folder, program};
use crate::house::SCHEMES;

/// The interpreter of the workspace's virtual environment. `LIMEN_OFFLINE` excuses its absence.
fn python() -> Option<PathBuf> {
    let python = program().parent().and_then(|dir| dir.parent()).unwrap().join("python/bin/python");
    let ready = Command::new(&python).args(["-c", "import cryptography"]).output();
    let ready = ready.is_ok_and(|output| output.status.success());
    assert!(
        ready || std::env::var_os("LIMEN_OFFLINE").is_some_and(|value| !value.is_empty()),
        "no Python with cryptography: cargo xtask setup"
    );
    ready.then_some(python)
}

fn run(folder: &Folder, arguments: &[&str]) -> Option<Result<String, String>> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recover.py");
    let output = Command::new(python()?).arg(script).args(arguments).current_dir(folder.dir.path()).output().unwrap();
    let words = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Some(if output.status.success() { Ok(words(output.stdout)) } else { Err(words(output.stderr)) })
}

#[test]
fn a_program_from_the_document_alone_recovers_the_same_key() {
    for scheme in SCHEMES {
        let folder = Folder::new(scheme);
        let secret = hex::encode(folder.dealt.secret);
        for words in [
            &["1.backup", "2.backup", "--", "anna", "bela"][..],
            &["3.backup", "1.backup", "--", "carla", "anna"],
            &["1.backup", "2.backup", "3.backup", "--", "anna", "bela", "carla"],
        ] {
            let Some(said) = run(&folder, words) else { return };
            assert_eq!(said.unwrap().trim(), secret, "{scheme}");
        }
    }
}

#[test]
fn a_program_from_the_document_alone_believes_our_proofs() {
    for scheme in SCHEMES {
        let folder = Folder::new(scheme);
        let backup = Backup::decode(&std::fs::read(folder.path("2.backup")).unwrap()).unwrap();
        let nonce = Nonce([0x33; 32]);
        let proof = folder.keepers[2].open(&backup).prove(&nonce).unwrap();
        let said = |proof: &str| run(&folder, &["2.backup", "--proof", "carla", &nonce.to_string(), proof]);
        let Some(right) = said(&proof.to_string()) else { return };
        assert_eq!(right.unwrap().trim(), "proved", "{scheme}");
        let mut wrong = proof;
        wrong.0[40] ^= 1;
        said(&wrong.to_string()).unwrap().unwrap_err();
    }
}

#[test]
fn a_program_from_the_document_alone_refuses_what_we_refuse() {
    let folder = Folder::new(Scheme::EcdsaSecp256k1);
    let spoiled = std::fs::read_to_string(folder.path("1.backup")).unwrap().replace("member: 1", "member: 2");
    std::fs::write(folder.path("spoiled"), spoiled).unwrap();
    for words in [
        &["1.backup", "--", "anna", "bela"][..],
        &["1.backup", "1.backup", "--", "anna", "bela"],
        &["1.backup", "2.backup", "--", "anna"],
        &["spoiled", "2.backup", "--", "anna", "bela"],
    ] {
        let Some(said) = run(&folder, words) else { return };
        assert!(said.unwrap_err().contains("refused"));
    }
}

/// Decrypts a keystore by its definition, without its MAC, for which the standard library has no hash; vectors hold that.
const KEYSTORE: &str = "
import hashlib, json, sys
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
crypto = json.load(sys.stdin)['crypto']
kdf = crypto['kdfparams']
key = hashlib.scrypt(b'correct horse', salt=bytes.fromhex(kdf['salt']), n=kdf['n'], r=kdf['r'], p=kdf['p'], dklen=32, maxmem=2**30)
iv = bytes.fromhex(crypto['cipherparams']['iv'])
print(Cipher(algorithms.AES(key[:16]), modes.CTR(iv)).decryptor().update(bytes.fromhex(crypto['ciphertext'])).hex())
";

/// Reads PKCS#8 by another library.
const PKCS8: &str = "
import sys
from cryptography.hazmat.primitives.serialization import load_pem_private_key
print(f'{load_pem_private_key(sys.stdin.buffer.read(), None).private_numbers().private_value:064x}')
";

#[test]
fn exports_are_read_by_another_library() {
    let folder = Folder::new(Scheme::EcdsaSecp256k1);
    std::fs::write(folder.path("password"), "correct horse\n").unwrap();
    for (form, script) in [("keystore", KEYSTORE), ("pkcs8", PKCS8)] {
        let words = ["--export", form, "--out", form, "--password-file", "password"];
        let words = &words[..if form == "keystore" { 6 } else { 4 }];
        folder.run(&crate::command::combine(words)).unwrap();
        let Some(python) = python() else { return };
        let input = std::fs::File::open(folder.path(form)).unwrap();
        let output = Command::new(python).args(["-c", script]).stdin(input).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.trim(), hex::encode(folder.dealt.secret), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_custodian_whose_key_is_behind_a_plugin_proves_and_recovers() {
    let folder = Folder::new(Scheme::EddsaEd25519);
    let Some(python) = python() else { return };
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
    let plugin = folder.path("age-plugin-limentest");
    let source = std::fs::read_to_string(tests.join("plugin.py")).unwrap();
    let path = format!("#!{}\nimport sys\nsys.path.insert(0, {:?})\n", python.display(), tests.to_str().unwrap());
    std::fs::write(&plugin, path + &source).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::rename(folder.path("anna"), folder.path("age-plugin-limentest.key")).unwrap();
    let identity = limen_recover::age::plugin::Identity::default_for_plugin("limentest").to_string();
    std::fs::write(folder.path("anna"), identity + "\n").unwrap();
    let run = |words: &[&str]| {
        let mut command = Command::new(program());
        command.args(words).current_dir(folder.dir.path()).env("PATH", folder.dir.path());
        let output = command.output().unwrap();
        let words = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert!(output.status.success(), "{}", words(output.stderr));
        words(output.stdout)
    };
    let said = run(&["check", "1.backup", "--holder", "anna", "--identity", "anna", "--nonce", &"07".repeat(32)]);
    assert!(said.contains("proof of anna: "), "{said}");
    let shown = run(&crate::command::combine(&["--export", "scalar", "--danger-show-secret"]));
    assert_eq!(shown.trim(), hex::encode(folder.dealt.secret));
}
