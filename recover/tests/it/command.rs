//! The program itself, on files.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ed25519_dalek::{Signature, VerifyingKey};
use limen_wire::ids::Scheme;

use crate::house::{Dealt, Keeper, back_up, deal, keepers};

/// Files of a key's three backups and of its three custodians' identities.
pub(crate) struct Folder {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) dealt: Dealt,
    pub(crate) keepers: [Keeper; 3],
}

impl Folder {
    pub(crate) fn new(scheme: Scheme) -> Self {
        let (dir, dealt, keepers) = (tempfile::tempdir().unwrap(), deal("hot", 3, scheme, 2, 3), keepers());
        for (member, share) in (1..).zip(&dealt.shares) {
            let text = back_up(share, &keepers, 2).encode();
            std::fs::write(dir.path().join(format!("{member}.backup")), text).unwrap();
        }
        for keeper in &keepers {
            std::fs::write(dir.path().join(keeper.name), keeper.identity_file()).unwrap();
        }
        Self { dir, dealt, keepers }
    }
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
    /// Standard output, if it succeeds.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(program());
        let output = command.args(arguments).current_dir(self.dir.path()).output().unwrap();
        let words = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let (out, err) = (words(output.stdout), words(output.stderr));
        if output.status.success() { Ok(out) } else { Err(err) }
    }
}

pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_limen-recover"))
}

const COMBINE: [&str; 7] = ["combine", "1.backup", "3.backup", "--identity", "anna", "--identity", "carla"];

pub(crate) fn combine(more: &[&str]) -> Vec<&'static str> {
    let more = more.iter().map(|word| &*word.to_string().leak());
    COMBINE.into_iter().chain(more).collect()
}

#[test]
fn show_says_whose_it_is_and_check_and_verify_prove_it() {
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::EddsaEd25519] {
        let folder = Folder::new(scheme);
        let shown = folder.run(&["show", "1.backup", "2.backup"]).unwrap();
        for words in
            ["hot of cluster test, epoch 3", "member 1 (signer-1)", "member 2 (signer-2)", "2 of 3", "anna age1"]
        {
            assert!(shown.contains(words), "{shown}");
        }
        let nonce = "5a".repeat(32);
        let said =
            folder.run(&["check", "1.backup", "--holder", "anna", "--identity", "anna", "--nonce", &nonce]).unwrap();
        let proof = said.lines().find_map(|line| line.strip_prefix("proof of anna: ")).unwrap();
        folder.run(&["verify", "1.backup", "--holder", "anna", "--nonce", &nonce, "--proof", proof]).unwrap();
        let wrong = folder.run(&["verify", "2.backup", "--holder", "anna", "--nonce", &nonce, "--proof", proof]);
        assert!(wrong.unwrap_err().contains("custodian anna has not proved"));
    }
}

#[test]
fn a_new_identity_is_in_a_file_of_its_own_and_its_recipient_is_printed() {
    let folder = Folder::new(Scheme::EddsaEd25519);
    let recipient = folder.run(&["identity", "--out", "erik"]).unwrap();
    let file = std::fs::read_to_string(folder.path("erik")).unwrap();
    assert!(file.starts_with(&format!("# public key: {recipient}AGE-SECRET-KEY-1")), "{recipient}");
    let identity: limen_recover::age::x25519::Identity = file.lines().nth(1).unwrap().parse().unwrap();
    assert_eq!(format!("{}\n", identity.to_public()), recipient);
    assert_eq!(std::fs::metadata(folder.path("erik")).unwrap().permissions().mode() & 0o777, 0o600);
    let again = folder.run(&["identity", "--out", "erik"]).unwrap_err();
    assert!(again.contains("must not be there yet"), "{again}");
    assert_eq!(std::fs::read_to_string(folder.path("erik")).unwrap(), file);
}

#[test]
fn check_refuses_strangers_and_damaged_files_in_words() {
    let folder = Folder::new(Scheme::EcdsaSecp256k1);
    std::fs::write(folder.path("dora"), Keeper::new("dora").identity_file()).unwrap();
    let refused = folder.run(&["check", "1.backup", "--holder", "anna", "--identity", "dora"]).unwrap_err();
    assert!(refused.contains("anna, bela, carla"), "{refused}");
    let refused = folder.run(&["check", "1.backup", "--holder", "anna", "--identity", "1.backup"]).unwrap_err();
    assert!(refused.contains("identity file"), "{refused}");
    let damaged = std::fs::read_to_string(folder.path("1.backup")).unwrap().replace("epoch: 3", "epoch: 4");
    std::fs::write(folder.path("damaged"), damaged).unwrap();
    let refused = folder.run(&["show", "damaged"]).unwrap_err();
    assert!(refused.contains("damaged") && refused.contains("another copy"), "{refused}");
    assert!(folder.run(&["show", "absent"]).unwrap_err().contains("absent"));
}

