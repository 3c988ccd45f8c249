//! A conductor that shows different people different things, and people who say two things.

use std::collections::{BTreeMap, BTreeSet};

use limen_ceremony::board::Board;
use limen_ceremony::custody::verify;
use limen_ceremony::engine::Outcome;
use limen_ceremony::rehearsal::{Actor, Cast, play_with};
use limen_evidence::ceremony::{Body, Mode, Session, Transcript, sign};
use limen_policy::ceremony::step::SIGN;
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::ids::PersonId;
use limen_wire::pb;

use crate::plans::{CHARTER, GENESIS, READY, every_kind, genesis, one_record};

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
    let fields = cast.lines(&transcript, step, &person(name)).unwrap();
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

/// Somebody who is there, and all of them.
fn people(session: &Session) -> (PersonId, Vec<&str>) {
    let present = session.attendance().present();
    (present.last().unwrap().clone(), present.iter().map(PersonId::as_str).collect())
}

#[test]
fn a_conductor_that_shows_two_transcripts_ends_every_kind_for_all() {
    for (cast, session) in every_kind() {
        // Two words of one person for the same step: each alone is good, so only the heads can tell.
        let (liar, all) = people(&session);
        let extra = [5, 6].map(|at| vec![plan_signed(&session, &cast, liar.as_str(), at)]);
        let ended = split(&session, &cast, &all[..2], extra);
        all_aborted(&ended, all.len(), "SPLIT VIEW");
    }
}

#[test]
fn a_person_who_says_two_things_is_named_with_both() {
    for (cast, session) in every_kind() {
        let (liar, all) = people(&session);
        let both = [5, 6].map(|at| plan_signed(&session, &cast, liar.as_str(), at)).to_vec();
        let ended = split(&session, &cast, &all, [both, Vec::new()]);
        all_aborted(&ended, all.len(), &format!("SPLIT VIEW: {liar} said two different things in step 1"));
    }
}

#[test]
fn a_plan_that_was_swapped_after_it_was_signed_ends_every_kind_for_all() {
    for (cast, session) in every_kind() {
        let swapped = cast.plan().replace("disk_free_mib = 100", "disk_free_mib = 1");
        let present = session.attendance().present().clone();
        let other = Session::new(&swapped, cast.charter(), Mode::Real, present).unwrap();
        assert_ne!(session.plan().hash(), other.plan().hash());
        // One signed the plan as it was reviewed; everybody else has the other one before them.
        let (honest, all) = people(&session);
        let extra = vec![plan_signed(&session, &cast, honest.as_str(), 5)];
        let ended = split(&other, &cast, &all, [extra, Vec::new()]);
        all_aborted(&ended, all.len(), &format!("SPLIT VIEW: {honest} has plan"));
    }
}

/// Where each line of a record lies, told by the lines alone.
fn places(text: &str) -> Vec<(usize, usize, String)> {
    let (mut place, mut from) = ("the head".to_owned(), 0);
    let mut places = Vec::new();
    for line in text.split_inclusive('\n') {
        if let Some(step) = line.strip_prefix("step ") {
            let (number, name) = step.trim_end().split_once(' ').unwrap();
            place = format!("step {number} ({name})");
        }
        if line.starts_with("completed ") {
            place = "the foot".to_owned();
        }
        places.push((from, line.len(), place.clone()));
        from += line.len();
    }
    places
}

