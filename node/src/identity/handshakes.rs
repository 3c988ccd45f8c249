//! Handshakes signed by a token: how many at once, on whose time, and with which certificate.
//!
//! Whoever can reach the port makes a server sign before it has shown who it is. So the calls of handshakes are few at a time,
//! they wait briefly for their turn and fail then, and each role has a bound of its own: strangers who knock do not keep this
//! node from dialling its peers, nor from signing what it says.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use limen_hsm::{HsmError, Kind};
use limen_wire::ids::NodeId;
use limen_wire::keys::{PublicKey, p256_signature_der};
use limen_wire::tls::{RemoteKey, RemoteKeyError};
use rcgen::{CertificateParams, DnType, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use rustls::pki_types::CertificateDer;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::{TRIED, Token, crowded};

/// Handshakes in the token at the same time, of one role.
const AT_ONCE: usize = 2;
/// How long one waits for its turn: a peer gives up after a few seconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// The token's key in one role of handshakes.
#[derive(Debug)]
pub(super) struct Handshakes {
    token: Arc<Token>,
    me: NodeId,
    inside: Mutex<usize>,
    left: Condvar,
}

impl Handshakes {
    pub(super) fn new(token: Arc<Token>, me: &NodeId) -> Self {
        Self { token, me: me.clone(), inside: Mutex::default(), left: Condvar::new() }
    }

    /// Does this when it is its turn, on a thread of which nobody else waits for other work.
    fn in_turn<T>(&self, work: impl FnOnce() -> Result<T, HsmError>) -> Result<T, HsmError> {
        aside(|| {
            let _turn = self.turn()?;
            work()
        })
    }

    fn turn(&self) -> Result<Turn<'_>, HsmError> {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.left.wait_timeout_while(inside, PATIENCE, |inside| *inside >= AT_ONCE);
        let (mut inside, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return Err(crowded());
        }
        *inside = inside.saturating_add(1);
        Ok(Turn(self))
    }
}

/// A place in the token; given back on drop.
struct Turn<'a>(&'a Handshakes);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut inside = self.0.inside.lock().unwrap_or_else(PoisonError::into_inner);
        *inside = inside.saturating_sub(1);
        self.0.left.notify_one();
    }
}

/// rustls signs where the handshake is polled, which is a thread of the runtime: its other tasks move on to another one.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl RemoteKey for Handshakes {
    fn certificate(&self) -> Result<CertificateDer<'static>, RemoteKeyError> {
        if let Some(certificate) = self.token.certificate.get() {
            return Ok(certificate.clone());
        }
        let made = self.in_turn(|| certify(&self.token, &self.me))?;
        Ok(self.token.certificate.get_or_init(|| made).clone())
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], RemoteKeyError> {
        Ok(self.in_turn(|| self.token.sign(message))?)
    }
}

/// A certificate by the token over its own key. Peers compare the key; name, dates and issuer mean nothing to them.
fn certify(token: &Token, me: &NodeId) -> Result<CertificateDer<'static>, HsmError> {
    let issuer = Issuer { token, point: point(&token.pinned), failed: RefCell::default() };
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, me.as_str());
    let made = params.self_signed(&issuer);
    let refused = issuer.failed.take();
    made.map(|certificate| certificate.der().clone()).map_err(|error| {
        refused.unwrap_or_else(|| HsmError::new(Kind::Input, "make a certificate for this node", error.to_string()))
    })
}

/// SEC 1, uncompressed.
fn point(key: &PublicKey) -> Vec<u8> {
    match key {
        PublicKey::P256(key) => key.to_encoded_point(false).as_bytes().to_vec(),
        PublicKey::Ed25519(_) => key.to_bytes(),
    }
}

/// The token as the maker of certificates sees it.
struct Issuer<'a> {
    token: &'a Token,
    point: Vec<u8>,
    /// What its errors have no room for.
    failed: RefCell<Option<HsmError>>,
}

impl PublicKeyData for Issuer<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for Issuer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let broken = || HsmError::new(Kind::Device, TRIED, "its answer is no ECDSA signature");
        let signed = self.token.sign(message).and_then(|signature| p256_signature_der(&signature).ok_or_else(broken));
        signed.map_err(|error| {
            self.failed.replace(Some(error));
            rcgen::Error::RemoteKeyError
        })
    }
}
