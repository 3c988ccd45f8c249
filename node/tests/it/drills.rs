//! Drills at real signers: whose record counts, who hears of it, and what an overdue one stands in the way of.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limen_evidence::ceremony::{Body, Mode, Offer, SKEW_SECS, Session, Transcript, completed, sign, test_input};
use limen_node::clock::{Clock, Millis, SystemClock};
use limen_policy::ceremony::step::{NONE, SIGN};
use limen_policy::ceremony::{Kind, Rule};
use limen_policy::charter::Charter;
use limen_policy::date::DAY_SECS;
use limen_wire::approval::Verdict;
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{DrillId, PersonId};
use limen_wire::keys::SigningKey;
use limen_wire::pb;

use crate::charters::{HOUR_MS, said, stands, take, version};
use crate::cluster::{Cluster, PATIENCE, eventually, requester_key};
use crate::ledger::World;
use crate::stops::{client, freeze};
use crate::witnesses::metric;

/// 2027-01-01, on which the drill is due; the clock begins a day before.
const DUE: u64 = 1_798_761_600;

/// What the charter asks for: a restore of a key, and a lost site of another in the far future.
fn drills() -> String {
    let key = pinned(77);
    format!(
        "[[drills]]\nid = \"back\"\nscenario = \"restore\"\nkey = \"shadow\"\npublic_key = \"{key}\"\nevery_days = 30\ngrace_days = 1\n\
         from = \"2027-01-01\"\n\
         [[drills]]\nid = \"lost\"\nscenario = \"site-loss\"\nkey = \"other\"\npublic_key = \"{key}\"\nevery_days = 30\ngrace_days = 1\n\
         from = \"2199-01-01\"\n"
    )
}

/// The public key of this seed as charters and plans have it.
fn pinned(seed: u8) -> String {
    requester_key(seed).public_key().to_string().replace("ed25519:", "")
}

/// Who plays it, each in which role: an operator for each signer.
const PEOPLE: [(&str, &str); 3] = [("anna", "one"), ("boris", "two"), ("carla", "three")];

/// Wall clock and running time go on together, when a test says so.
struct Days(AtomicU64);

impl Days {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(0)))
    }
    fn run_for(&self, hours: u64) {
        self.0.fetch_add(hours * HOUR_MS, Ordering::SeqCst);
    }
    fn secs(&self) -> u64 {
        self.now().as_secs()
    }
}

