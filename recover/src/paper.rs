//! A custodian's identity on paper: codex32 strings (BIP-93), so many of which give it again, with words to compare.
//!
//! For the small secrets that open backups, never for shares themselves. BIP-93 keeps the human-readable part `ms` for seeds of BIP-32; ours is
//! `limen`, and the secret is the 32 bytes of an X25519 identity of age. The identifier is the last four letters of its recipient, so
//! that a slip says whose it is, and strings that give something else are noticed.

use std::fmt;

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use bech32::{FromBase32 as _, ToBase32 as _, Variant};
use codex32::{Codex32String, Fe};
use limen_wire::ids::tagged_hash;
use limen_wire::words::spell;
use rand_core::{CryptoRng, RngCore};
use zeroize::Zeroizing;

/// Most slips that one identity is split into.
pub const MAX_SLIPS: u8 = 16;
/// Most slips that can be needed (BIP-93: one digit).
pub const MAX_REQUIRED: u8 = 9;

const PREFIX: &str = "limen1";
const NAME_LEN: usize = 4;
const SECRET_LEN: usize = 32;
/// Letters of 32 bytes, five bits each; the last four bits are zero.
const PAYLOAD_LEN: usize = 52;
const CHECKSUM_LEN: usize = 13;
const LEN: usize = PREFIX.len() + 1 + NAME_LEN + 1 + PAYLOAD_LEN + CHECKSUM_LEN;
/// The places of slips, in the order in which they are given out: all letters of bech32's alphabet but `s`, which is the secret's.
const PLACES: &[u8] = b"acdefghjklmnpqrtuvwxyz023456789";
const ALPHABET: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const IDENTITY: &str = "age-secret-key-";

/// One string on paper. Together with enough others it is a secret; unprintable.
#[derive(Clone, PartialEq, Eq)]
pub struct Slip(Zeroizing<String>);

impl fmt::Debug for Slip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slip {} of {}, redacted", self.place(), self.name())
    }
}

/// Why slips are not made, not read or not put together. None names a letter of a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PaperError {
    /// No such split.
    #[error(
        "splitting into {total} slips of which {required} are needed: 1 of 1, or 2 to 9 of as many or more, up to 16"
    )]
    Numbers {
        /// How many would be needed.
        required: u8,
        /// How many there would be.
        total: u8,
    },
    /// Letters are missing or too many.
    #[error("a slip has {LEN} letters, here are {0}: compare the groups of four with the paper")]
    Length(usize),
    /// A letter that none has.
    #[error(
        "letter {place} is {letter:?}, which no slip has (there is no b, i or o, and no 1 after the first): all small or all capital letters"
    )]
    Letter {
        /// Which, from 1.
        place: usize,
        /// What stands there.
        letter: char,
    },
    /// It does not begin as ours do.
    #[error(
        "a slip begins with {PREFIX}, a digit that says how many are needed, and the last four letters of the recipient"
    )]
    Head,
    /// The checksum does not hold.
    #[error("the checksum does not hold: a letter is misread; compare the groups of four with the paper")]
    Mistyped,
    /// Slips of two identities or splits.
    #[error("slips of {0} and of {1}: they are of different identities, or of two splits")]
    Mixed(String, String),
    /// One slip twice.
    #[error("slip {0} is there twice")]
    Twice(char),
    /// More are needed.
    #[error("{required} slips give the identity, here are {given}")]
    TooFew {
        /// How many are needed.
        required: u8,
        /// How many are there.
        given: usize,
    },
    /// They give no identity, or another one than they say.
    #[error(
        "these slips do not give the identity whose recipient ends in {0}: they are of two splits of it, or not all genuine"
    )]
    NotTogether(String),
}

