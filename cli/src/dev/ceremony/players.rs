//! People, played: each is a process of `limen-ceremony` with a keyboard and a screen of its own. What they type they have from the printed
//! script, or from what stands on the screen of whoever reads out.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::custodians::Desk;

/// Nobody reads words out for longer.
const READ_OUT_WITHIN: Duration = Duration::from_secs(120);
const YES: &str = "(yes/no)? ";
const WORDS: &str = "or `no` to call it off: ";
const TOLD: &str = "in one line, or `none`: ";
const READS: &str = ", to be read out when it is your turn: ";

/// Where words stand: on whose screen, in which step, in which line.
type Place = (String, String, String);

/// What can be heard in the room: the words that stand on somebody's screen.
type Screens = BTreeMap<Place, String>;

/// Everybody's ears.
#[derive(Clone)]
pub(super) struct Room {
    screens: watch::Sender<Screens>,
    printed: BTreeMap<String, String>,
    told: BTreeMap<String, String>,
    desk: Option<Desk>,
}

impl Room {
    /// A room in which this script lies on every desk, with what people know of earlier shares, by name.
    /// Custodians among them have what they need for proofs, where they are asked for some.
    pub(super) fn new(printed: BTreeMap<String, String>, told: BTreeMap<String, String>, desk: Option<Desk>) -> Self {
        Self { screens: watch::channel(Screens::new()).0, printed, told, desk }
    }

    /// What somebody reads out: from paper where it stands there.
    async fn read_out(&self, reader: &str, step: &str, line: &str) -> Result<String> {
        if let Some(words) = self.printed.get(line) {
            return Ok(words.clone());
        }
        let place = (reader.to_owned(), step.to_owned(), line.to_owned());
        let mut screens = self.screens.subscribe();
        let heard = timeout(READ_OUT_WITHIN, screens.wait_for(|screens| screens.contains_key(&place))).await;
        let heard = heard.with_context(|| format!("{reader} reads out no {line}"))??;
        heard.get(&place).cloned().with_context(|| format!("{reader} reads out no {line}"))
    }
}

/// Somebody at their machine.
pub(super) struct Player {
    pub(super) name: String,
    child: Child,
    screen: ChildStderr,
    keyboard: ChildStdin,
    log: PathBuf,
}

impl Player {
    /// Sits down.
    pub(super) fn start(name: &str, mut command: Command, log: PathBuf) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("could not start the machine of {name}"))?;
        let screen = child.stderr.take().context("no screen")?;
        let keyboard = child.stdin.take().context("no keyboard")?;
        Ok(Self { name: name.to_owned(), child, screen, keyboard, log })
    }

    /// Reads and answers until the process has ended; the steps that stood on the screen, by name.
    pub(super) async fn play(mut self, room: &Room) -> Result<Vec<String>> {
        let mut log = File::create(&self.log).with_context(|| format!("making {}", self.log.display()))?;
        let (mut line, mut steps, mut buffer) = (Vec::new(), Vec::new(), vec![0; 4096]);
        loop {
            let count = self.screen.read(&mut buffer).await.context("reading a screen")?;
            let Some(fresh) = buffer.get(..count).filter(|fresh| !fresh.is_empty()) else { break };
            log.write_all(fresh)?;
            line.extend_from_slice(fresh);
            while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                let rest = line.split_off(end.saturating_add(1));
                let seen = String::from_utf8_lossy(&line).into_owned();
                self.see(&seen, room, &mut steps);
                let desk = || room.desk.as_ref().with_context(|| format!("{} has no backups at hand", self.name));
                if let Some(asked) = proof_asked_for(&seen) {
                    desk()?.prove(&self.name, asked).await?;
                }
                if let Some((_, message)) = seen.trim_end().split_once(": have the key sign this message: ") {
                    desk()?.sign(message).await?;
                }
                line = rest;
            }
            let step = steps.last().map_or("", String::as_str);
            if let Some(answer) = answer(&self.name, &String::from_utf8_lossy(&line), step, room).await? {
                log.write_all(answer.as_bytes())?;
                // Who is called off reads no more.
                self.keyboard.write_all(answer.as_bytes()).await.ok();
                line.clear();
            }
        }
        let status = self.child.wait().await.context("waiting for a process")?;
        if !status.success() {
            bail!("{} ended with {status}: {}", self.name, last_line(&self.log));
        }
        Ok(steps)
    }

    fn see(&self, line: &str, room: &Room, steps: &mut Vec<String>) {
        let line = line.trim();
        if let Some((name, words)) = line.split_once(READS) {
            let place = (self.name.clone(), steps.last().cloned().unwrap_or_default(), name.to_owned());
            room.screens.send_modify(|screens| drop(screens.insert(place, words.to_owned())));
        }
        let step = line.strip_prefix("step ").and_then(|rest| rest.split_once(" (")?.1.split_once("): "));
        steps.extend(step.map(|(name, _)| name.to_owned()));
    }
}

/// The node whose backup a piece is asked for in this line, and the question that the proof answers.
fn proof_asked_for(line: &str) -> Option<(&str, &str)> {
    let (_, command) = line.split_once(": prove your piece offline: ")?;
    let after = |option: &str| command.split_once(option)?.1.split_whitespace().next();
    Some((after("--asked-by ")?, after("--nonce ")?))
}

/// What a person types at this question; `None` if it is none, or not whole yet.
async fn answer(me: &str, question: &str, step: &str, room: &Room) -> Result<Option<String>> {
    if question.ends_with(YES) {
        return Ok(Some("yes\n".to_owned()));
    }
    if question.ends_with(TOLD) {
        let known = room.told.get(me).map_or("none", String::as_str);
        return Ok(Some(format!("{known}\n")));
    }
    if !question.ends_with(WORDS) {
        return Ok(None);
    }
    let asked = question.split_once(": type the twelve words as ");
    let asked = asked.and_then(|(line, rest)| Some((line, rest.split_once(" reads them out")?.0)));
    let (line, reader) = asked.with_context(|| format!("nobody understands {question:?}"))?;
    Ok(Some(format!("{}\n", room.read_out(reader, step, line).await?)))
}

/// The last thing that a log says.
pub(super) fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned();
    format!("{last} ({})", log.display())
}
