//! `limen charter …`: offline, on the sample charter.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const SAMPLE: &str = include_str!("../../../policy/development.sample.toml");

/// A folder with the sample and an edited copy of it.
fn folder(from: &str, to: &str) -> tempfile::TempDir {
    assert!(SAMPLE.contains(from), "{from}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("old.toml"), SAMPLE).unwrap();
    std::fs::write(folder.path().join("new.toml"), SAMPLE.replacen(from, to, 1)).unwrap();
    folder
}

fn limen(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_limen")));
    command.args(args).current_dir(folder).env_remove("LIMEN_CONFIG").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_diff_is_told_in_sentences() {
    let folder = folder("delay_secs = 86400\nnot_by", "delay_secs = 60\nnot_by");
    let output = limen(folder.path(), &["charter", "diff", "old.toml", "new.toml"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        said.contains("loosens   the delay of rule \"reserve to venues\" in seconds goes down from 86400 to 60"),
        "{said}"
    );
    assert!(said.contains("it loosens something"), "{said}");
    let output = limen(folder.path(), &["--output", "json", "charter", "diff", "new.toml", "old.toml"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&value["loosens"], &value["changes"][0]["direction"]), (&Value::Bool(false), &Value::from("tightens")));
}

#[test]
fn errors_are_found_and_named() {
    let folder = folder("quorum = \"2 of treasury and 1 of risk\"", "quorum = \"1 of risk\"");
    let output = limen(folder.path(), &["charter", "lint", "new.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("error    governance.quorum: carla alone can meet `1 of risk`"));
    assert!(text(&output.stderr).contains("charter_errors"), "{}", text(&output.stderr));
}

#[test]
fn what_is_no_charter_is_refused_with_the_place() {
    let folder = folder("max_amount = \"10\"", "max_amount = \"ten\"");
    let output = limen(folder.path(), &["charter", "lint", "new.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("new.toml is no charter: in rule \"eth\"") && error.contains("bad_charter"), "{error}");
}
