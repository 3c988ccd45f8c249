//! Requests that wait for people or for delays: approvals as they come in, and what hinders them.

use limen_coordinator::intake;
use limen_coordinator::lifecycle::{Record, State};
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::error::Code;
use limen_wire::ids::{ClusterId, CredentialId, FreezeEpoch, IntentId, PersonId, SliceHash};
use limen_wire::intent::Intent;
use limen_wire::keys::SigningKey;
use limen_wire::pb;

use crate::disk::{Disk, Moment};
use crate::fake::{Asks, FREEZE_EPOCH, Mode};
use crate::world::{PEOPLE, Running, START_SECS, World, identity, until};

pub(crate) const PEOPLE_ONLY: Asks = Asks { people: 2, delay_ms: 0 };
const BOTH: Asks = Asks { people: 2, delay_ms: 5000 };

fn key_of(person: &str) -> SigningKey {
    let number = PEOPLE.iter().position(|known| *known == person).unwrap();
    identity(110 + u8::try_from(number).unwrap())
}

fn sign(approval: Approval, key: &SigningKey) -> pb::Envelope {
    let signature = key.sign(approval.digest().as_bytes());
    SignedApproval { approval, proof: Proof::Signature(signature) }.to_envelope()
}

/// What an honest person says, from what their own machine finds out.
fn draft(world: &World, record: &Record, person: &str, verdict: Verdict) -> Approval {
    let (intent, _) = Intent::open(&record.envelope).unwrap();
    let effects = world.shared.decoded(&intent).effects;
    let reason = if verdict == Verdict::Reject { "never asked for" } else { "" };
    Approval {
        cluster: ClusterId::new("test").unwrap(),
        intent_id: record.id,
        effects_digest: effects.digest(),
        decoder_version: effects.decoder_version,
        slice: SliceHash::from_slice(&record.decision.as_ref().unwrap().slice_hash).unwrap(),
        freeze_epoch: FreezeEpoch::new([FREEZE_EPOCH; 32]),
        person: PersonId::new(person).unwrap(),
        credential: CredentialId::new(format!("{person}-laptop")).unwrap(),
        preceding: None,
        expires_at_secs: START_SECS + 3600,
        verdict,
        reason: reason.to_owned(),
        nonce: [3; 32],
    }
}

fn says(world: &World, record: &Record, person: &str, verdict: Verdict) -> pb::Envelope {
    sign(draft(world, record, person, verdict), &key_of(person))
}

/// Approved by these, one after the other.
pub(crate) async fn approved(world: &World, running: &Running, record: &Record, people: &[&str]) {
    for person in people {
        intake::approve(&running.core, says(world, record, person, Verdict::Approve)).await.unwrap();
    }
}

/// A request that waits for people, in a cluster whose rules ask for this.
pub(crate) async fn waiting(world: &World, asks: Asks) -> (Disk, Running, Record) {
    *world.shared.asks.lock().unwrap() = Some(asks);
    let (disk, running) = world.with_key().await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let record = running.in_state(&entry.record.id, State::AwaitingApproval).await;
    (disk, running, record)
}

fn met(record: &Record) -> usize {
    record.opinions.values().filter(|opinion| opinion.requirements.iter().all(|status| status.met)).count()
}

#[tokio::test]
async fn a_request_goes_on_once_enough_people_have_approved() {
    let world = World::new(3);
    let (_disk, running, record) = waiting(&world, PEOPLE_ONLY).await;
    approved(&world, &running, &record, &["anna"]).await;
    let says_less = |record: &Record| {
        let one_more =
            |opinion: &limen_coordinator::lifecycle::Opinion| opinion.requirements[0].missing == "1 more of ops";
        record.opinions.values().filter(|opinion| one_more(opinion)).count() == 3
    };
    let record = running.until(&record.id, says_less).await;
    assert_eq!(record.state, State::AwaitingApproval);
    approved(&world, &running, &record, &["ben"]).await;
    let signed = running.in_state(&record.id, State::Signed).await;
    assert_eq!((signed.sessions, signed.approvals.len(), signed.exposed), (1, 2, false));
    assert_eq!(running.core.metrics.approvals.get(), 2);
    let view = signed.to_wire();
    assert_eq!(view.approvals.len(), 2);
}

