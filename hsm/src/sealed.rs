//! The sealed form: it says by what and under which key it was sealed, and a change of any of that does not open.
//!
//! `"LMNH" ‖ version (1) ‖ mechanism (1) ‖ length of the key's name (1) ‖ name ‖ IV ‖ ciphertext ‖ tag`. Lengths of IV and tag
//! follow from the mechanism. What the mechanism authenticates beside the ciphertext is [`associated_data`].

use limen_wire::ids::{KekId, tagged_hash};

use crate::error::{HsmError, Kind};
use crate::provider::{MAX_SECRET, Mechanism};

/// What a sealed record begins with.
pub const MAGIC: [u8; 4] = *b"LMNH";
const VERSION: u8 = 1;
/// Longest record: head, longest name, IV, padded secret, tag.
pub const MAX_SEALED: usize = 4 + 3 + KekId::MAX_LEN + 16 + MAX_SECRET + 16 + 32;

/// A record in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed<'a> {
    /// The IV, as the token used it.
    pub iv: &'a [u8],
    /// Ciphertext and tag.
    pub body: &'a [u8],
}

/// 32 bytes that bind mechanism, key and context; short, because tokens bound their associated data.
pub fn associated_data(mechanism: Mechanism, kek: &KekId, context: &[u8]) -> [u8; 32] {
    tagged_hash("limen/hsm-sealed/v1", [&[VERSION, mechanism.id()], kek.as_str().as_bytes(), context])
}

/// Puts a record together.
pub fn encode(mechanism: Mechanism, kek: &KekId, iv: &[u8], body: &[u8]) -> Vec<u8> {
    // A name has at most 96 bytes.
    let length = u8::try_from(kek.as_str().len()).unwrap_or(u8::MAX);
    [&MAGIC, &[VERSION, mechanism.id(), length][..], kek.as_str().as_bytes(), iv, body].concat()
}

fn refused(detail: impl Into<String>) -> HsmError {
    HsmError::new(Kind::DoesNotOpen, "unseal", detail)
}

/// Takes a record apart, if it was sealed under this key by this mechanism.
pub fn parse<'a>(mechanism: Mechanism, kek: &KekId, bytes: &'a [u8]) -> Result<Sealed<'a>, HsmError> {
    if bytes.len() > MAX_SEALED {
        return Err(refused(format!("{} bytes are no sealed record", bytes.len())));
    }
    let rest = bytes.strip_prefix(&MAGIC).ok_or_else(|| refused("the bytes are no sealed record"))?;
    let ([version, by, length], rest) = rest.split_first_chunk::<3>().ok_or_else(|| refused("the record is torn"))?;
    if *version != VERSION {
        return Err(refused(format!("the record has version {version}, and {VERSION} is known")));
    }
    let (name, rest) = rest.split_at_checked((*length).into()).ok_or_else(|| refused("the record is torn"))?;
    if name != kek.as_str().as_bytes() {
        let other = String::from_utf8_lossy(name);
        return Err(refused(format!("the record was sealed under key {other:?} and not {kek}")));
    }
    if *by != mechanism.id() {
        let other = Mechanism::from_id(*by).map_or("an unknown mechanism", Mechanism::name);
        return Err(refused(format!("the record was sealed by {other}, and key {kek} is for {}", mechanism.name())));
    }
    let (iv, body) = rest.split_at_checked(mechanism.iv_len()).ok_or_else(|| refused("the record is torn"))?;
    if body.len() <= mechanism.tag_len() {
        return Err(refused("the record is torn"));
    }
    Ok(Sealed { iv, body })
}

/// The answer to everything that does not authenticate.
pub fn does_not_open(kek: &KekId) -> HsmError {
    refused(format!(
        "the record is damaged, belongs elsewhere, or was sealed under another key than the {kek} that is here"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kek(name: &str) -> KekId {
        KekId::new(name).unwrap()
    }

    #[test]
    fn parts_come_back() {
        for mechanism in Mechanism::ALL {
            let (iv, body) = (vec![1; mechanism.iv_len()], vec![2; mechanism.tag_len() + 1]);
            let bytes = encode(mechanism, &kek("n1.hot"), &iv, &body);
            assert_eq!(parse(mechanism, &kek("n1.hot"), &bytes).unwrap(), Sealed { iv: &iv, body: &body });
        }
    }

    #[test]
    fn every_other_record_is_refused_by_name() {
        let bytes = encode(Mechanism::Aes256Gcm, &kek("a"), &[1; 12], &[2; 20]);
        let detail = |mechanism, name, bytes: &[u8]| {
            let error = parse(mechanism, &kek(name), bytes).unwrap_err();
            assert_eq!(error.kind(), Kind::DoesNotOpen);
            error.detail().to_owned()
        };
        assert!(detail(Mechanism::Aes256Gcm, "b", &bytes).contains("under key \"a\""));
        assert!(detail(Mechanism::Aes256CbcHmacSha256, "a", &bytes).contains("sealed by aes-256-gcm"));
        for (at, value, words) in
            [(0, b'X', "no sealed record"), (4, 2, "version 2"), (5, 9, "an unknown mechanism"), (6, 200, "torn")]
        {
            let mut spoiled = bytes.clone();
            spoiled[at] = value;
            assert!(detail(Mechanism::Aes256Gcm, "a", &spoiled).contains(words), "{at}");
        }
        for length in 0..bytes.len() - 3 {
            detail(Mechanism::Aes256Gcm, "a", &bytes[..length]);
        }
        detail(Mechanism::Aes256Gcm, "a", &vec![0; MAX_SEALED + 1]);
    }

    #[test]
    fn mechanism_key_and_context_are_all_bound() {
        let data = |mechanism, name, context: &[u8]| associated_data(mechanism, &kek(name), context);
        let one = data(Mechanism::Aes256Gcm, "ab", b"c");
        assert_ne!(one, data(Mechanism::Aes256CbcHmacSha256, "ab", b"c"));
        assert_ne!(one, data(Mechanism::Aes256Gcm, "a", b"bc"));
        assert_ne!(one, data(Mechanism::Aes256Gcm, "ab", b""));
    }
}
