//! The commands, one module each.

pub(crate) mod approval;
mod backup;
mod bundle;
pub(crate) mod charter;
mod check;
mod doctor;
mod drill;
mod key;
pub(crate) mod parse;
pub(crate) mod policy;
mod receipt;
mod request;
mod status;
pub(crate) mod stop;
mod submit;
pub(crate) mod verify;
mod view;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::CommandFactory as _;
use limen_client::{Client, ClientConfig, Error, Retry};

use crate::args::{Arguments, Command, RequestCommand};
use crate::dev::{self, DevCommand};
use crate::output::Output;

/// What most commands need.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) config: ClientConfig,
    pub(crate) output: Output,
}

pub(crate) async fn run(arguments: &Arguments, output: Output) -> Result<ExitCode> {
    match &arguments.command {
        Command::Dev(DevCommand::Up(args)) => dev::up(args, output).await?,
        Command::Dev(DevCommand::Ceremony(args)) => dev::ceremony(args, output).await?,
        Command::Dev(DevCommand::Child(_)) => {}
        Command::Charter(command) if !command.needs_cluster() => charter::run(command, output)?,
        Command::Policy(command) if !command.needs_cluster() => policy::run(command, output).await?,
        Command::Verify(command) => verify::run(command, output)?,
        Command::Completion { shell } => completion(*shell, output),
        Command::Doctor(args) => return doctor::run(args, &arguments.config, output).await,
        Command::SupportBundle(args) => bundle::run(args, &arguments.config, output).await?,
        bad_news if stop::is_straight(bad_news) => stop::run(bad_news, &arguments.config, output).await?,
        Command::Check(args) if check::is_offline(&arguments.command) => check::run(args, None, output).await?,
        decided if approval::is_offline(decided) => approval::run(decided, None, output).await?,
        other => {
            let config = ClientConfig::from_file(&arguments.config)?;
            let client = Client::connect(&config)?.with_retry(patience(other));
            let session = Session { client, config, output };
            in_session(other, &session).await.map_err(|error| say_where(error, &session.config, &arguments.config))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Somebody waits before the screen: a question that nobody answers fails soon. Whoever asked for a signature or follows a
/// request would rather wait until a coordinator has restarted.
fn patience(command: &Command) -> Retry {
    match command {
        Command::Submit(_)
        | Command::Sign(_)
        | Command::Receipt(_)
        | Command::Request(RequestCommand::Watch { .. }) => Retry::default(),
        _ => Retry { deadline: Duration::from_secs(5), ..Retry::default() },
    }
}

/// Names the coordinator that could not be reached, and the file that names it.
fn say_where(error: anyhow::Error, config: &ClientConfig, file: &Path) -> anyhow::Error {
    let unreachable = error.chain().any(|cause| matches!(cause.downcast_ref(), Some(Error::Unreachable { .. })));
    if unreachable {
        return error.context(format!("could not reach the coordinator at {} ({})", config.endpoint, file.display()));
    }
    error
}

async fn in_session(command: &Command, session: &Session) -> Result<()> {
    match command {
        Command::Status => status::run(session).await,
        Command::Key(command) => key::run(session, command).await,
        Command::Backup(command) => backup::run(session, command).await,
        Command::Drill(command) => drill::run(session, command).await,
        Command::Submit(what) => submit::submit(session, what).await,
        Command::Simulate(what) => submit::simulate(session, what).await,
        Command::Request(command) => request::run(session, command).await,
        Command::Sign(args) => submit::sign(session, args).await,
        Command::Receipt(args) => receipt::run(session, args).await,
        Command::Approve(_) | Command::Reject(_) | Command::Withdraw(_) => {
            approval::run(command, Some(session), session.output).await
        }
        Command::Check(args) => check::run(args, Some(session), session.output).await,
        Command::Freeze(_) | Command::Unfreeze(_) | Command::Freezes(_) => Ok(()),
        Command::Charter(command) => charter::run_in(session, command).await,
        Command::Policy(command) => policy::run_in(session, command).await,
        Command::Verify(_) | Command::Dev(_) | Command::Completion { .. } => Ok(()),
        Command::Doctor(_) | Command::SupportBundle(_) => Ok(()),
    }
}

fn completion(shell: clap_complete::Shell, output: Output) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "limen", &mut script);
    output.raw(&String::from_utf8_lossy(&script));
}
