//! Where everything of a development cluster lies, and what must stay the same from one `up` to the next.

use std::fs::File;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use limen_wire::ids::CommitteeSize;
use limen_wire::limits::LEDGER_MEMBERS;
use serde::{Deserialize, Serialize};

/// The version of the folder. 2 has witnesses, people and vaults; 3 may have tokens, and shares under data keys of their own.
const VERSION: u32 = 3;

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
            bail!("another `limen dev` runs in {}: stop it first, or choose another --dir", self.root.display());
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
    /// Shares are sealed by tokens.
    pub(crate) hsm: bool,
    pub(crate) ports: Ports,
}

/// Ports are chosen once: the charter names them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ports {
    pub(crate) signers: Vec<u16>,
    pub(crate) signer_metrics: Vec<u16>,
    pub(crate) witnesses: Vec<u16>,
    pub(crate) witness_metrics: Vec<u16>,
    pub(crate) coordinator: u16,
    pub(crate) coordinator_metrics: u16,
    pub(crate) chain: u16,
}

impl State {
    /// Reads the folder's state, or makes it; what the caller asks for must be what is there.
    pub(crate) fn load_or_make(
        layout: &Layout,
        signers: Option<u16>,
        required: Option<u16>,
        hsm: bool,
    ) -> Result<Self> {
        let path = layout.path("dev.toml");
        if !path.exists() {
            let state = Self::make(signers, required, hsm)?;
            layout.write_private("dev.toml", toml::to_string(&state)?.as_bytes())?;
            return Ok(state);
        }
        let text = std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        let not_ours = || format!("{} is not what `dev up` wrote", path.display());
        let Versioned { version } = toml::from_str(&text).with_context(not_ours)?;
        if version != VERSION {
            bail!(
                "{} has version {version}, this release knows {VERSION}: another release made it, with other machines and \
                 another charter; choose another --dir, or delete the folder to begin anew",
                path.display()
            );
        }
        let state: Self = toml::from_str(&text).with_context(not_ours)?;
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
        if hsm && !state.hsm {
            bail!(
                "the signers in {} seal by software, and their shares stay so: choose another --dir for --hsm, or delete the \
                 folder to begin anew",
                layout.root().display()
            );
        }
        Ok(state)
    }

    fn make(signers: Option<u16>, required: Option<u16>, hsm: bool) -> Result<Self> {
        let signers = signers.unwrap_or(3);
        let required = required.unwrap_or(signers / 2 + 1);
        let size = CommitteeSize::new(required, signers).context("--signers and --required do not go together")?;
        Ok(Self {
            version: VERSION,
            signers,
            required,
            hsm,
            ports: Ports::choose(signers, Keepers::of(size).witnesses)?,
        })
    }

    pub(crate) fn size(&self) -> Result<CommitteeSize> {
        Ok(CommitteeSize::new(self.required, self.signers)?)
    }

    /// The signers, in index order.
    pub(crate) fn signers(&self) -> impl Iterator<Item = Machine> + '_ {
        machines("signer", &self.ports.signers, &self.ports.signer_metrics)
    }

    /// The nodes without a share.
    pub(crate) fn witnesses(&self) -> impl Iterator<Item = Machine> + '_ {
        machines("witness", &self.ports.witnesses, &self.ports.witness_metrics)
    }
}

/// What every version of the file begins with.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// A node of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) metrics: u16,
}

pub(super) fn machines<'a>(kind: &'a str, ports: &'a [u16], metrics: &'a [u16]) -> impl Iterator<Item = Machine> + 'a {
    let ports = ports.iter().zip(metrics);
    (1..).zip(ports).map(move |(index, (port, metrics)): (u16, _)| Machine {
        name: format!("{kind}-{index}"),
        port: *port,
        metrics: *metrics,
    })
}

/// Who keeps the ledger: signers, and so many witnesses beside them that it goes on while f members are down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keepers {
    /// Signers among the members: the first so many.
    pub(crate) signers: u16,
    /// Members without a share.
    pub(crate) witnesses: u16,
    /// f: members that may do anything at all.
    pub(crate) corrupt: u16,
    /// q: acknowledgements that make a certificate.
    pub(crate) quorum: u16,
}

