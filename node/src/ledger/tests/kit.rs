//! Three signers, a witness and one to take its place with real stores and guards, and a coordinator made of calls.

use std::sync::Arc;

use limen_policy::check::{self, Finding, Quotes};
use limen_policy::ledger::{Certificate, Claim, Committee, Durable, Hint, Limit, Output, Scope, Sequencer, Wanted};
use limen_wire::envelope::{PayloadType, payload_id};
use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, IntentId, KeyId, PartyIndex, Protocol, Scheme, SessionId};
use limen_wire::intent::seal_intent;
use limen_wire::keys::SigningKey;
use limen_wire::statement::{KeyStatement, combine};

use super::super::read::{claimed_in, released_in};
use super::super::*;
use crate::clock::{Millis, Uptime};
use crate::decisions::Keys;
use crate::guard::tests::pin_text;
use crate::guard::{self, KeyFacts, Reservations, SignToken, Verdict};
use crate::identity::Identity;
use crate::recent::Recent;
use crate::store::{Options, Store};

/// 2026-01-01, in milliseconds.
pub(super) const NOW: u64 = 1_767_225_600_000;
const GENERATOR: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
/// What each request of [`World::request`] takes, in wei: amount and largest fee.
pub(super) const EACH: u64 = 1_000 + 21_000;
pub(super) const WITNESS: usize = 3;
/// In no charter at first.
pub(super) const SPARE: usize = 4;

pub(super) struct Machine {
    pub(super) id: NodeId,
    pub(super) key: SigningKey,
    identity: Identity,
    pub(super) folder: tempfile::TempDir,
    pub(super) store: Option<Store>,
    keys: Keys,
    recent: Recent,
    pub(super) ledgers: Ledgers,
    pub(super) down: bool,
}

pub(super) struct World {
    pub(super) charter: Arc<Charter>,
    pub(super) text: String,
    pub(super) machines: Vec<Machine>,
    pub(super) certificate: pb::Envelope,
    /// What checkers found, shown with each request.
    pub(super) checks: BTreeMap<IntentId, Vec<pb::Envelope>>,
    backend: SigningKey,
    pub(super) now_ms: u64,
    /// So many peers stand well with each machine.
    pub(super) standing: Standing,
    sessions: u64,
}

#[derive(Debug)]
pub(super) struct Standing(pub(super) usize);

impl Peers for Standing {
    fn stand(&self, needed: usize) -> Result<(), ApiError> {
        match needed <= self.0 {
            true => Ok(()),
            false => Err(ApiError::new(Code::NoStanding, format!("{needed} are needed"))),
        }
    }
}

