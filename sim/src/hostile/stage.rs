//! Where a program plays: honest signers, people, requesters, time, and what travels between them.

mod asking;
mod automatic;
mod charters;
mod faults;
mod freezing;
mod hearing;
mod log;
mod outside;
mod reserving;
mod signing;
mod talk;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use limen_node::guard::SignToken;
use limen_wire::approval::SignedApproval;
use limen_wire::ids::{IntentId, NodeId};
use limen_wire::pb;

use super::flaw::Flaw;
use super::judge::{Judge, Moment, Violation};
use super::people;
use super::plan::Plan;
use super::program::{Label, Step};
use super::shares::Shares;
use super::signer::{Files, Recording, Signer};
use crate::Dice;
use crate::solver::Seen;
use automatic::OwnFreezes;
use charters::Line;
use freezing::{Frozen, Lifted};
use log::Books;
use outside::Findings;
use reserving::Desk;
use talk::Post;

/// When every simulation begins: milliseconds since 1970 on every wall clock.
const BEGIN_MS: u64 = 1_800_000_000_000;

/// How often each thing happened in a run, by a fixed word.
pub type Counts = BTreeMap<&'static str, u64>;

/// A record on its way to a signer.
type News = (u8, pb::Envelope);

/// A request that a requester signed.
struct Asked {
    envelope: pb::Envelope,
    id: IntentId,
}

/// What a person said.
struct Said {
    signed: SignedApproval,
    envelope: pb::Envelope,
    request: Label,
}

/// A last message that an honest signer let go, with its permission.
struct Token {
    signer: u8,
    request: Label,
    session: usize,
    set: Vec<u8>,
    permit: SignToken,
}

/// The stage.
pub(crate) struct Stage {
    plan: Plan,
    files: Arc<Files>,
    line: Line,
    signers: Vec<Signer>,
    witnesses: Vec<Signer>,
    desk: Desk,
    flaw: Option<Flaw>,
    shares: Arc<Shares>,
    dice: Dice,
    elapsed_ms: u64,
    asked: BTreeMap<Label, Asked>,
    said: BTreeMap<Label, Said>,
    cancellations: Vec<(pb::Envelope, Label)>,
    frozen: BTreeMap<Label, Frozen>,
    lifted: Vec<Lifted>,
    own: OwnFreezes,
    noted: BTreeSet<(u8, Label)>,
    tokens: Vec<Token>,
    signed: BTreeSet<Label>,
    /// Permissions that should not have been given, by session: no loss before there is a signature.
    wrong: BTreeMap<usize, Violation>,
    news: VecDeque<News>,
    post: Post,
    books: Books,
    findings: Findings,
    /// Judges.
    pub judge: Judge,
    /// What happened.
    pub counts: Counts,
    /// What each step came to, in words.
    pub trace: Vec<String>,
    /// Of a real key.
    pub signatures: Vec<Seen>,
}

impl Stage {
    /// All honest signers run under the first version of the charter.
    pub(crate) fn new(plan: Plan, shares: Arc<Shares>, flaw: Option<Flaw>) -> Self {
        Self::recorded(plan, shares, flaw, None)
    }

    /// The same, and every disk is recorded.
    pub(crate) fn recorded(plan: Plan, shares: Arc<Shares>, flaw: Option<Flaw>, recording: Option<&Recording>) -> Self {
        // A flawed signer reads another charter than the judge.
        let read = flaw.map_or_else(|| plan.clone(), |flaw| flaw.charter(&plan));
        let versions = 0..plan.versions.len();
        let charters = versions.clone().map(|version| Arc::new(super::charter(&read, version))).collect();
        let texts = versions.map(|version| read.toml(version)).collect();
        let files = Arc::new(Files { charters, texts, live: plan.live.is_some() });
        let started = |index: u8, has_share: bool| {
            let facts = has_share.then(|| shares.facts(&plan, index));
            let name = NodeId::new(plan.member_name(index)).expect("a name");
            let mut signer = Signer::new(name, people::machine(index), facts, Arc::clone(&files), BEGIN_MS);
            recording.into_iter().for_each(|recording| signer.record(recording));
            signer.start(0);
            signer
        };
        let beyond = plan.keepers.as_ref().map_or(plan.signers, |_| plan.members());
        Self {
            signers: (1..=plan.honest()).map(|index| started(index, true)).collect(),
            witnesses: (plan.signers + 1..=beyond).map(|index| started(index, false)).collect(),
            desk: Desk::new(&plan, &shares),
            judge: Judge::new(plan.clone()),
            files,
            line: Line::default(),
            flaw,
            shares,
            dice: Dice::new(1),
            elapsed_ms: 0,
            asked: BTreeMap::new(),
            said: BTreeMap::new(),
            cancellations: Vec::new(),
            frozen: BTreeMap::new(),
            lifted: Vec::new(),
            own: OwnFreezes::default(),
            noted: BTreeSet::new(),
            tokens: Vec::new(),
            signed: BTreeSet::new(),
            wrong: BTreeMap::new(),
            news: VecDeque::new(),
            post: Post::default(),
            books: Books::default(),
            findings: Findings::default(),
            counts: Counts::new(),
            trace: Vec::new(),
            signatures: Vec::new(),
            plan,
        }
    }

    /// What has been signed so far.
    #[cfg(test)]
    pub(crate) const fn signed(&self) -> &BTreeSet<Label> {
        &self.signed
    }

