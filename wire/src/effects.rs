//! Effects: what the bytes of an intent do, as decoded by `chain` and judged by `policy`.
//!
//! Plain data with no behaviour beyond spelling and the digest that approvals sign. Amounts are 256-bit integers in the
//! asset's smallest unit, held big-endian in 32 bytes so that no crate needs another's number type.

mod amount;
mod digest;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use amount::Amount;

/// A chain by its CAIP-2 name, such as `eip155:1`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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
    /// The EIP-155 number, if this is an EVM chain in its one spelling: `eip155:01` is no chain.
    pub fn eip155_number(&self) -> Option<u64> {
        let digits = self.0.strip_prefix("eip155:")?;
        let number = digits.parse::<u64>().ok()?;
        (number.to_string() == digits).then_some(number)
    }
    /// No chain: what a key that only signs messages or digests is used on.
    pub fn offchain() -> Self {
        Self("limen:offchain".to_owned())
    }
    /// Whether this stands for no chain at all.
    pub fn is_offchain(&self) -> bool {
        self.0 == "limen:offchain"
    }
    /// The CAIP-2 text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl TryFrom<String> for ChainId {
    type Error = BadSpelling;
    fn try_from(text: String) -> Result<Self, BadSpelling> {
        Self::new(text).ok_or(BadSpelling { what: "chain id", form: "a CAIP-2 name such as eip155:1" })
    }
}
impl From<ChainId> for String {
    fn from(chain: ChainId) -> String {
        chain.0
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

/// What is moved. Text form is CAIP-19: `eip155:1/slip44:60`, `eip155:1/erc20:0x…`, `eip155:1/erc721:0x…/7`,
/// and `eip155:1/nft:0x…` for a whole collection.
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
    /// Every token of a non-fungible or multi-token contract, as `setApprovalForAll` hands over.
    Collection(ChainId, Address),
}

impl Asset {
    /// The chain that the asset lives on.
    pub const fn chain(&self) -> &ChainId {
        match self {
            Self::Native(chain)
            | Self::Erc20(chain, _)
            | Self::Erc721(chain, _, _)
            | Self::Erc1155(chain, _, _)
            | Self::Collection(chain, _) => chain,
        }
    }

    /// The contract, if it is one's.
    pub const fn contract(&self) -> Option<&Address> {
        match self {
            Self::Native(_) => None,
            Self::Erc20(_, contract)
            | Self::Erc721(_, contract, _)
            | Self::Erc1155(_, contract, _)
            | Self::Collection(_, contract) => Some(contract),
        }
    }

    /// From the text form, in its one spelling. Single tokens of a collection are not read: the collection stands for them.
    pub fn from_caip19(text: &str) -> Option<Self> {
        let (chain, asset) = text.split_once('/')?;
        let chain = ChainId::new(chain)?;
        let (kind, name) = asset.split_once(':')?;
        match (kind, name) {
            ("slip44", "60") => Some(Self::Native(chain)),
            ("erc20", contract) => Some(Self::Erc20(chain, Address::from_canonical(contract)?)),
            ("nft", contract) => Some(Self::Collection(chain, Address::from_canonical(contract)?)),
            _ => None,
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
            Self::Collection(chain, contract) => write!(f, "{chain}/nft:{contract}"),
        }
    }
}

/// An address in the chain's own canonical spelling (EVM: EIP-55 mixed case with `0x`). Made by `chain` only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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
impl TryFrom<String> for Address {
    type Error = BadSpelling;
    fn try_from(text: String) -> Result<Self, BadSpelling> {
        Self::from_canonical(text).ok_or(BadSpelling { what: "address", form: "1 to 128 printable ASCII characters" })
    }
}
impl From<Address> for String {
    fn from(address: Address) -> String {
        address.0
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

/// How an allowance moves against what the spender had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AllowanceChange {
    /// The amount replaces the old one (`approve`, `permit`, `setApprovalForAll`).
    Set,
    /// The amount is added to the old one (`increaseAllowance`).
    Increase,
    /// The amount is taken from the old one (`decreaseAllowance`).
    Decrease,
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
        /// What may be moved; [`Asset::Collection`] for `setApprovalForAll`.
        asset: Asset,
        /// Up to how much; [`Amount::MAX`] is unlimited, zero with [`AllowanceChange::Set`] takes the allowance back.
        amount: Amount,
        /// Whether `amount` replaces what the spender had before or is added to it or taken from it.
        change: AllowanceChange,
        /// Whose assets.
        owner: Address,
        /// Who may move them.
        spender: Address,
        /// When the allowance itself ends, in seconds since 1970, where the bytes say so (Permit2).
        expires_at: Option<u64>,
        /// Until when a signed permit can be put on chain, in seconds since 1970; the allowance then made may last longer.
        submit_by: Option<u64>,
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
        /// SHA-256 of the creation code. Value sent along is a [`Effect::Transfer`] of its own.
        code_hash: [u8; 32],
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
        /// The contract that gets the bytes, if one does.
        contract: Option<Address>,
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

/// Everything that the bytes of one intent do, in an order that the decoder fixes, with the account and its sequence number.
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

    /// Whether what is signed may be a bare digest: nothing that was shared ahead serves it.
    pub fn is_bare(&self) -> bool {
        self.list.iter().any(|effect| matches!(effect, Effect::Raw { .. }))
    }
}

/// Text that is not in the one spelling allowed for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a valid {what}: write {form}")]
pub struct BadSpelling {
    what: &'static str,
    form: &'static str,
}

/// SHA-256 of bytes that are shown by hash only.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