#[tokio::test]
async fn a_delay_runs_once_people_have_approved_and_is_waited_for() {
    let world = World::new(3);
    let (_disk, running, record) = waiting(&world, BOTH).await;
    approved(&world, &running, &record, &["anna", "ben"]).await;
    running.in_state(&record.id, State::TimeLocked).await;
    world.advance(4);
    // Every signer is asked again, more than once, and is still told to wait.
    let asked = || -> Vec<u64> { world.signers.iter().map(|one| one.memory.lock().unwrap().announced).collect() };
    let before = asked();
    until("they were asked again", || asked().iter().zip(&before).all(|(now, before)| *now >= before + 2)).await;
    assert_eq!(running.record(&record.id).state, State::TimeLocked);
    world.advance(1);
    let signed = running.in_state(&record.id, State::Signed).await;
    assert_eq!(signed.sessions, 1);
}

#[tokio::test]
async fn what_asks_for_nothing_takes_one_announcement_and_one_session() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let signed = running.in_state(&entry.record.id, State::Signed).await;
    assert_eq!(signed.sessions, 1);
    running.until(&entry.record.id, |record| record.opinions.len() == 3).await;
    assert!(world.signers.iter().all(|signer| signer.memory.lock().unwrap().announced == 1));
}

#[tokio::test]
async fn a_restart_goes_on_waiting_for_people_and_for_a_delay() {
    let world = World::new(3);
    let (disk, running, record) = waiting(&world, BOTH).await;
    approved(&world, &running, &record, &["anna"]).await;
    let disk = running.stop(&disk).await;
    let running = world.start(&disk).await;
    let again = running.record(&record.id);
    assert_eq!((again.state, again.approvals.len()), (State::AwaitingApproval, 1));
    approved(&world, &running, &record, &["ben"]).await;
    running.in_state(&record.id, State::TimeLocked).await;
    let disk = running.stop(&disk).await;
    world.advance(6);
    let running = world.start(&disk).await;
    running.in_state(&record.id, State::Signed).await;
    assert_eq!(world.intents_signed(), 1);
}

#[tokio::test]
async fn an_answered_approval_survives_a_crash_at_every_write() {
    for moment in [Moment::Before, Moment::After] {
        for flush in 1..=4 {
            let world = World::new(3);
            let (disk, running, record) = waiting(&world, PEOPLE_ONLY).await;
            disk.crash_in(flush, moment);
            let mut answered = 0;
            tokio::select! {
                biased;
                () = disk.crashed.cancelled() => {}
                () = async {
                    for person in ["anna", "ben"] {
                        let said = says(&world, &record, person, Verdict::Approve);
                        answered += usize::from(intake::approve(&running.core, said).await.is_ok());
                    }
                    running.until(&record.id, |record| record.state.is_end()).await;
                } => {}
            }
            running.core.stop();
            drop(running);
            tokio::task::yield_now().await;
            let running = world.start(&disk.after_crash()).await;
            assert!(running.record(&record.id).approvals.len() >= answered, "{moment:?} flush {flush}");
            // Whoever got no answer says it again.
            approved(&world, &running, &record, &["anna", "ben"]).await;
            running.in_state(&record.id, State::Signed).await;
            assert_eq!(world.intents_signed(), 1);
        }
    }
}

#[tokio::test]
async fn a_wiped_coordinator_waits_on_with_what_the_signers_keep() {
    let world = World::new(3);
    let (_disk, running, record) = waiting(&world, PEOPLE_ONLY).await;
    approved(&world, &running, &record, &["anna"]).await;
    until("every signer holds it", || {
        let holds = |said: &crate::fake::Said| said.approved.len() == 1;
        world.signers.iter().all(|signer| signer.memory.lock().unwrap().said.values().all(holds))
    })
    .await;
    running.core.stop();
    drop(running);
    let running = world.start(&Disk::default()).await;
    let rebuilt = running.in_state(&record.id, State::AwaitingApproval).await;
    assert!(rebuilt.approvals.is_empty(), "they come back when somebody hands them in again");
    approved(&world, &running, &rebuilt, &["ben"]).await;
    running.in_state(&record.id, State::Signed).await;
}

