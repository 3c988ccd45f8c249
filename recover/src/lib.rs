//! Backups of shares, and how a key is made of them again: offline, without vendor, coordinator or signer.
//!
//! Lives here: the format of a backup ([`Backup`]), the proof that a piece decrypts ([`proof`]), and the
//! way from pieces to the key ([`Recovery`]) and out into other software ([`export`]). May not live here: sockets, an async runtime, anything of a running cluster. The format,
//! for programs in other languages, is in `docs/recovery.md`. Start reading at [`backup`], then [`head`], then [`combine`].

pub mod backup;
pub mod combine;
pub mod export;
pub mod format;
pub mod head;
pub mod proof;
pub mod seal;

mod curve;
mod scalar;

pub use backup::{Backup, BackupHash, MakeError, Order, Piece, PieceError};
pub use combine::{CombineError, CoreShares, Opened, RecoveredKey, Recovery};
pub use export::{Cost, ExportError, KeystoreRandomness};
pub use format::FormatError;
pub use head::{Custodian, Head, HeadError, Recipient};
pub use proof::{Nonce, Proof, ProofError};
pub use seal::{BadIdentities, Identities, SealError};

pub use age;
