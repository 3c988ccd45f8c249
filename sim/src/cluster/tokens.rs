//! A SoftHSM2 token and a bridge of its own under each signer, and what can happen to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::identity::write_private;
use super::{ClusterError, Daemon};

/// Tokens under the signers.
#[derive(Debug, Clone, Copy)]
pub struct TokenPlan {
    /// Seconds for which opened shares are held; 0 opens them for each session.
    pub hold_secs: u32,
    /// How long a signer waits for its bridge, in milliseconds.
    pub timeout_ms: u32,
}

/// What happens to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenFault {
    /// The bridge is killed.
    Killed,
    /// It says nothing any more.
    Silent,
    /// The token is pulled.
    Removed,
    /// Another token of the same name and PIN is there instead.
    Replaced,
    /// Its PIN is not the one that the bridge was given.
    Locked,
}

impl TokenFault {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Killed, Self::Silent, Self::Removed, Self::Replaced, Self::Locked];
}

const PIN: &str = "campaign-pin";
const OTHER_PIN: &str = "another-pin";
/// Where the token lies, where another lies, and where one goes that is pulled.
const TOKEN: &str = "tokens";
const OTHER: &str = "other";
const ASIDE: &str = "aside";

/// The socket of a signer's bridge, relative to the cluster's folder.
pub(super) fn socket(name: &str) -> String {
    format!("{name}.hsm/run/bridge.sock")
}

/// A bridge with its token.
#[derive(Debug)]
pub struct Bridge {
    folder: PathBuf,
    daemon: Daemon,
    fault: Option<TokenFault>,
}

impl Bridge {
    /// Makes two tokens, of which one is used, and starts the bridge.
    pub(super) fn start(bin_dir: &Path, cluster: &Path, name: &str) -> Result<Self, ClusterError> {
        let folder = cluster.join(format!("{name}.hsm"));
        let io = |what: &str| ClusterError::io(format!("{what} {}", folder.display()));
        let module = limen_hsm::softhsm::library()
            .ok_or_else(|| ClusterError::Token("SoftHSM2 is not installed (Debian package softhsm2)".to_owned()))?;
        for token in [OTHER, TOKEN] {
            fs::create_dir_all(folder.join(token)).map_err(io("make"))?;
            fs::write(conf(&folder), conf_text(&folder, token)).map_err(io("write into"))?;
            initialize(&folder)?;
        }
        write_private(&folder.join("pin"), PIN)?;
        let text = format!(
            "socket = \"run/bridge.sock\"\nstate_dir = \"state\"\n\n[limits]\nrestart_secs = 2\n\n\
             [[tokens]]\nmodule = \"{module}\"\ntoken = \"campaign\"\npin = {{ file = \"pin\" }}\n"
        );
        fs::write(folder.join("bridge.toml"), text).map_err(io("write into"))?;
        let environment = vec![("SOFTHSM2_CONF", conf(&folder))];
        let config = folder.join("bridge.toml");
        let daemon =
            Daemon::start(&bin_dir.join("limen-hsm-bridge"), &format!("{name}-hsm"), &config, None, environment)?;
        Ok(Self { folder, daemon, fault: None })
    }

    /// Lets something happen to it.
    pub fn suffer(&mut self, fault: TokenFault) -> Result<(), ClusterError> {
        match fault {
            TokenFault::Killed => self.daemon.kill()?,
            TokenFault::Silent => self.daemon.signal("STOP")?,
            TokenFault::Removed => self.rename(TOKEN, ASIDE)?,
            TokenFault::Replaced => {
                self.daemon.kill()?;
                self.rename(TOKEN, ASIDE)?;
                self.rename(OTHER, TOKEN)?;
                self.daemon.restart()?;
            }
            TokenFault::Locked => {
                self.daemon.kill()?;
                write_private(&self.folder.join("pin"), OTHER_PIN)?;
                self.daemon.restart()?;
            }
        }
        self.fault = Some(fault);
        Ok(())
    }

    /// Undoes what has happened.
    pub fn heal(&mut self) -> Result<(), ClusterError> {
        match self.fault.take() {
            None | Some(TokenFault::Killed) => {}
            Some(TokenFault::Silent) => self.daemon.signal("CONT")?,
            Some(TokenFault::Removed) => self.rename(ASIDE, TOKEN)?,
            Some(TokenFault::Replaced) => {
                self.daemon.kill()?;
                self.rename(TOKEN, OTHER)?;
                self.rename(ASIDE, TOKEN)?;
            }
            // A refused PIN waits for a person: who corrects it also takes the mark away.
            Some(TokenFault::Locked) => {
                self.daemon.kill()?;
                write_private(&self.folder.join("pin"), PIN)?;
                self.remove_marks()?;
            }
        }
        self.supervise()
    }

    /// Starts the process again if it has ended, as its supervisor would.
    pub fn supervise(&mut self) -> Result<(), ClusterError> {
        if self.fault != Some(TokenFault::Killed) && !self.daemon.is_running() {
            self.daemon.restart()?;
        }
        Ok(())
    }

    fn remove_marks(&self) -> Result<(), ClusterError> {
        let failed = || ClusterError::io(format!("remove the marks of refused PINs in {}", self.folder.display()));
        for entry in fs::read_dir(self.folder.join("state")).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pin-refused")) {
                fs::remove_file(path).map_err(failed())?;
            }
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), ClusterError> {
        let what = format!("move {from} to {to} in {}", self.folder.display());
        fs::rename(self.folder.join(from), self.folder.join(to)).map_err(ClusterError::io(what))
    }
}

fn conf(folder: &Path) -> PathBuf {
    folder.join("softhsm2.conf")
}

fn conf_text(folder: &Path, token: &str) -> String {
    let place = folder.join(token);
    format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", place.display())
}

/// The PIN is no secret here.
fn initialize(folder: &Path) -> Result<(), ClusterError> {
    let mut command = Command::new("softhsm2-util");
    command.args(["--init-token", "--free", "--label", "campaign", "--so-pin", PIN, "--pin", PIN]);
    command.env("SOFTHSM2_CONF", conf(folder)).stdin(Stdio::null());
    let done = command.output().map_err(ClusterError::io("start softhsm2-util"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(ClusterError::Token(format!("softhsm2-util: {}", String::from_utf8_lossy(&done.stderr).trim())))
}
