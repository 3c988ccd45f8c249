//! 256-bit amounts.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in the asset's smallest unit (wei, satoshi, token units): 256 bits, big-endian.
///
/// Serialized as decimal digits where people read it, else as the 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount([u8; 32]);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self([0; 32]);
    /// The greatest amount; used by "unlimited" token approvals.
    pub const MAX: Self = Self([0xff; 32]);

    /// From 32 big-endian bytes.
    pub const fn from_be_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
    /// 32 big-endian bytes.
    pub const fn to_be_bytes(self) -> [u8; 32] {
        self.0
    }
    /// From a machine integer.
    pub fn from_u128(value: u128) -> Self {
        let mut bytes = [0; 32];
        bytes[16..].copy_from_slice(&value.to_be_bytes());
        Self(bytes)
    }
    /// The sum, or `None` when it does not fit 256 bits.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let mut sum = [0u8; 32];
        let mut carry = false;
        for ((out, a), b) in sum.iter_mut().zip(self.0).zip(other.0).rev() {
            let (partial, first) = a.overflowing_add(b);
            let (total, second) = partial.overflowing_add(u8::from(carry));
            *out = total;
            carry = first || second;
        }
        (!carry).then_some(Self(sum))
    }
    /// The difference, or `None` when it would be negative.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        let mut difference = [0u8; 32];
        let mut borrow = false;
        for ((out, a), b) in difference.iter_mut().zip(self.0).zip(other.0).rev() {
            let (partial, first) = a.overflowing_sub(b);
            let (total, second) = partial.overflowing_sub(u8::from(borrow));
            *out = total;
            borrow = first || second;
        }
        (!borrow).then_some(Self(difference))
    }
    /// The product, or `None` when it does not fit 256 bits.
    pub fn checked_mul_u64(self, factor: u64) -> Option<Self> {
        let mut product = [0u8; 32];
        let mut carry: u128 = 0;
        for (out, digit) in product.iter_mut().zip(self.0).rev() {
            let value = u128::from(digit) * u128::from(factor) + carry;
            *out = low_byte((value & 0xff) as u16);
            carry = value >> 8;
        }
        (carry == 0).then_some(Self(product))
    }
    /// The product, or `None` when it does not fit 256 bits.
    pub fn checked_mul(self, factor: Self) -> Option<Self> {
        let half = 1 << 32;
        factor.0.chunks_exact(8).try_fold(Self::ZERO, |sum, limb| {
            let part = self.checked_mul_u64(u64::from_be_bytes(limb.try_into().ok()?))?;
            sum.checked_mul_u64(half)?.checked_mul_u64(half)?.checked_add(part)
        })
    }
    /// Quotient and remainder, or `None` for the divisor zero.
    pub fn checked_div_rem_u64(self, divisor: u64) -> Option<(Self, u64)> {
        let mut quotient = [0u8; 32];
        let mut rest: u64 = 0;
        for (out, digit) in quotient.iter_mut().zip(self.0) {
            let value = (u128::from(rest) << 8) | u128::from(digit);
            // `rest < divisor`, so the quotient is below 256 and the remainder below the divisor.
            *out = u8::try_from(value.checked_div(u128::from(divisor))?).ok()?;
            rest = u64::try_from(value.checked_rem(u128::from(divisor))?).ok()?;
        }
        Some((Self(quotient), rest))
    }
    /// From decimal digits, the first of them a digit; `_` may group them, no sign, point or other separator.
    pub fn from_decimal(text: &str) -> Option<Self> {
        if !text.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let mut value = Self::ZERO;
        for digit in text.bytes().filter(|b| *b != b'_') {
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value.checked_mul_u64(10)?.checked_add(Self::from_u128(u128::from(digit - b'0')))?;
        }
        Some(value)
    }
    /// The value, if it fits 64 bits.
    pub fn to_u64(self) -> Option<u64> {
        let (high, low) = self.0.split_last_chunk::<8>()?;
        high.iter().all(|b| *b == 0).then(|| u64::from_be_bytes(*low))
    }
    /// From a decimal number of whole units with at most `decimals` places: `("1.5", 18)` is 1.5 ether in wei.
    /// `_` may group the whole part only: among the places it would shift their value.
    pub fn from_units(text: &str, decimals: u8) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole_ok = whole.starts_with(|first: char| first.is_ascii_digit());
        let fraction_ok = fraction.len() <= usize::from(decimals) && fraction.bytes().all(|b| b.is_ascii_digit());
        if !whole_ok || !fraction_ok || (text.contains('.') && fraction.is_empty()) {
            return None;
        }
        let zeros = "0".repeat(usize::from(decimals) - fraction.len());
        Self::from_decimal(&format!("{whole}{fraction}{zeros}"))
    }
    /// In whole units, without trailing zeros: wei with 18 decimals become ether.
    pub fn to_units(self, decimals: u8) -> String {
        let digits = self.to_string();
        let places = usize::from(decimals);
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        let fraction = fraction.trim_end_matches('0');
        if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
    }
}

/// The number modulo 256.
const fn low_byte(value: u16) -> u8 {
    let [_, low] = value.to_be_bytes();
    low
}

impl fmt::Display for Amount {
    /// Decimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0;
        let mut digits = Vec::with_capacity(78);
        while bytes.iter().any(|b| *b != 0) {
            let mut rest: u16 = 0;
            for byte in &mut bytes {
                let value = (rest << 8) | u16::from(*byte);
                *byte = low_byte(value / 10);
                rest = value % 10;
            }
            digits.push(b'0' + low_byte(rest));
        }
        if digits.is_empty() {
            return f.pad_integral(true, "", "0");
        }
        digits.reverse();
        let text: String = digits.into_iter().map(char::from).collect();
        f.pad_integral(true, "", &text)
    }
}
impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}
impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            return <[u8; 32]>::deserialize(deserializer).map(Self);
        }
        let text = String::deserialize(deserializer)?;
        Self::from_decimal(&text)
            .ok_or_else(|| D::Error::custom("an amount is decimal digits of at most 256 bits, in quotes"))
    }
}
