use super::*;

fn batch(bytes: usize) -> PassedOn {
    PassedOn::NonceBatch(pb::Envelope { payload: vec![0; bytes].into(), ..pb::Envelope::default() })
}

#[test]
fn what_a_peer_passes_on_is_bounded_in_number_and_bytes() {
    let (desk, [mut waiting, _asked]) = Desk::new();
    assert!((0..WAITING).all(|_| desk.put(batch(1))));
    assert!(!desk.put(batch(1)));
    drop(waiting.try_recv().unwrap());
    assert!(desk.put(batch(1)), "what was read makes room");

    let (desk, [mut waiting, _asked]) = Desk::new();
    let large = WAITING_BYTES / 4;
    assert!((0..3).all(|_| desk.put(batch(large))));
    assert!(!desk.put(batch(large)), "with its envelope the fourth is too much");
    drop(waiting.try_recv().unwrap());
    assert!(desk.put(batch(large)));
}

#[test]
fn questions_how_we_stand_hold_nothing_else_up() {
    let question = || PassedOn::Talk(Talk::StandingCall(pb::StandingCall { nonce: vec![1; 32].into() }));
    let (desk, [mut waiting, mut asked]) = Desk::new();
    assert!((0..QUESTIONS).all(|_| desk.put(question())));
    assert!(!desk.put(question()), "as many wait as may");
    assert!(desk.put(PassedOn::Talk(Talk::StopRecord(pb::Envelope::default()))));
    assert_eq!(waiting.try_recv().unwrap().0.name(), "stop_record");
    assert_eq!(asked.try_recv().unwrap().0.name(), "standing_call");
}
