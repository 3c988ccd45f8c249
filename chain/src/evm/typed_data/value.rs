//! Values of built-in types, in every spelling that all signers read alike.

use alloy_primitives::{Address as EvmAddress, U256};

use super::Refusal;
use super::json::{Json, cut};

/// An unsigned number of at most `bits` bits: an integer, or decimal digits or `0x` and hexadecimal digits in quotes.
pub(super) fn uint(json: &Json, bits: usize) -> Result<U256, Refusal> {
    let text = digits(json)?;
    let number = magnitude(text).filter(|number| number.bit_len() <= bits);
    number.ok_or_else(|| format!("{:?} is not an unsigned number of at most {bits} bits", cut(text)))
}

/// A signed number of at most `bits` bits as a two's complement word: as for [`uint`], with `-` before decimal digits.
pub(super) fn int(json: &Json, bits: usize) -> Result<U256, Refusal> {
    let text = digits(json)?;
    let refused = || format!("{:?} is not a signed number of at most {bits} bits", cut(text));
    let fits = |number: &U256| number.bit_len() < bits;
    match text.strip_prefix('-') {
        None => magnitude(text).filter(fits).ok_or_else(refused),
        Some(positive) if positive.starts_with("0") => Err(refused()),
        // −m is the complement of m − 1
        Some(positive) => {
            let below = magnitude(positive).and_then(|number| number.checked_sub(U256::ONE));
            below.filter(fits).map(|number| !number).ok_or_else(refused)
        }
    }
}

/// `0x` and 40 hexadecimal digits: in lower case, or in mixed case with the right checksum (EIP-55).
pub(super) fn address(json: &Json) -> Result<EvmAddress, Refusal> {
    let Json::Text(text) = json else {
        return Err("an address must be text".to_owned());
    };
    let refused = || format!("{:?} is not an address in lower case or with checksum (EIP-55)", cut(text));
    let bytes = hexadecimal(text).and_then(|bytes| <[u8; 20]>::try_from(bytes).ok()).ok_or_else(refused)?;
    let address = EvmAddress::new(bytes);
    let spelled_right = text.bytes().all(|b| !b.is_ascii_uppercase()) || address.to_checksum(None) == *text;
    if spelled_right { Ok(address) } else { Err(refused()) }
}

/// `true` or `false`, not in quotes.
pub(super) fn boolean(json: &Json) -> Result<bool, Refusal> {
    match json {
        Json::Bool(value) => Ok(*value),
        _ => Err("a boolean must be true or false without quotes".to_owned()),
    }
}

/// Text.
pub(super) fn text(json: &Json) -> Result<&str, Refusal> {
    match json {
        Json::Text(value) => Ok(value),
        _ => Err("a string must be text".to_owned()),
    }
}

/// `0x` and an even number of hexadecimal digits.
pub(super) fn bytes(json: &Json) -> Result<Vec<u8>, Refusal> {
    let text = text(json)?;
    hexadecimal(text).ok_or_else(|| format!("{:?} is not 0x and whole bytes in hexadecimal", cut(text)))
}

fn digits(json: &Json) -> Result<&str, Refusal> {
    match json {
        Json::Number(digits) | Json::Text(digits) => Ok(digits),
        _ => Err("a number must be an integer or text".to_owned()),
    }
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("0x")?).ok()
}

/// Decimal without leading zeros, or `0x` and 1 to 64 hexadecimal digits.
fn magnitude(text: &str) -> Option<U256> {
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        let plain = (1..=64).contains(&hexadecimal.len()) && hexadecimal.bytes().all(|b| b.is_ascii_hexdigit());
        return plain.then(|| U256::from_str_radix(hexadecimal, 16).ok()).flatten();
    }
    let plain = (1..=78).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    plain.then(|| U256::from_str_radix(text, 10).ok()).flatten()
}