    /// Which version of the charter is in force at a signer that runs.
    #[cfg(test)]
    pub(crate) fn in_force(&self, signer: u8) -> usize {
        self.signer(signer).and_then(Signer::version).expect("a signer that runs")
    }

    /// How much time has passed, in milliseconds.
    #[cfg(test)]
    pub(crate) const fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn note(&mut self, line: impl Into<String>) {
        self.trace.push(line.into());
    }

    /// An honest machine: a signer, or after all signers a witness.
    fn signer(&self, index: u8) -> Option<&Signer> {
        match index.checked_sub(self.plan.signers + 1) {
            Some(place) => self.witnesses.get(usize::from(place)),
            None => self.signers.get(usize::from(index).checked_sub(1)?),
        }
    }

    fn signer_mut(&mut self, index: u8) -> Option<&mut Signer> {
        match index.checked_sub(self.plan.signers + 1) {
            Some(place) => self.witnesses.get_mut(usize::from(place)),
            None => self.signers.get_mut(usize::from(index).checked_sub(1)?),
        }
    }

    /// The true moment at a signer that runs.
    fn moment(&self, index: u8) -> Option<Moment> {
        let signer = self.signer(index)?;
        let version = signer.version()?;
        Some(Moment { uptime: signer.true_uptime, wall_secs: signer.wall_secs(), version })
    }

    /// The seconds since 1970 that passed time makes, whatever anybody's clock says.
    fn now_secs(&self) -> u64 {
        (BEGIN_MS + self.elapsed_ms) / 1000
    }

    /// Plays one step.
    pub(crate) fn play(&mut self, step: &Step) -> Result<(), Violation> {
        self.note(step.to_string());
        let news = self.news.front().cloned();
        self.act(step)?;
        self.after_faults(step, news)?;
        self.look_at_charters();
        self.look_at_own_freezes()
    }

    fn act(&mut self, step: &Step) -> Result<(), Violation> {
        match step {
            Step::Ask(label, draft) => self.ask(*label, draft),
            Step::Say { .. } => self.say(step),
            Step::Announce { signer, request, papers, spoil } => {
                return self.announce(*signer, *request, papers, *spoil);
            }
            Step::Sign { .. } => return self.sign(step),
            Step::Cancel { signer, request, requester, forged } => self.cancel(*signer, *request, *requester, *forged),
            Step::Tell { signer, paper } => self.tell(*signer, *paper),
            Step::Freeze { .. } => self.freeze(step),
            Step::Lift { .. } => self.lift(step),
            Step::LiftOwn(lift) => self.lift_own(*lift),
            Step::Deliver => {
                if let Some((signer, record)) = self.news.pop_front() {
                    self.count("news delivered");
                    self.hand(signer, record, false);
                }
            }
            Step::Lose => {
                if self.news.pop_front().is_some() {
                    self.count("news lost");
                }
            }
            Step::Ledger(step) => self.at_the_ledger(step),
            Step::Talk(step) => self.talk(step),
            Step::Charter(step) => self.at_the_charter(step),
            Step::Log(step) => return self.at_the_log(step),
            Step::Outside(step) => self.outside(step),
            Step::Wait(millis) => {
                self.elapsed_ms += millis;
                for signer in self.signers.iter_mut().chain(&mut self.witnesses) {
                    signer.pass(*millis);
                    signer.lift();
                    signer.consider();
                }
            }
            Step::Turn(signer, seconds) => self.turn(*signer, *seconds),
            Step::Kill(signer, power) => self.kill(*signer, *power),
            Step::Start(signer, version) => self.start(*signer, *version),
            Step::Tick(signer) => self.signer(*signer).into_iter().for_each(Signer::tick),
            Step::Compact(signer, seconds) => {
                if let Some(one) = self.signer(*signer) {
                    one.compact(*seconds);
                    self.judge.compacted(*signer);
                    self.count("compacted");
                }
            }
        }
        Ok(())
    }

    /// What a ledger certifies rests on clocks that are less than 30 s apart: there nobody's is further off than half of that.
    fn turn(&mut self, index: u8, seconds: i64) {
        let now = i64::try_from(self.now_secs()).unwrap_or(i64::MAX);
        let certifies = self.plan.keepers.is_some();
        let Some(signer) = self.signer(index) else { return };
        let off = i64::try_from(signer.wall_secs()).unwrap_or(i64::MAX) - now;
        signer.turn(if certifies { (off + seconds).clamp(-14, 14) - off } else { seconds });
        self.count("clock turned");
    }

    fn kill(&mut self, index: u8, power: bool) {
        let mut dice = self.dice.clone();
        let forgets = self.flaw == Some(Flaw::ForgetsAtRestart);
        let Some(signer) = self.signer_mut(index) else { return };
        signer.kill(power.then_some(&mut dice));
        if forgets {
            signer.wipe();
        }
        self.dice = dice;
        self.count(if power { "power cut" } else { "stopped in order" });
    }

    fn start(&mut self, index: u8, version: usize) {
        let version = version % self.files.charters.len();
        let Some(signer) = self.signer_mut(index) else { return };
        let stood = signer.process().is_none();
        if signer.start(version) {
            let uptime = signer.true_uptime;
            self.judge.started(index);
            self.judge.boots(index, uptime);
            self.count("started");
            if version > 0 {
                self.count("started under another charter");
            }
        } else if stood {
            self.note(format!("    signer {index} does not start with that file"));
            self.count("charter: file refused");
        }
    }
}
