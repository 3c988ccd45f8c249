//! A lock-step network in memory: every frame passes an adversary's hook, in an order that the test chooses.

use std::collections::{BTreeMap, VecDeque};

use limen_mpc::{Abort, Binding, Dropped, Frame, Output, Received, Session, Step};
use limen_wire::ids::PartyIndex;

/// A frame on its way. `sender` is who the transport says it is from.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) sender: PartyIndex,
    pub(crate) receiver: PartyIndex,
    pub(crate) frame: Frame,
}

impl Packet {
    /// Whether it is the given message.
    pub(crate) fn is(&self, round: u8, from: PartyIndex, to: PartyIndex, direct: bool) -> bool {
        (self.frame.round, self.sender, self.receiver, self.frame.to.is_some()) == (round, from, to, direct)
    }
    /// Replaces the body and signs it off with the right tag, as a dishonest sender can.
    pub(crate) fn with_body(mut self, binding: &Binding, body: Vec<u8>) -> Self {
        self.frame.tag = binding.frame_tag(self.frame.round, self.frame.from, self.frame.to, &body);
        self.frame.body = body;
        self
    }
}

/// In which order packets are delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order {
    Fifo,
    Lifo,
    Shuffled(u64),
}

/// How a party's session ended.
#[derive(Debug)]
pub(crate) enum End {
    Done(Output),
    Aborted(Abort),
    Waiting(Vec<PartyIndex>),
}

/// What came of a run.
pub(crate) struct Report {
    pub(crate) ends: BTreeMap<PartyIndex, End>,
    pub(crate) dropped: BTreeMap<(PartyIndex, Dropped), usize>,
    /// Every packet as it was sent, before the adversary.
    pub(crate) sent: Vec<Packet>,
}

impl Report {
    pub(crate) fn abort(&self, party: PartyIndex) -> Option<&Abort> {
        match self.ends.get(&party) {
            Some(End::Aborted(abort)) => Some(abort),
            _ => None,
        }
    }
    pub(crate) fn is_done(&self, party: PartyIndex) -> bool {
        matches!(self.ends.get(&party), Some(End::Done(_)))
    }
    pub(crate) fn dropped(&self, party: PartyIndex, why: Dropped) -> usize {
        self.dropped.get(&(party, why)).copied().unwrap_or(0)
    }
    /// All outputs, or panics with the first other end.
    pub(crate) fn outputs(self) -> BTreeMap<PartyIndex, Output> {
        let done = |(party, end)| match end {
            End::Done(output) => (party, output),
            other => panic!("party {party} ended with {other:?}"),
        };
        self.ends.into_iter().map(done).collect()
    }
}

/// Runs sessions to their ends: `hook` turns each packet into what is delivered in its place.
pub(crate) fn run(starts: Vec<(Session, Step)>, order: Order, mut hook: impl FnMut(Packet) -> Vec<Packet>) -> Report {
    let mut net = Net { sessions: BTreeMap::new(), queue: VecDeque::new(), sent: Vec::new() };
    let mut ends = BTreeMap::new();
    let mut dropped = BTreeMap::new();
    let mut steps = Vec::new();
    for (session, step) in starts {
        steps.push((session.me(), step));
        net.sessions.insert(session.me(), session);
    }
    for (from, step) in steps {
        net.send(from, step.send, &mut hook);
    }
    let mut chooser = order;
    while let Some(packet) = next(&mut net.queue, &mut chooser) {
        let receiver = packet.receiver;
        let Some(session) = net.sessions.get_mut(&receiver) else { continue };
        match session.receive(packet.sender, packet.frame) {
            Ok(Received::Dropped(why)) => *dropped.entry((receiver, why)).or_insert(0) += 1,
            Ok(Received::Step(Step { send, done })) => {
                net.send(receiver, send, &mut hook);
                if let Some(output) = done {
                    ends.insert(receiver, End::Done(output));
                }
            }
            Err(abort) => {
                ends.insert(receiver, End::Aborted(abort));
            }
        }
    }
    for (party, session) in &net.sessions {
        ends.entry(*party).or_insert_with(|| End::Waiting(session.waiting_for()));
    }
    Report { ends, dropped, sent: net.sent }
}

/// An honest network.
pub(crate) fn honest(packet: Packet) -> Vec<Packet> {
    vec![packet]
}

struct Net {
    sessions: BTreeMap<PartyIndex, Session>,
    queue: VecDeque<Packet>,
    sent: Vec<Packet>,
}

impl Net {
    fn send(&mut self, sender: PartyIndex, frames: Vec<Frame>, hook: &mut impl FnMut(Packet) -> Vec<Packet>) {
        for frame in frames {
            let receivers = self.sessions.keys().copied().filter(|party| *party != sender);
            let receivers: Vec<_> = receivers.filter(|party| frame.to.is_none_or(|to| to == *party)).collect();
            for receiver in receivers {
                let packet = Packet { sender, receiver, frame: frame.clone() };
                self.sent.push(packet.clone());
                self.queue.extend(hook(packet));
            }
        }
    }
}

fn next(queue: &mut VecDeque<Packet>, order: &mut Order) -> Option<Packet> {
    match order {
        Order::Fifo => queue.pop_front(),
        Order::Lifo => queue.pop_back(),
        Order::Shuffled(state) => {
            // xorshift64: any spread will do, and a failing number replays
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            let len = queue.len() as u64;
            queue.swap_remove_back(usize::try_from(state.checked_rem(len)?).unwrap())
        }
    }
}
