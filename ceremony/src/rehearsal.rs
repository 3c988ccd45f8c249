//! The identical path on throw-away keys: the same engine, board and records, with every person, machine and token played by this process.
//! Also what the tests of the engine run, so that what is rehearsed is what was tested.

mod keys;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base64ct::{Base64, Encoding as _};
use limen_evidence::ceremony::{Mode, Session, Transcript};
use limen_policy::approval::words::words_of;
use limen_policy::ceremony::step::{Certified, NONE};
use limen_policy::ceremony::{Field, Kind, Machine, Plan, Problem, Rule, Step};
use limen_policy::charter::Charter;
use limen_policy::succession::facts;
use limen_recover::practice::Practice;
use limen_wire::approval::{Proof, SignedApproval, Verdict};
use limen_wire::effects::sha256;
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::ids::{NodeId, PersonId, tagged_hash};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use prost::Message as _;

use crate::board::Board;
use crate::custody::JUDGE;
use crate::engine::{Effect, Engine, Input, Outcome, RestoreError};
use crate::hands::{Lines, NoGo};

/// Why there is no rehearsal.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The plan.
    #[error("the plan is refused: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Plan(Vec<Problem>),
    /// The session.
    #[error(transparent)]
    Session(#[from] limen_evidence::ceremony::SessionError),
    /// A participant.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// Nobody has anything left to do.
    #[error("the rehearsal stands still: {0}")]
    Still(String),
}

/// Everybody's throw-away keys, and the plan and charter with them in the place of the real ones.
pub struct Cast {
    seed: [u8; 32],
    people: BTreeMap<PersonId, SigningKey>,
    machines: BTreeMap<NodeId, SigningKey>,
    /// What this process measures of itself; the plan's first if `None`.
    software: Option<String>,
    plan: String,
    charter: Option<String>,
    /// What the charter follows.
    parent: Option<String>,
    /// The key's backups, where the plan is about these.
    practice: Option<Practice>,
}

fn derived(seed: &[u8; 32], what: &str, name: &str) -> [u8; 32] {
    tagged_hash("limen/rehearsal/v1", [seed.as_slice(), what.as_bytes(), name.as_bytes()])
}

fn p256_key(seed: &[u8; 32], name: &str) -> SigningKey {
    let mut bytes = derived(seed, "machine", name);
    loop {
        match p256::ecdsa::SigningKey::from_slice(&bytes) {
            Ok(key) => return SigningKey::P256(key),
            // Zero or beyond the order, as good as never.
            Err(_) => bytes = sha256(&bytes),
        }
    }
}

impl Cast {
    /// Throw-away keys out of a seed, for everybody in the plan.
    pub fn of(plan: &str, charter: Option<&str>, seed: [u8; 32]) -> Result<Self, RehearsalError> {
        Self::of_change(plan, charter, None, seed)
    }

