//! Requests, keys and decisions in words and as JSON.

mod waiting;

use limen_client::{Request, RequestState, Signed};
use limen_wire::pb;
use serde_json::{Value, json};

use super::parse::wrong;
use crate::output::table;

pub(crate) use waiting::waits_for;

pub(crate) fn request_json(request: &Request) -> Value {
    json!({
        "intent_id": request.id().to_string(),
        "state": request.state.as_str(),
        "key_id": request.intent.key_id.as_str(),
        "chain": request.intent.chain.as_ref().map(ToString::to_string),
        "payload_kind": request.intent.payload.kind(),
        "requester": request.intent.requester.as_str(),
        "idempotency_key": request.intent.idempotency_key,
        "expires_at_secs": request.intent.expires_at_secs,
        "note": request.intent.note,
        "version": request.version,
        "created_at_ms": request.created_at_ms,
        "updated_at_ms": request.updated_at_ms,
        "sessions": request.sessions,
        "requirements": waiting::requirements_json(request),
        "approvals": waiting::approvals_json(request),
        "effects": request.effects.iter().map(|effect| json!({ "class": effect.class, "text": effect.text })).collect::<Vec<_>>(),
        "error": request.error.as_ref().map(|error| json!({
            "code": error.code.as_str(), "message": error.message, "remedy": error.code.remedy(), "node": error.node,
        })),
    })
}

pub(crate) fn signed_json(signed: &Signed) -> Value {
    json!({
        "intent_id": signed.intent_id.to_string(),
        "signature": hex::encode(signed.signature),
        "recovery_id": signed.recovery_id,
        "public_key": hex::encode(&signed.public_key),
        "address": signed.address.as_str(),
        "signers": signed.signers,
        "raw_transaction": signed.transaction.as_ref().map(|transaction| format!("0x{}", hex::encode(&transaction.raw))),
        "tx_hash": signed.transaction.as_ref().map(|transaction| format!("0x{}", hex::encode(transaction.hash))),
    })
}

pub(crate) fn signed_text(signed: &Signed) -> String {
    let mut lines = vec![
        format!("signature    {}", hex::encode(signed.signature)),
        format!("public key   {}", hex::encode(&signed.public_key)),
        format!("address      {}", signed.address),
    ];
    if let Some(transaction) = &signed.transaction {
        lines.push(format!("transaction  0x{}", hex::encode(&transaction.raw)));
        lines.push(format!("hash         0x{}", hex::encode(transaction.hash)));
    }
    lines.push("verified here under the key that the signers attest".to_owned());
    lines.join("\n")
}

pub(crate) fn request_line(request: &Request) -> String {
    let mut line = format!("{}  {}", request.id(), request.state);
    if let Some(error) = &request.error {
        line.push_str(&format!("  {error}"));
    }
    line
}

pub(crate) fn request_text(request: &Request) -> String {
    let mut lines = vec![
        format!("request      {}", request.id()),
        format!("state        {}", request.state),
        format!("asked by     {} as {:?}", request.intent.requester, request.intent.idempotency_key),
        format!("key          {}", request.intent.key_id),
        format!("signs        {}", request.intent.payload.kind()),
    ];
    lines.extend(request.effects.iter().map(|effect| format!("effect       {}", effect.text)));
    lines.extend(request.decision.iter().map(|decision| format!("coordinator  {}", decision_text(decision))));
    let signers = &request.signer_decisions;
    lines.extend(
        signers
            .iter()
            .map(|said| format!("{:12} {}", said.node, said.decision.as_ref().map(decision_text).unwrap_or_default())),
    );
    lines.extend(waiting::lines(request));
    lines.push(format!("sessions     {}", request.sessions));
    if let Some(error) = &request.error {
        lines.push(format!("error        {error}"));
        lines.push(format!("remedy       {}", error.code.remedy()));
    }
    lines.join("\n")
}

pub(crate) fn request_table(requests: &[Request]) -> String {
    let waits: Vec<String> = requests.iter().map(waits_for).collect();
    let somebody_waits = waits.iter().any(|wait| !wait.is_empty());
    let rows: Vec<Vec<String>> = requests
        .iter()
        .zip(waits)
        .map(|(request, wait)| {
            let effect = request.effects.first().map(|effect| effect.text.clone()).unwrap_or_default();
            let row = vec![request.id().to_string(), request.state.to_string(), request.intent.key_id.to_string()];
            row.into_iter().chain(somebody_waits.then_some(wait)).chain([effect]).collect()
        })
        .collect();
    match somebody_waits {
        true => table(&["INTENT", "STATE", "KEY", "WAITS FOR", "EFFECT"], &rows),
        false => table(&["INTENT", "STATE", "KEY", "EFFECT"], &rows),
    }
}

pub(crate) fn decision_text(decision: &pb::Decision) -> String {
    if decision.allowed {
        return format!("allows, by {}", decision.rules.join(", "));
    }
    format!("denies: {}", decision.reasons.join("; "))
}

pub(crate) fn decision_json(decision: &pb::Decision) -> Value {
    json!({ "allowed": decision.allowed, "rules": decision.rules, "reasons": decision.reasons })
}

pub(crate) fn states(words: &[String]) -> anyhow::Result<Vec<RequestState>> {
    let known = || RequestState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
    words
        .iter()
        .map(|word| {
            RequestState::from_word(word)
                .ok_or_else(|| wrong(format!("{word:?} is not a state; known are {}", known())))
        })
        .collect()
}
