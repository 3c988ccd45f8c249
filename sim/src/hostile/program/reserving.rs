//! What the adversary does in the seat of a ledger's coordinator.

use std::fmt;

use super::{Label, list};

/// What an entry is made to say, before it is bent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EntryDraft {
    /// What it claims something for.
    pub requests: Vec<Label>,
    /// Which entry it stands on; the newest that is certified if none is named.
    pub on: Option<Label>,
    /// It stands on numbers that were given up, and carries what the closings name. Which of them are used rotates.
    pub settles: Option<usize>,
    /// What it gives back.
    pub releases: Vec<Label>,
    /// Under which version of the charter.
    pub version: usize,
    /// What is wrong with it.
    pub bend: Option<Bend>,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bend {
    /// Of a committee that does not exist.
    Committee,
    /// So many numbers too far.
    Ahead(u64),
    /// Its time is off by so many milliseconds.
    Time(i64),
    /// Its reservations last so much longer, in milliseconds.
    Life(u64),
    /// Amounts are taken for less than they are.
    Less,
    /// One of its charges is left out.
    Dropped,
    /// It says that it replaces another request.
    Replaces(Label),
    /// It carries nothing of what the closings name.
    Forgets,
    /// It carries another entry besides.
    Carries(Label),
}

impl Bend {
    /// Whether nobody honest may acknowledge such an entry.
    pub(crate) const fn lies(self) -> bool {
        matches!(self, Self::Committee | Self::Life(_) | Self::Less | Self::Dropped | Self::Replaces(_))
    }
}

/// An entry's certificate, as it is handed to a signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handed {
    /// Whose: all acknowledgements that there are, whether they make a certificate or not.
    pub entry: Label,
    /// Changed how.
    pub forge: Option<Counterfeit>,
}

/// How a certificate is made out of too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counterfeit {
    /// One acknowledgement is missing.
    Short,
    /// Those that are missing are signed by a key of nobody.
    Key,
    /// The acknowledgements are of another entry.
    Other(Label),
}

/// One thing that happens at the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LedgerStep {
    /// All that an honest coordinator does: settles what is split, and has an entry acknowledged by everybody.
    Reserve {
        /// The entry's number in the program.
        entry: Label,
        /// What it claims something for.
        requests: Vec<Label>,
        /// Under which version of the charter.
        version: usize,
    },
    /// An entry is made, and signed by all corrupt members.
    Make(Label, EntryDraft),
    /// It is shown to members, with the requests or without; with all that people said about them, or no bad news.
    Show {
        /// Which.
        entry: Label,
        /// To whom, by index.
        members: Vec<u8>,
        /// Without bad news.
        quiet: bool,
    },
    /// Members are asked to give numbers up.
    Close {
        /// Who.
        members: Vec<u8>,
        /// How far beyond the newest that is certified.
        ahead: u64,
        /// What a corrupt member says that it has acknowledged.
        invents: Option<Label>,
    },
    /// Members are asked whether they have voided a request.
    Void(Label),
}

impl fmt::Display for LedgerStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |labels: &[Label]| labels.iter().map(|label| format!("i{label}")).collect::<Vec<_>>().join("+");
        match self {
            Self::Reserve { entry, requests, version } => {
                write!(f, "{} is reserved in entry e{entry}, under version {version}", named(requests))
            }
            Self::Make(entry, EntryDraft { requests, on, settles, releases, version, bend }) => write!(
                f,
                "entry e{entry} is made for [{}] on {}{}{}, under version {version}{}",
                named(requests),
                on.map_or("the newest".to_owned(), |label| format!("e{label}")),
                settles.map(|turn| format!(", settling by choice {turn}")).unwrap_or_default(),
                if releases.is_empty() { String::new() } else { format!(", releasing {}", named(releases)) },
                bend.map(|bend| format!(", bent: {bend:?}")).unwrap_or_default()
            ),
            Self::Show { entry, members, quiet } => write!(
                f,
                "entry e{entry} is shown to members {}{}",
                list(members),
                if *quiet { ", without bad news" } else { "" }
            ),
            Self::Close { members, ahead, invents } => write!(
                f,
                "members {} are asked to give {ahead} numbers up{}",
                list(members),
                invents.map(|label| format!(", corrupt ones name e{label}")).unwrap_or_default()
            ),
            Self::Void(request) => write!(f, "members are asked whether i{request} is void"),
        }
    }
}
