//! `limen policy shadow`: what the coordinator's draft would have decided otherwise.

use anyhow::Result;
use limen_wire::pb;
use serde_json::{Value, json};

use crate::commands::Session;

pub(super) async fn run(session: &Session) -> Result<()> {
    let report = session.client.shadow().await?;
    let list: Vec<Value> = report.differences.iter().map(difference_json).collect();
    let json = json!({
        "draft": hex::encode(&report.draft_hash), "judged": report.judged, "different": report.different,
        "differences": list,
    });
    session.output.result(&json, || words(&report))
}

fn difference_json(one: &pb::ShadowDifference) -> Value {
    json!({
        "intent_id": hex::encode(&one.intent_id), "requester": one.requester, "key_id": one.key_id, "at_ms": one.at_ms,
        "differences": one.sentences,
    })
}

fn words(report: &pb::ShadowResponse) -> String {
    if report.draft_hash.is_empty() {
        return "the coordinator has no draft beside the charter (shadow_charter in its configuration)".to_owned();
    }
    let mut lines = Vec::new();
    for one in &report.differences {
        lines.push(format!(
            "{}: {}, key {}",
            hex::encode(&one.intent_id),
            one.requester.escape_debug(),
            one.key_id.escape_debug()
        ));
        lines.extend(one.sentences.iter().map(|sentence| format!("  {}", sentence.escape_debug())));
    }
    let (judged, different, draft) = (report.judged, report.different, hex::encode(&report.draft_hash));
    lines.push(format!("{judged} requests judged by draft {draft}, {different} would be decided otherwise"));
    lines.join("\n")
}
