//! `limen drill …`

use std::path::PathBuf;

use clap::Subcommand;

pub(crate) const EXAMPLES: &str = "Examples:
  limen-ceremony verify drill.record --pin anna=ed25519:…     what it proves, and by whom
  limen drill file drill.record                               every signer judges it itself
  limen drill list                                            when each was held last, and when it is due";

#[derive(Debug, Subcommand)]
pub(crate) enum DrillCommand {
    /// Hand in the record of a drill that was held
    #[command(after_help = EXAMPLES)]
    File {
        /// The record that the ceremony left with its participants
        record: PathBuf,
    },
    /// The drills of the charter as each signer knows them
    #[command(after_help = EXAMPLES)]
    List,
}
