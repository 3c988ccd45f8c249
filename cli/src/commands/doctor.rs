//! `limen doctor`: whoever is woken reads here what is wrong, where, and what to do.
//!
//! It never stops at the first thing: each check is a line, whatever became of those before.

mod certificate;
mod cluster;
mod here;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use limen_client::{Client, ClientConfig, ClusterView, Error, Retry, Signers, now_secs};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{DoctorArgs, Format};
use crate::output::Output;

/// How long the coordinator may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Weight {
    /// As it should be.
    Ok,
    /// It works, and wants a look.
    Warn,
    /// It does not work, or is dangerous.
    Bad,
}

impl Weight {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) weight: Weight,
    /// What was looked at.
    pub(crate) check: String,
    pub(crate) what: String,
    /// Empty where nothing is to be done.
    pub(crate) remedy: String,
    /// The words quote a file of this machine: they are for its owner's screen and go no further.
    #[serde(skip)]
    pub(crate) quotes_a_file: bool,
}

impl Finding {
    fn new(weight: Weight, check: impl Into<String>, what: impl Into<String>, remedy: &str) -> Self {
        let (check, what) = (plain(check.into()), plain(what.into()));
        Self { weight, check, what, remedy: remedy.to_owned(), quotes_a_file: false }
    }
    fn ok(check: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Weight::Ok, check, what, "")
    }
    fn warn(check: impl Into<String>, what: impl Into<String>, remedy: &str) -> Self {
        Self::new(Weight::Warn, check, what, remedy)
    }
    fn bad(check: impl Into<String>, what: impl Into<String>, remedy: &str) -> Self {
        Self::new(Weight::Bad, check, what, remedy)
    }
    /// Not for other eyes.
    fn quoting_a_file(self) -> Self {
        Self { quotes_a_file: true, ..self }
    }
    fn line(&self) -> String {
        let remedy = if self.remedy.is_empty() { String::new() } else { format!(" -> {}", self.remedy) };
        format!("{:4}  {:28}  {}{remedy}", self.weight.as_str(), self.check, self.what)
    }
}

/// On one line, and nothing in it that moves a terminal's cursor: much of it was said by others.
fn plain(text: String) -> String {
    if text.chars().any(char::is_control) {
        return text.replace(char::is_control, " ");
    }
    text
}

/// What was found, and from what.
pub(crate) struct Examined {
    pub(crate) findings: Vec<Finding>,
    pub(crate) config: Option<ClientConfig>,
    pub(crate) view: Option<ClusterView>,
}

impl Examined {
    pub(crate) fn worst(&self) -> Weight {
        self.findings.iter().map(|finding| finding.weight).max().unwrap_or(Weight::Ok)
    }

    fn to_json(&self) -> Value {
        json!({ "worst": self.worst(), "findings": self.findings })
    }

    fn text(&self) -> String {
        let count = |weight| self.findings.iter().filter(|finding| finding.weight == weight).count();
        let lines: Vec<_> = self.findings.iter().map(Finding::line).collect();
        let all = self.findings.len();
        format!("{}\n{all} checks: {} bad, {} warnings", lines.join("\n"), count(Weight::Bad), count(Weight::Warn))
    }
}

pub(crate) async fn run(args: &DoctorArgs, config: &Path, output: Output) -> Result<ExitCode> {
    let output = if args.json { Output::new(Format::Json) } else { output };
    let examined = examine(config).await;
    output.result(&examined.to_json(), || examined.text())?;
    Ok(if examined.worst() == Weight::Bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Looks at everything that can be looked at from here.
pub(crate) async fn examine(file: &Path) -> Examined {
    let now = now_secs();
    let mut findings = Vec::new();
    let Some(config) = here::configuration(file, &mut findings) else {
        return Examined { findings, config: None, view: None };
    };
    findings.extend(here::files(&config, now));
    let (view, doors) = tokio::join!(coordinator(&config), straight(&config));
    let view = match view {
        Ok((view, answered)) => {
            findings.extend(cluster::judge(&view, &config, answered));
            Some(view)
        }
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    findings.extend(doors);
    Examined { findings, config: Some(config), view }
}

/// What it says, and when it said so: clocks are compared with that moment.
async fn coordinator(config: &ClientConfig) -> Result<(ClusterView, u64), Finding> {
    const CHECK: &str = "coordinator";
    let client = Client::connect(config).map_err(|error| {
        Finding::bad(CHECK, format!("not asked: {error}"), "Mend the file that is named.").quoting_a_file()
    })?;
    let asked = client.with_retry(Retry { deadline: PATIENCE, ..Retry::default() }).status().await;
    asked
        .map(|view| (view, now_secs()))
        .map_err(|error| Finding::bad(CHECK, format!("{}: {error}", config.endpoint), error.remedy()))
}

/// The way to each signer that needs no coordinator: freezes and rejections go there.
async fn straight(config: &ClientConfig) -> Vec<Finding> {
    const CHECK: &str = "straight way";
    const ADDRESS: &str = "Write the signers' addresses under [[nodes]]: a freeze must not depend on the coordinator.";
    let has_way = |has: bool| config.nodes.iter().filter(move |node| node.address.is_some() == has);
    let wanted: Vec<String> = has_way(true).map(|node| node.id.to_string()).collect();
    let without =
        has_way(false).map(|node| Finding::warn(format!("{CHECK} {}", node.id), "no address is known", ADDRESS));
    let mut findings: Vec<_> = without.collect();
    if wanted.is_empty() {
        return findings;
    }
    match Signers::connect(config, &wanted) {
        Err(error) => findings
            .push(Finding::bad(CHECK, format!("not tried: {error}"), "Mend the file that is named.").quoting_a_file()),
        Ok(signers) => findings.extend(signers.freezes().await.into_iter().map(|(node, answer)| {
            let check = format!("{CHECK} {node}");
            answer.map_or_else(
                |error| no_way(&check, &error),
                |_| Finding::ok(&check, "it answers without a coordinator"),
            )
        })),
    }
    findings
}

fn no_way(check: &str, error: &Error) -> Finding {
    const REMEDY: &str = "See that limen-node runs there, that `address` under [[nodes]] is right and reached from here, and that \
        its `client_authority` signed this client's certificate.";
    Finding::warn(check, error.to_string(), REMEDY)
}

#[cfg(test)]
mod tests;
