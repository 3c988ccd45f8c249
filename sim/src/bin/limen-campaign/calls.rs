//! What callers of a cluster do in a campaign: order keys, ask for signatures, and keep what they got.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use limen_client::{Client, Error, NewIntent, NewKey, NewShares};
use limen_sim::cluster::Cluster;
use limen_sim::solver::Seen;
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::ids::{CommitteeSize, Epoch, KeyId, NodeId, Protocol, Scheme};
use sha3::{Digest as _, Keccak256};

/// How long a request or a key may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// How long the order of a key may be tried, and one try.
const KEY_LIFE: Duration = Duration::from_secs(60);
pub(crate) const KEY_TRY_MS: u64 = 20_000;
/// When it must be there, or be known not to come.
pub(crate) const KEY_END: Duration = Duration::from_secs(90);
/// The same of new shares: once certified they are handed round until all members have them.
const HANDOVER_END: Duration = Duration::from_secs(120);
const CHAIN: &str = "eip155:31337";

/// What callers got.
#[derive(Default)]
pub(crate) struct Got {
    pub(crate) seen: Vec<Seen>,
    pub(crate) outcomes: BTreeMap<String, u64>,
    pub(crate) hanging: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) client: Client,
    pub(crate) keys: Vec<(KeyId, Scheme)>,
    pub(crate) numbers: Arc<AtomicU64>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// A key of FROST and one of DKLs23.
pub(crate) async fn first_keys(cluster: &mut Cluster, client: &Client) -> Result<Vec<(KeyId, Scheme)>> {
    let kinds = [("frost", Scheme::EddsaEd25519, Protocol::Frost), ("dkls", Scheme::EcdsaSecp256k1, Protocol::Dkls23)];
    let mut keys = Vec::new();
    for (name, scheme, protocol) in kinds {
        keys.push((first_key(cluster, client, name, (scheme, protocol)).await?, scheme));
    }
    Ok(keys)
}

/// Before anybody is killed a key comes about, at the latest at the third order: a machine may be too busy for the first.
async fn first_key(cluster: &mut Cluster, client: &Client, name: &str, kind: (Scheme, Protocol)) -> Result<KeyId> {
    let mut last = None;
    for order_number in 1..=3 {
        let key = KeyId::new(format!("{name}-{order_number}"))?;
        client.create_key(&order(cluster, &key, kind)?).await?;
        match client.wait_for_key(&key, KEY_END, |_| {}).await {
            Ok(_) => return Ok(key),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("no order")?.into())
}

pub(crate) fn order(cluster: &mut Cluster, key: &KeyId, (scheme, protocol): (Scheme, Protocol)) -> Result<NewKey> {
    let nodes: Vec<NodeId> =
        cluster.signers().iter().map(|daemon| NodeId::new(daemon.name())).collect::<Result<_, _>>()?;
    let size = CommitteeSize::new(2, 3)?;
    Ok(NewKey { key_id: key.clone(), scheme, protocol, size, nodes, expires_in: KEY_LIFE })
}

impl Caller {
    /// Asks for one signature after the other until told to stop.
    pub(crate) async fn ask(self) -> Got {
        let mut got = Got::default();
        while !self.stop.load(Ordering::Relaxed) {
            for (key, scheme) in &self.keys {
                self.one(key, *scheme, &mut got).await;
            }
        }
        got
    }

    pub(crate) async fn one(&self, key: &KeyId, scheme: Scheme, got: &mut Got) {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let Ok((intent, message)) = intent(key, scheme, number) else { return };
        let signed = match self.client.sign_intent(intent) {
            Ok(signed) => self.client.sign(&signed, PATIENCE).await,
            Err(error) => Err(error),
        };
        let word = match signed {
            Ok(signed) => {
                got.seen.extend(seen(scheme, &signed.public_key, message, signed.signature));
                "requests: signed".to_owned()
            }
            Err(Error::Api(error)) => format!("requests: {}", error.code.as_str()),
            Err(error) => return got.hanging.push(format!("request {number} with key {key} has no end: {error}")),
        };
        *got.outcomes.entry(word).or_default() += 1;
    }
}

impl Caller {
    /// Has the shares of one key after the other made anew until told to stop. Every order has to end.
    pub(crate) async fn refresh(self) -> Got {
        let mut got = Got::default();
        while !self.stop.load(Ordering::Relaxed) {
            for (key, _) in &self.keys {
                let word = match self.refresh_one(key).await {
                    Ok(()) => "refreshes: done",
                    Err(Error::Api(_)) => "refreshes: failed, told so",
                    Err(error) => {
                        got.hanging.push(format!("new shares of key {key} have no end: {error}"));
                        continue;
                    }
                };
                *got.outcomes.entry(word.to_owned()).or_default() += 1;
            }
        }
        got
    }

    async fn refresh_one(&self, key: &KeyId) -> Result<(), Error> {
        let infos = self.client.list_keys(Some(key)).await?;
        let Some(info) = infos.first() else { return Ok(()) };
        let present = self.client.admit(info)?;
        let next = Epoch(present.epoch.0.saturating_add(1));
        let shares = NewShares {
            first_epoch: info.handover.as_ref().map_or(next, |handover| handover.next_epoch.max(next)),
            protocol: present.protocol,
            size: present.size,
            nodes: present.nodes.clone(),
            present,
            expires_in: KEY_LIFE,
        };
        let order = self.client.hand_over(&shares).await?;
        self.client.wait_for_handover((key, &order), HANDOVER_END, |_| {}).await.map(drop)
    }
}

/// A request, and what is signed for it.
pub(crate) fn intent(key: &KeyId, scheme: Scheme, number: u64) -> Result<(NewIntent, Vec<u8>)> {
    if scheme != Scheme::EcdsaSecp256k1 {
        let message = format!("campaign message {number}").into_bytes();
        return Ok((NewIntent::message(key.clone(), message.clone()), message));
    }
    let chain = ChainId::new(CHAIN).context("chain id")?;
    let to = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").context("address")?;
    let amount = Amount::from_units("1", 18).context("amount")?;
    let transfer = limen_chain::evm::Transfer { chain: chain.clone(), to, amount };
    let fees = limen_chain::evm::Eip1559Fees {
        nonce: number,
        gas_limit: 21_000,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
    };
    let bytes = limen_chain::evm::transfer(&transfer, &fees)?;
    Ok((NewIntent::evm_transaction(key.clone(), chain, bytes.clone()), Keccak256::digest(&bytes).to_vec()))
}

pub(crate) fn seen(scheme: Scheme, key: &[u8], message: Vec<u8>, signature: [u8; 64]) -> Option<Seen> {
    Some(match scheme {
        Scheme::EcdsaSecp256k1 => {
            Seen::Ecdsa { key: key.try_into().ok()?, digest: message.try_into().ok()?, signature }
        }
        Scheme::EddsaEd25519 => Seen::Ed25519 { key: key.try_into().ok()?, message, signature },
        Scheme::SchnorrBip340 => Seen::Bip340 { key: key.try_into().ok()?, message, signature },
        // Campaigns make no key in one token.
        Scheme::EcdsaP256 => return None,
    })
}
