//! Rounds in which not every party has something to say: what it does not have to say it says with empty bodies, so that
//! the session's rules, one frame of each kind from each to each and echoes over all, hold for this session as for others.

use std::collections::BTreeMap;

use limen_wire::ids::{PartyIndex, SignerSet};
use zeroize::Zeroizing;

use crate::blame::{Abort, AbortReason, Blame};
use crate::machine::{Outgoing, Round};

/// Adds the empty bodies that `round` wants from us.
pub(super) fn fill(mut outgoing: Outgoing, round: Round, signers: &SignerSet, me: PartyIndex) -> Outgoing {
    if round.broadcast > 0 {
        outgoing.broadcast.get_or_insert_default();
    }
    if round.direct > 0 {
        for party in signers.others(me) {
            outgoing.direct.entry(party).or_default();
        }
    }
    outgoing
}

/// Takes the bodies of those who have nothing to say out of a round; says who said something all the same.
pub(super) fn drain(
    bodies: &mut BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>,
    speaks: impl Fn(PartyIndex) -> bool,
) -> Result<(), Abort> {
    match bodies.iter().find(|(from, body)| !speaks(**from) && !body.is_empty()) {
        Some((from, _)) => Err(Abort::malformed(*from, "message of a round in which it has no part")),
        None => {
            bodies.retain(|from, _| speaks(*from));
            Ok(())
        }
    }
}

/// A complaint: one byte that names who sent its sender something wrong, which nobody else has seen. Either of the two lies,
/// and each knows that of itself.
pub(super) fn complaint(from: PartyIndex, accused: u8, signers: &SignerSet, me: PartyIndex) -> Abort {
    let accused = PartyIndex::new(accused.into()).ok();
    let Some(dealer) = accused.filter(|party| *party != from && signers.contains(*party)) else {
        return Abort::malformed(from, "complaint");
    };
    let suspects = [dealer, from].into_iter().filter(|party| *party != me);
    Abort::new(Blame::suspects(suspects), AbortReason::DealtShareDisputed { dealer, receiver: from })
}
