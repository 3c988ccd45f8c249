//! `limen charter sign|submit|status|veto`: a version on its way into force.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use limen_policy::approval::words;
use limen_policy::charter::Charter;
use limen_policy::diff::diff;
use limen_policy::succession::{Step, SuccessionError, check_veto, facts, follows, judge};
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::charter::SignedCharter;
use limen_wire::ids::CharterHash;
use limen_wire::{limits, pb};
use prost::Message as _;
use serde_json::{Value, json};

use super::{BadCharter, charter, direction};
use crate::args::{SignCharterArgs, VersionArgs, VetoCharterArgs};
use crate::commands::approval::{card, confirm, signer};
use crate::commands::verify::read;
use crate::commands::{Session, parse::wrong};
use crate::output::Output;

/// A version with everything that this machine found out about it by itself.
struct Case {
    signed: SignedCharter,
    version: Charter,
    parents: Vec<Charter>,
    step: Step,
}

impl Case {
    fn load(args: &VersionArgs) -> Result<Self> {
        let signed = version(&args.version)?;
        let unreadable = |source| BadCharter::Unreadable { file: args.version.clone(), source };
        let version = Charter::from_toml(&signed.text).map_err(unreadable)?;
        let parents = args.parents.iter().map(|file| charter(file)).collect::<Result<Vec<_>>>()?;
        let step = follows(&parents.iter().collect::<Vec<_>>(), &version)
            .with_context(|| format!("{} is no version after {}", args.version.display(), listed(&args.parents)))?;
        Ok(Self { signed, version, parents, step })
    }

    fn parents(&self) -> Vec<&Charter> {
        self.parents.iter().collect()
    }

    /// What changes, and when it binds.
    fn describe(&self) -> String {
        let number = self.version.governance.as_ref().map_or(0, |governance| governance.number);
        let mut lines = vec![format!("version {number} of charter {}: {}", self.version.cluster, self.version.hash())];
        for parent in &self.parents {
            lines.push(format!("after {}:", parent.hash()));
            lines.extend(
                diff(parent, &self.version).iter().map(|one| format!("  {:9} {}", direction(one), one.sentence)),
            );
        }
        lines.push(match self.step {
            Step::AtOnce => "it loosens nothing: it binds as soon as the quorum has signed".to_owned(),
            Step::After { secs } => {
                let secs = card::span(secs);
                format!(
                    "it loosens something: each signer waits {secs} of running time, and it can be vetoed meanwhile"
                )
            }
        });
        lines.join("\n")
    }
}

fn listed(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" and ")
}

/// A text, or a text with signatures.
fn version(file: &Path) -> Result<SignedCharter> {
    let bytes = read(file, limits::CHARTER_VERSION_BYTES)?;
    if let Ok(envelope) = pb::Envelope::decode(bytes.as_slice())
        && let Ok(signed) = SignedCharter::open(&envelope)
    {
        return Ok(signed);
    }
    let text = String::from_utf8(bytes)
        .ok()
        .with_context(|| format!("{} is neither a charter nor what `limen charter sign` wrote", file.display()))?;
    Ok(SignedCharter { text, approvals: Vec::new() })
}

/// Asks the person in sight of the changes, and signs.
fn say(
    case: &Case,
    (args, heard): (&VersionArgs, &[&Charter]),
    verdict: Verdict,
    reason: &str,
    output: Output,
) -> Result<SignedApproval> {
    let rosters: Vec<_> = heard.iter().map(|charter| &charter.roster).collect();
    let mut signer = signer::open_among(&args.signer, &rosters)?;
    let mut nonce = [0; 32];
    getrandom::getrandom(&mut nonce).context("the machine gave no randomness")?;
    let who = (signer.person.clone(), signer.credential.clone());
    // What a quorum has signed stays signed: a version is undone by a veto or by another version.
    let draft = facts(&case.version).draft(who, verdict, (u64::MAX, nonce));
    let preceding = case.signed.approvals.last().map(|before| before.approval.digest());
    let approval = Approval { preceding, reason: reason.to_owned(), ..draft };
    output.line(&case.describe());
    output.line(&card::words(&words::read_back(&approval)));
    if !args.yes {
        confirm(verdict, output)?;
    }
    let proof = Proof::Signature(signer.sign(approval.digest().as_bytes())?);
    Ok(SignedApproval { approval, proof })
}

/// Adds a signature, and says what is missing still.
pub(super) fn sign(args: &SignCharterArgs, output: Output) -> Result<()> {
    let mut case = Case::load(&args.version)?;
    let said = say(&case, (&args.version, &case.parents()), Verdict::Approve, "", output)?;
    case.signed.approvals.push(said);
    let missing = match judge(&case.parents(), &case.version, &case.signed.approvals) {
        Ok(_) => None,
        Err(SuccessionError::Quorum { missing, .. }) => Some(missing),
        Err(error) => return Err(error.into()),
    };
    let failed = || format!("could not write {}: name a new file", args.out.display());
    let bytes = case.signed.to_envelope().encode_to_vec();
    let mut file = std::fs::File::create_new(&args.out).with_context(failed)?;
    std::io::Write::write_all(&mut file, &bytes).and_then(|()| file.sync_all()).with_context(failed)?;
    let hash = case.version.hash().to_string();
    let out = args.out.display().to_string();
    let value = json!({ "charter": hash, "out": out, "signatures": case.signed.approvals.len(), "missing": missing });
    output.result(&value, || match missing {
        None => format!("written to {out}; the quorum is complete: limen charter submit {out}"),
        Some(missing) => format!("written to {out}; still missing: {missing}"),
    })
}

