//! `limen dev up`, step by step.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use limen_client::{Client, ClientConfig, ClusterView, Signers};
use limen_policy::charter::Charter;
use limen_wire::effects::ChainId;
use limen_wire::ids::{KeyId, NodeId, Protocol, Scheme};
use limen_wire::statement::KeyStatement;
use rustix::process::Signal;

use super::acts::{self, Stage};
use super::chain::{self, Chain};
use super::charter::{self, CHAIN_NUMBER};
use super::configs::{self, Wishes};
use super::keys::Vault;
use super::layout::{COORDINATOR, Keepers, Layout, State};
use super::people::People;
use super::processes::{Process, Program};
use super::report::{KeyReport, Report};
use super::withdrawals::{self, Account, Payment};
use super::{UpArgs, hsm, identities, keys, story};
use crate::output::Output;
use crate::signals;

/// Where the cluster lives unless said otherwise.
pub(crate) const DEFAULT_DIR: &str = "./.dev";
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A cluster that is ready to be started.
struct Prepared {
    layout: Layout,
    state: State,
    charter: Charter,
    client: ClientConfig,
}

impl Prepared {
    fn nodes(&self) -> Vec<NodeId> {
        self.charter.nodes.iter().map(|node| node.id.clone()).collect()
    }
}

/// Everything that runs.
#[derive(Default)]
struct Running {
    /// In front of the signers' tokens.
    bridges: Vec<Process>,
    /// Signers and witnesses.
    nodes: Vec<Process>,
    coordinator: Option<Process>,
    chain: Option<Chain>,
}

pub(crate) async fn run(args: &UpArgs, output: Output) -> Result<()> {
    let layout = Layout::open(&args.dir)?;
    let _lock = layout.lock()?;
    let prepared = prepare(layout, args)?;
    if args.prepare_only {
        output.line(&format!("prepared {}; nothing was started", prepared.layout.root().display()));
        return Ok(());
    }
    prepared.state.ports.check_free()?;
    let mut running = Running::default();
    let result = tokio::select! {
        result = tell(args, output, &prepared, &mut running) => result,
        signal = signals::stop() => Err(anyhow::anyhow!("stopped by {}", signal?)),
    };
    let result = match result {
        Ok(keys) if !args.once => stay_up(output, &prepared, &keys).await,
        other => other.map(drop),
    };
    running.stop(output).await;
    result
}

fn prepare(layout: Layout, args: &UpArgs) -> Result<Prepared> {
    if args.protocol == Protocol::Frost {
        bail!("--protocol {} makes no ECDSA signatures: choose dkls23 or cggmp24", args.protocol);
    }
    let state = State::load_or_make(&layout, args.signers, args.required, args.hsm)?;
    if state.hsm {
        let bridge = daemon(args, hsm::BRIDGE)?;
        state.signers().try_for_each(|signer| hsm::prepare(&layout, &signer, &bridge))?;
    }
    let identities = identities::prepare(&layout, &state)?;
    let charter = charter::prepare(&layout, &state, &identities)?;
    let prime_sets = u8::from(args.protocol == Protocol::Cggmp24);
    let wishes = Wishes { trace_partials: args.danger_trace_partials, prime_sets };
    let client = configs::write(&layout, &state, &charter, wishes)?;
    Ok(Prepared { layout, state, charter, client })
}

/// The keys of the two vaults.
struct VaultKeys {
    hot: KeyStatement,
    cold: KeyStatement,
}

