//! A recovered key in the forms that other software takes.

use limen_mpc::Point;
use limen_wire::ids::Scheme;
use zeroize::Zeroizing;

use crate::key::RecoveredKey;
use crate::scalar;

mod keystore;

pub use keystore::{Cost, KeystoreRandomness};

/// Why a key was not exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The form is for keys of other schemes.
    #[error("exporting: {form} does not exist for {scheme} keys: {instead}")]
    NoForm {
        /// Which form.
        form: &'static str,
        /// Which scheme.
        scheme: Scheme,
        /// What there is instead.
        instead: &'static str,
    },
    /// That of the key gives all children.
    #[error(
        "exporting: an xprv is made of the key itself and gives all its children by their paths: leave the path out"
    )]
    NotOfChildren,
    /// A step that works for every key failed.
    #[error("exporting: making {0} failed")]
    Failed(&'static str),
}

/// What there is for keys of distributed key generation, which have no seed.
const NO_SEED: &str = "the key is a scalar that has no seed; export `scalar`, or sign a sweep";

impl RecoveredKey {
    /// The extended private key of BIP-32 for the main network, with the key's own chain code, as a master key: derivation below it
    /// gives the private keys of all its accounts.
    pub fn xprv(&self) -> Result<Zeroizing<String>, ExportError> {
        self.secp256k1("xprv")?;
        if !self.path().steps().is_empty() {
            return Err(ExportError::NotOfChildren);
        }
        Ok(xprv(self.scalar(), &self.public().chain_code))
    }
    /// The wallet import format for the main network, of a compressed public key.
    pub fn wif(&self) -> Result<Zeroizing<String>, ExportError> {
        self.secp256k1("wif")?;
        Ok(wif(self.scalar()))
    }
    /// PKCS#8 (RFC 5958) around an EC private key (RFC 5915), in PEM.
    pub fn pkcs8_pem(&self) -> Result<Zeroizing<String>, ExportError> {
        use k256::pkcs8::{EncodePrivateKey as _, LineEnding};
        self.secp256k1("pkcs8")?;
        let key = k256::SecretKey::from_slice(self.scalar()).map_err(|_| ExportError::Failed("PKCS#8"))?;
        key.to_pkcs8_pem(LineEnding::LF).map_err(|_| ExportError::Failed("PKCS#8"))
    }
    /// Version 3 of Ethereum's secret storage, as JSON: scrypt and AES-128-CTR under a password.
    pub fn keystore(
        &self,
        password: &[u8],
        cost: Cost,
        randomness: &KeystoreRandomness,
    ) -> Result<Zeroizing<String>, ExportError> {
        let scheme = self.public().scheme;
        if scheme != Scheme::EcdsaSecp256k1 {
            return Err(ExportError::NoForm { form: "keystore", scheme, instead: "it is for Ethereum's accounts" });
        }
        keystore::make(self.scalar(), self.public_key().as_bytes(), password, cost, randomness)
    }
    /// The scalar itself in hexadecimal: big-endian for secp256k1, little-endian for Ed25519, where it is what RFC 8032 section
    /// 5.1.5 calls `s`, reduced and not clamped.
    pub fn scalar_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.scalar()))
    }
    /// Signs exact bytes by an Ed25519 key: a sweep to a key elsewhere. RFC 8032 verifies it; one message has one signature.
    pub fn sign_sweep(&self, message: &[u8]) -> Result<[u8; 64], ExportError> {
        let scheme = self.public().scheme;
        if scheme != Scheme::EddsaEd25519 {
            let instead = "export the key, every wallet signs by it";
            return Err(ExportError::NoForm { form: "sign-sweep", scheme, instead });
        }
        scalar::sign_ed25519(self.scalar(), message).ok_or(ExportError::Failed("a signature"))
    }

    fn secp256k1(&self, form: &'static str) -> Result<(), ExportError> {
        match self.public().public_key {
            Point::Secp256k1(_) => Ok(()),
            Point::Ed25519(_) | Point::P256(_) => {
                Err(ExportError::NoForm { form, scheme: self.public().scheme, instead: NO_SEED })
            }
        }
    }
}

/// BIP-32, "Serialization format": version, depth 0, no parent, child 0, chain code, key.
fn xprv(secret: &[u8; 32], chain_code: &[u8; 32]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(78));
    bytes.extend_from_slice(&[0x04, 0x88, 0xad, 0xe4]);
    bytes.extend_from_slice(&[0; 9]);
    bytes.extend_from_slice(chain_code);
    bytes.push(0);
    bytes.extend_from_slice(secret);
    base58check(&bytes)
}

fn wif(secret: &[u8; 32]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(34));
    bytes.push(0x80);
    bytes.extend_from_slice(secret);
    bytes.push(1);
    base58check(&bytes)
}

fn base58check(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(bs58::encode(bytes).with_check().into_string())
}

#[cfg(test)]
mod tests;
