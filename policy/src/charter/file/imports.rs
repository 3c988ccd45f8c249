//! Keys that may be imported, in the text form.

use limen_chain::Point;
use limen_wire::ids::{KeyId, Scheme};
use limen_wire::limits::NOTE_BYTES;
use serde::Deserialize;

use super::{invalid, name};
use crate::charter::CharterError;
use crate::charter::import::{KeyImport, KeyImports};

/// Most such keys of a charter.
const MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileImport {
    key: String,
    scheme: Scheme,
    public_key: String,
    reason: String,
}

pub(super) fn read(raw: Vec<FileImport>) -> Result<KeyImports, CharterError> {
    if raw.len() > MAX {
        return Err(invalid("imports", format!("{} are named, at most {MAX} are possible", raw.len())));
    }
    let mut imports = KeyImports::new();
    for raw in raw {
        let import = one(raw)?;
        let place = format!("import of key {:?}", import.key.as_str());
        let same = |other: &&KeyImport| point(other) == point(&import);
        if let Some(other) = imports.values().find(same).filter(|other| other.key != import.key) {
            return Err(invalid(
                place,
                format!("its public key is that of key {:?}: one key, two names", other.key.as_str()),
            ));
        }
        if imports.insert(import.key.clone(), import).is_some() {
            return Err(invalid(place, "named twice: a name has one public key"));
        }
    }
    Ok(imports)
}

/// What is one key by any scheme: on secp256k1 a point and its negative sign by the same secret.
fn point(import: &KeyImport) -> (bool, &[u8]) {
    let x = match import.scheme {
        Scheme::EcdsaSecp256k1 => import.public_key.get(1..).unwrap_or_default(),
        _ => &import.public_key,
    };
    (import.scheme == Scheme::EddsaEd25519, x)
}

fn one(raw: FileImport) -> Result<KeyImport, CharterError> {
    let place = format!("import of key {:?}", raw.key);
    let key = name(&place, KeyId::new(raw.key))?;
    let scheme = raw.scheme;
    if scheme == Scheme::EcdsaP256 {
        return Err(invalid(place, "there are no shares of a P-256 key, so none is imported"));
    }
    let length = scheme.public_key_len();
    let wanted = || format!("public_key must be a point for {scheme} in lower-case hexadecimal, {length} bytes");
    let public_key = hex::decode(&raw.public_key).map_err(|_| invalid(&place, wanted()))?;
    let is_spelled = hex::encode(&public_key) == raw.public_key && public_key.len() == length;
    if !is_spelled || Point::of_key(scheme, &public_key).is_err() {
        return Err(invalid(place, wanted()));
    }
    let is_text = !raw.reason.trim().is_empty() && !raw.reason.chars().any(char::is_control);
    if !is_text || raw.reason.len() > NOTE_BYTES {
        return Err(invalid(place, format!("reason has 1 to {NOTE_BYTES} bytes of printable text")));
    }
    Ok(KeyImport { key, scheme, public_key, reason: raw.reason })
}
