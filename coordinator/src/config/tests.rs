use super::*;

const SAMPLE: &str = include_str!("../../limen-coordinator.sample.toml");

#[test]
fn the_sample_is_read_and_shows_the_defaults() {
    let config = Config::parse(SAMPLE, Path::new("/etc/limen")).unwrap();
    assert_eq!(config.id.as_str(), "coordinator-1");
    assert_eq!(config.charter, Path::new("/etc/limen/charter.toml"));
    assert_eq!(config.tls.key, Path::new("/etc/limen/coordinator-1.key"));
    assert_eq!(format!("{:?}", config.limits), format!("{:?}", Limits::default()));
    assert_eq!(format!("{:?}", config.timing), format!("{:?}", Timing::default()));
    assert_eq!(config.presign.len(), 1);
}

#[test]
fn unknown_keys_are_refused_by_name() {
    let error = Config::parse(&SAMPLE.replace("[limits]", "[limits]\nmax_cats = 9"), Path::new(".")).unwrap_err();
    assert!(error.to_string().contains("max_cats"), "{error}");
}

#[test]
fn the_crash_of_tests_is_off_unless_it_names_a_write() {
    use crate::lifecycle::State;
    use crate::store::{CrashPoint, Moment};
    assert_eq!(Config::parse(SAMPLE, Path::new(".")).unwrap().danger_crash, None);
    let with = |at: &str, moment: &str| {
        let text = format!("{SAMPLE}\n[danger_crash]\nat = \"{at}\"\nmoment = \"{moment}\"\n");
        Config::parse(&text, Path::new(".")).map(|config| config.danger_crash)
    };
    let crash = |at, moment| Some(DangerCrash { at, moment });
    assert_eq!(with("signing", "before").unwrap(), crash(CrashPoint::State(State::Signing), Moment::Before));
    assert_eq!(with("stopping", "after").unwrap(), crash(CrashPoint::Stopping, Moment::After));
    assert!(with("nowhere", "after").unwrap_err().to_string().contains("nowhere"));
    assert!(with("signed", "whenever").is_err());
}

#[test]
fn values_that_make_no_sense_are_refused() {
    let change = |from: &str, to: &str| {
        assert!(SAMPLE.contains(from), "{from}");
        Config::parse(&SAMPLE.replace(from, to), Path::new(".")).unwrap_err().to_string()
    };
    assert!(change("127.0.0.1:7100", "0.0.0.0:7100").contains("loopback"));
    assert!(change("max_open_requests = 2000", "max_open_requests = 0").contains("limits"));
    assert!(change("session_timeout_ms = 15000", "session_timeout_ms = 5").contains("session_timeout_ms"));
    assert!(change("retry_base_ms = 100", "retry_base_ms = 9000").contains("retry_base_ms"));
    assert!(change("ask_interval_ms = 30000", "ask_interval_ms = 3").contains("ask_interval_ms"));
    assert!(change("path = []", "path = [2147483648]").contains("hardened"));
}
