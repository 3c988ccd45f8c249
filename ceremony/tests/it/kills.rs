//! Everybody is killed at every effect of every step, and goes on from what was on their disk.

use std::collections::BTreeMap;

use limen_ceremony::board::Board;
use limen_ceremony::custody::verify;
use limen_ceremony::engine::{Input, Outcome};
use limen_ceremony::rehearsal::{Actor, Cast};
use limen_evidence::ceremony::Session;
use limen_wire::ids::PersonId;

use crate::plans::{every_kind, genesis, one_record};

/// What goes wrong, asked before each effect of each participant: how many effects all have done, and how many this one.
enum Blow {
    Nothing,
    /// The process dies; its disk stays.
    Kill,
    /// The conductor's process dies, and its disk with it.
    LoseBoard,
    /// The person says no.
    SayNo,
}

/// A generator of numbers, for schedules that come again.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64*, Vigna 2016
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

/// Plays it with blows, until it has ended for all; answers how, and how many effects each did.
fn play(
    session: &Session,
    cast: &Cast,
    dice: &mut Dice,
    mut blow: impl FnMut(&PersonId, usize, &mut Dice) -> Blow,
) -> (BTreeMap<PersonId, Outcome>, BTreeMap<PersonId, usize>) {
    play_seen(session, cast, dice, |person, count, _, dice| blow(person, count, dice))
}

/// The same; what goes wrong may depend on the step that is open for the participant too.
fn play_seen(
    session: &Session,
    cast: &Cast,
    dice: &mut Dice,
    mut blow: impl FnMut(&PersonId, usize, Option<u32>, &mut Dice) -> Blow,
) -> (BTreeMap<PersonId, Outcome>, BTreeMap<PersonId, usize>) {
    let present = session.attendance().present().clone();
    let new_board = || Board::new(session.plan().clone(), present.clone());
    let mut board = new_board();
    let new = |person: &PersonId, stored| Actor::new(session, cast, person.clone(), stored).unwrap();
    let mut actors: BTreeMap<PersonId, Actor<'_>> =
        present.iter().map(|person| (person.clone(), new(person, Vec::new()))).collect();
    let mut acts: BTreeMap<PersonId, usize> = BTreeMap::new();
    let mut still = 0;
    while still < 2 {
        let mut moved = false;
        for person in &present {
            // Some do much at a time and some little.
            for _ in 0..=dice.roll(4) {
                let count = acts.entry(person.clone()).or_default();
                let step = actors[person].engine().transcript().step().map(|step| step.number);
                match blow(person, *count, step, dice) {
                    Blow::Nothing => {}
                    Blow::Kill => {
                        let stored = actors[person].stored().to_vec();
                        actors.insert(person.clone(), new(person, stored));
                    }
                    Blow::LoseBoard => {
                        // Everybody finds an empty board, as after a start, and says again what they said.
                        board = new_board();
                        for actor in actors.values_mut() {
                            *actor = new(&actor_name(actor), actor.stored().to_vec());
                        }
                    }
                    Blow::SayNo => actors.get_mut(person).unwrap().input(Input::Abort("the person said no".to_owned())),
                }
                let actor = actors.get_mut(person).unwrap();
                *acts.get_mut(person).unwrap() += 1;
                if actor.act(&mut board) || actor.read(&board) {
                    moved = true;
                }
            }
        }
        still = if moved { 0 } else { still + 1 };
    }
    let ended = actors.into_iter().map(|(person, actor)| {
        let at = actor.engine().transcript().step().map(|step| step.name);
        (person, actor.ended().unwrap_or_else(|| panic!("it stands still at {at:?}")).clone())
    });
    (ended.collect(), acts)
}

fn actor_name(actor: &Actor<'_>) -> PersonId {
    actor.name().clone()
}

