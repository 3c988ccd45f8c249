//! The Python example, with the packages that `cargo xtask setup` brings.

use std::path::PathBuf;
use std::process::Command;

use limen_wire::ids::{Protocol, Scheme};

use super::cluster::{Cluster, binaries, repository};
use super::packages::or_offline;

/// The interpreter of the workspace's virtual environment, if it can do what the example needs.
fn python() -> Option<PathBuf> {
    let python = binaries().parent()?.join("python/bin/python");
    let ready = Command::new(&python).args(["-c", "import grpc, grpc_tools, cryptography, tomllib"]).output();
    ready.is_ok_and(|output| output.status.success()).then_some(python)
}

#[tokio::test]
async fn the_python_example_gets_a_signature() {
    let Some(python) = or_offline(python(), "a Python with grpcio") else { return };
    let cluster = Cluster::start(3, 2).await;
    cluster.make_key("messages-ed25519", Scheme::EddsaEd25519, Protocol::Frost).await;
    let output = Command::new(python)
        .arg(repository().join("client/examples/python/limen_message.py"))
        .arg("--config")
        .arg(cluster.path().join("client.toml"))
        .arg("hello from Python")
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}{}", cluster.logs());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim().len(), 128, "{words}");
}
