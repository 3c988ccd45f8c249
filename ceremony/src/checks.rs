//! Commands that need no network: of plans and of records.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use limen_ceremony::{custody, pages};
use limen_evidence::ceremony::{Body, MAX_BYTES, Mode, Verified};
use limen_policy::approval::words::words_of;
use limen_policy::ceremony::{Attendance, Plan, check};
use limen_policy::lint::Severity;
use limen_wire::ids::PersonId;
use limen_wire::keys::PublicKey;

use crate::args::{PlanArgs, VerifyArgs};

/// Reads a file that must not be longer than this.
pub(crate) fn read(path: &Path, most: usize) -> Result<Vec<u8>> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("reading {shown}"))?.len();
    ensure!(size <= most as u64, "{shown} has {size} bytes, more than the {most} that are read");
    std::fs::read(path).with_context(|| format!("reading {shown}"))
}

pub(crate) fn text(path: &Path, most: usize) -> Result<String> {
    String::from_utf8(read(path, most)?).with_context(|| format!("{} is no text", path.display()))
}

/// A plan that can be read, with the text of its charter.
pub(crate) fn load(args: &PlanArgs) -> Result<(Plan, Option<String>)> {
    let plan = Plan::from_toml(&text(&args.plan, limen_policy::ceremony::MAX_BYTES)?).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("\n  error    {problem}")).collect();
        anyhow::anyhow!("the plan {} is refused:{}", args.plan.display(), lines.concat())
    })?;
    let charter = args.charter.as_deref().map(|path| text(path, limen_policy::charter::MAX_BYTES)).transpose()?;
    Ok((plan, charter))
}

/// The same, refused if it must not be carried out.
pub(crate) fn load_checked(args: &PlanArgs) -> Result<(Plan, Option<String>)> {
    let (plan, charter) = load(args)?;
    let findings = check::check(&plan, charter.as_deref());
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let errors: Vec<String> = errors.map(|one| format!("\n  error    in {}: {}", one.place, one.message)).collect();
    ensure!(errors.is_empty(), "the plan {} must not be carried out:{}", args.plan.display(), errors.concat());
    Ok((plan, charter))
}

pub(crate) fn out(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("writing the answer")
}

fn put(path: Option<&Path>, text: &str) -> Result<()> {
    match path {
        None => out(text),
        Some(path) => {
            limen_ceremony::journal::write_whole(path, text).with_context(|| format!("writing {}", path.display()))
        }
    }
}

pub(crate) fn plan(args: &PlanArgs) -> Result<()> {
    let (plan, charter) = load(args)?;
    let findings = check::check(&plan, charter.as_deref());
    let mut shown = format!(
        "{}: {} of cluster {}, ceremony {}\n  plan     {}\n  words    {}\n",
        plan.title,
        plan.kind.as_str(),
        plan.cluster,
        plan.id,
        plan.hash(),
        plan.words()
    );
    for finding in &findings {
        let word = if finding.severity == Severity::Error { "error  " } else { "warning" };
        shown.push_str(&format!("  {word}  in {}: {}\n", finding.place, finding.message));
    }
    out(&shown)?;
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    ensure!(errors == 0, "{errors} errors: this plan must not be carried out");
    Ok(())
}

pub(crate) fn attendance(plan: &Plan, absent: &[PersonId]) -> Result<Attendance> {
    let absent: BTreeSet<PersonId> = absent.iter().cloned().collect();
    for person in &absent {
        ensure!(plan.person(person).is_some(), "{person} is nobody in the plan");
    }
    Ok(if absent.is_empty() { Attendance::full(plan)? } else { Attendance::without(plan, &absent)? })
}

pub(crate) fn script(args: &PlanArgs, absent: &[PersonId], path: Option<&Path>) -> Result<()> {
    let (plan, _) = load_checked(args)?;
    put(path, &pages::script(&plan, &attendance(&plan, absent)?))
}

