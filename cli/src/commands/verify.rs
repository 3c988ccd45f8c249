//! `limen verify …`: offline, with nothing but the files named. Needs neither a cluster nor a configuration.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use limen_evidence::destroyed::{self, Destroyed, DestructionError, DestructionProof};
use limen_evidence::leaf::Authorization;
use limen_evidence::receipt::{self, Finality, Receipt, ReceiptError, Verified};
use limen_evidence::trust::{self, Trust, TrustError};
use limen_wire::effects::Effect;
use serde_json::{Value, json};

use crate::args::{DestructionArgs, ReceiptArgs, VerifyCommand};
use crate::output::Output;

/// A receipt that does not prove what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotVerified {
    #[error("{} proves nothing: {source}", .file.display())]
    Receipt { file: PathBuf, source: ReceiptError },
    #[error("{} is not final yet: {have} of the {need} cosignatures needed", .file.display())]
    NotFinal { file: PathBuf, have: usize, need: usize },
    #[error("{} proves nothing: {source}", .file.display())]
    Destruction { file: PathBuf, source: DestructionError },
    #[error("{} does not show that {} have destroyed the key", .file.display(), .lacking.join(", "))]
    NotDestroyed { file: PathBuf, lacking: Vec<String> },
}

impl NotVerified {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Receipt { .. } | Self::Destruction { .. } => "not_verified",
            Self::NotDestroyed { .. } => "not_destroyed",
            Self::NotFinal { .. } => "not_final",
        }
    }
    pub(crate) const fn remedy(&self) -> &'static str {
        match self {
            Self::NotDestroyed { .. } => {
                "Start the named signers, wait until they have erased their shares, and write the proof anew."
            }
            Self::Destruction { .. } => {
                "Write the proof anew, and check by another way that the trust file is this cluster's."
            }
            Self::Receipt { .. } => {
                "Ask for the receipt again, and check by another way that the trust file is this cluster's of that time."
            }
            Self::NotFinal { .. } => "Ask for a newer receipt: the rest of the committee has yet to cosign.",
        }
    }
}

/// A trust file that says nothing to go by.
#[derive(Debug, thiserror::Error)]
#[error("could not use {}: {source}", .file.display())]
pub(crate) struct BadTrust {
    file: PathBuf,
    source: TrustError,
}

pub(crate) fn run(command: &VerifyCommand, output: Output) -> Result<()> {
    match command {
        VerifyCommand::Receipt(args) => receipt(args, output),
        VerifyCommand::Destruction(args) => destruction(args, output),
    }
}

fn receipt(args: &ReceiptArgs, output: Output) -> Result<()> {
    let text = read(&args.trust, trust::MAX_BYTES)?;
    let trust = Trust::from_toml(&String::from_utf8_lossy(&text))
        .map_err(|source| BadTrust { file: args.trust.clone(), source })?;
    let bytes = read(&args.file, receipt::MAX_BYTES)?;
    let verified = Receipt::decode(&bytes)
        .and_then(|receipt| receipt.verify(&trust))
        .map_err(|source| NotVerified::Receipt { file: args.file.clone(), source })?;
    if let (Finality::NotYet { have, need }, true) = (verified.finality, args.require_final) {
        return Err(NotVerified::NotFinal { file: args.file.clone(), have, need }.into());
    }
    output.result(&receipt_json(&verified, &trust), || receipt_text(&verified, &trust))
}

fn destruction(args: &DestructionArgs, output: Output) -> Result<()> {
    let text = read(&args.trust, trust::MAX_BYTES)?;
    let trust = Trust::from_toml(&String::from_utf8_lossy(&text))
        .map_err(|source| BadTrust { file: args.trust.clone(), source })?;
    let bytes = read(&args.file, destroyed::MAX_BYTES)?;
    let shown = DestructionProof::decode(&String::from_utf8_lossy(&bytes))
        .and_then(|proof| proof.verify(&trust))
        .map_err(|source| NotVerified::Destruction { file: args.file.clone(), source })?;
    let lacking: Vec<String> = shown.lacking.iter().map(ToString::to_string).collect();
    if args.require_all && !lacking.is_empty() {
        return Err(NotVerified::NotDestroyed { file: args.file.clone(), lacking }.into());
    }
    let left = |node| shown.words.get(node).map(|word| word.wrapping_keys_left.len());
    let words: Vec<Value> = shown
        .words
        .values()
        .map(|word| {
            let epochs: Vec<u64> = word.epochs.iter().map(|epoch| epoch.0).collect();
            let charter = word.charter.to_string();
            json!({ "node": word.node.as_str(), "epochs": epochs, "charter": charter, "wrapping_keys_left": left(&word.node) })
        })
        .collect();
    let json = json!({
        "verified": true, "key_id": shown.key.key_id.as_str(), "public_key": hex::encode(&shown.key.public_key),
        "destroyed": words, "lacking": lacking, "beyond_signing": shown.is_beyond_signing(),
    });
    output.result(&json, || destruction_text(&shown))
}

