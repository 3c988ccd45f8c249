//! The full reason of a failure, in one line: PKCS#11 itself has room for a number only.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::error::{ConfigFault, Fault, name};

/// Longest line, in characters.
const MAX_LINE: usize = 2000;

/// Where lines go.
#[derive(Debug)]
pub(crate) enum Log {
    /// Standard error of the program.
    Stderr,
    /// A file of our own; each line is one write at its end, so that processes can share it.
    File(File),
}

impl Log {
    /// Standard error, or a file that is made readable by its owner only.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, ConfigFault> {
        let Some(path) = path else { return Ok(Self::Stderr) };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        file.map(Self::File).map_err(|source| ConfigFault::Open { path: path.to_path_buf(), source })
    }

    /// Writes a line. What cannot be written is lost: there is nowhere to say so.
    pub(crate) fn line(&self, text: &str) {
        let line = format!("limen-pkcs11: {}\n", one_line(text));
        let _ = match self {
            Self::Stderr => std::io::stderr().write_all(line.as_bytes()),
            Self::File(file) => (&mut &*file).write_all(line.as_bytes()),
        };
    }

    /// Writes why a call failed, what people should do, and what the program was told.
    pub(crate) fn failure(&self, call: &str, fault: &Fault) {
        if let Some(remedy) = fault.remedy() {
            let at = limen_client::now_secs();
            self.line(&format!("{at} {call}: {fault}. {remedy} ({})", name(fault.code())));
        }
    }
}

/// Text from outside in one line of bounded length that moves no cursor and hides nothing.
fn one_line(text: &str) -> String {
    let plain = |c: char| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric();
    let mut line = String::new();
    for c in text.chars().take(MAX_LINE) {
        match c {
            '\n' | '\t' => line.push(' '),
            c if plain(c) => line.push(c),
            c => line.extend(c.escape_unicode()),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_stands_in_it() {
        let line = one_line("first\nsecond\u{1b}[2J\u{202e}third é");
        assert_eq!(line, "first second\\u{1b}[2J\\u{202e}third é");
        assert_eq!(one_line(&"x".repeat(3000)).len(), MAX_LINE);
    }

    #[test]
    fn a_log_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let log = Log::open(Some(&path)).unwrap();
        log.line("one");
        log.line("two");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "limen-pkcs11: one\nlimen-pkcs11: two\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
