//! One ceremony over processes: plan, script, board, everybody's part, the record, and what an auditor does with it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use limen_policy::ceremony::Plan;
use limen_wire::effects::sha256;
use limen_wire::keys::PublicKey;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::custodians::{self, BACKED_UP, CUSTODIANS, Desk};
use super::destroy;
use super::house::{CONDUCTOR, FIRST, House, PEOPLE, Person, WITNESSES, off, witness};
use super::plan::{self, Purpose};
use super::players::{Player, Room, last_line};
use super::versions::SIGN;
use crate::dev::hsm;
use crate::dev::layout::COORDINATOR;

/// Longest ceremony of the show.
const DONE_WITHIN: Duration = Duration::from_secs(240);
/// Longest wait for a program that has one thing to do.
const SHORT: Duration = Duration::from_secs(60);
/// How long the board stays for those who have not read the end.
const LINGER_SECS: &str = "1";

/// The programs that take part.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub(super) ceremony: PathBuf,
    pub(super) node: PathBuf,
    pub(super) coordinator: PathBuf,
    pub(super) recover: PathBuf,
    pub(super) this: PathBuf,
}

impl Programs {
    /// A program that ends when we do.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.this);
        command.args(["dev", "child", &std::process::id().to_string(), "--"]).arg(program);
        command.process_group(0).kill_on_drop(true);
        command
    }
}

/// What a ceremony has left.
#[derive(Debug, Serialize)]
pub(super) struct Held {
    pub(super) ceremony: String,
    pub(super) record: PathBuf,
    pub(super) bytes: usize,
    pub(super) steps: Vec<String>,
    pub(super) secs: f64,
    /// Proofs of custodians that were taken while the order waited for them.
    pub(super) proofs: usize,
    /// Places at which a bit of the record was turned over, each found: by the part of the record that the verifier named, which is where
    /// it was.
    pub(super) flips_found: BTreeMap<String, usize>,
}

/// Runs to the end, in bounded time; what it printed.
pub(super) async fn output(command: &mut Command, what: &str) -> Result<String> {
    let done = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).output();
    let done = timeout(SHORT, done).await.with_context(|| format!("{what} takes longer than {} s", SHORT.as_secs()))?;
    let done = done.with_context(|| format!("could not start {what}"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("{what} ended with {}: {}", done.status, said.trim());
    }
    String::from_utf8(done.stdout).with_context(|| format!("{what} printed something that is not text"))
}

/// Everything that is needed to hold a ceremony.
pub(super) struct Ceremony<'a> {
    house: &'a House,
    programs: &'a Programs,
    purpose: Purpose,
    folder: PathBuf,
    plan: Plan,
}

impl<'a> Ceremony<'a> {
    /// Writes the plan, has it checked by the program, and prints the script.
    pub(super) async fn prepare(house: &'a House, programs: &'a Programs, purpose: Purpose) -> Result<Self> {
        let folder = house.layout.path(&format!("ceremonies/{}", purpose.id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let said = output(
            programs.command(&programs.ceremony).args(["conductor-key", "conductor"]).current_dir(&folder),
            "limen-ceremony conductor-key",
        )
        .await?;
        let key = said.trim().strip_prefix("public_key = \"").and_then(|rest| rest.strip_suffix('"'));
        let conductor: PublicKey = key.context("limen-ceremony conductor-key printed no key")?.parse()?;
        let program = std::fs::read(&programs.ceremony).context("reading limen-ceremony")?;
        let text = plan::text(house, &purpose, &conductor, &hex::encode(sha256(&program)))?;
        std::fs::write(folder.join("plan.toml"), &text)?;
        let charter = match &purpose {
            Purpose::Change(change) => &change.version.text,
            _ => &house.charter_text,
        };
        std::fs::write(folder.join("charter.toml"), charter)?;
        let plan = Plan::from_toml(&text).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the plan is refused: {}", problems.join("; "))
        })?;
        let ceremony = Self { house, programs, purpose, folder, plan };
        let checked = ceremony.offline(&["plan", "check", "plan.toml"]).await?;
        std::fs::write(ceremony.folder.join("plan-check.txt"), checked)?;
        ceremony.offline(&["script", "plan.toml", "--out", "script.html"]).await?;
        Ok(ceremony)
    }

    /// What needs nobody else, of a plan with its charter.
    async fn offline(&self, args: &[&str]) -> Result<String> {
        let mut command = self.command();
        command.args(args).args(self.charter());
        output(&mut command, &format!("limen-ceremony {}", args.join(" "))).await
    }

