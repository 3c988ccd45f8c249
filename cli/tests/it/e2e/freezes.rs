//! The coordinator is dead and somebody is in the house: a guardian stops everything at the signers.

use std::process::{Command, Output};

use limen_client::{Request, RequestState, SignedIntent};
use limen_wire::ids::{KeyId, Protocol, Scheme};

use super::cluster::{COORDINATOR, Cluster, PATIENCE, signer};
use super::deciding::{enrol_people, key_file};

const GOVERNANCE: &str = r#"
[groups.guards]
members = ["anna"]
[groups.board]
members = ["ben", "carol"]

[governance]
number = 1
quorum = "2 of board"
loosening_delay_secs = 60
guardians = "guards"
unfreeze = "2 of board"
unfreeze_delay_secs = 2

[[rules]]
name = "asked"
require = "message"
keys = ["asked"]
approvals = "1 of board"
"#;

pub(super) struct Stage {
    pub(super) cluster: Cluster,
    keys: tempfile::TempDir,
}

impl Stage {
    pub(super) fn limen(&self, args: &[&str]) -> Output {
        let config = self.cluster.path().join("client.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_limen"));
        command.arg("--config").arg(config).args(["--output", "json"]).args(args).output().unwrap()
    }

    /// What a person types on their own machine.
    pub(super) fn says(&self, person: &str, args: &[&str]) -> Output {
        let (key, charter) = (key_file(self.keys.path(), person), self.cluster.path().join("charter.toml"));
        let (key, charter) = (key.display().to_string(), charter.display().to_string());
        self.limen(&[args, &["--charter", &charter, "--key", &key, "--yes"]].concat())
    }

    pub(super) fn succeeds(&self, output: &Output) -> serde_json::Value {
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}{}", self.cluster.logs());
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub(super) fn freezes(&self) -> serde_json::Value {
        self.succeeds(&self.limen(&["freezes"]))
    }

    /// Asks the signers again and again.
    pub(super) async fn until_freezes(
        &self,
        what: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let started = std::time::Instant::now();
        loop {
            let shown = self.freezes();
            if wanted(&shown) {
                return shown;
            }
            assert!(started.elapsed() < PATIENCE, "never {what}: {shown}; {}", self.cluster.logs());
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    pub(super) async fn until(&self, intent: &SignedIntent, wanted: impl Fn(&Request) -> bool) -> Request {
        self.cluster.until(intent.id(), wanted).await
    }
}

/// A cluster with people, and a key whose messages nobody is asked about.
pub(super) async fn stage(automatic: &str) -> (Stage, KeyId) {
    let keys = tempfile::tempdir().unwrap();
    let governance = GOVERNANCE.replace("unfreeze_delay_secs = 2\n", &format!("unfreeze_delay_secs = 2\n{automatic}"));
    let cluster = Cluster::start_under(3, 2, |text| enrol_people(keys.path(), text) + &governance).await;
    let free = cluster.make_key("messages", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    (Stage { cluster, keys }, free)
}

fn waits_for_the_freeze(request: &Request) -> bool {
    let statuses = request.signer_decisions.iter().flat_map(|one| &one.requirements);
    request.state == RequestState::AwaitingApproval
        && statuses.filter(|status| status.missing.contains("burglars")).count() >= 2
}

#[tokio::test]
async fn a_guardian_freezes_while_the_coordinator_is_dead() {
    let (mut stage, free) = stage("").await;
    let asked = stage.cluster.make_key("asked", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    assert_eq!(stage.freezes(), serde_json::json!([]));
    stage.cluster.kill(COORDINATOR);

    let wrong = stage.says("ben", &["freeze", "cluster", "--reason", "burglars"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("group guards"), "ben is no guardian");
    let unknown = stage.says("anna", &["freeze", "vault:none", "--reason", "burglars"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("the charter knows no vault:none"));
    let first = signer(1);
    let frozen = stage.says("anna", &["freeze", "cluster", "--reason", "burglars", "--signer", &first]);
    let frozen = stage.succeeds(&frozen);
    assert_eq!(frozen["held_by"], serde_json::json!([first]));
    let id = frozen["id"].as_str().unwrap().to_owned();
    // The others hear it from that one.
    let shown = stage.until_freezes("in force", |shown| shown[0]["in_force"]["at"] == 3).await;
    assert_eq!((shown[0]["id"].as_str(), shown[0]["person"].as_str()), (Some(id.as_str()), Some("anna")));
    // So they do with a rejection of something that no signer has seen.
    let never = stage.cluster.message(&asked, "never");
    let never_id = never.id().to_string();
    stage.succeeds(&stage.says("ben", &["reject", &never_id, "--reason", "who asks?", "--signer", &first]));

    stage.cluster.start_one(COORDINATOR);
    let intent = stage.cluster.message(&free, "while-frozen");
    stage.cluster.client.submit(&intent).await.unwrap();
    stage.until(&intent, waits_for_the_freeze).await;
    stage.cluster.client.submit(&never).await.unwrap();
    let ended = stage.until(&never, |request| request.state == RequestState::Rejected).await;
    assert!(ended.error.unwrap().message.contains("who asks?"));

    stage.succeeds(&stage.says("ben", &["unfreeze", &id]));
    let shown = stage.freezes();
    let held = &shown[0]["signers"][0];
    assert_eq!((&held["lifted_by"], &held["lifting"]), (&serde_json::json!(["ben"]), &serde_json::json!(false)));
    stage.succeeds(&stage.says("carol", &["unfreeze", &id]));
    stage.until_freezes("lifted", |shown| shown == &serde_json::json!([])).await;
    let signed = stage.until(&intent, |request| request.state == RequestState::Signed).await;
    stage.cluster.client.verify(&signed).await.unwrap();
}
