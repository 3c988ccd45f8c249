//! What a simulated charter says: read as it stands here by the judge, as TOML by the signers.

mod automatic;
mod draw;
mod keepers;
mod line;
mod outside;
mod text;

use std::fmt;

use limen_policy::charter::Charter;

use super::people;
use crate::Dice;
pub(crate) use automatic::Automatic;
pub(crate) use draw::{draw, pick, rule};
pub(crate) use keepers::{Keepers, LEDGER};
pub(crate) use line::Place;
pub(crate) use outside::{BOUGHT, CHECKERS, Ceiling, HOT, MAX_AGE_SECS, Outside, VAULT, WATCH};

/// One unit of every simulated amount.
pub(crate) const UNIT: u128 = 100_000;
/// What every simulated transaction may cost at most.
pub(crate) const FEE: u128 = 21_000;
/// The chain's own coin, and the one token.
pub(crate) const TOKEN: &str = "0x5FbDB2315678afecb367f032d93F642f64180aa3";
/// Where value can go.
pub(crate) const DESTINATIONS: [&str; 4] = [
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
    "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
];
/// How many people there are.
pub(crate) const PEOPLE: usize = 5;
/// Who may freeze, each alone.
pub(crate) const GUARDS: [usize; 2] = [0, 1];
/// Who lift freezes, both together.
pub(crate) const BOARD: [usize; 2] = [2, 3];
/// How many requesters there are; the last is enrolled without the duty to request.
pub(crate) const REQUESTERS: usize = 3;

/// What moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coin {
    /// The chain's own.
    Native,
    /// The token.
    Token,
}

/// Classes of effects that simulated bytes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Value leaves.
    Transfer,
    /// Inclusion costs.
    Fee,
    /// Somebody may take tokens.
    Allowance,
    /// Nobody knows.
    Unknown,
    /// A text.
    Message,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Allows.
    Allow,
    /// Adds requirements.
    Require,
    /// Denies.
    Deny,
}

/// Who has to say yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Formula {
    /// So many of a group, only by terminals or not.
    Of(usize, bool, usize),
    /// Both, by different people.
    And(Box<Formula>, Box<Formula>),
    /// Either.
    Or(Box<Formula>, Box<Formula>),
    /// The second in sight of the first.
    Then(Box<Formula>, Box<Formula>),
}

impl Formula {
    /// Every group that it names.
    pub(crate) fn groups(&self) -> Vec<usize> {
        match self {
            Self::Of(_, _, group) => vec![*group],
            Self::And(one, other) | Self::Or(one, other) | Self::Then(one, other) => {
                [one.groups(), other.groups()].concat()
            }
        }
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(count, true, group) => write!(f, "{count} terminal of g{group}"),
            Self::Of(count, false, group) => write!(f, "{count} of g{group}"),
            Self::And(one, other) => write!(f, "({one}) and ({other})"),
            Self::Or(one, other) => write!(f, "({one}) or ({other})"),
            Self::Then(one, other) => write!(f, "({one}) then ({other})"),
        }
    }
}

/// Which destinations a rule covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Where {
    /// All.
    Anywhere,
    /// These.
    Only(Vec<usize>),
    /// All others.
    Except(Vec<usize>),
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Its name.
    pub name: String,
    /// What it does.
    pub verb: Verb,
    /// With what.
    pub class: Class,
    /// With which coin; for classes with amounts only.
    pub coin: Option<Coin>,
    /// Only above this, in units.
    pub more_than: Option<u128>,
    /// Only up to this, in units.
    pub most: Option<u128>,
    /// For whom; nobody named means everybody.
    pub requesters: Vec<usize>,
    /// To where.
    pub to: Where,
    /// Who has to approve.
    pub approvals: Option<Formula>,
    /// How long to wait, in seconds.
    pub delay_secs: u64,
    /// The wait begins at first sight instead of once the formula is met.
    pub from_first_sight: bool,
    /// The people behind the requester do not count.
    pub not_by_requester: bool,
    /// Which checkers have to have passed it.
    pub checks: Vec<usize>,
}

/// What a limit adds up over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    /// Everything.
    All,
    /// Each requester.
    Requester,
    /// Each destination.
    Destination,
}

/// A limit, all of which signers share out among themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Of what.
    pub coin: Coin,
    /// Over what.
    pub per: Per,
    /// Within how long, in seconds; for ever if none.
    pub window_secs: Option<u64>,
    /// How much, in the smallest unit.
    pub amount: Option<u128>,
    /// How many requests.
    pub count: Option<u64>,
}

/// One version of the charter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Version {
    /// Who is in which group.
    pub groups: Vec<Vec<usize>>,
    /// The rules.
    pub rules: Vec<Rule>,
    /// Where it stands, if versions follow one another.
    pub place: Place,
}

