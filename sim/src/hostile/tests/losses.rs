//! Public losses, as far as they are about what is signed: each by its name. What failed there is tried here.

use limen_wire::error::Code;

use super::{announce, draft, papers, plan, says, sign, stage};
use crate::hostile::bytes;
use crate::hostile::plan::{DESTINATIONS, UNIT};
use crate::hostile::program::{Draft, Kind, Spoil, Step, Verdict};

/// Approvals of request 0 by persons 0 and 1, with labels 0 and 1, and the wait that the plan asks for.
fn approved() -> [Step; 4] {
    [
        Step::Ask(0, draft(0, 5, 0)),
        says(0, 0, 0, Verdict::Approve),
        says(1, 1, 0, Verdict::Approve),
        announce(1, 0, &[0, 1]),
    ]
}

/// The owners were shown a transfer of the Safe; what they signed was a call into another contract's code. The call data of the
/// real transaction (block 21895238 of Ethereum) is a class that nobody allowed.
#[test]
fn bybit_2025_the_real_call_data_is_denied() {
    let mut stage = stage(plan(), None);
    let takeover = Draft { kind: Kind::Delegatecall, ..draft(0, 1, 0) };
    stage.plays([Step::Ask(0, takeover), announce(1, 0, &[]), announce(2, 0, &[])]);
    stage.plays([sign(&[1, 3], 1, 0, &[]), sign(&[2, 3], 2, 0, &[])]);
    assert_eq!(stage.refusals(Code::PolicyDenied), 2);
    assert!(stage.signed().is_empty());
}

/// A malicious front end shows A and hands in B: the approvals are of A, and serve no B.
#[test]
fn bybit_2025_shown_a_submitted_b() {
    let mut stage = stage(plan(), None);
    stage.plays(approved());
    let changed = Draft { to: 3, ..draft(0, 5, 0) };
    stage.plays([Step::Ask(1, Draft { name: 1, ..changed }), announce(1, 1, &[0, 1]), Step::Wait(60_000)]);
    stage.plays([sign(&[1, 3], 1, 1, &[0, 1]), sign(&[2, 3], 2, 1, &[0, 1])]);
    assert_eq!(stage.refusals(Code::ApprovalsMissing), 2);
    assert!(stage.signed().is_empty());
}

/// Signatures of failed requests were collected and used for another one.
#[test]
fn wazirx_2024_approvals_of_failed_requests_serve_no_other() {
    let mut stage = stage(plan(), None);
    stage.plays(approved());
    // It fails: nobody waits out its delay, and it expires.
    stage.plays([Step::Wait(3_600_000), sign(&[1, 3], 1, 0, &[])]);
    assert_eq!(stage.refusals(Code::Expired), 1);
    let same = Draft { name: 7, ..draft(0, 5, 0) };
    stage.plays([Step::Ask(1, same), announce(1, 1, &[0, 1]), Step::Wait(60_000), sign(&[1, 3], 2, 1, &[0, 1])]);
    assert_eq!(stage.refusals(Code::ApprovalsMissing), 1);
    assert!(stage.signed().is_empty());
}

/// The destination of a legitimate request was changed on its way: wherever a byte is changed, the requester's signature is gone.
#[test]
fn dmm_2024_a_destination_edited_in_transit() {
    let request = draft(0, 1, 0);
    let bytes::Payload::Transaction(raw) = bytes::payload(&request) else { panic!("a transaction") };
    let to = bytes::address(DESTINATIONS[0]);
    let within = raw.windows(to.len()).position(|part| part == to).unwrap();
    let mut stage = stage(plan(), None);
    stage.plays([Step::Ask(0, request)]);
    let mut tried = 0;
    for at in within..within + 120 {
        for signer in [1, 2] {
            let spoil = Some(Spoil::Byte(at));
            stage.plays([Step::Announce { signer, request: 0, papers: Vec::new(), spoil }]);
            let (set, asked) = (vec![signer, 3], vec![signer]);
            let session = tried;
            stage.plays([Step::Sign {
                set,
                asked,
                session,
                request: 0,
                papers: Vec::new(),
                certificates: Vec::new(),
                spoil,
                finish: false,
            }]);
            tried += 1;
        }
    }
    assert!(stage.signed().is_empty());
    assert!(!stage.counts.contains_key("permitted"));
}

/// Signing failed, the client asked again, and what it asked for had changed meanwhile: a resubmission is another request.
#[test]
fn radiant_2024_signing_again_after_an_error() {
    let mut stage = stage(plan(), None);
    stage.plays(approved());
    stage.plays([Step::Wait(60_000)]);
    // Only one of two honest signers is asked: no signature, and an error at the client.
    let half = Step::Sign {
        set: vec![1, 2],
        asked: vec![1],
        session: 1,
        request: 0,
        papers: papers(&[0, 1]),
        certificates: Vec::new(),
        spoil: None,
        finish: false,
    };
    stage.plays([half]);
    assert!(stage.signed().is_empty());
    let again = Draft { to: 3, name: 1, replaces: Some(0), ..draft(0, 5, 0) };
    stage.plays([Step::Ask(1, again), announce(1, 1, &[0, 1]), Step::Wait(60_000)]);
    stage.plays([sign(&[1, 3], 2, 1, &[0, 1])]);
    assert_eq!(stage.refusals(Code::ApprovalsMissing), 1);
    assert!(stage.signed().is_empty());
}

/// Approvals were stockpiled, then the roster and the delay were changed, then everything was executed.
#[test]
fn drift_2026_stockpiled_approvals_and_a_delay_of_nothing() {
    let mut plan = plan();
    let mut easier = plan.versions[0].clone();
    easier.groups[0] = vec![0, 1, 3];
    easier.rules[2].delay_secs = 0;
    plan.versions.push(easier);
    let mut stage = stage(plan, None);
    stage.plays(approved());
    for signer in [1, 2] {
        stage.plays([announce(signer, 0, &[0, 1]), Step::Kill(signer, false), Step::Start(signer, 1)]);
        stage.plays([sign(&[signer, 3], signer.into(), 0, &[0, 1])]);
    }
    assert_eq!(stage.refusals(Code::ApprovalsMissing), 2);
    assert!(stage.signed().is_empty());
}

/// Whoever owns the coordinator's database shows signers an older world: what they know they keep.
#[test]
fn an_insider_at_the_coordinator_restores_a_snapshot() {
    let mut plan = plan();
    plan.limits = vec![super::limit(Some(4 * UNIT), None, None)];
    let mut stage = stage(plan, None);
    stage.plays([Step::Ask(0, draft(0, 1, 0)), Step::Ask(1, draft(1, 1, 0)), Step::Ask(2, draft(2, 1, 0))]);
    stage.plays([sign(&[1, 3], 1, 0, &[]), sign(&[2, 3], 2, 0, &[])]);
    // The same session for something else, a cancelled request, and what no longer fits.
    stage.plays([sign(&[1, 3], 1, 1, &[])]);
    stage.plays([Step::Cancel { signer: 1, request: 1, requester: 0, forged: false }, sign(&[1, 3], 3, 1, &[])]);
    stage.plays([Step::Kill(1, true), Step::Start(1, 0), sign(&[1, 3], 1, 0, &[]), sign(&[1, 3], 4, 2, &[])]);
    assert_eq!(stage.refusals(Code::SessionDead), 2);
    assert_eq!(stage.refusals(Code::Stopped), 1);
    assert_eq!(stage.refusals(Code::LimitReached), 1);
    assert_eq!(stage.signed().iter().copied().collect::<Vec<_>>(), [0]);
}
