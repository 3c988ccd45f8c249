//! The client of `limen-hsm-bridge`, the process that owns the vendor's library.
//!
//! One Unix socket, or TLS to another machine (feature `tls`); one call at a time on a connection, a few connections kept. A bridge that is away is a typed error, and the
//! next call tries again; there is nothing to fall back to, on purpose.

pub mod frame;
pub mod messages;
#[cfg(feature = "tls")]
pub mod tcp;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use limen_wire::ids::{HeldId, KekId};
use limen_wire::keys::PublicKey;
use zeroize::Zeroizing;

use crate::error::{HsmError, Kind};
use crate::held::{self, HeldKind, HeldPublic};
use crate::provider::{Anchor, Description, MAX_SECRET, Provider, check_random, check_seal, check_sign, check_unseal};
use crate::sealed::MAX_SEALED;
use frame::Channel;
use messages::{Answer, Call};

/// Connections kept open between calls.
const KEPT: usize = 8;

/// Where a bridge is.
enum Bridge {
    Socket(PathBuf),
    #[cfg(feature = "tls")]
    Machine(std::net::SocketAddr, std::sync::Arc<rustls::ClientConfig>),
}

impl std::fmt::Display for Bridge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            #[cfg(feature = "tls")]
            Self::Machine(address, _) => address.fmt(f),
        }
    }
}

/// A connection to it.
enum Line {
    Socket(UnixStream),
    #[cfg(feature = "tls")]
    Machine(Box<tcp::ClientStream>),
}

impl Line {
    fn exchange(&mut self, call: &[u8], until: Instant) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Socket(stream) => exchange(stream, call, until),
            #[cfg(feature = "tls")]
            Self::Machine(stream) => exchange(&mut **stream, call, until),
        }
    }
}

/// Sends a call and takes its answer.
fn exchange(channel: &mut impl Channel, call: &[u8], until: Instant) -> io::Result<Option<Vec<u8>>> {
    let sent = frame::write(channel, call, until);
    // A bridge that refuses the connection says so and closes, perhaps before it has read anything.
    match (sent, frame::read(channel, until, Some(until))) {
        (_, Ok(Some(answer))) => Ok(Some(answer)),
        (Err(cause), _) => Err(cause),
        (Ok(()), other) => other,
    }
}

/// A provider behind a socket.
pub struct BridgeClient {
    bridge: Bridge,
    deadline: Duration,
    idle: Mutex<Vec<Line>>,
    next: AtomicU64,
}

/// Why a call got no answer.
enum Lost {
    /// The connection was closed or broke: another one may do.
    Broken(io::Error),
    /// Anything else.
    Ended(HsmError),
}

impl BridgeClient {
    /// For a bridge that may come up later. Every call ends within `deadline`.
    pub fn new(socket: impl Into<PathBuf>, deadline: Duration) -> Self {
        Self::at(Bridge::Socket(socket.into()), deadline)
    }

    /// The same for a bridge on another machine; [`tcp::client_config`] makes the configuration.
    #[cfg(feature = "tls")]
    pub fn over_tls(
        address: std::net::SocketAddr,
        config: std::sync::Arc<rustls::ClientConfig>,
        deadline: Duration,
    ) -> Self {
        Self::at(Bridge::Machine(address, config), deadline)
    }

    fn at(bridge: Bridge, deadline: Duration) -> Self {
        Self { bridge, deadline, idle: Mutex::default(), next: AtomicU64::new(1) }
    }

