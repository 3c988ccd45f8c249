//! What `cargo xtask ceremony-demo` shows, by the same code, with one key: a genesis, a key, new shares, proven backups, two lost
//! machines, the end of the key.

use std::process::Command;

use super::cluster::binaries;

#[test]
fn five_people_begin_a_house_make_a_key_and_hand_it_over() {
    if limen_hsm::conformance::softhsm().is_none() {
        return;
    }
    if let Err(error) = limen_node::memory::lock(false, false) {
        eprintln!("left out: signers outside of development lock their memory, and here {error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (dir, json) = (folder.path().join("d"), folder.path().join("demo.json"));
    let mut show = Command::new(env!("CARGO_BIN_EXE_limen"));
    show.args(["dev", "ceremony", "--short", "--flips", "12", "--bin-dir"]).arg(binaries());
    let done = show.arg("--dir").arg(&dir).arg("--json").arg(&json).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let ceremonies: Vec<&str> =
        report["ceremonies"].as_array().unwrap().iter().map(|held| held["ceremony"].as_str().unwrap()).collect();
    let made = ["genesis-1", "key-messages", "refresh-messages-1", "reshare-messages-2"];
    let kept = ["backup-messages-3", "charter-2", "drill-messages", "recovery-messages", "destruction-messages"];
    assert_eq!(ceremonies, [&made[..], &kept].concat());
    for name in ceremonies {
        assert!(dir.join("ceremonies").join(name).join("anna.record").is_file(), "{name}");
    }
    assert_eq!(report["signatures"].as_array().unwrap().len(), 4);
    let proofs: Vec<u64> =
        report["ceremonies"].as_array().unwrap().iter().map(|held| held["proofs"].as_u64().unwrap()).collect();
    assert_eq!(proofs, [0, 9, 9, 15, 0, 0, 0, 0, 0]);
    assert_eq!(report["recovered"]["key"], "messages");
    assert_eq!((&report["destroyed"]["by"], report["destroyed"]["lacking"].as_array().unwrap().len()), (&3.into(), 2));
    let left: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name == "people" || name == "ca"), "keys are left: {left:?}");
}

#[test]
fn a_folder_that_no_show_made_is_not_emptied() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "dear to me").unwrap();
    let mut show = Command::new(env!("CARGO_BIN_EXE_limen"));
    let done = show.args(["dev", "ceremony", "--dir"]).arg(folder.path()).output().unwrap();
    assert!(!done.status.success() && String::from_utf8_lossy(&done.stderr).contains("no show made it"));
    assert!(folder.path().join("mine").is_file());
}
