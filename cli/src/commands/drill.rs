//! `limen drill …`: results of drills on their way to the signers, and what is due.

use anyhow::{Result, bail};
use limen_client::now_secs;
use limen_wire::error::Code;
use limen_wire::limits;
use limen_wire::pb::{DrillFiled, DrillState};
use serde_json::json;

use super::Session;
use super::verify::read;
use crate::args::DrillCommand;
use crate::output::table;

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;

pub(crate) async fn run(session: &Session, command: &DrillCommand) -> Result<()> {
    match command {
        DrillCommand::File { record } => file(session, record).await,
        DrillCommand::List => list(session).await,
    }
}

async fn file(session: &Session, record: &std::path::Path) -> Result<()> {
    let bytes = read(record, limits::DRILL_RECORD_BYTES)?;
    let answers = session.client.file_drill(&bytes).await?;
    let list: Vec<_> = answers
        .iter()
        .map(|one| {
            let error = one.error.as_ref();
            json!({ "node": one.node, "code": error.map(|e| &e.code), "error": error.map(|e| &e.message) })
        })
        .collect();
    session.output.result(&json!({ "signers": list }), || {
        let line = |one: &DrillFiled| match &one.error {
            None => format!("{}: taken", one.node),
            Some(error) => format!("{}: {} [{}]", one.node, error.message, error.code),
        };
        answers.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    match not_taken(&answers) {
        None => Ok(()),
        Some(words) => bail!("the record of {} {words}", record.display()),
    }
}

/// What went wrong, in words; nothing if the drill counts at all signers, or will at those that could not be asked.
fn not_taken(answers: &[DrillFiled]) -> Option<String> {
    let away = |error: &limen_wire::pb::Error| error.code == Code::TooFewSigners.as_str();
    let named = |which: &dyn Fn(&DrillFiled) -> bool| {
        let names: Vec<_> = answers.iter().filter(|one| which(one)).map(|one| one.node.as_str()).collect();
        if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
    };
    let refused = |one: &DrillFiled| one.error.as_ref().is_some_and(|error| !away(error));
    let taken = |one: &DrillFiled| one.error.is_none();
    if !answers.iter().any(refused) && answers.iter().any(taken) {
        return None;
    }
    let silent = |one: &DrillFiled| one.error.as_ref().is_some_and(away);
    Some(format!("was refused by {}; taken by {}; not answered by {}", named(&refused), named(&taken), named(&silent)))
}

async fn list(session: &Session) -> Result<()> {
    let view = session.client.status().await?;
    let of = |signer: &limen_wire::pb::SignerHealth| signer.status.clone().map(|status| (signer.node.clone(), status));
    let rows: Vec<_> = view
        .signers
        .iter()
        .filter_map(of)
        .flat_map(|(node, status)| status.drills.into_iter().map(move |drill| (node.clone(), drill)))
        .collect();
    let list: Vec<_> = rows
        .iter()
        .map(|(node, drill)| {
            json!({
                "node": node, "drill": drill.drill, "scenario": drill.scenario, "key_id": drill.key_id, "due_ms": drill.due_ms,
                "blocks_ms": drill.blocks_ms, "held_ms": drill.held_ms, "record": hex::encode(&drill.record),
            })
        })
        .collect();
    session.output.result(&json!({ "drills": list }), || {
        let cells: Vec<Vec<String>> = rows.iter().map(|(node, drill)| cells(node, drill)).collect();
        table(&["DRILL", "SIGNER", "SCENARIO", "KEY", "STANDS"], &cells)
    })
}

fn cells(node: &str, drill: &DrillState) -> Vec<String> {
    let now_ms = now_secs().saturating_mul(1000);
    vec![drill.drill.clone(), node.to_owned(), drill.scenario.clone(), drill.key_id.clone(), words(drill, now_ms)]
}

/// How a drill stands at this time.
pub(super) fn words(drill: &DrillState, now_ms: u64) -> String {
    match (now_ms.checked_sub(drill.due_ms), now_ms.checked_sub(drill.blocks_ms)) {
        (Some(late), Some(_)) => {
            format!("OVERDUE for {} days: nothing gives more leave until it is held", late / DAY_MS)
        }
        (Some(late), None) => format!("OVERDUE for {} days", late / DAY_MS),
        (None, _) => format!("due in {} days", drill.due_ms.saturating_sub(now_ms) / DAY_MS),
    }
}

/// The drills that are overdue by a signer's own clock, in words; nothing if none is.
pub(crate) fn overdue(status: &limen_wire::pb::StatusResponse) -> Option<String> {
    let late = status.drills.iter().filter(|drill| drill.due_ms <= status.clock_ms);
    let late: Vec<_> = late.map(|drill| format!("drill {} {}", drill.drill, words(drill, status.clock_ms))).collect();
    (!late.is_empty()).then(|| late.join("; "))
}

#[cfg(test)]
mod tests;
