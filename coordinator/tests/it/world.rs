//! A cluster of fake signers with a coordinator that can be started, stopped, killed and wiped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limen_coordinator::clock::Clock;
use limen_coordinator::config::{Limits, Presign, Timing};
use limen_coordinator::context::{Core, Parts};
use limen_coordinator::lifecycle::{Record, State};
use limen_coordinator::signers::{SignerPort, Signers};
use limen_coordinator::store::{Entry, Store};
use limen_coordinator::{intake, keys, run};
use limen_policy::charter::Charter;
use limen_policy::succession::facts;
use limen_wire::approval::{Proof, SignedApproval, Verdict};
use limen_wire::charter::SignedCharter;
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::envelope::PayloadType;
use limen_wire::error::ApiError;
use limen_wire::ids::{IntentId, Protocol, Scheme};
use limen_wire::intent::{protocol_to_wire, scheme_to_wire};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use zeroize::Zeroizing;

use crate::disk::Disk;
use crate::fake::{FakeSigner, Shared, Wire, seal};
use crate::ledger::{self, FakeMember};
use crate::log::FakeNode;

pub(crate) const START_SECS: u64 = 1_700_000_000;
pub(crate) const CHAIN: &str = "eip155:31337";
/// No test waits longer for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Who approves, in these tests.
pub(crate) const PEOPLE: [&str; 3] = ["anna", "ben", "carol"];
/// How the charter changes, where it does.
const GOVERNANCE: &str = "[governance]\nnumber = 1\nparents = []\nquorum = \"1 of ops\"\nloosening_delay_secs = 3600\n\
    guardians = \"ops\"\nunfreeze = \"1 of ops\"\nunfreeze_delay_secs = 0\n";
/// The number of the external checker's key.
pub(crate) const CHECKER: u8 = 120;

/// Requesters sign with Ed25519 keys, machines with P-256 keys.
pub(crate) fn identity(number: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&Zeroizing::new([number; 32]))
}

pub(crate) fn machine(number: u8) -> SigningKey {
    SigningKey::P256(p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap())
}

fn text(signers: u8, more: &str) -> String {
    let mut text =
        String::from("version = 1\ncluster = \"test\"\ndanger_development = true\n[bounds]\nmax_sessions = 6\n");
    for number in 1..=signers {
        let key = machine(number).public_key();
        text += &format!(
            "[[nodes]]\nid = \"signer-{number}\"\naddress = \"127.0.0.1:{}\"\npublic_key = \"{key}\"\n",
            7000 + u16::from(number)
        );
    }
    text += &format!("[[coordinators]]\nid = \"coordinator-1\"\npublic_key = \"{}\"\n", machine(99).public_key());
    for (name, number, duties) in [("backend", 100, "request"), ("other", 101, "request"), ("officer", 102, "keys")] {
        let key = identity(number).public_key();
        text += &format!("[[requesters]]\nid = \"{name}\"\npublic_key = \"{key}\"\nduties = [\"{duties}\"]\n");
    }
    for (number, person) in PEOPLE.into_iter().enumerate() {
        let key = identity(110 + u8::try_from(number).unwrap()).public_key();
        text += &format!("[[people]]\nid = \"{person}\"\n[[people.credentials]]\nid = \"{person}-laptop\"\n");
        text += &format!("public_key = \"{key}\"\nclass = \"terminal\"\n");
    }
    let key = identity(CHECKER).public_key();
    text += &format!("[[checkers]]\nid = \"screening\"\npublic_key = \"{key}\"\nmax_age_secs = 600\n");
    text += "[groups.ops]\nmembers = [\"anna\", \"ben\", \"carol\"]\n";
    text += "[assets.eth]\nchain = \"eip155:31337\"\nsymbol = \"ETH\"\ndecimals = 18\n";
    text += "[[rules]]\nname = \"eth\"\nallow = \"transfer\"\nasset = \"eth\"\nmax_amount = \"10\"\ndestinations = \"anywhere\"\n";
    text += "[[rules]]\nname = \"gas\"\nallow = \"fee\"\nasset = \"eth\"\nmax_amount = \"1\"\n";
    text += "[[rules]]\nname = \"words\"\nallow = \"message\"\n";
    text + more
}

