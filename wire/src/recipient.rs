//! Recipients of age, as charters and backups name them: to whom a custodian's piece is encrypted.
//!
//! A recipient is a bech32 string (BIP-173) of lower-case letters. Under `age` it is an X25519 key (the age format,
//! age-encryption.org/v1); under `age1NAME` it is for the plugin NAME, which is a program that whoever encrypts runs. Keys of low
//! order are refused where they are read: with them everybody knows the shared secret (RFC 7748 section 6.1), and age itself
//! panics at them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest recipient, in bytes: those of plugins are longer than the 62 of X25519.
pub const MAX_RECIPIENT: usize = 1024;

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECKSUM_LEN: usize = 6;

/// The numbers below 2^255 − 19 that are x coordinates of points of low order on the curve or its twist, little-endian: 0, 1, −1
/// and the two of order 8 (RFC 7748 section 7 tells why they matter; their number is that of the group's cofactor).
const LOW_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
        0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
];

/// To whom a piece is encrypted, as age writes it: `age1…` for X25519, `age1NAME1…` for the plugin NAME.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Recipient(String);

/// Text that is no recipient. Each names the text, cut to 80 characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecipient {
    /// Not what recipients look like.
    #[error("{0:?} is no recipient of age: lower-case letters and digits that start with `age1`, at most 1024 of them")]
    Spelling(String),
    /// The checksum does not hold.
    #[error("{0:?} is mistyped: the checksum in a recipient of age does not hold; copy it anew from its owner")]
    Mistyped(String),
    /// Not 32 bytes, or a number that a shorter one stands for.
    #[error("{0:?} is no X25519 key: a recipient without a plugin's name is 32 bytes below 2^255 − 19")]
    NoKey(String),
    /// A key for which everybody knows the shared secret.
    #[error(
        "{0:?} is an X25519 key of low order: whatever is encrypted to it everybody can read; its owner has to make a new one"
    )]
    LowOrder(String),
}

impl Recipient {
    /// Checks spelling, checksum and, for X25519, the key. Whether a plugin takes what is for it is seen when it is asked.
    pub fn new(text: &str) -> Result<Self, BadRecipient> {
        let cut = || text.chars().take(80).collect::<String>();
        let plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'_' | b'.');
        if text.len() > MAX_RECIPIENT || !text.starts_with("age1") || !text.bytes().all(plain) {
            return Err(BadRecipient::Spelling(cut()));
        }
        let (prefix, digits) = text.rsplit_once('1').ok_or_else(|| BadRecipient::Spelling(cut()))?;
        let digits = data(prefix, digits).ok_or_else(|| BadRecipient::Mistyped(cut()))?;
        let recipient = Self(text.to_owned());
        match (recipient.plugin(), prefix) {
            (Some(_), _) => Ok(recipient),
            (None, "age") => {
                let key = key(&digits).ok_or_else(|| BadRecipient::NoKey(cut()))?;
                if LOW_ORDER.contains(&key) { Err(BadRecipient::LowOrder(cut())) } else { Ok(recipient) }
            }
            // `age1` and a plugin without a name
            (None, _) => Err(BadRecipient::Spelling(cut())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The plugin that encrypts to it; none for X25519.
    pub fn plugin(&self) -> Option<&str> {
        let (prefix, _) = self.0.rsplit_once('1')?;
        prefix.strip_prefix("age1").filter(|name| !name.is_empty())
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl FromStr for Recipient {
    type Err = BadRecipient;
    fn from_str(text: &str) -> Result<Self, BadRecipient> {
        Self::new(text)
    }
}
impl TryFrom<String> for Recipient {
    type Error = BadRecipient;
    fn try_from(text: String) -> Result<Self, BadRecipient> {
        Self::new(&text)
    }
}
impl From<Recipient> for String {
    fn from(recipient: Recipient) -> Self {
        recipient.0
    }
}

/// The digits without their checksum, if that holds (BIP-173, "Checksum").
fn data(prefix: &str, digits: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| ALPHABET.iter().position(|known| *known == byte).and_then(|at| u8::try_from(at).ok());
    let digits: Vec<u8> = digits.bytes().map(digit).collect::<Option<_>>()?;
    let expanded = prefix.bytes().map(|byte| byte >> 5).chain([0]).chain(prefix.bytes().map(|byte| byte & 31));
    let sum = expanded.chain(digits.iter().copied()).fold(1u32, step);
    let body = digits.len().checked_sub(CHECKSUM_LEN)?;
    if sum == 1 { digits.get(..body).map(<[u8]>::to_vec) } else { None }
}

/// BIP-173's `bech32_polymod`, for one value.
fn step(sum: u32, value: u8) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = sum >> 25;
    let sum = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
    (0..).zip(GENERATOR).filter(|(bit, _)| top >> bit & 1 == 1).fold(sum, |sum, (_, term)| sum ^ term)
}

/// 52 digits of five bits as 32 bytes, with zeros for the four bits that are left; below 2^255 − 19.
fn key(digits: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = Vec::with_capacity(32);
    let (mut bits, mut held) = (0u32, 0u32);
    for digit in digits {
        held = (held << 5 | u32::from(*digit)) & 0xfff;
        bits = bits.saturating_add(5);
        if bits >= 8 {
            bits = bits.saturating_sub(8);
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    let left_over = held & (1u32 << bits).saturating_sub(1);
    let key = <[u8; 32]>::try_from(bytes).ok().filter(|_| left_over == 0 && bits < 5)?;
    let (low, rest) = key.split_first()?;
    let (high, middle) = rest.split_last()?;
    let beyond = *high > 0x7f || (*high == 0x7f && middle.iter().all(|byte| *byte == 0xff) && *low >= 0xed);
    (!beyond).then_some(key)
}
