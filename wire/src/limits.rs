//! Bounds on everything that a peer, client or file can make grow. Checked where bytes enter, once.

/// An envelope's payload.
pub const ENVELOPE_PAYLOAD_BYTES: usize = 256 * 1024;
/// A charter's text.
pub const CHARTER_BYTES: usize = 1024 * 1024;
/// A version of the charter with its approvals, as payload of an envelope.
pub const CHARTER_VERSION_BYTES: usize = 2 * 1024 * 1024;
/// The record of a drill: what is handed on among nodes, not what a ceremony could fill.
pub const DRILL_RECORD_BYTES: usize = 1024 * 1024;
/// Drills of a charter.
pub const DRILLS: usize = 32;
/// Versions of the charter for which a machine asks at once, and which it remembers to wait for.
pub const CHARTERS_WANTED: usize = 64;
/// Signatures on one envelope.
pub const ENVELOPE_SIGNATURES: usize = 64;
/// A name: cluster, key, node, requester, vault.
pub const NAME_BYTES: usize = 64;
/// A signature by an identity key.
pub const SIGNATURE_BYTES: usize = 64;
/// The bytes to be signed inside an intent.
pub const INTENT_PAYLOAD_BYTES: usize = 128 * 1024;
/// An idempotency key.
pub const IDEMPOTENCY_KEY_BYTES: usize = 64;
/// A note or reason.
pub const NOTE_BYTES: usize = 256;
/// Authenticator data of a passkey's assertion.
pub const AUTHENTICATOR_DATA_BYTES: usize = 256;
/// Client data of a passkey's assertion.
pub const CLIENT_DATA_BYTES: usize = 4096;
/// A passkey's signature: two integers of 33 bytes at most, in DER.
pub const ASSERTION_SIGNATURE_BYTES: usize = 72;
/// Approvals, rejections and withdrawals of one intent.
pub const APPROVALS: usize = 128;
/// External checkers of a charter, and findings of them that go with one intent.
pub const EXTERNAL_CHECKS: usize = 32;
/// Balances that one finding attests, and prices.
pub const ATTESTED: usize = 64;
/// Most sequence numbers of accounts in one finding: about 80 kB.
pub const SEQUENCES: usize = 1024;
/// Freezes that one unfreeze names.
pub const UNFREEZES: usize = 64;
/// A stop record as it is handed in.
pub const STOP_RECORD_BYTES: usize = 32 * 1024;
/// Ledgers that one standing names.
pub const LEDGER_HEADS: usize = 64;
/// Stop records in one page between signers.
pub const STOPS_PAGE: usize = 256;
/// Steps of a derivation path.
pub const PATH_STEPS: usize = 10;
/// Attempts of one order to hand a key over; each takes an epoch number.
pub const HANDOVER_ATTEMPTS: u64 = 8;
/// How far an attempt's epoch number may be ahead of what a signer has seen: nobody uses the numbers up at once.
pub const EPOCHS_AHEAD: u64 = 1024;
/// Epochs that are over of which a key's record tells.
pub const PAST_EPOCHS: usize = 8;
/// The last epoch number.
pub const LAST_EPOCH: u64 = u32::MAX as u64;
/// A protocol message in a session frame.
pub const FRAME_BODY_BYTES: usize = 1024 * 1024;
/// Commitments in one nonce batch.
pub const NONCE_BATCH: usize = 1024;
/// Members of a ledger committee.
pub const LEDGER_MEMBERS: usize = 16;
/// A ledger entry that reserves or releases: so short that one entry can carry those of all members.
pub const LEDGER_ENTRY_BYTES: usize = 12 * 1024;
/// Charges of one claim.
pub const LEDGER_CHARGES: usize = 32;
/// A limit's subject.
pub const LEDGER_SUBJECT_BYTES: usize = 128;
/// Certificates of a ledger in one message.
pub const LEDGER_PAGE: usize = 64;
/// Requests shown with an entry.
pub const LEDGER_REQUESTS: usize = 256;
/// Leaves of the evidence log in one message.
pub const LOG_PAGE: usize = 512;
/// The same in bytes.
pub const LOG_PAGE_BYTES: usize = 2 * 1024 * 1024;
/// Sizes at which one call asks for the log's root.
pub const LOG_ROOTS: usize = 64;
/// Requests on one page.
pub const PAGE: usize = 200;
/// Intents on one page between signer and coordinator.
pub const INTENT_PAGE: usize = 500;
/// Key shares in one signer's list.
pub const KEY_SHARES: usize = 1024;
/// Generations, or wrapping keys, that one word of a destroyed key names.
pub const ERASED_EPOCHS: usize = 1024;
/// Signers of a key.
pub const KEY_MEMBERS: usize = 32;
/// A member's piece of an imported key, as it is encrypted to it.
pub const IMPORT_PIECE_BYTES: usize = 4 * 1024;
/// One gRPC message, in either direction.
pub const GRPC_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// The furthest expiry that an intent may ask for, in seconds: an intent is a wish of now, not a bearer cheque.
pub const MAX_EXPIRY_SECS: u64 = 30 * 24 * 3600;
