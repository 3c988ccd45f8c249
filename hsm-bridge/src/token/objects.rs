//! What lies on a token: wrapping keys, the identity, the anchor; under names that begin with `limen/`.
//!
//! A wrapping key is `limen/kek/NAME`, an AES-256 key whose id spells its mechanism; with HMAC there is `limen/mac/NAME` too.

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism as Cryptoki;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState};
use limen_hsm::{Anchor, HsmError, Kind, Mechanism};
use limen_wire::ids::KekId;
use limen_wire::keys::PublicKey;

use super::Fail;
use super::cipher::Keys;

pub(crate) const KEK: &str = "limen/kek/";
const MAC: &str = "limen/mac/";
pub(crate) const IDENTITY: &str = "limen/identity";
pub(crate) const ANCHOR: &str = "limen/anchor";
/// `OBJECT IDENTIFIER prime256v1`.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// No token here holds more; whatever it says beyond is not read.
const MOST: usize = 4096;

pub(crate) fn find(session: &Session, class: ObjectClass, label: &str) -> Result<Vec<ObjectHandle>, Error> {
    let template = [Attribute::Class(class), Attribute::Label(label.as_bytes().to_vec())];
    session.iter_objects(&template)?.take(MOST).collect()
}

/// The only object of this name.
pub(crate) fn only(session: &Session, class: ObjectClass, label: &str) -> Result<ObjectHandle, Fail> {
    match find(session, class, label)?.as_slice() {
        [] => Err(Fail::Absent(label.to_owned())),
        [one] => Ok(*one),
        several => {
            let detail = format!("there are {} objects named {label}, and one was made", several.len());
            Err(HsmError::new(Kind::OtherKey, "find a key on the token", detail).into())
        }
    }
}

/// Whether this session may see private objects at all.
pub(crate) fn is_logged_in(session: &Session) -> Result<bool, Error> {
    let state = session.get_session_info()?.session_state();
    Ok(matches!(state, SessionState::RoUser | SessionState::RwUser))
}

fn secret(label: &str, on_token: bool) -> Vec<Attribute> {
    vec![
        Attribute::Token(on_token),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::ValueLen(32.into()),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Label(label.as_bytes().to_vec()),
    ]
}

fn make_aes(session: &Session, label: &str, mechanism: Mechanism, on_token: bool) -> Result<ObjectHandle, Error> {
    let uses =
        [Attribute::Id(mechanism.name().as_bytes().to_vec()), Attribute::Encrypt(true), Attribute::Decrypt(true)];
    session.generate_key(&Cryptoki::AesKeyGen, &[secret(label, on_token), uses.to_vec()].concat())
}

fn make_mac(session: &Session, label: &str, on_token: bool) -> Result<ObjectHandle, Error> {
    let uses = [Attribute::Sign(true), Attribute::Verify(true)];
    session.generate_key(&Cryptoki::GenericSecretKeyGen, &[secret(label, on_token), uses.to_vec()].concat())
}

/// Keys for an examination, which end with the session.
pub(crate) fn make_keys_to_try(session: &Session, mechanism: Mechanism) -> Result<Keys<ObjectHandle>, Error> {
    let key = make_aes(session, "limen/trial", mechanism, false)?;
    Ok(match mechanism {
        Mechanism::Aes256Gcm => Keys::Gcm(key),
        Mechanism::Aes256CbcHmacSha256 => Keys::CbcHmac(key, make_mac(session, "limen/trial", false)?),
    })
}

/// Gives the trial keys' room back.
pub(crate) fn drop_keys(session: &Session, keys: Keys<ObjectHandle>) {
    let all = match keys {
        Keys::Gcm(key) => vec![key],
        Keys::CbcHmac(key, mac) => vec![key, mac],
    };
    for key in all {
        // They end with the session at the latest.
        session.destroy_object(key).ok();
    }
}

/// Makes a wrapping key. It exists once its AES key does, which comes last.
pub(crate) fn make_kek(session: &Session, mechanism: Mechanism, kek: &KekId) -> Result<Keys<ObjectHandle>, Fail> {
    let (label, mac_label) = (format!("{KEK}{kek}"), format!("{MAC}{kek}"));
    if !find(session, ObjectClass::SECRET_KEY, &label)?.is_empty() {
        return Err(HsmError::new(Kind::Exists, "make a wrapping key", format!("there is one named {kek}")).into());
    }
    destroy_all(session, &mac_label)?;
    Ok(match mechanism {
        Mechanism::Aes256Gcm => Keys::Gcm(make_aes(session, &label, mechanism, true)?),
        Mechanism::Aes256CbcHmacSha256 => {
            let mac = make_mac(session, &mac_label, true)?;
            Keys::CbcHmac(make_aes(session, &label, mechanism, true)?, mac)
        }
    })
}

