//! How entries are made: as a coordinator would, and then bent.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_node::clock::{Millis, Now, Uptime};
use limen_node::guard;
use limen_policy::ledger::{Body, Claim, Closing, Entry};
use limen_wire::effects::Amount;
use limen_wire::ids::{CommitteeHash, EntryHash};
use limen_wire::pb;
use limen_wire::statement::combine;

use super::{Closed, Stage};
use crate::hostile::program::{Bend, EntryDraft, Label};

impl Stage {
    /// Makes an entry, unless its number in the program is taken or it has no shape.
    pub(super) fn make(&mut self, label: Label, draft: &EntryDraft) {
        if self.desk.made.contains_key(&label) {
            return;
        }
        let base = match draft.on {
            None => self.newest().map(|(_, label)| label),
            Some(label) => Some(label).filter(|label| self.certificate(*label).is_some()),
        };
        let Some(mut body) = self.body(draft, base) else { return };
        let truth = body.clone();
        if let Some(bend) = draft.bend {
            self.bend(&mut body, bend);
        }
        // Some bends leave an entry as it was.
        let lies = draft.bend.is_some_and(Bend::lies) && body != truth;
        match Entry::new(body) {
            Ok(entry) => self.keep_entry(label, lies, entry, base.and_then(|label| self.certificate(label))),
            Err(error) => self.note(format!("    e{label} has no shape: {error}")),
        }
    }

    fn body(&self, draft: &EntryDraft, base: Option<Label>) -> Option<Body> {
        let (committee, version) = (self.committee(), draft.version % self.files.charters.len());
        let base = base.and_then(|label| self.desk.made.get(&label)).map(|made| &made.entry);
        let (base_number, previous) = base.map_or((0, committee.genesis()), |entry| (entry.number, entry.hash()));
        let mut claims: Vec<Claim> =
            draft.requests.iter().filter_map(|request| self.claim(*request, version)).collect();
        claims.sort_by_key(|claim| claim.intent);
        claims.dedup_by_key(|claim| claim.intent);
        let (mut closings, mut carried, mut number) = (Vec::new(), Vec::new(), base_number + 1);
        if let Some(turn) = draft.settles {
            let chosen = self.closers(base_number, turn)?;
            number = chosen.first()?.closing.through + 1;
            carried = self.named(&chosen, base_number);
            closings = chosen.iter().map(|closed| closed.envelope.clone()).collect();
        }
        let releases = draft.releases.iter().filter_map(|request| self.evidence(*request)).collect();
        let before = base.into_iter().chain(&carried).map(|entry| entry.time_ms).max().unwrap_or(0);
        let time_ms = (super::super::BEGIN_MS + self.elapsed_ms).max(before);
        Some(Body {
            cluster: committee.cluster().clone(),
            ledger: Self::ledger(),
            committee: committee.hash(),
            charter: self.files.charters[version].hash(),
            number,
            base: base_number,
            previous,
            time_ms,
            expires_at_ms: time_ms + committee.lifetime_ms(),
            prices: Vec::new(),
            claims,
            releases,
            closings,
            carried,
            seal: None,
        })
    }

    /// What a request takes, as every honest machine would compute it.
    fn claim(&self, request: Label, version: usize) -> Option<Claim> {
        let (charter, asked) = (&self.files.charters[version], self.asked.get(&request)?);
        let key = Arc::new(self.shares.facts(&self.plan, 1));
        let now = Now { wall: Millis(self.now_secs() * 1000), uptime: Uptime(self.elapsed_ms) };
        let examined = guard::examine(charter, &Arc::default(), |_| Some(key), &asked.envelope, now).ok()?;
        examined.demands(charter).ok()?.remove(&Self::ledger())?.at(examined.quotes()).ok()
    }

    /// Closings of as many members as are needed, all through one number; of all that there are, these by turns.
    fn closers(&self, base: u64, turn: usize) -> Option<Vec<&Closed>> {
        let fit = || self.desk.closed.iter().filter(|closed| closed.closing.after <= base);
        let mut ends: Vec<u64> = fit().map(|closed| closed.closing.through).filter(|end| *end > base).collect();
        ends.sort_unstable();
        ends.dedup();
        let of = |end: u64| {
            // The last word of each.
            let each: BTreeMap<u8, &Closed> =
                fit().filter(|closed| closed.closing.through == end).map(|closed| (closed.member, closed)).collect();
            each.into_values().collect::<Vec<_>>()
        };
        let mut all = ends.into_iter().rev().map(of).find(|closers| closers.len() >= self.plan.quorum())?;
        let length = all.len();
        all.rotate_left(turn % length);
        all.truncate(self.plan.quorum());
        Some(all)
    }

    /// The entries that closings name beyond the base.
    fn named(&self, closers: &[&Closed], base: u64) -> Vec<Entry> {
        let all = closers.iter().flat_map(|closed| Closing::clone(&closed.closing).acknowledged);
        let mut hashes: Vec<(u64, EntryHash)> = all.filter(|(number, _)| *number > base).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let find = |hash: &EntryHash| self.desk.made.values().find(|made| made.entry.hash() == *hash);
        hashes.iter().filter_map(|(_, hash)| find(hash)).map(|made| made.entry.clone()).collect()
    }

    fn evidence(&self, request: Label) -> Option<pb::Envelope> {
        let each: Vec<pb::Envelope> = self.desk.voids.get(&request)?.values().cloned().collect();
        combine(&each)
    }

    /// The requests that an entry and what it carries claim something for, or give back.
    pub(super) fn claimed(&self, entry: &Entry) -> Vec<Label> {
        let all = entry.carried.iter().chain([entry]);
        let claims = all.flat_map(|one| one.claims.iter().map(|claim| claim.intent));
        let mut labels: Vec<Label> =
            claims.filter_map(|id| self.asked.iter().find(|(_, asked)| asked.id == id)).map(|(at, _)| *at).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    fn bend(&self, body: &mut Body, bend: Bend) {
        match bend {
            Bend::Committee => body.committee = CommitteeHash::new([7; 32]),
            Bend::Ahead(more) => body.number += more,
            Bend::Time(off) => {
                body.time_ms = body.time_ms.saturating_add_signed(off);
                body.expires_at_ms = body.expires_at_ms.saturating_add_signed(off);
            }
            Bend::Life(more) => body.expires_at_ms += more,
            Bend::Less => {
                for (scope, amount) in body.claims.iter_mut().flat_map(|claim| &mut claim.charges) {
                    if scope.is_limit() {
                        *amount = Amount::from_u128(1);
                    }
                }
            }
            Bend::Dropped => body.claims.iter_mut().for_each(|claim| drop(claim.charges.pop_first())),
            Bend::Replaces(other) => {
                if let Some(asked) = self.asked.get(&other) {
                    body.claims.iter_mut().for_each(|claim| claim.replaces = Some(asked.id));
                }
            }
            Bend::Forgets => body.carried.clear(),
            Bend::Carries(other) => {
                body.carried.extend(self.desk.made.get(&other).map(|made| made.entry.clone()));
                body.carried.sort_by_key(|entry| (entry.number, entry.hash()));
            }
        }
    }
}
