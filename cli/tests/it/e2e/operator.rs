//! What an operator reads when something is wrong: what was tried, what is wrong, what to do.

use std::path::{Path, PathBuf};
use std::process::Command;

use limen_client::Filter;
use limen_wire::ids::{Protocol, Scheme};
use limen_wire::intent::Intent;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;
use prost::Message as _;

use super::cluster::{COORDINATOR, Cluster, prepare};

const RECIPIENT: &str = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";

/// Runs the command, and gives its exit code and error stream.
fn limen(config: &Path, args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_limen")).arg("--config").arg(config).args(args).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[track_caller]
fn says((code, error): (i32, String), expected: i32, words: &[&str]) {
    assert_eq!(code, expected, "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is missing in {error}");
    }
}

#[tokio::test]
async fn errors_say_what_is_wrong_and_what_to_do() {
    let mut cluster = Cluster::start(3, 2).await;
    cluster.make_key("messages", Scheme::EddsaEd25519, Protocol::Frost).await;
    let config = cluster.path().join("client.toml");
    says(limen(&config, &["sign", "--key", "messages", "hello"]), 0, &[]);
    says(limen(&config, &["key", "show", "nope"]), 3, &["no key nope", "unknown_key", "limen key list"]);
    says(limen(&config, &["sign", "--key", "nope", "hello"]), 3, &["unknown_key", "limen key list"]);
    let pay = ["submit", "native", "--key", "messages", "--to", RECIPIENT, "--amount", "1"];
    let wrong_scheme = limen(&config, &pay);
    assert!(!wrong_scheme.1.contains("lies"), "the coordinator is not to blame: {}", wrong_scheme.1);
    says(wrong_scheme, 2, &["messages", "eddsa-ed25519", "wrong_scheme", "limen key list"]);
    let nobody = "0".repeat(64);
    says(limen(&config, &["request", "show", &nobody]), 3, &["unknown_request", "limen request list"]);

    exports(&cluster, &config).await;

    // Somebody who wants more signers behind a key than it has.
    let strict = changed(&cluster, &[("min_signers_required", "3")]);
    says(limen(&strict, &["key", "show", "messages"]), 5, &["needs only 2 signers", "pinned node keys"]);

    certificates(&cluster);

    cluster.kill(COORDINATOR);
    let endpoint = cluster.config.endpoint.clone();
    says(limen(&config, &["status"]), 4, &[&endpoint, "client.toml", "unreachable", "coordinator runs"]);
}

/// What approvers get is the request's own bytes and a certificate that proves itself.
async fn exports(cluster: &Cluster, config: &Path) {
    let id = cluster.client.list(&Filter::default(), None).await.unwrap().requests[0].intent.id;
    let folder = cluster.path().join("case");
    let case = folder.display().to_string();
    says(limen(config, &["request", "export", &id.to_string(), "--dir", &case]), 0, &[]);
    let read = |file: &str| pb::Envelope::decode(std::fs::read(folder.join(file)).unwrap().as_slice()).unwrap();
    assert_eq!(Intent::open(&read("intent.bin")).unwrap().0.id, id);
    assert_eq!(KeyStatement::decode(&read("key.bin")).unwrap().key_id.as_str(), "messages");
}

/// Certificates of another cluster, and another name.
fn certificates(cluster: &Cluster) {
    let other = tempfile::tempdir().unwrap();
    prepare(other.path(), 3, 2);
    let quoted = |file: &str| format!("{:?}", other.path().join(file).display().to_string());
    let stranger = changed(cluster, &[("ca", &quoted("ca/ca.crt"))]);
    says(limen(&stranger, &["status"]), 4, &["invalid peer certificate", "server_name, ca and cert"]);
    let name = changed(cluster, &[("server_name", "\"elsewhere\"")]);
    says(limen(&name, &["status"]), 4, &["not valid for name \"elsewhere\"", "server_name, ca and cert"]);
    let unknown = [("cert", &*quoted("client/client.crt")), ("key", &*quoted("client/client.key"))];
    let unknown = changed(cluster, &unknown);
    says(limen(&unknown, &["status"]), 4, &["unreachable", "does not accept this client's certificate"]);
}

/// The cluster's client configuration with other values for some fields.
fn changed(cluster: &Cluster, fields: &[(&str, &str)]) -> PathBuf {
    let text = std::fs::read_to_string(cluster.path().join("client.toml")).unwrap();
    let lines = text.lines().map(|line| {
        let name = line.split(" = ").next().unwrap();
        let other = fields.iter().find(|(field, _)| *field == name);
        other.map_or_else(|| line.to_owned(), |(_, value)| format!("{name} = {value}"))
    });
    let file = cluster.path().join(format!("client-{}.toml", fields[0].0));
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    file
}
