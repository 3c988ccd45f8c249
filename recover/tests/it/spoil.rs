//! Every line, field and kind of byte, spoiled; and garbage.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use limen_recover::{Backup, FormatError, HeadError};
use limen_wire::ids::Scheme;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::house::{SCHEMES, back_up, deal, keepers};

fn with_hash(lines: &[&str]) -> String {
    let mut text: String = lines.iter().flat_map(|line| [*line, "\n"]).collect();
    let hash = hex::encode(Sha256::digest(&text));
    writeln!(text, "sha256: {hash}").unwrap();
    text
}

/// A backup of these lines, under the hash that they have: damage by somebody who can count hashes.
pub(crate) fn rehash(lines: &[&str]) -> Backup {
    Backup::decode(with_hash(lines).as_bytes()).unwrap()
}

fn refused(lines: &[&str]) -> FormatError {
    let read = Backup::decode(with_hash(lines).as_bytes());
    read.err().unwrap_or_else(|| panic!("it was read:\n{}", lines.join("\n")))
}

fn sample(scheme: Scheme) -> String {
    back_up(&deal("hot", 1, scheme, 2, 3).shares[0], &keepers(), 2).encode()
}

#[test]
fn every_byte_that_changes_is_noticed() {
    let text = sample(Scheme::EcdsaSecp256k1);
    for at in 0..text.len() {
        for flip in [1, 0x20, 0x80] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= flip;
            Backup::decode(&bytes).unwrap_err();
        }
        Backup::decode(&text.as_bytes()[..at]).unwrap_err();
    }
    for more in ["\n", " ", "sha256: 00\n"] {
        assert_eq!(Backup::decode(format!("{text}{more}").as_bytes()).unwrap_err(), FormatError::Damaged);
    }
}

#[test]
fn lines_that_are_missing_doubled_or_misplaced_are_refused_under_a_right_hash_too() {
    let text = sample(Scheme::EddsaEd25519);
    let lines: Vec<&str> = text.lines().collect();
    let lines = &lines[..lines.len() - 1];
    rehash(lines);
    for at in 0..lines.len() {
        let without: Vec<&str> = [&lines[..at], &lines[at + 1..]].concat();
        refused(&without);
        let twice: Vec<&str> = [&lines[..=at], &lines[at..]].concat();
        refused(&twice);
        let mut swapped = lines.to_vec();
        swapped.swap(at, (at + 1) % lines.len());
        // Encrypted pieces in each other's place are found when they are opened; custodians may stand in any order.
        let kind = |line: &str| line.split(':').next().unwrap().to_owned();
        if kind(swapped[at]) == kind(lines[at]) && matches!(kind(lines[at]).as_str(), "piece" | "custodian") {
            rehash(&swapped);
        } else {
            refused(&swapped);
        }
        let mut blank = lines.to_vec();
        blank.insert(at, "");
        refused(&blank);
    }
}

/// Values in other spellings, out of bounds, of other kinds: for each field, what makes it refused.
const SPOILED: &[(&str, &[&str])] = &[
    ("limen-backup", &["2", "01", "", "one"]),
    ("cluster", &["", "Test", "te st", "-test", "täst"]),
    ("key", &["", "HOT", "h/ot"]),
    ("epoch", &["", "-1", "01", "+1", "18446744073709551616", "1 "]),
    ("scheme", &["", "ecdsa", "ecdsa-p256", "schnorr-bip340", "eddsa-ed25519"]),
    ("protocol", &["", "hsm", "frost", "dkls"]),
    ("signers_required", &["0", "1", "3", "4", "33", "02", "x"]),
    ("signers_total", &["0", "1", "2", "4", "33", "03", "256", "65536"]),
    ("member", &["0", "2", "3", "4", "01", "256"]),
    ("node", &["", "Signer"]),
    ("charter", &["", "07", "0707070707070707070707070707070707070707070707070707070707070G07"]),
    ("public_key", &["", "00", "02"]),
    ("chain_code", &["", "00"]),
    ("verifying_share", &["", "00"]),
    ("pieces_required", &["0", "1", "3", "4", "17", "02"]),
    ("pieces_total", &["0", "1", "2", "4", "17", "03"]),
    ("commitment", &["", "00"]),
    ("custodian", &["", "dora", "dora ", "dora  age1x", "dora age2x", "Dora age1x", "dora age1x y", " age1x"]),
    ("piece", &["", "=", "AAA", "AA==A", "AA=", "A A=", "AB==", "Zm9v\u{a0}"]),
];

#[test]
fn every_field_is_refused_in_every_spelling_but_its_own() {
    let text = sample(Scheme::EcdsaSecp256k1);
    let lines: Vec<&str> = text.lines().collect();
    let lines = &lines[..lines.len() - 1];
    let names: BTreeSet<&str> = lines.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(names, SPOILED.iter().map(|(name, _)| *name).collect(), "every field is spoiled");
    for (name, values) in SPOILED {
        let places = lines.iter().enumerate().filter(|(_, line)| line.starts_with(&format!("{name}: ")));
        for (at, line) in places {
            let mut all: Vec<String> = values.iter().map(|value| format!("{name}: {value}")).collect();
            all.push(format!("{line} "));
            all.push(format!("{line}\r"));
            all.push(format!(" {line}"));
            all.push(line.replacen(": ", ":", 1));
            all.push(line.replacen(": ", ":  ", 1));
            if line.chars().skip(name.len() + 2).any(|c| c.is_ascii_lowercase()) && *name != "piece" {
                all.push(format!("{name}: {}", line[name.len() + 2..].to_uppercase()));
            }
            for spoiled in &all {
                let mut lines = lines.to_vec();
                lines[at] = spoiled;
                let error = refused(&lines);
                assert!(error.to_string().len() > 20, "{spoiled}: {error}");
            }
        }
    }
}

