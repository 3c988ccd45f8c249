//! A lying coordinator cannot swap an address.

use limen_client::{Error, Untrue};
use limen_wire::effects::ChainId;

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