fn verified(path: &Path) -> Result<Verified> {
    custody::verify(&read(path, MAX_BYTES)?).with_context(|| format!("in {}", path.display()))
}

pub(crate) fn show(path: &Path) -> Result<()> {
    let verified = verified(path)?;
    let mut shown = summary(&verified);
    for ((step, said), head) in verified.session.steps().iter().zip(&verified.done).zip(&verified.heads) {
        shown.push_str(&format!("step {} ({}): {}\n", step.number, step.name, step.title));
        for (person, said) in said {
            let Body::Step { exceptions, fields, .. } = &said.contribution.body else { continue };
            for text in exceptions {
                shown.push_str(&format!("  {person}  EXCEPTION  {text}\n"));
            }
            for (name, value) in fields {
                let short: String = value.chars().take(100).collect();
                shown.push_str(&format!("  {person}  {name}  {short}\n"));
            }
            if fields.is_empty() {
                shown.push_str(&format!("  {person}\n"));
            }
        }
        shown.push_str(&format!("  head {head}\n"));
    }
    out(&shown)
}

fn summary(verified: &Verified) -> String {
    let plan = verified.session.plan();
    let mut shown =
        format!("{}: {} of cluster {}, ceremony {}\n", plan.title, plan.kind.as_str(), plan.cluster, plan.id);
    if verified.session.mode() == Mode::Rehearsal {
        shown.push_str("  REHEARSAL: it counts for nothing\n");
    }
    for (by, cause) in &verified.aborts {
        shown.push_str(&format!("  CALLED OFF by {by}: {cause}\n"));
    }
    shown.push_str(&format!("  plan     {}\n", plan.hash()));
    if let Some(name) = verified.name {
        shown.push_str(&format!("  record   {name}\n  words    {}\n", words_of("record", name.as_bytes()).join(" ")));
    }
    for (what, value) in pages::results(verified) {
        shown.push_str(&format!("  output   {what}: {value}\n"));
    }
    for person in verified.session.attendance().present() {
        let key = plan.person(person).map(|one| one.credential.to_string()).unwrap_or_default();
        let signed = if verified.name.is_some() { "signed  " } else { "there   " };
        shown.push_str(&format!("  {signed} {person}, {key}\n"));
    }
    shown
}

pub(crate) fn verify(args: &VerifyArgs) -> Result<()> {
    let verified = verified(&args.record)?;
    let mut pins: BTreeMap<PersonId, PublicKey> = BTreeMap::new();
    for pin in &args.pin {
        let (person, key) = pin.split_once('=').with_context(|| format!("--pin {pin:?}: PERSON=KEY is needed"))?;
        let twice = pins.insert(person.parse()?, key.parse()?).is_some();
        ensure!(!twice, "--pin {pin:?}: {person} is pinned already: one key each");
    }
    let unpinned = verified.pinned(&pins)?;
    out(&summary(&verified))?;
    if let Some((by, cause)) = verified.aborts.first() {
        bail!("the ceremony was called off by {by}: {cause}");
    }
    ensure!(
        args.allow_rehearsal || verified.session.mode() == Mode::Real,
        "the record is of a REHEARSAL: it counts for nothing (--allow-rehearsal shows that it holds)"
    );
    let names: Vec<&str> = unpinned.iter().map(PersonId::as_str).collect();
    if pins.is_empty() {
        out(
            "  NOTHING IS PINNED: the record holds by itself, but anybody can make such a record with keys of their own\n",
        )?;
    } else if !names.is_empty() {
        out(&format!("  NOT PINNED: {}\n", names.join(", ")))?;
    }
    ensure!(
        names.is_empty() || args.allow_unpinned,
        "no key is pinned for {}: give --pin for each of them as you know them from elsewhere, or --allow-unpinned",
        names.join(", ")
    );
    out("  the record holds\n")
}

pub(crate) fn report(record: &Path, path: Option<&Path>) -> Result<()> {
    put(path, &pages::report(&verified(record)?))
}
