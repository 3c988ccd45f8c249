//! Which sessions run, and where each frame goes.
//!
//! Frames for a session that has not started here wait in a bounded buffer for a short time, because the coordinator
//! calls all signers at once and none of them is first. Whatever does not belong anywhere is dropped and counted; it never
//! harms a session.

mod driver;
mod early;
mod quarantine;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use limen_mpc::Frame;
use limen_wire::ids::{NodeId, PartyIndex, SessionId};
use limen_wire::{limits, pb};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::metrics::Metrics;
pub use driver::{Drive, Ended, deadline_in, drive};
use early::EarlyFrames;
pub use quarantine::{Quarantine, SetUp};

/// Frames of one member that may wait for one session; a protocol sends some tens in all.
const FRAMES: usize = 64;
/// Their bytes: the longest messages of the protocols (CGGMP24's set-up, DKLs23's multiplications) a few times over.
const FRAME_BYTES: usize = 4 * limits::FRAME_BODY_BYTES;
/// Ended sessions remembered, so that stragglers are not taken for early frames.
const ENDED: usize = 8192;

/// What reaches a session.
#[derive(Debug)]
pub enum Event {
    /// A frame, with the sender that TLS proved, and its room in the inbox.
    Frame(PartyIndex, Frame, Room),
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
    members: HashMap<NodeId, Member>,
}

/// A member and its own part of the inbox, so that no member can push out another's frames.
#[derive(Debug)]
struct Member {
    party: PartyIndex,
    frames: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    lost: AtomicBool,
}

/// The room that a frame takes until it is dropped.
#[derive(Debug)]
pub struct Room(#[expect(dead_code, reason = "held, never read")] [OwnedSemaphorePermit; 2]);

impl Member {
    fn new(party: PartyIndex) -> Self {
        let room = |size| Arc::new(Semaphore::new(size));
        Self { party, frames: room(FRAMES), bytes: room(FRAME_BYTES), lost: AtomicBool::new(false) }
    }

    fn room(&self, bytes: usize) -> Option<Room> {
        let bytes = u32::try_from(bytes).ok()?;
        let frame = Arc::clone(&self.frames).try_acquire_owned().ok()?;
        Some(Room([frame, Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok()?]))
    }
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
        self.events.recv_many(events, FRAMES).await
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
        // Every member's part, and a place for the news that it is gone.
        let (inbox, events) = mpsc::channel(members.len().saturating_mul(FRAMES + 1).max(1));
        let members: HashMap<_, _> = members.into_iter().map(|(node, party)| (node, Member::new(party))).collect();
        let mut inner = self.lock();
        if inner.running.len() >= self.most {
            return Err(OpenError::TooMany);
        }
        if inner.running.contains_key(&session) {
            return Err(OpenError::Running);
        }
        let running = Running { inbox, members };
        for (sender, frame) in inner.early.take(&session) {
            self.hand_over(&running, &sender, frame);
        }
        inner.running.insert(session, running);
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
            return self.hand_over(running, sender, frame);
        }
        if inner.ended.contains(&session) {
            // Stragglers are normal: the last frames of a session cross its end.
            return self.metrics.drop_message("after_end");
        }
        if !inner.early.keep(session, sender, frame, Instant::now()) {
            self.dropped(sender, "early_overflow");
        }
    }

    fn hand_over(&self, running: &Running, sender: &NodeId, frame: Frame) {
        let Some(member) = running.members.get(sender) else { return self.dropped(sender, "outside_signer_set") };
        let Some(room) = member.room(frame.body.len()) else { return self.dropped(sender, "inbox_full") };
        if running.inbox.try_send(Event::Frame(member.party, frame, room)).is_err() {
            self.dropped(sender, "inbox_full");
        }
    }

    /// Tells the sessions with this peer that it is gone.
    pub fn peer_lost(&self, peer: &NodeId) {
        for running in self.lock().running.values() {
            // Once is enough: what was lost with the first link does not come again with the next.
            if let Some(member) = running.members.get(peer)
                && !member.lost.swap(true, Ordering::Relaxed)
            {
                drop(running.inbox.try_send(Event::PeerLost(member.party)));
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
