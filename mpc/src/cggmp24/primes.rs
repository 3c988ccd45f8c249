//! The four safe primes of a party's Paillier and ring-Pedersen keys.

use std::fmt;

use cggmp24::PregeneratedPrimes;
use cggmp24::backend::Integer;

use super::Level;
use crate::seed::Seed;

/// Four safe primes, secret and for one key only: consumed by [`crate::Session::aux_info`]. Unprintable.
pub struct Primes(PregeneratedPrimes<Level>);

/// Searches four safe primes of 1536 bits: about a minute of processor time, between ten seconds and several minutes.
/// For a background thread of low priority, never for a request.
pub fn generate_primes(seed: Seed) -> Primes {
    Primes(PregeneratedPrimes::generate(&mut seed.into_rng()))
}

impl Primes {
    pub(super) fn into_library(self) -> PregeneratedPrimes<Level> {
        self.0
    }
    /// The Paillier modulus and the ring-Pedersen modulus that come of them.
    pub(super) fn moduli(&self) -> (Integer, Integer) {
        let [p, q, hat_p, hat_q] = self.0.primes_ref();
        (p * q, hat_p * hat_q)
    }
    #[cfg(test)]
    pub(super) fn from_library(primes: PregeneratedPrimes<Level>) -> Self {
        Self(primes)
    }
}

impl fmt::Debug for Primes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Primes(redacted)")
    }
}
