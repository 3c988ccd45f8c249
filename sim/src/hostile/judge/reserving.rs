//! What a ledger is there for: nothing is signed without a reservation of exactly that, and nothing adds up beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Judge, Rank, Release, Violation, broken, number};
use crate::hostile::judge::rules;
use crate::hostile::program::Label;

/// An entry as it was made.
#[derive(Debug, Clone)]
pub(crate) struct Reservation {
    /// What it claims something for.
    pub requests: Vec<Label>,
    /// Under which versions of the charter: more than one where signers cannot tell them apart.
    pub versions: BTreeSet<usize>,
    /// Until when, in milliseconds since 1970.
    pub expires_at_ms: u64,
    /// It does not say what the requests' bytes do.
    pub lies: bool,
    /// Who has acknowledged it, by index.
    pub members: BTreeSet<u8>,
}

impl Judge {
    /// Somebody made an entry.
    pub(crate) fn entered_in_ledger(&mut self, entry: Label, reservation: Reservation) {
        self.reservations.insert(entry, reservation);
    }

    /// A member has signed it.
    pub(crate) fn acknowledged(&mut self, entry: Label, member: u8) {
        if let Some(reservation) = self.reservations.get_mut(&entry) {
            reservation.members.insert(member);
        }
    }

    /// A certificate that was handed in has to reserve this request, under this version, for now.
    pub(super) fn judge_reservation(&self, release: &Release) -> Result<(), Violation> {
        if self.plan.keepers.is_none() {
            return Ok(());
        }
        let reserves = |entry: &Label| {
            self.reservations.get(entry).is_some_and(|reservation| {
                reservation.members.len() >= self.plan.quorum()
                    && !reservation.lies
                    && reservation.requests.contains(&release.request)
                    && reservation.versions.contains(&release.moment.version)
                    && reservation.expires_at_ms / 1000 >= release.moment.wall_secs
            })
        };
        if release.certificates.iter().any(reserves) {
            Ok(())
        } else {
            broken(Rank::Reservation, format!("nobody reserved i{} for signer {}", release.request, release.signer))
        }
    }

    /// How much of each certified limit is used within its window until now. Of requests that burn one number only one
    /// takes effect: the largest counts.
    pub(super) fn certified(&self, elapsed_ms: u64) -> BTreeMap<(usize, String), (u128, u64)> {
        let mut largest: BTreeMap<(usize, String, Option<u64>, Label), u128> = BTreeMap::new();
        for (label, at) in &self.signed {
            let Some(request) = self.requests.get(label) else { continue };
            let number = number(&request.draft);
            for (index, subject, amount) in rules::charges(&self.plan, &request.draft) {
                let window = self.plan.limits[index].window_secs;
                if window.is_none_or(|window| at + window * 1000 > elapsed_ms) {
                    let own = if number.is_some() { 0 } else { *label };
                    let place = largest.entry((index, subject, number, own)).or_default();
                    *place = (*place).max(amount);
                }
            }
        }
        let mut used: BTreeMap<(usize, String), (u128, u64)> = BTreeMap::new();
        for ((index, subject, _, _), amount) in largest {
            let sum = used.entry((index, subject)).or_default();
            *sum = (sum.0 + amount, sum.1 + 1);
        }
        used
    }
}
