//! What people type between a request and its signature.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use limen_client::RequestState;
use limen_wire::error::Code;
use limen_wire::ids::IntentId;
use limen_wire::keys::SigningKey;

use super::cluster::Cluster;

const RULES: &str = r#"
[groups.ops]
members = ["anna", "ben", "carol"]

[[rules]]
name = "asked"
require = "message"
approvals = "2 terminal of ops"
delay_secs = 2
"#;

pub(super) fn key_file(folder: &Path, person: &str) -> PathBuf {
    folder.join(format!("{person}.pem"))
}

/// Asks two of three people.
pub(super) fn enrol(keys: &Path, charter: &str) -> String {
    enrol_people(keys, charter) + RULES
}

/// Enrols three people with keys of their own.
pub(super) fn enrol_people(keys: &Path, charter: &str) -> String {
    let mut text = charter.to_owned();
    for person in ["anna", "ben", "carol"] {
        let pem = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
        let file = key_file(keys, person);
        std::fs::write(&file, &pem).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let key = SigningKey::from_pkcs8_pem(&pem).unwrap().public_key();
        text.push_str(&format!(
            "\n[[people]]\nid = \"{person}\"\n[[people.credentials]]\nid = \"{person}-laptop\"\n\
             public_key = \"{key}\"\nclass = \"terminal\"\n"
        ));
    }
    text
}

/// The desks of these people, and the cluster.
struct Stage {
    cluster: Cluster,
    keys: tempfile::TempDir,
}

fn limen(cluster: &Cluster, args: &[&str]) -> Output {
    let config = cluster.path().join("client.toml");
    Command::new(env!("CARGO_BIN_EXE_limen")).arg("--config").arg(config).args(args).output().unwrap()
}

fn succeeds(cluster: &Cluster, args: &[&str]) -> String {
    let output = limen(cluster, args);
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), cluster.logs());
    String::from_utf8(output.stdout).unwrap()
}

impl Stage {
    /// What a person types on their own machine.
    fn decide(&self, command: &str, person: &str, id: IntentId, more: &[&str]) -> Output {
        let (key, charter) = (key_file(self.keys.path(), person), self.cluster.path().join("charter.toml"));
        let (id, key, charter) = (id.to_string(), key.display().to_string(), charter.display().to_string());
        limen(&self.cluster, &[&[command, &id, "--charter", &charter, "--key", &key, "--yes"], more].concat())
    }

    fn approves(&self, person: &str, id: IntentId) -> String {
        let output = self.decide("approve", person, id, &[]);
        assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stderr), self.cluster.logs());
        String::from_utf8(output.stdout).unwrap()
    }
}

async fn submitted(cluster: &Cluster, key: &limen_wire::ids::KeyId, text: &str) -> IntentId {
    let intent = cluster.message(key, text);
    cluster.client.submit(&intent).await.unwrap();
    cluster.in_state(intent.id(), RequestState::AwaitingApproval).await;
    intent.id()
}

#[tokio::test]
async fn two_people_and_a_delay_stand_before_a_signature_and_one_rejection_ends_it() {
    let keys = tempfile::tempdir().unwrap();
    let cluster = Cluster::start_under(3, 2, |text| enrol(keys.path(), text)).await;
    let mut stage = Stage { cluster, keys };
    let cluster = &stage.cluster;
    let key = cluster.make_ecdsa_key().await;
    let id = submitted(cluster, &key, "with-people").await;

    let shown = succeeds(cluster, &["request", "show", &id.to_string()]);
    for words in ["awaiting_approval", "asks for     2 terminal of ops", "signer-1", "lacks ", "time left"] {
        assert!(shown.contains(words), "{words:?} is missing in {shown}");
    }
    let listed = succeeds(cluster, &["request", "list", "--state", "awaiting_approval"]);
    assert!(listed.contains("WAITS FOR") && listed.contains(&id.to_string()), "{listed}");

    let text = stage.approves("anna", id);
    assert!(text.contains("with-people") && text.contains("the request is awaiting_approval"), "{text}");
    let shown = succeeds(cluster, &["--output", "json", "request", "show", &id.to_string()]);
    let json: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(json["request"]["approvals"][0]["person"], "anna");
    stage.approves("ben", id);
    cluster.in_state(id, RequestState::TimeLocked).await;
    let signed = cluster.in_state(id, RequestState::Signed).await;
    assert_eq!(signed.approvals.len(), 2);
    cluster.client.verify(&signed).await.unwrap();
    let late = stage.decide("reject", "carol", id, &["--reason", "too late"]);
    assert!(String::from_utf8_lossy(&late.stderr).contains(Code::WrongState.as_str()));

    let id = submitted(cluster, &key, "never-asked-for").await;
    let no = stage.decide("reject", "carol", id, &["--reason", "who wants that?"]);
    assert!(no.status.success(), "{}", String::from_utf8_lossy(&no.stderr));
    let ended = cluster.in_state(id, RequestState::Rejected).await;
    let error = ended.error.unwrap();
    assert!(error.code == Code::Rejected && error.message.contains("who wants that?"), "{error}");
    let after = stage.decide("approve", "anna", id, &[]);
    assert!(String::from_utf8_lossy(&after.stderr).contains("carol has rejected the intent"));

    for signer in ["signer-1", "signer-2"] {
        stage.cluster.kill(signer);
    }
    let intent = stage.cluster.message(&key, "alone");
    stage.cluster.client.submit(&intent).await.unwrap();
    let alone = stage.decide("approve", "anna", intent.id(), &[]);
    let error = String::from_utf8_lossy(&alone.stderr);
    assert!(error.contains("too few signers have said what is frozen"), "{error}");
}