    fn charter(&self) -> &'static [&'static str] {
        match self.purpose {
            Purpose::Genesis | Purpose::Change(_) => &["--charter", "charter.toml"],
            _ => &[],
        }
    }

    fn command(&self) -> Command {
        let mut command = self.programs.command(&self.programs.ceremony);
        command.current_dir(&self.folder);
        command
    }

    /// Everybody takes part; the record that all have.
    pub(super) async fn hold(&self) -> Result<Held> {
        let started = Instant::now();
        let told = self.told()?;
        let both = async { tokio::try_join!(self.play(&told), self.prove()) };
        let held = timeout(DONE_WITHIN, both).await;
        let folder = self.folder.display();
        let (steps, proofs) = held
            .with_context(|| format!("it takes longer than {} s", DONE_WITHIN.as_secs()))
            .and_then(|done| done)
            .with_context(|| format!("ceremony {} was not completed; its logs are in {folder}", self.purpose.id()))?;
        let record = self.folder.join("anna.record");
        let bytes = std::fs::read(&record)?;
        let others = PEOPLE.iter().map(|person| person.id).chain(["conductor"]);
        for other in others {
            let theirs = std::fs::read(self.folder.join(format!("{other}.record")))
                .with_context(|| format!("reading the record of {other}"))?;
            ensure!(theirs == bytes, "anna and {other} have different records in {folder}");
        }
        let text = String::from_utf8_lossy(&bytes);
        for answer in told.values() {
            ensure!(text.contains(&format!(" {answer}\n")), "the record does not say: {answer}");
        }
        let (secs, flips_found) = (started.elapsed().as_secs_f64(), BTreeMap::new());
        Ok(Held { ceremony: self.purpose.id(), record, bytes: bytes.len(), steps, secs, proofs, flips_found })
    }

    /// What people know of earlier shares, or did with their pieces of them, in ceremonies that ask for it.
    fn told(&self) -> Result<BTreeMap<String, String>> {
        match &self.purpose {
            Purpose::Destruction(known, _) => custodians::destroy(&self.house.layout, known.name()),
            Purpose::Refresh(known) | Purpose::Reshare(known) => custodians::told(&self.house.layout, known.name()),
            // What stands in a drill's record is what was done: the machine is off from before it until after.
            Purpose::Drill(_) => {
                Ok(off().map(|one| (one.id.to_owned(), "its process is stopped".to_owned())).into_iter().collect())
            }
            _ => Ok(BTreeMap::new()),
        }
    }

    /// Custodians' part, which is none of the ceremony's: the order waits for it.
    async fn prove(&self) -> Result<usize> {
        let waits = match &self.purpose {
            Purpose::Key(key) if key.name == BACKED_UP => (FIRST, 0),
            Purpose::Refresh(known) if known.name() == BACKED_UP => (FIRST, known.epoch()),
            Purpose::Reshare(known) if known.name() == BACKED_UP => (PEOPLE.len(), known.epoch()),
            _ => return Ok(0),
        };
        custodians::prove(self.house, self.programs, waits).await
    }

    async fn play(&self, told: &BTreeMap<String, String>) -> Result<Vec<String>> {
        let script = std::fs::read_to_string(self.folder.join("script.html"))?;
        let room = Room::new(plan::printed(&script, &self.plan)?, told.clone(), self.desk());
        let (board, address) = self.open_board().await?;
        let mut players = Vec::new();
        for person in &PEOPLE {
            let log = self.folder.join(format!("{}.log", person.id));
            players.push(Player::start(person.id, self.join(person, &address).await?, log)?);
        }
        let mut parts = tokio::task::JoinSet::new();
        for player in players {
            let room = room.clone();
            parts.spawn(async move { (player.name.clone(), player.play(&room).await) });
        }
        let mut steps = Vec::new();
        while let Some(part) = parts.join_next().await {
            let (name, part) = part.context("a player is lost")?;
            let part = part?;
            if name == CONDUCTOR {
                steps = part;
            }
        }
        self.closed(board).await?;
        Ok(steps)
    }

    /// What custodians have before them, in ceremonies that ask for their proofs.
    fn desk(&self) -> Option<Desk> {
        let (backups, known) = match &self.purpose {
            Purpose::Backup(known, backups) => (backups.clone(), known),
            Purpose::Recovery(known) => (Vec::new(), known),
            _ => return None,
        };
        let (layout, programs) = (self.house.layout.clone(), self.programs.clone());
        Some(Desk { layout, programs, backups, epoch: known.epoch(), folder: self.folder.clone() })
    }

    /// Files that somebody brings for their lines.
    fn brings(&self, person: &Person) -> Vec<String> {
        let (layout, node) = (&self.house.layout, person.signer());
        let bring = |line: String, file: PathBuf| ["--bring".to_owned(), format!("{line}={}", file.display())];
        let mut files = Vec::new();
        if let Purpose::Destruction(known, _) = &self.purpose {
            files.extend(bring(format!("erased-{node}"), destroy::proof(layout, known.name())));
        }
        if let Purpose::Change(change) = &self.purpose {
            if person.id == CONDUCTOR {
                files.extend(bring("parent".to_owned(), change.parent.file.clone()));
            }
            if SIGN.contains(&person.id) {
                files.extend(bring("approval".to_owned(), change.draft.clone()));
            }
        }
        if let (Purpose::Recovery(_), Some(desk)) = (&self.purpose, self.desk().filter(|_| person.id == CONDUCTOR)) {
            files.extend(bring("test-signature".to_owned(), desk.signature()));
        }
        if let Some(desk) = self.desk() {
            let theirs = desk.backups.iter().filter(|backup| backup.node == node);
            files.extend(theirs.flat_map(|one| bring(format!("backup-{node}"), one.of(layout, CONDUCTOR))));
            for one in desk.backups.iter().filter(|_| CUSTODIANS.contains(&person.id)) {
                files.extend(bring(format!("proof-{}", one.node), desk.proof(person.id, &one.node)));
            }
        }
        files
    }

    async fn open_board(&self) -> Result<(Child, String)> {
        let mut command = self.command();
        command.args(["run", "plan.toml"]).args(self.charter()).args(["--listen", "127.0.0.1:0"]);
        command.args(["--identity", "conductor", "--board", "board.journal", "--record", "conductor.record"]);
        let log = std::fs::File::create(self.folder.join("board.log"))?;
        command.args(["--linger-secs", LINGER_SECS]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut board = command.spawn().context("could not start the board")?;
        let mut lines = BufReader::new(board.stdout.as_mut().context("no output")?).lines();
        let said = timeout(SHORT, lines.next_line()).await.context("the board is not open")??.unwrap_or_default();
        let address = said.strip_prefix("the board is open at ").and_then(|rest| rest.split(' ').next());
        let address = address
            .with_context(|| format!("the board is not open: {}", last_line(&self.folder.join("board.log"))))?
            .to_owned();
        Ok((board, address))
    }

    /// The board ends by itself, and has written the record.
    async fn closed(&self, mut board: Child) -> Result<()> {
        match timeout(SHORT, board.wait()).await {
            Ok(status) => {
                let status = status?;
                ensure!(
                    status.success(),
                    "the board ended with {status}: {}",
                    last_line(&self.folder.join("board.log"))
                );
                Ok(())
            }
            Err(_) => {
                if let Some(pid) = board.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
                    kill_process(pid, Signal::TERM).ok();
                }
                bail!("the board does not end though everybody is done")
            }
        }
    }

    /// Somebody's part, with their own credential and what they need for it.
    async fn join(&self, person: &Person, address: &str) -> Result<Command> {
        let layout = &self.house.layout;
        let mut args: Vec<String> =
            ["join", "plan.toml"].into_iter().chain(self.charter().iter().copied()).map(str::to_owned).collect();
        let own = |suffix: &str| format!("{}.{suffix}", person.id);
        args.extend(["--conductor", address, "--as", person.id].map(str::to_owned));
        args.extend(["--journal".to_owned(), own("journal"), "--record".to_owned(), own("record")]);
        match self.purpose {
            Purpose::Genesis => args.extend(self.proofs(person).await?),
            _ => {
                args.extend(["--client".to_owned(), self.house.client_config(person.id).display().to_string()]);
            }
        }
        args.extend(self.brings(person));
        if !person.token {
            let file = layout.path(&format!("{}/credential.pem", person.folder()));
            let mut command = self.command();
            command.args(args).arg("--key").arg(file);
            return Ok(command);
        }
        // The PIN comes over a descriptor of its own: the keyboard is for the answers.
        let mut command = self.programs.command(Path::new("sh"));
        let pin = layout.path(&format!("{}/pin", person.token_folder()));
        command.args(["-c", "pin=$1; shift; exec \"$@\" --pin-fd 3 3< \"$pin\"", "sh"]).arg(pin);
        command.arg(&self.programs.ceremony).args(args);
        command.args(["--pkcs11", hsm::library()?, "--token", person.id]);
        command.envs(hsm::tokens_in(layout, &person.token_folder())).current_dir(&self.folder);
        Ok(command)
    }

    /// What the machines that somebody speaks for have signed, each on the machine itself.
    async fn proofs(&self, person: &Person) -> Result<Vec<String>> {
        let witnesses = WITNESSES.iter().filter(|(.., holder)| *holder == person.id).map(|(site, ..)| witness(site));
        let mut args = Vec::new();
        for machine in [person.signer()].into_iter().chain(witnesses) {
            let mut command = self.programs.command(&self.programs.node);
            command.arg("--config").arg(self.house.layout.config_of(&machine)).arg("prove-identity");
            command.arg(self.folder.join("plan.toml"));
            let proof = output(&mut command, &format!("limen-node prove-identity at {machine}")).await?;
            let file = format!("{machine}.proof");
            std::fs::write(self.folder.join(&file), proof)?;
            args.extend(["--machine".to_owned(), format!("{machine}=@{file}")]);
        }
        if person.id == CONDUCTOR {
            let key = self.house.layout.path(&format!("{COORDINATOR}/tls.key"));
            args.extend(["--machine".to_owned(), format!("{COORDINATOR}={}", key.display())]);
        }
        Ok(args)
    }

    fn verify(&self, record: &Path) -> Command {
        let mut command = self.programs.command(&self.programs.ceremony);
        // Nothing but the file and the keys that an auditor knows from elsewhere.
        command.arg("verify").arg(record).env_clear().current_dir("/");
        for (person, key) in PEOPLE.iter().zip(&self.house.credentials) {
            command.arg("--pin").arg(format!("{}={key}", person.id));
        }
        command
    }

    /// The record holds, and with a bit turned over at any of so many places it does not, with the step named.
    pub(super) async fn audit(&self, held: &mut Held, flips: usize, seed: u64) -> Result<()> {
        let said = output(&mut self.verify(&held.record), "limen-ceremony verify").await?;
        ensure!(said.contains("the record holds"), "limen-ceremony verify said {said:?}");
        let good = std::fs::read(&held.record)?;
        let spoilt = self.folder.join("spoilt.record");
        let mut places = Places(seed);
        for _ in 0..flips {
            let place = places.below(good.len());
            let mut bytes = good.clone();
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1;
            }
            std::fs::write(&spoilt, bytes)?;
            let part = part_of(&good, place);
            let found = found(self.verify(&spoilt), &part).await;
            found.with_context(|| format!("byte {place} of the record of {} was changed", held.ceremony))?;
            let count = held.flips_found.entry(part).or_default();
            *count = count.saturating_add(1);
        }
        std::fs::remove_file(&spoilt).ok();
        Ok(())
    }
}

