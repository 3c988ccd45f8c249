//! Errors: one enum per operation, each saying what to do.

use limen_wire::effects::{Address, ChainId};
use limen_wire::ids::Scheme;

/// Why payload bytes were not decoded. Nothing may be signed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than any payload may have.
    #[error("cannot decode the {kind}: {found} bytes, at most {max} are accepted")]
    TooLong {
        /// Which kind of payload.
        kind: &'static str,
        /// Bytes given.
        found: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The payload is of a kind that this chain does not have.
    #[error("a {kind} cannot be decoded for chain {chain}: choose a chain that has it")]
    WrongChainKind {
        /// Which kind of payload.
        kind: &'static str,
        /// The chain asked for.
        chain: ChainId,
    },
    /// The account is not spelled as this chain spells addresses.
    #[error("account {account} is not an address of chain {chain}: write it in mixed case with checksum (EIP-55)")]
    BadAccount {
        /// The account asked for.
        account: Address,
        /// The chain asked for.
        chain: ChainId,
    },
    /// The bytes name another chain than the intent.
    #[error("the bytes are for chain {found}, the intent is for {expected}: build the bytes again for the right chain")]
    OtherChain {
        /// Chain of the intent.
        expected: ChainId,
        /// Chain in the bytes.
        found: ChainId,
    },
    /// A legacy transaction without EIP-155 fields could be replayed on every chain.
    #[error(
        "the legacy transaction names no chain and could be replayed on any: encode it with the three EIP-155 fields"
    )]
    NoChainId,
    /// A transaction type that this decoder does not know.
    #[error("transaction type {found:#04x} is not known: use legacy, 0x01, 0x02, 0x03 or 0x04")]
    UnknownType {
        /// The first byte.
        found: u8,
    },
    /// The bytes are not what they should be.
    #[error("cannot decode the {kind}: {why}")]
    Malformed {
        /// Which kind of payload.
        kind: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The bytes are readable but not in their one canonical form.
    #[error("the {kind} is not in canonical form: {why}")]
    NotCanonical {
        /// Which kind of payload.
        kind: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A list in the bytes is too long or too short.
    #[error("the {kind} has {found} {what}, accepted are {min} to {max}")]
    BadCount {
        /// Which kind of payload.
        kind: &'static str,
        /// Which list.
        what: &'static str,
        /// Entries given.
        found: usize,
        /// Fewest entries.
        min: usize,
        /// Most entries.
        max: usize,
    },
    /// The greatest fee does not fit 256 bits.
    #[error("the greatest possible fee does not fit 256 bits: lower the gas limit or the fee caps")]
    FeeOverflow,
}

/// Why a public key has no address on a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The chain does not verify this kind of signature.
    #[error(
        "{scheme} keys have no address on chain {chain}: EVM chains take ecdsa-secp256k1, limen:offchain takes any"
    )]
    WrongScheme {
        /// Scheme of the key.
        scheme: Scheme,
        /// The chain asked for.
        chain: ChainId,
    },
    /// The bytes are no public key of the scheme.
    #[error("the {found} bytes are no {scheme} public key: expected {expected}")]
    BadKey {
        /// Scheme of the key.
        scheme: Scheme,
        /// Bytes given.
        found: usize,
        /// What a key of this scheme looks like.
        expected: &'static str,
    },
    /// Text that is no address of any chain known here.
    #[error(
        "{text:?} is not an EVM address: write 0x and 40 hexadecimal digits, in EIP-55 mixed case or all in one case"
    )]
    BadText {
        /// The text, cut to 80 characters.
        text: String,
    },
}

/// Why a signature could not be put onto a transaction or message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The unsigned bytes do not decode.
    #[error("cannot attach a signature to bytes that do not decode")]
    Unsigned(#[from] DecodeError),
    /// The account is not an EIP-55 address.
    #[error("account {account} is not an EVM address in mixed case with checksum (EIP-55)")]
    BadAccount {
        /// The account asked for.
        account: Address,
    },
    /// Recovery ids 2 and 3 mean an x-coordinate above the group order, which Ethereum does not carry.
    #[error("recovery id {found} cannot be encoded: it must be 0 or 1")]
    RecoveryId {
        /// The id given.
        found: u8,
    },
    /// s is in the upper half of the group order (EIP-2).
    #[error("the signature's s is in the upper half: negate s and flip the recovery id (EIP-2)")]
    HighS,
    /// The signature is by another key, or over other bytes.
    #[error("the signature recovers to {found}, not to the account {expected}")]
    OtherSigner {
        /// The account.
        expected: Address,
        /// Who signed, if anybody.
        found: String,
    },
}

/// Why unsigned transaction bytes could not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The chain is not an EVM chain.
    #[error("cannot build an EVM transaction for chain {chain}: name it as eip155:NUMBER")]
    NotEvm {
        /// The chain asked for.
        chain: ChainId,
    },
    /// An address is not in EIP-55 form.
    #[error("{what} {address} is not an EVM address in mixed case with checksum (EIP-55)")]
    BadAddress {
        /// Which address.
        what: &'static str,
        /// The text given.
        address: Address,
    },
    /// The tip is above the cap: every node refuses that.
    #[error(
        "the priority fee {priority} is above the fee cap {cap} (both in wei per gas): raise the cap or lower the tip"
    )]
    TipAboveCap {
        /// Highest tip, in wei per gas.
        priority: u128,
        /// Highest price, in wei per gas.
        cap: u128,
    },
}
