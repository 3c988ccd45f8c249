//! `limen-bench`: what a signature costs, in time, bytes and processor time.
//!
//! Drives real processes through the SDK, on loopback and across pretended distance, beside plain signing with the same
//! curves in the same run. `cargo xtask bench` builds and starts it.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program talks on its standard streams")]

mod anew;
mod guard;
mod in_process;
mod live;
mod machine;
mod plain;
mod report;
mod rules;
mod scenario;
mod spread;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use scenario::{Choice, Committee, Shares};

/// Measure signatures: latency, throughput, bytes and processor time.
#[derive(Debug, Parser)]
#[command(name = "limen-bench")]
struct Args {
    /// Folder with limen-node and limen-coordinator.
    #[arg(long, default_value = "target/release")]
    bin_dir: PathBuf,
    /// Folder for the results, as JSON and as a Markdown table.
    #[arg(long, default_value = "target/bench")]
    results: PathBuf,
    /// What to measure.
    #[arg(long, value_delimiter = ',', default_values_t = [Choice::Dkls23, Choice::FrostEd25519, Choice::FrostBip340, Choice::Cggmp24])]
    protocols: Vec<Choice>,
    /// Committees, as REQUIRED-of-TOTAL. CGGMP24 is measured in the first one only.
    #[arg(long, value_delimiter = ',', default_values_t = [Committee::new(2, 3), Committee::new(3, 5), Committee::new(5, 8)])]
    committees: Vec<Committee>,
    /// Round-trip times between all daemons, in milliseconds; 0 is plain loopback. The caller is beside the coordinator.
    #[arg(long, value_delimiter = ',', default_values_t = [0_u64, 80])]
    rtt_ms: Vec<u64>,
    /// What shares lie under: `file`, `token` (SoftHSM2, opened once a minute) or `token-each` (opened for each session).
    #[arg(long, value_delimiter = ',', default_values_t = [Shares::File])]
    shares: Vec<Shares>,
    /// Requests one after the other, for latency.
    #[arg(long, default_value_t = 100)]
    requests: u32,
    /// Requests at the same time, for throughput.
    #[arg(long, default_value_t = 8)]
    workers: u32,
    /// How long throughput is measured, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Measure the load once more while the key's shares are made anew again and again.
    #[arg(long)]
    refresh: bool,
    /// The same while keys are handed over to another committee, one key after the other: each loses its first signer to one more.
    #[arg(long, conflicts_with = "refresh")]
    reshare: bool,
    /// From the start of one refresh or reshare to that of the next, in seconds; 0 is one after the other, all the time.
    #[arg(long, default_value_t = 5)]
    handover_every_secs: u64,
    /// CGGMP24 presignatures to make before measuring with them; 0 measures cold signing only.
    #[arg(long, default_value_t = 100)]
    presignatures: u32,
    /// Permissions that the guard gives, one after the other.
    #[arg(long, default_value_t = 1000)]
    permissions: u32,
    /// Longest wait for one key, in seconds: CGGMP24 searches safe primes first.
    #[arg(long, default_value_t = 1200)]
    keygen_timeout_secs: u64,
    /// Leave the real processes out: protocols in one process only.
    #[arg(long, conflicts_with = "live_only")]
    in_process_only: bool,
    /// Leave the protocols in one process out: real processes only.
    #[arg(long)]
    live_only: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    std::fs::create_dir_all(&args.results).with_context(|| format!("could not make {}", args.results.display()))?;
    let mut results = report::Results::new(machine::describe(), std::env::args().collect());
    eprintln!("bench: plain signing");
    results.plain = plain::measure(Duration::from_millis(500));
    eprintln!("bench: decisions");
    results.rules = rules::measure(Duration::from_millis(500))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    eprintln!("bench: the guard");
    results.guard = runtime.block_on(guard::measure(&args.results.join("guard"), args.permissions))?;
    for (committee, choice) in pairs(&args).filter(|_| !args.live_only) {
        eprintln!("bench: {choice} {committee} in one process");
        match in_process::measure(choice, committee) {
            Ok(found) => results.in_process.push(found),
            Err(error) => results.left_out(format!("{choice} {committee} in one process: {error:#}")),
        }
    }
    if !args.in_process_only {
        runtime.block_on(live::measure(&args, &mut results))?;
    }
    let written = results.write(&args.results)?;
    println!("{}", results.markdown());
    eprintln!("bench: written to {}", written.display());
    Ok(())
}

/// Every combination that is measured.
fn pairs(args: &Args) -> impl Iterator<Item = (Committee, Choice)> {
    let first = args.committees.first().copied();
    let all = args.committees.iter().flat_map(|committee| args.protocols.iter().map(|choice| (*committee, *choice)));
    all.filter(move |(committee, choice)| *choice != Choice::Cggmp24 || Some(*committee) == first)
}
