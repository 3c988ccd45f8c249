//! Addresses from public keys.

use alloy_primitives::Address as EvmAddress;
use k256::ecdsa::VerifyingKey;
use limen_wire::effects::{Address, ChainId};
use limen_wire::ids::Scheme;

use crate::error::AddressError;
use crate::evm::to_address;

/// The address of a public key on a chain.
///
/// * EVM chains: `ecdsa-secp256k1`, key in SEC 1 form of 33 (compressed) or 65 bytes; EIP-55 spelling. Every other scheme is
///   refused: their precompile for P-256 verifies, but no account is one.
/// * [`ChainId::offchain`]: any scheme; the key's shortest standard form in lower-case hexadecimal without prefix: 33 bytes
///   SEC 1 compressed for ECDSA on either curve, 32 bytes for Ed25519 (RFC 8032) and 32 bytes x-only for BIP-340.
pub fn address(chain: &ChainId, scheme: Scheme, public_key: &[u8]) -> Result<Address, AddressError> {
    if chain.eip155_number().is_some() && scheme == Scheme::EcdsaSecp256k1 {
        return Ok(to_address(EvmAddress::from_public_key(&secp256k1(scheme, public_key)?)));
    }
    if !chain.is_offchain() {
        return Err(AddressError::WrongScheme { scheme, chain: chain.clone() });
    }
    let bytes = match scheme {
        Scheme::EcdsaSecp256k1 => secp256k1(scheme, public_key)?.to_encoded_point(true).as_bytes().to_vec(),
        Scheme::EddsaEd25519 => ed25519(scheme, public_key)?.to_vec(),
        Scheme::SchnorrBip340 => x_only(scheme, public_key)?,
        Scheme::EcdsaP256 => p256(scheme, public_key)?.to_encoded_point(true).as_bytes().to_vec(),
    };
    Address::from_canonical(hex::encode(bytes)).ok_or_else(|| bad_key(scheme, public_key, "a public key"))
}

const fn bad_key(scheme: Scheme, public_key: &[u8], expected: &'static str) -> AddressError {
    AddressError::BadKey { scheme, found: public_key.len(), expected }
}

fn secp256k1(scheme: Scheme, public_key: &[u8]) -> Result<VerifyingKey, AddressError> {
    VerifyingKey::from_sec1_bytes(public_key)
        .map_err(|_| bad_key(scheme, public_key, "33 or 65 bytes of a point on secp256k1 (SEC 1)"))
}

fn p256(scheme: Scheme, public_key: &[u8]) -> Result<p256::ecdsa::VerifyingKey, AddressError> {
    p256::ecdsa::VerifyingKey::from_sec1_bytes(public_key)
        .map_err(|_| bad_key(scheme, public_key, "33 or 65 bytes of a point on P-256 (SEC 1)"))
}

/// Length only: whether the point is good is the protocol's to say when it makes the key.
fn ed25519(scheme: Scheme, public_key: &[u8]) -> Result<[u8; 32], AddressError> {
    public_key.try_into().map_err(|_| bad_key(scheme, public_key, "32 bytes (RFC 8032)"))
}

fn x_only(scheme: Scheme, public_key: &[u8]) -> Result<Vec<u8>, AddressError> {
    // the library panics on any other length
    let bytes = <[u8; 32]>::try_from(public_key).ok();
    bytes
        .and_then(|bytes| k256::schnorr::VerifyingKey::from_bytes(&bytes).ok())
        .map(|key| key.to_bytes().to_vec())
        .ok_or_else(|| bad_key(scheme, public_key, "32 bytes of an x-coordinate on secp256k1 (BIP-340)"))
}

/// Reads an EVM address written by people: EIP-55 mixed case with a right checksum, or all digits in one case.
pub fn parse_address(text: &str) -> Result<Address, AddressError> {
    let bad = || AddressError::BadText { text: text.chars().take(80).collect() };
    let digits = text.strip_prefix("0x").ok_or_else(bad)?;
    let address: EvmAddress = text.parse().map_err(|_| bad())?;
    let one_case = !digits.bytes().any(|b| b.is_ascii_uppercase()) || !digits.bytes().any(|b| b.is_ascii_lowercase());
    if one_case || EvmAddress::parse_checksummed(text, None).is_ok() { Ok(to_address(address)) } else { Err(bad()) }
}
