//! Requests whose limits a committee certifies: members that keep the real promises, and do as the test says.

mod ceiling;
mod lies;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use limen_coordinator::intake;
use limen_coordinator::ledger::LedgerPort;
use limen_coordinator::lifecycle::State;
use limen_coordinator::signers::CallError;
use limen_policy::check::{self, Attested};
use limen_policy::ledger::{
    Certificate, Claim, Committee, Durable, Entry, Hint, Judge, KeySigners, Limit, Member, Price, Proposal, Refusal,
    Scope, Wanted, common,
};
use limen_wire::error::Code;
use limen_wire::ids::{CharterHash, CommitteeHash, IntentId, NodeId};
use limen_wire::intent::Intent;
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::async_trait;

use crate::disk::Disk;
use crate::fake::{Mode, Shared};
use crate::world::{CHAIN, Running, World, machine, seal_as, seal_intent, until};

/// The witness's key.
pub(crate) const WITNESS: u8 = 50;

/// A ledger of three signers and a witness, and a limit of what one day may cost.
pub(crate) fn charter(limit: &str) -> String {
    format!(
        "[[witnesses]]\nid = \"witness-1\"\naddress = \"127.0.0.1:7050\"\npublic_key = \"{}\"\n\
         [[ledgers]]\nid = \"main\"\nmembers = [\"signer-1\", \"signer-2\", \"signer-3\", \"witness-1\"]\nquorum = 3\n\
         corrupt = 1\n[[limits]]\nid = \"eth\"\nasset = \"eth\"\nper = \"all\"\nwindow_secs = 86400\nledger = \"main\"\n{limit}\n",
        machine(WITNESS).public_key()
    )
}

pub(crate) fn members(shared: &Arc<Shared>) -> Vec<Arc<FakeMember>> {
    let charter = shared.charter();
    let Some(committee) = charter.ledgers.values().next() else { return Vec::new() };
    let keys = (1..=3).chain([WITNESS]).map(machine);
    let member = |(index, key): (usize, SigningKey)| {
        let member = Member::new(Arc::clone(committee), Durable::genesis(committee));
        Arc::new(FakeMember {
            id: committee.members()[index].id.clone(),
            key,
            committee: Arc::clone(committee),
            shared: Arc::clone(shared),
            state: Mutex::new(Kept { member, shown: BTreeMap::new(), certificates: Vec::new() }),
            down: AtomicBool::new(false),
            lie: Mutex::default(),
            calls: AtomicU64::new(0),
        })
    };
    keys.enumerate().map(member).collect()
}

struct Kept {
    member: Member,
    shown: BTreeMap<IntentId, (Wanted, Attested)>,
    certificates: Vec<pb::Envelope>,
}

pub(crate) struct FakeMember {
    pub(crate) id: NodeId,
    key: SigningKey,
    committee: Arc<Committee>,
    shared: Arc<Shared>,
    state: Mutex<Kept>,
    down: AtomicBool,
    /// Its answer to every entry and to every wish that numbers be given up.
    lie: Mutex<Option<pb::LedgerRefusal>>,
    calls: AtomicU64,
}

/// The way of one coordinator process.
struct Way(Arc<FakeMember>, CancellationToken);

struct Knows<'a>(&'a Shared, &'a BTreeMap<IntentId, (Wanted, Attested)>, &'a Committee);

impl Knows<'_> {
    fn wanted(&self, intent: &IntentId) -> Result<&Wanted, String> {
        self.1.get(intent).map(|(wanted, _)| wanted).ok_or_else(|| "was not shown".to_owned())
    }
}

