//! A charter changes by what people sign, at every signer, and by nothing else.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use limen_client::RequestState;
use limen_wire::ids::IntentId;

use super::cluster::{COORDINATOR, Cluster, PATIENCE};
use super::deciding::{enrol, key_file};

const GOVERNANCE: &str = r#"
[governance]
number = 1
parents = []
quorum = "2 terminal of ops"
loosening_delay_secs = 2
guardians = "ops"
unfreeze = "2 of ops"
unfreeze_delay_secs = 60
"#;

const QUIET: &str = "\n[[rules]]\nname = \"quiet\"\ndeny = \"message\"\n";

/// Where the texts, the keys and the signed versions are.
pub(super) struct Desk {
    pub(super) cluster: Cluster,
    pub(super) folder: tempfile::TempDir,
}

impl Desk {
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(super) fn limen(&self, args: &[&str]) -> Output {
        let config = self.cluster.path().join("client.toml");
        Command::new(env!("CARGO_BIN_EXE_limen")).arg("--config").arg(config).args(args).output().unwrap()
    }

    pub(super) fn succeeds(&self, args: &[&str]) -> String {
        let output = self.limen(args);
        assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), self.cluster.logs());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes the text of a version after a file, and has these people sign it one after the other.
    pub(super) fn signed(
        &self,
        name: &str,
        number: u64,
        parent: &str,
        more: &str,
        people: &[&str],
    ) -> (String, String) {
        let before = self.path(parent);
        let hash = self.succeeds(&["--output", "json", "charter", "lint", &before]);
        let hash: serde_json::Value = serde_json::from_str(&hash).unwrap();
        let head = format!("number = {number}\nparents = [{}]", hash["charter"]);
        let first = std::fs::read_to_string(self.path("v1.toml")).unwrap();
        let text = self.path(&format!("{name}.toml"));
        std::fs::write(&text, first.replace("number = 1\nparents = []", &head) + more).unwrap();
        let (mut file, mut said) = (text, String::new());
        for person in people {
            let out = self.path(&format!("{name}.{person}"));
            let key = key_file(self.folder.path(), person).display().to_string();
            said +=
                &self.succeeds(&["charter", "sign", &file, "--parent", &before, "--key", &key, "--yes", "--out", &out]);
            file = out;
        }
        (file, said)
    }

    async fn state_of(&self, key: &limen_wire::ids::KeyId, text: &str) -> (RequestState, String) {
        let intent = self.cluster.message(key, text);
        let id = intent.id();
        self.cluster.client.submit(&intent).await.unwrap();
        self.settled(id).await
    }

    async fn settled(&self, id: IntentId) -> (RequestState, String) {
        let settled = async {
            let mut watch = self.cluster.client.watch(Some(id));
            loop {
                let request = watch.next().await.unwrap();
                if request.state.is_end() || request.state == RequestState::AwaitingApproval {
                    let why = request.error.map(|error| error.to_string()).unwrap_or_default();
                    return (request.state, why);
                }
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.unwrap_or_else(|_| panic!("{}", self.cluster.logs()))
    }

    /// Until all three signers have the version of this file in force.
    pub(super) async fn in_force(&self, text: &str) {
        let lint = self.succeeds(&["--output", "json", "charter", "lint", &self.path(text)]);
        let hash: serde_json::Value = serde_json::from_str(&lint).unwrap();
        let wanted = format!("{} in force: 3 of 3", hash["charter"].as_str().unwrap());
        let reached = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(100));
            while !self.succeeds(&["charter", "status"]).contains(&wanted) {
                ticks.tick().await;
            }
            // The coordinator judges by it too, a moment later.
            let mine = || async { hex::encode(&self.cluster.client.status().await.unwrap().charter_hash) };
            while mine().await != hash["charter"].as_str().unwrap() {
                ticks.tick().await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, reached).await;
        done.unwrap_or_else(|_| panic!("{}{}", self.succeeds(&["charter", "status"]), self.cluster.logs()));
    }
}

pub(super) fn begin(folder: &Path, text: &str) -> String {
    let text = enrol(folder, text) + GOVERNANCE;
    std::fs::write(folder.join("v1.toml"), &text).unwrap();
    text
}

