use super::*;

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn party(index: u16) -> PartyIndex {
    PartyIndex::new(index).unwrap()
}

fn wire_frame(session: u8, from: u32, body: &[u8]) -> pb::SessionFrame {
    pb::SessionFrame {
        session_id: vec![session; 32].into(),
        round: 1,
        from,
        to: 0,
        tag: vec![5; 32].into(),
        body: body.to_vec().into(),
    }
}

fn registry(early: usize) -> (Arc<Sessions>, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    (Sessions::new(2, early, Duration::from_secs(10), Arc::clone(&metrics)), metrics)
}

fn dropped(metrics: &Metrics, reason: &'static str) -> u64 {
    metrics.dropped.get_or_create(&crate::metrics::Reason { reason }).get()
}

fn members() -> HashMap<NodeId, PartyIndex> {
    HashMap::from([(node("n2"), party(2))])
}

#[tokio::test]
async fn frames_reach_their_session_also_if_they_come_before_it() {
    let (sessions, metrics) = registry(10);
    sessions.deliver(&node("n2"), wire_frame(1, 2, b"early"));
    let mut inbox = sessions.open(SessionId::new([1; 32]), members()).unwrap();
    sessions.deliver(&node("n2"), wire_frame(1, 2, b"later"));
    let mut events = Vec::new();
    assert_eq!(inbox.take(&mut events).await, 2);
    let bodies: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Frame(sender, frame, _) => (sender.as_u8(), frame.body.as_slice()),
            Event::PeerLost(_) => panic!("nobody was lost"),
        })
        .collect();
    assert_eq!(bodies, [(2, &b"early"[..]), (2, b"later")]);
    drop(inbox);
    sessions.deliver(&node("n2"), wire_frame(1, 2, b"straggler"));
    assert_eq!(dropped(&metrics, "after_end"), 1);
}

#[tokio::test]
async fn what_belongs_nowhere_is_dropped_counted_and_harms_nobody() {
    let (sessions, metrics) = registry(10);
    let mut inbox = sessions.open(SessionId::new([1; 32]), members()).unwrap();
    let outsider = node("n3");
    sessions.deliver(&outsider, wire_frame(1, 3, b"let me in"));
    assert_eq!(dropped(&metrics, "outside_signer_set"), 1);
    sessions.deliver(&node("n2"), pb::SessionFrame { session_id: vec![1; 31].into(), ..wire_frame(1, 2, b"") });
    sessions.deliver(&node("n2"), pb::SessionFrame { tag: vec![1; 31].into(), ..wire_frame(1, 2, b"") });
    sessions.deliver(&node("n2"), pb::SessionFrame { round: 256, ..wire_frame(1, 2, b"") });
    sessions.deliver(&node("n2"), wire_frame(1, 0, b"from nobody"));
    sessions.deliver(&node("n2"), wire_frame(1, 300, b"from nobody"));
    assert_eq!(dropped(&metrics, "garbage"), 5);
    sessions.deliver(&node("n2"), wire_frame(1, 2, &vec![0; limits::FRAME_BODY_BYTES + 1]));
    assert_eq!(dropped(&metrics, "oversize"), 1);
    sessions.deliver(&node("n2"), wire_frame(1, 2, b"good"));
    let mut events = Vec::new();
    assert_eq!(inbox.take(&mut events).await, 1);
}

#[test]
fn early_frames_are_bounded_for_each_peer_by_itself() {
    let (sessions, metrics) = registry(3);
    for n in 0..5 {
        sessions.deliver(&node("n2"), wire_frame(n, 2, b"x"));
    }
    assert_eq!(dropped(&metrics, "early_overflow"), 2);
    sessions.deliver(&node("n3"), wire_frame(9, 3, b"x"));
    assert_eq!(dropped(&metrics, "early_overflow"), 2, "another peer has room of its own");
    // an opened session gives the room back
    drop(sessions.open(SessionId::new([0; 32]), members()).unwrap());
    sessions.deliver(&node("n2"), wire_frame(8, 2, b"x"));
    assert_eq!(dropped(&metrics, "early_overflow"), 2);
}

#[test]
fn early_frames_expire() {
    let mut early = EarlyFrames::new(10, Duration::from_secs(10));
    let (sender, start) = (node("n2"), Instant::now());
    let frame = decode(wire_frame(1, 2, b"x")).unwrap();
    assert!(early.keep(SessionId::new([1; 32]), &sender, frame, start));
    assert!(early.expire(start + Duration::from_secs(9)).is_empty());
    assert_eq!(early.expire(start + Duration::from_secs(11)), HashMap::from([(sender, 1)]));
    assert!(early.take(&SessionId::new([1; 32])).is_empty());
}

#[tokio::test]
async fn sessions_are_bounded_and_hear_of_lost_peers() {
    let (sessions, _) = registry(3);
    let mut first = sessions.open(SessionId::new([1; 32]), members()).unwrap();
    assert_eq!(sessions.open(SessionId::new([1; 32]), members()).unwrap_err(), OpenError::Running);
    let second = sessions.open(SessionId::new([2; 32]), HashMap::new()).unwrap();
    assert_eq!(sessions.open(SessionId::new([3; 32]), members()).unwrap_err(), OpenError::TooMany);
    drop(second);
    sessions.open(SessionId::new([3; 32]), members()).unwrap();
    sessions.peer_lost(&node("n2"));
    let mut events = Vec::new();
    first.take(&mut events).await;
    assert!(matches!(events.as_slice(), [Event::PeerLost(lost)] if lost.as_u8() == 2));
}

#[tokio::test]
async fn a_member_that_floods_the_inbox_loses_its_own_frames_only() {
    let (sessions, metrics) = registry(3);
    let members = HashMap::from([(node("n2"), party(2)), (node("n3"), party(3))]);
    let mut inbox = sessions.open(SessionId::new([1; 32]), members).unwrap();
    for _ in 0..FRAMES + 5 {
        sessions.deliver(&node("n2"), wire_frame(1, 2, b"x"));
    }
    assert_eq!(dropped(&metrics, "inbox_full"), 5);
    for _ in 0..FRAMES {
        sessions.deliver(&node("n3"), wire_frame(1, 3, b"x"));
    }
    sessions.peer_lost(&node("n2"));
    assert_eq!(dropped(&metrics, "inbox_full"), 5);
    let mut events = Vec::new();
    while events.len() < 2 * FRAMES + 1 {
        assert!(inbox.take(&mut events).await > 0);
    }
    assert!(matches!(events.last(), Some(Event::PeerLost(lost)) if lost.as_u8() == 2));
    // what was read makes room again
    events.clear();
    sessions.deliver(&node("n2"), wire_frame(1, 2, b"x"));
    assert_eq!(dropped(&metrics, "inbox_full"), 5);
}

#[tokio::test]
async fn a_members_bytes_are_bounded_too() {
    let (sessions, metrics) = registry(3);
    let _inbox = sessions.open(SessionId::new([1; 32]), members()).unwrap();
    let longest = vec![0; limits::FRAME_BODY_BYTES];
    for _ in 0..5 {
        sessions.deliver(&node("n2"), wire_frame(1, 2, &longest));
    }
    assert_eq!(dropped(&metrics, "inbox_full"), 1);
}
