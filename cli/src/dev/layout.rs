//! Where everything of a development cluster lies, and what must stay the same from one `up` to the next.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use limen_wire::ids::CommitteeSize;
use serde::{Deserialize, Serialize};

/// The version of the folder.
const VERSION: u32 = 1;

/// The folder of a development cluster.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Makes the folder where it is missing.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root).with_context(|| format!("could not make the folder {}", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("could not find the folder {}", root.display()))?;
        Ok(Self { root })
    }
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }
    pub(crate) fn client_config(&self) -> PathBuf {
        self.path("client.toml")
    }
    /// The configuration of a daemon.
    pub(crate) fn config_of(&self, name: &str) -> PathBuf {
        self.root.join(name).join("config.toml")
    }
    pub(crate) fn log_of(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// One `up` at a time: the lock falls when the returned file is closed, also by a crash.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.path("up.lock");
        let file = File::create(&path).with_context(|| format!("could not make {}", path.display()))?;
        if file.try_lock().is_err() {
            bail!("another `limen dev up` runs in {}: stop it first, or choose another --dir", self.root.display());
        }
        Ok(file)
    }

    /// Writes a file that only its owner may read, by way of a new file that takes the old one's place.
    pub(crate) fn write_private(&self, relative: &str, content: &[u8]) -> Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = self.path(relative);
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let fresh = path.with_extension("new");
            let mut file =
                std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(content)?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)
        };
        write().with_context(|| format!("could not write {}", path.display()))
    }
}

/// The name of a signer by its index, from 1.
pub(crate) fn node_name(index: u16) -> String {
    format!("signer-{index}")
}

/// The coordinator's name.
pub(crate) const COORDINATOR: &str = "coordinator-1";
/// The one requester of a development cluster.
pub(crate) const REQUESTER: &str = "developer";
/// The cluster's name.
pub(crate) const CLUSTER: &str = "development";

/// What a cluster was made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    version: u32,
    signers: u16,
    required: u16,
    pub(crate) ports: Ports,
}

/// Ports are chosen once: the charter names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ports {
    pub(crate) signers: Vec<u16>,
    pub(crate) signer_metrics: Vec<u16>,
    pub(crate) coordinator: u16,
    pub(crate) coordinator_metrics: u16,
    pub(crate) chain: u16,
}

impl State {
    /// Reads the folder's state, or makes it; what the caller asks for must be what is there.
    pub(crate) fn load_or_make(layout: &Layout, signers: Option<u16>, required: Option<u16>) -> Result<Self> {
        let path = layout.path("dev.toml");
        if !path.exists() {
            let state = Self::make(signers, required)?;
            layout.write_private("dev.toml", toml::to_string(&state)?.as_bytes())?;
            return Ok(state);
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        let state: Self =
            toml::from_str(&text).with_context(|| format!("{} is not what `dev up` wrote", path.display()))?;
        if state.version != VERSION {
            bail!(
                "{} has version {}, this release knows {VERSION}: delete the folder to begin anew",
                path.display(),
                state.version
            );
        }
        let differs = signers.is_some_and(|signers| signers != state.signers)
            || required.is_some_and(|required| required != state.required);
        if differs {
            bail!(
                "{} holds a {}-of-{} cluster: choose another --dir, or delete the folder to begin anew",
                layout.root().display(),
                state.required,
                state.signers
            );
        }
        Ok(state)
    }

    fn make(signers: Option<u16>, required: Option<u16>) -> Result<Self> {
        let signers = signers.unwrap_or(3);
        let required = required.unwrap_or(signers / 2 + 1);
        CommitteeSize::new(required, signers).context("--signers and --required do not go together")?;
        Ok(Self { version: VERSION, signers, required, ports: Ports::choose(signers)? })
    }

    pub(crate) fn size(&self) -> Result<CommitteeSize> {
        Ok(CommitteeSize::new(self.required, self.signers)?)
    }

    /// Names and ports of the signers, in index order.
    pub(crate) fn signers(&self) -> impl Iterator<Item = Signer> + '_ {
        let ports = self.ports.signers.iter().zip(&self.ports.signer_metrics);
        (1..=self.signers).zip(ports).map(|(index, (port, metrics))| Signer {
            name: node_name(index),
            port: *port,
            metrics: *metrics,
        })
    }
}

/// A signer of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) metrics: u16,
}

impl Ports {
    /// Free ones, all held open until the last is found.
    fn choose(signers: u16) -> Result<Self> {
        let mut held = Vec::new();
        let mut next = || -> Result<u16> {
            let listener = TcpListener::bind(("127.0.0.1", 0)).context("could not find a free port on loopback")?;
            let port = listener.local_addr()?.port();
            held.push(listener);
            Ok(port)
        };
        Ok(Self {
            signers: (0..signers).map(|_| next()).collect::<Result<_>>()?,
            signer_metrics: (0..signers).map(|_| next()).collect::<Result<_>>()?,
            coordinator: next()?,
            coordinator_metrics: next()?,
            chain: next()?,
        })
    }

    /// Refuses when somebody else sits on one of our ports.
    pub(crate) fn check_free(&self) -> Result<()> {
        let own = [self.coordinator, self.coordinator_metrics, self.chain];
        for port in self.signers.iter().chain(&self.signer_metrics).chain(&own) {
            TcpListener::bind(("127.0.0.1", *port)).with_context(|| {
                format!(
                    "port {port} belongs to this cluster's charter but another program listens there: stop that program"
                )
            })?;
        }
        Ok(())
    }
}