#[test]
fn bytes_that_change_in_every_line_of_every_kind_are_refused_with_the_step_named() {
    for (cast, session) in every_kind() {
        let outcomes = limen_ceremony::rehearsal::play(&session, &cast).unwrap();
        let record = one_record(outcomes.values());
        let mut bytes = record.as_str().as_bytes().to_vec();
        for (number, (from, len, place)) in places(record.as_str()).into_iter().enumerate() {
            // The first, the last, and one in between, in turns; every byte of a genesis is tried where records are.
            let at = from + [0, (number * 31) % len, len - 1][number % 3];
            let before = bytes[at];
            bytes[at] = before ^ (1 << (at % 8));
            let error = verify(&bytes).expect_err("must be refused");
            assert_eq!(error.place.to_string(), place, "{}: byte {at}: {error}", session.plan().kind.as_str());
            bytes[at] = before;
        }
        assert!(verify(&bytes).is_ok());
    }
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
    let verified = verify(record.as_str().as_bytes()).unwrap();
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
        let head = verified.name.unwrap();
        let body = Body::Abort { head, cause: "I would rather not".to_owned(), evidence: Vec::new() };
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

#[test]
fn that_a_machine_rotated_its_wrapping_keys_in_the_rehearsal_counts_nothing_in_the_real_ceremony() {
    let plan = READY.iter().find(|plan| plan.contains("kind = \"kek-rotation\"")).unwrap();
    let cast = Cast::of(plan, None, [9; 32]).unwrap();
    let [practice, real] = [Mode::Rehearsal, Mode::Real].map(|mode| cast.session(mode, &BTreeSet::new()).unwrap());
    let (transcript, step) =
        (Transcript::new(&practice), practice.steps().iter().find(|step| step.name == "destroyed").unwrap());
    let rehearsed: BTreeMap<String, String> =
        step.says.iter().flat_map(|(person, _)| cast.lines(&transcript, step, person).unwrap()).collect();
    assert_eq!(rehearsed.len(), 1);
    let outcomes = play_with(&real, &cast, &|name, value| rehearsed.get(name).cloned().unwrap_or(value)).unwrap();
    for outcome in outcomes.values() {
        let Outcome::Aborted { cause, .. } = outcome else { panic!("completed") };
        assert!(cause.contains("destroyed-signer-") && cause.contains("does not verify under"), "{cause}");
    }
}

#[test]
fn a_second_word_as_large_as_one_can_be_ends_it_for_all() {
    let (cast, session) = genesis();
    let (liar, all) = people(&session);
    let first = plan_signed(&session, &cast, liar.as_str(), 5);
    let large = |bytes: usize| {
        let Body::Step { number, name, head, at, fields, .. } =
            limen_evidence::ceremony::Said::open(&first, session.plan()).unwrap().contribution.body
        else {
            panic!()
        };
        let exceptions = vec!["x".repeat(bytes - 20_000), "y".repeat(20_000)];
        let contribution = session.contribution(&liar, Body::Step { number, name, head, at, exceptions, fields });
        let message = pre_authentication_encoding(PayloadType::Ceremony.as_str(), contribution.to_text().as_bytes());
        (contribution.to_text().len(), sign(&contribution, &cast.sign(&liar, &message).unwrap()))
    };
    let most = limen_evidence::ceremony::MAX_STEP;
    let over = large(25_000).0 - 25_000;
    let (len, second) = large(most - over);
    assert_eq!(len, most);
    let ended = split(&session, &cast, &all, [vec![first.clone(), second], Vec::new()]);
    all_aborted(&ended, all.len(), &format!("SPLIT VIEW: {liar} said two different things in step 1"));
    // What is longer nobody takes for a word.
    let (_, longer) = large(most - over + 1);
    assert!(limen_evidence::ceremony::Said::open(&longer, session.plan()).is_err());
}

#[test]
fn a_hundred_long_exceptions_end_in_one_signed_step_and_the_rest_in_the_next() {
    use limen_ceremony::engine::{Effect, Engine, Input};
    let (cast, session) = genesis();
    let anna = person("anna");
    let mut engine = Engine::new(Transcript::new(&session), anna.clone());
    let effects = engine.start(Vec::new());
    let [Effect::Perform(step)] = effects.as_slice() else { panic!("{effects:?}") };
    let fields = cast.lines(engine.transcript(), step, &anna).unwrap();
    let exceptions = vec!["x".repeat(4000); 100];
    let effects = engine.handle(Input::Performed { step: step.number, at: 1, exceptions, fields });
    let [Effect::Sign(contribution)] = effects.as_slice() else { panic!("{effects:?}") };
    let message = pre_authentication_encoding(PayloadType::Ceremony.as_str(), contribution.to_text().as_bytes());
    let signature = cast.sign(&anna, &message).unwrap();
    let effects = engine.handle(Input::Signed(contribution.clone(), signature));
    assert!(matches!(effects.as_slice(), [Effect::Store(_), Effect::Send(_), ..]), "{effects:?}");
    assert_eq!(engine.said_exceptions(), 1);
}

#[test]
fn a_board_full_of_junk_takes_little_memory() {
    use limen_ceremony::board::Kept;
    use prost::Message as _;
    let (cast, session) = genesis();
    let mut kept = Kept::new(session.plan());
    let mut junk = plan_signed(&session, &cast, "anna", 5);
    junk.signatures[0].signature = vec![1; 64].into();
    while !kept.is_full() {
        kept.take(junk.clone());
    }
    assert!(kept.into_list().is_empty(), "what nobody of the plan signed");
    // One of the plan who signs as much as they like leaves room for the others.
    let mut kept = Kept::new(session.plan());
    for at in 0..3000 {
        kept.take(plan_signed(&session, &cast, "anna", at));
    }
    kept.take(plan_signed(&session, &cast, "boris", 5));
    let list = kept.into_list();
    let most = 16 * limen_evidence::ceremony::MAX_STEP;
    assert!(list.len() < 3000 && list.iter().map(|one| one.encoded_len()).sum::<usize>() <= most + 1024);
    assert!(list.last().unwrap().signatures[0].signer == "boris");
}
