//! The life of a request as one pure state machine: a record and an event in, a record and actions out.
//!
//! The driver in [`crate::signing`] does what the actions say, always after the new record is durable where [`Step`]
//! asks for it. Nothing here waits, sends, reads a clock or draws a random number, so every path can be tested, and a
//! restart is just one more event.
//!
//! One rule stands above all: once a signer may have allowed a session, the request never again claims that no
//! signature exists. It ends as `signed` or as `possibly_signed`.

mod approvals;
mod checks;
mod record;
mod standing;
#[cfg(test)]
mod tests;

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{NodeId, SessionId};
use limen_wire::pb;

pub use approvals::HeldApproval;
pub use checks::HeldCheck;
pub use limen_wire::request::RequestState as State;
pub use record::{OpenSession, Opinion, Record};
pub use standing::Committee;
use standing::Standing;

/// How a session ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// With a signature that the coordinator has verified itself.
    Signed(pb::SignatureResult),
    /// Without one.
    Failed {
        /// What it ran into.
        error: ApiError,
        /// At least one member may have allowed it.
        exposed: bool,
        /// Members for whom it came too early: approvals are missing, or a delay has not run out. Only what they say
        /// next counts.
        early: Vec<NodeId>,
    },
}

/// What can happen to a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The coordinator has decoded and judged it.
    Evaluated {
        /// What the bytes do, in words.
        effects: Vec<pb::EffectView>,
        /// The coordinator's own decision.
        decision: pb::Decision,
    },
    /// A signer has answered.
    Opinion {
        /// Which signer.
        node: NodeId,
        /// What it says.
        opinion: Opinion,
    },
    /// The driver has chosen a session id and a signer set.
    SessionPlanned(OpenSession),
    /// The driver finds no signer set that could sign.
    TooFewSigners {
        /// What is missing, for people.
        message: String,
    },
    /// Its charges are not reserved now.
    Unreserved {
        /// Why, for people.
        error: ApiError,
    },
    /// A session has ended.
    SessionEnded {
        /// Which one.
        id: SessionId,
        /// How.
        outcome: Outcome,
    },
    /// A verified signature turned up outside a session (a late answer, a signer that came back).
    Discovered(pb::SignatureResult),
    /// A signer that was read late remembers the request.
    Remembered {
        /// It has allowed it at least once.
        allowed: bool,
        /// Milliseconds since 1970 at which it first saw it.
        first_seen_ms: u64,
    },
    /// A person has said something about it. The caller has checked that it is their own.
    Approved(HeldApproval),
    /// An external checker has found something out. The caller has checked that the finding is its own.
    Checked(HeldCheck),
    /// The pause before asking the signers again is over.
    Due,
    /// The requester wants it stopped.
    Cancel(pb::Envelope),
    /// The signers have been told to stop.
    StopAnswered {
        /// One says that its part of a signature may have left.
        possibly_signed: bool,
    },
    /// Time has passed, or a signer came back: look again.
    Look,
    /// The coordinator has started and found this record.
    Restarted,
    /// The same, with bytes that are not what its requester has signed: no readable intent or another one's
    /// ([`Code::Malformed`]), or not signed by them ([`Code::BadSignature`]).
    Altered(ApiError),
}

/// What the driver is to do, in this order. Every action may be asked for again; doing it twice changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Decode and judge.
    Evaluate,
    /// Show the intent, and what people said, to every member that has not answered since.
    Announce,
    /// As [`Action::Announce`], to every member that does not refuse.
    AskAgain,
    /// Ask again when this wait is over, or people have had time.
    AskLater {
        /// In milliseconds; `None` where only people can change anything.
        wait_ms: Option<u64>,
    },
    /// Choose a signer set and a session id.
    Plan,
    /// Choose any reachable signer set for a last session that only fetches a signature made before.
    Salvage,
    /// As [`Action::Plan`], after a pause that grows with the number of failed sessions.
    PlanLater,
    /// Call the signers of the open session.
    StartSession,
    /// Wait until the reachable signers change.
    AwaitSigners,
    /// Give the stop record to the signers.
    SendStop,
    /// This signer and the coordinator read the same bytes and disagree.
    Alarm(NodeId),
    /// A second signature for the same request has turned up, and it verifies.
    AlarmTwice,
    /// Tell the caller that its wish cannot be met.
    Refuse(ApiError),
    /// Nothing more to do.
    End,
}

