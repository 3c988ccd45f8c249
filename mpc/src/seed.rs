//! Randomness as an argument.

use std::fmt;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::Zeroizing;

/// 32 secret random bytes from which a session draws all its randomness. Consumed by use: a seed serves one session.
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Wraps 32 bytes from the operating system's generator.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
    /// The generator that the seed determines (ChaCha20, wiped with the session).
    pub(crate) fn into_rng(self) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(*self.0)
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(redacted)")
    }
}