    /// The same for a charter that follows another one.
    pub fn of_change(
        plan: &str,
        charter: Option<&str>,
        parent: Option<&str>,
        seed: [u8; 32],
    ) -> Result<Self, RehearsalError> {
        let real = Plan::from_toml(plan).map_err(RehearsalError::Plan)?;
        let (mut plan, mut charter, mut parent) =
            (plan.to_owned(), charter.map(str::to_owned), parent.map(str::to_owned));
        let (mut people, mut machines) = (BTreeMap::new(), BTreeMap::new());
        let mut exchange = |from: String, to: &SigningKey| {
            let to = to.public_key().to_string();
            plan = plan.replace(&from, &to);
            charter = charter.take().map(|text| text.replace(&from, &to));
            parent = parent.take().map(|text| text.replace(&from, &to));
        };
        for person in &real.people {
            let key = SigningKey::ed25519_from_seed(&derived(&seed, "person", person.id.as_str()).into());
            exchange(person.credential.to_string(), &key);
            people.insert(person.id.clone(), key);
        }
        for machine in &real.machines {
            let key = p256_key(&seed, machine.id.as_str());
            exchange(machine.public_key.to_string(), &key);
            machines.insert(machine.id.clone(), key);
        }
        exchange(real.conductor.public_key.to_string(), &p256_key(&seed, "the conductor"));
        let practice = keys::practice(&real, &seed);
        for key in real.kind.known_keys() {
            let (public_key, shares) = keys::facts(practice.as_ref(), &seed, (&key.id, key.scheme, key.epoch));
            plan = plan.replace(&hex::encode(&key.public_key), &hex::encode(public_key));
            plan = plan.replace(&hex::encode(key.shares), &hex::encode(shares));
        }
        if let (Kind::Backup(backup), Some(practice)) = (&real.kind, &practice) {
            for one in &backup.members {
                let place = backup.key.nodes.iter().position(|node| *node == one.node);
                let Some(dealt) = place.and_then(|place| practice.backups().get(place)) else { continue };
                plan = plan.replace(&hex::encode(one.backup), &dealt.hash().to_string());
                plan = plan.replace(&hex::encode(one.head), &hex::encode(sha256(dealt.head().to_text().as_bytes())));
            }
        }
        if let (Some(change), Some(text)) = (real.kind.change(), &parent) {
            let (from, to) = (change.parent.to_string(), Charter::hash_of(text).to_string());
            plan = plan.replace(&from, &to);
            charter = charter.take().map(|text| text.replace(&from, &to));
        }
        if let (Some(before), Some(text)) = (real.charter(), &charter) {
            plan = plan.replace(&before.to_string(), &Charter::hash_of(text).to_string());
        }
        Ok(Self { seed, people, machines, software: None, plan, charter, parent, practice })
    }

    /// Says of the software what is so, instead of what the plan wants.
    #[must_use]
    pub fn measured(self, software: String) -> Self {
        Self { software: Some(software), ..self }
    }

    /// The plan with the throw-away keys.
    pub fn plan(&self) -> &str {
        &self.plan
    }

    /// The charter with them.
    pub fn charter(&self) -> Option<&str> {
        self.charter.as_deref()
    }

    /// A session by them.
    pub fn session(&self, mode: Mode, absent: &BTreeSet<PersonId>) -> Result<Session, RehearsalError> {
        let plan = Plan::from_toml(&self.plan).map_err(RehearsalError::Plan)?;
        let attendance = limen_policy::ceremony::Attendance::without(&plan, absent)
            .map_err(limen_evidence::ceremony::SessionError::Attendance)?;
        Ok(Session::new(&self.plan, self.charter(), mode, attendance.present().clone())?.judged_by(JUDGE))
    }

    /// Somebody's signature.
    pub fn sign(&self, person: &PersonId, message: &[u8]) -> Option<[u8; 64]> {
        self.people.get(person).map(|key| key.sign(message))
    }

    /// What somebody says in a step if all is well.
    pub fn lines(&self, transcript: &Transcript<'_>, step: &Step, me: &PersonId) -> Result<Lines, NoGo> {
        let fields = step.fields(me).unwrap_or_default();
        let value = |field: &Field| self.value(transcript, (me, fields), &field.rule);
        fields.iter().map(|field| Ok((field.name.clone(), value(field)?))).collect()
    }

