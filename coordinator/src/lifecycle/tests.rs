mod waiting;

use std::collections::BTreeMap;

use super::*;
use limen_wire::ids::{IntentId, KeyId, RequesterId};

const NOW: u64 = 1_000_000_000;

fn node(number: usize) -> NodeId {
    NodeId::new(format!("signer-{number}")).unwrap()
}

fn committee() -> Committee {
    Committee { members: (1..=3).map(node).collect(), required: 2, max_sessions: 3 }
}

fn submitted() -> Record {
    Record {
        id: IntentId::new([7; 32]),
        requester: RequesterId::new("backend").unwrap(),
        idempotency_key: "one".to_owned(),
        key_id: KeyId::new("treasury").unwrap(),
        envelope: pb::Envelope::default(),
        expires_at_secs: NOW / 1000 + 60,
        state: State::Submitted,
        effects: Vec::new(),
        decision: None,
        opinions: BTreeMap::new(),
        approvals: Vec::new(),
        checks: Vec::new(),
        checks_taken: 0,
        created_at_ms: NOW,
        updated_at_ms: NOW,
        version: 1,
        sessions: 0,
        session: None,
        exposed: false,
        salvaged: false,
        stop: None,
        result: None,
        error: None,
    }
}

fn decision(allowed: bool) -> pb::Decision {
    pb::Decision { allowed, ..Default::default() }
}

fn says(number: usize, allowed: bool) -> Event {
    let response = pb::AnnounceResponse { decision: Some(decision(allowed)), ..Default::default() };
    Event::Opinion { node: node(number), opinion: Opinion::from_response(response, 0, NOW) }
}

fn planned(number: u8) -> Event {
    Event::SessionPlanned(OpenSession { id: SessionId::new([number; 32]), signers: vec![1, 2] })
}

fn failed(number: u8, exposed: bool) -> Event {
    let error = ApiError::new(Code::SessionTimeout, "late");
    Event::SessionEnded {
        id: SessionId::new([number; 32]),
        outcome: Outcome::Failed { error, exposed, early: Vec::new() },
    }
}

fn signed(number: u8) -> Event {
    let outcome = Outcome::Signed(pb::SignatureResult::default());
    Event::SessionEnded { id: SessionId::new([number; 32]), outcome }
}

fn evaluated(allowed: bool) -> Event {
    Event::Evaluated { effects: Vec::new(), decision: decision(allowed) }
}

/// Applies events one after the other; gives the last step.
fn play(events: impl IntoIterator<Item = Event>) -> Step {
    play_at(events, NOW)
}

fn play_at(events: impl IntoIterator<Item = Event>, now_ms: u64) -> Step {
    let mut last = Step { record: submitted(), change: Change::None, actions: Vec::new() };
    for event in events {
        last = step(last.record, event, &committee(), now_ms);
    }
    last
}

const LATE: u64 = NOW + 120_000;

#[test]
fn an_allowed_request_is_signed_with_two_opinions() {
    let step = play([evaluated(true)]);
    assert_eq!((step.record.state, step.change), (State::Evaluated, Change::Durable));
    assert_eq!(step.actions, [Action::Announce]);
    let step = play([evaluated(true), says(1, true), says(3, true)]);
    assert_eq!(step.actions, [Action::Plan]);
    let step = play([evaluated(true), says(1, true), says(3, true), planned(1)]);
    assert_eq!((step.record.state, step.record.sessions, step.change), (State::Signing, 1, Change::Durable));
    assert_eq!(step.actions, [Action::StartSession]);
    let step = play([evaluated(true), says(1, true), says(3, true), planned(1), signed(1)]);
    assert_eq!((step.record.state, step.change), (State::Signed, Change::Durable));
    assert!(step.record.result.is_some());
}

#[test]
fn the_rules_of_the_coordinator_end_it_before_anybody_is_asked() {
    let step = play([evaluated(false)]);
    assert_eq!(step.record.state, State::Denied);
    assert_eq!(step.record.error.unwrap().code, Code::PolicyDenied);
    assert_eq!(step.actions, [Action::End]);
}

#[test]
fn so_many_refusals_that_the_others_are_too_few_end_it() {
    let step = play([evaluated(true), says(1, false)]);
    assert_eq!(step.record.state, State::Evaluated);
    assert_eq!(step.actions, [Action::Alarm(node(1)), Action::Announce]);
    let step = play([evaluated(true), says(1, false), says(2, false)]);
    assert_eq!(step.record.state, State::Denied);
}