#[tokio::test]
async fn the_same_approval_counts_once_and_after_the_end_only_repeats_are_answered() {
    let world = World::new(3);
    let (_disk, running, record) = waiting(&world, PEOPLE_ONLY).await;
    let first = says(&world, &record, "anna", Verdict::Approve);
    for _ in 0..3 {
        let entry = intake::approve(&running.core, first.clone()).await.unwrap();
        assert_eq!((entry.record.approvals.len(), entry.record.state), (1, State::AwaitingApproval));
    }
    approved(&world, &running, &record, &["ben"]).await;
    running.in_state(&record.id, State::Signed).await;
    let entry = intake::approve(&running.core, first).await.unwrap();
    assert_eq!(entry.record.state, State::Signed);
    let late = says(&world, &record, "carol", Verdict::Reject);
    let error = intake::approve(&running.core, late.clone()).await.unwrap_err();
    assert_eq!(error.code, Code::WrongState, "{error}");
    until("its driver is gone", || running.record(&record.id).opinions.len() == 3).await;
    let error = intake::approve(&running.core, late).await.unwrap_err();
    assert_eq!(error.code, Code::WrongState, "{error}");
}

#[tokio::test]
async fn what_no_signer_would_count_is_refused_at_once_and_not_kept() {
    let world = World::new(3);
    let (_disk, running, record) = waiting(&world, PEOPLE_ONLY).await;
    let with = |change: &dyn Fn(&mut Approval)| {
        let mut approval = draft(&world, &record, "anna", Verdict::Approve);
        change(&mut approval);
        sign(approval, &key_of("anna"))
    };
    let person = |name: &str| PersonId::new(name).unwrap();
    let credential = |name: &str| CredentialId::new(name).unwrap();
    let forged = sign(draft(&world, &record, "anna", Verdict::Approve), &key_of("ben"));
    let cases = [
        (with(&|a| a.cluster = ClusterId::new("elsewhere").unwrap()), Code::WrongCluster),
        (with(&|a| a.intent_id = IntentId::new([9; 32])), Code::UnknownRequest),
        (with(&|a| (a.person, a.credential) = (person("mallory"), credential("mallory-laptop"))), Code::NotEnrolled),
        (with(&|a| a.person = person("ben")), Code::NotPermitted),
        (with(&|a| a.effects_digest = [0; 32]), Code::ApprovalLapsed),
        (with(&|a| a.decoder_version += 1), Code::ApprovalLapsed),
        (with(&|a| a.slice = SliceHash::new([0; 32])), Code::ApprovalLapsed),
        (with(&|a| a.freeze_epoch = FreezeEpoch::new([0; 32])), Code::ApprovalLapsed),
        (with(&|a| a.expires_at_secs = START_SECS), Code::Expired),
        (forged, Code::BadSignature),
        (pb::Envelope::default(), Code::Malformed),
    ];
    let refused = u64::try_from(cases.len()).unwrap();
    for (envelope, code) in cases {
        let error = intake::approve(&running.core, envelope).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
    assert_eq!(running.core.metrics.approvals_refused.get(), refused);
    assert!(running.record(&record.id).approvals.is_empty());
}

#[tokio::test]
async fn a_rejection_ends_the_request_with_its_reason_also_during_a_delay() {
    for people in [&["anna"][..], &["anna", "ben"]] {
        let world = World::new(3);
        let (_disk, running, record) = waiting(&world, BOTH).await;
        approved(&world, &running, &record, people).await;
        intake::approve(&running.core, says(&world, &record, "carol", Verdict::Reject)).await.unwrap();
        let ended = running.in_state(&record.id, State::Rejected).await;
        let error = ended.error.unwrap();
        assert_eq!(error.code, Code::Rejected);
        assert!(error.message.contains("carol says: never asked for"), "{error}");
        assert_eq!(world.intents_signed(), 0);
    }
}

#[tokio::test]
async fn a_withdrawal_takes_a_request_out_of_its_delay() {
    let world = World::new(3);
    let (_disk, running, record) = waiting(&world, BOTH).await;
    approved(&world, &running, &record, &["anna", "ben"]).await;
    running.in_state(&record.id, State::TimeLocked).await;
    intake::approve(&running.core, says(&world, &record, "ben", Verdict::Withdraw)).await.unwrap();
    running.in_state(&record.id, State::AwaitingApproval).await;
    approved(&world, &running, &record, &["carol"]).await;
    running.in_state(&record.id, State::TimeLocked).await;
}

#[tokio::test]
async fn waiting_ends_by_expiry_and_by_cancelling() {
    for (asks, people) in [(PEOPLE_ONLY, &[][..]), (BOTH, &["anna", "ben"])] {
        let state = if people.is_empty() { State::AwaitingApproval } else { State::TimeLocked };
        let world = World::new(3);
        let (_disk, running, record) = waiting(&world, asks).await;
        approved(&world, &running, &record, people).await;
        running.in_state(&record.id, state).await;
        let ended = intake::cancel(&running.core, world.cancellation(&record.id, "backend")).await.unwrap();
        assert_eq!(ended.record.state, State::Cancelled);
        let error = intake::approve(&running.core, says(&world, &record, "carol", Verdict::Approve)).await.unwrap_err();
        assert_eq!(error.code, Code::WrongState, "{error}");
        let (entry, _) = running.submit(&world.transfer("two")).await.unwrap();
        running.in_state(&entry.record.id, State::AwaitingApproval).await;
        world.advance(61);
        running.in_state(&entry.record.id, State::Expired).await;
    }
}

#[tokio::test]
async fn a_signer_that_was_away_hears_what_people_said_meanwhile() {
    let world = World::new(2);
    let (_disk, running, record) = waiting(&world, PEOPLE_ONLY).await;
    world.signers[0].set(Mode::Down);
    approved(&world, &running, &record, &["anna", "ben"]).await;
    let waits = running.until(&record.id, |record| met(record) == 1).await;
    assert_eq!(waits.state, State::AwaitingApproval);
    world.signers[0].set(Mode::Up);
    running.in_state(&record.id, State::Signed).await;
}

#[tokio::test]
async fn a_signer_that_lies_about_its_requirements_gains_nothing() {
    let world = World::new(3);
    world.signers[0].set(Mode::SaysMet);
    let (_disk, running, record) = waiting(&world, PEOPLE_ONLY).await;
    approved(&world, &running, &record, &["anna"]).await;
    running.until(&record.id, |record| record.opinions.values().all(|opinion| opinion.seen == 1)).await;
    assert_eq!((running.record(&record.id).state, world.intents_signed()), (State::AwaitingApproval, 0));
    approved(&world, &running, &record, &["ben"]).await;
    let signed = running.in_state(&record.id, State::Signed).await;
    assert_eq!(signed.result.unwrap().signers, [2, 3]);
}

#[tokio::test]
async fn signers_that_say_ready_and_refuse_are_asked_with_pauses_until_the_expiry() {
    let world = World::new(3);
    for signer in &world.signers {
        signer.set(Mode::SaysMet);
    }
    *world.shared.asks.lock().unwrap() = Some(PEOPLE_ONLY);
    let (_disk, running) = world.with_key().await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let early = |record: &Record| record.error.as_ref().is_some_and(|error| error.code == Code::ApprovalsMissing);
    running.until(&entry.record.id, early).await;
    // The pauses before these grow to ten milliseconds, of which half is left to chance.
    let started = std::time::Instant::now();
    let sessions = || running.core.metrics.sessions_started.get();
    let before = sessions();
    until("some more sessions", || sessions() >= before + 12).await;
    assert!(started.elapsed().as_millis() >= 40, "they are asked without a pause");
    assert_eq!((running.core.metrics.sessions_failed.get(), running.record(&entry.record.id).exposed), (0, false));
    world.advance(61);
    running.in_state(&entry.record.id, State::Expired).await;
}
