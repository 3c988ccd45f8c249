//! A lying coordinator cannot swap an address.

use std::time::Duration;

use limen_client::{Error, NewShares, Untrue};
use limen_wire::effects::ChainId;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::Epoch;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::fake::{Fake, key_id};

#[tokio::test]
async fn the_address_comes_from_what_the_signers_attest() {
    let fake = Fake::start().await;
    let client = fake.client();
    let address = client.address(&key_id(), &[], &ChainId::eip155(1)).await.unwrap();
    let truth = limen_client::keys::receive_address(&fake.statement(), &[], &ChainId::eip155(1)).unwrap();
    assert_eq!(address, truth);
    let child = client.address(&key_id(), &[0, 7], &ChainId::eip155(1)).await.unwrap();
    assert_ne!(child, address);
}

#[tokio::test]
async fn a_coordinator_that_swaps_the_key_is_found_out() {
    let fake = Fake::start().await;
    let mut swapped = fake.statement();
    // The attacker's own key, under a statement that one corrupt signer helps with.
    swapped.public_key = hex::decode("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798").unwrap();
    let certificate = fake.certificate(&swapped, &[2]);
    fake.behave(|manners| manners.certificate = Some(certificate));
    let error = fake.client().address(&key_id(), &[], &ChainId::eip155(1)).await.unwrap_err();
    assert!(matches!(error, Error::Untrue(Untrue::Certificate { .. })), "{error}");
}

#[tokio::test]
async fn a_swap_after_the_first_look_is_found_out_even_with_enough_signatures() {
    let fake = Fake::start().await;
    let client = fake.client();
    client.key(&key_id()).await.unwrap();
    let mut swapped = fake.statement();
    swapped.public_key = hex::decode("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798").unwrap();
    let certificate = fake.certificate(&swapped, &[0, 1, 2]);
    fake.behave(|manners| manners.certificate = Some(certificate));
    let info = client.list_keys(Some(&key_id())).await.unwrap().remove(0);
    assert!(matches!(client.admit(&info).unwrap_err(), Error::Untrue(Untrue::KeyChanged { .. })));
}

fn shares(fake: &Fake) -> NewShares {
    let present = fake.statement();
    let KeyStatement { protocol, size, nodes, .. } = present.clone();
    NewShares { present, first_epoch: Epoch(2), protocol, size, nodes, expires_in: Duration::from_secs(60) }
}

/// That new shares sign is what their signers attest, with the order's id: no word of the coordinator's is enough.
#[tokio::test]
async fn a_handover_is_done_when_the_signers_attest_the_shares_of_this_order() {
    let fake = Fake::start().await;
    let client = fake.client();
    let order = client.hand_over(&shares(&fake)).await.unwrap();
    let key = key_id();
    let wait = || client.wait_for_handover((&key, &order), Duration::from_secs(30), |_| {});
    fake.behave(|manners| manners.handover.state = pb::HandoverState::Done.into());
    let error = wait().await.unwrap_err();
    assert!(matches!(error, Error::Untrue(Untrue::Superseded { epoch: Epoch(1), .. })), "{error}");
    let next = KeyStatement { epoch: Epoch(2), generation_id: order, ..fake.statement() };
    let certificate = fake.certificate(&next, &[0, 1, 2]);
    fake.behave(|manners| manners.certificate = Some(certificate));
    assert_eq!(wait().await.unwrap(), next);
}

#[tokio::test]
async fn a_handover_that_failed_or_goes_on_is_told() {
    let fake = Fake::start().await;
    let client = fake.client();
    let order = client.hand_over(&shares(&fake)).await.unwrap();
    fake.behave(|manners| {
        manners.handover.state = pb::HandoverState::Ordered.into();
        manners.handover.progress = "waiting".to_owned();
    });
    let mut told = Vec::new();
    let at_once = client
        .wait_for_handover((&key_id(), &order), Duration::ZERO, |handover| told.push(handover.progress.clone()))
        .await;
    assert!(matches!(at_once, Err(Error::NotEnded { .. })));
    assert_eq!(told, ["waiting"]);
    let error = ApiError::new(Code::EpochTaken, "none is left");
    fake.behave(|manners| {
        manners.handover.state = pb::HandoverState::Failed.into();
        manners.handover.error = Some(error.to_wire());
    });
    let failed = client.wait_for_handover((&key_id(), &order), Duration::from_secs(30), |_| {}).await.unwrap_err();
    assert!(matches!(failed, Error::Api(error) if error.code == Code::EpochTaken));
}
