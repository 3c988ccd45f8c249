//! Six processes over TLS: the conductor and five people, each with their own key, stdin and journal.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use limen_evidence::ceremony::{GenesisError, may_begin};
use limen_policy::approval::words::words_of;
use limen_policy::ceremony::Plan;
use limen_policy::charter::Charter;
use limen_wire::effects::sha256;
use limen_wire::keys::SigningKey;

use crate::plans::{CHARTER, GENESIS};

const PEOPLE: [&str; 5] = ["anna", "boris", "carla", "dora", "emil"];
const PROGRAM: &str = env!("CARGO_BIN_EXE_limen-ceremony");

/// The ready plan with keys whose private halves lie in files here.
struct House {
    folder: tempfile::TempDir,
    plan: Plan,
    keys: BTreeMap<String, String>,
}

fn put(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let real = Plan::from_toml(GENESIS).unwrap();
        let (mut plan, mut charter) = (GENESIS.to_owned(), CHARTER.to_owned());
        let mut keys = BTreeMap::new();
        let mut new_key = |name: &str, before: String, kind: &'static rcgen::SignatureAlgorithm| {
            let pem = rcgen::KeyPair::generate_for(kind).unwrap().serialize_pem();
            put(&folder.path().join(format!("{name}.pem")), &pem);
            let key = SigningKey::from_pkcs8_pem(&pem).unwrap().public_key().to_string();
            plan = plan.replace(&before, &key);
            charter = charter.replace(&before, &key);
            keys.insert(name.to_owned(), key);
        };
        for person in &real.people {
            new_key(person.id.as_str(), person.credential.to_string(), &rcgen::PKCS_ED25519);
        }
        for machine in &real.machines {
            new_key(machine.id.as_str(), machine.public_key.to_string(), &rcgen::PKCS_ECDSA_P256_SHA256);
        }
        let made =
            Command::new(PROGRAM).args(["conductor-key", "conductor"]).current_dir(folder.path()).output().unwrap();
        let made = String::from_utf8(made.stdout).unwrap();
        let conductor = made.trim().strip_prefix("public_key = \"").and_then(|rest| rest.strip_suffix('"')).unwrap();
        let program = hex::encode(sha256(&std::fs::read(PROGRAM).unwrap()));
        let plan = plan
            .replace(&real.conductor.public_key.to_string(), conductor)
            .replace(&real.charter().unwrap().to_string(), &Charter::hash_of(&charter).to_string())
            .replace(real.software.first().unwrap(), &program);
        put(&folder.path().join("plan.toml"), &plan);
        put(&folder.path().join("charter.toml"), &charter);
        Self { folder, plan: Plan::from_toml(&plan).unwrap(), keys }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    fn conduct(&self, more: &[&str]) -> (Child, String) {
        let mut args =
            vec!["run", "plan.toml", "--charter", "charter.toml", "--listen", "127.0.0.1:0", "--identity", "conductor"];
        args.extend(["--board", "board.journal", "--record", "conductor.record", "--linger-secs", "5"]);
        args.extend(more);
        let mut child = self.command(&args).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.strip_prefix("the board is open at ").unwrap_or_else(|| panic!("{line:?}"));
        let address = address.split(' ').next().unwrap().to_owned();
        (child, address)
    }

    fn join(&self, verb: &str, address: &str, name: &str, plan: &str) -> Child {
        let own = |suffix: &str| format!("{name}.{suffix}");
        let (key, journal, record) = (own("pem"), own("journal"), own("record"));
        let mut args: Vec<String> = [verb, plan, "--charter", "charter.toml", "--conductor", address, "--as", name]
            .into_iter()
            .chain(["--key", &key, "--journal", &journal, "--record", &record])
            .map(str::to_owned)
            .collect();
        let theirs = |machine: &&limen_policy::ceremony::Machine| {
            self.plan.role(&machine.operator).is_some_and(|role| role.holder.as_str() == name)
        };
        for machine in self.plan.machines.iter().filter(theirs) {
            args.extend(["--machine".to_owned(), format!("{0}={0}.pem", machine.id)]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.command(&args).spawn().unwrap()
    }

    fn charter_words(&self) -> String {
        words_of("charter", self.plan.charter().unwrap().as_bytes()).join(" ")
    }

    /// Everything that a person types in a genesis, from a step on.
    fn answers(&self, from: usize) -> String {
        let (plan, charter) = (self.plan.words(), self.charter_words());
        [format!("{plan}\n"), "yes\n".to_owned(), String::new(), format!("{charter}\n"), "yes\n".to_owned()][from..]
            .concat()
    }
}

fn answer(child: &mut Child, text: &str) {
    // A process that is over reads no more.
    child.stdin.as_mut().unwrap().write_all(text.as_bytes()).ok();
}

/// Reads what a process says until it says this.
fn until(reader: &mut BufReader<ChildStderr>, text: &str) {
    let mut line = String::new();
    while !line.contains(text) {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "it ended without saying {text:?}");
    }
}

