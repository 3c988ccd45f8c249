//! What is done at one token.

use std::sync::Arc;

use cryptoki::mechanism::Mechanism as Cryptoki;
use limen_hsm::provider::{Anchor, Description};
use limen_hsm::sealed;
use limen_hsm::{HsmError, Kind};
use limen_wire::effects::sha256;
use limen_wire::ids::KekId;
use limen_wire::keys::PublicKey;
use zeroize::Zeroizing;

use super::sealing::{kek_keys, know, mechanism, prove, seal, unseal};
use crate::config::{self, Config};
use crate::token::failure::may_be_tamper;
use crate::token::module::{self, Wanted};
use crate::token::state::StateDir;
use crate::token::{Fail, Login, Open, Workers, held, objects};

/// Wrapping keys of which a description opens the known record.
const LOOKED_AT: usize = 4;

/// One token, with its threads.
pub(crate) struct Token {
    login: Arc<Login>,
    workers: Workers,
    most_keks: usize,
}

impl Token {
    pub(crate) fn open(
        token: &config::Token,
        config: &Config,
        pin: Zeroizing<String>,
        state: Arc<StateDir>,
    ) -> Result<Self, HsmError> {
        let wanted = match (&token.token, token.slot) {
            (Some(name), _) => Wanted::Named(name.clone()),
            (None, slot) => Wanted::Slot(slot.unwrap_or_default()),
        };
        let module = module::load(&token.module)?;
        let seen = state.canaries()?.into_iter().map(|kek| format!("{}{kek}", objects::KEK));
        let held = state.held_names()?.into_iter().map(|name| held::label(&name));
        let seen: Vec<_> = seen.chain(held).chain(state.identity()?.map(|_| objects::IDENTITY.to_owned())).collect();
        let login = Login::new(module, wanted, pin, state, config.sealing.wanted());
        seen.iter().for_each(|label| login.saw(label));
        let login = Arc::new(login);
        let limits = &config.limits;
        let workers = Workers::start(&login, limits.workers, limits.queue, limits.deadline())?;
        Ok(Self { login, workers, most_keks: limits.keks })
    }

    pub(crate) fn name(&self) -> String {
        self.login.wanted.to_string()
    }

    /// Ends the threads and logs out; tells whether all ended in time.
    pub(crate) fn close(self) -> bool {
        self.workers.close()
    }

