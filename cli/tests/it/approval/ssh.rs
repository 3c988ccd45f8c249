//! A real `ssh-agent`.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use base64ct::{Base64, Encoding as _};
use limen_wire::keys::PublicKey;

use super::desk::Desk;
use super::verified;

/// An agent of its own, stopped with the test.
pub(crate) struct SshAgent {
    process: Child,
    socket: String,
}

impl SshAgent {
    pub(crate) fn start(folder: &Path) -> Self {
        let socket = folder.join("agent.sock").display().to_string();
        let quiet = Stdio::null;
        let agent = Command::new("ssh-agent").args(["-D", "-a", &socket]).stdout(quiet()).stderr(quiet()).spawn();
        let process = agent.expect("ssh-agent is missing: install OpenSSH's client");
        let agent = Self { process, socket };
        // It listens soon after it has started; until then nobody can connect.
        while std::os::unix::net::UnixStream::connect(&agent.socket).is_err() {
            std::thread::yield_now();
        }
        agent
    }

    /// Makes a key and has the agent hold it.
    pub(crate) fn add(&self, folder: &Path, file: &str, kind: &str) -> Vec<u8> {
        let path = folder.join(file).display().to_string();
        let made = Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", "", "-C", file, "-f", &path]).status();
        assert!(made.unwrap().success());
        let added = Command::new("ssh-add").args(["-q", &path]).env("SSH_AUTH_SOCK", &self.socket).status();
        assert!(added.unwrap().success());
        let public = String::from_utf8(std::fs::read(format!("{path}.pub")).unwrap()).unwrap();
        Base64::decode_vec(public.split(' ').nth(1).unwrap()).unwrap()
    }

    pub(crate) fn run(&self, args: &[String]) -> (bool, String) {
        let mut limen = Command::new(env!("CARGO_BIN_EXE_limen"));
        let output = limen.args(args).env("SSH_AUTH_SOCK", &self.socket).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).ok();
    }
}

/// The key at the end of an SSH key blob: 32 bytes for Ed25519, 65 for P-256.
pub(crate) fn key_of(blob: &[u8]) -> PublicKey {
    match blob.split_last_chunk::<65>() {
        Some((_, point)) if point[0] == 4 => PublicKey::from_p256_sec1(point).unwrap(),
        _ => PublicKey::from_ed25519_bytes(&blob[blob.len() - 32..]).unwrap(),
    }
}

#[test]
fn a_key_in_an_ssh_agent_approves() {
    let desk = Desk::new();
    let agent = SshAgent::start(desk.folder());
    let approve = |out: &str, more: &[&str]| desk.papers("approve", out, &[&["--ssh-agent", "--yes"], more].concat());
    let (_, error) = agent.run(&approve("x.bin", &[]));
    assert!(error.contains("none of the 0 keys"), "{error}");
    agent.add(desk.folder(), "other", "rsa");
    let anna = key_of(&agent.add(desk.folder(), "anna-ssh", "ed25519"));
    let (_, error) = agent.run(&approve("x.bin", &[]));
    assert!(error.contains("none of the 1 keys"), "{error}");
    desk.enrol("anna", &anna);
    assert_eq!(agent.run(&approve("out.bin", &[])), (true, String::new()));
    assert_eq!(verified(&desk, "out.bin").approval().person.as_str(), "anna");
    // With keys of two credentials one must be chosen.
    desk.enrol("boris", &key_of(&agent.add(desk.folder(), "boris-ssh", "ecdsa")));
    let (_, error) = agent.run(&approve("x.bin", &[]));
    assert!(error.contains("choose one of anna-terminal, boris-terminal"), "{error}");
    assert!(agent.run(&approve("boris.bin", &["--credential", "boris-terminal"])).0);
    assert_eq!(verified(&desk, "boris.bin").approval().person.as_str(), "boris");
}

#[test]
fn an_agent_that_is_not_there_is_named() {
    let desk = Desk::new();
    let args = desk.papers("approve", "x.bin", &["--ssh-agent", "--yes"]);
    desk.fails(&args, "SSH_AUTH_SOCK is not set");
    let mut limen = Command::new(env!("CARGO_BIN_EXE_limen"));
    let output = limen.args(&args).env("SSH_AUTH_SOCK", desk.path("nothing.sock")).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("could not reach the SSH agent") && error.contains("nothing.sock"), "{error}");
}
