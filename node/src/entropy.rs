//! Randomness from the operating system: the only source in this daemon.

use rand_core::{CryptoRng, RngCore};
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

/// The same for libraries that draw by themselves. Keeps nothing.
#[derive(Debug, Clone, Copy)]
pub struct FromSystem;

impl RngCore for FromSystem {
    fn next_u32(&mut self) -> u32 {
        u32::from_be_bytes(*random())
    }
    fn next_u64(&mut self) -> u64 {
        u64::from_be_bytes(*random())
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        if let Err(error) = getrandom::getrandom(bytes) {
            tracing::error!(%error, "the operating system gives no randomness: the process stops");
            std::process::abort();
        }
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for FromSystem {}
