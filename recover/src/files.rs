//! Files and the terminal.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use limen_recover::age::Callbacks;
use limen_recover::age::secrecy::SecretString;
use limen_recover::{Backup, Identities};
use limen_wire::keys::SigningKey;
use zeroize::Zeroizing;

/// Largest identity, piece, password or message, in bytes.
const MOST: usize = 16 * 1024 * 1024;

/// Writes a line to standard output.
pub(crate) fn print(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("writing to standard output")
}

/// Writes a line to standard error, if there is one.
pub(crate) fn tell(line: &str) {
    // Nobody is left to tell that this failed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The whole of a file of bounded length.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("opening {name}"))?;
    let mut bytes = Zeroizing::new(Vec::new());
    let most = u64::try_from(MOST).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).with_context(|| format!("reading {name}"))?;
    if bytes.len() > MOST {
        bail!("reading {name}: it has more than {MOST} bytes");
    }
    Ok(bytes)
}

pub(crate) fn backup(path: &Path) -> Result<Backup> {
    Backup::decode(&read(path)?).with_context(|| path.display().to_string())
}

pub(crate) fn identities(path: &Path) -> Result<Identities> {
    Identities::read(&read(path)?, Terminal).with_context(|| path.display().to_string())
}

/// A new file that only its owner may read, for a secret that is yet to come. It is gone again unless the secret is written.
pub(crate) struct SecretFile<'a> {
    path: &'a Path,
    file: File,
    written: bool,
}

impl<'a> SecretFile<'a> {
    /// Makes it; one that is there already is refused, whatever is in it.
    pub(crate) fn create(path: &'a Path) -> Result<Self> {
        let name = path.display();
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(|| {
                format!("making {name} for the secret (it must not be there yet, and its folder must)")
            })?;
        Ok(Self { path, file, written: false })
    }

    /// Writes the secret, and to the disk.
    pub(crate) fn write(mut self, secret: &str) -> Result<&'a Path> {
        let written = writeln!(self.file, "{secret}").and_then(|()| self.file.sync_all());
        written.with_context(|| format!("writing the secret to {}", self.path.display()))?;
        self.written = true;
        Ok(self.path)
    }
}

impl Drop for SecretFile<'_> {
    fn drop(&mut self) {
        if !self.written {
            // an empty file that stays is refused the next time, and says so
            let _ = std::fs::remove_file(self.path);
        }
    }
}

/// Seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the program reads its clock here; the library takes the time as an argument"
)]
pub(crate) fn now_secs() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("reading the clock, which is before 1970")?;
    Ok(now.as_secs())
}

/// A custodian's key for envelopes: PKCS#8 in PEM, which nobody else can read.
pub(crate) fn signing_key(path: &Path) -> Result<SigningKey> {
    let name = path.display();
    let mode = std::fs::metadata(path).with_context(|| format!("looking at {name}"))?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!("the key in {name} can be read by others (mode {mode:o}): chmod 600 it");
    }
    let pem = read(path)?;
    let pem = std::str::from_utf8(&pem).with_context(|| format!("reading {name}"))?;
    SigningKey::from_pkcs8_pem(pem).with_context(|| format!("reading {name}"))
}

/// What plugins of age may ask of a person. Not for PINs, which would be seen: a piece whose plugin asks for one is decrypted by
/// `age --decrypt` and given by `--piece`.
#[derive(Debug, Clone, Copy)]
struct Terminal;

impl Callbacks for Terminal {
    fn display_message(&self, message: &str) {
        tell(message);
    }
    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let no = no.unwrap_or("no");
        let answer = self.request_public_string(&format!("{message} [{yes}/{no}]"))?;
        Some(answer == yes)
    }
    fn request_public_string(&self, description: &str) -> Option<String> {
        let input = std::io::stdin();
        if !input.is_terminal() {
            return None;
        }
        tell(description);
        let mut line = String::new();
        input.lock().read_line(&mut line).ok()?;
        Some(line.trim_end_matches(['\r', '\n']).to_owned())
    }
    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        tell(&format!("{description}: decrypt this piece by `age --decrypt` and give it by --piece"));
        None
    }
}
