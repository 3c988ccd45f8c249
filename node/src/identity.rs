//! The key by which peers know this node: in a file, or in a token that signs and never hands it out.
//!
//! A token may be slow, away, or another one than before. So every signature is asked for where waiting holds nobody else up,
//! is checked under the key that the charter pins, and may fail; what could not be signed is asked for again by whoever wants it.

mod handshakes;

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use limen_hsm::files::check_mode;
use limen_hsm::{HsmError, Kind, Provider};
use limen_policy::charter::Charter;
use limen_wire::envelope::Unsigned;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::NodeId;
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::pb;
use limen_wire::tls::{self, TlsIdentity};
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::config::Identity::{Files, Hsm};
use crate::node::{self, StartError};
use handshakes::Handshakes;

const TRIED: &str = "sign by this node's identity";
/// Signatures in the token at the same time, beside those of handshakes: a bridge serves few callers at once.
const PLACES: usize = 8;
/// How long a signature waits for a place.
const PATIENCE: Duration = Duration::from_secs(5);

/// The identity did not sign: its token is away, slow, full, or another one. What was wanted may be asked for again.
#[derive(Debug, thiserror::Error)]
#[error("this node's identity does not sign: {0}")]
pub struct IdentityError(#[from] HsmError);

impl IdentityError {
    /// What went wrong, in one word.
    pub const fn kind(&self) -> Kind {
        self.0.kind()
    }

    /// The token's own error.
    pub fn into_hsm(self) -> HsmError {
        self.0
    }
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        Self::new(Code::HsmUnavailable, error.to_string())
    }
}

/// The key by which peers know this node.
pub struct Identity {
    public: PublicKey,
    place: Place,
}

enum Place {
    File(Box<SigningKey>),
    Token(Arc<Token>),
}

impl From<SigningKey> for Identity {
    /// From a key that is here.
    fn from(key: SigningKey) -> Self {
        Self { public: key.public_key(), place: Place::File(Box::new(key)) }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match &self.place {
            Place::File(_) => "file",
            Place::Token(_) => "token",
        };
        write!(f, "Identity({}, in a {place})", self.public)
    }
}

impl Identity {
    /// Kept by this provider, under the public key that the charter pins. The provider is not asked yet.
    pub fn in_token(provider: Arc<dyn Provider>, pinned: PublicKey) -> Self {
        let token = Token {
            provider,
            pinned,
            places: Arc::new(Semaphore::new(PLACES)),
            trouble: Mutex::default(),
            certificate: OnceLock::new(),
        };
        Self { public: pinned, place: Place::Token(Arc::new(token)) }
    }

    /// The key that verifies.
    pub const fn public_key(&self) -> PublicKey {
        self.public
    }

    /// Signs here and now: fixed form, low S. May wait as long as its provider's calls may take, so not on a thread that serves
    /// others.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 64], IdentityError> {
        match &self.place {
            Place::File(key) => Ok(key.sign(message)),
            Place::Token(token) => Ok(token.sign(message)?),
        }
    }

    /// Signs without holding up the runtime. A key in a file signs at once, and needs none.
    pub async fn sign_aside(&self, message: Vec<u8>) -> Result<[u8; 64], IdentityError> {
        let token = match &self.place {
            Place::File(key) => return Ok(key.sign(&message)),
            Place::Token(token) => Arc::clone(token),
        };
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&token.places).acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or_else(crowded)?;
        let signing = tokio::task::spawn_blocking(move || {
            let _place = place;
            token.sign(&message)
        });
        let stopping = |_| HsmError::new(Kind::Busy, TRIED, "this node is stopping");
        Ok(signing.await.map_err(stopping)??)
    }

    /// Signs a payload in this node's name, without holding up the runtime.
    pub async fn seal(&self, unsigned: Unsigned, me: &NodeId) -> Result<pb::Envelope, IdentityError> {
        let signature = self.sign_aside(unsigned.message()).await?;
        Ok(unsigned.signed(me.as_str(), &signature))
    }

    /// The key that is there now; may wait like [`Self::sign`].
    fn found(&self) -> Result<PublicKey, IdentityError> {
        match &self.place {
            Place::File(_) => Ok(self.public),
            Place::Token(token) => Ok(token.provider.identity()?),
        }
    }

    /// Whether the right token is there; may wait like [`Self::sign`].
    pub fn look(&self) -> Result<(), IdentityError> {
        match &self.place {
            Place::File(_) => Ok(()),
            Place::Token(token) => Ok(token.look()?),
        }
    }

    /// For one side of handshakes, with a bound of its own on how many are in the token; `None` for a key in a file.
    pub(crate) fn handshakes(&self, me: &NodeId) -> Option<TlsIdentity> {
        match &self.place {
            Place::File(_) => None,
            Place::Token(token) => Some(TlsIdentity::remote(Arc::new(Handshakes::new(Arc::clone(token), me)))),
        }
    }
}

/// All that a node proves itself with.
#[derive(Debug)]
pub(crate) struct Credentials {
    /// What it says.
    pub(crate) signs: Arc<Identity>,
    /// To those who call.
    pub(crate) serves: TlsIdentity,
    /// To those whom it calls.
    pub(crate) dials: TlsIdentity,
    node: NodeId,
}

