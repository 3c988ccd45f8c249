//! Signing with one whole key in this process: what the same curves cost without any of it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ed25519_dalek::Signer as _;
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use serde::Serialize;

/// One signer of a library, on one thread.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Plain {
    pub(crate) what: &'static str,
    pub(crate) per_second: f64,
    pub(crate) micros: f64,
}

pub(crate) fn measure(each: Duration) -> Vec<Plain> {
    // The scalar 7 and the seed 7 are as good as any for timing.
    let mut scalar = [0; 32];
    scalar[31] = 7;
    let mut found = Vec::new();
    if let Ok(key) = k256::ecdsa::SigningKey::from_slice(&scalar) {
        found.push(time("k256 ECDSA", each, |digest| {
            let signature: Result<k256::ecdsa::Signature, _> = key.sign_prehash(digest);
            black_box(signature.is_ok());
        }));
    }
    if let Ok(key) = k256::schnorr::SigningKey::from_bytes(&scalar) {
        found.push(time("k256 BIP-340", each, |digest| {
            black_box(key.sign_raw(digest, &[0; 32]).is_ok());
        }));
    }
    let key = ed25519_dalek::SigningKey::from_bytes(&scalar);
    found.push(time("ed25519-dalek", each, |digest| {
        black_box(key.sign(digest));
    }));
    found
}

fn time(what: &'static str, each: Duration, mut sign: impl FnMut(&[u8; 32])) -> Plain {
    let mut digest = [0; 32];
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < each {
        digest[..4].copy_from_slice(&count.to_be_bytes());
        sign(black_box(&digest));
        count = count.saturating_add(1);
    }
    let seconds = started.elapsed().as_secs_f64();
    let per_second = f64::from(count) / seconds;
    Plain { what, per_second, micros: 1e6 / per_second }
}
