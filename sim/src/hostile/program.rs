//! What the adversary does: a list of steps that can be printed, replayed and shortened. A step that names what no earlier
//! step has made does nothing, so that any part of a program is a program.

mod automatic;
mod charters;
mod log;
mod outside;
mod reserving;
mod talk;

use std::fmt;

use super::plan::Coin;
pub(crate) use automatic::LiftOwn;
pub(crate) use charters::{CharterStep, Quorum};
pub(crate) use log::{LogStep, Shown};
pub(crate) use outside::{Doctored, Found, OutsideStep, Tells};
pub(crate) use reserving::{Bend, Counterfeit, EntryDraft, Handed, LedgerStep};
pub(crate) use talk::{Lie, TalkStep};

/// A request, by the number that the program gives it.
pub(crate) type Label = usize;

/// What a requester signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Draft {
    /// Who asks.
    pub requester: usize,
    /// For what.
    pub kind: Kind,
    /// How much, in units.
    pub units: u128,
    /// To where.
    pub to: usize,
    /// The account's sequence number.
    pub nonce: u64,
    /// The requester's own name for it.
    pub name: usize,
    /// How long it may be signed, in seconds.
    pub life_secs: u64,
    /// Which request it replaces.
    pub replaces: Option<Label>,
}

/// What the bytes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Send the chain's own coin.
    Native,
    /// Send tokens.
    Token,
    /// Let somebody take tokens.
    Allowance,
    /// Call something that no decoder knows.
    Unknown,
    /// Run another contract's code in a Safe, with the call data of the Bybit loss of 2025.
    Delegatecall,
    /// Sign a text.
    Message,
}

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Yes.
    Approve,
    /// No.
    Reject,
    /// Yes no more.
    Withdraw,
}

/// How a request is spoilt on its way to a signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoil {
    /// A byte of the payload is changed.
    Byte(usize),
    /// Under the signature of another request.
    Signature(Label),
    /// The adversary signs it in the requester's name.
    Key,
    /// The same content in another encoding.
    Encoding,
}

/// How a verdict is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forge {
    /// Made out to be about the request that it is shown with.
    Request,
    /// Made out to be another person's.
    Person(usize),
    /// Made out to be an approval.
    Approve,
    /// Made to last longer.
    Expiry,
    /// Signed by a key that nobody has enrolled.
    Key,
}

/// A verdict shown to a signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paper {
    /// Which.
    pub said: Label,
    /// As it was said, if not spoilt.
    pub forge: Option<Forge>,
}

/// What a freeze stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Everything.
    All,
    /// What a requester asks for.
    Requester(usize),
    /// What moves a coin.
    Coin(Coin),
    /// What goes to a destination.
    Place(usize),
}

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A requester signs a request.
    Ask(Label, Draft),
    /// A person says something about a request, seen under a version of the charter.
    Say {
        /// Its number.
        label: Label,
        /// Who.
        person: usize,
        /// With their terminal, or their console.
        terminal: bool,
        /// About what.
        request: Label,
        /// What.
        verdict: Verdict,
        /// Having seen which verdict.
        after: Option<Label>,
        /// For how long it holds, in seconds.
        life_secs: u64,
        /// Under which version of the charter.
        version: usize,
    },
    /// A request is shown to a signer.
    Announce {
        /// To whom.
        signer: u8,
        /// Which.
        request: Label,
        /// With what people said.
        papers: Vec<Paper>,
        /// Spoilt how.
        spoil: Option<Spoil>,
    },
    /// Signers are asked to sign.
    Sign {
        /// Who takes part, by index.
        set: Vec<u8>,
        /// Who of them is asked, by index.
        asked: Vec<u8>,
        /// The session's number.
        session: usize,
        /// What.
        request: Label,
        /// With what people said.
        papers: Vec<Paper>,
        /// With which certificates.
        certificates: Vec<Handed>,
        /// Spoilt how.
        spoil: Option<Spoil>,
        /// The corrupt signers let the honest ones have the signature.
        finish: bool,
    },
    /// A requester cancels.
    Cancel {
        /// Who hears of it.
        signer: u8,
        /// What.
        request: Label,
        /// Whose cancellation it is.
        requester: usize,
        /// Not signed by them.
        forged: bool,
    },
    /// A verdict is handed in as bad news.
    Tell {
        /// To whom.
        signer: u8,
        /// What.
        paper: Paper,
    },
    /// Somebody's freeze is handed in; the same number again is the same record.
    Freeze {
        /// Its number.
        label: Label,
        /// To whom.
        signer: u8,
        /// Whose word it is.
        person: usize,
        /// What it stops.
        stop: Stop,
        /// Signed by a key that nobody has enrolled.
        forged: bool,
    },
    /// Somebody's word that freezes may be lifted is handed in.
    Lift {
        /// To whom.
        signer: u8,
        /// Whose word it is.
        person: usize,
        /// Which freezes.
        freezes: Vec<Label>,
        /// Signed by a key that nobody has enrolled.
        forged: bool,
    },
    /// Somebody's word that signers' own freezes may be lifted is handed in.
    LiftOwn(LiftOwn),
    /// Something happens at the ledger.
    Ledger(LedgerStep),
    /// Signers tell each other how they stand.
    Talk(TalkStep),
    /// Something happens to the charter.
    Charter(CharterStep),
    /// Something happens at the evidence log.
    Log(LogStep),
    /// Something happens outside the cluster.
    Outside(OutsideStep),
    /// What a signer tells another one arrives, the oldest first.
    Deliver,
    /// Or is lost.
    Lose,
    /// Time passes, in milliseconds.
    Wait(u64),
    /// Somebody turns a signer's wall clock, by seconds.
    Turn(u8, i64),
    /// A signer's process ends, at a power cut or in order.
    Kill(u8, bool),
    /// It starts again, under a version of the charter.
    Start(u8, usize),
    /// A signer notes how long it has been running.
    Tick(u8),
    /// A signer forgets what has ended and is older than this, in seconds.
    Compact(u8, u64),
}

