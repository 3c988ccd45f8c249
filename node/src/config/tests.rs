use super::*;

const SAMPLE: &str = include_str!("../../limen-node.sample.toml");

#[test]
fn the_sample_parses_and_shows_the_defaults() {
    let config = Config::parse(SAMPLE, Path::new("/etc/limen")).unwrap();
    assert_eq!(config.node.as_str(), "n1");
    assert_eq!(config.charter, Path::new("/etc/limen/charter.toml"));
    assert_eq!(format!("{:?}", config.limits), format!("{:?}", Limits::default()));
    assert_eq!(format!("{:?}", config.store), format!("{:?}", Store::default()));
    assert_eq!(format!("{:?}", config.log), format!("{:?}", Log::default()));
}

#[test]
fn an_unknown_key_is_refused_wherever_it_stands() {
    for (at, line) in [
        ("node = ", "colour = 1\nnode = "),
        ("sessions = ", "colour = 1\nsessions = "),
        ("key_file", "x = 1\nkey_file"),
    ] {
        let text = SAMPLE.replacen(at, line, 1);
        assert_ne!(text, SAMPLE);
        assert!(matches!(Config::parse(&text, Path::new(".")), Err(ConfigError::Parse { .. })), "{at}");
    }
}

#[test]
fn a_token_stands_behind_a_socket() {
    let provider = SAMPLE.split_once("\n[provider]\n").unwrap().1;
    let software = provider.split_once("\nkind = ").unwrap().1.split_once("[limits]").unwrap().0;
    let parse = |bridge: &str| Config::parse(&SAMPLE.replace(software, bridge), Path::new("/etc/limen"));
    match parse("\"hsm_bridge\"\nsocket = \"bridge.sock\"\n\n").unwrap().provider {
        Some(Provider::HsmBridge { socket, timeout_ms: 5_000, anchor_secs: 300 }) => {
            assert_eq!(socket, Path::new("/etc/limen/bridge.sock"));
        }
        other => panic!("{other:?}"),
    }
    for (timeout_ms, is_taken) in [(0, false), (1, true), (30_000, true), (30_001, false), (u32::MAX, false)] {
        let parsed = parse(&format!("\"hsm_bridge\"\nsocket = \"bridge.sock\"\ntimeout_ms = {timeout_ms}\n\n"));
        assert_eq!(parsed.is_ok(), is_taken, "{timeout_ms}");
        if let Err(error) = parsed {
            let words = error.to_string();
            assert!(matches!(error, ConfigError::Value { key: "provider.timeout_ms", .. }), "{timeout_ms}: {words}");
            assert!(
                words.contains("provider.timeout_ms") && words.contains("between 1 and 30000 milliseconds"),
                "{words}"
            );
        }
    }
    assert!(matches!(parse("\"hsm_bridge\"\nkey_file = \"x\"\n\n"), Err(ConfigError::Parse { .. })));
}

#[test]
fn a_torn_file_is_refused() {
    let cut = SAMPLE.find("[identity]").unwrap();
    let torn = SAMPLE.get(..cut).unwrap();
    assert!(matches!(Config::parse(torn, Path::new(".")), Err(ConfigError::Parse { .. })));
}

#[test]
fn metrics_stay_on_loopback() {
    let text = SAMPLE.replace("127.0.0.1:9101", "0.0.0.0:9101");
    assert!(matches!(Config::parse(&text, Path::new(".")), Err(ConfigError::Value { key: "metrics", .. })));
}

#[test]
fn a_bound_of_zero_is_refused() {
    let text = SAMPLE.replace("sessions = 256", "sessions = 0");
    assert!(matches!(Config::parse(&text, Path::new(".")), Err(ConfigError::Value { key: "limits.sessions", .. })));
}

#[test]
fn the_signers_own_bound_wins() {
    let limits = Limits::default();
    assert_eq!(limits.sign_timeout(0), Duration::from_secs(10));
    assert_eq!(limits.sign_timeout(500), Duration::from_millis(500));
    assert_eq!(limits.sign_timeout(u32::MAX), Duration::from_secs(10));
}

#[test]
fn a_witness_has_no_provider_and_a_signer_has_one() {
    let provider = SAMPLE.split_once("\n[provider]\n").unwrap().1.split_once("[limits]").unwrap().0;
    let without = SAMPLE.replace(&format!("\n[provider]\n{provider}"), "");
    let witness = |text: &str| text.replace("witness = false", "witness = true");
    assert!(Config::parse(&witness(&without), Path::new(".")).unwrap().witness);
    for text in [without, witness(SAMPLE)] {
        assert!(matches!(Config::parse(&text, Path::new(".")), Err(ConfigError::Value { key: "provider", .. })));
    }
}

#[test]
fn an_identity_lies_in_files_or_in_the_token_of_the_provider() {
    let files = SAMPLE.split_once("[identity]\n").unwrap().1.split_once("\n[provider]\n").unwrap().0;
    let parse = |identity: &str| Config::parse(&SAMPLE.replace(files, identity), Path::new("/etc/limen"));
    let (certificate, key) = ("certificate = \"node.crt\"\n", "key = \"node.key\"\n");
    let here = Identity::Files { certificate: "/etc/limen/node.crt".into(), key: "/etc/limen/node.key".into() };
    for kind in ["", "kind = \"files\"\n"] {
        assert_eq!(parse(&format!("{kind}{certificate}{key}")).unwrap().identity, here);
    }
    assert_eq!(parse("kind = \"hsm\"\n").unwrap().identity, Identity::Hsm);
    for (keys, words) in [
        (String::new(), "`kind = \"hsm\"`"),
        (certificate.to_owned(), "`certificate` and `key`"),
        (format!("kind = \"hsm\"\n{key}"), "leave `certificate` and `key` out"),
        ("kind = \"token\"\n".to_owned(), "unknown variant `token`"),
        ("kind = \"hsm\"\nlabel = \"x\"\n".to_owned(), "unknown field `label`"),
    ] {
        let Err(ConfigError::Parse { reason, .. }) = parse(&keys) else { panic!("{keys}") };
        assert!(reason.contains(words), "{keys}: {reason}");
    }
}

#[test]
fn a_witness_has_a_provider_for_its_identity_only() {
    let files = SAMPLE.split_once("[identity]\n").unwrap().1.split_once("\n[provider]\n").unwrap().0;
    let text = SAMPLE.replace("witness = false", "witness = true").replace(files, "kind = \"hsm\"\n");
    assert!(Config::parse(&text, Path::new(".")).unwrap().provider.is_some());
    let provider = text.split_once("\n[provider]\n").unwrap().1.split_once("[limits]").unwrap().0;
    let without = text.replace(&format!("[provider]\n{provider}"), "");
    assert!(matches!(Config::parse(&without, Path::new(".")), Err(ConfigError::Value { key: "provider", .. })));
}

#[test]
fn a_share_is_not_held_for_ever_and_an_anchor_is_kept_by_tokens_only() {
    let text = SAMPLE.replace("hold_secs = 60", "hold_secs = 86401");
    assert!(matches!(Config::parse(&text, Path::new(".")), Err(ConfigError::Value { key: "shares.hold_secs", .. })));
    let token = |anchor_secs| Provider::HsmBridge { socket: "s".into(), timeout_ms: 1, anchor_secs };
    assert_eq!(token(300).anchor_every(), Some(Duration::from_secs(300)));
    assert_eq!(token(0).anchor_every(), None);
    assert_eq!(Provider::DangerSoftware { key_file: "k".into() }.anchor_every(), None);
}
