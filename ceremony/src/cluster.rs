//! The cluster as a participant's own client sees it, through the SDK: keys count by what their signers attest, never by the coordinator's
//! word.

use std::time::Duration;

use anyhow::{Context as _, Result};
use limen_client::{Client, ClientConfig, NewIntent, NewKey, Signed};
use limen_evidence::ceremony::TEST_CHAIN;
use limen_policy::ceremony::KeyGeneration;
use limen_wire::effects::{ChainId, sha256};
use limen_wire::ids::KeyId;
use limen_wire::intent::Payload;
use limen_wire::pb;

use crate::hands::Cluster;

/// Longest wait for a key.
const MADE_WITHIN: Duration = Duration::from_secs(1800);
/// Longest wait for the test signature.
const SIGNED_WITHIN: Duration = Duration::from_secs(600);

/// By a client configuration. Each call connects anew: a ceremony makes few.
pub struct SdkCluster {
    config: ClientConfig,
}

impl SdkCluster {
    /// With this configuration.
    pub const fn new(config: ClientConfig) -> Self {
        Self { config }
    }

    fn call<T>(&self, call: impl AsyncFnOnce(Client) -> Result<T>) -> Result<T> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting a runtime")?;
        runtime.block_on(async { call(Client::connect(&self.config)?).await })
    }
}

impl Cluster for SdkCluster {
    fn exists(&mut self, key: &KeyId) -> Result<bool> {
        self.call(async |client| Ok(client.list_keys(Some(key)).await?.iter().any(|info| info.key_id == *key)))
    }

    fn order(&mut self, key: &KeyGeneration) -> Result<()> {
        self.call(async |client| {
            let known = client.list_keys(Some(&key.key)).await?;
            if known.iter().all(|info| info.key_id != key.key) {
                let order = NewKey {
                    key_id: key.key.clone(),
                    scheme: key.scheme,
                    protocol: key.protocol,
                    size: key.size,
                    nodes: key.nodes.clone(),
                    expires_in: MADE_WITHIN,
                };
                client.create_key(&order).await?;
            }
            client.wait_for_key(&key.key, MADE_WITHIN, |_| {}).await?;
            Ok(())
        })
    }

    fn certificate(&mut self, key: &KeyId) -> Result<pb::Envelope> {
        self.call(async |client| {
            client.wait_for_key(key, MADE_WITHIN, |_| {}).await?;
            let info = client.list_keys(Some(key)).await?.into_iter().find(|info| info.key_id == *key);
            info.and_then(|info| info.certificate).context("the coordinator has no certificate of the key")
        })
    }

    fn sign(&mut self, key: &KeyGeneration, message: &str) -> Result<[u8; 65]> {
        // The same for every try: a repetition finds the signature that there is.
        let name = hex::encode(sha256(message.as_bytes()));
        let made = self.call(async |client| {
            let bytes = message.as_bytes().to_vec();
            let intent = if key.scheme.is_ecdsa() {
                NewIntent::new(key.key.clone(), ChainId::new(TEST_CHAIN), Payload::EvmMessage(bytes.into()))
            } else {
                NewIntent::message(key.key.clone(), bytes)
            };
            let intent = client.sign_intent(intent.idempotency_key(name.clone()).expires_in(SIGNED_WITHIN))?;
            match client.sign(&intent, SIGNED_WITHIN).await {
                Ok(signed) => Ok(signed),
                Err(error) => before(&client, &name).await.ok_or(error.into()),
            }
        })?;
        let mut out = [0; 65];
        let (signature, recovery) = out.split_at_mut(64);
        signature.copy_from_slice(&made.signature);
        recovery.fill(made.recovery_id);
        Ok(out)
    }
}

/// What an earlier try has brought.
async fn before(client: &Client, name: &str) -> Option<Signed> {
    let request = client.get_by_idempotency_key(name).await.ok()?;
    client.verify(&request).await.ok()
}
