//! Mutual TLS 1.3, both ways, for every connection in the cluster.
//!
//! Machines of the cluster (signers and coordinators) are known by the public key that the charter pins for their name;
//! no certificate authority has a say in that. Authorities serve clients only. Sessions are never resumed: a resumed
//! session would check no certificate and use no identity key.

mod remote;
#[cfg(feature = "rpc")]
mod rpc;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WantsServerCert, WebPkiClientVerifier};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};

use crate::keys::{KeyError, PublicKey, SigningKey};

pub use remote::{RemoteKey, RemoteKeyError};
#[cfg(feature = "rpc")]
pub use rpc::{Dial, ServerStream, caller, caller_key, incoming};

/// Why a TLS identity or configuration is unusable. Always a matter of local set-up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("could not read {what} from {path}: {source}")]
    Read {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: String,
        /// The reason.
        source: std::io::Error,
    },
    /// A file holds something else.
    #[error("{path} does not hold {what}: {reason}")]
    Content {
        /// What it should hold.
        what: &'static str,
        /// Where.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// rustls refuses the combination, for example a key that does not fit its certificate.
    #[error("TLS set-up refused: {0}")]
    Rustls(#[from] rustls::Error),
    /// The certificate authority cannot be used.
    #[error("certificate authority refused: {0}")]
    Authority(String),
}

/// A machine's or client's certificate chain and private key.
pub struct TlsIdentity(Form);

enum Form {
    /// Both are here, read from PEM files.
    Files { chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static> },
    /// The key lies where it cannot be read.
    Remote(Arc<remote::Resolver>),
}

impl TlsIdentity {
    /// Reads a certificate chain and a PKCS#8 key.
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = read(certificate, "a certificate")?;
        let pem = zeroize::Zeroizing::new(read(key, "a private key")?);
        Self::from_pem(&chain, &pem).map_err(|reason| TlsError::Content {
            what: "a PEM certificate with its PKCS#8 key",
            path: format!("{} with {}", certificate.display(), key.display()),
            reason,
        })
    }

    /// Parses PEM text.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(certificate).collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        if chain.is_empty() {
            return Err("no certificate found".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string())?;
        Ok(Self(Form::Files { chain, key }))
    }

    /// By a P-256 key that signs elsewhere. A handshake at which it does not sign fails.
    pub fn remote(key: Arc<dyn RemoteKey>) -> Self {
        Self(Form::Remote(Arc::new(remote::Resolver::new(key))))
    }

    fn server(&self, builder: ConfigBuilder<ServerConfig, WantsServerCert>) -> Result<ServerConfig, rustls::Error> {
        match &self.0 {
            Form::Files { chain, key } => builder.with_single_cert(chain.clone(), key.clone_key()),
            Form::Remote(resolver) => Ok(builder.with_cert_resolver(Arc::clone(resolver) as _)),
        }
    }

    fn client(&self, builder: ConfigBuilder<ClientConfig, WantsClientCert>) -> Result<ClientConfig, rustls::Error> {
        match &self.0 {
            Form::Files { chain, key } => builder.with_client_auth_cert(chain.clone(), key.clone_key()),
            Form::Remote(resolver) => Ok(builder.with_client_cert_resolver(Arc::clone(resolver) as _)),
        }
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Files { chain, .. } => write!(f, "TlsIdentity({} certificates)", chain.len()),
            Form::Remote(resolver) => write!(f, "TlsIdentity({resolver:?})"),
        }
    }
}

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { what, path: path.display().to_string(), source })
}

/// Reads the identity key that a daemon or client also signs envelopes with.
pub fn read_signing_key(path: &Path) -> Result<SigningKey, TlsError> {
    let pem = zeroize::Zeroizing::new(read(path, "a private key")?);
    let text = std::str::from_utf8(&pem).map_err(|error| error.to_string());
    text.and_then(|text| SigningKey::from_pkcs8_pem(text).map_err(|error: KeyError| error.to_string())).map_err(
        |reason| TlsError::Content {
            what: "a PKCS#8 PEM key (P-256 or Ed25519)",
            path: path.display().to_string(),
            reason,
        },
    )
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn spki_of(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, rustls::Error> {
    Ok(ParsedCertificate::try_from(certificate)?.subject_public_key_info().as_ref().to_vec())
}

/// Names known by pinned public keys.
#[derive(Clone, Default)]
pub struct Pins {
    by_spki: HashMap<Vec<u8>, String>,
}

impl Pins {
    /// Pins a key for a name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, key: &PublicKey) -> Self {
        self.by_spki.insert(key.to_spki_der(), name.into());
        self
    }

    /// The name for which this certificate's key is pinned.
    pub fn name_of(&self, certificate: &CertificateDer<'_>) -> Option<&str> {
        self.by_spki.get(&spki_of(certificate).ok()?).map(String::as_str)
    }
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_spki.values()).finish()
    }
}

