//! A key's way out of use, told and proved: by versions that people sign, at every signer, and by files.

use super::cluster::{Cluster, PATIENCE};
use super::versions::{Desk, begin};

fn mark(key: &str, state: &str) -> String {
    format!("\n[[keys]]\nkey = \"{key}\"\nstate = \"{state}\"\n")
}

#[tokio::test]
async fn a_key_is_retired_destroyed_and_proved_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start_under(3, 2, |text| begin(folder.path(), text)).await;
    let desk = Desk { cluster, folder };
    let key = desk.cluster.make_ecdsa_key().await;
    let shown = |desk: &Desk| desk.succeeds(&["key", "list"]);
    assert!(shown(&desk).contains("active"));

    let (signed, said) = desk.signed("v2", 2, "v1.toml", &mark(key.as_str(), "deactivated"), &["anna", "carol"]);
    assert!(said.contains("it loosens nothing"), "{said}");
    desk.succeeds(&["charter", "submit", &signed]);
    desk.in_force("v2.toml").await;
    assert!(shown(&desk).contains("deactivated"), "{}", shown(&desk));
    let refused = desk.cluster.client.submit(&desk.cluster.message(&key, "after")).await.unwrap_err().to_string();
    assert!(refused.contains("deactivated"), "{refused}");
    let address = desk.limen(&["key", "address", key.as_str(), "--chain", "eip155:31337"]);
    assert!(String::from_utf8_lossy(&address.stderr).contains("nothing is to be paid to it"));
    let out = desk.path("too-early");
    assert!(!desk.limen(&["key", "destroyed-proof", key.as_str(), "--out", &out]).status.success());

    let (signed, said) = desk.signed("v3", 3, "v2.toml", &mark(key.as_str(), "destroyed"), &["anna", "carol"]);
    assert!(said.contains("erases its shares"), "{said}");
    desk.succeeds(&["charter", "submit", &signed]);
    desk.in_force("v3.toml").await;
    let told = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(200));
        while !shown(&desk).contains("destroyed, by 3 of 3 signers") {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("{}{}", shown(&desk), desk.cluster.logs()));

    let (out, trust) = (desk.path("proof"), desk.path("trust.toml"));
    desk.succeeds(&["key", "destroyed-proof", key.as_str(), "--out", &out]);
    std::fs::write(&trust, desk.succeeds(&["charter", "trust", &desk.path("v1.toml")])).unwrap();
    let said = desk.succeeds(&["verify", "destruction", &out, "--trust", &trust, "--require-all"]);
    assert!(said.matches("destroyed   by signer-").count() == 3 && !said.contains("LACKING"), "{said}");
    // Two words are two words.
    let text = std::fs::read_to_string(&out).unwrap();
    let (rest, _) = text.trim_end().rsplit_once('\n').unwrap();
    std::fs::write(&out, format!("{rest}\n")).unwrap();
    let said = desk.succeeds(&["verify", "destruction", &out, "--trust", &trust]);
    assert!(said.contains("LACKING     the word of signer-"), "{said}");
    assert!(!desk.limen(&["verify", "destruction", &out, "--trust", &trust, "--require-all"]).status.success());

    // The name stays used, whoever asks.
    let again = desk.limen(&["key", "create", key.as_str()]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("destroyed"));
}
