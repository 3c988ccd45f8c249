//! What people say about freezes that signers have made by themselves.

use std::fmt;

/// Somebody's word that what signers have frozen by themselves may be lifted: the last freeze that each has made of a requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LiftOwn {
    /// To whom it is handed.
    pub signer: u8,
    /// Who is frozen.
    pub requester: usize,
    /// Whose word it is.
    pub person: usize,
    /// It names those before the last.
    pub old: bool,
    /// Signed by a key that nobody has enrolled.
    pub forged: bool,
}

impl fmt::Display for LiftOwn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { signer, requester, person, old, forged } = self;
        let forged = if *forged { "forged " } else { "" };
        let which = if *old { "the freezes before the last" } else { "the freezes" };
        write!(
            f,
            "signer {signer} is handed p{person}'s {forged}word that {which} of r{requester} by signers may be lifted"
        )
    }
}
