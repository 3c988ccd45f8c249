//! Waiting for people and for delays.

use limen_wire::approval::Verdict;
use limen_wire::ids::{ApprovalId, PersonId};
use limen_wire::limits;

use super::*;

/// The step after this record, now.
fn next(record: &Record, event: Event) -> Step {
    next_at(record, event, NOW)
}

fn next_at(record: &Record, event: Event, now_ms: u64) -> Step {
    step(record.clone(), event, &committee(), now_ms)
}

/// A signer allows on one condition, having been shown so many approvals.
fn asks(number: usize, seen: usize, met: bool, wait_ms: u64) -> Event {
    let rule = || "much".to_owned();
    let requirement = pb::Requirement { rule: rule(), ..Default::default() };
    let missing = if met { String::new() } else { "1 more of ops".to_owned() };
    let response = pb::AnnounceResponse {
        decision: Some(pb::Decision { requirements: vec![requirement], ..decision(true) }),
        requirements: vec![pb::RequirementStatus { rule: rule(), met, missing, wait_ms }],
        freeze_epoch: vec![7; 32].into(),
        ..Default::default()
    };
    Event::Opinion { node: node(number), opinion: Opinion::from_response(response, seen, NOW) }
}

fn rejects(number: usize) -> Event {
    let error = ApiError::new(Code::Rejected, "anna says: never asked for");
    Event::Opinion { node: node(number), opinion: Opinion::from_refusal(&error) }
}

fn said(number: u8, person: &str, verdict: Verdict) -> HeldApproval {
    let person = PersonId::new(person).unwrap();
    HeldApproval { id: ApprovalId::new([number; 32]), person, verdict, envelope: pb::Envelope::default() }
}

fn approval(number: u8) -> Event {
    Event::Approved(said(number, "anna", Verdict::Approve))
}

fn early(number: u8, exposed: bool, who: &[usize]) -> Event {
    let error = ApiError::new(Code::ApprovalsMissing, "1 more of ops");
    let early = who.iter().copied().map(node).collect();
    Event::SessionEnded { id: SessionId::new([number; 32]), outcome: Outcome::Failed { error, exposed, early } }
}

fn later(wait_ms: Option<u64>) -> Action {
    Action::AskLater { wait_ms }
}

fn awaiting() -> Vec<Event> {
    vec![evaluated(true), asks(1, 0, false, 0), asks(2, 0, false, 0)]
}

fn locked() -> Vec<Event> {
    vec![evaluated(true), asks(1, 0, true, 5000), asks(2, 0, true, 9000), asks(3, 0, true, 7000)]
}

fn then(mut before: Vec<Event>, after: impl IntoIterator<Item = Event>) -> Step {
    before.extend(after);
    play(before)
}

#[test]
fn what_enough_signers_allow_waits_for_people() {
    let two = play(awaiting());
    assert_eq!((two.record.state, two.change), (State::AwaitingApproval, Change::Durable));
    assert_eq!(two.actions, [later(None), Action::Announce], "the third has not answered");
    let three = next(&two.record, asks(3, 0, false, 0));
    assert_eq!((three.actions.as_slice(), three.change), ([later(None)].as_slice(), Change::Durable), "people read it");
    assert_eq!(next(&three.record, asks(3, 0, false, 0)).change, Change::None);
}

#[test]
fn an_approval_is_durable_shown_to_everybody_and_counts_once() {
    let first = then(awaiting(), [asks(3, 0, false, 0), approval(1)]);
    assert_eq!((first.change, first.actions.as_slice()), (Change::Durable, [Action::Announce].as_slice()));
    assert!((1..=3).all(|number| !first.record.has_heard(&node(number))));
    let again = next(&first.record, approval(1));
    assert_eq!((again.change, again.actions.as_slice(), &again.record), (Change::None, [].as_slice(), &first.record));
    let one = next(&first.record, asks(1, 1, true, 0));
    assert_eq!((one.record.state, one.change), (State::AwaitingApproval, Change::Durable));
    assert_eq!(one.actions, [later(None), Action::Announce]);
    assert_eq!(next(&one.record, asks(3, 1, true, 0)).actions, [Action::Plan]);
}

