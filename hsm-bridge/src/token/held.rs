//! Keys that sign and never leave the token: `limen/held/NAME`, a pair whose id spells its kind.

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism as Cryptoki;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use limen_hsm::{HeldKind, HeldPublic, HsmError, Kind};
use limen_wire::ids::HeldId;

use super::failure::Fail;
use super::objects;

pub(crate) const HELD: &str = "limen/held/";
const TRIAL: &str = "limen/trial";
/// `OBJECT IDENTIFIER`s of the curves.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const SECP256K1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
/// Edwards curves as some tokens name them: `PrintableString edwards25519` (PKCS #11 3.0, section 2.3.10).
const ED25519_BY_NAME: &[u8] = b"\x13\x0cedwards25519";

/// A pair on the token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) private: ObjectHandle,
    pub(crate) public: HeldPublic,
}

pub(crate) fn label(name: &HeldId) -> String {
    format!("{HELD}{name}")
}

const fn curves(kind: HeldKind) -> &'static [&'static [u8]] {
    match kind {
        HeldKind::EcdsaP256 => &[P256],
        HeldKind::EcdsaSecp256k1 => &[SECP256K1],
        HeldKind::EddsaEd25519 => &[ED25519, ED25519_BY_NAME],
    }
}

/// Makes a pair that can do nothing but sign.
fn make_pair(
    session: &Session,
    label: &str,
    kind: HeldKind,
    on_token: bool,
) -> Result<(ObjectHandle, ObjectHandle), Error> {
    let name = [Attribute::Label(label.as_bytes().to_vec()), Attribute::Id(kind.name().as_bytes().to_vec())];
    let private = [
        Attribute::Token(on_token),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Derive(false),
        Attribute::Decrypt(false),
        Attribute::SignRecover(false),
        Attribute::Unwrap(false),
    ];
    let private = [&private[..], &name].concat();
    let mechanism = match kind {
        HeldKind::EddsaEd25519 => Cryptoki::EccEdwardsKeyPairGen,
        HeldKind::EcdsaP256 | HeldKind::EcdsaSecp256k1 => Cryptoki::EccKeyPairGen,
    };
    let mut refused = Error::Pkcs11(RvError::CurveNotSupported, cryptoki::context::Function::GenerateKeyPair);
    for curve in curves(kind) {
        let public = [
            Attribute::Token(on_token),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(curve.to_vec()),
        ];
        match session.generate_key_pair(&mechanism, &[&public[..], &name].concat(), &private) {
            Ok(pair) => return Ok(pair),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// 64 bytes, whatever they are.
pub(crate) fn sign(session: &Session, key: ObjectHandle, kind: HeldKind, input: &[u8]) -> Result<Vec<u8>, Error> {
    match kind {
        HeldKind::EcdsaP256 | HeldKind::EcdsaSecp256k1 => session.sign(&Cryptoki::Ecdsa, key, input),
        HeldKind::EddsaEd25519 => {
            let plain = EddsaParams::new(EddsaSignatureScheme::Ed25519);
            session.sign(&Cryptoki::Eddsa(plain), key, input)
        }
    }
}

/// The point of a public key object: bare, or as a DER octet string.
fn point(session: &Session, public: ObjectHandle, kind: HeldKind) -> Result<HeldPublic, Fail> {
    let point = session.get_attributes(public, &[AttributeType::EcPoint])?.into_iter().find_map(|it| match it {
        Attribute::EcPoint(point) => Some(point),
        _ => None,
    });
    let bare = |point: &[u8]| match (kind, point) {
        (HeldKind::EddsaEd25519, [0x04, 32, rest @ ..]) if rest.len() == 32 => HeldPublic::new(kind, rest),
        (HeldKind::EcdsaP256 | HeldKind::EcdsaSecp256k1, [0x04, 65, rest @ ..]) if rest.len() == 65 => {
            HeldPublic::new(kind, rest)
        }
        (HeldKind::EcdsaP256 | HeldKind::EcdsaSecp256k1, [0x04, 33, rest @ ..]) if rest.len() == 33 => {
            HeldPublic::new(kind, rest)
        }
        _ => HeldPublic::new(kind, point),
    };
    point.and_then(|point| bare(&point)).ok_or_else(|| {
        let detail = format!("its public key is no point of the curve of {kind}");
        HsmError::new(Kind::HeldUnsupported, "read a held key", detail).into()
    })
}

/// Whether the token makes such keys, uses them, and shows their public part: with a pair that ends with the session.
pub(crate) fn examine(session: &Session, kind: HeldKind) -> Result<(), Fail> {
    let (public, private) = make_pair(session, TRIAL, kind, false)?;
    let examined = point(session, public, kind).and_then(|key| {
        let input = [7; 32];
        let signature = sign(session, private, kind, &input)?;
        let works = key.verify(&input, &signature);
        let wrong = || HsmError::new(Kind::HeldUnsupported, "try a held key", "what it signs does not verify");
        if works { Ok(()) } else { Err(wrong().into()) }
    });
    for object in [public, private] {
        // They end with the session at the latest.
        session.destroy_object(object).ok();
    }
    examined
}

/// Whether anything of this name is there.
pub(crate) fn is_there(session: &Session, name: &HeldId) -> Result<bool, Error> {
    Ok(!objects::find(session, ObjectClass::PRIVATE_KEY, &label(name))?.is_empty())
}

/// Makes one; public keys that lost their private ones go.
pub(crate) fn make(session: &Session, name: &HeldId, kind: HeldKind) -> Result<(), Fail> {
    if is_there(session, name)? {
        return Err(HsmError::new(Kind::Exists, "make a held key", format!("there is one named {name}")).into());
    }
    destroy(session, name)?;
    make_pair(session, &label(name), kind, true)?;
    Ok(())
}

/// Destroys one, the private key first. Whether there was one.
pub(crate) fn destroy(session: &Session, name: &HeldId) -> Result<bool, Error> {
    let label = label(name);
    let private = objects::find(session, ObjectClass::PRIVATE_KEY, &label)?;
    for object in private.iter().copied().chain(objects::find(session, ObjectClass::PUBLIC_KEY, &label)?) {
        session.destroy_object(object)?;
    }
    Ok(!private.is_empty())
}

/// Finds one, and refuses a key that could leave the token or do more than sign.
pub(crate) fn find(session: &Session, name: &HeldId) -> Result<Held, Fail> {
    let label = label(name);
    let private = objects::only(session, ObjectClass::PRIVATE_KEY, &label)?;
    objects::refuse_dangers(session, private, &label)?;
    refuse_other_uses(session, private, &label)?;
    let public = objects::only(session, ObjectClass::PUBLIC_KEY, &label)?;
    let id = session.get_attributes(private, &[AttributeType::Id])?;
    let kind = id.into_iter().find_map(|attribute| match attribute {
        Attribute::Id(id) => HeldKind::from_name(std::str::from_utf8(&id).ok()?),
        _ => None,
    });
    let unknown = || {
        let detail = format!("the id of {label} names no kind: it was not made here");
        HsmError::new(Kind::HeldUnsupported, "use a held key", detail)
    };
    Ok(Held { private, public: point(session, public, kind.ok_or_else(unknown)?)? })
}

/// What a key could do besides signing. A use that the token does not know of its keys is none.
fn refuse_other_uses(session: &Session, key: ObjectHandle, label: &str) -> Result<(), Fail> {
    use AttributeType as T;
    let said = session.get_attributes(key, &[T::Sign])?;
    let more = [
        (T::Derive, Attribute::Derive(true), "agrees on secrets (CKA_DERIVE)"),
        (T::Decrypt, Attribute::Decrypt(true), "decrypts (CKA_DECRYPT)"),
        (T::SignRecover, Attribute::SignRecover(true), "signs what it shows (CKA_SIGN_RECOVER)"),
        (T::Unwrap, Attribute::Unwrap(true), "takes other keys in (CKA_UNWRAP)"),
    ];
    let mut wrong = Vec::new();
    if !said.contains(&Attribute::Sign(true)) {
        wrong.push("does not sign (CKA_SIGN)");
    }
    for (asked, harmful, why) in more {
        if session.get_attributes(key, &[asked])?.contains(&harmful) {
            wrong.push(why);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(HsmError::new(Kind::Dangerous, format!("use {label}"), wrong.join(", ")).into())
}

/// Names of all of them, sorted.
pub(crate) fn names(session: &Session) -> Result<Vec<HeldId>, Error> {
    let labels = objects::labels(session, ObjectClass::PRIVATE_KEY)?;
    let mut names: Vec<_> =
        labels.iter().filter_map(|(_, label)| HeldId::new(label.strip_prefix(HELD)?).ok()).collect();
    names.sort();
    names.dedup();
    Ok(names)
}