#[test]
fn altered_bytes_end_by_what_enough_signers_say_or_at_once_where_nobody_can_be_asked() {
    let disowns = |number| {
        let error = ApiError::new(Code::BadSignature, "not signed so");
        Event::Opinion { node: node(number), opinion: Opinion::from_refusal(&error) }
    };
    let altered = |code| Event::Altered(ApiError::new(code, "edited"));
    let heard = [evaluated(true), says(1, true), says(2, true)];
    let step = play(heard.clone().into_iter().chain([altered(Code::BadSignature)]));
    assert_eq!((step.record.opinions.len(), step.change), (0, Change::Durable));
    assert_eq!(step.actions, [Action::Announce], "what was said before was said of other bytes");
    let step = play([evaluated(true), altered(Code::BadSignature), disowns(1)]);
    assert_eq!(step.record.state, State::Evaluated);
    let step = play([evaluated(true), altered(Code::BadSignature), disowns(1), disowns(2)]);
    assert_eq!((step.record.state, step.record.error.unwrap().code), (State::Failed, Code::BadSignature));
    let step = play([evaluated(true), altered(Code::Malformed)]);
    assert_eq!((step.record.state, step.record.error.unwrap().code), (State::Failed, Code::Malformed));
    let step = play(heard.into_iter().chain([planned(1), altered(Code::Malformed)]));
    assert_eq!(step.record.state, State::PossiblySigned, "a session was running");
    let step = play([evaluated(true), Event::Cancel(pb::Envelope::default()), altered(Code::Malformed)]);
    assert_eq!(step.actions, [Action::SendStop], "its requester has ended it already");
}

#[test]
fn a_late_opinion_is_taken_in_and_a_disagreement_is_an_alarm_even_at_the_end() {
    let events = [evaluated(true), says(1, true), says(2, true), planned(1), signed(1), says(3, false)];
    let step = play(events);
    assert_eq!((step.record.state, step.change), (State::Signed, Change::Lazy));
    assert_eq!(step.record.opinions.len(), 3);
    assert_eq!(step.actions, [Action::Alarm(node(3)), Action::End]);
}

#[test]
fn too_few_signers_is_visible_and_waits() {
    let missing = || Event::TooFewSigners { message: "one of two".to_owned() };
    let step = play([evaluated(true), missing()]);
    assert_eq!((step.record.state, step.change), (State::Signing, Change::Durable));
    assert_eq!(step.record.error.as_ref().unwrap().code, Code::TooFewSigners);
    assert_eq!(step.actions, [Action::AwaitSigners]);
    let again = super::step(step.record.clone(), missing(), &committee(), NOW);
    assert_eq!((again.change, again.record.version), (Change::None, step.record.version));
    let back = play([evaluated(true), missing(), Event::Look, says(1, true), says(2, true)]);
    assert_eq!(back.actions, [Action::Plan]);
    let late = super::step(step.record, missing(), &committee(), LATE);
    assert_eq!(late.record.state, State::Expired);
}

#[test]
fn a_failed_session_is_followed_by_another_later_one_up_to_the_bound() {
    let allowed = [evaluated(true), says(1, true), says(2, true)];
    let one = play(allowed.clone().into_iter().chain([planned(1), failed(1, true)]));
    assert_eq!(one.actions, [Action::PlanLater]);
    assert!(one.record.exposed && one.record.session.is_none());
    let sessions = (1..=3).flat_map(|number| [planned(number), failed(number, true)]);
    let all = play(allowed.clone().into_iter().chain(sessions.clone()));
    assert_eq!(all.actions, [Action::Salvage], "one last look for a signature made before");
    let last = [planned(9), failed(9, false)];
    let end = play(allowed.into_iter().chain(sessions).chain(last));
    assert_eq!(end.record.state, State::PossiblySigned);
    assert_eq!(end.record.error.unwrap().code, Code::PossiblySigned);
}

#[test]
fn sessions_that_nobody_allowed_do_not_count() {
    let allowed = [evaluated(true), says(1, true), says(2, true)];
    let sessions = (1..=9).flat_map(|number| [planned(number), failed(number, false)]);
    let step = play(allowed.into_iter().chain(sessions));
    assert_eq!((step.record.state, step.record.sessions), (State::Signing, 0));
    let end = super::step(step.record, Event::Look, &committee(), LATE);
    assert_eq!(end.record.state, State::Expired, "no signer ever allowed it");
}

