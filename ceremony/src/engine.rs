//! The engine of one participant: what comes in, and what is to be done because of it. No clock, no file, no socket.
//!
//! Its driver does the effects in their order: what is to be stored is on the disk before what follows is done. After a crash
//! [`Engine::restore`] goes on from what was stored: what was said once is never said in another way, because it is sent again as it
//! was signed, and what was not stored was never sent.
//!
//! A ceremony ends for everybody in the same way. Nobody can call it off after having signed the record, so a record that everybody has
//! signed was called off by nobody. The one exception is an abort that shows two different signed words of one person: that person lied.

use limen_evidence::ceremony::{Body, Contribution, Fault, Offer, Record, Said, Transcript, aborted, completed, sign};
use limen_policy::ceremony::step::SIGN;
use limen_policy::ceremony::{Step, hides};
use limen_wire::ids::{PersonId, RecordHead};
use limen_wire::pb;

/// Most envelopes that are kept because their step has not come.
const MAX_EARLY: usize = 128;
/// Most bytes of exceptions that are said in one step; the rest is said in the next.
const MAX_EXCEPTIONS: usize = 5 * 1024;

/// What happens to a participant.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The relay brought something.
    Envelope(pb::Envelope),
    /// What the step asked for is done.
    Performed {
        /// Which step.
        step: u32,
        /// Seconds since 1970.
        at: u64,
        /// What was not as the script says.
        exceptions: Vec<String>,
        /// The step's lines.
        fields: Vec<(String, String)>,
    },
    /// The credential signed what [`Effect::Sign`] asked for.
    Signed(Box<Contribution>, [u8; 64]),
    /// It cannot be done, somebody says no, or has waited long enough.
    Abort(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Do what this step asks of us; answer by [`Input::Performed`] or [`Input::Abort`].
    Perform(Step),
    /// Sign its text by our credential; answer by [`Input::Signed`].
    Sign(Box<Contribution>),
    /// Write it durably before anything that follows.
    Store(pb::Envelope),
    /// Give it to the relay, again and again until it has taken it.
    Send(pb::Envelope),
    /// Tell the person.
    Tell(String),
    /// It is over.
    Finish(Outcome),
}

/// How a ceremony ended for a participant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All have signed.
    Completed {
        /// The head that all signed.
        name: RecordHead,
        /// The file.
        record: Record,
    },
    /// Called off.
    Aborted {
        /// By whom.
        by: PersonId,
        /// Why.
        cause: String,
        /// The file, as far as it went.
        record: Record,
    },
}

/// What is stored does not fit the ceremony that it is to go on with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the journal does not go on: {0}; it is of another ceremony or damaged")]
pub struct RestoreError(String);

#[derive(Debug, Clone, PartialEq)]
enum Doing {
    Waiting,
    Performing,
    Signing,
}

/// One participant's view and part.
#[derive(Debug)]
pub struct Engine<'a> {
    me: PersonId,
    transcript: Transcript<'a>,
    early: Vec<pb::Envelope>,
    doing: Doing,
    mine: Vec<pb::Envelope>,
    said_exceptions: usize,
    outcome: Option<Outcome>,
}

impl<'a> Engine<'a> {
    /// At the beginning.
    pub fn new(transcript: Transcript<'a>, me: PersonId) -> Self {
        let (early, mine) = (Vec::new(), Vec::new());
        Self { me, transcript, early, doing: Doing::Waiting, mine, said_exceptions: 0, outcome: None }
    }

    /// After what was stored, in its order.
    pub fn restore(transcript: Transcript<'a>, me: PersonId, stored: &[pb::Envelope]) -> Result<Self, RestoreError> {
        let mut engine = Self::new(transcript, me);
        for envelope in stored {
            match engine.transcript.offer(envelope) {
                Offer::Taken => engine.note_mine(envelope),
                Offer::Known => {}
                Offer::Abort(said) => {
                    engine.note_mine(envelope);
                    engine.end(*said);
                }
                Offer::Early => return Err(RestoreError("something is stored before its step".to_owned())),
                Offer::Noise(noise) => return Err(RestoreError(noise.to_string())),
                Offer::Fault(fault) => return Err(RestoreError(fault.to_string())),
            }
        }
        Ok(engine)
    }

    /// What to do first: hear what is on the board, say again what was said, and go on. Who signed the plan beforehand, or has lost their
    /// journal, finds their own words there and does not say others.
    pub fn start(&mut self, board: Vec<pb::Envelope>) -> Vec<Effect> {
        let mut effects: Vec<Effect> = self.mine.iter().cloned().map(Effect::Send).collect();
        for envelope in board {
            if self.outcome.is_none() && self.doing == Doing::Waiting {
                self.take(envelope, &mut effects);
            }
        }
        self.advance(&mut effects);
        effects
    }

