//! Keys that are out of use, in the text form.

use limen_wire::ids::{BookEntryId, KeyId};
use limen_wire::limits;
use serde::Deserialize;

use super::{invalid, name};
use crate::charter::CharterError;
use crate::charter::key_state::{KeyMark, KeyMarks, KeyState};
use crate::charter::vault::Book;

/// Longest reason, in bytes.
const MAX_REASON: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileKey {
    key: String,
    state: KeyState,
    #[serde(default)]
    sweep_to: Vec<String>,
    #[serde(default)]
    reason: Option<String>,
}

pub(super) fn read(raw: Vec<FileKey>, book: &Book) -> Result<KeyMarks, CharterError> {
    // Entries of destroyed keys stay for ever, and no signer takes more names than this.
    if raw.len() > limits::KEY_SHARES {
        let reason = format!("{} are named, at most {} are possible", raw.len(), limits::KEY_SHARES);
        return Err(invalid("keys", reason));
    }
    let mut marks = KeyMarks::new();
    for raw in raw {
        let place = format!("state of key {:?}", raw.key);
        let key = name(&place, KeyId::new(raw.key))?;
        if raw.state != KeyState::Compromised && !raw.sweep_to.is_empty() {
            return Err(invalid(place, "sweep_to: only a compromised key signs what moves value away"));
        }
        let mut mark = KeyMark { key: key.clone(), state: raw.state, sweep_to: Default::default(), reason: raw.reason };
        for entry in raw.sweep_to {
            let entry = name(&place, BookEntryId::new(entry))?;
            if book.entry(&entry).is_none() {
                return Err(invalid(place, format!("sweep_to: there is no entry {entry} in the address book")));
            }
            mark.sweep_to.insert(entry);
        }
        let unfit = |text: &String| text.is_empty() || text.len() > MAX_REASON || text.chars().any(char::is_control);
        if mark.reason.as_ref().is_some_and(unfit) {
            return Err(invalid(place, format!("reason has 1 to {MAX_REASON} bytes and no control characters")));
        }
        if marks.insert(key, mark).is_some() {
            return Err(invalid(place, "named twice"));
        }
    }
    Ok(marks)
}
