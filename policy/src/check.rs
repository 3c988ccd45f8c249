//! External checks: what programs outside the cluster found, and whether it holds for an intent as things stand.
//!
//! A finding is signed over intent, charter, time and expiry. Nothing about it is remembered: whoever wants a signature
//! shows it with the request each time, and it holds or it does not.

mod quotes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use limen_wire::check::{Balances, Check, Price, Prices, Sequences};
use limen_wire::effects::Amount;
use limen_wire::envelope::EnvelopeError;
use limen_wire::ids::{CharterHash, CheckerId, ClusterId, IntentId, LimitId, VaultId};
use limen_wire::intent::IntentError;
use limen_wire::pb;

use crate::charter::assets::Assets;
use crate::charter::{Charter, Checker};
use crate::ledger::Passed;
pub use quotes::{NoWorth, Quote, Quotes, Worth};

/// How far a checker's clock may be ahead, in seconds.
pub const SKEW_SECS: u64 = 30;

/// Why a finding does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Not a well-formed finding.
    #[error("the finding cannot be read: {0}")]
    Malformed(#[from] IntentError),
    /// The charter knows no such checker.
    #[error("checker {checker} is not in the charter: the charter in force has to name it")]
    NotEnrolled {
        /// Which.
        checker: CheckerId,
    },
    /// The signature is not the checker's.
    #[error("the finding is not {checker}'s: {source}")]
    Signature {
        /// Whose it claims to be.
        checker: CheckerId,
        /// What is wrong.
        source: EnvelopeError,
    },
    /// For another cluster.
    #[error("the finding is for cluster {found}, this is {expected}")]
    OtherCluster {
        /// Whose cluster it names.
        found: ClusterId,
        /// Which this is.
        expected: ClusterId,
    },
    /// About another intent.
    #[error("the finding is about intent {found}, not about {expected}: check this one")]
    OtherIntent {
        /// Which it names.
        found: IntentId,
        /// Which is asked about.
        expected: IntentId,
    },
    /// Of what the charter does not have it attest.
    #[error("checker {checker} attests {what}, which the charter does not let it: leave it out, or enrol it for that")]
    NotEntitled {
        /// Whose finding it is.
        checker: CheckerId,
        /// Of what.
        what: String,
    },
    /// Under another charter.
    #[error("the finding was made under charter {found}, in force is {expected}: check again")]
    OtherCharter {
        /// Which it names.
        found: CharterHash,
        /// Which is in force.
        expected: CharterHash,
    },
    /// Not yet.
    #[error("the finding is from {checked_at_secs} seconds, now it is {now_secs}: set the checker's clock")]
    FromTheFuture {
        /// When it claims to be from.
        checked_at_secs: u64,
        /// Now.
        now_secs: u64,
    },
    /// Too late.
    #[error("the finding counted until {until_secs} seconds, now it is {now_secs}: check again")]
    Expired {
        /// Until when.
        until_secs: u64,
        /// Now.
        now_secs: u64,
    },
}

/// A finding that its checker's enrolled key proves, about one intent under the charter in force. Only [`verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    checker: CheckerId,
    objection: Option<String>,
    balances: Balances,
    prices: Prices,
    sequences: Sequences,
    checked_at_secs: u64,
    until_secs: u64,
}

impl Finding {
    /// Who checked.
    pub const fn checker(&self) -> &CheckerId {
        &self.checker
    }
    /// What speaks against the intent; `None` if it passed.
    pub fn objection(&self) -> Option<&str> {
        self.objection.as_deref()
    }

    /// What it attests a vault to hold of these assets, in their common unit; `None` if it does not tell of each of them. A sum
    /// beyond 256 bits is the most there is.
    pub fn balance(&self, vault: &VaultId, assets: &Assets) -> Option<Amount> {
        let mut sum = Some(Amount::ZERO);
        for asset in assets.each() {
            let held = self.balances.get(&(vault.clone(), asset.clone()))?;
            sum = sum.and_then(|sum| sum.checked_add(assets.units(asset, *held)?));
        }
        Some(sum.unwrap_or(Amount::MAX))
    }

    /// The same with the sequence numbers that had passed when it was read.
    fn held(&self, vault: &VaultId, assets: &Assets) -> Option<Held> {
        let passed = self.sequences.iter().map(|(account, next)| (account.clone(), *next)).collect();
        Some(Held { amount: self.balance(vault, assets)?, passed })
    }

    /// A pass without a proof: for rehearsals of a charter's rules.
    pub(crate) const fn unproved(checker: CheckerId, balances: Balances, prices: Prices) -> Self {
        Self {
            checker,
            objection: None,
            balances,
            prices,
            sequences: Sequences::new(),
            checked_at_secs: 0,
            until_secs: u64::MAX,
        }
    }
}

