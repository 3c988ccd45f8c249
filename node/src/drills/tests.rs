//! What is said of records that are not taken.

use super::*;

#[test]
fn what_lacks_nothing_but_time_is_heard_again_and_nothing_else() {
    let drill = || DrillId::new("back").unwrap();
    let future = NotTaken::Drill(DrillError::Future { at_secs: 1000, now_secs: 900 });
    assert_eq!((future.code(), future.counts_from_secs()), (Code::WrongState, Some(1000 - SKEW_SECS)));
    assert_eq!((NotTaken::CutOff.code(), NotTaken::CutOff.counts_from_secs()), (Code::Internal, Some(0)));
    for never in [
        NotTaken::Malformed("x".to_owned()),
        NotTaken::Drill(DrillError::Rehearsal),
        NotTaken::OtherKey(KeyId::new("shadow").unwrap()),
        NotTaken::Older { drill: drill(), at_secs: 1, last_secs: 2 },
        NotTaken::Soon { drill: drill(), at_secs: 3, last_secs: 2, next_secs: 2 + DAY_SECS },
    ] {
        assert_eq!(never.counts_from_secs(), None, "{never}");
    }
}

#[test]
fn a_result_is_of_a_key_and_not_of_its_name_alone() {
    let key = KeyId::new("shadow").unwrap();
    assert_eq!(key_of(&key, &[2, 171]), "shadow 02ab");
}

#[test]
fn every_drill_that_is_overdue_is_told() {
    let state = |drill: &str, due_ms, blocks_ms| pb::DrillState {
        drill: drill.to_owned(),
        due_ms,
        blocks_ms,
        ..pb::DrillState::default()
    };
    let states = vec![state("a", 9_000, 20_000), state("b", 8_000, 10_000), state("c", 11_000, 11_000)];
    let told: Vec<_> = late(states, Millis(10_000)).into_iter().map(|(state, blocks)| (state.drill, blocks)).collect();
    assert_eq!(told, [("a".to_owned(), false), ("b".to_owned(), true)]);
}