/// All completed with one record, or all called it off for a cause: never half.
fn ends_alike(outcomes: &BTreeMap<PersonId, Outcome>) -> bool {
    let completed = outcomes.values().filter(|outcome| matches!(outcome, Outcome::Completed { .. })).count();
    for outcome in outcomes.values() {
        let (Outcome::Completed { record, .. } | Outcome::Aborted { record, .. }) = outcome;
        verify(record.as_str().as_bytes()).unwrap();
    }
    assert!(completed == 0 || completed == outcomes.len(), "half of them completed it: {completed}");
    if completed > 0 {
        one_record(outcomes.values());
    }
    completed > 0
}

/// Kills each at each of these effects, all of which a quiet play has.
fn sweep(cast: &Cast, session: &Session, pick: impl Fn(&[Option<u32>]) -> Vec<usize>) {
    let mut seen: BTreeMap<PersonId, Vec<Option<u32>>> = BTreeMap::new();
    let quiet = play_seen(session, cast, &mut Dice(1), |person, _, step, _| {
        seen.entry(person.clone()).or_default().push(step);
        Blow::Nothing
    });
    assert!(ends_alike(&quiet.0));
    for (victim, steps) in &seen {
        for at in pick(steps) {
            let (ended, _) =
                play(session, cast, &mut Dice(1), |person, count, _| match person == victim && count == at {
                    true => Blow::Kill,
                    false => Blow::Nothing,
                });
            assert!(ends_alike(&ended), "{victim} was killed at {at}");
        }
    }
}

#[test]
fn whoever_is_killed_at_any_effect_of_a_genesis_goes_on_to_the_same_record() {
    let (cast, session) = genesis();
    sweep(&cast, &session, |steps| (0..steps.len()).collect());
}

/// In each step of each kind: before the participant does anything there, or when they are at it, in turns.
#[test]
fn whoever_is_killed_in_any_step_of_any_kind_goes_on_to_the_same_record() {
    for (cast, session) in every_kind() {
        sweep(&cast, &session, |steps| {
            let (mut picked, mut place) = (Vec::new(), 0);
            for (turn, run) in steps.chunk_by(|one, other| one == other).enumerate() {
                picked.push(if turn % 2 == steps.len() % 2 { place } else { place + run.len() / 2 });
                place += run.len();
            }
            picked
        });
    }
}

#[test]
fn everybody_is_killed_again_and_again_and_it_is_completed() {
    for (cast, session) in every_kind() {
        for seed in 1..3 {
            let (ended, _) = play(&session, &cast, &mut Dice(seed), |_, _, dice| match dice.roll(40) {
                0 => Blow::Kill,
                _ => Blow::Nothing,
            });
            assert!(ends_alike(&ended), "seed {seed}");
        }
    }
}

#[test]
fn a_board_that_is_lost_with_its_disk_is_filled_again() {
    let (cast, session) = genesis();
    let quiet = play(&session, &cast, &mut Dice(1), |_, _, _| Blow::Nothing);
    let (first, acts) = quiet.1.first_key_value().unwrap();
    for at in 0..*acts {
        let (ended, _) = play(&session, &cast, &mut Dice(1), |person, count, _| match person == first && count == at {
            true => Blow::LoseBoard,
            false => Blow::Nothing,
        });
        assert!(ends_alike(&ended), "lost at {at}");
    }
}

#[test]
fn whoever_says_no_at_any_effect_ends_it_for_all_or_for_nobody() {
    let (cast, session) = genesis();
    let quiet = play(&session, &cast, &mut Dice(1), |_, _, _| Blow::Nothing);
    let (mut completed, mut aborted) = (0, 0);
    for (victim, acts) in &quiet.1 {
        for at in 0..*acts {
            // Killed now and then besides: a no that is on the disk stays one.
            let mut said = false;
            let (ended, _) = play(&session, &cast, &mut Dice(5), |person, count, dice| {
                if person == victim && count == at && !said {
                    said = true;
                    return Blow::SayNo;
                }
                if dice.roll(100) == 0 { Blow::Kill } else { Blow::Nothing }
            });
            match ends_alike(&ended) {
                true => completed += 1,
                false => aborted += 1,
            }
        }
    }
    assert!(completed > 0 && aborted > completed, "{completed} completed, {aborted} called off");
}
