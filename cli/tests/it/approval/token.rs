//! Deciding with a key on a token: SoftHSM 2, each with a folder of its own.

mod equipped;

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use limen_wire::keys::{PublicKey, SigningKey};

use super::desk::Desk;
use super::verified;
use equipped::{Equipped, PIN};

/// A fresh P-256 key in PKCS#8.
fn p256() -> String {
    rcgen::KeyPair::generate().unwrap().serialize_pem()
}

/// A fresh Ed25519 key in PKCS#8 as RFC 8410, section 7 has it: without the public key, which OpenSSL 3.0 cannot read there.
fn ed25519() -> String {
    let full = pem::parse(super::desk::pem()).unwrap();
    let private = [&[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70], &full.contents()[12..48]].concat();
    pem::encode(&pem::Pem::new("PRIVATE KEY", private))
}

#[test]
fn an_ed25519_key_on_a_token_approves() {
    let Some(equipped) = Equipped::new() else { return };
    equipped.fails(
        &["--token", "desk"],
        "pin",
        "no key on token \"desk\" is a credential that was asked for; there is none",
    );
    let key = equipped.add("anna", "01", &ed25519());
    // The key is named so that a charter can enrol it.
    equipped.fails(&["--token", "desk"], "pin", &format!("there is \"anna\" (id 01) {key}"));
    equipped.desk.enrol("anna", &key);
    equipped.signs("anna", "out.bin", &["--token", "desk"]);
    equipped.signs("anna", "label.bin", &["--token", "desk", "--key-label", "anna"]);
    equipped.signs("anna", "id.bin", &["--token", "desk", "--key-id", "01"]);
    equipped.fails(&["--token", "desk", "--key-label", "boris"], "pin", "there is none");
    equipped.fails(&["--token", "desk", "--key-id", "02"], "pin", "there is none");
    equipped.fails(
        &["--token", "desk", "--credential", "boris-terminal"],
        "pin",
        "that was asked for; there is \"anna\"",
    );
}

/// About half of what a token signs has a high S: all of it must verify.
#[test]
fn a_p256_key_on_a_token_approves_with_low_s() {
    let Some(equipped) = Equipped::new() else { return };
    let key = equipped.add("anna", "01", &p256());
    equipped.desk.enrol("anna", &key);
    for number in 0..8 {
        equipped.signs("anna", &format!("out-{number}.bin"), &["--token", "desk"]);
    }
}

#[test]
fn a_wrong_pin_is_tried_once_and_named() {
    let Some(equipped) = Equipped::new() else { return };
    let key = equipped.add("anna", "01", &p256());
    equipped.desk.enrol("anna", &key);
    let long = "1".repeat(257);
    for (pin, words) in [
        ("4321", "token \"desk\" does not take this PIN; "),
        ("\n", "it is empty"),
        ("", "it is empty"),
        (long.as_str(), "it has more than 256 bytes"),
    ] {
        equipped.desk.write("wrong", pin.as_bytes());
        equipped.fails(&["--token", "desk"], "wrong", words);
    }
    equipped.desk.write("wrong", &[0xff, b'\n']);
    equipped.fails(&["--token", "desk"], "wrong", "it is not UTF-8");
    // What follows the line is none of ours.
    equipped.desk.write("pin", format!("{PIN}\r\nmore").as_bytes());
    equipped.signs("anna", "out.bin", &["--token", "desk"]);
    // Without a terminal, and with a file descriptor that is none.
    for (more, words) in [(vec![], "nobody typed it"), (vec!["--pin-fd", "77"], "the file descriptor cannot be read")] {
        let args = equipped.args("never.bin", &[&["--token", "desk", "--yes"], more.as_slice()].concat());
        let mut alone = Command::new("setsid");
        alone.arg("-w").arg(env!("CARGO_BIN_EXE_limen")).args(args);
        alone.env("SOFTHSM2_CONF", equipped.desk.path("softhsm.conf"));
        let error = alone.stdin(Stdio::null()).output().unwrap().stderr;
        let error = String::from_utf8_lossy(&error);
        assert!(error.contains(words), "{words} is missing in {error}");
    }
}

#[test]
fn tokens_are_found_by_label_and_by_serial_number() {
    let Some(equipped) = Equipped::new() else { return };
    let key = equipped.add("anna", "01", &p256());
    equipped.desk.enrol("anna", &key);
    equipped.fails(&["--token", "table"], "pin", "no token \"table\"; there is \"desk\" (serial ");
    let shown = equipped.util(&["--show-slots"]);
    let serial = shown.lines().find_map(|line| line.trim().strip_prefix("Serial number:")).unwrap().trim().to_owned();
    equipped.add_token("desk");
    equipped.fails(&["--token", "desk"], "pin", "several tokens \"desk\"; there are \"desk\" (serial ");
    equipped.signs("anna", "out.bin", &["--token", &serial]);
}