#[test]
fn an_exposed_request_never_claims_that_no_signature_exists() {
    let exposed = play([evaluated(true), says(1, true), says(2, true), planned(1), failed(1, true)]).record;
    let ends = [
        (Event::Look, LATE),
        (Event::TooFewSigners { message: "none".to_owned() }, LATE),
        (says(1, false), NOW),
        (says(2, false), NOW),
        (says(3, false), NOW),
        (Event::Restarted, LATE),
        (Event::Cancel(pb::Envelope::default()), NOW),
        (Event::StopAnswered { possibly_signed: false }, NOW),
    ];
    for (first, first_ms) in &ends {
        for (second, second_ms) in &ends {
            let once = super::step(exposed.clone(), first.clone(), &committee(), *first_ms).record;
            let twice = super::step(once, second.clone(), &committee(), *second_ms).record;
            assert!(!twice.state.claims_no_signature(), "{first:?} then {second:?} gave {:?}", twice.state);
        }
    }
}

#[test]
fn cancelling_works_before_signing_only() {
    let cancel = || Event::Cancel(pb::Envelope::default());
    let step = play([evaluated(true), cancel()]);
    assert_eq!((step.change, step.actions.as_slice()), (Change::Durable, [Action::SendStop].as_slice()));
    let step = play([evaluated(true), cancel(), Event::StopAnswered { possibly_signed: false }]);
    assert_eq!(step.record.state, State::Cancelled);
    let step = play([evaluated(true), cancel(), Event::StopAnswered { possibly_signed: true }]);
    assert_eq!(step.record.state, State::PossiblySigned);
    let step = play([evaluated(true), says(1, true), says(2, true), planned(1), cancel()]);
    assert!(matches!(step.actions.as_slice(), [Action::Refuse(error)] if error.code == Code::WrongState));
    let step = play([evaluated(true), cancel(), says(1, true), says(2, true)]);
    assert_eq!(step.actions, [Action::SendStop], "a cancelled request is never planned");
    let step = play([evaluated(true), cancel(), planned(1)]);
    assert!(step.record.session.is_none());
}

/// What ended unsigned may hold a reservation, and gives it back; what may be signed does not.
#[test]
fn cancelling_what_ended_unsigned_changes_no_end() {
    let cancel = || Event::Cancel(pb::Envelope::default());
    let ended = |state| Record { state, ..submitted() };
    for state in [State::Expired, State::Rejected, State::Denied, State::Failed, State::Cancelled] {
        let step = super::step(ended(state), cancel(), &committee(), NOW);
        assert_eq!((step.record.state, step.actions.as_slice()), (state, [Action::SendStop].as_slice()));
        let step = super::step(step.record, cancel(), &committee(), NOW);
        assert_eq!(step.actions, [Action::SendStop], "a signer may have been away");
        let step = super::step(step.record, Event::StopAnswered { possibly_signed: false }, &committee(), NOW);
        assert_eq!((step.record.state, step.actions.as_slice()), (state, [Action::End].as_slice()));
        // A signer that has allowed it after all says so.
        let asked = super::step(ended(state), cancel(), &committee(), NOW).record;
        let step = super::step(asked, Event::StopAnswered { possibly_signed: true }, &committee(), NOW);
        assert_eq!((step.record.state, step.record.exposed), (State::PossiblySigned, true));
    }
    for record in
        [ended(State::Signed), ended(State::PossiblySigned), Record { exposed: true, ..ended(State::Expired) }]
    {
        let step = super::step(record, cancel(), &committee(), NOW);
        assert!(matches!(step.actions.as_slice(), [Action::Refuse(error)] if error.code == Code::WrongState));
    }
}

