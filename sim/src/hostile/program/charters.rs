//! Versions of the charter that are handed in while signers run.

use std::fmt;

/// By whom a version is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quorum {
    /// By all whom its parents ask.
    Whole,
    /// By one of them only.
    One,
    /// By one of them twice.
    Twice,
    /// By as many who have no say.
    Others,
    /// By keys that nobody has enrolled.
    Forged,
    /// By all, but of another version.
    OfAnother(usize),
}

/// Something that happens to the charter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CharterStep {
    /// A version is handed to a signer.
    Submit {
        /// Which.
        version: usize,
        /// To whom.
        signer: u8,
        /// Signed by whom.
        quorum: Quorum,
    },
    /// Somebody's veto is handed to a signer.
    Veto {
        /// Of which version.
        version: usize,
        /// To whom.
        signer: u8,
        /// Whose.
        person: usize,
        /// Signed by a key that nobody has enrolled.
        forged: bool,
    },
}

impl fmt::Display for CharterStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submit { version, signer, quorum: Quorum::Whole } => {
                write!(f, "signer {signer} is handed version {version} of the charter")
            }
            Self::Submit { version, signer, quorum } => {
                write!(f, "signer {signer} is handed version {version} of the charter, signed by too few: {quorum:?}")
            }
            Self::Veto { version, signer, person, forged } => write!(
                f,
                "signer {signer} is handed p{person}'s {}veto of version {version} of the charter",
                if *forged { "forged " } else { "" }
            ),
        }
    }
}
