//! The daemons of the house: tokens' bridges first, then nodes and coordinator, which begin by the record of the genesis.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use limen_client::{Client, ClientConfig};
use rustix::process::Signal;
use serde_json::Value;
use tokio::process::Command;

use super::conduct::{Programs, output};
use super::house::{CONDUCTOR, House};
use crate::dev::hsm;
use crate::dev::layout::{COORDINATOR, Layout};
use crate::dev::processes::{Process, Program, last_words};
use crate::dev::up::readiness;
use crate::output::Output;

const READY_WITHIN: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// Everything that runs, by name.
#[derive(Default)]
pub(super) struct Running {
    bridges: BTreeMap<String, Process>,
    daemons: BTreeMap<String, Process>,
}

fn program(layout: &Layout, name: &str, program: &Path, config: PathBuf) -> Program {
    Program {
        name: name.to_owned(),
        program: program.to_path_buf(),
        args: vec!["--config".to_owned(), config.display().to_string()],
        environment: Vec::new(),
        log: layout.log_of(name),
        pid_file: layout.path(&format!("run/{name}.pid")),
        stop: Signal::TERM,
    }
}

impl Running {
    /// The bridges, without which no machine can show its identity.
    pub(super) fn start_bridges(&mut self, house: &House, output: Output) -> Result<()> {
        for signer in house.signers() {
            let name = format!("{}-hsm", signer.name);
            let mut bridge = program(&house.layout, &name, &house.bridge, hsm::config(&house.layout, signer));
            bridge.environment = hsm::environment(&house.layout, signer);
            self.bridges.insert(signer.name.clone(), Process::start(bridge, output)?);
        }
        Ok(())
    }

    /// Waits until every bridge listens.
    pub(super) async fn wait_for_bridges(&self, house: &House) -> Result<()> {
        let started = Instant::now();
        for signer in house.signers() {
            let socket = house.layout.path(&format!("{}/{}", signer.name, hsm::SOCKET));
            while std::os::unix::net::UnixStream::connect(&socket).is_err() {
                if started.elapsed() > READY_WITHIN {
                    bail!("the bridge of {} does not listen on {}", signer.name, socket.display());
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Signers, witnesses and coordinator.
    pub(super) fn start(&mut self, house: &House, programs: &Programs, output: Output) -> Result<()> {
        let nodes = house.signers().chain(house.witnesses()).map(|machine| (machine.name.clone(), &programs.node));
        for (name, file) in nodes.chain([(COORDINATOR.to_owned(), &programs.coordinator)]) {
            let daemon = program(&house.layout, &name, file, house.layout.config_of(&name));
            self.daemons.insert(name, Process::start(daemon, output)?);
        }
        Ok(())
    }

    /// Ends a signer and its bridge, by their process ids.
    pub(super) async fn lose(&mut self, name: &str) -> Result<()> {
        for process in [self.daemons.remove(name), self.bridges.remove(name)] {
            process.with_context(|| format!("{name} does not run"))?.stop().await;
        }
        Ok(())
    }

    /// Stops a signer; its token stays.
    pub(super) async fn off(&mut self, name: &str) -> Result<()> {
        self.daemons.remove(name).with_context(|| format!("{name} does not run"))?.stop().await;
        Ok(())
    }

    /// Starts a signer again.
    pub(super) fn on(&mut self, house: &House, programs: &Programs, (name, output): (&str, Output)) -> Result<()> {
        let daemon = program(&house.layout, name, &programs.node, house.layout.config_of(name));
        self.daemons.insert(name.to_owned(), Process::start(daemon, output)?);
        Ok(())
    }

    /// The coordinator first: it starts nothing new while signers finish.
    pub(super) async fn stop(mut self) {
        if let Some(coordinator) = self.daemons.remove(COORDINATOR) {
            coordinator.stop().await;
        }
        for processes in [self.daemons, self.bridges] {
            let ending: Vec<_> = processes.into_values().map(|process| tokio::spawn(process.stop())).collect();
            for process in ending {
                // One that is gone already has nothing to end.
                process.await.ok();
            }
        }
    }
}

/// Waits until the coordinator reaches all and all reach each other.
pub(super) async fn wait_until_ready(house: &House) -> Result<()> {
    let config = ClientConfig::from_file(&house.client_config(CONDUCTOR))?;
    let client = Client::connect(&config)?;
    let started = Instant::now();
    loop {
        let (ready, what) = match client.status().await {
            Ok(view) => readiness(&view),
            Err(error) => (false, error.to_string()),
        };
        if let Some(words) = house.signers().find_map(|signer| last_words(&house.layout.log_of(&signer.name))) {
            bail!("a signer does not start: {words}");
        }
        if ready {
            return Ok(());
        }
        if started.elapsed() > READY_WITHIN {
            let logs = house.layout.path("logs");
            bail!(
                "the cluster was not ready within {} s: {what}; logs are in {}",
                READY_WITHIN.as_secs(),
                logs.display()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The command `limen` as somebody calls it, with JSON for an answer.
pub(super) async fn limen(house: &House, programs: &Programs, person: &str, args: &[&str]) -> Result<Value> {
    let mut command = Command::new(&programs.this);
    command.args(["--output", "json", "--config"]).arg(house.client_config(person)).args(args).kill_on_drop(true);
    command.env_remove("LIMEN_CONFIG");
    let what = format!("limen {}", args.join(" "));
    let said = output(&mut command, &what).await?;
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("{what} printed {last:?}, which is no JSON"))
}
