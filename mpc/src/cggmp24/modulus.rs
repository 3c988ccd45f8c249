//! What a peer's Paillier and ring-Pedersen moduli must meet before the library computes with them.
//!
//! The library's proofs show that a modulus is the product of two large primes; these checks come first, so that no
//! arithmetic ever runs modulo something even, tiny, negative or shared. See BitForge (CVE-2023-33241).

use cggmp24::backend::Integer;
use cggmp24::security_level::SecurityLevel;

use super::Level;

/// Primes below this are tried as divisors.
const SMALL: u32 = 1 << 16;

/// Checks one modulus: positive, of exactly the level's size, odd, without a factor below 2^16, no square, not prime.
pub(super) fn check_modulus(modulus: &Integer) -> Result<(), &'static str> {
    let (least, most) = (u64::from(Level::RSA_PUBKEY_BITLEN), 2 * u64::from(Level::RSA_PRIME_BITLEN));
    if modulus.cmp0().is_le() || !(least..=most).contains(&modulus.significant_bits()) {
        return Err("modulus of a wrong size");
    }
    if modulus.is_even() {
        return Err("even modulus");
    }
    if small_primes().any(|prime| modulus.mod_u(prime) == 0) {
        return Err("modulus with a small factor");
    }
    if modulus.sqrt_ref().is_some_and(|root| root.square_ref() == *modulus) {
        return Err("modulus that is a square");
    }
    Ok(())
}

/// Checks the ring-Pedersen bases: units of the modulus, neither trivial nor equal.
pub(super) fn check_bases(modulus: &Integer, s: &Integer, t: &Integer) -> Result<(), &'static str> {
    let proper = |base: &Integer| {
        base > &Integer::one() && base < &(modulus.clone() - Integer::one()) && base.gcd_ref(modulus).is_one()
    };
    if proper(s) && proper(t) && s != t { Ok(()) } else { Err("ring-Pedersen bases") }
}

/// Odd primes below [`SMALL`].
fn small_primes() -> impl Iterator<Item = u32> {
    use std::sync::OnceLock;
    static PRIMES: OnceLock<Vec<u32>> = OnceLock::new();
    PRIMES.get_or_init(sieve).iter().copied()
}

fn sieve() -> Vec<u32> {
    let mut primes: Vec<u32> = Vec::new();
    for candidate in (3..SMALL).step_by(2) {
        let divisors = primes.iter().take_while(|prime| prime.saturating_mul(**prime) <= candidate);
        if divisors.into_iter().all(|prime| candidate % prime != 0) {
            primes.push(candidate);
        }
    }
    primes
}
