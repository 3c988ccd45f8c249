//! The file: head, one section a step, foot. Each line has one spelling, so that reading a record and writing it again gives its bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use limen_policy::ceremony::{MAX_BYTES as PLAN_BYTES, MAX_PEOPLE, Mode, Which};
use limen_policy::charter::MAX_BYTES as CHARTER_BYTES;
use limen_wire::effects::sha256;
use limen_wire::ids::{PersonId, RecordHead};
use limen_wire::keys::PublicKey;
use limen_wire::statement::KeyStatement;

use super::contribution::{Body, Contribution, MAX_FIELDS, MAX_STEP, Said, sign};
use super::custody::Custody;
use super::fault::Fault;
use super::transcript::{Offer, Session, Transcript};

/// Longest record that is read, in bytes.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Most steps that a kind has.
const MAX_STEPS: usize = 10;
// Every ceremony that can be completed has a record that can be read: two more bytes for each line, and a line with the signature.
const _: () = assert!(
    MAX_PEOPLE * MAX_STEPS * (MAX_STEP + 2 * (MAX_FIELDS + 16) + 256) + 3 * PLAN_BYTES + 3 * CHARTER_BYTES <= MAX_BYTES
);

const FIRST: &str = "limen-ceremony-record 1";

/// Where in a record something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Before the first step: mode, people, plan, charter.
    Head,
    /// In a step.
    Step {
        /// Counted from 1.
        number: u32,
        /// Its name.
        name: &'static str,
    },
    /// After the last complete step of a ceremony that was called off.
    Abort,
    /// The last line.
    Foot,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("the head"),
            Self::Step { number, name } => write!(f, "step {number} ({name})"),
            Self::Abort => f.write_str("the abort"),
            Self::Foot => f.write_str("the foot"),
        }
    }
}

/// Why a record does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the record does not hold: in {place}: {reason}")]
pub struct RecordError {
    /// Where.
    pub place: Place,
    /// What.
    pub reason: String,
}

/// A record that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// Plan, charter, people, steps.
    pub session: Session,
    /// What was said in each complete step.
    pub done: Vec<BTreeMap<PersonId, Said>>,
    /// The head after each of them.
    pub heads: Vec<RecordHead>,
    /// The head that everybody signed; `None` if the ceremony was called off.
    pub name: Option<RecordHead>,
    /// Why it was called off, and who said so.
    pub aborts: Vec<(PersonId, String)>,
    /// What was said in the step in which it was called off.
    pub unfinished: Vec<Said>,
    /// The key with the shares that it has before, where the ceremony is about one that was there.
    pub present: Option<KeyStatement>,
    /// The new key, or the key with its new shares.
    pub certified: Option<KeyStatement>,
}

/// The bytes of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record(String);

impl Record {
    /// The file's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Verifies a record by itself, and writes it again to see that it has no second spelling. Who the participants are is for the
    /// caller to know: see [`Verified::pinned`].
    pub fn verify(bytes: &[u8]) -> Result<Verified, RecordError> {
        Self::verify_by(bytes, None)
    }

    /// The same with somebody who judges proofs of backups, without whom a record that has such does not hold.
    pub fn verify_by(bytes: &[u8], custody: Option<&'static dyn Custody>) -> Result<Verified, RecordError> {
        let mut reader = Reader { rest: bytes, place: Place::Head };
        if bytes.len() > MAX_BYTES {
            return Err(reader.error(format!("{} bytes, at most {MAX_BYTES} are read", bytes.len())));
        }
        let session = reader.head(bytes)?.judged_by(custody);
        let mut transcript = Transcript::new(&session);
        let mut aborted = None;
        while let Some(step) = transcript.step() {
            reader.place = Place::Step { number: step.number, name: step.name };
            if reader.peek() == Some(b"aborted") {
                aborted = Some(reader.abort(bytes, &mut transcript)?);
                break;
            }
            reader.step(&mut transcript)?;
        }
        let (aborts, unfinished) = aborted.unwrap_or_default();
        if aborts.is_empty() {
            reader.place = Place::Foot;
            let name = transcript.name().map(|name| name.to_string()).unwrap_or_default();
            reader.expect(&format!("completed {name}"))?;
        }
        if !reader.rest.is_empty() {
            return Err(reader.error("something follows the last line".to_owned()));
        }
        let again = match aborts.is_empty() {
            true => completed(&transcript),
            false => Some(self::aborted(&transcript, &aborts, &unfinished)),
        };
        if again.is_none_or(|again| again.as_str().as_bytes() != bytes) {
            return Err(reader.error("written again it has other bytes".to_owned()));
        }
        let (done, heads) = transcript.done().map(|(_, said, head)| (said.clone(), head)).unzip();
        let causes = aborts.iter().filter_map(|said| match &said.contribution.body {
            Body::Abort { cause, .. } => Some((said.contribution.author.clone(), cause.clone())),
            Body::Step { .. } => None,
        });
        let name = transcript.name().filter(|_| aborts.is_empty());
        let [present, certified] = [Which::Present, Which::New].map(|which| transcript.certified(which).cloned());
        let aborts = causes.collect();
        Ok(Verified { name, present, certified, done, heads, aborts, unfinished, session })
    }
}

