//! Bad news straight to the signers: freezes, what lifts them, and rejections, withdrawals and cancellations with the
//! coordinator down.

mod freezes;
mod said;

use std::io::BufRead as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use limen_client::signers::Answer;
use limen_client::{Client, ClientConfig, Error, Signers};
use limen_policy::charter::Charter;
use limen_policy::freeze::{verify_freeze, verify_unfreeze};
use limen_wire::envelope::PayloadType;
use limen_wire::freeze::{Freeze, FreezeScope, Unfreeze};
use limen_wire::ids::{IntentId, NodeId};
use limen_wire::pb;
use serde_json::json;

use super::approval::signer::{self, Signer};
use super::parse::{self, wrong};
use crate::args::{Command, FreezeArgs, RequestCommand, UnfreezeArgs, WordArgs};
use crate::output::Output;

pub(crate) use freezes::held as held_freezes;

/// Whether the command goes to signers and to no coordinator.
pub(crate) fn is_straight(command: &Command) -> bool {
    match command {
        Command::Freeze(_) | Command::Unfreeze(_) | Command::Freezes(_) => true,
        Command::Approve(args) => !args.to.signers.is_empty(),
        Command::Reject(args) => !args.approval.to.signers.is_empty(),
        Command::Withdraw(args) => !args.approval.to.signers.is_empty(),
        Command::Request(RequestCommand::Cancel { to, .. }) => !to.signers.is_empty(),
        _ => false,
    }
}

pub(crate) async fn run(command: &Command, config: &Path, output: Output) -> Result<()> {
    let config = ClientConfig::from_file(config)?;
    match command {
        Command::Freeze(args) => freeze(args, &config, output).await,
        Command::Unfreeze(args) => unfreeze(args, &config, output).await,
        Command::Freezes(to) => freezes::run(&Signers::connect(&config, &to.signers)?, &config, output).await,
        Command::Request(RequestCommand::Cancel { id, reason, to }) => {
            let record = Client::connect(&config)?.cancellation(*id, reason);
            let signers = Signers::connect(&config, &to.signers)?;
            deliver(&signers, &record, "cancellation", *id, output).await
        }
        other => said::run(other, &config, output).await,
    }
}

fn charter(path: &Path) -> Result<Charter> {
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    Charter::from_toml(&text).with_context(|| format!("{} is refused", path.display()))
}

async fn freeze(args: &FreezeArgs, config: &ClientConfig, output: Output) -> Result<()> {
    let charter = charter(&args.word.charter)?;
    let scope = scope(&args.scope, &charter)?;
    let mut signer = signer::open(&args.word.signer, &charter.roster)?;
    let freeze = new_freeze(&charter, &signer, scope, &args.reason)?;
    let stops = format!("{} stops {} in cluster {}: {}", freeze.person, freeze.scope, freeze.cluster, freeze.reason);
    output.line(&stops);
    confirm(&args.word, "freeze", output)?;
    let (id, record) = seal_freeze(&charter, &freeze, &mut signer)?;
    let signers = Signers::connect(config, &args.word.to.signers)?;
    deliver(&signers, &record, "freeze", id, output).await
}

/// A freeze by a key file, without question: for programs that stand for people.
pub(crate) fn freeze_with_key(
    charter: &Charter,
    key: &Path,
    scope: FreezeScope,
    reason: &str,
) -> Result<(IntentId, pb::Envelope)> {
    let mut signer = signer::from_key_file(key, &charter.roster)?;
    let freeze = new_freeze(charter, &signer, scope, reason)?;
    seal_freeze(charter, &freeze, &mut signer)
}

fn new_freeze(charter: &Charter, signer: &Signer, scope: FreezeScope, reason: &str) -> Result<Freeze> {
    let mut nonce = [0; 32];
    getrandom::getrandom(&mut nonce).context("the machine gave no randomness")?;
    Ok(Freeze {
        // Not part of the bytes.
        id: IntentId::new([0; 32]),
        cluster: charter.cluster.clone(),
        person: signer.person.clone(),
        credential: signer.credential.clone(),
        scope,
        reason: reason.to_owned(),
        nonce,
    })
}

fn seal_freeze(charter: &Charter, freeze: &Freeze, signer: &mut Signer) -> Result<(IntentId, pb::Envelope)> {
    let record = signer.seal(PayloadType::Freeze, freeze.to_payload())?;
    let (read, opened) = Freeze::open(&record).context("the freeze is not well formed")?;
    verify_freeze(charter, &read, &opened).context("the freeze would be refused")?;
    Ok((read.id, record))
}

