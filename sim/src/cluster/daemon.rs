//! One process of a cluster: start, kill, start again, and what it has used.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ClusterError, files};

/// Linux counts processor time in hundredths of a second on every architecture that we run on (`USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// A daemon process.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    binary: PathBuf,
    config: PathBuf,
    metrics: Option<SocketAddr>,
    environment: Environment,
    child: Child,
}

/// Variables that a process is started with beside this one's own.
pub(super) type Environment = Vec<(&'static str, PathBuf)>;

/// What a process has used since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Processor time, in user and kernel mode.
    pub cpu: Duration,
    /// Bytes of session messages sent to peers, without framing and encryption.
    pub bytes_sent: u64,
}

impl Usage {
    /// The sum of two processes.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self { cpu: self.cpu + other.cpu, bytes_sent: self.bytes_sent.saturating_add(other.bytes_sent) }
    }

    /// What was used since an earlier reading.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(earlier.cpu),
            bytes_sent: self.bytes_sent.saturating_sub(earlier.bytes_sent),
        }
    }
}

impl Daemon {
    pub(super) fn start(
        binary: &Path,
        name: &str,
        config: &Path,
        metrics: Option<SocketAddr>,
        environment: Environment,
    ) -> Result<Self, ClusterError> {
        let child = spawn(binary, name, config, &environment)?;
        let (name, binary, config) = (name.to_owned(), binary.to_path_buf(), config.to_path_buf());
        Ok(Self { name, binary, config, metrics, environment, child })
    }

    /// The name in the charter.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it writes its log.
    pub fn log(&self) -> PathBuf {
        files::log_file(&self.config, &self.name)
    }

    /// Ends the process at once, as a power cut would.
    pub fn kill(&mut self) -> Result<(), ClusterError> {
        self.child.kill().map_err(ClusterError::io(format!("kill {}", self.name)))?;
        self.child.wait().map_err(ClusterError::io(format!("wait for {}", self.name)))?;
        Ok(())
    }

    /// Starts it again after [`Daemon::kill`], with the same files.
    pub fn restart(&mut self) -> Result<(), ClusterError> {
        self.child = spawn(&self.binary, &self.name, &self.config, &self.environment)?;
        Ok(())
    }

    /// Sends it a signal by its name.
    pub(super) fn signal(&self, name: &str) -> Result<(), ClusterError> {
        let (pid, failed) = (self.child.id().to_string(), || ClusterError::io(format!("send {name} to {}", self.name)));
        let sent = Command::new("kill").args(["-s", name, &pid]).status().map_err(failed())?;
        if sent.success() { Ok(()) } else { Err(failed()(std::io::Error::other(sent.to_string()))) }
    }

    /// How often it has refused something for this reason since its start, by its metrics.
    pub async fn refusals(&self, reason: &str) -> Result<u64, ClusterError> {
        Ok(sum_of(&self.metrics().await?, "limen_node_refusals_total", &format!("\"{reason}\"")))
    }

    async fn metrics(&self) -> Result<String, ClusterError> {
        let Some(address) = self.metrics else { return Ok(String::new()) };
        fetch(address).await.map_err(ClusterError::io(format!("read metrics of {}", self.name)))
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has used since its start.
    pub async fn usage(&self) -> Result<Usage, ClusterError> {
        let bytes_sent = sum_of(&self.metrics().await?, "limen_node_frame_bytes_total", "\"sent\"");
        Ok(Usage { cpu: self.cpu()?, bytes_sent })
    }

    fn cpu(&self) -> Result<Duration, ClusterError> {
        let file = format!("/proc/{}/stat", self.child.id());
        let text = fs::read_to_string(&file).map_err(ClusterError::io(format!("read {file}")))?;
        Ok(cpu_of(&text))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(binary: &Path, name: &str, config: &Path, environment: &Environment) -> Result<Child, ClusterError> {
    let log = files::log_file(config, name);
    let failed = || ClusterError::io(format!("start {}", binary.display()));
    let out = File::options().create(true).append(true).open(&log).map_err(failed())?;
    let err = out.try_clone().map_err(failed())?;
    let mut command = Command::new(binary);
    command.arg("--config").arg(config).envs(environment.iter().cloned()).stdin(Stdio::null()).stdout(out).stderr(err);
    command.spawn().map_err(failed())
}

/// `utime` and `stime` of proc(5) `stat`: fields 14 and 15, counted behind the name in parentheses.
fn cpu_of(stat: &str) -> Duration {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks.saturating_mul(1000 / TICKS_PER_SECOND))
}

async fn fetch(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// A counter over all of its lines with this label.
fn sum_of(metrics: &str, name: &str, label: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.filter_map(|line| line.rsplit_once(' ')).filter_map(|(_, value)| value.trim().parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_the_name() {
        let stat = "42 (limen) node) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 8 0 1000 1 1";
        assert_eq!(cpu_of(stat), Duration::from_secs(3));
    }

    #[test]
    fn a_counter_is_summed_over_its_labels() {
        let text = "# TYPE x counter\nlimen_node_frame_bytes_total{reason=\"sent\"} 15\n\
                    limen_node_frame_bytes_total{reason=\"received\"} 5\nother 7\n";
        assert_eq!(sum_of(text, "limen_node_frame_bytes_total", "\"sent\""), 15);
    }
}