#[test]
fn with_keys_of_two_credentials_one_is_chosen() {
    let Some(equipped) = Equipped::new() else { return };
    equipped.desk.enrol("anna", &equipped.add("first", "01", &p256()));
    equipped.desk.enrol("boris", &equipped.add("second", "02", &ed25519()));
    equipped.fails(&["--token", "desk"], "pin", "choose one of ");
    equipped.signs("boris", "boris.bin", &["--token", "desk", "--credential", "boris-terminal"]);
    equipped.signs("anna", "anna.bin", &["--token", "desk", "--key-label", "first"]);
    equipped.desk.enrol("phone", &equipped.add("third", "03", &p256()));
    equipped.fails(&["--token", "desk", "--key-id", "03"], "pin", "is a passkey: it approves in a browser");
}

/// As SoftHSM writes a flag of a private key: the attribute, that it is a truth value, and the value.
fn flag(attribute: u64, value: bool) -> Vec<u8> {
    [attribute.to_be_bytes().as_slice(), &1u64.to_be_bytes(), &[if value { 0xff } else { 0 }]].concat()
}

const CKA_SIGN: u64 = 0x108;
const CKA_ALWAYS_AUTHENTICATE: u64 = 0x202;

#[test]
fn a_key_that_may_not_sign_here_says_so() {
    let Some(equipped) = Equipped::new() else { return };
    let key = equipped.add("anna", "01", &p256());
    equipped.desk.enrol("anna", &key);
    equipped.patch(&flag(CKA_SIGN, true), &flag(CKA_SIGN, false));
    equipped.fails(&["--token", "desk"], "pin", "token \"desk\" may not sign with key \"anna\"");
    equipped.patch(&flag(CKA_ALWAYS_AUTHENTICATE, false), &flag(CKA_ALWAYS_AUTHENTICATE, true));
    equipped.fails(&["--token", "desk"], "pin", "wants its PIN again for each signature");
}

#[test]
fn what_a_token_tells_of_its_pin_is_told() {
    let Some(equipped) = Equipped::new() else { return };
    let key = equipped.add("anna", "01", &p256());
    equipped.desk.enrol("anna", &key);
    equipped.desk.write("wrong", b"4321");
    equipped.fails(&["--token", "desk"], "wrong", "it counts wrong tries, and some are used up");
    // Of CK_TOKEN_INFO: random numbers, login required, PIN set, restore key not needed, initialized, and tries that are low.
    let flags = |more: u64| (0x1_042d | more).to_be_bytes();
    equipped.patch(&flags(0), &flags(0x2_0000));
    equipped.fails(&["--token", "desk"], "wrong", "ONE try is left before it locks");
    equipped.patch(&flags(0x2_0000), &flags(0x4_0000));
    equipped.fails(&["--token", "desk"], "pin", "the PIN of token \"desk\" is locked");
}

/// The point of a P-256 key as tokens write it.
fn point(key: &PublicKey) -> Vec<u8> {
    let PublicKey::P256(key) = key else { panic!("{key} is no P-256 key") };
    key.to_encoded_point(false).as_bytes().to_vec()
}

#[test]
fn a_signature_by_another_key_than_the_token_shows_is_refused() {
    let Some(equipped) = Equipped::new() else { return };
    let key = equipped.add("anna", "01", &p256());
    let other = SigningKey::from_pkcs8_pem(&p256()).unwrap().public_key();
    equipped.patch(&point(&key), &point(&other));
    equipped.desk.enrol("anna", &other);
    equipped.fails(&["--token", "desk"], "pin", &format!("the signature by key \"anna\" (id 01) {other}"));
}

#[test]
fn a_public_key_that_could_be_of_two_is_of_neither() {
    let Some(equipped) = Equipped::new() else { return };
    let key = equipped.add("anna", "01", &p256());
    equipped.desk.enrol("anna", &key);
    let file = equipped.desk.path("new.pem");
    let again = |label: &str| {
        equipped.desk.write_key("new.pem", &p256());
        let token = ["--token", "desk", "--id", "01", "--pin", PIN, "--force", "--label", label];
        equipped.util(&[&["--import", file.as_str()], token.as_slice()].concat());
    };
    again("other");
    equipped.signs("anna", "out.bin", &["--token", "desk"]);
    again("anna");
    equipped.fails(&["--token", "desk", "--key-label", "anna"], "pin", "no key on token \"desk\" is a credential");
}

#[test]
fn a_token_that_cannot_sign_says_so() {
    let Some(equipped) = Equipped::new() else { return };
    let key = equipped.add("anna", "01", &p256());
    equipped.desk.enrol("anna", &key);
    equipped.configure("slots.mechanisms = CKM_EDDSA,CKM_SHA256");
    equipped.fails(&["--token", "desk"], "pin", "token \"desk\" cannot sign by CKM_ECDSA");
}

