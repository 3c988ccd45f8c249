//! Who hands a key over to whom: what a reshare is bound to, checked before a session of it can start.
//!
//! The parties of the session are the new committee and those of the old one that deal. The new members keep their numbers,
//! `1..=signers_total`; dealers that leave come after them, in the order of their old numbers. So a new member's number in
//! the session is the x-coordinate of its new share, and a dealer that stays is one party, not two.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::{
    CommitteeSize, Epoch, IdError, IntentId, PartyIndex, Protocol, SessionId, SignerSet, tagged_hash,
};

use crate::binding::SessionParams;
use crate::key::{ImportError, KeyPublic};

/// What a key becomes. Scheme, public key and chain code stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Succession {
    /// The generation of the new shares; greater than the old one.
    pub epoch: Epoch,
    /// The protocol that signs with them.
    pub protocol: Protocol,
    /// The new committee.
    pub size: CommitteeSize,
}

/// Why a handover cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    /// The old key's public part does not hold together.
    #[error("handing a key over: its present public part is unusable")]
    Old(#[from] ImportError),
    /// The new epoch is not after the old one.
    #[error("handing a key over: epoch {new} does not come after epoch {old}, take a greater one")]
    Epoch {
        /// The epoch of the present shares.
        old: Epoch,
        /// The one asked for.
        new: Epoch,
    },
    /// The new protocol has no shares or does not sign for the key's scheme, or the old one has none to hand over.
    #[error("handing a key over: from {old} to {new} nothing can be handed over for this scheme")]
    Protocol {
        /// The protocol of the present shares.
        old: Protocol,
        /// The one asked for.
        new: Protocol,
    },
    /// The new committee has a size that no threshold key has.
    #[error("handing a key over: {0} is no size of a threshold key")]
    Size(CommitteeSize),
    /// Too few or too many deal: exactly as many as the old committee needs to sign have to.
    #[error("handing a key over: {found} dealers are named, exactly {needed} of the old committee deal")]
    Dealers {
        /// As many as the old committee needs to sign.
        needed: u8,
        /// As many as were named.
        found: usize,
    },
    /// A dealer is not of the old committee.
    #[error("handing a key over: party {0} holds no share of the present epoch")]
    NotAHolder(PartyIndex),
    /// A dealer's place in the new committee does not exist, or is another dealer's.
    #[error("handing a key over: place {0} does not exist in the new committee, or two dealers are to take it")]
    Place(PartyIndex),
    /// Dealers and new members together are more than one session has room for.
    #[error("handing a key over: dealers and new members are too many for one session, let members deal that stay")]
    TooMany(#[from] IdError),
}

/// One change of a key's shares: from the holders of one epoch to the committee of a later one. Equal on all parties of the
/// session, or their frames do not mix. With an equal committee it is a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    old: KeyPublic,
    next: Succession,
    /// The number in the old committee of each party of the session that deals.
    dealers: BTreeMap<PartyIndex, PartyIndex>,
    signers: SignerSet,
}

impl Handover {
    /// Checks that `old` holds together and that exactly as many of its committee deal as it needs to sign. `dealers` gives
    /// for the old number of each the place that it takes in the new committee, `None` if it leaves.
    ///
    /// Whether `old` is the key's present epoch cannot be seen here: the caller takes it from what its cluster certified,
    /// never from a peer.
    pub fn new(
        old: KeyPublic,
        next: Succession,
        dealers: &BTreeMap<PartyIndex, Option<PartyIndex>>,
    ) -> Result<Self, HandoverError> {
        old.validate()?;
        if next.epoch <= old.epoch {
            return Err(HandoverError::Epoch { old: old.epoch, new: next.epoch });
        }
        if !old.protocol.is_threshold() || !next.protocol.is_threshold() || !next.protocol.supports(old.scheme) {
            return Err(HandoverError::Protocol { old: old.protocol, new: next.protocol });
        }
        if next.size == CommitteeSize::ALONE {
            return Err(HandoverError::Size(next.size));
        }
        let needed = old.size.signers_required();
        if dealers.len() != usize::from(needed) {
            return Err(HandoverError::Dealers { needed, found: dealers.len() });
        }
        let total = next.size.signers_total();
        let (mut by_party, mut leavers) = (BTreeMap::new(), u16::from(total));
        for (holder, place) in dealers {
            old.verifying_share(*holder).ok_or(HandoverError::NotAHolder(*holder))?;
            let party = match place {
                Some(place) if place.as_u8() <= total => *place,
                Some(place) => return Err(HandoverError::Place(*place)),
                None => {
                    leavers = leavers.saturating_add(1);
                    PartyIndex::new(leavers)?
                }
            };
            if by_party.insert(party, *holder).is_some() {
                return Err(HandoverError::Place(party));
            }
        }
        let members = SignerSet::all(next.size);
        let parties: BTreeSet<_> = members.parties().iter().chain(by_party.keys()).copied().collect();
        let signers = SignerSet::new(parties.into_iter().collect())?;
        Ok(Self { old, next, dealers: by_party, signers })
    }

    /// The public part of the epoch that is handed over.
    pub fn old(&self) -> &KeyPublic {
        &self.old
    }
    /// What the key becomes.
    pub fn next(&self) -> Succession {
        self.next
    }
    /// The number in the session of a dealer, by its number in the old committee. A new member's is its new number.
    pub fn party_of_dealer(&self, holder: PartyIndex) -> Option<PartyIndex> {
        self.dealers.iter().find(|(_, old)| **old == holder).map(|(party, _)| *party)
    }
    /// The parameters of run `session`, authorised by `intent`: those of the new epoch, among all parties.
    pub fn params(&self, session: SessionId, intent: IntentId) -> SessionParams {
        SessionParams {
            cluster: self.old.cluster.clone(),
            key: self.old.key.clone(),
            epoch: self.next.epoch,
            scheme: self.old.scheme,
            protocol: self.next.protocol,
            size: self.next.size,
            signers: self.signers.clone(),
            session,
            intent,
        }
    }
    /// Hash over what is not in the session's parameters: the old epoch and who deals with which share of it.
    pub(crate) fn context(&self) -> [u8; 32] {
        let dealers: Vec<u8> =
            self.dealers.iter().flat_map(|(party, holder)| [party.as_u8(), holder.as_u8()]).collect();
        tagged_hash("limen mpc handover context v1", [&self.old.digest()[..], &dealers])
    }
    /// The number in the old committee of a party of the session, if it deals.
    pub(crate) fn holder(&self, party: PartyIndex) -> Option<PartyIndex> {
        self.dealers.get(&party).copied()
    }
    /// The parties that deal, with their numbers in the old committee.
    pub(crate) fn dealers(&self) -> &BTreeMap<PartyIndex, PartyIndex> {
        &self.dealers
    }
    /// Whether a party of the session is of the new committee.
    pub(crate) fn is_member(&self, party: PartyIndex) -> bool {
        party.as_u8() <= self.next.size.signers_total()
    }
}
