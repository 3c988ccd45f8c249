//! Results as JSON for machines and as Markdown for `docs/benchmarks.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::anew::Anew;
use crate::guard::Guard;
use crate::in_process::InProcess;
use crate::live::Live;
use crate::machine::Machine;
use crate::plain::Plain;
use crate::rules::Rules;
use crate::spread::Spread;

/// Everything of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) command: Vec<String>,
    pub(crate) finished_at_secs: u64,
    pub(crate) plain: Vec<Plain>,
    pub(crate) rules: Vec<Rules>,
    pub(crate) guard: Vec<Guard>,
    pub(crate) in_process: Vec<InProcess>,
    pub(crate) live: Vec<Live>,
    /// What could not be measured, and why.
    pub(crate) left_out: Vec<String>,
}

impl Results {
    pub(crate) fn new(machine: Machine, command: Vec<String>) -> Self {
        let (plain, rules, guard, in_process, live, left_out) = Default::default();
        Self { machine, command, finished_at_secs: 0, plain, rules, guard, in_process, live, left_out }
    }

    pub(crate) fn left_out(&mut self, why: String) {
        eprintln!("bench: left out: {why}");
        self.left_out.push(why);
    }

    /// Writes `SECONDS.json` and `SECONDS.md`; returns the former.
    pub(crate) fn write(&mut self, folder: &Path) -> Result<PathBuf> {
        self.finished_at_secs = limen_client::now_secs();
        let file = folder.join(format!("{}.json", self.finished_at_secs));
        let json = serde_json::to_string_pretty(self).context("could not write the results as JSON")?;
        fs::write(&file, json).with_context(|| format!("could not write {}", file.display()))?;
        let table = file.with_extension("md");
        fs::write(&table, self.markdown()).with_context(|| format!("could not write {}", table.display()))?;
        Ok(file)
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        let Machine { processor, processors, memory_gib, kernel, load } = &self.machine;
        let _ = writeln!(
            text,
            "{processor}, {processors} processors, {memory_gib} GiB, Linux {kernel}, load {load} at the start."
        );
        self.plain_table(&mut text);
        self.rules_table(&mut text);
        self.guard_table(&mut text);
        self.in_process_table(&mut text);
        self.live_table(&mut text);
        self.anew_table(&mut text);
        for why in &self.left_out {
            let _ = writeln!(text, "\nNot measured: {why}");
        }
        text
    }

    fn plain_table(&self, text: &mut String) {
        text.push_str("\n| one key, one thread | µs per signature | signatures/s |\n|---|---:|---:|\n");
        for Plain { what, per_second, micros } in &self.plain {
            let _ = writeln!(text, "| {what} | {micros:.0} | {per_second:.0} |");
        }
    }

    fn rules_table(&self, text: &mut String) {
        text.push_str("\n| rules in the charter | µs per decision |\n|---:|---:|\n");
        for Rules { rules, micros } in &self.rules {
            let _ = writeln!(text, "| {rules} | {micros:.1} |");
        }
    }

    fn guard_table(&self, text: &mut String) {
        text.push_str(
            "\n| the guard, one after the other | p50 ms | p95 ms | p99 ms | longest ms |\n|---|---:|---:|---:|---:|\n",
        );
        for Guard { what, times: Spread { p50_ms, p95_ms, p99_ms, max_ms, .. } } in &self.guard {
            let _ = writeln!(text, "| {what} | {p50_ms:.2} | {p95_ms:.2} | {p99_ms:.2} | {max_ms:.2} |");
        }
    }

    fn in_process_table(&self, text: &mut String) {
        text.push_str("\n| protocol alone, one thread | signers | key generation, CPU ms of all | bytes per party | signature, CPU ms of all | bytes per signer |\n");
        text.push_str("|---|---|---:|---:|---:|---:|\n");
        for one in &self.in_process {
            let InProcess { protocol, committee, keygen_cpu_ms, keygen_bytes_per_party, sign_cpu_ms, .. } = one;
            let bytes = one.sign_bytes_per_signer;
            let _ = writeln!(
                text,
                "| {protocol} | {committee} | {keygen_cpu_ms:.0} | {keygen_bytes_per_party} | {sign_cpu_ms:.2} | {bytes} |"
            );
        }
    }

