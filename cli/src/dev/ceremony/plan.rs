//! The plans of the show, as somebody would write them, and what stands on their printed scripts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use limen_policy::ceremony::{Kind, Plan};
use limen_policy::date::{DAY_SECS, day};
use limen_wire::ids::CharterHash;
use limen_wire::keys::PublicKey;
use serde_json::Value;

use super::custodians::{BRING, Backup, CUSTODIANS};
use super::house::{CLUSTER, CONDUCTOR, FIRST, House, Key, PEOPLE, WITNESSES, lost, off, witness};
use super::versions::{SIGN, Version};
use crate::dev::layout::COORDINATOR;

/// How often the house holds its drill.
pub(super) const EVERY_DAYS: u64 = 90;

/// What a plan is for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// The first charter.
    Genesis,
    /// A key for the first committee.
    Key(&'static Key),
    /// New shares for the committee that a key has.
    Refresh(Known),
    /// New shares for all signers, any three of whom sign.
    Reshare(Known),
    /// Everybody's pieces of the backups of a key's shares.
    Backup(Known, Vec<Backup>),
    /// A version of the charter after another, with a quorum's signatures.
    Change(Box<Change>),
    /// One site is off, and the key signs.
    Drill(Known),
    /// The key made whole by two custodians.
    Recovery(Known),
    /// The end of a key, by this version of the charter, without the signers that are lost.
    Destruction(Known, CharterHash),
}

/// What a version of the charter follows, and who has signed it.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) version: Version,
    pub(super) parent: Version,
    /// The file with the quorum's signatures.
    pub(super) draft: PathBuf,
}

/// A key as `limen key show` prints it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    key: &'static Key,
    epoch: u64,
    table: String,
}

impl Known {
    /// The key's name.
    pub(super) const fn name(&self) -> &'static str {
        self.key.name
    }

    /// The epoch of the shares that it has.
    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Reads what the command has printed.
    pub(super) fn read(key: &'static Key, shown: &Value) -> Result<Self> {
        let text = |field: &str| {
            shown.get(field).and_then(Value::as_str).with_context(|| format!("limen key show says no {field}: {shown}"))
        };
        let number = |field: &str| {
            shown.get(field).and_then(Value::as_u64).with_context(|| format!("limen key show says no {field}: {shown}"))
        };
        let nodes = shown.get("nodes").context("limen key show says no nodes")?;
        let epoch = number("epoch")?;
        let table = format!(
            "\n[key]\nid = \"{}\"\nscheme = \"{}\"\nprotocol = \"{}\"\nsigners_required = {}\nnodes = {nodes}\n\
             public_key = \"{}\"\nepoch = {epoch}\nshares_sha256 = \"{}\"\n",
            text("key_id")?,
            text("scheme")?,
            text("protocol")?,
            number("signers_required")?,
            text("public_key")?,
            text("verifying_shares_hash")?
        );
        Ok(Self { key, epoch, table })
    }
}

impl Purpose {
    /// The ceremony's name, never used twice in a cluster.
    pub(super) fn id(&self) -> String {
        match self {
            Self::Genesis => "genesis-1".to_owned(),
            Self::Key(key) => format!("key-{}", key.name),
            Self::Refresh(known) => format!("refresh-{}-{}", known.key.name, known.epoch),
            Self::Reshare(known) => format!("reshare-{}-{}", known.key.name, known.epoch),
            Self::Backup(known, _) => format!("backup-{}-{}", known.key.name, known.epoch),
            Self::Change(change) => format!("charter-{}", change.version.number),
            Self::Drill(known) => format!("drill-{}", known.key.name),
            Self::Recovery(known) => format!("recovery-{}", known.key.name),
            Self::Destruction(known, _) => format!("destruction-{}", known.key.name),
        }
    }

    const fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Genesis => ("genesis", "Genesis of the house"),
            Self::Key(_) => ("key-generation", "A key for the house"),
            Self::Refresh(_) => ("refresh", "New shares for a key of the house"),
            Self::Reshare(_) => ("reshare", "A key of the house goes to five signers"),
            Self::Backup(..) => ("backup", "Backups of a key of the house"),
            Self::Change(_) => ("charter-change", "A version of the charter of the house"),
            Self::Drill(_) => ("drill", "A site of the house is lost, in play"),
            Self::Recovery(_) => ("recovery", "A key of the house is made whole"),
            Self::Destruction(..) => ("destruction", "A key of the house is destroyed"),
        }
    }
}

