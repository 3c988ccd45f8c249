//! `limen freezes`: what is stopped, by whom, since when, and which signers know.

use std::collections::BTreeMap;

use anyhow::Result;
use limen_client::signers::Answer;
use limen_client::{ClientConfig, Signers, now_secs};
use limen_wire::freeze::Freeze;
use limen_wire::ids::{IntentId, NodeId};
use limen_wire::pb;
use serde_json::{Value, json};

use super::lacking;
use crate::commands::approval::span;
use crate::output::Output;

/// One freeze as the signers hold it.
struct Shown {
    freeze: Freeze,
    held: BTreeMap<NodeId, pb::HeldFreeze>,
}

pub(super) async fn run(signers: &Signers, config: &ClientConfig, output: Output) -> Result<()> {
    let answers = signers.freezes().await;
    let silent = lacking(&answers);
    for (node, why) in &silent {
        output.warning(&format!("{node} does not answer: {why}"));
    }
    if silent.len() == answers.len() {
        let first = answers.into_iter().find_map(|(_, answer)| answer.err());
        return Err(first.map_or_else(|| anyhow::anyhow!("the configuration names no signer"), Into::into));
    }
    let answers = by_freeze(answers);
    let total = config.nodes.len();
    let json: Vec<Value> = answers.values().map(|shown| as_json(shown, config)).collect();
    output.result(&json, || match answers.is_empty() {
        true => "nothing is frozen".to_owned(),
        false => answers.values().map(|shown| text(shown, config, total)).collect::<Vec<_>>().join("\n\n"),
    })
}

/// The live freezes that any of these signers knows, each with how many hold it.
pub(crate) fn held(answers: Vec<Answer<Vec<pb::HeldFreeze>>>) -> Vec<(Freeze, usize)> {
    by_freeze(answers).into_values().map(|shown| (shown.freeze, shown.held.len())).collect()
}

fn by_freeze(answers: Vec<Answer<Vec<pb::HeldFreeze>>>) -> BTreeMap<IntentId, Shown> {
    let mut all: BTreeMap<IntentId, Shown> = BTreeMap::new();
    for (node, answer) in answers {
        for held in answer.unwrap_or_default() {
            // A freeze is known by its bytes, whatever a signer calls it.
            let opened = held.freeze.as_ref().and_then(|envelope| Freeze::open(envelope).ok());
            let Some((freeze, _)) = opened else { continue };
            let shown = all.entry(freeze.id).or_insert_with(|| Shown { freeze, held: BTreeMap::new() });
            shown.held.insert(node.clone(), held);
        }
    }
    all
}

impl Shown {
    fn lacking(&self, config: &ClientConfig) -> Vec<String> {
        let nodes = config.nodes.iter().filter(|node| !self.held.contains_key(&node.id));
        nodes.map(|node| node.id.to_string()).collect()
    }
    fn since_ms(&self) -> u64 {
        self.held.values().map(|held| held.held_since_ms).min().unwrap_or_default()
    }
}

fn as_json(shown: &Shown, config: &ClientConfig) -> Value {
    let Freeze { id, scope, person, reason, .. } = &shown.freeze;
    json!({
        "id": id.to_string(),
        "scope": scope.to_string(),
        "person": person.as_str(),
        "reason": reason,
        "since_ms": shown.since_ms(),
        "in_force": { "at": shown.held.len(), "of": config.nodes.len() },
        "lacking": shown.lacking(config),
        "signers": shown.held.iter().map(|(node, held)| json!({
            "node": node.as_str(), "held_since_ms": held.held_since_ms, "lifted_by": held.lifted_by,
            "lifting": held.lifting, "wait_ms": held.wait_ms,
        })).collect::<Vec<_>>(),
    })
}

fn text(shown: &Shown, config: &ClientConfig, total: usize) -> String {
    let Freeze { id, scope, person, reason, .. } = &shown.freeze;
    let since = now_secs().saturating_sub(shown.since_ms() / 1000);
    let mut lines = vec![
        format!("freeze {id}"),
        format!("  stops      {scope}"),
        format!("  by         {person}, {} ago", span(since)),
        format!("  because    {reason}"),
        format!("  in force   {} of {total} signers", shown.held.len()),
    ];
    let lacking = shown.lacking(config);
    if !lacking.is_empty() {
        lines.push(format!("  lacking    {}", lacking.join(", ")));
    }
    for (node, held) in shown.held.iter().filter(|(_, held)| !held.lifted_by.is_empty()) {
        let by = held.lifted_by.join(", ");
        let left = match held.lifting {
            true => format!("enough, lifted in {}", span(held.wait_ms.div_ceil(1000))),
            false => "more are needed".to_owned(),
        };
        lines.push(format!("  lifted by  {by} at {node}: {left}"));
    }
    lines.join("\n")
}
