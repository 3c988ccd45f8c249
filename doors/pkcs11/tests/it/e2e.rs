//! A cluster, a requester of its own for the library, and what may be signed for it.

mod stage;
mod tools;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use limen_client::Filter;
use limen_wire::request::RequestState;

pub(crate) use stage::library;
use stage::{Stage, program};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rules_allow_is_signed_and_verifies() {
    let stage = Stage::start().await;
    let report = stage.run("signs").await;
    assert!(report.contains("nothing was refused"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rules_deny_is_refused_and_the_log_says_why() {
    let stage = Stage::start().await;
    stage.run("is_refused").await;
    let log = stage.log();
    let line = log.lines().find(|line| line.contains("CKR_FUNCTION_REJECTED")).unwrap();
    assert!(line.contains("C_Sign") && line.contains("documents") && line.contains("policy_denied"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_too_long_is_given_up_and_asked_for_again_as_the_same_request() {
    let stage = Stage::start().await;
    stage.run("waits").await;
    let page = stage.client().list(&Filter { page_size: 50, ..Filter::default() }, None).await.unwrap();
    let waiting = page.requests.iter().filter(|request| request.intent.key_id.as_str() == "slow");
    let states: Vec<RequestState> = waiting.map(|request| request.state).collect();
    assert_eq!(states, [RequestState::TimeLocked], "one request, not one for each time that was asked");
    assert!(stage.log().contains("CKR_FUNCTION_CANCELED"), "{}", stage.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coordinator_that_is_gone_is_a_token_that_was_pulled() {
    let mut stage = Stage::start().await;
    let mut child = program("loses_its_coordinator", &stage.config());
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut tell = child.stdin.take().unwrap();
    assert!(lines.any(|line| line.ends_with("signed once")), "{}", stage.log());
    stage.cluster.coordinator().kill().unwrap();
    tell.write_all(b"gone\n").unwrap();
    assert!(lines.any(|line| line == "refused"), "{}", stage.log());
    stage.cluster.coordinator().restart().unwrap();
    stage.cluster.wait_until_ready().await.unwrap();
    tell.write_all(b"back\n").unwrap();
    // What it says last is for people who look at a failure.
    let rest: Vec<String> = lines.collect();
    assert!(child.wait().unwrap().success(), "{rest:?} {}", stage.log());
    stage.cluster.coordinator().kill().unwrap();
    stage.run("finds_no_coordinator").await;
    let log = stage.log();
    assert!(log.contains("CKR_DEVICE_REMOVED") && log.contains("CKR_TOKEN_NOT_PRESENT"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_of_a_fork_has_to_initialize_anew() {
    let stage = Stage::start().await;
    stage.run("forks").await;
}
