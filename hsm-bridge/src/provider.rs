//! The PKCS#11 provider: [`limen_hsm::Provider`] over one token, or over several that hold the same keys.

mod held;
mod one;
mod sealing;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use limen_hsm::held::check_input;
use limen_hsm::provider::{Anchor, Description, Provider, check_random, check_seal, check_sign, check_unseal};
use limen_hsm::{HeldKind, HeldPublic, HsmError, Kind};
use limen_wire::ids::{HeldId, KekId};
use limen_wire::keys::PublicKey;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::pin;
use crate::token::module;
use crate::token::state::StateDir;

pub(crate) use held::kinds;
pub(crate) use one::Token;
pub(crate) use sealing::examine;

/// Tokens that hold the same keys, in the order in which they step in. The one that worked last is asked first, and stays.
pub struct Pkcs11Provider {
    tokens: Vec<Token>,
    active: AtomicUsize,
    /// Every token must show this one, now and after a restart.
    identity: OnceLock<PublicKey>,
    state: Arc<StateDir>,
}

impl Pkcs11Provider {
    /// Loads the libraries and reads the PINs; what needs a token waits for the first call, so that a token may come later.
    pub fn open(config: &Config, credentials: Option<&Path>) -> Result<Self, HsmError> {
        let state = Arc::new(StateDir::open(config.state_dir.clone())?);
        let token = |token| Token::open(token, config, pin::read(token, credentials)?, Arc::clone(&state));
        let tokens = config.tokens.iter().map(token).collect::<Result<_, _>>()?;
        let identity = state.identity()?.map(OnceLock::from).unwrap_or_default();
        Ok(Self { tokens, active: AtomicUsize::new(0), identity, state })
    }

    /// Makes the identity at the first token, if there is none, and tells it.
    pub fn make_identity(&self) -> Result<PublicKey, HsmError> {
        match self.tokens.first() {
            Some(token) => self.same_identity(token, token.make_identity()?),
            None => Err(HsmError::new(Kind::Gone, "make the identity", "no token is configured")),
        }
    }

    /// Ends all use of the libraries: for a command that ends, and only while no other provider is open in the process.
    pub fn close(self) {
        let mut ended = true;
        for token in self.tokens {
            ended &= token.close();
        }
        // A thread that hangs in a library would not survive this.
        if ended {
            module::finalize_all();
        }
    }

    pub(crate) fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// Asks the active token, and the others after it where one fails as a token, or lacks what is asked for. The first error is the
    /// one that is told. A token that has what the active one lacks does not step in for it: the active one works.
    fn any<T>(&self, ask: impl Fn(&Token) -> Result<T, HsmError>) -> Result<T, HsmError> {
        let (count, active) = (self.tokens.len(), self.active.load(Ordering::Acquire));
        let (mut first, mut failed) = (None, false);
        for at in (0..count).map(|offset| (active + offset) % count) {
            let Some(token) = self.tokens.get(at) else { continue };
            match ask(token) {
                Err(error) if error.kind().is_of_the_token() => {
                    tracing::warn!(token = %token.name(), %error, "a token failed");
                    failed = true;
                    first.get_or_insert(error);
                }
                Err(error) if error.kind() == Kind::Missing => {
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
                Ok(answer) => {
                    if at != active && failed {
                        tracing::error!(token = %token.name(), "ALARM: another token has stepped in");
                        self.active.store(at, Ordering::Release);
                    }
                    return Ok(answer);
                }
            }
        }
        Err(first.unwrap_or_else(|| HsmError::new(Kind::Gone, "ask a token", "none is configured")))
    }

    /// Destroys a held key at every token: nothing is signed by it again. For the operator at the bridge; no signer can ask for it.
    /// [`Kind::Missing`] if there is none.
    pub fn destroy_held(&self, name: &HeldId) -> Result<(), HsmError> {
        self.everywhere(|token| token.destroy_held(name))
    }

    /// Destroys something at every token, or it is not destroyed.
    fn everywhere(&self, destroy: impl Fn(&Token) -> Result<(), HsmError>) -> Result<(), HsmError> {
        let (mut destroyed, mut failed) = (0, None);
        for token in &self.tokens {
            match destroy(token) {
                Ok(()) => destroyed += 1,
                Err(error) => {
                    // That it is nowhere weighs less than that it may still be somewhere.
                    if failed.as_ref().is_none_or(|failed: &HsmError| failed.kind() == Kind::Missing) {
                        failed = Some(error);
                    }
                }
            }
        }
        match failed {
            Some(error) if error.kind() != Kind::Missing || destroyed == 0 => Err(error),
            _ => Ok(()),
        }
    }

    /// The same key, whichever token answers.
    fn same_identity(&self, token: &Token, key: PublicKey) -> Result<PublicKey, HsmError> {
        match self.identity.get() {
            Some(first) if *first == key => return Ok(key),
            Some(_) => {}
            None => {
                self.state.keep_identity(&key)?;
                return Ok(*self.identity.get_or_init(|| key));
            }
        }
        let detail = format!("{} holds another identity than the token before it", token.name());
        Err(HsmError::new(Kind::OtherKey, "use the identity", detail))
    }
}

impl Provider for Pkcs11Provider {
    fn describe(&self) -> Result<Description, HsmError> {
        self.any(Token::describe)
    }

