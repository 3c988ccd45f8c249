//! Runs one session: frames in, steps on the crypto threads, frames out, until a result, an abort or the deadline.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use limen_mpc::{Abort, Dropped, Frame, Output, Received, Session, StartError, Step};
use limen_wire::ids::{NodeId, PartyIndex, Protocol, SessionId};
use tokio::time::Instant;

use super::quarantine::{SetUp, banned_by};
use super::{Event, Inbox, Quarantine, Sessions, encode};
use crate::crypto::CryptoPool;
use crate::guard::Lifted;
use crate::mesh::Mesh;
use crate::trace::{PartialTrace, TraceContext};

/// How a session ended.
#[derive(Debug)]
pub enum Ended {
    /// With a result.
    Done(Output),
    /// The protocol gave up.
    Aborted(Abort),
    /// It could not begin.
    NotStarted(StartError),
    /// The deadline passed while these were waited for.
    TimedOut(Vec<PartyIndex>),
    /// The link from this member broke while it was waited for.
    PeerLost(PartyIndex),
    /// This member failed a consistency check in another session meanwhile.
    Quarantined(PartyIndex),
    /// A step panicked or the process is going down.
    Lost,
}

/// What a session needs around it.
pub struct Drive {
    /// Where frames come in.
    pub inbox: Inbox,
    /// The other members.
    pub members: HashMap<NodeId, PartyIndex>,
    /// Until when.
    pub deadline: Instant,
    /// Where frames go out.
    pub mesh: Arc<Mesh>,
    /// Where steps run.
    pub crypto: CryptoPool,
    /// Peers with which no further step runs.
    pub quarantine: Arc<Quarantine>,
    /// Bans that the charter has lifted: they keep nobody from this session.
    pub lifted: Lifted,
    /// Which protocol runs.
    pub protocol: Protocol,
    /// What its steps work with.
    pub set_up: SetUp,
    /// Where last-round messages are written down, in tests of nonce use.
    pub trace: Option<(Arc<PartialTrace>, TraceContext)>,
}

/// The moment at which a session that starts now must have ended.
pub fn deadline_in(timeout: std::time::Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now)
}

/// A session between two steps. Boxed: to hand it on leaves no copy of its secrets on the stacks of those who do.
struct Running {
    session: Box<Session>,
    lost: BTreeSet<PartyIndex>,
}

/// Drives a session from its start to its end.
pub async fn drive(
    mut context: Drive,
    start: impl FnOnce() -> Result<(Session, Step), StartError> + Send + 'static,
) -> Ended {
    let start = move || start().map(|(session, step)| (Box::new(session), step));
    let (session, step) = match context.guarded(start, |_| None).await {
        Ok(Ok(started)) => started,
        Ok(Err(error)) => return Ended::NotStarted(error),
        Err(ended) => return *ended,
    };
    let mut running = Running { session, lost: BTreeSet::new() };
    if let Some(output) = context.emit(&running.session, step) {
        return Ended::Done(output);
    }
    let mut events = Vec::new();
    loop {
        events.clear();
        // A time-out future is looked at only when nothing has come in: a peer that never stops sending must not outlive it.
        if Instant::now() >= context.deadline {
            return Ended::TimedOut(running.session.waiting_for());
        }
        match tokio::time::timeout_at(context.deadline, context.inbox.take(&mut events)).await {
            Err(_) => return Ended::TimedOut(running.session.waiting_for()),
            Ok(0) => return Ended::Lost,
            Ok(_) => {}
        }
        running = match context.advance(running, std::mem::take(&mut events)).await {
            Ok(running) => running,
            Err(ended) => return *ended,
        };
        if let Some(party) = running.session.waiting_for().into_iter().find(|party| running.lost.contains(party)) {
            return Ended::PeerLost(party);
        }
    }
}