impl Judge for Knows<'_> {
    fn charter(&self) -> CharterHash {
        self.0.charter().hash()
    }
    fn limit(&self, scope: &Scope, claims: &[Claim]) -> Option<Limit> {
        let counted = claims.iter().filter(|claim| claim.charges.contains_key(scope));
        let told = counted.map(|claim| self.1.get(&claim.intent).map(|(_, attested)| attested));
        self.0.charter().ledger_room(self.2.ledger(), scope, told)
    }
    fn recompute(&self, entry: &Entry, intent: &IntentId) -> Result<Claim, String> {
        self.wanted(intent)?.demand.at(&Price::quotes(&entry.prices)).map_err(|error| error.to_string())
    }
    fn prices(&self, entry: &Entry) -> Result<Vec<Price>, String> {
        let all = entry.claims.iter().map(|claim| self.wanted(&claim.intent)).collect::<Result<Vec<_>, _>>()?;
        let quotes = common(all.into_iter().map(|one| (&one.demand, &one.quotes)));
        quotes.map(|quotes| Price::all(&quotes)).map_err(|error| error.to_string())
    }
    fn allows(&self, intent: &IntentId) -> Result<(), String> {
        let wanted = self.wanted(intent)?;
        wanted.demand.at(&wanted.quotes).map(drop).map_err(|error| error.to_string())
    }
    fn signers(&self, _intent: &IntentId) -> Option<KeySigners> {
        let charter = self.0.charter();
        let nodes = charter.nodes.iter().map(|node| (node.id.clone(), node.public_key)).collect();
        Some(KeySigners { nodes, required: 2, corrupt: 1 })
    }
    fn successor(&self) -> Option<CommitteeHash> {
        None
    }
}

impl FakeMember {
    pub(crate) fn port(self: &Arc<Self>, cut: CancellationToken) -> Arc<dyn LedgerPort> {
        Arc::new(Way(Arc::clone(self), cut))
    }

    fn refusal(&self, kept: &Kept, base: u64, refusal: &Refusal) -> pb::LedgerRefusal {
        let mut told = pb::LedgerRefusal::default();
        let after = usize::try_from(base).unwrap();
        match Hint::of(refusal, || kept.certificates[after..].to_vec()) {
            Hint::Behind { head } => {
                told.set_hint(pb::LedgerHint::Behind);
                told.number = head;
            }
            Hint::Certified(certificates) => {
                told.set_hint(pb::LedgerHint::Certified);
                told.certificates = certificates;
            }
            Hint::Bound { through } => {
                told.set_hint(pb::LedgerHint::Bound);
                told.number = through;
            }
            Hint::Unfit(intent) => {
                told.set_hint(pb::LedgerHint::Unfit);
                told.intent_id = intent.as_bytes().to_vec().into();
            }
            Hint::Stale => told.set_hint(pb::LedgerHint::Stale),
            Hint::Other => {}
        }
        told
    }

    fn learn(&self, kept: &mut Kept, envelope: &pb::Envelope) -> Result<(), Refusal> {
        let certificate = Certificate::verify(envelope, &self.committee).unwrap();
        let step = kept.member.learn(&certificate)?;
        if !step.changes().is_empty() {
            kept.certificates.push(envelope.clone());
        }
        kept.member.commit(step);
        Ok(())
    }

    fn promise(&self, kept: &mut Kept, request: &pb::LedgerReserveRequest) -> Result<Option<Entry>, Refusal> {
        for envelope in request.certificates.iter().chain(&request.base) {
            self.learn(kept, envelope)?;
        }
        if request.entry.is_empty() {
            return Ok(None);
        }
        let base = request.base.as_ref().map(|base| Certificate::verify(base, &self.committee).unwrap());
        let entry = Entry::decode(request.entry.clone()).unwrap();
        let proposal = Proposal::check(entry, base.as_ref(), &self.committee).unwrap();
        let now_ms = self.shared.clock.now_ms();
        let step = kept.member.acknowledge(&proposal, now_ms, &Knows(&self.shared, &kept.shown, &self.committee))?;
        Ok(Some(kept.member.commit(step)))
    }
}

impl Way {
    async fn enter(&self) -> Result<&FakeMember, CallError> {
        if self.1.is_cancelled() {
            std::future::pending::<()>().await;
        }
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        match self.0.down.load(Ordering::SeqCst) {
            true => Err(CallError::Unreachable("connection refused".to_owned())),
            false => Ok(&self.0),
        }
    }
}

