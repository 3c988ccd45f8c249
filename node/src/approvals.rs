//! Approvals on their way into the journal: read and verified before the writer's turn, counted within it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use limen_policy::approval::{Verified, verify};
use limen_policy::charter::Charter;
use limen_policy::check::{self, Finding, Quotes};
use limen_policy::decide::{Fact, Requirement};
use limen_wire::approval::{SignedApproval, Verdict};
use limen_wire::ids::{ApprovalId, PersonId};
use limen_wire::{limits, pb};
use prost::Message as _;

use crate::clock::{Now, Uptime};
use crate::guard::{self, Examined, Progress, Reservations, Said};
use crate::store::journal::Event;
use crate::store::rows::{Delays, LiveIntent};
use crate::store::{StoreError, Txn};

/// What one person may have kept with one intent: approvals, and verdicts in all.
const APPROVALS_OF_ONE: usize = 8;
/// Of all kinds.
const SAID_BY_ONE: usize = 2 * APPROVALS_OF_ONE;
/// Approvals of one intent; the places up to [`limits::APPROVALS`] are for bad news.
const APPROVALS_OF_ALL: usize = 96;

/// One verdict that holds, with the bytes to be kept.
#[derive(Debug, Clone)]
struct Held {
    bytes: Vec<u8>,
    verified: Verified,
}

impl Held {
    fn person(&self) -> &PersonId {
        &self.verified.approval().person
    }

    /// Bad news counts whether it can be kept or not.
    fn is_bad_news(&self) -> bool {
        self.verified.approval().verdict != Verdict::Approve
    }
}

/// What is shown with an intent, not yet believed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Papers<'a> {
    /// Signed approvals, rejections and withdrawals.
    pub approvals: &'a [pb::Envelope],
    /// Signed findings of external checkers.
    pub checks: &'a [pb::Envelope],
}

/// The intent decided by what the papers attest that things are worth, where rules or limits ask for that.
pub fn priced(charter: &Charter, examined: Examined, papers: &Papers<'_>, now: Now) -> Examined {
    let asks = |one: &Requirement| matches!(one.fact, Some(Fact::Price { .. }));
    if !examined.decision().requirements.iter().any(asks) {
        return examined;
    }
    let mut shown = Shown::default();
    shown.find(charter, &examined, papers.checks, now);
    examined.priced(charter, now, Quotes::of(&shown.findings))
}

/// Verdicts that hold for one intent at one moment, each once. What does not hold is dropped: it may be forged, lapsed, for
/// something else, or of somebody whom nobody asks, and nobody can do harm by handing it in.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    held: Vec<Held>,
    /// Verdicts that need no further look.
    looked_at: BTreeSet<ApprovalId>,
    /// What external checkers found. Findings are shown anew each time; nothing of them is kept.
    findings: Vec<Finding>,
    /// How many papers were dropped.
    pub dropped: usize,
    /// Certificates that came along.
    pub reservations: Reservations,
}

impl Shown {
    /// Reads papers as they come from a coordinator, after the verdicts that this signer holds already.
    pub fn read(
        charter: &Charter,
        examined: &Examined,
        live: Option<&LiveIntent>,
        papers: &Papers<'_>,
        now: Now,
    ) -> Self {
        let mut shown = Self::default();
        let envelopes = papers.approvals;
        if examined.decision().asking.is_empty() {
            shown.dropped = envelopes.len().saturating_add(papers.checks.len());
            return shown;
        }
        shown.find(charter, examined, papers.checks, now);
        if let Some(live) = live {
            shown.add_held(charter, examined, live, now);
        }
        shown.dropped = shown.dropped.saturating_add(envelopes.len().saturating_sub(limits::APPROVALS));
        for envelope in envelopes.iter().take(limits::APPROVALS) {
            if !shown.add(charter, examined, envelope, envelope.encode_to_vec(), now) {
                shown.dropped = shown.dropped.saturating_add(1);
            }
        }
        shown
    }

    /// How far they would meet the requirements of an intent that is seen for the first time now.
    pub fn progress(&self, charter: &Charter, examined: &Examined, now: Now) -> Progress {
        let verified: Vec<Verified> = self.held.iter().map(|held| held.verified.clone()).collect();
        let said = Said { approvals: &verified, findings: &self.findings };
        guard::progress(charter, examined, &said, &Delays::new(), now.uptime, now)
    }

