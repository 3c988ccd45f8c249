//! What can be measured.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use limen_client::NewIntent;
use limen_sim::cluster::TokenPlan;
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::ids::{CommitteeSize, KeyId, Protocol, Scheme};

/// A scheme with the protocol that makes its signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Dkls23,
    Cggmp24,
    FrostEd25519,
    FrostBip340,
}

impl Choice {
    const ALL: [(&'static str, Self); 4] = [
        ("dkls23", Self::Dkls23),
        ("cggmp24", Self::Cggmp24),
        ("frost-ed25519", Self::FrostEd25519),
        ("frost-bip340", Self::FrostBip340),
    ];

    pub(crate) fn scheme(self) -> Scheme {
        match self {
            Self::Dkls23 | Self::Cggmp24 => Scheme::EcdsaSecp256k1,
            Self::FrostEd25519 => Scheme::EddsaEd25519,
            Self::FrostBip340 => Scheme::SchnorrBip340,
        }
    }

    pub(crate) fn protocol(self) -> Protocol {
        match self {
            Self::Dkls23 => Protocol::Dkls23,
            Self::Cggmp24 => Protocol::Cggmp24,
            Self::FrostEd25519 | Self::FrostBip340 => Protocol::Frost,
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(_, choice)| choice == self).map_or("?", |(word, _)| word);
        f.write_str(word)
    }
}

impl FromStr for Choice {
    type Err = anyhow::Error;
    fn from_str(word: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, choice)| *choice);
        found.with_context(|| format!("`{word}` is none of dkls23, cggmp24, frost-ed25519, frost-bip340"))
    }
}

/// What the signers' shares lie under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shares {
    /// A wrapping key in a file: development only, for comparison.
    File,
    /// A SoftHSM2 token behind a bridge, asked once in a minute for each key.
    Token,
    /// The same, asked for every session.
    TokenEach,
}

impl Shares {
    const ALL: [(&'static str, Self); 3] =
        [("file", Self::File), ("token", Self::Token), ("token-each", Self::TokenEach)];

    /// For the signers' configurations.
    pub(crate) const fn plan(self) -> Option<TokenPlan> {
        match self {
            Self::File => None,
            Self::Token => Some(TokenPlan { hold_secs: 60, timeout_ms: 5000 }),
            Self::TokenEach => Some(TokenPlan { hold_secs: 0, timeout_ms: 5000 }),
        }
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(_, shares)| shares == self).map_or("?", |(word, _)| word);
        f.write_str(word)
    }
}

impl FromStr for Shares {
    type Err = anyhow::Error;
    fn from_str(word: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, shares)| *shares);
        found.with_context(|| format!("`{word}` is none of file, token, token-each"))
    }
}

/// How many of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committee {
    pub(crate) required: u8,
    pub(crate) total: u8,
}

impl Committee {
    pub(crate) const fn new(required: u8, total: u8) -> Self {
        Self { required, total }
    }

    pub(crate) fn size(self) -> Result<CommitteeSize> {
        Ok(CommitteeSize::new(self.required.into(), self.total.into())?)
    }
}

impl fmt::Display for Committee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-of-{}", self.required, self.total)
    }
}

impl FromStr for Committee {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> Result<Self> {
        let Some((required, total)) = text.split_once("-of-") else { bail!("write it like 2-of-3") };
        let committee = Self::new(required.parse()?, total.parse()?);
        committee.size()?;
        Ok(committee)
    }
}

/// The chain that payments are for.
pub(crate) const CHAIN: &str = "eip155:31337";

/// Something that a requester would ask for: a payment for ECDSA, a message otherwise; never the same bytes twice.
pub(crate) fn intent(choice: Choice, key: &KeyId, number: u64) -> Result<NewIntent> {
    if choice.scheme() != Scheme::EcdsaSecp256k1 {
        return Ok(NewIntent::message(key.clone(), format!("bench message {number}").into_bytes()));
    }
    let chain = ChainId::new(CHAIN).context("chain id")?;
    Ok(NewIntent::evm_transaction(key.clone(), chain, payment(number)?))
}

/// An unsigned EIP-1559 transaction that pays one coin.
pub(crate) fn payment(number: u64) -> Result<Vec<u8>> {
    let chain = ChainId::new(CHAIN).context("chain id")?;
    let to = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").context("address")?;
    let transfer = limen_chain::evm::Transfer { chain, to, amount: Amount::from_units("1", 18).context("amount")? };
    let fees = limen_chain::evm::Eip1559Fees {
        nonce: number,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
    };
    Ok(limen_chain::evm::transfer(&transfer, &fees)?)
}
