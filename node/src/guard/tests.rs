mod bans;
mod leaves;
mod orders;
mod p256;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::sync::Arc;

use limen_mpc::Point;
use limen_policy::charter::Charter;
use limen_wire::error::Code;
use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, Protocol, Scheme};
use limen_wire::intent::seal_intent;
use limen_wire::keys::SigningKey;
use limen_wire::pb;

use super::*;
use crate::clock::{Millis, Now, Uptime};

const NOW: Millis = Millis(1_000_000_000);
const MOMENT: Now = Now { wall: NOW, uptime: Uptime(5_000) };

struct FakeView {
    in_force: InForce,
    intents: RefCell<HashMap<IntentId, KnownIntent>>,
    holders: RefCell<HashMap<[u8; 16], IntentId>>,
    sessions: BTreeSet<SessionId>,
    stopped: BTreeSet<IntentId>,
    counted: (Tally, u64),
    freezes: Freezes,
    missing: MissingLeaves,
    banned: BTreeMap<NodeId, Ban>,
    key_names: usize,
    key_order: Option<(IntentId, bool)>,
    key_epochs: Option<KeyEpochs>,
}

/// A ban of this node in session 7 7 7 …, made when the key `treasury` was in that epoch.
fn banned(node: &str, treasury: Option<u64>) -> BTreeMap<NodeId, Ban> {
    let tainted = treasury.map(|epoch| (KeyId::new("treasury").unwrap(), Epoch(epoch))).into_iter().collect();
    [(NodeId::new(node).unwrap(), Ban { session: SessionId::new([7; 32]), tainted })].into()
}

impl Default for FakeView {
    fn default() -> Self {
        Self {
            in_force: InForce { hash: charter().hash(), fork: None },
            freezes: Freezes::default(),
            intents: RefCell::default(),
            holders: RefCell::default(),
            sessions: BTreeSet::new(),
            stopped: BTreeSet::new(),
            counted: (Tally::Denied, 0),
            missing: MissingLeaves::default(),
            banned: BTreeMap::new(),
            key_names: 0,
            key_order: None,
            key_epochs: None,
        }
    }
}

impl JournalView for FakeView {
    type Error = Infallible;
    fn in_force(&self) -> Result<InForce, Infallible> {
        Ok(self.in_force)
    }
    fn intent(&self, id: &IntentId) -> Result<Option<KnownIntent>, Infallible> {
        Ok(self.intents.borrow().get(id).cloned())
    }
    fn holder(&self, claim: ClaimKey) -> Result<Option<IntentId>, Infallible> {
        Ok(self.holders.borrow().get(&claim.0).copied())
    }
    fn session_seen(&self, session: &SessionId) -> Result<bool, Infallible> {
        Ok(self.sessions.contains(session))
    }
    fn stopped(&self, intent: &IntentId, requester: &RequesterId) -> Result<bool, Infallible> {
        Ok(requester.as_str() == "backend" && self.stopped.contains(intent))
    }
    fn freezes(&self) -> Result<Freezes, Infallible> {
        Ok(self.freezes.clone())
    }
    fn counted(&self, tally: Tally, _requester: &RequesterId) -> Result<u64, Infallible> {
        Ok(if tally == self.counted.0 { self.counted.1 } else { 0 })
    }
    fn meter(&self, _charge: &limen_policy::decide::Charge) -> Result<Meter, Infallible> {
        Ok(Meter::default())
    }
    fn missing_leaves(&self) -> Result<MissingLeaves, Infallible> {
        Ok(self.missing)
    }
    fn ban(&self, peer: &NodeId) -> Result<Option<Ban>, Infallible> {
        Ok(self.banned.get(peer).cloned())
    }
    fn key_names(&self) -> Result<usize, Infallible> {
        Ok(self.key_names)
    }
    fn key_epochs(&self, _key: &KeyId) -> Result<Option<KeyEpochs>, Infallible> {
        Ok(self.key_epochs.clone())
    }
    fn key_order(&self, _key: &KeyId) -> Result<Option<(IntentId, bool)>, Infallible> {
        Ok(self.key_order)
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&zeroize::Zeroizing::new([seed; 32]))
}

