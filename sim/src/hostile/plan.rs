//! What a simulated charter says: read as it stands here by the judge, as TOML by the signers.

mod automatic;
mod keepers;
mod line;
mod outside;

use std::fmt;

use limen_policy::charter::Charter;

use super::people;
use crate::Dice;
pub(crate) use automatic::Automatic;
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

impl Limit {
    /// What no ledger certifies is set aside whole.
    fn toml(&self, index: usize, certified: bool) -> String {
        let per = match self.per {
            Per::All => "all",
            Per::Requester => "requester",
            Per::Destination => "destination",
        };
        let mut text = format!("[[limits]]\nid = \"l{index}\"\nasset = \"{}\"\nper = \"{per}\"\n", self.coin.word());
        match self.window_secs {
            Some(window) => text += &format!("window_secs = {window}\n"),
            None => text += "lifetime = true\n",
        }
        if certified {
            text += &format!("ledger = \"{LEDGER}\"\n");
        }
        if let Some(amount) = self.amount {
            text += &format!("max_amount = \"{amount}\"\n");
            text += &if certified { String::new() } else { format!("split_amount = \"{amount}\"\n") };
        }
        if let Some(count) = self.count {
            text += &format!("max_count = {count}\n");
            text += &if certified { String::new() } else { format!("split_count = {count}\n") };
        }
        text
    }
}

impl Rule {
    fn toml(&self) -> String {
        let verb = match self.verb {
            Verb::Allow => "allow",
            Verb::Require => "require",
            Verb::Deny => "deny",
        };
        let class = match self.class {
            Class::Transfer => "transfer",
            Class::Fee => "fee",
            Class::Allowance => "allowance",
            Class::Unknown => "unknown",
            Class::Message => "message",
        };
        let mut text = format!("[[rules]]\nname = \"{}\"\n{verb} = \"{class}\"\n", self.name);
        let mut line = |line: String| text += &(line + "\n");
        if let Some(coin) = self.coin {
            line(format!("asset = \"{}\"", coin.word()));
        }
        if let Some(more) = self.more_than {
            line(format!("more_than = \"{}\"", more * UNIT));
        }
        if let Some(most) = self.most {
            line(format!("max_amount = \"{}\"", most * UNIT));
        }
        if !self.requesters.is_empty() {
            let named: Vec<String> = self.requesters.iter().map(|requester| format!("\"r{requester}\"")).collect();
            line(format!("requesters = [{}]", named.join(", ")));
        }
        let list = |places: &[usize]| {
            places.iter().map(|place| format!("\"{}\"", DESTINATIONS[*place])).collect::<Vec<_>>().join(", ")
        };
        match &self.to {
            Where::Anywhere if self.verb == Verb::Allow && !matches!(self.class, Class::Fee | Class::Message) => {
                line("destinations = \"anywhere\"".to_owned());
            }
            Where::Anywhere => {}
            Where::Only(places) => line(format!("destinations = [{}]", list(places))),
            Where::Except(places) => line(format!("destinations_except = [{}]", list(places))),
        }
        if let Some(formula) = &self.approvals {
            line(format!("approvals = \"{formula}\""));
        }
        if self.delay_secs > 0 {
            line(format!("delay_secs = {}", self.delay_secs));
        }
        if self.from_first_sight {
            line("delay_from = \"first-sight\"".to_owned());
        }
        if !self.checks.is_empty() {
            let named: Vec<String> = self.checks.iter().map(|checker| format!("{:?}", CHECKERS[*checker])).collect();
            line(format!("checks = [{}]", named.join(", ")));
        }
        if self.not_by_requester {
            line("not_by_requester = true".to_owned());
        }
        text
    }
}

/// A rule that asks for nothing.
pub(crate) fn rule(name: &str, verb: Verb, class: Class, coin: Option<Coin>) -> Rule {
    Rule {
        name: name.to_owned(),
        verb,
        class,
        coin,
        more_than: None,
        most: None,
        requesters: Vec::new(),
        to: Where::Anywhere,
        approvals: None,
        delay_secs: 0,
        from_first_sight: false,
        not_by_requester: false,
        checks: Vec::new(),
    }
}

/// Draws a plan.
pub(crate) fn draw(dice: &mut Dice) -> Plan {
    let sizes = [(3, 2), (3, 2), (3, 2), (4, 3), (5, 3), (2, 2), (4, 2)];
    let (signers, required) = pick(dice, &sizes);
    // Mostly as many as can be, sometimes none.
    let corrupt =
        if dice.chance(700) { required - 1 } else { u8::try_from(dice.below(u64::from(required))).unwrap_or(0) };
    let first = version(dice);
    let mut versions = vec![first.clone()];
    if dice.chance(400) {
        versions.push(changed(first, dice));
    }
    let mut limits = Vec::new();
    for coin in [Coin::Native, Coin::Token] {
        if dice.chance(600) {
            limits.push(limit(coin, signers, dice));
        }
    }
    let behind = vec![some_people(dice, 0, 2), some_people(dice, 0, 1), Vec::new()];
    let max_sessions = pick(dice, &[1, 2, 16]);
    let (max_expiry_secs, lift_delay_secs) = (86_400, pick(dice, &[0, 60, 600]));
    let keepers = None;
    Plan {
        signers,
        required,
        corrupt,
        behind,
        limits,
        max_sessions,
        max_expiry_secs,
        lift_delay_secs,
        automatic: None,
        outside: None,
        keepers,
        standing: false,
        log: false,
        live: None,
        versions,
    }
}