impl Verified {
    /// Compares the participants' keys with those that the verifier has pinned; answers whose keys were not pinned. Fails if a
    /// pinned person has another key in the plan, or if nobody who is pinned signed.
    pub fn pinned(&self, pins: &BTreeMap<PersonId, PublicKey>) -> Result<BTreeSet<PersonId>, RecordError> {
        let failed = |reason: String| Err(RecordError { place: Place::Head, reason });
        for (person, key) in pins {
            match self.session.plan().person(person) {
                Some(known) if known.credential == *key => {}
                Some(known) => return failed(format!("{person} has key {} there, {key} is pinned", known.credential)),
                None => return failed(format!("{person}, whose key is pinned, is nobody in the plan")),
            }
        }
        let present = self.session.attendance().present();
        if !pins.is_empty() && pins.keys().all(|person| !present.contains(person)) {
            return failed("nobody whose key is pinned took part".to_owned());
        }
        Ok(present.iter().filter(|person| !pins.contains_key(*person)).cloned().collect())
    }
}

/// The record of a ceremony whose steps are all complete; `None` before.
pub fn completed(transcript: &Transcript<'_>) -> Option<Record> {
    let name = transcript.name().filter(|_| transcript.is_complete())?;
    let mut out = begin(transcript);
    out.push_str(&format!("completed {name}\n"));
    Some(Record(out))
}

/// The record of a ceremony that was called off, with what had been said in its open step.
pub fn aborted(transcript: &Transcript<'_>, aborts: &[Said], unfinished: &[Said]) -> Record {
    let mut out = begin(transcript);
    out.push_str("aborted\n");
    for said in unfinished.iter().chain(aborts) {
        put(&mut out, said);
    }
    let hash = hex::encode(sha256(out.as_bytes()));
    out.push_str(&format!("closed {hash}\n"));
    Record(out)
}

fn text(out: &mut String, what: &str, hash: &impl fmt::Display, text: &str) {
    out.push_str(&format!("{what} {hash} {}\n", text.lines().count()));
    for line in text.lines() {
        out.push_str(&format!("| {line}\n"));
    }
}

fn begin(transcript: &Transcript<'_>) -> String {
    let session = transcript.session();
    let plan = session.plan();
    let people: Vec<&str> = session.attendance().present().iter().map(PersonId::as_str).collect();
    let mut out = format!("{FIRST}\nmode {}\npresent {}\n", session.mode(), people.join(" "));
    text(&mut out, "plan", &plan.hash(), plan.text());
    if let (Some(hash), Some(charter)) = (plan.charter(), session.charter()) {
        text(&mut out, "charter", &hash, charter);
    }
    let hash = hex::encode(sha256(out.as_bytes()));
    out.push_str(&format!("begin {hash}\n"));
    for (step, said, head) in transcript.done() {
        out.push_str(&format!("step {} {}\n", step.number, step.name));
        for said in said.values() {
            put(&mut out, said);
        }
        out.push_str(&format!("end {} {head}\n", step.number));
    }
    out
}

fn put(out: &mut String, said: &Said) {
    out.push_str(&format!("said {}\n", said.contribution.author));
    for line in said.contribution.to_text().lines() {
        out.push_str(&format!("| {line}\n"));
    }
    out.push_str(&format!("signature {}\n", hex::encode(said.signature)));
}

type Aborted = (Vec<Said>, Vec<Said>);

struct Reader<'a> {
    rest: &'a [u8],
    place: Place,
}

impl<'a> Reader<'a> {
    fn error(&self, reason: String) -> RecordError {
        RecordError { place: self.place.clone(), reason }
    }

