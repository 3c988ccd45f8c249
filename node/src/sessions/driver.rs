//! Runs one session: frames in, steps on the crypto threads, frames out, until a result, an abort or the deadline.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use limen_mpc::{Abort, Dropped, Frame, Output, Received, Session, StartError, Step};
use limen_wire::ids::{NodeId, PartyIndex, SessionId};
use tokio::time::Instant;

use super::{Event, Inbox, Sessions, encode};
use crate::crypto::CryptoPool;
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
    /// Where last-round messages are written down, in tests of nonce use.
    pub trace: Option<(Arc<PartialTrace>, TraceContext)>,
}

/// The moment at which a session that starts now must have ended.
pub fn deadline_in(timeout: std::time::Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now)
}

/// A session between two steps.
struct Running {
    session: Session,
    lost: BTreeSet<PartyIndex>,
}

/// Drives a session from its start to its end.
pub async fn drive(
    mut context: Drive,
    start: impl FnOnce() -> Result<(Session, Step), StartError> + Send + 'static,
) -> Ended {
    let started = context.crypto.run(start).await;
    let (session, step) = match started {
        Ok(Ok(started)) => started,
        Ok(Err(error)) => return Ended::NotStarted(error),
        Err(_) => return Ended::Lost,
    };
    let mut running = Running { session, lost: BTreeSet::new() };
    if let Some(output) = context.emit(&running.session, step) {
        return Ended::Done(output);
    }
    let mut events = Vec::new();
    loop {
        events.clear();
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
    async fn advance(&self, mut running: Running, events: Vec<Event>) -> Result<Running, Box<Ended>> {
        let mut frames = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Event::Frame(sender, frame) => frames.push((sender, frame)),
                Event::PeerLost(party) => {
                    running.lost.insert(party);
                }
            }
        }
        if frames.is_empty() {
            return Ok(running);
        }
        let step = self.crypto.run(move || {
            let result = receive(&mut running.session, frames);
            (running, result)
        });
        let (running, (dropped, result)) = step.await.map_err(|_| Box::new(Ended::Lost))?;
        for (sender, why) in dropped {
            self.note_dropped(sender, why);
        }
        let (steps, abort) = result;
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
