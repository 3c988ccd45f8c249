//! `limen-sim`: seeds of the hostile-coordinator simulation. `cargo xtask sim` builds and starts it.
#![expect(clippy::print_stdout, reason = "a command-line program talks on its standard streams")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use limen_sim::hostile::{Case, Report};

/// Play programs of a hostile coordinator against signers, and judge every signature.
#[derive(Debug, Parser)]
#[command(name = "limen-sim")]
struct Args {
    /// Play so many seeds, on all processors.
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0, conflicts_with = "seed")]
    from: u64,
    /// Play one seed and tell everything.
    #[arg(long)]
    seed: Option<u64>,
    /// Stop at the first that breaks a promise, and show nothing of it.
    #[arg(long, conflicts_with = "seed")]
    first: bool,
    /// Say how many seeds met what.
    #[arg(long)]
    statistics: bool,
}

/// Failing seeds that are made small and shown; the others are only counted.
const SHOWN: usize = 3;

fn main() -> ExitCode {
    let args = Args::parse();
    match args.seed {
        Some(seed) => one(seed),
        None => range(&args),
    }
}

fn one(seed: u64) -> ExitCode {
    let case = Case::of(seed);
    let report = case.play(None);
    println!("seed {seed}: {}", case.in_words());
    report.trace.iter().for_each(|line| println!("{line}"));
    match report.violation {
        None => {
            println!("seed {seed}: no violation; {:?}", report.counts);
            ExitCode::SUCCESS
        }
        Some(violation) => {
            show(seed, &case, &violation);
            ExitCode::FAILURE
        }
    }
}

fn show(seed: u64, case: &Case, violation: &limen_sim::hostile::Violation) {
    let small = case.shrunk(violation.rank, None);
    println!("seed {seed}: {violation}\nthe smallest program that does it: {}", small.in_words());
    let report = small.play(None);
    report.trace.iter().for_each(|line| println!("  {line}"));
    if let Some(violation) = report.violation {
        println!("  {violation}");
    }
}

/// What all processors found together.
#[derive(Default)]
struct Found {
    with: BTreeMap<&'static str, u64>,
    failed: Vec<u64>,
}

fn range(args: &Args) -> ExitCode {
    let (started, next, found) = (Instant::now(), AtomicU64::new(args.from), Mutex::new(Found::default()));
    let end = args.from.saturating_add(args.seeds);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        let Report { violation, counts, .. } = Case::of(seed).play(None);
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        counts.keys().for_each(|what| *found.with.entry(what).or_default() += 1);
        found.failed.extend(violation.map(|_| seed));
        if args.first && !found.failed.is_empty() {
            next.store(end, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let Found { with, mut failed } = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable();
    for seed in failed.iter().take(if args.first { 0 } else { SHOWN }) {
        let case = Case::of(*seed);
        if let Some(violation) = case.play(None).violation {
            show(*seed, &case, &violation);
        }
    }
    if args.statistics {
        with.iter().for_each(|(what, seeds)| println!("{seeds:>8} seeds: {what}"));
    }
    let of = |what: &str| with.get(what).copied().unwrap_or(0);
    println!(
        "sim: seeds {}..{end}: {} violations; {} reached signatures, {} waited, {} met limits; {:.1} s{}",
        args.from,
        failed.len(),
        of("signed"),
        of("time_locked"),
        of("limit_reached"),
        started.elapsed().as_secs_f64(),
        if failed.is_empty() { String::new() } else { format!("; replay with --seed {}", failed[0]) }
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