/// How urgently the new record must reach the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing changed.
    None,
    /// With the next write.
    Lazy,
    /// Before anything else happens.
    Durable,
}

/// What comes out of the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The record after the event.
    pub record: Record,
    /// When it must be durable.
    pub change: Change,
    /// What to do then.
    pub actions: Vec<Action>,
}

/// Applies one event.
pub fn step(record: Record, event: Event, committee: &Committee, now_ms: u64) -> Step {
    let mut machine = Machine { record, committee, now_ms, change: Change::None, actions: Vec::new() };
    machine.apply(event);
    let Machine { mut record, change, actions, .. } = machine;
    if change > Change::None {
        record.version += 1;
        record.updated_at_ms = record.updated_at_ms.max(now_ms);
    }
    Step { record, change, actions }
}

struct Machine<'a> {
    record: Record,
    committee: &'a Committee,
    now_ms: u64,
    change: Change,
    actions: Vec<Action>,
}

impl Machine<'_> {
    fn apply(&mut self, event: Event) {
        match event {
            Event::Discovered(result) => self.signed(result),
            Event::Remembered { allowed, first_seen_ms } => self.remembered(allowed, first_seen_ms),
            Event::SessionEnded { id, outcome } => self.session_ended(id, outcome),
            Event::Opinion { node, opinion } => self.opinion(node, opinion),
            Event::Cancel(envelope) => self.cancel(envelope),
            Event::Approved(held) => self.approved(held),
            Event::Checked(held) => self.checked(held),
            Event::StopAnswered { possibly_signed } => self.stop_answered(possibly_signed),
            _ if self.record.state.is_end() => self.actions.push(Action::End),
            Event::Evaluated { effects, decision } => self.evaluated(effects, decision),
            Event::SessionPlanned(session) => self.session_planned(session),
            Event::TooFewSigners { message } => self.too_few(message),
            Event::Unreserved { error } => self.unreserved(error),
            Event::Look => self.go_on(),
            Event::Due => self.ask_again(),
            Event::Restarted => self.restarted(),
            Event::Altered(error) => self.altered(error),
        }
    }

    fn changed(&mut self, change: Change) {
        self.change = self.change.max(change);
    }

    fn evaluated(&mut self, effects: Vec<pb::EffectView>, decision: pb::Decision) {
        if self.record.state != State::Submitted {
            return;
        }
        let allowed = decision.allowed;
        let reasons = decision.reasons.join("; ");
        self.record.effects = effects;
        self.record.decision = Some(decision);
        self.record.state = State::Evaluated;
        self.changed(Change::Durable);
        if allowed {
            self.go_on();
        } else {
            self.end(State::Denied, ApiError::new(Code::PolicyDenied, format!("the rules do not allow it: {reasons}")));
        }
    }

    fn opinion(&mut self, node: NodeId, opinion: Opinion) {
        let judged = opinion.decision.allowed || opinion.refusal == Some(Code::PolicyDenied);
        // What depends on the moment may well be seen otherwise by another clock.
        let ours = self.record.decision.as_ref().filter(|ours| !ours.timed).map(|ours| ours.allowed);
        if judged && ours.is_some_and(|allowed| allowed != opinion.decision.allowed) {
            self.actions.push(Action::Alarm(node.clone()));
        }
        let known = self.record.opinions.get(&node);
        if known != Some(&opinion) {
            // While people are waited for they read here who is missing.
            let read = self.record.state.is_waiting() && !known.is_some_and(|known| known.says_the_same(&opinion));
            self.record.opinions.insert(node, opinion);
            self.changed(if read { Change::Durable } else { Change::Lazy });
        }
        if self.record.state.is_end() {
            self.actions.push(Action::End);
        } else {
            self.go_on();
        }
    }

    /// What comes next for a request that has not ended and whose last session, if any, has.
    fn go_on(&mut self) {
        if self.record.session.is_some() {
            return;
        }
        if self.record.stop.is_some() {
            return self.actions.push(Action::SendStop);
        }
        if self.record.is_expired(self.now_ms) {
            let message = format!("it expired at {} s and no signer signs later", self.record.expires_at_secs);
            return self.give_up(State::Expired, ApiError::new(Code::Expired, message));
        }
        if self.committee.is_refused(&self.record) {
            let (state, error) = self.refusal();
            return self.give_up(state, error);
        }
        match self.record.state {
            State::Submitted => self.actions.push(Action::Evaluate),
            _ if self.record.sessions >= self.committee.max_sessions => {
                let last = self.record.error.as_ref().map_or_else(String::new, |error| format!("; the last: {error}"));
                let message = format!("{} sessions ended without a signature{last}", self.record.sessions);
                self.give_up(State::Failed, ApiError::new(Code::TooManySessions, message));
            }
            _ => self.by_standing(),
        }
    }

    fn by_standing(&mut self) {
        match self.committee.standing(&self.record, self.now_ms) {
            Standing::Ready => return self.actions.push(Action::Plan),
            Standing::Open => return self.actions.push(Action::Announce),
            Standing::Locked { wait_ms } => self.wait(State::TimeLocked, Some(wait_ms)),
            Standing::Unapproved => self.wait(State::AwaitingApproval, None),
        }
        if self.committee.is_unheard(&self.record) {
            self.actions.push(Action::Announce);
        }
    }

    /// For people, or for a delay.
    fn wait(&mut self, state: State, wait_ms: Option<u64>) {
        if self.record.state != state {
            self.record.state = state;
            self.record.error = None;
            self.changed(Change::Durable);
        }
        self.actions.push(Action::AskLater { wait_ms });
    }

    /// What the members said while the request waited may have changed without us.
    fn ask_again(&mut self) {
        self.go_on();
        if self.actions.iter().any(|action| matches!(action, Action::AskLater { .. })) {
            self.actions.retain(|action| *action != Action::Announce);
            self.actions.push(Action::AskAgain);
        }
    }

    fn approved(&mut self, held: HeldApproval) {
        if self.record.holds(&held.id) {
            return;
        }
        if let Some(error) = self.record.refuses(&held) {
            return self.actions.push(Action::Refuse(error));
        }
        self.record.approvals.push(held);
        self.changed(Change::Durable);
        // Also while a session runs: bad news must not wait for its end.
        if self.record.state != State::Submitted {
            self.actions.push(Action::Announce);
        }
    }

    fn checked(&mut self, held: HeldCheck) {
        if self.record.outdates(&held) {
            return;
        }
        if let Err(error) = self.record.take_check(held) {
            return self.actions.push(Action::Refuse(error));
        }
        self.changed(Change::Durable);
        if self.record.state != State::Submitted {
            self.actions.push(Action::Announce);
        }
    }

    /// Why the members refuse, by what most of them say.
    fn refusal(&self) -> (State, ApiError) {
        let refusals = self.committee.members.iter().filter_map(|node| {
            let opinion = self.record.opinions.get(node).filter(|opinion| !opinion.decision.allowed)?;
            Some((node, opinion))
        });
        let said: Vec<String> = refusals
            .clone()
            .map(|(node, opinion)| format!("{node}: {}", opinion.decision.reasons.join("; ")))
            .collect();
        let codes: Vec<Code> = refusals.filter_map(|(_, opinion)| opinion.refusal).collect();
        let count = |code: &&Code| codes.iter().filter(|other| other == code).count();
        // Of equally many the first: the last of the reversed list wins.
        let code = codes.iter().rev().max_by_key(count).copied().unwrap_or(Code::PolicyDenied);
        let state = match code {
            Code::PolicyDenied => State::Denied,
            Code::Rejected => State::Rejected,
            Code::Expired => State::Expired,
            Code::Stopped => State::Cancelled,
            _ => State::Failed,
        };
        let what = match code {
            Code::BadSignature => "refuse its bytes as not its requester's",
            _ => "refuse",
        };
        (state, ApiError::new(code, format!("{} signers {what}: {}", said.len(), said.join(" | "))))
    }

    fn session_planned(&mut self, session: OpenSession) {
        if self.record.session.is_some() || self.record.stop.is_some() {
            return;
        }
        // A last session after expiry or refusal only fetches what was made before: signers repeat, they do not redo.
        let closing = self.record.is_expired(self.now_ms)
            || self.record.sessions >= self.committee.max_sessions
            || self.committee.is_refused(&self.record);
        self.record.salvaged |= closing;
        self.record.state = State::Signing;
        self.record.sessions = self.record.sessions.saturating_add(1);
        self.record.session = Some(session);
        self.record.error = None;
        self.changed(Change::Durable);
        self.actions.push(Action::StartSession);
    }

    fn too_few(&mut self, message: String) {
        let error = ApiError::new(Code::TooFewSigners, message);
        if self.record.is_expired(self.now_ms) {
            return self.end(State::Expired, error);
        }
        let (state, shown) = (self.record.state, self.record.error.as_ref());
        if state != State::Signing || shown.map(|shown| shown.code) != Some(Code::TooFewSigners) {
            self.record.state = State::Signing;
            self.record.error = Some(error);
            self.changed(Change::Durable);
        }
        self.actions.push(Action::AwaitSigners);
    }

    /// It claims its amounts until they are reserved, or it expires.
    fn unreserved(&mut self, error: ApiError) {
        if error.code == Code::ApprovalsMissing {
            // What was attested has expired since its signers were content with it: only what they say next counts.
            self.record.opinions.clear();
        }
        let shown = self.record.error.as_ref().map(|shown| shown.code);
        if self.record.session.is_none() && (self.record.state != State::Reserved || shown != Some(error.code)) {
            self.record.state = State::Reserved;
            self.record.error = Some(error);
            self.changed(Change::Durable);
        }
        self.go_on_later();
    }

    /// Goes on, but pauses before the next session.
    fn go_on_later(&mut self) {
        self.go_on();
        for action in &mut self.actions {
            if *action == Action::Plan {
                *action = Action::PlanLater;
            }
        }
    }

    fn session_ended(&mut self, id: SessionId, outcome: Outcome) {
        let ours = self.record.session.as_ref().is_some_and(|session| session.id == id);
        match outcome {
            Outcome::Signed(result) => self.signed(result),
            Outcome::Failed { error, exposed, early } if ours => {
                self.record.session = None;
                self.record.opinions.retain(|node, _| !early.contains(node));
                self.record.exposed |= exposed;
                // A session that nobody can have allowed does not count against the charter's bound.
                if !exposed {
                    self.record.sessions = self.record.sessions.saturating_sub(1);
                }
                self.record.error = Some(error);
                self.changed(Change::Durable);
                self.go_on_later();
            }
            Outcome::Failed { .. } => {}
        }
    }

    fn signed(&mut self, result: pb::SignatureResult) {
        if self.record.state != State::Signed {
            self.record.state = State::Signed;
            self.record.session = None;
            self.record.error = None;
            self.record.result = Some(result);
            self.changed(Change::Durable);
        } else if self.record.result.as_ref().is_some_and(|known| self.contradicts(known, &result)) {
            self.actions.push(Action::AlarmTwice);
        }
        self.actions.push(Action::End);
    }

    /// Two sessions of one request may both end with a signature, where a link broke in between; one session or one
    /// signer's memory may not.
    fn contradicts(&self, known: &pb::SignatureResult, found: &pb::SignatureResult) -> bool {
        let sessions_differ = known.session_id != found.session_id && self.record.sessions > 1;
        known.signature != found.signature && !sessions_differ
    }

    /// An end that claimed that no signature exists is corrected.
    fn remembered(&mut self, allowed: bool, first_seen_ms: u64) {
        if first_seen_ms < self.record.created_at_ms {
            self.record.created_at_ms = first_seen_ms;
            self.changed(Change::Lazy);
        }
        let state = self.record.state;
        if allowed && !self.record.exposed && state != State::Signed {
            self.record.exposed = true;
            self.changed(Change::Durable);
            if state.claims_no_signature() {
                let unknown = || ApiError::new(Code::PossiblySigned, "it had ended");
                let error = self.record.error.clone().unwrap_or_else(unknown);
                self.end(state, error);
            }
        }
    }

    fn cancel(&mut self, envelope: pb::Envelope) {
        let state = self.record.state;
        // What ended without a signature may hold what a ledger has reserved for it: signers that never allowed it say so.
        let unsigned = state.claims_no_signature() && !self.record.exposed;
        if self.record.stop.is_some() {
            let next = if state.is_end() && !unsigned { Action::End } else { Action::SendStop };
            return self.actions.push(next);
        }
        if !unsigned && (state.is_end() || self.record.session.is_some() || self.record.exposed) {
            let why = if state.is_end() { "it has ended" } else { "signers may have signed already" };
            let message = format!("it cannot be cancelled in state {}: {why}", state.as_str());
            return self.actions.push(Action::Refuse(ApiError::new(Code::WrongState, message)));
        }
        self.record.stop = Some(envelope);
        self.changed(Change::Durable);
        self.actions.push(Action::SendStop);
    }

    fn stop_answered(&mut self, possibly_signed: bool) {
        if self.record.state.is_end() || self.record.stop.is_none() {
            if possibly_signed {
                self.remembered(true, self.record.created_at_ms);
            }
            return self.actions.push(Action::End);
        }
        self.record.exposed |= possibly_signed;
        self.end(State::Cancelled, ApiError::new(Code::Stopped, "its requester has cancelled it"));
    }

    fn restarted(&mut self) {
        if self.record.session.take().is_some() {
            // Whatever the signers did in it happened without us.
            self.record.exposed = true;
            self.record.error =
                Some(ApiError::new(Code::SessionAborted, "the coordinator stopped while a session ran"));
            self.changed(Change::Durable);
        }
        self.ask_again();
    }

    /// What the signers said was said of other bytes. Whether these are their requester's is for the signers to say: the
    /// coordinator may know an older key. Bytes that are no intent, or another one's, nobody can be asked about.
    fn altered(&mut self, error: ApiError) {
        self.record.opinions.clear();
        self.changed(Change::Durable);
        if error.code == Code::BadSignature || self.record.stop.is_some() {
            return self.restarted();
        }
        self.record.exposed |= self.record.session.is_some();
        self.end(State::Failed, error);
    }

    /// Ends the request, after one last look for a signature where one may exist.
    fn give_up(&mut self, state: State, error: ApiError) {
        if self.record.exposed && !self.record.salvaged {
            self.actions.push(Action::Salvage);
        } else {
            self.end(state, error);
        }
    }

    fn end(&mut self, state: State, error: ApiError) {
        let hides = self.record.exposed && state.claims_no_signature();
        self.record.session = None;
        if hides {
            let message = format!("a signer may have signed, but no signature is in hand; {}", error.message);
            self.record.state = State::PossiblySigned;
            self.record.error = Some(ApiError { code: Code::PossiblySigned, message, node: error.node });
        } else {
            self.record.state = state;
            self.record.error = Some(error);
        }
        self.changed(Change::Durable);
        self.actions.push(Action::End);
    }
}
