//! A cluster whose processes the test starts and kills itself. `limen dev up --prepare-only` writes its files.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use limen_client::{Client, ClientConfig, NewIntent, NewKey, Request, RequestState, Retry, SignedIntent};
use limen_wire::effects::ChainId;
use limen_wire::error::Code;
use limen_wire::ids::{CommitteeSize, IntentId, KeyId, Protocol, Scheme};
use limen_wire::intent::Payload;
use limen_wire::pb::SignerHealth;
use tempfile::TempDir;

pub(crate) const COORDINATOR: &str = "coordinator-1";
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Folder of the built programs.
pub(crate) fn binaries() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_limen")).parent().unwrap().to_path_buf();
    for daemon in ["limen-node", "limen-coordinator", "limen-ceremony", "limen-recover"] {
        let file = folder.join(daemon);
        assert!(file.is_file(), "{} is missing: run `cargo build --workspace --bins` first", file.display());
    }
    folder
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

pub(crate) fn signer(index: usize) -> String {
    format!("signer-{index}")
}

pub(crate) fn witness(index: usize) -> String {
    format!("witness-{index}")
}

/// Rules without people, limits and ledger, for tests that are about something else.
const PLAIN: &str = r#"
[[rules]]
name = "coins, up to 10 a request"
allow = "transfer"
asset = "eth"
max_amount = "10"
destinations = "anywhere"

[[rules]]
name = "gas"
allow = "fee"
asset = "eth"
max_amount = "0.05"

[[rules]]
name = "messages"
allow = "message"
"#;

/// The development charter's machines, requester and assets, under plain rules.
fn plain(charter: &str) -> String {
    let (machines, _) = charter.split_once("\n# Who certifies limits").unwrap();
    let (before, claims) = machines.split_once("# Every request claims").unwrap();
    let (_, after) = claims.split_once("\nclaims = \"main\"\n").unwrap();
    format!("{before}{after}{PLAIN}")
}

pub(crate) struct Cluster {
    folder: TempDir,
    witnesses: usize,
    running: BTreeMap<String, Child>,
    pub(crate) client: Client,
    pub(crate) config: ClientConfig,
}

impl Cluster {
    /// Prepares, starts everything under plain rules and without witnesses, and waits until it is linked.
    pub(crate) async fn start(signers: u16, required: u16) -> Self {
        Self::start_under(signers, required, str::to_owned).await
    }

    /// The same under an edited charter.
    pub(crate) async fn start_under(signers: u16, required: u16, edit: impl FnOnce(&str) -> String) -> Self {
        Self::make(signers, required, |text| edit(&plain(text)), 0).await
    }

    /// Under the development charter as it is, with its people, vaults and ledger.
    pub(crate) async fn start_house(signers: u16, required: u16, witnesses: usize) -> Self {
        Self::start_house_under(signers, required, str::to_owned, witnesses).await
    }

    /// The same, edited.
    pub(crate) async fn start_house_under(
        signers: u16,
        required: u16,
        edit: impl FnOnce(&str) -> String,
        witnesses: usize,
    ) -> Self {
        Self::make(signers, required, edit, witnesses).await
    }

    /// With a token and a bridge under each signer, under an edited charter. The client's configuration gets these lines more.
    pub(crate) async fn start_on_tokens(edit: impl FnOnce(&str) -> String, client: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare_with(folder.path(), 3, 2, &["--hsm"]);
        let path = folder.path().join("client.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text + client).unwrap();
        Self::make_in(folder, |text| edit(&plain(text)), 0, true).await
    }

    async fn make(signers: u16, required: u16, edit: impl FnOnce(&str) -> String, witnesses: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path(), signers, required);
        Self::make_in(folder, edit, witnesses, false).await
    }

