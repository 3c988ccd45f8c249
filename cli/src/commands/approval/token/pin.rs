//! A token's PIN: from a file descriptor, or from the terminal without showing it. Never from arguments or the environment.

use std::fs::File;
use std::io::{Error, ErrorKind, IsTerminal as _, Read, Write as _};

use cryptoki::types::AuthPin;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::{Zeroize as _, Zeroizing};

use super::TokenError;

/// Longest PIN, in bytes.
const LONGEST: usize = 256;

const CONTROL_C: u8 = 0x03;
const CONTROL_D: u8 = 0x04;
const CONTROL_U: u8 = 0x15;
const BACKSPACES: [u8; 2] = [0x08, 0x7f];

/// Reads it up to the end of the line or of the file.
pub(super) fn read(descriptor: Option<u32>, token: &str) -> Result<AuthPin, TokenError> {
    let failed =
        |why: &'static str| move |cause: Error| TokenError::NoPin { token: token.to_owned(), why, cause: Some(cause) };
    let pin = match descriptor {
        Some(number) => {
            let file = File::open(format!("/dev/fd/{number}")).map_err(failed("the file descriptor cannot be read"))?;
            if file.is_terminal() {
                let why = "a terminal would show it: leave --pin-fd out and it is asked for";
                return Err(TokenError::NoPin { token: token.to_owned(), why, cause: None });
            }
            line(file, false).map_err(failed("the file descriptor holds none"))?
        }
        None => ask(token).map_err(failed("nobody typed it"))?,
    };
    let text = std::str::from_utf8(&pin)
        .map_err(|cause| failed("it is not UTF-8")(Error::new(ErrorKind::InvalidData, cause)))?;
    Ok(AuthPin::new(Box::from(text)))
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
pub(super) fn line(mut from: impl Read, edits: bool) -> Result<Zeroizing<Vec<u8>>, Error> {
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
