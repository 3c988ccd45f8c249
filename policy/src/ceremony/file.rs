//! The text form of a plan. Every key is listed here and in [`tables`]; unknown keys are refused.

mod kinds;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use limen_wire::ids::{CeremonyId, ClusterId, NodeId, PersonId, RoleId};
use limen_wire::keys::PublicKey;
use serde::Deserialize;

use super::{
    Bounds, Conductor, MAX_BYTES, MAX_PEOPLE, Machine, MachineKind, Participant, Plan, Problem, Role, check, hides,
};

/// Longest name, title or duty, in bytes.
const MAX_TEXT: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    cluster: String,
    ceremony: String,
    kind: String,
    title: String,
    conductor: FileConductor,
    software: FileSoftware,
    bounds: FileBounds,
    people: Vec<FilePerson>,
    roles: Vec<FileRole>,
    #[serde(default)]
    conflicts: Vec<Vec<String>>,
    machines: Vec<FileMachine>,
    #[serde(default)]
    genesis: Option<tables::FileGenesis>,
    #[serde(default)]
    key_generation: Option<tables::FileKeyGeneration>,
    #[serde(default)]
    key: Option<tables::FileKey>,
    #[serde(default)]
    refresh: Option<tables::FileRefresh>,
    #[serde(default)]
    reshare: Option<tables::FileReshare>,
    #[serde(default)]
    charter_change: Option<tables::FileCharterChange>,
    #[serde(default)]
    destruction: Option<tables::FileDestruction>,
    #[serde(default)]
    recovery: Option<tables::FileRecovery>,
    #[serde(default)]
    drill: Option<tables::FileDrill>,
    #[serde(default)]
    backup: Option<tables::FileBackup>,
    #[serde(default)]
    kek_rotation: Option<tables::FileKekRotation>,
    #[serde(default)]
    identity_rotation: Option<tables::FileIdentityRotation>,
    #[serde(default)]
    to: Option<tables::FileKey>,
    #[serde(default)]
    sweep: Option<tables::FileSweep>,
}

