//! Orders whose shares wait for their backups to be proven.

use limen_coordinator::{backups, keys};
use limen_wire::backup::BackupProof;
use limen_wire::envelope::PayloadType;
use limen_wire::error::Code;
use limen_wire::ids::{Epoch, PartyIndex, Protocol, Scheme};
use limen_wire::intent::protocol_to_wire;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::disk::Disk;
use crate::fake::{Mode, seal};
use crate::world::{Running, START_SECS, World, identity};

const PEOPLE: [&str; 2] = ["anna", "boris"];

/// Every signer withholds its shares until both have proven.
fn backed_up(world: &World) {
    for signer in &world.signers {
        signer.memory.lock().unwrap().custodians = PEOPLE.map(str::to_owned).to_vec();
    }
}

fn proof(node: &str, person: &str) -> pb::ProveBackupRequest {
    let said = BackupProof {
        cluster: "test".parse().unwrap(),
        key: "treasury".parse().unwrap(),
        epoch: Epoch(1),
        member: PartyIndex::new(1).unwrap(),
        backup: [1; 32],
        person: person.parse().unwrap(),
        credential: format!("{person}-terminal").parse().unwrap(),
        asked_by: node.parse().unwrap(),
        nonce: [2; 32],
        proof: [3; 64],
        made_at_secs: 1,
    };
    let credential = said.credential.to_string();
    pb::ProveBackupRequest { proof: Some(said.to_unsigned().sign(&credential, &identity(1))) }
}

async fn prove(running: &Running, node: &str, person: &str) {
    backups::prove(&running.core, proof(node, person)).await.unwrap();
}

async fn prove_all(world: &World, running: &Running) {
    for signer in &world.signers {
        for person in PEOPLE {
            prove(running, signer.id.as_str(), person).await;
        }
    }
}

fn waits_for(key: &pb::Key, words: &str) -> bool {
    key.progress.starts_with("waiting for backup proofs: ") && key.progress.contains(words)
}

fn refresh(running: &Running, world: &World, first_epoch: u64) -> pb::Envelope {
    let certificate = running.key("treasury").unwrap().certificate.unwrap();
    let order = pb::KeyHandover {
        version: 1,
        cluster: "test".to_owned(),
        requester: "officer".to_owned(),
        key_id: "treasury".to_owned(),
        first_epoch,
        protocol: protocol_to_wire(Protocol::Dkls23),
        signers_required: 2,
        nodes: world.signers.iter().map(|signer| signer.id.to_string()).collect(),
        expires_at_secs: START_SECS + 600,
        present: limen_wire::handover::statement_hash(&certificate.payload).to_vec().into(),
    };
    seal(PayloadType::KeyHandover, &order, "officer", &identity(102))
}

fn handover_waits(key: &pb::Key) -> bool {
    let progress = key.handover.as_ref().map(|handover| handover.progress.clone()).unwrap_or_default();
    progress.starts_with("waiting for backup proofs: ")
}

