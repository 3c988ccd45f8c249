//! What `up.json` holds: for programs, and for tests that check the story with other people's libraries.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use limen_client::ClientConfig;
use limen_wire::effects::Address;
use limen_wire::statement::KeyStatement;
use serde::Serialize;

use super::layout::{Layout, State};

#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) cluster: String,
    pub(crate) requester: String,
    pub(crate) keys: Vec<KeyReport>,
    pub(crate) withdrawals: Vec<Withdrawal>,
    pub(crate) messages: Vec<Message>,
    /// What else happened, in order.
    pub(crate) acts: Vec<Act>,
    pub(crate) endpoints: Endpoints,
    pub(crate) client: ClientFiles,
}

#[derive(Debug, Serialize)]
pub(crate) struct KeyReport {
    pub(crate) key_id: String,
    pub(crate) scheme: String,
    protocol: String,
    signers_required: u8,
    signers_total: u8,
    public_key: String,
    address: String,
}

impl KeyReport {
    pub(crate) fn new(key: &KeyStatement, address: &Address) -> Self {
        Self {
            key_id: key.key_id.to_string(),
            scheme: key.scheme.to_string(),
            protocol: key.protocol.to_string(),
            signers_required: key.size.signers_required(),
            signers_total: key.size.signers_total(),
            public_key: hex::encode(&key.public_key),
            address: address.to_string(),
        }
    }
}

/// A signed transfer; `block_number` is empty when there was no chain to broadcast it to.
#[derive(Debug, Serialize)]
pub(crate) struct Withdrawal {
    pub(crate) chain: String,
    pub(crate) asset: String,
    pub(crate) amount: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) raw_transaction: String,
    pub(crate) tx_hash: String,
    /// The account's number that it burns.
    pub(crate) nonce: u64,
    pub(crate) block_number: Option<u64>,
    /// From submit to the block, or to the signature without a chain.
    pub(crate) seconds: f64,
    /// From submit to the verified signature.
    pub(crate) signing_seconds: f64,
    pub(crate) intent_id: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Message {
    pub(crate) key_id: String,
    pub(crate) text: String,
    pub(crate) signature: String,
    pub(crate) public_key: String,
    pub(crate) seconds: f64,
}

/// What the story shows beside payments that are signed at once.
#[derive(Debug, Serialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub(crate) enum Act {
    /// A limit let no more through, and the request was cancelled.
    LimitReached {
        intent_id: String,
        limit: String,
        /// In whole units, as the other amounts here.
        bound: String,
        asked: String,
        left: String,
        /// The coordinator's words.
        said: String,
    },
    /// A large withdrawal waited for people and time.
    Approved {
        rule: String,
        approvals: Vec<Approval>,
        delay_secs: u64,
        /// From the last approval to the verified signature.
        waited_seconds: f64,
        withdrawal: Withdrawal,
    },
    /// A rule denied a withdrawal.
    Refused {
        intent_id: String,
        rule: String,
        asked: String,
        to: String,
        /// Each signer's own words, by its name.
        said: BTreeMap<String, String>,
    },
    /// A guardian stopped the vault; a withdrawal waited until others had lifted the freeze.
    Frozen {
        freeze_id: String,
        scope: String,
        by: String,
        /// Signers that held it.
        in_force: usize,
        lifted_by: Vec<String>,
        delay_secs: u64,
        /// From the last word about lifting it to the verified signature.
        waited_seconds: f64,
        withdrawal: Withdrawal,
    },
}

#[derive(Debug, Serialize)]
pub(crate) struct Approval {
    pub(crate) person: String,
    pub(crate) approval_id: String,
    /// The read-back words.
    pub(crate) words: String,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Endpoints {
    pub(crate) coordinator: String,
    pub(crate) signers: Vec<String>,
    pub(crate) witnesses: Vec<String>,
    pub(crate) metrics: Vec<String>,
    pub(crate) chain_rpc: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct ClientFiles {
    config: PathBuf,
    server_name: String,
    ca: PathBuf,
    cert: PathBuf,
    key: PathBuf,
    envelope_key: PathBuf,
}

impl Report {
    pub(crate) fn new(layout: &Layout, state: &State, config: &ClientConfig) -> Self {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let nodes = state.signers().chain(state.witnesses());
        let metrics = nodes.map(|node| node.metrics).chain([state.ports.coordinator_metrics]);
        Self {
            cluster: config.cluster.to_string(),
            requester: config.requester.to_string(),
            endpoints: Endpoints {
                coordinator: local(state.ports.coordinator),
                signers: state.signers().map(|signer| local(signer.port)).collect(),
                witnesses: state.witnesses().map(|witness| local(witness.port)).collect(),
                metrics: metrics.map(|port| format!("http://{}/metrics", local(port))).collect(),
                chain_rpc: None,
            },
            client: ClientFiles {
                config: layout.client_config(),
                server_name: config.server_name.clone(),
                ca: config.ca.clone(),
                cert: config.cert.clone(),
                key: config.key.clone(),
                envelope_key: config.envelope_key.clone(),
            },
            ..Self::default()
        }
    }

    pub(crate) fn write(&self, layout: &Layout) -> Result<()> {
        layout.write_private("up.json", format!("{}\n", serde_json::to_string_pretty(self)?).as_bytes())
    }
}
