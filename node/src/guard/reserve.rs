//! Reservations: what a ledger's committee has certified for a request.

use std::collections::BTreeMap;

use limen_policy::charter::Charter;
use limen_policy::check::Attested;
use limen_policy::decide::Charge;
use limen_policy::ledger::{Certificate, Demand, Price};
use limen_wire::effects::Amount;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::LedgerId;
use limen_wire::{limits, pb};

use super::meter::{Meter, fits};
use super::{Examined, JournalView, KnownIntent};
use crate::clock::{Millis, Now, Uptime};

/// Certificates that came with a request, verified outside the writer's turn; whether they cover it is asked within it.
#[derive(Debug, Clone, Default)]
pub struct Reservations {
    by_ledger: BTreeMap<LedgerId, Result<Certificate, String>>,
    session_ms: u64,
}

impl Reservations {
    /// Verifies, for each ledger of which the intent claims something, the certificate of its committee. `session_ms` is how
    /// long a session may take: it ends before its reservation does.
    pub fn read(charter: &Charter, examined: &Examined, envelopes: &[pb::Envelope], session_ms: u64) -> Self {
        let mut by_ledger = BTreeMap::new();
        // What can never fit is refused before anybody asks for its certificates.
        for ledger in examined.demands(charter).unwrap_or_default().into_keys() {
            let Some(committee) = charter.ledgers.get(&ledger) else { continue };
            let mut found = Err(format!("no certificate of ledger {ledger} came with it"));
            for envelope in envelopes.iter().take(limits::LEDGER_MEMBERS) {
                found = Certificate::verify(envelope, committee).map_err(|error| error.to_string());
                if found.is_ok() {
                    break;
                }
            }
            by_ledger.insert(ledger, found);
        }
        Self { by_ledger, session_ms }
    }

    /// How long a session that begins now may take.
    pub(crate) const fn session_ms(&self) -> u64 {
        self.session_ms
    }

    /// The entry that reserves exactly this, now and until the session has ended; or why there is none. What counts in money is
    /// counted at the entry's own prices: its members have checked them, and another price may be shown by now.
    fn covers(&self, charter: &Charter, ledger: &LedgerId, demand: &Demand, now: Millis) -> Result<[u8; 32], String> {
        let found =
            self.by_ledger.get(ledger).ok_or_else(|| format!("no certificate of ledger {ledger} came with it"))?;
        let certificate = found.as_ref().map_err(Clone::clone)?;
        let claim = demand.at(&Price::quotes(&certificate.entry().prices)).map_err(|error| error.to_string())?;
        for at_ms in [now.0, now.0.saturating_add(self.session_ms)] {
            certificate.covers(&claim, &charter.hash(), at_ms).map_err(|error| error.to_string())?;
        }
        Ok(*certificate.entry().hash().as_bytes())
    }
}

/// On what the charges of an allowed request rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cover {
    /// What this signer's own shares take over now.
    pub(super) metered: Vec<Charge>,
    /// The certified entry that reserves the rest.
    pub(super) certificate: Option<[u8; 32]>,
}

/// Finds for what counts once a reservation, and for every charge a reservation or a place in this signer's share. What a share
/// took over in an earlier session stays there; a reservation is asked for again in every session, because it ends. A key that
/// lives in one token has reservations only: no other signer records what it signs.
pub(super) fn cover<V: JournalView>(
    view: &V,
    charter: &Charter,
    examined: &Examined,
    known: &KnownIntent,
    (attested, reservations): (&Attested, &Reservations),
    time: Now,
) -> Result<Result<Cover, ApiError>, V::Error> {
    let demands = match examined.demands(charter) {
        Ok(demands) => demands,
        Err(why) => return Ok(Err(ApiError::new(Code::PolicyDenied, why))),
    };
    let mut cover = Cover::default();
    if charter.claims_ledger.is_none() && !has_share(examined) {
        let why = format!("key {} lives in one token, and the charter has no claims", examined.intent.key_id);
        return Ok(Err(ApiError::new(Code::ReservationMissing, why)));
    }
    // What counts once has no part that a signer could keep by itself: two signer sets may have nobody honest in common.
    if let Some(ledger) = &charter.claims_ledger {
        let unclaimed = || format!("it claims nothing from ledger {ledger}");
        let reserved = demands.get(ledger).ok_or_else(unclaimed);
        match reserved.and_then(|demand| reservations.covers(charter, ledger, demand, time.wall)) {
            Ok(entry) => cover.certificate = Some(entry),
            Err(why) => return Ok(Err(ApiError::new(Code::ReservationMissing, why))),
        }
    }
    for charge in &examined.decision.charges {
        if let Err(error) = below_ceiling(charter, charge, attested) {
            return Ok(Err(error));
        }
        if has_share(examined) && known.metered.contains(&charge.limit) {
            continue;
        }
        let ledger = charter.limits.get(&charge.limit).and_then(|limit| limit.ledger.as_ref());
        let claimed = ledger.and_then(|ledger| Some((ledger, demands.get(ledger)?)));
        let missing = match claimed.map(|(ledger, demand)| reservations.covers(charter, ledger, demand, time.wall)) {
            Some(Ok(entry)) => {
                cover.certificate = Some(entry);
                continue;
            }
            Some(Err(why)) => Some(why),
            None => None,
        };
        match uncertified(charter, examined, charge, (&view.meter(charge)?, time.uptime), missing) {
            Ok(()) => cover.metered.push(charge.clone()),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(cover))
}

/// Whether this signer's own shares of limits may take over what the key signs: other signers count it too.
fn has_share(examined: &Examined) -> bool {
    examined.key().public.protocol.is_threshold()
}

/// Whether this signer's own share takes over what no certificate covers; `missing` says why none does.
fn uncertified(
    charter: &Charter,
    examined: &Examined,
    charge: &Charge,
    (meter, now): (&Meter, Uptime),
    missing: Option<String>,
) -> Result<(), ApiError> {
    if !has_share(examined) {
        let why = missing.unwrap_or_else(|| format!("no ledger certifies limit {}", charge.limit));
        return Err(ApiError::new(Code::ReservationMissing, why));
    }
    fits(charter, charge, meter, now).map_err(|error| match missing {
        None => error,
        Some(why) => ApiError::new(Code::ReservationMissing, format!("{}; and {why}", error.message)),
    })
}

/// What the vault of a ceiling is attested to hold, for this very request and now, stays below with the request, also where that
/// was reserved when the vault held less.
fn below_ceiling(charter: &Charter, charge: &Charge, attested: &Attested) -> Result<(), ApiError> {
    let limit = charter.limits.get(&charge.limit).filter(|limit| limit.ceiling_of.is_some());
    let Some(limit) = limit else { return Ok(()) };
    let title = limit.title();
    let missing = || ApiError::new(Code::ApprovalsMissing, format!("{title}: nobody attests what its vault holds"));
    let held = attested.get(&limit.id).ok_or_else(missing)?.amount;
    let most = limit.max_amount.unwrap_or(Amount::ZERO);
    if held.checked_add(charge.amount).is_some_and(|sum| sum <= most) {
        return Ok(());
    }
    let takes = charge.amount;
    let message =
        format!("{title}: its vault holds {held}, with {takes} of this request it would hold more than {most}");
    Err(ApiError::new(Code::LimitReached, message))
}

#[cfg(test)]
mod tests;
