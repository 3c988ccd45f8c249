//! The durable file of a participant, or of the board: a head that says what it belongs to, and one envelope a line, each synced before
//! anything is sent because of it.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};
use limen_wire::effects::sha256;
use limen_wire::pb;
use prost::Message as _;

const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Hexadecimal digits of the check sum of a line.
const SUM: usize = 16;

#[cfg(test)]
mod tests;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Reading or writing.
    #[error("could not {tried} the journal {path}: {source}")]
    Io {
        /// What was tried.
        tried: &'static str,
        /// Which file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// Of another ceremony.
    #[error(
        "the journal {path} is of another ceremony, plan, person or attendance: name another file, or give what it began with"
    )]
    Other {
        /// Which file.
        path: PathBuf,
    },
    /// Another process.
    #[error("the journal {path} is in use by another process")]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// A line in the middle is not what was written.
    #[error("line {line} of the journal {path} is not what was written: the disk is damaged")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

/// An open journal. Dropped, it is closed; it is locked against other processes while it is open.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// A write failed: half a line may stand at the end, and what came after it would be lost with it.
    broken: bool,
}

fn line_of(envelope: &pb::Envelope) -> String {
    let text = Base64::encode_string(&envelope.encode_to_vec());
    let sum: String = hex::encode(sha256(text.as_bytes())).chars().take(SUM).collect();
    format!("{sum} {text}\n")
}

fn read_line(line: &str) -> Option<pb::Envelope> {
    let (sum, text) = line.split_once(' ')?;
    if !hex::encode(sha256(text.as_bytes())).starts_with(sum) || sum.len() != SUM {
        return None;
    }
    pb::Envelope::decode(Base64::decode_vec(text).ok()?.as_slice()).ok()
}

impl Journal {
    /// Opens or begins a journal with this head (lines, each ended), and answers what is in it. A last line that was cut off is dropped:
    /// nothing was sent because of it.
    pub fn open(path: &Path, head: &str) -> Result<(Self, Vec<pb::Envelope>), JournalError> {
        let failed = |tried| move |source| JournalError::Io { tried, path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed("open"))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| JournalError::InUse { path: path.to_owned() })?;
        let mut bytes = Vec::new();
        (&file).take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed("read"))?;
        // A head that was cut off belongs to a journal in which nothing is.
        if bytes.len() < head.len() && head.as_bytes().starts_with(&bytes) {
            file.set_len(0).and_then(|()| file.rewind()).map_err(failed("begin"))?;
            file.write_all(head.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("begin"))?;
            sync_folder(path).map_err(failed("begin"))?;
            return Ok((Self { path: path.to_owned(), file, broken: false }, Vec::new()));
        }
        let rest = bytes.strip_prefix(head.as_bytes()).ok_or_else(|| JournalError::Other { path: path.to_owned() })?;
        let (envelopes, good) = read(rest, path)?;
        let end = u64::try_from(head.len().saturating_add(good)).unwrap_or(u64::MAX);
        file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).map_err(failed("read"))?;
        Ok((Self { path: path.to_owned(), file, broken: false }, envelopes))
    }

    /// Writes an envelope durably. Once that has failed nothing more is written until it is opened anew.
    pub fn append(&mut self, envelope: &pb::Envelope) -> Result<(), JournalError> {
        let written = match self.broken {
            true => Err(io::Error::other("an earlier write failed: open it anew, with room on the disk")),
            false => self.file.write_all(line_of(envelope).as_bytes()).and_then(|()| self.file.sync_all()),
        };
        self.broken = written.is_err();
        written.map_err(|source| JournalError::Io { tried: "write", path: self.path.clone(), source })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The envelopes, and how many bytes of them are good.
fn read(rest: &[u8], path: &Path) -> Result<(Vec<pb::Envelope>, usize), JournalError> {
    let (mut envelopes, mut good) = (Vec::new(), 0usize);
    for (number, line) in rest.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let whole = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok()).and_then(read_line);
        match whole {
            Some(envelope) => envelopes.push(envelope),
            None if good.saturating_add(line.len()) == rest.len() => break,
            None => return Err(JournalError::Damaged { path: path.to_owned(), line: number.saturating_add(1) }),
        }
        good = good.saturating_add(line.len());
    }
    Ok((envelopes, good))
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Writes a file whole or not at all: beside it, synced, then put in its place.
pub fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    sync_folder(path)
}