async fn unfreeze(args: &UnfreezeArgs, config: &ClientConfig, output: Output) -> Result<()> {
    let charter = charter(&args.word.charter)?;
    let mut signer = signer::open(&args.word.signer, &charter.roster)?;
    let unfreeze = new_unfreeze(&charter, &signer, args.freezes.clone(), &args.reason);
    let signers = Signers::connect(config, &args.word.to.signers)?;
    output.line(&format!("{} says that these freezes may be lifted:", unfreeze.person));
    for id in &unfreeze.freezes {
        output.line(&format!("  {id}"));
    }
    confirm(&args.word, "unfreeze", output)?;
    let (id, record) = seal_unfreeze(&charter, &unfreeze, &mut signer)?;
    deliver(&signers, &record, "unfreeze", id, output).await
}

/// One person's word that these freezes may be lifted, by a key file and without question: for programs that stand for
/// people.
pub(crate) fn unfreeze_with_key(
    charter: &Charter,
    key: &Path,
    freezes: Vec<IntentId>,
    reason: &str,
) -> Result<pb::Envelope> {
    let mut signer = signer::from_key_file(key, &charter.roster)?;
    let unfreeze = new_unfreeze(charter, &signer, freezes, reason);
    Ok(seal_unfreeze(charter, &unfreeze, &mut signer)?.1)
}

fn new_unfreeze(charter: &Charter, signer: &Signer, mut freezes: Vec<IntentId>, reason: &str) -> Unfreeze {
    freezes.sort();
    freezes.dedup();
    Unfreeze {
        // Not part of the bytes.
        id: IntentId::new([0; 32]),
        cluster: charter.cluster.clone(),
        person: signer.person.clone(),
        credential: signer.credential.clone(),
        freezes,
        reason: reason.to_owned(),
    }
}

fn seal_unfreeze(charter: &Charter, unfreeze: &Unfreeze, signer: &mut Signer) -> Result<(IntentId, pb::Envelope)> {
    let record = signer.seal(PayloadType::Unfreeze, unfreeze.to_payload())?;
    let (read, opened) = Unfreeze::open(&record).context("the unfreeze is not well formed")?;
    verify_unfreeze(charter, &read, &opened).context("the unfreeze would be refused")?;
    Ok((read.id, record))
}

/// The scope as signers read it: names that the charter does not know would protect nothing.
fn scope(text: &str, charter: &Charter) -> Result<FreezeScope> {
    let named = text.strip_prefix("asset:").and_then(|name| charter.assets.get(name));
    let scope = match named {
        Some(entry) => FreezeScope::Asset(entry.asset.clone()),
        None => text.parse::<FreezeScope>().map_err(|error| wrong(error.to_string()))?,
    };
    let known = match &scope {
        FreezeScope::Vault(vault) => charter.vaults.by_id.contains_key(vault),
        FreezeScope::Requester(requester) => charter.requesters.contains_key(requester),
        FreezeScope::Destination(address) => parse::address(address.as_str()).map(|_| true)?,
        FreezeScope::Cluster | FreezeScope::Key(_) | FreezeScope::Asset(_) | FreezeScope::Chain(_) => true,
    };
    if known {
        Ok(scope)
    } else {
        Err(wrong(format!("the charter knows no {scope}: a freeze of it would stop nothing")))
    }
}

fn confirm(args: &WordArgs, word: &str, output: Output) -> Result<()> {
    if args.yes {
        return Ok(());
    }
    output.line(&format!("Type {word} to sign, anything else to leave:"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("nobody answers: sign with --yes, or from a terminal")?;
    if answer.trim() == word { Ok(()) } else { bail!("nothing was signed") }
}

/// Hands a record to every signer at once, and tells who holds it. It fails if nobody does.
async fn deliver(signers: &Signers, record: &pb::Envelope, what: &str, id: IntentId, output: Output) -> Result<()> {
    let answers = signers.hand_in(record).await;
    let holders: Vec<&NodeId> = answers.iter().filter(|(_, answer)| answer.is_ok()).map(|(node, _)| node).collect();
    let (count, all) = (holders.len(), answers.len());
    let late = answers.iter().any(|(_, answer)| matches!(answer, Ok(true)));
    let lacking = lacking(&answers);
    let result = json!({
        "kind": what,
        "id": id.to_string(),
        "held_by": holders.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "lacking": lacking.iter().map(|(node, why)| json!({ "node": node, "why": why })).collect::<Vec<_>>(),
        "possibly_signed": late,
    });
    if holders.is_empty() {
        let first = answers.into_iter().find_map(|(_, answer)| answer.err());
        let failed = format!("no signer took the {what}");
        return Err(first.map_or_else(|| anyhow::anyhow!("{failed}: the configuration names none"), Into::into))
            .context(failed);
    }
    for (node, why) in &lacking {
        output.warning(&format!("{node} lacks it: {why}"));
    }
    if late {
        output.warning("a signature may have left before it");
    }
    output.result(&result, || format!("{what} {id} is held by {count} of {all} signers"))
}

fn lacking<T>(answers: &[Answer<T>]) -> Vec<(String, String)> {
    let why = |(node, answer): &(NodeId, Result<T, Error>)| {
        answer.as_ref().err().map(|error| (node.to_string(), error.to_string()))
    };
    answers.iter().filter_map(why).collect()
}
