//! Configuration files of the daemons and of the client, written anew at each `up`.

use anyhow::Result;
use limen_client::config::{ChainAccess, ClientConfig, PinnedNode};
use limen_policy::charter::Charter;
use limen_wire::ids::RequesterId;

use super::charter::CHAIN_NUMBER;
use super::hsm;
use super::identities;
use super::layout::{COORDINATOR, Layout, Machine, REQUESTER, State};

/// Nobody watches a story for half a minute: signers are asked soon whether people or a lifted freeze have changed anything.
const ASK_INTERVAL_MS: u32 = 1_000;

/// What differs from one `up` to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wishes {
    pub(crate) trace_partials: bool,
    /// Sets of CGGMP24 safe primes to be made ahead.
    pub(crate) prime_sets: u8,
}

pub(crate) fn write(layout: &Layout, state: &State, charter: &Charter, wishes: Wishes) -> Result<ClientConfig> {
    for signer in state.signers() {
        let path = format!("{}/config.toml", signer.name);
        let in_token = identities::in_token(layout, state, &signer);
        layout.write_private(&path, node(&signer, [state.hsm, in_token], wishes).as_bytes())?;
    }
    for machine in state.witnesses() {
        layout.write_private(&format!("{}/config.toml", machine.name), witness(&machine).as_bytes())?;
    }
    layout.write_private(&format!("{COORDINATOR}/config.toml"), coordinator(state).as_bytes())?;
    let client = client(state, charter)?;
    layout.write_private("client.toml", toml::to_string(&client)?.as_bytes())?;
    Ok(ClientConfig::from_file(&layout.client_config())?)
}

/// Whether a token seals its shares, and whether its identity lies there.
fn node(signer: &Machine, [by_token, in_token]: [bool; 2], wishes: Wishes) -> String {
    let Machine { name, port, metrics } = signer;
    let provider = match by_token {
        true => format!("kind = \"hsm_bridge\"\nsocket = \"{}\"", hsm::SOCKET),
        false => "kind = \"danger_software\"\nkey_file = \"share-wrapping.key\"".to_owned(),
    };
    let identity = match in_token {
        true => "kind = \"hsm\"",
        false => "certificate = \"node.crt\"\nkey = \"node.key\"",
    };
    let trace = if wishes.trace_partials { "danger_trace_partials = \"partials.jsonl\"\n" } else { "" };
    format!(
        "# Written by `limen dev up` at each start; changes are lost.\n\
         node = \"{name}\"\nlisten = \"127.0.0.1:{port}\"\nmetrics = \"127.0.0.1:{metrics}\"\n\
         data_dir = \"data\"\ncharter = \"../charter.toml\"\nclient_authority = \"../ca/ca.crt\"\ndanger_unlocked_memory = true\n{trace}\
         \n[identity]\n{identity}\n\
         \n[provider]\n{provider}\n\
         \n[limits]\nprime_sets = {}\n",
        wishes.prime_sets
    )
}

fn witness(Machine { name, port, metrics }: &Machine) -> String {
    format!(
        "# Written by `limen dev up` at each start; changes are lost.\n\
         node = \"{name}\"\nwitness = true\nlisten = \"127.0.0.1:{port}\"\nmetrics = \"127.0.0.1:{metrics}\"\n\
         data_dir = \"data\"\ncharter = \"../charter.toml\"\n\
         \n[identity]\ncertificate = \"node.crt\"\nkey = \"node.key\"\n"
    )
}

fn coordinator(state: &State) -> String {
    format!(
        "# Written by `limen dev up` at each start; changes are lost.\n\
         id = \"{COORDINATOR}\"\ncharter = \"../charter.toml\"\ndata_dir = \"data\"\n\
         listen = \"127.0.0.1:{}\"\nmetrics_listen = \"127.0.0.1:{}\"\n\
         \n[tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\nclient_authority = \"../ca/ca.crt\"\n\
         \n[timing]\nask_interval_ms = {ASK_INTERVAL_MS}\n",
        state.ports.coordinator, state.ports.coordinator_metrics
    )
}

fn client(state: &State, charter: &Charter) -> Result<ClientConfig> {
    let chain = ChainAccess { rpc: format!("http://127.0.0.1:{}", state.ports.chain) };
    Ok(ClientConfig {
        version: limen_client::config::VERSION,
        cluster: charter.cluster.clone(),
        requester: RequesterId::new(REQUESTER)?,
        endpoint: format!("127.0.0.1:{}", state.ports.coordinator),
        server_name: COORDINATOR.to_owned(),
        ca: "ca/ca.crt".into(),
        cert: "client/client.crt".into(),
        key: "client/client.key".into(),
        envelope_key: "client/envelope.key".into(),
        min_signers_required: state.size()?.signers_required(),
        nodes: charter
            .nodes
            .iter()
            .map(|node| PinnedNode {
                id: node.id.clone(),
                public_key: node.public_key,
                address: Some(node.address.clone()),
            })
            .collect(),
        hsm_keys: Vec::new(),
        former_identities: Vec::new(),
        chains: [(format!("eip155:{CHAIN_NUMBER}"), chain)].into(),
    })
}
