//! Which sessions run, and where each frame goes.
//!
//! Frames for a session that has not started here wait in a bounded buffer for a short time, because the coordinator
//! calls all signers at once and none of them is first. Whatever does not belong anywhere is dropped and counted; it never
//! harms a session.

mod driver;
mod early;
mod quarantine;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use limen_mpc::Frame;
use limen_wire::ids::{NodeId, PartyIndex, SessionId};
use limen_wire::{limits, pb};
use tokio::sync::mpsc;

use crate::metrics::Metrics;
pub use driver::{Drive, Ended, deadline_in, drive};
use early::EarlyFrames;
pub use quarantine::Quarantine;

/// Messages that may wait for one session; a protocol sends some tens in all.
const INBOX: usize = 512;
/// Ended sessions remembered, so that stragglers are not taken for early frames.
const ENDED: usize = 8192;

/// What reaches a session.
#[derive(Debug)]
pub enum Event {
    /// A frame, with the sender that TLS proved.
    Frame(PartyIndex, Frame),
    /// The link from a member broke: what it has not sent by now will not come.
    PeerLost(PartyIndex),
}

/// Why a session was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// As many run as may.
    #[error("this signer runs as many sessions as it may")]
    TooMany,
    /// It runs already.
    #[error("this session runs already")]
    Running,
}

/// The registry.
#[derive(Debug)]
pub struct Sessions {
    inner: Mutex<Inner>,
    most: usize,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Inner {
    running: HashMap<SessionId, Running>,
    early: EarlyFrames,
    ended: HashSet<SessionId>,
    ended_order: VecDeque<SessionId>,
}

#[derive(Debug)]
struct Running {
    inbox: mpsc::Sender<Event>,
    members: HashMap<NodeId, PartyIndex>,
}

/// An open session's end of its inbox; dropping it ends the session.
#[derive(Debug)]
pub struct Inbox {
    session: SessionId,
    events: mpsc::Receiver<Event>,
    sessions: Arc<Sessions>,
}

impl Inbox {
    /// Waits for events and takes all that are there.
    pub async fn take(&mut self, events: &mut Vec<Event>) -> usize {
        self.events.recv_many(events, INBOX).await
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.sessions.close(self.session);
    }
}

impl Sessions {
    /// A registry of at most `most` running sessions, keeping `early_frames` frames for `early_for`.
    pub fn new(most: usize, early_frames: usize, early_for: Duration, metrics: Arc<Metrics>) -> Arc<Self> {
        let inner = Inner {
            running: HashMap::new(),
            early: EarlyFrames::new(early_frames, early_for),
            ended: HashSet::new(),
            ended_order: VecDeque::new(),
        };
        Arc::new(Self { inner: Mutex::new(inner), most, metrics })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session among `members` (without this node) and hands over what came early.
    pub fn open(
        self: &Arc<Self>,
        session: SessionId,
        members: HashMap<NodeId, PartyIndex>,
    ) -> Result<Inbox, OpenError> {
        let (inbox, events) = mpsc::channel(INBOX);
        let mut inner = self.lock();
        if inner.running.len() >= self.most {
            return Err(OpenError::TooMany);
        }
        if inner.running.contains_key(&session) {
            return Err(OpenError::Running);
        }
        for (sender, frame) in inner.early.take(&session) {
            self.hand_over(&inbox, &members, &sender, frame);
        }
        inner.running.insert(session, Running { inbox, members });
        self.metrics.sessions_running.inc();
        Ok(Inbox { session, events, sessions: Arc::clone(self) })
    }

    fn close(&self, session: SessionId) {
        let mut inner = self.lock();
        if inner.running.remove(&session).is_some() {
            self.metrics.sessions_running.dec();
        }
        if inner.ended.insert(session) {
            inner.ended_order.push_back(session);
        }
        if inner.ended_order.len() > ENDED
            && let Some(oldest) = inner.ended_order.pop_front()
        {
            inner.ended.remove(&oldest);
        }
    }

    /// Takes a frame from a peer, as the wire gave it.
    pub fn deliver(&self, sender: &NodeId, frame: pb::SessionFrame) {
        if frame.body.len() > limits::FRAME_BODY_BYTES {
            return self.dropped(sender, "oversize");
        }
        let Ok(session) = SessionId::from_slice(&frame.session_id) else { return self.dropped(sender, "garbage") };
        let Some(frame) = decode(frame) else { return self.dropped(sender, "garbage") };
        let mut inner = self.lock();
        if let Some(running) = inner.running.get(&session) {
            return self.hand_over(&running.inbox, &running.members, sender, frame);
        }
        if inner.ended.contains(&session) {
            // Stragglers are normal: the last frames of a session cross its end.
            return self.metrics.drop_message("after_end");
        }
        if !inner.early.keep(session, sender, frame, Instant::now()) {
            self.dropped(sender, "early_overflow");
        }
    }

    fn hand_over(
        &self,
        inbox: &mpsc::Sender<Event>,
        members: &HashMap<NodeId, PartyIndex>,
        sender: &NodeId,
        frame: Frame,
    ) {
        match members.get(sender) {
            None => self.dropped(sender, "outside_signer_set"),
            Some(party) => {
                if inbox.try_send(Event::Frame(*party, frame)).is_err() {
                    self.dropped(sender, "inbox_full");
                }
            }
        }
    }

    /// Tells the sessions with this peer that it is gone.
    pub fn peer_lost(&self, peer: &NodeId) {
        for running in self.lock().running.values() {
            if let Some(party) = running.members.get(peer) {
                // A full inbox belongs to a session that will meet its deadline anyway.
                drop(running.inbox.try_send(Event::PeerLost(*party)));
            }
        }
    }

    /// Drops early frames whose session never started. Called once a second.
    pub fn sweep(&self) {
        let expired = self.lock().early.expire(Instant::now());
        for (sender, count) in expired {
            for _ in 0..count {
                self.metrics.drop_message("unknown_session");
            }
            tracing::warn!(peer = %sender, count, "dropped frames of sessions that never started here");
        }
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.lock().running.len()
    }

    /// Counts a dropped message and says so, at most once a second per reason.
    pub fn dropped(&self, sender: &NodeId, reason: &'static str) {
        self.metrics.drop_message(reason);
        if let Some(count) = crate::ratelimit::WARNINGS.pass(reason) {
            tracing::warn!(peer = %sender, reason, count, "dropped a message");
        }
    }
}

/// From the wire; `None` for numbers that no frame has.
fn decode(frame: pb::SessionFrame) -> Option<Frame> {
    let party = |index: u32| PartyIndex::new(u16::try_from(index).ok()?).ok();
    Some(Frame {
        round: u8::try_from(frame.round).ok()?,
        from: party(frame.from)?,
        to: match frame.to {
            0 => None,
            index => Some(party(index)?),
        },
        tag: frame.tag.as_ref().try_into().ok()?,
        body: frame.body.to_vec(),
    })
}

/// To the wire.
pub fn encode(session: &SessionId, frame: Frame) -> pb::SessionFrame {
    pb::SessionFrame {
        session_id: session.as_bytes().to_vec().into(),
        round: frame.round.into(),
        from: frame.from.as_u16().into(),
        to: frame.to.map_or(0, |to| to.as_u16().into()),
        tag: frame.tag.to_vec().into(),
        body: frame.body.into(),
    }
}

#[cfg(test)]
mod tests;
