//! Pairs that are readmitted, in the text form.

use limen_wire::ids::SessionId;
use serde::Deserialize;

use super::{invalid, name};
use crate::charter::readmission::Readmissions;
use crate::charter::{CharterError, Node};

/// Most pairs of a charter, and most bans of a pair.
const MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileReadmission {
    nodes: [String; 2],
    sessions: Vec<String>,
}

pub(super) fn read(raw: Vec<FileReadmission>, known: &[Node]) -> Result<Readmissions, CharterError> {
    let mut readmissions = Readmissions::new();
    for FileReadmission { nodes: [one, other], sessions } in raw {
        let place = format!("readmission of {one:?} and {other:?}");
        let pair = [name(&place, one.parse())?, name(&place, other.parse())?];
        let places = pair.each_ref().map(|id| known.iter().position(|node| node.id == *id));
        let in_order = matches!(places, [Some(first), Some(second)] if first < second);
        if !in_order {
            let reason = "two signer nodes in the charter's order are needed, so that each pair has one name";
            return Err(invalid(place, reason));
        }
        if sessions.is_empty() || sessions.len() > MAX || readmissions.len() >= MAX {
            return Err(invalid(place, format!("1 to {MAX} sessions for each of up to {MAX} pairs are possible")));
        }
        let mut lifted = std::collections::BTreeSet::new();
        for session in sessions {
            let id: SessionId = session.parse().map_err(|_| {
                invalid(
                    &place,
                    format!("{session:?} names no session: 64 digits in hexadecimal, as `limen status` shows them"),
                )
            })?;
            if !lifted.insert(id) {
                return Err(invalid(place, format!("session {id} is named twice")));
            }
        }
        if readmissions.insert(pair, lifted).is_some() {
            return Err(invalid(place, "the pair is named twice"));
        }
    }
    Ok(readmissions)
}