#[test]
fn facts_that_do_not_go_together_are_refused_by_reason() {
    for scheme in SCHEMES {
        let (mine, other) = (sample(scheme), back_up(&deal("cold", 1, scheme, 2, 3).shares[0], &keepers(), 2).encode());
        let (mine, other): (Vec<&str>, Vec<&str>) = (mine.lines().collect(), other.lines().collect());
        let with = |name: &str, nth: usize| {
            let at = mine.iter().position(|line| line.starts_with(&format!("{name}: "))).unwrap() + nth;
            let mut lines = mine[..mine.len() - 1].to_vec();
            lines[at] = other[at];
            refused(&lines)
        };
        for (name, nth) in [("public_key", 0), ("verifying_share", 0), ("verifying_share", 2)] {
            assert!(matches!(with(name, nth), FormatError::Head(HeadError::Key(_))), "{name}");
        }
        assert!(matches!(with("commitment", 0), FormatError::Head(HeadError::OtherShare { .. })));
        let member = mine.iter().position(|line| *line == "member: 1").unwrap();
        let mut lines = mine[..mine.len() - 1].to_vec();
        lines[member] = "member: 2";
        assert!(matches!(refused(&lines), FormatError::Head(HeadError::OtherShare { .. })), "another member");
        let custodians: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("custodian: ")).collect();
        lines[member] = "member: 1";
        lines[custodians[1]] = lines[custodians[0]];
        assert!(matches!(refused(&lines), FormatError::Head(HeadError::CustodianTwice { .. })));
    }
}

/// A head that says three are needed for a key that two have.
#[test]
fn a_raised_threshold_is_refused() {
    let text = sample(Scheme::EddsaEd25519);
    let raised = text.replace("signers_required: 2", "signers_required: 3");
    let lines: Vec<&str> = raised.lines().collect();
    let degree = FormatError::Head(HeadError::Key(limen_mpc::ImportError::Degree(3)));
    assert_eq!(refused(&lines[..lines.len() - 1]), degree);
}

/// Every point with the other y: the shares of the negative of the key, which BIP-340 does not tell from it.
#[test]
fn a_key_of_bip340_with_odd_y_is_refused_and_one_of_ecdsa_is_not() {
    let negated = |scheme: Scheme| {
        let text = sample(scheme);
        let turn = |line: &str| match line.split_once(": ") {
            Some((name @ ("public_key" | "verifying_share" | "commitment"), value)) => {
                format!("{name}: 0{}{}", if &value[1..2] == "2" { 3 } else { 2 }, &value[2..])
            }
            _ => line.to_owned(),
        };
        text.lines().map(turn).collect::<Vec<_>>()
    };
    let lines = negated(Scheme::SchnorrBip340);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(refused(&lines[..lines.len() - 1]), FormatError::Head(HeadError::OddKey));
    let lines = negated(Scheme::EcdsaSecp256k1);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    rehash(&lines[..lines.len() - 1]);
}

#[test]
fn a_recipient_of_low_order_or_mistyped_is_no_line_of_a_backup() {
    let text = sample(Scheme::EddsaEd25519);
    let mut bad = crate::house::low_order();
    bad.push("age1limentest1qqqqqqqq".to_owned());
    for recipient in bad {
        let line = format!("custodian: dora {recipient}");
        let mut lines: Vec<&str> = text.lines().collect();
        lines.pop();
        let at = lines.iter().position(|line| line.starts_with("custodian: ")).unwrap();
        lines[at] = &line;
        let error = refused(&lines);
        assert!(matches!(error, FormatError::Line { name: "custodian", .. }), "{error}");
    }
}

#[test]
fn what_is_no_backup_or_of_a_later_version_is_told_so() {
    assert_eq!(Backup::decode(b"").unwrap_err(), FormatError::NotABackup);
    assert_eq!(Backup::decode(b"age-encryption.org/v1\n").unwrap_err(), FormatError::NotABackup);
    assert_eq!(Backup::decode(&[0xff; 40]).unwrap_err(), FormatError::NotABackup);
    assert_eq!(Backup::decode(b"limen-backup: 2\nx").unwrap_err(), FormatError::Version("2".to_owned()));
    assert_eq!(Backup::decode(b"limen-backup: 1\nx").unwrap_err(), FormatError::Damaged);
    assert_eq!(Backup::decode(&vec![b'x'; 256 * 1024 + 1]).unwrap_err(), FormatError::TooLong);
}

proptest! {
    #[test]
    fn garbage_is_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(Backup::decode(&bytes).is_err());
    }

    #[test]
    fn lines_of_garbage_never_panic(at in 0usize..28, value in "[ -~]{0,80}", keep in any::<bool>()) {
        let text = sample(Scheme::SchnorrBip340);
        let mut lines: Vec<&str> = text.lines().collect();
        lines.pop();
        let at = at % lines.len();
        let name = lines[at].split(':').next().unwrap();
        let line = if keep { format!("{name}: {value}") } else { value };
        lines[at] = &line;
        let _ = Backup::decode(with_hash(&lines).as_bytes());
    }
}