    /// At the first token only: its keys come to the others by the vendor's ceremony.
    fn create_kek(&self, kek: &KekId) -> Result<(), HsmError> {
        match self.tokens.first() {
            Some(token) => token.create_kek(kek),
            None => Err(HsmError::new(Kind::Gone, "make a wrapping key", "no token is configured")),
        }
    }

    /// At every token, or it is not destroyed.
    fn destroy_kek(&self, kek: &KekId) -> Result<(), HsmError> {
        self.everywhere(|token| token.destroy_kek(kek))
    }

    fn keks(&self) -> Result<Vec<KekId>, HsmError> {
        self.any(Token::keks)
    }

    fn seal(&self, kek: &KekId, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, HsmError> {
        check_seal(context, secret)?;
        self.any(|token| token.seal(kek, context, secret))
    }

    fn unseal(&self, kek: &KekId, context: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        check_unseal(context)?;
        self.any(|token| token.unseal(kek, context, sealed))
    }

    fn identity(&self) -> Result<PublicKey, HsmError> {
        self.any(|token| self.same_identity(token, token.identity()?))
    }

    fn sign_identity(&self, message: &[u8]) -> Result<[u8; 64], HsmError> {
        check_sign(message)?;
        self.any(|token| {
            let (key, signature) = token.sign(message)?;
            self.same_identity(token, key).map(|_| signature)
        })
    }

    fn random(&self, count: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        check_random(count)?;
        self.any(|token| token.random(count))
    }

    /// The furthest of all tokens that answer: one that was away stands further back, which is no going back.
    fn anchor_read(&self) -> Result<Option<Anchor>, HsmError> {
        let mut furthest: Result<Option<Anchor>, HsmError> = self.any(Token::anchor);
        for token in &self.tokens {
            if let (Ok(furthest), Ok(anchor)) = (&mut furthest, token.anchor())
                && anchor.map(|anchor| anchor.sequence) > furthest.map(|anchor| anchor.sequence)
            {
                *furthest = anchor;
            }
        }
        furthest
    }

    /// At every token that answers, and at one at least.
    fn anchor_advance(&self, to: &Anchor) -> Result<(), HsmError> {
        // Before any moves, all that can be asked agree: none is left further on than the answer says.
        Anchor::follows(to, self.anchor_read()?.as_ref())?;
        let mut moved = Err(HsmError::new(Kind::Gone, "advance the anchor", "no token is configured"));
        for token in &self.tokens {
            match token.advance_anchor(to) {
                Ok(()) => moved = Ok(()),
                Err(error) if error.kind().is_of_the_token() => {
                    tracing::warn!(token = %token.name(), %error, "the anchor was not advanced at this token");
                    moved = moved.or(Err(error));
                }
                Err(error) => return Err(error),
            }
        }
        moved
    }

    /// Of the token that answers.
    fn held_kinds(&self) -> Result<Vec<HeldKind>, HsmError> {
        self.any(Token::held_kinds)
    }

    /// At the first token only: it lives there.
    fn create_held(&self, name: &HeldId, kind: HeldKind) -> Result<HeldPublic, HsmError> {
        match self.tokens.first() {
            Some(token) => token.create_held(name, kind),
            None => Err(HsmError::new(Kind::Gone, "make a held key", "no token is configured")),
        }
    }

    fn held(&self, name: &HeldId) -> Result<HeldPublic, HsmError> {
        self.any(|token| token.held(name))
    }

    fn held_names(&self) -> Result<Vec<HeldId>, HsmError> {
        self.any(Token::held_names)
    }

    fn sign_held(&self, name: &HeldId, kind: HeldKind, input: &[u8]) -> Result<[u8; 64], HsmError> {
        check_input(kind, input)?;
        self.any(|token| token.sign_held(name, kind, input))
    }
}
