//! Nonces under concurrent transfers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use limen_client::Retry;
use limen_client::evm::{Call, Fees, Provider, ProviderError, Transfer, Transfers};
use limen_wire::effects::{Address, Amount, ChainId};

use crate::fake::{Fake, key_id, nonce_of};

/// A chain on which nothing was mined yet.
struct Quiet;

impl Provider for Quiet {
    async fn next_nonce(&self, _: &Address) -> Result<u64, ProviderError> {
        tokio::task::yield_now().await;
        Ok(10)
    }
    async fn fees(&self) -> Result<Fees, ProviderError> {
        Ok(Fees { max_fee_per_gas: 20, max_priority_fee_per_gas: 1 })
    }
    async fn estimate_gas(&self, call: &Call) -> Result<u64, ProviderError> {
        tokio::task::yield_now().await;
        if call.value == Amount::from_u128(666) {
            Err(ProviderError::new("eth_estimateGas", "reverted"))
        } else {
            Ok(21_000)
        }
    }
}

async fn transfers(fake: &Fake) -> Arc<Transfers<Quiet>> {
    let transfers = Transfers::open(fake.client(), Quiet, key_id(), Vec::new(), ChainId::eip155(1)).await;
    Arc::new(transfers.unwrap())
}

fn native(amount: u128) -> Transfer {
    let to = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
    Transfer::Native { to, amount: Amount::from_u128(amount) }
}

/// Nonces of the stored requests, sorted; fails when one was used for two different byte strings.
fn nonces(fake: &Fake) -> Vec<u64> {
    let mut by_nonce = BTreeMap::new();
    for intent in fake.stored() {
        let before = by_nonce.insert(nonce_of(&intent).unwrap(), intent.payload.clone());
        assert!(before.is_none(), "a nonce was used twice");
    }
    by_nonce.into_keys().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_transfers_get_consecutive_nonces() {
    let fake = Fake::start().await;
    let transfers = transfers(&fake).await;
    let running: Vec<_> = (0..50)
        .map(|amount| {
            let transfers = Arc::clone(&transfers);
            tokio::spawn(async move { transfers.send(&native(amount), "", Duration::from_secs(30)).await })
        })
        .collect();
    for task in running {
        task.await.unwrap().unwrap();
    }
    assert_eq!(nonces(&fake), (10..60).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_transfers_leave_no_gap() {
    let fake = Fake::start().await;
    fake.behave(|manners| manners.refuse_note = Some("bad"));
    let transfers = transfers(&fake).await;
    let running: Vec<_> = (0..50u128)
        .map(|index| {
            let transfers = Arc::clone(&transfers);
            // Every fifth is refused by the rules, every seventh fails before anything is sent.
            let note = if index % 5 == 0 { "bad" } else { "good" };
            let amount = if index % 7 == 0 { 666 } else { index };
            tokio::spawn(async move { transfers.submit(&native(amount), note).await.is_ok() })
        })
        .collect();
    let mut done = 0;
    for task in running {
        done += u64::from(task.await.unwrap());
    }
    // What came back late is used by those that come later.
    let missing = nonces(&fake).last().unwrap() - 9 - done;
    for _ in 0..missing {
        transfers.submit(&native(1), "good").await.unwrap();
    }
    let used = nonces(&fake);
    assert_eq!(used, (10..10 + used.len() as u64).collect::<Vec<_>>());
    assert_eq!(used.len() as u64, done + missing);
}

#[tokio::test]
async fn a_lost_answer_keeps_its_nonce_and_is_handed_in_again() {
    let fake = Fake::start().await;
    // Its pauses are longer than its deadline: one attempt, however slow the machine.
    let pause = Duration::from_secs(60);
    let hasty =
        Retry { deadline: Duration::from_secs(10), first_pause: pause, longest_pause: pause, ..Retry::default() };
    let client = fake.client().with_retry(hasty);
    client.key(&key_id()).await.unwrap();
    let transfers = Transfers::open(client, Quiet, key_id(), Vec::new(), ChainId::eip155(1)).await.unwrap();
    fake.behave(|manners| manners.unavailable = 1);
    transfers.submit(&native(1), "first").await.unwrap_err();
    assert!(fake.stored().is_empty());
    let sent = transfers.submit(&native(2), "second").await.unwrap();
    assert_eq!(sent.nonce, 11);
    assert_eq!(nonces(&fake), [10, 11], "the first was handed in again, byte for byte");
}

#[tokio::test]
async fn nonces_of_others_are_skipped() {
    let fake = Fake::start().await;
    fake.behave(|manners| manners.taken_nonces = vec![10, 11]);
    let transfers = transfers(&fake).await;
    assert_eq!(transfers.submit(&native(1), "").await.unwrap().nonce, 12);
    assert_eq!(transfers.submit(&native(2), "").await.unwrap().nonce, 13);
}
