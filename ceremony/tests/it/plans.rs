//! The plans that are played: the ready one of docs/ceremonies, and a key by the same people.

use std::collections::BTreeSet;

use limen_ceremony::engine::Outcome;
use limen_ceremony::rehearsal::{Cast, play};
use limen_evidence::ceremony::{Mode, Record, Session};

pub(crate) const GENESIS: &str = include_str!("../../../docs/ceremonies/genesis.toml");
pub(crate) const CHARTER: &str = include_str!("../../../deploy/sample/charter.toml");

/// The same people and machines, making a key.
pub(crate) fn key_plan(scheme: &str, protocol: &str) -> String {
    let head = &GENESIS[..GENESIS.find("# The charter that becomes").unwrap()];
    let head = head.replace("kind = \"genesis\"", "kind = \"key-generation\"").replace("genesis-1", "key-1");
    format!(
        "{head}[key_generation]\nkey = \"hot\"\nscheme = \"{scheme}\"\nprotocol = \"{protocol}\"\nsigners_required = 2\n\
         nodes = [\"signer-zurich\", \"signer-frankfurt\", \"signer-singapore\"]\norders = \"conductor\"\n"
    )
}

pub(crate) fn genesis() -> (Cast, Session) {
    let cast = Cast::of(GENESIS, Some(CHARTER), [1; 32]).unwrap();
    let session = cast.session(Mode::Real, &BTreeSet::new()).unwrap();
    (cast, session)
}

/// Three people, two of whose roles are held by a stand-in.
pub(crate) fn key_generation() -> (Cast, Session) {
    let cast = Cast::of(&key_plan("ecdsa-secp256k1", "dkls23"), None, [2; 32]).unwrap();
    let absent = ["anna", "emil"].map(|name| name.parse().unwrap()).into();
    let session = cast.session(Mode::Real, &absent).unwrap();
    assert_eq!(session.attendance().present().len(), 3);
    (cast, session)
}

/// The one record that all ended with.
pub(crate) fn one_record<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Record {
    let mut records = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Completed { record, .. } => record.clone(),
        Outcome::Aborted { by, cause, .. } => panic!("{by} called it off: {cause}"),
    });
    let first = records.next().unwrap();
    assert!(records.all(|record| record == first), "two records of one ceremony");
    first
}

#[test]
fn every_kind_comes_to_one_record_that_holds() {
    let keys = [
        ("ecdsa-secp256k1", "dkls23"),
        ("ecdsa-secp256k1", "cggmp24"),
        ("eddsa-ed25519", "frost"),
        ("schnorr-bip340", "frost"),
    ];
    let mut plans = vec![(GENESIS.to_owned(), Some(CHARTER), 5)];
    plans.extend(keys.map(|(scheme, protocol)| (key_plan(scheme, protocol), None, 7)));
    for (plan, charter, steps) in plans {
        let cast = Cast::of(&plan, charter, [7; 32]).unwrap();
        let session = cast.session(Mode::Real, &BTreeSet::new()).unwrap();
        let outcomes = play(&session, &cast).unwrap();
        assert_eq!(outcomes.len(), 5);
        let record = one_record(outcomes.values());
        let verified = Record::verify(record.as_str().as_bytes()).unwrap();
        assert_eq!((verified.done.len(), verified.certified.is_some()), (steps, charter.is_none()));
    }
}

#[test]
fn stand_ins_take_part_and_those_whom_they_stand_in_for_do_not() {
    let cast = Cast::of(GENESIS, Some(CHARTER), [3; 32]).unwrap();
    let absent = BTreeSet::from(["anna".parse().unwrap()]);
    let session = cast.session(Mode::Real, &absent).unwrap();
    let outcomes = play(&session, &cast).unwrap();
    assert_eq!(outcomes.len(), 4);
    let record = one_record(outcomes.values());
    assert!(record.as_str().contains("\npresent boris carla dora emil\n"));
}

#[test]
fn a_participant_with_other_software_ends_it_for_all_with_the_cause() {
    let cast = Cast::of(GENESIS, Some(CHARTER), [3; 32]).unwrap().measured("cd".repeat(32));
    let session = cast.session(Mode::Rehearsal, &BTreeSet::new()).unwrap();
    for (person, outcome) in play(&session, &cast).unwrap() {
        let Outcome::Aborted { cause, record, .. } = outcome else { panic!("{person} completed it") };
        assert!(cause.contains("software") && cause.contains("none of those that the plan allows"), "{cause}");
        assert!(Record::verify(record.as_str().as_bytes()).is_ok());
    }
}