/// Signers as a list of TOML.
fn signers(many: usize) -> String {
    let names: Vec<String> = PEOPLE.iter().take(many).map(|person| format!("\"{}\"", person.signer())).collect();
    names.join(", ")
}

/// The text of a plan: the conductor's key and the software are those of today.
pub(super) fn text(house: &House, purpose: &Purpose, conductor: &PublicKey, software: &str) -> Result<String> {
    let (kind, title) = purpose.kind();
    let operators: Vec<String> = PEOPLE.iter().map(|person| format!("\"{}-operator\"", person.site)).collect();
    let mut out = format!(
        "version = 1\ncluster = \"{CLUSTER}\"\nceremony = \"{}\"\nkind = \"{kind}\"\ntitle = \"{title}\"\n\
         conflicts = [[{}]]\n\n[conductor]\nrole = \"conductor\"\npublic_key = \"{conductor}\"\n\
         \n[software]\nlimen_ceremony = [\"{software}\"]\n\
         \n[bounds]\nclock_window_secs = 120\ndisk_free_mib = 50\nstep_minutes = 3\n",
        purpose.id(),
        operators.join(", ")
    );
    for (person, credential) in PEOPLE.iter().zip(&house.credentials) {
        let name = person.id;
        write!(
            out,
            "\n[[people]]\nid = \"{name}\"\nname = \"{name}, of {0}\"\nsite = \"{0}\"\ncredential = \"{credential}\"\n",
            person.site
        )?;
    }
    roles(&mut out)?;
    if matches!(purpose, Purpose::Backup(..) | Purpose::Recovery(_) | Purpose::Destruction(..)) {
        for person in CUSTODIANS {
            let duty = "has a piece of each backup";
            write!(out, "\n[[roles]]\nid = \"{person}-custodian\"\nduty = \"{duty}\"\nholder = \"{person}\"\n")?;
        }
    }
    machines(&mut out, house)?;
    made(&mut out, house, purpose)?;
    kept(&mut out, purpose)?;
    Ok(out)
}

/// Parameters of the kinds that make charters, keys and shares.
fn made(out: &mut String, house: &House, purpose: &Purpose) -> Result<()> {
    match purpose {
        Purpose::Genesis => {
            let hash: CharterHash = limen_policy::charter::Charter::hash_of(&house.charter_text);
            write!(out, "\n[genesis]\ncharter_sha256 = \"{hash}\"\n")?;
        }
        Purpose::Key(Key { name, scheme, protocol }) => {
            write!(
                out,
                "\n[key_generation]\nkey = \"{name}\"\nscheme = \"{scheme}\"\nprotocol = \"{protocol}\"\nsigners_required = 2\n\
                 nodes = [{}]\norders = \"conductor\"\n",
                signers(FIRST)
            )?;
        }
        Purpose::Refresh(known) => write!(out, "{}\n[refresh]\norders = \"conductor\"\n", known.table)?,
        Purpose::Reshare(known) => {
            let nodes = signers(PEOPLE.len());
            write!(
                out,
                "{}\n[reshare]\nsigners_required = 3\nnodes = [{nodes}]\norders = \"conductor\"\n",
                known.table
            )?;
        }
        _ => {}
    }
    Ok(())
}

/// Parameters of the kinds that are about keys and charters that there are.
fn kept(out: &mut String, purpose: &Purpose) -> Result<()> {
    let custodians: Vec<String> = CUSTODIANS.iter().map(|person| format!("\"{person}-custodian\"")).collect();
    match purpose {
        Purpose::Backup(known, members) => {
            write!(out, "{}", known.table)?;
            for Backup { node, sha256, head_sha256, .. } in members {
                write!(
                    out,
                    "\n[[backup.members]]\nnode = \"{node}\"\nsha256 = \"{sha256}\"\nhead_sha256 = \"{head_sha256}\"\n\
                     custodians = [{}]\n",
                    custodians.join(", ")
                )?;
            }
        }
        Purpose::Change(change) => {
            let approvers: Vec<String> = SIGN.iter().map(|person| format!("\"{}\"", operator_of(person))).collect();
            write!(
                out,
                "\n[charter_change]\ncharter_sha256 = \"{}\"\nparent_sha256 = \"{}\"\nbrings = \"conductor\"\napprovers = [{}]\n",
                change.version.hash,
                change.parent.hash,
                approvers.join(", ")
            )?;
        }
        Purpose::Drill(known) => write!(
            out,
            "{}\n[drill]\nscenario = \"site-loss\"\nabsent = [\"{}\"]\noperator = \"conductor\"\nnext_due = \"{}\"\n",
            known.table,
            off().context("nobody is off")?.signer(),
            due_again()?
        )?,
        Purpose::Recovery(known) => {
            let bring: Vec<String> = BRING.iter().map(|person| format!("\"{person}-custodian\"")).collect();
            write!(
                out,
                "{}\n[recovery]\ncustodians = [{}]\noperator = \"conductor\"\n",
                known.table,
                bring.join(", ")
            )?;
        }
        Purpose::Destruction(known, retired_by) => {
            let lost: Vec<String> = lost().map(|person| format!("\"{}\"", person.signer())).collect();
            write!(
                out,
                "{}\n[destruction]\nretired_by = \"{retired_by}\"\ncustodians = [{}]\nlost = [{}]\n",
                known.table,
                custodians.join(", "),
                lost.join(", ")
            )?;
        }
        _ => {}
    }
    Ok(())
}

