//! `limen policy …`: tests of rules, stock packs, and what a draft would decide otherwise.

mod history;
mod replay;
mod shadow;

use std::path::{Path, PathBuf};

use anyhow::Result;
use limen_policy::cases::{self, CasesError, Judgement, Outcome};
use limen_policy::packs::{self, PACKS};
use serde_json::{Value, json};

use super::Session;
use super::parse::wrong;
use super::verify::read;
use crate::args::{PackCommand, PolicyCommand};
use crate::output::{Output, table};

/// Tests that did not pass, or could not be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadTests {
    #[error("{}: {source}", .file.display())]
    Unrunnable { file: PathBuf, source: CasesError },
    #[error("{} is no text", .file.display())]
    NoText { file: PathBuf },
    #[error("{failed} of {run} tests failed")]
    Failed { failed: usize, run: usize },
}

impl BadTests {
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Unrunnable { .. } | Self::NoText { .. } => "bad_tests",
            Self::Failed { .. } => "tests_failed",
        }
    }
    pub(crate) const fn remedy(&self) -> &'static str {
        match self {
            Self::Unrunnable { .. } | Self::NoText { .. } => {
                "Correct the named place; docs/rules.md shows the form of tests."
            }
            Self::Failed { .. } => "Mend the rules, or what is expected of them.",
        }
    }
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Unrunnable { .. } | Self::NoText { .. } => 2,
            Self::Failed { .. } => 1,
        }
    }
}

pub(crate) async fn run(command: &PolicyCommand, output: Output) -> Result<()> {
    match command {
        PolicyCommand::Test { files } => test(files, output),
        PolicyCommand::Pack(PackCommand::List) => list(output),
        PolicyCommand::Pack(PackCommand::Show { name, tests }) => show(name, *tests, output),
        PolicyCommand::Replay(args) => replay::run(None, args, output).await,
        PolicyCommand::Shadow => Ok(()),
    }
}

pub(crate) async fn run_in(session: &Session, command: &PolicyCommand) -> Result<()> {
    match command {
        PolicyCommand::Replay(args) => replay::run(Some(session), args, session.output).await,
        PolicyCommand::Shadow => shadow::run(session).await,
        PolicyCommand::Test { .. } | PolicyCommand::Pack(_) => run(command, session.output).await,
    }
}

fn list(output: Output) -> Result<()> {
    let list: Vec<Value> = PACKS.iter().map(|pack| json!({ "name": pack.name, "summary": pack.summary })).collect();
    let rows: Vec<Vec<String>> = PACKS.iter().map(|pack| vec![pack.name.to_owned(), pack.summary.to_owned()]).collect();
    output.result(&list, || table(&["PACK", "FOR"], &rows))
}

fn show(name: &str, tests: bool, output: Output) -> Result<()> {
    let names: Vec<&str> = PACKS.iter().map(|pack| pack.name).collect();
    let unknown = || wrong(format!("there is no pack {name:?}; there are {}", names.join(", ")));
    let pack = packs::find(name).ok_or_else(unknown)?;
    let text = if tests { pack.tests } else { pack.charter };
    output.result(&json!({ "name": pack.name, "text": text }), || text.trim_end().to_owned())
}

fn test(files: &[PathBuf], output: Output) -> Result<()> {
    let mut results = Vec::new();
    for file in files {
        results.push((file, outcomes(file)?));
    }
    let all = || results.iter().flat_map(|(file, outcomes)| outcomes.iter().map(move |outcome| (*file, outcome)));
    let failed = all().filter(|(_, outcome)| !outcome.passed()).count();
    let list: Vec<Value> = all().map(|(file, outcome)| result_json(file, outcome)).collect();
    let run = list.len();
    output.result(&json!({ "run": run, "failed": failed, "tests": list }), || {
        let mut lines: Vec<String> = all().map(|(file, outcome)| result_line(file, outcome)).collect();
        lines.push(format!("{run} tests, {failed} failed"));
        lines.join("\n")
    })?;
    if failed > 0 {
        return Err(BadTests::Failed { failed, run }.into());
    }
    Ok(())
}

fn outcomes(file: &Path) -> Result<Vec<Outcome>> {
    let text = |path: &Path, limit| {
        let no_text = |_| BadTests::NoText { file: path.to_owned() };
        Ok::<_, anyhow::Error>(String::from_utf8(read(path, limit)?).map_err(no_text)?)
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    let part = |name: &str| match (text(&folder.join(name), limen_policy::charter::MAX_BYTES), name) {
        // The ground that packs are tested on comes with them.
        (Err(_), "base.toml") => Ok(packs::BASE.to_owned()),
        (found, _) => found.map_err(|error| format!("{error:#}")),
    };
    let unrunnable = |source| BadTests::Unrunnable { file: file.to_owned(), source };
    Ok(cases::run(&text(file, cases::MAX_BYTES)?, &part).map_err(unrunnable)?)
}

fn result_line(file: &Path, outcome: &Outcome) -> String {
    match &outcome.expected {
        None => format!("ok     {}", outcome.name),
        Some(expected) => format!(
            "FAILED {}\n       {}:{}: expected: {expected}\n       it is {}",
            outcome.name,
            file.display(),
            outcome.line,
            outcome.judgement
        ),
    }
}

fn result_json(file: &Path, outcome: &Outcome) -> Value {
    let judgement = match &outcome.judgement {
        Judgement::Allowed => "allowed",
        Judgement::Needs(_) => "needs",
        Judgement::Refused(_) => "refused",
    };
    json!({
        "file": file.display().to_string(), "line": outcome.line, "name": outcome.name, "passed": outcome.passed(),
        "expected": outcome.expected, "judgement": judgement, "says": outcome.judgement.to_string(),
    })
}