    fn value(
        &self,
        transcript: &Transcript<'_>,
        (me, fields): (&PersonId, &[Field]),
        rule: &Rule,
    ) -> Result<String, NoGo> {
        let session = transcript.session();
        let (plan, mode) = (session.plan(), session.mode());
        Ok(match rule {
            Rule::Exactly(text) | Rule::Words(text) => text.clone(),
            Rule::OneOf(texts) => self.software.clone().or_else(|| texts.first().cloned()).unwrap_or_default(),
            // Nobody's clock: a rehearsal may be repeated and be the same.
            Rule::Clock => "1".to_owned(),
            Rule::AtLeast(least) => least.to_string(),
            Rule::Text => "played by this process".to_owned(),
            Rule::Told => NONE.to_owned(),
            Rule::Proof { machine } => {
                let machine = plan.machines.get(*machine).ok_or_else(|| NoGo("there is no such machine".to_owned()))?;
                self.machine_signs(machine, &plan.machine_proof(machine, mode))
            }
            Rule::Parent(_) => Base64::encode_string(self.parent.clone().unwrap_or_default().as_bytes()),
            Rule::Approval => self.approval(me)?,
            Rule::Certificate(wanted) => Base64::encode_string(&self.certificate(plan, wanted).encode_to_vec()),
            Rule::Certified(part) => {
                // The certificate stands before it in the same contribution.
                let wanted = fields.iter().find_map(|field| match &field.rule {
                    Rule::Certificate(wanted) => Some(wanted),
                    _ => None,
                });
                let wanted = wanted.ok_or_else(|| NoGo("there is no certificate".to_owned()))?;
                let statement = self.statement(plan, wanted);
                match part {
                    Certified::PublicKey => hex::encode(&statement.public_key),
                    Certified::Shares => hex::encode(statement.verifying_shares_hash),
                    Certified::Words => words_of("statement", &sha256(&statement.to_payload())).join(" "),
                }
            }
            Rule::Switched { machine } => self.switched(plan, *machine),
            Rule::Destroyed { machine } => self.destroyed(plan, *machine),
            Rule::BackupHead { member } => self.backup_head(plan, *member)?,
            Rule::BackupProof { member } => self.backup_proof(transcript, *member, me)?,
            Rule::TestSignature { scheme, .. } => {
                self.test_signature(plan, *scheme, &plan.test_message(mode, transcript.head()))?
            }
        })
    }

    /// Somebody's signature under the charter as a version, by the credential that the parent has for them.
    fn approval(&self, me: &PersonId) -> Result<String, NoGo> {
        let charter = |text: &Option<String>| {
            let text =
                text.as_deref().ok_or_else(|| NoGo("the text of a charter is missing: --parent FILE".to_owned()))?;
            Charter::from_toml(text).map_err(|error| NoGo(error.to_string()))
        };
        let (parent, version) = (charter(&self.parent)?, charter(&self.charter)?);
        let nobody = || NoGo(format!("{me} has no such credential in the charter"));
        let key = self.people.get(me).ok_or_else(nobody)?;
        let known = parent.roster.people.get(me).ok_or_else(nobody)?;
        let mut fitting = known.credentials.iter().filter(|(_, one)| one.public_key == key.public_key());
        let (credential, _) = fitting.next().ok_or_else(nobody)?;
        let approval = facts(&version).draft((me.clone(), credential.clone()), Verdict::Approve, (1, [3; 32]));
        let proof = Proof::Signature(key.sign(approval.digest().as_bytes()));
        Ok(Base64::encode_string(&SignedApproval { approval, proof }.to_envelope().encode_to_vec()))
    }

    /// By a machine's identity, over such a text, in hexadecimal.
    fn machine_signs(&self, machine: &Machine, text: &str) -> String {
        let message = pre_authentication_encoding(PayloadType::MachineProof.as_str(), text.as_bytes());
        self.machines.get(&machine.id).map(|key| hex::encode(key.sign(&message))).unwrap_or_default()
    }
}

/// One participant, played: its engine, and what would be on its disk.
pub struct Actor<'a> {
    me: PersonId,
    cast: &'a Cast,
    engine: Engine<'a>,
    queue: VecDeque<Effect>,
    stored: Vec<pb::Envelope>,
    read: usize,
    ended: Option<Outcome>,
}

impl<'a> Actor<'a> {
    /// Begins, or goes on from what was stored.
    pub fn new(
        session: &'a Session,
        cast: &'a Cast,
        me: PersonId,
        stored: Vec<pb::Envelope>,
    ) -> Result<Self, RestoreError> {
        let mut engine = Engine::restore(Transcript::new(session), me.clone(), &stored)?;
        let queue = engine.start(Vec::new()).into();
        Ok(Self { me, cast, engine, queue, stored, read: 0, ended: None })
    }

