//! When a signer may decide, by what its peers have said.

use super::*;

const CHARTER: limen_wire::ids::CharterHash = limen_wire::ids::CharterHash::new([0; 32]);

fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn head(length: u64) -> ChainHead {
    ChainHead { length, hash: [u8::try_from(length).unwrap_or(0xff); 32] }
}

const START: Uptime = Uptime(1_000_000);

fn after(millis: u64) -> Uptime {
    Uptime(START.0 + millis)
}

/// A peer of good standing: asked at the start, has confirmed, owes nothing.
fn stands(standings: &Standings, peer: &str, asked: Uptime) {
    standings.confirmed(&node(peer));
    assert!(!standings.heard(
        &node(peer),
        Word { asked, skew_ms: 0, stops: head(3), charter: CHARTER },
        head(3),
        asked
    ));
}

fn check(standings: &Standings, needed: usize, now: Uptime) -> Result<(), String> {
    let peers = [node("b"), node("c")];
    standings.check(peers.iter(), needed, now).map_err(|error| {
        assert!(error.code == Code::NoStanding && error.code.retryable());
        error.message
    })
}

#[test]
fn nothing_is_allowed_before_enough_peers_have_spoken() {
    let standings = Standings::default();
    let words = check(&standings, 1, START).unwrap_err();
    assert!(words.contains("0 of 1") && words.contains("b has not said how it stands"), "{words}");
    stands(&standings, "b", START);
    assert_eq!(check(&standings, 1, START), Ok(()));
    assert!(check(&standings, 2, START).unwrap_err().contains("c has not said"));
    stands(&standings, "c", START);
    assert_eq!(check(&standings, 2, START), Ok(()));
    stands(&standings, "stranger", START);
    assert!(check(&standings, 3, START).is_err(), "who is no peer of the key does not count");
}

#[test]
fn a_word_counts_for_thirty_seconds_from_the_question() {
    let standings = Standings::default();
    stands(&standings, "b", START);
    assert_eq!(check(&standings, 1, after(FRESH_MS)), Ok(()));
    assert!(check(&standings, 1, after(FRESH_MS + 1)).unwrap_err().contains("b has said nothing for"));
    stands(&standings, "b", after(40_000));
    assert_eq!(check(&standings, 1, after(40_001)), Ok(()));
    // An answer to an earlier question that comes late makes nothing older.
    stands(&standings, "b", after(10_000));
    assert_eq!(check(&standings, 1, after(40_000 + FRESH_MS)), Ok(()));
}

#[test]
fn a_clock_that_differs_does_not_count() {
    let standings = Standings::default();
    stands(&standings, "b", START);
    let word = |skew_ms| Word { asked: START, skew_ms, stops: head(3), charter: CHARTER };
    standings.heard(&node("b"), word(SKEW_MS), head(3), START);
    assert_eq!(check(&standings, 1, START), Ok(()));
    standings.heard(&node("b"), word(SKEW_MS + 1), head(3), START);
    assert!(check(&standings, 1, START).unwrap_err().contains("b has a clock that differs by 31 s"));
}

#[test]
fn a_journal_that_nobody_has_confirmed_allows_nothing() {
    let standings = Standings::default();
    standings.heard(&node("b"), Word { asked: START, skew_ms: 0, stops: head(0), charter: CHARTER }, head(0), START);
    assert!(check(&standings, 1, START).unwrap_err().contains("b has not confirmed this signer's journal"));
    assert!(!standings.is_confirmed(&node("b")));
    standings.confirmed(&node("b"));
    assert_eq!(check(&standings, 1, START), Ok(()));
}

/// One peer stands well; another knows of stop records that were not read. Nothing is allowed until they are.
#[test]
fn stop_records_that_a_peer_speaks_of_are_read_first() {
    let standings = Standings::default();
    stands(&standings, "b", START);
    stands(&standings, "c", START);
    let word = |asked| Word { asked, skew_ms: 0, stops: head(5), charter: CHARTER };
    assert!(standings.heard(&node("c"), word(START), head(3), START), "it owes");
    assert!(check(&standings, 1, START).unwrap_err().contains("c has stop records that were not read yet"));
    standings.read(&node("c"), head(4), true, after(10_000));
    assert!(check(&standings, 1, after(20_000)).is_err());
    standings.read(&node("c"), head(5), true, after(20_000));
    assert_eq!(check(&standings, 2, after(20_000)), Ok(()));
    // As many of another store are others.
    standings.read(&node("c"), ChainHead { hash: [9; 32], ..head(5) }, false, after(20_000));
    assert!(check(&standings, 1, after(20_000)).is_err());
}

/// Its store was put back and has other records now: fewer than were read of the old one, and not all of them known here.
#[test]
fn a_peer_that_speaks_of_fewer_than_were_read_is_read_anew() {
    let standings = Standings::default();
    stands(&standings, "b", START);
    standings.confirmed(&node("c"));
    let word = |asked, length| Word { asked, skew_ms: 0, stops: head(length), charter: CHARTER };
    assert!(!standings.heard(&node("c"), word(START, 5), head(5), START));
    assert!(standings.heard(&node("c"), word(after(1), 4), head(5), after(1)), "it owes");
    assert!(check(&standings, 1, after(1)).unwrap_err().contains("c has stop records that were not read yet"));
    standings.read(&node("c"), head(4), true, after(2));
    assert_eq!(check(&standings, 2, after(2)), Ok(()));
    // Reading on after a word makes no debt.
    standings.read(&node("c"), head(6), true, after(3));
    assert_eq!(check(&standings, 2, after(3)), Ok(()));
}

