//! Keys from order to use.

use limen_wire::error::Code;
use limen_wire::ids::{Protocol, Scheme};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::disk::Disk;
use crate::fake::Mode;
use crate::world::World;

fn order(world: &World) -> pb::Envelope {
    world.order("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23)
}

#[tokio::test]
async fn a_key_is_made_certified_and_handed_to_every_member() {
    let world = World::new(3);
    let disk = Disk::default();
    let running = world.start(&disk).await;
    let key = running.create(&order(&world)).await.unwrap();
    assert_eq!(key.state, i32::from(pb::KeyState::PreActive));
    let key = running.key_until("treasury", |key| key.progress.contains("all 3")).await;
    let statement =
        KeyStatement::from_certificate(key.certificate.as_ref().unwrap(), &|node| world.charter.node_key(node))
            .unwrap();
    assert_eq!(statement.public_key, key.statement.unwrap().public_key);
    for signer in &world.signers {
        let memory = signer.memory.lock().unwrap();
        assert_eq!(memory.keys["treasury"].state, i32::from(pb::KeyState::Active));
    }
}

#[tokio::test]
async fn the_same_order_gives_the_same_key_and_another_order_is_refused() {
    let world = World::new(3);
    let running = world.start(&Disk::default()).await;
    running.create(&order(&world)).await.unwrap();
    running.create(&order(&world)).await.unwrap();
    let other = world.order("treasury", Scheme::EddsaEd25519, Protocol::Frost);
    assert_eq!(running.create(&other).await.unwrap_err().code, Code::KeyExists);
}

#[tokio::test]
async fn orders_of_others_and_of_other_clusters_are_refused() {
    let world = World::new(3);
    let running = world.start(&Disk::default()).await;
    let mut unsigned = order(&world);
    unsigned.signatures[0].signature = vec![0; 64].into();
    assert_eq!(running.create(&unsigned).await.unwrap_err().code, Code::BadSignature);
    let transfer = world.transfer("one");
    assert_eq!(running.create(&transfer).await.unwrap_err().code, Code::Malformed);
    assert!(running.key("treasury").is_none());
}

#[tokio::test]
async fn a_final_refusal_fails_the_key_and_its_name_stays_used() {
    let world = World::new(3);
    let running = world.start(&Disk::default()).await;
    world.signers[1].set(Mode::Refuses(Code::NotPermitted));
    running.create(&order(&world)).await.unwrap();
    let key = running.key_in_state("treasury", pb::KeyState::Failed).await;
    let error = key.error.unwrap();
    assert_eq!((error.code.as_str(), error.node.as_str()), ("not_permitted", "signer-2"));
    let other = world.order("treasury", Scheme::EddsaEd25519, Protocol::Frost);
    assert_eq!(running.create(&other).await.unwrap_err().code, Code::KeyExists);
}

#[tokio::test]
async fn an_order_waits_for_all_members_and_expires() {
    let world = World::new(3);
    let running = world.start(&Disk::default()).await;
    world.signers[2].set(Mode::Down);
    running.create(&order(&world)).await.unwrap();
    let late = World::order(&world, "late", Scheme::EcdsaSecp256k1, Protocol::Dkls23);
    running.create(&late).await.unwrap();
    world.signers[2].set(Mode::Up);
    running.key_in_state("treasury", pb::KeyState::Active).await;
    running.key_in_state("late", pb::KeyState::Active).await;
    world.signers[2].set(Mode::Down);
    running.create(&world.order("never", Scheme::EcdsaSecp256k1, Protocol::Dkls23)).await.unwrap();
    world.advance(700);
    let key = running.key_in_state("never", pb::KeyState::Failed).await;
    assert_eq!(key.error.unwrap().code, "expired");
}

#[tokio::test]
async fn a_member_that_is_away_gets_the_certificate_when_it_returns() {
    let world = World::new(3);
    let running = world.start(&Disk::default()).await;
    world.signers[0].set(Mode::Silent);
    running.create(&order(&world)).await.unwrap();
    running.key_until("treasury", |key| key.progress.contains("2 of 3")).await;
    world.signers[0].set(Mode::Up);
    running.key_until("treasury", |key| key.progress.contains("all 3")).await;
}
