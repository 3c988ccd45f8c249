//! `limen approve`, `limen reject`, `limen withdraw`: a person decides in sight of what the bytes do.
//!
//! Nothing that the cluster says is shown: the card comes from the intent's bytes, the charter and the key's certificate,
//! which this machine checks itself. How these reach the command is the business of [`papers`] alone.

pub(super) mod card;
pub(super) mod case;
mod papers;
pub(super) mod signer;

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use limen_client::{Client, Request, now_secs};
use limen_policy::approval::{verify, words};
use limen_policy::charter::people::{Credential, CredentialKind, Person};
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::ids::{ApprovalId, IntentId};
use serde_json::json;

use self::case::Case;
use self::papers::Papers;
use self::signer::Signer;
use super::parse::wrong;
use super::{Session, view};
use crate::args::{APPROVAL_VALID_FOR, ApprovalArgs, CaseArgs, Command};
use crate::output::Output;

pub(crate) use card::span;

/// What somebody wants to say about which case.
struct Wish<'a> {
    verdict: Verdict,
    reason: &'a str,
    args: &'a ApprovalArgs,
}

fn wish(command: &Command) -> Option<Wish<'_>> {
    let (verdict, reason, args) = match command {
        Command::Approve(args) => (Verdict::Approve, "", args),
        Command::Reject(args) => (Verdict::Reject, args.reason.as_str(), &args.approval),
        Command::Withdraw(args) => (Verdict::Withdraw, args.reason.as_str(), &args.approval),
        _ => return None,
    };
    Some(Wish { verdict, reason, args })
}

/// Whether everything that the command needs lies in files.
pub(crate) fn is_offline(command: &Command) -> bool {
    wish(command).is_some_and(|wish| wish.args.case.id.is_none())
}

/// Decides: on papers from files, or with a session on the request of that name.
pub(crate) async fn run(command: &Command, session: Option<&Session>, output: Output) -> Result<()> {
    let Some(Wish { verdict, reason, args }) = wish(command) else { return Ok(()) };
    if verdict == Verdict::Reject && reason.trim().is_empty() {
        return Err(wrong("a rejection needs a reason: say it by --reason"));
    }
    let now = now_secs();
    let papers = match (session, args.case.id) {
        (Some(session), Some(id)) => Papers::of_request(&session.client, id).await?,
        _ => Papers::of_files(&args.case)?,
    };
    let case = case::load(&args.case, papers, now)?;
    check_sense(verdict, &case, now)?;
    let mut signer = signer::open(&args.signer, &case.charter.roster)?;
    let approval = draft(verdict, reason, &case, &signer, (now, args.valid_for))?;
    let words = words::read_back(&approval);
    let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    output.line(&card::card(&case, &approval, now).text(colour));
    output.line(&card::words(&words));
    if !args.yes {
        confirm(verdict, output)?;
    }
    let signed = sign(approval, &mut signer, &case, now)?;
    deliver(args, session, &signed, &words, output).await
}

/// What somebody has said, and the words by which they can compare two screens.
pub(crate) struct Said {
    pub(crate) id: ApprovalId,
    pub(crate) words: Vec<&'static str>,
}

/// Approves a request of the cluster with a key file, without card and question: for programs that stand for people.
pub(crate) async fn approve_with_key(
    client: &Client,
    id: IntentId,
    charter: PathBuf,
    key: &Path,
) -> Result<(Request, Said)> {
    let args = CaseArgs { id: Some(id), charter, ..CaseArgs::default() };
    let now = now_secs();
    let case = case::load(&args, Papers::of_request(client, id).await?, now)?;
    check_sense(Verdict::Approve, &case, now)?;
    let mut signer = signer::from_key_file(key, &case.charter.roster)?;
    let approval = draft(Verdict::Approve, "", &case, &signer, (now, APPROVAL_VALID_FOR))?;
    let words = words::read_back(&approval).to_vec();
    let signed = sign(approval, &mut signer, &case, now)?;
    let request = client.approve(&signed.to_envelope()).await?;
    Ok((request, Said { id: signed.approval.digest(), words }))
}

/// Into a file, to the cluster, or both.
async fn deliver(
    args: &ApprovalArgs,
    session: Option<&Session>,
    signed: &SignedApproval,
    words: &[&str],
    output: Output,
) -> Result<()> {
    if let Some(out) = &args.out {
        case::write(out, &signed.to_envelope())?;
    }
    let request = match session {
        Some(session) => Some(session.client.approve(&signed.to_envelope()).await?),
        None => None,
    };
    let id = signed.approval.digest();
    let out = args.out.as_ref().map(|out| out.display().to_string());
    let result = json!({
        "approval": id.to_string(),
        "verdict": signed.approval.verdict.as_str(),
        "intent_id": signed.approval.intent_id.to_string(),
        "person": signed.approval.person.as_str(),
        "credential": signed.approval.credential.as_str(),
        "expires_at_secs": signed.approval.expires_at_secs,
        "words": words,
        "out": out,
        "request": request.as_ref().map(view::request_json),
    });
    output.result(&result, || {
        let written = out.map(|out| format!("written to {out}"));
        let handed_in = request.map(|request| format!("handed in, the request is {}", request.state));
        let done: Vec<String> = written.into_iter().chain(handed_in).collect();
        format!("{} {id} {}", noun(signed.approval.verdict), done.join(", "))
    })
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
    if let Some(rejected) = &case.rejected {
        let said = rejected.approval();
        bail!("{} has rejected the intent: {:?}", said.person, said.reason);
    }
    if !case.freezes_known {
        bail!("too few signers have said what is frozen: wait until they have answered, or say --freeze");
    }
    if case.intent.expires_at_secs <= now {
        bail!("the intent has expired, there is nothing to approve: ask for a new one");
    }
    Ok(())
}

fn draft(
    verdict: Verdict,
    reason: &str,
    case: &Case,
    signer: &Signer,
    (now, valid_for): (u64, u64),
) -> Result<Approval> {
    let mut nonce = [0; 32];
    getrandom::getrandom(&mut nonce).context("the machine gave no randomness")?;
    let until = now.saturating_add(valid_for).min(case.intent.expires_at_secs.max(now.saturating_add(1)));
    let who = (signer.person.clone(), signer.credential.clone());
    let draft = case.facts.clone().draft(who, verdict, (until, nonce));
    let preceding = case.preceding.as_ref().map(|seen| seen.id());
    Ok(Approval { preceding, reason: reason.to_owned(), ..draft })
}

pub(super) fn confirm(verdict: Verdict, output: Output) -> Result<()> {
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
