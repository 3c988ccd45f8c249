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

/// The highest price that is attested, by asset and currency, and the lowest one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotes {
    highest: BTreeMap<(Asset, CurrencyId), Quote>,
    lowest: BTreeMap<(Asset, CurrencyId), Price>,
}

static NONE: Quotes = Quotes { highest: BTreeMap::new(), lowest: BTreeMap::new() };

/// What something is worth, where several prices may be shown; `None` beyond 256 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worth {
    /// At the lowest price.
    pub lowest: Option<Amount>,
    /// At the highest one.
    pub highest: Option<Amount>,
}

impl Worth {
    /// It has no price, or none that fits.
    pub const UNKNOWN: Self = Self { lowest: None, highest: None };

    /// The same at any price.
    pub const fn exactly(amount: Option<Amount>) -> Self {
        Self { lowest: amount, highest: amount }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let add = |one: Option<Amount>, other: Option<Amount>| one?.checked_add(other?);
        Self { lowest: add(self.lowest, other.lowest), highest: add(self.highest, other.highest) }
    }
}

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

    /// Takes a price in. It counts if it is higher than what is known; of two that are the same the later one does.
    pub fn raise(&mut self, what: (Asset, CurrencyId), quote: Quote) {
        let quote = Quote { price: quote.price.reduced(), ..quote };
        let lowest = self.lowest.entry(what.clone()).or_insert(quote.price);
        if quote.price.compare(lowest) == Ordering::Less {
            *lowest = quote.price;
        }
        let known = self.highest.entry(what).or_insert(quote);
        match quote.price.compare(&known.price) {
            Ordering::Greater => *known = quote,
            Ordering::Equal if (quote.at_secs, quote.until_secs) > (known.at_secs, known.until_secs) => *known = quote,
            Ordering::Equal | Ordering::Less => {}
        }
    }

    /// The highest of each.
    pub fn iter(&self) -> impl Iterator<Item = (&(Asset, CurrencyId), &Quote)> {
        self.highest.iter()
    }

    /// The highest price of an asset.
    pub fn quote(&self, asset: &Asset, currency: &CurrencyId) -> Option<&Quote> {
        self.highest.get(&(asset.clone(), currency.clone()))
    }

    /// Whether an asset has a price.
    pub fn has(&self, asset: &Asset, currency: &CurrencyId) -> bool {
        self.quote(asset, currency).is_some()
    }

    /// What so much is worth at the lowest and at the highest price, rounded up.
    pub fn range(&self, asset: &Asset, amount: Amount, currency: &CurrencyId) -> Worth {
        let what = (asset.clone(), currency.clone());
        Worth {
            lowest: self.lowest.get(&what).and_then(|price| price.worth(amount)),
            highest: self.highest.get(&what).and_then(|quote| quote.price.worth(amount)),
        }
    }

    /// What all of this is worth together at the highest prices, in the currency's smallest unit, each asset rounded up.
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
