//! A conductor that shows different people different things, and people who say two things.

use std::collections::{BTreeMap, BTreeSet};

use limen_ceremony::board::Board;
use limen_ceremony::engine::Outcome;
use limen_ceremony::rehearsal::{Actor, Cast};
use limen_evidence::ceremony::{Body, Mode, Session, Transcript, sign};
use limen_policy::ceremony::step::SIGN;
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::ids::PersonId;
use limen_wire::pb;

use crate::plans::{CHARTER, GENESIS, genesis};

fn person(name: &str) -> PersonId {
    name.parse().unwrap()
}

/// A conductor with two boards, who is honest only about whom each is shown to.
fn split(session: &Session, cast: &Cast, left: &[&str], extra: [Vec<pb::Envelope>; 2]) -> BTreeMap<PersonId, Outcome> {
    let present = session.attendance().present().clone();
    let mut boards = extra.map(|extra| {
        let mut board = Board::new(session.plan().clone(), present.clone());
        extra.into_iter().for_each(|envelope| board.put(envelope));
        board
    });
    let mut actors: Vec<(PersonId, usize, Actor<'_>)> = present
        .iter()
        .map(|person| {
            let side = usize::from(!left.contains(&person.as_str()));
            (person.clone(), side, Actor::new(session, cast, person.clone(), Vec::new()).unwrap())
        })
        .collect();
    let mut moved = true;
    while moved {
        moved = false;
        for (_, side, actor) in &mut actors {
            while actor.act(&mut boards[*side]) || actor.read(&boards[*side]) {
                moved = true;
            }
        }
        // What people say it carries to both sides; what it made up itself stays where it is.
        let said: Vec<pb::Envelope> = boards.iter().flat_map(|board| board.from(0).to_vec()).collect();
        for envelope in said {
            for board in &mut boards {
                let made_up = board
                    .from(0)
                    .iter()
                    .any(|one| one.payload != envelope.payload && same_step(session, one, &envelope));
                if !made_up && board.admits(&envelope) == Ok(true) {
                    board.put(envelope.clone());
                    moved = true;
                }
            }
        }
    }
    actors.into_iter().filter_map(|(person, _, actor)| Some((person, actor.ended()?.clone()))).collect()
}

/// Whether both are the same person's part of the same step.
fn same_step(session: &Session, one: &pb::Envelope, other: &pb::Envelope) -> bool {
    let open = |envelope| limen_evidence::ceremony::Said::open(envelope, session.plan()).unwrap().contribution;
    let (one, other) = (open(one), open(other));
    match (one.body, other.body) {
        (Body::Step { number, .. }, Body::Step { number: n, .. }) => one.author == other.author && number == n,
        _ => false,
    }
}

/// A part of the first step by this person, with this time.
fn plan_signed(session: &Session, cast: &Cast, name: &str, at: u64) -> pb::Envelope {
    let transcript = Transcript::new(session);
    let step = transcript.step().unwrap();
    let fields = cast.lines(session.plan(), step, &person(name)).unwrap();
    let (number, head) = (step.number, transcript.head());
    let body = Body::Step { number, name: step.name.to_owned(), head, at: Some(at), exceptions: Vec::new(), fields };
    let contribution = session.contribution(&person(name), body);
    let message = pre_authentication_encoding(PayloadType::Ceremony.as_str(), contribution.to_text().as_bytes());
    sign(&contribution, &cast.sign(&person(name), &message).unwrap())
}

fn all_aborted(ended: &BTreeMap<PersonId, Outcome>, count: usize, why: &str) {
    assert_eq!(ended.len(), count, "{:?}", ended.keys());
    for (person, outcome) in ended {
        let Outcome::Aborted { cause, record, .. } = outcome else { panic!("{person} completed it") };
        assert!(cause.contains(why), "{person}: {cause}, not {why}");
        assert!(record.as_str().contains("\n| evidence "), "{person} has nothing to show");
    }
}

#[test]
fn a_conductor_that_shows_two_transcripts_ends_it_for_all() {
    let (cast, session) = genesis();
    // Two words of one person for the same step: each alone is good, so only the heads can tell.
    let extra = [vec![plan_signed(&session, &cast, "emil", 5)], vec![plan_signed(&session, &cast, "emil", 6)]];
    let ended = split(&session, &cast, &["anna", "boris"], extra);
    all_aborted(&ended, 5, "SPLIT VIEW");
}

#[test]
fn a_person_who_says_two_things_is_named_with_both() {
    let (cast, session) = genesis();
    let both = vec![plan_signed(&session, &cast, "emil", 5), plan_signed(&session, &cast, "emil", 6)];
    let ended = split(&session, &cast, &["anna", "boris", "carla", "dora", "emil"], [both, Vec::new()]);
    all_aborted(&ended, 5, "SPLIT VIEW: emil said two different things in step 1");
}

#[test]
fn a_plan_that_was_swapped_after_it_was_signed_ends_it_for_all() {
    let (cast, session) = genesis();
    let swapped = GENESIS.replace("disk_free_mib = 100", "disk_free_mib = 1");
    let other = Cast::of(&swapped, Some(CHARTER), [1; 32]).unwrap();
    let other_session = other.session(Mode::Real, &BTreeSet::new()).unwrap();
    assert_ne!(session.plan().hash(), other_session.plan().hash());
    // Carla signed the plan as it was reviewed; everybody else has the other one before them.
    let extra = vec![plan_signed(&session, &cast, "carla", 5)];
    let people = ["anna", "boris", "carla", "dora", "emil"];
    let ended = split(&other_session, &other, &people, [extra, Vec::new()]);
    all_aborted(&ended, 5, "SPLIT VIEW: carla has plan");
}

#[test]
fn different_people_there_in_the_eyes_of_two_end_it_for_all() {
    let cast = Cast::of(GENESIS, Some(CHARTER), [1; 32]).unwrap();
    let full = cast.session(Mode::Real, &BTreeSet::new()).unwrap();
    let less = cast.session(Mode::Real, &[person("anna")].into()).unwrap();
    let mut board = Board::new(full.plan().clone(), full.attendance().present().clone());
    let mut actors: Vec<Actor<'_>> = ["boris", "carla", "dora", "emil"]
        .iter()
        .map(|name| Actor::new(if *name == "boris" { &full } else { &less }, &cast, person(name), Vec::new()).unwrap())
        .collect();
    actors.push(Actor::new(&full, &cast, person("anna"), Vec::new()).unwrap());
    let mut moved = true;
    while moved {
        moved = false;
        for actor in &mut actors {
            while actor.act(&mut board) || actor.read(&board) {
                moved = true;
            }
        }
    }
    for actor in &actors {
        assert!(matches!(actor.ended(), Some(Outcome::Aborted { .. })), "{}", actor.name());
    }
}

#[test]
fn nobody_calls_it_off_after_signing_and_a_word_of_that_is_not_heard() {
    let (cast, session) = genesis();
    let outcomes = limen_ceremony::rehearsal::play(&session, &cast).unwrap();
    assert_eq!(outcomes.len(), 5);
    // An engine in which all but one have signed the record.
    let Outcome::Completed { record, .. } = &outcomes[&person("anna")] else { panic!() };
    let verified = limen_evidence::ceremony::Record::verify(record.as_str().as_bytes()).unwrap();
    let said = verified.done.iter().enumerate().flat_map(|(step, said)| {
        let last = step + 1 == verified.done.len();
        said.values()
            .filter(move |one| !last || one.contribution.author.as_str() != "emil")
            .map(|one| one.to_envelope())
    });
    let stored: Vec<pb::Envelope> = said.collect();
    let mut anna = Actor::new(&session, &cast, person("anna"), stored).unwrap();
    assert_eq!(anna.engine().transcript().step().unwrap().name, SIGN);
    let abort = |name: &str| {
        let body = Body::Abort { cause: "I would rather not".to_owned(), evidence: Vec::new() };
        let contribution = session.contribution(&person(name), body);
        let message = pre_authentication_encoding(PayloadType::Ceremony.as_str(), contribution.to_text().as_bytes());
        sign(&contribution, &cast.sign(&person(name), &message).unwrap())
    };
    let mut board = Board::new(session.plan().clone(), session.attendance().present().clone());
    anna.input(limen_ceremony::engine::Input::Abort("I would rather not".to_owned()));
    board.put(abort("boris"));
    while anna.act(&mut board) || anna.read(&board) {}
    assert_eq!(anna.ended(), None, "boris has signed, and so has anna");
    board.put(abort("emil"));
    while anna.act(&mut board) || anna.read(&board) {}
    assert!(
        matches!(anna.ended(), Some(Outcome::Aborted { by, .. }) if by.as_str() == "emil"),
        "who has not signed may"
    );
}
