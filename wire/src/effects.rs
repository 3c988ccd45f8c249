//! Effects: what the bytes of an intent do, as decoded by `chain` and judged by `policy`.
//!
//! Plain data with no behaviour beyond spelling. Amounts are 256-bit integers in the asset's smallest unit,
//! held big-endian in 32 bytes so that no crate needs another's number type.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// An amount in the asset's smallest unit (wei, satoshi, token units): 256 bits, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
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
    /// The product, or `None` when it does not fit 256 bits.
    pub fn checked_mul_u64(self, factor: u64) -> Option<Self> {
        let mut product = [0u8; 32];
        let mut carry: u128 = 0;
        for (out, digit) in product.iter_mut().zip(self.0).rev() {
            let value = u128::from(digit) * u128::from(factor) + carry;
            *out = (value & 0xff) as u8;
            carry = value >> 8;
        }
        (carry == 0).then_some(Self(product))
    }
    /// From decimal digits, without sign, point or separator other than `_`.
    pub fn from_decimal(text: &str) -> Option<Self> {
        let digits = text.bytes().filter(|b| *b != b'_');
        let mut value = Self::ZERO;
        let mut seen = false;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            seen = true;
            value = value.checked_mul_u64(10)?.checked_add(Self::from_u128(u128::from(digit - b'0')))?;
        }
        seen.then_some(value)
    }
    /// From a decimal number of whole units with at most `decimals` places: `("1.5", 18)` is 1.5 ether in wei.
    pub fn from_units(text: &str, decimals: u8) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if fraction.len() > usize::from(decimals) || (text.contains('.') && fraction.is_empty()) {
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

impl fmt::Display for Amount {
    /// Decimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.0;
        let mut digits = Vec::with_capacity(78);
        while bytes.iter().any(|b| *b != 0) {
            let mut rest: u16 = 0;
            for byte in &mut bytes {
                let value = (rest << 8) | u16::from(*byte);
                *byte = (value / 10) as u8;
                rest = value % 10;
            }
            digits.push(b'0' + rest as u8);
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

/// A chain by its CAIP-2 name, such as `eip155:1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChainId(String);

impl ChainId {
    /// Checks the form `[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}` (CAIP-2).
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let (namespace, reference) = text.split_once(':')?;
        let namespace_ok = (3..=8).contains(&namespace.len())
            && namespace.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let reference_ok = (1..=32).contains(&reference.len())
            && reference.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (namespace_ok && reference_ok).then_some(Self(text))
    }
    /// The chain with this EIP-155 number.
    pub fn eip155(number: u64) -> Self {
        Self(format!("eip155:{number}"))
    }
    /// The EIP-155 number, if this is an EVM chain.
    pub fn eip155_number(&self) -> Option<u64> {
        self.0.strip_prefix("eip155:")?.parse().ok()
    }
    /// The CAIP-2 text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is moved. Text form is CAIP-19: `eip155:1/slip44:60`, `eip155:1/erc20:0x…`, `eip155:1/erc721:0x…/7`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Asset {
    /// The chain's own coin.
    Native(ChainId),
    /// A fungible token contract.
    Erc20(ChainId, Address),
    /// One non-fungible token of a contract.
    Erc721(ChainId, Address, Amount),
    /// One token id of a multi-token contract.
    Erc1155(ChainId, Address, Amount),
}

impl Asset {
    /// The chain that the asset lives on.
    pub const fn chain(&self) -> &ChainId {
        match self {
            Self::Native(chain) | Self::Erc20(chain, _) | Self::Erc721(chain, _, _) | Self::Erc1155(chain, _, _) => chain,
        }
    }
}
impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // SLIP-44 coin type 60 stands for the native coin of every EVM chain.
            Self::Native(chain) => write!(f, "{chain}/slip44:60"),
            Self::Erc20(chain, contract) => write!(f, "{chain}/erc20:{contract}"),
            Self::Erc721(chain, contract, token) => write!(f, "{chain}/erc721:{contract}/{token}"),
            Self::Erc1155(chain, contract, token) => write!(f, "{chain}/erc1155:{contract}/{token}"),
        }
    }
}

/// An address in the chain's own canonical spelling (EVM: EIP-55 mixed case with `0x`). Made by `chain` only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address(String);

