//! Retries, waiting, and the check of what comes back.

use std::time::Duration;

use limen_chain::evm::{Eip1559Fees, Transfer, transfer};
use limen_client::{Error, Filter, NewIntent, RequestState, Retry, SignedIntent, Untrue};
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::error::Code;
use limen_wire::pb;

use crate::fake::{Fake, key_id};

pub(crate) const LONG: Duration = Duration::from_secs(30);

fn transaction() -> Vec<u8> {
    let to = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
    let wish = Transfer { chain: ChainId::eip155(1), to, amount: Amount::from_u128(5) };
    let fees = Eip1559Fees { nonce: 3, gas_limit: 21_000, max_fee_per_gas: 2, max_priority_fee_per_gas: 1 };
    transfer(&wish, &fees).unwrap()
}

pub(crate) fn intent(fake: &Fake) -> SignedIntent {
    let new = NewIntent::evm_transaction(key_id(), ChainId::eip155(1), transaction());
    fake.client().sign_intent(new).unwrap()
}

#[tokio::test]
async fn a_signature_is_verified_and_the_transaction_put_together_here() {
    let fake = Fake::start().await;
    let signed = fake.client().sign(&intent(&fake), LONG).await.unwrap();
    assert!(signed.transaction.is_some());
    assert_eq!(signed.public_key, fake.statement().public_key);
}

#[tokio::test]
async fn a_signature_over_other_bytes_is_refused() {
    let fake = Fake::start().await;
    fake.behave(|manners| manners.sign_other_bytes = true);
    let error = fake.client().sign(&intent(&fake), LONG).await.unwrap_err();
    assert!(matches!(error, Error::Untrue(Untrue::Signature)), "{error}");
}

#[tokio::test]
async fn another_signed_transaction_is_refused() {
    let fake = Fake::start().await;
    fake.behave(|manners| manners.other_transaction = Some(vec![2, 3, 4]));
    let error = fake.client().sign(&intent(&fake), LONG).await.unwrap_err();
    assert!(matches!(error, Error::Untrue(Untrue::OtherTransaction)), "{error}");
}

#[tokio::test]
async fn calls_are_repeated_until_they_are_answered() {
    let fake = Fake::start().await;
    let intent = intent(&fake);
    fake.behave(|manners| manners.unavailable = 3);
    assert!(!fake.client().submit(&intent).await.unwrap().repeated);
    fake.behave(|manners| manners.lose_answers = 0);
    assert!(fake.client().submit(&intent).await.unwrap().repeated);
    assert_eq!(fake.stored().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_request() {
    let fake = Fake::start().await;
    fake.behave(|manners| manners.lose_answers = 2);
    let submitted = fake.client().submit(&intent(&fake)).await.unwrap();
    assert!(submitted.repeated);
    assert_eq!((fake.stored().len(), fake.submitted().len()), (1, 3));
}

#[tokio::test]
async fn a_refusal_is_final_and_typed() {
    let fake = Fake::start().await;
    fake.behave(|manners| manners.refuse_note = Some("no"));
    let new = NewIntent::evm_transaction(key_id(), ChainId::eip155(1), transaction()).note("no way");
    let intent = fake.client().sign_intent(new).unwrap();
    let error = fake.client().submit(&intent).await.unwrap_err();
    assert_eq!(error.api().unwrap().code, Code::PolicyDenied);
    assert_eq!(fake.submitted().len(), 1, "a final refusal is not repeated");
}

#[tokio::test]
async fn a_deadline_ends_the_repetitions() {
    let fake = Fake::start().await;
    fake.behave(|manners| manners.unavailable = u32::MAX);
    let hasty =
        Retry { deadline: Duration::from_millis(40), first_pause: Duration::from_millis(1), ..Retry::default() };
    let error = fake.client().with_retry(hasty).submit(&intent(&fake)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { call: "Submit", .. }), "{error}");
    assert!(error.is_uncertain());
}

#[tokio::test]
async fn waiting_survives_streams_that_break() {
    let fake = Fake::start().await;
    fake.behave(|manners| (manners.never_sign, manners.short_streams) = (true, true));
    let (intent, client) = (intent(&fake), fake.client());
    client.submit(&intent).await.unwrap();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.wait(intent.id(), LONG).await }
    });
    fake.finish(fake.stored()[0].id, pb::RequestState::Failed);
    let request = waiting.await.unwrap().unwrap();
    assert_eq!(request.state, RequestState::Failed);
}

#[tokio::test]
async fn waiting_ends_in_time_and_says_where_the_request_stands() {
    let fake = Fake::start().await;
    fake.behave(|manners| manners.never_sign = true);
    let intent = intent(&fake);
    fake.client().submit(&intent).await.unwrap();
    let error = fake.client().wait(intent.id(), Duration::from_millis(30)).await.unwrap_err();
    assert!(matches!(&error, Error::NotEnded { state, .. } if state == "signing"), "{error}");
}

#[tokio::test]
async fn cancelling_and_finding_again() {
    let fake = Fake::start().await;
    fake.behave(|manners| manners.never_sign = true);
    let (intent, client) = (intent(&fake), fake.client());
    client.submit(&intent).await.unwrap();
    let cancelled = client.cancel(intent.id(), "changed my mind").await.unwrap();
    assert_eq!(cancelled.state, RequestState::Cancelled);
    let found = client.get_by_idempotency_key(&intent.intent().idempotency_key).await.unwrap();
    assert_eq!(found.id(), intent.id());
    assert_eq!(client.verify(&found).await.unwrap_err().code(), "stopped");
}

#[tokio::test]
async fn pages_follow_each_other() {
    let fake = Fake::start().await;
    let client = fake.client();
    for _ in 0..5 {
        client.submit(&intent(&fake)).await.unwrap();
    }
    let filter = Filter { page_size: 2, ..Filter::default() };
    let (mut cursor, mut seen) = (None, Vec::new());
    loop {
        let page = client.list(&filter, cursor.as_deref()).await.unwrap();
        seen.extend(page.requests.iter().map(limen_client::Request::id));
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

#[tokio::test]
async fn a_signed_intent_survives_a_restart_of_its_owner() {
    let fake = Fake::start().await;
    let intent = intent(&fake);
    let again = SignedIntent::from_bytes(&intent.to_bytes()).unwrap();
    assert_eq!(again, intent);
    fake.client().submit(&intent).await.unwrap();
    assert!(fake.client().submit(&again).await.unwrap().repeated);
}

#[tokio::test]
async fn another_authority_is_not_believed() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    let mut config = fake.config.clone();
    config.ca = other.config.ca.clone();
    let hasty = Retry { deadline: Duration::from_millis(200), ..Retry::default() };
    let client = limen_client::Client::connect(&config).unwrap().with_retry(hasty);
    let error = client.status().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}
