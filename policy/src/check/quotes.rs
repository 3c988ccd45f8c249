//! What things are worth, as attested. Of several prices the highest counts, compared exactly.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use limen_wire::check::Price;
use limen_wire::effects::{Amount, Asset};
use limen_wire::ids::CurrencyId;

use super::Finding;

/// A price, and when it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// In the smallest numbers.
    pub price: Price,
    /// Seconds since 1970 at which it was found.
    pub at_secs: u64,
    /// Seconds since 1970 from which it no longer counts.
    pub until_secs: u64,
}

/// The highest price that is attested, by asset and currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotes(BTreeMap<(Asset, CurrencyId), Quote>);

static NONE: Quotes = Quotes(BTreeMap::new());

/// Why nobody can tell what something is worth.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWorth {
    /// A price is missing.
    #[error("what {asset} is worth in {currency} is not attested")]
    Unpriced {
        /// Of what.
        asset: Asset,
        /// In which money.
        currency: CurrencyId,
    },
    /// The sum is too large.
    #[error("it is worth more {0} than 256 bits can count")]
    Beyond(CurrencyId),
}

impl Quotes {
    /// Nothing has a price.
    pub const fn none() -> &'static Self {
        &NONE
    }

    /// What findings attest.
    pub fn of(findings: &[Finding]) -> Self {
        let mut quotes = Self::default();
        for finding in findings {
            let Finding { checked_at_secs: at_secs, until_secs, .. } = *finding;
            for (what, price) in &finding.prices {
                quotes.raise(what.clone(), Quote { price: *price, at_secs, until_secs });
            }
        }
        quotes
    }

    /// Takes a price in, if it is higher than what is known. Of two that are the same the later one counts.
    pub fn raise(&mut self, what: (Asset, CurrencyId), quote: Quote) {
        let quote = Quote { price: quote.price.reduced(), ..quote };
        let known = self.0.entry(what).or_insert(quote);
        match quote.price.compare(&known.price) {
            Ordering::Greater => *known = quote,
            Ordering::Equal if (quote.at_secs, quote.until_secs) > (known.at_secs, known.until_secs) => *known = quote,
            Ordering::Equal | Ordering::Less => {}
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&(Asset, CurrencyId), &Quote)> {
        self.0.iter()
    }

    /// The price of an asset.
    pub fn quote(&self, asset: &Asset, currency: &CurrencyId) -> Option<&Quote> {
        self.0.get(&(asset.clone(), currency.clone()))
    }

    /// Whether an asset has a price.
    pub fn has(&self, asset: &Asset, currency: &CurrencyId) -> bool {
        self.quote(asset, currency).is_some()
    }

    /// What all of this is worth together, in the currency's smallest unit, each asset rounded up.
    pub fn worth<'a>(
        &self,
        all: impl IntoIterator<Item = (&'a Asset, Amount)>,
        currency: &CurrencyId,
    ) -> Result<Amount, NoWorth> {
        let beyond = || NoWorth::Beyond(currency.clone());
        let unpriced = |asset: &Asset| NoWorth::Unpriced { asset: asset.clone(), currency: currency.clone() };
        all.into_iter().try_fold(Amount::ZERO, |sum, (asset, amount)| {
            let quote = self.quote(asset, currency).ok_or_else(|| unpriced(asset))?;
            quote.price.worth(amount).and_then(|worth| sum.checked_add(worth)).ok_or_else(beyond)
        })
    }
}
