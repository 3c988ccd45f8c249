//! Custodians of backups: identities of their own, proofs while an order waits for them, and what they know of earlier epochs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use limen_wire::keys::PublicKey;
use serde_json::Value;

use super::cluster::limen;
use super::conduct::{Programs, output};
use super::house::{CONDUCTOR, House, PEOPLE, Person, lost};
use crate::dev::layout::Layout;
use crate::dev::people;

/// The key that they have pieces of: the one that a short show has, too.
pub(super) const BACKED_UP: &str = "messages";
/// Each of them has a piece of every share. Whose credential lies in a token is none of them: proofs are signed by a key in a file.
pub(super) const CUSTODIANS: [&str; 3] = ["anna", CONDUCTOR, "emil"];
/// So many of them give a share.
const PIECES: usize = 2;
/// Who brings their pieces to the offline machine.
pub(super) const BRING: [&str; PIECES] = ["anna", "emil"];
/// Between two looks at who has still to prove.
const LOOK: Duration = Duration::from_millis(200);

fn identity(layout: &Layout, person: &str) -> PathBuf {
    layout.path(&format!("people/{person}/age.txt"))
}

fn kept(layout: &Layout, person: &str) -> PathBuf {
    layout.path(&format!("people/{person}/backups"))
}

fn file_name(key: &str, epoch: u64, node: &str) -> String {
    format!("{key}-{epoch}-{node}.backup")
}

/// Everybody makes an identity; their recipients as a table of the charter.
pub(super) fn table(layout: &Layout, recover: &Path) -> Result<String> {
    let mut custodians = Vec::new();
    for person in CUSTODIANS {
        std::fs::create_dir_all(kept(layout, person)).with_context(|| format!("the folder of {person}"))?;
        let made = Command::new(recover).args(["identity", "--out"]).arg(identity(layout, person)).output();
        let made = made.with_context(|| format!("could not start {}", recover.display()))?;
        let said = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "limen-recover identity ended with {}: {}", made.status, said.trim());
        let recipient = String::from_utf8(made.stdout).context("a recipient is text")?;
        custodians.push(format!("  {{ person = \"{person}\", recipient = \"{}\" }},\n", recipient.trim()));
    }
    let mut out = format!(
        "\n[[backups]]\nvaults = [\"letters\"]\nsigners_required = 2\npieces_required = {PIECES}\npeople_required = 2\n\
         proof_max_age_secs = 7776000\n[backups.custodians]\n"
    );
    for person in &PEOPLE {
        write!(out, "{} = [\n{}]\n", person.signer(), custodians.concat())?;
    }
    Ok(out)
}

/// Custodians remove what they have of backups of a key; what each says that they did.
pub(super) fn destroy(layout: &Layout, key: &str) -> Result<BTreeMap<String, String>> {
    let mut said = BTreeMap::new();
    for person in CUSTODIANS {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(kept(layout, person))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&format!("{key}-")) {
                std::fs::remove_file(entry.path()).with_context(|| format!("removing {name} of {person}"))?;
                names.push(name);
            }
        }
        names.sort();
        ensure!(!names.is_empty(), "{person} has no piece of {key}");
        said.insert(person.to_owned(), format!("removed {}", names.join(", ")));
    }
    Ok(said)
}

/// What custodians say when they are asked for copies of earlier epochs: the files that they have before new shares are ordered.
pub(super) fn told(layout: &Layout, key: &str) -> Result<BTreeMap<String, String>> {
    let mut told = BTreeMap::new();
    for person in CUSTODIANS {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(kept(layout, person))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let name = name.strip_suffix(".backup").filter(|name| name.starts_with(&format!("{key}-")));
            names.extend(name.map(str::to_owned));
        }
        names.sort();
        if !names.is_empty() {
            told.insert(person.to_owned(), format!("a piece in each of {}", names.join(", ")));
        }
    }
    Ok(told)
}

