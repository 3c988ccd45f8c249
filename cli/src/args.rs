//! The command line.

mod approval;
mod backup;
mod charter;
mod check;
mod doctor;
mod drill;
mod policy;
mod stop;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use limen_wire::ids::{IntentId, KeyId, NodeId, Protocol, Scheme};

use crate::dev::DevCommand;

pub(crate) use approval::{APPROVAL_VALID_FOR, ApprovalArgs, CaseArgs, RejectArgs, SignerArgs, WithdrawArgs};
pub(crate) use backup::BackupCommand;
pub(crate) use charter::{CharterCommand, SignCharterArgs, VersionArgs, VetoCharterArgs};
pub(crate) use check::CheckArgs;
pub(crate) use doctor::{BundleArgs, DoctorArgs};
pub(crate) use drill::DrillCommand;
pub(crate) use policy::{PackCommand, PolicyCommand, ReplayArgs};
pub(crate) use stop::{FreezeArgs, ToSigners, UnfreezeArgs, WordArgs};

const EXAMPLES: &str = "Examples:
  limen dev up                                  a development cluster on this machine
  limen status                                  how the cluster is
  limen doctor                                  what is wrong, where, and what to do
  limen key address hot --chain eip155:1        derived here from what the signers attest
  limen submit native --key hot --to 0x… --amount 0.5 --broadcast
  limen request watch 1f0c…                     follow a request to its end
  limen verify receipt FILE --trust FILE        offline: why a signature exists
  limen --output json request list              for programs

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by the cluster, 4 cluster not reachable,
5 the answer could not be verified, 6 not ended in time (it goes on).";

