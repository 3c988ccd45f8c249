//! Freezes, from the record to the refusal and back, against real stores.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict as Said};
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::freeze::FreezeScope;
use limen_wire::ids::{ClusterId, FreezeEpoch, NodeId};
use limen_wire::keys::SigningKey;
use limen_wire::pb;

use super::*;
use crate::approvals::Papers;
use crate::clock::Millis;
use crate::decisions::{Decisions, Keys};
use crate::guard::tests::{charter_text, facts, pin, sealed, transfer};
use crate::guard::{self, SignCall, Verdict, sign_call};
use crate::recent::Recent;
use crate::store::{Options, Store};

pub(super) const WALL: Millis = Millis(1_000_000_000);
pub(super) const HOUR_MS: u64 = 3_600_000;
pub(super) const ASKED: &str = r#"
[[rules]]
name = "asked"
require = "transfer"
approvals = "1 terminal of treasury"
"#;

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&[seed; 32].into())
}

fn key_of(person: &str) -> SigningKey {
    key(match person {
        "anna" => 0x41,
        "boris" => 0x43,
        "carla" => 0x51,
        other => panic!("{other} has no key here"),
    })
}

fn credential_of(person: &str) -> String {
    format!("{person}-{}", if person == "carla" { "service" } else { "terminal" })
}

pub(super) fn charter(more: &str) -> Arc<Charter> {
    let text = with_carla(&charter_text());
    Arc::new(Charter::from_toml(&format!("{text}{more}")).unwrap())
}

/// The same charter with a key for carla that is known here.
pub(super) fn with_carla(text: &str) -> String {
    let sample = Charter::from_toml(text).unwrap();
    let carla = &sample.roster.people[&"carla".parse().unwrap()].credentials[&"carla-service".parse().unwrap()];
    text.replace(&carla.public_key.to_string(), &key_of("carla").public_key().to_string())
}

/// One signer with a clock of its own.
pub(super) struct Signer {
    folder: tempfile::TempDir,
    store: Option<Store>,
    pub(super) charter: Arc<Charter>,
    pub(super) keys: Keys,
    recent: Recent,
    pub(super) now: Now,
    session: u8,
}

fn open(folder: &tempfile::TempDir) -> Store {
    let owner = (NodeId::new("signer-1").unwrap(), ClusterId::new("sample").unwrap());
    Store::open(folder.path(), Options::new(owner.0, owner.1)).unwrap()
}

pub(super) fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

impl Signer {
    pub(super) fn new() -> Self {
        Self::under("")
    }

    pub(super) fn under(more: &str) -> Self {
        Self::with(charter(more))
    }

    pub(super) fn with(charter: Arc<Charter>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Some(open(&folder));
        let facts = facts();
        let keys = RwLock::new(HashMap::from([(facts.public.key.clone(), Arc::new(facts))]));
        let now = Now { wall: WALL, uptime: Uptime(5_000) };
        Self { folder, store, charter, keys, recent: Recent::default(), now, session: 0 }
    }