fn p256() -> SigningKey {
    SigningKey::from_pkcs8_pem(&rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap()
}

/// The same key, as a node holds it.
fn identity(key: &SigningKey) -> Identity {
    match key {
        SigningKey::P256(key) => SigningKey::P256(key.clone()).into(),
        SigningKey::Ed25519(key) => SigningKey::Ed25519(key.clone()).into(),
    }
}

fn text(keys: &[SigningKey], backend: &SigningKey, (top, limit): (&str, &str)) -> String {
    let mut text = format!(
        "version = 1\ncluster = \"test\"\ndanger_development = true\n{top}\
         [bounds]\nmax_sessions = 100\nmax_expiry_secs = 2000000\n"
    );
    for (index, key) in keys.iter().enumerate().take(SPARE) {
        let (table, id) = if index == WITNESS { ("witnesses", "w".to_owned()) } else { ("nodes", format!("n{index}")) };
        let key = key.public_key();
        text += &format!("[[{table}]]\nid = \"{id}\"\naddress = \"h:{}\"\npublic_key = \"{key}\"\n", 7000 + index);
    }
    let (coordinator, backend) = (p256().public_key(), backend.public_key());
    for ledger in ["main", "other"] {
        text += &format!(
            "[[ledgers]]\nid = \"{ledger}\"\nmembers = [\"n0\", \"n1\", \"n2\", \"w\"]\nquorum = 3\ncorrupt = 1\n\
             reservation_secs = 60\n"
        );
    }
    text + &format!(
        "[[coordinators]]\nid = \"c\"\npublic_key = \"{coordinator}\"\n\
         [[requesters]]\nid = \"backend\"\npublic_key = \"{backend}\"\nduties = [\"request\"]\n\
         [assets.eth]\nchain = \"eip155:31337\"\nsymbol = \"ETH\"\ndecimals = 18\n\
         [[limits]]\nid = \"eth\"\nasset = \"eth\"\nper = \"all\"\nwindow_secs = 3600\nledger = \"main\"\n{limit}\n\
         [[rules]]\nname = \"eth\"\nallow = \"transfer\"\nasset = \"eth\"\nmax_amount = \"1\"\ndestinations = \"anywhere\"\n\
         [[rules]]\nname = \"gas\"\nallow = \"fee\"\nasset = \"eth\"\nmax_amount = \"1\"\n\
         [[rules]]\nname = \"hello\"\nallow = \"message\"\n"
    )
}

/// So many requests' worth, as the charter writes it.
pub(super) fn worth(requests: u64) -> String {
    format!("0.{:018}", requests * EACH)
}

impl World {
    /// A limit that holds so many requests, of which so many are set aside.
    pub(super) fn new(holds: u64, aside: u64) -> Self {
        Self::limited(&format!("max_amount = \"{}\"\nsplit_amount = \"{}\"", worth(holds), worth(aside)))
    }

    /// A limit that holds so many requests, and a ledger that keeps what counts once besides.
    pub(super) fn claiming(holds: u64) -> Self {
        Self::under("claims = \"main\"\n", &format!("max_amount = \"{}\"", worth(holds)))
    }

    pub(super) fn limited(limit: &str) -> Self {
        Self::under("", limit)
    }

    pub(super) fn under(top: &str, limit: &str) -> Self {
        let backend = SigningKey::ed25519_from_seed(&zeroize::Zeroizing::new([1; 32]));
        let keys: Vec<SigningKey> = (0..=SPARE).map(|_| p256()).collect();
        let text = text(&keys, &backend, (top, limit));
        let charter = Arc::new(Charter::from_toml(&text).unwrap());
        let nodes: Vec<NodeId> = charter.nodes.iter().map(|node| node.id.clone()).collect();
        let statement = KeyStatement {
            cluster: ClusterId::new("test").unwrap(),
            key_id: KeyId::new("hot").unwrap(),
            scheme: Scheme::EcdsaSecp256k1,
            protocol: Protocol::Dkls23,
            epoch: Epoch::FIRST,
            size: CommitteeSize::new(2, 3).unwrap(),
            nodes: nodes.clone(),
            public_key: hex::decode(GENERATOR).unwrap(),
            chain_code: [7; 32],
            verifying_shares_hash: [8; 32],
            generation_id: IntentId::new([9; 32]),
            was_whole: false,
        };
        let stated: Vec<_> = nodes.iter().zip(&keys).map(|(node, key)| statement.sign(node, key)).collect();
        let certificate = combine(&stated).unwrap();
        let facts = keys::facts(statement).unwrap();
        let ids = nodes.into_iter().chain([charter.witnesses[0].id.clone(), NodeId::new("spare").unwrap()]);
        let machines =
            ids.zip(keys).enumerate().map(|(index, (id, key))| Machine::new(index, id, key, &facts)).collect();
        let checks = BTreeMap::new();
        let standing = Standing(1);
        Self { charter, text, machines, certificate, checks, backend, now_ms: NOW, standing, sessions: 0 }
    }

    /// Another charter comes into force at all machines.
    pub(super) fn adopt(&mut self, from: &str, to: &str) {
        assert!(self.text.contains(from), "{from}");
        self.text = self.text.replacen(from, to, 1);
        self.charter = Arc::new(Charter::from_toml(&self.text).unwrap());
    }

    pub(super) fn keeper(&self, member: usize) -> Keeper<'_> {
        let Machine { id, identity, store, keys, recent, ledgers, .. } = &self.machines[member];
        let now = Now { wall: Millis(self.now_ms), uptime: Uptime(self.now_ms - NOW) };
        let store = store.as_ref().unwrap();
        pin_text(store, &self.charter, &self.text);
        Keeper {
            decisions: Decisions { charter: Arc::clone(&self.charter), store, keys, recent, now },
            ledgers,
            me: id,
            identity,
            peers: &self.standing,
        }
    }

    /// Kills a machine and starts it again from its disk.
    pub(super) fn restart(&mut self, member: usize) {
        let machine = &mut self.machines[member];
        drop(machine.store.take());
        machine.store = Some(open(&machine.folder, &machine.id));
        (machine.recent, machine.ledgers) = (Recent::default(), Ledgers::default());
    }

    /// A signed transfer under its own number.
    pub(super) fn request(&self, number: u64) -> pb::Envelope {
        self.transfer(&format!("r-{number}"), number, 1_000, None)
    }

    /// A signed transfer of so many wei.
    pub(super) fn transfer(&self, key: &str, number: u64, wei: u128, replaces: Option<IntentId>) -> pb::Envelope {
        use limen_chain::evm::{Eip1559Fees, Transfer, transfer};
        use limen_wire::effects::{Address, Amount, ChainId};
        let to = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
        let transfer_of = Transfer { chain: ChainId::eip155(31337), to, amount: Amount::from_u128(wei) };
        let fees = Eip1559Fees { nonce: number, gas_limit: 21_000, max_fee_per_gas: 1, max_priority_fee_per_gas: 1 };
        let payload = pb::intent::Payload::EvmTransaction(transfer(&transfer_of, &fees).unwrap().into());
        self.seal(key, payload, replaces)
    }

    pub(super) fn seal(&self, key: &str, payload: pb::intent::Payload, replaces: Option<IntentId>) -> pb::Envelope {
        let raw = pb::Intent {
            version: 1,
            cluster: "test".to_owned(),
            requester: "backend".to_owned(),
            idempotency_key: key.to_owned(),
            key_id: "hot".to_owned(),
            chain: "eip155:31337".to_owned(),
            expires_at_secs: NOW / 1000 + 100_000,
            payload: Some(payload),
            replaces: replaces.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default(),
            ..pb::Intent::default()
        };
        seal_intent(&raw, &self.backend).unwrap().1
    }

    /// Its requester cancels it.
    pub(super) fn cancellation(&self, id: &IntentId) -> pb::Envelope {
        let record = pb::Cancellation {
            version: 1,
            cluster: "test".to_owned(),
            requester: "backend".to_owned(),
            intent_id: Bytes::copy_from_slice(id.as_bytes()),
            reason: "no longer wanted".to_owned(),
        };
        limen_wire::envelope::seal(PayloadType::Cancellation, record.encode_to_vec(), "backend", &self.backend)
    }

    pub(super) fn requested(&self, envelope: &pb::Envelope) -> pb::LedgerRequested {
        let key_certificate = Some(self.certificate.clone());
        let (intent, external_checks) = (Some(envelope.clone()), self.checks_of(envelope));
        pb::LedgerRequested { intent, key_certificate, external_checks, ..Default::default() }
    }

    fn checks_of(&self, envelope: &pb::Envelope) -> Vec<pb::Envelope> {
        let id = payload_id(PayloadType::Intent, &envelope.payload);
        self.checks.get(&id).cloned().unwrap_or_default()
    }

    /// What was found about a request and holds.
    pub(super) fn findings(&self, id: &IntentId) -> Vec<Finding> {
        let verify = |one| check::verify(one, &self.charter, id, self.now_ms / 1000).ok();
        self.checks.get(id).into_iter().flatten().filter_map(verify).collect()
    }

    /// A limit with the room for these claims, as an honest coordinator knows it.
    fn room(&self, scope: &Scope, claims: &[Claim]) -> Option<Limit> {
        let told = |id: &IntentId| check::attested(&self.charter, &self.findings(id));
        let told: Vec<_> =
            claims.iter().filter(|claim| claim.charges.contains_key(scope)).map(|claim| told(&claim.intent)).collect();
        let main = self.charter.ledgers.keys().next().unwrap();
        self.charter.ledger_room(main, scope, told.iter().map(Some))
    }

    /// What a request takes of the first ledger, and at which prices.
    pub(super) fn wanted(&self, envelope: &pb::Envelope) -> Wanted {
        let demands = self.keeper(0).decisions.examine(envelope).unwrap().demands(&self.charter).unwrap();
        let demand = demands.into_values().next().unwrap();
        Wanted { quotes: Quotes::of(&self.findings(&demand.intent)), demand }
    }

    pub(super) fn claim(&self, envelope: &pb::Envelope) -> Claim {
        let Wanted { demand, quotes } = self.wanted(envelope);
        demand.at(&quotes).unwrap()
    }

    /// A signer's decision on signing with another one.
    pub(super) async fn sign(
        &mut self,
        signer: usize,
        envelope: &pb::Envelope,
        reservations: &[pb::Envelope],
    ) -> Result<SignToken, ApiError> {
        let other = if signer == 0 { 2 } else { 1 };
        self.sign_among(signer, other, envelope, reservations).await
    }

    /// The same with this party.
    pub(super) async fn sign_among(
        &mut self,
        signer: usize,
        other: u32,
        envelope: &pb::Envelope,
        reservations: &[pb::Envelope],
    ) -> Result<SignToken, ApiError> {
        self.sessions += 1;
        let session = SessionId::new(limen_wire::ids::tagged_hash("test", [&self.sessions.to_be_bytes()[..]]));
        let mut set = [u32::try_from(signer).unwrap() + 1, other];
        set.sort_unstable();
        // Nobody keeps a log here.
        let call =
            guard::SignCall { leaf_patience_ms: u64::MAX, ..guard::sign_call(session.as_bytes(), &set).unwrap() };
        let decisions = self.keeper(signer).decisions;
        let checks = self.checks_of(envelope);
        let papers = approvals::Papers { approvals: &[], checks: &checks };
        let examined = decisions.priced(decisions.examine(envelope).unwrap(), &papers);
        let mut shown = decisions.show(&examined, &papers).unwrap();
        shown.reservations = Reservations::read(&self.charter, &examined, reservations, 10_000);
        match decisions.sign(examined, call, envelope.clone(), shown).await.unwrap().verdict {
            Verdict::Allowed(token) => Ok(token),
            Verdict::Refused(error) => Err(error),
            Verdict::Repeat(_) => panic!("nothing is kept here"),
        }
    }

    /// Who keeps the ledger by the charter.
    pub(super) fn committee(&self) -> Arc<Committee> {
        Arc::clone(self.charter.ledgers.values().next().unwrap())
    }

    pub(super) fn carrier(&self) -> Carrier {
        let committee = self.committee();
        let view = Durable::genesis(&committee);
        Carrier::new(Sequencer::new(committee, self.charter.hash(), view, None, 1_000))
    }

    /// Reserves one request through a carrier; its certificate.
    pub(super) async fn reserve(&mut self, carrier: &mut Carrier, envelope: &pb::Envelope) -> Option<Certificate> {
        let id = payload_id(PayloadType::Intent, &envelope.payload);
        carrier.submit(self, envelope);
        carrier.work(self).await;
        let found = |one: &&Certificate| one.entry().claims.iter().any(|claim| claim.intent == id);
        carrier.certified.iter().rev().find(found).cloned()
    }
}

