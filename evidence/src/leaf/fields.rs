//! Fields that several leaves share.

use limen_chain::DerivationPath;
use limen_wire::ids::{PartyIndex, Scheme, SignerSet};
use limen_wire::keys::PublicKey;

use crate::codec::{Malformed, Reader};

pub(super) fn put_signers(out: &mut Vec<u8>, signers: &SignerSet) {
    // a set has at most 32 members
    out.push(u8::try_from(signers.len()).unwrap_or(u8::MAX));
    out.extend(signers.parties().iter().map(|party| party.as_u8()));
}

pub(super) fn signers(reader: &mut Reader<'_>) -> Result<SignerSet, Malformed> {
    let wrong = Malformed::Field { field: "signers", form: "2 to 32 indices from 1, strictly increasing" };
    let count = reader.u8("signers")?;
    let indices = reader.take("signers", usize::from(count))?;
    let parties: Result<Vec<_>, _> = indices.iter().map(|index| PartyIndex::new(u16::from(*index))).collect();
    parties.and_then(SignerSet::new).map_err(|_| wrong)
}

pub(super) fn put_path(out: &mut Vec<u8>, path: &DerivationPath) {
    // a path has at most 10 steps
    out.push(u8::try_from(path.steps().len()).unwrap_or(u8::MAX));
    out.extend(path.to_bytes());
}

pub(super) fn path(reader: &mut Reader<'_>) -> Result<DerivationPath, Malformed> {
    let count = reader.u8("path")?;
    let steps: Result<Vec<u32>, _> = (0..count).map(|_| reader.u32("path")).collect();
    let wrong = Malformed::Field { field: "path", form: "at most 10 steps, none hardened" };
    DerivationPath::new(steps?).map_err(|_| wrong)
}

/// One byte of type, then the key in its short form.
pub(super) fn put_public_key(out: &mut Vec<u8>, key: &PublicKey) {
    out.push(match key {
        PublicKey::Ed25519(_) => 1,
        PublicKey::P256(_) => 2,
    });
    out.extend(key.to_bytes());
}

pub(super) fn public_key(reader: &mut Reader<'_>, field: &'static str) -> Result<PublicKey, Malformed> {
    let kind = reader.u8(field)?;
    let bytes = reader.take(field, if kind == 1 { 32 } else { 33 })?;
    let key = match kind {
        1 => PublicKey::from_ed25519_bytes(bytes).ok(),
        2 => PublicKey::from_p256_sec1(bytes).ok(),
        _ => None,
    };
    // SEC 1 knows other forms of 33 bytes for the same point.
    let key = key.filter(|key| key.to_bytes() == bytes);
    key.ok_or(Malformed::Field { field, form: "1 and an Ed25519 key, or 2 and a compressed P-256 key" })
}

pub(super) const fn scheme_byte(scheme: Scheme) -> u8 {
    match scheme {
        Scheme::EcdsaSecp256k1 => 1,
        Scheme::EddsaEd25519 => 2,
        Scheme::SchnorrBip340 => 3,
        Scheme::EcdsaP256 => 4,
    }
}

pub(super) fn scheme(reader: &mut Reader<'_>) -> Result<Scheme, Malformed> {
    let wrong = Malformed::Field {
        field: "scheme",
        form: "1 (ECDSA over secp256k1), 2 (Ed25519), 3 (BIP-340) or 4 (ECDSA over P-256)",
    };
    let byte = reader.u8("scheme")?;
    Scheme::ALL.into_iter().find(|scheme| scheme_byte(*scheme) == byte).ok_or(wrong)
}
