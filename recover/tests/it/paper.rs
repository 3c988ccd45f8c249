//! A custodian's identity on paper: the program itself, and another one that was written from `docs/recovery.md`.

use std::os::unix::fs::PermissionsExt as _;

use limen_wire::ids::Scheme;

use crate::command::Folder;
use crate::python;

/// Splits anna's identity, and says the letters of her slips' places with the files.
fn split(folder: &Folder, required: &str, total: &str) -> Vec<String> {
    let words = ["paper", "split", "--identity", "anna", "--required", required, "--total", total, "--out", "slips"];
    let said = folder.run(&words).unwrap();
    let files = said.lines().filter_map(|line| line.strip_prefix("slip ")?.split_once(" in ")?.1.split_once(": "));
    files.map(|(file, _)| file.to_owned()).collect()
}

#[test]
fn slips_give_back_the_identity_that_opens_the_backups() {
    let folder = Folder::new(Scheme::EcdsaSecp256k1);
    let slips = split(&folder, "2", "3");
    assert_eq!(slips.len(), 3);
    for slip in &slips {
        let mode = std::fs::metadata(folder.path(slip)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let said = folder.run(&["paper", "check", slip]).unwrap();
        let text = std::fs::read_to_string(folder.path(slip)).unwrap();
        let words = text.lines().find_map(|line| line.strip_prefix("# words: ")).unwrap();
        assert!(said.contains("2 are needed") && said.trim_end().ends_with(words), "{said}");
        let secret = text.lines().last().unwrap();
        assert!(!said.contains(secret.split(' ').nth(4).unwrap()), "{said}");
    }
    std::fs::remove_file(folder.path("anna")).unwrap();
    folder.run(&["paper", "join", &slips[2], &slips[0], "--out", "again"]).unwrap();
    assert_eq!(std::fs::metadata(folder.path("again")).unwrap().permissions().mode() & 0o777, 0o600);
    let combine = ["combine", "1.backup", "2.backup", "--identity", "again", "--identity", "bela"];
    let secret = folder.run(&[&combine[..], &["--export", "scalar", "--danger-show-secret"]].concat()).unwrap();
    assert_eq!(secret.trim(), hex::encode(folder.dealt.secret));
}

#[test]
fn what_gives_no_identity_is_refused_and_leaves_nothing() {
    let folder = Folder::new(Scheme::EddsaEd25519);
    let slips = split(&folder, "3", "4");
    let few = folder.run(&["paper", "join", &slips[0], &slips[1], "--out", "again"]).unwrap_err();
    assert!(few.contains("3 slips give the identity, here are 2"), "{few}");
    let text = std::fs::read_to_string(folder.path(&slips[0])).unwrap();
    let last = text.trim_end().chars().last().unwrap();
    let other = if last == 'Q' { 'P' } else { 'Q' };
    let wrong = format!("{}{other}\n", text.trim_end().strip_suffix(last).unwrap());
    std::fs::write(folder.path(&slips[0]), wrong).unwrap();
    let refused = folder.run(&["paper", "join", &slips[0], &slips[1], &slips[2], "--out", "again"]).unwrap_err();
    assert!(refused.contains(&slips[0]) && refused.contains("checksum"), "{refused}");
    assert!(!folder.path("again").exists());
    let again = ["paper", "split", "--identity", "bela", "--required", "2", "--total", "2", "--out", "slips"];
    assert!(folder.run(&again).unwrap_err().contains("must not be there yet"));
    std::fs::write(folder.path("plugin"), "AGE-PLUGIN-YUBIKEY-1QQPSYQGZQVZQ3QQP\n").unwrap();
    let plugin = ["paper", "split", "--identity", "plugin", "--required", "2", "--total", "2", "--out", "other"];
    let refused = folder.run(&plugin).unwrap_err();
    assert!(refused.contains("no X25519 identity") && !folder.path("other").exists(), "{refused}");
}

#[test]
fn a_program_from_the_document_alone_recovers_from_paper_and_files() {
    let folder = Folder::new(Scheme::EcdsaSecp256k1);
    let slips = split(&folder, "3", "5");
    std::fs::remove_file(folder.path("anna")).unwrap();
    for chosen in [[0, 1, 2], [4, 1, 3]] {
        let paper = chosen.map(|at| slips[at].clone()).join("+");
        let Some(said) = python::run(&folder, &["1.backup", "3.backup", "--", &paper, "bela"]) else { return };
        assert_eq!(said.unwrap().trim(), hex::encode(folder.dealt.secret));
    }
    let few = python::run(&folder, &["1.backup", "3.backup", "--", &slips[..2].join("+"), "bela"]);
    assert!(few.unwrap().unwrap_err().contains("too few slips"));
}
