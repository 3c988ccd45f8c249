//! The identical path on throw-away keys: the same engine, board and records, with every person, machine and token played by this process.
//! Also what the tests of the engine run, so that what is rehearsed is what was tested.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use base64ct::{Base64, Encoding as _};
use k256::ecdsa::signature::hazmat::PrehashSigner as _;
use limen_evidence::ceremony::{Mode, Session, Transcript, test_input};
use limen_policy::approval::words::words_of;
use limen_policy::ceremony::step::Certified;
use limen_policy::ceremony::{KeyGeneration, Kind, Plan, Problem, Rule, Step};
use limen_policy::charter::Charter;
use limen_wire::effects::sha256;
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::ids::{Epoch, IntentId, NodeId, PersonId, Scheme, tagged_hash};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, combine};
use prost::Message as _;

use crate::board::Board;
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
        let real = Plan::from_toml(plan).map_err(RehearsalError::Plan)?;
        let (mut plan, mut charter) = (plan.to_owned(), charter.map(str::to_owned));
        let (mut people, mut machines) = (BTreeMap::new(), BTreeMap::new());
        let mut exchange = |from: String, to: &SigningKey| {
            let to = to.public_key().to_string();
            plan = plan.replace(&from, &to);
            charter = charter.take().map(|text| text.replace(&from, &to));
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
        if let (Some(before), Some(text)) = (real.charter(), &charter) {
            plan = plan.replace(&before.to_string(), &Charter::hash_of(text).to_string());
        }
        Ok(Self { seed, people, machines, software: None, plan, charter })
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
        Ok(Session::new(&self.plan, self.charter(), mode, attendance.present().clone())?)
    }

    /// Somebody's signature.
    pub fn sign(&self, person: &PersonId, message: &[u8]) -> Option<[u8; 64]> {
        self.people.get(person).map(|key| key.sign(message))
    }

    /// What somebody says in a step if all is well.
    pub fn lines(&self, plan: &Plan, step: &Step, me: &PersonId) -> Result<Lines, NoGo> {
        let fields = step.fields(me).unwrap_or_default();
        fields.iter().map(|field| Ok((field.name.clone(), self.value(plan, &field.rule)?))).collect()
    }

    fn value(&self, plan: &Plan, rule: &Rule) -> Result<String, NoGo> {
        let key = || match &plan.kind {
            Kind::KeyGeneration(key) => Ok(key),
            Kind::Genesis(_) => Err(NoGo("a genesis makes no key".to_owned())),
        };
        Ok(match rule {
            Rule::Exactly(text) | Rule::Words(text) => text.clone(),
            Rule::OneOf(texts) => self.software.clone().or_else(|| texts.first().cloned()).unwrap_or_default(),
            // Nobody's clock: a rehearsal may be repeated and be the same.
            Rule::Clock => "1".to_owned(),
            Rule::AtLeast(least) => least.to_string(),
            Rule::Text => "played by this process".to_owned(),
            Rule::Proof { machine } => {
                let machine = plan.machines.get(*machine).ok_or_else(|| NoGo("there is no such machine".to_owned()))?;
                let text = plan.machine_proof(machine);
                let message = pre_authentication_encoding(PayloadType::MachineProof.as_str(), text.as_bytes());
                self.machines.get(&machine.id).map(|key| hex::encode(key.sign(&message))).unwrap_or_default()
            }
            Rule::Certificate => Base64::encode_string(&self.certificate(plan, key()?).encode_to_vec()),
            Rule::Certified(part) => {
                let statement = self.statement(plan, key()?);
                match part {
                    Certified::PublicKey => hex::encode(&statement.public_key),
                    Certified::Shares => hex::encode(statement.verifying_shares_hash),
                    Certified::Words => words_of("statement", &sha256(&statement.to_payload())).join(" "),
                }
            }
            Rule::TestSignature => self.test_signature(plan, key()?)?,
        })
    }

    /// A key that one process holds whole: it stands for the one that signers would make.
    fn secret(&self) -> [u8; 32] {
        derived(&self.seed, "key", "whole")
    }

    fn statement(&self, plan: &Plan, key: &KeyGeneration) -> KeyStatement {
        let secret = self.secret();
        let public_key = match key.scheme {
            Scheme::EddsaEd25519 => SigningKey::ed25519_from_seed(&secret.into()).public_key().to_bytes(),
            Scheme::SchnorrBip340 => k256::schnorr::SigningKey::from_bytes(&secret)
                .map(|key| key.verifying_key().to_bytes().to_vec())
                .unwrap_or_default(),
            Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => {
                let key = k256::ecdsa::SigningKey::from_slice(&secret);
                key.map(|key| key.verifying_key().to_encoded_point(true).as_bytes().to_vec()).unwrap_or_default()
            }
        };
        KeyStatement {
            cluster: plan.cluster.clone(),
            key_id: key.key.clone(),
            scheme: key.scheme,
            protocol: key.protocol,
            epoch: Epoch::FIRST,
            size: key.size,
            nodes: key.nodes.clone(),
            public_key,
            chain_code: derived(&self.seed, "key", "chain code"),
            verifying_shares_hash: derived(&self.seed, "key", "shares"),
            generation_id: IntentId::new(derived(&self.seed, "key", "order")),
        }
    }

    fn certificate(&self, plan: &Plan, key: &KeyGeneration) -> pb::Envelope {
        let statement = self.statement(plan, key);
        let signed = key.nodes.iter().filter_map(|node| Some(statement.sign(node, self.machines.get(node)?)));
        combine(&signed.collect::<Vec<_>>()).unwrap_or_default()
    }

    fn test_signature(&self, plan: &Plan, key: &KeyGeneration) -> Result<String, NoGo> {
        let input = test_input(plan, &self.statement(plan, key)).map_err(NoGo)?;
        let secret = self.secret();
        let failed = |error: k256::ecdsa::Error| NoGo(error.to_string());
        let (signature, recovery) = match key.scheme {
            Scheme::EddsaEd25519 => (SigningKey::ed25519_from_seed(&secret.into()).sign(&input).to_vec(), 0),
            Scheme::SchnorrBip340 => {
                let key = k256::schnorr::SigningKey::from_bytes(&secret).map_err(failed)?;
                (key.sign_raw(&input, &[0; 32]).map_err(failed)?.to_bytes().to_vec(), 0)
            }
            Scheme::EcdsaSecp256k1 | Scheme::EcdsaP256 => {
                let key = k256::ecdsa::SigningKey::from_slice(&secret).map_err(failed)?;
                let made: (k256::ecdsa::Signature, k256::ecdsa::RecoveryId) =
                    key.sign_prehash(&input).map_err(failed)?;
                (made.0.to_bytes().to_vec(), made.1.to_byte())
            }
        };
        Ok(hex::encode([signature.as_slice(), &[recovery]].concat()))
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
                let plan = self.engine.transcript().session().plan();
                let input = match self.cast.lines(plan, &step, &self.me) {
                    Ok(fields) => Input::Performed { step: step.number, at: 1, exceptions: Vec::new(), fields },
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
    let present = session.attendance().present().clone();
    let mut board = Board::new(session.plan().clone(), present.clone());
    let actors = present.iter().map(|person| Actor::new(session, cast, person.clone(), Vec::new()));
    let mut actors = actors.collect::<Result<Vec<_>, _>>()?;
    while actors.iter().any(|actor| actor.ended.is_none()) {
        let mut moved = false;
        for actor in &mut actors {
            while actor.act(&mut board) || actor.read(&board) {
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
