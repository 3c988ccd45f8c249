//! The one table of API errors: stable code, gRPC status, remedy. Documents are generated from it.

use crate::pb;

/// gRPC status codes that the table uses, as numbers of the gRPC specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the gRPC specification")]
pub enum GrpcStatus {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $status:ident, $retry:literal, $remedy:literal;)*) => {
        /// What can go wrong, as clients and operators see it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable word that programs compare.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
            /// The gRPC status that carries it.
            pub const fn status(self) -> GrpcStatus {
                match self { $(Self::$name => GrpcStatus::$status,)* }
            }
            /// Whether the same call may succeed later without any change.
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => $retry,)* }
            }
            /// What to do about it.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
            /// From the stable word.
            pub fn from_code(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }
        }
    };
}

table! {
    /// The request is not well formed.
    Malformed, "malformed", InvalidArgument, false, "Correct the named field and sign a new intent.";
    /// The bytes to be signed cannot be read.
    Undecodable, "undecodable", InvalidArgument, false, "Send the exact unsigned bytes of a supported kind for the named chain.";
    /// The caller's certificate or signature is not enrolled.
    NotEnrolled, "not_enrolled", Unauthenticated, false, "Enrol the requester's public key in the charter, or sign with the enrolled key.";
    /// The signature does not verify.
    BadSignature, "bad_signature", Unauthenticated, false, "Sign the exact payload bytes with the enrolled key.";
    /// The requester lacks the duty.
    NotPermitted, "not_permitted", PermissionDenied, false, "Ask somebody whom the charter gives this duty.";
    /// Meant for another cluster.
    WrongCluster, "wrong_cluster", FailedPrecondition, false, "Sign the intent for this cluster's name.";
    /// The rules forbid it.
    PolicyDenied, "policy_denied", PermissionDenied, false, "See the reasons; `limen simulate` shows what each signer would say.";
    /// People have not said yes yet.
    ApprovalsMissing, "approvals_missing", FailedPrecondition, true, "Have the named people approve; `limen request show` tells who is missing.";
    /// An approval is for something else than what stands now.
    ApprovalLapsed, "approval_lapsed", FailedPrecondition, false, "Look at the request anew, and approve again what is shown now.";
    /// Somebody said no.
    Rejected, "rejected", FailedPrecondition, false, "Read the reason; submit a new intent if it is still wanted.";
    /// A delay has not run out.
    TimeLocked, "time_locked", FailedPrecondition, true, "Wait: the request goes on by itself when the delay is over.";
    /// A guardian has stopped what it touches.
    Frozen, "frozen", FailedPrecondition, true, "Wait, or have enough people lift the freeze: `limen freezes` shows it, `limen unfreeze` lifts it. The request goes on by itself.";
    /// The signer does not know well enough how its peers stand.
    NoStanding, "no_standing", Unavailable, true, "Bring the named signers and the links between them back; `limen status` shows them. The request goes on by itself.";
    /// A leaf of the signer's own is not in a cosigned log.
    LeafMissing, "leaf_missing", Unavailable, true, "Bring the coordinator's log and enough signers and witnesses to cosign it back; `limen status` shows who lacks what. The request goes on by itself.";
    /// The log that was shown is not the one that was cosigned.
    LogForked, "log_forked", FailedPrecondition, false, "Somebody shows another log than before: find out who, see docs/evidence.md, and put the right log back.";
    /// A limit is used up.
    LimitReached, "limit_reached", ResourceExhausted, true, "Wait until enough of the limit's window has passed, or have the charter changed.";
    /// Neither a reservation nor a part set aside covers it.
    ReservationMissing, "reservation_missing", FailedPrecondition, true, "It is reserved by itself while enough members of the ledger's committee can be reached; their logs say why not.";
    /// The charter changed meanwhile.
    CharterChanged, "charter_changed", Aborted, true, "It is judged anew under the charter that is in force now, by itself.";
    /// The key's shares were made anew meanwhile.
    EpochChanged, "epoch_changed", Aborted, true, "It is signed with the shares that are in force now, by itself.";
    /// An epoch number is taken.
    EpochTaken, "epoch_taken", Aborted, true, "The next attempt takes a later number, by itself; an order whose numbers are used up is ordered anew.";
    /// Two versions follow the same charter.
    CharterFork, "charter_fork", FailedPrecondition, true, "Have a version signed that names both as parents; `limen charter status` shows them.";
    /// A drill of the charter is overdue, and the version gives more leave than there is.
    DrillOverdue, "drill_overdue", FailedPrecondition, false, "Hold the drill that is named and hand its record in by `limen drill file`, then submit the version again: docs/drills.md says how, and what to do where it cannot be held any more.";
    /// The expiry has passed.
    Expired, "expired", FailedPrecondition, false, "Sign a new intent with a later expiry.";
    /// The expiry lies too far ahead.
    ExpiryTooFar, "expiry_too_far", InvalidArgument, false, "Choose an expiry within the charter's bound.";
    /// A stop record names it.
    Stopped, "stopped", FailedPrecondition, false, "It was cancelled. Submit a new intent if it is still wanted.";
    /// The idempotency key is taken by other bytes.
    IdempotencyConflict, "idempotency_conflict", AlreadyExists, false, "Use a new idempotency key for a different request.";
    /// The account's nonce is taken by another intent.
    NonceConflict, "nonce_conflict", AlreadyExists, false, "Use the next nonce, or name the intent that this one replaces.";
    /// No such request.
    UnknownRequest, "unknown_request", NotFound, false, "Check the intent id; `limen request list` shows the known ones.";
    /// The evidence of a signature is not together yet.
    ReceiptNotReady, "receipt_not_ready", FailedPrecondition, true, "Ask again in some seconds: signers hand their leaves in and cosign by themselves.";
    /// No such key.
    UnknownKey, "unknown_key", NotFound, false, "Check the key id; `limen key list` shows the known ones.";
    /// The key does not sign in its present state.
    KeyNotActive, "key_not_active", FailedPrecondition, true, "Wait until key generation has finished on every member; `limen key show` tells.";
    /// Custodians have not proven that they can decrypt a share's backup.
    BackupUnproven, "backup_unproven", FailedPrecondition, true, "Have the named custodians prove their pieces: `limen backup fetch`, then `limen-recover check`, then `limen backup prove`. The order goes on by itself.";
    /// A proof of a backup is not what was asked for.
    BackupProofRefused, "backup_proof_refused", FailedPrecondition, false, "Read what is wrong with whose proof; fetch the backup anew by `limen backup fetch` and prove that one.";
    /// The charter has taken the key out of use for now.
    KeySuspended, "key_suspended", FailedPrecondition, true, "Wait until people sign a version of the charter that takes it into use again: `limen charter diff` shows what that loosens. The request goes on by itself until it expires.";
    /// The charter has taken the key out of use for good.
    KeyRetired, "key_retired", FailedPrecondition, false, "Use another key. A compromised key signs what moves value to where the charter says under [[keys]]: see docs/key-states.md.";
    /// What seals the signer's shares does not serve.
    HsmUnavailable, "hsm_unavailable", Unavailable, true, "Bring the named signer's token or its bridge back: docs/hsm.md has a line for each code. Other signers serve meanwhile, and it resumes by itself.";
    /// What a token signed is no signature of its key.
    HsmWrongAnswer, "hsm_wrong_answer", FailedPrecondition, false, "Take the named signer's token out of service: it signed something else, or by another key, and nothing of it left the signer. See docs/hsm.md.";
    /// The charter does not say of this key what the order or the key itself says.
    HsmKeyRefused, "hsm_key_refused", FailedPrecondition, false, "See what the charter says of the key under [[hsm_keys]]: its node, its scheme, and its vault, which must be cold. docs/hsm.md has the rules.";
    /// A key without children was asked for one.
    NoChildKeys, "no_child_keys", InvalidArgument, false, "Leave the derivation path empty: a key that lives in one token has no children.";
    /// A signer's share does not open.
    ShareDamaged, "share_damaged", FailedPrecondition, false, "Look at the named signer's disk, and restore its share by a ceremony, never from an old copy. Other signers serve meanwhile.";
    /// The key's name is taken.
    KeyExists, "key_exists", AlreadyExists, false, "Choose another key id; names are never used twice.";
    /// The key cannot make what is asked.
    WrongScheme, "wrong_scheme", FailedPrecondition, false, "Use a key whose scheme fits the chain and payload.";
    /// Too few signers can be reached.
    TooFewSigners, "too_few_signers", Unavailable, true, "Bring signers back until signers_required are reachable; `limen status` shows which are not. The request goes on by itself.";
    /// A session did not end in time.
    SessionTimeout, "session_timeout", DeadlineExceeded, true, "It is retried with another signer set by itself.";
    /// A session was given up.
    SessionAborted, "session_aborted", Aborted, true, "It is retried with another signer set by itself; see the named signer's log.";
    /// A session id was used before.
    SessionDead, "session_dead", FailedPrecondition, false, "Start a session with a fresh id.";
    /// The intent has used up its sessions.
    TooManySessions, "too_many_sessions", ResourceExhausted, false, "Treat the request as possibly signed; find out why sessions fail before submitting a new one.";
    /// The nonce or presignature is used, unknown or of another boot.
    NonceUnavailable, "nonce_unavailable", Aborted, true, "It is retried without a nonce shared ahead by itself.";
    /// The signer set does not fit the key.
    BadSignerSet, "bad_signer_set", InvalidArgument, false, "Choose exactly signers_required different members.";
    /// A peer is banned after a failed consistency check.
    PeerBanned, "peer_banned", FailedPrecondition, false, "Choose a set without the banned pair; readmission needs a reshare.";
    /// Too much at once.
    Overloaded, "overloaded", ResourceExhausted, true, "Slow down and try again; retries are safe.";
    /// The signature may exist although it is not in hand.
    PossiblySigned, "possibly_signed", Aborted, false, "Treat amount and nonce as spent; look at the chain before doing anything.";
    /// The state does not allow the call.
    WrongState, "wrong_state", FailedPrecondition, false, "Look at the request's state first.";
    /// The daemon is stopping.
    ShuttingDown, "shutting_down", Unavailable, true, "Try again; it is being restarted.";
    /// Our own fault.
    Internal, "internal", Internal, false, "Report this with the log lines of the same time.";
}

