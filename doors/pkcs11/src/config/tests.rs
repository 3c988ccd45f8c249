use std::fs::Permissions;

use super::*;

const SAMPLE: &str = include_str!("../../limen-pkcs11.sample.toml");
const LEAST: &str = "version = 1\nclient = \"client.toml\"\n[[keys]]\nkey = \"release\"\n";

#[test]
fn the_sample_is_read_and_shows_every_key() {
    let config = Config::parse(SAMPLE).unwrap();
    let first = &config.keys[0];
    assert_eq!(first.path.steps(), [0, 7]);
    assert_eq!((first.label(), first.id_bytes()), ("release signing", Some(vec![1])));
    assert!(first.vault.is_some() && !first.note.is_empty() && config.label.is_some() && config.log.is_some());
    assert_eq!(config.keys[1].label(), "documents-ed25519");
    let Timing { answer_secs, sign_secs, request_secs } = Timing::default();
    assert_eq!((answer_secs, sign_secs, request_secs), (5, 60, 600));
    for (key, value) in [("answer_secs", answer_secs), ("sign_secs", sign_secs), ("request_secs", request_secs)] {
        assert!(SAMPLE.contains(&format!("{key} = {value}\n")), "the sample shows the default of {key}");
    }
}

#[test]
fn little_is_enough() {
    let config = Config::parse(LEAST).unwrap();
    assert_eq!((config.keys.len(), config.keys[0].label(), config.keys[0].id_bytes()), (1, "release", None));
}

#[test]
fn what_is_wrong_is_named() {
    let refused = |text: String, word: &str| {
        let reason = Config::parse(&text).unwrap_err();
        assert!(reason.contains(word), "{word}: {reason}");
    };
    refused(LEAST.replace("version = 1", "version = 2"), "version 2");
    refused(LEAST.replace("key =", "pin = \"1234\"\nkey ="), "pin");
    refused(LEAST.replace("[[keys]]\nkey = \"release\"\n", "keys = []\n"), "1 to 64");
    refused(format!("{LEAST}label = \"{}\"\n", "x".repeat(33)), "label");
    refused(format!("{LEAST}label = \"a\\nb\"\n"), "label");
    refused(format!("{LEAST}id = \"0\"\n"), "id");
    refused(format!("{LEAST}id = \"\"\n"), "id");
    refused(format!("{LEAST}path = \"m/0'\"\n"), "path");
    refused(format!("{LEAST}[[keys]]\nkey = \"release\"\n"), "two keys");
    refused(format!("{LEAST}id = \"aa\"\n[[keys]]\nkey = \"other\"\nid = \"AA\"\n"), "two keys");
    refused(format!("{LEAST}[timing]\nsign_secs = 0\n"), "timing");
    refused(format!("{LEAST}[timing]\nsign_secs = 86401\n"), "timing");
}

#[test]
fn a_key_that_others_may_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    };
    let client = "version = 1\ncluster = \"test\"\nrequester = \"build\"\nendpoint = \"127.0.0.1:1\"\nserver_name = \"c\"\n\
                  ca = \"ca.crt\"\ncert = \"build.crt\"\nkey = \"tls.key\"\nenvelope_key = \"build.key\"\n\
                  min_signers_required = 2\nnodes = []\n";
    file("client.toml", client, 0o644);
    file("tls.key", "", 0o600);
    let config = file("pkcs11.toml", &format!("log = \"log\"\n{LEAST}"), 0o644);
    assert!(matches!(Config::from_file(&config), Err(ConfigFault::Open { .. })), "it is missing");
    for (mode, good) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false)] {
        file("build.key", "", mode);
        let read = Config::from_file(&config);
        assert_eq!(read.is_ok(), good, "{mode:03o}: {read:?}");
        if let Err(error) = read {
            assert!(matches!(error, ConfigFault::Mode { mode: found, .. } if found == mode), "{error}");
        }
    }
    file("build.key", "", 0o600);
    let (config, client) = Config::from_file(&config).unwrap();
    assert_eq!(config.log, Some(folder.path().join("log")));
    assert_eq!(client.envelope_key, folder.path().join("build.key"));
}