    fn call(&self, call: Call<'_>) -> Result<Answer, HsmError> {
        let until = Instant::now() + self.deadline;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let frame = messages::request(id, &call);
        // An old connection may have died with its bridge, after it had taken the call: only what may happen twice goes there.
        let old = if call.may_repeat() { self.kept().pop() } else { None };
        if let Some(stream) = old {
            match self.exchange(stream, id, &call, &frame, until) {
                Err(Lost::Broken(_)) => self.kept().clear(),
                Err(Lost::Ended(error)) => return Err(error),
                Ok(answer) => return Ok(answer),
            }
        }
        let stream = self.connect(&call, until)?;
        self.exchange(stream, id, &call, &frame, until).map_err(|lost| match lost {
            Lost::Broken(cause) => self.unreachable(&call, cause),
            Lost::Ended(error) => error,
        })
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<Line>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unreachable(&self, call: &Call<'_>, cause: io::Error) -> HsmError {
        let done = if call.may_repeat() { "" } else { "; whether it was done is not known" };
        let detail = format!("the bridge at {} does not answer: {cause}{done}", self.bridge);
        HsmError::new(Kind::Unreachable, call.words(), detail).because(cause)
    }

    fn connect(&self, call: &Call<'_>, until: Instant) -> Result<Line, HsmError> {
        let connected = match &self.bridge {
            // Only Unix sockets answer at once; the last moment may have passed all the same.
            Bridge::Socket(path) => frame::left(Some(until)).and_then(|_| dial(path)).map(Line::Socket),
            #[cfg(feature = "tls")]
            Bridge::Machine(address, config) => {
                tcp::dial(*address, config, until).map(|stream| Line::Machine(Box::new(stream)))
            }
        };
        connected.map_err(|cause| match self.lost(call, cause) {
            Lost::Ended(error) => error,
            Lost::Broken(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                let detail = format!("too many wait at {} already", self.bridge);
                HsmError::new(Kind::Busy, call.words(), detail)
            }
            Lost::Broken(cause) => self.unreachable(call, cause),
        })
    }

    fn lost(&self, call: &Call<'_>, cause: io::Error) -> Lost {
        match cause.kind() {
            io::ErrorKind::TimedOut => {
                let detail = format!("no answer within {} ms", self.deadline.as_millis());
                Lost::Ended(HsmError::new(Kind::TimedOut, call.words(), detail))
            }
            io::ErrorKind::InvalidData => Lost::Ended(protocol(call, cause.to_string())),
            _ => Lost::Broken(cause),
        }
    }

    fn exchange(&self, mut line: Line, id: u64, call: &Call<'_>, frame: &[u8], until: Instant) -> Result<Answer, Lost> {
        let answer = line.exchange(frame, until).map_err(|cause| self.lost(call, cause))?;
        let answer = answer.ok_or_else(|| Lost::Broken(io::ErrorKind::UnexpectedEof.into()))?;
        let (found, answer) = messages::read_answer(answer).map_err(|why| Lost::Ended(protocol(call, why)))?;
        if found == id {
            let mut kept = self.kept();
            if kept.len() < KEPT {
                kept.push(line);
            }
        } else if found != 0 || !matches!(answer, Answer::Refused(_)) {
            return Err(Lost::Ended(protocol(call, format!("call {id} was answered by {found}"))));
        }
        match answer {
            Answer::Refused(error) => Err(Lost::Ended(error)),
            answer => Ok(answer),
        }
    }
}

fn protocol(call: &Call<'_>, why: impl Into<String>) -> HsmError {
    HsmError::new(Kind::Protocol, call.words(), why)
}

/// Connects without ever waiting: a bridge that takes no connections is busy, not patient.
fn dial(socket: &Path) -> io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let descriptor = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&descriptor, &SocketAddrUnix::new(socket)?)?;
    let stream = UnixStream::from(descriptor);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Takes the one kind of answer that a call has, or says that the bridge answers something else.
macro_rules! expect {
    ($client:ident, $call:expr, $pattern:pat => $value:expr) => {{
        let call = $call;
        match $client.call(call)? {
            $pattern => $value.ok_or_else(|| protocol(&call, "the answer is out of bounds")),
            _ => Err(protocol(&call, "the answer is one to another call")),
        }
    }};
}

