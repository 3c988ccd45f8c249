//! Straight to the signers: what people say against signing needs no coordinator.
//!
//! A signer is who its pinned key says, wherever it is reached; it lets us in by our certificate, for stop records only.

use std::sync::Arc;
use std::time::Duration;

use limen_wire::ids::NodeId;
use limen_wire::limits::GRPC_MESSAGE_BYTES;
use limen_wire::pb;
use limen_wire::pb::stops_client::StopsClient;
use limen_wire::tls::{self, Dial, TlsIdentity};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::config::ClientConfig;
use crate::error::{ConfigError, Error};
use crate::retry::Retry;

/// How long a signer may take to answer.
const PATIENCE: Retry = Retry {
    deadline: Duration::from_secs(8),
    attempt: Duration::from_secs(4),
    first_pause: Duration::from_millis(100),
    longest_pause: Duration::from_secs(1),
};

/// What one signer answered.
pub type Answer<T> = (NodeId, Result<T, Error>);

/// Signers that can be reached without a coordinator. Connects when first used.
#[derive(Debug, Clone)]
pub struct Signers {
    list: Vec<(NodeId, StopsClient<Channel>)>,
}

impl Signers {
    /// Those that are wanted, each as `NAME` or `NAME=HOST:PORT`; all of the configuration that have an address there if
    /// none is named. Must be called inside a tokio runtime.
    pub fn connect(config: &ClientConfig, wanted: &[String]) -> Result<Self, ConfigError> {
        let identity = TlsIdentity::from_pem_files(&config.cert, &config.key)?;
        let unknown = |name: &str, what: &str| ConfigError::Content {
            path: "`nodes` or --signer".to_owned(),
            reason: format!("signer {name:?} {what}"),
        };
        let mut list = Vec::new();
        for node in &config.nodes {
            let asked =
                wanted.iter().map(|text| text.split_once('=').map_or((text.as_str(), None), |(a, b)| (a, Some(b))));
            let asked = asked.into_iter().find(|(name, _)| *name == node.id.as_str());
            if asked.is_none() && !wanted.is_empty() {
                continue;
            }
            let address = asked.and_then(|(_, address)| address).or(node.address.as_deref());
            let address = address.ok_or_else(|| unknown(node.id.as_str(), "has no address: write NAME=HOST:PORT"))?;
            let pinned = tls::pinned_client(&identity, node.id.as_str(), &node.public_key)?;
            let channel = Dial::new(address, node.id.as_str()).lazy(Arc::clone(&pinned))?;
            let client = StopsClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES);
            list.push((node.id.clone(), client));
        }
        let known = |text: &&String| {
            let name = text.split_once('=').map_or(text.as_str(), |(name, _)| name);
            config.nodes.iter().any(|node| node.id.as_str() == name)
        };
        if let Some(stranger) = wanted.iter().find(|text| !known(text)) {
            return Err(unknown(stranger, "is none that this client knows the key of"));
        }
        Ok(Self { list })
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &NodeId> {
        self.list.iter().map(|(node, _)| node)
    }

    /// Hands a stop record to all of them at once; true where a last-round message may have left before it. Safe to repeat.
    pub async fn hand_in(&self, record: &pb::Envelope) -> Vec<Answer<bool>> {
        let question = pb::HandInRequest { record: Some(record.clone()) };
        self.ask("HandIn", move |mut client| {
            let question = question.clone();
            async move { Ok(client.hand_in(question).await?.into_inner().possibly_signed) }
        })
        .await
    }

    /// The freezes that each of them holds, and those that it has made by itself.
    pub async fn freezes(&self) -> Vec<Answer<pb::ListFreezesResponse>> {
        self.ask("ListFreezes", |mut client| async move {
            Ok(client.list_freezes(pb::ListFreezesRequest {}).await?.into_inner())
        })
        .await
    }

    async fn ask<T, F, C>(&self, call: &'static str, attempt: C) -> Vec<Answer<T>>
    where
        T: Send + 'static,
        C: Fn(StopsClient<Channel>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<T, tonic::Status>> + Send,
    {
        let mut calls = JoinSet::new();
        for (place, (node, client)) in self.list.iter().enumerate() {
            let (node, client, attempt) = (node.clone(), client.clone(), attempt.clone());
            calls.spawn(async move {
                let answer = PATIENCE.run(call, || attempt(client.clone())).await;
                (place, (node, answer))
            });
        }
        let mut answers = calls.join_all().await;
        answers.sort_by_key(|(place, _)| *place);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }
}