    /// The ceremony as it is seen here.
    pub const fn transcript(&self) -> &Transcript<'a> {
        &self.transcript
    }

    /// How it ended, once it has.
    pub const fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// How many exceptions we have said.
    pub const fn said_exceptions(&self) -> usize {
        self.said_exceptions
    }

    /// Takes what happened; answers what is to be done, in order.
    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.outcome.is_some() {
            return effects;
        }
        match input {
            Input::Envelope(envelope) => {
                self.take(envelope, &mut effects);
                self.advance(&mut effects);
            }
            Input::Performed { step, at, exceptions, fields } => {
                self.performed(step, at, exceptions, fields, &mut effects);
            }
            Input::Signed(contribution, signature) => self.signed(&contribution, &signature, &mut effects),
            Input::Abort(cause) => self.abort(cause, Vec::new(), &mut effects),
        }
        effects
    }

    fn note_mine(&mut self, envelope: &pb::Envelope) {
        if !envelope.signatures.iter().any(|signature| signature.signer == self.me.as_str()) {
            return;
        }
        self.mine.push(envelope.clone());
        if let Ok(Body::Step { exceptions, .. }) =
            Said::open(envelope, self.transcript.session().plan()).map(|said| said.contribution.body)
        {
            self.said_exceptions = self.said_exceptions.saturating_add(exceptions.len());
        }
    }

    /// Goes on to whatever is next for us.
    fn advance(&mut self, effects: &mut Vec<Effect>) {
        if self.outcome.is_some() {
            effects.extend(self.outcome.clone().map(Effect::Finish));
            return;
        }
        if self.doing != Doing::Waiting {
            return;
        }
        if let (Some(name), Some(record)) = (self.transcript.name(), completed(&self.transcript)) {
            let outcome = Outcome::Completed { name, record };
            self.outcome = Some(outcome.clone());
            effects.push(Effect::Finish(outcome));
            return;
        }
        let Some(step) = self.transcript.step() else { return };
        if !self.transcript.open().contains_key(&self.me) {
            self.doing = Doing::Performing;
            effects.push(Effect::Perform(step.clone()));
        }
    }

    fn take(&mut self, envelope: pb::Envelope, effects: &mut Vec<Effect>) {
        let mut next = vec![envelope];
        while let Some(envelope) = next.pop() {
            let before = self.transcript.step().map(|step| step.number);
            match self.transcript.offer(&envelope) {
                Offer::Taken => {
                    self.note_mine(&envelope);
                    effects.push(Effect::Store(envelope));
                }
                Offer::Known => {}
                Offer::Early if self.early.len() < MAX_EARLY && !self.early.contains(&envelope) => {
                    self.early.push(envelope);
                }
                Offer::Early => {}
                Offer::Noise(noise) => {
                    effects.push(Effect::Tell(format!(
                        "the relay brought something that nobody of the plan said: {noise}"
                    )));
                }
                Offer::Fault(fault) if !self.transcript.ends_it_for(&self.me, &fault) => {
                    effects.push(Effect::Tell(format!(
                        "the record is signed here, so this changes nothing any more: {fault}"
                    )));
                }
                Offer::Fault(fault) => return self.found_out(&fault, envelope, effects),
                Offer::Abort(said) => return self.called_off(*said, envelope, effects),
            }
            if self.transcript.step().map(|step| step.number) != before {
                // Whatever we were about to do in a step that is done now was said already.
                self.doing = if self.doing == Doing::Signing { Doing::Signing } else { Doing::Waiting };
                next.append(&mut self.early);
            }
        }
    }

    /// Somebody of the plan said what must not be: over for all, with what shows it.
    fn found_out(&mut self, fault: &Fault, envelope: pb::Envelope, effects: &mut Vec<Effect>) {
        let mut evidence = vec![envelope];
        if let Fault::Twice { author, step } = fault {
            let done = self.transcript.done().find(|(one, ..)| one.number == *step).map(|(_, said, _)| said);
            let other = done.unwrap_or_else(|| self.transcript.open()).get(author);
            evidence.extend(other.map(Said::to_envelope));
        }
        self.abort(fault.to_string(), evidence, effects);
    }

    fn called_off(&mut self, said: Said, envelope: pb::Envelope, effects: &mut Vec<Effect>) {
        let author = &said.contribution.author;
        if !self.transcript.may_abort(&said) {
            effects.push(Effect::Tell(format!(
                "{author} called it off after having signed the record: that does not count"
            )));
            return;
        }
        effects.push(Effect::Store(envelope));
        self.end(said);
        self.advance(effects);
    }

    fn end(&mut self, said: Said) {
        let (by, Body::Abort { cause, .. }) = (said.contribution.author.clone(), said.contribution.body.clone()) else {
            return;
        };
        let unfinished: Vec<Said> = self.transcript.open().values().cloned().collect();
        let record = aborted(&self.transcript, &[said], &unfinished);
        self.outcome = Some(Outcome::Aborted { by, cause, record });
    }

    fn performed(
        &mut self,
        number: u32,
        at: u64,
        exceptions: Vec<String>,
        fields: Vec<(String, String)>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(step) = self.transcript.step().filter(|step| step.number == number) else { return };
        if self.doing != Doing::Performing || self.transcript.open().contains_key(&self.me) {
            return;
        }
        let last = step.name == SIGN;
        let body = Body::Step {
            number,
            name: step.name.to_owned(),
            head: self.transcript.head(),
            at: (!last).then_some(at),
            exceptions: if last { Vec::new() } else { fitting(exceptions) },
            fields,
        };
        let contribution = self.transcript.session().contribution(&self.me, body);
        // Nobody signs what the others would refuse.
        if let Err(reason) = Contribution::from_text(&contribution.to_text()) {
            return self.abort(format!("NO GO: {} cannot say it: {reason}", self.me), Vec::new(), effects);
        }
        match self.transcript.clone().hear(Said { contribution: contribution.clone(), signature: [0; 64] }) {
            Offer::Fault(fault) => self.abort(fault.to_string(), Vec::new(), effects),
            _ => {
                self.doing = Doing::Signing;
                effects.push(Effect::Sign(Box::new(contribution)));
            }
        }
    }

    fn signed(&mut self, contribution: &Contribution, signature: &[u8; 64], effects: &mut Vec<Effect>) {
        // A part of a step that was overtaken is not said; that it is over always is.
        if self.doing != Doing::Signing && matches!(contribution.body, Body::Step { .. }) {
            return;
        }
        self.doing = Doing::Waiting;
        if let Body::Abort { cause, evidence, .. } = &contribution.body
            && evidence.is_empty()
            && self.transcript.has_signed(&self.me)
        {
            // The signature under the record was on its way already when we were to call it off.
            effects.push(Effect::Tell(format!(
                "the record is signed here, so it cannot be called off any more ({cause})"
            )));
            return self.advance(effects);
        }
        let envelope = sign(contribution, signature);
        match self.transcript.offer(&envelope) {
            Offer::Taken => {
                self.note_mine(&envelope);
                effects.push(Effect::Store(envelope.clone()));
                effects.push(Effect::Send(envelope));
                let early = std::mem::take(&mut self.early);
                early.into_iter().for_each(|envelope| self.take(envelope, effects));
            }
            Offer::Abort(said) => {
                effects.push(Effect::Store(envelope.clone()));
                effects.push(Effect::Send(envelope));
                self.end(*said);
            }
            // Another process with our credential was faster with the same.
            Offer::Known | Offer::Early => {}
            Offer::Noise(noise) => {
                if let Body::Abort { cause, evidence, .. } = &contribution.body
                    && !evidence.is_empty()
                    && Contribution::from_text(&contribution.to_text()).is_err()
                {
                    // It ends here also if what shows why cannot be handed on.
                    return self.abort(cause.clone(), Vec::new(), effects);
                }
                effects.push(Effect::Tell(format!("what the credential signed does not verify: {noise}")));
            }
            Offer::Fault(fault) => self.found_out(&fault, envelope, effects),
        }
        self.advance(effects);
    }

    fn abort(&mut self, cause: String, mut evidence: Vec<pb::Envelope>, effects: &mut Vec<Effect>) {
        if self.transcript.has_signed(&self.me) && evidence.is_empty() {
            effects.push(Effect::Tell(format!(
                "the record is signed here, so it cannot be called off any more ({cause})"
            )));
            return;
        }
        evidence.truncate(4);
        let cause: String = cause.chars().map(|c| if hides(c) { ' ' } else { c }).take(4000).collect();
        let cause = if cause.trim().is_empty() { "no reason given".to_owned() } else { cause.trim().to_owned() };
        let head = self.transcript.head();
        let contribution = self.transcript.session().contribution(&self.me, Body::Abort { head, cause, evidence });
        self.doing = Doing::Signing;
        effects.push(Effect::Sign(Box::new(contribution)));
    }
}

/// As many as are said in one step, in their order.
fn fitting(exceptions: Vec<String>) -> Vec<String> {
    let mut left = MAX_EXCEPTIONS;
    let fits = |text: &String| {
        let room = left.checked_sub(text.len().saturating_add("exception \n".len()));
        left = room.unwrap_or_default();
        room.is_some()
    };
    exceptions.into_iter().take_while(fits).collect()
}
