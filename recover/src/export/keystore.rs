//! Ethereum's "Web3 Secret Storage Definition", version 3.

use aes::Aes128;
use aes::cipher::{KeyIvInit as _, StreamCipher as _};
use limen_chain::address;
use limen_wire::effects::ChainId;
use limen_wire::ids::Scheme;
use serde_json::json;
use sha3::{Digest as _, Keccak256};
use zeroize::Zeroizing;

use super::ExportError;

const FAILED: ExportError = ExportError::Failed("a keystore");

/// How dear a guess of the password is: scrypt's N as a power of two, r and p (RFC 7914).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    log_n: u8,
    r: u32,
    p: u32,
}

impl Cost {
    /// What wallets write: 2^18, 8, 1: 256 MiB and about a second.
    pub const STANDARD: Self = Self { log_n: 18, r: 8, p: 1 };
    /// What wallets call light: 2^12, 8, 6. For tests.
    pub const LIGHT: Self = Self { log_n: 12, r: 8, p: 6 };
    #[cfg(test)]
    pub(super) const OF_THE_VECTOR: Self = Self { log_n: 1, r: 8, p: 1 };
}

/// What has to be drawn anew for each keystore.
#[derive(Debug, Clone, Copy)]
pub struct KeystoreRandomness {
    /// scrypt's salt.
    pub salt: [u8; 32],
    /// The counter at the start.
    pub iv: [u8; 16],
    /// The file's name for itself, before the bits of RFC 4122 version 4 are set.
    pub id: [u8; 16],
}

pub(super) fn make(
    secret: &[u8; 32],
    public_key: &[u8],
    password: &[u8],
    cost: Cost,
    randomness: &KeystoreRandomness,
) -> Result<Zeroizing<String>, ExportError> {
    let KeystoreRandomness { salt, iv, id } = randomness;
    let derived = derive(password, salt, cost)?;
    let (cipher_text, mac) = encrypt(&derived, iv, secret)?;
    let account = address(&ChainId::eip155(1), Scheme::EcdsaSecp256k1, public_key).map_err(|_| FAILED)?;
    let account = account.to_string().trim_start_matches("0x").to_ascii_lowercase();
    let n = 1u64.checked_shl(u32::from(cost.log_n)).ok_or(FAILED)?;
    let keystore = json!({
        "version": 3,
        "id": uuid(*id),
        "address": account,
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": { "iv": hex::encode(iv) },
            "ciphertext": hex::encode(cipher_text),
            "kdf": "scrypt",
            "kdfparams": { "dklen": 32, "n": n, "r": cost.r, "p": cost.p, "salt": hex::encode(salt) },
            "mac": hex::encode(mac),
        },
    });
    Ok(Zeroizing::new(keystore.to_string()))
}

pub(super) fn derive(password: &[u8], salt: &[u8], cost: Cost) -> Result<Zeroizing<[u8; 32]>, ExportError> {
    let params = scrypt::Params::new(cost.log_n, cost.r, cost.p, 32).map_err(|_| FAILED)?;
    let mut derived = Zeroizing::new([0u8; 32]);
    scrypt::scrypt(password, salt, &params, &mut derived[..]).map_err(|_| FAILED)?;
    Ok(derived)
}

/// The cipher text and its MAC.
pub(super) fn encrypt(derived: &[u8; 32], iv: &[u8; 16], secret: &[u8]) -> Result<(Vec<u8>, [u8; 32]), ExportError> {
    let (cipher_key, mac_key) = derived.split_at(16);
    let mut cipher_text = secret.to_vec();
    let mut cipher = ctr::Ctr128BE::<Aes128>::new_from_slices(cipher_key, iv).map_err(|_| FAILED)?;
    cipher.apply_keystream(&mut cipher_text);
    let mac = Keccak256::new().chain_update(mac_key).chain_update(&cipher_text).finalize();
    Ok((cipher_text, mac.into()))
}

/// RFC 4122 section 4.4.
fn uuid(mut id: [u8; 16]) -> String {
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut id;
    (*version, *variant) = ((*version & 0x0f) | 0x40, (*variant & 0x3f) | 0x80);
    let text = hex::encode(id);
    let parts = [text.get(..8), text.get(8..12), text.get(12..16), text.get(16..20), text.get(20..)];
    parts.map(Option::unwrap_or_default).join("-")
}