pub(crate) fn charter_text() -> String {
    let sample = include_str!("../../../policy/development.sample.toml");
    let backend = "ed25519:ed8c64439f826884c32facb6b4a93ceb29c863758bf8679a2eddbf0f30e9639b";
    let security = "ed25519:512905d6c7beb47434803eb885ed14ac7489dc5c643c1ff669594f677440ef99";
    // What counts once is each signer's own here: certificates have tests of their own, and so have ceilings, which need them.
    let (before, ceilings) = sample.split_once("# The most of an asset").unwrap();
    let after = ceilings.find("# How this charter").unwrap();
    let sample = format!("{before}{}", &ceilings[after..]).replace("claims = \"main\"\n", "");
    sample.replace(backend, &key(1).public_key().to_string()).replace(security, &key(2).public_key().to_string())
}

/// Makes a charter the one in force at a store that has none or another.
pub(crate) fn pin(store: &crate::store::Store, charter: &Charter) {
    pin_text(store, charter, "");
}

/// The same with its text.
pub(crate) fn pin_text(store: &crate::store::Store, charter: &Charter, text: &str) {
    let lineage = store.view().unwrap().lineage().unwrap();
    if lineage.is_some_and(|lineage| lineage.in_force() == charter.hash()) {
        return;
    }
    let (charter, text, time) = (charter.clone(), text.to_owned(), Now { wall: NOW, uptime: Uptime(0) });
    store.write_blocking(move |txn| crate::charters::pin(txn, &charter, text, time)).unwrap();
}

pub(crate) fn charter() -> Charter {
    Charter::from_toml(&charter_text()).unwrap()
}

/// The generator of secp256k1: a public key like any other.
const GENERATOR: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

pub(crate) fn facts() -> KeyFacts {
    let public = KeyPublic {
        cluster: ClusterId::new("sample").unwrap(),
        key: KeyId::new("treasury").unwrap(),
        epoch: Epoch::FIRST,
        scheme: Scheme::EcdsaSecp256k1,
        protocol: Protocol::Dkls23,
        size: CommitteeSize::new(2, 3).unwrap(),
        public_key: Point::secp256k1(&hex::decode(GENERATOR).unwrap()).unwrap(),
        chain_code: [7; 32],
        verifying_shares: BTreeMap::new(),
    };
    let nodes = (1..=3).map(|n| NodeId::new(format!("signer-{n}")).unwrap()).collect();
    KeyFacts { public, nodes, me: PartyIndex::new(1).unwrap(), active: true, moved: false }
}

pub(crate) fn transfer(nonce: u64, name: &str) -> pb::Intent {
    use limen_chain::evm::{Eip1559Fees, Transfer, transfer};
    use limen_wire::effects::{Address, Amount, ChainId};
    let to = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
    let mut amount = [0; 32];
    amount[31] = 9;
    let transfer_of = Transfer { chain: ChainId::eip155(31337), to, amount: Amount::from_be_bytes(amount) };
    let fees = Eip1559Fees { nonce, gas_limit: 21_000, max_fee_per_gas: 1, max_priority_fee_per_gas: 1 };
    pb::Intent {
        version: 1,
        cluster: "sample".to_owned(),
        requester: "backend".to_owned(),
        idempotency_key: name.to_owned(),
        key_id: "treasury".to_owned(),
        chain: "eip155:31337".to_owned(),
        expires_at_secs: NOW.as_secs() + 60,
        payload: Some(pb::intent::Payload::EvmTransaction(transfer(&transfer_of, &fees).unwrap().into())),
        ..pb::Intent::default()
    }
}

