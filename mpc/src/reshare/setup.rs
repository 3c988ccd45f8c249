//! The wholly new DKLs23 set-up of the new committee, in the same session.
//!
//! Oblivious transfers and zero-share seeds depend on nothing but the session and the pair of parties (ePrint 2023/602,
//! protocol 9.1, which initialises functionalities 3.4 and 3.5 of ePrint 2023/765). They are made in the rounds of a key
//! generation whose points are the new shares: each proves its own, whoever proves another is named, and no fragment is dealt
//! that could be wrong. Nothing of an old set-up is used, so what a banned party has learned of one is worth nothing with the new
//! one; that it has no seat in the new committee is the caller's rule.
//!
//! What is wrong with a pair's seeds and transfers, or with the commitment to them, only its receiver has seen: it names the
//! sender in the next round in place of what it would have said there, as with a share.

use limen_wire::ids::{CommitteeSize, PartyIndex, SignerSet};

use super::core::Made;
use super::seats::{complaint, drain, fill};
use crate::binding::{Binding, SessionParams};
use crate::blame::{Abort, AbortReason, Blame};
use crate::dkls23;
use crate::key::KeyShare;
use crate::machine::{Advance, Inbox, Machine, Outgoing, Round};
use crate::session::Output;

/// The rounds.
pub(super) const ROUNDS: [Round; 3] = dkls23::SETUP_ROUNDS;

/// One party's part in making the set-up.
pub(super) struct Setup {
    binding: Binding,
    /// The new committee's.
    size: CommitteeSize,
    me: PartyIndex,
    made: Option<Made>,
    /// The key generation; a dealer that leaves has none.
    keygen: Option<Box<dyn Machine>>,
    /// What was wrong with what was sent to us alone.
    unfit: Option<Abort>,
    /// Rounds that are complete.
    round: usize,
}

impl Setup {
    /// Starts with the core share that the session has made, or taken in.
    pub(super) fn start(binding: &Binding, me: PartyIndex, made: Made) -> Result<(Self, Outgoing), Abort> {
        let size = made.public.size;
        let members = SignerSet::all(size);
        // the set-up is bound to the new epoch's public part, which all have just confirmed
        let context = binding.derive("limen mpc handover set-up v1", [&made.public.digest()[..]]);
        let params = SessionParams { signers: members, ..binding.params().clone() };
        let binding_of_setup = Binding::new(params, binding.purpose(), context);
        let started = match &made.core {
            Some(share) => {
                let shares = made.public.verifying_shares.clone();
                Some(dkls23::setup_for(&binding_of_setup, me, share, shares)?)
            }
            None => None,
        };
        let (keygen, outgoing) = started.map_or((None, Outgoing::default()), |(keygen, first)| (Some(keygen), first));
        let setup = Self { binding: binding.clone(), size, me, made: Some(made), keygen, unfit: None, round: 0 };
        let outgoing = setup.filled(outgoing)?;
        Ok((setup, outgoing))
    }

    fn filled(&self, outgoing: Outgoing) -> Result<Outgoing, Abort> {
        let round = ROUNDS.get(self.round).ok_or_else(|| Abort::local("the set-up has ended"))?;
        Ok(fill(outgoing, *round, &self.binding.params().signers, self.me))
    }

    pub(super) fn advance(&mut self, mut inbox: Inbox) -> Result<Advance, Abort> {
        self.round = self.round.saturating_add(1);
        let total = self.size.signers_total();
        let member = |party: PartyIndex| party.as_u8() <= total;
        drain(&mut inbox.broadcast, member)?;
        if member(self.me) {
            drain(&mut inbox.direct, member)?;
        } else {
            // whatever it is, a dealer that leaves has no use for it
            inbox.direct.clear();
        }
        let is_last = self.round == ROUNDS.len();
        if self.round > 1 {
            self.hear(&inbox)?;
        }
        let Some(keygen) = self.keygen.as_mut() else {
            return if is_last {
                self.made()?.leave().map(Advance::Done)
            } else {
                self.filled(Outgoing::default()).map(Advance::Next)
            };
        };
        match keygen.advance(inbox) {
            Ok(Advance::Next(outgoing)) => self.filled(outgoing).map(Advance::Next),
            Ok(Advance::Done(Output::Key(key))) => self.keep(*key).map(Advance::Done),
            Ok(Advance::Done(_)) => Err(Abort::local("key generation gave no key")),
            Err(abort) => self.complain(abort).map(Advance::Next),
        }
    }

    /// Names whoever sent us something wrong, if there is a round left to say so in.
    fn complain(&mut self, abort: Abort) -> Result<Outgoing, Abort> {
        match &abort.blame {
            Blame::Party { party, .. } if self.round < ROUNDS.len() => {
                let body = vec![party.as_u8()];
                self.unfit = Some(abort);
                self.filled(Outgoing::broadcast(body))
            }
            _ => Err(abort),
        }
    }

    /// Ends the run if anybody has got something wrong in the round before. A single byte is a complaint: whatever else is said in
    /// any round is longer.
    fn hear(&mut self, inbox: &Inbox) -> Result<(), Abort> {
        if let Some(abort) = self.unfit.take() {
            return Err(abort);
        }
        let signers = &self.binding.params().signers;
        let mut complaints = inbox.broadcast.iter().filter_map(|(from, body)| match body.as_slice() {
            [accused] => Some(complaint(*from, *accused, signers, self.me)),
            _ => None,
        });
        complaints.next().map_or(Ok(()), Err)
    }

    /// Joins the new core share and what was made for it.
    fn keep(&mut self, key: KeyShare) -> Result<Output, Abort> {
        let others = Blame::suspects(self.binding.params().signers.others(self.me));
        let made = self.made()?.take(key.into_setup());
        made.map_err(|_| Abort::new(others, AbortReason::InconsistentShares))
    }

    fn made(&mut self) -> Result<Made, Abort> {
        self.made.take().ok_or_else(|| Abort::local("the handover has ended"))
    }
}
