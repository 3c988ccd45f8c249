//! The reference judge: what may be signed, straight from the rules, slow and simple. It shares no code with the signers: it
//! reads the plan, not the charter, knows what every draft does because it was meant so, and keeps all that ever happened.

mod automatic;
mod charters;
mod freezes;
mod log;
mod outside;
mod people;
mod reserving;
mod rules;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::plan::{Plan, Rule};
use super::program::{Draft, Label, Stop, Verdict};
use automatic::OwnFreezes;
use charters::Charters;
use freezes::Freezes;
use log::Log;
pub(crate) use outside::Finding;
use outside::OutsideWorld;
use people::Ballot;
pub(crate) use reserving::Reservation;
use standing::Standings;
pub(crate) use standing::{Answer, Mark};

/// A request as its requester signed it.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// What it does.
    pub draft: Draft,
    /// What a signature of it is over.
    pub digest: [u8; 32],
    /// In seconds since 1970.
    pub expires_at_secs: u64,
}

/// A verdict as its person gave it.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    /// Who.
    pub person: usize,
    /// By their terminal.
    pub terminal: bool,
    /// About what.
    pub request: Label,
    /// What.
    pub verdict: Verdict,
    /// Having seen which.
    pub after: Option<Label>,
    /// In seconds since 1970.
    pub expires_at_secs: u64,
    /// Under which version of the charter.
    pub version: usize,
}

/// The moment of a call at a signer, as it truly was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// How long the signer has been running, in milliseconds.
    pub uptime: u64,
    /// What its wall clock says, in seconds since 1970.
    pub wall_secs: u64,
    /// Under which version of the charter it runs.
    pub version: usize,
}

/// A signer has let its last message go.
#[derive(Debug, Clone)]
pub(crate) struct Release {
    /// Which signer.
    pub signer: u8,
    /// For what.
    pub request: Label,
    /// In which session.
    pub session: usize,
    /// Among whom.
    pub set: Vec<u8>,
    /// Under the certificates of which entries, as they are.
    pub certificates: Vec<Label>,
    /// What it signs.
    pub digest: [u8; 32],
    /// Which findings went along, as they are.
    pub findings: Vec<Label>,
    /// When.
    pub moment: Moment,
}

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// Other bytes than the requester's.
    Bytes,
    /// After the request's expiry.
    Expired,
    /// Not allowed by the rules.
    Rules,
    /// Rejected before.
    Rejected,
    /// Not enough people said yes.
    Approvals,
    /// Too early.
    Delay,
    /// Cancelled before.
    Cancelled,
    /// Frozen, and not lifted yet.
    Frozen,
    /// A session that was used before, or too many of them.
    Sessions,
    /// A sequence number used twice.
    Nonce,
    /// Two effects under one name.
    Idempotency,
    /// More than a limit.
    Limit,
    /// Nothing in the ledger reserves it.
    Reservation,
    /// A checker that a rule asks for has not passed it, or has objected.
    Check,
    /// More may come to be in a vault than its ceiling allows, or nobody has told what it holds.
    Ceiling,
    /// Another set than the charter asks for.
    Set,
    /// Without knowing how enough peers stand.
    Standing,
    /// On an old disk that was put back.
    PutBack,
    /// Although a leaf of its own is in no log.
    Leaf,
    /// Two logs are cosigned by one signer.
    Log,
    /// Under a version of the charter that may not be in force, or in spite of one that tightens.
    Charter,
    /// A signer stops what nobody has frozen, or has frozen somebody by itself without reason.
    Reasonless,
    /// The judge and a signer read the rules differently.
    Disagreement,
}

/// A broken promise in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rank: Rank,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rank, self.what)
    }
}

fn broken<T>(rank: Rank, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { rank, what: what.into() })
}

/// One call that a signer took, with the verdicts that came with it.
#[derive(Debug)]
struct Entry {
    moment: Moment,
    said: BTreeSet<Label>,
}

