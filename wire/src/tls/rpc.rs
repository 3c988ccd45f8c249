//! TLS under gRPC: who is let in, who called, and how to call.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use super::{Pins, TlsError, spki_of};

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
