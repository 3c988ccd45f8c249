//! The daemon: a Unix socket, and where it is wanted TLS over TCP; a thread for each connection, one call at a time on each.
//!
//! It holds nothing that a kill could damage, so it ends by being killed, and its supervisor starts it anew.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use limen_hsm::bridge::frame::Channel;
use limen_hsm::bridge::{frame, messages, tcp};
use limen_hsm::{HsmError, Kind, Provider, files};
use limen_wire::tls::{TlsError, TlsIdentity};

use crate::config::{Config, Tls};

/// How long a frame that has begun may take, and an answer that is not read.
const FRAME_PATIENCE: Duration = Duration::from_secs(5);
/// After a connection that could not be taken, such as for want of descriptors.
const BREATH: Duration = Duration::from_millis(100);

/// How often a token is looked at that nobody uses.
const WATCH: Duration = Duration::from_secs(1);

/// Who may call, and how many.
struct Door {
    provider: Arc<dyn Provider>,
    allowed: Vec<u32>,
    most: usize,
    inside: AtomicUsize,
}

/// A socket that is ours alone.
pub struct Listening {
    listener: UnixListener,
    /// Held for the life of the process: a second daemon would take the first one's socket away.
    _lock: File,
    remote: Option<Remote>,
}

/// The door for other machines.
struct Remote {
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
}

impl Remote {
    fn open(tls: &Tls) -> Result<Self, HsmError> {
        let tried = || format!("listen on {}", tls.listen);
        files::check_mode(&tls.key)?;
        let unusable = |error: TlsError| HsmError::new(Kind::File, tried(), error.to_string()).because(error);
        let identity = TlsIdentity::from_pem_files(&tls.certificate, &tls.key).map_err(unusable)?;
        let config = tcp::server_config(&identity, &tls.callers).map_err(unusable)?;
        let listener = TcpListener::bind(tls.listen);
        let listener =
            listener.map_err(|cause| HsmError::new(Kind::File, tried(), cause.to_string()).because(cause))?;
        Ok(Self { listener, config })
    }

    /// Serves on a thread of its own.
    fn serve(&self, door: Arc<Door>) {
        let (listener, config) = (self.listener.try_clone(), Arc::clone(&self.config));
        let serving = listener.and_then(|listener| {
            let thread = std::thread::Builder::new().name("tls".to_owned());
            thread.spawn(move || {
                loop {
                    match listener.accept() {
                        Ok((socket, from)) => admit_remote(&door, &config, socket, from),
                        Err(error) => breathe(&error),
                    }
                }
            })
        });
        if let Err(error) = serving {
            tracing::error!(%error, "the door for other machines stays shut");
        }
    }
}

fn breathe(error: &io::Error) {
    tracing::warn!(%error, "a connection could not be taken");
    std::thread::sleep(BREATH);
}

/// Who it is shows the handshake, on a thread of the connection's own: strangers take places, and lose them soon.
fn admit_remote(door: &Arc<Door>, config: &Arc<rustls::ServerConfig>, socket: TcpStream, from: SocketAddr) {
    if let Err(error) = room(door) {
        tracing::warn!(%error, %from, "a connection is refused");
        return;
    }
    let config = Arc::clone(config);
    enter(door, move |provider| match tcp::accept(socket, &config, Instant::now() + FRAME_PATIENCE) {
        Ok(mut stream) => converse(provider, &mut stream),
        Err(error) => {
            tracing::warn!(%error, %from, "a connection is refused");
            Ok(())
        }
    });
}

impl Listening {
    /// Binds the socket: folder 700, socket 600. A socket that a dead daemon left is replaced. And the door for other machines.
    pub fn on(socket: &Path, tls: Option<&Tls>) -> Result<Self, HsmError> {
        let tried = "listen on the socket";
        let failed = |cause| HsmError::file(tried, socket, cause);
        files::private_folder(socket.parent().unwrap_or(Path::new(".")))?;
        let mut lock_name = socket.as_os_str().to_os_string();
        lock_name.push(".lock");
        let lock_name = PathBuf::from(lock_name);
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_name).map_err(failed)?;
        if lock.try_lock().is_err() {
            let detail = format!("another limen-hsm-bridge serves {}", socket.display());
            return Err(HsmError::new(Kind::Exists, tried, detail));
        }
        match std::fs::remove_file(socket) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
            _ => {}
        }
        let listener = UnixListener::bind(socket).map_err(failed)?;
        // Nobody else has been able to enter the folder meanwhile.
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let remote = tls.map(Remote::open).transpose()?;
        Ok(Self { listener, _lock: lock, remote })
    }

    /// Serves until the process ends.
    pub fn serve(&self, config: &Config, provider: Arc<dyn Provider>) -> ! {
        if config.limits.restart_secs > 0 {
            let (patience, watched) = (Duration::from_secs(config.limits.restart_secs.into()), Arc::clone(&provider));
            let watching =
                std::thread::Builder::new().name("watch".to_owned()).spawn(move || watch(&*watched, patience));
            if let Err(error) = watching {
                tracing::error!(%error, "no thread to watch the token: a library that hangs needs a person");
            }
        }
        if let Some(remote) = self.remote.as_ref() {
            let (door, most) = (Arc::clone(&provider), config.limits.connections);
            let door = Arc::new(Door { provider: door, allowed: Vec::new(), most, inside: AtomicUsize::new(0) });
            remote.serve(door);
        }
        let mut allowed = config.allow_uids.clone();
        allowed.push(rustix::process::geteuid().as_raw());
        let most = config.limits.connections;
        let door = Arc::new(Door { provider, allowed, most, inside: AtomicUsize::new(0) });
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => admit(&door, stream),
                Err(error) => breathe(&error),
            }
        }
    }
}