#[test]
fn a_restart_goes_on_from_every_state() {
    let missing = || Event::TooFewSigners { message: "one".to_owned() };
    let allowed = [evaluated(true), says(1, true), says(2, true)];
    let cancel = || Event::Cancel(pb::Envelope::default());
    let lives: Vec<(Vec<Event>, Action)> = vec![
        (vec![], Action::Evaluate),
        (vec![evaluated(true)], Action::Announce),
        (vec![evaluated(true), says(2, true)], Action::Announce),
        (allowed.to_vec(), Action::Plan),
        (vec![evaluated(true), missing()], Action::Announce),
        (allowed.iter().cloned().chain([planned(1)]).collect(), Action::Plan),
        (allowed.iter().cloned().chain([planned(1), failed(1, true)]).collect(), Action::Plan),
        (vec![evaluated(true), cancel()], Action::SendStop),
        (vec![evaluated(false)], Action::End),
        (allowed.iter().cloned().chain([planned(1), signed(1)]).collect(), Action::End),
    ];
    for (events, expected) in lives {
        let step = play(events.into_iter().chain([Event::Restarted]));
        assert_eq!(step.actions, [expected], "in state {:?}", step.record.state);
        assert!(step.record.session.is_none());
    }
    let reserved = Record { state: State::Reserved, ..submitted() };
    assert_eq!(super::step(reserved, Event::Restarted, &committee(), NOW).actions, [Action::Announce]);
}

#[test]
fn a_session_open_at_a_restart_exposes_the_request() {
    let step = play([evaluated(true), says(1, true), says(2, true), planned(1), Event::Restarted]);
    assert!(step.record.exposed);
    assert_eq!(step.change, Change::Durable);
}

#[test]
fn a_signature_that_turns_up_late_corrects_every_end() {
    for state in State::ALL.into_iter().filter(|state| state.is_end()) {
        let ended = Record { state, ..submitted() };
        let step = super::step(ended, Event::Discovered(pb::SignatureResult::default()), &committee(), NOW);
        assert_eq!(step.record.state, State::Signed);
    }
}

#[test]
fn a_second_signature_is_an_alarm_and_replaces_nothing() {
    let result = |byte: u8| pb::SignatureResult { signature: vec![byte; 64].into(), ..Default::default() };
    let first = play([evaluated(true), Event::Discovered(result(1))]).record;
    let same = super::step(first.clone(), Event::Discovered(result(1)), &committee(), NOW);
    assert_eq!((same.change, same.actions.as_slice()), (Change::None, [Action::End].as_slice()));
    let second = super::step(first.clone(), Event::Discovered(result(2)), &committee(), NOW);
    assert_eq!((second.change, second.record), (Change::None, first.clone()));
    assert_eq!(second.actions, [Action::AlarmTwice, Action::End]);
    // two sessions may both end with a signature where a link broke in between
    let of_another = pb::SignatureResult { session_id: vec![9; 32].into(), ..result(2) };
    let honest = Record { sessions: 2, ..first.clone() };
    let late = super::step(honest.clone(), Event::Discovered(of_another.clone()), &committee(), NOW);
    assert_eq!(late.actions, [Action::End]);
    let only_one = super::step(first, Event::Discovered(of_another), &committee(), NOW);
    assert_eq!(only_one.actions, [Action::AlarmTwice, Action::End], "no other session could have made it");
    let same_session = super::step(honest, Event::Discovered(result(2)), &committee(), NOW);
    assert_eq!(same_session.actions, [Action::AlarmTwice, Action::End]);
}

#[test]
fn a_signer_that_remembers_allowing_corrects_every_end_that_claims_too_much() {
    let remembered = |allowed| Event::Remembered { allowed, first_seen_ms: NOW };
    for state in State::ALL {
        let before = Record { state, ..submitted() };
        let nothing = super::step(before.clone(), remembered(false), &committee(), NOW);
        assert_eq!((nothing.change, &nothing.record), (Change::None, &before));
        let after = super::step(before, remembered(true), &committee(), NOW).record;
        assert_eq!(after.exposed, state != State::Signed);
        let expected = if state.claims_no_signature() { State::PossiblySigned } else { state };
        assert_eq!(after.state, expected);
    }
    let earlier = Event::Remembered { allowed: false, first_seen_ms: NOW - 5 };
    let step = super::step(submitted(), earlier, &committee(), NOW);
    assert_eq!((step.record.created_at_ms, step.change), (NOW - 5, Change::Lazy));
}

#[test]
fn the_end_of_another_session_changes_nothing() {
    let open = play([evaluated(true), says(1, true), says(2, true), planned(1)]).record;
    let step = super::step(open.clone(), failed(2, true), &committee(), NOW);
    assert_eq!((step.change, step.record), (Change::None, open));
}

#[test]
fn numbers_of_states_are_those_of_the_protocol_and_come_back() {
    for state in State::ALL {
        assert_eq!(State::from_number(state.to_wire().into()), Some(state));
    }
    assert_eq!(State::from_number(0), None);
    assert_eq!(State::ALL.len(), 13);
}
