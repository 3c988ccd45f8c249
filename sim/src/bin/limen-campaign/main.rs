//! `limen-campaign`: disks that are cut, refused, spoilt and put back. `cargo xtask campaign` builds and starts it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks on its standard streams")]

mod calls;
mod kill;
mod token;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use limen_sim::faults::{Campaign, Found};
use serde::{Deserialize, Serialize};

/// Break a signer's disks, and look what is left.
#[derive(Debug, Parser)]
#[command(name = "limen-campaign")]
struct Args {
    /// crash-points, disk, bitrot, rollback, kill or token.
    campaign: String,
    /// As many rounds as with every change. Without it, the long run.
    #[arg(long)]
    short: bool,
    /// So many rounds instead.
    #[arg(long)]
    rounds: Option<u64>,
    /// Play one round and tell everything that it broke.
    #[arg(long, conflicts_with_all = ["rounds", "resume", "short"])]
    round: Option<u64>,
    /// Go on where this file says, and keep it up to date. A file that is not there is begun.
    #[arg(long)]
    resume: Option<PathBuf>,
    /// Where the daemons stand, for `kill` and `token`: beside this program if not given.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// Write the result here.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What is broken is told so often.
const SHOWN: usize = 10;

/// How far a campaign has come.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    campaign: String,
    /// Rounds below this are done.
    next: u64,
    rounds: u64,
    seconds: f64,
    found: Found,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("limen-campaign: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is played.
enum Play {
    /// Disks, in this process.
    Disks(Campaign),
    /// Processes that are killed, from the programs in this folder.
    Kill(PathBuf),
    /// Processes whose tokens fail.
    Token(PathBuf),
}

impl Play {
    fn of(args: &Args) -> Result<Self> {
        let beside = std::env::current_exe()?.parent().map(Path::to_path_buf);
        let programs = args.bin_dir.clone().or(beside).context("this program stands nowhere")?;
        match args.campaign.as_str() {
            "kill" => return Ok(Self::Kill(programs)),
            "token" => return Ok(Self::Token(programs)),
            _ => {}
        }
        let names = Campaign::ALL.map(|(name, _)| name).join(", ");
        let found = Campaign::named(&args.campaign).map(Self::Disks);
        found.with_context(|| format!("there is no campaign `{}`; there are {names}, kill, token", args.campaign))
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Disks(campaign) => campaign.name(),
            Self::Kill(_) => "kill",
            Self::Token(_) => "token",
        }
    }

    const fn rounds(&self, long: bool) -> u64 {
        match (self, long) {
            (Self::Disks(campaign), long) => campaign.rounds(long),
            (Self::Kill(_), false) => 4,
            (Self::Kill(_), true) => 10_000 / kill::KILLS,
            (Self::Token(_), false) => 2,
            (Self::Token(_), true) => 5_000 / token::FAULTS,
        }
    }

    /// Rounds at a time.
    fn at_once() -> u64 {
        std::thread::available_parallelism().map_or(1, usize::from) as u64
    }

    fn round(&self, number: u64) -> Found {
        match self {
            Self::Disks(campaign) => campaign.round(number),
            Self::Kill(bin_dir) => processes(self, number, async |dir| kill::play(number, bin_dir, dir).await),
            Self::Token(bin_dir) => processes(self, number, async |dir| token::play(number, bin_dir, dir).await),
        }
    }
}

/// A round with processes, in a folder that stays if something was broken.
fn processes(campaign: &Play, number: u64, play: impl AsyncFnOnce(&Path) -> Result<Found>) -> Found {
    let program = std::env::temp_dir().join(format!("limen-campaign-{}", std::process::id()));
    let dir = program.join(format!("{}-{number}", campaign.name()));
    let played = || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let found = runtime.block_on(play(&dir))?;
        if found.violations.is_empty() {
            std::fs::remove_dir_all(&dir)?;
        }
        Ok(found)
    };
    played().unwrap_or_else(|error: anyhow::Error| {
        let mut found = Found::default();
        found.violations.push(format!("the round did not end: {error:#}; see {}", dir.display()));
        found
    })
}

fn run(args: &Args) -> Result<bool> {
    let campaign = Play::of(args)?;
    // A panic of ours is a finding, told with its round; the hook would tell it once more for each thread.
    std::panic::set_hook(Box::new(|_| {}));
    let mut state = match &args.resume {
        Some(file) if file.exists() => read(file, campaign.name())?,
        _ => State {
            campaign: campaign.name().to_owned(),
            next: args.round.unwrap_or(0),
            rounds: 0,
            seconds: 0.0,
            found: Found::default(),
        },
    };
    state.rounds = args.rounds.unwrap_or_else(|| campaign.rounds(!args.short)).max(state.next);
    if let Some(round) = args.round {
        state.rounds = round + 1;
    }
    let before = state.seconds;
    let (started, state) = (Instant::now(), Mutex::new(state));
    play(&campaign, &state, args.resume.as_deref(), || before + started.elapsed().as_secs_f64())?;
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = &args.json {
        write(file, &state)?;
    }
    tell(&state);
    Ok(state.found.violations.is_empty())
}

/// Plays rounds on all processors; they are added in their order, so that the state is always a beginning.
fn play(campaign: &Play, state: &Mutex<State>, file: Option<&Path>, seconds: impl Fn() -> f64 + Sync) -> Result<()> {
    let stop = AtomicBool::new(false);
    while !stop.load(Ordering::Relaxed) {
        let (next, rounds) = {
            let state = state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.next, state.rounds)
        };
        if next >= rounds {
            return Ok(());
        }
        let end = rounds.min(next + Play::at_once());
        let found = std::thread::scope(|scope| {
            let handles: Vec<_> =
                (next..end).map(|round| (round, scope.spawn(move || campaign.round(round)))).collect();
            handles.into_iter().map(|(round, handle)| (round, handle.join())).collect::<Vec<_>>()
        });
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        for (round, found) in found {
            let found = found.unwrap_or_else(|panic| {
                let words = panic.downcast_ref::<String>().map(String::as_str);
                let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word");
                let mut found = Found::default();
                found.violations.push(format!("it panicked: {words}"));
                found
            });
            state.found.add(round, found);
        }
        (state.next, state.seconds) = (end, seconds());
        if let Some(file) = file {
            write(file, &state)?;
        }
    }
    Ok(())
}

fn read(file: &Path, campaign: &str) -> Result<State> {
    let text = std::fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    let state: State = serde_json::from_str(&text).with_context(|| format!("{} is no campaign", file.display()))?;
    if state.campaign != campaign {
        bail!("{} is of the campaign {}, not {}", file.display(), state.campaign, campaign);
    }
    Ok(state)
}

fn write(file: &Path, state: &State) -> Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    }
    let beside = file.with_extension("new");
    let text = serde_json::to_string_pretty(state)? + "\n";
    std::fs::write(&beside, text).with_context(|| format!("could not write {}", beside.display()))?;
    std::fs::rename(&beside, file).with_context(|| format!("could not write {}", file.display()))
}

fn tell(state: &State) {
    let State { campaign, next, seconds, found, .. } = state;
    for what in found.violations.iter().take(SHOWN) {
        eprintln!("{what}");
    }
    let outcomes: Vec<String> = found.outcomes.iter().map(|(what, count)| format!("{count} {what}")).collect();
    println!(
        "{campaign}: {next} rounds, {} tried, {} violations; {}; {seconds:.0} s",
        found.tried,
        found.violations.len(),
        outcomes.join(", ")
    );
}
