//! `limen support-bundle`: what a helper needs, for other eyes.
//!
//! Everything in it is named here, field by field: nothing is copied whole, so that what a file or an answer comes to hold later stays
//! out. Never in it: keys, PINs, approvals, destinations, requests, the environment, addresses of chains (they often hold a password),
//! and words that quote a file of this machine.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use limen_client::{ClientConfig, ClusterView, now_secs};
use limen_wire::pb::{PeerHealth, SignerHealth, WitnessHealth};
use serde_json::{Value, json};

use super::doctor::{Examined, Finding, examine};
use crate::args::BundleArgs;
use crate::output::Output;

/// Of this layout.
const FORMAT: u32 = 1;

pub(crate) async fn run(args: &BundleArgs, config: &Path, output: Output) -> Result<()> {
    let examined = examine(config).await;
    let bundle = serde_json::to_vec_pretty(&bundle(&examined, now_secs()))?;
    let shown = args.out.display();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out);
    let mut file = file.with_context(|| format!("could not make {shown}: name a file that is not there yet"))?;
    file.write_all(&bundle).and_then(|()| file.sync_all()).with_context(|| format!("could not write {shown}"))?;
    let (worst, bytes) = (examined.worst(), bundle.len());
    output.result(&json!({ "file": shown.to_string(), "bytes": bytes, "worst": worst }), || {
        format!(
            "{shown}: {bytes} bytes, to be read before it is handed on; it holds no key, PIN, approval or destination"
        )
    })
}

fn bundle(examined: &Examined, now: u64) -> Value {
    json!({
        "format": FORMAT,
        "made_at_secs": now,
        "limen_version": env!("CARGO_PKG_VERSION"),
        "system": { "os": std::env::consts::OS, "arch": std::env::consts::ARCH },
        "doctor": {
            "worst": examined.worst(),
            "findings": examined.findings.iter().map(finding).collect::<Vec<_>>(),
        },
        "client": examined.config.as_ref().map(client),
        "cluster": examined.view.as_ref().map(cluster),
    })
}

fn finding(finding: &Finding) -> Value {
    let what = match finding.quotes_a_file {
        true => "left out here, because it quotes a file: `limen doctor` shows it on that machine",
        false => &finding.what,
    };
    json!({ "weight": finding.weight, "check": finding.check, "what": what, "remedy": finding.remedy })
}

fn client(config: &ClientConfig) -> Value {
    let nodes = config
        .nodes
        .iter()
        .map(|node| json!({ "id": node.id, "public_key": node.public_key, "has_address": node.address.is_some() }));
    json!({
        "version": config.version,
        "cluster": config.cluster,
        "requester": config.requester,
        "endpoint": config.endpoint,
        "server_name": config.server_name,
        "min_signers_required": config.min_signers_required,
        "nodes": nodes.collect::<Vec<_>>(),
        "chains": config.chains.len(),
        "files": {
            "ca": mode(&config.ca),
            "cert": mode(&config.cert),
            "key": mode(&config.key),
            "envelope_key": mode(&config.envelope_key),
        },
    })
}

/// Of the file, its mode alone.
fn mode(path: &Path) -> Value {
    let mode = std::fs::metadata(path).map(|about| format!("{:o}", about.permissions().mode() & 0o777));
    mode.map_or(json!("missing"), Value::from)
}

fn cluster(view: &ClusterView) -> Value {
    json!({
        "cluster": view.cluster,
        "coordinator_version": view.version,
        "charter_hash": hex::encode(&view.charter_hash),
        "requests_open": view.requests_open,
        "requests_ended": view.requests_ended,
        "signers": view.signers.iter().map(signer).collect::<Vec<_>>(),
        "witnesses": view.witnesses.iter().map(witness).collect::<Vec<_>>(),
    })
}

fn signer(signer: &SignerHealth) -> Value {
    let status = signer.status.as_ref().map(|status| {
        json!({
            "version": status.version,
            "charter_hash": hex::encode(&status.charter_hash),
            "clock_ms": status.clock_ms,
            "journal_length": status.journal_length,
            "sessions": status.sessions,
            "presignatures": status.presignatures,
            "prime_sets": status.prime_sets,
            "log_size": status.log_size,
            "pending_leaves": status.pending_leaves,
            "log_alarm": !status.log_alarm.is_empty(),
            "rolled_back": !status.rolled_back.is_empty(),
            "freezes": status.freezes,
            "automatic_freezes": status.automatic_freezes.len(),
            "banned_peers": status.banned_peers.len(),
            "ledgers_ending": status.ledgers_ending.len(),
            "peers": status.peers.iter().map(peer).collect::<Vec<_>>(),
        })
    });
    let SignerHealth { node, reachable, round_trip_us, error, .. } = signer;
    json!({ "node": node, "reachable": reachable, "round_trip_us": round_trip_us, "error": error, "last_said": status })
}

fn peer(peer: &PeerHealth) -> Value {
    let PeerHealth { node, connected, round_trip_us, standing, trouble } = peer;
    json!({
        "node": node, "connected": connected, "round_trip_us": round_trip_us, "standing": standing, "trouble": trouble,
    })
}

fn witness(witness: &WitnessHealth) -> Value {
    let WitnessHealth { node, ledger, reachable, round_trip_us, head, error } = witness;
    json!({
        "node": node, "ledger": ledger, "reachable": reachable, "round_trip_us": round_trip_us, "head": head,
        "error": error,
    })
}
