//! Signers that sign with a whole key, and do as the test says. They keep the promises that real ones keep: an intent
//! that was signed is answered with the same signature for ever, sessions need all their members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k256::ecdsa::{RecoveryId, Signature, SigningKey as EcdsaKey};
use limen_coordinator::clock::Clock;
use limen_coordinator::signers::{CallError, SignerPort};
use limen_policy::approval::{Facts, verify};
use limen_policy::charter::Charter;
use limen_policy::check::{self, Quotes};
use limen_policy::ledger::{Certificate, Demand, Price, Wanted};
use limen_wire::approval::{SignedApproval, Verdict};
use limen_wire::envelope;
use limen_wire::error::{ApiError, Code};
use limen_wire::handover::KeyHandover;
use limen_wire::ids::{Epoch, IntentId, KeyId, NodeId, PersonId, Protocol, Scheme};
use limen_wire::intent::{Cancellation, Intent, KeyGeneration};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::async_trait;

use crate::withheld::statement_unless;

/// Each byte of the freeze epoch that all of them name.
pub(crate) const FREEZE_EPOCH: u8 = 7;

/// How a signer behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    Up,
    /// Refuses connections.
    Down,
    /// Answers nothing but status calls.
    Silent,
    /// Answers nothing at all.
    Frozen,
    /// Its own rules forbid everything.
    Denies,
    /// Refuses to sign with this code.
    Refuses(Code),
    /// Hands over signatures that are none.
    Lies,
    /// Says that every requirement is met, and does not sign.
    SaysMet,
    /// Says of every request that its requester has not signed it.
    Disowns,
    /// States of every share that its key was once whole, if it was not.
    Marks,
}

/// What the rules of all signers ask for, in these tests.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asks {
    /// So many different people.
    pub(crate) people: usize,
    /// A delay from then on.
    pub(crate) delay_ms: u64,
}

/// What one signer holds of what people said about one intent.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) approved: BTreeSet<PersonId>,
    rejected: Option<String>,
    met_at_ms: Option<u64>,
}

/// What all signers share: the key that no real cluster has whole, and who has joined which session.
pub(crate) struct Shared {
    ecdsa: EcdsaKey,
    ed25519: ed25519_dalek::SigningKey,
    /// What the signers have in force.
    pub(crate) in_force: Mutex<Arc<Charter>>,
    /// Versions that came since.
    pub(crate) versions: Mutex<Vec<pb::CharterView>>,
    pub(crate) clock: Clock,
    joined: Mutex<BTreeMap<Vec<u8>, BTreeSet<u32>>>,
    changed: watch::Sender<u64>,
    /// Every signature that was ever made: intent, session.
    pub(crate) made: Mutex<Vec<(IntentId, Vec<u8>)>>,
    pub(crate) asks: Mutex<Option<Asks>>,
}

/// What a liar makes of a page before it leaves.
pub(crate) type Spoil =
    Box<dyn Fn(&pb::ListIntentsRequest, pb::ListIntentsResponse) -> pb::ListIntentsResponse + Send + Sync>;

/// What a liar makes of its word that it has voided a request.
pub(crate) type SpoilVoid = Box<dyn Fn(Option<pb::Envelope>) -> Option<pb::Envelope> + Send + Sync>;

/// The public shares of every key here.
const SHARE: &[u8] = b"share";

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) intents: Vec<pb::IntentRecord>,
    pub(crate) keys: BTreeMap<String, pb::KeyShareRecord>,
    /// Attempts to hand a key over that it was called for.
    pub(crate) handed: Vec<pb::HandOverKeyRequest>,
    /// Custodians who have to prove each share before it is stated.
    pub(crate) custodians: Vec<String>,
    /// Statements that are withheld, by key.
    pub(crate) statements: BTreeMap<String, pb::Envelope>,
    pub(crate) announced: u64,
    /// Findings that it was shown last.
    pub(crate) checks: Vec<pb::Envelope>,
    pub(crate) nonces: Vec<(KeyId, u64)>,
    pub(crate) refused_nonces: u64,
    pub(crate) presigned: u32,
    pub(crate) said: BTreeMap<IntentId, Said>,
}

pub(crate) struct FakeSigner {
    pub(crate) id: NodeId,
    pub(crate) index: u32,
    pub(crate) key: SigningKey,
    pub(crate) mode: Mutex<Mode>,
    pub(crate) boot: Mutex<u8>,
    pub(crate) bans: Mutex<Vec<String>>,
    pub(crate) pool_end: Mutex<u64>,
    pub(crate) memory: Mutex<Memory>,
    pub(crate) spoil: Mutex<Option<Spoil>>,
    pub(crate) spoil_void: Mutex<Option<SpoilVoid>>,
    pub(crate) pages: AtomicU64,
    /// Reported besides its own.
    pub(crate) false_pools: Mutex<Vec<pb::NoncePool>>,
    pub(crate) shared: Arc<Shared>,
}

