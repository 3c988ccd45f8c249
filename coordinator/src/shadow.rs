//! A draft of the charter beside the one in force: what it would decide otherwise of every new request. Advice, and nothing else:
//! no signer hears of it.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};

use limen_policy::charter::Charter;
use limen_policy::replay::{Ruling, Run, differences};
use limen_wire::ids::CharterHash;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::context::Core;
use crate::intake::judge::{Judged, judge};

/// Differences that are remembered.
const NEWEST: usize = 200;
/// Sentences of one request that are remembered, and bytes of each.
const SENTENCES: usize = 8;
const SENTENCE_BYTES: usize = 1000;

/// The draft, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Shadow(OnceLock<Beside>);

#[derive(Debug)]
struct Beside {
    draft: CharterHash,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    is: Run,
    would_be: Run,
    judged: u64,
    different: u64,
    newest: VecDeque<pb::ShadowDifference>,
}

impl Core {
    /// Judges every new request by this draft as well. The first draft stays.
    pub fn set_shadow(&self, draft: Charter) {
        let (is, hash) = (Run::new(Charter::clone(&self.charter())), draft.hash());
        let seen = Seen { is, would_be: Run::new(draft), judged: 0, different: 0, newest: VecDeque::new() };
        if self.shadow.0.set(Beside { draft: hash, seen: Mutex::new(seen) }).is_ok() {
            tracing::info!(draft = %hash, "new requests are judged by a draft of the charter as well");
        }
    }

    /// What the draft would have decided otherwise since this process started.
    pub fn shadow_report(&self) -> pb::ShadowResponse {
        let Some(beside) = self.shadow.0.get() else { return pb::ShadowResponse::default() };
        let seen = beside.seen.lock().unwrap_or_else(PoisonError::into_inner);
        pb::ShadowResponse {
            draft_hash: beside.draft.as_bytes().to_vec().into(),
            judged: seen.judged,
            different: seen.different,
            differences: seen.newest.iter().cloned().collect(),
        }
    }
}

/// Judges a new request by the draft.
pub(crate) fn observe(core: &Core, key: &KeyStatement, judged: &Judged) {
    let Some(beside) = core.shadow.0.get() else { return };
    let (charter, now_ms) = (core.charter(), core.clock.now_ms());
    let (now_secs, intent) = (now_ms / 1000, &judged.intent);
    let sentences = {
        let mut seen = beside.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is.charter().hash() != charter.hash() {
            seen.is.follow(Charter::clone(&charter));
        }
        let is = seen.is.rule(&judged.decision, now_secs);
        // What the bytes do depends on the charter too: it says which contracts are tokens.
        let read = judge(seen.would_be.charter(), key, intent.clone(), now_secs);
        let would_be = match read {
            Ok(read) => seen.would_be.rule(&read.decision, now_secs),
            Err(error) => Ruling::unreadable(error.to_string()),
        };
        let sentences = differences(&is, &would_be);
        seen.judged = seen.judged.saturating_add(1);
        core.metrics.shadow_judged.inc();
        if sentences.is_empty() {
            return;
        }
        seen.different = seen.different.saturating_add(1);
        core.metrics.shadow_different.inc();
        if seen.newest.len() >= NEWEST {
            seen.newest.pop_front();
        }
        seen.newest.push_back(pb::ShadowDifference {
            intent_id: intent.id.as_bytes().to_vec().into(),
            requester: intent.requester.to_string(),
            key_id: intent.key_id.to_string(),
            at_ms: now_ms,
            sentences: sentences.iter().take(SENTENCES).map(|sentence| shortened(sentence)).collect(),
        });
        sentences
    };
    tracing::info!(intent = %intent.id, draft = %beside.draft, difference = sentences.join("; "), "the draft would decide otherwise");
}

fn shortened(sentence: &str) -> String {
    let mut end = SENTENCE_BYTES.min(sentence.len());
    while !sentence.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let (kept, left) = sentence.split_at(end);
    if left.is_empty() { kept.to_owned() } else { format!("{kept}…") }
}