/// The judge.
#[derive(Debug)]
pub(crate) struct Judge {
    plan: Plan,
    requests: BTreeMap<Label, Request>,
    statements: BTreeMap<Label, Statement>,
    entries: BTreeMap<(u8, Label), Vec<Entry>>,
    cancelled: BTreeSet<(u8, Label)>,
    releases: Vec<Release>,
    compacted: BTreeSet<u8>,
    freezes: Freezes,
    own: OwnFreezes,
    reservations: BTreeMap<Label, Reservation>,
    standings: Standings,
    charters: Charters,
    log: Log,
    outside: OutsideWorld,
    signed: Vec<(Label, u64)>,
}

impl Judge {
    /// For one plan.
    pub(crate) fn new(plan: Plan) -> Self {
        let (requests, statements, entries) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (cancelled, releases, compacted, signed) = (BTreeSet::new(), Vec::new(), BTreeSet::new(), Vec::new());
        let (freezes, reservations, standings) = (Freezes::default(), BTreeMap::new(), Standings::default());
        Self {
            plan,
            requests,
            statements,
            entries,
            cancelled,
            releases,
            compacted,
            freezes,
            own: OwnFreezes::default(),
            reservations,
            standings,
            charters: Charters::default(),
            log: Log::default(),
            outside: OutsideWorld::default(),
            signed,
        }
    }

    /// A requester signed this.
    pub(crate) fn asked(&mut self, label: Label, request: Request) {
        self.requests.insert(label, request);
    }

    /// A person said this.
    pub(crate) fn said(&mut self, label: Label, statement: Statement) {
        self.statements.insert(label, statement);
    }

    /// A signer that holds the request took a call about it that carried these verdicts, none of them spoilt.
    pub(crate) fn called(&mut self, signer: u8, request: Label, moment: Moment, said: BTreeSet<Label>) {
        let about = |label: &Label| self.statements.get(label).is_some_and(|statement| statement.request == request);
        let said = said.into_iter().filter(about).collect();
        self.entries.entry((signer, request)).or_default().push(Entry { moment, said });
    }

    /// A signer took the requester's own cancellation.
    pub(crate) fn cancelled(&mut self, signer: u8, request: Label) {
        self.cancelled.insert((signer, request));
    }

    /// A signer was handed a guardian's freeze.
    pub(crate) fn frozen(&mut self, signer: u8, label: Label, stop: Stop, uptime: u64) {
        self.freezes.frozen(signer, label, stop, uptime);
    }

    /// A signer was handed somebody's word that a freeze may be lifted.
    pub(crate) fn lifted(&mut self, signer: u8, label: Label, person: usize, uptime: u64) {
        self.freezes.lifted(signer, label, person, uptime);
    }

    /// A signer forgot sessions of what has ended.
    pub(crate) fn compacted(&mut self, signer: u8) {
        self.compacted.insert(signer);
    }

    /// Whose a request is.
    pub(crate) fn requester(&self, request: Label) -> Option<usize> {
        self.requests.get(&request).map(|request| request.draft.requester)
    }

    /// Whether the rules allow a request at all, whoever has still to say yes.
    pub(crate) fn allows(&self, request: Label, version: usize) -> Option<bool> {
        let request = self.requests.get(&request)?;
        Some(rules::decide(&self.plan, version, &request.draft).is_some())
    }

    /// Whether the rules ask for a delay.
    pub(crate) fn waits(&self, request: Label, version: usize) -> bool {
        self.asks(request, version).iter().any(|rule| rule.delay_secs > 0)
    }

    /// Whether the rules ask for people.
    pub(crate) fn wants_people(&self, request: Label, version: usize) -> bool {
        self.asks(request, version).iter().any(|rule| rule.approvals.is_some())
    }

    fn asks(&self, request: Label, version: usize) -> Vec<&Rule> {
        let request = self.requests.get(&request);
        request.and_then(|request| rules::decide(&self.plan, version, &request.draft)).unwrap_or_default()
    }

