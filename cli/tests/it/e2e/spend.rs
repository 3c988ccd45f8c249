//! A key that was made whole out of backups spends, by software that is not ours.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;

use super::cluster::{binaries, repository};
use super::packages::or_offline;
use super::story::viem;

const PASSWORD: &str = "correct horse";

/// An empty chain of its own.
struct Anvil {
    child: Child,
    url: String,
}

impl Anvil {
    fn start(program: PathBuf) -> Self {
        let mut command = Command::new(program);
        // It says which port it got.
        command.args(["--host", "127.0.0.1", "--port", "0"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let (tell, told) = sync_channel(1);
        // Read to its end: a program that cannot print would stop.
        std::thread::spawn(move || {
            for line in lines {
                line.strip_prefix("Listening on ").map(|address| tell.send(address.to_owned()));
            }
        });
        let address = told.recv().expect("anvil says where it listens");
        Self { child, url: format!("http://{address}") }
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn anvil() -> Option<PathBuf> {
    let packages = repository().join("cli/dev-chain/node_modules/@foundry-rs");
    let system = std::env::consts::OS.replace("macos", "darwin");
    let machine = if std::env::consts::ARCH == "x86_64" { "amd64" } else { "arm64" };
    let here = format!("anvil-{system}-{machine}/bin/anvil");
    let program = packages.join(here);
    or_offline(program.is_file().then_some(program), "anvil (npm packages of cli/dev-chain)")
}

#[test]
fn an_exported_key_spends_on_a_chain() {
    let (Some(anvil), Some(viem)) = (anvil(), viem()) else { return };
    let samples = repository().join("recover/tests/vectors/ecdsa-secp256k1");
    let dir = tempfile::tempdir().unwrap();
    let recover = |arguments: &[&str]| {
        let mut command = Command::new(binaries().join("limen-recover"));
        let output = command.args(arguments).current_dir(&samples).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (keystore, password) = (dir.path().join("keystore"), dir.path().join("password"));
    std::fs::write(&password, PASSWORD).unwrap();
    let (keystore, password) = (keystore.to_str().unwrap(), password.to_str().unwrap());
    let from = ["combine", "1.backup", "3.backup", "--identity", "anna.identity", "--identity", "carla.identity"];
    recover(&[&from[..], &["--export", "keystore", "--out", keystore, "--password-file", password]].concat());
    let shown = recover(&["show", "1.backup"]);
    let public_key = shown.lines().find_map(|line| line.trim().strip_prefix("public key ")).unwrap().trim();
    let chain = Anvil::start(anvil);
    let mut spend = Command::new("node");
    spend.arg(repository().join("cli/tests/it/e2e/spend.mjs")).arg(viem);
    let done = spend.args([keystore, PASSWORD, public_key, &chain.url]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