fn destruction_text(shown: &Destroyed) -> String {
    let key = &shown.key;
    let mut text = format!("key         {}\npublic key  {}", key.key_id, hex::encode(&key.public_key));
    for word in shown.words.values() {
        let left = match word.wrapping_keys_left.len() {
            0 => String::new(),
            count => format!("; {count} wrapping keys that other keys need could open an old copy of its disk"),
        };
        text.push_str(&format!("\ndestroyed   by {}, under charter {}{left}", word.node, word.charter));
    }
    for node in &shown.lacking {
        text.push_str(&format!("\nLACKING     the word of {node}, which may hold its share still"));
    }
    let beyond = match shown.is_beyond_signing() {
        true => "too few members are left to sign, if those that spoke are honest",
        false => "ENOUGH MEMBERS ARE LEFT TO SIGN",
    };
    format!("{text}\n{beyond}; copies outside the signers, such as backups, are not in this")
}

/// One byte more than is read at most: what is longer is refused by whoever takes it.
pub(super) fn read(file: &Path, limit: usize) -> Result<Vec<u8>> {
    let failed = || format!("could not read {}", file.display());
    let mut bytes = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::open(file).with_context(failed)?.take(limit).read_to_end(&mut bytes).with_context(failed)?;
    Ok(bytes)
}

fn receipt_json(verified: &Verified, trust: &Trust) -> Value {
    let Verified { intent, key, signature, checkpoint, .. } = verified;
    let effects: Vec<Value> =
        verified.effects.list.iter().map(|effect| json!({ "class": effect.class(), "text": words(effect) })).collect();
    let cosigned: Vec<Value> =
        verified.cosigned_by.iter().map(|(node, secs)| json!({ "node": node.as_str(), "at_secs": secs })).collect();
    json!({
        "verified": true,
        "final": verified.finality == Finality::Final,
        "cosigned_by": cosigned,
        "quorum": trust.committee().quorum(),
        "log": { "origin": checkpoint.origin(), "size": checkpoint.size(), "root": checkpoint.root().to_string() },
        "cluster": intent.cluster.as_str(),
        "intent_id": intent.id.to_string(),
        "requester": intent.requester.as_str(),
        "idempotency_key": intent.idempotency_key,
        "payload_kind": intent.payload.kind(),
        "chain": intent.chain.as_ref().map(ToString::to_string),
        "effects": effects,
        "effects_agree": verified.effects_agree,
        "key_id": key.key_id.as_str(),
        "epoch": key.epoch.0,
        "signers_required": key.size.signers_required(),
        "signers_total": key.size.signers_total(),
        "path": intent.path,
        "account": verified.account.as_str(),
        "public_key": hex::encode(signature.account_key.as_bytes()),
        "signature": hex::encode(signature.signature),
        "recovery_id": signature.recovery_id,
        "session_id": signature.session.to_string(),
        "signers": signature.signers.parties().iter().map(|party| party.as_u8()).collect::<Vec<_>>(),
        "authorizations": verified.authorizations.iter().map(authorization_json).collect::<Vec<_>>(),
        "max_corrupt": verified.max_corrupt,
        "outside_the_promise": verified.is_outside_the_promise(),
        "was_whole": verified.key.was_whole,
        "max_corrupt_lowered": verified.max_corrupt_is_lowered(),
        "honest_at_least": verified.honest_at_least(),
    })
}