    fn peek(&self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| *byte == b'\n')?;
        self.rest.get(..end)
    }

    fn line(&mut self) -> Result<&'a str, RecordError> {
        let line = self.peek().ok_or_else(|| self.error("a line is missing or does not end".to_owned()))?;
        let text = std::str::from_utf8(line).map_err(|_| self.error("a line is no text".to_owned()))?;
        self.rest = self.rest.get(line.len().saturating_add(1)..).unwrap_or_default();
        Ok(text)
    }

    fn value(&mut self, key: &str) -> Result<&'a str, RecordError> {
        let line = self.line()?;
        let value = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(' '));
        value.ok_or_else(|| self.error(format!("{:?} stands where `{key} …` is needed", short(line))))
    }

    fn expect(&mut self, expected: &str) -> Result<(), RecordError> {
        let line = self.line()?;
        if line == expected {
            return Ok(());
        }
        Err(self.error(format!("{:?} stands where {expected:?} is needed", short(line))))
    }

    /// Lines that begin with a bar, as one text.
    fn quoted(&mut self, count: Option<usize>) -> Result<String, RecordError> {
        let mut text = String::new();
        let mut read = 0usize;
        while count.map_or_else(|| self.peek().is_some_and(|line| line.starts_with(b"| ")), |count| read < count) {
            text.push_str(self.value("|")?);
            text.push('\n');
            read = read.saturating_add(1);
        }
        Ok(text)
    }

    fn head(&mut self, all: &[u8]) -> Result<Session, RecordError> {
        self.expect(FIRST)?;
        let mode = self.value("mode")?;
        let mode = Mode::of(mode).ok_or_else(|| self.error("the mode is real or REHEARSAL".to_owned()))?;
        let present = self.value("present")?.split(' ').map(PersonId::new).collect::<Result<BTreeSet<_>, _>>();
        let present = present.map_err(|error| self.error(error.to_string()))?;
        let plan = self.text("plan")?;
        let charter = match self.peek() {
            Some(line) if line.starts_with(b"charter ") => Some(self.text("charter")?),
            _ => None,
        };
        let read = all.len().saturating_sub(self.rest.len());
        let hash = hex::encode(sha256(all.get(..read).unwrap_or_default()));
        self.expect(&format!("begin {hash}"))?;
        Session::new(&plan, charter.as_deref(), mode, present).map_err(|error| self.error(error.to_string()))
    }

    /// A text with its hash, which the session checks, and its number of lines.
    fn text(&mut self, what: &str) -> Result<String, RecordError> {
        let value = self.value(what)?;
        let count = value.split_once(' ').and_then(|(_, count)| count.parse().ok());
        let count = count.ok_or_else(|| self.error(format!("{what} has a hash and a number of lines")))?;
        self.quoted(Some(count))
    }

    fn said(&mut self, session: &Session) -> Result<Said, RecordError> {
        let author = self.value("said")?;
        let text = self.quoted(None)?;
        let signature = self.value("signature")?;
        let contribution = Contribution::from_text(&text).map_err(|reason| self.error(reason))?;
        if contribution.author.as_str() != author {
            return Err(self.error(format!("{:?} is to have said what {} says", short(author), contribution.author)));
        }
        let bytes = hex::decode(signature).ok().filter(|bytes| hex::encode(bytes) == signature);
        let bytes = bytes.and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| self.error(format!("the signature of {author} is not in its form")))?;
        Said::open(&sign(&contribution, &bytes), session.plan()).map_err(|error| self.error(error.to_string()))
    }

    fn step(&mut self, transcript: &mut Transcript<'_>) -> Result<(), RecordError> {
        let Some(step) = transcript.step() else { return Ok(()) };
        self.expect(&format!("step {} {}", step.number, step.name))?;
        for (person, _) in &step.says {
            let said = self.said(transcript.session())?;
            if said.contribution.author != *person {
                return Err(self.error(format!("{} stands where {person} is needed", said.contribution.author)));
            }
            match transcript.hear(said) {
                Offer::Taken => {}
                Offer::Fault(fault) => return Err(self.error(fault.to_string())),
                _ => return Err(self.error(format!("what {person} said belongs to another step"))),
            }
        }
        self.expect(&format!("end {} {}", step.number, transcript.head()))
    }

    /// What was said in the open step, and who called it off. Both count as they would have on the day.
    fn abort(&mut self, all: &[u8], transcript: &mut Transcript<'_>) -> Result<Aborted, RecordError> {
        self.place = Place::Abort;
        self.expect("aborted")?;
        let (mut aborts, mut unfinished) = (Vec::new(), Vec::new());
        while self.peek().is_some_and(|line| line.starts_with(b"said ")) {
            let said = self.said(transcript.session())?;
            match (transcript.clone().hear(said.clone()), aborts.is_empty()) {
                (Offer::Abort(_), _) if transcript.may_abort(&said) => aborts.push(said),
                (Offer::Abort(_), _) => {
                    let author = &said.contribution.author;
                    return Err(
                        self.error(format!("{author} had signed the record and could not call it off any more"))
                    );
                }
                // All may have said their part, and it did not go together.
                (Offer::Taken | Offer::Fault(Fault::Together { .. }), true) => {
                    unfinished.push(said);
                }
                (Offer::Fault(fault), _) => return Err(self.error(fault.to_string())),
                (Offer::Noise(noise), _) => return Err(self.error(noise.to_string())),
                (Offer::Taken | Offer::Known | Offer::Early, _) => {
                    let author = &said.contribution.author;
                    return Err(self.error(format!(
                        "what {author} said is no part of the open step before the abort, or calls off another record"
                    )));
                }
            }
            if let (Some(said), true) = (unfinished.last(), aborts.is_empty()) {
                transcript.hear(said.clone());
            }
        }
        let read = all.len().saturating_sub(self.rest.len());
        let hash = hex::encode(sha256(all.get(..read).unwrap_or_default()));
        self.expect(&format!("closed {hash}"))?;
        match aborts.is_empty() {
            false => Ok((aborts, unfinished)),
            true => Err(self.error("nobody called it off".to_owned())),
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(100).collect()
}
