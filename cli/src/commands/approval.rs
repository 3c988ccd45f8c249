//! `limen approve`, `limen reject`, `limen withdraw`: a person decides in sight of what the bytes do.
//!
//! Nothing that the cluster says is shown: the card comes from the intent's bytes, the charter and the key's certificate,
//! which this machine checks itself. How these reach the command, and how the verdict leaves it, is [`case`]'s alone.

mod agent;
mod card;
mod case;
mod signer;

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, Result, bail};
use limen_client::now_secs;
use limen_policy::approval::{Facts, verify, words};
use limen_policy::charter::people::{Credential, CredentialKind, Person};
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use serde_json::json;

use self::case::Case;
use self::signer::Signer;
use super::parse::wrong;
use crate::args::{ApprovalArgs, RejectArgs, WithdrawArgs};
use crate::output::Output;

pub(crate) fn approve(args: &ApprovalArgs, output: Output) -> Result<()> {
    run(Verdict::Approve, "", args, output)
}

pub(crate) fn reject(args: &RejectArgs, output: Output) -> Result<()> {
    if args.reason.trim().is_empty() {
        return Err(wrong("a rejection needs a reason: say it by --reason"));
    }
    run(Verdict::Reject, &args.reason, &args.approval, output)
}

pub(crate) fn withdraw(args: &WithdrawArgs, output: Output) -> Result<()> {
    run(Verdict::Withdraw, &args.reason, &args.approval, output)
}

fn run(verdict: Verdict, reason: &str, args: &ApprovalArgs, output: Output) -> Result<()> {
    let now = now_secs();
    let case = case::load(&args.case, now)?;
    check_sense(verdict, &case, now)?;
    let mut signer = signer::open(&args.signer, &case.charter.roster)?;
    let approval = draft(verdict, reason, args, &case, &signer, now)?;
    let words = words::read_back(&approval);
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    output.line(&card::card(&case, &approval, now).text(colour));
    output.line(&card::words(&words));
    if !args.yes {
        confirm(verdict, output)?;
    }
    let signed = sign(approval, &mut signer, &case, now)?;
    case::deliver(&args.out, &signed)?;
    let id = signed.approval.digest();
    let result = json!({
        "approval": id.to_string(),
        "verdict": verdict.as_str(),
        "intent_id": signed.approval.intent_id.to_string(),
        "person": signed.approval.person.as_str(),
        "credential": signed.approval.credential.as_str(),
        "expires_at_secs": signed.approval.expires_at_secs,
        "words": words,
        "out": args.out.display().to_string(),
    });
    output.result(&result, || format!("{} {id} written to {}", noun(verdict), args.out.display()))
}

const fn noun(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Approve => "approval",
        Verdict::Reject => "rejection",
        Verdict::Withdraw => "withdrawal",
    }
}

/// An approval of what cannot be signed anyway helps nobody but whoever wants to use it otherwise.
fn check_sense(verdict: Verdict, case: &Case, now: u64) -> Result<()> {
    if verdict != Verdict::Approve {
        return Ok(());
    }
    if !case.decision.allowed {
        bail!("the rules deny this intent, there is nothing to approve: {}", case.decision.reasons.join("; "));
    }
    if case.intent.expires_at_secs <= now {
        bail!("the intent has expired, there is nothing to approve: ask for a new one");
    }
    Ok(())
}

fn draft(
    verdict: Verdict,
    reason: &str,
    args: &ApprovalArgs,
    case: &Case,
    signer: &Signer,
    now: u64,
) -> Result<Approval> {
    let mut nonce = [0; 32];
    getrandom::getrandom(&mut nonce).context("the machine gave no randomness")?;
    let Facts { cluster, intent_id, effects_digest, decoder_version, slice, freeze_epoch } = case.facts.clone();
    let until = now.saturating_add(args.valid_for);
    Ok(Approval {
        cluster,
        intent_id,
        effects_digest,
        decoder_version,
        slice,
        freeze_epoch,
        person: signer.person.clone(),
        credential: signer.credential.clone(),
        preceding: case.preceding.as_ref().map(|seen| seen.id()),
        expires_at_secs: until.min(case.intent.expires_at_secs.max(now.saturating_add(1))),
        verdict,
        reason: reason.to_owned(),
        nonce,
    })
}

fn confirm(verdict: Verdict, output: Output) -> Result<()> {
    let word = verdict.as_str();
    output.line(&format!("Type {word} to sign, anything else to leave:"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("nobody answers: sign with --yes, or from a terminal")?;
    if answer.trim() == word { Ok(()) } else { bail!("nothing was signed") }
}

/// Signs, and checks the result as every signer will.
fn sign(approval: Approval, signer: &mut Signer, case: &Case, now: u64) -> Result<SignedApproval> {
    let signature = signer.sign(approval.digest().as_bytes())?;
    let signed = SignedApproval { approval, proof: Proof::Signature(signature) };
    let read = SignedApproval::open(&signed.to_envelope()).context("what was to be said is not well formed")?;
    verify(&read, &case.charter.roster, &case.facts, now).context("what was signed would be refused")?;
    Ok(read)
}

/// Passkeys approve in the console; here keys do.
fn check_kind(person: &Person, credential: &Credential) -> Result<()> {
    match credential.kind {
        CredentialKind::Key => Ok(()),
        CredentialKind::Passkey(_) => {
            bail!("{}'s credential {} is a passkey: it approves in a browser", person.id, credential.id)
        }
    }
}