impl Shared {
    pub(crate) fn new(charter: Charter, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            ecdsa: EcdsaKey::from_slice(&[0x11; 32]).unwrap(),
            ed25519: ed25519_dalek::SigningKey::from_bytes(&[0x22; 32]),
            in_force: Mutex::new(Arc::new(charter)),
            versions: Mutex::default(),
            clock,
            joined: Mutex::default(),
            changed: watch::channel(0).0,
            made: Mutex::default(),
            asks: Mutex::default(),
        })
    }

    pub(crate) fn charter(&self) -> Arc<Charter> {
        Arc::clone(&self.in_force.lock().unwrap())
    }

    fn public_key(&self, scheme: Scheme) -> Vec<u8> {
        match scheme {
            Scheme::EcdsaSecp256k1 => self.ecdsa.verifying_key().to_encoded_point(true).as_bytes().to_vec(),
            Scheme::EddsaEd25519 => self.ed25519.verifying_key().to_bytes().to_vec(),
            Scheme::SchnorrBip340 | Scheme::EcdsaP256 => panic!("no test needs it"),
        }
    }

    /// The account of the ECDSA key.
    pub(crate) fn account(&self, chain: &limen_wire::effects::ChainId) -> limen_wire::effects::Address {
        limen_chain::address(chain, Scheme::EcdsaSecp256k1, &self.public_key(Scheme::EcdsaSecp256k1)).unwrap()
    }

    /// A signature with a nonce of the test's choice: another than the one that [`Self::sign`] makes.
    pub(crate) fn sign_otherwise(&self, envelope: &pb::Envelope) -> pb::SignatureResult {
        use k256::elliptic_curve::ops::Reduce;
        use k256::elliptic_curve::sec1::ToEncodedPoint as _;
        use k256::{ProjectivePoint, Scalar, U256};
        let (intent, _) = Intent::open(envelope).unwrap();
        let digest = self.digest(&intent);
        let nonce = Scalar::from(0x1234_5678_u64);
        let point = (ProjectivePoint::GENERATOR * nonce).to_affine().to_encoded_point(false);
        let r = <Scalar as Reduce<U256>>::reduce_bytes(point.x().unwrap());
        let z = <Scalar as Reduce<U256>>::reduce_bytes(&digest.into());
        let s = nonce.invert().unwrap() * (z + r * *self.ecdsa.as_nonzero_scalar().as_ref());
        let signature = Signature::from_scalars(r, s).unwrap();
        let odd = point.y().unwrap()[31] & 1;
        let (signature, flipped) = signature.normalize_s().map_or((signature, 0), |low| (low, 1));
        let recovery_id = u32::from(odd ^ flipped);
        pb::SignatureResult { signature: signature.to_bytes().to_vec().into(), recovery_id, ..Default::default() }
    }

    /// What the ECDSA key signs for an intent on a chain.
    fn digest(&self, intent: &Intent) -> [u8; 32] {
        self.decoded(intent).signing.for_scheme(Scheme::EcdsaSecp256k1).unwrap().as_ref().try_into().unwrap()
    }

    pub(crate) fn decoded(&self, intent: &Intent) -> limen_chain::Decoded {
        let chain = intent.chain.clone().unwrap();
        let account = self.account(&chain);
        limen_chain::decode(&(&intent.payload).into(), &chain, &account, &limen_chain::NoTokenKinds).unwrap()
    }

    /// What an intent takes of ledgers, at the prices that these findings attest.
    pub(crate) fn wanted(&self, intent: &Intent, checks: &[pb::Envelope]) -> Vec<Wanted> {
        let (charter, now_secs) = (self.charter(), self.clock.now_secs());
        let verify = |one| check::verify(one, &charter, &intent.id, now_secs).ok();
        let quotes = Quotes::of(&checks.iter().filter_map(verify).collect::<Vec<_>>());
        let demands = charter.demands(intent, &self.decoded(intent).effects).unwrap_or_default();
        demands.into_values().map(|demand| Wanted { demand, quotes: quotes.clone() }).collect()
    }

    /// A price that is asked for and not attested.
    fn unpriced(&self, intent: &Intent, checks: &[pb::Envelope]) -> Option<pb::RequirementStatus> {
        if self.charter().currencies.is_empty() {
            return None;
        }
        let wanted = self.wanted(intent, checks);
        let missing = wanted.iter().find_map(|one| one.demand.at(&one.quotes).err())?;
        let (rule, missing) = ("price".to_owned(), missing.to_string());
        Some(pb::RequirementStatus { rule, missing, ..Default::default() })
    }

    pub(crate) fn sign(&self, intent: &Intent) -> pb::SignatureResult {
        use ed25519_dalek::Signer as _;
        let (bytes, recovery_id) = match &intent.chain {
            Some(_) => {
                let (signature, id): (Signature, RecoveryId) =
                    self.ecdsa.sign_prehash_recoverable(&self.digest(intent)).unwrap();
                (signature.to_bytes().to_vec(), u32::from(id.to_byte()))
            }
            None => (self.ed25519.sign(intent.payload.bytes()).to_bytes().to_vec(), 0),
        };
        pb::SignatureResult { signature: bytes.into(), recovery_id, ..Default::default() }
    }
}