    async fn make_in(folder: TempDir, edit: impl FnOnce(&str) -> String, witnesses: usize, on_tokens: bool) -> Self {
        let charter = folder.path().join("charter.toml");
        let text = std::fs::read_to_string(&charter).unwrap();
        std::fs::write(&charter, edit(&text)).unwrap();
        let config = ClientConfig::from_file(&folder.path().join("client.toml")).unwrap();
        let patient = Retry { deadline: PATIENCE, ..Retry::default() };
        let client = Client::connect(&config).unwrap().with_retry(patient);
        let mut cluster = Self { folder, witnesses, running: BTreeMap::new(), client, config };
        for index in (1..=cluster.config.nodes.len()).filter(|_| on_tokens) {
            cluster.start_bridge(index);
        }
        cluster.start_all();
        cluster.wait_linked().await;
        cluster
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let signers = (1..=self.config.nodes.len()).map(signer);
        signers.chain((1..=self.witnesses).map(witness)).chain([COORDINATOR.to_owned()]).collect()
    }

    pub(crate) fn start_all(&mut self) {
        self.names().iter().for_each(|name| self.start_one(name));
    }

    pub(crate) fn start_all_but(&mut self, other: &str) {
        self.names().iter().filter(|name| *name != other).for_each(|name| self.start_one(name));
    }

    /// The bridge of a signer, by the name `SIGNER-hsm`.
    pub(crate) fn start_bridge(&mut self, index: usize) {
        let name = signer(index);
        let folder = self.path().join(&name).join("hsm");
        let command = ("limen-hsm-bridge", folder.join("bridge.toml"));
        self.spawn(&format!("{name}-hsm"), command, &[("SOFTHSM2_CONF", folder.join("softhsm2.conf"))]);
    }

    pub(crate) fn start_one(&mut self, name: &str) {
        let program = if name == COORDINATOR { "limen-coordinator" } else { "limen-node" };
        self.spawn(name, (program, self.path().join(name).join("config.toml")), &[]);
    }

    fn spawn(&mut self, name: &str, (program, config): (&str, PathBuf), environment: &[(&str, PathBuf)]) {
        let logs = self.path().join("logs");
        std::fs::create_dir_all(&logs).unwrap();
        let log = File::options().create(true).append(true).open(logs.join(format!("{name}.log"))).unwrap();
        let child = Command::new(binaries().join(program))
            .arg("--config")
            .arg(config)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running.insert(name.to_owned(), child);
    }