/// The whole story.
async fn tell(args: &UpArgs, output: Output, prepared: &Prepared, running: &mut Running) -> Result<VaultKeys> {
    let started = Instant::now();
    let Prepared { layout, state, .. } = prepared;
    let keepers = Keepers::of(state.size()?);
    story::greeting(output, layout, state, keepers)?;
    running.start(args, output, prepared)?;
    let missing = chain::missing(&args.dev_chain);
    if missing.is_empty() {
        running.chain = Some(Chain::start(layout, state, &args.dev_chain, output).await?);
    } else {
        story::without_chain(output, &missing, &args.dev_chain);
    }
    let client = Client::connect(&prepared.client)?;
    wait_until_ready(&client, layout).await?;
    story::ready(output, state, keepers, started.elapsed().as_secs_f64());

    let mut report = Report::new(layout, state, &prepared.client);
    let people = People::new(layout, &prepared.charter, &client, Signers::connect(&prepared.client, &[])?);
    acts::thaw(&people, output).await?;
    let keys = vault_keys(args, output, prepared, &client, &mut report).await?;
    let chain = running.chain.as_ref();
    let stage = Stage {
        output,
        client: &client,
        charter: &prepared.charter,
        people,
        hot: Account::open(&client, &keys.hot.key_id, chain).await?,
        cold: Account::open(&client, &keys.cold.key_id, chain).await?,
        customer: acts::new_customer()?,
    };
    if let Some(chain) = chain {
        chain.fund(stage.hot.address()).await?;
        chain.fund(stage.cold.address()).await?;
        chain.fund_tokens(stage.hot.address(), &args.dev_chain).await?;
        report.endpoints.chain_rpc = Some(format!("http://127.0.0.1:{}", chain.port));
        output.line("  chain      anvil runs; both accounts hold coins, the hot one tokens");
    }
    play(&stage, &mut report).await?;
    if args.json {
        report.write(layout)?;
        output.line(&format!("  report     {}", layout.path("up.json").display()));
    }
    story::summary(output, &report, started.elapsed().as_secs_f64());
    Ok(keys)
}

/// The keys that are not there yet are made.
async fn vault_keys(
    args: &UpArgs,
    output: Output,
    prepared: &Prepared,
    client: &Client,
    report: &mut Report,
) -> Result<VaultKeys> {
    let size = prepared.state.size()?;
    let mut make = async |names, wish, chain: &ChainId| -> Result<KeyStatement> {
        let key = keys::ensure(client, output, names, wish, size, prepared.nodes()).await?;
        let account = client.address(&key.key_id, &[], chain).await?;
        output.line(&format!("             address {account}, derived here from what the signers attest"));
        report.keys.push(KeyReport::new(&key, &account));
        Ok(key)
    };
    let (ecdsa, evm) = (Scheme::EcdsaSecp256k1, ChainId::eip155(CHAIN_NUMBER));
    let hot = make(Vault::Hot.key_names(args.protocol), (ecdsa, args.protocol), &evm).await?;
    let frost = (Scheme::EddsaEd25519, Protocol::Frost);
    make(keys::message_key_names(), frost, &ChainId::offchain()).await?;
    let cold = make(Vault::Cold.key_names(Protocol::Dkls23), (ecdsa, Protocol::Dkls23), &evm).await?;
    Ok(VaultKeys { hot, cold })
}

/// What moves and what does not.
async fn play(stage: &Stage<'_>, report: &mut Report) -> Result<()> {
    let small = Payment::coins("0.5", stage.customer.clone());
    for payment in [&small, &Payment::tokens("250", stage.customer.clone())] {
        let done = stage.hot.pay(payment, "a withdrawal of the development story").await?;
        story::withdrawal(stage.output, payment, &done);
        report.withdrawals.push(done);
    }
    let message_key = report.keys.iter().find(|key| key.scheme == Scheme::EddsaEd25519.to_string());
    let message_key = KeyId::new(message_key.map(|key| key.key_id.clone()).unwrap_or_default())?;
    let (message, _) = withdrawals::message(stage.client, &message_key).await?;
    story::message(stage.output, &message);
    report.messages.push(message);
    report.acts.push(acts::limit(stage, small.amount).await?);
    report.acts.push(acts::large(stage).await?);
    report.acts.push(acts::refused(stage).await?);
    report.acts.push(acts::frozen(stage).await?);
    Ok(())
}

async fn stay_up(output: Output, prepared: &Prepared, keys: &VaultKeys) -> Result<()> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("limen"));
    let keys = (keys.hot.key_id.as_str(), keys.cold.key_id.as_str());
    story::next_steps(output, &prepared.layout, &program, keys);
    let signal = signals::stop().await?;
    output.line(&format!("stopping ({signal})"));
    Ok(())
}

