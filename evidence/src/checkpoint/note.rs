//! Signed notes: C2SP signed-note, with no leniency.

use std::fmt;

use base64ct::{Base64, Encoding as _};

/// Most bytes of a note that is read.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;
/// Most signatures under a note.
pub const MAX_NOTE_SIGNATURES: usize = 64;

/// Why bytes are no signed note.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Too many bytes or signatures.
    #[error("the note has {found} {what}, more than the {limit} allowed")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Not UTF-8, or a control character.
    #[error("the note must be UTF-8 without control characters other than line ends")]
    Characters,
    /// No text, or text that does not end its last line.
    #[error("the note's text must be one or more lines, each ended")]
    Text,
    /// No empty line between text and signatures, or no signatures.
    #[error("the note must have an empty line after its text, and one or more signature lines after that")]
    NoSignatures,
    /// A line that is no signature.
    #[error("signature line {line} of the note must be an em dash, a key name, and base64 of key id and signature")]
    SignatureLine {
        /// Which, from 1.
        line: usize,
    },
    /// A name that no key can have.
    #[error("{name:?} is not a key name: it must not be empty nor hold spaces, plus signs or control characters")]
    KeyName {
        /// The name, cut to 100 characters.
        name: String,
    },
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    name: String,
    key_id: [u8; 4],
    signature: Vec<u8>,
}

impl NoteSignature {
    /// Checks the name; the signature must not be empty.
    pub fn new(name: impl Into<String>, key_id: [u8; 4], signature: Vec<u8>) -> Result<Self, NoteError> {
        let name = name.into();
        check_name(&name)?;
        if signature.is_empty() { Err(NoteError::NoSignatures) } else { Ok(Self { name, key_id, signature }) }
    }
    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The key's short id.
    pub const fn key_id(&self) -> [u8; 4] {
        self.key_id
    }
    /// What follows the key id.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// Reads one line without its end.
    pub fn parse(line: &str) -> Option<Self> {
        let (name, blob) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let blob = decode_base64(blob)?;
        let (key_id, signature) = blob.split_first_chunk::<4>()?;
        Self::new(name, *key_id, signature.to_vec()).ok()
    }
}
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [&self.key_id[..], &self.signature].concat();
        write!(f, "\u{2014} {} {}", self.name, encode_base64(&blob))
    }
}

/// A text with signatures that nobody has verified yet. Its [`Display`](fmt::Display) is its one encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Checks text and number of signatures.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        check_text(&text)?;
        if signatures.is_empty() {
            return Err(NoteError::NoSignatures);
        }
        within("signatures", signatures.len(), MAX_NOTE_SIGNATURES)?;
        Ok(Self { text, signatures })
    }

    /// Reads a note: its last empty line parts text and signatures.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        within("bytes", bytes.len(), MAX_NOTE_BYTES)?;
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Characters)?;
        check_characters(note)?;
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoSignatures)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoSignatures)?;
        within("signatures", lines.split('\n').count(), MAX_NOTE_SIGNATURES)?;
        let signatures: Result<Vec<_>, _> = lines
            .split('\n')
            .zip(1..)
            .map(|(line, number)| NoteSignature::parse(line).ok_or(NoteError::SignatureLine { line: number }))
            .collect();
        Self::new(format!("{text}\n"), signatures?)
    }

    /// What is signed: lines, each ended.
    pub fn text(&self) -> &str {
        &self.text
    }
    /// The signatures, in order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }
}
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), NoteError> {
    if found > limit { Err(NoteError::TooLarge { what, found, limit }) } else { Ok(()) }
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.chars().any(|c| c < ' ' && c != '\n') { Err(NoteError::Characters) } else { Ok(()) }
}

pub(super) fn check_text(text: &str) -> Result<(), NoteError> {
    check_characters(text)?;
    match text.strip_suffix('\n') {
        Some(lines) if !lines.is_empty() => Ok(()),
        _ => Err(NoteError::Text),
    }
}

pub(super) fn check_name(name: &str) -> Result<(), NoteError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.contains(bad) {
        return Err(NoteError::KeyName { name: name.chars().take(100).collect() });
    }
    Ok(())
}

pub(super) fn encode_base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// RFC 4648 section 4 with padding, and only the one spelling that encoding gives.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text).ok().filter(|bytes| Base64::encode_string(bytes) == text)
}