impl Machine {
    fn new(index: usize, id: NodeId, key: SigningKey, facts: &KeyFacts) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(open(&folder, &id));
        let keys = Keys::default();
        if index < WITNESS {
            let me = PartyIndex::new(u16::try_from(index).unwrap() + 1).unwrap();
            let held = KeyFacts { me, ..facts.clone() };
            keys.write().unwrap().insert(held.public.key.clone(), Arc::new(held));
        }
        let (recent, ledgers) = (Recent::default(), Ledgers::default());
        let identity = identity(&key);
        Self { id, key, identity, folder, store, keys, recent, ledgers, down: false }
    }
}

fn open(folder: &tempfile::TempDir, id: &NodeId) -> Store {
    Store::open(folder.path(), Options::new(id.clone(), ClusterId::new("test").unwrap())).unwrap()
}

/// A coordinator of one ledger.
pub(super) struct Carrier {
    /// The committee that its calls name, if it is not the charter's.
    pub(super) committee: Option<pb::LedgerCommittee>,
    pub(super) sequencer: Sequencer,
    pub(super) certified: Vec<Certificate>,
    pub(super) dropped: Vec<IntentId>,
    pub(super) requests: BTreeMap<IntentId, pb::LedgerRequested>,
}

pub(super) fn call(entry: &Entry, base: Option<&Certificate>) -> pb::LedgerReserveRequest {
    pb::LedgerReserveRequest {
        ledger: entry.ledger.to_string(),
        entry: entry.payload().clone(),
        base: base.map(|base| base.envelope().clone()),
        ..pb::LedgerReserveRequest::default()
    }
}

