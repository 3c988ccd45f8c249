//! Plans out of chance.

use super::{Class, Coin, Formula, Limit, PEOPLE, Per, Place, Plan, Rule, UNIT, Verb, Version, Where};
use crate::Dice;

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
