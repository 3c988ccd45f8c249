//! What is wanted reserved, and at which prices.

use limen_wire::ids::IntentId;

use crate::check::{NoWorth, Quotes};
use crate::ledger::demand::{Demand, common};
use crate::ledger::entry::{Claim, Price};

/// What one request is to have reserved, with the prices that are attested for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What.
    pub demand: Demand,
    /// At which prices.
    pub quotes: Quotes,
}

impl Wanted {
    pub(super) const fn intent(&self) -> IntentId {
        self.demand.intent
    }

    /// What it claims where it is alone in its entry, if its prices still count.
    pub(super) fn alone(&self, now_ms: u64) -> Result<Claim, NoWorth> {
        for (asset, currency) in self.demand.needs() {
            let quote = self.quotes.quote(asset, currency);
            if quote.is_none_or(|quote| now_ms / 1000 >= quote.until_secs) {
                return Err(NoWorth::Unpriced { asset: asset.clone(), currency: currency.clone() });
            }
        }
        self.demand.at(&self.quotes)
    }
}

impl From<Claim> for Wanted {
    fn from(claim: Claim) -> Self {
        Self { demand: claim.into(), quotes: Quotes::default() }
    }
}

/// The prices of an entry for all of these, and what each claims at them.
pub(super) fn together(all: &[Wanted]) -> Result<(Vec<Price>, Vec<Claim>), NoWorth> {
    let quotes = common(all.iter().map(|one| (&one.demand, &one.quotes)))?;
    let claims = all.iter().map(|one| one.demand.at(&quotes)).collect::<Result<_, _>>()?;
    Ok((Price::all(&quotes), claims))
}