    /// Findings that are asked for and hold.
    fn find(&mut self, charter: &Charter, examined: &Examined, checks: &[pb::Envelope], now: Now) {
        let asked = |finding: &Finding| {
            examined.decision().requirements.iter().any(|one| one.hears(charter, finding.checker()))
        };
        let (id, now_secs) = (examined.intent().id, now.wall.as_secs());
        for envelope in checks.iter().take(limits::EXTERNAL_CHECKS) {
            match check::verify(envelope, charter, &id, now_secs) {
                Ok(finding) if asked(&finding) => self.findings.push(finding),
                _ => self.dropped = self.dropped.saturating_add(1),
            }
        }
        self.dropped = self.dropped.saturating_add(checks.len().saturating_sub(limits::EXTERNAL_CHECKS));
    }

    fn add_held(&mut self, charter: &Charter, examined: &Examined, live: &LiveIntent, now: Now) {
        for bytes in &live.approvals {
            if let Ok(envelope) = pb::Envelope::decode(bytes.as_slice()) {
                self.add(charter, examined, &envelope, bytes.clone(), now);
                // What is held and has lapsed is not looked at again in this call.
                self.looked_at.extend(digest_of(bytes));
            }
        }
    }

    /// False if it does not count.
    fn add(
        &mut self,
        charter: &Charter,
        examined: &Examined,
        envelope: &pb::Envelope,
        bytes: Vec<u8>,
        now: Now,
    ) -> bool {
        let Ok(signed) = SignedApproval::open(envelope) else { return false };
        let id = signed.approval.digest();
        // A verdict is known by what it says: another spelling of its proof is no other verdict.
        if self.looked_at.contains(&id) {
            return true;
        }
        let facts = guard::facts(charter, examined);
        match verify(&signed, &charter.roster, &facts, now.wall.as_secs()) {
            Ok(verified) if examined.decision().gives_a_say(charter, &signed.approval.person) => {
                self.looked_at.insert(id);
                self.held.push(Held { bytes, verified });
                true
            }
            _ => false,
        }
    }
}

/// What is kept with an intent.
struct Kept {
    by_id: BTreeMap<ApprovalId, (PersonId, Verdict)>,
}

impl Kept {
    fn of(live: &LiveIntent) -> Self {
        let open = |bytes: &Vec<u8>| SignedApproval::open(&pb::Envelope::decode(bytes.as_slice()).ok()?).ok();
        let signed = live.approvals.iter().filter_map(open).map(|signed| signed.approval);
        Self { by_id: signed.map(|one| (one.digest(), (one.person, one.verdict))).collect() }
    }

    fn count(&self, fits: impl Fn(&PersonId, Verdict) -> bool) -> usize {
        self.by_id.values().filter(|(person, said)| fits(person, *said)).count()
    }

    /// Keeps what is new, if there is a place for it. Taking an approval back always finds one: that of the approval.
    fn keep(&mut self, live: &mut LiveIntent, held: &Held) -> bool {
        let (id, person, said) = (held.verified.id(), held.person(), held.verified.approval().verdict);
        if self.by_id.contains_key(&id) {
            return false;
        }
        let theirs = |who: &PersonId, what: Verdict| who == person && what == Verdict::Approve;
        if said == Verdict::Approve {
            let full = self.count(theirs) >= APPROVALS_OF_ONE || self.count(|_, what| what == said) >= APPROVALS_OF_ALL;
            // Who approves and takes it back by turns finds an end.
            if full || self.count(|who, _| who == person) >= SAID_BY_ONE {
                return false;
            }
        } else if self.count(|who, what| who == person && what != Verdict::Approve) >= APPROVALS_OF_ONE
            || live.approvals.len() >= limits::APPROVALS
        {
            let Some(old) = self.by_id.iter().find(|(_, (who, what))| theirs(who, *what)).map(|(id, _)| *id) else {
                return false;
            };
            self.by_id.remove(&old);
            live.approvals.retain(|bytes| digest_of(bytes) != Some(old));
        }
        live.approvals.push(held.bytes.clone());
        self.by_id.insert(id, (person.clone(), said));
        true
    }

    /// Keeps all that is new and journals it; what of it is bad news.
    fn keep_all(
        &mut self,
        txn: &mut Txn<'_>,
        intent: [u8; 32],
        live: &mut LiveIntent,
        (all, now): (&[Held], Now),
    ) -> Result<Vec<pb::Envelope>, StoreError> {
        let mut news = Vec::new();
        for held in all {
            if self.keep(live, held) {
                let approval = *held.verified.id().as_bytes();
                if held.is_bad_news() {
                    news.push(pb::Envelope::decode(held.bytes.as_slice()).unwrap_or_default());
                    txn.log_stop(&approval, &held.bytes)?;
                }
                txn.append(now.wall, Event::Approval { intent, approval })?;
            }
        }
        Ok(news)
    }
}

