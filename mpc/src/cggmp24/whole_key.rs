//! A whole key in one session: key generation, then auxiliary information on what it made.

use std::sync::Arc;

use limen_wire::ids::PartyIndex;
use rand_core::RngCore;

use super::messages::{AUX_ROUNDS, KEYGEN_ROUNDS};
use super::{Primes, aux_info, keygen};
use crate::binding::{Binding, Purpose};
use crate::blame::Abort;
use crate::machine::{Advance, Inbox, Machine, Round, Started};
use crate::seed::Seed;
use crate::session::Output;

struct WholeKey {
    binding: Binding,
    me: PartyIndex,
    rounds: Vec<Round>,
    current: Box<dyn Machine>,
    /// What the second half starts with; gone once it has.
    second: Option<(Primes, Seed)>,
}

/// Starts key generation with the auxiliary information in the same session.
pub(crate) fn whole_key(binding: &Binding, me: PartyIndex, primes: Primes, seed: Seed) -> Result<Started, Abort> {
    let mut rng = seed.into_rng();
    let mut fresh = || {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        Seed::new(bytes)
    };
    let second = Some((primes, fresh()));
    let (current, outgoing) = keygen(binding, me, fresh())?;
    let rounds = KEYGEN_ROUNDS.into_iter().chain(AUX_ROUNDS).collect();
    Ok((Box::new(WholeKey { binding: binding.clone(), me, rounds, current, second }), outgoing))
}

impl Machine for WholeKey {
    fn rounds(&self) -> &[Round] {
        &self.rounds
    }
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort> {
        let share = match self.current.advance(inbox)? {
            Advance::Done(Output::Key(share)) if self.second.is_some() => Arc::from(share),
            other => return Ok(other),
        };
        let (primes, seed) = self.second.take().ok_or_else(|| Abort::local("the second half has begun"))?;
        // the proofs of the second half are bound to the key that the first half made
        let digest = crate::KeyShare::public(&share).digest();
        let binding = Binding::new(self.binding.params().clone(), Purpose::AuxInfo, digest);
        let (machine, outgoing) = aux_info(&binding, self.me, share, primes, seed)?;
        self.current = machine;
        Ok(Advance::Next(outgoing))
    }
}