#[async_trait]
impl LedgerPort for Way {
    async fn reserve(&self, request: pb::LedgerReserveRequest) -> Result<pb::LedgerReserveResponse, CallError> {
        let member = self.enter().await?;
        let mut kept = member.state.lock().unwrap();
        for requested in &request.requests {
            let (intent, _) = Intent::open(requested.intent.as_ref().unwrap()).unwrap();
            assert!(requested.key_certificate.is_some(), "a witness needs it");
            let (charter, now_secs) = (member.shared.charter(), member.shared.clock.now_ms() / 1000);
            let verify = |one| check::verify(one, &charter, &intent.id, now_secs).ok();
            let findings: Vec<_> = requested.external_checks.iter().filter_map(verify).collect();
            let attested = check::attested(&charter, &findings);
            let wanted = member.shared.wanted(&intent, &requested.external_checks);
            kept.shown.extend(wanted.into_iter().map(|one| (intent.id, (one, attested.clone()))));
        }
        let head = kept.member.durable().head.number;
        if let Some(lie) = member.lie.lock().unwrap().clone().filter(|_| !request.entry.is_empty()) {
            return Ok(pb::LedgerReserveResponse { acknowledgement: None, refusal: Some(lie), head });
        }
        let base = request
            .base
            .as_ref()
            .map_or(0, |base| Certificate::verify(base, &member.committee).unwrap().entry().number);
        let answer = member.promise(&mut kept, &request);
        let head = kept.member.durable().head.number;
        Ok(match answer {
            Ok(entry) => {
                let acknowledgement = entry.map(|entry| entry.acknowledge(&member.id, &member.key));
                pb::LedgerReserveResponse { acknowledgement, refusal: None, head }
            }
            Err(refusal) => {
                let refusal = Some(member.refusal(&kept, base, &refusal));
                pb::LedgerReserveResponse { acknowledgement: None, refusal, head }
            }
        })
    }

    async fn close(&self, request: pb::LedgerCloseRequest) -> Result<pb::LedgerCloseResponse, CallError> {
        let member = self.enter().await?;
        let mut kept = member.state.lock().unwrap();
        let head = kept.member.durable().head.number;
        if let Some(lie) = member.lie.lock().unwrap().clone() {
            return Ok(pb::LedgerCloseResponse { refusal: Some(lie), head, ..Default::default() });
        }
        match kept.member.close(request.through) {
            Ok(step) => {
                let closing = kept.member.commit(step);
                let acknowledged = &kept.member.durable().acknowledged;
                let named = closing.acknowledged.iter().map(|(number, _)| acknowledged[number].payload().clone());
                let entries = named.collect();
                let closing = Some(closing.sign(&member.committee, &member.id, &member.key));
                Ok(pb::LedgerCloseResponse { closing, entries, refusal: None, head })
            }
            Err(refusal) => {
                let refusal = Some(member.refusal(&kept, 0, &refusal));
                Ok(pb::LedgerCloseResponse { refusal, head, ..Default::default() })
            }
        }
    }

    async fn show(&self, request: pb::LedgerShowRequest) -> Result<pb::LedgerShowResponse, CallError> {
        let member = self.enter().await?;
        let kept = member.state.lock().unwrap();
        let after = usize::try_from(request.after).unwrap();
        // Small pages, so that paging is tested.
        let certificates = kept.certificates.iter().skip(after).take(2).cloned().collect();
        Ok(pb::LedgerShowResponse { certificates, head: kept.member.durable().head.number, before: None })
    }
}

impl World {
    pub(crate) fn set_down(&self, member: usize, down: bool) {
        self.members[member].down.store(down, Ordering::SeqCst);
    }
}

const HOLDS_THREE: &str = "max_amount = \"3.5\"";

#[tokio::test]
async fn requests_are_reserved_and_signed_until_the_limit_is_reached() {
    let world = World::with_ledger(HOLDS_THREE);
    let (_disk, running) = world.with_key().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        let (entry, _) = running.submit(&world.transfer(&format!("r-{number}"))).await.unwrap();
        ids.push(entry.record.id);
    }
    until("three signatures", || world.intents_signed() == 3).await;
    let mut waiting = Vec::new();
    for id in &ids {
        let record = running.until(id, |one| one.state == State::Signed || one.state == State::Reserved).await;
        waiting.extend((record.state == State::Reserved).then(|| record.error.unwrap()));
    }
    assert_eq!(waiting.len(), 2);
    assert!(waiting.iter().all(|error| error.code == Code::LimitReached), "{waiting:?}");
    assert_eq!(world.intents_signed(), 3);
}

