//! `limen charter …`: what a charter says, what changes from one to the next, and how the next comes into force.

mod versions;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use limen_evidence::trust::Trust;
use limen_policy::charter::{Charter, CharterError, MAX_BYTES};
use limen_policy::diff::{Change, Direction, diff};
use limen_policy::lint::{Finding, Severity, lint};
use serde_json::json;

use super::Session;
use super::verify::read;
use crate::args::CharterCommand;
use crate::output::Output;

/// A charter that is not fit for use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadCharter {
    #[error("{} is no charter: {source}", .file.display())]
    Unreadable { file: PathBuf, source: CharterError },
    #[error("{} has {errors} errors: no charter for real money may have them", .file.display())]
    Errors { file: PathBuf, errors: usize },
}

impl BadCharter {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "bad_charter",
            Self::Errors { .. } => "charter_errors",
        }
    }
    pub(crate) const fn remedy(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => {
                "Correct the named place; policy/development.sample.toml shows every key that there is."
            }
            Self::Errors { .. } => "Mend what is listed as an error; warnings only want a reason.",
        }
    }
}

/// What needs no cluster.
pub(crate) fn run(command: &CharterCommand, output: Output) -> Result<()> {
    match command {
        CharterCommand::Lint { file } => show_findings(file, output),
        CharterCommand::Diff { old, new } => show_changes(old, new, output),
        CharterCommand::Trust { file } => trust(file, output),
        CharterCommand::Sign(args) => versions::sign(args, output),
        CharterCommand::Submit { .. } | CharterCommand::Status { .. } | CharterCommand::Veto(_) => Ok(()),
    }
}

/// What speaks to the cluster.
pub(crate) async fn run_in(session: &Session, command: &CharterCommand) -> Result<()> {
    match command {
        CharterCommand::Submit { file } => versions::submit(session, file).await,
        CharterCommand::Status { from } => versions::status(session, *from).await,
        CharterCommand::Veto(args) => versions::veto(session, args).await,
        CharterCommand::Lint { .. }
        | CharterCommand::Diff { .. }
        | CharterCommand::Trust { .. }
        | CharterCommand::Sign(_) => Ok(()),
    }
}

pub(super) fn charter(file: &Path) -> Result<Charter> {
    let bytes = read(file, MAX_BYTES)?;
    let text = String::from_utf8(bytes).with_context(|| format!("{} is no text", file.display()))?;
    Charter::from_toml(&text).map_err(|source| BadCharter::Unreadable { file: file.to_owned(), source }.into())
}

/// Everything that verifying a receipt pins stands in the charter.
fn trust(file: &Path, output: Output) -> Result<()> {
    let charter = charter(file)?;
    let committee = charter.log_committee();
    let nodes = charter.machines().map(|machine| (machine.id.clone(), machine.public_key));
    let (quorum, max_corrupt) = (committee.quorum, committee.max_corrupt);
    let trust = Trust::new(charter.cluster.clone(), nodes, committee.members, quorum, max_corrupt)?;
    let hsm_keys = charter.hsm_keys.values().map(|key| (key.id.clone(), key.node.clone()));
    let former = charter.former_identities.clone();
    output.raw(&trust.with_hsm_keys(hsm_keys).with_former_identities(former).to_toml());
    Ok(())
}

fn show_findings(file: &Path, output: Output) -> Result<()> {
    let charter = charter(file)?;
    let findings = lint(&charter);
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let list: Vec<_> = findings
        .iter()
        .map(|one| json!({ "severity": severity(one), "place": one.place, "message": one.message }))
        .collect();
    let ledgers: Vec<_> = charter
        .ledgers
        .iter()
        .map(|(id, keepers)| json!({ "ledger": id.to_string(), "members": keepers.members().len(), "may_be_down": keepers.may_be_down() }))
        .collect();
    output.result(&json!({ "charter": charter.hash().to_string(), "findings": list, "ledgers": ledgers }), || {
        let mut lines = vec![format!("charter {} ({} rules)", charter.hash(), charter.rules.len())];
        lines.extend(charter.ledgers.iter().map(|(id, keepers)| {
            format!("ledger {id}: {} of its {} members may be down", keepers.may_be_down(), keepers.members().len())
        }));
        lines.extend(findings.iter().map(|one| format!("{:8} {}: {}", severity(one), one.place, one.message)));
        if findings.is_empty() {
            lines.push("nothing found".to_owned());
        }
        lines.join("\n")
    })?;
    if errors > 0 {
        return Err(BadCharter::Errors { file: file.to_owned(), errors }.into());
    }
    Ok(())
}

const fn severity(finding: &Finding) -> &'static str {
    match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

const fn direction(change: &Change) -> &'static str {
    match change.direction {
        Direction::Loosens => "loosens",
        Direction::Tightens => "tightens",
        Direction::Neutral => "neutral",
    }
}

fn show_changes(old: &Path, new: &Path, output: Output) -> Result<()> {
    let (old, new) = (charter(old)?, charter(new)?);
    let changes = diff(&old, &new);
    let loosens = changes.iter().any(|change| change.direction == Direction::Loosens);
    let list: Vec<_> =
        changes.iter().map(|one| json!({ "direction": direction(one), "sentence": one.sentence })).collect();
    let value = json!({
        "old": old.hash().to_string(), "new": new.hash().to_string(), "loosens": loosens, "changes": list,
    });
    output.result(&value, || {
        let mut lines: Vec<_> = changes.iter().map(|one| format!("{:9} {}", direction(one), one.sentence)).collect();
        lines.push(match (changes.is_empty(), loosens) {
            (true, _) => "nothing changes".to_owned(),
            (false, false) => "it loosens nothing".to_owned(),
            (false, true) => "it loosens something: such a version waits out the delay of the one before".to_owned(),
        });
        lines.join("\n")
    })
}