impl File {
    /// The tables of kinds, each with its name.
    fn tables(&mut self) -> tables::Tables {
        tables::Tables {
            genesis: self.genesis.take(),
            key_generation: self.key_generation.take(),
            key: self.key.take(),
            refresh: self.refresh.take(),
            reshare: self.reshare.take(),
            charter_change: self.charter_change.take(),
            destruction: self.destruction.take(),
            recovery: self.recovery.take(),
            drill: self.drill.take(),
            backup: self.backup.take(),
            kek_rotation: self.kek_rotation.take(),
            identity_rotation: self.identity_rotation.take(),
            to: self.to.take(),
            sweep: self.sweep.take(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileConductor {
    role: String,
    public_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSoftware {
    limen_ceremony: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileBounds {
    clock_window_secs: u64,
    disk_free_mib: u64,
    step_minutes: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePerson {
    id: String,
    name: String,
    site: String,
    credential: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRole {
    id: String,
    duty: String,
    holder: String,
    #[serde(default)]
    stand_ins: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMachine {
    id: String,
    kind: MachineKind,
    site: String,
    public_key: String,
    #[serde(default)]
    former_keys: Vec<String>,
    operator: String,
}

/// Gathers everything that is wrong instead of stopping at the first.
#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn add(&mut self, place: &str, message: impl Display) {
        self.problems.push(Problem::new(place, message.to_string()));
    }

    fn take<T, E: Display>(&mut self, place: &str, made: Result<T, E>) -> Option<T> {
        made.map_err(|error| self.add(place, error)).ok()
    }

    /// Text for people: one line that prints as itself.
    fn line(&mut self, place: &str, text: String) -> String {
        if text.is_empty() || text.len() > MAX_TEXT || text.chars().any(hides) || text.trim() != text {
            self.add(place, format!("{text:?} must be one line of 1 to {MAX_TEXT} bytes without blanks around it"));
        }
        text
    }

    fn list<T, R>(&mut self, raw: Vec<R>, mut read: impl FnMut(&mut Self, R) -> Option<T>) -> Vec<T> {
        raw.into_iter().filter_map(|one| read(self, one)).collect()
    }

    fn person(&mut self, raw: FilePerson) -> Option<Participant> {
        let place = format!("person {:?}", raw.id);
        let id = self.take(&place, PersonId::new(raw.id));
        let credential = self.take(&place, raw.credential.parse::<PublicKey>());
        let (name, site) = (self.line(&place, raw.name), self.line(&place, raw.site));
        Some(Participant { id: id?, name, site, credential: credential? })
    }

    fn role(&mut self, raw: FileRole) -> Option<Role> {
        let place = format!("role {:?}", raw.id);
        let id = self.take(&place, RoleId::new(raw.id));
        let holder = self.take(&place, PersonId::new(raw.holder));
        let stand_ins = self.list(raw.stand_ins, |reader, one| reader.take(&place, PersonId::new(one)));
        let duty = self.line(&place, raw.duty);
        Some(Role { id: id?, duty, holder: holder?, stand_ins })
    }

    fn machine(&mut self, raw: FileMachine) -> Option<Machine> {
        let place = format!("machine {:?}", raw.id);
        let id = self.take(&place, NodeId::new(raw.id));
        let public_key = self.take(&place, raw.public_key.parse::<PublicKey>());
        let operator = self.take(&place, RoleId::new(raw.operator));
        let site = self.line(&place, raw.site);
        let former_keys = self.list(raw.former_keys, |reader, one| reader.take(&place, one.parse::<PublicKey>()));
        Some(Machine { id: id?, kind: raw.kind, site, public_key: public_key?, former_keys, operator: operator? })
    }

    fn software(&mut self, raw: Vec<String>) -> BTreeSet<String> {
        for hash in &raw {
            // A plan hash has the form of every SHA-256 here.
            self.take("software.limen_ceremony", hash.parse::<limen_wire::ids::PlanHash>());
        }
        if raw.is_empty() {
            self.add(
                "software.limen_ceremony",
                "no executable may take part: name the SHA-256 of the one that you reviewed",
            );
        }
        raw.into_iter().collect()
    }

    fn bounds(&mut self, raw: &FileBounds) -> Bounds {
        let FileBounds { clock_window_secs, disk_free_mib, step_minutes } = *raw;
        if !(10..=3600).contains(&clock_window_secs) {
            self.add("bounds.clock_window_secs", "10 to 3600 seconds are possible");
        }
        if !(1..=1_048_576).contains(&disk_free_mib) {
            self.add("bounds.disk_free_mib", "1 to 1048576 MiB are possible");
        }
        if !(1..=1440).contains(&step_minutes) {
            self.add("bounds.step_minutes", "1 to 1440 minutes are possible");
        }
        Bounds { clock_window_secs, disk_free_mib, step_minutes }
    }
}

pub(super) fn read(text: &str) -> Result<Plan, Vec<Problem>> {
    if text.len() > MAX_BYTES {
        return Err(vec![Problem::new("the plan", format!("{} bytes, at most {MAX_BYTES} are read", text.len()))]);
    }
    // Records carry the plan line by line: one that does not end a line, or hides something in it, would not come back.
    let hidden = |c: char| hides(c) && c != '\n';
    if !text.ends_with('\n') || text.chars().any(hidden) {
        let message = "it must end with a new line and have no control character in it, such as a tab or a carriage return, and none that \
             hides or turns others";
        return Err(vec![Problem::new("the plan", message)]);
    }
    let file: File = toml::from_str(text).map_err(|error| vec![Problem::new("the plan", error.to_string())])?;
    if file.version != 1 {
        let message = format!("format version {}; this release reads version 1", file.version);
        return Err(vec![Problem::new("the plan", message)]);
    }
    let mut reader = Reader::default();
    let plan = build(&mut reader, file, text);
    if let Some(plan) = &plan {
        check::fits(plan, &mut |place, message| reader.problems.push(Problem::new(place, message)));
    }
    match plan {
        Some(plan) if reader.problems.is_empty() => Ok(plan),
        _ => {
            reader.problems.sort();
            reader.problems.dedup();
            Err(reader.problems)
        }
    }
}

fn build(reader: &mut Reader, mut file: File, text: &str) -> Option<Plan> {
    let tables = file.tables();
    let cluster = reader.take("cluster", ClusterId::new(file.cluster));
    let id = reader.take("ceremony", CeremonyId::new(file.ceremony));
    let title = reader.line("title", file.title);
    let kind = reader.kind(&file.kind, tables);
    if file.people.len() > MAX_PEOPLE {
        reader.add("people", format!("{} people, at most {MAX_PEOPLE} are possible", file.people.len()));
    }
    let people = reader.list(file.people, Reader::person);
    // A name that stands twice is found below, as a person whose key differs or stands twice.
    let count = people.len();
    let people: BTreeMap<PersonId, Participant> = people.into_iter().map(|one| (one.id.clone(), one)).collect();
    if people.len() != count {
        reader.add("people", "somebody stands there twice");
    }
    let roles = reader.list(file.roles, Reader::role);
    let conflicts = reader.list(file.conflicts, |reader, raw| {
        let roles = reader.list(raw, |reader, one| reader.take("conflicts", RoleId::new(one)));
        Some(roles.into_iter().collect::<BTreeSet<_>>())
    });
    let machines = reader.list(file.machines, Reader::machine);
    let role = reader.take("conductor.role", RoleId::new(file.conductor.role));
    let public_key = reader.take("conductor.public_key", file.conductor.public_key.parse::<PublicKey>());
    let software = reader.software(file.software.limen_ceremony);
    let bounds = reader.bounds(&file.bounds);
    Some(Plan {
        hash: Plan::hash_of(text),
        text: text.to_owned(),
        cluster: cluster?,
        id: id?,
        title,
        kind: kind?,
        people: people.into_values().collect(),
        roles,
        conflicts,
        conductor: Conductor { role: role?, public_key: public_key? },
        software,
        machines,
        bounds,
    })
}
