//! What a sequencer does when a number is stuck: it tries a lighter entry, or has the members give the number up and settles.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use limen_wire::ids::{EntryHash, IntentId, NodeId};
use limen_wire::{limits, pb};

use super::{GivingUp, Output, Phase, Sequencer, Wanted, closers};
use crate::ledger::closing::Closing;
use crate::ledger::entry::{Body, Entry};

impl Sequencer {
    /// A member's closing, with the entries that it names as exact bytes. Anything else is dropped.
    pub fn closed(&mut self, member: &NodeId, envelope: pb::Envelope, entries: Vec<Bytes>, now_ms: u64) -> Vec<Output> {
        let Phase::GivingUp(given) = &mut self.phase else { return Vec::new() };
        let Ok((signer, closing)) = Closing::verify(&envelope, &self.committee) else { return Vec::new() };
        if signer != member || closing.through != given.through || closing.after > self.view.head.number {
            return Vec::new();
        }
        let named = entries.into_iter().take(limits::LEDGER_MEMBERS).filter_map(|bytes| Entry::decode(bytes).ok());
        // What is said about certified numbers is settled already.
        let open: BTreeSet<(u64, EntryHash)> =
            closing.acknowledged.iter().copied().filter(|(number, _)| *number > self.view.head.number).collect();
        let named = named.filter(|entry| open.contains(&(entry.number, entry.hash())));
        self.named.extend(named.map(|entry| (entry.hash(), entry)));
        if open.iter().all(|(_, hash)| self.named.contains_key(hash)) {
            given.closings.insert(member.clone(), (closing, envelope));
        }
        if given.closings.len() == self.committee.members().len() { self.settle(now_ms) } else { Vec::new() }
    }

    /// Too many have refused. Where nobody acknowledged, the number is still free for an entry without what they refused, and
    /// without a release, of which they do not say whether it was that.
    pub(super) fn fail(&mut self, now_ms: u64) -> Vec<Output> {
        let Phase::Collecting(collecting) = &self.phase else { return Vec::new() };
        // What only corrupt members call unfit is not.
        let corrupt = self.committee.corrupt();
        let unfit = collecting.unfit.iter().filter(|(_, members)| members.len() > corrupt);
        let unfit: BTreeSet<IntentId> = unfit.map(|(intent, _)| *intent).collect();
        let entry = collecting.entry.clone();
        let lighter = !unfit.is_empty() || !entry.releases.is_empty();
        // Another charter, or another time, comes with a later tick: giving numbers up until then would help nobody.
        let stale = collecting.stale.len() > corrupt;
        let free = collecting.acknowledgements.is_empty() && (lighter || stale);
        // Or the prices are others by now: whoever wishes what needs one comes again with fresh ones.
        let unpriced = self.priced.values().filter(|wanted| stale && wanted.demand.needs().next().is_some());
        let dropped: BTreeSet<IntentId> = unfit.into_iter().chain(unpriced.map(Wanted::intent)).collect();
        self.resubmit(&entry, |claim| dropped.contains(&claim.intent));
        let mut outputs: Vec<Output> =
            dropped.into_iter().map(|intent| Output::Dropped { intent, misfit: None }).collect();
        if free {
            self.phase = Phase::Idle;
            self.named.clear();
        } else {
            outputs.extend(self.give_up(now_ms));
        }
        outputs
    }

    /// Gives the number up, and all those that an honest member says it is bound through.
    pub(super) fn give_up(&mut self, now_ms: u64) -> Vec<Output> {
        let Phase::Collecting(collecting) = &self.phase else { return Vec::new() };
        let mut said: Vec<u64> = self.bound_through.values().copied().collect();
        said.sort_unstable_by(|a, b| b.cmp(a));
        // Of f + 1 that say so one is honest.
        let honest = said.get(self.committee.corrupt()).copied().unwrap_or(0);
        let through = collecting.entry.number.max(honest);
        self.phase = Phase::GivingUp(GivingUp { through, closings: BTreeMap::new(), since_ms: now_ms, barred: false });
        self.ids().map(|to| Output::Close { to, through }).collect()
    }

    /// Carries what q closings name. A member that names inventions is left out in one of the attempts, and one that has
    /// acknowledged a seal for another committee in all of them: with its closing members would want that seal.
    pub(super) fn settle(&mut self, now_ms: u64) -> Vec<Output> {
        let (ours, quorum) = (self.successor, self.committee.quorum());
        let Phase::GivingUp(given) = &mut self.phase else { return Vec::new() };
        let bars = |closing: &Closing| closing.successor.filter(|successor| Some(*successor) != ours);
        let fits = given.closings.iter().filter(|(_, (closing, _))| bars(closing).is_none());
        let members: Vec<&NodeId> = fits.map(|(member, _)| member).collect();
        if members.len() < quorum {
            let barring: Vec<_> = given.closings.values().filter_map(|(closing, _)| bars(closing)).collect();
            // The others may yet answer; and one liar bars nobody.
            let may_come = self.committee.members().len().saturating_sub(barring.len()) >= quorum;
            if may_come || std::mem::replace(&mut given.barred, true) {
                return Vec::new();
            }
            return barring.into_iter().take(1).map(|successor| Output::Barred { successor }).collect();
        }
        let chosen = closers::choose(&members, quorum, self.attempts);
        let closings: Vec<&(Closing, pb::Envelope)> =
            chosen.iter().filter_map(|member| given.closings.get(*member)).collect();
        let hashes: BTreeSet<(u64, EntryHash)> =
            closings.iter().flat_map(|(closing, _)| closing.acknowledged.iter().copied()).collect();
        let beyond = hashes.into_iter().filter(|(number, _)| *number > self.view.head.number);
        let carried: Vec<Entry> = beyond.filter_map(|(_, hash)| self.named.get(&hash).cloned()).collect();
        let latest = carried.iter().map(|entry| entry.time_ms).max().unwrap_or(0);
        let time_ms = now_ms.max(self.view.head.time_ms).max(latest);
        let number = given.through.saturating_add(1);
        let closings = closings.into_iter().map(|(_, envelope)| envelope.clone()).collect();
        let body = Body { number, closings, carried, ..self.body(time_ms) };
        self.attempts = self.attempts.wrapping_add(1);
        match self.entry(body) {
            Ok(entry) => self.propose(entry, now_ms),
            // Only inventions are too large; the next attempt leaves others out.
            Err(_) => Vec::new(),
        }
    }
}
