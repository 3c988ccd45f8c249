//! The ceremony as one participant, or its verifier, sees it: steps that are complete, and the one that is open.

use std::collections::{BTreeMap, BTreeSet};

use limen_policy::ceremony::check::fits_charter;
use limen_policy::ceremony::step::{self, PLAN, SIGN};
use limen_policy::ceremony::{Attendance, AttendanceError, Mode, Plan, Problem, Step, Which};
use limen_policy::charter::Charter;
use limen_policy::lint::Finding;
use limen_wire::ids::{CharterHash, PersonId, RecordHead, tagged_hash};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use super::content::{self, Statement};
use super::contribution::{Body, Contribution, NotAContribution, Said};
use super::custody::Custody;
use super::fault::Fault;

/// Why there can be no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The plan.
    #[error("the plan is refused: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Plan(Vec<Problem>),
    /// Who is there.
    #[error(transparent)]
    Attendance(#[from] AttendanceError),
    /// The charter's text is missing.
    #[error("the plan names charter {0}, whose text is missing")]
    NoCharter(CharterHash),
    /// It is there where none is needed.
    #[error("the plan names no charter, but one is given")]
    NeedlessCharter,
    /// Not of this plan.
    #[error("the genesis is not of all of its charter: {}", .0.iter().map(|one| format!("{}: {}", one.place, one.message)).collect::<Vec<_>>().join("; "))]
    Unfit(Vec<Finding>),
    /// Another one.
    #[error("the charter given is {found}, the plan names {expected}")]
    OtherCharter {
        /// The text's.
        found: CharterHash,
        /// The plan's.
        expected: CharterHash,
    },
}

/// What everybody in a ceremony has agreed on before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    plan: Plan,
    charter: Option<String>,
    mode: Mode,
    attendance: Attendance,
    steps: Vec<Step>,
    custody: Judge,
}

/// Two sessions are the same whoever judges in them.
#[derive(Debug, Clone, Copy)]
struct Judge(Option<&'static dyn Custody>);

impl PartialEq for Judge {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Judge {}

/// The head before the first step: the plan and whether it counts. Who else will be there is not known when the plan is signed.
pub fn first_head(plan: &Plan, mode: Mode) -> RecordHead {
    RecordHead::new(tagged_hash("limen/ceremony/plan/v1", [mode.as_str().as_bytes(), plan.hash().as_bytes()]))
}

impl Session {
    /// A session by this plan, with the text that it names, and with these people.
    pub fn new(
        plan: &str,
        charter: Option<&str>,
        mode: Mode,
        present: BTreeSet<PersonId>,
    ) -> Result<Self, SessionError> {
        let plan = Plan::from_toml(plan).map_err(SessionError::Plan)?;
        match (plan.charter(), charter) {
            (None, None) => {}
            (None, Some(_)) => return Err(SessionError::NeedlessCharter),
            (Some(expected), None) => return Err(SessionError::NoCharter(expected)),
            (Some(expected), Some(text)) => {
                let found = Charter::hash_of(text);
                if found != expected {
                    return Err(SessionError::OtherCharter { found, expected });
                }
                let unfit = fits_charter(&plan, text);
                if !unfit.is_empty() {
                    return Err(SessionError::Unfit(unfit));
                }
            }
        }
        let attendance = Attendance::of(&plan, present)?;
        let steps = step::steps(&plan, &attendance);
        let custody = Judge(None);
        Ok(Self { plan, charter: charter.map(str::to_owned), mode, attendance, steps, custody })
    }

    /// The same session with somebody who judges proofs of backups.
    #[must_use]
    pub fn judged_by(self, custody: Option<&'static dyn Custody>) -> Self {
        Self { custody: Judge(custody), ..self }
    }

    /// Who judges proofs of backups.
    pub fn custody(&self) -> Option<&'static dyn Custody> {
        self.custody.0
    }

    /// The plan.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }
    /// The text of the charter that the plan names.
    pub fn charter(&self) -> Option<&str> {
        self.charter.as_deref()
    }
    /// Whether it counts.
    pub const fn mode(&self) -> Mode {
        self.mode
    }
    /// Who is there and does what.
    pub const fn attendance(&self) -> &Attendance {
        &self.attendance
    }
    /// All steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// A contribution to this session.
    pub fn contribution(&self, author: &PersonId, body: Body) -> Contribution {
        Contribution::new(&self.plan, self.mode, author.clone(), body)
    }
}

/// What became of an envelope.
#[derive(Debug, Clone, PartialEq)]
pub enum Offer {
    /// It counts; the step may be complete now.
    Taken,
    /// It was there already.
    Known,
    /// It is for a later step, or calls off a record that is not known here: offer it again.
    Early,
    /// Not signed by anybody of the plan: whoever brought it made it up.
    Noise(NotAContribution),
    /// Signed by somebody of the plan, and wrong.
    Fault(Fault),
    /// Somebody calls the ceremony off.
    Abort(Box<Said>),
}

/// The ceremony so far.
#[derive(Debug, Clone)]
pub struct Transcript<'a> {
    session: &'a Session,
    heads: Vec<RecordHead>,
    done: Vec<BTreeMap<PersonId, Said>>,
    open: BTreeMap<PersonId, Said>,
    certified: BTreeMap<Which, Statement>,
}