impl Keepers {
    /// For keys of t of n signers f = t − 1, as many as hold no key together. N ≥ 3f + 1 members, of whom
    /// q = ⌊(N + f) / 2⌋ + 1 make a certificate: any two such sets share an honest member (2q − N > f), and f may be
    /// down (N − q ≥ f); docs/limits.md. A ledger has a bounded number of members, which bounds f for large clusters.
    pub(crate) fn of(size: CommitteeSize) -> Self {
        let most = u16::try_from(LEDGER_MEMBERS).unwrap_or(u16::MAX);
        let signers = u16::from(size.signers_total()).min(most);
        let corrupt = u16::from(size.signers_required()).saturating_sub(1).min(most.saturating_sub(1) / 3);
        let members = signers.max(corrupt.saturating_mul(3).saturating_add(1));
        let quorum = (members.saturating_add(corrupt) / 2).saturating_add(1);
        Self { signers, witnesses: members.saturating_sub(signers), corrupt, quorum }
    }
}

/// Below those that the kernel gives to outgoing connections (32768 and up, ip(7)): one of those could take the place of a process
/// that is stopped.
const LISTENING: Range<u16> = 10_000..30_000;

impl Ports {
    /// Free ones, all held open until the last is found, from wherever chance begins to look.
    pub(super) fn choose(signers: u16, witnesses: u16) -> Result<Self> {
        let mut start = [0; 2];
        getrandom::getrandom(&mut start).map_err(|error| anyhow!("could not draw random bytes: {error}"))?;
        let skipped = usize::from(u16::from_be_bytes(start)).checked_rem(LISTENING.len()).unwrap_or_default();
        let mut ports = LISTENING.cycle().skip(skipped).take(LISTENING.len());
        let mut held = Vec::new();
        let mut next = || -> Result<u16> {
            let free = ports.find_map(|port| Some((port, TcpListener::bind(("127.0.0.1", port)).ok()?)));
            let (port, listener) = free.context("could not find a free port on loopback")?;
            held.push(listener);
            Ok(port)
        };
        let mut several = |count: u16| (0..count).map(|_| next()).collect::<Result<Vec<u16>>>();
        Ok(Self {
            signers: several(signers)?,
            signer_metrics: several(signers)?,
            witnesses: several(witnesses)?,
            witness_metrics: several(witnesses)?,
            coordinator: next()?,
            coordinator_metrics: next()?,
            chain: next()?,
        })
    }

    /// Refuses when somebody else sits on one of our ports.
    pub(crate) fn check_free(&self) -> Result<()> {
        let own = [self.coordinator, self.coordinator_metrics, self.chain];
        let nodes = [&self.signers, &self.signer_metrics, &self.witnesses, &self.witness_metrics];
        for port in nodes.into_iter().flatten().chain(&own) {
            TcpListener::bind(("127.0.0.1", *port)).with_context(|| {
                format!(
                    "port {port} belongs to this cluster's charter but another program listens there: stop that program"
                )
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_stands_f_corrupt_members_and_goes_on_without_f() {
        let of = |required, total| Keepers::of(CommitteeSize::new(required, total).unwrap());
        assert_eq!(of(2, 3), Keepers { signers: 3, witnesses: 1, corrupt: 1, quorum: 3 });
        assert_eq!(of(3, 5), Keepers { signers: 5, witnesses: 2, corrupt: 2, quorum: 5 });
        assert_eq!(of(2, 5), Keepers { signers: 5, witnesses: 0, corrupt: 1, quorum: 4 });
        for total in 2..=32 {
            for required in 2..=total {
                let Keepers { signers, witnesses, corrupt, quorum } = of(required, total);
                let members = signers + witnesses;
                assert!(2 * quorum > members + corrupt, "{required} of {total}: two quorums share nobody honest");
                assert!(members - quorum >= corrupt, "{required} of {total}: it stops with f down");
                assert!(usize::from(members) <= LEDGER_MEMBERS);
                assert!(corrupt == required - 1 || usize::from(members) == LEDGER_MEMBERS);
            }
        }
    }
}
