//! Freezes that signers make by themselves.

use super::{Plan, pick};
use crate::Dice;

/// After how many requests of one requester that the rules deny, within how many seconds, a signer takes no more of that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Automatic {
    /// How many requests.
    pub refused: u32,
    /// Within so many seconds of the signer's running time.
    pub within_secs: u64,
}

impl Plan {
    /// Lets signers freeze requesters by themselves, after a few denied requests.
    pub(crate) fn with_automatic(mut self, dice: &mut Dice) -> Self {
        let (refused, within_secs) = (pick(dice, &[1, 2, 2, 3]), pick(dice, &[60, 600, 3600]));
        self.automatic = Some(Automatic { refused, within_secs });
        self
    }
}

impl Automatic {
    pub(super) fn toml(self) -> String {
        let Self { refused, within_secs } = self;
        format!("automatic_freeze = {{ refused = {refused}, within_secs = {within_secs} }}\n")
    }
}