    /// Whether this participant was right to let its last message go. Kept for later whatever the answer.
    pub(crate) fn released(&mut self, release: Release) -> Result<(), Violation> {
        let found = self.judge_release(&release);
        self.releases.push(release);
        found
    }

    fn judge_release(&self, release: &Release) -> Result<(), Violation> {
        let Some(request) = self.requests.get(&release.request) else {
            return broken(Rank::Bytes, "nobody asked for it");
        };
        if request.digest != release.digest {
            return broken(Rank::Bytes, "it signs something else than what was asked for");
        }
        self.judge_set(release)?;
        self.judge_standing(release)?;
        self.judge_charter(release)?;
        self.judge_leaves(release)?;
        if release.moment.wall_secs >= request.expires_at_secs {
            let late = release.moment.wall_secs - request.expires_at_secs;
            return broken(Rank::Expired, format!("signer {} signs {late} s too late", release.signer));
        }
        if self.allows(release.request, release.moment.version) != Some(true) {
            return broken(Rank::Rules, format!("no rule allows i{}", release.request));
        }
        if self.cancelled.contains(&(release.signer, release.request)) {
            return broken(Rank::Cancelled, format!("signer {} has the requester's cancellation", release.signer));
        }
        let (signer, uptime) = (release.signer, release.moment.uptime);
        if let Some(freeze) = self.freezes.stops(&self.plan, signer, &request.draft, uptime) {
            return broken(Rank::Frozen, format!("signer {signer} holds freeze z{freeze}"));
        }
        self.judge_own_freezes(release, &request.draft)?;
        self.judge_people(release)?;
        self.judge_findings(release, &request.draft)?;
        self.judge_reservation(release)?;
        self.judge_sessions(release)?;
        self.judge_claims(release, &request.draft)
    }

    fn judge_set(&self, release: &Release) -> Result<(), Violation> {
        let distinct: BTreeSet<u8> = release.set.iter().copied().collect();
        let fits = distinct.len() == usize::from(self.plan.required)
            && distinct.iter().all(|index| (1..=self.plan.signers).contains(index))
            && distinct.contains(&release.signer);
        if fits { Ok(()) } else { broken(Rank::Set, format!("{:?} is no set of this key", release.set)) }
    }

    fn judge_sessions(&self, release: &Release) -> Result<(), Violation> {
        let own = || self.releases.iter().filter(|other| other.signer == release.signer);
        let same = |other: &&Release| other.session == release.session;
        let forgotten = self.compacted.contains(&release.signer);
        if own().filter(same).any(|other| other.request == release.request || !forgotten) {
            return broken(Rank::Sessions, format!("signer {} knows session s{}", release.signer, release.session));
        }
        let used = own().filter(|other| other.request == release.request).count();
        if used >= usize::try_from(self.plan.max_sessions).unwrap_or(usize::MAX) {
            return broken(Rank::Sessions, format!("i{} has used up its sessions", release.request));
        }
        Ok(())
    }

    /// What this signer has let go before under the same number or name.
    fn judge_claims(&self, release: &Release, draft: &Draft) -> Result<(), Violation> {
        let mut others = self.releases.iter().filter(|other| other.signer == release.signer);
        for other in others.clone().filter(|other| other.request != release.request) {
            let Some(known) = self.requests.get(&other.request) else { continue };
            if (known.draft.requester, known.draft.name) == (draft.requester, draft.name) {
                let what = format!("i{} and i{} have one name", other.request, release.request);
                return broken(Rank::Idempotency, what);
            }
        }
        let number = |label: Label| self.requests.get(&label).and_then(|request| number(&request.draft));
        let holder = others.rfind(|other| number(other.request) == number(release.request));
        let Some(holder) = holder.filter(|_| number(release.request).is_some()) else { return Ok(()) };
        let same_owner = self.requests.get(&holder.request).is_some_and(|held| held.draft.requester == draft.requester);
        if holder.request == release.request || draft.replaces == Some(holder.request) && same_owner {
            return Ok(());
        }
        broken(Rank::Nonce, format!("i{} holds the number of i{}", holder.request, release.request))
    }

