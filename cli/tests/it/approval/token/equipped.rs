//! A desk with a token on it.

use std::path::Path;
use std::process::{Command, Output};

use limen_wire::keys::{PublicKey, SigningKey};

use crate::approval::desk::Desk;
use crate::approval::verified;

pub(super) const PIN: &str = "a long pin 1234";

/// A desk with a token on it.
pub(super) struct Equipped {
    pub(super) desk: Desk,
    pub(super) module: &'static str,
}

impl Equipped {
    /// With an empty token `desk`. `None` if there is no SoftHSM and `LIMEN_OFFLINE` says that nothing can be installed.
    pub(super) fn new() -> Option<Self> {
        let module = limen_hsm::conformance::softhsm()?;
        let equipped = Self { desk: Desk::new(), module };
        std::fs::create_dir(equipped.desk.path("tokens")).unwrap();
        equipped.configure("");
        equipped.desk.write("pin", PIN.as_bytes());
        equipped.add_token("desk");
        Some(equipped)
    }

    /// With these lines in SoftHSM's configuration.
    pub(super) fn configure(&self, more: &str) {
        let text = format!("directories.tokendir = {}\nlog.level = ERROR\n{more}\n", self.desk.path("tokens"));
        self.desk.write("softhsm.conf", text.as_bytes());
    }

    pub(super) fn add_token(&self, label: &str) {
        self.util(&["--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", PIN]);
    }

    pub(super) fn util(&self, args: &[&str]) -> String {
        let mut util = Command::new("softhsm2-util");
        let done = util.args(args).env("SOFTHSM2_CONF", self.desk.path("softhsm.conf")).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    /// Puts a fresh key on the token.
    pub(super) fn add(&self, label: &str, id: &str, pem: &str) -> PublicKey {
        self.desk.write_key("new.pem", pem);
        let file = self.desk.path("new.pem");
        self.util(&["--import", &file, "--token", "desk", "--label", label, "--id", id, "--pin", PIN]);
        SigningKey::from_pkcs8_pem(pem).unwrap().public_key()
    }

    /// Changes the one place in the token's files where these bytes stand.
    pub(super) fn patch(&self, from: &[u8], to: &[u8]) {
        assert_eq!(from.len(), to.len());
        let mut places = 0;
        for token in std::fs::read_dir(self.desk.path("tokens")).unwrap() {
            for file in std::fs::read_dir(token.unwrap().path()).unwrap() {
                let file = file.unwrap().path();
                let mut bytes = std::fs::read(&file).unwrap();
                let Some(at) = bytes.windows(from.len()).position(|window| window == from) else { continue };
                bytes[at..at + to.len()].copy_from_slice(to);
                std::fs::write(file, bytes).unwrap();
                places += 1;
            }
        }
        assert_eq!(places, 1, "{from:02x?}");
    }

    pub(super) fn args(&self, out: &str, more: &[&str]) -> Vec<String> {
        self.desk.papers("approve", out, &[&["--pkcs11", self.module], more].concat())
    }

    /// The command with the PIN of a file at descriptor 3.
    pub(super) fn command(&self, args: &[String], pin: &str) -> Command {
        assert!(!args.iter().any(|arg| arg.contains(PIN)));
        let mut shell = Command::new("sh");
        shell.args(["-c", "pin=$1; shift; exec \"$@\" --pin-fd 3 3< \"$pin\"", "sh", &self.desk.path(pin)]);
        shell.arg(env!("CARGO_BIN_EXE_limen")).args(args).env("SOFTHSM2_CONF", self.desk.path("softhsm.conf"));
        shell.env_remove("LIMEN_CONFIG").env_remove("SSH_AUTH_SOCK");
        shell
    }

    fn run(&self, out: &str, more: &[&str], pin: &str) -> Output {
        self.command(&self.args(out, &[&["--yes"], more].concat()), pin).output().unwrap()
    }

    pub(super) fn signs(&self, person: &str, out: &str, more: &[&str]) {
        let done = self.run(out, more, "pin");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(verified(&self.desk, out).approval().person.as_str(), person);
    }

    pub(super) fn fails(&self, more: &[&str], pin: &str, words: &str) {
        let done = self.run("never.bin", more, pin);
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(1), "{error}");
        assert!(error.contains(words), "{words} is missing in {error}");
        assert!(!error.contains(PIN), "the PIN is shown in {error}");
        assert!(!Path::new(&self.desk.path("never.bin")).exists());
    }
}
