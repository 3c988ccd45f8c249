//! Why a session ended without a result, whose fault it is, and what to do about it.

use std::collections::BTreeSet;

use limen_wire::ids::PartyIndex;

/// What to do about a party that is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Try again, also with this party: nothing shows ill will.
    Retry,
    /// Try again without this party.
    Replace,
    /// Never run a protocol with this party again, for any key: continuing leaks the share (DKLs23, ePrint 2023/765,
    /// section 3.3: the oblivious transfer set-up is reused). The caller stores the ban durably before it does anything else.
    Ban,
}

/// Whose fault an abort is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blame {
    /// No party: bad luck, or our own state.
    Nobody,
    /// At least one of these, and the protocol cannot tell which. Nobody is banned on suspicion; signer sets are rotated.
    Suspects(BTreeSet<PartyIndex>),
    /// One party, by evidence that this signer saw itself.
    Party {
        /// The culprit.
        party: PartyIndex,
        /// What to do.
        action: Action,
    },
}

impl Blame {
    /// Blames one party.
    pub const fn party(party: PartyIndex, action: Action) -> Self {
        Self::Party { party, action }
    }
    /// Suspects several parties; nobody if there are none, and the one if there is only one.
    pub fn suspects(parties: impl IntoIterator<Item = PartyIndex>) -> Self {
        let set: BTreeSet<_> = parties.into_iter().collect();
        match (set.first(), set.len()) {
            (None, _) => Self::Nobody,
            (Some(party), 1) => Self::party(*party, Action::Replace),
            _ => Self::Suspects(set),
        }
    }
    /// Whether the party is named, as culprit or suspect.
    pub fn names(&self, party: PartyIndex) -> bool {
        match self {
            Self::Nobody => false,
            Self::Suspects(set) => set.contains(&party),
            Self::Party { party: culprit, .. } => *culprit == party,
        }
    }
}

/// Why a session was aborted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AbortReason {
    /// A body that does not decode to the round's message, or a field of it that is out of range.
    #[error("party {from} sent a malformed {what}")]
    Malformed {
        /// The sender.
        from: PartyIndex,
        /// Which message or field.
        what: &'static str,
    },
    /// Two different frames for the same place, both sent by the same party.
    #[error("party {from} sent two different messages for round {round}")]
    Equivocation {
        /// The sender.
        from: PartyIndex,
        /// The round.
        round: u8,
    },
    /// What one party broadcast reached another differently: either of the two lies.
    #[error("the broadcast of party {broadcaster} in round {round} reached party {witness} differently")]
    BroadcastDiffers {
        /// Whose broadcast.
        broadcaster: PartyIndex,
        /// Who reports another value.
        witness: PartyIndex,
        /// The round of the broadcast.
        round: u8,
    },
    /// A commitment was opened to another value, or a value changed after it was committed.
    #[error("party {from} did not keep to its commitment")]
    Commitment {
        /// The sender.
        from: PartyIndex,
    },
    /// Two parties sent the same commitment: one of them copied the other's.
    #[error("parties {one} and {other} sent the same commitment")]
    CopiedCommitment {
        /// One of them.
        one: PartyIndex,
        /// The other.
        other: PartyIndex,
    },
    /// A proof does not verify.
    #[error("a proof of party {from} does not verify ({what})")]
    Proof {
        /// The sender.
        from: PartyIndex,
        /// Which proof.
        what: &'static str,
    },
    /// A check of the oblivious transfer or multiplication failed (DKLs23).
    #[error("the multiplication check with party {from} failed")]
    Multiplication {
        /// The sender.
        from: PartyIndex,
    },
    /// Shares or public shares do not lie on one polynomial of the right degree.
    #[error("the shares are not consistent with one key")]
    InconsistentShares,
    /// A party dealt a share that does not lie on the polynomial it had committed to.
    #[error("party {from} dealt a share that is not on its polynomial")]
    DealtShare {
        /// The sender.
        from: PartyIndex,
    },
    /// A receiver says that a dealer's message to it is not what the dealer has committed to. Nobody else has seen that
    /// message, so either of the two lies.
    #[error("party {receiver} says that what party {dealer} dealt it is wrong")]
    DealtShareDisputed {
        /// Who dealt.
        dealer: PartyIndex,
        /// Who complains.
        receiver: PartyIndex,
    },
    /// A party's shares of this session disagree with the key's public shares.
    #[error("party {from} used a share that is not the one of this key and epoch")]
    WrongShare {
        /// The sender.
        from: PartyIndex,
    },
    /// The party's view of the protocol's own session binding differs: it runs another session or holds another set-up.
    #[error("party {from} runs another session or holds another set-up")]
    SetupMismatch {
        /// The sender.
        from: PartyIndex,
    },
    /// The parties do not agree on the key that was made.
    #[error("party {from} confirms another key")]
    KeyConfirmation {
        /// The sender.
        from: PartyIndex,
    },
    /// The parties do not agree on the nonce point of the signature.
    #[error("party {from} sees another nonce point")]
    NonceDiffers {
        /// The sender.
        from: PartyIndex,
    },
    /// A party's signature share is wrong.
    #[error("the signature share of party {from} is wrong")]
    SignatureShare {
        /// The sender.
        from: PartyIndex,
    },
    /// The assembled signature does not verify.
    #[error("the assembled signature does not verify")]
    BadSignature,
    /// Our own key material or state is damaged.
    #[error("own state is unusable: {0}")]
    LocalState(String),
}

/// The end of a session without a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("session aborted: {reason}")]
pub struct Abort {
    /// Whose fault.
    pub blame: Blame,
    /// Why.
    pub reason: AbortReason,
}

impl Abort {
    pub(crate) fn new(blame: Blame, reason: AbortReason) -> Self {
        Self { blame, reason }
    }
    pub(crate) fn malformed(from: PartyIndex, what: &'static str) -> Self {
        Self::new(Blame::party(from, Action::Replace), AbortReason::Malformed { from, what })
    }
    pub(crate) fn local(what: impl Into<String>) -> Self {
        Self::new(Blame::Nobody, AbortReason::LocalState(what.into()))
    }
}