    /// A signature has come into being.
    pub(crate) fn signed(&mut self, request: Label, elapsed_ms: u64) -> Result<(), Violation> {
        if self.signed.iter().any(|(other, _)| *other == request) {
            return Ok(());
        }
        self.signed.push((request, elapsed_ms));
        self.judge_limits(elapsed_ms)?;
        self.judge_ceiling()?;
        let once = self.plan.keepers.is_some() || self.plan.sets_meet();
        if once { self.judge_once(request) } else { Ok(()) }
    }

    /// How much of each limit is used by what was signed within its window until now.
    pub(crate) fn used(&self, elapsed_ms: u64) -> BTreeMap<(usize, String), (u128, u64)> {
        if self.plan.keepers.is_some() {
            return self.certified(elapsed_ms);
        }
        let mut used: BTreeMap<(usize, String), (u128, u64)> = BTreeMap::new();
        for (label, at) in &self.signed {
            let Some(request) = self.requests.get(label) else { continue };
            for (index, subject, amount) in rules::charges(&self.plan, &request.draft) {
                let window = self.plan.limits[index].window_secs;
                if window.is_none_or(|window| at + window * 1000 > elapsed_ms) {
                    let sum = used.entry((index, subject)).or_default();
                    *sum = (sum.0 + amount, sum.1 + 1);
                }
            }
        }
        used
    }

    fn judge_limits(&self, elapsed_ms: u64) -> Result<(), Violation> {
        for ((index, subject), (amount, count)) in self.used(elapsed_ms) {
            let limit = &self.plan.limits[index];
            let over = limit.amount.is_some_and(|most| amount > most) || limit.count.is_some_and(|most| count > most);
            if over {
                let of = (limit.amount, limit.count);
                return broken(Rank::Limit, format!("l{index} {subject}: {amount} in {count} requests, of {of:?}"));
            }
        }
        Ok(())
    }

    /// One signature for a number, unless one replaces the other by name, and one for a requester's name.
    fn judge_once(&self, request: Label) -> Result<(), Violation> {
        let Some(new) = self.requests.get(&request) else { return Ok(()) };
        for (label, _) in self.signed.iter().filter(|(label, _)| *label != request) {
            let Some(old) = self.requests.get(label) else { continue };
            if (old.draft.requester, old.draft.name) == (new.draft.requester, new.draft.name) {
                return broken(Rank::Idempotency, format!("i{label} and i{request} are both signed"));
            }
            if number(&old.draft).is_some()
                && number(&old.draft) == number(&new.draft)
                && !self.replaces(request, *label)
            {
                return broken(Rank::Nonce, format!("i{label} and i{request} are both signed"));
            }
        }
        Ok(())
    }

    fn replaces(&self, new: Label, old: Label) -> bool {
        let mut at = Some(new);
        // No chain is longer than there are requests, whatever its links say.
        for _ in 0..=self.requests.len() {
            at = at.and_then(|label| self.requests.get(&label)).and_then(|request| request.draft.replaces);
            if at == Some(old) {
                return true;
            }
        }
        false
    }
}

/// The account's sequence number that a draft burns.
fn number(draft: &Draft) -> Option<u64> {
    (draft.kind != super::program::Kind::Message).then_some(draft.nonce)
}

