//! Auxiliary information: each party's Paillier and ring-Pedersen keys with their proofs (CGGMP24, figure 7).

use std::collections::BTreeMap;
use std::sync::Arc;

use cggmp24::ExecutionId;
use cggmp24::backend::Integer;
use cggmp24::key_refresh::KeyRefreshError;
use cggmp24::key_share::AuxInfo;
use limen_wire::ids::PartyIndex;

use super::driver::{Progress, Run, position};
use super::messages::{AUX_ROUNDS, AuxMessage};
use super::modulus::{check_bases, check_modulus};
use super::{Level, Primes, Setup};
use crate::binding::Binding;
use crate::blame::{Abort, AbortReason, Action, Blame};
use crate::key::{KeyShare, ProtocolSetup};
use crate::machine::{Advance, Inbox, Machine, Round, Started};
use crate::seed::Seed;
use crate::session::Output;

struct Aux {
    key: Arc<KeyShare>,
    me: PartyIndex,
    binding: Binding,
    run: Run<AuxMessage, AuxInfo<Level>, KeyRefreshError>,
}

/// Starts making the auxiliary information for `key`, with fresh `primes` that nothing else uses.
pub(crate) fn aux_info(
    binding: &Binding,
    me: PartyIndex,
    key: Arc<KeyShare>,
    primes: Primes,
    seed: Seed,
) -> Result<Started, Abort> {
    let signers = &binding.params().signers;
    let n = u16::from(binding.params().size.signers_total());
    let (i, id, mut rng) = (position(signers, me)?, *binding.digest(), seed.into_rng());
    let mut moduli = Moduli::with_own(me, &primes);
    let check = Box::new(move |from, message: &AuxMessage| moduli.check(from, message));
    let mut run = Run::new(me, signers, check, |party| async move {
        let builder = cggmp24::aux_info_gen(ExecutionId::new(&id), i, n, primes.into_library());
        Box::pin(builder.enforce_reliable_broadcast(false).start(&mut rng, party)).await
    });
    match run.poll()? {
        Progress::Send(outgoing) => Ok((Box::new(Aux { key, me, binding: binding.clone(), run }), outgoing)),
        Progress::Done(_) => Err(Abort::local("auxiliary information ended before it began")),
    }
}

impl Machine for Aux {
    fn rounds(&self) -> &[Round] {
        &AUX_ROUNDS
    }
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort> {
        match self.run.advance(&inbox)? {
            Progress::Send(outgoing) => Ok(Advance::Next(outgoing)),
            Progress::Done(aux) => {
                let setup = ProtocolSetup::Cggmp24(Some(Box::new(Setup::new(aux))));
                let share = self.key.with_setup(setup).map_err(|_| {
                    let suspects = Blame::suspects(self.binding.params().signers.others(self.me));
                    Abort::new(suspects, AbortReason::InconsistentShares)
                })?;
                Ok(Advance::Done(Output::Key(Box::new(share))))
            }
        }
    }
}

/// Every modulus of the session: no two may be the same, or one party would know another's factors.
struct Moduli {
    known: Vec<Integer>,
    paillier: BTreeMap<PartyIndex, Integer>,
}

impl Moduli {
    fn with_own(me: PartyIndex, primes: &Primes) -> Self {
        let (paillier, pedersen) = primes.moduli();
        Self { known: vec![paillier.clone(), pedersen], paillier: BTreeMap::from([(me, paillier)]) }
    }

    fn check(&mut self, from: PartyIndex, message: &AuxMessage) -> Result<(), Abort> {
        let refuse = |what| Abort::new(Blame::party(from, Action::Replace), AbortReason::Proof { from, what });
        match message {
            AuxMessage::Round2(opening) => {
                for modulus in [&opening.N, &opening.hat_N] {
                    check_modulus(modulus).map_err(refuse)?;
                    if self.known.contains(modulus) {
                        return Err(refuse("modulus that is another's or used twice"));
                    }
                    self.known.push(modulus.clone());
                }
                check_bases(&opening.hat_N, &opening.s, &opening.t).map_err(refuse)?;
                self.paillier.insert(from, opening.N.clone());
                Ok(())
            }
            AuxMessage::Round3(proofs) => {
                let modulus =
                    self.paillier.get(&from).ok_or_else(|| Abort::malformed(from, "proof without modulus"))?;
                // figure 16 lets the prover choose w; with a Jacobi symbol of 1 a modulus of other shape could pass
                let w = &proofs.mod_proof.commitment.w;
                if w.cmp0().is_le() || w >= modulus || w.jacobi(modulus) != -1 {
                    return Err(refuse("Paillier modulus of two primes"));
                }
                Ok(())
            }
            AuxMessage::Round1(_) | AuxMessage::ReliabilityCheck(_) => Ok(()),
        }
    }
}
