//! `limen dev up`, step by step.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use limen_client::evm::Transfers;
use limen_client::{Client, ClientConfig, ClusterView};
use limen_policy::charter::Charter;
use limen_wire::effects::ChainId;
use limen_wire::ids::{NodeId, Protocol, Scheme};
use limen_wire::statement::KeyStatement;
use rustix::process::Signal;

use super::chain::{self, Chain};
use super::charter::{self, CHAIN_NUMBER};
use super::configs::{self, Wishes};
use super::layout::{COORDINATOR, Layout, State};
use super::nonces::Remembering;
use super::processes::{Process, Program};
use super::report::{KeyReport, Report};
use super::withdrawals::{self, Act, NoChain};
use super::{UpArgs, identities, keys, story};
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
    signers: Vec<Process>,
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
        Ok(key) if !args.once => stay_up(output, &prepared, &key).await,
        other => other.map(drop),
    };
    running.stop(output).await;
    result
}

fn prepare(layout: Layout, args: &UpArgs) -> Result<Prepared> {
    if args.protocol == Protocol::Frost {
        bail!("--protocol {} makes no ECDSA signatures: choose dkls23 or cggmp24", args.protocol);
    }
    let state = State::load_or_make(&layout, args.signers, args.required)?;
    let identities = identities::prepare(&layout, &state)?;
    let charter = charter::prepare(&layout, &state, &identities)?;
    let prime_sets = u8::from(args.protocol == Protocol::Cggmp24);
    let wishes = Wishes { trace_partials: args.danger_trace_partials, prime_sets };
    let client = configs::write(&layout, &state, &charter, wishes)?;
    Ok(Prepared { layout, state, charter, client })
}

/// The whole story. Gives the transaction key.
async fn tell(args: &UpArgs, output: Output, prepared: &Prepared, running: &mut Running) -> Result<KeyStatement> {
    let started = Instant::now();
    story::greeting(output, &prepared.layout, prepared.state.size()?);
    running.start(args, output, prepared)?;
    let missing = chain::missing(&args.dev_chain);
    if missing.is_empty() {
        running.chain = Some(Chain::start(&prepared.layout, &prepared.state, &args.dev_chain, output).await?);
    } else {
        story::without_chain(output, &missing, &args.dev_chain);
    }
    let client = Client::connect(&prepared.client)?;
    wait_until_ready(&client, &prepared.layout).await?;
    output.line(&format!(
        "  signers    all reachable and linked to each other ({:.1} s)",
        started.elapsed().as_secs_f64()
    ));

    let mut report = Report::new(&prepared.layout, &prepared.state, &prepared.client);
    let key = make_treasury(args, output, prepared, &client, &mut report).await?;
    withdraw(args, output, running.chain.as_ref(), &client, &key, &mut report).await?;
    sign_message(output, prepared, &client, &mut report).await?;
    if args.json {
        report.write(&prepared.layout)?;
        output.line(&format!("  report     {}", prepared.layout.path("up.json").display()));
    }
    output.line(&format!("  done       in {:.1} s", started.elapsed().as_secs_f64()));
    Ok(key)
}

async fn make_treasury(
    args: &UpArgs,
    output: Output,
    prepared: &Prepared,
    client: &Client,
    report: &mut Report,
) -> Result<KeyStatement> {
    let wish = (Scheme::EcdsaSecp256k1, args.protocol);
    let key = keys::ensure(client, output, wish, prepared.state.size()?, prepared.nodes()).await?;
    let account = client.address(&key.key_id, &[], &ChainId::eip155(CHAIN_NUMBER)).await?;
    output.line(&format!("             address {account}, derived here from what the signers attest"));
    report.keys.push(KeyReport::new(&key, &account));
    Ok(key)
}

async fn sign_message(output: Output, prepared: &Prepared, client: &Client, report: &mut Report) -> Result<()> {
    let wish = (Scheme::EddsaEd25519, Protocol::Frost);
    let key = keys::ensure(client, output, wish, prepared.state.size()?, prepared.nodes()).await?;
    let account = client.address(&key.key_id, &[], &ChainId::offchain()).await?;
    report.keys.push(KeyReport::new(&key, &account));
    let (message, _) = withdrawals::message(client, &key.key_id).await?;
    story::message(output, &message);
    report.messages.push(message);
    Ok(())
}

