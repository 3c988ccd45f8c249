//! The cluster as a participant's own client sees it, through the SDK: keys count by what their signers attest, never by the coordinator's
//! word.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use limen_client::{Client, ClientConfig, KeyInfo, NewIntent, NewKey, NewShares, Signed};
use limen_evidence::ceremony::TEST_CHAIN;
use limen_policy::ceremony::{Handover, KeyGeneration, Wanted, WantedEpoch};
use limen_wire::effects::{ChainId, sha256};
use limen_wire::ids::{Epoch, KeyId, Scheme};
use limen_wire::intent::Payload;
use limen_wire::pb::{self, HandoverState};
use limen_wire::statement::KeyStatement;

use crate::hands::Cluster;

/// Longest wait for a key.
const MADE_WITHIN: Duration = Duration::from_secs(1800);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);
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

    fn hand_over(&mut self, handover: &Handover) -> Result<()> {
        let key = &handover.key;
        self.call(async |client| {
            let info = listed(&client, &key.id).await?;
            let present = client.admit(&info)?;
            // Whose order made later ones, nobody here knows: it need not be this ceremony's.
            ensure!(
                present.epoch == key.epoch,
                "key {} has shares of epoch {} already, the plan names epoch {}: hold a new ceremony whose plan names those",
                key.id,
                present.epoch.0,
                key.epoch.0
            );
            ensure!(
                present.verifying_shares_hash == key.shares && present.public_key == key.public_key,
                "the signers attest other shares of key {} than the plan names",
                key.id
            );
            let before = info.handover.as_ref();
            let open = before.filter(|one| matches!(one.state, HandoverState::Ordered | HandoverState::Certified));
            let order = match open {
                Some(open) => open.order,
                None => {
                    let next = Epoch(present.epoch.0.saturating_add(1));
                    let shares = NewShares {
                        first_epoch: before.map_or(next, |one| one.next_epoch.max(next)),
                        present,
                        protocol: handover.protocol,
                        size: handover.size,
                        nodes: handover.nodes.clone(),
                        expires_in: MADE_WITHIN,
                    };
                    client.hand_over(&shares).await?
                }
            };
            client.wait_for_handover((&key.id, &order), MADE_WITHIN, |_| {}).await?;
            Ok(())
        })
    }

    fn certificate(&mut self, wanted: &Wanted) -> Result<pb::Envelope> {
        let key = &wanted.key;
        self.call(async |client| {
            // One that is out of use signs no more, and has its certificate still.
            if listed(&client, key).await?.certificate.is_none() {
                client.wait_for_key(key, MADE_WITHIN, |_| {}).await?;
            }
            let until = Instant::now() + MADE_WITHIN;
            loop {
                let certificate = listed(&client, key).await?.certificate;
                let certificate = certificate.context("the coordinator has no certificate of the key")?;
                let epoch = KeyStatement::decode(&certificate)?.epoch;
                match wanted.epoch {
                    WantedEpoch::Above(before) if epoch <= before && Instant::now() < until => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    _ => return Ok(certificate),
                }
            }
        })
    }

    fn sign(&mut self, key: &KeyId, scheme: Scheme, message: &str) -> Result<[u8; 65]> {
        // The same for every try: a repetition finds the signature that there is.
        let name = hex::encode(sha256(message.as_bytes()));
        let made = self.call(async |client| {
            let bytes = message.as_bytes().to_vec();
            let intent = if scheme.is_ecdsa() {
                NewIntent::new(key.clone(), ChainId::new(TEST_CHAIN), Payload::EvmMessage(bytes.into()))
            } else {
                NewIntent::message(key.clone(), bytes)
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

async fn listed(client: &Client, key: &KeyId) -> Result<KeyInfo> {
    let found = client.list_keys(Some(key)).await?.into_iter().find(|info| info.key_id == *key);
    found.with_context(|| format!("there is no key {key}"))
}

/// What an earlier try has brought.
async fn before(client: &Client, name: &str) -> Option<Signed> {
    let request = client.get_by_idempotency_key(name).await.ok()?;
    client.verify(&request).await.ok()
}
