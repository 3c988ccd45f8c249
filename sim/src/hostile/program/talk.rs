//! What becomes of the words that signers say to each other directly.

use std::fmt;

use super::list;

/// How a corrupt signer answers a question how it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// As if it remembered nothing of the one who asks.
    Forgets,
    /// With the oldest journal head that it was ever shown by the one who asks.
    Old,
    /// With so many stop records that nobody has.
    More(u64),
    /// With a clock that is off by so many seconds.
    Clock(i64),
    /// Signed by another machine.
    Key,
    /// As an answer to somebody else's question.
    Nonce,
    /// With another log.
    Log,
}

/// Something that happens between signers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TalkStep {
    /// Everybody asks everybody, and everything arrives: but for those cut off, and pages of stop records if they are lost.
    Round {
        /// Who neither hears nor is heard.
        cut: Vec<u8>,
        /// What signers hold reaches the others too.
        pages: bool,
    },
    /// A signer asks its peers.
    Ask(u8),
    /// One of the words on their way arrives.
    Carry(usize),
    /// One of them is lost.
    Drop(usize),
    /// One that has arrived arrives again.
    Again(usize),
    /// A corrupt signer answers the last question that it was asked by another one.
    Answer {
        /// Who answers.
        from: u8,
        /// Whom.
        to: u8,
        /// Not as it is.
        lie: Option<Lie>,
    },
    /// Somebody keeps a copy of a signer's disk.
    KeepDisk(u8),
    /// A signer's power fails, and the copy is put in the place of its disk.
    PutBack(u8),
    /// Of all these the disks are put back that were copied, whoever may know of it.
    PutBackAll(Vec<u8>),
}

impl fmt::Display for TalkStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Round { cut, pages } => {
                f.write_str("signers tell each other how they stand")?;
                if !cut.is_empty() {
                    write!(f, ", but {} are cut off", list(cut))?;
                }
                f.write_str(if *pages { "" } else { ", and nothing of what they hold arrives" })
            }
            Self::Ask(signer) => write!(f, "signer {signer} asks its peers how they stand"),
            Self::Carry(place) => write!(f, "word {place} of those between signers arrives"),
            Self::Drop(place) => write!(f, "word {place} of those between signers is lost"),
            Self::Again(place) => write!(f, "word {place} of those that have arrived arrives again"),
            Self::Answer { from, to, lie: None } => write!(f, "corrupt signer {from} tells signer {to} how it stands"),
            Self::Answer { from, to, lie: Some(lie) } => {
                write!(f, "corrupt signer {from} tells signer {to} how it stands (a lie: {lie:?})")
            }
            Self::KeepDisk(signer) => write!(f, "somebody copies the disk of signer {signer}"),
            Self::PutBackAll(signers) => write!(f, "the copied disks of signers {signers:?} are put back"),
            Self::PutBack(signer) => {
                write!(f, "the power of signer {signer} fails, and the copy of its disk is put in")
            }
        }
    }
}