/// Ends the process once no token has worked for so long: some libraries find a token again only when they are loaded anew, and
/// some hang. At once and without goodbyes, which a library that hangs would not let us say.
fn watch(provider: &dyn Provider, patience: Duration) {
    let mut failing_since = None;
    loop {
        std::thread::sleep(WATCH);
        match provider.describe() {
            Err(error) if matches!(error.kind(), Kind::Gone | Kind::NotLoggedIn | Kind::Device | Kind::TimedOut) => {
                let since = *failing_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= patience {
                    tracing::error!(%error, "ALARM: no token works: the process ends, for its supervisor to start it anew");
                    std::process::abort();
                }
            }
            _ => failing_since = None,
        }
    }
}

fn admit(door: &Arc<Door>, mut stream: UnixStream) {
    if let Err(error) = check(door, &stream) {
        tracing::warn!(%error, "a connection is refused");
        // Whoever was refused may not listen.
        frame::write(&mut stream, &messages::refuse(&error), Instant::now() + BREATH).ok();
        return;
    }
    enter(door, move |provider| converse(provider, &mut stream));
}

/// Serves a connection on a thread of its own.
fn enter(door: &Arc<Door>, serve: impl FnOnce(&dyn Provider) -> io::Result<()> + Send + 'static) {
    door.inside.fetch_add(1, Ordering::AcqRel);
    let here = Arc::clone(door);
    let served = std::thread::Builder::new().name("connection".to_owned()).spawn(move || {
        let _leaves = Leaves(&here);
        if let Err(error) = serve(&*here.provider) {
            tracing::debug!(%error, "a connection ended");
        }
    });
    if let Err(error) = served {
        door.inside.fetch_sub(1, Ordering::AcqRel);
        tracing::warn!(%error, "no thread for a connection");
    }
}

/// Gives the place back, also when a thread panics.
struct Leaves<'a>(&'a Door);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The user at the other end, as the kernel knows them, and the room that is left.
fn check(door: &Door, stream: &UnixStream) -> Result<(), HsmError> {
    let tried = "take the connection";
    let peer = rustix::net::sockopt::socket_peercred(stream);
    let peer = peer.map_err(|cause| HsmError::new(Kind::Protocol, tried, "who calls is not known").because(cause))?;
    let uid = peer.uid.as_raw();
    if !door.allowed.contains(&uid) {
        let detail = format!("user {uid} is not one of those that may call (allow_uids)");
        return Err(HsmError::new(Kind::Exposed, tried, detail));
    }
    room(door)
}

fn room(door: &Door) -> Result<(), HsmError> {
    if door.inside.load(Ordering::Acquire) < door.most {
        return Ok(());
    }
    Err(HsmError::new(Kind::Busy, "take the connection", format!("{} connections are open already", door.most)))
}

fn converse(provider: &dyn Provider, channel: &mut impl Channel) -> io::Result<()> {
    while let Some(call) = frame::wait(channel, FRAME_PATIENCE)? {
        let answer = messages::answer(provider, call);
        frame::write(channel, &answer, Instant::now() + FRAME_PATIENCE)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(allowed: Vec<u32>, most: usize) -> Door {
        let nowhere = limen_hsm::BridgeClient::new("none", FRAME_PATIENCE);
        Door { provider: Arc::new(nowhere), allowed, most, inside: AtomicUsize::new(0) }
    }

    #[test]
    fn only_known_users_come_in_and_only_so_many() {
        let (here, _there) = UnixStream::pair().unwrap();
        let me = rustix::process::geteuid().as_raw();
        check(&door(vec![me], 1), &here).unwrap();
        let error = check(&door(vec![me + 1], 1), &here).unwrap_err();
        assert_eq!(error.kind(), Kind::Exposed);
        assert!(error.to_string().contains(&format!("user {me} ")), "{error}");
        assert_eq!(check(&door(vec![me], 0), &here).unwrap_err().kind(), Kind::Busy);
    }

    #[test]
    fn a_socket_is_ours_alone_and_one_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("run").join("bridge.sock");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let first = Listening::on(&socket, None).unwrap();
        assert_eq!((mode(&socket), mode(socket.parent().unwrap())), (0o600, 0o700));
        assert_eq!(Listening::on(&socket, None).err().unwrap().kind(), Kind::Exists);
        drop(first);
        assert!(socket.exists(), "as a kill leaves it");
        Listening::on(&socket, None).unwrap();
        std::fs::set_permissions(socket.parent().unwrap(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(Listening::on(&socket, None).err().unwrap().kind(), Kind::Exposed);
    }
}
