//! What a claim counts against: limits of the charter, and things that can be spent once.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::ids::{LimitId, RequesterId};
use limen_wire::{limits, pb};
use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::{MAX_SKEW_MS, MAX_WINDOW_SECS};

/// Where something counts. The order is that of charges in a claim.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// A limit of the charter, by amount and count over a rolling window.
    Limit {
        /// Its name in the charter.
        name: String,
        /// For whom or what it counts separately; empty where it counts for all.
        subject: String,
    },
    /// A requester's own name for a request: once, for ever.
    Idempotency {
        /// The requester.
        requester: RequesterId,
        /// The key.
        key: String,
    },
    /// A sequence number of an account: once, and again for what replaces it by name.
    Nonce {
        /// The chain.
        chain: ChainId,
        /// The account.
        account: Address,
        /// The number.
        number: u64,
    },
    /// An unspent output: once, and again for what replaces it by name.
    Input {
        /// The chain.
        chain: ChainId,
        /// Hash of the transaction that made it.
        transaction: [u8; 32],
        /// Its place in that transaction.
        index: u32,
    },
    /// A limit of the charter that no window ends: a lifetime cap, or a ceiling. What counts here is remembered for ever.
    Lasting {
        /// Its name in the charter.
        name: String,
        /// For whom or what it counts separately; empty where it counts for all.
        subject: String,
    },
}

/// What one request takes, by scope: an amount in a limit's unit, zero in every scope of count 1.
pub type Charges = BTreeMap<Scope, Amount>;

/// Why charges are not well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A field of a scope.
    #[error("the {field} of a ledger scope is not valid: {reason}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Scopes out of order, twice, or too many.
    #[error("a claim has 1 to {} charges in strictly increasing order of their scopes", limits::LEDGER_CHARGES)]
    Order,
    /// An amount in a scope of count 1.
    #[error("{0} counts once and has no amount")]
    Amount(Scope),
}

impl Scope {
    /// Whether it is a limit of the charter; everything else is a scope of count 1.
    pub const fn is_limit(&self) -> bool {
        matches!(self, Self::Limit { .. } | Self::Lasting { .. })
    }

    /// The limit's name in the charter; `None` for what counts once.
    pub fn limit(&self) -> Option<LimitId> {
        match self {
            Self::Limit { name, .. } | Self::Lasting { name, .. } => LimitId::new(name.clone()).ok(),
            Self::Idempotency { .. } | Self::Nonce { .. } | Self::Input { .. } => None,
        }
    }

    /// Whether what counts here is remembered for ever, and not for a window alone.
    pub const fn is_lasting(&self) -> bool {
        matches!(self, Self::Lasting { .. })
    }

    /// Whether the chain itself lets only one request have it, so that of two that hold it one can take effect.
    pub const fn is_spend(&self) -> bool {
        matches!(self, Self::Nonce { .. } | Self::Input { .. })
    }

    fn check(&self) -> Result<(), ScopeError> {
        let text = |field, text: &str, least: usize, most: usize| {
            if (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
                Ok(())
            } else {
                let reason = format!("{least} to {most} printable ASCII characters without spaces are needed");
                Err(ScopeError::Field { field, reason })
            }
        };
        match self {
            Self::Limit { name, subject } | Self::Lasting { name, subject } => {
                text("name", name, 1, limits::NAME_BYTES)?;
                text("subject", subject, 0, limits::LEDGER_SUBJECT_BYTES)
            }
            Self::Idempotency { key, .. } => text("key", key, 1, limits::IDEMPOTENCY_KEY_BYTES),
            Self::Nonce { .. } | Self::Input { .. } => Ok(()),
        }
    }

