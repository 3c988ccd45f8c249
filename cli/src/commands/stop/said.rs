//! Rejections and withdrawals straight to signers. They hold whatever their person saw, so that the intent's name is enough.

use anyhow::{Context as _, Result};
use limen_client::{ClientConfig, Signers, now_secs};
use limen_policy::approval::{Facts, verify};
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::ids::{FreezeEpoch, IntentId, SliceHash};
use limen_wire::intent::Intent;

use super::{charter, deliver};
use crate::args::{ApprovalArgs, Command};
use crate::commands::approval::{case, signer};
use crate::commands::parse::wrong;
use crate::output::Output;

pub(super) async fn run(command: &Command, config: &ClientConfig, output: Output) -> Result<()> {
    let (verdict, reason, args) = match command {
        Command::Reject(args) => (Verdict::Reject, args.reason.as_str(), &args.approval),
        Command::Withdraw(args) => (Verdict::Withdraw, args.reason.as_str(), &args.approval),
        _ => return Err(wrong("an approval goes with its request, through the coordinator: leave --signer out")),
    };
    if verdict == Verdict::Reject && reason.trim().is_empty() {
        return Err(wrong("a rejection needs a reason: say it by --reason"));
    }
    let charter = charter(&args.case.charter)?;
    let mut signer = signer::open(&args.signer, &charter.roster)?;
    let mut nonce = [0; 32];
    getrandom::getrandom(&mut nonce).context("the machine gave no randomness")?;
    let intent_id = intent_id(args)?;
    let approval = Approval {
        cluster: charter.cluster.clone(),
        intent_id,
        effects_digest: [0; 32],
        decoder_version: 0,
        slice: SliceHash::new([0; 32]),
        freeze_epoch: FreezeEpoch::NONE,
        person: signer.person.clone(),
        credential: signer.credential.clone(),
        preceding: None,
        expires_at_secs: u64::MAX,
        verdict,
        reason: reason.to_owned(),
        nonce,
    };
    let signature = signer.sign(approval.digest().as_bytes())?;
    let record = SignedApproval { approval, proof: Proof::Signature(signature) }.to_envelope();
    let read = SignedApproval::open(&record).context("what was to be said is not well formed")?;
    let facts = Facts {
        cluster: charter.cluster.clone(),
        intent_id,
        effects_digest: [0; 32],
        decoder_version: 0,
        slice: SliceHash::new([0; 32]),
        freeze_epoch: FreezeEpoch::NONE,
    };
    verify(&read, &charter.roster, &facts, now_secs()).context("what was signed would be refused")?;
    if let Some(out) = &args.out {
        case::write(out, &record)?;
    }
    let what = if verdict == Verdict::Reject { "rejection" } else { "withdrawal" };
    deliver(&Signers::connect(config, &args.to.signers)?, &record, what, intent_id, output).await
}

fn intent_id(args: &ApprovalArgs) -> Result<IntentId> {
    match (args.case.id, &args.case.intent) {
        (Some(id), _) => Ok(id),
        (None, Some(path)) => {
            let envelope = case::envelope(path)?;
            Ok(Intent::open(&envelope).with_context(|| format!("{} holds no intent", path.display()))?.0.id)
        }
        (None, None) => Err(wrong("name the intent")),
    }
}
