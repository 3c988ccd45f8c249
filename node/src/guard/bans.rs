//! Pairs of signers that are banned, and what they may do together after the charter has lifted that.

use std::collections::{BTreeMap, BTreeSet};

use limen_policy::charter::Charter;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Epoch, KeyId, NodeId, PartyIndex, SessionId};

use super::{JournalView, KeyFacts, SignCall};

/// Why a peer is banned here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// The session in which it failed a check.
    pub session: SessionId,
    /// The newest epoch of each key for which a set-up with it may have been made before.
    pub tainted: BTreeMap<KeyId, Epoch>,
}

/// Bans that the charter has lifted, by session, as a permission found them.
pub type Lifted = BTreeSet<SessionId>;

/// What two signers meet for.
#[derive(Debug, Clone, Copy)]
enum Meeting<'a> {
    /// To make everything that they share anew.
    NewSetUp,
    /// To use shares that there are, with what was set up for them.
    Shares(&'a KeyFacts),
}

/// Whether this node may meet these: the bans that are lifted, or why not. Names of this node itself among them do no harm.
fn check_pairs<'a, V: JournalView>(
    view: &V,
    (charter, me): (&Charter, &NodeId),
    others: impl IntoIterator<Item = &'a NodeId>,
    meeting: Meeting<'_>,
) -> Result<Result<Lifted, ApiError>, V::Error> {
    let mut lifted = Lifted::new();
    for node in others {
        let Some(ban) = view.ban(node)? else { continue };
        if !charter.readmits([me, node], &ban.session) {
            let message = format!("this signer and {node} are a banned pair, since session {}", ban.session);
            return Ok(Err(ApiError::new(Code::PeerBanned, message)));
        }
        if let Meeting::Shares(facts) = meeting
            && let (key, epoch) = (&facts.public.key, facts.public.epoch)
            && ban.tainted.get(key).is_some_and(|tainted| epoch <= *tainted)
        {
            let message = format!(
                "this signer and {node} were banned from each other, and the shares of key {key}, epoch {epoch}, are from before: \
                 they meet with new ones, so refresh the key"
            );
            return Ok(Err(ApiError::new(Code::PeerBanned, message)));
        }
        lifted.insert(ban.session);
    }
    Ok(Ok(lifted))
}

/// The same for those who make shares together: all of these, of whom this node is one.
pub(super) fn check_parties<V: JournalView>(
    view: &V,
    charter: &Charter,
    (parties, me): (&[NodeId], PartyIndex),
) -> Result<Result<Lifted, ApiError>, V::Error> {
    let Some(me) = usize::from(me.as_u8()).checked_sub(1).and_then(|place| parties.get(place)) else {
        let message = format!("this signer is number {me} of {} parties", parties.len());
        return Ok(Err(ApiError::new(Code::Internal, message)));
    };
    check_pairs(view, (charter, me), parties, Meeting::NewSetUp)
}

/// The same for the other members of a signer set.
pub(super) fn check_signers<V: JournalView>(
    view: &V,
    charter: &Charter,
    (facts, call): (&KeyFacts, &SignCall),
) -> Result<Result<Lifted, ApiError>, V::Error> {
    let Some(me) = facts.node_at(facts.me) else {
        let message = format!("this signer is no member of key {}", facts.public.key);
        return Ok(Err(ApiError::new(Code::BadSignerSet, message)));
    };
    let others = call.signers.others(facts.me).filter_map(|party| facts.node_at(party));
    check_pairs(view, (charter, me), others.collect::<Vec<_>>(), Meeting::Shares(facts))
}
