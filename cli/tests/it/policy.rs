//! `limen policy`: packs and tests of rules.

use std::process::{Command, Output};

fn limen(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_limen")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_shown_pack_passes_its_own_tests() {
    let folder = tempfile::tempdir().unwrap();
    let names = limen(&["--output", "json", "policy", "pack", "list"]);
    let names: serde_json::Value = serde_json::from_slice(&names.stdout).unwrap();
    assert_eq!(names.as_array().unwrap().len(), 5);
    for pack in names.as_array().unwrap() {
        let name = pack["name"].as_str().unwrap();
        let own = folder.path().join(format!("{name}.toml"));
        std::fs::write(&own, limen(&["policy", "pack", "show", name]).stdout).unwrap();
        let tests = text(&limen(&["policy", "pack", "show", name, "--tests"]).stdout);
        let file = folder.path().join(format!("{name}.tests.toml"));
        std::fs::write(&file, tests.replace(&format!("pack:{name}"), &format!("{name}.toml"))).unwrap();
        let done = limen(&["policy", "test", file.to_str().unwrap()]);
        assert!(done.status.success(), "{}", text(&done.stdout));
        assert!(text(&done.stdout).ends_with(" tests, 0 failed\n"));
    }
}

#[test]
fn what_fails_is_named_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.tests.toml");
    let head = "charter = [\"base.toml\", \"pack:hot\"]\n[given]\nrequester = \"backend\"\nkey = \"hot\"\nchain = \"eip155:1\"\n";
    std::fs::write(
        &file,
        format!("{head}[[test]]\nname = \"wrong\"\ndoes = [{{ effect = \"raw\" }}]\nexpect = \"allowed\"\n"),
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let failed = limen(&["policy", "test", path]);
    assert_eq!(failed.status.code(), Some(1));
    let said = text(&failed.stdout);
    assert!(said.contains("FAILED wrong") && said.contains("rules.tests.toml:6: expected: allowed"), "{said}");
    assert!(said.contains("no rule allows the class raw"), "{said}");
    let json = limen(&["--output", "json", "policy", "test", path]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&value["failed"], &value["tests"][0]["line"]), (&serde_json::json!(1), &serde_json::json!(6)));
    std::fs::write(&file, format!("{head}[[test]]\nname = \"x\"\ncolour = 1\nexpect = \"allowed\"\n")).unwrap();
    let broken = limen(&["policy", "test", path]);
    assert_eq!(broken.status.code(), Some(2));
    assert!(text(&broken.stderr).contains("colour"), "{}", text(&broken.stderr));
    assert_eq!(limen(&["policy", "pack", "show", "lukewarm"]).status.code(), Some(2));
}
