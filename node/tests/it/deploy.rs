//! What deploy/ says of signers and witnesses, against the program and the sample charter.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use limen_evidence::ceremony::{GenesisError, Record};
use limen_node::config::{Config, Identity, Provider};
use limen_node::node::StartError;
use limen_policy::ceremony::Mode;
use limen_policy::charter::Charter;
use limen_wire::ids::tagged_hash;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("deploy")
}

/// No development charter: machines begin with it by the record of a genesis.
fn charter() -> Charter {
    let text = std::fs::read_to_string(deploy().join("sample/charter.toml")).unwrap();
    let charter = Charter::from_toml(&text).unwrap();
    assert!(!charter.is_development());
    charter
}

/// As it lies on its machine.
fn sample(place: &str) -> Config {
    let text = std::fs::read_to_string(deploy().join("sample").join(place).join("limen-node.toml")).unwrap();
    assert!(!text.contains("danger"), "{place}");
    Config::parse(&text, Path::new("/etc/limen")).unwrap()
}

#[test]
fn sample_signers_and_the_sample_witness_are_those_of_the_sample_charter() {
    let charter = charter();
    let places = ["zurich", "frankfurt", "singapore", "witness"];
    let configs = places.map(sample);
    let named: Vec<_> = configs.iter().map(|config| &config.node).collect();
    assert_eq!(named, charter.machines().map(|machine| &machine.id).collect::<Vec<_>>());
    for (config, machine) in configs.iter().zip(charter.machines()) {
        assert_eq!(config.listen.to_string(), machine.address);
        assert_eq!(config.genesis.as_deref(), Some(Path::new("/etc/limen/genesis.record")));
        assert_eq!(config.witness, charter.witness(&config.node).is_some());
        assert_eq!(config.witness, config.client_authority.is_none(), "people bring bad news to signers");
        assert_eq!(config.identity == Identity::Hsm, !config.witness, "{}", config.node);
        match &config.provider {
            None => assert!(config.witness),
            Some(Provider::HsmBridge { socket, .. }) => {
                assert_eq!(socket, Path::new("/run/limen-hsm-bridge/bridge.sock"));
            }
            Some(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn nobody_begins_with_the_sample_charter_without_the_record_of_a_genesis() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(deploy().join("sample/charter.toml"), folder.path().join("charter.toml")).unwrap();
    let text = std::fs::read_to_string(deploy().join("sample/witness/limen-node.toml")).unwrap();
    let refused = |text: &str| {
        let config = Config::parse(text, folder.path()).unwrap();
        limen_node::node::check(&config).unwrap_err()
    };
    let without = text.replace("genesis = \"genesis.record\"\n", "");
    assert!(matches!(refused(&without), StartError::Genesis(GenesisError::NoRecord)));
    assert!(matches!(refused(&text), StartError::ReadGenesis { .. }));
    std::fs::write(folder.path().join("genesis.record"), "limen-ceremony-record 1\n").unwrap();
    assert!(matches!(refused(&text), StartError::Genesis(GenesisError::Record(_))));
    let charter = std::fs::read_to_string(deploy().join("sample/charter.toml")).unwrap();
    let charter = charter.replacen("\nversion = 1\n", "\nversion = 1\ndanger_development = true\n", 1);
    std::fs::write(folder.path().join("charter.toml"), charter).unwrap();
    assert!(matches!(refused(&text), StartError::Genesis(GenesisError::NeedlessRecord)));
}

/// The record of a genesis of the sample house, on throw-away keys.
const GENESIS: &str = include_str!("../../../evidence/tests/vectors/genesis.record");

/// The machine's key in that record.
fn throw_away(machine: &str) -> p256::SecretKey {
    let parts: [&[u8]; 3] = [&[1; 32], b"machine", machine.as_bytes()];
    p256::SecretKey::from_slice(&tagged_hash("limen/rehearsal/v1", parts)).unwrap()
}

/// The sample witness in a folder, with this machine's key.
fn witness_with(folder: &Path, machine: &str) -> Config {
    use p256::pkcs8::EncodePrivateKey as _;
    let pem = throw_away(machine).to_pkcs8_pem(p256::pkcs8::LineEnding::LF).unwrap();
    let pair = rcgen::KeyPair::from_pem(&pem).unwrap();
    let certificate = rcgen::CertificateParams::new(vec![machine.to_owned()]).unwrap().self_signed(&pair).unwrap();
    let put = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    put("node.crt", &certificate.pem());
    put("node.key", &pem);
    put("genesis.record", GENESIS);
    let session = Record::verify(GENESIS.as_bytes()).unwrap().session;
    put("charter.toml", session.charter().unwrap());
    put("plan.toml", session.plan().text());
    let text = std::fs::read_to_string(deploy().join("sample/witness/limen-node.toml")).unwrap();
    Config::parse(&text, folder).unwrap()
}

#[test]
fn a_machine_begins_with_the_charter_of_a_genesis_in_which_it_proved_itself() {
    let folder = tempfile::tempdir().unwrap();
    let config = witness_with(folder.path(), "witness-lisbon");
    limen_node::node::check(&config).unwrap();
    // What it proved itself with is what its program signs for the plan.
    let plan = folder.path().join("plan.toml");
    let prove = |mode, rotated| limen_node::node::prove_identity(&config, &plan, mode, rotated);
    let said = |proof: [u8; 64]| GENESIS.contains(&format!("witness-witness-lisbon-proof {}\n", hex::encode(proof)));
    assert!(said(prove(Mode::Real, false).unwrap()));
    assert!(!said(prove(Mode::Rehearsal, false).unwrap()));
    assert!(matches!(prove(Mode::Real, true), Err(StartError::Plan { .. })), "it rotates nothing");
    // For a rotation of wrapping keys it signs that they are rotated: only if asked for that.
    let real = std::fs::read_to_string(&plan).unwrap();
    let rotation = include_str!("../../../docs/ceremonies/kek-rotation.toml");
    let session = Record::verify(GENESIS.as_bytes()).unwrap().session;
    let sample = limen_policy::ceremony::Plan::from_toml(rotation).unwrap();
    let witness = "witness-lisbon".parse().unwrap();
    let [from, to] = [&sample, session.plan()].map(|plan| plan.machine(&witness).unwrap().public_key.to_string());
    std::fs::write(&plan, rotation.replace(&from, &to)).unwrap();
    let refused = prove(Mode::Real, false).unwrap_err().to_string();
    assert!(refused.contains("--rotated"), "{refused}");
    prove(Mode::Real, true).unwrap();
    std::fs::write(&plan, real).unwrap();
    let other = GENESIS.replacen("mode real", "mode REHEARSAL", 1);
    std::fs::write(folder.path().join("genesis.record"), other).unwrap();
    assert!(matches!(limen_node::node::check(&config), Err(StartError::Genesis(GenesisError::Record(_)))));
    // A line more in the charter is another charter.
    std::fs::write(folder.path().join("genesis.record"), GENESIS).unwrap();
    let charter = std::fs::read_to_string(&config.charter).unwrap();
    std::fs::write(&config.charter, format!("{charter}# more\n")).unwrap();
    assert!(matches!(limen_node::node::check(&config), Err(StartError::Genesis(GenesisError::OtherCharter { .. }))));
    // Nor does a machine with another's key.
    let config = witness_with(folder.path(), "signer-zurich");
    assert!(matches!(limen_node::node::check(&config), Err(StartError::OtherIdentity { .. })));
}

#[test]
fn the_unit_starts_the_program_as_it_is_on_the_sample_configuration() {
    let unit = std::fs::read_to_string(deploy().join("systemd/limen-node.service")).unwrap();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<_> = line.split(' ').collect();
    assert_eq!(words[..2], ["/usr/bin/limen-node", "--config"]);
    assert_eq!(Path::new(words[2]), Path::new("/etc/limen/limen-node.toml"));
    // A word that the program does not know would fail before the help is printed.
    let asked = Command::new(env!("CARGO_BIN_EXE_limen-node")).args(&words[1..]).arg("--help").output().unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    for needed in ["LimitMEMLOCK=infinity", "StateDirectory=limen-node", "Wants=limen-hsm-bridge.service"] {
        assert!(unit.lines().any(|line| line == needed), "{needed}");
    }
    assert!(!unit.contains("Requires=") && !unit.contains("BindsTo="), "a signer starts without its token");
    assert_eq!(sample("zurich").data_dir, Path::new("/var/lib/limen-node"));
}
