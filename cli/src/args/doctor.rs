//! `limen doctor` and `limen support-bundle`

use std::path::PathBuf;

use clap::Args;

pub(super) const EXAMPLES: &str = "Examples:
  limen doctor                                  one line for each check: ok, warn or bad, and what to do
  limen doctor --json                           for programs
  limen support-bundle --out bundle.json        the same for whoever helps you, without keys and PINs

Exit code of doctor: 0 nothing bad, 1 something is bad.";

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The same as --output json
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// Where to write it: a new file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}
