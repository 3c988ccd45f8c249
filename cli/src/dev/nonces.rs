//! Which numbers of the account are burnt, as the cluster itself remembers.
//!
//! The cluster never signs two requests for one number. A chain that was made up, begun anew or killed knows less, and would
//! name numbers that belong to requests of an earlier `up`.

use anyhow::Result;
use limen_chain::{NoTokenKinds, decode};
use limen_client::evm::{Call, Fees, JsonRpc, Provider, ProviderError};
use limen_client::{Client, Filter, Request};
use limen_wire::effects::{Address, ChainId};
use limen_wire::ids::KeyId;
use limen_wire::intent::Payload;

const PAGE: u32 = 200;

/// A chain that never names a number below the first that no request of the account has taken. Without a chain, everything
/// else that a transfer must know is made up: what is signed then is never broadcast.
pub(crate) struct Remembering {
    chain: Option<JsonRpc>,
    first_free: u64,
}

impl Remembering {
    /// Asks the cluster for every request of the key's own account, whatever became of it.
    pub(crate) async fn ask(
        client: &Client,
        chain: Option<JsonRpc>,
        key_id: &KeyId,
        chain_id: &ChainId,
    ) -> Result<Self> {
        let account = client.address(key_id, &[], chain_id).await?;
        let filter = Filter { states: Vec::new(), key_id: Some(key_id.clone()), page_size: PAGE };
        let (mut first_free, mut cursor) = (0, None);
        loop {
            let page = client.list(&filter, cursor.as_deref()).await?;
            let taken = page.requests.iter().filter_map(|request| nonce(request, &account, chain_id));
            first_free = taken.map(|nonce| nonce.saturating_add(1)).fold(first_free, u64::max);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(Self { chain, first_free }),
            }
        }
    }
}

/// The number that a request burns, if it is a transaction of this account.
fn nonce(request: &Request, account: &Address, chain_id: &ChainId) -> Option<u64> {
    let intent = &request.intent;
    let Payload::EvmTransaction(unsigned) = &intent.payload else { return None };
    if !intent.path.is_empty() || intent.chain.as_ref() != Some(chain_id) {
        return None;
    }
    let payload = limen_chain::Payload::EvmTransaction(unsigned);
    decode(&payload, chain_id, account, &NoTokenKinds).ok()?.effects.nonce
}

impl Provider for Remembering {
    async fn next_nonce(&self, account: &Address) -> Result<u64, ProviderError> {
        let chain_says = match &self.chain {
            Some(chain) => chain.next_nonce(account).await?,
            None => 0,
        };
        Ok(chain_says.max(self.first_free))
    }
    async fn fees(&self) -> Result<Fees, ProviderError> {
        match &self.chain {
            Some(chain) => chain.fees().await,
            None => Ok(Fees { max_fee_per_gas: 30_000_000_000, max_priority_fee_per_gas: 1_000_000_000 }),
        }
    }
    async fn estimate_gas(&self, call: &Call) -> Result<u64, ProviderError> {
        match &self.chain {
            Some(chain) => chain.estimate_gas(call).await,
            None => Ok(if call.data.is_empty() { 21_000 } else { 65_000 }),
        }
    }
}
