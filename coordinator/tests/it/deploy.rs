//! What deploy/ says of the coordinator, against the program and the sample charter.

use std::path::{Path, PathBuf};
use std::process::Command;

use limen_coordinator::config::Config;
use limen_policy::charter::Charter;

fn deploy(file: &str) -> String {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy");
    std::fs::read_to_string(folder.join(file)).unwrap()
}

#[test]
fn the_sample_coordinator_is_that_of_the_sample_charter_and_of_its_unit() {
    let text = deploy("sample/coordinator/limen-coordinator.toml");
    let config = Config::parse(&text, Path::new("/etc/limen")).unwrap();
    let charter = Charter::from_toml(&deploy("sample/charter.toml")).unwrap();
    assert!(!charter.is_development(), "it begins with it by the record of a genesis");
    assert_eq!(config.genesis.as_deref(), Some(Path::new("/etc/limen/genesis.record")));
    let named: Vec<_> = charter.coordinators.iter().map(|coordinator| &coordinator.id).collect();
    assert_eq!(named, [&config.id]);
    assert!(config.danger_crash.is_none() && !text.contains("danger"));
    assert_eq!(config.data_dir, Path::new("/var/lib/limen-coordinator"));

    let unit = deploy("systemd/limen-coordinator.service");
    assert!(unit.lines().any(|line| line == "StateDirectory=limen-coordinator"));
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<_> = line.split(' ').collect();
    assert_eq!(words[..3], ["/usr/bin/limen-coordinator", "--config", "/etc/limen/limen-coordinator.toml"]);
    // A word that the program does not know would fail before the help is printed.
    let program = env!("CARGO_BIN_EXE_limen-coordinator");
    let asked = Command::new(program).args(&words[1..]).arg("--help").output().unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    // The client of the sample knows it by the port that it listens on.
    let client: toml::Table = deploy("sample/client.toml").parse().unwrap();
    let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
    assert_eq!(port(client["endpoint"].as_str().unwrap()), port(&config.listen));
}
