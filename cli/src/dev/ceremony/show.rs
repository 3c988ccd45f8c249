//! The show, act by act. Each act checks what it shows: what is not so ends it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;

use super::CeremonyArgs;
use super::cluster::{Running, limen, wait_until_ready};
use super::conduct::{Ceremony, Held, Programs};
use super::custodians::{self, BACKED_UP};
use super::destroy;
use super::house::{CONDUCTOR, FIRST, House, KEYS, Key, PEOPLE, Person, WITNESSES, lost, off, witness};
use super::plan::{Change, EVERY_DAYS, Known, Purpose};
use super::versions::Version;
use crate::dev::hsm;
use crate::dev::layout::{COORDINATOR, Layout};
use crate::output::Output;

/// The chain of EIP-191 messages.
const CHAIN: &str = "eip155:1";

/// Longest wait for all signers to know of a drill.
const KNOWN_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// The drill's name in the charter.
const DRILL: &str = "site-lost";

/// What happened, for programs.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Acts in order, with how long each took in seconds.
    acts: Vec<(String, f64)>,
    ceremonies: Vec<Held>,
    keys: Vec<Value>,
    /// Messages, key and signature.
    signatures: Vec<Value>,
    /// What the key signed that custodians made whole.
    recovered: Value,
    /// The key that was destroyed, and what was proven of that.
    destroyed: Value,
    secs: f64,
}

/// What an act needs.
struct Stage<'a> {
    output: Output,
    house: &'a House,
    programs: &'a Programs,
    keys: &'static [Key],
    report: Report,
}

fn found(args: &CeremonyArgs, name: &str) -> Result<PathBuf> {
    let folder = match &args.bin_dir {
        Some(folder) => folder.clone(),
        None => {
            let this = std::env::current_exe().context("could not find this program's own file")?;
            this.parent().unwrap_or_else(|| Path::new(".")).to_path_buf()
        }
    };
    let program = folder.join(name);
    if !program.is_file() {
        bail!(
            "{} is missing: `cargo xtask ceremony-demo` builds it, or name its folder by --bin-dir",
            program.display()
        );
    }
    // Participants run in folders of their own.
    program.canonicalize().with_context(|| format!("could not find {}", program.display()))
}

/// The whole show.
pub(super) async fn play(
    args: &CeremonyArgs,
    output: Output,
    layout: &Layout,
    running: &mut Running,
) -> Result<Report> {
    let started = Instant::now();
    let programs = Programs {
        ceremony: found(args, "limen-ceremony")?,
        node: found(args, "limen-node")?,
        coordinator: found(args, "limen-coordinator")?,
        recover: found(args, "limen-recover")?,
        this: std::env::current_exe().context("could not find this program's own file")?,
    };
    output.line(&format!("Limen ceremony demo, in {}", layout.root().display()));
    let house = House::make(layout.clone(), found(args, hsm::BRIDGE)?, &programs.recover)?;
    running.start_bridges(&house, output)?;
    running.wait_for_bridges(&house).await?;
    let keys = KEYS.get(usize::from(args.short)..).unwrap_or_default();
    let mut stage = Stage { output, house: &house, programs: &programs, keys, report: Report::default() };
    stage.done(
        "house",
        "5 people at 5 sites (2 with tokens), 5 signers on tokens, 2 witnesses, a coordinator, 3 custodians",
        started,
    );

    stage.ceremony(args, Purpose::Genesis).await?;
    let began = Instant::now();
    stage.install()?;
    running.start(&house, &programs, output)?;
    wait_until_ready(&house).await?;
    stage.done("cluster", "8 daemons began by the record of the genesis, and reach each other", began);
    for key in stage.keys {
        stage.ceremony(args, Purpose::Key(key)).await?;
    }
    stage.sign("for the first time, by 2 of 3").await?;
    for key in stage.keys {
        stage.hand_over(args, key, Purpose::Refresh, (2, FIRST)).await?;
    }
    stage.sign("with the refreshed shares").await?;
    for key in stage.keys {
        stage.hand_over(args, key, Purpose::Reshare, (3, PEOPLE.len())).await?;
    }
    stage.sign("by 3 of 5").await?;
    stage.back_up(args).await?;
    let present = stage.ask_for_drills(args).await?;
    stage.drill(args, running).await?;
    stage.lose(running).await?;
    stage.sign("by the 3 that are left").await?;
    stage.recover(args).await?;
    stage.destroy(args, &present).await?;
    stage.report.secs = started.elapsed().as_secs_f64();
    output.line(&format!("  done       everything above was checked; {:.1} s", stage.report.secs));
    Ok(stage.report)
}