/// Hands a version in.
pub(super) async fn submit(session: &Session, file: &Path) -> Result<()> {
    let signed = version(file)?;
    if signed.approvals.is_empty() {
        return Err(wrong(format!("{} carries no signatures: sign it by `limen charter sign`", file.display())));
    }
    let answers = session.client.submit_charter(&signed.to_envelope()).await?;
    show(session.output, &answers)?;
    refused(&answers)
}

/// Says no.
pub(super) async fn veto(session: &Session, args: &VetoCharterArgs) -> Result<()> {
    if args.reason.trim().is_empty() {
        return Err(wrong("a veto needs a reason: say it by --reason"));
    }
    let case = Case::load(&args.version)?;
    let earlier = args.earlier.iter().map(|file| charter(file)).collect::<Result<Vec<_>>>()?;
    let heard: Vec<&Charter> = case.parents.iter().chain(&earlier).collect();
    let said = say(&case, (&args.version, &heard), Verdict::Reject, &args.reason, session.output)?;
    check_veto(&heard, &case.version, &said).context("no signer would take this veto")?;
    let answers = session.client.veto_charter(&said.to_envelope()).await?;
    show(session.output, &answers)?;
    refused(&answers)
}

/// Where versions stand.
pub(super) async fn status(session: &Session, from: u64) -> Result<()> {
    let answers = session.client.charter_status(from).await?;
    show(session.output, &answers)
}

/// What no signer took is an error, whoever else could not be reached.
fn refused(answers: &[pb::SignerCharters]) -> Result<()> {
    let taken = answers.iter().filter(|answer| answer.error.is_none()).count();
    match answers.iter().find_map(|answer| answer.error.as_ref()) {
        Some(error) if taken == 0 => bail!("no signer took it; {}: {} ({})", error.node, error.message, error.code),
        _ => Ok(()),
    }
}

fn state(view: &pb::CharterView) -> String {
    match view.state() {
        pb::CharterState::InForce => "in force".to_owned(),
        pb::CharterState::Past => "past".to_owned(),
        pb::CharterState::Waiting => format!("waits {} more", card::span(view.remaining_ms.div_ceil(1000))),
        pb::CharterState::Later => "follows a version that is not in force yet".to_owned(),
        pb::CharterState::Stuck => "stuck: a sibling stands in its way, void one or join both".to_owned(),
        pb::CharterState::Void => "vetoed or voided".to_owned(),
        pb::CharterState::Unspecified => "unknown to this program".to_owned(),
    }
}

fn name(hash: &[u8]) -> String {
    CharterHash::from_slice(hash).map_or_else(|_| hex::encode(hash), |hash| hash.to_string())
}

fn show(output: Output, answers: &[pb::SignerCharters]) -> Result<()> {
    let one = |view: &pb::CharterView| {
        let parents: Vec<String> = view.parents.iter().map(|parent| name(parent)).collect();
        let state = view.state().as_str_name().trim_start_matches("CHARTER_STATE_").to_lowercase();
        json!({
            "charter": name(&view.hash), "number": view.number, "parents": parents, "state": state,
            "remaining_ms": view.remaining_ms,
        })
    };
    let signer = |answer: &pb::SignerCharters| {
        let fork = (!answer.fork.is_empty()).then(|| name(&answer.fork));
        let error = answer.error.as_ref().map(|error| json!({ "code": error.code, "message": error.message }));
        json!({
            "signer": answer.node, "versions": answer.versions.iter().map(one).collect::<Vec<Value>>(), "fork": fork,
            "error": error,
        })
    };
    let value = json!({ "signers": answers.iter().map(signer).collect::<Vec<Value>>() });
    output.result(&value, || text(answers))
}

fn text(answers: &[pb::SignerCharters]) -> String {
    let mut lines = Vec::new();
    for answer in answers {
        if let Some(error) = &answer.error {
            lines.push(format!("{}: {} ({})", answer.node, error.message, error.code));
            continue;
        }
        lines.push(format!("{}:", answer.node));
        for view in &answer.versions {
            lines.push(format!("  {:>4}  {}  {}", view.number, name(&view.hash), state(view)));
        }
        if !answer.fork.is_empty() {
            lines.push(format!("  allows nothing until a version joins {} with the one in force", name(&answer.fork)));
        }
    }
    let holds = |view: &pb::CharterView| view.state() == pb::CharterState::InForce;
    let mut in_force = std::collections::BTreeMap::<String, usize>::new();
    for view in answers.iter().flat_map(|answer| &answer.versions).filter(|view| holds(view)) {
        let count = in_force.entry(name(&view.hash)).or_default();
        *count = count.saturating_add(1);
    }
    lines.extend(in_force.iter().map(|(hash, count)| format!("{hash} in force: {count} of {}", answers.len())));
    lines.join("\n")
}
