//! What checkers find, which of it goes along with requests, and what becomes of payments on the chain.

use std::fmt;

use super::Label;

/// What a finding tells besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    /// Nothing.
    Nothing,
    /// What the vault holds.
    Balance,
    /// That, and which sequence numbers have passed.
    Numbers,
    /// That it holds nothing, and all numbers have passed: said by somebody who has no say in that.
    Lies,
}

/// How a finding is spoilt on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doctored {
    /// Made out to be about the request that it is shown with.
    Request,
    /// Made out to be a pass.
    Pass,
    /// Made out to tell that the vault holds nothing.
    Balance,
    /// Made out to tell that all numbers have passed.
    Numbers,
    /// Made out to be from a while later.
    Later,
    /// Signed by a key that nobody has enrolled.
    Key,
}

/// A finding as it goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// Which.
    pub label: Label,
    /// As it was signed, if not spoilt.
    pub doctored: Option<Doctored>,
}

/// Something that happens outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutsideStep {
    /// A checker signs what it finds about a request. It goes along with that from now on.
    Find {
        /// Its number.
        label: Label,
        /// Who.
        checker: usize,
        /// About what.
        request: Label,
        /// Under which version of the charter.
        version: usize,
        /// It does not pass.
        objects: bool,
        /// What it tells besides.
        tells: Tells,
        /// For how long it holds by what it says, in seconds.
        life_secs: u64,
        /// How far the checker's clock is off, in seconds.
        off_secs: i64,
    },
    /// What goes along with a request from now on.
    Show(Label, Vec<Found>),
    /// So many sequence numbers pass, each with one of the payments that were signed at it, or with none.
    Pass {
        /// How many.
        numbers: u64,
        /// Which of those that were signed at one number.
        turn: usize,
        /// They fail there.
        fail: bool,
    },
    /// The hot vault pays so many units to others.
    Pay(u128),
}

impl fmt::Display for OutsideStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Find { label, checker, request, version, objects, tells, life_secs, off_secs } => {
                let verdict = if *objects { "objects to" } else { "passes" };
                write!(
                    f,
                    "c{checker} {verdict} i{request} in f{label}, which tells {tells:?}, for {life_secs} s, under version \
                     {version}, with a clock that is off by {off_secs} s"
                )
            }
            Self::Show(request, found) => {
                write!(f, "with i{request} go from now on:")?;
                found.iter().try_for_each(|Found { label, doctored }| match doctored {
                    None => write!(f, " f{label}"),
                    Some(how) => write!(f, " f{label} (spoilt: {how:?})"),
                })
            }
            Self::Pass { numbers, turn, fail } => {
                let how = if *fail { ", and fail" } else { "" };
                write!(f, "{numbers} numbers pass on the chain, by choice {turn}{how}")
            }
            Self::Pay(units) => write!(f, "the hot vault pays {units}"),
        }
    }
}
