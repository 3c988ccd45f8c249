//! Importing a key that was dealt outside: the members' core shares come from a dealing in place of a reshare's dealers, and everything
//! after that is the same.
//!
//! | round | broadcast |
//! |---|---|
//! | 1 (made consistent) | hash of the public part, by whoever has checked its share against it |
//! | 2 to 4 (DKLs23) | the set-up, as in a reshare |

use limen_wire::ids::{PartyIndex, Protocol};

use super::core::Made;
use super::setup::{self, Setup};
use super::{Equipped, equip};
use crate::binding::Binding;
use crate::blame::{Abort, AbortReason, Action, Blame};
use crate::dealt::Dealing;
use crate::key::CoreShare;
use crate::machine::{Advance, Inbox, Machine, Outgoing, Round, Started};

const CONFIRMATION: Round = Round { broadcast: 32, direct: 0, echo: true };

enum Stage {
    Confirm(Made),
    Setup(Box<Setup>),
    Ended,
}

struct Import {
    binding: Binding,
    me: PartyIndex,
    rounds: Vec<Round>,
    expected: [u8; 32],
    stage: Stage,
}

/// Starts an import; `core` was checked against `dealing`.
pub(crate) fn import(binding: &Binding, dealing: &Dealing, me: PartyIndex, core: CoreShare) -> Result<Started, Abort> {
    let public = dealing.public().clone();
    let expected = binding.derive("limen mpc import confirmation v1", [&dealing.context()[..]]);
    let mut rounds = vec![CONFIRMATION];
    if public.protocol == Protocol::Dkls23 {
        rounds.extend(setup::ROUNDS);
    }
    let stage = Stage::Confirm(Made { public, core: Some(core) });
    let machine = Import { binding: binding.clone(), me, rounds, expected, stage };
    Ok((Box::new(machine), Outgoing::broadcast(expected.to_vec())))
}

impl Machine for Import {
    fn rounds(&self) -> &[Round] {
        &self.rounds
    }
    fn advance(&mut self, inbox: Inbox) -> Result<Advance, Abort> {
        match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Confirm(made) => self.confirm(made, &inbox),
            Stage::Setup(mut setup) => {
                let advance = setup.advance(inbox)?;
                self.stage = Stage::Setup(setup);
                Ok(advance)
            }
            Stage::Ended => Err(Abort::local("the import has ended")),
        }
    }
}

impl Import {
    /// All must hold a share of the same dealing before anything is made for it.
    fn confirm(&mut self, made: Made, inbox: &Inbox) -> Result<Advance, Abort> {
        if let Some((from, _)) = inbox.broadcast.iter().find(|(_, body)| body.as_slice() != self.expected) {
            let reason = AbortReason::KeyConfirmation { from: *from };
            return Err(Abort::new(Blame::party(*from, Action::Replace), reason));
        }
        match equip(&self.binding, self.me, made)? {
            Equipped::Done(output) => Ok(Advance::Done(output)),
            Equipped::Setup(setup, outgoing) => {
                self.stage = Stage::Setup(setup);
                Ok(Advance::Next(outgoing))
            }
        }
    }
}