#[test]
fn a_genesis_of_five_processes_comes_to_one_record_though_one_is_killed_in_the_middle() {
    let house = House::new();
    let checked = house.output(&["plan", "check", "plan.toml", "--charter", "charter.toml"]);
    assert!(checked.status.success(), "{}", said(&checked));
    // Boris has signed the plan the day before.
    let mut signing = house
        .command(&[
            "sign",
            "plan.toml",
            "--charter",
            "charter.toml",
            "--as",
            "boris",
            "--key",
            "boris.pem",
            "--out",
            "boris.signed",
        ])
        .spawn()
        .unwrap();
    answer(&mut signing, &format!("{}\n", house.plan.words()));
    let signed = signing.wait_with_output().unwrap();
    assert!(signed.status.success(), "{}", said(&signed));

    let (conductor, address) = house.conduct(&["--signed", "boris.signed"]);
    let mut anna = house.join("join", &address, "anna", "plan.toml");
    answer(&mut anna, &format!("{}\n", house.plan.words()));
    let mut people: Vec<(&str, Child)> =
        PEOPLE[1..].iter().map(|name| (*name, house.join("join", &address, name, "plan.toml"))).collect();
    for (name, child) in &mut people {
        answer(child, &house.answers(usize::from(*name == "boris")));
    }
    // Anna's machine dies when she has signed the plan and is asked for more.
    let mut reader = BufReader::new(anna.stderr.take().unwrap());
    until(&mut reader, "step 2 (pre-flight)");
    anna.kill().unwrap();
    anna.wait().unwrap();
    let noted = house.output(&["exception", "--journal", "anna.journal", "Anna's machine went dark in step 2"]);
    assert!(noted.status.success(), "{}", said(&noted));
    let mut anna = house.join("resume", &address, "anna", "plan.toml");
    answer(&mut anna, &house.answers(1));
    people.push(("anna", anna));

    let mut records = Vec::new();
    for (name, child) in people {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: {}", said(&output));
        records.push(std::fs::read(house.path(&format!("{name}.record"))).unwrap());
    }
    let conducted = conductor.wait_with_output().unwrap();
    assert!(conducted.status.success(), "{}", said(&conducted));
    records.push(std::fs::read(house.path("conductor.record")).unwrap());
    assert!(records.iter().all(|record| *record == records[0]), "all have the same record");
    let text = String::from_utf8(records[0].clone()).unwrap();
    assert!(text.contains("\n| exception Anna's machine went dark in step 2\n"));
    is_verified(&house, text);
    admits(&house, &records[0]);
}

/// By the command, with and without pins.
fn is_verified(house: &House, mut text: String) {
    let pins: Vec<String> = PEOPLE.iter().map(|name| format!("--pin={name}={}", house.keys[*name])).collect();
    let verify = |pins: &[String]| {
        let mut args = vec!["verify", "anna.record"];
        args.extend(pins.iter().map(String::as_str));
        house.output(&args)
    };
    let good = verify(&pins);
    assert!(good.status.success() && said(&good).contains("the record holds"), "{}", said(&good));
    assert!(said(&verify(&[])).contains("NOTHING IS PINNED") && !verify(&[]).status.success());
    assert!(said(&verify(&pins[1..])).contains("NOT PINNED: anna") && !verify(&pins[1..]).status.success());
    let other = pins[0].replace(&house.keys["anna"], &house.keys["boris"]);
    assert!(said(&verify(&[other])).contains("is pinned"));
    let twice = verify(&[pins.clone(), pins[..1].to_vec()].concat());
    assert!(said(&twice).contains("anna is pinned already") && !twice.status.success(), "{}", said(&twice));
    let shown = house.output(&["record", "show", "anna.record"]);
    assert!(said(&shown).contains("EXCEPTION  Anna's machine went dark"), "{}", said(&shown));
    let report = house.output(&["report", "anna.record"]);
    assert!(said(&report).contains("Anna&#39;s machine") || said(&report).contains("Anna's machine"));
    let at = text.find("\n| step 3 machines\n").unwrap();
    text.replace_range(at + 3..at + 4, "S");
    std::fs::write(house.path("anna.record"), text).unwrap();
    assert!(said(&verify(&pins)).contains("in step 3 (machines)"), "{}", said(&verify(&pins)));
}