pub(crate) struct World {
    pub(crate) signers: Vec<Arc<FakeSigner>>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) now_ms: Arc<AtomicU64>,
    pub(crate) clock: Clock,
    pub(crate) charter: Charter,
    pub(crate) text: String,
    pub(crate) members: Vec<Arc<FakeMember>>,
    pub(crate) log: Vec<Arc<FakeNode>>,
}

/// One coordinator process.
pub(crate) struct Running {
    pub(crate) core: Arc<Core>,
}

impl World {
    pub(crate) fn new(signers: u8) -> Self {
        Self::under(text(signers, ""), signers)
    }

    /// Three signers and a witness that keep a limit.
    pub(crate) fn with_ledger(limit: &str) -> Self {
        Self::under(text(3, &ledger::charter(limit)), 3)
    }

    /// Three signers and a witness that keep a limit in money, in which the checker knows prices.
    pub(crate) fn in_money(max_amount: &str) -> Self {
        let limit = format!("currency = \"usd\"\nmax_amount = \"{max_amount}\"\n[currencies.usd]\ndecimals = 2");
        let text = text(3, &ledger::charter(&limit));
        Self::under(text.replacen("max_age_secs = 600", "max_age_secs = 600\nprices_in = [\"usd\"]", 1), 3)
    }

    /// The same as with a ledger, where every request claims there what counts once.
    pub(crate) fn with_claims(limit: &str) -> Self {
        let text = text(3, &ledger::charter(limit)).replacen("[bounds]", "claims = \"main\"\n[bounds]", 1);
        Self::under(text, 3)
    }

    /// The same as with a ledger, under a charter that anna changes.
    pub(crate) fn governed(limit: &str) -> Self {
        Self::under(text(3, &(ledger::charter(limit) + GOVERNANCE)), 3)
    }

    /// Under a charter by which signers freeze a requester by themselves, with these rules more.
    pub(crate) fn freezing(more: &str) -> Self {
        let bound = "automatic_freeze = { refused = 3, within_secs = 600 }\n";
        Self::under(text(3, &format!("{GOVERNANCE}{bound}{more}")), 3)
    }

    fn under(text: String, signers: u8) -> Self {
        let charter = Charter::from_toml(&text).unwrap();
        let now_ms = Arc::new(AtomicU64::new(START_SECS * 1000));
        let reading = Arc::clone(&now_ms);
        let clock = Clock::new(move || reading.load(Ordering::SeqCst));
        let shared = Shared::new(charter.clone(), clock.clone());
        let signers = (1..=signers).map(|number| FakeSigner::new(number.into(), machine(number), &shared)).collect();
        let members = ledger::members(&shared);
        Self { signers, shared, now_ms, clock, charter, text, members, log: Vec::new() }
    }

    /// The signers put a version of the first charter into force that anna has signed.
    pub(crate) fn adopt(&self, number: u64, from: &str, to: &str) {
        let parent = self.shared.charter().hash();
        let head = format!("number = {number}\nparents = [\"{parent}\"]");
        let text = self.text.replacen("number = 1\nparents = []", &head, 1).replacen(from, to, 1);
        let version = Charter::from_toml(&text).unwrap();
        let who = (PEOPLE[0].parse().unwrap(), format!("{}-laptop", PEOPLE[0]).parse().unwrap());
        let approval = facts(&version).draft(who, Verdict::Approve, (START_SECS + 3600, [3; 32]));
        let proof = Proof::Signature(identity(110).sign(approval.digest().as_bytes()));
        let signed = SignedCharter { text, approvals: vec![SignedApproval { approval, proof }] };
        let hash = version.hash().as_bytes().to_vec().into();
        let view = pb::CharterView { hash, number, signed: Some(signed.to_envelope()), ..Default::default() };
        self.shared.versions.lock().unwrap().push(view);
        *self.shared.in_force.lock().unwrap() = Arc::new(version);
    }

    pub(crate) fn advance(&self, secs: u64) {
        self.now_ms.fetch_add(secs * 1000, Ordering::SeqCst);
    }

