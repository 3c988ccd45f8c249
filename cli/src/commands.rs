//! The commands, one module each.

mod key;
mod parse;
mod request;
mod status;
mod submit;
mod view;

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory as _;
use limen_client::{Client, ClientConfig};

use crate::args::{Arguments, Command};
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
        Command::Dev(DevCommand::Child(_)) => {}
        Command::Completion { shell } => completion(*shell, output),
        other => {
            let config = ClientConfig::from_file(&arguments.config)?;
            let session = Session { client: Client::connect(&config)?, config, output };
            in_session(other, &session).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn in_session(command: &Command, session: &Session) -> Result<()> {
    match command {
        Command::Status => status::run(session).await,
        Command::Key(command) => key::run(session, command).await,
        Command::Submit(what) => submit::submit(session, what).await,
        Command::Simulate(what) => submit::simulate(session, what).await,
        Command::Request(command) => request::run(session, command).await,
        Command::Sign(args) => submit::sign(session, args).await,
        Command::Dev(_) | Command::Completion { .. } => Ok(()),
    }
}

fn completion(shell: clap_complete::Shell, output: Output) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "limen", &mut script);
    output.raw(&String::from_utf8_lossy(&script));
}
