//! Frames in: where they belong, what comes early, and whether everyone got the same broadcast.

use std::collections::BTreeMap;

use limen_wire::ids::{PartyIndex, SignerSet};
use zeroize::Zeroizing;

use super::{Dropped, Frame, MAX_BODY_LEN};
use crate::binding::Binding;
use crate::blame::{Abort, AbortReason, Action, Blame};
use crate::machine::{Inbox, Outgoing, Round};

/// A round as it is on the wire: a protocol's round, or the echo that makes the round before it consistent.
#[derive(Debug, Clone, Copy)]
enum WireRound {
    Protocol(Round),
    Echo,
}

/// What a complete wire round leads to.
pub(super) enum Completed {
    /// All have the same broadcasts so far as we know; our echo goes out now.
    Echo(Frame),
    /// The protocol can step.
    Round(Inbox),
}

type Place = (u8, PartyIndex, bool);

/// Collects frames for the current wire round and the one after it, at most one per round, sender and kind.
pub(super) struct Collector {
    me: PartyIndex,
    signers: SignerSet,
    plan: Vec<WireRound>,
    /// The wire round that is being collected, from 1; 0 before the first is open.
    current: u8,
    bodies: BTreeMap<Place, Zeroizing<Vec<u8>>>,
    /// Tags of every frame ever taken, to tell a repeat from an equivocation.
    seen: BTreeMap<Place, [u8; 32]>,
    own_broadcast: Vec<u8>,
    /// The round before an echo, held back until the echoes agree.
    held: Option<(Inbox, Vec<u8>)>,
}

impl Collector {
    pub(super) fn new(me: PartyIndex, signers: SignerSet, rounds: &[Round]) -> Self {
        let plan = rounds.iter().flat_map(|round| {
            let echo = round.echo.then_some(WireRound::Echo);
            std::iter::once(WireRound::Protocol(*round)).chain(echo)
        });
        Self {
            me,
            signers,
            plan: plan.collect(),
            current: 0,
            bodies: BTreeMap::new(),
            seen: BTreeMap::new(),
            own_broadcast: Vec::new(),
            held: None,
        }
    }

    /// The number of the last wire round.
    pub(super) fn last_round(&self) -> u8 {
        u8::try_from(self.plan.len()).unwrap_or(u8::MAX)
    }

    /// Forgets every body.
    pub(super) fn clear(&mut self) {
        self.bodies.clear();
        self.held = None;
        self.own_broadcast.clear();
    }

    fn wire_round(&self, round: u8) -> Option<WireRound> {
        self.plan.get(usize::from(round.checked_sub(1)?)).copied()
    }

    /// Greatest body of a kind in a round; `None` if there is no such message.
    fn limit(&self, round: u8, direct: bool) -> Option<usize> {
        let limit = match (self.wire_round(round)?, direct) {
            (WireRound::Protocol(round), false) => round.broadcast,
            (WireRound::Protocol(round), true) => round.direct,
            (WireRound::Echo, false) => 32 * self.signers.len(),
            (WireRound::Echo, true) => 0,
        };
        (limit > 0).then_some(limit.min(MAX_BODY_LEN))
    }

    /// Starts collecting the next round; returns our own frames of it.
    pub(super) fn open_round(&mut self, binding: &Binding, outgoing: Outgoing) -> Result<Vec<Frame>, Abort> {
        self.current = self.current.saturating_add(1);
        let Outgoing { broadcast, direct } = outgoing;
        self.own_broadcast = broadcast.clone().unwrap_or_default();
        let bodies = broadcast.into_iter().map(|body| (None, body));
        let bodies = bodies.chain(direct.into_iter().map(|(to, body)| (Some(to), body)));
        bodies.map(|(to, body)| self.own_frame(binding, to, body)).collect()
    }

    fn own_frame(&self, binding: &Binding, to: Option<PartyIndex>, body: Vec<u8>) -> Result<Frame, Abort> {
        match self.limit(self.current, to.is_some()) {
            Some(limit) if body.len() <= limit => {
                let tag = binding.frame_tag(self.current, self.me, to, &body);
                Ok(Frame { round: self.current, from: self.me, to, tag, body })
            }
            _ => Err(Abort::local(format!(
                "own message of {} bytes breaks the plan of round {}",
                body.len(),
                self.current
            ))),
        }
    }

