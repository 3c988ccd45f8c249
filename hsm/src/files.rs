//! Files that must not be lost, and must be nobody else's business.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::error::{HsmError, Kind};

/// Refuses a secret file that group or others can read.
pub fn check_mode(path: &Path) -> Result<(), HsmError> {
    let tried = "use a secret file";
    let metadata = std::fs::metadata(path).map_err(|cause| HsmError::file(tried, path, cause))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let detail = format!("{} can be read by others (mode {mode:o}): run chmod 600 on it", path.display());
    Err(HsmError::new(Kind::Exposed, tried, detail))
}

/// Makes a folder that only its owner may enter; refuses one that is there and open to others or another's.
pub fn private_folder(path: &Path) -> Result<(), HsmError> {
    let tried = "keep a folder private";
    let made = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(path);
    made.map_err(|cause| HsmError::file(tried, path, cause))?;
    let metadata = std::fs::metadata(path).map_err(|cause| HsmError::file(tried, path, cause))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 && metadata.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let detail = format!("{} has mode {mode:o} and owner {}; it must be 700 and ours", path.display(), metadata.uid());
    Err(HsmError::new(Kind::Exposed, tried, detail))
}

/// Whether a file that is there already gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// It does.
    Yes,
    /// It stays, and [`Kind::Exists`] is the answer.
    No,
}

/// Writes a file of mode 600, whole or not at all: beside it, synced, then put in its place, then the folder synced.
pub fn write(path: &Path, bytes: &[u8], replace: Replace) -> Result<(), HsmError> {
    let tried = "write a file";
    let failed = |cause| HsmError::file(tried, path, cause);
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.{:?}.tmp", std::process::id(), std::thread::current().id()));
    let beside = folder.join(name);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        match replace {
            Replace::Yes => std::fs::rename(&beside, path),
            // A link fails where a name is taken; a rename would take it over.
            Replace::No => std::fs::hard_link(&beside, path),
        }
    })();
    if replace == Replace::No || written.is_err() {
        // Left behind it would do no harm: it is written anew each time.
        std::fs::remove_file(&beside).ok();
    }
    match written {
        Err(cause) if replace == Replace::No && cause.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(HsmError::new(Kind::Exists, tried, format!("{} is there already", path.display())));
        }
        other => other.map_err(failed)?,
    }
    sync_folder(folder)
}

/// Takes a file away, durably. [`Kind::Missing`] if there is none.
pub fn remove(path: &Path) -> Result<(), HsmError> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
            Err(HsmError::new(Kind::Missing, "remove a file", format!("there is no {}", path.display())))
        }
        other => {
            other.map_err(|cause| HsmError::file("remove a file", path, cause))?;
            sync_folder(path.parent().unwrap_or(Path::new(".")))
        }
    }
}

/// What is in a file; `None` if there is none. Nothing longer than `most` bytes is read.
pub fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, HsmError> {
    use std::io::Read as _;
    let failed = |cause| HsmError::file("read a file", path, cause);
    let file = match File::open(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

fn sync_folder(folder: &Path) -> Result<(), HsmError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|cause| HsmError::file("make a file durable", folder, cause))
}