impl Credentials {
    /// As the configuration says. A token is not asked yet.
    pub(crate) fn read(config: &Config, charter: &Charter) -> Result<Self, StartError> {
        let node = config.node.clone();
        let pinned = charter.machine(&node).ok_or_else(|| StartError::NotInCharter(node.to_string()))?.public_key;
        match &config.identity {
            Files { certificate, key } => {
                check_mode(key)?;
                let tls = || TlsIdentity::from_pem_files(certificate, key);
                let (serves, dials, signs) = (tls()?, tls()?, Arc::new(tls::read_signing_key(key)?.into()));
                let credentials = Self { signs, serves, dials, node };
                credentials.is_pinned(credentials.signs.public_key(), pinned)?;
                Ok(credentials)
            }
            Hsm => {
                let signs = Arc::new(Identity::in_token(node::provider(config, charter)?, pinned));
                let tls = || signs.handshakes(&node).ok_or_else(|| StartError::NotInCharter(node.to_string()));
                let (serves, dials) = (tls()?, tls()?);
                Ok(Self { signs, serves, dials, node })
            }
        }
    }

    /// The same for a start: refused if the token has another identity. One that is away may come back.
    pub(crate) async fn present(config: &Config, charter: &Charter) -> Result<Self, StartError> {
        let credentials = Self::read(config, charter)?;
        let asked = Arc::clone(&credentials.signs);
        let pinned = asked.public_key();
        match tokio::task::spawn_blocking(move || asked.found()).await {
            Ok(Ok(found)) => credentials.is_pinned(found, pinned)?,
            // Waiting mends none of these.
            Ok(Err(error)) if matches!(error.kind(), Kind::OtherKey | Kind::Missing | Kind::Dangerous) => {
                return Err(error.into());
            }
            Ok(Err(error)) => tracing::error!(
                %error,
                "ALARM: starting without the token of this node's identity: nobody can be talked to until it is there"
            ),
            Err(_) => {}
        }
        Ok(credentials)
    }

    /// Whether the key is there, is the pinned one, and signs.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        self.is_pinned(self.signs.found()?, self.signs.public_key())?;
        self.signs.sign(b"limen-node --check-config")?;
        Ok(())
    }

    /// Whether the version in force pins this identity: a signer that is to get another one goes on with the one before until then.
    pub(crate) fn is_in_force(&self, charter: &Charter) -> Result<(), StartError> {
        let here = charter.machine(&self.node).ok_or_else(|| StartError::NotInCharter(self.node.to_string()))?;
        self.is_pinned(self.signs.public_key(), here.public_key)
    }

    fn is_pinned(&self, found: PublicKey, pinned: PublicKey) -> Result<(), StartError> {
        if found == pinned {
            return Ok(());
        }
        Err(StartError::OtherIdentity { node: self.node.clone(), found: found.into(), pinned: pinned.into() })
    }
}

fn crowded() -> HsmError {
    HsmError::new(Kind::Busy, TRIED, "too many signatures wait for its token already")
}

/// A key in a token.
struct Token {
    provider: Arc<dyn Provider>,
    pinned: PublicKey,
    places: Arc<Semaphore>,
    /// Why the last call failed.
    trouble: Mutex<Option<Kind>>,
    /// Made when it is first wanted.
    certificate: OnceLock<CertificateDer<'static>>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.pinned)
    }
}

impl Token {
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], HsmError> {
        let signed = self.provider.sign_identity(message);
        // A token that was put in the place of ours signs too, and peers would only see that it is not ours.
        let checked = signed.and_then(|signature| match self.pinned.verify(message, &signature) {
            true => Ok(signature),
            false => Err(self.foreign()),
        });
        self.note(checked.as_ref().err());
        checked
    }

    /// Why a signature is not by the pinned key.
    fn foreign(&self) -> HsmError {
        let broken = || HsmError::new(Kind::Device, TRIED, "its signature does not verify under its public key");
        self.found().map_or_else(|error| error, |()| broken())
    }

    /// An error unless the token's identity is the pinned one.
    fn found(&self) -> Result<(), HsmError> {
        let found = self.provider.identity()?;
        if found == self.pinned {
            return Ok(());
        }
        let detail = format!("the token's identity is {found}, and the charter pins {} for this node", self.pinned);
        Err(HsmError::new(Kind::OtherKey, TRIED, detail))
    }

    fn look(&self) -> Result<(), HsmError> {
        let found = self.found();
        // That the right key is there does not say that it signs: only a signature ends the alarm.
        if let Err(error) = &found {
            self.note(Some(error));
        }
        found
    }

    /// Tells operators when it stops to sign, and when it signs again.
    fn note(&self, error: Option<&HsmError>) {
        if error.is_some_and(|error| error.kind() == Kind::Busy) {
            return;
        }
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *trouble, error.map(HsmError::kind));
        match (error, before) {
            (Some(error), before) if before != Some(error.kind()) => {
                tracing::error!(%error, "ALARM: this node's identity does not sign: peers and coordinators lose it until it does");
            }
            (None, Some(_)) => tracing::info!("this node's identity signs again"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
