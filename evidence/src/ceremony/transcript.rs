//! The ceremony as one participant, or its verifier, sees it: steps that are complete, and the one that is open.

use std::collections::{BTreeMap, BTreeSet};

use limen_policy::ceremony::step::{self, PLAN, SIGN};
use limen_policy::ceremony::{Attendance, AttendanceError, Plan, Problem, Step};
use limen_policy::charter::Charter;
use limen_wire::ids::{CharterHash, PersonId, PlanHash, RecordHead, tagged_hash};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use super::content;
use super::contribution::{Body, Contribution, Mode, NotAContribution, Said};

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
}

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
            }
        }
        let attendance = Attendance::of(&plan, present)?;
        let steps = step::steps(&plan, &attendance);
        Ok(Self { plan, charter: charter.map(str::to_owned), mode, attendance, steps })
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

/// What somebody of the plan said and signed, and must not have. The ceremony ends for everybody who sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Another ceremony, plan or mode: somebody was shown something else.
    #[error("SPLIT VIEW: {author} has {what} {found} before them, here it is {expected}")]
    Other {
        /// Who.
        author: PersonId,
        /// What is not the same.
        what: &'static str,
        /// Theirs.
        found: String,
        /// Ours.
        expected: String,
    },
    /// Another record so far.
    #[error(
        "SPLIT VIEW: in step {step} {author} has another record of the steps before it: {found}, here it is {expected}"
    )]
    Head {
        /// Who.
        author: PersonId,
        /// In which step.
        step: u32,
        /// Theirs.
        found: RecordHead,
        /// Ours.
        expected: RecordHead,
    },
    /// Two contributions for one step.
    #[error("SPLIT VIEW: {author} said two different things in step {step}")]
    Twice {
        /// Who.
        author: PersonId,
        /// In which step.
        step: u32,
    },
    /// Not there.
    #[error("SPLIT VIEW: {author} takes part, but is not among those who are there")]
    Absent {
        /// Who.
        author: PersonId,
    },
    /// Something that does not hold.
    #[error("in step {step} {author} said what does not hold: {reason}")]
    Content {
        /// Who.
        author: PersonId,
        /// In which step.
        step: u32,
        /// What.
        reason: String,
    },
    /// All are there, but what they say does not go together.
    #[error("what was said in step {step} does not go together: {reason}")]
    Together {
        /// In which step.
        step: u32,
        /// What.
        reason: String,
    },
}

/// What became of an envelope.
#[derive(Debug, Clone, PartialEq)]
pub enum Offer {
    /// It counts; the step may be complete now.
    Taken,
    /// It was there already.
    Known,
    /// It is for a later step: offer it again.
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
    certified: Option<(Vec<u8>, KeyStatement)>,
}

impl<'a> Transcript<'a> {
    /// Nobody has said anything yet.
    pub fn new(session: &'a Session) -> Self {
        let heads = vec![first_head(&session.plan, session.mode)];
        Self { session, heads, done: Vec::new(), open: BTreeMap::new(), certified: None }
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

    /// What the new key's certificate says, once one has been accepted.
    pub const fn certified(&self) -> Option<&KeyStatement> {
        match &self.certified {
            Some((_, statement)) => Some(statement),
            None => None,
        }
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

    /// Takes what a relay brought.
    pub fn offer(&mut self, envelope: &pb::Envelope) -> Offer {
        match Said::open(envelope, &self.session.plan) {
            Ok(said) => self.hear(said),
            Err(noise) => Offer::Noise(noise),
        }
    }

    /// Takes what somebody of the plan has signed.
    pub fn hear(&mut self, said: Said) -> Offer {
        if let Err(fault) = self.is_ours(&said.contribution) {
            // Who is away today may have signed the plan beforehand.
            let plan_of_absent = matches!(&fault, Fault::Absent { .. })
                && matches!(&said.contribution.body, Body::Step { name, .. } if name == PLAN);
            return if plan_of_absent { Offer::Known } else { Offer::Fault(fault) };
        }
        let author = said.contribution.author.clone();
        let Body::Step { number, name, head, .. } = &said.contribution.body else {
            return Offer::Abort(Box::new(said));
        };
        let (number, head) = (*number, *head);
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
                if self.certified.is_none() {
                    self.certified = certified;
                }
                self.take(expected, said)
            }
            Err(reason) => Offer::Fault(Fault::Content { author, step: number, reason }),
        }
    }

    pub(super) const fn statement(&self) -> Option<&(Vec<u8>, KeyStatement)> {
        self.certified.as_ref()
    }

    fn is_ours(&self, said: &Contribution) -> Result<(), Fault> {
        let plan = &self.session.plan;
        let same = |what, found: String, expected: String| {
            if found == expected {
                return Ok(());
            }
            Err(Fault::Other { author: said.author.clone(), what, found, expected })
        };
        same("cluster", said.cluster.to_string(), plan.cluster.to_string())?;
        same("ceremony", said.ceremony.to_string(), plan.id.to_string())?;
        same("mode", said.mode.to_string(), self.session.mode.to_string())?;
        same("plan", said.plan.to_string(), PlanHash::to_string(&plan.hash()))?;
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
        if let Err(reason) = content::together(self.session, step, &self.open) {
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