fn hint(refusal: &pb::LedgerRefusal) -> Hint {
    match refusal.hint() {
        pb::LedgerHint::Behind => Hint::Behind { head: refusal.number },
        pb::LedgerHint::Certified => Hint::Certified(refusal.certificates.clone()),
        pb::LedgerHint::Bound => Hint::Bound { through: refusal.number },
        pb::LedgerHint::Unfit => Hint::Unfit(IntentId::from_slice(&refusal.intent_id).unwrap()),
        pb::LedgerHint::Stale => Hint::Stale,
        pb::LedgerHint::Unspecified | pb::LedgerHint::Unsealed => Hint::Other,
    }
}

impl Carrier {
    pub(super) fn new(sequencer: Sequencer) -> Self {
        let (certified, dropped, requests) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { committee: None, sequencer, certified, dropped, requests }
    }

    pub(super) fn submit(&mut self, world: &World, envelope: &pb::Envelope) {
        let wanted = world.wanted(envelope);
        self.requests.insert(wanted.demand.intent, world.requested(envelope));
        self.sequencer.submit(wanted);
    }

    /// Remembers a request that somebody else has proposed.
    pub(super) fn remember(&mut self, world: &World, envelope: &pb::Envelope) {
        self.requests.insert(payload_id(PayloadType::Intent, &envelope.payload), world.requested(envelope));
    }

