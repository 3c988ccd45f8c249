//! Where SoftHSM2 lies: the token in software of the tests and of development clusters.

use std::path::Path;

const PLACES: [&str; 5] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// The first place where distributions put it, if it is installed.
pub fn library() -> Option<&'static str> {
    PLACES.into_iter().find(|path| Path::new(path).is_file())
}