#[test]
fn a_delay_waits_until_enough_signers_would_sign() {
    let all = play(locked());
    assert_eq!((all.record.state, all.change), (State::TimeLocked, Change::Durable));
    assert_eq!(all.actions, [later(Some(7000))], "two of three");
    let late = next_at(&all.record, Event::Due, NOW + 8000);
    assert_eq!(late.actions, [later(Some(1)), Action::AskAgain], "only the signers say that it is over");
    let one = next_at(&late.record, asks(1, 0, true, 0), NOW + 8000);
    assert_eq!((one.record.state, one.change), (State::TimeLocked, Change::Durable));
    assert_eq!(next_at(&one.record, asks(3, 0, true, 0), NOW + 8000).actions, [Action::Plan]);
    let back = next(&next(&all.record, asks(1, 0, false, 0)).record, asks(2, 0, false, 0));
    assert_eq!(back.record.state, State::AwaitingApproval, "an approval has lapsed");
}

#[test]
fn a_signer_that_leaves_a_requirement_out_has_not_met_it() {
    let Event::Opinion { node: who, mut opinion } = asks(1, 0, true, 0) else { panic!("an opinion") };
    assert_eq!(opinion.wait_ms(NOW), Some(0));
    opinion.requirements.clear();
    assert_eq!(opinion.wait_ms(NOW), None);
    let step = play([evaluated(true), Event::Opinion { node: who, opinion }, asks(2, 0, true, 0)]);
    assert_eq!(step.record.state, State::AwaitingApproval);
}

#[test]
fn rejections_of_enough_signers_end_it_with_the_reason() {
    let one = then(awaiting(), [rejects(1)]);
    assert_eq!(one.record.state, State::AwaitingApproval, "one signer alone ends nothing");
    let two = next(&one.record, rejects(3));
    assert_eq!((two.record.state, two.change), (State::Rejected, Change::Durable));
    let error = two.record.error.unwrap();
    assert_eq!(error.code, Code::Rejected);
    assert!(error.message.contains("never asked for"), "{error}");
    assert_eq!(two.actions, [Action::End]);
    let wide = Committee { members: (1..=4).map(node).collect(), required: 2, max_sessions: 3 };
    let mut record = play([evaluated(true)]).record;
    for event in [says(1, false), rejects(2), rejects(3)] {
        record = step(record, event, &wide, NOW).record;
    }
    assert_eq!(record.state, State::Rejected, "what most of them say");
}

#[test]
fn a_session_that_came_too_early_is_followed_by_asking() {
    let ready = || vec![evaluated(true), asks(1, 0, true, 0), asks(2, 0, true, 0), planned(1)];
    let none = then(ready(), [early(1, false, &[1, 2])]);
    assert_eq!((none.record.state, none.record.sessions, none.record.exposed), (State::Signing, 0, false));
    assert_eq!(none.actions, [Action::Announce]);
    assert!(none.record.opinions.is_empty(), "only what they say next counts");
    let asked = next(&next(&none.record, asks(1, 0, false, 0)).record, asks(2, 0, false, 0));
    assert_eq!((asked.record.state, asked.record.error), (State::AwaitingApproval, None));
    let one = then(ready(), [early(1, true, &[2])]);
    assert_eq!((one.record.sessions, one.record.exposed), (1, true), "the other may have allowed it");
    assert_eq!(one.actions, [Action::Announce]);
}

#[test]
fn nobody_keeps_the_others_out_and_bad_news_finds_room() {
    let mut record = play(awaiting()).record;
    let mut take = |number: u8, person: &str, verdict| {
        let step = next(&record, Event::Approved(said(number, person, verdict)));
        let taken = step.record.approvals.len() > record.approvals.len();
        let refused = step.actions.iter().any(|action| matches!(action, Action::Refuse(_)));
        assert_ne!(taken, refused);
        record = step.record;
        taken
    };
    let taken = (0..20).filter(|number| take(*number, "anna", Verdict::Approve)).count();
    assert_eq!(taken, 8);
    assert!(take(30, "anna", Verdict::Reject));
    for number in 40..=255 {
        take(number, &format!("p{}", number / 8), Verdict::Approve);
    }
    assert!((9..limits::APPROVALS).contains(&record.approvals.len()));
    let step = next(&record, Event::Approved(said(31, "ben", Verdict::Approve)));
    assert!(matches!(step.actions.as_slice(), [Action::Refuse(_)]), "no more approvals");
    let step = next(&record, Event::Approved(said(31, "ben", Verdict::Reject)));
    assert_eq!(step.actions, [Action::Announce]);
}