/// What signers have said of the backups of one key, newer than an epoch and not dead.
fn fresh(listed: &Value, above: u64) -> Vec<&Value> {
    let all = listed.get("backups").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let number = |one: &Value| one.get("epoch").and_then(Value::as_u64).unwrap_or_default();
    all.iter().filter(|one| number(one) > above && text(one, "state") != "dead").collect()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether this custodian has not proven yet.
fn owes(record: &Value, person: &str) -> bool {
    let custodians = record.get("custodians").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    custodians
        .iter()
        .any(|one| text(one, "person") == person && one.get("proven_at_ms").and_then(Value::as_u64) == Some(0))
}

/// Custodians at work while an order waits for them: until so many signers have all proofs of a backup above that epoch. Returns how many
/// proofs were taken.
pub(super) async fn prove(house: &House, programs: &Programs, (members, above): (usize, u64)) -> Result<usize> {
    let mut taken: usize = 0;
    loop {
        let listed = limen(house, programs, CONDUCTOR, &["backup", "list", BACKED_UP]).await?;
        let records = fresh(&listed, above);
        if records.iter().filter(|one| text(one, "state") == "proven").count() >= members {
            return Ok(taken);
        }
        let asked: Vec<&Value> = records
            .into_iter()
            .filter(|one| text(one, "state") == "unproven" && !text(one, "nonce").is_empty())
            .collect();
        let [first, second, third] = CUSTODIANS.map(|person| prove_all(house, programs, person, &asked));
        let (first, second, third) = tokio::try_join!(first, second, third)?;
        taken = taken.saturating_add(first).saturating_add(second).saturating_add(third);
        tokio::time::sleep(LOOK).await;
    }
}

/// One custodian: fetches the files, tries their piece in each, and hands the signed proofs in.
async fn prove_all(house: &House, programs: &Programs, person: &str, asked: &[&Value]) -> Result<usize> {
    let mut proofs = Vec::new();
    for record in asked.iter().filter(|record| owes(record, person)) {
        let (node, epoch) = (text(record, "node"), record.get("epoch").and_then(Value::as_u64).unwrap_or_default());
        let file = kept(&house.layout, person).join(file_name(BACKED_UP, epoch, node));
        if !file.exists() {
            let (epoch, out) = (epoch.to_string(), file.display().to_string());
            let args = ["backup", "fetch", BACKED_UP, "--node", node, "--epoch", &epoch, "--out", &out];
            limen(house, programs, person, &args).await?;
        }
        let said = try_piece(&house.layout, programs, person, (&file, text(record, "nonce"), node)).await?;
        let proof = file.with_extension("proof");
        std::fs::write(&proof, said).with_context(|| format!("writing {}", proof.display()))?;
        proofs.push(proof.display().to_string());
    }
    if !proofs.is_empty() {
        let args: Vec<&str> = ["backup", "prove"].into_iter().chain(proofs.iter().map(String::as_str)).collect();
        limen(house, programs, person, &args).await?;
    }
    Ok(proofs.len())
}

/// Somebody's piece decrypted, apart from everything, for this question of this node; what is printed of that.
async fn try_piece(
    layout: &Layout,
    programs: &Programs,
    person: &str,
    (file, nonce, node): (&Path, &str, &str),
) -> Result<String> {
    let mut check = programs.command(&programs.recover);
    check.arg("check").arg(file).args(["--holder", person, "--identity"]).arg(identity(layout, person));
    check.args(["--nonce", nonce, "--asked-by", node, "--sign-as"]).arg(people::credential(person));
    check.arg("--key").arg(layout.path(&format!("people/{person}/credential.pem")));
    output(&mut check, &format!("limen-recover check by {person} for {node}")).await
}

/// A member's backup that custodians have fetched, as `limen-recover show` names it.
#[derive(Debug, Clone)]
pub(super) struct Backup {
    pub(super) node: String,
    pub(super) sha256: String,
    pub(super) head_sha256: String,
    file: String,
}

impl Backup {
    /// The file of it that somebody has.
    pub(super) fn of(&self, layout: &Layout, person: &str) -> PathBuf {
        kept(layout, person).join(&self.file)
    }
}

/// The backups of a key's shares, one of each member, as a custodian has them.
pub(super) async fn backups(house: &House, programs: &Programs, (key, epoch): (&str, u64)) -> Result<Vec<Backup>> {
    let mut found = Vec::new();
    for node in PEOPLE.iter().map(Person::signer) {
        let mut backup =
            Backup { file: file_name(key, epoch, &node), node, sha256: String::new(), head_sha256: String::new() };
        let mut show = programs.command(&programs.recover);
        let said = output(show.arg("show").arg(backup.of(&house.layout, CONDUCTOR)), "limen-recover show").await?;
        let after = |what: &str| {
            let rest = said.split_once(what).map(|(_, rest)| rest).unwrap_or_default().trim_start();
            let hash: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
            ensure!(hash.len() == 64, "limen-recover show prints no {what}: {said:?}");
            Ok(hash)
        };
        (backup.sha256, backup.head_sha256) = (after(": backup ")?, after("\n  head ")?);
        found.push(backup);
    }
    Ok(found)
}

/// What custodians have before them when they are asked for proofs in a ceremony.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) layout: Layout,
    pub(super) programs: Programs,
    pub(super) backups: Vec<Backup>,
    /// Of which shares the backups are that give the key.
    pub(super) epoch: u64,
    /// Where proofs and signatures are put.
    pub(super) folder: PathBuf,
}