#[tokio::test]
async fn a_charter_changes_by_what_people_sign_and_not_by_files() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start_under(3, 2, |text| begin(folder.path(), text)).await;
    let mut desk = Desk { cluster, folder };
    let key = desk.cluster.make_ecdsa_key().await;
    assert_eq!(desk.state_of(&key, "before").await.0, RequestState::AwaitingApproval);

    // One signature is not enough, and no signer takes it; two are, and it binds at once.
    let (one, said) = desk.signed("v2", 2, "v1.toml", QUIET, &["anna"]);
    assert!(said.contains("it loosens nothing") && said.contains("still missing: 1 more terminal of ops"), "{said}");
    let refused = desk.limen(&["charter", "submit", &one]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("approvals_missing"));
    let v1 = desk.path("v1.toml");
    let (ben, two) = (key_file(desk.folder.path(), "ben").display().to_string(), desk.path("v2.both"));
    let said = desk.succeeds(&["charter", "sign", &one, "--parent", &v1, "--key", &ben, "--yes", "--out", &two]);
    assert!(said.contains("the quorum is complete"), "{said}");
    desk.succeeds(&["charter", "submit", &two]);
    desk.in_force("v2.toml").await;
    let (state, why) = desk.state_of(&key, "under-two").await;
    assert!(state == RequestState::Denied && why.contains("quiet"), "{state:?} {why}");

    // A coordinator that starts with the old file judges by what is in force.
    desk.cluster.kill(COORDINATOR);
    desk.cluster.start_one(COORDINATOR);
    desk.in_force("v2.toml").await;
    let (state, why) = desk.state_of(&key, "after-restart").await;
    assert!(state == RequestState::Denied && why.contains("quiet"), "{state:?} {why}");

    // What loosens waits, and somebody may say no meanwhile.
    let (loose, said) = desk.signed("v3", 3, "v2.toml", "", &["anna", "carol"]);
    assert!(said.contains("each signer waits 2s") || said.contains("each signer waits 2 s"), "{said}");
    let shown = desk.succeeds(&["charter", "submit", &loose]);
    assert!(shown.contains("waits"), "{shown}");
    desk.in_force("v3.toml").await;
    assert_eq!(desk.state_of(&key, "under-three").await.0, RequestState::AwaitingApproval);

    // A signer whose file was edited meanwhile does not start.
    desk.cluster.kill("signer-3");
    let file = desk.cluster.path().join("charter.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("delay_secs = 2\n", "delay_secs = 0\n")).unwrap();
    desk.cluster.start_one("signer-3");
    desk.cluster.wait_dead("signer-3").await;
    let log = std::fs::read_to_string(desk.cluster.path().join("logs/signer-3.log")).unwrap();
    assert!(log.contains("new versions come signed"), "{log}");
}

#[tokio::test]
async fn a_veto_ends_a_version_at_every_signer() {
    let folder = tempfile::tempdir().unwrap();
    let slow =
        |text: &str| begin(folder.path(), text).replace("loosening_delay_secs = 2", "loosening_delay_secs = 3600");
    let cluster = Cluster::start_under(3, 2, |text| {
        let text = slow(text);
        std::fs::write(folder.path().join("v1.toml"), &text).unwrap();
        text
    })
    .await;
    let desk = Desk { cluster, folder };
    let allow = "\n[[rules]]\nname = \"more\"\nallow = \"deploy\"\n";
    let (loose, _) = desk.signed("v2", 2, "v1.toml", allow, &["anna", "carol"]);
    let shown = desk.succeeds(&["charter", "submit", &loose]);
    assert!(shown.contains("waits 59 min") || shown.contains("waits 1 h"), "{shown}");
    let (v1, ben) = (desk.path("v1.toml"), key_file(desk.folder.path(), "ben").display().to_string());
    let veto = ["charter", "veto", &loose, "--parent", &v1, "--key", &ben, "--yes", "--reason", "nobody asked"];
    let shown = desk.succeeds(&veto);
    assert_eq!(shown.matches("vetoed or voided").count(), 3, "{shown}");
    let again = desk.succeeds(&["charter", "submit", &loose]);
    assert_eq!(again.matches("vetoed or voided").count(), 3, "{again}");
}