impl Address {
    /// Wraps text that `chain` has already put into canonical form; at most 128 bytes of printable ASCII.
    pub fn from_canonical(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        ((1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())).then_some(Self(text))
    }
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing that the bytes do. Each class is judged by its own rules; what no decoder knows is [`Effect::Unknown`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Value leaves `from` for `to`.
    Transfer {
        /// What moves.
        asset: Asset,
        /// How much, in the smallest unit.
        amount: Amount,
        /// Whose it is.
        from: Address,
        /// Who gets it.
        to: Address,
    },
    /// At most this much is paid for inclusion.
    Fee {
        /// What it is paid in.
        asset: Asset,
        /// The greatest possible fee in the smallest unit: gas limit times fee cap, blob fee included.
        max_amount: Amount,
        /// Who pays.
        payer: Address,
    },
    /// Somebody else may move `owner`'s assets (ERC-20 `approve`, `setApprovalForAll`, EIP-2612 permit …).
    Allowance {
        /// What may be moved; for `setApprovalForAll` any token of the contract.
        asset: Asset,
        /// Up to how much; [`Amount::MAX`] is unlimited.
        amount: Amount,
        /// Whose assets.
        owner: Address,
        /// Who may move them.
        spender: Address,
        /// Until when, in seconds since 1970, where the bytes say so.
        expires_at: Option<u64>,
    },
    /// Control over an account or contract changes (EIP-7702 delegation, ownership, upgrades …).
    AuthorityChange {
        /// Whose control changes.
        subject: Address,
        /// Who gets it.
        to: Address,
        /// What kind, as a fixed word such as `eip7702-delegation`.
        kind: String,
    },
    /// A new contract is created.
    Deploy {
        /// Who creates it.
        from: Address,
        /// Where it will live.
        contract: Address,
        /// SHA-256 of the creation code.
        code_hash: [u8; 32],
        /// Native value sent along, in the smallest unit.
        value: Amount,
    },
    /// A contract is called in a way whose meaning is known but moves nothing that another effect shows.
    Call {
        /// The contract.
        contract: Address,
        /// The call in words, for example `transfer(address,uint256)`.
        method: String,
    },
    /// A message for people or programs, not a transaction (EIP-191).
    Message {
        /// Who signs it.
        signer: Address,
        /// The text if it is printable UTF-8, else hexadecimal with `0x`.
        text: String,
    },
    /// Structured data that is not a known permit (EIP-712).
    TypedData {
        /// Who signs it.
        signer: Address,
        /// The primary type.
        primary_type: String,
        /// The verifying contract, if the domain names one.
        verifying_contract: Option<Address>,
        /// EIP-712 signing hash.
        hash: [u8; 32],
    },
    /// Bytes without a meaning that we know: denied unless a rule names them.
    Unknown {
        /// What could not be read.
        what: String,
        /// SHA-256 of the unread bytes.
        hash: [u8; 32],
    },
    /// A bare 32-byte digest: the class that hides everything.
    Raw {
        /// The digest to be signed.
        digest: [u8; 32],
    },
}

impl Effect {
    /// The class as a fixed word, used by rules, logs and documents.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Transfer { .. } => "transfer",
            Self::Fee { .. } => "fee",
            Self::Allowance { .. } => "allowance",
            Self::AuthorityChange { .. } => "authority-change",
            Self::Deploy { .. } => "deploy",
            Self::Call { .. } => "call",
            Self::Message { .. } => "message",
            Self::TypedData { .. } => "typed-data",
            Self::Unknown { .. } => "unknown",
            Self::Raw { .. } => "raw",
        }
    }
}

/// Everything that the bytes of one intent do, in the order of the bytes, with the account and its sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// Version of the decoder: another version may read the same bytes otherwise.
    pub decoder_version: u32,
    /// The chain.
    pub chain: ChainId,
    /// The account that signs.
    pub account: Address,
    /// The account's sequence number that the bytes burn (EVM nonce); messages burn none.
    pub nonce: Option<u64>,
    /// What happens.
    pub list: Vec<Effect>,
}

impl Effects {
    /// The version of the decoders in this release.
    pub const DECODER_VERSION: u32 = 1;
}

/// SHA-256 of bytes that are shown by hash only.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