#[tokio::test]
async fn what_waits_for_a_limit_expires() {
    let world = World::with_ledger("max_amount = \"0.5\"");
    let (_disk, running) = world.with_key().await;
    // One request alone is more than the limit ever holds.
    let (entry, _) = running.submit(&world.transfer("much")).await.unwrap();
    assert_eq!(entry.record.state, State::Denied);
    let world = World::with_ledger("max_count = 1");
    let (_disk, running) = world.with_key().await;
    let (first, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.in_state(&first.record.id, State::Signed).await;
    let (second, _) = running.submit(&world.transfer("two")).await.unwrap();
    running.in_state(&second.record.id, State::Reserved).await;
    world.advance(120);
    running.in_state(&second.record.id, State::Expired).await;
    assert_eq!(world.intents_signed(), 1);
}

#[tokio::test]
async fn any_one_member_may_be_down() {
    for down in 0..4 {
        let world = World::with_ledger(HOLDS_THREE);
        let (_disk, running) = world.with_key().await;
        world.set_down(down, true);
        let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
        running.in_state(&entry.record.id, State::Signed).await;
        // Another goes, the first comes back and learns what it missed.
        world.set_down(down, false);
        world.set_down((down + 1) % 4, true);
        let (entry, _) = running.submit(&world.transfer("two")).await.unwrap();
        running.in_state(&entry.record.id, State::Signed).await;
    }
}

#[tokio::test]
async fn with_two_members_down_it_waits_and_goes_on_by_itself() {
    let world = World::with_ledger(HOLDS_THREE);
    let (_disk, running) = world.with_key().await;
    world.set_down(0, true);
    world.set_down(3, true);
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let record = running.in_state(&entry.record.id, State::Reserved).await;
    assert_eq!(record.error.unwrap().code, Code::ReservationMissing);
    assert_eq!(world.intents_signed(), 0);
    world.set_down(3, false);
    running.in_state(&entry.record.id, State::Signed).await;
}

/// A restart, and an empty disk, go on from what the members show: what counted still counts.
#[tokio::test]
async fn a_coordinator_that_has_lost_its_memory_goes_on() {
    let world = World::with_ledger(HOLDS_THREE);
    let (disk, running) = world.with_key().await;
    for name in ["one", "two"] {
        let (entry, _) = running.submit(&world.transfer(name)).await.unwrap();
        running.in_state(&entry.record.id, State::Signed).await;
    }
    drop(running.stop(&disk).await);
    let running = world.start(&Disk::default()).await;
    until("its key", || running.key("treasury").is_some_and(|key| key.state == i32::from(pb::KeyState::Active))).await;
    let (third, _) = running.submit(&world.transfer("three")).await.unwrap();
    running.in_state(&third.record.id, State::Signed).await;
    let (fourth, _) = running.submit(&world.transfer("four")).await.unwrap();
    running.in_state(&fourth.record.id, State::Reserved).await;
    assert_eq!(world.intents_signed(), 3);
    let heads: BTreeSet<u64> =
        world.members.iter().map(|member| member.state.lock().unwrap().member.durable().head.number).collect();
    assert!(heads.last() >= Some(&3), "it went on where the members were: {heads:?}");
}

/// Every transfer of these tests burns the number 0: one takes it, and another only by name.
#[tokio::test]
async fn what_counts_once_is_claimed_for_every_request() {
    let world = World::with_claims("max_amount = \"9\"");
    let (_disk, running) = world.with_key().await;
    let words = pb::intent::Payload::EvmMessage(b"hello".to_vec().into());
    for envelope in [seal_intent("treasury", "words", CHAIN, words), world.transfer("one")] {
        let (entry, _) = running.submit(&envelope).await.unwrap();
        running.in_state(&entry.record.id, State::Signed).await;
    }
    let head = |member: &Arc<FakeMember>| member.state.lock().unwrap().member.durable().head.number;
    assert!(world.members.iter().any(|member| head(member) >= 1), "the second stands on the first");
    let first = Intent::open(&world.transfer("one")).unwrap().0.id;
    let (rival, _) = running.submit(&world.transfer("two")).await.unwrap();
    let waiting = running.in_state(&rival.record.id, State::Reserved).await;
    assert_eq!(waiting.error.unwrap().code, Code::NonceConflict);
    let mut raw = pb::Intent::decode(world.transfer("three").payload.as_ref()).unwrap();
    raw.replaces = first.as_bytes().to_vec().into();
    let (third, _) = running.submit(&seal_as(&raw)).await.unwrap();
    running.in_state(&third.record.id, State::Signed).await;
    assert_eq!(world.intents_signed(), 3);
}

/// Nothing is restarted; what was certified before the version counts after it, and a number that was split is settled.
#[tokio::test]
async fn limited_requests_go_on_across_versions_of_the_charter() {
    let world = World::governed(HOLDS_THREE);
    let (_disk, running) = world.with_key().await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.in_state(&entry.record.id, State::Signed).await;
    world.adopt(2, "max_sessions = 6", "max_sessions = 5");
    let (entry, _) = running.submit(&world.transfer("two")).await.unwrap();
    running.in_state(&entry.record.id, State::Signed).await;
    // Two of the members do not answer: what the others have promised is promised under the charter before.
    world.set_down(0, true);
    world.set_down(1, true);
    let (third, _) = running.submit(&world.transfer("three")).await.unwrap();
    running.in_state(&third.record.id, State::Reserved).await;
    world.adopt(3, "max_sessions = 6", "max_sessions = 4");
    world.set_down(0, false);
    world.set_down(1, false);
    running.in_state(&third.record.id, State::Signed).await;
    let (fourth, _) = running.submit(&world.transfer("four")).await.unwrap();
    let waiting = running.in_state(&fourth.record.id, State::Reserved).await;
    assert_eq!(waiting.error.unwrap().code, Code::LimitReached);
    assert_eq!(world.intents_signed(), 3);
}

/// What has expired is given back as well, once its requester cancels it: signers that never allowed it never will.
#[tokio::test]
async fn what_expired_unsigned_is_given_back_when_it_is_cancelled() {
    let world = World::with_ledger("max_count = 1");
    let (_disk, running) = world.with_key().await;
    for signer in &world.signers {
        *signer.mode.lock().unwrap() = Mode::Refuses(Code::Overloaded);
    }
    let (first, _) = running.submit(&world.transfer("one")).await.unwrap();
    let promised = |member: &&Arc<FakeMember>| !member.state.lock().unwrap().member.durable().acknowledged.is_empty();
    until("the reservation", || world.members.iter().filter(promised).count() >= 3).await;
    world.advance(61);
    running.in_state(&first.record.id, State::Expired).await;
    let mut later = pb::Intent::decode(world.transfer("two").payload).unwrap();
    later.expires_at_secs += 600;
    for signer in &world.signers {
        *signer.mode.lock().unwrap() = Mode::Up;
    }
    let (second, _) = running.submit(&seal_as(&later)).await.unwrap();
    let waiting = running.in_state(&second.record.id, State::Reserved).await;
    assert_eq!(waiting.error.unwrap().code, Code::LimitReached);
    let stranger = intake::cancel(&running.core, world.cancellation(&first.record.id, "other")).await.unwrap_err();
    assert_eq!(stranger.code, Code::UnknownRequest);
    // Said again it is asked for again: a signer may have been away.
    for _ in 0..2 {
        let ended = intake::cancel(&running.core, world.cancellation(&first.record.id, "backend")).await.unwrap();
        assert_eq!(ended.record.state, State::Expired);
    }
    running.in_state(&second.record.id, State::Signed).await;
    let signed = intake::cancel(&running.core, world.cancellation(&second.record.id, "backend")).await.unwrap_err();
    assert_eq!(signed.code, Code::WrongState);
}

/// The limit holds one: cancelled before anybody has allowed it, it makes place for another.
#[tokio::test]
async fn what_is_cancelled_before_it_was_allowed_is_given_back() {
    let world = World::with_ledger("max_count = 1");
    let (_disk, running) = world.with_key().await;
    let first = reserved(&world, &running).await;
    let (second, _) = running.submit(&world.transfer("two")).await.unwrap();
    let waiting = running.in_state(&second.record.id, State::Reserved).await;
    assert_eq!(waiting.error.unwrap().code, Code::LimitReached);
    cancel(&world, &running, &first).await;
    running.in_state(&second.record.id, State::Signed).await;
    assert_eq!(world.intents_signed(), 1);
}

/// A request that is reserved and that nobody allows.
async fn reserved(world: &World, running: &Running) -> IntentId {
    world.signers.iter().for_each(|signer| signer.set(Mode::Refuses(Code::Overloaded)));
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let promised = |member: &&Arc<FakeMember>| !member.state.lock().unwrap().member.durable().acknowledged.is_empty();
    until("the reservation", || world.members.iter().filter(promised).count() >= 3).await;
    entry.record.id
}

/// Cancels what nobody has allowed; signers allow again from then on.
async fn cancel(world: &World, running: &Running, id: &IntentId) {
    // Between two sessions it can be cancelled.
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(1));
    while intake::cancel(&running.core, world.cancellation(id, "backend")).await.is_err() {
        ticks.tick().await;
    }
    world.signers.iter().for_each(|signer| signer.set(Mode::Up));
    running.in_state(id, State::Cancelled).await;
}
