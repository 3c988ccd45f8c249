//! `limen backup …`

use std::path::PathBuf;

use clap::Subcommand;
use limen_wire::ids::{KeyId, NodeId};

pub(crate) const EXAMPLES: &str = "Examples:
  limen backup list treasury                                  who has proven which backup, and who has to
  limen backup fetch treasury --node zurich --out zurich.backup
  limen-recover check zurich.backup --holder anna --identity anna.txt --nonce 5f… --asked-by zurich \\
      --sign-as anna-terminal --key anna.key > anna.proof     offline, by the custodian
  limen backup prove anna.proof";

#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// The signers' backups: of which epoch, held by whom, proven when, and which are dead
    #[command(after_help = EXAMPLES)]
    List {
        /// Name of the key; all keys if not given
        key: Option<KeyId>,
    },
    /// Write one signer's backup to a file, and say what its custodians have to do. Its pieces are encrypted to them
    #[command(after_help = EXAMPLES)]
    Fetch {
        /// Name of the key
        key: KeyId,
        /// The signer whose share it is of
        #[arg(long)]
        node: NodeId,
        /// Of which generation of shares; the newest one if not given
        #[arg(long)]
        epoch: Option<u64>,
        /// Where to write it: a new file
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Hand in signed proofs: what `limen-recover check … --sign-as` printed
    #[command(after_help = EXAMPLES)]
    Prove {
        /// Files with what it printed, or with the proof in hexadecimal alone
        #[arg(required_unless_present = "signed")]
        files: Vec<PathBuf>,
        /// The signed proof itself, in hexadecimal
        #[arg(long, value_name = "HEX")]
        signed: Vec<String>,
    },
}
