//! A provider without hardware, for development: its keys lie in files, and whoever copies disk and key file has everything.
//!
//! The key file holds 32 bytes as hexadecimal digits. Beside it, in the folder `KEYFILE.d`, lie the wrapping keys, the identity
//! and the anchor, each sealed under that key and named in what is authenticated.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use limen_wire::ids::{HeldId, KekId, tagged_hash};
use limen_wire::keys::{PublicKey, SigningKey};
use zeroize::Zeroizing;

use crate::error::{HsmError, Kind};
use crate::files::{self, Replace};
use crate::held::{HeldKind, HeldPublic};
use crate::provider::{Anchor, Description, Mechanism, Provider, check_random, check_seal, check_sign, check_unseal};
use crate::sealed;

mod held;

const IDENTITY: &str = "identity";
const ANCHOR: &str = "anchor";
const KEK: &str = "kek-";
/// Nothing that this provider writes is longer.
const LONGEST: u64 = 256;

/// AES-256-GCM under keys in files. Development only.
pub struct DangerSoftware {
    root: Box<Aes256Gcm>,
    folder: PathBuf,
    /// One change at a time: of the anchor, and of the identity while there is none.
    changing: Mutex<()>,
}

impl DangerSoftware {
    /// Reads the key file. Refused unless the charter is a development charter.
    pub fn open(key_file: &Path, development: bool) -> Result<Self, HsmError> {
        let tried = "open the provider danger_software";
        if !development {
            let detail = "it keeps its keys in files and works only under a development charter";
            return Err(HsmError::new(Kind::NotDevelopment, tried, detail));
        }
        let failed = |cause| HsmError::file("read the wrapping key", key_file, cause);
        let text = Zeroizing::new(std::fs::read_to_string(key_file).map_err(failed)?);
        files::check_mode(key_file)?;
        let content = || {
            let path = key_file.display();
            let detail = format!("{path} must hold 64 hexadecimal digits: make one with `openssl rand -hex 32`");
            HsmError::new(Kind::File, "read the wrapping key", detail)
        };
        let mut key = Zeroizing::new([0u8; 32]);
        hex::decode_to_slice(text.trim(), key.as_mut()).map_err(|_| content())?;
        let mut folder = key_file.as_os_str().to_os_string();
        folder.push(".d");
        Ok(Self { root: cipher(key.as_ref())?, folder: folder.into(), changing: Mutex::new(()) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads what lies under a name, which is part of what was authenticated.
    fn load(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, HsmError> {
        let path = self.path(name);
        let Some(bytes) = files::read(&path, LONGEST)? else { return Ok(None) };
        let opened = open(&self.root, &name_data(name), &bytes).ok_or_else(|| {
            let detail = format!("{} is damaged, or the key file is another one than it was made with", path.display());
            HsmError::new(Kind::DoesNotOpen, "open a key", detail)
        })?;
        Ok(Some(opened))
    }

    fn store(&self, name: &str, secret: &[u8], replace: Replace) -> Result<(), HsmError> {
        files::private_folder(&self.folder)?;
        files::write(&self.path(name), &close(&self.root, &name_data(name), secret)?, replace)
    }

    fn kek(&self, tried: &str, kek: &KekId) -> Result<Box<Aes256Gcm>, HsmError> {
        match self.load(&format!("{KEK}{kek}"))? {
            Some(key) => cipher(&key),
            None => Err(missing(tried, kek)),
        }
    }

    /// What the names of files say after a beginning, sorted.
    fn names<T: Ord>(&self, beginning: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, HsmError> {
        let failed = |cause| HsmError::file("list the keys", &self.folder, cause);
        let entries = match std::fs::read_dir(&self.folder) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            // Half-written ones carry an ending with capitals and parentheses, which no name has.
            names.extend(name.to_str().and_then(|name| read(name.strip_prefix(beginning)?)));
        }
        names.sort();
        Ok(names)
    }

    fn signing_key(&self) -> Result<SigningKey, HsmError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = self.load(IDENTITY)? {
            return p256::ecdsa::SigningKey::from_slice(&key).map(SigningKey::P256).map_err(|cause| {
                HsmError::new(Kind::DoesNotOpen, "open the identity key", "it is no P-256 key").because(cause)
            });
        }
        loop {
            // All but 2⁻³² of what is drawn is a scalar of the curve.
            let drawn = draw(32)?;
            if let Ok(key) = p256::ecdsa::SigningKey::from_slice(&drawn) {
                self.store(IDENTITY, &drawn, Replace::No)?;
                return Ok(SigningKey::P256(key));
            }
        }
    }
}

fn missing(tried: &str, kek: &KekId) -> HsmError {
    HsmError::new(Kind::Missing, tried, format!("there is no wrapping key {kek}"))
}

fn cipher(key: &[u8]) -> Result<Box<Aes256Gcm>, HsmError> {
    let wrong = |_| HsmError::new(Kind::DoesNotOpen, "use a wrapping key", "it has not 32 bytes");
    Aes256Gcm::new_from_slice(key).map(Box::new).map_err(wrong)
}

fn name_data(name: &str) -> [u8; 32] {
    tagged_hash("limen/danger-software/v1", [name.as_bytes()])
}

fn draw(count: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
    let mut bytes = Zeroizing::new(vec![0; count]);
    getrandom::getrandom(&mut bytes).map_err(|cause| {
        HsmError::new(Kind::Device, "draw random bytes", "the operating system gives none").because(cause)
    })?;
    Ok(bytes)
}

/// `nonce ‖ ciphertext ‖ tag`.
fn close(cipher: &Aes256Gcm, aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, HsmError> {
    let mut nonce = [0; 12];
    nonce.copy_from_slice(&draw(12)?);
    let closed = cipher.encrypt(&nonce.into(), Payload { msg, aad });
    let closed = closed.map_err(|_| HsmError::new(Kind::Device, "seal", "the cipher refused"))?;
    Ok([&nonce[..], &closed].concat())
}

fn open(cipher: &Aes256Gcm, aad: &[u8], bytes: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, msg) = bytes.split_first_chunk::<12>()?;
    cipher.decrypt(&(*nonce).into(), Payload { msg, aad }).ok().map(Zeroizing::new)
}

const GCM: Mechanism = Mechanism::Aes256Gcm;

impl Provider for DangerSoftware {
    fn describe(&self) -> Result<Description, HsmError> {
        Ok(Description {
            kind: "danger_software".to_owned(),
            label: self.folder.with_extension("").display().to_string(),
            serial: String::new(),
            firmware: concat!("limen ", env!("CARGO_PKG_VERSION")).to_owned(),
            mechanism: GCM,
            hardware: false,
            generation: 0,
        })
    }

    fn create_kek(&self, kek: &KekId) -> Result<(), HsmError> {
        self.store(&format!("{KEK}{kek}"), &draw(32)?, Replace::No).map_err(|error| match error.kind() {
            Kind::Exists => HsmError::new(Kind::Exists, "make a wrapping key", format!("there is one named {kek}")),
            _ => error,
        })
    }

    fn destroy_kek(&self, kek: &KekId) -> Result<(), HsmError> {
        files::remove(&self.path(&format!("{KEK}{kek}"))).map_err(|error| match error.kind() {
            Kind::Missing => missing("destroy a wrapping key", kek),
            _ => error,
        })
    }

    fn keks(&self) -> Result<Vec<KekId>, HsmError> {
        self.names(KEK, |name| KekId::new(name).ok())
    }

    fn seal(&self, kek: &KekId, context: &[u8], secret: &[u8]) -> Result<Vec<u8>, HsmError> {
        check_seal(context, secret)?;
        let closed = close(&*self.kek("seal", kek)?, &sealed::associated_data(GCM, kek, context), secret)?;
        let (iv, body) = closed.split_at(GCM.iv_len());
        Ok(sealed::encode(GCM, kek, iv, body))
    }

    fn unseal(&self, kek: &KekId, context: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        check_unseal(context)?;
        let cipher = self.kek("unseal", kek)?;
        let record = sealed::parse(GCM, kek, bytes)?;
        let aad = sealed::associated_data(GCM, kek, context);
        open(&cipher, &aad, &[record.iv, record.body].concat()).ok_or_else(|| sealed::does_not_open(kek))
    }

    fn identity(&self) -> Result<PublicKey, HsmError> {
        Ok(self.signing_key()?.public_key())
    }

    fn sign_identity(&self, message: &[u8]) -> Result<[u8; 64], HsmError> {
        check_sign(message)?;
        Ok(self.signing_key()?.sign(message))
    }

    fn random(&self, count: usize) -> Result<Zeroizing<Vec<u8>>, HsmError> {
        check_random(count)?;
        draw(count)
    }

    fn anchor_read(&self) -> Result<Option<Anchor>, HsmError> {
        let Some(bytes) = self.load(ANCHOR)? else { return Ok(None) };
        let parts = bytes.split_first_chunk::<8>().and_then(|(sequence, head)| Some((sequence, head.try_into().ok()?)));
        let (sequence, head) = parts
            .ok_or_else(|| HsmError::new(Kind::DoesNotOpen, "read the anchor", "its file is of another version"))?;
        Ok(Some(Anchor { sequence: u64::from_be_bytes(*sequence), head }))
    }

    fn anchor_advance(&self, to: &Anchor) -> Result<(), HsmError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let from = self.anchor_read()?;
        Anchor::follows(to, from.as_ref())?;
        if from.as_ref() == Some(to) {
            return Ok(());
        }
        self.store(ANCHOR, &[&to.sequence.to_be_bytes()[..], &to.head].concat(), Replace::Yes)
    }

    fn held_kinds(&self) -> Result<Vec<HeldKind>, HsmError> {
        Ok(HeldKind::ALL.to_vec())
    }

    fn create_held(&self, name: &HeldId, kind: HeldKind) -> Result<HeldPublic, HsmError> {
        self.make_held(name, kind)
    }

    fn held(&self, name: &HeldId) -> Result<HeldPublic, HsmError> {
        self.held_public(name)
    }

    fn held_names(&self) -> Result<Vec<HeldId>, HsmError> {
        self.all_held()
    }

    fn sign_held(&self, name: &HeldId, kind: HeldKind, input: &[u8]) -> Result<[u8; 64], HsmError> {
        self.sign_by_held(name, kind, input)
    }
}

impl std::fmt::Debug for DangerSoftware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DangerSoftware(key redacted)")
    }
}