pub(crate) fn sealed(raw: &pb::Intent) -> pb::Envelope {
    seal_intent(raw, &key(1)).unwrap().1
}

pub(crate) fn examined(raw: &pb::Intent) -> Examined {
    examined_under(&charter(), raw)
}

pub(crate) fn examined_under(charter: &Charter, raw: &pb::Intent) -> Examined {
    let envelope = sealed(raw);
    examine(charter, &Arc::default(), |_| Some(Arc::new(facts())), &envelope, MOMENT).unwrap()
}

/// A journal that has noted the intent and nothing else.
pub(crate) fn noted(examined: &Examined) -> impl JournalView<Error = Infallible> + use<> {
    FakeView::knowing(examined)
}

/// The same under rules that do not allow it.
pub(crate) fn denied(raw: &pb::Intent) -> Examined {
    let mut examined = examined(raw);
    examined.decision.allowed = false;
    examined.decision.for_good = true;
    examined
}

fn call(session: u8) -> SignCall {
    sign_call(&[session; 32], &[1, 2]).unwrap()
}

fn known() -> KnownIntent {
    KnownIntent {
        sessions: 0,
        allowed: false,
        life_ends: None,
        ended: false,
        result: None,
        nonce_claim: None,
        requester: RequesterTag::of("backend"),
        metered: BTreeSet::new(),
    }
}

impl FakeView {
    fn knowing(examined: &Examined) -> Self {
        let in_force = InForce { hash: examined.charter, fork: None };
        let view = Self { in_force, ..Self::default() };
        view.intents.borrow_mut().insert(examined.intent.id, known());
        view.holders.borrow_mut().insert(examined.idempotency_claim().0, examined.intent.id);
        view
    }
}

fn admit(view: &FakeView, examined: Examined, call: SignCall, now: Millis) -> Verdict<SignToken> {
    let Ok(verdict) = admit_sign(
        view,
        &charter(),
        examined,
        call,
        (&Progress::default(), &Reservations::default()),
        Now { wall: now, uptime: Uptime(0) },
    );
    verdict
}