/// The verifier must fail, and name this part.
async fn found(mut verify: Command, part: &str) -> Result<()> {
    let done = timeout(SHORT, verify.stdin(Stdio::null()).output()).await.context("limen-ceremony verify hangs")??;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(!done.status.success(), "it still verifies");
    ensure!(said.contains(&format!("the record does not hold: in {part}: ")), "{part} is not named: {}", said.trim());
    Ok(())
}

/// The part of a record in which a place is, as the verifier names it.
fn part_of(record: &[u8], place: usize) -> String {
    let before = record.get(..=place).unwrap_or(record);
    // The whole of the line in which it is, too.
    let rest = record.get(before.len()..).unwrap_or_default();
    let line =
        rest.split_inclusive(|byte| *byte == b'\n').next().filter(|_| !before.ends_with(b"\n")).unwrap_or_default();
    let text = [before, line].concat();
    let text = String::from_utf8_lossy(&text);
    let named = text.lines().rev().find_map(|line| {
        let step = line.strip_prefix("step ").and_then(|rest| rest.split_once(' '));
        let step = step.map(|(number, name)| format!("step {number} ({name})"));
        step.or_else(|| line.starts_with("completed ").then(|| "the foot".to_owned()))
    });
    named.unwrap_or_else(|| "the head".to_owned())
}

/// Places out of a seed: the same for the same record, on every machine (`SplitMix64`).
struct Places(u64);

impl Places {
    fn below(&mut self, length: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = mixed ^ (mixed >> 31);
        usize::try_from(mixed.checked_rem(u64::try_from(length).unwrap_or(u64::MAX)).unwrap_or_default())
            .unwrap_or_default()
    }
}