fn digest_of(bytes: &[u8]) -> Option<ApprovalId> {
    let envelope = pb::Envelope::decode(bytes).ok()?;
    SignedApproval::open(&envelope).ok().map(|signed| signed.approval.digest())
}

/// Keeps what is new, starts and stops delays, and says how far the requirements are met. The intent has been noted.
pub fn settle(
    txn: &mut Txn<'_>,
    charter: &Charter,
    examined: &Examined,
    mut shown: Shown,
    now: Now,
) -> Result<Progress, StoreError> {
    let id = examined.intent().id;
    let Some((sequence, mut row)) = Txn::intent(txn, &id)? else { return Ok(Progress::default()) };
    // A tombstone starts no session: nothing is left to approve.
    let Some(live) = &mut row.live else { return Ok(Progress::default()) };
    if examined.decision().asking.is_empty() {
        // Nobody is asked, or nobody any more: what somebody has ended stays ended.
        return Ok(Progress { rejected: live.rejected.clone(), ..Progress::default() });
    }
    // Approvals hold for the freezes of this very moment.
    let freezes = Txn::freezes(txn)?;
    let examined = &examined.clone().under(charter, &freezes);
    let before = live.clone();
    // What came before the intent was seen is heard now.
    let ahead = txn.said_ahead(&id)?;
    if !ahead.is_empty() {
        txn.put_said_ahead(&id, &[])?;
    }
    for bytes in ahead {
        let envelope = pb::Envelope::decode(bytes.as_slice()).unwrap_or_default();
        shown.add(charter, examined, &envelope, bytes, now);
    }
    let mut kept = Kept::of(live);
    let durable: BTreeSet<ApprovalId> = kept.by_id.keys().copied().collect();
    shown.add_held(charter, examined, live, now);
    let news = kept.keep_all(txn, row.id, live, (&shown.held, now))?;
    let pick = |fits: &dyn Fn(&Held) -> bool| -> Vec<Verified> {
        shown.held.iter().filter(|held| fits(held)).map(|held| held.verified.clone()).collect()
    };
    let first_seen = Uptime(live.first_seen_uptime);
    let look = |approvals: &[Verified], delays: &Delays| {
        let said = Said { approvals, findings: &shown.findings };
        guard::progress(charter, examined, &said, delays, first_seen, now)
    };
    // As it stood until now: a delay ends if the approvals had stopped being enough, also if new ones came since.
    let stood = pick(&|held: &Held| held.is_bad_news() || durable.contains(&held.verified.id()));
    let running = {
        let said = Said { approvals: &stood, findings: &shown.findings };
        guard::running(charter, examined, &said, &live.delays, now)
    };
    if examined.decision().requirements.is_empty() {
        // Not at this moment: what was said is kept, and what runs goes on where nobody has taken anything back. A no ends it
        // at any.
        let said = pick(&|held: &Held| held.is_bad_news());
        live.delays = running;
        live.rejected = live.rejected.take().or(look(&said, &Delays::default()).rejected);
        let rejected = live.rejected.clone();
        if *live != before {
            txn.put_intent(sequence, &row)?;
        }
        return Ok(Progress { rejected, news, ..Progress::default() });
    }
    let delays = look(&stood, &live.delays).delays;
    // Then with what is new: only what is durable counts for anything.
    let counted = pick(&|held: &Held| held.is_bad_news() || kept.by_id.contains_key(&held.verified.id()));
    let mut progress = look(&counted, &delays);
    progress.news = news;
    live.delays.clone_from(&progress.delays);
    // Without a price more rules may match than do: what runs goes on until one is shown at which they do.
    if examined.decision().requirements.iter().any(|one| matches!(one.fact, Some(Fact::Price { .. }))) {
        running.into_iter().for_each(|(rule, started)| {
            live.delays.entry(rule).or_insert(started);
        });
    }
    // Somebody's no is for good, whatever becomes of their credential.
    live.rejected = live.rejected.take().or(progress.rejected.take());
    progress.rejected.clone_from(&live.rejected);
    if *live != before {
        txn.put_intent(sequence, &row)?;
        // What a delay counts from is never later than what a restart goes on from.
        txn.put_uptime(now.uptime)?;
    }
    Ok(progress)
}