fn refused(verdict: Verdict<SignToken>) -> Code {
    match verdict {
        Verdict::Refused(error) => error.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_allowed_intent_gives_a_token_whose_record_says_everything() {
    let examined = examined(&transfer(5, "a"));
    let (id, digest) = (examined.intent.id, examined.effects_digest);
    let view = FakeView::knowing(&examined);
    let Verdict::Allowed(token) = admit(&view, examined, call(9), NOW) else { panic!("allowed") };
    let record = token.record();
    assert_eq!(record.intent, *id.as_bytes());
    assert_eq!((record.session, record.signers), ([9; 32], vec![1, 2]));
    assert_eq!((record.charter, record.effects), (*charter().hash().as_bytes(), digest));
    assert_eq!((record.key.as_str(), record.epoch), ("treasury", 1));
    assert_eq!(token.params().intent, id);
}

#[test]
fn whatever_single_thing_is_wrong_there_is_no_token() {
    let raw = transfer(5, "a");
    let good = || examined(&raw);
    let fresh = || FakeView::knowing(&good());
    let later = Millis(NOW.0 + 61_000);
    assert_eq!(refused(admit(&fresh(), good(), call(1), later)), Code::Expired);
    assert_eq!(refused(admit(&FakeView::default(), good(), call(1), NOW)), Code::Internal, "never noted");
    let other = CharterHash::new([9; 32]);
    let view = FakeView { in_force: InForce { hash: other, fork: None }, ..fresh() };
    assert_eq!(
        refused(admit(&view, good(), call(1), NOW)),
        Code::CharterChanged,
        "the caller's charter is not in force"
    );
    let before = Examined { charter: other, ..good() };
    assert_eq!(refused(admit(&fresh(), before, call(1), NOW)), Code::CharterChanged, "examined under another");
    let forked = InForce { fork: Some(other), ..fresh().in_force };
    assert_eq!(refused(admit(&FakeView { in_force: forked, ..fresh() }, good(), call(1), NOW)), Code::CharterFork);
    let view = FakeView { sessions: BTreeSet::from([SessionId::new([1; 32])]), ..fresh() };
    assert_eq!(refused(admit(&view, good(), call(1), NOW)), Code::SessionDead);
    let view = FakeView { stopped: BTreeSet::from([good().intent.id]), ..fresh() };
    assert_eq!(refused(admit(&view, good(), call(1), NOW)), Code::Stopped);
    let view = FakeView { banned: banned("signer-2", None), ..fresh() };
    assert_eq!(refused(admit(&view, good(), call(1), NOW)), Code::PeerBanned);
    let view = FakeView { banned: banned("signer-3", None), ..fresh() };
    assert!(matches!(admit(&view, good(), call(1), NOW), Verdict::Allowed(_)), "signer 3 takes no part");
    let cut_off = SignCall { no_standing: Some(ApiError::new(Code::NoStanding, "alone")), ..call(1) };
    assert_eq!(refused(admit(&fresh(), good(), cut_off, NOW)), Code::NoStanding);
    let live = |scope: &str| {
        let (scope, person) = (scope.parse().unwrap(), "carla".parse().unwrap());
        let freeze = limen_policy::freeze::Live { scope, person, reason: "burglars".to_owned() };
        Freezes { live: BTreeMap::from([(IntentId::new([1; 32]), freeze)]), ..Freezes::default() }
    };
    let view = FakeView { freezes: live("key:treasury"), ..fresh() };
    assert_eq!(refused(admit(&view, good(), call(1), NOW)), Code::Frozen);
    let view = FakeView { freezes: live("key:other"), ..fresh() };
    assert!(matches!(admit(&view, good(), call(1), NOW), Verdict::Allowed(_)), "a freeze of something else");
    let view = fresh();
    let max = charter().bounds.max_sessions;
    view.intents.borrow_mut().insert(good().intent.id, KnownIntent { sessions: max, ..known() });
    assert_eq!(refused(admit(&view, good(), call(1), NOW)), Code::TooManySessions);
    view.intents.borrow_mut().insert(good().intent.id, KnownIntent { ended: true, ..known() });
    assert_eq!(refused(admit(&view, good(), call(1), NOW)), Code::TooManySessions);
    let view = fresh();
    view.intents.borrow_mut().insert(good().intent.id, KnownIntent { life_ends: Some(Uptime(0)), ..known() });
    assert_eq!(refused(admit(&view, good(), call(1), NOW)), Code::Expired, "by the running time");
    view.intents.borrow_mut().insert(good().intent.id, KnownIntent { life_ends: Some(Uptime(1)), ..known() });
    assert!(matches!(admit(&view, good(), call(1), NOW), Verdict::Allowed(_)), "a millisecond is left");
    let mut inactive = good();
    inactive.key = Arc::new(KeyFacts { active: false, ..facts() });
    assert_eq!(refused(admit(&fresh(), inactive, call(1), NOW)), Code::KeyNotActive);
    let mut denied = good();
    denied.decision.allowed = false;
    assert_eq!(refused(admit(&fresh(), denied, call(1), NOW)), Code::PolicyDenied);
    for signers in [&[2, 3][..], &[1, 2, 3], &[1, 4]] {
        let call = sign_call(&[1; 32], signers).unwrap();
        assert_eq!(refused(admit(&fresh(), good(), call, NOW)), Code::BadSignerSet, "{signers:?}");
    }
}

/// The charter in force at the decision says where the key stands, whatever was examined before.
#[test]
fn a_key_out_of_use_is_refused_in_the_decision() {
    let under = |state: &str| {
        let mark = format!("\n[[keys]]\nkey = \"treasury\"\nstate = \"{state}\"\n");
        Charter::from_toml(&(charter_text() + &mark)).unwrap()
    };
    let decided = |charter: &Charter| {
        let examined = examined_under(charter, &transfer(5, "a"));
        let view = FakeView::knowing(&examined);
        let (progress, time) = (Progress::default(), Now { wall: NOW, uptime: Uptime(0) });
        let Ok(verdict) = admit_sign(&view, charter, examined, call(1), (&progress, &Reservations::default()), time);
        verdict
    };
    for (state, code) in
        [("suspended", Code::KeySuspended), ("deactivated", Code::KeyRetired), ("compromised", Code::KeyRetired)]
    {
        let charter = under(state);
        assert_eq!(refused(decided(&charter)), code);
        // Nor does a ledger reserve for it, nor is anything made ahead.
        let examined = examined_under(&charter, &transfer(5, "a"));
        let view = FakeView::knowing(&examined);
        let Ok(claim) = admit_claim(&view, &charter, &examined, &Progress::default(), NOW);
        assert_eq!(claim.unwrap_err().code, code);
        let ahead = KeyFacts { public: KeyPublic { protocol: Protocol::Cggmp24, ..facts().public }, ..facts() };
        let asked = presign_call(Arc::new(ahead), &[], &[2; 32], &[1, 2]).unwrap();
        let Ok(verdict) = admit_presign(&view, &charter, asked);
        assert!(matches!(verdict, Verdict::Refused(error) if error.code == code));
    }
    // What was examined before the version came into force is examined anew.
    let (before, after) = (charter(), under("suspended"));
    let examined = examined_under(&before, &transfer(5, "a"));
    let view = FakeView { in_force: InForce { hash: after.hash(), fork: None }, ..FakeView::knowing(&examined) };
    assert_eq!(refused(admit(&view, examined, call(1), NOW)), Code::CharterChanged);
    let sweep = "compromised\"\nsweep_to = [\"exchange\"]\nreason = \"lost";
    assert!(matches!(decided(&under(sweep)), Verdict::Allowed(_)), "it goes to the exchange");
}

#[test]
fn a_result_is_repeated_whatever_else_holds() {
    let good = examined(&transfer(5, "a"));
    let view = FakeView { sessions: BTreeSet::from([SessionId::new([1; 32])]), ..FakeView::knowing(&good) };
    let result = StoredSignature { signature: vec![1; 64], recovery_id: 0, session: vec![2; 32], signers: vec![1, 3] };
    let id = good.intent.id;
    view.intents.borrow_mut().insert(id, KnownIntent { result: Some(result.clone()), ..known() });
    let expired = Millis(NOW.0 + 1_000_000);
    assert!(matches!(admit(&view, good, call(1), expired), Verdict::Repeat(stored) if stored == result));
}

#[test]
fn numbers_change_hands_only_by_name() {
    let first = examined(&transfer(5, "a"));
    let second = examined(&transfer(5, "b"));
    let view = FakeView::knowing(&second);
    view.holders.borrow_mut().insert(first.nonce_claim().unwrap().0, first.intent.id);
    assert_eq!(refused(admit(&view, second, call(1), NOW)), Code::NonceConflict);
    let replacing = |nonce, replaced: &IntentId| {
        let mut raw = transfer(nonce, "c");
        raw.replaces = replaced.as_bytes().to_vec().into();
        examined(&raw)
    };
    let third = replacing(5, &first.intent.id);
    let view = FakeView { holders: view.holders, ..FakeView::knowing(&third) };
    assert!(matches!(admit(&view, third, call(1), NOW), Verdict::Allowed(_)));
    let wrong = replacing(5, &IntentId::new([9; 32]));
    let view = FakeView { holders: view.holders, ..FakeView::knowing(&wrong) };
    assert_eq!(refused(admit(&view, wrong, call(1), NOW)), Code::NonceConflict, "names somebody else");
    let other_number = replacing(6, &first.intent.id);
    let view = FakeView::knowing(&other_number);
    let claim = first.nonce_claim();
    view.intents.borrow_mut().insert(first.intent.id, KnownIntent { nonce_claim: claim, ..known() });
    assert_eq!(refused(admit(&view, other_number, call(1), NOW)), Code::NonceConflict, "another number");
    let of_a_stranger = replacing(5, &first.intent.id);
    let view = FakeView::knowing(&of_a_stranger);
    view.holders.borrow_mut().insert(claim.unwrap().0, first.intent.id);
    let stranger = RequesterTag::of("somebody");
    let foreign = KnownIntent { nonce_claim: claim, requester: stranger, ..known() };
    view.intents.borrow_mut().insert(first.intent.id, foreign);
    assert_eq!(refused(admit(&view, of_a_stranger, call(1), NOW)), Code::NonceConflict, "another requester's");
}

#[test]
fn requests_that_no_rule_allows_are_bounded() {
    let (charter, refused, free) = (charter(), denied(&transfer(5, "a")), examined(&transfer(5, "b")));
    let mut waiting = examined(&transfer(5, "c"));
    (waiting.decision.allowed, waiting.decision.for_good) = (false, false);
    let most = charter.bounds.max_denied;
    let sight = |counted, examined: &Examined| {
        let Ok(sight) = first_sight(&FakeView { counted, ..FakeView::default() }, &charter, examined, NOW);
        sight
    };
    let is_full = |sight| matches!(sight, FirstSight::Refused(error) if error.code == Code::Overloaded);
    for (tally, one, other) in [(Tally::Denied, &refused, &waiting), (Tally::Waiting, &waiting, &refused)] {
        assert_eq!(sight((tally, most - 1), one), FirstSight::New);
        assert!(is_full(sight((tally, most), one)), "{tally:?}");
        assert_eq!(sight((tally, most), other), FirstSight::New, "neither takes places of the other");
        assert_eq!(sight((tally, most), &free), FirstSight::New, "what the rules allow has no part in the bound");
    }
    let known = FakeView { counted: (Tally::Denied, most), ..FakeView::knowing(&refused) };
    let Ok(sight) = first_sight(&known, &charter, &refused, NOW);
    assert_eq!(sight, FirstSight::Known, "what is known stays known");
}

#[test]
fn a_first_sight_claims_the_requesters_name_for_it() {
    let charter = charter();
    let first = examined(&transfer(5, "a"));
    let Ok(sight) = first_sight(&FakeView::default(), &charter, &first, NOW);
    assert_eq!(sight, FirstSight::New);
    let view = FakeView::knowing(&first);
    let Ok(sight) = first_sight(&view, &charter, &first, NOW);
    assert_eq!(sight, FirstSight::Known);
    let other = examined(&transfer(6, "a"));
    let Ok(sight) = first_sight(&view, &charter, &other, NOW);
    assert!(matches!(sight, FirstSight::Refused(error) if error.code == Code::IdempotencyConflict));
    let far = Millis(0);
    let mut raw = transfer(5, "z");
    raw.expires_at_secs = charter.bounds.max_expiry_secs + 1;
    let Ok(sight) = first_sight(&FakeView::default(), &charter, &examined(&raw), far);
    assert!(matches!(sight, FirstSight::Refused(error) if error.code == Code::ExpiryTooFar));
}

/// Every field of an approved request is covered by the requester's signature: change one, and it is another request
/// whose signature does not verify.
#[test]
fn no_byte_of_a_signed_intent_can_change() {
    let (_, envelope) = seal_intent(&transfer(5, "a"), &key(1)).unwrap();
    for position in 0..envelope.payload.len() {
        let mut payload = envelope.payload.to_vec();
        payload[position] ^= 1;
        let changed = pb::Envelope { payload: payload.into(), ..envelope.clone() };
        assert!(
            examine(&charter(), &Arc::default(), |_| Some(Arc::new(facts())), &changed, MOMENT).is_err(),
            "byte {position}"
        );
    }
}
