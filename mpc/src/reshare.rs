//! Resharing: new shares of the same key for another committee, or new ones for the same (a refresh).
//!
//! Verifiable secret redistribution: each of exactly `signers_required` old holders shares `λ_j · x_j` anew among the new
//! members, whose shares are the sums of what they get (Desmedt and Jajodia, "Redistributing secret shares to new access
//! structures and its applications", 1997), against commitments whose constant terms everyone computes from the old epoch's
//! verifying shares (Wong, Wang and Wing, "Verifiable secret redistribution for threshold sharing schemes",
//! CMU-CS-02-114, 2002, conditions SHARES-VALID and SUBSHARES-VALID).
//!
//! | round | broadcast | direct |
//! |---|---|---|
//! | 1 (made consistent) | dealers: hash of what they will open | – |
//! | 2 (made consistent) | dealers: commitments to the polynomial, proof of its constant term | – |
//! | 3 | – | dealers to new members: value of the polynomial at the receiver |
//! | 4 | hash of the new public part and of all dealings; or who sent something wrong | – |
//! | 5 and 6 (DKLs23, made consistent) | new members: commitment to, then proof of, their share | seeds and base oblivious transfers |
//! | 7 (DKLs23) | new members: hash of what they have made; or who sent something wrong | – |
//!
//! Whoever has nothing to say in a round sends empty bodies: see [`seats`].
//!
//! **Blame.** What is wrong in a broadcast all see alike, and all name its sender. A share that is wrong only its receiver has
//! seen: it names the dealer, and the others, who cannot tell, end with both named as suspects. It is no proof to third
//! parties: frames are authenticated between two parties, not signed.
//!
//! **Fairness.** Whoever stays silent, or says different things, in the last round lets some end with a share and others without, as in key
//! generation: no share is used before all new members have acknowledged its epoch.

mod core;
mod dealing;
mod import;
mod seats;
mod setup;

use limen_wire::ids::{PartyIndex, Protocol, Scheme};

use self::core::{Core, Made, Progress};
pub(crate) use self::import::import;
use self::setup::Setup;
use crate::binding::Binding;
use crate::blame::Abort;
use crate::group::{Edwards25519, Group, Secp256k1};
use crate::handover::Handover;
use crate::key::{CoreShare, ProtocolSetup};
use crate::machine::{Advance, Inbox, Machine, Outgoing, Round, Started};
use crate::seed::Seed;
use crate::session::Output;

enum Stage<G: Group> {
    Core(Box<Core<G>>),
    Setup(Box<Setup>),
    Ended,
}

struct Reshare<G: Group> {
    binding: Binding,
    me: PartyIndex,
    rounds: Vec<Round>,
    stage: Stage<G>,
}

/// Starts a reshare; `share` is the old one of a dealer.
pub(crate) fn reshare(
    binding: &Binding,
    handover: &Handover,
    me: PartyIndex,
    share: Option<&CoreShare>,
    seed: Seed,
) -> Result<Started, Abort> {
    match binding.params().scheme {
        Scheme::EddsaEd25519 => start::<Edwards25519>(binding, handover, me, share, seed),
        Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => start::<Secp256k1>(binding, handover, me, share, seed),
        Scheme::EcdsaP256 => Err(Abort::local("there are no shares of a P-256 key")),
    }
}

fn start<G: Group>(
    binding: &Binding,
    handover: &Handover,
    me: PartyIndex,
    share: Option<&CoreShare>,
    seed: Seed,
) -> Result<Started, Abort> {
    // two dealings from the same coefficients would give the share away
    let (core, outgoing) = Core::<G>::start(binding, handover, me, share, seed.of_run(binding, me))?;
    let mut rounds = core::ROUNDS.to_vec();
    if handover.next().protocol == Protocol::Dkls23 {
        rounds.extend(setup::ROUNDS);
    }
    let stage = Stage::Core(Box::new(core));
    Ok((Box::new(Reshare { binding: binding.clone(), me, rounds, stage }), outgoing))
}

impl<G: Group> Machine for Reshare<G> {
    fn rounds(&self) -> &[Round] {
        &self.rounds
    }
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort> {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Core(mut core) => match core.advance(inbox)? {
                Progress::Next(outgoing) => {
                    self.stage = Stage::Core(core);
                    Ok(Advance::Next(outgoing))
                }
                Progress::Made(made) => match equip(&self.binding, self.me, made)? {
                    Equipped::Done(output) => Ok(Advance::Done(output)),
                    Equipped::Setup(setup, outgoing) => {
                        self.stage = Stage::Setup(setup);
                        Ok(Advance::Next(outgoing))
                    }
                },
            },
            Stage::Setup(mut setup) => {
                let advance = setup.advance(inbox)?;
                self.stage = Stage::Setup(setup);
                Ok(advance)
            }
            Stage::Ended => Err(Abort::local("the handover has ended")),
        }
    }
}

/// What is left to do once all have confirmed the new core shares.
enum Equipped {
    Done(Output),
    Setup(Box<Setup>, Outgoing),
}

/// Gives a new core share the set-up that its protocol wants. That of CGGMP24 is a session of its own.
fn equip(binding: &Binding, me: PartyIndex, made: Made) -> Result<Equipped, Abort> {
    let setup = match made.public.protocol {
        Protocol::Dkls23 => {
            let (setup, outgoing) = Setup::start(binding, me, made)?;
            return Ok(Equipped::Setup(Box::new(setup), outgoing));
        }
        Protocol::Cggmp24 => ProtocolSetup::Cggmp24(None),
        Protocol::Frost => ProtocolSetup::None,
        Protocol::Hsm => return Err(Abort::local("a key in one token has no shares to hand over")),
    };
    let output = match made.core {
        Some(_) => made.take(setup).map_err(|error| Abort::local(error.to_string())),
        None => made.leave(),
    };
    output.map(Equipped::Done)
}