/// Of somebody else, or decrypted elsewhere.
#[test]
fn check_is_of_ones_own_piece() {
    let folder = Folder::new(Scheme::EcdsaSecp256k1);
    let refused = folder.run(&["check", "1.backup", "--holder", "bela", "--identity", "anna"]).unwrap_err();
    assert!(refused.contains("the piece of bela is not encrypted to these identities"), "{refused}");
    let plain = crate::combine::plain(&back_up_of(&folder, 1), 0, &folder.keepers[0]);
    std::fs::write(folder.path("anna.piece"), plain).unwrap();
    let check = ["check", "1.backup", "--piece", "anna.piece", "--holder"];
    assert!(folder.run(&[&check[..], &["anna"]].concat()).unwrap().contains("piece of anna decrypts"));
    let refused = folder.run(&[&check[..], &["bela"]].concat()).unwrap_err();
    assert!(refused.contains("that is the piece of anna, not of bela"), "{refused}");
    let neither = folder.run(&["check", "1.backup", "--holder", "anna"]).unwrap_err();
    assert!(neither.contains("--identity"), "{neither}");
}

fn back_up_of(folder: &Folder, member: u8) -> limen_recover::Backup {
    limen_recover::Backup::decode(&std::fs::read(folder.path(&format!("{member}.backup"))).unwrap()).unwrap()
}

#[test]
fn a_secret_is_shown_or_written_only_where_it_was_asked_for() {
    let folder = Folder::new(Scheme::EcdsaSecp256k1);
    let secret = hex::encode(folder.dealt.secret);
    let refused = folder.run(&combine(&["--export", "scalar"])).unwrap_err();
    assert!(refused.contains("--danger-show-secret") && !refused.contains(&secret), "{refused}");
    let both = folder.run(&combine(&["--export", "scalar", "--danger-show-secret", "--out", "x"]));
    assert!(both.is_err() && !folder.path("x").exists());
    let shown = folder.run(&combine(&["--export", "scalar", "--danger-show-secret"])).unwrap();
    assert_eq!(shown.trim(), secret);
    let said = folder.run(&combine(&["--export", "scalar", "--out", "key"])).unwrap();
    assert!(!said.contains(&secret));
    assert_eq!(std::fs::read_to_string(folder.path("key")).unwrap().trim(), secret);
    let mode = std::fs::metadata(folder.path("key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = folder.run(&combine(&["--export", "scalar", "--out", "key"])).unwrap_err();
    assert!(again.contains("must not be there yet"), "{again}");
}

#[test]
fn every_export_says_for_which_keys_it_is() {
    let secp = Folder::new(Scheme::EcdsaSecp256k1);
    std::fs::write(secp.path("password"), "correct horse\n").unwrap();
    for (form, start) in
        [("xprv", "xprv9s21ZrQH143K"), ("wif", ""), ("pkcs8", "-----BEGIN PRIVATE KEY-----"), ("keystore", "{")]
    {
        let words = ["--export", form, "--danger-show-secret", "--password-file", "password"];
        let has_password = form == "keystore";
        let shown = secp.run(&combine(&words[..if has_password { 5 } else { 3 }])).unwrap();
        if !has_password {
            assert!(secp.run(&combine(&words)).unwrap_err().contains("no other form is encrypted"), "{form}");
        }
        assert!(shown.starts_with(start), "{form}");
        assert!(form != "keystore" || !shown.contains(&hex::encode(secp.dealt.secret)));
    }
    let refused = secp.run(&combine(&["--export", "keystore", "--danger-show-secret"])).unwrap_err();
    assert!(refused.contains("--password-file"), "{refused}");
    let edwards = Folder::new(Scheme::EddsaEd25519);
    for form in ["xprv", "wif", "pkcs8"] {
        let refused = edwards.run(&combine(&["--export", form, "--danger-show-secret"])).unwrap_err();
        assert!(refused.contains("no seed"), "{refused}");
    }
    let bip340 = Folder::new(Scheme::SchnorrBip340);
    assert!(bip340.run(&combine(&["--export", "xprv", "--danger-show-secret"])).unwrap().starts_with("xprv"));
}

#[test]
fn a_sweep_is_signed_by_a_key_without_a_seed() {
    let folder = Folder::new(Scheme::EddsaEd25519);
    std::fs::write(folder.path("message"), b"all of it, there").unwrap();
    let words: Vec<&str> = ["sign-sweep"].into_iter().chain(COMBINE.into_iter().skip(1)).collect();
    let words = [&words[..], &["--message", "message"]].concat();
    let signature = folder.run(&words).unwrap();
    assert_eq!(signature, folder.run(&words).unwrap(), "one message has one signature");
    let signature: [u8; 64] = hex::decode(signature.trim()).unwrap().try_into().unwrap();
    let public: [u8; 32] = folder.dealt.shares[0].public().public_key.as_bytes().try_into().unwrap();
    let key = VerifyingKey::from_bytes(&public).unwrap();
    key.verify_strict(b"all of it, there", &Signature::from_bytes(&signature)).unwrap();
    let secp = Folder::new(Scheme::EcdsaSecp256k1);
    std::fs::write(secp.path("message"), b"x").unwrap();
    assert!(secp.run(&words).unwrap_err().contains("does not exist for ecdsa-secp256k1"));
}

#[test]
fn help_names_every_command() {
    let folder = Folder::new(Scheme::EcdsaSecp256k1);
    let help = folder.run(&["--help"]).unwrap();
    for command in ["show", "check", "verify", "combine", "sign-sweep"] {
        assert!(help.contains(command), "{help}");
        assert!(folder.run(&[command, "--help"]).unwrap().contains("Usage"));
    }
    assert_eq!(folder.keepers.len(), 3);
}
