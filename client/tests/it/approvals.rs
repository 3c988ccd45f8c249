//! Requests that wait for people: handing in what they say, reading who is missing, and waiting.

use std::time::Duration;

use limen_client::{Client, Error, Patience, Request, RequestState, SignedIntent, Untrue};
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::ids::{CredentialId, FreezeEpoch, IntentId, PersonId, SliceHash};
use limen_wire::pb;
use tokio::sync::mpsc;

use crate::fake::Fake;
use crate::requests::{LONG, intent};

const NOW_MS: u64 = 1_700_000_000_000;
const SHORT: Duration = Duration::from_millis(30);

fn says(fake: &Fake, intent_id: IntentId) -> pb::Envelope {
    let approval = Approval {
        cluster: fake.config.cluster.clone(),
        intent_id,
        effects_digest: [1; 32],
        decoder_version: 1,
        slice: SliceHash::new([2; 32]),
        freeze_epoch: FreezeEpoch::NONE,
        person: PersonId::new("anna").unwrap(),
        credential: CredentialId::new("anna-laptop").unwrap(),
        preceding: None,
        expires_at_secs: 9,
        verdict: Verdict::Approve,
        reason: String::new(),
        nonce: [4; 32],
    };
    SignedApproval { approval, proof: Proof::Signature([5; 64]) }.to_envelope()
}

/// A stored request in state awaiting approval.
async fn waiting(fake: &Fake) -> (Client, SignedIntent) {
    fake.behave(|manners| manners.never_sign = true);
    let (intent, client) = (intent(fake), fake.client());
    client.submit(&intent).await.unwrap();
    fake.finish(intent.id(), pb::RequestState::AwaitingApproval);
    (client, intent)
}

/// What a signer says of the rule "much".
fn view(node: &str, met: bool, wait_ms: u64, epoch: u8) -> pb::SignerDecision {
    let rule = || "much".to_owned();
    let requirement =
        pb::Requirement { rule: rule(), approvals: "2 of ops".to_owned(), delay_secs: 9, ..Default::default() };
    let missing = if met { String::new() } else { "1 more of ops".to_owned() };
    pb::SignerDecision {
        node: node.to_owned(),
        decision: Some(pb::Decision { allowed: true, requirements: vec![requirement], ..Default::default() }),
        requirements: vec![pb::RequirementStatus { rule: rule(), met, missing, wait_ms }],
        freeze_epoch: vec![epoch; 32].into(),
    }
}

#[tokio::test]
async fn what_people_say_is_handed_in_until_it_is_answered_and_read_back() {
    let fake = Fake::start().await;
    let (client, intent) = waiting(&fake).await;
    fake.behave(|manners| manners.unavailable = 2);
    let request = client.approve(&says(&fake, intent.id())).await.unwrap();
    assert_eq!(request.id(), intent.id());
    assert_eq!(request.approvals[0].approval.person.as_str(), "anna");
    let error = client.approve(&pb::Envelope::default()).await.unwrap_err();
    assert!(matches!(error, Error::Intent(_)), "{error}");
}

#[tokio::test]
async fn approvals_of_another_request_are_not_shown() {
    let fake = Fake::start().await;
    let (client, intent) = waiting(&fake).await;
    fake.change(intent.id(), |request| request.approvals.push(says(&fake, IntentId::new([9; 32]))));
    let error = client.get(intent.id()).await.unwrap_err();
    assert!(matches!(error, Error::Untrue(Untrue::OtherIntent)), "{error}");
    fake.change(intent.id(), |request| request.approvals = vec![pb::Envelope::default()]);
    let error = client.get(intent.id()).await.unwrap_err();
    assert!(matches!(error, Error::Untrue(Untrue::Malformed { .. })), "{error}");
}

