//! The driver of one participant: apply, write durably, then send. Only this is async.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use limen_client::now_secs;
use limen_evidence::ceremony::{Session, Transcript};
use limen_policy::ceremony::{Step, hides};
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::ids::PersonId;
use limen_wire::keys::PublicKey;
use limen_wire::limits::GRPC_MESSAGE_BYTES;
use limen_wire::pb;
use limen_wire::pb::ceremony_client::CeremonyClient;
use limen_wire::tls::{self, Dial};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;

use crate::board::Kept;
use crate::engine::{Effect, Engine, Input, Outcome};
use crate::hands::{Hands, Lines, NoGo, Task};
use crate::journal::{Journal, write_whole};

/// How long the relay may keep a question open.
const LONG_POLL: Duration = Duration::from_secs(10);
/// How long a call may take besides.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the last word of a ceremony that was called off is offered to the relay.
const LAST_WORD: Duration = Duration::from_secs(10);
/// How often it is said who is waited for.
const REMIND: Duration = Duration::from_secs(30);
/// The name by which the relay's pinned key is known.
const CONDUCTOR: &str = "conductor";

/// What signs in a person's name.
pub trait Credential: Send {
    /// Signs; may ask the person.
    fn sign(&mut self, message: &[u8]) -> Result<[u8; 64]>;
}

impl Credential for limen_wire::keys::SigningKey {
    fn sign(&mut self, message: &[u8]) -> Result<[u8; 64]> {
        Ok(Self::sign(self, message))
    }
}

/// A way to the relay.
pub fn relay(address: &str, key: &PublicKey) -> Result<CeremonyClient<Channel>> {
    let channel = Dial::new(address, CONDUCTOR).lazy(tls::open_client(CONDUCTOR, key)?)?;
    Ok(CeremonyClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES))
}

/// The words that a journal of a participant begins with.
pub fn journal_head(session: &Session, me: &PersonId) -> String {
    let people: Vec<&str> = session.attendance().present().iter().map(PersonId::as_str).collect();
    let (plan, mode) = (session.plan(), session.mode());
    format!("limen-ceremony-journal 1\nmode {mode}\nplan {}\nme {me}\npresent {}\n", plan.hash(), people.join(" "))
}

/// Everything that one participant brings.
pub struct Participant<'a> {
    /// What everybody has agreed on.
    pub session: &'a Session,
    /// Who this is.
    pub me: PersonId,
    /// What signs.
    pub credential: Box<dyn Credential>,
    /// What does the steps.
    pub hands: Arc<Mutex<dyn Hands>>,
    /// Where it was left off.
    pub journal: Journal,
    /// What is in it.
    pub stored: Vec<pb::Envelope>,
    /// Where the relay is.
    pub relay: CeremonyClient<Channel>,
    /// Where the record is written.
    pub record: PathBuf,
    /// A file with what was not as the script says, a line each, which may grow meanwhile.
    pub exceptions: PathBuf,
    /// Tells the person.
    pub tell: Box<dyn FnMut(&str)>,
}

type Done = (u32, Result<Lines, NoGo>);

struct Run<'a> {
    with: Participant<'a>,
    engine: Engine<'a>,
    outbox: VecDeque<pb::Envelope>,
    done: mpsc::Sender<Done>,
    read: u32,
    /// The open step, and since when somebody is waited for.
    since: (Option<u32>, Instant, Instant),
}

impl<'a> Participant<'a> {
    /// Takes part until it is over for us.
    pub async fn take_part(self) -> Result<Outcome> {
        let transcript = Transcript::new(self.session);
        let engine = Engine::restore(transcript, self.me.clone(), &self.stored)?;
        let (done, mut performed) = mpsc::channel(4);
        let now = Instant::now();
        let mut run = Run { with: self, engine, outbox: VecDeque::new(), done, read: 0, since: (None, now, now) };
        // What we said before, perhaps days ago, is on the board already.
        let board = match run.engine.outcome() {
            Some(_) => Vec::new(),
            None => run.whole_board().await,
        };
        let effects = run.engine.start(board);
        let mut outcome = run.apply(effects)?;
        while outcome.is_none() {
            let input = tokio::select! {
                Some((step, lines)) = performed.recv() => vec![run.input(step, lines)],
                inputs = run.exchange() => inputs,
            };
            for input in input {
                let effects = run.engine.handle(input);
                outcome = outcome.or(run.apply(effects)?);
            }
            if outcome.is_none()
                && let Some(cause) = run.waited_too_long()
            {
                let effects = run.engine.handle(Input::Abort(cause));
                outcome = run.apply(effects)?;
            }
        }
        let outcome = outcome.context("the ceremony ended in no way")?;
        run.finish(&outcome).await?;
        Ok(outcome)
    }
}

