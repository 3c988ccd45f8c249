//! The daemons as child processes: started, watched, started again after a crash, stopped in order.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::output::Output;

/// How long a stopped child may take before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// A child that lived this long has earned a quick restart.
const HEALTHY: Duration = Duration::from_secs(10);
/// How much of a log's end is read for the reason.
const LAST_BYTES: u64 = 16 * 1024;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) environment: Vec<(&'static str, PathBuf)>,
    pub(crate) log: PathBuf,
    /// File that holds the process id while it runs.
    pub(crate) pid_file: PathBuf,
    /// The signal that asks it to stop.
    pub(crate) stop: Signal,
}

/// A program that is kept running.
pub(crate) struct Process {
    stop: watch::Sender<bool>,
    keeper: JoinHandle<()>,
}

impl Process {
    /// Starts it for the first time; a program that cannot be started at all is an error here.
    pub(crate) fn start(program: Program, output: Output) -> Result<Self> {
        let child = program.spawn()?;
        let (stop, stopped) = watch::channel(false);
        // Current-thread runtime: the keeper runs on the main thread, whose death is what the kernel watches for.
        let keeper = tokio::spawn(keep(program, child, stopped, output));
        Ok(Self { stop, keeper })
    }

    /// Asks it to stop, waits, and kills it if it will not.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.keeper.await;
    }
}

impl Program {
    fn spawn(&self) -> Result<Child> {
        if let Some(folder) = self.log.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("could not open the log {}", self.log.display()))?;
        let this = std::env::current_exe().context("could not find this program's own file")?;
        let child = Command::new(this)
            .args(["dev", "child", &std::process::id().to_string(), "--"])
            .arg(&self.program)
            .args(&self.args)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C in a terminal reaches every process of the group: we alone decide when children stop.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("could not start {} ({})", self.name, self.program.display()))?;
        if let (Some(pid), Some(folder)) = (child.id(), self.pid_file.parent()) {
            std::fs::create_dir_all(folder)?;
            std::fs::write(&self.pid_file, pid.to_string())?;
        }
        Ok(child)
    }
}

async fn keep(program: Program, mut child: Child, mut stopped: watch::Receiver<bool>, output: Output) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let status = tokio::select! {
            status = child.wait() => status,
            () = asked(&mut stopped) => return end(&program, child).await,
        };
        if started.elapsed() >= HEALTHY {
            pause = FIRST_PAUSE;
        }
        output.warning(&format!(
            "{} ended unexpectedly ({}); starting it again, its log is {}{}",
            program.name,
            describe(status),
            program.log.display(),
            last_words(&program.log).map(|words| format!("; it said: {words}")).unwrap_or_default()
        ));
        child = loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = asked(&mut stopped) => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
            match program.spawn() {
                Ok(child) => break child,
                Err(error) => output.warning(&format!("{error:#}")),
            }
        };
    }
}

/// The reason that a daemon gave for its end: the last such line of its log.
pub(super) fn last_words(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_BYTES))).ok()?;
    let mut end = Vec::new();
    file.take(LAST_BYTES).read_to_end(&mut end).ok()?;
    let text = String::from_utf8_lossy(&end);
    text.lines().rev().find_map(|line| line.strip_prefix("Error: ")).map(ToOwned::to_owned)
}

/// Returns when the process is to stop, also when nobody is left who could say so.
async fn asked(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

async fn end(program: &Program, mut child: Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process(pid, program.stop);
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
    let _ = std::fs::remove_file(&program.pid_file);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_the_last_error_line_whatever_follows_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("signer-1.log");
        assert_eq!(last_words(&log), None, "no log yet");
        std::fs::write(
            &log,
            "INFO started\nError: first\nINFO started\nError: the store is in use\n\nbacktrace:\n  0: main\n",
        )
        .unwrap();
        assert_eq!(last_words(&log).as_deref(), Some("the store is in use"));
    }
}
