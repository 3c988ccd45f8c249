//! New shares for a key: ordered, tried until they are certified, handed round.

use limen_coordinator::keys;
use limen_wire::envelope::PayloadType;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Epoch, Protocol};
use limen_wire::intent::protocol_to_wire;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::disk::Disk;
use crate::fake::{Mode, seal};
use crate::world::{Running, START_SECS, World, identity};

fn refresh(world: &World) -> pb::KeyHandover {
    pb::KeyHandover {
        version: 1,
        cluster: "test".to_owned(),
        requester: "officer".to_owned(),
        key_id: "treasury".to_owned(),
        first_epoch: 2,
        protocol: protocol_to_wire(Protocol::Dkls23),
        signers_required: 2,
        nodes: world.signers.iter().map(|signer| signer.id.to_string()).collect(),
        expires_at_secs: START_SECS + 600,
        present: bytes::Bytes::new(),
    }
}

/// The order for the shares that the key has now.
fn sealed_for(running: &Running, order: &pb::KeyHandover) -> pb::Envelope {
    let certificate = running.key("treasury").unwrap().certificate.unwrap();
    let present = limen_wire::handover::statement_hash(&certificate.payload).to_vec().into();
    sealed(&pb::KeyHandover { present, ..order.clone() })
}

fn sealed(order: &pb::KeyHandover) -> pb::Envelope {
    seal(PayloadType::KeyHandover, order, "officer", &identity(102))
}

async fn ordered(running: &Running, order: &pb::KeyHandover) -> Result<pb::Key, ApiError> {
    keys::hand_over(&running.core, sealed_for(running, order)).await
}

async fn in_state(running: &Running, state: pb::HandoverState) -> pb::Key {
    let is_there = |key: &pb::Key| key.handover.as_ref().is_some_and(|handover| handover.state == i32::from(state));
    running.key_until("treasury", is_there).await
}

fn attested(key: &pb::Key) -> KeyStatement {
    KeyStatement::decode(key.certificate.as_ref().unwrap()).unwrap()
}

/// The epochs that a signer was called for.
fn tried(world: &World, signer: usize) -> Vec<u64> {
    world.signers[signer].memory.lock().unwrap().handed.iter().map(|request| request.epoch).collect()
}

#[tokio::test]
async fn new_shares_are_certified_and_every_member_is_told() {
    let world = World::new(3);
    let (disk, running) = world.with_key().await;
    let before = attested(&running.key("treasury").unwrap());
    let key = ordered(&running, &refresh(&world)).await.unwrap();
    assert_eq!(key.handover.unwrap().state, i32::from(pb::HandoverState::Ordered));
    let key = in_state(&running, pb::HandoverState::Done).await;
    let after = attested(&key);
    assert_eq!((after.epoch, &after.public_key), (Epoch(2), &before.public_key));
    assert_eq!(key.handover.clone().unwrap().progress, "3 of 3 members sign with the new shares");
    for signer in &world.signers {
        let memory = signer.memory.lock().unwrap();
        assert_eq!(memory.keys["treasury"].certificate, key.certificate);
        let request = &memory.handed[0];
        assert_eq!((request.dealers.len(), request.epoch), (2, 2));
    }
    // Again is nothing new, and the next one takes the next number.
    keys::hand_over(&running.core, key.handover.unwrap().order.unwrap()).await.unwrap();
    assert_eq!(tried(&world, 0), [2]);
    let stale = keys::hand_over(
        &running.core,
        sealed(&pb::KeyHandover { present: [7; 32].to_vec().into(), first_epoch: 3, ..refresh(&world) }),
    );
    assert_eq!(stale.await.unwrap_err().code, Code::Malformed, "it is for other shares");
    ordered(&running, &pb::KeyHandover { first_epoch: 3, ..refresh(&world) }).await.unwrap();
    running.key_until("treasury", |key| attested(key).epoch == Epoch(3)).await;
    in_state(&running, pb::HandoverState::Done).await;
    // What is remembered is remembered after a start, and nothing is done twice.
    let disk = { running.stop(&disk).await };
    let running = world.start(&disk).await;
    assert_eq!(attested(&running.key("treasury").unwrap()).epoch, Epoch(3));
    let id = "treasury".parse().unwrap();
    for epoch in 1..=3 {
        let key = running.core.keys.find_at(&id, Epoch(epoch)).unwrap();
        assert_eq!(key.statement.epoch, Epoch(epoch), "what was signed with it is proved by it");
    }
    assert_eq!(tried(&world, 0), [2, 3]);
}