impl Clock for Days {
    fn now(&self) -> Millis {
        Millis((DUE - DAY_SECS) * 1000 + self.0.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A restore that three people play.
struct Played {
    mode: Mode,
    cluster: &'static str,
    key: &'static str,
    at: u64,
    /// Seed of the first one's credential.
    person: u8,
    machine: String,
    /// Seed of the key that signs in the end.
    shadow: u8,
    /// Lines of the plan that say nothing.
    padding: usize,
}

impl Played {
    fn at(cluster: &Cluster, at: u64) -> Self {
        let machine = cluster.machines[0].public.clone();
        Self { mode: Mode::Real, cluster: "test", key: "shadow", at, person: 9, machine, shadow: 77, padding: 0 }
    }

    fn plan(&self, cluster: &Cluster) -> String {
        let shadow = pinned(self.shadow);
        let mut text = format!(
            "version = 1\ncluster = \"{}\"\nceremony = \"drill-{}\"\nkind = \"drill\"\ntitle = \"A restore\"\nconflicts = [[\"one\", \"two\", \"three\"]]\n\
             [conductor]\nrole = \"one\"\npublic_key = \"{}\"\n[software]\nlimen_ceremony = [\"{}\"]\n\
             [bounds]\nclock_window_secs = 60\ndisk_free_mib = 1\nstep_minutes = 1\n\
             [key]\nid = \"{}\"\nscheme = \"eddsa-ed25519\"\nprotocol = \"frost\"\nsigners_required = 2\n\
             nodes = [\"n1\", \"n2\", \"n3\"]\npublic_key = \"{shadow}\"\nepoch = 1\nshares_sha256 = \"{}\"\n\
             [drill]\nscenario = \"restore\"\noperator = \"one\"\nnext_due = \"2027-02-01\"\n",
            self.cluster,
            self.at,
            cluster.coordinator.public,
            "ab".repeat(32),
            self.key,
            "cd".repeat(32),
        );
        for ((person, role), key) in PEOPLE.into_iter().zip(self.keys()) {
            let key = key.public_key();
            text += &format!(
                "[[people]]\nid = \"{person}\"\nname = \"{person}\"\nsite = \"{person}'s\"\ncredential = \"{key}\"\n\
                 [[roles]]\nid = \"{role}\"\nduty = \"does it\"\nholder = \"{person}\"\n"
            );
        }
        for (n, machine) in cluster.machines.iter().enumerate() {
            let key = if n == 0 { &self.machine } else { &machine.public };
            let role = PEOPLE[n].1;
            text += &format!(
                "[[machines]]\nid = \"n{}\"\nkind = \"signer\"\nsite = \"s{n}\"\npublic_key = \"{key}\"\noperator = \"{role}\"\n",
                n + 1
            );
        }
        text + &"# Read this out slowly, and look at each other while you do.\n".repeat(self.padding)
    }

    /// What is right to say.
    fn value(&self, transcript: &Transcript<'_>, rule: &Rule) -> String {
        match rule {
            Rule::Exactly(text) | Rule::Words(text) => text.clone(),
            Rule::OneOf(texts) => texts[0].clone(),
            Rule::Clock => self.at.to_string(),
            Rule::AtLeast(least) => least.to_string(),
            Rule::Text => "a machine".to_owned(),
            Rule::Told => NONE.to_owned(),
            Rule::TestSignature { scheme, .. } => {
                let plan = transcript.session().plan();
                let Kind::Drill(drill) = &plan.kind else { panic!("a drill") };
                let message = plan.test_message(self.mode, transcript.head());
                let input = test_input(&message, *scheme, &drill.key.public_key).unwrap();
                format!("{}00", hex::encode(requester_key(self.shadow).sign(&input)))
            }
            other => panic!("{other:?} is in no restore"),
        }
    }

    /// Of everybody, by name.
    fn keys(&self) -> [SigningKey; 3] {
        [self.person, 41, 42].map(requester_key)
    }

    fn record(&self, cluster: &Cluster) -> Vec<u8> {
        let people = PEOPLE.map(|(name, _)| PersonId::new(name).unwrap());
        let session = Session::new(&self.plan(cluster), None, self.mode, people.clone().into()).unwrap();
        let mut transcript = Transcript::new(&session);
        while let Some(step) = transcript.step() {
            let head = transcript.head();
            for (person, key) in people.iter().zip(self.keys()) {
                let Some(fields) = step.fields(person) else { continue };
                let body = Body::Step {
                    number: step.number,
                    name: step.name.to_owned(),
                    head,
                    at: (step.name != SIGN).then_some(self.at),
                    exceptions: Vec::new(),
                    fields: fields
                        .iter()
                        .map(|field| (field.name.clone(), self.value(&transcript, &field.rule)))
                        .collect(),
                };
                let said = session.contribution(person, body);
                let message = pre_authentication_encoding(PayloadType::Ceremony.as_str(), said.to_text().as_bytes());
                assert_eq!(transcript.offer(&sign(&said, &key.sign(&message))), Offer::Taken, "{}", step.name);
            }
        }
        completed(&transcript).unwrap().as_str().as_bytes().to_vec()
    }
}

async fn file(cluster: &Cluster, index: usize, record: &[u8]) -> Result<(), (Code, String)> {
    let record = pb::Envelope {
        payload_type: PayloadType::DrillRecord.as_str().to_owned(),
        payload: record.to_vec().into(),
        signatures: Vec::new(),
    };
    stop(cluster, index, record).await
}

async fn stop(cluster: &Cluster, index: usize, record: pb::Envelope) -> Result<(), (Code, String)> {
    match cluster.client(index).stop(pb::StopRequest { record: Some(record), intent: None }).await {
        Ok(_) => Ok(()),
        Err(status) => {
            let error = ApiError::from_status(&status).unwrap();
            Err((error.code, error.message))
        }
    }
}

async fn held(cluster: &Cluster, index: usize) -> pb::DrillState {
    let status = cluster.client(index).status(pb::StatusRequest {}).await.unwrap().into_inner();
    status.drills.into_iter().find(|drill| drill.drill == "back").unwrap()
}

/// With the people who play them.
fn with_people(drills: &str) -> String {
    let mut more = drills.to_owned();
    for (person, seed) in [("boris", 41), ("carla", 42)] {
        let key = requester_key(seed).public_key();
        more += &format!(
            "[[people]]\nid = \"{person}\"\n[[people.credentials]]\nid = \"{person}-terminal\"\nclass = \"terminal\"\npublic_key = \"{key}\"\n"
        );
    }
    more
}

async fn drilled(clock: &Arc<Days>) -> Cluster {
    let more = with_people(&drills());
    let cluster = Cluster::start_by_under(3, 2, Arc::clone(clock) as Arc<dyn Clock>, more).await;
    cluster.linked().await;
    cluster
}

/// Until all have heard of a drill that was held then.
async fn all_know(cluster: &Cluster, at: u64) {
    for index in 0..3 {
        let node = cluster.node(index).shared();
        let id = "back".parse().unwrap();
        eventually("the record is heard of", || {
            node.store.view().unwrap().drill(&id).unwrap().is_some_and(|row| row.at_secs == at)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_that_was_held_is_known_to_all_and_after_a_restart() {
    let clock = Days::new();
    let mut cluster = drilled(&clock).await;
    assert_eq!((held(&cluster, 0).await.due_ms, held(&cluster, 0).await.held_ms), (DUE * 1000, 0));
    let at = clock.secs();
    let record = Played::at(&cluster, at).record(&cluster);
    file(&cluster, 0, &record).await.unwrap();
    all_know(&cluster, at).await;
    let before = held(&cluster, 1).await;
    assert_eq!((before.held_ms, before.due_ms), (at * 1000, (at + 30 * DAY_SECS) * 1000));
    assert_eq!(before.blocks_ms, (at + 31 * DAY_SECS) * 1000);
    assert_eq!(before.record.len(), 32);

    // The same again changes nothing; an older one is refused; a later one takes its place.
    let length = cluster.client(1).status(pb::StatusRequest {}).await.unwrap().into_inner().journal_length;
    file(&cluster, 1, &record).await.unwrap();
    let older = file(&cluster, 1, &Played::at(&cluster, at - 1).record(&cluster)).await.unwrap_err();
    assert!(older.0 == Code::WrongState && older.1.contains("an older one changes nothing"), "{older:?}");
    let after = cluster.client(1).status(pb::StatusRequest {}).await.unwrap().into_inner().journal_length;
    assert_eq!(after, length);

    // One a day is enough.
    clock.run_for(23);
    let soon = file(&cluster, 1, &Played::at(&cluster, clock.secs()).record(&cluster)).await.unwrap_err();
    let next = format!("the next counts from {} on", at + DAY_SECS);
    assert!(soon.0 == Code::WrongState && soon.1.contains(&next), "{soon:?}");

    cluster.stop(1).await;
    clock.run_for(1);
    let later = Played::at(&cluster, clock.secs()).record(&cluster);
    file(&cluster, 0, &later).await.unwrap();
    cluster.start_again(1, Arc::clone(&clock) as Arc<dyn Clock>).await;
    all_know(&cluster, clock.secs()).await;
    cluster.stop(0).await;
    cluster.start_again(0, Arc::clone(&clock) as Arc<dyn Clock>).await;
    assert_eq!(held(&cluster, 0).await.held_ms, clock.secs() * 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_result_of_a_drill_is_refused() {
    let clock = Days::new();
    let cluster = drilled(&clock).await;
    let at = clock.secs();
    let good = || Played::at(&cluster, at);
    let mut spoiled = good().record(&cluster);
    let middle = spoiled.len() / 2;
    spoiled[middle] ^= 1;
    let stranger = 5;
    for (what, record, code, says) in [
        ("a rehearsal", Played { mode: Mode::Rehearsal, ..good() }.record(&cluster), Code::WrongState, "REHEARSAL"),
        ("another cluster", Played { cluster: "else", ..good() }.record(&cluster), Code::WrongCluster, "cluster else"),
        (
            "another key",
            Played { key: "third", ..good() }.record(&cluster),
            Code::WrongState,
            "no drill of scenario restore",
        ),
        (
            "another scenario",
            Played { key: "other", ..good() }.record(&cluster),
            Code::WrongState,
            "no drill of scenario",
        ),
        // No node here has a share of it.
        (
            "another public key",
            Played { shadow: 78, ..good() }.record(&cluster),
            Code::WrongState,
            "is the one that the charter in force has for drill back",
        ),
        ("a stranger", Played { person: stranger, ..good() }.record(&cluster), Code::NotEnrolled, "does not know anna"),
        (
            "the future",
            Played::at(&cluster, at + SKEW_SECS + 1).record(&cluster),
            Code::WrongState,
            "later than the clock",
        ),
        ("another byte", spoiled, Code::Malformed, "does not hold"),
        ("nothing", Vec::new(), Code::Malformed, "does not hold"),
    ] {
        let (found, words) = file(&cluster, 0, &record).await.expect_err(what);
        assert!(found == code && words.contains(says), "{what}: {found:?} {words}");
    }
    let strange = Played { machine: crate::cluster::machine(&cluster.path("."), "x").public, ..good() };
    let (code, words) = file(&cluster, 0, &strange.record(&cluster)).await.unwrap_err();
    assert!(code == Code::NotEnrolled && words.contains("machine n1"), "{code:?} {words}");
    assert_eq!(held(&cluster, 0).await.held_ms, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overdue_drill_holds_up_what_gives_more_leave_and_nothing_else() {
    let clock = Days::new();
    let cluster = drilled(&clock).await;
    let first = Charter::from_toml(&cluster.charter()).unwrap().hash();
    clock.run_for(49);
    let raise = ("max_amount = \"10\"", "max_amount = \"11\"");
    let raised = version(&cluster, &[first], 2, &[raise]);
    assert_eq!(take(&cluster, 0, &raised.envelope).await.unwrap_err(), Code::DrillOverdue);

    // Less leave, and other people, are taken as ever: the first binds at once.
    let less = ("max_amount = \"10\"", "max_amount = \"9\"");
    let lower = version(&cluster, &[first], 2, &[less]);
    take(&cluster, 0, &lower.envelope).await.unwrap();
    stands(&cluster, lower.hash, pb::CharterState::InForce).await;
    let rarer = [
        less,
        (
            "every_days = 30\ngrace_days = 1\nfrom = \"2027-01-01\"",
            "every_days = 60\ngrace_days = 1\nfrom = \"2027-06-01\"",
        ),
    ];
    let rarer = version(&cluster, &[lower.hash], 3, &rarer);
    take(&cluster, 0, &rarer.envelope).await.unwrap();
    stands(&cluster, rarer.hash, pb::CharterState::Waiting).await;
    clock.run_for(2);
    stands(&cluster, rarer.hash, pb::CharterState::InForce).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_taken_in_time_waits_for_the_drill_where_its_delay_ends_too_late() {
    let clock = Days::new();
    let cluster = drilled(&clock).await;
    let first = Charter::from_toml(&cluster.charter()).unwrap().hash();
    let raised = version(&cluster, &[first], 2, &[("max_amount = \"10\"", "max_amount = \"11\"")]);
    take(&cluster, 0, &raised.envelope).await.unwrap();
    stands(&cluster, raised.hash, pb::CharterState::Waiting).await;
    // Its hour is over long before, and so are the days of grace.
    clock.run_for(49);
    for index in 0..3 {
        limen_node::charters::consider(cluster.node(index).shared().as_ref()).await.unwrap();
    }
    stands(&cluster, raised.hash, pb::CharterState::Waiting).await;
    let record = Played::at(&cluster, clock.secs()).record(&cluster);
    file(&cluster, 2, &record).await.unwrap();
    stands(&cluster, raised.hash, pb::CharterState::InForce).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_from_the_future_is_heard_again_and_holds_nothing_up_behind_it() {
    let clock = Days::new();
    let mut cluster = drilled(&clock).await;
    cluster.stop(2).await;
    clock.run_for(8);
    let at = clock.secs();
    let record = Played::at(&cluster, at).record(&cluster);
    file(&cluster, 0, &record).await.unwrap();
    stop(&cluster, 0, freeze("cluster", 1).1).await.unwrap();

    let behind = Days::new();
    cluster.start_again(2, Arc::clone(&behind) as Arc<dyn Clock>).await;
    let heard = |cluster: &Cluster| {
        let view = cluster.node(2).shared().store.view().unwrap();
        let drill = DrillId::new("back").unwrap();
        let noted = view.read_anew_secs().unwrap();
        (view.freeze_rows().unwrap().len(), noted, view.drill(&drill).unwrap().map(|row| row.at_secs))
    };
    let passed_over = (1, Some(at - SKEW_SECS), None);
    eventually("the freeze behind it is heard", || heard(&cluster) == passed_over).await;
    let (code, words) = file(&cluster, 2, &record).await.unwrap_err();
    assert!(code == Code::WrongState && words.contains("later than the clock"), "{code:?} {words}");
    // Whoever sets a clock right may well start the machine anew.
    cluster.stop(2).await;
    cluster.start_again(2, Arc::clone(&behind) as Arc<dyn Clock>).await;
    assert_eq!(heard(&cluster), passed_over);
    behind.run_for(8);
    eventually("the record is heard again", || heard(&cluster) == (1, None, Some(at))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raise_that_waits_is_vetoed_before_another_version_gets_out_of_the_drill() {
    let clock = Days::new();
    let cluster = drilled(&clock).await;
    let first = Charter::from_toml(&cluster.charter()).unwrap().hash();
    let raised = version(&cluster, &[first], 2, &[("max_amount = \"10\"", "max_amount = \"11\"")]);
    take(&cluster, 0, &raised.envelope).await.unwrap();
    stands(&cluster, raised.hash, pb::CharterState::Waiting).await;
    clock.run_for(49);
    let out = [(
        "every_days = 30\ngrace_days = 1\nfrom = \"2027-01-01\"",
        "every_days = 30\ngrace_days = 1\nfrom = \"2028-01-01\"",
    )];
    let out = version(&cluster, &[first], 2, &out);
    take(&cluster, 0, &out.envelope).await.unwrap();
    // Its delay runs at each signer from when that has it.
    stands(&cluster, out.hash, pb::CharterState::Stuck).await;
    clock.run_for(2);
    // It is over, and the raise stands beside it.
    stands(&cluster, out.hash, pb::CharterState::Stuck).await;
    stands(&cluster, raised.hash, pb::CharterState::Stuck).await;
    stop(&cluster, 1, said(&raised.charter, Verdict::Reject).to_envelope()).await.unwrap();
    stands(&cluster, raised.hash, pb::CharterState::Void).await;
    stands(&cluster, out.hash, pb::CharterState::InForce).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_no_stop_record_at_the_doors_of_people() {
    let clock = Days::new();
    let cluster = drilled(&clock).await;
    let first = Charter::from_toml(&cluster.charter()).unwrap().hash();
    clock.run_for(49);
    let raised = version(&cluster, &[first], 2, &[("max_amount = \"10\"", "max_amount = \"11\"")]);
    let (code, words) = stop(&cluster, 0, raised.envelope.clone()).await.unwrap_err();
    assert!(code == Code::Malformed && words.contains("is no stop record"), "{code:?} {words}");
    let record = Some(raised.envelope.clone());
    let refused = client(&cluster, 0).hand_in(pb::HandInRequest { record }).await.unwrap_err();
    assert_eq!(ApiError::from_status(&refused).unwrap().code, Code::Malformed);
    // Had it been taken, it would be known by now.
    assert_eq!(take(&cluster, 0, &raised.envelope).await.unwrap_err(), Code::DrillOverdue);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_record_reaches_every_signer_and_the_witness() {
    let more = with_people(&drills().replacen("2027-01-01", "2020-01-01", 1));
    let world = World::start_under(&more).await;
    world.cluster.linked().await;
    let due = "limen_node_drill_due_seconds{drill=\"back\"} ";
    assert!(metric(&world, due).await.starts_with('-'));
    let at = SystemClock.now().as_secs();
    let record = Played { padding: 900, ..Played::at(&world.cluster, at) }.record(&world.cluster);
    assert!(record.len() > limen_wire::limits::STOP_RECORD_BYTES, "{}", record.len());
    file(&world.cluster, 0, &record).await.unwrap();
    all_know(&world.cluster, at).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let heard = async {
        while metric(&world, due).await.starts_with('-') {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("the witness hears of it");
}