/// Numbers in words.
fn list(numbers: &[u8]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join("+")
}

fn with(papers: &[Paper]) -> String {
    let one = |paper: &Paper| match paper.forge {
        None => format!("v{}", paper.said),
        Some(forge) => format!("v{} (forged: {forge:?})", paper.said),
    };
    match papers {
        [] => String::new(),
        _ => format!(" with {}", papers.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

fn under(certificates: &[Handed]) -> String {
    let one = |handed: &Handed| match handed.forge {
        None => format!("e{}", handed.entry),
        Some(forge) => format!("e{} (forged: {forge:?})", handed.entry),
    };
    match certificates {
        [] => String::new(),
        _ => format!(" under {}", certificates.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spoilt = |spoil: &Option<Spoil>| spoil.map(|how| format!(", spoilt: {how:?}")).unwrap_or_default();
        match self {
            Self::Ask(label, draft) => write!(
                f,
                "requester r{} signs i{label}: {:?} {} to {}, number {}, name {}, for {} s{}",
                draft.requester,
                draft.kind,
                draft.units,
                draft.to,
                draft.nonce,
                draft.name,
                draft.life_secs,
                draft.replaces.map(|other| format!(", replaces i{other}")).unwrap_or_default()
            ),
            Self::Say { label, person, terminal, request, verdict, after, life_secs, version } => write!(
                f,
                "p{person} says v{label}: {verdict:?} of i{request} by {}, for {life_secs} s, under version {version}{}",
                if *terminal { "terminal" } else { "console" },
                after.map(|other| format!(", after v{other}")).unwrap_or_default()
            ),
            Self::Announce { signer, request, papers, spoil } => {
                write!(f, "i{request} is announced to signer {signer}{}{}", with(papers), spoilt(spoil))
            }
            Self::Sign { set, asked, session, request, papers, certificates, spoil, finish } => write!(
                f,
                "of the set {} signers {} are asked to sign i{request} in session s{session}{}{}{}{}",
                list(set),
                list(asked),
                with(papers),
                under(certificates),
                spoilt(spoil),
                if *finish { ", and may finish" } else { "" }
            ),
            Self::Cancel { signer, request, requester, forged } => write!(
                f,
                "signer {signer} gets r{requester}'s {}cancellation of i{request}",
                if *forged { "forged " } else { "" }
            ),
            Self::Tell { signer, paper } => {
                write!(f, "signer {signer} is handed bad news:{}", with(std::slice::from_ref(paper)))
            }
            Self::Freeze { label, signer, person, stop, forged } => write!(
                f,
                "signer {signer} is handed p{person}'s {}freeze z{label} of {stop:?}",
                if *forged { "forged " } else { "" }
            ),
            Self::Lift { signer, person, freezes, forged } => write!(
                f,
                "signer {signer} is handed p{person}'s {}word that {freezes:?} may be lifted",
                if *forged { "forged " } else { "" }
            ),
            Self::LiftOwn(lift) => lift.fmt(f),
            Self::Ledger(step) => step.fmt(f),
            Self::Talk(step) => step.fmt(f),
            Self::Charter(step) => step.fmt(f),
            Self::Log(step) => step.fmt(f),
            Self::Outside(step) => step.fmt(f),
            Self::Deliver => f.write_str("the oldest news between signers arrives"),
            Self::Lose => f.write_str("the oldest news between signers is lost"),
            Self::Wait(millis) => write!(f, "{millis} ms pass"),
            Self::Turn(signer, seconds) => write!(f, "the wall clock of signer {signer} is turned by {seconds} s"),
            Self::Kill(signer, true) => write!(f, "the power of signer {signer} fails"),
            Self::Kill(signer, false) => write!(f, "signer {signer} stops"),
            Self::Start(signer, version) => write!(f, "signer {signer} starts under version {version} of the charter"),
            Self::Tick(signer) => write!(f, "signer {signer} notes how long it has been running"),
            Self::Compact(signer, seconds) => write!(f, "signer {signer} compacts what is older than {seconds} s"),
        }
    }
}