/// The role by which somebody speaks for their signer.
fn operator_of(person: &str) -> String {
    let site = PEOPLE.iter().find(|one| one.id == person).map_or("", |one| one.site);
    format!("{site}-operator")
}

/// The day on which the drill is due once more, as the charter has it.
fn due_again() -> Result<String> {
    let at = (limen_client::now_secs() / DAY_SECS).saturating_add(EVERY_DAYS);
    let days = |month: String| (1..=31).map(move |day| format!("{month}-{day:02}"));
    let months = |year: u32| (1..=12).map(move |month| format!("{year}-{month:02}"));
    let found = (2026..2199).flat_map(months).flat_map(days).find(|text| day(text) == Some(at));
    found.context("the clock is beyond the calendar")
}

fn roles(out: &mut String) -> Result<()> {
    let mut role = |id: &str, duty: &str, holder: &str| {
        write!(out, "\n[[roles]]\nid = \"{id}\"\nduty = \"{duty}\"\nholder = \"{holder}\"\n")
    };
    role("conductor", "reads the script out, keeps the board and the coordinator's identity, orders keys", CONDUCTOR)?;
    for person in &PEOPLE {
        role(&format!("{}-operator", person.site), &format!("speaks for the signer in {}", person.site), person.id)?;
    }
    for (site, _, holder) in WITNESSES {
        role(&format!("{site}-operator"), &format!("speaks for the witness in {site}"), holder)?;
    }
    Ok(())
}

fn machines(out: &mut String, house: &House) -> Result<()> {
    let mut machine = |id: &str, kind: &str, site: &str, key: &PublicKey, operator: &str| {
        write!(
            out,
            "\n[[machines]]\nid = \"{id}\"\nkind = \"{kind}\"\nsite = \"{site}\"\npublic_key = \"{key}\"\noperator = \"{operator}\"\n"
        )
    };
    let mut keys = house.machines.iter().map(|(_, key)| key);
    for person in &PEOPLE {
        let key = keys.next().context("a signer for each person")?;
        machine(&person.signer(), "signer", person.site, key, &format!("{}-operator", person.site))?;
    }
    for (site, ..) in WITNESSES {
        let key = keys.next().context("a machine for each witness")?;
        machine(&witness(site), "witness", site, key, &format!("{site}-operator"))?;
    }
    machine(COORDINATOR, "coordinator", "oslo", &house.coordinator, "conductor")?;
    Ok(())
}

/// Words that somebody reads off the printed script, by the name of the line that they are typed for.
pub(super) fn printed(script: &str, plan: &Plan) -> Result<BTreeMap<String, String>> {
    let between = |text: &str, before: &str, after: &str| -> Option<String> {
        let (_, rest) = text.split_once(before)?;
        Some(rest.split_once(after)?.0.to_owned())
    };
    let plan_words =
        between(script, "<p>The plan's words: <b>", "</b>").context("the script has no words of the plan")?;
    let mut printed = BTreeMap::from([("plan-words".to_owned(), plan_words)]);
    if plan.charter().is_some() {
        let (_, after) = script.split_once("charter, SHA-256").context("the script names no charter")?;
        let row = between(after, "its words", "</tr>").context("the script has no words of the charter")?;
        // What stands between the marks of the table.
        let words: String = row.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
        printed.insert("charter-words".to_owned(), words.trim().to_owned());
    }
    if let Kind::Destruction(_) = &plan.kind {
        let (_, row) = script.split_once("<td>charter-words</td>").context("the script has no words of the charter")?;
        let words = between(row, "here it stands as: ", "</td>").context("the script has no words of the charter")?;
        printed.insert("charter-words".to_owned(), words);
    }
    Ok(printed)
}
