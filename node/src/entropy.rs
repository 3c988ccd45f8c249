//! Randomness from the operating system: the only source in this daemon.

use zeroize::Zeroizing;

/// `N` random bytes. Without randomness nothing here is safe, so a failure ends the process.
pub fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    if let Err(error) = getrandom::getrandom(bytes.as_mut()) {
        tracing::error!(%error, "the operating system gives no randomness: the process stops");
        std::process::abort();
    }
    bytes
}