    pub(crate) const fn most_keks(&self) -> usize {
        self.most_keks
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    pub(crate) fn describe(&self) -> Result<Description, HsmError> {
        self.workers.run("describe the token", |open| {
            let mechanism = mechanism(open)?;
            for kek in keks(open)?.iter().take(LOOKED_AT) {
                // A handle that is known already proves nothing about now.
                let keys = kek_keys(open, kek)?;
                prove(open, kek, keys)?;
            }
            let (slot, info) = module::find(&open.login.module.context, &open.login.wanted)?;
            let hardware = open.login.module.context.get_slot_info(slot).is_ok_and(|slot| slot.hardware_slot());
            let library = open.login.module.context.get_library_info();
            let library = library.map_or_else(
                |_| String::new(),
                |info| format!("{} {}", info.library_description(), info.library_version()),
            );
            let about = info.as_ref().map_or_else(String::new, |info| {
                let (hardware, firmware) = (info.hardware_version(), info.firmware_version());
                format!("{} {}, hardware {hardware}, firmware {firmware}; ", info.manufacturer_id(), info.model())
            });
            Ok(Description {
                kind: "pkcs11".to_owned(),
                label: info.as_ref().map_or_else(|| open.login.wanted.to_string(), |info| info.label().to_owned()),
                serial: info.as_ref().map_or_else(String::new, |info| info.serial_number().to_owned()),
                firmware: format!("{about}{library}"),
                mechanism,
                hardware,
                generation: open.login.generation(),
            })
        })
    }

    pub(crate) fn create_kek(&self, kek: &KekId) -> Result<(), HsmError> {
        let (kek, most) = (kek.clone(), self.most_keks);
        let mut began = false;
        self.workers.run("make a wrapping key", move |open| {
            let _one = open.login.change();
            let mechanism = mechanism(open)?;
            let there = objects::keks(open.session)?;
            // The first try made it and did not live to tell.
            if !(began && open.again && there.contains(&kek)) {
                if there.len() >= most && !there.contains(&kek) {
                    let detail = format!("there are {} wrapping keys, and {most} are allowed here", there.len());
                    return Err(HsmError::new(Kind::Full, "make a wrapping key", detail).into());
                }
                began = !there.contains(&kek);
                objects::make_kek(open.session, mechanism, &kek)?;
                open.login.objects_changed();
            }
            // Found as anybody finds it: one that the token did not make as it was told is refused at once.
            let keys = objects::kek(open.session, &kek)?;
            know(open, &kek, keys)
        })
    }

    pub(crate) fn destroy_kek(&self, kek: &KekId) -> Result<(), HsmError> {
        let kek = kek.clone();
        let mut destroyed = false;
        self.workers.run("destroy a wrapping key", move |open| {
            let _one = open.login.change();
            let label = format!("{}{kek}", objects::KEK);
            destroyed |= objects::destroy_kek(open.session, &kek)?;
            open.login.objects_changed();
            if !destroyed {
                return Err(Fail::Absent(label));
            }
            open.login.forget(&label);
            Ok(open.login.state.forget_canary(&kek)?)
        })
    }

    pub(crate) fn keks(&self) -> Result<Vec<KekId>, HsmError> {
        self.workers.run("list the wrapping keys", |open| keks(open))
    }

    pub(crate) fn seal(&self, kek: &KekId, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, HsmError> {
        let (kek, context, secret) = (kek.clone(), context.to_vec(), Zeroizing::new(secret.to_vec()));
        self.workers.run("seal", move |open| {
            let keys = kek_keys(open, &kek)?;
            seal(open, &kek, keys, &context, &secret)
        })
    }

    pub(crate) fn unseal(&self, kek: &KekId, context: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        let (kek, context, bytes) = (kek.clone(), context.to_vec(), bytes.to_vec());
        self.workers.run("unseal", move |open| {
            let keys = kek_keys(open, &kek)?;
            match unseal(open, &kek, keys, &context, &bytes) {
                // This is how some tokens speak of tampering, and how others say that they have lost us. The known record tells.
                Err(Fail::Token(error)) if may_be_tamper(&error) => {
                    prove(open, &kek, keys)?;
                    Err(sealed::does_not_open(&kek).because(error).into())
                }
                other => other,
            }
        })
    }

    /// Opens a wrapping key's known record.
    pub(crate) fn prove(&self, kek: &KekId) -> Result<(), HsmError> {
        let kek = kek.clone();
        self.workers.run("open the known record", move |open| {
            let keys = kek_keys(open, &kek)?;
            prove(open, &kek, keys)
        })
    }

    pub(crate) fn identity(&self) -> Result<PublicKey, HsmError> {
        self.workers.run("read the identity", |open| Ok(open.identity()?.public))
    }

    /// SHA-256 here, because not every token has the mechanism that hashes; the signature is believed once it verifies.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<(PublicKey, [u8; 64]), HsmError> {
        let message = message.to_vec();
        self.workers.run("sign", move |open| {
            let identity = open.identity()?;
            let signed = open.session.sign(&Cryptoki::Ecdsa, identity.private, &sha256(&message))?;
            let signature = low(&signed).filter(|signature| identity.public.verify(&message, signature));
            let broken =
                || HsmError::new(Kind::Device, "sign", "the signature does not verify under the token's public key");
            Ok((identity.public, signature.ok_or_else(broken)?))
        })
    }

    pub(crate) fn random(&self, count: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        self.workers.run("draw random bytes", move |open| {
            let mut room = Zeroizing::new(vec![0; count]);
            open.session.generate_random_slice(&mut room)?;
            Ok(room)
        })
    }

    pub(crate) fn anchor(&self) -> Result<Option<Anchor>, HsmError> {
        self.workers.run("read the anchor", |open| anchor(open))
    }

    pub(crate) fn advance_anchor(&self, to: &Anchor) -> Result<(), HsmError> {
        let to = *to;
        self.workers.run("advance the anchor", move |open| {
            let _one = open.login.change();
            anchor(open)?;
            objects::advance_anchor(open.session, &to)?;
            open.login.saw(objects::ANCHOR);
            Ok(())
        })
    }

    /// Makes the identity if there is none, and tells it.
    pub(crate) fn make_identity(&self) -> Result<PublicKey, HsmError> {
        self.workers.run("make the identity", |open| {
            let _one = open.login.change();
            match open.identity() {
                Err(Fail::Absent(_))
                    if objects::is_logged_in(open.session)? && !open.login.has_seen(objects::IDENTITY) =>
                {
                    objects::make_identity(open.session)?;
                    open.login.objects_changed();
                    Ok(open.identity()?.public)
                }
                other => Ok(other?.public),
            }
        })
    }
}

/// The wrapping keys. None at all is believed only of a session that could see some, and of a token that never showed one.
fn keks(open: &Open<'_>) -> Result<Vec<KekId>, Fail> {
    let keks = objects::keks(open.session)?;
    if keks.is_empty() {
        if let Some(kek) = open.login.state.canaries()?.first() {
            return Err(Fail::Absent(format!("{}{kek}", objects::KEK)));
        }
        if !objects::is_logged_in(open.session)? {
            return Err(Fail::Absent("private object".to_owned()));
        }
    }
    Ok(keks)
}

/// The anchor. None at all is believed only of a session that could see one, and of a token that never showed one.
fn anchor(open: &Open<'_>) -> Result<Option<Anchor>, Fail> {
    let anchor = objects::anchor(open.session)?;
    if anchor.is_some() {
        open.login.saw(objects::ANCHOR);
    } else if open.login.has_seen(objects::ANCHOR) || !objects::is_logged_in(open.session)? {
        return Err(Fail::Absent(objects::ANCHOR.to_owned()));
    }
    Ok(anchor)
}

/// Low S, and 64 bytes.
fn low(bytes: &[u8]) -> Option<[u8; 64]> {
    let signature = p256::ecdsa::Signature::from_slice(bytes).ok()?;
    Some(signature.normalize_s().unwrap_or(signature).to_bytes().into())
}