/// The table as a page of documentation. `docs/errors.md` is this text; a test compares them.
pub fn table_as_markdown() -> String {
    let mut page = String::from(
        "# Errors\n\nEvery refusal carries a stable code, a gRPC status and a remedy. Programs compare codes, never messages. \
         \"Retry\"\nmeans that the same call may succeed later without any change.\n\nThis page is made from the table in \
         `wire/src/error.rs`:\n`cargo run -p limen-wire --example error_table > docs/errors.md`.\n\n\
         | code | gRPC status | retry | what to do |\n|---|---|---|---|\n",
    );
    for code in Code::ALL {
        let retry = if code.retryable() { "yes" } else { "no" };
        page.push_str(&format!("| `{}` | {:?} | {retry} | {} |\n", code.as_str(), code.status(), code.remedy()));
    }
    page
}

/// An API error: code and what is wrong in this case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} [{}]", code.as_str())]
pub struct ApiError {
    /// Out of the table.
    pub code: Code,
    /// What was tried and what is wrong.
    pub message: String,
    /// The signer that says so, if one does.
    pub node: String,
}

impl ApiError {
    /// An error without a signer.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), node: String::new() }
    }

    /// The wire form.
    pub fn to_wire(&self) -> pb::Error {
        pb::Error {
            code: self.code.as_str().to_owned(),
            message: self.message.clone(),
            remedy: self.code.remedy().to_owned(),
            node: self.node.clone(),
        }
    }

    /// From the wire; an unknown code (a newer peer) becomes [`Code::Internal`] with the code in the message.
    pub fn from_wire(error: &pb::Error) -> Self {
        match Code::from_code(&error.code) {
            Some(code) => Self { code, message: error.message.clone(), node: error.node.clone() },
            None => Self {
                code: Code::Internal,
                message: format!("{} ({})", error.message, error.code),
                node: error.node.clone(),
            },
        }
    }
}

#[cfg(feature = "rpc")]
#[cfg(feature = "rpc")]
impl From<ApiError> for tonic::Status {
    fn from(error: ApiError) -> Self {
        use prost::Message as _;
        let details = error.to_wire().encode_to_vec();
        Self::with_details(tonic::Code::from_i32(error.code.status() as i32), error.message, details.into())
    }
}

#[cfg(feature = "rpc")]
#[cfg(feature = "rpc")]
impl ApiError {
    /// Reads the error that a Limen server put into a status; `None` if the status came from the transport.
    pub fn from_status(status: &tonic::Status) -> Option<Self> {
        use prost::Message as _;
        if status.details().is_empty() {
            return None;
        }
        pb::Error::decode(status.details()).ok().map(|error| Self::from_wire(&error))
    }
}
