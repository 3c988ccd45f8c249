use super::*;

fn line(name: &'static str, outcome: Outcome) -> Line {
    Line { name, outcome, took: Duration::from_millis(1_500) }
}

#[test]
fn the_summary_names_what_failed_and_what_was_skipped() {
    let lines = [
        line("format", Outcome::Passed),
        line("dependencies", Outcome::Skipped("cargo-deny is not installed".to_owned())),
        line("lints", Outcome::Failed("exit code 101".to_owned())),
    ];
    let text = summary(&lines);
    assert!(text.contains("format         passed       1.5 s"), "{text}");
    assert!(text.contains("skipped      1.5 s  cargo-deny is not installed"), "{text}");
    assert!(text.contains("lints          FAILED       1.5 s  exit code 101"), "{text}");
    assert!(text.ends_with("all            FAILED       4.5 s"), "{text}");
}

#[test]
fn a_missing_tool_fails_unless_offline() {
    let online = Options { quick: false, network: Network::Allowed };
    let offline = Options { quick: false, network: Network::Offline };
    assert!(without("cargo-deny", online).is_err());
    assert_eq!(
        without("cargo-deny", offline).expect("skipped"),
        Outcome::Skipped("cargo-deny is not installed".to_owned())
    );
}

#[test]
fn tests_are_told_when_nothing_can_be_installed() {
    let told = |network| {
        let mut runner = Command::new("true");
        tell_offline(&mut runner, network);
        let (name, value) = runner.get_envs().next().expect("one variable");
        assert_eq!(name, "LIMEN_OFFLINE");
        value.map(std::ffi::OsStr::to_owned)
    };
    assert_eq!(told(Network::Offline), Some("1".into()));
    assert_eq!(told(Network::Allowed), None, "what the caller's own environment says does not count");
}