/// People and delays.
impl Judge {
    fn judge_people(&self, release: &Release) -> Result<(), Violation> {
        let Some(entries) = self.entries.get(&(release.signer, release.request)) else {
            return broken(Rank::Approvals, "it was never shown");
        };
        let asked = self.asks(release.request, release.moment.version);
        let last = entries.len() - 1;
        for entry in entries {
            if let Some(who) = entry.said.iter().find(|label| self.is_heard_no(entry, release.request, **label)) {
                let what = format!("signer {} has heard v{who}, a rejection", release.signer);
                return broken(Rank::Rejected, what);
            }
        }
        // Who is asked no more was heard all the same.
        if asked.is_empty() {
            return Ok(());
        }
        if !self.is_met(release.request, entries, last, true) {
            return broken(
                Rank::Approvals,
                format!("people have not said yes to i{} at {}", release.request, release.signer),
            );
        }
        let since = self.met_since(release.request, entries);
        for rule in asked {
            let from = if rule.from_first_sight { entries[0].moment.uptime } else { since };
            let waited = release.moment.uptime - from;
            if waited < rule.delay_secs * 1000 {
                let what = format!("signer {} waited {waited} ms of {} s", release.signer, rule.delay_secs);
                return broken(Rank::Delay, what);
            }
        }
        Ok(())
    }

    /// Whether a person has a say under the version in force: they are in a group that some requirement names.
    fn has_a_say(&self, request: Label, version: usize, person: usize) -> bool {
        let formulas = self.asks(request, version).into_iter().filter_map(|rule| rule.approvals.as_ref());
        let groups = &self.plan.versions[version].groups;
        formulas.flat_map(|formula| formula.groups()).any(|group| groups[group].contains(&person))
    }

    fn is_heard_no(&self, entry: &Entry, request: Label, said: Label) -> bool {
        let Some(statement) = self.statements.get(&said) else { return false };
        statement.verdict == Verdict::Reject && self.has_a_say(request, entry.moment.version, statement.person)
    }

    /// Whether all requirements were met at an entry, with what came with it or without it. Bad news counts at once.
    fn is_met(&self, request: Label, entries: &[Entry], at: usize, with_new: bool) -> bool {
        let (moment, Some(asked)) = (entries[at].moment, self.requests.get(&request)) else { return false };
        let mut ballots: BTreeMap<Label, Ballot> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate().take(at + 1) {
            for label in &entry.said {
                let Some(statement) = self.statements.get(label) else { continue };
                let heard = self.has_a_say(request, entry.moment.version, statement.person);
                let bad_news = statement.verdict != Verdict::Approve;
                if bad_news && heard || !bad_news && (index < at || with_new) {
                    ballots.insert(*label, self.ballot(*label, statement, asked, moment));
                }
            }
        }
        let ballots: Vec<Ballot> = ballots.into_values().collect();
        let groups = &self.plan.versions[moment.version].groups;
        self.asks(request, moment.version).into_iter().all(|rule| {
            let excluded: &[usize] = if rule.not_by_requester { &self.plan.behind[asked.draft.requester] } else { &[] };
            rule.approvals.as_ref().is_none_or(|formula| people::met(formula, groups, excluded, &ballots))
        })
    }

    fn ballot(&self, label: Label, statement: &Statement, asked: &Request, moment: Moment) -> Ballot {
        let consulted = |version| rules::consulted(&self.plan, version, &asked.draft);
        let Statement { person, terminal, after, verdict, .. } = *statement;
        let holds = statement.expires_at_secs > moment.wall_secs
            && (statement.version == moment.version || consulted(statement.version) == consulted(moment.version));
        Ballot { label, person, terminal, after, verdict, holds }
    }

    /// How long the signer had been running when the requirements were met last without a break since.
    fn met_since(&self, request: Label, entries: &[Entry]) -> u64 {
        let Some(asked) = self.requests.get(&request) else { return u64::MAX };
        let consulted = |entry: &Entry| rules::consulted(&self.plan, entry.moment.version, &asked.draft);
        let mut first = entries.len() - 1;
        while first > 0
            && consulted(&entries[first - 1]) == consulted(&entries[first])
            && self.is_met(request, entries, first, false)
            && self.is_met(request, entries, first - 1, true)
        {
            first -= 1;
        }
        entries[first].moment.uptime
    }
}
