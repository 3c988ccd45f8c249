//! A token that fails as it is told: a software provider that every call of the trait passes through, for the tests of all who
//! use one. Faults are switched while callers wait, nothing is timed, and what the device itself holds can be looked at beside them.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use limen_wire::ids::{HeldId, KekId};
use limen_wire::keys::PublicKey;
use zeroize::Zeroizing;

use crate::bridge::{frame, messages};
use crate::error::{HsmError, Kind};
use crate::held::{HeldKind, HeldPublic};
use crate::provider::{Anchor, Description, Provider};
use crate::software::DangerSoftware;

/// How long a bridge of a test waits for the rest of a frame.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a device does with every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What the software does.
    Works,
    /// Refuses each, as this.
    Refuses(Kind),
    /// Says that it works, and opens everything as 32 zeros.
    Lies,
    /// Says that it works, and opens everything as something of another length.
    Babbles,
    /// Answers nothing until it is told otherwise: then, to whoever still listens, as it is told.
    Silent,
    /// Answers everything but signatures by held keys: those as [`Self::Silent`] does.
    HoldsBack,
    /// Another one is in its place.
    Another,
    /// Signs by held keys with the greater S.
    HighS,
    /// Signs by held keys something else than it is given.
    SignsOther,
    /// Answers with 64 bytes that are no signature by a held key.
    SignsNothing,
    /// Shows another key under each name of a held one.
    ShowsOther,
}

struct State {
    mode: Mode,
    /// Calls that it answers before it is pulled; `None` for all of them.
    left: Option<u64>,
    /// Calls that wait in it now.
    inside: usize,
    calls: usize,
    opened: u64,
}

/// A software provider, with another one that may take its place, and a switch before both.
pub struct Device {
    /// What it holds, without its faults.
    pub software: DangerSoftware,
    /// What is there in [`Mode::Another`].
    pub another: DangerSoftware,
    state: Mutex<State>,
    changed: Condvar,
}

impl Device {
    /// One that works. Its key file holds the byte, and is made if it is not there; the other's is beside it, and holds the byte after.
    pub fn open(key_file: &Path, byte: u8) -> Self {
        let opened = |path: &Path, byte: u8| {
            if !path.exists() {
                let made = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
                made.unwrap().write_all(hex::encode([byte; 32]).as_bytes()).unwrap();
            }
            DangerSoftware::open(path, true).unwrap()
        };
        let software = opened(key_file, byte);
        let another = opened(&key_file.with_extension("another"), byte.wrapping_add(1));
        let state = State { mode: Mode::Works, left: None, inside: 0, calls: 0, opened: 0 };
        Self { software, another, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// One behind the bridge's socket, its key files beside it. Serves from now until the process ends.
    pub fn at_socket(socket: &Path, byte: u8) -> Arc<Self> {
        let device = Arc::new(Self::open(&socket.with_extension("key"), byte));
        let (listener, served) = (UnixListener::bind(socket).unwrap(), Arc::clone(&device));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, device) = (stream.unwrap(), Arc::clone(&served));
                std::thread::spawn(move || serve(&*device, stream));
            }
        });
        device
    }

    /// Does so with every call from now on, and with those that wait in it.
    pub fn set(&self, mode: Mode) {
        self.state().mode = mode;
        self.changed.notify_all();
    }

    /// Is pulled after so many calls more: each later one is [`Kind::Gone`].
    pub fn pull_after(&self, calls: u64) {
        self.state().left = Some(calls);
    }

    /// Ends what [`Self::pull_after`] began.
    pub fn put_back(&self) {
        self.state().left = None;
    }

    /// Whether no call more would be answered since [`Self::pull_after`].
    pub fn is_pulled(&self) -> bool {
        self.state().left == Some(0)
    }

    /// How many calls wait in it.
    pub fn inside(&self) -> usize {
        self.state().inside
    }

    /// Waits until so many do. Blocks its thread.
    pub fn until_inside(&self, calls: usize) {
        drop(self.changed.wait_while(self.state(), |state| state.inside < calls).unwrap());
    }

    /// How many have come to it.
    pub fn calls(&self) -> usize {
        self.state().calls
    }

    /// How many records it was asked to open.
    pub fn opened(&self) -> u64 {
        self.state().opened
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Takes a call in; gives what to do with it, once it is not one of these.
    fn enter(&self, waits: &[Mode]) -> Result<Mode, HsmError> {
        let mut state = self.state();
        state.calls += 1;
        state.inside += 1;
        self.changed.notify_all();
        let mut state = self.changed.wait_while(state, |state| waits.contains(&state.mode)).unwrap();
        state.inside -= 1;
        let refuse = |kind, why| Err(HsmError::new(kind, "use the device", why));
        match &mut state.left {
            Some(0) => return refuse(Kind::Gone, "the device was pulled in the middle"),
            Some(left) => *left -= 1,
            None => {}
        }
        match state.mode {
            Mode::Refuses(kind) => refuse(kind, "the device was told to refuse"),
            mode => Ok(mode),
        }
    }

    /// The one that is there.
    fn device(&self) -> Result<&DangerSoftware, HsmError> {
        Ok(if self.enter(&[Mode::Silent])? == Mode::Another { &self.another } else { &self.software })
    }
}