#[test]
fn a_token_pulled_before_the_word_signs_nothing() {
    let Some(equipped) = Equipped::new() else { return };
    let key = equipped.add("anna", "01", &p256());
    equipped.desk.enrol("anna", &key);
    let mut limen = equipped.command(&equipped.args("never.bin", &["--token", "desk"]), "pin");
    let mut child = limen.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut shown = String::new();
    let mut out = child.stdout.take().unwrap();
    while !shown.contains("Type approve") {
        let mut byte = [0];
        out.read_exact(&mut byte).unwrap();
        shown.push(char::from(byte[0]));
    }
    std::fs::remove_dir_all(equipped.desk.path("tokens")).unwrap();
    child.stdin.take().unwrap().write_all(b"approve\n").unwrap();
    let done = child.wait_with_output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{error}");
    assert!(error.contains("token \"desk\" is gone"), "{error}");
    assert!(!Path::new(&equipped.desk.path("never.bin")).exists());
}

/// In a terminal of `script`, which shows what the terminal would.
#[test]
fn the_terminal_does_not_show_the_pin() {
    let Some(equipped) = Equipped::new() else { return };
    let key = equipped.add("anna", "01", &p256());
    equipped.desk.enrol("anna", &key);
    let args = equipped.args("out.bin", &["--token", "desk", "--yes"]);
    let line: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let line = format!("'{}' {}", env!("CARGO_BIN_EXE_limen"), line.join(" "));
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env("SOFTHSM2_CONF", equipped.desk.path("softhsm.conf"));
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut shown, mut out) = (Vec::new(), child.stdout.take().unwrap());
    while !shown.ends_with(b"PIN of token \"desk\": ") {
        let mut byte = [0];
        out.read_exact(&mut byte).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&shown)));
        shown.push(byte[0]);
    }
    // A wrong beginning is taken back, then a letter at its end.
    child.stdin.as_mut().unwrap().write_all(format!("wrong\x15{PIN}é\x7f\r").as_bytes()).unwrap();
    out.read_to_end(&mut shown).unwrap();
    let shown = String::from_utf8_lossy(&shown);
    assert!(child.wait().unwrap().success(), "{shown}");
    assert!(!shown.contains(PIN) && !shown.contains("wrong"), "{shown}");
    assert_eq!(verified(&equipped.desk, "out.bin").approval().person.as_str(), "anna");
}

const GOVERNANCE: &str = r#"
[governance]
number = 1
parents = []
quorum = "2 terminal of treasury"
loosening_delay_secs = 2
guardians = "treasury"
unfreeze = "2 of treasury"
unfreeze_delay_secs = 60
"#;

/// One group of arguments serves every command that a person signs by.
#[test]
fn charters_are_signed_by_tokens_too() {
    let Some(equipped) = Equipped::new() else { return };
    let key = equipped.add("anna", "01", &p256());
    let desk = &equipped.desk;
    desk.enrol("anna", &key);
    let first = String::from_utf8(desk.read("charter.toml")).unwrap() + GOVERNANCE;
    desk.write("charter.toml", first.as_bytes());
    let head = format!("number = 2\nparents = [\"{}\"]", desk.charter().hash());
    let next = first.replace("number = 1\nparents = []", &head).replace("\"1000\"", "\"999\"");
    desk.write("next.toml", next.as_bytes());
    let (next, parent, out) = (desk.path("next.toml"), desk.path("charter.toml"), desk.path("next.signed"));
    let args = ["charter", "sign", &next, "--parent", &parent, "--out", &out, "--yes", "--token", "desk", "--pkcs11"];
    let args: Vec<String> = args.iter().chain(&[equipped.module]).map(|arg| (*arg).to_owned()).collect();
    let done = equipped.command(&args, "pin").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(Path::new(&out).exists());
}

#[test]
fn a_module_that_is_none_is_named() {
    let desk = Desk::new();
    desk.write("module.so", b"no library");
    let with = |module: &str| desk.papers("approve", "x.bin", &["--pkcs11", module, "--token", "desk", "--yes"]);
    desk.fails(&with(&desk.path("module.so")), "could not load the PKCS#11 module");
    desk.fails(&with(&desk.path("nothing.so")), "could not read the PKCS#11 module");
    // A library, but of other things.
    let other = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib/aarch64-linux-gnu/libm.so.6", "/lib64/libm.so.6"];
    if let Some(other) = other.into_iter().find(|path| Path::new(path).exists()) {
        desk.fails(&with(other), "C_GetFunctionList");
    }
}

#[test]
fn exactly_one_thing_signs() {
    let desk = Desk::new();
    let key = desk.path("anna.pem");
    let token = ["--pkcs11", "x.so", "--token", "desk"];
    for (more, words) in [
        (vec!["--yes"], "--pkcs11"),
        (vec!["--key", &key, "--ssh-agent"], "cannot be used with"),
        ([&["--ssh-agent"], token.as_slice()].concat(), "cannot be used with"),
        ([&["--key", &key], token.as_slice()].concat(), "cannot be used with"),
        (vec!["--pkcs11", "x.so"], "--token"),
        (vec!["--ssh-agent", "--pin-fd", "3"], "--pkcs11"),
        (vec!["--key", &key, "--key-label", "anna"], "--pkcs11"),
        ([token.as_slice(), &["--key-id", "xyz"]].concat(), "--key-id"),
    ] {
        desk.fails(&desk.papers("approve", "x.bin", &more), words);
    }
}
