//! External checks: what a program outside the cluster found out about an intent. The checked form of `check.proto`.
//!
//! A value of this type is well formed and no more. Whether a rule asks for it and what it counts for is `policy`'s
//! question.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;

use crate::effects::{Address, Amount, Asset, ChainId};
use crate::envelope::{self, EnvelopeError, Opened, PayloadType};
use crate::ids::{CharterHash, CheckerId, ClusterId, CurrencyId, IntentId, VaultId};
use crate::intent::{IntentError, check_text, check_version, field, invalid};
use crate::keys::SigningKey;
use crate::{limits, pb};

/// So much of an asset's smallest unit in a vault, over all its accounts.
pub type Balances = BTreeMap<(VaultId, Asset), Amount>;
/// What an asset is worth in a currency.
pub type Prices = BTreeMap<(Asset, CurrencyId), Price>;

/// The next sequence number of an account: whatever spends a lower one has arrived, or never will.
pub type Sequences = BTreeMap<(ChainId, Address), u64>;

/// The greatest power of ten that fits 256 bits.
const MAX_SCALE: u32 = 76;

/// A price, as an exact fraction. Two are equal if they are written alike; [`Price::compare`] says which is higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// The smallest units of the currency for `10^scale` of the asset's smallest units. Never zero.
    pub value: Amount,
    /// Power of ten, at most 76.
    pub scale: u32,
}

impl Price {
    /// What so many of the asset's smallest units are worth, in the currency's smallest unit, rounded up; `None` beyond 256 bits.
    pub fn worth(&self, amount: Amount) -> Option<Amount> {
        let (mut worth, mut left, mut exact) = (amount.checked_mul(self.value)?, self.scale, true);
        while left > 0 {
            let step = left.min(19);
            let (quotient, rest) = worth.checked_div_rem_u64(10u64.checked_pow(step)?)?;
            (worth, left, exact) = (quotient, left - step, exact && rest == 0);
        }
        if exact { Some(worth) } else { worth.checked_add(Amount::from_u128(1)) }
    }

    /// Which of two prices is higher, exactly.
    pub fn compare(&self, other: &Self) -> Ordering {
        let raised = |one: &Self, places: u32| (0..places).try_fold(one.value, |value, _| value.checked_mul_u64(10));
        let left = raised(self, other.scale.saturating_sub(self.scale));
        // What goes beyond 256 bits is compared with something within.
        match (left, raised(other, self.scale.saturating_sub(other.scale))) {
            (Some(left), Some(right)) => left.cmp(&right),
            (None, _) => Ordering::Greater,
            (_, None) => Ordering::Less,
        }
    }

    /// The same price in the smallest numbers: the one way to write it.
    #[must_use]
    pub fn reduced(mut self) -> Self {
        while let (1.., Some((tenth, 0))) = (self.scale, self.value.checked_div_rem_u64(10)) {
            self = Self { value: tenth, scale: self.scale.saturating_sub(1) };
        }
        self
    }

    /// Whether it is more than nothing, for what 256 bits can count.
    pub fn is_possible(&self) -> bool {
        self.value != Amount::ZERO && self.scale <= MAX_SCALE
    }
}

/// One checker's finding about one intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The cluster.
    pub cluster: ClusterId,
    /// The intent.
    pub intent_id: IntentId,
    /// The charter under which was checked.
    pub charter: CharterHash,
    /// Who checked.
    pub checker: CheckerId,
    /// Seconds since 1970 at which was checked.
    pub checked_at_secs: u64,
    /// Seconds since 1970 from which the finding no longer counts.
    pub expires_at_secs: u64,
    /// What speaks against it: `None` if it passed.
    pub objection: Option<String>,
    /// What it attests of vaults; nothing if it objects.
    pub balances: Balances,
    /// What it attests of prices; nothing if it objects.
    pub prices: Prices,
    /// Which sequence numbers have passed where it read the balances; nothing if it objects.
    pub sequences: Sequences,
}

impl Check {
    /// Opens an envelope and checks everything that needs no charter; the signature is the caller's to verify.
    pub fn open(envelope: &pb::Envelope) -> Result<(Self, Opened<'_>), IntentError> {
        let opened = envelope::open(envelope, PayloadType::Check)?;
        let raw: pb::Check = opened.decode("check")?;
        Ok((Self::from_wire(raw)?, opened))
    }

    /// Signs it.
    pub fn seal(&self, key: &SigningKey) -> pb::Envelope {
        envelope::seal(PayloadType::Check, self.to_payload(), self.checker.as_str(), key)
    }

