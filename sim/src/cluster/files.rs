//! Every file that a cluster reads: charter, configurations, identities.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use limen_wire::keys::PublicKey;

use super::identity::{Authority, Identity, write_private};
use super::{ClusterError, ClusterPlan, Place, TokenPlan, tokens};

pub(super) const COORDINATOR: &str = "coordinator-1";
const REQUESTER: &str = "backend";
const CLUSTER: &str = "sim";

/// Where the configurations stand.
pub(super) struct Written {
    pub(super) signers: Vec<PathBuf>,
    pub(super) coordinator: PathBuf,
    pub(super) client: PathBuf,
}

pub(super) fn signer_name(index: usize) -> String {
    format!("signer-{}", index.saturating_add(1))
}

/// `places` are the signers', then the coordinator's.
pub(super) fn write(plan: &ClusterPlan, places: &[Place]) -> Result<Written, ClusterError> {
    let signers = usize::from(plan.signers_total);
    fs::create_dir_all(&plan.dir).map_err(ClusterError::io(format!("make {}", plan.dir.display())))?;
    let authority = Authority::generate()?;
    authority.write(&plan.dir.join("ca.crt"))?;
    let identity = |name: &str| -> Result<Identity, ClusterError> {
        let identity = authority.issue(name)?;
        identity.write(&plan.dir, name)?;
        Ok(identity)
    };
    let names: Vec<String> = (0..signers).map(signer_name).collect();
    let identities = names.iter().map(|name| identity(name)).collect::<Result<Vec<_>, _>>()?;
    let keys: Vec<PublicKey> = identities.iter().map(|identity| identity.public_key).collect();
    let coordinator_key = identity(COORDINATOR)?.public_key;
    let requester_key = identity(REQUESTER)?.public_key;
    identity("client")?;

    let mut charter = charter(places, &keys, &coordinator_key, &requester_key);
    for name in &plan.more_requesters {
        let key = identity(name)?.public_key;
        let _ = write!(charter, "\n[[requesters]]\nid = \"{name}\"\npublic_key = \"{key}\"\nduties = [\"request\"]\n");
    }
    charter.push_str(&plan.more_rules);
    put(plan, "charter.toml", &charter)?;
    let mut configs = Vec::new();
    for (place, name) in places.iter().zip(&names) {
        write_private(&plan.dir.join(format!("{name}.wrap")), &"5a".repeat(32))?;
        configs.push(put(plan, &format!("{name}.toml"), &signer_config(plan, name, place))?);
    }
    let Some(last) = places.get(signers) else {
        return Err(ClusterError::Identity("no place for the coordinator".into()));
    };
    Ok(Written {
        signers: configs,
        coordinator: put(plan, "coordinator.toml", &coordinator_config(plan, last))?,
        client: put(plan, "client.toml", &client_config(last, &keys))?,
    })
}

fn put(plan: &ClusterPlan, name: &str, text: &str) -> Result<PathBuf, ClusterError> {
    let file = plan.dir.join(name);
    fs::write(&file, text).map_err(ClusterError::io(format!("write {}", file.display())))?;
    Ok(file)
}

/// Allows the requester native transfers and messages, and to order keys.
fn charter(places: &[Place], keys: &[PublicKey], coordinator: &PublicKey, requester: &PublicKey) -> String {
    let mut text = format!("version = 1\ncluster = \"{CLUSTER}\"\ndanger_development = true\n");
    for (index, (place, key)) in places.iter().zip(keys).enumerate() {
        let name = signer_name(index);
        let _ = write!(text, "\n[[nodes]]\nid = \"{name}\"\naddress = \"{}\"\npublic_key = \"{key}\"\n", place.reached);
    }
    let _ = write!(text, "\n[[coordinators]]\nid = \"{COORDINATOR}\"\npublic_key = \"{coordinator}\"\n");
    let _ = write!(text, "\n[[requesters]]\nid = \"{REQUESTER}\"\npublic_key = \"{requester}\"\n");
    text.push_str("duties = [\"request\", \"keys\"]\n");
    text.push_str(RULES);
    text
}

const RULES: &str = r#"
[assets.eth]
chain = "eip155:31337"
symbol = "ETH"
decimals = 18

[[rules]]
name = "payments"
allow = "transfer"
asset = "eth"
max_amount = "10"
destinations = "anywhere"

[[rules]]
name = "gas"
allow = "fee"
asset = "eth"
max_amount = "0.1"

[[rules]]
name = "messages"
allow = "message"
"#;

fn signer_config(plan: &ClusterPlan, name: &str, place: &Place) -> String {
    let Place { listen, metrics, .. } = place;
    let trace =
        if plan.trace_partials { format!("danger_trace_partials = \"{name}.partials\"\n") } else { String::new() };
    let provider = match plan.tokens {
        None => format!("[provider]\nkind = \"danger_software\"\nkey_file = \"{name}.wrap\"\n"),
        Some(TokenPlan { hold_secs, timeout_ms }) => format!(
            "[provider]\nkind = \"hsm_bridge\"\nsocket = \"{}\"\ntimeout_ms = {timeout_ms}\n\n[shares]\nhold_secs = {hold_secs}\n",
            tokens::socket(name)
        ),
    };
    let limits = lines(&plan.node_limits);
    format!(
        "node = \"{name}\"\nlisten = \"{listen}\"\nmetrics = \"{metrics}\"\ndata_dir = \"{name}.data\"\n\
         charter = \"charter.toml\"\ndanger_unlocked_memory = true\n{trace}\n\
         [identity]\ncertificate = \"{name}.crt\"\nkey = \"{name}.key\"\n\n\
         {provider}\n[limits]\n{limits}"
    )
}

fn coordinator_config(plan: &ClusterPlan, place: &Place) -> String {
    let Place { listen, metrics, .. } = place;
    let presign: String = plan
        .presignatures
        .iter()
        .map(|(key, target)| format!("\n[[presign]]\nkey_id = \"{key}\"\npath = []\ntarget = {target}\n"))
        .collect();
    format!(
        "id = \"{COORDINATOR}\"\ncharter = \"charter.toml\"\ndata_dir = \"{COORDINATOR}.data\"\nlisten = \"{listen}\"\n\
         metrics_listen = \"{metrics}\"\n\n\
         [tls]\ncertificate = \"{COORDINATOR}.crt\"\nkey = \"{COORDINATOR}.key\"\nclient_authority = \"ca.crt\"\n\n[timing]\n{}{presign}",
        lines(&plan.timing)
    )
}

fn lines(section: &BTreeMap<String, String>) -> String {
    section.iter().map(|(key, value)| format!("{key} = {value}\n")).collect()
}

fn client_config(coordinator: &Place, keys: &[PublicKey]) -> String {
    let mut text = format!(
        "version = 1\ncluster = \"{CLUSTER}\"\nrequester = \"{REQUESTER}\"\nendpoint = \"{}\"\n\
         server_name = \"{COORDINATOR}\"\nca = \"ca.crt\"\ncert = \"client.crt\"\nkey = \"client.key\"\n\
         envelope_key = \"{REQUESTER}.key\"\nmin_signers_required = 2\n",
        coordinator.reached
    );
    for (index, key) in keys.iter().enumerate() {
        let _ = write!(text, "\n[[nodes]]\nid = \"{}\"\npublic_key = \"{key}\"\n", signer_name(index));
    }
    text
}

/// The log of a process.
pub(super) fn log_file(config: &Path, name: &str) -> PathBuf {
    config.with_file_name(format!("{name}.log"))
}
