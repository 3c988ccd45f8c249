//! `limen dev ceremony`: five people at five sites begin a house and make its keys, over real processes, each with credentials of their own.
//!
//! Everything lies on one machine, so this shows how it is done and protects nothing. What is done is not made easier for it: the
//! charter is a real one, and every check holds.

mod cluster;
mod conduct;
mod custodians;
mod destroy;
mod house;
mod plan;
mod players;
mod show;
mod versions;

use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;

use super::layout::Layout;
use crate::output::Output;
use crate::signals;

const DEFAULT_DIR: &str = "./.ceremony-demo";

#[derive(Debug, Args)]
pub(crate) struct CeremonyArgs {
    /// Folder of the show, emptied first if a show made it
    #[arg(long, value_name = "PATH", default_value = DEFAULT_DIR)]
    pub(crate) dir: PathBuf,
    /// Write what happened, with times, to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Keep keys, tokens, stores and logs too, not only plans, scripts and records
    #[arg(long)]
    pub(crate) keep: bool,
    /// One key instead of two: the one that takes less time
    #[arg(long)]
    pub(crate) short: bool,
    /// Places of each record at which a bit is turned over
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(crate) flips: usize,
    /// From which those places follow
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Folder of the other programs; beside this program if not given
    #[arg(long, value_name = "PATH", overrides_with = "bin_dir")]
    pub(crate) bin_dir: Option<PathBuf>,
}

/// What marks a folder as one that a show may empty.
const MARK: &str = "ceremony-demo";

pub(crate) async fn run(args: &CeremonyArgs, output: Output) -> Result<()> {
    let layout = empty_folder(args)?;
    let _lock = layout.lock()?;
    let mut running = cluster::Running::default();
    let done = tokio::select! {
        done = show::play(args, output, &layout, &mut running) => done,
        signal = signals::stop() => Err(anyhow!("stopped by {}", signal?)),
    };
    running.stop().await;
    let report =
        done.with_context(|| format!("the show failed; everything it left is in {}", layout.root().display()))?;
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
    }
    if !args.keep {
        tidy_up(&layout)?;
    }
    output.line("  stopped    every process that was started");
    Ok(())
}

fn empty_folder(args: &CeremonyArgs) -> Result<Layout> {
    let mut there = std::fs::read_dir(&args.dir).into_iter().flatten();
    if there.next().is_some() && !args.dir.join(MARK).exists() {
        return Err(anyhow!("{} is not empty, and no show made it: choose another --dir", args.dir.display()));
    }
    if args.dir.exists() {
        std::fs::remove_dir_all(&args.dir).with_context(|| format!("could not empty {}", args.dir.display()))?;
    }
    let layout = Layout::open(&args.dir)?;
    layout.write_private(MARK, b"")?;
    Ok(layout)
}

/// Keys, tokens and stores of a house that is over are of no use to anybody.
fn tidy_up(layout: &Layout) -> Result<()> {
    let stays = [MARK, "ceremonies", "charter.toml"];
    for entry in std::fs::read_dir(layout.root())? {
        let entry = entry?;
        let path = entry.path();
        if stays.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let gone = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        gone.with_context(|| format!("could not remove {}", path.display()))?;
    }
    for ceremony in std::fs::read_dir(layout.path("ceremonies"))? {
        let board = ceremony?.path().join("conductor");
        std::fs::remove_dir_all(&board).with_context(|| format!("could not remove {}", board.display()))?;
    }
    Ok(())
}