    /// The process id of something that runs.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.running[name].id()
    }

    /// Process ids of everything that runs.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.running.values().map(Child::id).collect()
    }

    /// Whether everything that was started still runs.
    pub(crate) fn has_not_ended(&mut self) -> bool {
        self.running.values_mut().all(|child| child.try_wait().unwrap().is_none())
    }

    /// Waits until a process has ended by itself.
    pub(crate) async fn wait_dead(&mut self, name: &str) {
        let started = Instant::now();
        while self.running.get_mut(name).unwrap().try_wait().unwrap().is_none() {
            assert!(started.elapsed() < PATIENCE, "{name} did not die within {PATIENCE:?}; {}", self.logs());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.running.remove(name);
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, name: &str) {
        let mut child = self.running.remove(name).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Every signer is reachable and linked to every other that is reachable.
    pub(crate) async fn wait_linked(&self) {
        let all = self.config.nodes.len();
        self.wait_for(|up, linked| up == all && linked == all * (all - 1), "all signers linked").await;
    }

    /// No signer is in a session.
    pub(crate) async fn wait_idle(&self) {
        let idle = |signer: &SignerHealth| signer.status.as_ref().is_some_and(|status| status.sessions == 0);
        self.wait_until(|signers| signers.iter().all(idle), "no sessions").await;
    }

    pub(crate) async fn wait_for(&self, good: impl Fn(usize, usize) -> bool, what: &str) {
        let linked = |signers: &[SignerHealth]| {
            let up: Vec<_> = signers.iter().filter(|signer| signer.reachable).collect();
            let peers = up.iter().flat_map(|signer| signer.status.iter().flat_map(|status| &status.peers));
            good(up.len(), peers.filter(|peer| peer.connected).count())
        };
        self.wait_until(linked, what).await;
    }

    async fn wait_until(&self, good: impl Fn(&[SignerHealth]) -> bool, what: &str) {
        let started = Instant::now();
        loop {
            if good(&self.client.status().await.unwrap().signers) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}; {}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Follows a request until it is as wanted.
    pub(crate) async fn until(&self, id: IntentId, wanted: impl Fn(&Request) -> bool) -> Request {
        let mut watch = self.client.watch(Some(id));
        let found = async {
            loop {
                let request = watch.next().await.unwrap();
                if wanted(&request) {
                    return request;
                }
                assert!(!request.state.is_end(), "{request:?}; {}", self.logs());
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("waited in vain; {}", self.logs()))
    }

    /// The same, until it is in a state.
    pub(crate) async fn in_state(&self, id: IntentId, state: RequestState) -> Request {
        self.until(id, |request| request.state == state).await
    }

    /// The same, until it waits in its ledger with this error.
    pub(crate) async fn wait_reserved(&self, id: IntentId, why: Code) {
        let is = |request: &Request| request.error.as_ref().is_some_and(|error| error.code == why);
        self.until(id, |request| request.state == RequestState::Reserved && is(request)).await;
    }

    pub(crate) async fn make_key(&self, name: &str, scheme: Scheme, protocol: Protocol) -> KeyId {
        let key_id = KeyId::new(name).unwrap();
        let total = u16::try_from(self.config.nodes.len()).unwrap();
        let size = CommitteeSize::new(self.config.min_signers_required.into(), total).unwrap();
        let nodes = self.config.nodes.iter().map(|node| node.id.clone()).collect();
        let expires_in = Duration::from_secs(900);
        let order = NewKey { key_id: key_id.clone(), scheme, protocol, size, nodes, expires_in };
        self.client.create_key(&order).await.unwrap();
        let made = self.client.wait_for_key(&key_id, Duration::from_secs(300), |_| {}).await;
        made.unwrap_or_else(|error| panic!("{error}; {}", self.logs()));
        key_id
    }

    pub(crate) async fn make_ecdsa_key(&self) -> KeyId {
        self.make_key("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await
    }

    /// A signed intent over an EIP-191 message.
    pub(crate) fn message(&self, key: &KeyId, text: &str) -> SignedIntent {
        message_of(&self.client, key, text)
    }

    /// The last lines of all logs, for failures.
    pub(crate) fn logs(&self) -> String {
        let mut out = String::new();
        for name in self.names() {
            let text =
                std::fs::read_to_string(self.path().join("logs").join(format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines.len().saturating_sub(25);
            out.push_str(&format!("\n--- {name}\n{}", lines[last..].join("\n")));
        }
        out
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A signed intent over an EIP-191 message, which is its own idempotency key.
pub(crate) fn message_of(client: &Client, key: &KeyId, text: &str) -> SignedIntent {
    let payload = Payload::EvmMessage(text.to_owned().into_bytes().into());
    let intent = NewIntent::new(key.clone(), Some(ChainId::eip155(31337)), payload);
    client.sign_intent(intent.idempotency_key(text)).unwrap()
}

/// The files of a cluster, nothing started.
pub(crate) fn prepare(folder: &Path, signers: u16, required: u16) {
    prepare_with(folder, signers, required, &[]);
}

fn prepare_with(folder: &Path, signers: u16, required: u16, more: &[&str]) {
    let status = Command::new(env!("CARGO_BIN_EXE_limen"))
        .args(["dev", "up", "--prepare-only", "--danger-trace-partials", "--dir"])
        .arg(folder)
        .args(["--signers", &signers.to_string(), "--required", &required.to_string()])
        .args(more)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
