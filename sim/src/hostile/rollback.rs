//! Older disks of as many signers as may fail are put back, and then somebody wants signatures.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::{Class, Coin, Place, Plan, Verb, Version, rule};
use super::program::{Draft, Kind, Label, Step, TalkStep};
use super::shares::Shares;
use super::stage::Stage;
use crate::Dice;

/// What became of it.
#[derive(Debug, Default)]
pub struct RolledBack {
    /// Disks that were put back.
    pub disks: u64,
    /// Signers that noticed within a round and said so when they were asked to sign.
    pub noticed: u64,
    /// Refusals of such signers by their words.
    pub refusals: BTreeMap<&'static str, u64>,
    /// What must not be.
    pub broken: Vec<String>,
}

/// Committees, `(signers, required)`.
const SIZES: [(u8, u8); 4] = [(3, 2), (5, 3), (4, 3), (5, 4)];
/// Payments that are asked for.
const PAYMENTS: usize = 8;

fn plan(signers: u8, required: u8) -> Plan {
    let mut gas = rule("gas", Verb::Allow, Class::Fee, Some(Coin::Native));
    gas.most = Some(1);
    let mut pay = rule("pay", Verb::Allow, Class::Transfer, Some(Coin::Native));
    pay.most = Some(10);
    Plan {
        signers,
        required,
        corrupt: 0,
        behind: vec![vec![4], vec![], vec![]],
        limits: Vec::new(),
        max_sessions: 16,
        max_expiry_secs: 86_400,
        lift_delay_secs: 60,
        automatic: None,
        outside: None,
        keepers: None,
        standing: true,
        log: false,
        live: None,
        versions: vec![Version { groups: vec![vec![0, 1, 2]], rules: vec![gas, pay], place: Place::default() }],
    }
}

fn ask(label: Label) -> Step {
    let (kind, nonce) = (Kind::Native, label as u64);
    Step::Ask(label, Draft { requester: 0, kind, units: 1, to: 0, nonce, name: label, life_secs: 3600, replaces: None })
}

fn round() -> Step {
    Step::Talk(TalkStep::Round { cut: Vec::new(), pages: true })
}

fn sign(set: &[u8], session: usize, request: Label) -> Step {
    let (papers, certificates) = (Vec::new(), Vec::new());
    let (set, asked) = (set.to_vec(), set.to_vec());
    Step::Sign { set, asked, session, request, papers, certificates, spoil: None, finish: true }
}

/// So many of the signers, at random and in order; `of` are among them, as far as there is room.
fn some(dice: &mut Dice, signers: u8, count: u8, of: &[u8]) -> Vec<u8> {
    let mut set: Vec<u8> = of.iter().copied().take(count.into()).collect();
    while set.len() < usize::from(count) {
        let one = 1 + u8::try_from(dice.below(signers.into())).unwrap_or(0);
        if !set.contains(&one) {
            set.push(one);
        }
    }
    set.sort_unstable();
    set
}

/// Plays one case of a seed.
pub fn roll_back(seed: u64) -> RolledBack {
    let mut dice = Dice::new(seed);
    let (signers, required) = SIZES[usize::try_from(seed % SIZES.len() as u64).unwrap_or(0)];
    let count = 1 + u8::try_from(dice.below(u64::from(required) - 1)).unwrap_or(0);
    let old = some(&mut dice, signers, count, &[]);
    let mut program: Vec<Step> = (0..PAYMENTS).map(ask).collect();
    let mut sessions = 0..;
    let mut session = move || sessions.next().unwrap_or(0);
    program.push(round());
    for request in 0..dice.index(3).unwrap_or(0) {
        program.push(sign(&some(&mut dice, signers, required, &[]), session(), request));
    }
    program.push(round());
    program.extend(old.iter().map(|signer| Step::Talk(TalkStep::KeepDisk(*signer))));
    // What will be forgotten: permissions of each, in sessions that somebody starts again later.
    let forgotten: Vec<Step> =
        (3..5).map(|request| sign(&some(&mut dice, signers, required, &old), session(), request)).collect();
    program.extend(forgotten.iter().cloned());
    program.extend([round(), round(), Step::Talk(TalkStep::PutBackAll(old.clone()))]);
    program.extend(old.iter().map(|signer| Step::Start(*signer, 0)));
    let mut stage = Stage::new(plan(signers, required), Arc::new(Shares::StandIn), None);
    let mut found = RolledBack { disks: old.len() as u64, ..RolledBack::default() };
    plays(&mut stage, &program, &mut found);
    let mut forgotten = forgotten;
    for step in &mut forgotten {
        if let Step::Sign { finish, .. } = step {
            // Nobody hands them the signature that they have forgotten.
            *finish = false;
        }
    }
    // Before they have heard anybody they sign nothing; after a round they know why.
    plays(&mut stage, &forgotten, &mut found);
    plays(&mut stage, &[round()], &mut found);
    let before = stage.trace.len();
    plays(&mut stage, &forgotten, &mut found);
    plays(&mut stage, &[sign(&some(&mut dice, signers, required, &old), session(), 6)], &mut found);
    let said: Vec<String> = stage.trace.split_off(before);
    for signer in &old {
        let own = format!("    signer {signer} refuses: ");
        let words: Vec<&str> = said.iter().filter_map(|line| line.strip_prefix(&own)).collect();
        let notices = !words.is_empty() && words.iter().all(|words| words.contains("this signer's store was put back"));
        found.noticed += u64::from(notices);
        if !notices {
            found.broken.push(format!("signer {signer} of {signers} does not notice: {words:?}; {said:?}"));
        }
        *found.refusals.entry("store was put back").or_default() += words.len() as u64;
    }
    // Nor do they later, nor after another start.
    let again = old.iter().flat_map(|signer| [Step::Kill(*signer, true), Step::Start(*signer, 0)]);
    let again: Vec<Step> = again.chain([round()]).chain(forgotten).collect();
    plays(&mut stage, &again, &mut found);
    found
}

fn plays(stage: &mut Stage, steps: &[Step], found: &mut RolledBack) {
    for step in steps {
        if let Err(violation) = stage.play(step) {
            found.broken.push(violation.to_string());
        }
    }
}