impl<'a> Transcript<'a> {
    /// Nobody has said anything yet.
    pub fn new(session: &'a Session) -> Self {
        let heads = vec![first_head(&session.plan, session.mode)];
        Self { session, heads, done: Vec::new(), open: BTreeMap::new(), certified: BTreeMap::new() }
    }

    /// The session.
    pub const fn session(&self) -> &'a Session {
        self.session
    }

    /// The record so far.
    pub fn head(&self) -> RecordHead {
        self.heads.last().copied().unwrap_or_else(|| first_head(&self.session.plan, self.session.mode))
    }

    /// The record's name: the head over which everybody signs in the last step. `None` until all steps before it are complete.
    pub fn name(&self) -> Option<RecordHead> {
        self.heads.get(self.session.steps.len().checked_sub(1)?).copied()
    }

    /// The open step; `None` when all are complete.
    pub fn step(&self) -> Option<&'a Step> {
        self.session.steps.get(self.done.len())
    }

    /// Complete steps with what was said, and the head after each.
    pub fn done(&self) -> impl Iterator<Item = (&'a Step, &BTreeMap<PersonId, Said>, RecordHead)> {
        let heads = self.heads.iter().skip(1).copied();
        self.session.steps.iter().zip(&self.done).zip(heads).map(|((step, said), head)| (step, said, head))
    }

    /// What was said in the open step.
    pub const fn open(&self) -> &BTreeMap<PersonId, Said> {
        &self.open
    }

    /// Whose part of the open step is missing.
    pub fn missing(&self) -> Vec<&'a PersonId> {
        let says = self.step().map(|step| step.says.as_slice()).unwrap_or_default();
        says.iter().map(|(person, _)| person).filter(|person| !self.open.contains_key(*person)).collect()
    }

    /// What a certificate of the key says, once one has been accepted.
    pub fn certified(&self, which: Which) -> Option<&KeyStatement> {
        self.certified.get(&which).map(|(_, _, statement)| statement)
    }

    /// Whether everybody has signed the record.
    pub fn is_complete(&self) -> bool {
        self.done.len() == self.session.steps.len()
    }

    /// Whether somebody has signed the record: they must not call it off any more.
    pub fn has_signed(&self, person: &PersonId) -> bool {
        let last = self.step().is_none_or(|step| step.name == SIGN);
        last && (self.is_complete() || self.open.contains_key(person))
    }

    /// Whether a fault still ends it for somebody: who has signed the record has done so over all steps before, so that what is found of
    /// those changes nothing for those who have it whole.
    pub fn ends_it_for(&self, person: &PersonId, fault: &Fault) -> bool {
        let last = u32::try_from(self.session.steps.len()).unwrap_or(u32::MAX);
        !self.has_signed(person) || fault.is_in(last)
    }

    /// Whether an abort by somebody who is there counts: of those who have signed the record only with what shows that somebody lied in that.
    pub fn may_abort(&self, abort: &Said) -> bool {
        let author = &abort.contribution.author;
        !self.has_signed(author) || self.shows(abort, |fault| self.ends_it_for(author, fault))
    }

    /// Whether what somebody calls it off with shows such a fault here.
    fn shows(&self, abort: &Said, counts: impl Fn(&Fault) -> bool) -> bool {
        let Body::Abort { evidence, .. } = &abort.contribution.body else { return false };
        evidence.iter().any(|envelope| {
            let Ok(said) = Said::open(envelope, &self.session.plan) else { return false };
            // An abort inside of an abort shows no more than itself.
            let is_step = matches!(said.contribution.body, Body::Step { .. });
            is_step && matches!(self.clone().hear(said), Offer::Fault(fault) if counts(&fault))
        })
    }

    /// An abort is of the record that its author had before them: not of an earlier attempt with the same plan, and not of what they have
    /// gone on from since.
    fn called_off(&self, head: RecordHead, said: Said) -> Offer {
        let author = &said.contribution.author;
        let place = self.heads.iter().position(|one| *one == head);
        let later = place.map(|place| self.done.iter().chain([&self.open]).skip(place.saturating_add(1)));
        match later.map(|mut later| later.any(|said| said.contains_key(author))) {
            Some(false) => Offer::Abort(Box::new(said)),
            _ if self.shows(&said, |_| true) => Offer::Abort(Box::new(said)),
            Some(true) => Offer::Known,
            None => Offer::Early,
        }
    }

    /// Takes what a relay brought.
    pub fn offer(&mut self, envelope: &pb::Envelope) -> Offer {
        match Said::open(envelope, &self.session.plan) {
            Ok(said) => self.hear(said),
            Err(noise) => Offer::Noise(noise),
        }
    }

    /// Takes what somebody of the plan has signed.
    pub fn hear(&mut self, said: Said) -> Offer {
        let (mode, expected) = (said.contribution.mode, self.session.mode);
        if mode != expected {
            // Whoever was at the rehearsal has it.
            let (author, found, expected) = (said.contribution.author, mode.to_string(), expected.to_string());
            return Offer::Noise(NotAContribution::Elsewhere { author, what: "mode", found, expected });
        }
        if let Err(fault) = self.is_ours(&said.contribution) {
            // Who is away today may have signed the plan beforehand.
            let plan_of_absent = matches!(&fault, Fault::Absent { .. })
                && matches!(&said.contribution.body, Body::Step { name, .. } if name == PLAN);
            return if plan_of_absent { Offer::Known } else { Offer::Fault(fault) };
        }
        let author = said.contribution.author.clone();
        let (number, name, head) = match &said.contribution.body {
            Body::Step { number, name, head, .. } => (*number, name, *head),
            Body::Abort { head, .. } => return self.called_off(*head, said),
        };
        let place = usize::try_from(number).unwrap_or(usize::MAX).checked_sub(1);
        let Some(expected) = place.and_then(|place| self.session.steps.get(place)) else {
            return Offer::Fault(content(&author, number, "there is no such step"));
        };
        if expected.name != name {
            return Offer::Fault(content(&author, number, "the step has another name"));
        }
        let done = place.and_then(|place| self.done.get(place));
        if let Some(before) = done.or(Some(&self.open)).and_then(|said| said.get(&author))
            && (done.is_some() || self.step() == Some(expected))
        {
            let same = before.contribution == said.contribution;
            return if same { Offer::Known } else { Offer::Fault(Fault::Twice { author, step: number }) };
        }
        if self.step() != Some(expected) {
            return Offer::Early;
        }
        let ours = self.head();
        if head != ours {
            return Offer::Fault(Fault::Head { author, step: number, found: head, expected: ours });
        }
        match content::check(self, expected, &said.contribution) {
            Ok(certified) => {
                if let Some(certified) = certified {
                    self.certified.entry(certified.0).or_insert(certified);
                }
                self.take(expected, said)
            }
            Err(reason) => Offer::Fault(Fault::Content { author, step: number, reason }),
        }
    }

    pub(super) fn statement(&self, which: Which) -> Option<&Statement> {
        self.certified.get(&which)
    }

    fn is_ours(&self, said: &Contribution) -> Result<(), Fault> {
        let (found, expected) = (said.plan, self.session.plan.hash());
        if found != expected {
            return Err(Fault::OtherPlan { author: said.author.clone(), found, expected });
        }
        match self.session.attendance.present().contains(&said.author) {
            true => Ok(()),
            false => Err(Fault::Absent { author: said.author.clone() }),
        }
    }

    fn take(&mut self, step: &Step, said: Said) -> Offer {
        self.open.insert(said.contribution.author.clone(), said);
        if self.open.len() < step.says.len() {
            return Offer::Taken;
        }
        if let Err(reason) = content::together(self, step, &self.open) {
            return Offer::Fault(Fault::Together { step: step.number, reason });
        }
        let head = self.next_head(step);
        self.heads.push(head);
        self.done.push(std::mem::take(&mut self.open));
        Offer::Taken
    }

    /// Over the head before, who is there, the step, and every contribution as it was signed.
    fn next_head(&self, step: &Step) -> RecordHead {
        let people: Vec<&str> = self.session.attendance.present().iter().map(PersonId::as_str).collect();
        let (before, people) = (self.head(), people.join(" "));
        let (number, mut parts) = (step.number.to_be_bytes(), Vec::new());
        for said in self.open.values() {
            parts.push(said.contribution.to_text().into_bytes());
            parts.push(said.signature.to_vec());
        }
        let fixed = [before.as_bytes().as_slice(), people.as_bytes(), &number];
        RecordHead::new(tagged_hash("limen/ceremony/step/v1", fixed.into_iter().chain(parts.iter().map(Vec::as_slice))))
    }
}

fn content(author: &PersonId, step: u32, reason: &str) -> Fault {
    Fault::Content { author: author.clone(), step, reason: reason.to_owned() }
}
