//! The bridge on another machine: TLS 1.3 both ways, each known to the other by its public key alone.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use limen_wire::keys::PublicKey;
use limen_wire::tls::{Pins, TlsError, TlsIdentity, pinned_client, pinned_server};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use super::frame::{Channel, left};

/// No other service of the cluster speaks it: a connection that was meant for one of them ends in the handshake.
const PROTOCOL: &[u8] = b"limen-hsm/1";
/// A name that both sides use; keys are what counts.
const NAME: &str = "hsm-bridge.limen.internal";

/// A socket that looks at the clock before each step, so that bytes that drip in do not put the last moment off.
#[derive(Debug)]
pub struct Timed {
    socket: TcpStream,
    until: Option<Instant>,
}

impl Timed {
    fn step<T>(&mut self, step: impl FnOnce(&mut TcpStream) -> io::Result<T>) -> io::Result<T> {
        let left = left(self.until)?;
        self.socket.set_read_timeout(left)?;
        self.socket.set_write_timeout(left)?;
        step(&mut self.socket).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
            _ => error,
        })
    }
}

impl Read for Timed {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.step(|socket| socket.read(room))
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.step(|socket| socket.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.step(Write::flush)
    }
}

/// The client's end.
pub type ClientStream = StreamOwned<ClientConnection, Timed>;
/// The bridge's end.
pub type ServerStream = StreamOwned<ServerConnection, Timed>;

impl Channel for ClientStream {
    fn until(&mut self, moment: Option<Instant>) -> io::Result<()> {
        self.sock.until = moment;
        left(moment).map(drop)
    }
}

impl Channel for ServerStream {
    fn until(&mut self, moment: Option<Instant>) -> io::Result<()> {
        self.sock.until = moment;
        left(moment).map(drop)
    }
}

/// How the bridge is called: its key is the only one that is talked to.
pub fn client_config(identity: &TlsIdentity, bridge: &PublicKey) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = (*pinned_client(identity, NAME, bridge)?).clone();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// How the bridge is served: these keys get in.
pub fn server_config(identity: &TlsIdentity, callers: &[PublicKey]) -> Result<Arc<ServerConfig>, TlsError> {
    let named = callers.iter().enumerate().map(|(number, key)| (format!("caller-{number}"), key));
    let pins = named.fold(Pins::default(), |pins, (name, key)| pins.with(name, key));
    let mut config = (*pinned_server(identity, pins)?).clone();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

fn refused(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

/// Connects and shakes hands.
pub fn dial(address: SocketAddr, config: &Arc<ClientConfig>, until: Instant) -> io::Result<ClientStream> {
    let patience = left(Some(until))?.ok_or(ErrorKind::TimedOut)?;
    let socket = TcpStream::connect_timeout(&address, patience)?;
    let name = ServerName::try_from(NAME).map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?;
    let connection = ClientConnection::new(Arc::clone(config), name).map_err(refused)?;
    let mut stream = StreamOwned::new(connection, timed(socket, until)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Takes a connection that was accepted, and shakes hands.
pub fn accept(socket: TcpStream, config: &Arc<ServerConfig>, until: Instant) -> io::Result<ServerStream> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(refused)?;
    let mut stream = StreamOwned::new(connection, timed(socket, until)?);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

fn timed(socket: TcpStream, until: Instant) -> io::Result<Timed> {
    // Small frames, each waited for.
    socket.set_nodelay(true)?;
    Ok(Timed { socket, until: Some(until) })
}
