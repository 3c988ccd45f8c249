//! Keys on a token behind PKCS#11 (version 2.40): P-256 by `CKM_ECDSA` over our SHA-256, Ed25519 by `CKM_EDDSA`. The private
//! key stays on the token; what the module answers is believed only after the signature verified here.

mod error;
mod keys;
mod pin;
#[cfg(test)]
mod tests;

use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use limen_wire::effects::sha256;
use limen_wire::keys::PublicKey;

use crate::args::TokenArgs;

pub use error::{TokenError, Tries};
pub(crate) use keys::TokenKey;

/// An open session with a token that has let us in. The session ends before the module does.
pub(crate) struct Token {
    session: Session,
    slot: Slot,
    name: String,
    module: Module,
}

impl Token {
    /// Loads the module, finds the token and logs in. One wrong PIN is one try, never two.
    pub(crate) fn open(path: &Path, args: &TokenArgs) -> Result<Self, TokenError> {
        let module = Module::load(path)?;
        let wanted = args.token.as_deref().unwrap_or_default();
        let (slot, info) = module.token(wanted)?;
        let name = wanted.to_owned();
        let session = module.context.open_ro_session(slot).map_err(error::failed("open a session with", &name))?;
        let token = Self { session, slot, name, module };
        if info.login_required() {
            token.login(&info, args.pin_fd)?;
        }
        Ok(token)
    }

    fn login(&self, info: &TokenInfo, pin_fd: Option<u32>) -> Result<(), TokenError> {
        let token = || self.name.clone();
        if info.user_pin_locked() {
            return Err(TokenError::PinLocked { token: token() });
        }
        if !info.user_pin_initialized() {
            return Err(TokenError::PinNotSet { token: token() });
        }
        let has_pad = info.protected_authentication_path() && pin_fd.is_none();
        let pin = if has_pad { None } else { Some(pin::read(pin_fd, &self.name)?) };
        match self.session.login(UserType::User, pin.as_ref()) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(cause) => {
                // What the flags say after the try, if the token still says anything.
                let now = self.module.context.get_token_info(self.slot);
                Err(error::login_refused(token(), cause, now.map_or(Tries::Untold, |info| Tries::of(&info))))
            }
        }
    }

    /// The keys of this label and id that we can use.
    pub(crate) fn keys(&self, args: &TokenArgs) -> Result<Vec<TokenKey>, TokenError> {
        keys::read(&self.session, args).map_err(error::failed("read the keys on", &self.name))
    }

    /// None of these keys is the one that is wanted.
    pub(crate) fn lacks(&self, keys: &[TokenKey]) -> TokenError {
        TokenError::NoKey { token: self.name.clone(), keys: keys.iter().map(TokenKey::name).collect() }
    }

    /// Whether it can sign with this key at all: said before anybody reads a card for nothing.
    pub(crate) fn check(&self, key: &TokenKey) -> Result<(), TokenError> {
        if key.asks_each_time {
            return Err(TokenError::AsksEachTime { token: self.name.clone(), key: key.name() });
        }
        let known = self.module.context.get_mechanism_list(self.slot);
        let known = known.map_err(error::failed("ask for the mechanisms of", &self.name))?;
        if known.contains(&mechanism(&key.public).mechanism_type()) {
            Ok(())
        } else {
            Err(error::no_mechanism(&self.name, key))
        }
    }

    /// As our bare keys sign: 64 bytes, and low S, which tokens do not care for.
    pub(crate) fn sign(&self, key: &TokenKey, message: &[u8]) -> Result<[u8; 64], TokenError> {
        let data = match key.public {
            PublicKey::Ed25519(_) => message.to_vec(),
            PublicKey::P256(_) => sha256(message).to_vec(),
        };
        let signed = self.session.sign(&mechanism(&key.public), key.private, &data);
        let bytes = signed.map_err(|cause| error::not_signed(&self.name, key, cause))?;
        let wrong = || TokenError::BadSignature { token: self.name.clone(), key: key.name() };
        let signature = low(&key.public, &bytes).ok_or_else(wrong)?;
        if key.public.verify(message, &signature) { Ok(signature) } else { Err(wrong()) }
    }
}

fn mechanism(key: &PublicKey) -> Mechanism<'static> {
    match key {
        PublicKey::Ed25519(_) => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
        PublicKey::P256(_) => Mechanism::Ecdsa,
    }
}

/// The signature in our form, if it has a form at all.
fn low(key: &PublicKey, bytes: &[u8]) -> Option<[u8; 64]> {
    match key {
        PublicKey::Ed25519(_) => bytes.try_into().ok(),
        PublicKey::P256(_) => {
            let signature = p256::ecdsa::Signature::from_slice(bytes).ok()?;
            Some(signature.normalize_s().unwrap_or(signature).to_bytes().into())
        }
    }
}

/// A vendor's library, initialized for as long as this lives.
struct Module {
    context: Pkcs11,
}

impl Module {
    fn load(path: &Path) -> Result<Self, TokenError> {
        let unusable = |cause| TokenError::Module { module: path.to_owned(), cause };
        // The loader looks for a bare name in folders of its own: what was named is a file.
        let file = path.canonicalize().map_err(|cause| TokenError::NoModule { module: path.to_owned(), cause })?;
        let context = Pkcs11::new(file).map_err(unusable)?;
        context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(unusable)?;
        Ok(Self { context })
    }

    /// The one token of this label or serial number.
    fn token(&self, wanted: &str) -> Result<(Slot, TokenInfo), TokenError> {
        let failed = error::failed("look for", wanted);
        let slots = self.context.get_slots_with_token().map_err(&failed)?;
        // A token that cannot even say its name is none that was named.
        let tokens = slots.into_iter().filter_map(|slot| Some((slot, self.context.get_token_info(slot).ok()?)));
        let tokens: Vec<_> = tokens.filter(|(_, info)| info.token_initialized()).collect();
        let names: Vec<_> = tokens.iter().map(|(_, info)| error::name_of(info)).collect();
        let is_wanted = |info: &TokenInfo| info.label() == wanted || info.serial_number() == wanted;
        let mut found = tokens.into_iter().filter(|(_, info)| is_wanted(info));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(TokenError::NoToken { wanted: wanted.to_owned(), names }),
            (Some(_), Some(_)) => Err(TokenError::SeveralTokens { wanted: wanted.to_owned(), names }),
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // The process ends soon: a module that does not let go has nothing that we would miss.
        self.context.clone().finalize().ok();
    }
}
