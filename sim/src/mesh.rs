//! Runs sessions against each other in memory: frames are delivered one at a time, in an order drawn from a seed.
//!
//! No threads, no time: the mesh holds every frame in flight and picks the next one. The same seed and the same
//! parties give the same schedule, whatever random numbers the protocols draw themselves.

use std::collections::BTreeMap;

use limen_mpc::{Abort, Dropped, Frame, Output, Received, Session, Step};
use limen_wire::ids::PartyIndex;

use crate::dice::Dice;

/// One end of the mesh: a session, or a stand-in for it.
pub trait Party {
    /// Takes one frame from an authenticated sender, as [`Session::receive`] does.
    fn receive(&mut self, sender: PartyIndex, frame: Frame) -> Result<Received, Abort>;
}

impl Party for Session {
    fn receive(&mut self, sender: PartyIndex, frame: Frame) -> Result<Received, Abort> {
        Session::receive(self, sender, frame)
    }
}

/// One frame on its way to one party. A broadcast is as many deliveries as it has receivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Whom the transport authenticated as the sender.
    pub sender: PartyIndex,
    /// Where it goes.
    pub receiver: PartyIndex,
    /// What it carries.
    pub frame: Frame,
}

/// What happens to frames in flight. Rates are per 1000 frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// Whether frames overtake each other; without it they arrive in the order of sending.
    pub reorder: bool,
    /// Frames that never arrive.
    pub lost_per_mille: u16,
    /// Frames that arrive, and arrive again later.
    pub repeated_per_mille: u16,
}

impl Weather {
    /// Everything arrives, in the order of sending.
    pub const CALM: Self = Self { reorder: false, lost_per_mille: 0, repeated_per_mille: 0 };
    /// Everything arrives, in any order, some of it twice.
    pub const RESTLESS: Self = Self { reorder: true, lost_per_mille: 0, repeated_per_mille: 200 };
}

/// What a test does with a frame before the weather has its turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Let it pass.
    Pass,
    /// Let it vanish.
    Lose,
    /// Deliver these in its place, at once and in this order.
    Replace(Vec<Delivery>),
}

/// How a party ended.
#[derive(Debug)]
pub enum Ending {
    /// With a result.
    Done(Output),
    /// With an abort.
    Aborted(Abort),
}

/// One line of the schedule: what was delivered, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Event {
    /// The authenticated sender.
    pub sender: PartyIndex,
    /// The receiver.
    pub receiver: PartyIndex,
    /// The frame's round.
    pub round: u8,
    /// Whether the weather lost it.
    pub lost: bool,
}

/// Parties, the frames between them, and how each ended.
pub struct Mesh<P = Session> {
    parties: BTreeMap<PartyIndex, P>,
    in_flight: Vec<Delivery>,
    endings: BTreeMap<PartyIndex, Ending>,
    schedule: Vec<Event>,
    dropped: BTreeMap<Dropped, u64>,
    bytes_sent: BTreeMap<PartyIndex, usize>,
    weather: Weather,
    dice: Dice,
}