/// Accepts exactly the certificates whose public key is pinned; names, dates and issuers in them mean nothing.
#[derive(Debug)]
struct PinnedVerifier {
    pins: Pins,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinnedVerifier {
    fn new(pins: Pins) -> Arc<Self> {
        Arc::new(Self { pins, algorithms: provider().signature_verification_algorithms })
    }

    fn check(&self, certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        match self.pins.name_of(certificate) {
            Some(_) => Ok(()),
            None => Err(rustls::Error::InvalidCertificate(rustls::CertificateError::ApplicationVerificationFailure)),
        }
    }
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PinnedVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Accepts pinned keys, and clients of an authority.
#[derive(Debug)]
struct EitherVerifier {
    pinned: Arc<PinnedVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for EitherVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        match self.pinned.check(end_entity) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(_) => self.clients.verify_client_cert(end_entity, intermediates, now),
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ClientCertVerifier::verify_tls12_signature(&*self.pinned, message, certificate, signature)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        ClientCertVerifier::verify_tls13_signature(&*self.pinned, message, certificate, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ClientCertVerifier::supported_verify_schemes(&*self.pinned)
    }
}

/// Server side for machines of the cluster: only pinned keys get in.
pub fn pinned_server(identity: &TlsIdentity, pins: Pins) -> Result<Arc<ServerConfig>, TlsError> {
    server(identity, PinnedVerifier::new(pins))
}

/// Server side for machines of the cluster and, where an authority is given, for clients with a certificate of it. Who is
/// who tells `caller`: a client has no name.
pub fn pinned_or_authority_server(
    identity: &TlsIdentity,
    pins: Pins,
    authority: Option<&Path>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let Some(authority) = authority else { return pinned_server(identity, pins) };
    let clients = WebPkiClientVerifier::builder_with_provider(roots(authority)?, provider())
        .build()
        .map_err(|error| TlsError::Authority(error.to_string()))?;
    server(identity, Arc::new(EitherVerifier { pinned: PinnedVerifier::new(pins), clients }))
}

/// Server side for clients: certificates of this authority get in.
pub fn authority_server(identity: &TlsIdentity, authority: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority)?, provider())
        .build()
        .map_err(|error| TlsError::Authority(error.to_string()))?;
    server(identity, verifier)
}

/// Server side for callers who show who they are in what they send, signed, and have no certificate: the connection only keeps strangers
/// from reading and changing it on the way.
pub fn open_server(identity: &TlsIdentity) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth();
    Ok(settled(identity.server(builder)?))
}

/// Client side of [`open_server`]: the server is known by its pinned key, we stay without a certificate.
pub fn open_client(server_name: &str, server_key: &PublicKey) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(PinnedVerifier::new(Pins::default().with(server_name, server_key)));
    Ok(client(builder.with_no_client_auth()))
}

fn server(identity: &TlsIdentity, verifier: Arc<dyn ClientCertVerifier>) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier);
    Ok(settled(identity.server(builder)?))
}

fn settled(mut config: ServerConfig) -> Arc<ServerConfig> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Arc::new(config)
}

/// Client side towards one machine of the cluster, known by its pinned key.
pub fn pinned_client(
    identity: &TlsIdentity,
    server_name: &str,
    server_key: &PublicKey,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(PinnedVerifier::new(Pins::default().with(server_name, server_key)));
    Ok(client(identity.client(builder)?))
}

/// Client side towards a server with a certificate of this authority.
pub fn authority_client(identity: &TlsIdentity, authority: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(authority)?);
    Ok(client(identity.client(builder)?))
}

fn client(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

fn roots(authority: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let pem = read(authority, "certificate authorities")?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| TlsError::Authority(error.to_string()))?;
        store.add(certificate)?;
    }
    if store.is_empty() {
        return Err(TlsError::Authority(format!("{} holds no certificate", authority.display())));
    }
    Ok(Arc::new(store))
}