fn authorization_json(leaf: &Authorization) -> Value {
    json!({
        "node": leaf.node.as_str(),
        "allowed_at_ms": leaf.allowed_at_ms,
        "charter": leaf.charter.to_string(),
        "slice": hex::encode(leaf.slice),
        "freeze_epoch": hex::encode(leaf.freeze_epoch),
        "effects": hex::encode(leaf.effects),
        "decoder_version": leaf.decoder_version,
        "approvals": leaf.approvals.as_slice().iter().map(hex::encode).collect::<Vec<_>>(),
        "certificate": leaf.certificate.map(hex::encode),
        "requester_key": leaf.requester_key.to_string(),
    })
}

fn receipt_text(verified: &Verified, trust: &Trust) -> String {
    let Verified { intent, key, signature, checkpoint, .. } = verified;
    let names = |nodes: &mut dyn Iterator<Item = String>| nodes.collect::<Vec<_>>().join(", ");
    let mut lines = vec![
        match verified.finality {
            Finality::Final => "verified     this receipt is final".to_owned(),
            Finality::NotYet { have, need } => {
                format!("verified     NOT FINAL YET: {have} of {need} cosignatures; ask for a newer receipt")
            }
        },
        format!("request      {}", intent.id),
        format!("asked by     {} as {:?}", intent.requester, intent.idempotency_key),
        format!("key          {} ({}, epoch {})", key.key_id, key.size, key.epoch),
        format!("account      {}", verified.account),
        format!("signs        {}", intent.payload.kind()),
    ];
    if key.was_whole {
        lines.push(
            "             WAS ONCE WHOLE: the key was imported; whoever had it then may have it still".to_owned(),
        );
    }
    lines.extend(verified.effects.list.iter().map(|effect| format!("effect       {}", words(effect))));
    if !verified.effects_agree {
        lines.push("             the signers read more in these bytes, by their charter or another release".to_owned());
    }
    lines.push(format!("signature    {}", hex::encode(signature.signature)));
    lines.push(format!("public key   {}", hex::encode(signature.account_key.as_bytes())));
    lines
        .push(format!("allowed by   {}", names(&mut verified.authorizations.iter().map(|leaf| leaf.node.to_string()))));
    lines.push(if verified.is_outside_the_promise() {
        "             ALONE: the key lives in one token, OUTSIDE THE CLUSTER'S PROMISE; its signer's word is all there is".to_owned()
    } else {
        format!(
            "             of {} participants; with at most {} corrupt, {} of these are honest at least",
            signature.signers.len(),
            verified.max_corrupt,
            verified.honest_at_least()
        )
    });
    if verified.max_corrupt_is_lowered() {
        let usual = key.size.signers_required().saturating_sub(1);
        lines.push(format!(
            "             LOWERED by the charter: {} corrupt signers instead of {usual}",
            verified.max_corrupt
        ));
    }
    lines.push(format!("log          {} at {} leaves", checkpoint.origin(), checkpoint.size()));
    lines.push(format!(
        "cosigned by  {} ({} needed)",
        names(&mut verified.cosigned_by.keys().map(ToString::to_string)),
        trust.committee().quorum()
    ));
    lines.join("\n")
}

fn words(effect: &Effect) -> String {
    match effect {
        Effect::Transfer { asset, amount, from, to } => format!("transfer of {amount} {asset} from {from} to {to}"),
        Effect::Fee { asset, max_amount, payer } => format!("fee of up to {max_amount} {asset}, paid by {payer}"),
        Effect::Allowance { asset, amount, owner, spender, .. } => {
            format!("allowance of {amount} {asset} of {owner} for {spender}")
        }
        Effect::AuthorityChange { subject, to, kind } => format!("{kind}: control over {subject} to {to}"),
        Effect::Deploy { contract, .. } => format!("new contract at {contract}"),
        Effect::Call { contract, method } => format!("call of {method} on {contract}"),
        Effect::Message { signer, text } => format!("message of {signer}: {text:?}"),
        Effect::TypedData { primary_type, signer, .. } => format!("typed data {primary_type:?} of {signer}"),
        Effect::Unknown { what, hash, .. } => {
            format!("bytes without a known meaning ({what:?}), {}", hex::encode(hash))
        }
        Effect::Raw { digest } => format!("bare digest {}", hex::encode(digest)),
    }
}