/// One of several.
pub(crate) fn pick<T: Clone>(dice: &mut Dice, among: &[T]) -> T {
    among[dice.index(among.len()).unwrap_or(0)].clone()
}

fn some_people(dice: &mut Dice, least: usize, most: usize) -> Vec<usize> {
    let wanted = least + dice.index(most - least + 1).unwrap_or(0);
    let mut people: Vec<usize> = (0..PEOPLE).collect();
    while people.len() > wanted {
        people.remove(dice.index(people.len()).unwrap_or(0));
    }
    people
}

fn limit(coin: Coin, signers: u8, dice: &mut Dice) -> Limit {
    // What one signer may allow by itself holds a few requests.
    let share = u128::from(signers - 1);
    let amount = share * UNIT * u128::from(2 + dice.below(5));
    let count = u64::from(signers - 1) * (1 + dice.below(3));
    let (amount, count) = match dice.below(3) {
        0 => (None, Some(count)),
        1 => (Some(amount), Some(count)),
        _ => (Some(amount), None),
    };
    let window_secs = if dice.chance(200) { None } else { Some(pick(dice, &[60, 600, 3600])) };
    let per = pick(dice, &[Per::All, Per::All, Per::Requester, Per::Destination]);
    Limit { coin, per, window_secs, amount, count }
}

fn formula(dice: &mut Dice, groups: &[Vec<usize>]) -> Formula {
    let of = |dice: &mut Dice| {
        let group = dice.index(groups.len()).unwrap_or(0);
        let most = groups[group].len().min(2);
        Formula::Of(1 + dice.index(most).unwrap_or(0), dice.chance(400), group)
    };
    let two = |dice: &mut Dice| (Box::new(of(dice)), Box::new(of(dice)));
    match dice.below(8) {
        0 => {
            let (one, other) = two(dice);
            Formula::And(one, other)
        }
        1 => {
            let (one, other) = two(dice);
            Formula::Or(one, other)
        }
        2 => {
            let (one, other) = two(dice);
            Formula::Then(one, other)
        }
        _ => of(dice),
    }
}

fn asks(rule: &mut Rule, dice: &mut Dice, groups: &[Vec<usize>]) {
    if dice.chance(800) {
        rule.approvals = Some(formula(dice, groups));
    }
    if dice.chance(500) || rule.approvals.is_none() {
        rule.delay_secs = pick(dice, &[30, 60, 600]);
        rule.from_first_sight = rule.approvals.is_none() || dice.chance(200);
    }
    rule.not_by_requester = rule.approvals.is_some() && dice.chance(400);
}

fn version(dice: &mut Dice) -> Version {
    let groups = vec![some_people(dice, 2, 4), some_people(dice, 2, 3)];
    let mut rules = vec![rule("gas", Verb::Allow, Class::Fee, Some(Coin::Native))];
    rules[0].most = Some(1);
    for coin in [Coin::Native, Coin::Token] {
        let mut allow = rule(&format!("pay {}", coin.word()), Verb::Allow, Class::Transfer, Some(coin));
        allow.most = Some(u128::from(2 + dice.below(6)));
        if dice.chance(300) {
            allow.to = Where::Only(vec![0, 1]);
        }
        if dice.chance(300) {
            asks(&mut allow, dice, &groups);
        }
        rules.push(allow);
        if dice.chance(700) {
            let mut require = rule(&format!("much {}", coin.word()), Verb::Require, Class::Transfer, Some(coin));
            require.more_than = Some(u128::from(dice.below(3)));
            asks(&mut require, dice, &groups);
            rules.push(require);
        }
    }
    if dice.chance(300) {
        let mut deny = rule("never there", Verb::Deny, Class::Transfer, Some(Coin::Native));
        deny.to = if dice.chance(500) { Where::Only(vec![3]) } else { Where::Except(vec![0, 1, 2]) };
        rules.push(deny);
    }
    if dice.chance(400) {
        let mut allow = rule("leave to take", Verb::Allow, Class::Allowance, Some(Coin::Token));
        allow.most = Some(3);
        allow.to = Where::Only(vec![0]);
        if dice.chance(500) {
            asks(&mut allow, dice, &groups);
        }
        rules.push(allow);
    }
    if dice.chance(200) {
        let mut allow = rule("anything at all", Verb::Allow, Class::Unknown, None);
        allow.approvals = Some(formula(dice, &groups));
        allow.requesters = vec![0];
        rules.push(allow);
    }
    if dice.chance(500) {
        rules.push(rule("greet", Verb::Allow, Class::Message, None));
    }
    Version { groups, rules, place: Place::default() }
}

/// Another version: a delay cut, a formula made easier, a group changed, a rule gone.
fn changed(mut version: Version, dice: &mut Dice) -> Version {
    match dice.below(4) {
        0 => version.rules.iter_mut().for_each(|rule| rule.delay_secs /= 10),
        1 => {
            let groups = version.groups.clone();
            for rule in version.rules.iter_mut().filter(|rule| rule.approvals.is_some()) {
                rule.approvals = Some(formula(dice, &groups));
            }
        }
        2 => version.groups[0] = some_people(dice, 2, 4),
        _ => {
            let last = version.rules.len() - 1;
            if version.rules[last].verb != Verb::Allow {
                version.rules.remove(last);
            }
        }
    }
    version
}
