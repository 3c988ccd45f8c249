//! Randomness as an argument.

use std::fmt;

use limen_wire::ids::{PartyIndex, tagged_hash};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::Zeroizing;

use crate::binding::Binding;

/// 32 secret random bytes from which a session draws all its randomness. Consumed by use: a seed serves one session.
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Wraps 32 bytes from the operating system's generator.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
    /// The seed of one party's part in one run: another run's is another one, also where a caller gives the same bytes twice.
    pub(crate) fn of_run(&self, binding: &Binding, me: PartyIndex) -> Self {
        Self::new(tagged_hash("limen mpc run seed v1", [&self.0[..], &binding.digest()[..], &[me.as_u8()]]))
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