impl Slip {
    /// Reads what stands on paper: capital or small letters, with blanks, line breaks and hyphens anywhere.
    pub fn read(text: &str) -> Result<Self, PaperError> {
        let mut letters = Zeroizing::new(String::with_capacity(LEN));
        let dropped = |letter: &char| letter.is_whitespace() || *letter == '-';
        let all_capital = !text.chars().any(|letter| letter.is_ascii_lowercase());
        for (at, letter) in text.chars().filter(|letter| !dropped(letter)).enumerate() {
            let small = if all_capital { letter.to_ascii_lowercase() } else { letter };
            let is_known = ALPHABET.contains(small) || PREFIX.chars().nth(at) == Some(small);
            if !is_known {
                return Err(PaperError::Letter { place: at.saturating_add(1), letter });
            }
            if letters.len() > LEN {
                return Err(PaperError::Length(text.chars().filter(|letter| !dropped(letter)).count()));
            }
            letters.push(small);
        }
        Self::of(letters)
    }

    /// Small letters without anything between them.
    fn of(letters: Zeroizing<String>) -> Result<Self, PaperError> {
        if letters.len() != LEN || !letters.is_ascii() {
            return Err(PaperError::Length(letters.chars().count()));
        }
        let slip = Self(letters);
        let required = slip.required();
        let is_whole = required == 1 && slip.place() == 's';
        let is_part = (2..=MAX_REQUIRED).contains(&required) && slip.place() != 's';
        if !slip.0.starts_with(PREFIX) || !(is_whole || is_part) {
            return Err(PaperError::Head);
        }
        if !slip.0.chars().skip(PREFIX.len()).all(|letter| ALPHABET.contains(letter)) {
            return Err(PaperError::Head);
        }
        Codex32String::from_string(slip.0.to_string()).map_err(|_| PaperError::Mistyped)?;
        Ok(slip)
    }

    fn part(&self, from: usize, len: usize) -> &str {
        self.0.get(from..from.saturating_add(len)).unwrap_or_default()
    }

    /// The last four letters of the recipient whose identity it is of.
    pub fn name(&self) -> &str {
        self.part(PREFIX.len() + 1, NAME_LEN)
    }

    /// How many slips give the identity; 0 for what is none.
    pub fn required(&self) -> u8 {
        match self.part(PREFIX.len(), 1).parse() {
            // BIP-93 writes 0 where the string is the secret itself
            Ok(0) => 1,
            Ok(1) | Err(_) => 0,
            Ok(required) => required,
        }
    }

    /// Its letter among the slips of one split; `s` is the secret itself.
    pub fn place(&self) -> char {
        self.part(PREFIX.len() + 1 + NAME_LEN, 1).chars().next().unwrap_or_default()
    }

    /// Four words over the whole string. They tell that it was copied or read rightly, and nothing of what the slips are of.
    pub fn words(&self) -> [&'static str; 4] {
        spell(&tagged_hash("limen/paper-words/v1", [self.0.as_bytes()]))
    }

    /// The string in capital letters, in groups of four, for paper.
    pub fn grouped(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(LEN * 2));
        for (at, letter) in self.0.chars().enumerate() {
            if at > 0 && at % 4 == 0 {
                out.push(' ');
            }
            out.push(letter.to_ascii_uppercase());
        }
        out
    }

    fn codex(&self) -> Result<Codex32String, PaperError> {
        Codex32String::from_string(self.0.to_string()).map_err(|_| PaperError::Mistyped)
    }
}