/// What signers, witness and coordinator ask before they begin.
fn admits(house: &House, record: &[u8]) {
    let charter = Charter::from_toml(&std::fs::read_to_string(house.path("charter.toml")).unwrap()).unwrap();
    for machine in &house.plan.machines {
        assert_eq!(may_begin(&charter, Some(record), &machine.id, &machine.public_key), Ok(()));
        assert_eq!(may_begin(&charter, None, &machine.id, &machine.public_key), Err(GenesisError::NoRecord));
    }
}

#[test]
fn a_plan_that_was_swapped_for_one_process_ends_it_for_all_with_the_cause() {
    let house = House::new();
    let swapped = house.plan.text().replace("disk_free_mib = 100", "disk_free_mib = 99");
    put(&house.path("swapped.toml"), &swapped);
    let other_words = Plan::from_toml(&swapped).unwrap().words();
    let (conductor, address) = house.conduct(&[]);
    let mut people: Vec<(&str, Child)> = PEOPLE
        .iter()
        .map(|name| {
            (*name, house.join("join", &address, name, if *name == "carla" { "swapped.toml" } else { "plan.toml" }))
        })
        .collect();
    for (name, child) in &mut people {
        let words = if *name == "carla" { other_words.clone() } else { house.plan.words() };
        answer(child, &format!("{words}\n"));
    }
    for (name, mut child) in people {
        let mut shown = String::new();
        child.stderr.as_mut().unwrap().read_to_string(&mut shown).unwrap();
        assert!(!child.wait().unwrap().success(), "{name} completed it");
        assert!(shown.contains("SPLIT VIEW"), "{name}: {shown}");
    }
    let conducted = conductor.wait_with_output().unwrap();
    assert!(!conducted.status.success() && said(&conducted).contains("SPLIT VIEW"), "{}", said(&conducted));
}

#[test]
fn a_process_with_other_software_than_the_plan_names_ends_it_for_all() {
    let mut house = House::new();
    let program = house.plan.software.first().unwrap().clone();
    let text = house.plan.text().replace(&program, &"ab".repeat(32));
    put(&house.path("plan.toml"), &text);
    house.plan = Plan::from_toml(&text).unwrap();
    let (mut conductor, address) = house.conduct(&[]);
    let mut people: Vec<Child> = PEOPLE.iter().map(|name| house.join("join", &address, name, "plan.toml")).collect();
    for child in &mut people {
        answer(child, &house.answers(0));
    }
    for child in people {
        let output = child.wait_with_output().unwrap();
        assert!(!output.status.success(), "{}", said(&output));
        assert!(
            said(&output).contains("software: ") && said(&output).contains("none of those that the plan allows"),
            "{}",
            said(&output)
        );
    }
    conductor.kill().unwrap();
    conductor.wait().unwrap();
}

#[test]
fn a_rehearsal_is_the_whole_path_and_its_record_does_not_count() {
    let house = House::new();
    let played = house.output(&[
        "rehearse",
        "plan.toml",
        "--charter",
        "charter.toml",
        "--absent",
        "anna",
        "--record",
        "practice.record",
    ]);
    assert!(played.status.success(), "{}", said(&played));
    let verified = house.output(&["verify", "practice.record", "--allow-unpinned"]);
    assert!(!verified.status.success() && said(&verified).contains("REHEARSAL"), "{}", said(&verified));
    let shown = house.output(&["verify", "practice.record", "--allow-unpinned", "--allow-rehearsal"]);
    assert!(shown.status.success(), "{}", said(&shown));
    let script = house.output(&["script", "plan.toml", "--charter", "charter.toml", "--absent", "anna"]);
    assert!(said(&script).contains("Sheet of role zurich-operator: dora"), "{}", said(&script));
}