    /// Until nothing is on its way, or no more than so many rounds of waiting.
    pub(super) async fn work(&mut self, world: &mut World) {
        for _ in 0..40 {
            let outputs = self.sequencer.tick(world.now_ms, &|scope, claims| world.room(scope, claims));
            let quiet = outputs.is_empty() && self.sequencer.is_idle();
            self.perform(world, outputs).await;
            if quiet {
                return;
            }
            world.now_ms += 250;
        }
    }

    async fn perform(&mut self, world: &World, outputs: Vec<Output>) {
        let mut waiting = std::collections::VecDeque::from(outputs);
        while let Some(output) = waiting.pop_front() {
            waiting.extend(self.one(world, output).await);
        }
    }

    async fn one(&mut self, world: &World, output: Output) -> Vec<Output> {
        let index = |to: &NodeId| world.machines.iter().position(|machine| machine.id == *to).unwrap();
        match output {
            Output::Propose { to, .. }
            | Output::Teach { to, .. }
            | Output::Relay { to, .. }
            | Output::Close { to, .. }
                if world.machines[index(&to)].down =>
            {
                Vec::new()
            }
            Output::Propose { to, entry, base } => {
                let named = claimed_in(&entry).map(|(_, id)| id).chain(released_in(&entry).map(|(_, id)| id));
                let requests = named.filter_map(|id| self.requests.get(&id).cloned()).collect();
                let committee = self.committee.clone();
                let call = pb::LedgerReserveRequest { requests, committee, ..call(&entry, base.as_deref()) };
                let answer = world.keeper(index(&to)).reserve(call).await.unwrap().response;
                match (answer.acknowledgement, answer.refusal) {
                    (Some(acknowledgement), _) => self.sequencer.acknowledged(&to, acknowledgement),
                    (None, Some(refusal)) => self.sequencer.hinted(&to, hint(&refusal), world.now_ms),
                    (None, None) => panic!("an entry was shown"),
                }
            }
            Output::Teach { to, certificates } => {
                for page in certificates.chunks(limits::LEDGER_PAGE) {
                    let certificates = page.iter().map(|one| one.envelope().clone()).collect();
                    let (ledger, committee) = ("main".to_owned(), self.committee.clone());
                    let call = pb::LedgerReserveRequest { ledger, certificates, committee, ..Default::default() };
                    world.keeper(index(&to)).reserve(call).await.unwrap();
                }
                Vec::new()
            }
            Output::Relay { .. } => panic!("nobody is away for so long here"),
            Output::Close { to, through } => {
                let call =
                    pb::LedgerCloseRequest { ledger: "main".to_owned(), through, committee: self.committee.clone() };
                let answer = world.keeper(index(&to)).close(call).await.unwrap();
                match (answer.closing, answer.refusal) {
                    (Some(closing), _) => self.sequencer.closed(&to, closing, answer.entries, world.now_ms),
                    (None, Some(refusal)) => self.sequencer.hinted(&to, hint(&refusal), world.now_ms),
                    (None, None) => panic!("it closes or says why not"),
                }
            }
            Output::Certified(certificate) => {
                self.certified.push(*certificate);
                Vec::new()
            }
            Output::Barred { successor } => panic!("{successor} is what the charter names here"),
            Output::Dropped { intent, .. } => {
                self.dropped.push(intent);
                Vec::new()
            }
        }
    }
}
