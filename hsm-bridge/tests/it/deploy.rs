//! What deploy/ says of the bridge, against the program and the sample signers beside it.

use std::path::Path;
use std::process::Command;

use limen_hsm_bridge::config::{Config, PinSource};

fn deploy(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy");
    std::fs::read_to_string(folder.join(file)).unwrap()
}

/// The value of a setting that stands once.
fn setting<'a>(unit: &'a str, key: &str) -> &'a str {
    let mut found = unit.lines().filter_map(|line| line.split_once('=')).filter(|(name, _)| *name == key);
    let (_, value) = found.next().unwrap();
    assert!(found.next().is_none(), "{key}");
    value
}

#[test]
fn sample_bridges_fit_their_signers_and_their_unit() {
    let unit = deploy("systemd/limen-hsm-bridge.service");
    for site in ["zurich", "frankfurt", "singapore"] {
        let text = deploy(&format!("sample/{site}/limen-hsm-bridge.toml"));
        let config = Config::parse(&text, Path::new("/etc/limen")).unwrap();
        let signer: toml::Table = deploy(&format!("sample/{site}/limen-node.toml")).parse().unwrap();
        assert_eq!(config.socket.to_str(), signer["provider"]["socket"].as_str());
        assert_eq!(config.tokens[0].token.as_deref(), signer["node"].as_str());
        let folder = Path::new("/run").join(setting(&unit, "RuntimeDirectory"));
        assert_eq!(config.socket.parent(), Some(&*folder));
        assert_eq!(config.state_dir, Path::new("/var/lib").join(setting(&unit, "StateDirectory")));
        let PinSource::Credential(name) = &config.tokens[0].pin else { unreachable!("{site}") };
        assert!(setting(&unit, "LoadCredentialEncrypted").starts_with(&format!("{name}:")));
        assert!(config.allow_uids.is_empty() && config.tls.is_none());
    }
    for key in ["RuntimeDirectoryMode", "StateDirectoryMode"] {
        assert_eq!(setting(&unit, key), "0700");
    }
    // Folder 700 and socket 600 let in whoever runs as the same user, and nobody else.
    assert_eq!(setting(&unit, "User"), setting(&deploy("systemd/limen-node.service"), "User"));
}

#[test]
fn the_unit_starts_the_program_as_it_is() {
    let unit = deploy("systemd/limen-hsm-bridge.service");
    let words: Vec<_> = setting(&unit, "ExecStart").split(' ').collect();
    assert_eq!(words[..3], ["/usr/bin/limen-hsm-bridge", "--config", "/etc/limen/limen-hsm-bridge.toml"]);
    // A word that the program does not know would fail before the help is printed.
    let program = env!("CARGO_BIN_EXE_limen-hsm-bridge");
    let asked = Command::new(program).args(&words[1..]).arg("--help").output().unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    assert_eq!(setting(&unit, "StartLimitIntervalSec"), "0", "a token may be away for as long as it takes");
}
