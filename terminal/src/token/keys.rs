//! The keys on a token, and the public half of each.

use cryptoki::error::Error;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use limen_wire::keys::PublicKey;

use crate::args::TokenArgs;

/// Curves as `CKA_EC_PARAMS` names them: by object identifier (RFC 5480, RFC 8410) or by name (PKCS#11 3.0, section 2.3.5).
pub(super) const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
pub(super) const ED25519: [&[u8]; 2] = [&[0x06, 0x03, 0x2b, 0x65, 0x70], b"\x13\x0cedwards25519"];

/// The most keys that are looked at: a token for a person has few.
const MOST: usize = 64;

/// A private key on a token, with its public half.
#[derive(Debug, Clone)]
pub(crate) struct TokenKey {
    pub(super) private: ObjectHandle,
    pub(crate) public: PublicKey,
    /// Whether the token wants its PIN again for each signature (`CKA_ALWAYS_AUTHENTICATE`).
    pub(super) asks_each_time: bool,
    label: String,
    id: Vec<u8>,
}

impl TokenKey {
    /// Label, id and public key, as people and the charter write them.
    pub(crate) fn name(&self) -> String {
        format!("{:?} (id {}) {}", self.label, hex::encode(&self.id), self.public)
    }
}

/// Every Ed25519 and P-256 key of the wanted label and id whose public half can be found.
pub(super) fn read(session: &Session, args: &TokenArgs) -> Result<Vec<TokenKey>, Error> {
    let mut template = vec![Attribute::Class(ObjectClass::PRIVATE_KEY)];
    template.extend(args.key_label.as_ref().map(|label| Attribute::Label(label.clone().into_bytes())));
    template.extend(args.key_id.as_ref().map(|id| Attribute::Id(id.0.clone())));
    let mut keys = Vec::new();
    for private in objects(session, &template)? {
        keys.extend(key(session, private)?);
    }
    Ok(keys)
}

fn objects(session: &Session, template: &[Attribute]) -> Result<Vec<ObjectHandle>, Error> {
    session.iter_objects(template)?.take(MOST).collect()
}

/// What one object says of itself.
#[derive(Default)]
struct Said {
    label: Vec<u8>,
    id: Vec<u8>,
    curve: Option<Vec<u8>>,
    point: Option<Vec<u8>>,
    asks_each_time: bool,
}

impl Said {
    fn by(session: &Session, object: ObjectHandle) -> Result<Self, Error> {
        use AttributeType::{AlwaysAuthenticate, EcParams, EcPoint, Id, Label};
        let mut said = Self::default();
        for attribute in session.get_attributes(object, &[Label, Id, EcParams, EcPoint, AlwaysAuthenticate])? {
            match attribute {
                Attribute::Label(label) => said.label = label,
                Attribute::Id(id) => said.id = id,
                Attribute::EcParams(curve) => said.curve = Some(curve),
                Attribute::EcPoint(point) => said.point = Some(point),
                Attribute::AlwaysAuthenticate(asks) => said.asks_each_time = asks,
                _ => {}
            }
        }
        Ok(said)
    }

    fn public(&self) -> Option<PublicKey> {
        read_key(self.curve.as_deref()?, self.point.as_deref()?)
    }
}

/// A key with its public half. `None` for keys of other kinds, and those whose public half is not to be found.
fn key(session: &Session, private: ObjectHandle) -> Result<Option<TokenKey>, Error> {
    let said = Said::by(session, private)?;
    let public = public(session, &said)?;
    Ok(public.map(|public| TokenKey {
        private,
        public,
        asks_each_time: said.asks_each_time,
        label: String::from_utf8_lossy(&said.label).into_owned(),
        id: said.id,
    }))
}

/// The public object of the same id, by its label too if several have that id; or else what stands with the private key.
fn public(session: &Session, private: &Said) -> Result<Option<PublicKey>, Error> {
    let label = Attribute::Label(private.label.clone());
    let same = if private.id.is_empty() { label } else { Attribute::Id(private.id.clone()) };
    let mut found = Vec::new();
    for object in objects(session, &[Attribute::Class(ObjectClass::PUBLIC_KEY), same])? {
        found.push(Said::by(session, object)?);
    }
    if found.len() > 1 {
        found.retain(|public| public.label == private.label);
    }
    Ok(match found.as_slice() {
        [] => private.public(),
        [one] => one.public(),
        _ => None,
    })
}

/// A key from its curve and point. The point is a DER octet string; some modules leave its head out.
pub(super) fn read_key(curve: &[u8], point: &[u8]) -> Option<PublicKey> {
    let bare = |length: u8| match point {
        [0x04, found, rest @ ..] if *found == length && rest.len() == usize::from(length) => rest,
        other => other,
    };
    if curve == P256 {
        PublicKey::from_p256_sec1(bare(65)).ok()
    } else if ED25519.contains(&curve) {
        PublicKey::from_ed25519_bytes(bare(32)).ok()
    } else {
        None
    }
}