impl Run<'_> {
    /// Does effects in their order; what they lead to comes after them.
    fn apply(&mut self, effects: Vec<Effect>) -> Result<Option<Outcome>> {
        let mut queue: VecDeque<Effect> = effects.into();
        let mut outcome = None;
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Store(envelope) => self.with.journal.append(&envelope)?,
                Effect::Send(envelope) => self.outbox.push_back(envelope),
                Effect::Tell(text) => (self.with.tell)(&text),
                Effect::Perform(step) => self.perform(step),
                Effect::Finish(how) => outcome = Some(how),
                Effect::Sign(contribution) => {
                    let text = contribution.to_text();
                    let message = pre_authentication_encoding(PayloadType::Ceremony.as_str(), text.as_bytes());
                    let signature = self.with.credential.sign(&message).context("signing by the credential")?;
                    queue.extend(self.engine.handle(Input::Signed(contribution, signature)));
                }
            }
        }
        Ok(outcome)
    }

    fn perform(&self, step: Step) {
        let (hands, done) = (Arc::clone(&self.with.hands), self.done.clone());
        let session = self.with.session;
        let (plan, mode, head) = (session.plan().clone(), session.mode(), self.engine.transcript().head());
        let task = Task { me: self.with.me.clone(), plan, mode, head, step };
        // A thread of its own: it may wait for a person, whom the end of the program does not wait for.
        std::thread::spawn(move || {
            let lines = hands.lock().unwrap_or_else(PoisonError::into_inner).perform(&task);
            // Nobody is left who would want to know.
            done.blocking_send((task.step.number, lines)).ok();
        });
    }

    fn input(&self, step: u32, lines: Result<Lines, NoGo>) -> Input {
        match lines {
            Err(NoGo(cause)) => Input::Abort(cause),
            Ok(fields) => {
                let all = std::fs::read_to_string(&self.with.exceptions).unwrap_or_default();
                let lines = all
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty() && line.len() <= 4000 && !line.chars().any(hides));
                let exceptions = lines.skip(self.engine.said_exceptions()).map(str::to_owned).take(100).collect();
                Input::Performed { step, at: now_secs(), exceptions, fields }
            }
        }
    }

    /// Gives the relay what is ours, and reads what is there.
    async fn exchange(&mut self) -> Vec<Input> {
        match self.try_exchange().await {
            Ok(envelopes) => {
                self.read = self.read.saturating_add(u32::try_from(envelopes.len()).unwrap_or_default());
                envelopes.into_iter().map(Input::Envelope).collect()
            }
            Err(error) => {
                (self.with.tell)(&format!("the conductor cannot be reached, trying again: {error:#}"));
                tokio::time::sleep(PAUSE).await;
                Vec::new()
            }
        }
    }

    async fn whole_board(&mut self) -> Vec<pb::Envelope> {
        let mut board = Kept::new(self.with.session.plan());
        loop {
            match self.fetch(Duration::ZERO).await {
                Ok(page) if page.is_empty() || board.is_full() => return board.into_list(),
                Ok(page) => {
                    self.read = self.read.saturating_add(u32::try_from(page.len()).unwrap_or_default());
                    page.into_iter().for_each(|envelope| board.take(envelope));
                }
                Err(error) => {
                    (self.with.tell)(&format!("the conductor cannot be reached, trying again: {error:#}"));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn try_exchange(&mut self) -> Result<Vec<pb::Envelope>> {
        self.post().await?;
        self.fetch(LONG_POLL).await
    }

    async fn fetch(&mut self, wait: Duration) -> Result<Vec<pb::Envelope>> {
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
        let question = pb::FetchContributionsRequest { from: self.read, wait_ms };
        let answer = timeout(wait.saturating_add(PATIENCE), self.with.relay.fetch_contributions(question)).await??;
        Ok(answer.into_inner().envelopes)
    }

    async fn post(&mut self) -> Result<()> {
        while let Some(envelope) = self.outbox.front() {
            let question = pb::PostContributionRequest { envelope: Some(envelope.clone()) };
            timeout(PATIENCE, self.with.relay.post_contribution(question)).await??;
            self.outbox.pop_front();
        }
        Ok(())
    }

    /// Says who is waited for, now and then; the cause when it has been too long.
    fn waited_too_long(&mut self) -> Option<String> {
        let transcript = self.engine.transcript();
        let now = Instant::now();
        let step = transcript.step()?;
        if self.since.0 != Some(step.number) {
            self.since = (Some(step.number), now, now);
            return None;
        }
        let missing: Vec<String> = transcript.missing().iter().map(ToString::to_string).collect();
        let names = missing.join(", ");
        let minutes = self.with.session.plan().bounds.step_minutes;
        if now.duration_since(self.since.1) > Duration::from_secs(u64::from(minutes).saturating_mul(60)) {
            self.since.1 = now;
            return Some(format!("waited {minutes} minutes for {names} in step {} ({})", step.number, step.name));
        }
        if now.duration_since(self.since.2) > REMIND {
            self.since.2 = now;
            (self.with.tell)(&format!("step {} ({}) waits for {names}", step.number, step.name));
        }
        None
    }

    /// Writes the record, and sees that the others get our last word.
    async fn finish(mut self, outcome: &Outcome) -> Result<()> {
        let (record, patience) = match outcome {
            Outcome::Completed { record, .. } => {
                let minutes = u64::from(self.with.session.plan().bounds.step_minutes);
                (record, Duration::from_secs(minutes.saturating_mul(60)))
            }
            Outcome::Aborted { record, .. } => (record, LAST_WORD),
        };
        let path = &self.with.record;
        write_whole(path, record.as_str()).with_context(|| format!("writing the record {}", path.display()))?;
        let until = Instant::now() + patience;
        while let Err(error) = self.post().await {
            if Instant::now() >= until {
                (self.with.tell)(&format!(
                    "the conductor does not take our last word: {error:#}; run this again later"
                ));
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }
}
