//! `limen freezes`: what is stopped, by whom, since when, and which signers know.

use std::collections::BTreeMap;

use anyhow::Result;
use limen_client::signers::Answer;
use limen_client::{ClientConfig, Signers, now_secs};
use limen_wire::freeze::Freeze;
use limen_wire::ids::{IntentId, NodeId, RequesterId};
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
    let own = automatic(&answers);
    let answers = by_freeze(answers);
    let total = config.nodes.len();
    let signed = answers.values().map(|shown| as_json(shown, config));
    let json: Vec<Value> = signed.chain(own.iter().map(Own::as_json)).collect();
    output.result(&json, || match json.is_empty() {
        true => "nothing is frozen".to_owned(),
        false => {
            let signed = answers.values().map(|shown| text(shown, config, total));
            signed.chain(own.iter().map(Own::text)).collect::<Vec<_>>().join("\n\n")
        }
    })
}

/// The live freezes that any of these signers knows, each with how many hold it.
pub(crate) fn held(answers: Vec<Answer<pb::ListFreezesResponse>>) -> Vec<(Freeze, usize)> {
    by_freeze(answers).into_values().map(|shown| (shown.freeze, shown.held.len())).collect()
}

fn by_freeze(answers: Vec<Answer<pb::ListFreezesResponse>>) -> BTreeMap<IntentId, Shown> {
    let mut all: BTreeMap<IntentId, Shown> = BTreeMap::new();
    for (node, answer) in answers {
        for held in answer.map(|answer| answer.freezes).unwrap_or_default() {
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
        "automatic": false,
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
        lines.push(lifted_by(node, &held.lifted_by, held.lifting, held.wait_ms));
    }
    lines.join("\n")
}

fn lifted_by(node: &NodeId, people: &[String], lifting: bool, wait_ms: u64) -> String {
    let left = match lifting {
        true => format!("enough, lifted in {}", span(wait_ms.div_ceil(1000))),
        false => "more are needed".to_owned(),
    };
    format!("  lifted by  {} at {node}: {left}", people.join(", "))
}

/// What one signer has frozen by itself.
struct Own {
    node: NodeId,
    id: IntentId,
    requester: RequesterId,
    freeze: pb::AutomaticFreeze,
}

/// What each signer says that it has frozen by itself, as far as it can be read.
fn automatic(answers: &[Answer<pb::ListFreezesResponse>]) -> Vec<Own> {
    let read = |node: &NodeId, freeze: &pb::AutomaticFreeze| {
        let (id, requester) = (IntentId::from_slice(&freeze.id).ok()?, RequesterId::new(&*freeze.requester).ok()?);
        Some(Own { node: node.clone(), id, requester, freeze: freeze.clone() })
    };
    let said = answers.iter().filter_map(|(node, answer)| Some((node, answer.as_ref().ok()?)));
    said.flat_map(|(node, answer)| answer.automatic.iter().filter_map(move |freeze| read(node, freeze))).collect()
}

impl Own {
    fn as_json(&self) -> Value {
        let pb::AutomaticFreeze { refused, within_secs, since_ms, lifted_by, lifting, wait_ms, .. } = &self.freeze;
        json!({
            "id": self.id.to_string(),
            "automatic": true,
            "scope": format!("requester:{}", self.requester),
            "node": self.node.as_str(),
            "refused": refused,
            "within_secs": within_secs,
            "since_ms": since_ms,
            "lifted_by": lifted_by,
            "lifting": lifting,
            "wait_ms": wait_ms,
        })
    }

    fn text(&self) -> String {
        let pb::AutomaticFreeze { refused, within_secs, since_ms, lifted_by: people, lifting, wait_ms, .. } =
            &self.freeze;
        let since = now_secs().saturating_sub(since_ms / 1000);
        let mut lines = vec![
            format!("automatic freeze {}", self.id),
            format!("  stops      requester:{} at {} alone", self.requester, self.node),
            format!("  by         {} itself, {} ago", self.node, span(since)),
            format!("  because    the rules denied {refused} of its requests within {}", span(*within_secs)),
        ];
        if !people.is_empty() {
            lines.push(lifted_by(&self.node, people, *lifting, *wait_ms));
        }
        lines.join("\n")
    }
}