    /// The one encoding.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    fn to_wire(&self) -> pb::LedgerScope {
        use pb::ledger_scope::Kind;
        let limit = |name: &str, subject: &str| pb::LedgerLimit { name: name.to_owned(), subject: subject.to_owned() };
        let kind = match self {
            Self::Limit { name, subject } => Kind::Limit(limit(name, subject)),
            Self::Lasting { name, subject } => Kind::Lasting(limit(name, subject)),
            Self::Idempotency { requester, key } => {
                Kind::Idempotency(pb::LedgerIdempotency { requester: requester.to_string(), key: key.clone() })
            }
            Self::Nonce { chain, account, number } => {
                Kind::Nonce(pb::LedgerNonce { chain: chain.to_string(), account: account.to_string(), number: *number })
            }
            Self::Input { chain, transaction, index } => Kind::Input(pb::LedgerInput {
                chain: chain.to_string(),
                transaction: Bytes::copy_from_slice(transaction),
                index: *index,
            }),
        };
        pb::LedgerScope { kind: Some(kind) }
    }

    fn from_wire(raw: Option<pb::LedgerScope>) -> Result<Self, ScopeError> {
        use pb::ledger_scope::Kind;
        let bad = |field, reason: &str| ScopeError::Field { field, reason: reason.to_owned() };
        let chain = |text| ChainId::new(text).ok_or_else(|| bad("chain", "not a CAIP-2 name"));
        let scope = match raw.and_then(|raw| raw.kind).ok_or_else(|| bad("kind", "none that this release knows"))? {
            Kind::Limit(raw) => Self::Limit { name: raw.name, subject: raw.subject },
            Kind::Lasting(raw) => Self::Lasting { name: raw.name, subject: raw.subject },
            Kind::Idempotency(raw) => Self::Idempotency {
                requester: RequesterId::new(raw.requester).map_err(|error| bad("requester", &error.to_string()))?,
                key: raw.key,
            },
            Kind::Nonce(raw) => Self::Nonce {
                chain: chain(raw.chain)?,
                account: Address::from_canonical(raw.account)
                    .ok_or_else(|| bad("account", "1 to 128 printable characters are needed"))?,
                number: raw.number,
            },
            Kind::Input(raw) => Self::Input {
                chain: chain(raw.chain)?,
                transaction: raw
                    .transaction
                    .as_ref()
                    .try_into()
                    .map_err(|_| bad("transaction", "32 bytes are needed"))?,
                index: raw.index,
            },
        };
        scope.check()?;
        Ok(scope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { name, subject } | Self::Lasting { name, subject } if subject.is_empty() => {
                write!(f, "limit {name:?}")
            }
            Self::Limit { name, subject } | Self::Lasting { name, subject } => {
                write!(f, "limit {name:?} for {subject}")
            }
            Self::Idempotency { requester, key } => write!(f, "idempotency key {key:?} of {requester}"),
            Self::Nonce { chain, account, number } => write!(f, "nonce {number} of {account} on {chain}"),
            Self::Input { chain, transaction, index } => {
                write!(f, "output {}:{index} on {chain}", hex::encode(transaction))
            }
        }
    }
}

pub(super) fn charges_to_wire(charges: &Charges) -> Vec<pb::LedgerCharge> {
    let amount = |scope: &Scope, amount: &Amount| match scope.is_limit() {
        true => Bytes::copy_from_slice(&amount.to_be_bytes()),
        false => Bytes::new(),
    };
    let charge = |(scope, a)| pb::LedgerCharge { scope: Some(Scope::to_wire(scope)), amount: amount(scope, a) };
    charges.iter().map(charge).collect()
}

pub(super) fn charges_from_wire(raw: Vec<pb::LedgerCharge>) -> Result<Charges, ScopeError> {
    if raw.is_empty() || raw.len() > limits::LEDGER_CHARGES {
        return Err(ScopeError::Order);
    }
    let mut charges = Charges::new();
    for charge in raw {
        let scope = Scope::from_wire(charge.scope)?;
        if charges.last_key_value().is_some_and(|(last, _)| *last >= scope) {
            return Err(ScopeError::Order);
        }
        let amount = match (scope.is_limit(), <[u8; 32]>::try_from(charge.amount.as_ref())) {
            (true, Ok(bytes)) => Amount::from_be_bytes(bytes),
            (false, _) if charge.amount.is_empty() => Amount::ZERO,
            (false, _) => return Err(ScopeError::Amount(scope)),
            (true, Err(_)) => {
                return Err(ScopeError::Field { field: "amount", reason: "32 bytes are needed".to_owned() });
            }
        };
        charges.insert(scope, amount);
    }
    Ok(charges)
}