#[test]
fn a_peer_that_never_hands_over_what_it_speaks_of_stops_nobody_for_ever() {
    let standings = Standings::default();
    stands(&standings, "b", START);
    let owing = |at: Uptime| {
        let word = Word { asked: at, skew_ms: 0, stops: head(5), charter: CHARTER };
        assert!(standings.heard(&node("c"), word, head(0), at));
        stands(&standings, "b", at);
    };
    standings.confirmed(&node("c"));
    owing(START);
    owing(after(OWED_MS));
    assert!(check(&standings, 1, after(OWED_MS)).is_err());
    owing(after(OWED_MS + 1));
    assert_eq!(check(&standings, 1, after(OWED_MS + 1)), Ok(()));
    assert!(check(&standings, 2, after(OWED_MS + 1)).is_err(), "but it does not count");
    standings.read(&node("c"), head(1), false, after(OWED_MS + 2));
    assert_eq!(check(&standings, 1, after(OWED_MS + 2)), Ok(()), "worthless records give it no more time");
    standings.read(&node("c"), head(2), true, after(OWED_MS + 2));
    assert!(check(&standings, 1, after(OWED_MS + 2)).is_err(), "whoever has news is waited for again");
}

/// A corrupt one that owes nothing for a moment, again and again, is waited for no longer than one that owes all the time.
#[test]
fn a_peer_that_owes_and_owes_nothing_by_turns_stops_nobody_for_ever() {
    let standings = Standings::default();
    stands(&standings, "b", START);
    standings.confirmed(&node("c"));
    let says = |length: u64, at: Uptime| {
        let word = Word { asked: at, skew_ms: 0, stops: head(length), charter: CHARTER };
        assert_eq!(standings.heard(&node("c"), word, head(0), at), length > 0);
        stands(&standings, "b", at);
    };
    let mut blocked_ms = 0;
    for turn in 0..40 {
        let (begins, ends) = (after(turn * 5_001), after(turn * 5_001 + 5_000));
        says(5, begins);
        blocked_ms += if check(&standings, 1, ends).is_err() { 5_000 } else { 0 };
        says(0, ends);
        assert_eq!(check(&standings, 1, ends), Ok(()));
    }
    assert_eq!(blocked_ms, OWED_MS);
    // After a long rest it is waited for again.
    says(5, after(40 * 5_001 + 20 * OWED_MS));
    assert!(check(&standings, 1, after(40 * 5_001 + 20 * OWED_MS + 1)).is_err());
}

#[test]
fn an_answer_needs_its_question_and_serves_once() {
    let standings = Standings::default();
    let peer = node("b");
    assert_eq!(standings.answered(&peer, &[1; 32]), None);
    for number in 1..=5 {
        standings.asked(&peer, [number; 32], after(u64::from(number)), 7);
    }
    assert_eq!(standings.answered(&peer, &[1; 32]), None, "the oldest of too many is forgotten");
    assert_eq!(standings.answered(&peer, &[3; 32]), Some((after(3), 7)));
    assert_eq!(standings.answered(&peer, &[3; 32]), None, "once");
    assert_eq!(standings.answered(&node("c"), &[4; 32]), None, "another peer's");
    assert_eq!(standings.answered(&peer, &[5; 32]), Some((after(5), 7)));
}

#[test]
fn a_store_that_was_put_back_signs_nothing_however_well_peers_stand() {
    let standings = Standings::default();
    stands(&standings, "b", START);
    stands(&standings, "c", START);
    let metrics = crate::metrics::Metrics::default();
    standings.roll_back("b remembers 9 records".to_owned(), &metrics);
    standings.roll_back("again".to_owned(), &metrics);
    assert_eq!(metrics.rolled_back.get(), 1);
    let words = check(&standings, 1, START).unwrap_err();
    assert!(words.contains("put back") && words.contains("b remembers 9 records"), "{words}");
}

#[test]
fn heads_that_were_told_are_known_and_bounded() {
    let standings = Standings::default();
    assert!(!standings.was_told(&head(1)));
    standings.tell(head(1));
    assert!(standings.was_told(&head(1)));
    assert!(!standings.was_told(&ChainHead { hash: [9; 32], ..head(1) }));
    (0..300).for_each(|length| standings.tell(ChainHead { length: 1000 + length, hash: [0; 32] }));
    assert!(!standings.was_told(&head(1)));
}

/// What nobody can undo waits for others that say the same, freshly.
#[test]
fn who_has_another_charter_in_force_confirms_nothing() {
    let standings = Standings::default();
    let (other, peers) = (limen_wire::ids::CharterHash::new([1; 32]), [node("a"), node("b")]);
    let under = |now| standings.under(CHARTER, peers.iter(), now);
    assert_eq!(under(START), 0);
    for (peer, charter) in [("a", CHARTER), ("b", other)] {
        standings.confirmed(&node(peer));
        standings.heard(&node(peer), Word { asked: START, skew_ms: 0, stops: head(0), charter }, head(0), START);
    }
    assert_eq!(under(START), 1);
    assert_eq!(under(Uptime(START.0 + 3_600_000)), 0, "that was long ago");
}