/// Ask a Limen cluster for signatures, and look after it.
#[derive(Debug, Parser)]
#[command(name = "limen", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Arguments {
    /// Client configuration
    #[arg(long, global = true, env = "LIMEN_CONFIG", default_value = "./.dev/client.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Form of the output
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// How the cluster is: coordinator, signers, links
    Status,
    /// Find what is wrong with configuration, files and cluster, and say what to do
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(DoctorArgs),
    /// Write what a helper needs to a file: doctor's findings and how the cluster is, no keys, PINs, approvals or destinations
    #[command(after_help = doctor::EXAMPLES)]
    SupportBundle(BundleArgs),
    /// Keys and addresses
    #[command(subcommand)]
    Key(KeyCommand),
    /// Backups of shares, and custodians' proofs that they can decrypt them
    #[command(subcommand, after_help = backup::EXAMPLES)]
    Backup(BackupCommand),
    /// Drills: file the record of one that was held, and see what is due
    #[command(subcommand, after_help = drill::EXAMPLES)]
    Drill(DrillCommand),
    /// Ask for a signature on a transfer or on exact bytes
    #[command(subcommand, after_help = SUBMIT_EXAMPLES)]
    Submit(What),
    /// Show what would happen to a request, without any trace
    #[command(subcommand)]
    Simulate(What),
    /// Requests and what became of them
    #[command(subcommand)]
    Request(RequestCommand),
    /// Sign a message and print the signature
    #[command(after_help = SIGN_EXAMPLES)]
    Sign(SignArgs),
    /// Approve an intent, in sight of what its bytes do
    #[command(after_help = approval::EXAMPLES)]
    Approve(ApprovalArgs),
    /// Reject an intent: one rejection ends it
    #[command(after_help = approval::EXAMPLES)]
    Reject(RejectArgs),
    /// Take back your approval of an intent
    #[command(after_help = approval::EXAMPLES)]
    Withdraw(WithdrawArgs),
    /// Say what an external checker found about an intent, and what it knows of vaults
    #[command(after_help = check::EXAMPLES)]
    Check(CheckArgs),
    /// Stop everything in a scope, alone and at once, as a guardian
    #[command(after_help = stop::EXAMPLES)]
    Freeze(FreezeArgs),
    /// Say that freezes may be lifted; enough people and a delay lift them
    #[command(after_help = stop::EXAMPLES)]
    Unfreeze(UnfreezeArgs),
    /// What is frozen, by whom, and which signers know
    #[command(after_help = stop::EXAMPLES)]
    Freezes(ToSigners),
    /// What a charter says and what a new one changes; its versions on their way into force
    #[command(subcommand)]
    Charter(CharterCommand),
    /// Tests of rules, and stock packs of them, offline
    #[command(subcommand, after_help = policy::EXAMPLES)]
    Policy(PolicyCommand),
    /// The evidence of a signature, as a file that anyone can verify offline
    #[command(after_help = RECEIPT_EXAMPLES)]
    Receipt(FetchArgs),
    /// Verify what you were given, offline
    #[command(subcommand, after_help = VERIFY_EXAMPLES)]
    Verify(VerifyCommand),
    /// A development cluster on this machine
    #[command(subcommand)]
    Dev(DevCommand),
    /// Print a completion script
    #[command(after_help = "Example:\n  limen completion bash > /etc/bash_completion.d/limen")]
    Completion {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

const SUBMIT_EXAMPLES: &str = "Examples:
  limen submit native --key hot --to 0x3C44… --amount 0.5 --broadcast
  limen submit erc20 --key hot --token 0x5FbD… --to 0x3C44… --amount 250 --decimals 6
  limen submit raw --key hot --chain eip155:1 --kind evm-transaction --hex 02f8…
  limen submit raw --key hot --chain eip155:1 --kind evm-typed-data --file order.json";

const SIGN_EXAMPLES: &str = "Examples:
  limen sign --key messages-ed25519 'hello'
  limen sign --key hot --chain eip155:1 'Sign in to example.org'        EIP-191, by an ECDSA key";

const RECEIPT_EXAMPLES: &str = "Examples:
  limen receipt 3f9c… --out order-17.receipt
  limen charter trust charter.toml > prod-trust.toml
  limen verify receipt order-17.receipt --trust prod-trust.toml";

/// What to fetch.
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// Intent id, 64 hexadecimal digits
    pub(crate) id: IntentId,
    /// Where to write it: a new file; the id and `.receipt` without it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

const VERIFY_EXAMPLES: &str = "Examples:
  limen verify receipt order-17.receipt --trust prod-trust.toml
  limen --output json verify receipt order-17.receipt --trust prod-trust.toml --require-final";

#[derive(Debug, Subcommand)]
pub(crate) enum VerifyCommand {
    /// Why a signature exists: intent, authorizations, log, key and signature, from the file alone
    #[command(after_help = VERIFY_EXAMPLES)]
    Receipt(ReceiptArgs),
    /// Who has destroyed what was held of a key, by their own signed words, from the file alone
    Destruction(DestructionArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DestructionArgs {
    /// What `limen key destroyed-proof` wrote
    pub(crate) file: PathBuf,
    /// What you trust: cluster, keys of its nodes, committee; docs/evidence.md shows the form
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: PathBuf,
    /// Fail unless every member has said so
    #[arg(long)]
    pub(crate) require_all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReceiptArgs {
    /// The receipt
    pub(crate) file: PathBuf,
    /// What you trust: cluster, keys of its nodes, committee; docs/evidence.md shows the form
    #[arg(long, value_name = "FILE")]
    pub(crate) trust: PathBuf,
    /// Fail unless enough of the committee has cosigned
    #[arg(long)]
    pub(crate) require_final: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// All keys
    List,
    /// One key, as its signers attest it
    Show {
        /// Name of the key
        key: KeyId,
    },
    /// The address of a key, derived here
    Address {
        /// Name of the key
        key: KeyId,
        /// Chain as CAIP-2 name
        #[arg(long, default_value = "eip155:1")]
        chain: String,
        /// Non-hardened derivation path, such as m/0/7
        #[arg(long, default_value = "m")]
        path: String,
    },
    /// Order a key from all signers that this client knows, or from one whose token is to hold it alone
    #[command(alias = "generate")]
    Create {
        /// Name of the key, never used before
        key: KeyId,
        /// ecdsa-secp256k1, eddsa-ed25519 or schnorr-bip340; ecdsa-p256 only with --protocol hsm
        #[arg(long, default_value = "ecdsa-secp256k1")]
        scheme: Scheme,
        /// dkls23, cggmp24 or frost; by the scheme if not given. hsm makes a key that lives in one signer's token, OUTSIDE THE
        /// CLUSTER'S PROMISE: charter and configuration must name it under `hsm_keys`, and the charter needs `claims`
        #[arg(long)]
        protocol: Option<Protocol>,
        /// With --protocol hsm: the signer whose token is to hold the key
        #[arg(long)]
        node: Option<NodeId>,
        /// How many signers must take part; min_signers_required of the configuration if not given
        #[arg(long)]
        required: Option<u16>,
    },
    /// Have a key imported that was whole elsewhere, as `limen-recover deal` has dealt it to signers. The charter has to name it. It is
    /// marked for good as once whole: whoever had it then may have it still
    Import {
        /// The public file of the dealing
        #[arg(long, value_name = "FILE")]
        public: PathBuf,
        /// Each member's piece
        #[arg(long = "piece", value_name = "NODE=FILE", required = true)]
        pieces: Vec<String>,
        /// dkls23, cggmp24 or frost; by the scheme if not given
        #[arg(long)]
        protocol: Option<Protocol>,
    },
    /// Have the shares of a key made anew for the signers that have them: older ones, and backups of them, are worth nothing then
    /// once they are erased everywhere
    Refresh {
        /// Name of the key
        #[arg(required_unless_present = "all")]
        key: Option<KeyId>,
        /// dkls23, cggmp24 or frost; as now if not given
        #[arg(long, conflicts_with = "all")]
        protocol: Option<Protocol>,
        /// All keys that are in use, one after the other: for a timer. One that fails keeps the others not from their turn
        #[arg(long, conflicts_with = "key")]
        all: bool,
        /// Seconds between one key and the next
        #[arg(long, value_name = "SECS", default_value_t = 60, requires = "all")]
        pause: u64,
    },
    /// Write the signed words of all signers that have destroyed a key into a file, for `limen verify destruction`
    DestroyedProof {
        /// Name of the key
        key: KeyId,
        /// Where to; never over another file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Hand a key over to other signers, or have more or fewer of them needed. The charter must name that committee under
    /// `committees`
    Reshare {
        /// Name of the key
        key: KeyId,
        /// A signer of the new committee; give all of them, in the charter's order
        #[arg(long = "node", required = true)]
        nodes: Vec<NodeId>,
        /// How many of them must take part
        #[arg(long)]
        required: u16,
        /// dkls23, cggmp24 or frost; as now if not given
        #[arg(long)]
        protocol: Option<Protocol>,
    },
}

/// What is to be signed.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// The chain's own coin
    Native(NativeArgs),
    /// An ERC-20 token
    Erc20(Erc20Args),
    /// Exact bytes
    Raw(RawArgs),
}

#[derive(Debug, Args)]
pub(crate) struct From {
    /// Key that signs
    #[arg(long)]
    pub(crate) key: KeyId,
    /// Non-hardened derivation path below the key
    #[arg(long, default_value = "m")]
    pub(crate) path: String,
    /// A note for people
    #[arg(long, default_value = "")]
    pub(crate) note: String,
    /// Return at once instead of waiting for the signature
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How long to wait, in seconds, in all; if not given 120, besides the time in which people decide or delays run
    #[arg(long)]
    pub(crate) timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Payment {
    #[command(flatten)]
    pub(crate) from: From,
    /// Chain as CAIP-2 name; the only one of the configuration if not given
    #[arg(long)]
    pub(crate) chain: Option<String>,
    /// Who gets it, in mixed case with checksum
    #[arg(long)]
    pub(crate) to: String,
    /// How much, in whole units
    #[arg(long)]
    pub(crate) amount: String,
    /// Hand the signed transaction to the chain and wait until it is mined
    #[arg(long)]
    pub(crate) broadcast: bool,
}

#[derive(Debug, Args)]
pub(crate) struct NativeArgs {
    #[command(flatten)]
    pub(crate) payment: Payment,
}

#[derive(Debug, Args)]
pub(crate) struct Erc20Args {
    #[command(flatten)]
    pub(crate) payment: Payment,
    /// The token contract
    #[arg(long)]
    pub(crate) token: String,
    /// Decimal places of the token
    #[arg(long, default_value_t = 18)]
    pub(crate) decimals: u8,
}

#[derive(Debug, Args)]
pub(crate) struct RawArgs {
    #[command(flatten)]
    pub(crate) from: From,
    /// Chain as CAIP-2 name; none for plain messages
    #[arg(long)]
    pub(crate) chain: Option<String>,
    /// What the bytes are
    #[arg(long, value_enum)]
    pub(crate) kind: RawKind,
    /// The bytes in hexadecimal
    #[arg(long, conflicts_with = "file", required_unless_present = "file")]
    pub(crate) hex: Option<String>,
    /// File with the bytes as they are
    #[arg(long)]
    pub(crate) file: Option<PathBuf>,
    /// Your own name for this request: the same name and bytes again give the same request
    #[arg(long)]
    pub(crate) idempotency_key: Option<String>,
}

/// What raw bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RawKind {
    EvmTransaction,
    EvmMessage,
    EvmTypedData,
    Message,
    Digest,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RequestCommand {
    /// Requests, newest first
    List {
        /// Only this state; may be given more than once
        #[arg(long)]
        state: Vec<String>,
        /// Only this key
        #[arg(long)]
        key: Option<KeyId>,
        /// At most this many
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// One request, its signature verified here
    Show {
        /// Intent id
        id: IntentId,
    },
    /// Follow one request to its end, or all until Ctrl-C
    Watch {
        /// Intent id; all requests if not given
        id: Option<IntentId>,
    },
    /// Write a request's intent and its key's certificate to files, for approvers on other machines
    Export {
        /// Intent id
        id: IntentId,
        /// Folder for intent.bin and key.bin; made if it is not there
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
    },
    /// End a request that has not reached signing
    Cancel {
        /// Intent id
        id: IntentId,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        to: ToSigners,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    #[command(flatten)]
    pub(crate) from: From,
    /// Chain as CAIP-2 name for an EIP-191 message; none for a plain one
    #[arg(long)]
    pub(crate) chain: Option<String>,
    /// The text
    pub(crate) message: String,
}