/// The most within one window, by amount and by number of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Added up over all requests, in the limit's unit.
    pub amount: Amount,
    /// How many requests.
    pub count: u64,
}

/// The next sequence number of each account by its chain: whatever spends a lower one has arrived, or never will.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed(BTreeMap<ChainId, BTreeMap<Address, u64>>);

impl FromIterator<((ChainId, Address), u64)> for Passed {
    fn from_iter<I: IntoIterator<Item = ((ChainId, Address), u64)>>(sequences: I) -> Self {
        let mut passed = Self::default();
        for ((chain, account), next) in sequences {
            passed.0.entry(chain).or_default().insert(account, next);
        }
        passed
    }
}

impl Passed {
    fn next(&self, chain: &ChainId, account: &Address) -> Option<u64> {
        self.0.get(chain)?.get(account).copied()
    }

    /// Only what has passed by both.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (chain, accounts) in &mut self.0 {
            accounts.retain(|account, next| {
                let least = other.next(chain, account).map(|theirs| theirs.min(*next));
                *next = least.unwrap_or(*next);
                least.is_some()
            });
        }
        self.0.retain(|_, accounts| !accounts.is_empty());
        self
    }
}

/// How long a request counts in a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counts {
    /// For a rolling window, in milliseconds, after it can be signed for the last time.
    Window(u64),
    /// For ever: a lifetime cap.
    Ever,
    /// Until its sequence number has passed: a ceiling. By then it is in what the vault is attested to hold.
    UntilPassed(Passed),
}

/// A limit as the charter sets it, split once: what the ledger certifies, and what signers allow without a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// For how long.
    pub counts: Counts,
    /// `L_cert`: the most that the committee certifies.
    pub certified: Bound,
    /// `L_split`: the most that all signers together allow without a certificate. Zero unless the charter says otherwise.
    pub uncertified: Bound,
}

/// Why a limit cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the window of a limit is 1 to {MAX_WINDOW_SECS} seconds, this one has {found}: choose one in between")]
pub struct LimitError {
    found: u64,
}

impl Counts {
    /// For a rolling window of so many seconds.
    pub const fn window(secs: u64) -> Result<Self, LimitError> {
        match secs {
            1..=MAX_WINDOW_SECS => Ok(Self::Window(secs.saturating_mul(1000))),
            found => Err(LimitError { found }),
        }
    }

    /// Whether what takes these charges and can be signed until then still counts.
    pub(super) fn still(&self, charges: &Charges, expires_at_ms: u64, at_ms: u64) -> bool {
        match self {
            Self::Window(window_ms) => at_ms < counts_until(expires_at_ms, *window_ms),
            Self::Ever => true,
            Self::UntilPassed(passed) => !charges.keys().any(|scope| match scope {
                Scope::Nonce { chain, account, number } => {
                    passed.next(chain, account).is_some_and(|next| *number < next)
                }
                _ => false,
            }),
        }
    }

    /// What somebody can do who meets the limit.
    pub(super) const fn advice(&self) -> &'static str {
        match self {
            Self::Window(_) => "within its window: wait, or ask for less",
            Self::Ever => {
                "in its lifetime: ask for less, cancel what came to nothing, or raise it by a version of the charter"
            }
            Self::UntilPassed(_) => {
                "that what is attested leaves, with what is reserved and not known to have arrived: wait, cancel what came to \
                 nothing, and have the sequence numbers of all accounts that pay in attested with what the vault holds"
            }
        }
    }
}

/// An amount counts for a window after the last moment at which it can be signed. Entry, member and guard may read clocks
/// that differ by a skew each, so two skews are added.
pub(super) const fn counts_until(expires_at_ms: u64, window_ms: u64) -> u64 {
    expires_at_ms.saturating_add(window_ms).saturating_add(MAX_SKEW_MS.saturating_mul(2))
}