/// A cluster and its charter, in all the versions that its operators give to signers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many signers there are.
    pub signers: u8,
    /// How many of them must take part.
    pub required: u8,
    /// How many of them are the adversary's: those with the highest indices.
    pub corrupt: u8,
    /// The people behind each requester.
    pub behind: Vec<Vec<usize>>,
    /// What holds in every version.
    pub limits: Vec<Limit>,
    /// Sessions of one intent.
    pub max_sessions: u32,
    /// Furthest expiry, in seconds.
    pub max_expiry_secs: u64,
    /// How long a freeze stays once enough people have lifted it, in seconds.
    pub lift_delay_secs: u64,
    /// When signers freeze a requester by themselves, if ever.
    pub automatic: Option<Automatic>,
    /// Who looks at requests from outside, if anybody does.
    pub outside: Option<Outside>,
    /// Who keeps a ledger, if limits and claims are certified.
    pub keepers: Option<Keepers>,
    /// Signers tell each other how they stand, and sign nothing without it.
    pub standing: bool,
    /// The evidence log is played: signers that miss a leaf of their own sign nothing.
    pub log: bool,
    /// Versions follow one another while signers run; one that loosens anything waits for so many seconds at least. If not,
    /// operators start machines under another one.
    pub live: Option<u64>,
    /// The versions: each after what it follows.
    pub versions: Vec<Version>,
}

impl Plan {
    /// How many signers are honest: those with the lowest indices.
    pub(crate) fn honest(&self) -> u8 {
        self.signers - self.corrupt
    }

    /// Whether any two signer sets share an honest signer: only then can signers alone keep what counts once.
    pub(crate) fn sets_meet(&self) -> bool {
        2 * self.required > self.signers + self.corrupt
    }

    /// Lets standing be played. Often so many are corrupt only that one more machine may fail: its disk is put back.
    pub(crate) fn with_standing(mut self, dice: &mut Dice) -> Self {
        self.standing = true;
        if dice.chance(600) {
            self.corrupt = self.corrupt.min(self.required - 2);
        }
        self
    }

    /// Whether a signer's disk may be put back, so that no more machines fail than may.
    pub(crate) const fn may_roll_back(&self) -> bool {
        self.standing && self.corrupt + 1 < self.required
    }

    /// The TOML of one version, as the signers read it.
    pub(crate) fn toml(&self, version: usize) -> String {
        let mut text = format!(
            "version = 1\ncluster = \"sim\"\ndanger_development = true\n{}[bounds]\nmax_sessions = {}\nmax_expiry_secs = {}\n",
            self.claims_toml(),
            self.max_sessions,
            self.max_expiry_secs
        );
        for index in 1..=self.signers {
            let key = people::machine_key(index).public_key();
            text += &format!(
                "[[nodes]]\nid = \"signer-{index}\"\naddress = \"127.0.0.1:{}\"\npublic_key = \"{key}\"\n",
                7000 + u16::from(index)
            );
        }
        text += &format!(
            "[[coordinators]]\nid = \"coordinator-1\"\npublic_key = \"{}\"\n",
            people::machine_key(people::MACHINES).public_key()
        );
        text += &self.ledger_toml();
        text += &self.outside_toml();
        for (index, people) in self.behind.iter().enumerate() {
            let duty = if index + 1 == REQUESTERS { "keys" } else { "request" };
            let people: Vec<String> = people.iter().map(|person| format!("\"p{person}\"")).collect();
            let (key, people) = (people::requester_key(index).public_key(), people.join(", "));
            text += &format!(
                "[[requesters]]\nid = \"r{index}\"\npublic_key = \"{key}\"\nduties = [\"{duty}\"]\npeople = [{people}]\n"
            );
        }
        text += "[assets.native]\nchain = \"eip155:31337\"\nsymbol = \"ETH\"\ndecimals = 0\n";
        text += &format!(
            "[assets.token]\nchain = \"eip155:31337\"\ncontract = \"{TOKEN}\"\nsymbol = \"TOK\"\ndecimals = 0\n"
        );
        for person in 0..PEOPLE {
            text += &format!("[[people]]\nid = \"p{person}\"\n");
            for class in ["terminal", "console"] {
                let key = people::credential_key(person, class == "terminal").public_key();
                text += &format!(
                    "[[people.credentials]]\nid = \"p{person}-{class}\"\nclass = \"{class}\"\npublic_key = \"{key}\"\n"
                );
            }
        }
        let version = &self.versions[version];
        for (index, members) in version.groups.iter().enumerate() {
            let members: Vec<String> = members.iter().map(|person| format!("\"p{person}\"")).collect();
            text += &format!("[groups.g{index}]\nmembers = [{}]\n", members.join(", "));
        }
        text += &self.governance(&version.place);
        for (index, limit) in self.limits.iter().enumerate() {
            text += &limit.toml(index, self.keepers.is_some());
        }
        version.rules.iter().for_each(|rule| text += &rule.toml());
        text
    }
}

impl Plan {
    fn governance(&self, place: &Place) -> String {
        let group = |people: [usize; 2]| people.map(|person| format!("\"p{person}\"")).join(", ");
        let hashes = |versions: &[usize]| {
            let hash = |version: &usize| format!("\"{}\"", Charter::hash_of(&self.toml(*version)));
            versions.iter().map(hash).collect::<Vec<_>>().join(", ")
        };
        format!(
            "[groups.guards]\nmembers = [{}]\n[groups.board]\nmembers = [{}]\n[governance]\nnumber = {}\nparents = [{}]\n\
             voids = [{}]\nquorum = \"2 of board\"\nloosening_delay_secs = {}\nguardians = \"guards\"\n\
             unfreeze = \"2 of board\"\nunfreeze_delay_secs = {}\n{}",
            group(GUARDS),
            group(BOARD),
            self.number(place),
            hashes(&place.parents),
            hashes(&place.voids),
            self.live.unwrap_or(0),
            self.lift_delay_secs,
            self.automatic.map(Automatic::toml).unwrap_or_default()
        )
    }
}

impl Coin {
    const fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Token => "token",
        }
    }
}
