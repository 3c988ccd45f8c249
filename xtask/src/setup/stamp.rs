//! Remembers what an installation was made from, so that the second run costs nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file beside the installed packages that holds the exact text of the lock files they came from.
pub(crate) struct Stamp {
    file: PathBuf,
    wanted: String,
}

impl Stamp {
    /// `sources` are the files whose change makes the installation stale; an absent one counts as empty.
    pub(crate) fn new(file: PathBuf, sources: &[&Path]) -> Self {
        let mut wanted = String::new();
        for source in sources {
            wanted.push_str(&fs::read_to_string(source).unwrap_or_default());
            wanted.push('\u{1e}');
        }
        Self { file, wanted }
    }

    pub(crate) fn is_fresh(&self) -> bool {
        fs::read_to_string(&self.file).is_ok_and(|found| found == self.wanted)
    }

    /// Forgets the installation: called before it is touched, so that an interrupted one is not trusted.
    pub(crate) fn clear(&self) {
        // An absent stamp is what we want.
        let _ = fs::remove_file(&self.file);
    }

    pub(crate) fn write(&self) -> Result<()> {
        fs::write(&self.file, &self.wanted).with_context(|| format!("could not write {}", self.file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_lock_file_makes_the_installation_stale() {
        let dir = std::env::temp_dir().join(format!("limen-stamp-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("scratch folder");
        let lock = dir.join("lock");
        fs::write(&lock, "one").expect("lock file");
        let stamp = Stamp::new(dir.join("stamp"), &[&lock]);
        assert!(!stamp.is_fresh());
        stamp.write().expect("stamp");
        assert!(stamp.is_fresh());
        fs::write(&lock, "two").expect("lock file");
        assert!(!Stamp::new(dir.join("stamp"), &[&lock]).is_fresh());
        stamp.clear();
        assert!(!stamp.is_fresh());
        fs::remove_dir_all(&dir).expect("clean");
    }
}