#[test]
fn waits_are_shown_as_they_were_when_the_record_changed() {
    let changed = next_at(&play(locked()).record, approval(1), NOW + 2000).record;
    let shown = changed.to_wire();
    let waits: Vec<u64> = shown.signer_decisions.iter().map(|said| said.requirements[0].wait_ms).collect();
    assert_eq!(waits, [3000, 7000, 5000]);
    assert_eq!((shown.approvals.len(), shown.updated_at_ms), (1, NOW + 2000));
    assert_eq!(shown.signer_decisions[0].freeze_epoch.len(), 32);
}

#[test]
fn a_freeze_epoch_counts_once_enough_signers_name_it() {
    let record = play(awaiting()).record;
    assert_eq!(committee().agreed_freeze_epoch(&record), Some([7; 32]));
    let alone = play([evaluated(true), asks(1, 0, false, 0), says(2, true)]).record;
    assert_eq!(committee().agreed_freeze_epoch(&alone), None);
}

/// Each event in each of the two states: where it leads, and what is done then.
#[test]
fn every_event_in_both_waiting_states() {
    let lives = [(State::AwaitingApproval, awaiting(), None), (State::TimeLocked, locked(), Some(7000))];
    for (state, life, wait) in lives {
        let record = play(life).record;
        let stay = |event: Event| {
            let step = next(&record, event.clone());
            assert_eq!(step.record.state, state, "{event:?}");
            step.actions.into_iter().filter(|action| *action != Action::Announce).collect::<Vec<_>>()
        };
        assert_eq!(stay(Event::Look), [later(wait)]);
        assert_eq!(stay(Event::Due), [later(wait), Action::AskAgain]);
        assert_eq!(stay(Event::Restarted), [later(wait), Action::AskAgain]);
        assert_eq!(stay(approval(1)), []);
        assert_eq!(stay(evaluated(true)), []);
        assert_eq!(stay(failed(1, true)), [], "no session of ours");
        assert_eq!(stay(Event::StopAnswered { possibly_signed: false }), [Action::End], "nobody asked to stop");
        assert_eq!(stay(Event::Remembered { allowed: false, first_seen_ms: NOW }), []);
        assert_eq!(stay(Event::Cancel(pb::Envelope::default())), [Action::SendStop]);
        assert!(next(&record, Event::Remembered { allowed: true, first_seen_ms: NOW }).record.exposed);
        for late in [Event::Look, Event::Due, Event::Restarted] {
            assert_eq!(next_at(&record, late, LATE).record.state, State::Expired);
        }
        let gone = next(&record, Event::TooFewSigners { message: "two are gone".to_owned() });
        assert_eq!((gone.record.state, gone.actions), (State::Signing, vec![Action::AwaitSigners]));
        let stopped = next(&record, Event::Cancel(pb::Envelope::default())).record;
        let refused = next(&stopped, approval(1)).actions;
        assert!(matches!(refused.as_slice(), [Action::Refuse(error)] if error.code == Code::WrongState));
        let ended = next(&stopped, Event::StopAnswered { possibly_signed: false });
        assert_eq!(ended.record.state, State::Cancelled);
        assert_eq!(next(&record, planned(1)).record.state, State::Signing);
        let found = next(&record, Event::Discovered(pb::SignatureResult::default()));
        assert_eq!(found.record.state, State::Signed);
    }
}

#[test]
fn after_the_end_nothing_more_is_said() {
    for state in State::ALL.into_iter().filter(|state| state.is_end()) {
        let held = said(1, "anna", Verdict::Reject);
        let ended = Record { state, approvals: vec![held.clone()], ..submitted() };
        let again = next(&ended, Event::Approved(held));
        assert_eq!((again.change, again.actions.as_slice()), (Change::None, [].as_slice()), "the same is no news");
        let other = next(&ended, approval(2));
        assert!(matches!(other.actions.as_slice(), [Action::Refuse(error)] if error.code == Code::WrongState));
        assert_eq!(other.record, ended);
    }
}
