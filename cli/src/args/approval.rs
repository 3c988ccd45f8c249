//! `limen approve`, `limen reject`, `limen withdraw`

use std::path::PathBuf;

use clap::Args;
use limen_terminal::KeyArgs;
use limen_wire::ids::{CredentialId, FreezeEpoch, IntentId};

use super::ToSigners;

pub(super) const EXAMPLES: &str = "Examples:
  limen approve 1f0c… --charter charter.toml --key me.pem
  limen approve --intent intent.bin --certificate key.bin --charter charter.toml --key me.pem --out approval.bin
  limen approve … --ssh-agent --after annas-approval.bin --out approval.bin
  limen approve … --pkcs11 /usr/lib/opensc-pkcs11.so --token desk --out approval.bin
  limen reject … --ssh-agent --reason 'the customer denies having asked' --out rejection.bin
  limen reject 1f0c… --charter charter.toml --key me.pem --reason 'not this' --signer signer-1     with the coordinator down

What is shown is decoded here from the intent's own bytes. Compare the words with those on your other screen before you sign.";

/// For how long an approval counts unless it says otherwise, in seconds.
pub(crate) const APPROVAL_VALID_FOR: u64 = 3600;

/// What is decided about.
#[derive(Debug, Default, Args)]
pub(crate) struct CaseArgs {
    /// Intent id: its bytes are fetched from the cluster, checked and decoded here, and the verdict is handed in
    #[arg(value_name = "INTENT_ID", required_unless_present = "intent", conflicts_with_all = ["intent", "certificate"])]
    pub(crate) id: Option<IntentId>,
    /// Without the cluster: the requester's signed intent, a protobuf Envelope
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) intent: Option<PathBuf>,
    /// Without the cluster: the certificate of the key that signs, a protobuf Envelope
    #[arg(long, value_name = "FILE", requires = "intent")]
    pub(crate) certificate: Option<PathBuf>,
    /// Your own copy of the charter: the cluster's word about it does not count
    #[arg(long, value_name = "FILE")]
    pub(crate) charter: PathBuf,
    /// A live freeze that touches the intent; may be given more than once. If not given, what enough signers name
    #[arg(long = "freeze", value_name = "ID")]
    pub(crate) freezes: Vec<IntentId>,
    /// Without the cluster: the freeze epoch, as `limen request export` prints it, once a freeze that touched the intent was
    /// lifted
    #[arg(long, value_name = "HEX", conflicts_with = "freezes")]
    pub(crate) freeze_epoch: Option<FreezeEpoch>,
    /// The approval, or your own withdrawal, that you have seen before: later stages of a formula need it. If not given,
    /// the last one that the cluster shows and that verifies
    #[arg(long, value_name = "FILE")]
    pub(crate) after: Option<PathBuf>,
}

/// What signs for a person.
#[derive(Debug, Default, Args)]
pub(crate) struct SignerArgs {
    #[command(flatten)]
    pub(crate) held: KeyArgs,
    /// Your credential, if the agent or token holds keys of several
    #[arg(long, value_name = "NAME")]
    pub(crate) credential: Option<CredentialId>,
}

#[derive(Debug, Args)]
pub(crate) struct ApprovalArgs {
    #[command(flatten)]
    pub(crate) case: CaseArgs,
    #[command(flatten)]
    pub(crate) signer: SignerArgs,
    /// Where to write it: a new file
    #[arg(long, value_name = "FILE", required_unless_present = "id")]
    pub(crate) out: Option<PathBuf>,
    /// For how long an approval counts, in seconds; never longer than the intent
    #[arg(long, default_value_t = APPROVAL_VALID_FOR, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) valid_for: u64,
    #[command(flatten)]
    pub(crate) to: ToSigners,
    /// Sign without asking: you have read card and words elsewhere
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RejectArgs {
    #[command(flatten)]
    pub(crate) approval: ApprovalArgs,
    /// Why; everybody concerned reads it
    #[arg(long)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct WithdrawArgs {
    #[command(flatten)]
    pub(crate) approval: ApprovalArgs,
    /// Why
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}