    /// Takes a frame into its place, or says why not. Cheap checks come before the hash.
    pub(super) fn accept(
        &mut self,
        binding: &Binding,
        sender: PartyIndex,
        frame: Frame,
    ) -> Result<Option<Dropped>, Abort> {
        if let Some(dropped) = self.misplaced(sender, &frame) {
            return Ok(Some(dropped));
        }
        let tag = binding.frame_tag(frame.round, frame.from, frame.to, &frame.body);
        if tag != frame.tag {
            return Ok(Some(Dropped::WrongTag));
        }
        let place = (frame.round, sender, frame.to.is_some());
        match self.seen.get(&place) {
            Some(seen) if *seen == tag => return Ok(Some(Dropped::Duplicate)),
            Some(_) => {
                let reason = AbortReason::Equivocation { from: sender, round: frame.round };
                return Err(Abort::new(Blame::party(sender, Action::Replace), reason));
            }
            None => {}
        }
        if frame.round < self.current {
            return Ok(Some(Dropped::WrongRound));
        }
        self.seen.insert(place, tag);
        self.bodies.insert(place, Zeroizing::new(frame.body));
        Ok(None)
    }

    fn misplaced(&self, sender: PartyIndex, frame: &Frame) -> Option<Dropped> {
        if frame.from != sender {
            return Some(Dropped::WrongSender);
        }
        if sender == self.me || !self.signers.contains(sender) {
            return Some(Dropped::OutsideSignerSet);
        }
        if frame.to.is_some_and(|to| to != self.me) {
            return Some(Dropped::NotForUs);
        }
        if self.wire_round(frame.round).is_none() || frame.round > self.current.saturating_add(1) {
            return Some(Dropped::WrongRound);
        }
        match self.limit(frame.round, frame.to.is_some()) {
            None => Some(Dropped::WrongKind),
            Some(limit) if frame.body.len() > limit => Some(Dropped::Oversize),
            Some(_) => None,
        }
    }

    pub(super) fn waiting_for(&self) -> Vec<PartyIndex> {
        self.signers.others(self.me).filter(|party| !self.has_all_of(*party)).collect()
    }

    fn has_all_of(&self, party: PartyIndex) -> bool {
        [false, true].into_iter().all(|direct| {
            self.limit(self.current, direct).is_none() || self.bodies.contains_key(&(self.current, party, direct))
        })
    }

    /// If the current round is complete: hands it over, or sends our echo of it, or checks the echoes of it.
    pub(super) fn complete(&mut self, binding: &Binding) -> Result<Option<Completed>, Abort> {
        let Some(round) = self.wire_round(self.current) else { return Ok(None) };
        if !self.signers.others(self.me).all(|party| self.has_all_of(party)) {
            return Ok(None);
        }
        let inbox = self.take_round();
        match round {
            WireRound::Echo => self.check_echoes(&inbox).map(|held| Some(Completed::Round(held))),
            WireRound::Protocol(Round { echo: false, .. }) => Ok(Some(Completed::Round(inbox))),
            WireRound::Protocol(_) => self.open_echo(binding, inbox).map(|frame| Some(Completed::Echo(frame))),
        }
    }

    fn take_round(&mut self) -> Inbox {
        let mut inbox = Inbox::default();
        for party in self.signers.others(self.me) {
            if let Some(body) = self.bodies.remove(&(self.current, party, false)) {
                inbox.broadcast.insert(party, body);
            }
            if let Some(body) = self.bodies.remove(&(self.current, party, true)) {
                inbox.direct.insert(party, body);
            }
        }
        inbox
    }

    /// Our echo: one hash per party, in the order of the signer set, of what it broadcast.
    fn open_echo(&mut self, binding: &Binding, inbox: Inbox) -> Result<Frame, Abort> {
        let round = self.current;
        let hashes = self.signers.parties().iter().flat_map(|party| {
            let body = inbox.broadcast.get(party).map_or(&self.own_broadcast[..], |body| &body[..]);
            binding.frame_tag(round, *party, None, body)
        });
        let body: Vec<u8> = hashes.collect();
        self.held = Some((inbox, body.clone()));
        self.current = round.saturating_add(1);
        self.own_frame(binding, None, body)
    }

    fn check_echoes(&mut self, echoes: &Inbox) -> Result<Inbox, Abort> {
        let Some((held, own)) = self.held.take() else { return Err(Abort::local("an echo without its round")) };
        for (witness, echo) in &echoes.broadcast {
            if echo.len() != own.len() {
                return Err(Abort::malformed(*witness, "echo"));
            }
            let lists = own.chunks_exact(32).zip(echo.chunks_exact(32));
            let differing = self.signers.parties().iter().zip(lists).find(|(_, (ours, theirs))| ours != theirs);
            if let Some((broadcaster, _)) = differing {
                return Err(self.broadcast_differs(*broadcaster, *witness));
            }
        }
        Ok(held)
    }

    fn broadcast_differs(&self, broadcaster: PartyIndex, witness: PartyIndex) -> Abort {
        let round = self.current.saturating_sub(1);
        // we know what we sent ourselves, and a party that contradicts its own broadcast is its only liar
        let suspects = [broadcaster, witness].into_iter().filter(|party| *party != self.me);
        Abort::new(Blame::suspects(suspects), AbortReason::BroadcastDiffers { broadcaster, witness, round })
    }
}
