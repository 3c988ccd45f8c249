//! Mutual TLS 1.3, both ways, for every connection in the cluster.
//!
//! Machines of the cluster (signers and coordinators) are known by the public key that the charter pins for their name;
//! no certificate authority has a say in that. Authorities serve clients only. Sessions are never resumed: a resumed
//! session would check no certificate and use no identity key.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::keys::{KeyError, PublicKey, SigningKey};

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

/// A machine's or client's certificate chain and private key, read from PEM files.
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
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
        Ok(Self { chain, key: PrivateKeyDer::from_pem_slice(key).map_err(|error| error.to_string())? })
    }

    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (self.chain.clone(), self.key.clone_key())
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({} certificates)", self.chain.len())
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
/// who tells [`caller`]: a client has no name.
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

fn server(identity: &TlsIdentity, verifier: Arc<dyn ClientCertVerifier>) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, key) = identity.parts();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// Client side towards one machine of the cluster, known by its pinned key.
pub fn pinned_client(
    identity: &TlsIdentity,
    server_name: &str,
    server_key: &PublicKey,
) -> Result<Arc<ClientConfig>, TlsError> {
    let (chain, key) = identity.parts();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(PinnedVerifier::new(Pins::default().with(server_name, server_key)))
        .with_client_auth_cert(chain, key)?;
    Ok(client(config))
}

/// Client side towards a server with a certificate of this authority.
pub fn authority_client(identity: &TlsIdentity, authority: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    let (chain, key) = identity.parts();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(authority)?)
        .with_client_auth_cert(chain, key)?;
    Ok(client(config))
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

/// A connection that a server has accepted and authenticated.
pub type ServerStream = tokio_rustls::server::TlsStream<TcpStream>;

/// Bounds on connections that have not yet shown who they are: in all, and from one address, so that a stranger who holds
/// connections open without a word cannot shut out those at other addresses.
const HANDSHAKES: usize = 256;
const HANDSHAKES_PER_ADDRESS: usize = 32;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// Connections that have not yet shown who they are, by address.
#[derive(Default)]
struct Strangers(Mutex<HashMap<IpAddr, usize>>);

impl Strangers {
    /// A place for one more, or `None` when there are too many in all or from this address.
    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Stranger> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = counts.values().sum();
        let here = counts.get(&address).copied().unwrap_or_default();
        if total >= HANDSHAKES || here >= HANDSHAKES_PER_ADDRESS {
            return None;
        }
        counts.insert(address, here.saturating_add(1));
        Some(Stranger { address, all: Arc::clone(self) })
    }
}

/// One place; given back on drop.
struct Stranger {
    address: IpAddr,
    all: Arc<Strangers>,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Accepts connections and does their handshakes side by side, bounded in number and time. Refused connections go to
/// `refused` with the remote address, for the log and the counters. Ends when the returned stream is dropped.
pub fn incoming(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    refused: impl Fn(SocketAddr, String) + Send + Sync + 'static,
) -> ReceiverStream<Result<ServerStream, std::io::Error>> {
    let (accepted, stream) = mpsc::channel(HANDSHAKES_PER_ADDRESS);
    let refused = Arc::new(refused);
    let acceptor = TlsAcceptor::from(config);
    let strangers = Arc::new(Strangers::default());
    tokio::spawn(async move {
        loop {
            let (socket, remote) = tokio::select! {
                () = accepted.closed() => return,
                result = listener.accept() => match result {
                    Ok(pair) => pair,
                    // Out of file handles or a connection that died in the queue: the next one may do.
                    Err(_) => { tokio::time::sleep(Duration::from_millis(10)).await; continue }
                },
            };
            let Some(place) = strangers.admit(remote.ip()) else {
                refused(remote, "too many connections without a finished handshake".to_owned());
                continue;
            };
            let (acceptor, accepted, refused) = (acceptor.clone(), accepted.clone(), Arc::clone(&refused));
            tokio::spawn(async move {
                let tls = handshake(&acceptor, socket).await;
                drop(place);
                match tls {
                    Ok(tls) => drop(accepted.send(Ok(tls)).await),
                    Err(reason) => refused(remote, reason),
                }
            });
        }
    });
    ReceiverStream::new(stream)
}

async fn handshake(acceptor: &TlsAcceptor, socket: TcpStream) -> Result<ServerStream, String> {
    socket.set_nodelay(true).map_err(|error| error.to_string())?;
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no TLS handshake within {} s", HANDSHAKE_TIMEOUT.as_secs())),
    }
}

/// The name for which the caller's certificate is pinned; `None` without TLS or with another certificate.
pub fn caller<T>(request: &tonic::Request<T>, pins: &Pins) -> Option<String> {
    let certificates = request.peer_certs()?;
    pins.name_of(certificates.first()?).map(str::to_owned)
}

/// The SHA-256 of the caller's public key, whoever vouches for it; `None` without TLS.
pub fn caller_key<T>(request: &tonic::Request<T>) -> Option<[u8; 32]> {
    let certificates = request.peer_certs()?;
    Some(crate::effects::sha256(&spki_of(certificates.first()?).ok()?))
}

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct Dial {
    /// `host:port`.
    pub address: String,
    /// The name that an authority's certificate must carry; without meaning for pinned keys.
    pub server_name: String,
    /// Bound on connecting, TLS handshake included.
    pub connect_timeout: Duration,
    /// Silence after which the connection is probed, and again that long until it counts as dead.
    pub keep_alive: Duration,
}

impl Dial {
    /// With the usual bounds: 5 s to connect, keep-alive after 2 s.
    pub fn new(address: impl Into<String>, server_name: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            server_name: server_name.into(),
            connect_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(2),
        }
    }

    /// A channel that connects when first used and again whenever the connection is lost.
    pub fn lazy(&self, config: Arc<ClientConfig>) -> Result<Channel, TlsError> {
        let connector = TlsConnector::from(config);
        let name = ServerName::try_from(self.server_name.clone())
            .map_err(|_| TlsError::Authority(format!("{:?} is not a server name", self.server_name)))?;
        let address = self.address.clone();
        let bound = self.connect_timeout;
        let connect = tower::service_fn(move |_| {
            let (connector, name, address) = (connector.clone(), name.clone(), address.clone());
            async move {
                let connecting = async {
                    let socket = TcpStream::connect(&address).await?;
                    socket.set_nodelay(true)?;
                    connector.connect(name, socket).await
                };
                let stream = tokio::time::timeout(bound, connecting).await.map_err(std::io::Error::from)??;
                Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(stream))
            }
        });
        // The connector decides where to go; the URI only fills the :authority header.
        let endpoint = Endpoint::from_static("http://limen.internal")
            .http2_keep_alive_interval(self.keep_alive)
            .keep_alive_timeout(self.keep_alive)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(8 << 20);
        Ok(endpoint.connect_with_connector_lazy(connect))
    }
}