fn refusal(code: Code, message: &str) -> pb::SignResponse {
    let error = ApiError::new(code, message).to_wire();
    pb::SignResponse { outcome: Some(pb::sign_response::Outcome::Refusal(error)), ..Default::default() }
}

impl FakeSigner {
    pub(crate) fn new(index: u32, key: SigningKey, shared: &Arc<Shared>) -> Arc<Self> {
        let id = shared.charter().nodes[index as usize - 1].id.clone();
        Arc::new(Self {
            id,
            index,
            key,
            mode: Mutex::new(Mode::Up),
            boot: Mutex::new(1),
            bans: Mutex::default(),
            pool_end: Mutex::default(),
            memory: Mutex::default(),
            spoil: Mutex::default(),
            spoil_void: Mutex::default(),
            pages: AtomicU64::new(0),
            false_pools: Mutex::default(),
            shared: Arc::clone(shared),
        })
    }

    /// Lies about its memory from now on.
    pub(crate) fn spoil(
        &self,
        spoil: impl Fn(&pb::ListIntentsRequest, pb::ListIntentsResponse) -> pb::ListIntentsResponse + Send + Sync + 'static,
    ) {
        *self.spoil.lock().unwrap() = Some(Box::new(spoil));
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    /// Loses what lives in memory only, as a restarted process does.
    pub(crate) fn restart(&self) {
        *self.boot.lock().unwrap() += 1;
    }

    async fn enter(&self, status: bool) -> Result<Mode, CallError> {
        let mode = self.mode.lock().unwrap().clone();
        match mode {
            Mode::Down => Err(CallError::Unreachable("connection refused".to_owned())),
            Mode::Frozen => std::future::pending().await,
            Mode::Silent if !status => std::future::pending().await,
            mode => Ok(mode),
        }
    }

    fn remember(&self, envelope: &pb::Envelope) -> (Intent, pb::IntentRecord) {
        let (intent, _) = Intent::open(envelope).unwrap();
        let mut memory = self.memory.lock().unwrap();
        let id: bytes::Bytes = intent.id.as_bytes().to_vec().into();
        if let Some(known) = memory.intents.iter().find(|record| record.intent_id == id) {
            return (intent, known.clone());
        }
        let record = pb::IntentRecord {
            sequence: memory.intents.len() as u64 + 1,
            intent: Some(envelope.clone()),
            intent_id: id,
            first_seen_ms: self.shared.clock.now_ms(),
            ..Default::default()
        };
        memory.intents.push(record.clone());
        (intent, record)
    }

    fn update(&self, id: &IntentId, change: impl FnOnce(&mut pb::IntentRecord)) {
        let mut memory = self.memory.lock().unwrap();
        let record = memory.intents.iter_mut().find(|record| record.intent_id.as_ref() == id.as_bytes()).unwrap();
        change(record);
    }

    fn decision(&self, envelope: &pb::Envelope, mode: &Mode) -> pb::AnnounceResponse {
        let (intent, record) = self.remember(envelope);
        let allowed = *mode != Mode::Denies && !record.stopped;
        let reasons = if allowed { Vec::new() } else { vec!["not here".to_owned()] };
        let status = self.status_of(&intent.id).filter(|_| allowed).map(|status| match mode {
            Mode::SaysMet => pb::RequirementStatus { met: true, missing: String::new(), wait_ms: 0, ..status },
            _ => status,
        });
        let requirement =
            |status: &pb::RequirementStatus| pb::Requirement { rule: status.rule.clone(), ..Default::default() };
        let checks = self.memory.lock().unwrap().checks.clone();
        let statuses: Vec<_> = status.into_iter().chain(self.shared.unpriced(&intent, &checks)).collect();
        let requirements = statuses.iter().map(requirement).collect();
        pb::AnnounceResponse {
            intent_id: intent.id.as_bytes().to_vec().into(),
            decision: Some(pb::Decision { allowed, reasons, requirements, ..pb::Decision::default() }),
            first_seen_ms: record.first_seen_ms,
            requirements: statuses,
            freeze_epoch: vec![FREEZE_EPOCH; 32].into(),
        }
    }

    /// Keeps what people said, as far as it proves itself.
    fn hear(&self, approvals: &[pb::Envelope]) {
        let charter = self.shared.charter();
        let roster = &charter.roster;
        for envelope in approvals {
            let Ok(signed) = SignedApproval::open(envelope) else { continue };
            let said = &signed.approval;
            let facts = Facts {
                cluster: said.cluster.clone(),
                intent_id: said.intent_id,
                effects_digest: said.effects_digest,
                decoder_version: said.decoder_version,
                slice: said.slice,
                freeze_epoch: said.freeze_epoch,
            };
            if verify(&signed, roster, &facts, self.shared.clock.now_secs()).is_err() {
                continue;
            }
            let mut memory = self.memory.lock().unwrap();
            let held = memory.said.entry(said.intent_id).or_default();
            match said.verdict {
                Verdict::Approve => drop(held.approved.insert(said.person.clone())),
                Verdict::Withdraw => drop(held.approved.remove(&said.person)),
                Verdict::Reject => held.rejected = Some(format!("{} says: {}", said.person, said.reason)),
            }
        }
    }

    fn rejected(&self, id: &IntentId) -> Option<ApiError> {
        let memory = self.memory.lock().unwrap();
        let why = memory.said.get(id)?.rejected.clone()?;
        Some(ApiError::new(Code::Rejected, why))
    }

    /// How far it sees what the rules ask for; `None` if they ask for nothing.
    fn status_of(&self, id: &IntentId) -> Option<pb::RequirementStatus> {
        let asks = (*self.shared.asks.lock().unwrap())?;
        let now_ms = self.shared.clock.now_ms();
        let mut memory = self.memory.lock().unwrap();
        let held = memory.said.entry(*id).or_default();
        let lacking = asks.people.saturating_sub(held.approved.len());
        held.met_at_ms = if lacking == 0 { held.met_at_ms.or(Some(now_ms)) } else { None };
        let passed = held.met_at_ms.map_or(0, |since| now_ms - since);
        Some(pb::RequirementStatus {
            rule: "much".to_owned(),
            met: lacking == 0,
            missing: if lacking == 0 { String::new() } else { format!("{lacking} more of ops") },
            wait_ms: asks.delay_ms.saturating_sub(passed),
        })
    }

    /// Why it does not sign yet.
    fn too_early(&self, id: &IntentId) -> Option<pb::SignResponse> {
        let status = self.status_of(id)?;
        match (status.met, status.wait_ms) {
            (false, _) => Some(refusal(Code::ApprovalsMissing, &status.missing)),
            (true, 1..) => Some(refusal(Code::TimeLocked, "not yet")),
            (true, 0) => None,
        }
    }

    /// Waits until all members of the session have come, or the time is up.
    async fn join(&self, request: &pb::SignRequest) -> bool {
        let mut changes = self.shared.changed.subscribe();
        let session = request.session_id.to_vec();
        self.shared.joined.lock().unwrap().entry(session.clone()).or_default().insert(self.index);
        self.shared.changed.send_modify(|count| *count += 1);
        let all = async {
            loop {
                let here = self.shared.joined.lock().unwrap().get(&session).cloned().unwrap_or_default();
                if request.signers.iter().all(|signer| here.contains(signer)) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_millis(request.timeout_ms.into()), all).await.is_ok()
    }

    /// Whether certificates reserve what it claims of ledgers.
    fn is_reserved(&self, intent: &Intent, authorization: &pb::Authorization) -> bool {
        let charter = self.shared.charter();
        if charter.ledgers.is_empty() {
            return true;
        }
        let demands = charter.demands(intent, &self.shared.decoded(intent).effects).unwrap_or_default();
        let now_ms = self.shared.clock.now_ms();
        let covers = |demand: &Demand, one: &Certificate| {
            let claim = demand.at(&Price::quotes(&one.entry().prices));
            claim.is_ok_and(|claim| one.covers(&claim, &charter.hash(), now_ms).is_ok())
        };
        demands.into_iter().all(|(ledger, demand)| {
            authorization.reservations.iter().any(|envelope| {
                let certificate = Certificate::verify(envelope, &charter.ledgers[&ledger]);
                certificate.is_ok_and(|one| covers(&demand, &one))
            })
        })
    }

    /// Takes one nonce of its own if it has it; a used or unknown one is refused.
    fn take_nonce(&self, intent: &Intent, request: &pb::SignRequest) -> bool {
        let Some(mine) = request.nonces.iter().find(|nonce| nonce.signer == self.index) else { return true };
        let boot = vec![*self.boot.lock().unwrap(); 16];
        let mut memory = self.memory.lock().unwrap();
        let name = (intent.key_id.clone(), mine.index);
        if mine.boot != boot || mine.index >= *self.pool_end.lock().unwrap() || memory.nonces.contains(&name) {
            memory.refused_nonces += 1;
            return false;
        }
        memory.nonces.push(name);
        true
    }

    fn pools(&self) -> Vec<pb::NoncePool> {
        let end_index = *self.pool_end.lock().unwrap();
        let boot: bytes::Bytes = vec![*self.boot.lock().unwrap(); 16].into();
        let memory = self.memory.lock().unwrap();
        let next = |key: &str| memory.nonces.iter().filter(|(id, _)| id.as_str() == key).map(|(_, n)| n + 1).max();
        let pool = |key: &String| pb::NoncePool {
            key_id: key.clone(),
            boot: boot.clone(),
            next_index: next(key).unwrap_or_default(),
            end_index,
        };
        let frost = |share: &pb::KeyShareRecord| {
            let (order, _) = KeyGeneration::open(share.order.as_ref()?).ok()?;
            (order.protocol == Protocol::Frost).then(|| order.key_id.to_string())
        };
        let own = memory.keys.values().filter_map(frost).map(|key| pool(&key));
        own.chain(self.false_pools.lock().unwrap().iter().cloned()).collect()
    }
}

#[async_trait]
impl SignerPort for FakeSigner {
    async fn announce(&self, request: pb::AnnounceRequest) -> Result<pb::AnnounceResponse, CallError> {
        let mode = self.enter(false).await?;
        self.memory.lock().unwrap().announced += 1;
        self.hear(&request.approvals);
        self.memory.lock().unwrap().checks = request.external_checks;
        let envelope = request.intent.unwrap();
        let (intent, opened) = Intent::open(&envelope).unwrap();
        let requester = intent.requester.as_str();
        let key = self.shared.charter().requesters[&intent.requester].public_key;
        if mode == Mode::Disowns || opened.verify(requester, &key).is_err() {
            let message = format!("{requester} has not signed it");
            return Err(CallError::Refused(ApiError::new(Code::BadSignature, message)));
        }
        let (intent, _) = self.remember(&envelope);
        match self.rejected(&intent.id) {
            Some(error) => Err(CallError::Refused(error)),
            None => Ok(self.decision(&envelope, &mode)),
        }
    }

    async fn simulate(&self, request: pb::AnnounceRequest) -> Result<pb::AnnounceResponse, CallError> {
        let mode = self.enter(false).await?;
        let (intent, _) = Intent::open(request.intent.as_ref().unwrap()).unwrap();
        let decision = Some(pb::Decision { allowed: mode != Mode::Denies, ..Default::default() });
        Ok(pb::AnnounceResponse { intent_id: intent.id.as_bytes().to_vec().into(), decision, ..Default::default() })
    }

    async fn sign(&self, request: pb::SignRequest) -> Result<pb::SignResponse, CallError> {
        let mode = self.enter(false).await?;
        let envelope = request.authorization.clone().unwrap().intent.unwrap();
        let (intent, record) = self.remember(&envelope);
        self.hear(&request.authorization.as_ref().unwrap().approvals);
        self.memory.lock().unwrap().checks = request.authorization.as_ref().unwrap().external_checks.clone();
        if let Some(result) = record.result {
            let outcome = Some(pb::sign_response::Outcome::Signature(result));
            return Ok(pb::SignResponse { outcome, ..Default::default() });
        }
        match &mode {
            Mode::Refuses(code) => return Ok(refusal(*code, "the test says so")),
            Mode::Denies => return Ok(refusal(Code::PolicyDenied, "not here")),
            _ if record.stopped => return Ok(refusal(Code::Stopped, "stopped")),
            _ if intent.expires_at_secs < self.shared.clock.now_secs() => return Ok(refusal(Code::Expired, "late")),
            Mode::SaysMet => return Ok(refusal(Code::ApprovalsMissing, "it never was")),
            _ if self.rejected(&intent.id).is_some() => return Ok(refusal(Code::Rejected, "rejected")),
            _ if self.too_early(&intent.id).is_some() => return Ok(self.too_early(&intent.id).unwrap()),
            _ if !self.is_reserved(&intent, request.authorization.as_ref().unwrap()) => {
                return Ok(refusal(Code::ReservationMissing, "no certificate"));
            }
            _ if !self.take_nonce(&intent, &request) => return Ok(refusal(Code::NonceUnavailable, "no such nonce")),
            _ => {}
        }
        self.update(&intent.id, |record| record.allowed = true);
        if !self.join(&request).await {
            return Ok(refusal(Code::SessionTimeout, "the others did not come"));
        }
        let mut result = self.shared.sign(&intent);
        result.session_id = request.session_id.clone();
        result.signers = request.signers.clone();
        self.update(&intent.id, |record| record.result = Some(result.clone()));
        self.shared.made.lock().unwrap().push((intent.id, request.session_id.to_vec()));
        if mode == Mode::Lies {
            result.signature = vec![1; 64].into();
        }
        let outcome = Some(pb::sign_response::Outcome::Signature(result));
        Ok(pb::SignResponse { outcome, nonce_pool: self.pools().into_iter().next(), ..Default::default() })
    }

    async fn generate_key(&self, request: pb::GenerateKeyRequest) -> Result<pb::GenerateKeyResponse, CallError> {
        let mode = self.enter(false).await?;
        if let Mode::Refuses(code) = mode {
            let refusal = Some(ApiError::new(code, "the test says so").to_wire());
            return Ok(pb::GenerateKeyResponse { statement: None, refusal });
        }
        let envelope = request.order.unwrap();
        let (order, _) = KeyGeneration::open(&envelope).unwrap();
        let statement = KeyStatement {
            cluster: order.cluster.clone(),
            key_id: order.key_id.clone(),
            scheme: order.scheme,
            protocol: order.protocol,
            epoch: Epoch::FIRST,
            size: order.size,
            nodes: order.nodes.clone(),
            public_key: self.shared.public_key(order.scheme),
            chain_code: [7; 32],
            verifying_shares_hash: limen_wire::handover::statement_hash(SHARE),
            generation_id: order.id,
            was_whole: mode == Mode::Marks,
        };
        let statement = statement.sign(&self.id, &self.key);
        let share = pb::KeyShareRecord {
            statement: Some(statement.clone()),
            state: pb::KeyState::PreActive.into(),
            order: Some(envelope),
            key_id: order.key_id.to_string(),
            verifying_shares: vec![SHARE.into()],
            ..pb::KeyShareRecord::default()
        };
        let mut memory = self.memory.lock().unwrap();
        let name = order.key_id.to_string();
        let is_new = !memory.keys.contains_key(&name);
        memory.keys.entry(name.clone()).or_insert(share);
        let refusal = memory.withhold(&name, (1, order.id), is_new);
        let statement = statement_unless(refusal.as_ref(), statement);
        Ok(pb::GenerateKeyResponse { statement, refusal })
    }

    async fn hand_over_key(&self, request: pb::HandOverKeyRequest) -> Result<pb::HandOverKeyResponse, CallError> {
        let mode = self.enter(false).await?;
        if let Mode::Refuses(code) = mode {
            let refusal = Some(ApiError::new(code, "the test says so").to_wire());
            return Ok(pb::HandOverKeyResponse { statement: None, refusal });
        }
        let (order, _) = KeyHandover::open(&request.order.clone().unwrap()).unwrap();
        let present = KeyStatement::decode(&request.certificate.clone().unwrap()).unwrap();
        let mut memory = self.memory.lock().unwrap();
        memory.handed.push(request.clone());
        let share = memory.keys.entry(order.key_id.to_string()).or_default();
        share.key_id = order.key_id.to_string();
        if request.epoch <= share.burnt_epoch.max(present.epoch.0) {
            let refusal = Some(ApiError::new(Code::EpochTaken, "it is taken").to_wire());
            return Ok(pb::HandOverKeyResponse { statement: None, refusal });
        }
        share.burnt_epoch = request.epoch;
        if !order.nodes.contains(&self.id) {
            return Ok(pb::HandOverKeyResponse::default());
        }
        let next = KeyStatement {
            epoch: Epoch(request.epoch),
            protocol: order.protocol,
            size: order.size,
            nodes: order.nodes.clone(),
            verifying_shares_hash: limen_wire::handover::statement_hash(SHARE),
            generation_id: order.id,
            was_whole: present.was_whole || mode == Mode::Marks,
            ..present
        };
        let statement = next.sign(&self.id, &self.key);
        share.pending = Some(statement.clone());
        let refusal = memory.withhold(order.key_id.as_str(), (request.epoch, order.id), true);
        Ok(pb::HandOverKeyResponse { statement: statement_unless(refusal.as_ref(), statement), refusal })
    }

    async fn activate_key(&self, request: pb::ActivateKeyRequest) -> Result<pb::ActivateKeyResponse, CallError> {
        self.enter(false).await?;
        let certificate = request.certificate.unwrap();
        let charter = self.shared.charter();
        let statement = KeyStatement::from_certificate(&certificate, &*charter).unwrap();
        let mut memory = self.memory.lock().unwrap();
        let share = memory.keys.get_mut(statement.key_id.as_str()).unwrap();
        share.past_certificates.extend(share.certificate.take().filter(|_| statement.epoch > Epoch::FIRST));
        if request.order.is_some() {
            (share.handover, share.statement) = (request.order, share.pending.take());
        }
        share.certificate = Some(certificate);
        share.state = pb::KeyState::Active.into();
        Ok(pb::ActivateKeyResponse { state: share.state })
    }

    async fn list_backups(&self, _request: pb::ListBackupsRequest) -> Result<pb::ListBackupsResponse, CallError> {
        self.enter(false).await?;
        let backups = self.memory.lock().unwrap().backups(&self.id);
        Ok(pb::ListBackupsResponse { backups, missing: Vec::new() })
    }

    async fn fetch_backup(&self, request: pb::FetchBackupRequest) -> Result<pb::FetchBackupResponse, CallError> {
        self.enter(false).await?;
        Ok(pb::FetchBackupResponse { backup: None, file: request.key_id.into_bytes().into() })
    }

    /// Believes everything.
    async fn prove_backup(&self, request: pb::ProveBackupRequest) -> Result<pb::ProveBackupResponse, CallError> {
        self.enter(false).await?;
        self.memory.lock().unwrap().believe(&request.proof.unwrap());
        Ok(pb::ProveBackupResponse::default())
    }

    async fn presign(&self, _request: pb::PresignRequest) -> Result<pb::PresignResponse, CallError> {
        self.enter(false).await?;
        let mut memory = self.memory.lock().unwrap();
        memory.presigned += 1;
        Ok(pb::PresignResponse { refusal: None, pool_size: memory.presigned })
    }

    async fn stop(&self, request: pb::StopRequest) -> Result<pb::StopResponse, CallError> {
        self.enter(false).await?;
        let (record, opened) = Cancellation::open(request.record.as_ref().unwrap()).unwrap();
        let charter = self.shared.charter();
        let enrolled = &charter.requesters[&record.requester];
        opened.verify(record.requester.as_str(), &enrolled.public_key).unwrap();
        let mut memory = self.memory.lock().unwrap();
        let known = memory.intents.iter_mut().find(|known| known.intent_id.as_ref() == record.intent_id.as_bytes());
        let possibly_signed = known.as_ref().is_some_and(|known| known.allowed);
        if let Some(known) = known {
            known.stopped = true;
            known.stop.clone_from(&request.record);
        }
        let void = || limen_policy::ledger::void(&record.cluster, &record.intent_id, &self.id, &self.key);
        let void = (!possibly_signed).then(void);
        let void = match self.spoil_void.lock().unwrap().as_ref() {
            Some(spoil) => spoil(void),
            None => void,
        };
        Ok(pb::StopResponse { possibly_signed, void })
    }

    async fn take_charter(&self, _request: pb::TakeCharterRequest) -> Result<pb::TakeCharterResponse, CallError> {
        Err(CallError::Refused(ApiError::new(Code::WrongState, "this signer takes no versions of the charter")))
    }

    async fn list_charters(&self, _request: pb::ListChartersRequest) -> Result<pb::ListChartersResponse, CallError> {
        let versions = self.shared.versions.lock().unwrap().clone();
        Ok(pb::ListChartersResponse { versions, ..Default::default() })
    }

    async fn status(&self) -> Result<pb::StatusResponse, CallError> {
        self.enter(true).await?;
        let nonce_pools = self.pools();
        let boot = vec![*self.boot.lock().unwrap(); 16].into();
        let banned_peers = self.bans.lock().unwrap().clone();
        let charter_hash = self.shared.charter().hash().as_bytes().to_vec().into();
        let node = self.id.to_string();
        Ok(pb::StatusResponse { node, boot, banned_peers, nonce_pools, charter_hash, ..Default::default() })
    }

    async fn list_intents(&self, request: pb::ListIntentsRequest) -> Result<pb::ListIntentsResponse, CallError> {
        self.enter(false).await?;
        let memory = self.memory.lock().unwrap();
        // Small pages, so that paging is tested.
        let after = |record: &&pb::IntentRecord| record.sequence > request.after_sequence;
        let intents: Vec<_> = memory.intents.iter().filter(after).take(2).cloned().collect();
        let more = intents.last().is_some_and(|last| last.sequence < memory.intents.len() as u64);
        drop(memory);
        self.pages.fetch_add(1, Ordering::SeqCst);
        let page = pb::ListIntentsResponse { intents, more };
        Ok(match &*self.spoil.lock().unwrap() {
            Some(spoil) => spoil(&request, page),
            None => page,
        })
    }

    async fn list_key_shares(&self) -> Result<pb::ListKeySharesResponse, CallError> {
        self.enter(false).await?;
        Ok(pb::ListKeySharesResponse { shares: self.memory.lock().unwrap().keys.values().cloned().collect() })
    }
}

/// The way of one coordinator process to a signer: gone in the moment in which the process dies.
pub(crate) struct Wire {
    pub(crate) signer: Arc<FakeSigner>,
    pub(crate) cut: CancellationToken,
}

macro_rules! through {
    ($self:ident, $call:expr) => {{
        if $self.cut.is_cancelled() {
            return std::future::pending().await;
        }
        tokio::select! {
            biased;
            () = $self.cut.cancelled() => std::future::pending().await,
            answer = $call => answer,
        }
    }};
}

#[async_trait]
impl SignerPort for Wire {
    async fn announce(&self, request: pb::AnnounceRequest) -> Result<pb::AnnounceResponse, CallError> {
        through!(self, self.signer.announce(request))
    }
    async fn simulate(&self, request: pb::AnnounceRequest) -> Result<pb::AnnounceResponse, CallError> {
        through!(self, self.signer.simulate(request))
    }
    async fn sign(&self, request: pb::SignRequest) -> Result<pb::SignResponse, CallError> {
        // The signer goes on by itself when its caller dies.
        let signer = Arc::clone(&self.signer);
        through!(self, async { tokio::spawn(async move { signer.sign(request).await }).await.unwrap() })
    }
    async fn generate_key(&self, request: pb::GenerateKeyRequest) -> Result<pb::GenerateKeyResponse, CallError> {
        through!(self, self.signer.generate_key(request))
    }
    async fn hand_over_key(&self, request: pb::HandOverKeyRequest) -> Result<pb::HandOverKeyResponse, CallError> {
        through!(self, self.signer.hand_over_key(request))
    }
    async fn activate_key(&self, request: pb::ActivateKeyRequest) -> Result<pb::ActivateKeyResponse, CallError> {
        through!(self, self.signer.activate_key(request))
    }
    async fn list_backups(&self, request: pb::ListBackupsRequest) -> Result<pb::ListBackupsResponse, CallError> {
        through!(self, self.signer.list_backups(request))
    }
    async fn fetch_backup(&self, request: pb::FetchBackupRequest) -> Result<pb::FetchBackupResponse, CallError> {
        through!(self, self.signer.fetch_backup(request))
    }
    async fn prove_backup(&self, request: pb::ProveBackupRequest) -> Result<pb::ProveBackupResponse, CallError> {
        through!(self, self.signer.prove_backup(request))
    }
    async fn presign(&self, request: pb::PresignRequest) -> Result<pb::PresignResponse, CallError> {
        through!(self, self.signer.presign(request))
    }
    async fn stop(&self, request: pb::StopRequest) -> Result<pb::StopResponse, CallError> {
        through!(self, self.signer.stop(request))
    }
    async fn take_charter(&self, request: pb::TakeCharterRequest) -> Result<pb::TakeCharterResponse, CallError> {
        through!(self, self.signer.take_charter(request))
    }
    async fn list_charters(&self, request: pb::ListChartersRequest) -> Result<pb::ListChartersResponse, CallError> {
        through!(self, self.signer.list_charters(request))
    }
    async fn status(&self) -> Result<pb::StatusResponse, CallError> {
        through!(self, self.signer.status())
    }
    async fn list_intents(&self, request: pb::ListIntentsRequest) -> Result<pb::ListIntentsResponse, CallError> {
        through!(self, self.signer.list_intents(request))
    }
    async fn list_key_shares(&self) -> Result<pb::ListKeySharesResponse, CallError> {
        through!(self, self.signer.list_key_shares())
    }
}

/// An envelope as any requester could seal it.
pub(crate) fn seal(
    payload_type: envelope::PayloadType,
    message: &impl prost::Message,
    who: &str,
    key: &SigningKey,
) -> pb::Envelope {
    envelope::seal(payload_type, message.encode_to_vec(), who, key)
}