impl Stage<'_> {
    fn done(&mut self, act: &str, what: &str, began: Instant) {
        let secs = began.elapsed().as_secs_f64();
        self.output.line(&format!("  {act:<10} {what} ({secs:.1} s)"));
        self.report.acts.push((format!("{act}: {what}"), secs));
    }

    async fn ceremony(&mut self, args: &CeremonyArgs, purpose: Purpose) -> Result<()> {
        let began = Instant::now();
        let ceremony = Ceremony::prepare(self.house, self.programs, purpose).await?;
        let mut held = ceremony.hold().await?;
        let what = format!("{}: {}; all have one record of {} bytes", held.ceremony, held.steps.join(", "), held.bytes);
        self.done("ceremony", &what, began);
        if held.proofs > 0 {
            let what = format!("{} proofs of custodians, signed, for which the order waited", held.proofs);
            self.done("proven", &what, began);
        }
        let began = Instant::now();
        ceremony.audit(&mut held, args.flips, args.seed).await?;
        let places: usize = held.flips_found.values().sum();
        let what = format!(
            "the record holds, offline, under 5 pinned keys; a bit turned over at {places} places: found each time, and the part \
             named of {} parts",
            held.flips_found.len()
        );
        self.done("verified", &what, began);
        self.report.ceremonies.push(held);
        Ok(())
    }

    /// Everybody puts their own record on the machines that they speak for.
    fn install(&self) -> Result<()> {
        let layout = &self.house.layout;
        let signers = PEOPLE.iter().map(|person| (person.id, person.signer()));
        let witnesses = WITNESSES.iter().map(|(site, _, person)| (*person, witness(site)));
        for (person, machine) in signers.chain(witnesses).chain([(CONDUCTOR, COORDINATOR.to_owned())]) {
            let record = layout.path(&format!("ceremonies/{}/{person}.record", Purpose::Genesis.id()));
            let record = std::fs::read(&record).with_context(|| format!("reading {}", record.display()))?;
            layout.write_private(&format!("{machine}/genesis.record"), &record)?;
        }
        Ok(())
    }

    async fn limen(&self, args: &[&str]) -> Result<Value> {
        limen(self.house, self.programs, CONDUCTOR, args).await
    }

    /// A message under each key; the command has verified what it prints.
    async fn sign(&mut self, when: &str) -> Result<()> {
        for Key { name: key, scheme, .. } in self.keys {
            let began = Instant::now();
            let message = format!("Limen ceremony demo: {key}, {when}");
            let mut args = vec!["sign", "--key", key];
            if scheme.starts_with("ecdsa") {
                args.extend(["--chain", CHAIN]);
            }
            args.push(&message);
            let signed = self.limen(&args).await?;
            let signature = signed.get("signature").and_then(Value::as_str);
            let signature = signature.with_context(|| format!("{key} did not sign: {signed}"))?.to_owned();
            let short: String = signature.chars().take(16).collect();
            self.done("signed", &format!("a message under {key} {when}: {short}…"), began);
            self.report.signatures.push(serde_json::json!({ "key": key, "message": message, "signature": signature }));
        }
        Ok(())
    }

    /// New shares by a ceremony: the public key stays, everything else of them does not.
    async fn hand_over(
        &mut self,
        args: &CeremonyArgs,
        key: &'static Key,
        purpose: fn(Known) -> Purpose,
        (required, total): (usize, usize),
    ) -> Result<()> {
        let before = self.limen(&["key", "show", key.name]).await?;
        self.ceremony(args, purpose(Known::read(key, &before)?)).await?;
        let began = Instant::now();
        let after = self.limen(&["key", "show", key.name]).await?;
        let key = key.name;
        for field in ["public_key", "chain_code"] {
            ensure!(before.get(field) == after.get(field), "{key} has another {field}: {after}");
        }
        ensure!(before.get("verifying_shares_hash") != after.get("verifying_shares_hash"), "{key} has the same shares");
        let number = |value: &Value, field: &str| value.get(field).and_then(Value::as_u64).unwrap_or_default();
        ensure!(number(&before, "epoch") < number(&after, "epoch"), "{key} is in no later epoch: {after}");
        let size = (number(&after, "signers_required"), number(&after, "signers_total"));
        let wanted = (u64::try_from(required)?, u64::try_from(total)?);
        ensure!(size == wanted, "{key} is {size:?}, not {wanted:?}");
        let epoch = number(&after, "epoch");
        let what = format!("{key}: {required}-of-{total} in epoch {epoch}, other shares, the same public key");
        self.done("shares", &what, began);
        self.report.keys.push(after);
        Ok(())
    }

    /// Every custodian shows for the record, while all look, that they have their pieces of all shares.
    async fn back_up(&mut self, args: &CeremonyArgs) -> Result<()> {
        let known = self.known(BACKED_UP).await?;
        let backups = custodians::backups(self.house, self.programs, (known.name(), known.epoch())).await?;
        self.ceremony(args, Purpose::Backup(known, backups)).await
    }

    /// A version of the charter that asks for a drill, by a ceremony; it tightens, and binds at once.
    async fn ask_for_drills(&mut self, args: &CeremonyArgs) -> Result<Version> {
        let shown = self.limen(&["key", "show", BACKED_UP]).await?;
        let public_key =
            shown.get("public_key").and_then(Value::as_str).context("limen key show says no public key")?;
        let drill = format!(
            "\n[[drills]]\nid = \"{DRILL}\"\nscenario = \"site-loss\"\nkey = \"{BACKED_UP}\"\npublic_key = \"{public_key}\"\n\
             every_days = {EVERY_DAYS}\ngrace_days = 14\nfrom = \"2026-01-01\"\n"
        );
        let parent = Version::first(self.house);
        let version = parent.next(self.house, |text| text + &drill)?;
        let draft = version.sign(self.house, self.programs, &parent).await?;
        let change = Change { version: version.clone(), parent, draft: draft.clone() };
        self.ceremony(args, Purpose::Change(Box::new(change))).await?;
        let began = Instant::now();
        version.bring_in(self.house, self.programs, (&draft, PEOPLE.len())).await?;
        self.done("charter", "version 2 asks for a drill every 90 days: in force at 5 signers", began);
        Ok(version)
    }

    /// A signer is off while the drill is held; every signer takes the record of it.
    async fn drill(&mut self, args: &CeremonyArgs, running: &mut Running) -> Result<()> {
        let name = off().context("nobody is off")?.signer();
        running.off(&name).await?;
        let known = self.known(BACKED_UP).await?;
        let purpose = Purpose::Drill(known);
        let record = self.house.layout.path(&format!("ceremonies/{}/{CONDUCTOR}.record", purpose.id()));
        self.ceremony(args, purpose).await?;
        running.on(self.house, self.programs, (&name, self.output))?;
        wait_until_ready(self.house).await?;
        let began = Instant::now();
        self.limen(&["drill", "file", &record.display().to_string()]).await?;
        // The coordinator tells what signers said last.
        let count = loop {
            let listed = self.limen(&["drill", "list"]).await?;
            let drills = listed.get("drills").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let held = |one: &&Value| one.get("held_ms").and_then(Value::as_u64).is_some_and(|held| held > 0);
            let count = drills.iter().filter(held).count();
            if count == PEOPLE.len() {
                break count;
            }
            ensure!(began.elapsed() < KNOWN_WITHIN, "{count} of {} signers know of the drill: {listed}", PEOPLE.len());
            tokio::time::sleep(LOOK).await;
        };
        self.done(
            "drill",
            &format!("held without {name}, whose process was stopped; {count} signers took the record"),
            began,
        );
        Ok(())
    }

    /// A key of the show as signers attest it now.
    async fn known(&self, name: &str) -> Result<Known> {
        let key = self.keys.iter().find(|key| key.name == name).with_context(|| format!("there is no key {name}"))?;
        Known::read(key, &self.limen(&["key", "show", name]).await?)
    }

    /// Without any signer: by what custodians have of the lost shares and of one other.
    async fn recover(&mut self, args: &CeremonyArgs) -> Result<()> {
        let began = Instant::now();
        let shown = self.limen(&["key", "show", BACKED_UP]).await?;
        let nodes: Vec<String> = lost().chain(PEOPLE.first()).map(Person::signer).collect();
        let message = format!("Limen ceremony demo: {BACKED_UP}, made whole by custodians");
        let signature = custodians::make_whole(self.house, self.programs, (&shown, &nodes), &message).await?;
        let short: String = signature.chars().take(16).collect();
        let what = format!(
            "{BACKED_UP} made whole by 2 of 3 custodians from the backups of {}, and refused to each of them alone; it signs for the \
             attested public key: {short}…",
            nodes.join(", ")
        );
        self.done("recovered", &what, began);
        self.report.recovered = serde_json::json!({ "key": BACKED_UP, "message": message, "signature": signature });
        let known = self.known(BACKED_UP).await?;
        self.ceremony(args, Purpose::Recovery(known)).await
    }

    /// The key comes to its end at the signers that are left, and by the custodians; the lost ones cannot say so, and are named.
    async fn destroy(&mut self, args: &CeremonyArgs, present: &Version) -> Result<()> {
        let began = Instant::now();
        let missing: Vec<String> = lost().map(Person::signer).collect();
        let left = PEOPLE.len().saturating_sub(missing.len());
        let known = self.known(BACKED_UP).await?;
        let end = destroy::destroy(self.house, self.programs, (BACKED_UP, left), present).await?;
        ensure!(end.destroyed == left, "{} signers of {left} have proven that they erased {BACKED_UP}", end.destroyed);
        ensure!(end.lacking == missing, "{:?} are told as lacking, {missing:?} were lost", end.lacking);
        let what = format!(
            "{BACKED_UP}, by two versions of the charter under 3 signatures each: {left} signers say, signed, that they erased it, \
             verified offline; {} were lost before and are named",
            missing.join(" and ")
        );
        self.done("destroyed", &what, began);
        self.report.destroyed = serde_json::json!({ "key": BACKED_UP, "by": end.destroyed, "lacking": end.lacking });
        self.ceremony(args, Purpose::Destruction(known, end.by)).await
    }

    /// Two sites burn down: process, store and token.
    async fn lose(&mut self, running: &mut Running) -> Result<()> {
        let began = Instant::now();
        let mut names = Vec::new();
        for person in lost() {
            let name = person.signer();
            running.lose(&name).await?;
            for folder in ["data", "hsm/tokens"] {
                let path = self.house.layout.path(&format!("{name}/{folder}"));
                std::fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
            }
            names.push(name);
        }
        self.done("lost", &format!("disk and token of {}", names.join(" and ")), began);
        Ok(())
    }
}