    fn live_table(&self, text: &mut String) {
        if self.live.is_empty() {
            return;
        }
        text.push_str("\n| cluster | signers | RTT ms | key generation s | p50 ms | p95 ms | p99 ms | signatures/s | p99 under load ms | CPU ms | of it not protocol | bytes per signer |\n");
        text.push_str("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
        for live in &self.live {
            let presigned = if live.presigned { ", presigned" } else { "" };
            let under = if live.shares == "file" { String::new() } else { format!(", {}", live.shares) };
            let name = format!("{}{presigned}{under}", live.protocol);
            let [p50, p95, p99] = shown(live.latency.as_ref());
            let [_, _, loaded] = shown(live.loaded.as_ref());
            let Live { committee, rtt_ms, keygen_seconds, per_second, cpu_ms, bytes_per_signer, .. } = live;
            let measured = live.loaded.is_some();
            let under_load = |text: String| if measured { text } else { "–".to_owned() };
            let _ = writeln!(
                text,
                "| {name} | {committee} | {rtt_ms} | {keygen_seconds:.1} | {p50} | {p95} | {p99} | {} | {loaded} | {} | {} | {} |",
                under_load(format!("{per_second:.1}")),
                under_load(format!("{cpu_ms:.1}")),
                under_load(self.overhead(live)),
                under_load(format!("{bytes_per_signer:.0}")),
            );
        }
    }

    fn anew_table(&self, text: &mut String) {
        let all = || self.live.iter().filter_map(|live| Some((live, live.meanwhile.as_ref()?)));
        if all().next().is_none() {
            return;
        }
        text.push_str("\n| cluster, new shares | signers | RTT ms | what | times | one of them, p50 ms | p99 under load ms, without | p99 under load ms, meanwhile | ratio | failed |\n");
        text.push_str("|---|---|---:|---|---:|---:|---:|---:|---:|---:|\n");
        for (live, anew) in all() {
            let [each, _, _] = shown(anew.each.as_ref());
            let ([_, _, steady], [_, _, meanwhile]) = (shown(live.loaded.as_ref()), shown(anew.loaded.as_ref()));
            let ratio = match (&live.loaded, &anew.loaded) {
                (Some(steady), Some(meanwhile)) => format!("{:.2}", meanwhile.p99_ms / steady.p99_ms),
                _ => "–".to_owned(),
            };
            let Live { protocol, committee, rtt_ms, .. } = live;
            let what = match anew.what {
                Anew::Refresh => "refresh",
                Anew::Reshare => "reshare",
            };
            let (times, failed) = (anew.times, anew.failed);
            let _ = writeln!(
                text,
                "| {protocol} | {committee} | {rtt_ms} | {what} | {times} | {each} | {steady} | {meanwhile} | {ratio} | {failed} |"
            );
        }
    }

    /// Processor time of one signature less what the same protocol takes alone.
    fn overhead(&self, live: &Live) -> String {
        let same = |one: &&InProcess| one.protocol == live.protocol && one.committee == live.committee;
        match self.in_process.iter().find(same) {
            Some(alone) => format!("{:.1}", live.cpu_ms - alone.sign_cpu_ms),
            None => "–".to_owned(),
        }
    }
}

fn shown(spread: Option<&Spread>) -> [String; 3] {
    match spread {
        Some(Spread { p50_ms, p95_ms, p99_ms, .. }) => [p50_ms, p95_ms, p99_ms].map(|ms| format!("{ms:.1}")),
        None => ["–", "–", "–"].map(str::to_owned),
    }
}
