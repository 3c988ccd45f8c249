//! `limen status`

use anyhow::Result;
use limen_client::ClusterView;
use limen_wire::pb::{SignerHealth, WitnessHealth};
use serde_json::{Value, json};

use super::{Session, drill};
use crate::output::table;

pub(crate) async fn run(session: &Session) -> Result<()> {
    let view = session.client.status().await?;
    let json = json!({
        "cluster": view.cluster,
        "coordinator_version": view.version,
        "charter_hash": hex::encode(&view.charter_hash),
        "requests_open": view.requests_open,
        "requests_ended": view.requests_ended,
        "signers": view.signers.iter().map(|signer| signer_json(signer, &view)).collect::<Vec<_>>(),
        "witnesses": view.witnesses.iter().map(witness_json).collect::<Vec<_>>(),
    });
    session.output.result(&json, || text(&view))
}

fn same_charter(signer: &SignerHealth, view: &ClusterView) -> bool {
    signer.status.as_ref().is_none_or(|status| status.charter_hash == view.charter_hash)
}

fn signer_json(signer: &SignerHealth, view: &ClusterView) -> Value {
    let status = signer.status.as_ref();
    json!({
        "node": signer.node,
        "reachable": signer.reachable,
        "round_trip_us": signer.round_trip_us,
        "version": status.map(|status| &status.version),
        "same_charter": same_charter(signer, view),
        "journal_length": status.map(|status| status.journal_length),
        "sessions": status.map(|status| status.sessions),
        "presignatures": status.map(|status| status.presignatures),
        "peers": status.map(|status| status.peers.iter().map(|peer| json!({
            "node": peer.node, "connected": peer.connected, "round_trip_us": peer.round_trip_us,
            "standing": peer.standing, "trouble": peer.trouble,
        })).collect::<Vec<_>>()),
        "rolled_back": status.map(|status| &status.rolled_back),
        "token_trouble": status.map(|status| &status.token_trouble),
        "automatic_freezes": status.map(|status| &status.automatic_freezes),
        "ledgers_ending": status.map(|status| &status.ledgers_ending),
        "freezes": status.map(|status| status.freezes),
        "log_size": status.map(|status| status.log_size),
        "pending_leaves": status.map(|status| status.pending_leaves),
        "log_alarm": status.map(|status| &status.log_alarm),
        "banned_peers": status.map(|status| &status.banned_peers),
        "bans": status.map(|status| status.bans.iter().map(|ban| json!({
            "node": ban.node, "session": hex::encode(&ban.session), "at_ms": ban.at_ms, "reason": ban.reason,
            "lifted": ban.lifted, "keys_from_before": ban.keys_from_before,
        })).collect::<Vec<_>>()),
        "error": signer.error,
    })
}

fn witness_json(witness: &WitnessHealth) -> Value {
    json!({
        "node": witness.node,
        "ledger": witness.ledger,
        "reachable": witness.reachable,
        "round_trip_us": witness.round_trip_us,
        "head": witness.head,
        "error": witness.error,
    })
}

fn text(view: &ClusterView) -> String {
    let rows: Vec<Vec<String>> = view.signers.iter().map(|signer| row(signer, view)).collect();
    let witnesses: Vec<Vec<String>> = view.witnesses.iter().map(witness_row).collect();
    let witnesses = match witnesses.as_slice() {
        [] => String::new(),
        rows => format!("\n\n{}", table(&["WITNESS", "STATE", "ROUND TRIP", "LEDGER", "ENTRIES", "REMARK"], rows)),
    };
    let up = view.signers.iter().filter(|signer| signer.reachable).count();
    format!(
        "cluster {}, charter {}, coordinator {}\n{} of {} signers reachable; {} requests open, {} ended\n\n{}{witnesses}",
        view.cluster,
        hex::encode(&view.charter_hash).chars().take(16).collect::<String>(),
        view.version,
        up,
        view.signers.len(),
        view.requests_open,
        view.requests_ended,
        table(&["SIGNER", "STATE", "ROUND TRIP", "LINKS", "STANDING", "JOURNAL", "SESSIONS", "REMARK"], &rows)
    )
}

fn row(signer: &SignerHealth, view: &ClusterView) -> Vec<String> {
    let status = signer.status.as_ref().filter(|_| signer.reachable);
    let peers = status.map(|status| status.peers.as_slice()).unwrap_or_default();
    let linked = peers.iter().filter(|peer| peer.connected).count();
    let standing = peers.iter().filter(|peer| peer.standing).count();
    let mut remark = signer.error.clone();
    match status {
        Some(status) if !status.rolled_back.is_empty() => remark = format!("STORE PUT BACK: {}", status.rolled_back),
        Some(status) if !status.token_trouble.is_empty() => remark = format!("NO TOKEN: {}", status.token_trouble),
        Some(status) if !status.log_alarm.is_empty() => remark = format!("ANOTHER LOG: {}", status.log_alarm),
        Some(status) if !status.automatic_freezes.is_empty() => {
            remark = format!("FROZE {} BY ITSELF: `limen freezes`", status.automatic_freezes.join(", "));
        }
        Some(status) if !status.ledgers_ending.is_empty() => remark = status.ledgers_ending.join("; "),
        Some(status) if drill::overdue(status).is_some() => remark.extend(drill::overdue(status)),
        Some(status) if status.freezes > 0 => remark = format!("{} freezes: `limen freezes`", status.freezes),
        _ => {
            let trouble = peers.iter().find(|peer| peer.connected && !peer.trouble.is_empty());
            remark.extend(trouble.map(|peer| format!("{} {}", peer.node, peer.trouble)));
        }
    }
    if !same_charter(signer, view) {
        remark = "holds another charter".to_owned();
    }
    let [state, round_trip] = reached(signer.reachable, signer.round_trip_us);
    vec![
        signer.node.clone(),
        state,
        round_trip,
        format!("{linked} of {}", peers.len()),
        format!("{standing} of {}", peers.len()),
        status.map(|status| status.journal_length.to_string()).unwrap_or_default(),
        status.map(|status| status.sessions.to_string()).unwrap_or_default(),
        remark,
    ]
}

fn witness_row(witness: &WitnessHealth) -> Vec<String> {
    let [state, round_trip] = reached(witness.reachable, witness.round_trip_us);
    let entries = if witness.reachable { witness.head.to_string() } else { String::new() };
    vec![witness.node.clone(), state, round_trip, witness.ledger.clone(), entries, witness.error.clone()]
}

/// Two cells.
fn reached(reachable: bool, round_trip_us: u64) -> [String; 2] {
    match reachable {
        true => ["up".to_owned(), format!("{:.1} ms", round_trip_us as f64 / 1000.0)],
        false => ["down".to_owned(), "-".to_owned()],
    }
}
