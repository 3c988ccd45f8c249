//! What a protocol is to the session: rounds of broadcasts and direct messages, and a step between them.

use std::collections::BTreeMap;

use limen_wire::ids::PartyIndex;
use zeroize::Zeroizing;

use crate::blame::Abort;
use crate::session::Output;

/// What each party sends in one round, and the greatest size in bytes of each kind of body; zero means none is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Round {
    /// Greatest body of the broadcast.
    pub(crate) broadcast: usize,
    /// Greatest body of the message to one party.
    pub(crate) direct: usize,
    /// Whether the session must make sure that all parties got the same broadcasts before it goes on.
    pub(crate) echo: bool,
}

/// What this party sends in one round.
#[derive(Default)]
pub(crate) struct Outgoing {
    /// The body for all.
    pub(crate) broadcast: Option<Vec<u8>>,
    /// The body for each of the others.
    pub(crate) direct: BTreeMap<PartyIndex, Vec<u8>>,
}

impl Outgoing {
    pub(crate) fn broadcast(body: Vec<u8>) -> Self {
        Self { broadcast: Some(body), direct: BTreeMap::new() }
    }
}

/// What all the others sent in one round: complete when a machine sees it.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Broadcasts by sender.
    pub(crate) broadcast: BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>,
    /// Messages to us by sender.
    pub(crate) direct: BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>,
}

/// Result of a step.
pub(crate) enum Advance {
    /// Go on: send this in the next round.
    Next(Outgoing),
    /// The end.
    Done(Output),
}

/// A protocol run by one party. It never sees a frame of another session, party or round.
pub(crate) trait Machine: Send {
    /// The rounds, in order; not empty.
    fn rounds(&self) -> &[Round];
    /// Called once per round, in order, with everything that the others sent in it.
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort>;
}

/// A machine and what it sends in the first round.
pub(crate) type Started = (Box<dyn Machine>, Outgoing);
