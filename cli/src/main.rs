//! `limen`: the operator's and developer's command.
//!
//! Lives here: arguments, words and tables for people, JSON for programs, and the development cluster (`limen dev`). May
//! not live here: anything that another program would want — that is the SDK's. Start reading at [`args`], then `commands`.

mod args;
mod commands;
mod dev;
mod fail;
mod output;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};
use dev::DevCommand;
use output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.output);
    let result = match &arguments.command {
        // Becomes another program: must not have started a runtime.
        Command::Dev(DevCommand::Child(child)) => dev::become_child(child),
        Command::Dev(DevCommand::MakeToken(token)) => dev::make_token(token),
        _ => in_runtime(&arguments, output),
    };
    match result {
        Ok(code) => code,
        Err(error) => fail::report(output, &error),
    }
}

/// One thread: children are bound to the life of the thread that starts them, and that must be the main one.
fn in_runtime(arguments: &Arguments, output: Output) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(commands::run(arguments, output));
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    code
}
