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
    let statement = KeyStatement::from_certificate(key.certificate.as_ref().unwrap(), &world.charter).unwrap();
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

/// A key that was made here was never whole, whatever a member says.
#[tokio::test]
async fn a_statement_of_another_mark_is_about_another_order() {
    let world = World::new(3);
    let running = world.start(&Disk::default()).await;
    world.signers[1].set(Mode::Marks);
    running.create(&order(&world)).await.unwrap();
    let error = running.key_in_state("treasury", pb::KeyState::Failed).await.error.unwrap();
    assert_eq!((error.code.as_str(), error.node.as_str()), ("internal", "signer-2"));
    assert!(error.message.contains("another order"), "{}", error.message);
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

/// What the charter takes out of use for good is refused at the door; who has destroyed it, the signers tell.
#[tokio::test]
async fn a_key_out_of_use_is_told_and_refused_at_once() {
    let world = World::governed("max_count = 5");
    let (_disk, running) = world.with_key().await;
    let mark = |state: &str| format!("[[keys]]\nkey = \"treasury\"\nstate = \"{state}\"\n[[requesters]]");
    let listed = |state: pb::KeyState| running.key_until("treasury", move |key| key.state() == state);
    world.adopt(2, "[[requesters]]", &mark("deactivated"));
    listed(pb::KeyState::Deactivated).await;
    let error = running.submit(&world.transfer("late")).await.unwrap_err();
    assert_eq!(error.code, Code::KeyRetired, "{error}");
    world.adopt(3, "[[requesters]]", &mark("destroyed"));
    listed(pb::KeyState::Destroyed).await;
    let word = limen_wire::destroyed::KeyDestroyed {
        cluster: "test".parse().unwrap(),
        node: world.signers[0].id.clone(),
        key_id: "treasury".parse().unwrap(),
        public_key: vec![2; 33],
        epochs: Vec::new(),
        charter: world.charter.hash(),
        wrapping_keys_left: Vec::new(),
        at_ms: 1,
    };
    let unsigned =
        limen_wire::envelope::Unsigned::new(limen_wire::envelope::PayloadType::KeyDestroyed, word.to_payload());
    let word = unsigned.signed(world.signers[0].id.as_str(), &[7; 64]);
    // Both tell it, one of them twice, and one tells what is none.
    for (signer, words) in
        world.signers.iter().zip([vec![word.clone(); 2], vec![word.clone()], vec![Default::default()]])
    {
        signer.memory.lock().unwrap().keys.get_mut("treasury").unwrap().destroyed = words;
    }
    let request = pb::ListKeysRequest { key_id: "treasury".to_owned() };
    let told = limen_coordinator::keys::list_told(&running.core, &request).await.unwrap().keys.remove(0);
    assert_eq!(told.destroyed, [word]);
    let again = world.order("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23);
    assert_eq!(running.create(&again).await.unwrap_err().code, Code::KeyRetired);
}
