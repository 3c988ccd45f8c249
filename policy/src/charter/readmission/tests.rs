//! Which bans a charter lifts, and in which direction that changes.

use super::*;
use crate::charter::CharterError;
use crate::charter::tests::sample;
use crate::diff::{Direction, diff};

fn session(byte: u8) -> String {
    hex::encode([byte; 32])
}

fn lifting(pair: [&str; 2], sessions: &[String]) -> String {
    let list = sessions.iter().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(", ");
    format!("\n[[readmissions]]\nnodes = [\"{}\", \"{}\"]\nsessions = [{list}]\n", pair[0], pair[1])
}

fn read(more: &str) -> Result<Charter, CharterError> {
    Charter::from_toml(&format!("{}{more}", sample()))
}

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

#[test]
fn exactly_the_named_bans_of_the_pair_are_lifted() {
    let charter = read(&lifting(["signer-1", "signer-3"], &[session(7), session(8)])).unwrap();
    let (one, two, three) = (node("signer-1"), node("signer-2"), node("signer-3"));
    for lifted in [7, 8] {
        assert!(charter.readmits([&one, &three], &SessionId::new([lifted; 32])));
        assert!(charter.readmits([&three, &one], &SessionId::new([lifted; 32])));
    }
    assert!(!charter.readmits([&one, &three], &SessionId::new([9; 32])));
    assert!(!charter.readmits([&one, &two], &SessionId::new([7; 32])));
    assert!(!read("").unwrap().readmits([&one, &three], &SessionId::new([7; 32])));
}

#[test]
fn what_is_no_readmission_is_refused() {
    let good = lifting(["signer-1", "signer-3"], &[session(7)]);
    read(&good).unwrap();
    for (text, says) in [
        (lifting(["signer-3", "signer-1"], &[session(7)]), "charter's order"),
        (lifting(["signer-1", "signer-1"], &[session(7)]), "charter's order"),
        (lifting(["signer-1", "signer-9"], &[session(7)]), "charter's order"),
        (lifting(["signer-1", "witness-1"], &[session(7)]), "charter's order"),
        (lifting(["signer-1", "signer-3"], &[]), "1 to 256 sessions"),
        (lifting(["signer-1", "signer-3"], &["77".to_owned()]), "names no session"),
        (lifting(["signer-1", "signer-3"], &[session(7), session(7)]), "named twice"),
        (format!("{good}{good}"), "the pair is named twice"),
        (good.replace("sessions", "session"), "session"),
    ] {
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
}

#[test]
fn lifting_a_ban_loosens_and_taking_that_back_tightens() {
    let (none, one) = (read("").unwrap(), read(&lifting(["signer-1", "signer-3"], &[session(7)])).unwrap());
    let both = read(&lifting(["signer-1", "signer-3"], &[session(7), session(8)])).unwrap();
    for (old, new, direction) in [
        (&none, &one, Direction::Loosens),
        (&one, &both, Direction::Loosens),
        (&both, &one, Direction::Tightens),
        (&one, &none, Direction::Tightens),
    ] {
        let changes = diff(old, new);
        assert!(changes.iter().any(|change| change.direction == direction), "{changes:?}");
        assert!(changes.iter().all(|change| change.direction == direction), "{changes:?}");
        assert!(changes.iter().any(|change| change.sentence.contains("signer-1 and signer-3")), "{changes:?}");
    }
}
