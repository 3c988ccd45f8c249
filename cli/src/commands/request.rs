//! `limen request …`

use std::path::Path;

use anyhow::{Context as _, Result};
use limen_client::{Filter, Request, RequestState};
use limen_wire::ids::{FreezeEpoch, IntentId, KeyId};
use prost::Message as _;
use serde_json::{Value, json};

use super::{Session, view};
use crate::args::RequestCommand;
use crate::signals;

pub(crate) async fn run(session: &Session, command: &RequestCommand) -> Result<()> {
    match command {
        RequestCommand::List { state, key, limit } => list(session, state, key.clone(), *limit).await,
        RequestCommand::Show { id } => show(session, *id).await,
        RequestCommand::Watch { id } => watch(session, *id).await,
        RequestCommand::Export { id, dir } => export(session, *id, dir).await,
        RequestCommand::Cancel { id, reason, .. } => {
            let request = session.client.cancel(*id, reason).await?;
            session.output.result(&view::request_json(&request), || view::request_line(&request))
        }
    }
}

async fn list(session: &Session, states: &[String], key_id: Option<KeyId>, limit: usize) -> Result<()> {
    let page_size = u32::try_from(limit.clamp(1, 200))?;
    let filter = Filter { states: view::states(states)?, key_id, page_size };
    let requests = newest(session, &filter, limit).await?;
    let json: Vec<Value> = requests.iter().map(view::request_json).collect();
    session.output.result(&json, || view::request_table(&requests))
}

/// The newest requests that pass the filter, page by page, at most so many.
pub(super) async fn newest(session: &Session, filter: &Filter, limit: usize) -> Result<Vec<Request>> {
    let (mut requests, mut cursor) = (Vec::new(), None);
    while requests.len() < limit {
        let page = session.client.list(filter, cursor.as_deref()).await?;
        requests.extend(page.requests);
        match page.next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    requests.truncate(limit);
    Ok(requests)
}

async fn show(session: &Session, id: IntentId) -> Result<()> {
    let request = session.client.get(id).await?;
    let signed = match request.state {
        RequestState::Signed => Some(session.client.verify(&request).await?),
        _ => None,
    };
    let json = json!({ "request": view::request_json(&request), "signed": signed.as_ref().map(view::signed_json) });
    session.output.result(&json, || {
        let mut text = view::request_text(&request);
        if let Some(signed) = &signed {
            text.push('\n');
            text.push_str(&view::signed_text(signed));
        }
        text
    })
}

/// Hands over what approvers check for themselves on machines that do not reach the cluster.
async fn export(session: &Session, id: IntentId, dir: &Path) -> Result<()> {
    let request = session.client.get(id).await?;
    let key = &request.intent.key_id;
    let keys = session.client.list_keys(Some(key)).await?;
    let info = keys.into_iter().find(|info| info.key_id == *key).with_context(|| format!("there is no key {key}"))?;
    let required = usize::from(session.client.admit(&info)?.size.signers_required());
    let epoch = request.freeze_epoch(required).filter(|epoch| *epoch != FreezeEpoch::NONE);
    let certificate = info.certificate.with_context(|| format!("key {key} has no certificate"))?;
    let (intent_file, key_file) = (dir.join("intent.bin"), dir.join("key.bin"));
    let failed = || format!("could not write into {}", dir.display());
    std::fs::create_dir_all(dir).with_context(failed)?;
    std::fs::write(&intent_file, request.envelope.encode_to_vec()).with_context(failed)?;
    std::fs::write(&key_file, certificate.encode_to_vec()).with_context(failed)?;
    let (intent_file, key_file) = (intent_file.display().to_string(), key_file.display().to_string());
    let json = json!({ "intent_id": id.to_string(), "intent": intent_file, "certificate": key_file,
        "freeze_epoch": epoch.map(|epoch| epoch.to_string()) });
    session.output.result(&json, || {
        let frozen = epoch.map(|epoch| format!("\n--freeze-epoch {epoch}")).unwrap_or_default();
        format!("{intent_file}\n{key_file}{frozen}")
    })
}

async fn watch(session: &Session, id: Option<IntentId>) -> Result<()> {
    let mut watch = session.client.watch(id);
    loop {
        let request = tokio::select! {
            request = watch.next() => request?,
            signal = signals::stop() => return signal.map(drop),
        };
        session.output.result(&view::request_json(&request), || view::request_line(&request))?;
        if id.is_some() && request.state.is_end() {
            return Ok(());
        }
    }
}