    /// A coordinator on this disk, not yet started.
    pub(crate) fn core(&self, disk: &Disk, presign: Vec<Presign>, limits: Limits) -> Running {
        let store = Store::open_backend(disk.clone(), &self.charter.cluster).unwrap();
        let cut = disk.crashed.clone();
        let port = |signer: &Arc<FakeSigner>| {
            let wire: Arc<dyn SignerPort> = Arc::new(Wire { signer: Arc::clone(signer), cut: cut.clone() });
            (signer.id.clone(), self.charter.node_key(&signer.id).unwrap(), wire)
        };
        let signers = Signers::new(self.signers.iter().map(port).collect());
        let core = Core::new(Parts {
            charter: self.charter.clone(),
            clock: self.clock.clone(),
            store,
            signers,
            ledgers: self.members.iter().map(|member| (member.id.clone(), member.port(cut.clone()))).collect(),
            log: self.log.iter().map(|node| (node.id.clone(), node.port(cut.clone()))).collect(),
            limits,
            timing: timing(),
            presign,
        });
        Running { core }
    }

    pub(crate) async fn start(&self, disk: &Disk) -> Running {
        let running = self.core(disk, Vec::new(), Limits::default());
        run::start(&running.core).await.unwrap();
        running
    }

    /// A coordinator with the key `treasury` (ECDSA, 2 of all) in use.
    pub(crate) async fn with_key(&self) -> (Disk, Running) {
        let disk = Disk::default();
        let running = self.start(&disk).await;
        running.create(&self.order("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23)).await.unwrap();
        // New shares are ordered for keys whose members all have the certificate.
        running.key_until("treasury", |key| key.progress.starts_with("active on all")).await;
        (disk, running)
    }

    pub(crate) fn order(&self, key_id: &str, scheme: Scheme, protocol: Protocol) -> pb::Envelope {
        let order = pb::KeyGeneration {
            version: 1,
            cluster: "test".to_owned(),
            requester: "officer".to_owned(),
            key_id: key_id.to_owned(),
            scheme: scheme_to_wire(scheme),
            protocol: protocol_to_wire(protocol),
            signers_required: 2,
            nodes: self.signers.iter().map(|signer| signer.id.to_string()).collect(),
            expires_at_secs: START_SECS + 600,
            imported: None,
        };
        seal(PayloadType::KeyGeneration, &order, "officer", &identity(102))
    }

    /// A transfer of one ETH by the treasury.
    pub(crate) fn transfer(&self, name: &str) -> pb::Envelope {
        self.transfer_of(name, 1)
    }

    pub(crate) fn transfer_of(&self, name: &str, eth: u128) -> pb::Envelope {
        self.transfer_at(name, eth, 0)
    }

    /// A transfer that spends this number of the account.
    pub(crate) fn transfer_at(&self, name: &str, eth: u128, nonce: u64) -> pb::Envelope {
        let chain = ChainId::new(CHAIN).unwrap();
        let to = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
        let transfer =
            limen_chain::evm::Transfer { chain, to, amount: Amount::from_u128(eth * 1_000_000_000_000_000_000) };
        let fees = limen_chain::evm::Eip1559Fees {
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 1_000_000_000,
            max_priority_fee_per_gas: 1,
        };
        let bytes = limen_chain::evm::transfer(&transfer, &fees).unwrap();
        seal_intent("treasury", name, CHAIN, pb::intent::Payload::EvmTransaction(bytes.into()))
    }

    pub(crate) fn cancellation(&self, id: &IntentId, who: &str) -> pb::Envelope {
        let record = pb::Cancellation {
            version: 1,
            cluster: "test".to_owned(),
            requester: who.to_owned(),
            intent_id: id.as_bytes().to_vec().into(),
            reason: "no longer wanted".to_owned(),
        };
        seal(PayloadType::Cancellation, &record, who, &identity(if who == "other" { 101 } else { 100 }))
    }

    /// How many different intents were signed.
    pub(crate) fn intents_signed(&self) -> usize {
        let made = self.shared.made.lock().unwrap();
        made.iter().map(|(intent, _)| *intent).collect::<std::collections::BTreeSet<_>>().len()
    }
}

/// Waits for something that the store does not announce.
pub(crate) async fn until(what: &str, wanted: impl Fn() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let found = async {
        while !wanted() {
            tick.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, found).await.is_ok(), "waited in vain: {what}");
}

pub(crate) fn intent(key_id: &str, name: &str, chain: &str, payload: pb::intent::Payload) -> pb::Intent {
    pb::Intent {
        version: 1,
        cluster: "test".to_owned(),
        requester: "backend".to_owned(),
        idempotency_key: name.to_owned(),
        key_id: key_id.to_owned(),
        chain: chain.to_owned(),
        payload: Some(payload),
        expires_at_secs: START_SECS + 60,
        ..Default::default()
    }
}

pub(crate) fn seal_intent(key_id: &str, name: &str, chain: &str, payload: pb::intent::Payload) -> pb::Envelope {
    seal_as(&intent(key_id, name, chain, payload))
}

pub(crate) fn seal_as(intent: &pb::Intent) -> pb::Envelope {
    seal(PayloadType::Intent, intent, &intent.requester, &identity(if intent.requester == "other" { 101 } else { 100 }))
}

fn timing() -> Timing {
    Timing {
        status_interval: Duration::from_millis(10),
        status_timeout: Duration::from_millis(150),
        call_timeout: Duration::from_millis(400),
        session_timeout: Duration::from_millis(400),
        keygen_timeout: Duration::from_millis(600),
        primes_timeout: Duration::ZERO,
        retry_base: Duration::from_millis(2),
        retry_max: Duration::from_millis(10),
        ask_interval: Duration::from_millis(20),
        rebuild_patience: Duration::from_millis(300),
        shutdown: Duration::from_secs(2),
    }
}

impl Running {
    pub(crate) async fn submit(&self, envelope: &pb::Envelope) -> Result<(Entry, bool), ApiError> {
        intake::submit(&self.core, envelope.clone()).await
    }

    pub(crate) async fn create(&self, order: &pb::Envelope) -> Result<pb::Key, ApiError> {
        keys::create(&self.core, order.clone(), Vec::new()).await
    }

    pub(crate) fn record(&self, id: &IntentId) -> Record {
        self.core.store.request(id).unwrap().unwrap().record
    }

    /// The request, once it is as wanted.
    pub(crate) async fn until(&self, id: &IntentId, wanted: impl Fn(&Record) -> bool) -> Record {
        let mut changes = self.core.store.subscribe();
        let found = async {
            loop {
                let record = self.record(id);
                if wanted(&record) {
                    return record;
                }
                drop(changes.recv().await);
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(record) => record,
            Err(_) => panic!("waited in vain, it is {:?}", self.record(id)),
        }
    }

    pub(crate) async fn in_state(&self, id: &IntentId, state: State) -> Record {
        let record = self.until(id, |record| record.state == state || record.state.is_end()).await;
        assert_eq!(record.state, state, "{:?}", record.error);
        record
    }

    pub(crate) fn key(&self, key_id: &str) -> Option<pb::Key> {
        let request = pb::ListKeysRequest { key_id: key_id.to_owned() };
        keys::list(&self.core, &request).unwrap().keys.into_iter().next()
    }

    pub(crate) async fn key_in_state(&self, key_id: &str, state: pb::KeyState) -> pb::Key {
        self.key_until(key_id, |key| key.state == i32::from(state)).await
    }

    pub(crate) async fn key_until(&self, key_id: &str, wanted: impl Fn(&pb::Key) -> bool) -> pb::Key {
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        let found = async {
            loop {
                if let Some(key) = self.key(key_id).filter(|key| wanted(key)) {
                    return key;
                }
                tick.tick().await;
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(key) => key,
            Err(_) => panic!("waited in vain, the key is {:?}", self.key(key_id)),
        }
    }

    /// A graceful stop; the disk can then be opened again.
    pub(crate) async fn stop(self, disk: &Disk) -> Disk {
        run::stop(&self.core, timing().shutdown).await;
        disk.after_crash()
    }
}
