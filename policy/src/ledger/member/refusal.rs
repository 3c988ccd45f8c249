//! Why a member does not do what it is asked.

use limen_wire::ids::{CharterHash, CommitteeHash, EntryHash, IntentId};

use crate::ledger::book::Misfit;
use crate::ledger::release::ReleaseError;

/// Why a member refuses. A refusal changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Of another ledger or committee.
    #[error("the entry is not for committee {0}")]
    OtherCommittee(CommitteeHash),
    /// This committee has ended.
    #[error("the ledger has been sealed: its successor goes on")]
    Sealed,
    /// The number is decided.
    #[error("number {head} is certified already: propose the one after it")]
    Certified {
        /// The last certified number known.
        head: u64,
    },
    /// The number is this member's for something else.
    #[error("number {number} is acknowledged for entry {hash}: have it certified, or close the number")]
    Taken {
        /// The number.
        number: u64,
        /// What it went to.
        hash: EntryHash,
    },
    /// The number is given up.
    #[error("every number through {through} is given up: settle them at a later one")]
    Closed {
        /// The last of them.
        through: u64,
    },
    /// It does not know the entry's base.
    #[error("the last certificate known here is of number {head}: show those after it first")]
    Behind {
        /// The last certified number known.
        head: u64,
    },
    /// Two certificates for one number, or closings that hide one: more than f members lie.
    #[error(
        "the certified entry {number} is contradicted: more members are corrupt than the charter allows for. \
         Stop and compare the members' ledgers"
    )]
    Forked {
        /// Where.
        number: u64,
    },
    /// The entry's time is not now.
    #[error("the entry is dated {time_ms} ms, it is {now_ms} ms: more than 30 seconds apart")]
    Skewed {
        /// The entry's time.
        time_ms: u64,
        /// The member's clock.
        now_ms: u64,
    },
    /// The entry's time is before its predecessor's.
    #[error("the entry is dated {time_ms} ms, before its predecessor at {head_ms} ms")]
    Backdated {
        /// The entry's time.
        time_ms: u64,
        /// The predecessor's.
        head_ms: u64,
    },
    /// Reservations that end at another time than the charter says.
    #[error("the entry's reservations end at {found_ms} ms, by the charter they end at {expected_ms} ms")]
    Lifetime {
        /// The entry's.
        found_ms: u64,
        /// The charter's.
        expected_ms: u64,
    },
    /// Judged by other rules.
    #[error("the entry is judged by charter {found}, the newest accepted here is {expected}")]
    OtherCharter {
        /// The entry's.
        found: CharterHash,
        /// The member's.
        expected: CharterHash,
    },
    /// A request that the member cannot judge.
    #[error("what {intent} takes cannot be computed: {reason}")]
    CannotRecompute {
        /// The request.
        intent: IntentId,
        /// The judge's reason.
        reason: String,
    },
    /// Other charges than the bytes have.
    #[error("the entry claims other charges for {0} than its bytes have")]
    OtherCharges(IntentId),
    /// Nothing attests what something is worth.
    #[error("the entry's prices cannot be told: {0}")]
    NoPrices(String),
    /// Other prices than those that are attested.
    #[error("the entry's prices are [{found}], attested for its requests is [{expected}]")]
    OtherPrices {
        /// The entry's.
        found: String,
        /// The member's.
        expected: String,
    },
    /// A request that the guard refuses.
    #[error("{intent} would not be allowed: {reason}")]
    NotAllowed {
        /// The request.
        intent: IntentId,
        /// The guard's reason.
        reason: String,
    },
    /// A limit or a scope of count 1.
    #[error(transparent)]
    Misfit(#[from] Misfit),
    /// Evidence for a release.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// A release of nothing.
    #[error("{0} does not count here: there is nothing to release")]
    NothingToRelease(IntentId),
    /// A seal for somebody whom the charter does not name.
    #[error("the charter does not name {0} as the next committee of this ledger")]
    NotSuccessor(CommitteeHash),
    /// A seal over something else.
    #[error("the seal is over another book than this member's: seal the one that the certified entries give")]
    OtherBook,
    /// Numbers far beyond everything seen.
    #[error("closing through {through} was asked, through {limit} is possible in one step")]
    TooFarAhead {
        /// Asked.
        through: u64,
        /// Possible.
        limit: u64,
    },
}
