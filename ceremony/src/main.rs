//! `limen-ceremony`: plan, rehearse, run, join, verify.

mod args;
mod checks;
mod live;

use std::process::ExitCode;

use args::{Arguments, Command, PlanCommand, RecordCommand};
use clap::Parser as _;

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Plan { command: PlanCommand::Check(plan) } => checks::plan(&plan),
        Command::Script { plan, absent, out } => checks::script(&plan, &absent, out.as_deref()),
        Command::Sign(sign) => live::sign_plan(&sign),
        Command::Rehearse { plan, parent, absent, record } => {
            live::rehearse(&plan, parent.as_deref(), &absent, &record)
        }
        Command::Run(run) => live::run(&run),
        Command::Join(join) => live::join(&join, false),
        Command::Resume(join) => live::join(&join, true),
        Command::Exception { journal, text } => live::exception(&journal, &text),
        Command::ConductorKey { dir } => live::conductor_key(&dir),
        Command::Record { command: RecordCommand::Show { record } } => checks::show(&record),
        Command::Verify(verify) => checks::verify(&verify),
        Command::Report { record, out } => checks::report(&record, out.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("limen-ceremony: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// To a person.
fn say(text: &str) {
    use std::io::Write as _;
    // A terminal that is gone has nobody who would read it.
    writeln!(std::io::stderr(), "{text}").ok();
}