#[tokio::test]
async fn people_may_take_their_time_unless_the_caller_says_otherwise() {
    let fake = Fake::start().await;
    let (client, intent) = waiting(&fake).await;
    let error = client.wait(intent.id(), Patience::in_all(SHORT)).await.unwrap_err();
    assert!(matches!(&error, Error::NotEnded { state, .. } if state == "awaiting_approval"), "{error}");
    let id = intent.id();
    let (watching, mut watched) = mpsc::channel(2);
    let hears = watching.clone();
    let mut told = Vec::new();
    let watcher = {
        let client = client.clone();
        tokio::spawn(async move {
            let tell = |request: &Request| {
                told.push(request.state);
                // Only the first is waited for.
                let _ = watching.try_send(());
            };
            let ended = client.follow(id, Duration::from_secs(5), tell).await;
            (ended.unwrap().state, told)
        })
    };
    let hasty = tokio::spawn({
        let client = client.clone();
        let tell = move |_: &Request| {
            let _ = hears.try_send(());
        };
        async move { client.follow(id, SHORT, tell).await }
    });
    for _ in 0..2 {
        tokio::time::timeout(LONG, watched.recv()).await.unwrap().unwrap();
    }
    tokio::time::pause();
    tokio::time::advance(SHORT * 4).await;
    tokio::time::resume();
    assert!(!watcher.is_finished() && !hasty.is_finished(), "people are waited for");
    fake.finish(id, pb::RequestState::Signing);
    let error = hasty.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::NotEnded { state, .. } if state == "signing"), "machines are not: {error}");
    fake.finish(id, pb::RequestState::Rejected);
    let (state, told) = tokio::time::timeout(LONG, watcher).await.unwrap().unwrap();
    assert_eq!(state, RequestState::Rejected);
    assert_eq!((told.first(), told.last()), (Some(&RequestState::AwaitingApproval), Some(&RequestState::Rejected)));
    assert_eq!(client.verify(&client.get(id).await.unwrap()).await.unwrap_err().code(), "rejected");
}

#[tokio::test]
async fn requirements_are_read_by_rule_and_signer_with_what_is_left() {
    let fake = Fake::start().await;
    let (client, intent) = waiting(&fake).await;
    fake.change(intent.id(), |request| {
        request.updated_at_ms = NOW_MS;
        request.signer_decisions = vec![view("s1", false, 9000, 7), view("s2", true, 5000, 7), view("s3", true, 0, 8)];
    });
    let request = client.get(intent.id()).await.unwrap();
    let [much] = request.requirements(NOW_MS + 2000).try_into().unwrap();
    assert_eq!((much.rule.as_str(), much.approvals.as_str(), much.delay), ("much", "2 of ops", Duration::from_secs(9)));
    let wait = |node: &str| much.signers[node].wait.as_millis();
    assert_eq!((wait("s1"), wait("s2"), wait("s3")), (9000, 3000, 0), "only a delay whose approvals are met runs");
    assert_eq!(much.signers["s1"].missing, "1 more of ops");
    let late = request.requirements(NOW_MS + 60_000);
    let done: Vec<bool> = late[0].signers.values().map(limen_client::Progress::is_done).collect();
    assert_eq!(done, [false, false, true], "a signer alone says that its delay is over");
}

#[tokio::test]
async fn a_freeze_epoch_is_taken_from_enough_signers() {
    let fake = Fake::start().await;
    let (client, intent) = waiting(&fake).await;
    let views = |list: &[(&str, u8)]| {
        let views = list.iter().map(|(node, epoch)| view(node, false, 0, *epoch)).collect();
        fake.change(intent.id(), |request| request.signer_decisions = views);
    };
    for (list, expected) in [
        (&[("s1", 7), ("s2", 7), ("s3", 8)][..], Some(7)),
        (&[("s1", 7), ("s2", 8)], None),
        (&[("s1", 7), ("s1", 7)], None),
        (&[], None),
    ] {
        views(list);
        let request = client.get(intent.id()).await.unwrap();
        assert_eq!(request.freeze_epoch(2), expected.map(|byte| FreezeEpoch::new([byte; 32])));
    }
}