#[tokio::test]
async fn a_key_waits_for_days_for_the_proofs_of_its_backups_and_says_whose() {
    let world = World::new(3);
    backed_up(&world);
    let disk = Disk::default();
    let running = world.start(&disk).await;
    running.create(&world.order("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23)).await.unwrap();
    let key = running.key_until("treasury", |key| waits_for(key, "signer-3: anna, boris")).await;
    assert_eq!((key.state, key.error.unwrap().code.as_str()), (pb::KeyState::PreActive.into(), "backup_unproven"));
    // Far beyond the order's expiry, with the coordinator away for a while, and a signer too.
    world.advance(200_000);
    world.signers[1].set(Mode::Down);
    prove(&running, "signer-3", "anna").await;
    running.key_until("treasury", |key| waits_for(key, "signer-3: boris")).await;
    let disk = running.stop(&disk).await;
    let running = world.start(&disk).await;
    running.key_until("treasury", |key| waits_for(key, "signer-2: does not answer")).await;
    world.signers[1].set(Mode::Up);
    running.key_until("treasury", |key| waits_for(key, "signer-2: anna, boris")).await;
    prove(&running, "signer-3", "boris").await;
    running.key_until("treasury", |key| waits_for(key, "signer-1") && !key.progress.contains("signer-3")).await;
    for node in ["signer-1", "signer-2"] {
        for person in PEOPLE {
            prove(&running, node, person).await;
        }
    }
    let key = running.key_until("treasury", |key| key.progress.contains("all 3")).await;
    assert_eq!(key.error, None);
}

#[tokio::test]
async fn a_handover_waits_too_and_another_order_can_take_its_place() {
    let world = World::new(3);
    let (disk, running) = world.with_key().await;
    backed_up(&world);
    let first = refresh(&running, &world, 2);
    keys::hand_over(&running.core, first.clone()).await.unwrap();
    running.key_until("treasury", handover_waits).await;
    let disk = running.stop(&disk).await;
    let running = world.start(&disk).await;
    running.key_until("treasury", handover_waits).await;
    let attempts = |signer: usize| world.signers[signer].memory.lock().unwrap().handed.len();
    assert_eq!((0..3).map(attempts).max(), Some(1), "no second attempt while people are waited for");
    // The custodians of the first never come.
    for signer in &world.signers {
        signer.memory.lock().unwrap().custodians = vec!["carla".to_owned()];
    }
    let second = refresh(&running, &world, 3);
    keys::hand_over(&running.core, second.clone()).await.unwrap();
    let is_carlas = |key: &pb::Key| key.handover.as_ref().unwrap().progress.contains("signer-3: carla");
    running.key_until("treasury", is_carlas).await;
    for signer in &world.signers {
        prove(&running, signer.id.as_str(), "carla").await;
    }
    let is_done = |key: &pb::Key| key.handover.as_ref().unwrap().state == i32::from(pb::HandoverState::Done);
    let key = running.key_until("treasury", is_done).await;
    assert_eq!(key.handover.unwrap().order.unwrap(), second);
    assert_eq!(KeyStatement::decode(&key.certificate.unwrap()).unwrap().epoch, Epoch(3));
}

#[tokio::test]
async fn a_member_without_a_share_is_no_matter_of_proofs() {
    let world = World::new(3);
    backed_up(&world);
    let running = world.start(&Disk::default()).await;
    world.signers[2].set(Mode::Refuses(Code::NotPermitted));
    running.create(&world.order("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23)).await.unwrap();
    let error = running.key_in_state("treasury", pb::KeyState::Failed).await.error.unwrap();
    assert_eq!((error.code.as_str(), error.node.as_str()), ("not_permitted", "signer-3"));
}

#[tokio::test]
async fn backups_are_listed_fetched_and_proven_through_the_coordinator() {
    let world = World::new(3);
    backed_up(&world);
    let running = world.start(&Disk::default()).await;
    running.create(&world.order("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23)).await.unwrap();
    running.key_until("treasury", |key| waits_for(key, "signer-1")).await;
    let listed = backups::list(&running.core, pb::ListBackupsRequest::default()).await.unwrap();
    let nodes: Vec<_> = listed.backups.iter().map(|one| one.node.as_str()).collect();
    assert_eq!((nodes.as_slice(), listed.missing.len()), (&["signer-1", "signer-2", "signer-3"][..], 0));
    let request =
        |node: &str| pb::FetchBackupRequest { node: node.to_owned(), key_id: "treasury".to_owned(), epoch: 0 };
    let fetched = backups::fetch(&running.core, request("signer-2")).await.unwrap();
    assert_eq!(fetched.file.as_ref(), b"treasury");
    for nobody in ["signer-9", "", "Signer 1"] {
        assert_eq!(backups::fetch(&running.core, request(nobody)).await.unwrap_err().code, Code::Malformed);
    }
    for garbage in [None, Some(pb::Envelope::default())] {
        let refused = backups::prove(&running.core, pb::ProveBackupRequest { proof: garbage }).await;
        assert_eq!(refused.unwrap_err().code, Code::Malformed);
    }
    let elsewhere = backups::prove(&running.core, proof("signer-9", "anna")).await.unwrap_err();
    assert_eq!(elsewhere.code, Code::Malformed);
    world.signers[0].set(Mode::Down);
    let listed = backups::list(&running.core, pb::ListBackupsRequest::default()).await.unwrap();
    assert_eq!((listed.backups.len(), listed.missing.len()), (2, 1));
    assert_eq!(backups::fetch(&running.core, request("signer-1")).await.unwrap_err().code, Code::TooFewSigners);
    world.signers[0].set(Mode::Up);
    prove_all(&world, &running).await;
    running.key_until("treasury", |key| key.progress.contains("all 3")).await;
}