fn destroy_all(session: &Session, label: &str) -> Result<usize, Error> {
    let found = find(session, ObjectClass::SECRET_KEY, label)?;
    for object in &found {
        session.destroy_object(*object)?;
    }
    Ok(found.len())
}

/// Destroys a wrapping key, the AES key first. Whether there was one.
pub(crate) fn destroy_kek(session: &Session, kek: &KekId) -> Result<bool, Error> {
    let there = destroy_all(session, &format!("{KEK}{kek}"))? > 0;
    destroy_all(session, &format!("{MAC}{kek}"))?;
    Ok(there)
}

/// Finds a wrapping key and refuses one that could leave the token.
pub(crate) fn kek(session: &Session, kek: &KekId) -> Result<Keys<ObjectHandle>, Fail> {
    let label = format!("{KEK}{kek}");
    let key = only(session, ObjectClass::SECRET_KEY, &label)?;
    refuse_dangers(session, key, &label)?;
    let id = session.get_attributes(key, &[AttributeType::Id])?;
    let name = id.into_iter().find_map(|attribute| match attribute {
        Attribute::Id(id) => String::from_utf8(id).ok(),
        _ => None,
    });
    match name.as_deref().and_then(Mechanism::from_name) {
        Some(Mechanism::Aes256Gcm) => Ok(Keys::Gcm(key)),
        Some(Mechanism::Aes256CbcHmacSha256) => {
            let label = format!("{MAC}{kek}");
            let mac = only(session, ObjectClass::SECRET_KEY, &label)?;
            refuse_dangers(session, mac, &label)?;
            Ok(Keys::CbcHmac(key, mac))
        }
        None => {
            let detail = format!("the id of {label} names no mechanism: it was not made here");
            Err(HsmError::new(Kind::Unsupported, "use a wrapping key", detail).into())
        }
    }
}

pub(crate) fn refuse_dangers(session: &Session, key: ObjectHandle, label: &str) -> Result<(), Fail> {
    let dangers = dangers(session, key)?;
    if dangers.is_empty() {
        return Ok(());
    }
    Err(HsmError::new(Kind::Dangerous, format!("use {label}"), dangers.join(", ")).into())
}

/// Everything by which a key could leave its token. What a token does not say counts as said.
pub(crate) fn dangers(session: &Session, key: ObjectHandle) -> Result<Vec<&'static str>, Error> {
    use AttributeType as T;
    let asked = [T::Token, T::Private, T::Sensitive, T::AlwaysSensitive, T::Extractable, T::NeverExtractable, T::Local];
    let said = session.get_attributes(key, &asked)?;
    let must = [
        (Attribute::Token(true), "is no object of the token (CKA_TOKEN)"),
        (Attribute::Private(true), "is there for whoever has not logged in (CKA_PRIVATE)"),
        (Attribute::Sensitive(true), "can be read (CKA_SENSITIVE)"),
        (Attribute::AlwaysSensitive(true), "could be read before (CKA_ALWAYS_SENSITIVE)"),
        (Attribute::Extractable(false), "can be taken out (CKA_EXTRACTABLE)"),
        (Attribute::NeverExtractable(true), "could be taken out before (CKA_NEVER_EXTRACTABLE)"),
        (Attribute::Local(true), "was not made on the token (CKA_LOCAL)"),
    ];
    let mut dangers: Vec<_> = must.into_iter().filter(|(must, _)| !said.contains(must)).map(|(_, why)| why).collect();
    // Keys that cannot wrap at all, such as those that sign, may leave the question unanswered.
    if session.get_attributes(key, &[T::Wrap])?.contains(&Attribute::Wrap(true)) {
        dangers.push("takes other keys out (CKA_WRAP)");
    }
    Ok(dangers)
}

