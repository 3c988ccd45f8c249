//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use limen_terminal::KeyArgs;
use limen_wire::ids::PersonId;

const EXAMPLES: &str = "Examples:
  limen-ceremony plan check genesis.toml --charter charter.toml
  limen-ceremony script genesis.toml --charter charter.toml --out script.html
  limen-ceremony rehearse genesis.toml --charter charter.toml --record rehearsal.record
  limen-ceremony sign genesis.toml --charter charter.toml --as anna --key anna.pem --out anna.signed
  limen-ceremony run genesis.toml --charter charter.toml --listen 192.0.2.20:7200 --identity conductor --board board.journal --record genesis.record
  limen-ceremony join genesis.toml --charter charter.toml --conductor 192.0.2.20:7200 --as anna --key anna.pem \\
      --machine signer-zurich=@proof.hex --journal anna.journal --record genesis.record
  limen-ceremony verify genesis.record --pin anna=ed25519:1560…";

/// Ceremonies by one reviewed plan, with a record that anyone can check years later.
#[derive(Debug, Parser)]
#[command(name = "limen-ceremony", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plans
    Plan {
        #[command(subcommand)]
        command: PlanCommand,
    },
    /// Print the script of a plan as a page, with a sheet for every role
    Script {
        #[command(flatten)]
        plan: PlanArgs,
        /// Somebody who will not be there; their stand-in has the role
        #[arg(long, value_name = "PERSON")]
        absent: Vec<PersonId>,
        /// Where to write it; standard output if left out
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Sign a plan before the ceremony
    Sign(SignArgs),
    /// Play the whole ceremony here, by the same code, with throw-away keys for everybody; the record says REHEARSAL
    Rehearse {
        #[command(flatten)]
        plan: PlanArgs,
        /// The charter that the plan's charter follows, of a charter-change
        #[arg(long, value_name = "FILE")]
        parent: Option<PathBuf>,
        /// Somebody who will not be there
        #[arg(long, value_name = "PERSON")]
        absent: Vec<PersonId>,
        /// Where to write the record
        #[arg(long, value_name = "FILE")]
        record: PathBuf,
    },
    /// Conduct: keep the board on which participants put what they sign. Started again, it goes on
    Run(RunArgs),
    /// Take part
    Join(JoinArgs),
    /// Go on with a part that was begun
    Resume(JoinArgs),
    /// Have something recorded that was not as the script says, while you take part
    Exception {
        /// The journal that you take part with
        #[arg(long, value_name = "FILE")]
        journal: PathBuf,
        /// What, in one line
        text: String,
    },
    /// Make the key by which participants know the conductor
    ConductorKey {
        /// A new folder for it
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Records
    Record {
        #[command(subcommand)]
        command: RecordCommand,
    },
    /// Verify a record, from the file and the keys that you pin alone
    Verify(VerifyArgs),
    /// Write the annotated page of a record
    Report {
        /// The record
        record: PathBuf,
        /// Where to write it; standard output if left out
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PlanCommand {
    /// Everything that is wrong with a plan, and for a genesis with its charter
    Check(PlanArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecordCommand {
    /// What a record says, step by step
    Show {
        /// The record
        record: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The plan
    pub(crate) plan: PathBuf,
    /// The charter that it names
    #[arg(long, value_name = "FILE")]
    pub(crate) charter: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Who you are
    #[arg(long = "as", value_name = "PERSON")]
    pub(crate) person: PersonId,
    #[command(flatten)]
    pub(crate) held: KeyArgs,
    /// For a rehearsal over the network
    #[arg(long)]
    pub(crate) rehearsal: bool,
    /// Where to write the signature
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Where participants reach the board
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: String,
    /// The folder that `conductor-key` made
    #[arg(long, value_name = "DIR")]
    pub(crate) identity: PathBuf,
    /// The board's own file
    #[arg(long, value_name = "FILE")]
    pub(crate) board: PathBuf,
    /// Where to write the record
    #[arg(long, value_name = "FILE")]
    pub(crate) record: PathBuf,
    /// Somebody who is not there; their stand-in has the role
    #[arg(long, value_name = "PERSON")]
    pub(crate) absent: Vec<PersonId>,
    /// A signature of the plan that was made beforehand
    #[arg(long, value_name = "FILE")]
    pub(crate) signed: Vec<PathBuf>,
    /// Practice: the record says REHEARSAL and counts for nothing
    #[arg(long)]
    pub(crate) rehearsal: bool,
    /// How long the board stays for those who have not read the end
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) linger_secs: u64,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Where the board is
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) conductor: String,
    /// Who you are
    #[arg(long = "as", value_name = "PERSON")]
    pub(crate) person: PersonId,
    #[command(flatten)]
    pub(crate) held: KeyArgs,
    /// A machine that you speak for: its key in PEM, or @FILE with what `limen-node prove-identity` printed
    #[arg(long, value_name = "NAME=FILE")]
    pub(crate) machine: Vec<String>,
    /// A line of yours that was made beforehand, in a file: its name as the script has it
    #[arg(long, value_name = "LINE=FILE")]
    pub(crate) bring: Vec<String>,
    /// Your own client configuration, where the plan is about a key
    #[arg(long, value_name = "FILE")]
    pub(crate) client: Option<PathBuf>,
    /// The file from which your part goes on after a crash
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: PathBuf,
    /// Where to write the record
    #[arg(long, value_name = "FILE")]
    pub(crate) record: PathBuf,
    /// Practice
    #[arg(long)]
    pub(crate) rehearsal: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The record
    pub(crate) record: PathBuf,
    /// Somebody's key, as you know it from elsewhere
    #[arg(long, value_name = "PERSON=KEY")]
    pub(crate) pin: Vec<String>,
    /// Be content although keys of some participants are not pinned
    #[arg(long)]
    pub(crate) allow_unpinned: bool,
    /// Be content with a rehearsal
    #[arg(long)]
    pub(crate) allow_rehearsal: bool,
}
