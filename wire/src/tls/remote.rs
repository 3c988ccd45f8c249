//! A private key that cannot be read: it signs handshakes where it lies, in a token for example, and may refuse.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use crate::keys::p256_signature_der;

/// The one scheme: what tokens and peers have in common.
const SCHEME: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;

/// Why a key did not sign, in its holder's words.
pub type RemoteKeyError = Box<dyn Error + Send + Sync>;

/// A P-256 key that signs elsewhere. Both calls come from within handshakes, which they may hold up for a bounded time, and from
/// threads of an async runtime: how these are kept free is the implementation's business.
pub trait RemoteKey: fmt::Debug + Send + Sync {
    /// A certificate over its public key. Peers look at nothing but that.
    fn certificate(&self) -> Result<CertificateDer<'static>, RemoteKeyError>;

    /// ECDSA with SHA-256: `r ‖ s`, big-endian.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], RemoteKeyError>;
}

/// Shows the certificate in either role, and has the key sign.
#[derive(Debug)]
pub(super) struct Resolver(Arc<dyn RemoteKey>);

impl Resolver {
    pub(super) fn new(key: Arc<dyn RemoteKey>) -> Self {
        Self(key)
    }

    /// `None` where the peer takes no such signature, or there is no certificate now: the handshake fails.
    fn certified(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        if !schemes.contains(&SCHEME) {
            return None;
        }
        let certificate = self.0.certificate().ok()?;
        Some(Arc::new(CertifiedKey::new(vec![certificate], Arc::new(Elsewhere(Arc::clone(&self.0))))))
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.certified(hello.signature_schemes())
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.certified(schemes)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Debug, Clone)]
struct Elsewhere(Arc<dyn RemoteKey>);

impl SigningKey for Elsewhere {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SCHEME).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Elsewhere {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature = self.0.sign(message).map_err(|error| rustls::Error::General(error.to_string()))?;
        p256_signature_der(&signature)
            .ok_or_else(|| rustls::Error::General("the key's answer is no ECDSA signature".to_owned()))
    }

    fn scheme(&self) -> SignatureScheme {
        SCHEME
    }
}
