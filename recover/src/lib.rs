//! Backups of shares, and how a key is made of them again: offline, without vendor, coordinator or signer.
//!
//! Lives here: the format of a backup ([`Backup`]), the proof that a piece decrypts ([`proof`]) and under whose name ([`said`]), and the
//! way from pieces to the key ([`Recovery`]) and out into other software ([`export`]); custodians' identities on paper ([`paper`]);
//! and the way of a whole key into a cluster ([`deal`]). May not live here: sockets, an async runtime, anything of a running cluster. The format,
//! for programs in other languages, is in `docs/recovery.md`. Start reading at [`backup`], then [`head`], then [`combine`].

pub mod backup;
pub mod combine;
pub mod deal;
pub mod export;
pub mod format;
pub mod head;
pub mod key;
pub mod paper;
pub mod practice;
pub mod proof;
pub mod said;
pub mod seal;
pub mod whole;

mod curve;
mod scalar;

pub use backup::{Backup, BackupHash, MakeError, Order, Piece, PieceError};
pub use combine::{CombineError, CoreShares, Opened, Recovery};
pub use deal::{DealError, DealtKey, PieceRefused};
pub use export::{Cost, ExportError, KeystoreRandomness};
pub use format::FormatError;
pub use head::{Custodian, Head, HeadError};
pub use key::{ChildError, RecoveredKey};
pub use limen_wire::recipient::{BadRecipient, Recipient};
pub use paper::{PaperError, Slip};
pub use proof::{Nonce, Proof, ProofError};
pub use said::{Challenge, SaidError};
pub use seal::{BadIdentities, Identities, Plugins, SealError};
pub use whole::{BadWholeKey, WholeForm, WholeKey};

pub use age;
