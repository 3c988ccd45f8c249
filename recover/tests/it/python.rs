//! Another program, written from `docs/recovery.md`, makes the same keys of the same files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use limen_recover::{Backup, Nonce};
use limen_wire::ids::Scheme;
use sha2::{Digest as _, Sha256};

use crate::command::{Folder, combine, program};
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

pub(crate) fn run(folder: &Folder, arguments: &[&str]) -> Option<Result<String, String>> {
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
fn a_program_from_the_document_alone_derives_the_same_children_and_signs_the_same() {
    for scheme in SCHEMES {
        let folder = Folder::new(scheme);
        std::fs::write(folder.path("message"), b"sweep").unwrap();
        let backups = ["1.backup", "3.backup", "--", "anna", "carla"];
        for path in ["0/5", "44/60/0/0/7", "2147483647"] {
            let ours = folder.run(&combine(&["--export", "scalar", "--danger-show-secret", "--path", path])).unwrap();
            let Some(said) = run(&folder, &[&["--path", path], &backups[..]].concat()) else { return };
            assert_eq!(said.unwrap(), ours, "{scheme} {path}");
            if scheme == Scheme::EddsaEd25519 {
                let sweep = ["sign-sweep", "1.backup", "2.backup", "--identity", "anna", "--identity", "bela"];
                let ours = folder.run(&[&sweep[..], &["--message", "message", "--path", path]].concat()).unwrap();
                let said = run(&folder, &[&["--path", path, "--sign", "message"], &backups[..]].concat()).unwrap();
                assert_eq!(said.unwrap(), ours, "{path}");
            }
        }
    }
}

#[test]
fn a_program_from_the_document_alone_reads_the_samples() {
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let folder = Folder::new(Scheme::EcdsaSecp256k1);
    for (scheme, whole, child, proof) in crate::vectors::VECTORS {
        let file = |name: &str| samples.join(scheme.as_str()).join(name).to_str().unwrap().to_owned();
        let (one, two, anna, carla) =
            (file("1.backup"), file("2.backup"), file("anna.identity"), file("carla.identity"));
        let words = ["--path", "0/5", &one, &two, "--", &anna, &carla];
        let Some(said) = run(&folder, &words) else { return };
        assert_eq!(said.unwrap().trim(), child, "{scheme}");
        assert_eq!(run(&folder, &words[2..]).unwrap().unwrap().trim(), whole, "{scheme}");
        let said = run(&folder, &[&one, "--proof", "anna", &"5a".repeat(32), proof]).unwrap();
        assert_eq!(said.unwrap().trim(), "proved", "{scheme}");
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
    // Facts under a right hash that do not go together.
    let folder = Folder::new(Scheme::SchnorrBip340);
    let text = std::fs::read_to_string(folder.path("1.backup")).unwrap();
    let (body, _) = text.rsplit_once("sha256: ").unwrap();
    let negated = body.lines().map(|line| match line.split_once(": ") {
        Some((name @ ("public_key" | "verifying_share" | "commitment"), value)) => {
            format!("{name}: 0{}{}\n", if &value[1..2] == "2" { 3 } else { 2 }, &value[2..])
        }
        _ => format!("{line}\n"),
    });
    let raised = body.replace("signers_required: 2", "signers_required: 3");
    let recipient = |text: &str| {
        let line = body.lines().find(|line| line.starts_with("custodian: bela ")).unwrap();
        body.replace(line, &format!("custodian: bela {text}"))
    };
    let low = crate::house::low_order();
    let cases = [(negated.collect(), "odd y"), (raised, "raised"), (recipient("age1qqqqqqqq"), "mistyped")];
    let low = low.iter().map(|low| (recipient(low), "low order"));
    for (body, words) in cases.into_iter().chain(low) {
        let hash = hex::encode(Sha256::digest(&body));
        std::fs::write(folder.path("spoiled"), format!("{body}sha256: {hash}\n")).unwrap();
        let Some(said) = run(&folder, &["spoiled", "2.backup", "--", "anna", "bela"]) else { return };
        let said = said.unwrap_err();
        assert!(said.contains(words), "{words}: {said}");
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
