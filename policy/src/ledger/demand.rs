//! What a request takes of a ledger, before it is known what things are worth; and the prices of an entry.

use std::collections::BTreeMap;

use limen_wire::effects::{Amount, Asset};
use limen_wire::ids::{CurrencyId, IntentId};

use super::entry::{Claim, Price};
use super::scope::Scope;
use crate::check::{NoWorth, Quote, Quotes};
use crate::decide::Sum;

/// A claim but for prices: the same for everybody who has the request's bytes and the charter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The request.
    pub intent: IntentId,
    /// The request that it replaces.
    pub replaces: Option<IntentId>,
    /// What it takes, by scope.
    pub sums: BTreeMap<Scope, Sum>,
}

impl Demand {
    /// The prices that the claim depends on.
    pub fn needs(&self) -> impl Iterator<Item = (&Asset, &CurrencyId)> {
        self.sums.values().flat_map(Sum::needs)
    }

    /// What is claimed at these prices.
    pub fn at(&self, quotes: &Quotes) -> Result<Claim, NoWorth> {
        let charge = |(scope, sum): (&Scope, &Sum)| Ok((scope.clone(), sum.at(quotes)?));
        let charges = self.sums.iter().map(charge).collect::<Result<_, _>>()?;
        Ok(Claim { intent: self.intent, replaces: self.replaces, charges })
    }
}

/// Where nothing counts in money a claim is all there is to say.
impl From<Claim> for Demand {
    fn from(claim: Claim) -> Self {
        let units = |(scope, amount): (Scope, Amount)| (scope, Sum::Units(amount));
        let sums = claim.charges.into_iter().map(units).collect();
        Self { intent: claim.intent, replaces: claim.replaces, sums }
    }
}

/// The prices of an entry that claims all of this: those that one of them needs and no other, each the highest that is attested
/// for a request that needs it.
pub fn common<'a>(all: impl IntoIterator<Item = (&'a Demand, &'a Quotes)>) -> Result<Quotes, NoWorth> {
    let mut common = Quotes::default();
    for (demand, quotes) in all {
        for (asset, currency) in demand.needs() {
            let unpriced = || NoWorth::Unpriced { asset: asset.clone(), currency: currency.clone() };
            let quote = quotes.quote(asset, currency).ok_or_else(unpriced)?;
            common.raise((asset.clone(), currency.clone()), *quote);
        }
    }
    Ok(common)
}

impl Price {
    /// These prices as an entry says them.
    pub fn all(quotes: &Quotes) -> Vec<Self> {
        let price = |((asset, unit), quote): (&(Asset, CurrencyId), &Quote)| Self {
            asset: asset.clone(),
            unit: unit.clone(),
            price: quote.price,
            at_ms: quote.at_secs.saturating_mul(1000),
        };
        let mut all: Vec<Self> = quotes.iter().map(price).collect();
        all.sort_by_cached_key(Self::place);
        all
    }

    /// The prices of an entry. For what it claims they hold as long as the entry stands.
    pub fn quotes(all: &[Self]) -> Quotes {
        let mut quotes = Quotes::default();
        for one in all {
            let quote = Quote { price: one.price, at_secs: one.at_ms / 1000, until_secs: u64::MAX };
            quotes.raise((one.asset.clone(), one.unit.clone()), quote);
        }
        quotes
    }

    /// By this they stand in order.
    pub(super) fn place(&self) -> (String, String) {
        (self.asset.to_string(), self.unit.to_string())
    }
}