/// Names of all keys of a class.
pub(crate) fn labels(session: &Session, class: ObjectClass) -> Result<Vec<(ObjectHandle, String)>, Error> {
    let handles: Vec<_> = session.iter_objects(&[Attribute::Class(class)])?.take(MOST).collect::<Result<_, _>>()?;
    let mut labels = Vec::new();
    for handle in handles {
        let label = session.get_attributes(handle, &[AttributeType::Label])?.into_iter().find_map(|it| match it {
            Attribute::Label(label) => Some(String::from_utf8_lossy(&label).into_owned()),
            _ => None,
        });
        labels.push((handle, label.unwrap_or_default()));
    }
    Ok(labels)
}

/// Names of all wrapping keys.
pub(crate) fn keks(session: &Session) -> Result<Vec<KekId>, Error> {
    let labels = labels(session, ObjectClass::SECRET_KEY)?;
    let mut names: Vec<_> = labels.iter().filter_map(|(_, label)| KekId::new(label.strip_prefix(KEK)?).ok()).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The identity: its private key, and the public key that its signatures are checked against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) private: ObjectHandle,
    pub(crate) public: PublicKey,
}

/// Finds the identity and refuses one that could leave the token.
pub(crate) fn identity(session: &Session) -> Result<Identity, Fail> {
    let private = only(session, ObjectClass::PRIVATE_KEY, IDENTITY)?;
    refuse_dangers(session, private, IDENTITY)?;
    let public = only(session, ObjectClass::PUBLIC_KEY, IDENTITY)?;
    let point = session.get_attributes(public, &[AttributeType::EcPoint])?.into_iter().find_map(|it| match it {
        Attribute::EcPoint(point) => Some(point),
        _ => None,
    });
    let public = point.and_then(|point| PublicKey::from_p256_sec1(bare(&point)).ok());
    let unusable = || HsmError::new(Kind::Unsupported, "read the identity", "its public key is no point of P-256");
    Ok(Identity { private, public: public.ok_or_else(unusable)? })
}

/// A point is a DER octet string; some modules leave its head out.
fn bare(point: &[u8]) -> &[u8] {
    match point {
        [0x04, 65, rest @ ..] if rest.len() == 65 => rest,
        other => other,
    }
}

/// Makes the identity. There is one for the life of the token.
pub(crate) fn make_identity(session: &Session) -> Result<(), Error> {
    let name = || [Attribute::Label(IDENTITY.as_bytes().to_vec()), Attribute::Id(IDENTITY.as_bytes().to_vec())];
    let public = [
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::EcParams(P256.to_vec()),
    ];
    let private = [
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ];
    let (public, private) = ([&public[..], &name()].concat(), [&private[..], &name()].concat());
    session.generate_key_pair(&Cryptoki::EccKeyPairGen, &public, &private).map(|_| ())
}

fn anchors(session: &Session) -> Result<Vec<(ObjectHandle, Anchor)>, Fail> {
    let mut anchors = Vec::new();
    for object in find(session, ObjectClass::DATA, ANCHOR)? {
        let value = session.get_attributes(object, &[AttributeType::Value])?.into_iter().find_map(|it| match it {
            Attribute::Value(value) => Some(value),
            _ => None,
        });
        let parts = value.as_deref().and_then(|value| {
            let (sequence, head) = value.split_first_chunk::<8>()?;
            Some(Anchor { sequence: u64::from_be_bytes(*sequence), head: head.try_into().ok()? })
        });
        let damaged = || HsmError::new(Kind::DoesNotOpen, "read the anchor", "the object that holds it is damaged");
        anchors.push((object, parts.ok_or_else(damaged)?));
    }
    Ok(anchors)
}

/// The anchor that is furthest on: a new one is made before the old one goes.
pub(crate) fn anchor(session: &Session) -> Result<Option<Anchor>, Fail> {
    Ok(anchors(session)?.into_iter().map(|(_, anchor)| anchor).max_by_key(|anchor| anchor.sequence))
}

/// Moves it: first the new one, then away with the old.
pub(crate) fn advance_anchor(session: &Session, to: &Anchor) -> Result<(), Fail> {
    let old = anchors(session)?;
    let from = old.iter().map(|(_, anchor)| anchor).max_by_key(|anchor| anchor.sequence);
    Anchor::follows(to, from)?;
    if from == Some(to) {
        return Ok(());
    }
    session.create_object(&[
        Attribute::Class(ObjectClass::DATA),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Application(b"limen".to_vec()),
        Attribute::Label(ANCHOR.as_bytes().to_vec()),
        Attribute::Value([&to.sequence.to_be_bytes()[..], &to.head].concat()),
    ])?;
    for (object, _) in old {
        session.destroy_object(object)?;
    }
    Ok(())
}
