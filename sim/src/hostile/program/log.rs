//! What the adversary does in the seat of the evidence log's keeper.

use std::fmt;

use super::list;

/// Which checkpoint the keeper shows in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// With all cosignatures that it got.
    Whole,
    /// None.
    Nothing,
    /// With one cosignature only, as often as there should be others.
    One,
    /// With cosignatures by a key that is nobody's, under everybody's names.
    Forged,
    /// The one of the round before.
    Old,
}

/// Something that happens at the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogStep {
    /// The keeper takes leaves from signers, shows them its log, and takes their cosignatures.
    Round {
        /// Which of its logs.
        log: usize,
        /// To whom it speaks.
        to: Vec<u8>,
        /// Whose leaves it loses.
        without: Option<u8>,
        /// Corrupt signers cosign as well.
        corrupt: bool,
        /// Which checkpoint it shows.
        shown: Shown,
    },
    /// It makes another log out of one: with the last leaf left out.
    Fork(usize),
}

impl fmt::Display for LogStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Round { log, to, without, corrupt, shown } => {
                write!(f, "log {log} takes leaves of {}", list(to))?;
                if let Some(without) = without {
                    write!(f, ", loses those of {without}")?;
                }
                write!(f, ", and shows its checkpoint: {shown:?}")?;
                f.write_str(if *corrupt { ", cosigned by corrupt signers too" } else { "" })
            }
            Self::Fork(log) => write!(f, "another log is made of log {log}, without its last leaf"),
        }
    }
}
