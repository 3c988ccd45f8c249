//! `identity`: a new identity for a custodian.

use std::path::Path;

use anyhow::Result;
use limen_recover::age::secrecy::ExposeSecret as _;
use limen_recover::age::x25519::Identity;
use zeroize::Zeroizing;

use crate::files::{self, SecretFile};

/// What `age-keygen` writes of an identity, without the last line break.
pub(super) fn identity_file(identity: &Identity) -> Zeroizing<String> {
    Zeroizing::new(format!("# public key: {}\n{}", identity.to_public(), identity.to_string().expose_secret()))
}

/// Standard output is the recipient alone.
pub(super) fn make(out: &Path) -> Result<()> {
    let file = SecretFile::create(out)?;
    let identity = Identity::generate();
    file.write(&identity_file(&identity))?;
    files::print(&identity.to_public().to_string())
}
