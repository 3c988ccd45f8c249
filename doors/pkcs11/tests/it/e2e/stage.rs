//! The cluster of these tests, and programs that use the library on it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use limen_client::{Client, NewKey};
use limen_sim::cluster::{Cluster, ClusterError, ClusterPlan};
use limen_wire::ids::{CommitteeSize, KeyId, NodeId, Protocol, Scheme};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

/// Whatever `slow` signs waits for an hour.
const SLOW: &str = r#"
[[rules]]
name = "slow"
require = "message"
keys = ["slow"]
delay_secs = 3600
delay_from = "first-sight"
"#;

/// The rules that the page advises, and our own.
fn rules() -> String {
    let page = include_str!("../../../../../docs/pkcs11.md");
    let rules = page.split("```").find(|block| block.starts_with("toml\n   [[rules]]")).unwrap();
    format!("\n{}{SLOW}", &rules["toml".len()..])
}

const CONFIG: &str = r#"
version = 1
client = "pkcs11-client.toml"
label = "Limen test"
log = "pkcs11.log"

[timing]
answer_secs = 3
sign_secs = 30

[[keys]]
key = "release"
id = "01"

[[keys]]
key = "release"
path = "m/0/7"
label = "release of a child"

[[keys]]
key = "documents"
id = "02"

[[keys]]
key = "schnorr"

[[keys]]
key = "nowhere"
"#;

pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    folder: TempDir,
}

/// `limen-node` and `limen-coordinator`, which another crate builds.
fn binaries() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap().parent().unwrap().to_path_buf();
    for daemon in ["limen-node", "limen-coordinator"] {
        let file = folder.join(daemon);
        assert!(file.is_file(), "{} is missing: run `cargo build --workspace --bins` first", file.display());
    }
    folder
}

/// The library, built with this test.
pub(crate) fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let file = test.with_file_name("liblimen_pkcs11.so");
    assert!(file.is_file(), "{} is missing", file.display());
    file
}

/// One of `programs`, as a process of its own: the library is configured by the environment, once in a process.
pub(crate) fn program(name: &str, config: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("programs::{name}"), "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("LIMEN_PKCS11_CONFIG", config);
    command
}

/// Whether a daemon ended because its port was taken.
fn is_in_use(log: &Path) -> bool {
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.contains("Address already in use"), "{text}");
    true
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let (cluster, folder) = loop {
            let folder = tempfile::tempdir().unwrap();
            let mut plan = ClusterPlan::new(binaries(), folder.path(), 3);
            plan.more_requesters = vec!["build".to_owned()];
            plan.more_rules = rules();
            match Cluster::start(plan).await {
                Ok(cluster) => break (cluster, folder),
                // A free port is free for an instant only.
                Err(ClusterError::Ended { log, .. }) if is_in_use(&log) => continue,
                Err(error) => panic!("{error}"),
            }
        };
        let stage = Self { cluster, folder };
        stage.make_key("release", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
        for name in ["documents", "slow"] {
            stage.make_key(name, Scheme::EddsaEd25519, Protocol::Frost).await;
        }
        stage.make_key("schnorr", Scheme::SchnorrBip340, Protocol::Frost).await;
        let client = std::fs::read_to_string(stage.path("client.toml")).unwrap();
        let client = client.replace("\"backend\"", "\"build\"").replace("\"backend.key\"", "\"build.key\"");
        std::fs::write(stage.path("pkcs11-client.toml"), client).unwrap();
        std::fs::write(stage.config(), CONFIG).unwrap();
        // The engine of OpenSSL gives up where it finds a key of a kind that it does not know.
        let (ecdsa, _) = CONFIG.split_once("[[keys]]\nkey = \"documents\"").unwrap();
        std::fs::write(stage.path("ecdsa.toml"), ecdsa).unwrap();
        let slow = "version = 1\nclient = \"pkcs11-client.toml\"\nlog = \"pkcs11.log\"\n\
                    [timing]\nsign_secs = 2\n[[keys]]\nkey = \"slow\"\n[[keys]]\nkey = \"documents\"\n";
        std::fs::write(stage.path("slow.toml"), slow).unwrap();
        stage
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("pkcs11.toml")
    }

    /// What the library wrote for people.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("pkcs11.log")).unwrap_or_default()
    }

    /// A client of the requester `backend`.
    pub(crate) fn client(&self) -> Client {
        self.cluster.client().unwrap()
    }

    async fn make_key(&self, name: &str, scheme: Scheme, protocol: Protocol) {
        let client = self.client();
        let key_id = KeyId::new(name).unwrap();
        let nodes = (1..=3).map(|index| NodeId::new(format!("signer-{index}")).unwrap()).collect();
        let size = CommitteeSize::new(2, 3).unwrap();
        let order = NewKey { key_id: key_id.clone(), scheme, protocol, size, nodes, expires_in: PATIENCE };
        client.create_key(&order).await.unwrap();
        client.wait_for_key(&key_id, PATIENCE, |_| {}).await.unwrap();
    }

    /// Runs one of `programs` to its end and gives what it wrote.
    pub(crate) async fn run(&self, name: &str) -> String {
        let config = if name == "waits" { self.path("slow.toml") } else { self.config() };
        let mut command = program(name, &config);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(output.status.success() && text.contains("1 passed"), "{text}\n{}", self.log());
        text
    }
}