impl<P: Party> Mesh<P> {
    /// An empty mesh.
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self {
            parties: BTreeMap::new(),
            in_flight: Vec::new(),
            endings: BTreeMap::new(),
            schedule: Vec::new(),
            dropped: BTreeMap::new(),
            bytes_sent: BTreeMap::new(),
            weather,
            dice: Dice::new(seed),
        }
    }

    /// A mesh of parties that have just started, each with its first step.
    pub fn start(seed: u64, weather: Weather, parties: impl IntoIterator<Item = (PartyIndex, P, Step)>) -> Self {
        let mut mesh = Self::new(seed, weather);
        let mut first_steps = Vec::new();
        for (me, party, step) in parties {
            mesh.parties.insert(me, party);
            first_steps.push((me, step));
        }
        for (me, step) in first_steps {
            mesh.take_step(me, step);
        }
        mesh
    }

    /// Delivers until nothing is in flight. A party that then has no ending waits for something that was lost.
    pub fn run(&mut self) {
        self.run_with(|_| Fate::Pass);
    }

    /// As [`Mesh::run`], with a hand in every delivery: this is how tests spoil messages.
    pub fn run_with(&mut self, mut hand: impl FnMut(&Delivery) -> Fate) {
        while let Some(delivery) = self.pick() {
            match hand(&delivery) {
                Fate::Pass => self.pass(delivery),
                Fate::Lose => self.note(&delivery, true),
                Fate::Replace(others) => others.into_iter().for_each(|other| self.deliver(other)),
            }
        }
    }

    /// Puts a frame in flight that no party sent.
    pub fn inject(&mut self, delivery: Delivery) {
        self.in_flight.push(delivery);
    }

    fn pick(&mut self) -> Option<Delivery> {
        if self.in_flight.is_empty() {
            return None;
        }
        let at = if self.weather.reorder { self.dice.index(self.in_flight.len())? } else { 0 };
        Some(self.in_flight.remove(at))
    }

    fn pass(&mut self, delivery: Delivery) {
        if self.dice.chance(self.weather.lost_per_mille) {
            return self.note(&delivery, true);
        }
        if self.dice.chance(self.weather.repeated_per_mille) {
            self.in_flight.push(delivery.clone());
        }
        self.deliver(delivery);
    }

    fn note(&mut self, delivery: &Delivery, lost: bool) {
        let Delivery { sender, receiver, frame } = delivery;
        self.schedule.push(Event { sender: *sender, receiver: *receiver, round: frame.round, lost });
    }

    fn deliver(&mut self, delivery: Delivery) {
        self.note(&delivery, false);
        let Delivery { sender, receiver, frame } = delivery;
        let Some(party) = self.parties.get_mut(&receiver) else { return };
        match party.receive(sender, frame) {
            Ok(Received::Step(step)) => self.take_step(receiver, step),
            Ok(Received::Dropped(why)) => {
                let count = self.dropped.entry(why).or_default();
                *count = count.saturating_add(1);
            }
            Err(abort) => {
                self.endings.entry(receiver).or_insert(Ending::Aborted(abort));
            }
        }
    }

    fn take_step(&mut self, from: PartyIndex, step: Step) {
        for frame in step.send {
            let receivers: Vec<PartyIndex> = match frame.to {
                Some(to) => vec![to],
                None => self.parties.keys().copied().filter(|party| *party != from).collect(),
            };
            for receiver in receivers {
                let sent = self.bytes_sent.entry(from).or_default();
                *sent = sent.saturating_add(frame.body.len());
                self.in_flight.push(Delivery { sender: from, receiver, frame: frame.clone() });
            }
        }
        if let Some(output) = step.done {
            self.endings.entry(from).or_insert(Ending::Done(output));
        }
    }

    /// How each party ended; one that still waits is not in it.
    pub fn endings(&self) -> &BTreeMap<PartyIndex, Ending> {
        &self.endings
    }

    /// The results, in the order of parties, if every party has one; else the mesh comes back as it was.
    pub fn into_outputs(mut self) -> Result<Vec<(PartyIndex, Output)>, Box<Self>> {
        let all_done = self.parties.keys().all(|party| matches!(self.endings.get(party), Some(Ending::Done(_))));
        if !all_done {
            return Err(Box::new(self));
        }
        let endings = std::mem::take(&mut self.endings).into_iter();
        Ok(endings
            .filter_map(|(party, ending)| if let Ending::Done(output) = ending { Some((party, output)) } else { None })
            .collect())
    }

    /// Who aborted, and why.
    pub fn aborts(&self) -> impl Iterator<Item = (PartyIndex, &Abort)> {
        self.endings.iter().filter_map(|(party, ending)| match ending {
            Ending::Aborted(abort) => Some((*party, abort)),
            Ending::Done(_) => None,
        })
    }

    /// What was delivered and lost, in order.
    pub fn schedule(&self) -> &[Event] {
        &self.schedule
    }

    /// How many frames the parties refused, by reason.
    pub fn dropped(&self) -> &BTreeMap<Dropped, u64> {
        &self.dropped
    }

    /// Bytes of frame bodies that a party sent, a broadcast counted once for each receiver.
    pub fn bytes_sent(&self, party: PartyIndex) -> usize {
        self.bytes_sent.get(&party).copied().unwrap_or(0)
    }

    /// A party, to look at it between deliveries.
    pub fn party(&self, party: PartyIndex) -> Option<&P> {
        self.parties.get(&party)
    }
}

impl<P> std::fmt::Debug for Mesh<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { parties, in_flight, endings, dropped, .. } = self;
        write!(f, "Mesh(parties {:?}, in flight {}, ", parties.keys().collect::<Vec<_>>(), in_flight.len())?;
        write!(f, "endings {endings:?}, dropped {dropped:?})")
    }
}

#[cfg(test)]
mod tests;