impl Drive {
    /// Runs a step on the crypto threads, unless a member is quarantined. Steps of DKLs23 with a common member take turns.
    async fn guarded<T: Send + 'static>(
        &self,
        step: impl FnOnce() -> T + Send + 'static,
        ban: impl FnOnce(&T) -> Option<PartyIndex> + Send + 'static,
    ) -> Result<T, Box<Ended>> {
        let members: Vec<_> = self.members.iter().map(|(node, party)| (node.clone(), *party)).collect();
        let quarantine = Arc::clone(&self.quarantine);
        let in_turn = (self.protocol == Protocol::Dkls23).then_some(self.set_up);
        let (session, lifted) = (self.inbox.session, self.lifted.clone());
        let done = self.crypto.run(move || quarantine.step((&session, &members), &lifted, in_turn, step, ban)).await;
        match done {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(party)) => Err(Box::new(Ended::Quarantined(party))),
            Err(_) => Err(Box::new(Ended::Lost)),
        }
    }

    async fn advance(&self, mut running: Running, events: Vec<Event>) -> Result<Running, Box<Ended>> {
        let mut frames = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Event::Frame(sender, frame, _) => frames.push((sender, frame)),
                Event::PeerLost(party) => {
                    running.lost.insert(party);
                }
            }
        }
        if frames.is_empty() {
            return Ok(running);
        }
        let step = move || {
            let result = receive(&mut running.session, frames);
            (running, result)
        };
        let ban = |(_, (_, (_, abort))): &(Running, Received1)| abort.as_ref().and_then(banned_by);
        let (running, (dropped, result)) = self.guarded(step, ban).await?;
        for (sender, why) in dropped {
            self.note_dropped(sender, why);
        }
        let (steps, abort) = result;
        // What was computed too late is not said: the request may have expired or been stopped since.
        if abort.is_none() && Instant::now() >= self.deadline {
            return Err(Box::new(Ended::TimedOut(running.session.waiting_for())));
        }
        for step in steps {
            if let Some(output) = self.emit(&running.session, step) {
                return Err(Box::new(Ended::Done(output)));
            }
        }
        match abort {
            Some(abort) => Err(Box::new(Ended::Aborted(abort))),
            None => Ok(running),
        }
    }

    /// Sends a step's frames and gives back its result. The frames go first: the others may still need them.
    fn emit(&self, session: &Session, step: Step) -> Option<Output> {
        let id = session.binding().params().session;
        for frame in step.send {
            if let Some((trace, context)) = &self.trace {
                trace.note(context, session, &frame);
            }
            self.send(&id, frame);
        }
        step.done
    }

    fn send(&self, session: &SessionId, frame: Frame) {
        let to = frame.to;
        let message = encode(session, frame);
        for (node, party) in &self.members {
            if to.is_none_or(|to| to == *party) {
                self.mesh.send_frame(node, message.clone());
            }
        }
    }

    fn note_dropped(&self, sender: PartyIndex, why: Dropped) {
        let reason = match why {
            Dropped::Oversize => "oversize",
            Dropped::WrongSender => "wrong_sender",
            Dropped::OutsideSignerSet => "outside_signer_set",
            Dropped::NotForUs => "not_for_us",
            Dropped::WrongTag => "wrong_tag",
            Dropped::WrongRound => "wrong_round",
            Dropped::WrongKind => "wrong_kind",
            Dropped::Duplicate => "duplicate",
            Dropped::AfterEnd => return,
        };
        let sessions: &Sessions = &self.inbox.sessions;
        if let Some((node, _)) = self.members.iter().find(|(_, party)| **party == sender) {
            sessions.dropped(node, reason);
        }
    }
}

type Received1 = (Vec<(PartyIndex, Dropped)>, (Vec<Step>, Option<Abort>));

/// Feeds frames until the session ends.
fn receive(session: &mut Session, frames: Vec<(PartyIndex, Frame)>) -> Received1 {
    let (mut dropped, mut steps) = (Vec::new(), Vec::new());
    for (sender, frame) in frames {
        match session.receive(sender, frame) {
            Ok(Received::Dropped(why)) => dropped.push((sender, why)),
            Ok(Received::Step(step)) => {
                let done = step.done.is_some();
                steps.push(step);
                if done {
                    break;
                }
            }
            Err(abort) => return (dropped, (steps, Some(abort))),
        }
    }
    (dropped, (steps, None))
}
