//! Who keeps the ledger of limits and of what counts once, as the development cluster has it.

use super::Plan;
use crate::Dice;
use crate::hostile::people;

/// The one ledger.
pub(crate) const LEDGER: &str = "main";

/// The committee: all signers, and so many honest witnesses that one machine may be silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keepers {
    /// How long a reservation may be used, in seconds.
    pub reservation_secs: u64,
}

impl Plan {
    /// Gives the plan a ledger, in the sizes that a ledger of four keeps.
    pub(crate) fn with_keepers(mut self, dice: &mut Dice) -> Self {
        if self.required > 2 {
            (self.signers, self.required) = (3, 2);
        }
        self.corrupt = self.corrupt.min(1);
        self.keepers = Some(Keepers { reservation_secs: super::pick(dice, &[60, 300, 3600]) });
        self
    }

    /// How many members may be corrupt: as many as hold no key together.
    const fn faults(&self) -> u8 {
        self.required - 1
    }

    /// How many members keep the ledger: those after the signers are witnesses.
    pub(crate) fn members(&self) -> u8 {
        self.signers.max(3 * self.faults() + 1)
    }

    /// How many of them make a certificate.
    pub(crate) fn quorum(&self) -> usize {
        usize::from((self.members() + self.faults()) / 2 + 1)
    }

    /// A member's name.
    pub(crate) fn member_name(&self, index: u8) -> String {
        if index > self.signers { format!("witness-{}", index - self.signers) } else { format!("signer-{index}") }
    }

    /// Whether this member does what the adversary wants.
    pub(crate) fn is_corrupt(&self, member: u8) -> bool {
        member > self.honest() && member <= self.signers
    }

    pub(super) fn claims_toml(&self) -> String {
        self.keepers.as_ref().map(|_| format!("claims = \"{LEDGER}\"\n")).unwrap_or_default()
    }

    pub(super) fn ledger_toml(&self) -> String {
        let Some(Keepers { reservation_secs }) = self.keepers else { return String::new() };
        let mut text = String::new();
        for index in self.signers + 1..=self.members() {
            let (name, key) = (self.member_name(index), people::machine_key(index).public_key());
            let port = 7000 + u16::from(index);
            text +=
                &format!("[[witnesses]]\nid = \"{name}\"\naddress = \"127.0.0.1:{port}\"\npublic_key = \"{key}\"\n");
        }
        let members: Vec<String> = (1..=self.members()).map(|index| format!("{:?}", self.member_name(index))).collect();
        text + &format!(
            "[[ledgers]]\nid = \"{LEDGER}\"\nmembers = [{}]\nquorum = {}\ncorrupt = {}\nreservation_secs = {reservation_secs}\n",
            members.join(", "),
            self.quorum(),
            self.faults()
        )
    }
}
