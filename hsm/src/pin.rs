//! A token's PIN: from a file descriptor, a service's credential, or the terminal without showing it. Never from arguments or
//! the environment.

use std::fs::File;
use std::io::{Error, ErrorKind, IsTerminal as _, Read, Write as _};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::{Zeroize as _, Zeroizing};

/// Longest PIN, in bytes.
const LONGEST: usize = 256;

const CONTROL_C: u8 = 0x03;
const CONTROL_D: u8 = 0x04;
const CONTROL_U: u8 = 0x15;
const BACKSPACES: [u8; 2] = [0x08, 0x7f];

/// Why there is no PIN.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct PinError {
    /// In a few words.
    pub why: &'static str,
    /// What the system says.
    #[source]
    pub cause: Option<Error>,
}

fn failed(why: &'static str) -> impl FnOnce(Error) -> PinError {
    move |cause| PinError { why, cause: Some(cause) }
}

/// One line of an inherited descriptor.
pub fn from_descriptor(number: u32) -> Result<Zeroizing<String>, PinError> {
    let file = File::open(format!("/dev/fd/{number}")).map_err(failed("the file descriptor cannot be read"))?;
    if file.is_terminal() {
        return Err(PinError {
            why: "a terminal would show it: leave the descriptor out and it is asked for",
            cause: None,
        });
    }
    text(line(file, false).map_err(failed("the file descriptor holds none"))?)
}

/// The first line of a file, such as a service's credential.
pub fn from_file(path: &Path) -> Result<Zeroizing<String>, PinError> {
    let file = File::open(path).map_err(failed("the file cannot be read"))?;
    text(line(file, false).map_err(failed("the file holds none"))?)
}

/// Asks the person at the terminal.
pub fn from_terminal(token: &str) -> Result<Zeroizing<String>, PinError> {
    text(ask(token).map_err(failed("nobody typed it"))?)
}

fn text(mut line: Zeroizing<Vec<u8>>) -> Result<Zeroizing<String>, PinError> {
    match String::from_utf8(std::mem::take(&mut line)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            let cause = Error::new(ErrorKind::InvalidData, error.utf8_error());
            error.into_bytes().zeroize();
            Err(failed("it is not UTF-8")(cause))
        }
    }
}

fn ask(token: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut terminal = File::options().read(true).write(true).open("/dev/tty")?;
    // Quiet before it asks: nothing that is typed at once is shown.
    let quiet = Quiet::begin(terminal.try_clone()?)?;
    write!(terminal, "PIN of token {token:?}: ")?;
    let typed = line(terminal.try_clone()?, true);
    drop(quiet);
    writeln!(terminal)?;
    typed
}

/// One line, in room that is wiped. With `edits`, keys that correct or give up do so.
pub fn line(mut from: impl Read, edits: bool) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Room for the longest, so that no copy is left behind by growing.
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = Zeroizing::new([0]);
    loop {
        let read = from.read(byte.as_mut())?;
        match byte[0] {
            _ if read == 0 => break,
            b'\n' | b'\r' => break,
            CONTROL_C if edits => return Err(Error::new(ErrorKind::Interrupted, "given up")),
            CONTROL_D if edits => break,
            CONTROL_U if edits => line.zeroize(),
            key if edits && BACKSPACES.contains(&key) => rub_out(&mut line),
            _ if line.len() == LONGEST => return Err(Error::new(ErrorKind::InvalidData, "it has more than 256 bytes")),
            key => line.push(key),
        }
    }
    if line.is_empty() { Err(Error::new(ErrorKind::UnexpectedEof, "it is empty")) } else { Ok(line) }
}

/// The last letter, which has several bytes in UTF-8 outside ASCII.
fn rub_out(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

/// A terminal that does not show what is typed, for as long as this lives. It hands over every key, those that interrupt
/// too: nobody is left with a terminal that shows nothing.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn begin(terminal: File) -> Result<Self, Error> {
        let before = tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // Nothing more can be done about a terminal that is gone.
        tcsetattr(&self.terminal, OptionalActions::Flush, &self.before).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_typed_line_can_be_corrected() {
        let typed = |keys: &[u8]| line(Cursor::new(keys), true).map(|line| line.to_vec()).ok();
        assert_eq!(typed(b"1234\nmore"), Some(b"1234".to_vec()));
        assert_eq!(typed(b"1234\r"), Some(b"1234".to_vec()));
        assert_eq!(typed(b"1234"), Some(b"1234".to_vec()));
        assert_eq!(typed(b"12x\x7f34\n"), Some(b"1234".to_vec()));
        assert_eq!(typed("12é\x0834\n".as_bytes()), Some(b"1234".to_vec()));
        assert_eq!(typed(b"\x7f\x7f12\n"), Some(b"12".to_vec()));
        assert_eq!(typed(b"other\x151234\n"), Some(b"1234".to_vec()));
        assert_eq!(typed(b"1234\x04"), Some(b"1234".to_vec()));
        for given_up in [b"12\x03".as_slice(), b"", b"\n", b"12\x15\n"] {
            assert_eq!(typed(given_up), None);
        }
    }

    #[test]
    fn a_line_of_a_file_is_taken_as_it_is() {
        let read = |bytes: &[u8]| line(Cursor::new(bytes), false).map(|line| line.to_vec()).ok();
        assert_eq!(read(b"1\x7f2\x15\n"), Some(b"1\x7f2\x15".to_vec()));
        assert_eq!(read(&[b'1'; 256]), Some(vec![b'1'; 256]));
        assert_eq!(read(&[b'1'; 257]), None);
    }
}