    pub(super) fn decisions(&self) -> Decisions<'_> {
        let (charter, keys, recent) = (&self.charter, &self.keys, &self.recent);
        pin(self.store.as_ref().unwrap(), charter);
        Decisions { charter: Arc::clone(charter), store: self.store.as_ref().unwrap(), keys, recent, now: self.now }
    }

    pub(super) fn hears(&self, record: &pb::Envelope) -> Result<bool, ApiError> {
        wait(self.decisions().stop(record.clone())).answer
    }

    pub(super) fn announce(&self, raw: &pb::Intent, approvals: &[pb::Envelope]) -> Vec<pb::RequirementStatus> {
        let decisions = self.decisions();
        let examined = decisions.examine(&sealed(raw)).unwrap();
        let shown = decisions.show(&examined, &Papers { approvals, checks: &[] }).unwrap();
        let announced = wait(decisions.announce(examined, sealed(raw), shown)).unwrap();
        announced.progress.statuses.into_iter().chain(announced.frozen).collect()
    }

    pub(super) fn epoch(&self, raw: &pb::Intent) -> FreezeEpoch {
        let decisions = self.decisions();
        let examined = decisions.examine(&sealed(raw)).unwrap();
        decisions.imagine(examined, &Papers::default()).unwrap().examined.freeze_epoch()
    }

    fn sign(&mut self, raw: &pb::Intent, approvals: &[pb::Envelope]) -> Verdict<guard::SignToken> {
        self.session += 1;
        let decisions = self.decisions();
        let examined = decisions.examine(&sealed(raw)).unwrap();
        let shown = decisions.show(&examined, &Papers { approvals, checks: &[] }).unwrap();
        // Nobody keeps a log here.
        let call = SignCall { leaf_patience_ms: u64::MAX, ..sign_call(&[self.session; 32], &[1, 2]).unwrap() };
        wait(decisions.sign(examined, call, sealed(raw), shown)).unwrap().verdict
    }

    pub(super) fn refused(&mut self, raw: &pb::Intent) -> ApiError {
        match self.sign(raw, &[]) {
            Verdict::Refused(error) => error,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn is_frozen(&mut self, raw: &pb::Intent) -> bool {
        match self.sign(raw, &[]) {
            Verdict::Refused(error) if error.code == Code::Frozen => true,
            Verdict::Refused(error) => panic!("{error}"),
            Verdict::Allowed(_) | Verdict::Repeat(_) => false,
        }
    }

    /// Lets the node run for a while and look at its freezes.
    pub(super) fn run_for(&mut self, millis: u64) -> usize {
        self.now.uptime.0 += millis;
        self.now.wall.0 += millis;
        let (charter, now) = (Arc::clone(&self.charter), self.now);
        let store = self.store.as_ref().unwrap();
        store.write_blocking(move |txn| lift_due(txn, &charter, now)).unwrap().len()
    }

    pub(super) fn restart(&mut self) {
        self.store = None;
        let store = open(&self.folder);
        self.now.uptime = store.view().unwrap().uptime().unwrap();
        self.store = Some(store);
    }
}

fn freeze_by(person: &str, scope: &str, nonce: u8) -> (IntentId, pb::Envelope) {
    let freeze = Freeze {
        id: IntentId::new([0; 32]),
        cluster: "sample".parse().unwrap(),
        person: person.parse().unwrap(),
        credential: credential_of(person).parse().unwrap(),
        scope: scope.parse().unwrap(),
        reason: "burglars in the house".to_owned(),
        nonce: [nonce; 32],
    };
    let envelope = seal(PayloadType::Freeze, freeze.to_payload(), &credential_of(person), &key_of(person));
    (Freeze::open(&envelope).unwrap().0.id, envelope)
}

fn freeze(scope: &str, nonce: u8) -> (IntentId, pb::Envelope) {
    freeze_by("carla", scope, nonce)
}

pub(super) fn unfreeze(person: &str, ids: &[IntentId]) -> pb::Envelope {
    let mut freezes = ids.to_vec();
    freezes.sort();
    let unfreeze = Unfreeze {
        id: IntentId::new([0; 32]),
        cluster: "sample".parse().unwrap(),
        person: person.parse().unwrap(),
        credential: credential_of(person).parse().unwrap(),
        freezes,
        reason: String::new(),
    };
    seal(PayloadType::Unfreeze, unfreeze.to_payload(), &credential_of(person), &key_of(person))
}

pub(super) fn intent(name: &str) -> pb::Intent {
    let mut raw = transfer(u64::from(name.as_bytes()[0]), name);
    raw.expires_at_secs = WALL.as_secs() + 80_000;
    raw
}

#[test]
fn one_guardian_freezes_at_once_and_everybody_reads_why() {
    let mut signer = Signer::new();
    let raw = intent("a");
    assert!(matches!(signer.sign(&raw, &[]), Verdict::Allowed(_)));
    let (id, record) = freeze("key:treasury", 1);
    assert_eq!(signer.hears(&record), Ok(false));
    let error = signer.refused(&raw);
    assert!(error.code == Code::Frozen && error.code.retryable(), "the request may go on later: {error}");
    for words in [&id.to_string(), "key:treasury", "carla", "burglars in the house"] {
        assert!(error.message.contains(words), "{words} in {error}");
    }
    let statuses = signer.announce(&raw, &[]);
    assert!(!statuses[0].met && statuses[0].missing.contains("burglars"), "{statuses:?}");
    signer.restart();
    assert!(signer.is_frozen(&raw), "a freeze outlives the process");
    let mut other = intent("b");
    other.key_id = "treasury".to_owned();
    assert!(signer.is_frozen(&other));
}

#[test]
fn what_a_freeze_does_not_touch_goes_on() {
    let mut signer = Signer::new();
    signer.hears(&freeze("vault:reserve", 1).1).unwrap();
    signer.hears(&freeze("chain:eip155:1", 2).1).unwrap();
    assert!(!signer.is_frozen(&intent("a")));
    assert!(signer.announce(&intent("a"), &[]).is_empty());
}

#[test]
fn records_that_prove_nothing_freeze_nothing() {
    let mut signer = Signer::new();
    let code = |record: &pb::Envelope| signer.hears(record).unwrap_err().code;
    assert_eq!(code(&freeze_by("anna", "cluster", 1).1), Code::NotPermitted);
    let mut altered = freeze("cluster", 1).1;
    altered.signatures[0].signature = vec![1; 64].into();
    assert_eq!(code(&altered), Code::BadSignature);
    altered.payload = vec![0xff; 40].into();
    assert_eq!(code(&altered), Code::Malformed);
    assert_eq!(code(&unfreeze("carla", &[IntentId::new([1; 32])])), Code::NotPermitted);
    assert_eq!(code(&pb::Envelope::default()), Code::Malformed);
    assert!(!signer.is_frozen(&intent("a")));
    assert_eq!(signer.decisions().store.view().unwrap().stop_head().unwrap().length, 0);
}

#[test]
fn enough_people_and_a_delay_on_the_running_time_lift_a_freeze() {
    let mut signer = Signer::new();
    let raw = intent("a");
    let (id, record) = freeze("cluster", 1);
    signer.hears(&record).unwrap();
    signer.hears(&unfreeze("anna", &[id])).unwrap();
    assert_eq!(signer.run_for(2 * HOUR_MS), 0, "one of two is not enough, however long it takes");
    signer.hears(&unfreeze("boris", &[id])).unwrap();
    assert!(signer.is_frozen(&raw));
    assert_eq!(signer.run_for(HOUR_MS - 1), 0);
    // The wall clock counts for nothing.
    signer.now.wall.0 += 10 * HOUR_MS;
    assert_eq!(signer.run_for(0), 0);
    signer.now.wall.0 -= 10 * HOUR_MS;
    assert_eq!(signer.run_for(1), 1);
    assert!(!signer.is_frozen(&raw));
    assert_eq!(signer.hears(&record), Ok(false), "the same freeze again is known and changes nothing");
    assert!(!signer.is_frozen(&raw));
}

#[test]
fn time_that_was_not_durable_is_waited_again() {
    let mut signer = Signer::new();
    let (id, record) = freeze("cluster", 1);
    signer.hears(&record).unwrap();
    signer.hears(&unfreeze("anna", &[id])).unwrap();
    signer.hears(&unfreeze("boris", &[id])).unwrap();
    signer.run_for(HOUR_MS / 2);
    signer.restart();
    assert_eq!(signer.run_for(HOUR_MS - 1), 0);
    assert_eq!(signer.run_for(1), 1);
}

#[test]
fn a_charter_makes_a_running_delay_longer_and_never_shorter() {
    let mut signer = Signer::new();
    let (id, record) = freeze("cluster", 1);
    signer.hears(&record).unwrap();
    signer.hears(&unfreeze("anna", &[id])).unwrap();
    signer.hears(&unfreeze("boris", &[id])).unwrap();
    let mut shorter = (*signer.charter).clone();
    shorter.governance.as_mut().unwrap().unfreeze_delay_secs = 0;
    let before = std::mem::replace(&mut signer.charter, Arc::new(shorter));
    assert_eq!(signer.run_for(1000), 0, "the delay under which it began still holds");
    let mut longer = (*before).clone();
    longer.governance.as_mut().unwrap().unfreeze_delay_secs = 7200;
    signer.charter = Arc::new(longer);
    assert_eq!(signer.run_for(HOUR_MS), 0);
    // Whoever has left counts no more, and the delay begins anew once there are enough again.
    let mut without = (*before).clone();
    without.roster.groups.get_mut(&"treasury".parse().unwrap()).unwrap().members.remove(&"boris".parse().unwrap());
    signer.charter = Arc::new(without);
    assert_eq!(signer.run_for(HOUR_MS), 0);
    signer.charter = before;
    assert_eq!(signer.run_for(0), 0);
    assert_eq!(signer.run_for(HOUR_MS - 1), 0);
    assert_eq!(signer.run_for(1), 1);
}

/// Two signers take different freezes, and each other's later, in another order: they end with the same epoch, and an unfreeze
/// lifts at both exactly what it names.
#[test]
fn diverging_freezes() {
    let (mut one, mut two) = (Signer::new(), Signer::new());
    let raw = intent("a");
    let (first, second) = (freeze("cluster", 1), freeze("key:treasury", 2));
    one.hears(&first.1).unwrap();
    two.hears(&second.1).unwrap();
    assert_ne!(one.epoch(&raw), two.epoch(&raw));
    one.hears(&second.1).unwrap();
    two.hears(&first.1).unwrap();
    assert_eq!(one.epoch(&raw), two.epoch(&raw));
    assert_eq!(one.epoch(&raw), FreezeEpoch::of([first.0, second.0]));
    for signer in [&mut one, &mut two] {
        signer.hears(&unfreeze("anna", &[first.0])).unwrap();
        signer.hears(&unfreeze("boris", &[first.0])).unwrap();
        assert_eq!(signer.run_for(HOUR_MS), 1);
        assert!(signer.is_frozen(&raw), "the other freeze stays");
    }
    assert_eq!(one.epoch(&raw), two.epoch(&raw));
}

/// What lifted an earlier freeze is handed in again after the same scope was frozen anew, to whoever has heard it and to
/// whoever has not.
#[test]
fn old_unfreeze_replayed() {
    let mut signer = Signer::new();
    let raw = intent("a");
    let (first, again) = (freeze("cluster", 1), freeze("cluster", 2));
    let lifts = [unfreeze("anna", &[first.0]), unfreeze("boris", &[first.0])];
    signer.hears(&first.1).unwrap();
    assert!(lifts.iter().all(|record| signer.hears(record).is_ok()));
    assert_eq!(signer.run_for(HOUR_MS), 1);
    signer.hears(&again.1).unwrap();
    assert!(lifts.iter().all(|record| signer.hears(record).is_ok()));
    assert_eq!(signer.run_for(10 * HOUR_MS), 0);
    assert!(signer.is_frozen(&raw));
    let mut fresh = Signer::new();
    fresh.hears(&again.1).unwrap();
    assert!(lifts.iter().all(|record| fresh.hears(record).is_ok()));
    assert_eq!(fresh.run_for(10 * HOUR_MS), 0);
    assert!(fresh.is_frozen(&raw));
}

#[test]
fn what_lifts_a_freeze_may_come_before_it() {
    let mut signer = Signer::new();
    let (id, record) = freeze("cluster", 1);
    signer.hears(&unfreeze("anna", &[id])).unwrap();
    signer.hears(&unfreeze("boris", &[id])).unwrap();
    assert_eq!(signer.run_for(10 * HOUR_MS), 0);
    signer.hears(&record).unwrap();
    assert!(signer.is_frozen(&intent("a")), "the delay begins with the freeze");
    assert_eq!(signer.run_for(HOUR_MS), 1);
}

/// Unfreezes name other signers' own freezes too, which never come here: those that came last are waited for.
#[test]
fn of_freezes_that_never_come_the_oldest_are_no_longer_waited_for() {
    use crate::store::stops::EARLY_FREEZES;
    let mut signer = Signer::new();
    let ((old, old_record), (new, new_record)) = (freeze("cluster", 1), freeze("key:treasury", 2));
    let others: Vec<IntentId> = (0..EARLY_FREEZES - 1)
        .map(|n| IntentId::new(limen_wire::ids::tagged_hash("other", [&n.to_be_bytes()[..]])))
        .collect();
    for (lifted, names) in [(old, &others[..]), (new, &[])] {
        for person in ["anna", "boris"] {
            signer.hears(&unfreeze(person, &[lifted])).unwrap();
            for page in names.chunks(limen_wire::limits::UNFREEZES) {
                signer.hears(&unfreeze(person, page)).unwrap();
            }
        }
    }
    signer.hears(&old_record).unwrap();
    signer.hears(&new_record).unwrap();
    assert_eq!(signer.run_for(HOUR_MS), 1);
    assert!(signer.is_frozen(&intent("a")), "people have to lift the other one again");
}

#[test]
fn nobody_can_have_forgotten_what_others_lift() {
    use crate::store::stops::EARLY_FREEZES;
    let mut signer = Signer::new();
    let (id, record) = freeze("cluster", 1);
    signer.hears(&unfreeze("anna", &[id])).unwrap();
    let others: Vec<IntentId> = (0..2 * EARLY_FREEZES)
        .map(|n| IntentId::new(limen_wire::ids::tagged_hash("other", [&n.to_be_bytes()[..]])))
        .collect();
    for page in others.chunks(limen_wire::limits::UNFREEZES) {
        signer.hears(&unfreeze("boris", page)).unwrap();
    }
    signer.hears(&unfreeze("boris", &[id])).unwrap();
    signer.hears(&record).unwrap();
    assert_eq!(signer.run_for(HOUR_MS), 1, "both have lifted it");
}

fn approval(signer: &Signer, raw: &pb::Intent, nonce: u8) -> pb::Envelope {
    let decisions = signer.decisions();
    let examined = decisions.imagine(decisions.examine(&sealed(raw)).unwrap(), &Papers::default()).unwrap().examined;
    let facts = guard::facts(&signer.charter, &examined);
    let who = ("anna".parse().unwrap(), "anna-terminal".parse().unwrap());
    let approval = facts.draft(who, Said::Approve, (WALL.as_secs() + 80_000, [nonce; 32]));
    let proof = Proof::Signature(key_of("anna").sign(approval.digest().as_bytes()));
    SignedApproval { approval, proof }.to_envelope()
}

/// An approval holds for the freezes of its time: one that comes takes it away, and it does not come back when that goes.
#[test]
fn approvals_lapse_when_a_freeze_comes_and_again_when_it_goes() {
    let mut signer = Signer::under(ASKED);
    let raw = intent("a");
    let before = approval(&signer, &raw, 1);
    assert!(signer.announce(&raw, std::slice::from_ref(&before))[0].met);
    let (id, record) = freeze("cluster", 1);
    signer.hears(&record).unwrap();
    assert!(!signer.announce(&raw, std::slice::from_ref(&before))[0].met, "what was held has lapsed");
    let during = approval(&signer, &raw, 2);
    assert!(signer.announce(&raw, std::slice::from_ref(&during))[0].met, "approved in sight of the freeze");
    assert!(signer.is_frozen(&raw), "and frozen all the same");
    signer.hears(&unfreeze("anna", &[id])).unwrap();
    signer.hears(&unfreeze("boris", &[id])).unwrap();
    assert_eq!(signer.run_for(HOUR_MS), 1);
    match signer.sign(&raw, &[before, during]) {
        Verdict::Refused(error) => assert_eq!(error.code, Code::ApprovalsMissing),
        other => panic!("{other:?}"),
    }
    let after = approval(&signer, &raw, 3);
    let Verdict::Allowed(token) = signer.sign(&raw, &[after]) else { panic!("must be allowed") };
    assert_eq!(token.record().evidence.freeze, Some(*signer.epoch(&raw).as_bytes()));
}

/// The delay is that of approvals that have stood all the time: a freeze takes them away, also while the rules sleep.
#[test]
fn no_delay_goes_on_across_a_freeze_at_night() {
    let hours = "hours = { from = \"00:00\", until = \"13:47\", utc_offset = \"+00:00\" }\ndelay_secs = 60\n";
    let mut signer = Signer::under(&format!("{ASKED}{hours}"));
    let raw = intent("a");
    let refusal = |signer: &mut Signer| match signer.sign(&raw, &[]) {
        Verdict::Refused(error) => error.code,
        other => panic!("{other:?}"),
    };
    let by_day = approval(&signer, &raw, 1);
    signer.announce(&raw, &[by_day]);
    assert_eq!(refusal(&mut signer), Code::TimeLocked);
    signer.run_for(30_000);
    let (id, record) = freeze("cluster", 1);
    for record in [record, unfreeze("anna", &[id]), unfreeze("boris", &[id])] {
        signer.hears(&record).unwrap();
    }
    assert_eq!(signer.run_for(HOUR_MS), 1);
    let at_night = approval(&signer, &raw, 2);
    signer.announce(&raw, &[at_night]);
    signer.now = Now { wall: WALL, uptime: Uptime(signer.now.uptime.0 + 30_000) };
    assert_eq!(refusal(&mut signer), Code::TimeLocked, "it was approved anew, and at night");
    signer.now.uptime.0 += 60_000;
    assert!(matches!(signer.sign(&raw, &[]), Verdict::Allowed(_)));
}

#[test]
fn what_one_person_says_is_bounded_for_ever() {
    let signer = Signer::new();
    let store = signer.decisions().store.clone();
    let carla = PersonId::new("carla").unwrap();
    let fill = store.write_blocking(move |txn| {
        for _ in 1..SAID_BY_ONE {
            count_said(txn, &carla)?.unwrap();
        }
        Ok(())
    });
    fill.unwrap();
    assert!(signer.hears(&freeze("cluster", 1).1).is_ok(), "the last one that fits");
    let full = signer.hears(&freeze("cluster", 2).1).unwrap_err();
    assert!(full.code == Code::Overloaded && full.message.contains("10000"), "{full}");
    assert!(signer.hears(&freeze("cluster", 1).1).is_ok(), "what is known needs no place");
}

/// A no that comes before its intent is heard when the intent comes.
#[test]
fn a_rejection_may_come_before_its_intent() {
    let mut signer = Signer::under(ASKED);
    let raw = intent("a");
    let id = signer.decisions().examine(&sealed(&raw)).unwrap().intent().id;
    let rejection = |nonce: u8, person: &str| {
        let template = SignedApproval::open(&approval(&signer, &raw, nonce)).unwrap().approval;
        let (person, credential) = (person.parse().unwrap(), credential_of(person).parse().unwrap());
        let (verdict, reason) = (Said::Reject, "not this".to_owned());
        Approval { person, credential, verdict, reason, ..template }
    };
    let signed = |approval: Approval, key: &SigningKey| {
        let proof = Proof::Signature(key.sign(approval.digest().as_bytes()));
        SignedApproval { approval, proof }.to_envelope()
    };
    let forged = signed(rejection(9, "boris"), &key(9));
    assert_eq!(signer.hears(&forged).unwrap_err().code, Code::BadSignature);
    for nonce in 0..8 {
        signer.hears(&signed(rejection(nonce, "boris"), &key_of("boris"))).unwrap();
    }
    let enough = signer.hears(&signed(rejection(8, "boris"), &key_of("boris"))).unwrap_err();
    assert_eq!(enough.code, Code::Overloaded);
    signer.hears(&signed(rejection(9, "anna"), &key_of("anna"))).unwrap();
    assert_eq!(signer.decisions().store.view().unwrap().said_ahead(&id).unwrap().len(), 9);
    let error = signer.refused(&raw);
    assert!(error.code == Code::Rejected && error.message.contains("anna rejected it: not this"), "{error}");
    assert!(signer.decisions().store.view().unwrap().said_ahead(&id).unwrap().is_empty());
}

#[test]
fn lifted_freezes_are_kept_by_scope() {
    let mut signer = Signer::new();
    let (id, record) = freeze("key:treasury", 1);
    signer.hears(&record).unwrap();
    signer.hears(&unfreeze("anna", &[id])).unwrap();
    signer.hears(&unfreeze("boris", &[id])).unwrap();
    signer.run_for(HOUR_MS);
    signer.restart();
    let freezes = signer.decisions().store.view().unwrap().freezes().unwrap();
    let scope: FreezeScope = "key:treasury".parse().unwrap();
    assert!(freezes.live.is_empty() && freezes.lifted[&scope].contains(&id));
}