impl Provider for BridgeClient {
    fn describe(&self) -> Result<Description, HsmError> {
        expect!(self, Call::Describe, Answer::Description(description) => Some(description))
    }

    fn create_kek(&self, kek: &KekId) -> Result<(), HsmError> {
        expect!(self, Call::CreateKek(kek), Answer::Done => Some(()))
    }

    fn destroy_kek(&self, kek: &KekId) -> Result<(), HsmError> {
        expect!(self, Call::DestroyKek(kek), Answer::Done => Some(()))
    }

    fn keks(&self) -> Result<Vec<KekId>, HsmError> {
        expect!(self, Call::ListKeks, Answer::Keks(names) => Some(names))
    }

    fn seal(&self, kek: &KekId, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, HsmError> {
        check_seal(context, secret)?;
        let call = Call::Seal { kek, context, secret };
        expect!(self, call, Answer::Bytes(bytes) => (bytes.len() <= MAX_SEALED).then(|| bytes.to_vec()))
    }

    fn unseal(&self, kek: &KekId, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        check_unseal(context)?;
        // Longer ones open nowhere, and would not go into a frame. Whether the key is there is the bridge's to say.
        let sealed = sealed.get(..=MAX_SEALED).unwrap_or(sealed);
        let call = Call::Unseal { kek, context, sealed };
        expect!(self, call, Answer::Bytes(bytes) => (1..=MAX_SECRET).contains(&bytes.len()).then_some(bytes))
    }

    fn identity(&self) -> Result<PublicKey, HsmError> {
        expect!(self, Call::Identity, Answer::Identity(key) => Some(key))
    }

    fn sign_identity(&self, message: &[u8]) -> Result<[u8; 64], HsmError> {
        check_sign(message)?;
        expect!(self, Call::Sign(message), Answer::Bytes(bytes) => <[u8; 64]>::try_from(bytes.as_slice()).ok())
    }

    fn random(&self, count: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        check_random(count)?;
        expect!(self, Call::Random(count), Answer::Bytes(bytes) => (bytes.len() == count).then_some(bytes))
    }

    fn anchor_read(&self) -> Result<Option<Anchor>, HsmError> {
        expect!(self, Call::ReadAnchor, Answer::Anchor(anchor) => Some(anchor))
    }

    fn anchor_advance(&self, to: &Anchor) -> Result<(), HsmError> {
        expect!(self, Call::AdvanceAnchor(to), Answer::Done => Some(()))
    }

    fn held_kinds(&self) -> Result<Vec<HeldKind>, HsmError> {
        expect!(self, Call::HeldKinds, Answer::Names(names) => {
            names.iter().map(|name| HeldKind::from_name(name)).collect::<Option<Vec<_>>>()
        })
    }

    fn create_held(&self, name: &HeldId, kind: HeldKind) -> Result<HeldPublic, HsmError> {
        expect!(self, Call::CreateHeld(name, kind), Answer::Held(key) => (key.kind() == kind).then_some(key))
    }

    fn held(&self, name: &HeldId) -> Result<HeldPublic, HsmError> {
        expect!(self, Call::Held(name), Answer::Held(key) => Some(key))
    }

    fn held_names(&self) -> Result<Vec<HeldId>, HsmError> {
        expect!(self, Call::ListHeld, Answer::Names(names) => {
            names.into_iter().map(|name| HeldId::new(name).ok()).collect::<Option<Vec<_>>>()
        })
    }

    fn sign_held(&self, name: &HeldId, kind: HeldKind, input: &[u8]) -> Result<[u8; 64], HsmError> {
        held::check_input(kind, input)?;
        let call = Call::SignHeld { name, kind, input };
        expect!(self, call, Answer::Bytes(bytes) => <[u8; 64]>::try_from(bytes.as_slice()).ok())
    }
}

impl std::fmt::Debug for BridgeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BridgeClient({})", self.bridge)
    }
}