#[tokio::test]
async fn numbers_that_signers_have_burnt_are_passed_over() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    world.signers[1].memory.lock().unwrap().keys.get_mut("treasury").unwrap().burnt_epoch = 5;
    ordered(&running, &refresh(&world)).await.unwrap();
    assert_eq!(attested(&in_state(&running, pb::HandoverState::Done).await).epoch, Epoch(6));
    // A number that no honest signer names is not believed.
    world.signers[2].memory.lock().unwrap().keys.get_mut("treasury").unwrap().burnt_epoch = u64::MAX;
    ordered(&running, &pb::KeyHandover { first_epoch: 7, ..refresh(&world) }).await.unwrap();
    running.key_until("treasury", |key| key.handover.as_ref().is_some_and(|handover| handover.error.is_some())).await;
    // How often it was tried again by now is chance.
    let tried = tried(&world, 0);
    assert!(tried.contains(&7) && tried.iter().all(|epoch| *epoch < 100), "{tried:?}");
}

#[tokio::test]
async fn an_order_without_numbers_left_fails_and_says_so() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    world.signers[1].memory.lock().unwrap().keys.get_mut("treasury").unwrap().burnt_epoch = 9;
    ordered(&running, &refresh(&world)).await.unwrap();
    let handover = in_state(&running, pb::HandoverState::Failed).await.handover.unwrap();
    assert_eq!(handover.error.unwrap().code, "epoch_taken");
    assert_eq!(handover.next_epoch, 10, "what is to be ordered next");
    assert_eq!(attested(&running.key("treasury").unwrap()).epoch, Epoch::FIRST, "the present shares go on");
}

#[tokio::test]
async fn a_member_that_does_not_answer_costs_an_attempt_and_others_deal_then() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    world.signers[0].set(Mode::Refuses(Code::SessionAborted));
    ordered(&running, &refresh(&world)).await.unwrap();
    running.key_until("treasury", |key| key.handover.as_ref().is_some_and(|handover| handover.error.is_some())).await;
    world.signers[0].set(Mode::Up);
    in_state(&running, pb::HandoverState::Done).await;
    let memory = world.signers[1].memory.lock().unwrap();
    let dealers: Vec<_> = memory.handed.iter().map(|request| request.dealers.clone()).collect();
    assert!(dealers.len() >= 2);
    assert_ne!(dealers[0], dealers[1], "{dealers:?}");
}

/// Whether a key was once whole is no member's to change.
#[tokio::test]
async fn a_share_of_another_mark_is_nobodys_new_share() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    world.signers.iter().for_each(|signer| signer.set(Mode::Marks));
    ordered(&running, &refresh(&world)).await.unwrap();
    let key = running
        .key_until("treasury", |key| key.handover.as_ref().is_some_and(|handover| handover.error.is_some()))
        .await;
    assert_eq!(attested(&key).epoch, Epoch::FIRST);
    world.signers.iter().for_each(|signer| signer.set(Mode::Up));
    let key = in_state(&running, pb::HandoverState::Done).await;
    assert!(!attested(&key).was_whole);
    // Nor is such a certificate one of the same key to a coordinator that begins anew.
    let marked = KeyStatement { was_whole: true, ..attested(&key) };
    let statements: Vec<_> = world.signers.iter().map(|signer| marked.sign(&signer.id, &signer.key)).collect();
    let certificate = limen_wire::statement::combine(&statements).unwrap();
    for signer in &world.signers {
        signer.memory.lock().unwrap().keys.get_mut("treasury").unwrap().past_certificates = vec![certificate.clone()];
    }
    let running = world.start(&Disk::default()).await;
    let key = running.key_until("treasury", |key| key.certificate.is_some()).await;
    assert!(!attested(&key).was_whole);
    assert!(running.core.keys.find_at(&"treasury".parse().unwrap(), Epoch::FIRST).is_none());
}

