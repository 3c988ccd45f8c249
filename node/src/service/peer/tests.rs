use super::*;

fn batch(bytes: usize) -> PassedOn {
    PassedOn::NonceBatch(pb::Envelope { payload: vec![0; bytes].into(), ..pb::Envelope::default() })
}

#[test]
fn what_a_peer_passes_on_is_bounded_in_number_and_bytes() {
    let (desk, [mut line, _asked]) = Desk::new();
    assert!((0..WAITING).all(|_| desk.put(batch(1))));
    assert!(!desk.put(batch(1)));
    drop(line.waiting.try_recv().unwrap());
    assert!(desk.put(batch(1)), "what was read makes room");

    let (desk, [mut line, _asked]) = Desk::new();
    let large = WAITING_BYTES / 4;
    assert!((0..3).all(|_| desk.put(batch(large))));
    assert!(!desk.put(batch(large)), "with its envelope the fourth is too much");
    drop(line.waiting.try_recv().unwrap());
    assert!(desk.put(batch(large)));
}

#[test]
fn questions_how_we_stand_hold_nothing_else_up() {
    let question = || PassedOn::Talk(Talk::StandingCall(pb::StandingCall { nonce: vec![1; 32].into() }));
    let (desk, [mut line, mut asked]) = Desk::new();
    assert!((0..QUESTIONS).all(|_| desk.put(question())));
    assert!(!desk.put(question()), "as many wait as may");
    assert!(desk.put(PassedOn::Talk(Talk::StopRecord(pb::Envelope::default()))));
    assert_eq!(line.waiting.try_recv().unwrap().0.name(), "stop_record");
    assert_eq!(asked.waiting.try_recv().unwrap().0.name(), "standing_call");
}

/// An answer to an old question is of no use to anybody, and may cost a token's signature.
#[tokio::test]
async fn only_the_latest_question_how_we_stand_is_read_and_of_all_else_everything() {
    let question = |number: u8| PassedOn::Talk(Talk::StandingCall(pb::StandingCall { nonce: vec![number; 32].into() }));
    let (desk, [mut line, mut asked]) = Desk::new();
    for number in 1..=3 {
        assert!(desk.put(question(number)) && desk.put(batch(usize::from(number))));
    }
    let (latest, room) = asked.next().await.unwrap();
    assert!(matches!(latest, PassedOn::Talk(Talk::StandingCall(call)) if call.nonce[..] == [3; 32]));
    drop(room);
    assert!(asked.waiting.try_recv().is_err(), "the earlier ones are gone");
    for number in 1..=3 {
        let (next, _room) = line.next().await.unwrap();
        assert!(matches!(next, PassedOn::NonceBatch(batch) if batch.payload.len() == number));
    }
    assert_eq!(desk.room.available_permits(), WAITING_BYTES, "what nobody reads takes no room either");
    // What comes afterwards is read too, and the line ends with its desk.
    assert!(desk.put(question(4)));
    drop(desk);
    let (next, _room) = asked.next().await.unwrap();
    assert!(matches!(next, PassedOn::Talk(Talk::StandingCall(call)) if call.nonce[..] == [4; 32]));
    assert!(asked.next().await.is_none());
}
