//! The wholly new DKLs23 set-up of the new committee, in the same session.
//!
//! Oblivious transfers and zero-share seeds depend on nothing but the session and the pair of parties, so they are those of a
//! key generation among the new members (ePrint 2023/602, protocol 9.1, which initialises functionalities 3.4 and 3.5 of
//! ePrint 2023/765) whose key is thrown away. Nothing of an old set-up is used, so what a banned party has learned of one is
//! worth nothing with the new one; that it has no seat in the new committee is the caller's rule.

use limen_wire::ids::{PartyIndex, SignerSet};

use super::core::Made;
use super::seats::{drain, fill};
use crate::binding::{Binding, Purpose, SessionParams};
use crate::blame::{Abort, AbortReason, Blame};
use crate::dkls23;
use crate::handover::Handover;
use crate::key::KeyShare;
use crate::machine::{Advance, Inbox, Machine, Outgoing, Round};
use crate::seed::Seed;
use crate::session::Output;

/// The rounds.
pub(super) const ROUNDS: [Round; 4] = dkls23::KEYGEN_ROUNDS;

/// One party's part in making the set-up.
pub(super) struct Setup {
    binding: Binding,
    handover: Handover,
    me: PartyIndex,
    made: Option<Made>,
    /// The key generation; a dealer that leaves has none.
    keygen: Option<Box<dyn Machine>>,
    /// Rounds that are complete.
    round: usize,
}

impl Setup {
    /// Starts with the core share that the session has made.
    pub(super) fn start(
        binding: &Binding,
        handover: &Handover,
        me: PartyIndex,
        made: Made,
        seed: Seed,
    ) -> Result<(Self, Outgoing), Abort> {
        let members = SignerSet::all(handover.next().size);
        // the set-up is bound to the new epoch's public part, which all have just confirmed
        let context = binding.derive("limen mpc handover set-up v1", [&made.public.digest()[..]]);
        let params = SessionParams { signers: members, ..binding.params().clone() };
        let (keygen, outgoing) = if handover.is_member(me) {
            let (keygen, outgoing) = dkls23::keygen(&Binding::new(params, Purpose::Reshare, context), me, seed)?;
            (Some(keygen), outgoing)
        } else {
            (None, Outgoing::default())
        };
        let setup =
            Self { binding: binding.clone(), handover: handover.clone(), me, made: Some(made), keygen, round: 0 };
        let outgoing = setup.filled(outgoing)?;
        Ok((setup, outgoing))
    }

    fn filled(&self, outgoing: Outgoing) -> Result<Outgoing, Abort> {
        let round = ROUNDS.get(self.round).ok_or_else(|| Abort::local("the set-up has ended"))?;
        Ok(fill(outgoing, *round, &self.binding.params().signers, self.me))
    }

    pub(super) fn advance(&mut self, mut inbox: Inbox) -> Result<Advance, Abort> {
        self.round = self.round.saturating_add(1);
        let member = |party| self.handover.is_member(party);
        drain(&mut inbox.broadcast, member)?;
        drain(&mut inbox.direct, |from| member(from) && member(self.me))?;
        let Some(keygen) = self.keygen.as_mut() else {
            return if self.round < ROUNDS.len() {
                self.filled(Outgoing::default()).map(Advance::Next)
            } else {
                self.made()?.leave().map(Advance::Done)
            };
        };
        match keygen.advance(inbox)? {
            Advance::Next(outgoing) => self.filled(outgoing).map(Advance::Next),
            Advance::Done(Output::Key(key)) => self.keep(*key).map(Advance::Done),
            Advance::Done(_) => Err(Abort::local("key generation gave no key")),
        }
    }

    /// Joins the new core share and the set-up of the key that goes.
    fn keep(&mut self, key: KeyShare) -> Result<Output, Abort> {
        let others = Blame::suspects(self.binding.params().signers.others(self.me));
        let made = self.made()?.take(key.into_setup());
        made.map_err(|_| Abort::new(others, AbortReason::InconsistentShares))
    }

    fn made(&mut self) -> Result<Made, Abort> {
        self.made.take().ok_or_else(|| Abort::local("the handover has ended"))
    }
}