#[tokio::test]
async fn a_final_refusal_and_an_expiry_leave_the_present_shares() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    world.signers[2].set(Mode::Refuses(Code::NotPermitted));
    ordered(&running, &refresh(&world)).await.unwrap();
    let handover = in_state(&running, pb::HandoverState::Failed).await.handover.unwrap();
    let error = handover.error.unwrap();
    assert_eq!((error.code.as_str(), error.node.as_str()), ("not_permitted", "signer-3"));
    world.signers[2].set(Mode::Down);
    let next = pb::KeyHandover { first_epoch: 3, ..refresh(&world) };
    ordered(&running, &next).await.unwrap();
    let busy = ordered(&running, &pb::KeyHandover { first_epoch: 4, ..refresh(&world) }).await.unwrap_err();
    assert_eq!(busy.code, Code::WrongState);
    world.advance(700);
    let handover = in_state(&running, pb::HandoverState::Failed).await.handover.unwrap();
    assert_eq!(handover.error.unwrap().code, "expired");
    assert_eq!(attested(&running.key("treasury").unwrap()).epoch, Epoch::FIRST);
}

#[tokio::test]
async fn a_restart_takes_a_handover_up_where_the_signers_are() {
    let world = World::new(3);
    let (disk, running) = world.with_key().await;
    // All have made their shares, and the coordinator has not heard of it.
    world.signers[2].set(Mode::Down);
    ordered(&running, &refresh(&world)).await.unwrap();
    let order = sealed_for(&running, &refresh(&world));
    let disk = running.stop(&disk).await;
    world.signers[2].set(Mode::Up);
    let id = limen_wire::handover::KeyHandover::open(&order).unwrap().0.id;
    for signer in &world.signers {
        let mut memory = signer.memory.lock().unwrap();
        let share = memory.keys.get_mut("treasury").unwrap();
        let present = KeyStatement::decode(share.certificate.as_ref().unwrap()).unwrap();
        let next = KeyStatement { epoch: Epoch(2), generation_id: id, verifying_shares_hash: [9; 32], ..present };
        share.pending = Some(next.sign(&signer.id, &signer.key));
        share.burnt_epoch = 2;
    }
    let running = world.start(&disk).await;
    assert_eq!(attested(&in_state(&running, pb::HandoverState::Done).await).epoch, Epoch(2));
    assert!((0..3).all(|signer| tried(&world, signer).is_empty()), "no session was needed");
}

#[tokio::test]
async fn a_rebuilt_coordinator_learns_the_newest_shares_and_those_before() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    ordered(&running, &refresh(&world)).await.unwrap();
    in_state(&running, pb::HandoverState::Done).await;
    for signer in &world.signers {
        let mut memory = signer.memory.lock().unwrap();
        let first = running.core.keys.find_at(&"treasury".parse().unwrap(), Epoch::FIRST).unwrap();
        memory.keys.get_mut("treasury").unwrap().past_certificates = vec![first.certificate.clone()];
    }
    let running = world.start(&Disk::default()).await;
    let key = running.key_until("treasury", |key| key.certificate.is_some()).await;
    assert_eq!(attested(&key).epoch, Epoch(2));
    assert!(running.core.keys.find_at(&"treasury".parse().unwrap(), Epoch::FIRST).is_some());
}

#[tokio::test]
async fn orders_that_cannot_be_are_refused_before_any_signer_is_asked() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    type Change = fn(&mut pb::KeyHandover);
    let cases: [(&str, Change, Code); 8] = [
        ("another cluster", |order| order.cluster = "elsewhere".to_owned(), Code::WrongCluster),
        ("no such key", |order| order.key_id = "none".to_owned(), Code::UnknownKey),
        ("another committee", |order| drop(order.nodes.pop()), Code::NotPermitted),
        ("more needed", |order| order.signers_required = 3, Code::NotPermitted),
        ("another protocol", |order| order.protocol = protocol_to_wire(Protocol::Frost), Code::WrongScheme),
        ("expired", |order| order.expires_at_secs = 1, Code::Expired),
        ("for too long", |order| order.expires_at_secs += 1_000_000, Code::ExpiryTooFar),
        ("no epoch", |order| order.first_epoch = 1, Code::Malformed),
    ];
    for (what, change, code) in cases {
        let mut order = refresh(&world);
        change(&mut order);
        assert_eq!(ordered(&running, &order).await.unwrap_err().code, code, "{what}");
    }
    let mut unsigned = sealed_for(&running, &refresh(&world));
    unsigned.signatures[0].signature = vec![0; 64].into();
    assert_eq!(keys::hand_over(&running.core, unsigned).await.unwrap_err().code, Code::BadSignature);
    assert!(running.key("treasury").unwrap().handover.is_none());
}
