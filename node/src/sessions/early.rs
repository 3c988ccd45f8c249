//! Frames of sessions that have not started here: bounded in number, bytes, sessions and time, each peer by itself, so
//! that one peer cannot push out another's.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use limen_mpc::Frame;
use limen_wire::ids::{NodeId, SessionId};

/// Bytes that one peer's early frames may take.
const BYTES_PER_PEER: usize = 32 << 20;

#[derive(Debug)]
struct Waiting {
    since: Instant,
    frames: Vec<(NodeId, Frame)>,
}

#[derive(Debug, Default)]
struct Usage {
    frames: usize,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct EarlyFrames {
    sessions: HashMap<SessionId, Waiting>,
    usage: HashMap<NodeId, Usage>,
    frames_per_peer: usize,
    keep_for: Duration,
}

impl EarlyFrames {
    pub(super) fn new(frames_per_peer: usize, keep_for: Duration) -> Self {
        Self { sessions: HashMap::new(), usage: HashMap::new(), frames_per_peer, keep_for }
    }

    /// Keeps a frame; `false` if the peer has used up its room.
    pub(super) fn keep(&mut self, session: SessionId, sender: &NodeId, frame: Frame, now: Instant) -> bool {
        let usage = self.usage.entry(sender.clone()).or_default();
        let bytes = usage.bytes.saturating_add(frame.body.len());
        if usage.frames >= self.frames_per_peer || bytes > BYTES_PER_PEER {
            return false;
        }
        usage.frames = usage.frames.saturating_add(1);
        usage.bytes = bytes;
        let waiting = self.sessions.entry(session).or_insert_with(|| Waiting { since: now, frames: Vec::new() });
        waiting.frames.push((sender.clone(), frame));
        true
    }

    /// Takes out what came for a session.
    pub(super) fn take(&mut self, session: &SessionId) -> Vec<(NodeId, Frame)> {
        let frames = self.sessions.remove(session).map(|waiting| waiting.frames).unwrap_or_default();
        for (sender, frame) in &frames {
            self.release(sender, frame.body.len());
        }
        frames
    }

    fn release(&mut self, sender: &NodeId, bytes: usize) {
        if let Some(usage) = self.usage.get_mut(sender) {
            usage.frames = usage.frames.saturating_sub(1);
            usage.bytes = usage.bytes.saturating_sub(bytes);
        }
    }

    /// Drops what has waited too long; counts by sender.
    pub(super) fn expire(&mut self, now: Instant) -> HashMap<NodeId, usize> {
        let old: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, waiting)| now.saturating_duration_since(waiting.since) > self.keep_for)
            .map(|(session, _)| *session)
            .collect();
        let mut dropped = HashMap::new();
        for session in old {
            for (sender, _) in self.take(&session) {
                let count: &mut usize = dropped.entry(sender).or_default();
                *count = count.saturating_add(1);
            }
        }
        dropped
    }
}