    /// The exact bytes that are signed.
    pub fn to_payload(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    /// Verifies the one signature that an envelope of a check has.
    pub fn verify(&self, opened: &Opened<'_>, key: &crate::keys::PublicKey) -> Result<(), EnvelopeError> {
        opened.verify(self.checker.as_str(), key)
    }

    fn from_wire(raw: pb::Check) -> Result<Self, IntentError> {
        check_version(raw.version)?;
        check_text("reason", &raw.reason, limits::NOTE_BYTES)?;
        let objection = match (raw.passed, raw.reason.trim().is_empty()) {
            (true, _) if !raw.reason.is_empty() => return Err(invalid("reason", "what passed has none")),
            (true, _) => None,
            (false, true) => return Err(invalid("reason", "what did not pass needs a reason")),
            (false, false) => Some(raw.reason),
        };
        if raw.expires_at_secs <= raw.checked_at_secs {
            return Err(invalid("expires_at_secs", "a finding must expire, and after it was made"));
        }
        if objection.is_some() && !(raw.balances.is_empty() && raw.prices.is_empty() && raw.sequences.is_empty()) {
            return Err(invalid("balances, prices and sequences", "what did not pass attests nothing"));
        }
        Ok(Self {
            cluster: ClusterId::new(raw.cluster).map_err(field("cluster"))?,
            intent_id: IntentId::from_slice(&raw.intent_id).map_err(field("intent_id"))?,
            charter: CharterHash::from_slice(&raw.charter_hash).map_err(field("charter_hash"))?,
            checker: CheckerId::new(raw.checker).map_err(field("checker"))?,
            checked_at_secs: raw.checked_at_secs,
            expires_at_secs: raw.expires_at_secs,
            objection,
            balances: balances(raw.balances)?,
            prices: prices(raw.prices)?,
            sequences: sequences(raw.sequences)?,
        })
    }

    fn to_wire(&self) -> pb::Check {
        pb::Check {
            version: 1,
            cluster: self.cluster.to_string(),
            intent_id: Bytes::copy_from_slice(self.intent_id.as_bytes()),
            charter_hash: Bytes::copy_from_slice(self.charter.as_bytes()),
            checker: self.checker.to_string(),
            checked_at_secs: self.checked_at_secs,
            expires_at_secs: self.expires_at_secs,
            passed: self.objection.is_none(),
            reason: self.objection.clone().unwrap_or_default(),
            balances: self.wire_balances(),
            prices: self.wire_prices(),
            sequences: self.wire_sequences(),
        }
    }

    fn wire_balances(&self) -> Vec<pb::AttestedBalance> {
        let one = |((vault, asset), amount): (&(VaultId, Asset), &Amount)| pb::AttestedBalance {
            vault: vault.to_string(),
            asset: asset.to_string(),
            amount: Bytes::copy_from_slice(&amount.to_be_bytes()),
        };
        let mut all: Vec<_> = self.balances.iter().map(one).collect();
        all.sort_by(|a, b| (&a.vault, &a.asset).cmp(&(&b.vault, &b.asset)));
        all
    }

    fn wire_prices(&self) -> Vec<pb::AttestedPrice> {
        let one = |((asset, currency), price): (&(Asset, CurrencyId), &Price)| pb::AttestedPrice {
            asset: asset.to_string(),
            currency: currency.to_string(),
            value: Bytes::copy_from_slice(&price.value.to_be_bytes()),
            scale: price.scale,
        };
        let mut all: Vec<_> = self.prices.iter().map(one).collect();
        all.sort_by(|a, b| (&a.asset, &a.currency).cmp(&(&b.asset, &b.currency)));
        all
    }

    fn wire_sequences(&self) -> Vec<pb::AttestedSequence> {
        let one = |((chain, account), next): (&(ChainId, Address), &u64)| pb::AttestedSequence {
            chain: chain.to_string(),
            account: account.to_string(),
            next: *next,
        };
        let mut all: Vec<_> = self.sequences.iter().map(one).collect();
        all.sort_by(|a, b| (&a.chain, &a.account).cmp(&(&b.chain, &b.account)));
        all
    }
}

fn balances(raw: Vec<pb::AttestedBalance>) -> Result<Balances, IntentError> {
    ordered("balances", (&raw, limits::ATTESTED), |one| (&one.vault, &one.asset))?;
    let one = |raw: pb::AttestedBalance| {
        let vault = VaultId::new(raw.vault).map_err(field("balances.vault"))?;
        Ok(((vault, asset("balances.asset", &raw.asset)?), amount("balances.amount", &raw.amount)?))
    };
    raw.into_iter().map(one).collect()
}

fn prices(raw: Vec<pb::AttestedPrice>) -> Result<Prices, IntentError> {
    ordered("prices", (&raw, limits::ATTESTED), |one| (&one.asset, &one.currency))?;
    let one = |raw: pb::AttestedPrice| {
        let currency = CurrencyId::new(raw.currency).map_err(field("prices.currency"))?;
        let price = Price { value: amount("prices.value", &raw.value)?, scale: raw.scale };
        if !price.is_possible() {
            return Err(invalid("prices", "a price is more than nothing, for 10^76 of the smallest unit at most"));
        }
        Ok(((asset("prices.asset", &raw.asset)?, currency), price))
    };
    raw.into_iter().map(one).collect()
}

fn sequences(raw: Vec<pb::AttestedSequence>) -> Result<Sequences, IntentError> {
    ordered("sequences", (&raw, limits::SEQUENCES), |one| (&one.chain, &one.account))?;
    let one = |raw: pb::AttestedSequence| {
        let chain = ChainId::new(raw.chain).ok_or_else(|| invalid("sequences.chain", "not a CAIP-2 name"))?;
        let account = Address::from_canonical(raw.account)
            .ok_or_else(|| invalid("sequences.account", "1 to 128 printable characters are needed"))?;
        Ok(((chain, account), raw.next))
    };
    raw.into_iter().map(one).collect()
}

/// Not too many, and each thing once.
fn ordered<T>(
    what: &'static str,
    (list, most): (&[T], usize),
    name: fn(&T) -> (&String, &String),
) -> Result<(), IntentError> {
    let increasing = list.iter().zip(list.iter().skip(1)).all(|(one, next)| name(one) < name(next));
    if list.len() <= most && increasing {
        return Ok(());
    }
    Err(invalid(what, format!("at most {most} can be attested, in strictly increasing order of what they are about")))
}

fn asset(what: &'static str, text: &str) -> Result<Asset, IntentError> {
    let found = Asset::from_caip19(text).filter(|asset| asset.to_string() == text);
    found.ok_or_else(|| invalid(what, "a coin or a token in its one CAIP-19 spelling is needed"))
}

fn amount(what: &'static str, bytes: &[u8]) -> Result<Amount, IntentError> {
    let bytes = bytes.try_into().map_err(|_| invalid(what, "32 bytes are needed"))?;
    Ok(Amount::from_be_bytes(bytes))
}