/// Answers the calls of one connection as the bridge's daemon does, until either side ends.
pub fn serve(provider: &dyn Provider, mut stream: UnixStream) {
    while let Ok(Some(call)) = frame::wait(&mut stream, PATIENCE) {
        let answer = messages::answer(provider, call);
        if frame::write(&mut stream, &answer, Instant::now() + PATIENCE).is_err() {
            return;
        }
    }
}

macro_rules! through {
    ($($name:ident($($arg:ident: $of:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($arg: $of),*) -> Result<$answer, HsmError> {
            self.device()?.$name($($arg),*)
        })*
    };
}

impl Provider for Device {
    through! {
        describe() -> Description;
        create_kek(kek: &KekId) -> ();
        destroy_kek(kek: &KekId) -> ();
        keks() -> Vec<KekId>;
        seal(kek: &KekId, context: &[u8], secret: &[u8]) -> Vec<u8>;
        identity() -> PublicKey;
        sign_identity(message: &[u8]) -> [u8; 64];
        random(count: usize) -> Zeroizing<Vec<u8>>;
        anchor_read() -> Option<Anchor>;
        anchor_advance(to: &Anchor) -> ();
        held_kinds() -> Vec<HeldKind>;
        create_held(name: &HeldId, kind: HeldKind) -> HeldPublic;
        held_names() -> Vec<HeldId>;
    }

    fn unseal(&self, kek: &KekId, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.state().opened += 1;
        match self.enter(&[Mode::Silent])? {
            Mode::Lies => Ok(vec![0; 32].into()),
            Mode::Babbles => Ok(vec![7; 4096].into()),
            Mode::Another => self.another.unseal(kek, context, sealed),
            _ => self.software.unseal(kek, context, sealed),
        }
    }

    fn held(&self, name: &HeldId) -> Result<HeldPublic, HsmError> {
        match self.enter(&[Mode::Silent])? {
            Mode::Another => self.another.held(name),
            Mode::ShowsOther => {
                let kind = self.software.held(name)?.kind();
                let other = HeldId::new(format!("{kind}.other")).unwrap();
                self.software.create_held(&other, kind).or_else(|_| self.software.held(&other))
            }
            _ => self.software.held(name),
        }
    }

    fn sign_held(&self, name: &HeldId, kind: HeldKind, input: &[u8]) -> Result<[u8; 64], HsmError> {
        let by = |input: &[u8]| self.software.sign_held(name, kind, input);
        match self.enter(&[Mode::Silent, Mode::HoldsBack])? {
            Mode::SignsNothing => Ok([7; 64]),
            Mode::SignsOther => by(&[9; 32]),
            Mode::HighS if kind == HeldKind::EcdsaP256 => {
                let one = p256::ecdsa::Signature::from_slice(&by(input)?).unwrap();
                let negated = p256::ecdsa::Signature::from_scalars(*one.r(), -*one.s()).unwrap();
                let high = if one.normalize_s().is_some() { one } else { negated };
                Ok(high.to_bytes().into())
            }
            Mode::HighS => {
                let low = k256::ecdsa::Signature::from_slice(&by(input)?).unwrap();
                let high = k256::ecdsa::Signature::from_scalars(*low.r(), -*low.s()).unwrap();
                assert!(high.normalize_s().is_some(), "it is the greater one");
                Ok(high.to_bytes().into())
            }
            Mode::Another => self.another.sign_held(name, kind, input),
            _ => by(input),
        }
    }
}