/// Splits an identity into `total` slips, any `required` of which give it again; 1 of 1 is the identity itself, written so that it can be copied by hand.
pub fn split(
    identity: &Identity,
    (required, total): (u8, u8),
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Vec<Slip>, PaperError> {
    let numbers = PaperError::Numbers { required, total };
    let recipient = identity.to_public().to_string();
    let name = recipient.get(recipient.len().saturating_sub(NAME_LEN)..).unwrap_or_default();
    let secret = secret_of(identity).ok_or_else(|| PaperError::NotTogether(name.to_owned()))?;
    let make = |threshold: u8, place: Fe, data: &[u8]| {
        Codex32String::from_seed("limen", usize::from(threshold), name, place, data).map_err(|_| numbers.clone())
    };
    if (required, total) == (1, 1) {
        return Ok(vec![slip(&make(0, Fe::S, &secret[..])?)?]);
    }
    if !(2..=MAX_REQUIRED).contains(&required) || !(required..=MAX_SLIPS).contains(&total) {
        return Err(numbers);
    }
    // The secret is one point of the polynomial, and one random string fewer than are needed are the others that fix it.
    let mut known = vec![make(required, Fe::S, &secret[..])?];
    let places = || PLACES.iter().map(|place| Fe::from_char(char::from(*place)).map_err(|_| numbers.clone()));
    let drawn = usize::from(required).saturating_sub(1);
    for place in places().take(drawn) {
        let mut data = Zeroizing::new([0; SECRET_LEN]);
        rng.fill_bytes(&mut data[..]);
        known.push(make(required, place?, &data[..])?);
    }
    places()
        .take(usize::from(total))
        .map(|place| slip(&Codex32String::interpolate_at(&known, place?).map_err(|_| numbers.clone())?))
        .collect()
}

fn slip(codex: &Codex32String) -> Result<Slip, PaperError> {
    Slip::of(Zeroizing::new(codex.to_string()))
}

/// The identity that slips give. More than are needed must all lie on the same polynomial.
pub fn join(slips: &[Slip]) -> Result<Identity, PaperError> {
    let Some(first) = slips.first() else { return Err(PaperError::TooFew { required: 1, given: 0 }) };
    let head = |slip: &Slip| format!("{}{}", slip.required(), slip.name());
    for (at, slip) in slips.iter().enumerate() {
        if head(slip) != head(first) {
            return Err(PaperError::Mixed(head(first), head(slip)));
        }
        if slips.iter().take(at).any(|other| other.place() == slip.place()) {
            return Err(PaperError::Twice(slip.place()));
        }
    }
    let required = first.required();
    if slips.len() < usize::from(required) {
        return Err(PaperError::TooFew { required, given: slips.len() });
    }
    let apart = || PaperError::NotTogether(first.name().to_owned());
    let strings: Vec<Codex32String> = slips.iter().map(Slip::codex).collect::<Result<_, _>>()?;
    let (base, more) = strings.split_at_checked(usize::from(required)).ok_or_else(apart)?;
    for (string, slip) in more.iter().zip(slips.iter().skip(usize::from(required))) {
        let place = Fe::from_char(slip.place()).map_err(|_| PaperError::Head)?;
        if Codex32String::interpolate_at(base, place).map_err(|_| apart())? != *string {
            return Err(apart());
        }
    }
    let secret = Codex32String::interpolate_at(base, Fe::S).map_err(|_| apart())?;
    // Bits that no byte fills are zero in a secret.
    let bytes = Zeroizing::new(secret.parts().data());
    let again =
        Codex32String::from_seed("limen", if required == 1 { 0 } else { required.into() }, first.name(), Fe::S, &bytes);
    if bytes.len() != SECRET_LEN || again.ok().as_ref() != Some(&secret) {
        return Err(apart());
    }
    let identity = identity_of(&bytes).ok_or_else(apart)?;
    if identity.to_public().to_string().ends_with(first.name()) { Ok(identity) } else { Err(apart()) }
}

fn secret_of(identity: &Identity) -> Option<Zeroizing<Vec<u8>>> {
    let text = identity.to_string();
    let (_, digits, _) = bech32::decode(text.expose_secret()).ok()?;
    let bytes = Zeroizing::new(Vec::<u8>::from_base32(&digits).ok()?);
    (bytes.len() == SECRET_LEN).then_some(bytes)
}

fn identity_of(secret: &[u8]) -> Option<Identity> {
    let text = Zeroizing::new(bech32::encode(IDENTITY, secret.to_base32(), Variant::Bech32).ok()?.to_uppercase());
    text.parse().ok()
}

#[cfg(test)]
mod tests;
