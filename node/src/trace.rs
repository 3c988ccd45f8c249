//! Writes down every emitted last-round message, so that a test can prove that no nonce was used twice. A file with all
//! partial signatures is a danger of its own: refused unless the charter is a development charter.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use limen_mpc::{Frame, Session};
use sha2::{Digest as _, Sha256};

/// One JSON object per line: session, key, intent, round, from, to, sha256, boot, tag, body (all hexadecimal or numbers).
#[derive(Debug)]
pub struct PartialTrace {
    file: Mutex<File>,
    boot: String,
}

/// What a traced session is about.
#[derive(Debug, Clone)]
pub struct TraceContext {
    /// The key.
    pub key: String,
    /// The intent, in hexadecimal.
    pub intent: String,
}

impl PartialTrace {
    /// Opens the file for appending.
    pub fn open(path: &Path, boot: &[u8; 16]) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        tracing::error!(path = %path.display(), "DANGER: every partial signature of this process is written to a file");
        Ok(Self { file: Mutex::new(file), boot: hex::encode(boot) })
    }

    /// Writes a frame of the last round; others pass. A message that could not be written is lost to the test, so a
    /// failure ends the process before the message leaves it.
    pub fn note(&self, context: &TraceContext, session: &Session, frame: &Frame) {
        if frame.round < session.last_round() {
            return;
        }
        let line = format!(
            "{{\"session\":\"{}\",\"key\":\"{}\",\"intent\":\"{}\",\"round\":{},\"from\":{},\"to\":{},\"sha256\":\"{}\",\"boot\":\"{}\",\"tag\":\"{}\",\"body\":\"{}\"}}\n",
            session.binding().params().session,
            context.key,
            context.intent,
            frame.round,
            frame.from,
            frame.to.map_or(0, |to| to.as_u8()),
            hex::encode(Sha256::digest(&frame.body)),
            self.boot,
            hex::encode(frame.tag),
            hex::encode(&frame.body),
        );
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(line.as_bytes()) {
            tracing::error!(%error, "a partial signature could not be traced: the process stops");
            std::process::abort();
        }
    }
}
