use super::*;

fn node(number: usize) -> NodeId {
    NodeId::new(format!("signer-{number}")).unwrap()
}

fn ordered() -> KeyRecord {
    KeyRecord::ordered(KeyId::new("treasury").unwrap(), pb::Envelope::default())
}

fn error(code: Code) -> ApiError {
    ApiError::new(code, "why")
}

#[test]
fn a_key_is_active_once_enough_members_hold_the_certificate() {
    let mut key = ordered();
    assert!(step(&mut key, KeyEvent::AttemptStarted, 2));
    for number in 1..=3 {
        assert!(step(&mut key, KeyEvent::Statement(node(number), pb::Envelope::default()), 2));
    }
    assert!(key.to_wire(3).progress.contains("3 of 3"));
    assert!(step(&mut key, KeyEvent::Certified(pb::Envelope::default()), 2));
    assert_eq!(key.to_wire(3).state, i32::from(pb::KeyState::PreActive));
    step(&mut key, KeyEvent::Activated(node(1)), 2);
    assert_eq!(key.phase, KeyPhase::Certified);
    step(&mut key, KeyEvent::Activated(node(3)), 2);
    assert_eq!(key.phase, KeyPhase::Active);
    assert!(!step(&mut key, KeyEvent::Activated(node(3)), 2), "nothing new");
}

#[test]
fn attempts_are_bounded_and_final_refusals_end_at_once() {
    let mut key = ordered();
    for _ in 1..MAX_ATTEMPTS {
        step(&mut key, KeyEvent::AttemptStarted, 2);
        step(&mut key, KeyEvent::AttemptFailed(error(Code::SessionTimeout)), 2);
        assert_eq!(key.phase, KeyPhase::Ordered);
    }
    step(&mut key, KeyEvent::AttemptStarted, 2);
    step(&mut key, KeyEvent::AttemptFailed(error(Code::SessionTimeout)), 2);
    assert_eq!(key.phase, KeyPhase::Failed);
    assert!(key.pieces.is_empty(), "encrypted pieces are kept no longer than they are needed");
    let mut refused = ordered();
    step(&mut refused, KeyEvent::AttemptStarted, 2);
    step(&mut refused, KeyEvent::AttemptFailed(error(Code::NotPermitted)), 2);
    assert_eq!(refused.phase, KeyPhase::Failed);
    assert_eq!(refused.to_wire(3).error.unwrap().code, "not_permitted");
}

#[test]
fn a_certificate_revives_a_key_that_was_thought_lost() {
    let mut key = ordered();
    step(&mut key, KeyEvent::GivenUp(error(Code::Expired)), 2);
    assert_eq!(key.phase, KeyPhase::Failed);
    assert!(step(&mut key, KeyEvent::Certified(pb::Envelope::default()), 2));
    assert_eq!((key.phase, key.error), (KeyPhase::Certified, None));
}

#[test]
fn phases_keep_their_numbers() {
    let numbers: Vec<u32> = KeyPhase::ALL.iter().map(|phase| phase.number()).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    for phase in KeyPhase::ALL {
        assert_eq!(KeyPhase::from_number(phase.number()), Some(phase));
    }
    assert_eq!(KeyPhase::from_number(9), None);
}
