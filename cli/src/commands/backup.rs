//! `limen backup …`: backups of shares on their way to custodians, and proofs on their way back. What a backup is worth only
//! `limen-recover` says, beside what the signers attest of the key.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use limen_wire::ids::{KeyId, NodeId};
use limen_wire::pb;
use prost::Message as _;
use serde_json::{Value, json};

use super::Session;
use crate::args::BackupCommand;
use crate::output::table;

/// What `limen-recover check` writes before a signed proof.
const SIGNED: &str = "signed proof of ";
/// More than any signed proof has, in hexadecimal.
const MOST_PROOF: u64 = 64 * 1024;

pub(crate) async fn run(session: &Session, command: &BackupCommand) -> Result<()> {
    match command {
        BackupCommand::List { key } => list(session, key.as_ref()).await,
        BackupCommand::Fetch { key, node, epoch, out } => fetch(session, (key, node, *epoch), out).await,
        BackupCommand::Prove { files, signed } => prove(session, files, signed).await,
    }
}

fn state(record: &pb::BackupRecord) -> &'static str {
    match record.state() {
        pb::BackupState::Unspecified => "unknown",
        pb::BackupState::Unproven => "unproven",
        pb::BackupState::Proven => "proven",
        pb::BackupState::Dead => "dead",
        pb::BackupState::Missing => "missing",
    }
}

fn words(record: &pb::BackupRecord, custodian: &pb::BackupCustodian) -> String {
    let person = &custodian.person;
    match (record.state(), custodian.proven_at_ms, custodian.overdue) {
        (pb::BackupState::Dead, ..) => person.clone(),
        (_, 0, _) => format!("{person}: NOT PROVEN"),
        (_, at_ms, false) => format!("{person}: proven at {}", at_ms / 1000),
        (_, at_ms, true) => format!("{person}: OVERDUE, proven at {}", at_ms / 1000),
    }
}

fn to_json(record: &pb::BackupRecord) -> Value {
    json!({
        "key_id": record.key_id,
        "node": record.node,
        "epoch": record.epoch,
        "state": state(record),
        "backup": hex::encode(&record.backup),
        "made_at_ms": record.made_at_ms,
        "pieces_required": record.pieces_required,
        "proof_max_age_secs": record.proof_max_age_secs,
        "nonce": hex::encode(&record.nonce),
        "trouble": record.trouble,
        "custodians": record.custodians.iter().map(|custodian| json!({
            "person": custodian.person,
            "recipient": custodian.recipient,
            "proven_at_ms": custodian.proven_at_ms,
            "overdue": custodian.overdue,
        })).collect::<Vec<_>>(),
    })
}

async fn list(session: &Session, key: Option<&KeyId>) -> Result<()> {
    let listed = session.client.list_backups(key).await?;
    for missing in &listed.missing {
        session.output.warning(&format!("not asked: {missing}"));
    }
    let json = json!({
        "backups": listed.backups.iter().map(to_json).collect::<Vec<_>>(),
        "missing": listed.missing,
    });
    session.output.result(&json, || {
        let row = |record: &pb::BackupRecord| {
            let people: Vec<_> = record.custodians.iter().map(|custodian| words(record, custodian)).collect();
            let trouble = if record.trouble.is_empty() { String::new() } else { format!("; {}", record.trouble) };
            vec![
                record.key_id.clone(),
                record.epoch.to_string(),
                record.node.clone(),
                state(record).to_owned(),
                format!("{}{trouble}", people.join(", ")),
            ]
        };
        table(&["KEY", "EPOCH", "NODE", "BACKUP", "CUSTODIANS"], &listed.backups.iter().map(row).collect::<Vec<_>>())
    })
}

async fn fetch(session: &Session, (key, node, epoch): (&KeyId, &NodeId, Option<u64>), out: &Path) -> Result<()> {
    let fetched = session.client.fetch_backup(key, node, epoch).await?;
    let record = fetched.backup.unwrap_or_default();
    // Never over another one: the file may be the only copy.
    let written =
        File::create_new(out).and_then(|mut file| file.write_all(&fetched.file).and_then(|()| file.sync_all()));
    written.with_context(|| format!("could not write {}", out.display()))?;
    let json = json!({ "file": out.display().to_string(), "bytes": fetched.file.len(), "backup": to_json(&record) });
    session.output.result(&json, || {
        let mut text = format!(
            "{}: share of {}, key {}, epoch {}, {}; compare `limen-recover show` with `limen key show`",
            out.display(), record.node, record.key_id, record.epoch, state(&record)
        );
        for custodian in record.custodians.iter().filter(|_| !record.nonce.is_empty()) {
            text += &format!(
                "\n{}\n  limen-recover check {} --holder {} --identity FILE --nonce {} --asked-by {} --sign-as CREDENTIAL --key FILE",
                words(&record, custodian), out.display(), custodian.person, hex::encode(&record.nonce), record.node
            );
        }
        text
    })
}

async fn prove(session: &Session, files: &[PathBuf], signed: &[String]) -> Result<()> {
    let mut proofs = Vec::new();
    for text in signed {
        proofs.push(("--signed".to_owned(), envelope(text).context("--signed")?));
    }
    for file in files {
        let name = file.display().to_string();
        let all = in_file(file).with_context(|| name.clone())?;
        proofs.extend(all.into_iter().map(|proof| (name.clone(), proof)));
    }
    let mut taken = Vec::new();
    for (name, proof) in proofs {
        let record = session.client.prove_backup(&proof).await.with_context(|| format!("the proof in {name}"))?;
        taken.push(record);
    }
    let json: Vec<Value> = taken.iter().map(to_json).collect();
    session.output.result(&json, || {
        let line = |record: &pb::BackupRecord| {
            let open: Vec<_> =
                record.custodians.iter().filter(|one| one.proven_at_ms == 0).map(|one| one.person.as_str()).collect();
            let open = if open.is_empty() {
                "all custodians have proven it".to_owned()
            } else {
                format!("still to prove: {}", open.join(", "))
            };
            format!("taken by {}: key {}, epoch {}; {open}", record.node, record.key_id, record.epoch)
        };
        taken.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// The proofs in what `limen-recover check` printed, or in a file that is nothing but one.
fn in_file(file: &Path) -> Result<Vec<pb::Envelope>> {
    let length = std::fs::metadata(file)?.len();
    if length > MOST_PROOF {
        bail!("it has {length} bytes, a signed proof has fewer than {MOST_PROOF}");
    }
    let text = std::fs::read_to_string(file)?;
    let marked = text.lines().filter_map(|line| line.strip_prefix(SIGNED)?.split_once(": "));
    let marked: Vec<_> = marked.map(|(_, proof)| envelope(proof)).collect::<Result<_>>()?;
    if marked.is_empty() { Ok(vec![envelope(&text)?]) } else { Ok(marked) }
}

fn envelope(text: &str) -> Result<pb::Envelope> {
    let bytes = hex::decode(text.trim()).context("it is no signed proof: hexadecimal digits are expected")?;
    pb::Envelope::decode(bytes.as_slice()).context("it is no signed proof: these bytes are no envelope")
}

#[cfg(test)]
mod tests;