    /// Who is played.
    pub const fn name(&self) -> &PersonId {
        &self.me
    }

    /// What is on its disk.
    pub fn stored(&self) -> &[pb::Envelope] {
        &self.stored
    }

    /// How it ended, once that is said.
    pub const fn ended(&self) -> Option<&Outcome> {
        self.ended.as_ref()
    }

    /// The engine.
    pub const fn engine(&self) -> &Engine<'a> {
        &self.engine
    }

    /// Says something to the engine that did not come over the relay.
    pub fn input(&mut self, input: Input) {
        let effects = self.engine.handle(input);
        self.queue.extend(effects);
    }

    /// Does the next effect; `false` if there is none.
    pub fn act(&mut self, board: &mut Board) -> bool {
        self.act_saying(board, &|_, value| value)
    }

    fn act_saying(&mut self, board: &mut Board, says: &dyn Fn(&str, String) -> String) -> bool {
        let Some(effect) = self.queue.pop_front() else { return false };
        match effect {
            Effect::Store(envelope) => self.stored.push(envelope),
            Effect::Send(envelope) => {
                if board.admits(&envelope) == Ok(true) {
                    board.put(envelope);
                }
            }
            Effect::Tell(_) => {}
            Effect::Finish(outcome) => self.ended = Some(outcome),
            Effect::Perform(step) => {
                let input = match self.cast.lines(self.engine.transcript(), &step, &self.me) {
                    Ok(fields) => {
                        let fields =
                            fields.into_iter().map(|(name, value)| (name.clone(), says(&name, value))).collect();
                        Input::Performed { step: step.number, at: 1, exceptions: Vec::new(), fields }
                    }
                    Err(NoGo(cause)) => Input::Abort(cause),
                };
                self.input(input);
            }
            Effect::Sign(contribution) => {
                let text = contribution.to_text();
                let message = pre_authentication_encoding(PayloadType::Ceremony.as_str(), text.as_bytes());
                if let Some(signature) = self.cast.sign(&self.me, &message) {
                    self.input(Input::Signed(contribution, signature));
                }
            }
        }
        true
    }

    /// Reads one more from the board; `false` if there is none.
    pub fn read(&mut self, board: &Board) -> bool {
        let Some(envelope) = board.from(self.read).first().cloned() else { return false };
        self.read = self.read.saturating_add(1);
        self.input(Input::Envelope(envelope));
        true
    }
}

/// Plays a whole ceremony; answers how it ended for each.
pub fn play(session: &Session, cast: &Cast) -> Result<BTreeMap<PersonId, Outcome>, RehearsalError> {
    play_with(session, cast, &|_, value| value)
}

/// The same, where a line's value comes of its name and what would be right to say.
pub fn play_with(
    session: &Session,
    cast: &Cast,
    says: &dyn Fn(&str, String) -> String,
) -> Result<BTreeMap<PersonId, Outcome>, RehearsalError> {
    let present = session.attendance().present().clone();
    let mut board = Board::new(session.plan().clone(), present.clone());
    let actors = present.iter().map(|person| Actor::new(session, cast, person.clone(), Vec::new()));
    let mut actors = actors.collect::<Result<Vec<_>, _>>()?;
    while actors.iter().any(|actor| actor.ended.is_none()) {
        let mut moved = false;
        for actor in &mut actors {
            while actor.act_saying(&mut board, says) || actor.read(&board) {
                moved = true;
            }
        }
        if !moved {
            let waiting = actors.first().and_then(|actor| actor.engine.transcript().step());
            return Err(RehearsalError::Still(waiting.map_or("nobody knows why", |step| step.name).to_owned()));
        }
    }
    Ok(actors.into_iter().filter_map(|actor| Some((actor.me, actor.ended?))).collect())
}