impl Running {
    fn start(&mut self, args: &UpArgs, output: Output, prepared: &Prepared) -> Result<()> {
        let daemon = |program: &str, name: &str, config: PathBuf, environment| -> Result<Process> {
            let program = Program {
                name: name.to_owned(),
                program: daemon(args, program)?,
                args: vec!["--config".to_owned(), config.display().to_string()],
                environment,
                log: prepared.layout.log_of(name),
                pid_file: prepared.layout.path(&format!("run/{name}.pid")),
                stop: Signal::TERM,
            };
            Process::start(program, output)
        };
        let Prepared { layout, state, .. } = prepared;
        for signer in state.signers().filter(|_| state.hsm) {
            let (name, config) = (format!("{}-hsm", signer.name), hsm::config(layout, &signer));
            self.bridges.push(daemon(hsm::BRIDGE, &name, config, hsm::environment(layout, &signer))?);
        }
        for node in state.signers().chain(state.witnesses()) {
            self.nodes.push(daemon("limen-node", &node.name, layout.config_of(&node.name), Vec::new())?);
        }
        self.coordinator = Some(daemon("limen-coordinator", COORDINATOR, layout.config_of(COORDINATOR), Vec::new())?);
        Ok(())
    }

    /// The coordinator first: it starts nothing new while signers finish.
    async fn stop(self, output: Output) {
        let started = Instant::now();
        if let Some(coordinator) = self.coordinator {
            coordinator.stop().await;
        }
        let nodes: Vec<_> = self.nodes.into_iter().map(|node| tokio::spawn(node.stop())).collect();
        for node in nodes {
            let _ = node.await;
        }
        for bridge in self.bridges {
            bridge.stop().await;
        }
        if let Some(chain) = self.chain {
            chain.stop().await;
        }
        output.line(&format!("stopped everything ({:.1} s)", started.elapsed().as_secs_f64()));
    }
}

/// A program of the cluster.
fn daemon(args: &UpArgs, name: &str) -> Result<PathBuf> {
    let folder = match &args.bin_dir {
        Some(folder) => folder.clone(),
        None => beside_this_program()?,
    };
    let program = folder.join(name);
    if !program.is_file() {
        bail!(
            "{} is missing: build it with `cargo build -p limen-node -p limen-coordinator -p limen-hsm-bridge`, or name its folder by \
             --bin-dir",
            program.display()
        );
    }
    Ok(program)
}

fn beside_this_program() -> Result<PathBuf> {
    let this = std::env::current_exe().context("could not find this program's own file")?;
    Ok(this.parent().unwrap_or_else(|| Path::new(".")).to_path_buf())
}

/// Ready means: the coordinator answers, reaches every signer and witness, and every signer is linked to every other.
async fn wait_until_ready(client: &Client, layout: &Layout) -> Result<()> {
    let started = Instant::now();
    loop {
        let (ready, what) = match client.status().await {
            Ok(view) => readiness(&view),
            Err(error) => (false, error.to_string()),
        };
        if ready {
            return Ok(());
        }
        if started.elapsed() > READY_WITHIN {
            bail!(
                "the cluster was not ready within {:.0} s: {what}; logs are in {}",
                READY_WITHIN.as_secs_f64(),
                layout.path("logs").display()
            );
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(super) fn readiness(view: &ClusterView) -> (bool, String) {
    for signer in &view.signers {
        if !signer.reachable {
            return (false, format!("{} is not reachable: {}", signer.node, signer.error));
        }
        let peers = signer.status.as_ref().map(|status| status.peers.as_slice()).unwrap_or_default();
        if let Some(peer) = peers.iter().find(|peer| !peer.connected) {
            return (false, format!("{} is not linked to {}", signer.node, peer.node));
        }
    }
    if let Some(witness) = view.witnesses.iter().find(|witness| !witness.reachable) {
        return (false, format!("{} is not reachable: {}", witness.node, witness.error));
    }
    (!view.signers.is_empty(), "no signer is known yet".to_owned())
}