/// What a vault is attested to hold of a ceiling's assets, in its unit, and which sequence numbers had passed by then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// How much.
    pub amount: Amount,
    /// Whatever was paid at a lower number is in the amount, or will never be.
    pub passed: Passed,
}

impl Held {
    /// The worse of two: the greater amount, and only what had passed by both.
    #[must_use]
    pub fn or_worse(self, other: &Self) -> Self {
        Self { amount: self.amount.max(other.amount), passed: self.passed.and(&other.passed) }
    }
}

/// What is attested for one intent of the vaults that have ceilings.
pub type Attested = BTreeMap<LimitId, Held>;

/// What findings attest. Of several the worst counts; a ceiling of which none tells all assets is not in it.
pub fn attested(charter: &Charter, findings: &[Finding]) -> Attested {
    let ceilings = charter.limits.values().filter_map(|limit| Some((limit, limit.ceiling_of.as_ref()?)));
    let told = ceilings.filter_map(|(limit, vault)| {
        let told = findings.iter().filter_map(|finding| finding.held(vault, &limit.assets));
        Some((limit.id.clone(), told.reduce(|worst, held| worst.or_worse(&held))?))
    });
    told.collect()
}

/// The price of one unit of an asset, as people write it; at most 18 places more than the currency has. `None` if it is no
/// price.
pub fn price(text: &str, asset_decimals: u8, currency_decimals: u8) -> Option<Price> {
    let value = Amount::from_units(text, currency_decimals.checked_add(18)?)?;
    (value != Amount::ZERO).then_some(Price { value, scale: u32::from(asset_decimals).checked_add(18)? })
}

/// Verifies one finding for an intent. `now_secs` is in seconds since 1970.
///
/// An objection holds longer than a pass: for as long as it names itself.
pub fn verify(
    envelope: &pb::Envelope,
    charter: &Charter,
    intent_id: &IntentId,
    now_secs: u64,
) -> Result<Finding, CheckError> {
    let (check, opened) = Check::open(envelope)?;
    let checker = charter.checkers.get(&check.checker);
    let checker = checker.ok_or_else(|| CheckError::NotEnrolled { checker: check.checker.clone() })?;
    check
        .verify(&opened, &checker.public_key)
        .map_err(|source| CheckError::Signature { checker: checker.id.clone(), source })?;
    holds(&check, charter, intent_id)?;
    entitled(&check, checker)?;
    let checked_at_secs = check.checked_at_secs;
    if checked_at_secs > now_secs.saturating_add(SKEW_SECS) {
        return Err(CheckError::FromTheFuture { checked_at_secs, now_secs });
    }
    let oldest = checked_at_secs.saturating_add(checker.max_age_secs);
    let until_secs = if check.objection.is_none() { check.expires_at_secs.min(oldest) } else { check.expires_at_secs };
    if now_secs >= until_secs {
        return Err(CheckError::Expired { until_secs, now_secs });
    }
    let Check { checker, objection, balances, prices, sequences, .. } = check;
    Ok(Finding { checker, objection, balances, prices, sequences, checked_at_secs, until_secs })
}

/// It attests nothing that is not its to attest.
fn entitled(check: &Check, checker: &Checker) -> Result<(), CheckError> {
    let refuse = |what: String| Err(CheckError::NotEntitled { checker: checker.id.clone(), what });
    if let Some((vault, _)) = check.balances.keys().find(|(vault, _)| !checker.balances_of.contains(vault)) {
        return refuse(format!("what vault {vault} holds"));
    }
    if let Some((_, account)) = check.sequences.keys().next().filter(|_| checker.balances_of.is_empty()) {
        return refuse(format!("sequence numbers, of {account} here, as those do who attest what a vault holds"));
    }
    match check.prices.keys().find(|(_, currency)| !checker.prices_in.contains(currency)) {
        Some((asset, currency)) => refuse(format!("what {asset} is worth in {currency}")),
        None => Ok(()),
    }
}

fn holds(check: &Check, charter: &Charter, intent_id: &IntentId) -> Result<(), CheckError> {
    if check.cluster != charter.cluster {
        return Err(CheckError::OtherCluster { found: check.cluster.clone(), expected: charter.cluster.clone() });
    }
    if check.intent_id != *intent_id {
        return Err(CheckError::OtherIntent { found: check.intent_id, expected: *intent_id });
    }
    if check.charter != charter.hash() {
        return Err(CheckError::OtherCharter { found: check.charter, expected: charter.hash() });
    }
    Ok(())
}
