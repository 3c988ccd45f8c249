//! CGGMP24: threshold ECDSA from Paillier encryption (ePrint 2021/060), by the crate `cggmp24`.
//!
//! The library is asynchronous; its futures are polled by hand between rounds ([`driver`]). Its own echo of the first
//! broadcast is switched off in favour of the session's, which names both who may have lied. Its secrets that are not
//! scalars (Paillier primes) are not wiped on drop: its big integers cannot be.

mod aux_info;
mod blame;
mod driver;
mod keygen;
mod messages;
mod modulus;
mod partial;
mod presignature;
mod primes;
mod range;
mod setup;
mod sign;
mod whole_key;

pub(crate) use aux_info::aux_info;
pub(crate) use keygen::keygen;
pub use presignature::Presignature;
pub use primes::{Primes, generate_primes};
pub(crate) use setup::Setup;
pub(crate) use sign::{presign, sign, sign_with_presignature};
pub(crate) use whole_key::whole_key;

/// The curve as the library names it.
type Curve = cggmp24::supported_curves::Secp256k1;

/// The parameters of the Paillier proofs: 128-bit security with 3072-bit moduli.
#[cfg(not(test))]
type Level = cggmp24::security_level::SecurityLevel128;
/// This crate's own unit tests run with 1024-bit moduli, a level that nothing else can name.
#[cfg(test)]
type Level = tests::ReducedLevel;

#[cfg(test)]
mod tests;