async fn withdraw(
    args: &UpArgs,
    output: Output,
    chain: Option<&Chain>,
    client: &Client,
    key: &KeyStatement,
    report: &mut Report,
) -> Result<()> {
    let (key_id, number) = (key.key_id.clone(), ChainId::eip155(CHAIN_NUMBER));
    let mut told = |done: withdrawals::Done| {
        story::withdrawal(output, &done.words, &done.report);
        report.withdrawals.push(done.report);
    };
    if let Some(chain) = chain {
        report.endpoints.chain_rpc = Some(format!("http://127.0.0.1:{}", chain.port));
        let provider = Remembering::ask(client, chain.rpc.clone(), &key_id, &number).await?;
        let transfers = Transfers::open(client.clone(), provider, key_id, Vec::new(), number).await?;
        chain.fund(transfers.account(), &args.dev_chain).await?;
        output.line("  chain      anvil runs; the account holds coins and tokens");
        for act in [Act::Coins, Act::Tokens] {
            told(withdrawals::withdraw(&transfers, Some(chain), act).await?);
        }
    } else {
        let provider = Remembering::ask(client, NoChain, &key_id, &number).await?;
        let transfers = Transfers::open(client.clone(), provider, key_id, Vec::new(), number).await?;
        for act in [Act::Coins, Act::Tokens] {
            told(withdrawals::withdraw(&transfers, None, act).await?);
        }
    }
    Ok(())
}

async fn stay_up(output: Output, prepared: &Prepared, key: &KeyStatement) -> Result<()> {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("limen"));
    story::next_steps(output, &prepared.layout, &program, key.key_id.as_str());
    let signal = signals::stop().await?;
    output.line(&format!("stopping ({signal})"));
    Ok(())
}

impl Running {
    fn start(&mut self, args: &UpArgs, output: Output, prepared: &Prepared) -> Result<()> {
        let folder = match &args.bin_dir {
            Some(folder) => folder.clone(),
            None => beside_this_program()?,
        };
        let daemon = |program: &str, name: &str| -> Result<Process> {
            let program = folder.join(program);
            if !program.is_file() {
                bail!(
                    "{} is missing: build it with `cargo build -p limen-node -p limen-coordinator`, or name its folder by --bin-dir",
                    program.display()
                );
            }
            let program = Program {
                name: name.to_owned(),
                program,
                args: vec!["--config".to_owned(), prepared.layout.config_of(name).display().to_string()],
                log: prepared.layout.log_of(name),
                pid_file: prepared.layout.path(&format!("run/{name}.pid")),
                stop: Signal::TERM,
            };
            Process::start(program, output)
        };
        for signer in prepared.state.signers() {
            self.signers.push(daemon("limen-node", &signer.name)?);
        }
        self.coordinator = Some(daemon("limen-coordinator", COORDINATOR)?);
        Ok(())
    }

    /// The coordinator first: it starts nothing new while signers finish.
    async fn stop(self, output: Output) {
        let started = Instant::now();
        if let Some(coordinator) = self.coordinator {
            coordinator.stop().await;
        }
        let signers: Vec<_> = self.signers.into_iter().map(|signer| tokio::spawn(signer.stop())).collect();
        for signer in signers {
            let _ = signer.await;
        }
        if let Some(chain) = self.chain {
            chain.stop().await;
        }
        output.line(&format!("stopped everything ({:.1} s)", started.elapsed().as_secs_f64()));
    }
}

fn beside_this_program() -> Result<PathBuf> {
    let this = std::env::current_exe().context("could not find this program's own file")?;
    Ok(this.parent().unwrap_or_else(|| Path::new(".")).to_path_buf())
}

/// Ready means: the coordinator answers, reaches every signer, and every signer is linked to every other.
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

fn readiness(view: &ClusterView) -> (bool, String) {
    for signer in &view.signers {
        if !signer.reachable {
            return (false, format!("{} is not reachable: {}", signer.node, signer.error));
        }
        let peers = signer.status.as_ref().map(|status| status.peers.as_slice()).unwrap_or_default();
        if let Some(peer) = peers.iter().find(|peer| !peer.connected) {
            return (false, format!("{} is not linked to {}", signer.node, peer.node));
        }
    }
    (!view.signers.is_empty(), "no signer is known yet".to_owned())
}