impl Desk {
    /// Where somebody puts a proof.
    pub(super) fn proof(&self, person: &str, node: &str) -> PathBuf {
        self.folder.join(format!("{person}-{node}.proof"))
    }

    /// Where the signature of the offline machine is put.
    pub(super) fn signature(&self) -> PathBuf {
        self.folder.join("offline.signature")
    }

    /// Has the key, made whole by two of them, sign a message.
    pub(super) async fn sign(&self, message: &str) -> Result<()> {
        let nodes: Vec<String> = lost().chain(PEOPLE.first()).map(Person::signer).collect();
        let file = self.folder.join("offline.message");
        std::fs::write(&file, message).with_context(|| format!("writing {}", file.display()))?;
        let files = files(&self.layout, self.epoch, &nodes);
        let mut sweep = sweep(&self.layout, &self.programs, (&files, &file), &BRING);
        let signature = output(&mut sweep, "limen-recover sign-sweep").await?;
        // Schemes without a recovery id say 0.
        let line = format!("{}00\n", signature.trim());
        std::fs::write(self.signature(), line).with_context(|| format!("writing {}", self.signature().display()))
    }

    /// Tries a piece and puts the proof where it is asked for.
    pub(super) async fn prove(&self, person: &str, (node, nonce): (&str, &str)) -> Result<()> {
        let backup = self.backups.iter().find(|backup| backup.node == node);
        let file = backup.with_context(|| format!("nobody has a backup of {node}"))?.of(&self.layout, person);
        let said = try_piece(&self.layout, &self.programs, person, (&file, nonce, node)).await?;
        let proof = self.proof(person, node);
        std::fs::write(&proof, said).with_context(|| format!("writing {}", proof.display()))
    }
}

/// Backups of these members, as one of those who bring them has them.
fn files(layout: &Layout, epoch: u64, nodes: &[String]) -> Vec<PathBuf> {
    let folder = kept(layout, BRING.first().copied().unwrap_or_default());
    nodes.iter().map(|node| folder.join(file_name(BACKED_UP, epoch, node))).collect()
}

/// The offline program, with these people's identities.
fn sweep(
    layout: &Layout,
    programs: &Programs,
    (files, message): (&[PathBuf], &Path),
    people: &[&str],
) -> tokio::process::Command {
    let mut command = programs.command(&programs.recover);
    command.arg("sign-sweep").args(files);
    for person in people {
        command.arg("--identity").arg(identity(layout, person));
    }
    command.arg("--message").arg(message).env_clear().current_dir("/");
    command
}

/// The key made whole by custodians, without any signer: a signature over a message by `limen-recover sign-sweep`, verified under the
/// public key that signers attest. One custodian alone gets nothing. Returns the signature.
pub(super) async fn make_whole(
    house: &House,
    programs: &Programs,
    (shown, nodes): (&Value, &[String]),
    message: &str,
) -> Result<String> {
    let epoch = shown.get("epoch").and_then(Value::as_u64).context("limen key show says no epoch")?;
    let files = files(&house.layout, epoch, nodes);
    let mut show = programs.command(&programs.recover);
    let said = output(show.args(["show", "--people-required", "2"]).args(&files), "limen-recover show").await?;
    for attested in ["public_key", "verifying_shares_hash"] {
        let value = text(shown, attested);
        ensure!(!value.is_empty() && said.contains(value), "the backups have not the {attested} that signers attest");
    }
    let file = house.layout.path("sweep.message");
    std::fs::write(&file, message).with_context(|| format!("writing {}", file.display()))?;
    let sweep = |people: &[&str]| sweep(&house.layout, programs, (&files, &file), people);
    for person in BRING {
        let alone = output(&mut sweep(&[person]), "limen-recover sign-sweep").await;
        let refused = alone.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(refused.contains("shares of"), "{person} alone was not refused for too few shares: {refused:?}");
    }
    let signature = output(&mut sweep(&BRING), "limen-recover sign-sweep").await?.trim().to_owned();
    let key: PublicKey = format!("ed25519:{}", text(shown, "public_key")).parse()?;
    let bytes = hex::decode(&signature).context("limen-recover sign-sweep printed no signature")?;
    ensure!(key.verify(message.as_bytes(), &bytes), "the key that came back signs for another public key");
    Ok(signature)
}

#[cfg(test)]
mod tests;
