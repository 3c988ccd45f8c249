//! `limen policy replay`: past requests judged by a draft beside the charter in force.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use limen_client::decode_intent;
use limen_policy::charter::{self, Charter};
use limen_policy::replay::{Ruling, Run, differences};
use limen_wire::effects::{Address, ChainId};
use limen_wire::ids::KeyId;
use limen_wire::intent::Intent;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;
use serde_json::{Value, json};

use super::history::{self, History};
use crate::args::ReplayArgs;
use crate::commands::Session;
use crate::commands::verify::read;
use crate::output::Output;

/// What came of one request: what the draft would do otherwise, or why nobody can tell.
struct Replayed<'a> {
    request: &'a pb::Request,
    intent: Option<Intent>,
    outcome: Result<Vec<String>>,
}

pub(super) async fn run(session: Option<&Session>, args: &ReplayArgs, output: Output) -> Result<()> {
    let (charter, draft) = (load(&args.charter)?, load(&args.draft)?);
    let history = match (&args.from, session) {
        (Some(file), _) => History::load(file)?,
        (None, Some(session)) => History::fetch(session, args.limit).await?,
        (None, None) => return Err(anyhow!("name a file, or a cluster")),
    };
    if let Some(file) = &args.save {
        history.save(file)?;
    }
    let keys = history.keys(&charter);
    let hashes = (charter.hash(), draft.hash());
    let (mut is, mut would_be) = (Run::new(charter), Run::new(draft));
    let all: Vec<Replayed<'_>> =
        history.requests.iter().map(|one| replayed(one, &keys, &mut is, &mut would_be)).collect();
    let json = json!({
        "charter": hashes.0.to_string(), "draft": hashes.1.to_string(), "requests": all.len(),
        "different": all.iter().filter_map(Replayed::different).collect::<Vec<_>>(),
        "skipped": all.iter().filter_map(Replayed::skipped).collect::<Vec<_>>(),
    });
    output.result(&json, || words(&all))
}

fn load(path: &Path) -> Result<Charter> {
    let text = String::from_utf8(read(path, charter::MAX_BYTES)?)
        .with_context(|| format!("{} is not text", path.display()))?;
    Charter::from_toml(&text).with_context(|| format!("{} is refused", path.display()))
}

fn replayed<'a>(
    request: &'a pb::Request,
    keys: &BTreeMap<KeyId, KeyStatement>,
    is: &mut Run,
    would_be: &mut Run,
) -> Replayed<'a> {
    let intent = match opened(request, is.charter()) {
        Ok(intent) => intent,
        Err(error) => return Replayed { request, intent: None, outcome: Err(error) },
    };
    let outcome = match keys.get(&intent.key_id) {
        None => Err(anyhow!("key {} has no certificate that holds under the charter", intent.key_id)),
        Some(key) => {
            let at_secs = request.created_at_ms / 1000;
            Ok(differences(&judged(is, &intent, key, at_secs), &judged(would_be, &intent, key, at_secs)))
        }
    };
    Replayed { request, intent: Some(intent), outcome }
}

/// An intent of this cluster that its requester has signed.
fn opened(request: &pb::Request, charter: &Charter) -> Result<Intent> {
    let envelope = request.envelope.as_ref().context("it has no envelope")?;
    let (intent, opened) = Intent::open(envelope)?;
    let requester = charter.requesters.get(&intent.requester).filter(|_| intent.cluster == charter.cluster);
    let requester = requester.with_context(|| format!("requester {} is not in the charter", intent.requester))?;
    opened.verify(intent.requester.as_str(), &requester.public_key)?;
    Ok(intent)
}

/// What bytes do depends on the charter too: it says which contracts are tokens.
fn judged(run: &mut Run, intent: &Intent, key: &KeyStatement, at_secs: u64) -> Ruling {
    let decoded = {
        let charter = run.charter();
        let kinds = |chain: &ChainId, contract: &Address| charter.token_kind(chain, contract);
        decode_intent(intent, key, &kinds).map_err(|error| error.to_string())
    };
    run.judge(intent, decoded.as_ref().map(|decoded| &decoded.effects).map_err(Clone::clone), at_secs)
}

impl Replayed<'_> {
    fn name(&self) -> String {
        hex::encode(&self.request.intent_id)
    }

    fn different(&self) -> Option<Value> {
        let sentences = self.outcome.as_ref().ok().filter(|sentences| !sentences.is_empty())?;
        let intent = self.intent.as_ref()?;
        Some(json!({
            "intent_id": self.name(), "created_at_ms": self.request.created_at_ms, "state": history::state(self.request),
            "requester": intent.requester.as_str(), "idempotency_key": intent.idempotency_key,
            "key_id": intent.key_id.as_str(), "differences": sentences,
        }))
    }

    fn skipped(&self) -> Option<Value> {
        let error = self.outcome.as_ref().err()?;
        Some(json!({ "intent_id": self.name(), "reason": format!("{error:#}") }))
    }
}

fn words(all: &[Replayed<'_>]) -> String {
    let (mut lines, mut different, mut skipped) = (Vec::new(), 0usize, 0usize);
    for one in all {
        match (&one.outcome, &one.intent) {
            (Ok(sentences), Some(intent)) if !sentences.is_empty() => {
                different = different.saturating_add(1);
                let (key, requester, name) = (&intent.key_id, &intent.requester, &intent.idempotency_key);
                lines.push(format!(
                    "{} {}: {requester} as {name:?}, key {key}",
                    one.name(),
                    history::state(one.request)
                ));
                lines.extend(sentences.iter().map(|sentence| format!("  {sentence}")));
            }
            (Err(error), _) => {
                skipped = skipped.saturating_add(1);
                lines.push(format!("{}: skipped: {error:#}", one.name()));
            }
            _ => {}
        }
    }
    lines.push(format!("{} requests, {different} would be decided otherwise, {skipped} skipped", all.len()));
    lines.join("\n")
}
