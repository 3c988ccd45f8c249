//! Versions of the charter at real signers: handed to one, in force at all, and never too early.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limen_node::charters;
use limen_node::clock::{Clock, Millis, Now, SystemClock, Uptime};
use limen_node::node::StartError;
use limen_node::peers::Talks as _;
use limen_node::standing::OWED_MS;
use limen_node::store::{Options, Store};
use limen_policy::charter::Charter;
use limen_policy::succession::facts;
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::charter::SignedCharter;
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, Protocol, Scheme};
use limen_wire::intent::seal_intent;
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use prost::Message as _;
use zeroize::Zeroizing;

use crate::cluster::{Cluster, eventually, evm_transfer, person_key};

pub(crate) const HOUR_MS: u64 = 3_600_000;

/// The machine's clock on the wall; running time passes only when a test says so.
#[derive(Default)]
pub(crate) struct TestClock(AtomicU64);

impl TestClock {
    pub(crate) fn run_for(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Millis {
        SystemClock.now()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// A version after these, with edits to the text of the first.
fn after(cluster: &Cluster, parents: &[CharterHash], number: u64, edits: &[(&str, &str)]) -> Charter {
    Charter::from_toml(&text_after(cluster, parents, number, edits)).unwrap()
}

pub(crate) fn text_after(cluster: &Cluster, parents: &[CharterHash], number: u64, edits: &[(&str, &str)]) -> String {
    let parents: Vec<String> = parents.iter().map(|hash| format!("\"{hash}\"")).collect();
    let head = format!("number = {number}\nparents = [{}]", parents.join(", "));
    let mut text = cluster.charter().replace("number = 1\nparents = []", &head);
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

/// What the one person of the charter says about a version.
pub(crate) fn said(version: &Charter, verdict: Verdict) -> SignedApproval {
    let reason = if verdict == Verdict::Approve { "" } else { "too much" };
    let who = ("anna".parse().unwrap(), "anna-terminal".parse().unwrap());
    let approval = Approval { reason: reason.to_owned(), ..facts(version).draft(who, verdict, (1, [3; 32])) };
    let proof = Proof::Signature(person_key().sign(approval.digest().as_bytes()));
    SignedApproval { approval, proof }
}

fn signed(text: &str) -> pb::Envelope {
    let version = Charter::from_toml(text).unwrap();
    SignedCharter { text: text.to_owned(), approvals: vec![said(&version, Verdict::Approve)] }.to_envelope()
}

/// A tightening version by its edits: handed in where, and its hash.
pub(crate) struct Version {
    pub(crate) hash: CharterHash,
    pub(crate) envelope: pb::Envelope,
    pub(crate) charter: Charter,
}

pub(crate) fn version(cluster: &Cluster, parents: &[CharterHash], number: u64, edits: &[(&str, &str)]) -> Version {
    let text = text_after(cluster, parents, number, edits);
    let charter = Charter::from_toml(&text).unwrap();
    Version { hash: charter.hash(), envelope: signed(&text), charter }
}

pub(crate) async fn take(cluster: &Cluster, index: usize, signed: &pb::Envelope) -> Result<pb::CharterView, Code> {
    let request = pb::TakeCharterRequest { signed: Some(signed.clone()) };
    match cluster.client(index).take_charter(request).await {
        Ok(answer) => Ok(answer.into_inner().version.unwrap()),
        Err(status) => Err(ApiError::from_status(&status).unwrap().code),
    }
}

async fn state(cluster: &Cluster, index: usize, version: CharterHash) -> Option<pb::CharterState> {
    let request = pb::ListChartersRequest::default();
    let all = cluster.client(index).list_charters(request).await.unwrap().into_inner().versions;
    let one = all.into_iter().find(|view| view.hash == version.as_bytes().as_slice())?;
    Some(one.state())
}

pub(crate) async fn stands(cluster: &Cluster, version: CharterHash, wanted: pb::CharterState) {
    for index in (0..cluster.nodes.len()).filter(|index| cluster.nodes[*index].is_some()) {
        let deadline = tokio::time::Instant::now() + crate::cluster::PATIENCE;
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        // What is in force by the store is decided under a moment later.
        let is_held =
            || wanted != pb::CharterState::InForce || cluster.node(index).shared().charter().hash() == version;
        while state(cluster, index, version).await != Some(wanted) || !is_held() {
            assert!(tokio::time::Instant::now() < deadline, "{version} never was {wanted:?} at signer {index}");
            ticks.tick().await;
        }
    }
}

/// Whether signers say yes to a payment of so many coins.
pub(crate) async fn allowed(cluster: &Cluster, coins: u64, name: &str) -> Vec<Result<bool, Code>> {
    let raw = evm_transfer("treasury", name, 0, coins * 1_000_000_000_000_000_000);
    let (_, intent) = seal_intent(&raw, &cluster.backend).unwrap();
    let mut answers = Vec::new();
    for index in (0..cluster.nodes.len()).filter(|index| cluster.nodes[*index].is_some()) {
        let request = pb::AnnounceRequest { intent: Some(intent.clone()), ..pb::AnnounceRequest::default() };
        answers.push(match cluster.client(index).simulate(request).await {
            Ok(answer) => Ok(answer.into_inner().decision.unwrap().allowed),
            Err(status) => Err(ApiError::from_status(&status).unwrap().code),
        });
    }
    answers
}

async fn begin() -> (Arc<TestClock>, Cluster, CharterHash) {
    let clock = Arc::new(TestClock::default());
    let cluster = Cluster::start_by(3, 2, Arc::clone(&clock) as Arc<dyn Clock>).await;
    let first = cluster.charter_hash();
    (clock, cluster, first)
}

const TEN: &str = "max_amount = \"10\"";

#[tokio::test(flavor = "multi_thread")]
async fn tightening_binds_at_once_and_loosening_waits_at_every_signer() {
    let (clock, mut cluster, first) = begin().await;
    cluster.make_key("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    assert_eq!(allowed(&cluster, 7, "a").await, [Ok(true); 3]);

    // Handed to one signer, in force at all.
    let tighter = version(&cluster, &[first], 2, &[(TEN, "max_amount = \"5\"")]);
    assert_eq!(take(&cluster, 0, &tighter.envelope).await.unwrap().state(), pb::CharterState::InForce);
    stands(&cluster, tighter.hash, pb::CharterState::InForce).await;
    assert_eq!(allowed(&cluster, 7, "b").await, [Ok(false); 3]);

    // A delay of nothing does not shorten the delay before it; what comes after it waits for it.
    let no_delay = ("loosening_delay_secs = 3600", "loosening_delay_secs = 0");
    let looser = version(&cluster, &[tighter.hash], 3, &[(TEN, "max_amount = \"5\""), no_delay]);
    let loosest = version(&cluster, &[looser.hash], 4, &[no_delay]);
    let view = take(&cluster, 1, &looser.envelope).await.unwrap();
    assert_eq!((view.state(), view.remaining_ms), (pb::CharterState::Waiting, HOUR_MS));
    stands(&cluster, looser.hash, pb::CharterState::Waiting).await;
    take(&cluster, 1, &loosest.envelope).await.unwrap();
    stands(&cluster, loosest.hash, pb::CharterState::Later).await;
    clock.run_for(HOUR_MS - 1);
    stands(&cluster, looser.hash, pb::CharterState::Waiting).await;
    assert_eq!(allowed(&cluster, 7, "c").await, [Ok(false); 3]);

    // A signer that stands still meanwhile has waited less than the others.
    cluster.stop(2).await;
    clock.run_for(1);
    stands(&cluster, loosest.hash, pb::CharterState::InForce).await;
    assert_eq!(allowed(&cluster, 7, "d").await, [Ok(true); 2]);
    cluster.start_again(2, Arc::clone(&clock) as Arc<dyn Clock>).await;
    assert_eq!(state(&cluster, 2, looser.hash).await, Some(pb::CharterState::Waiting));
    assert_eq!(state(&cluster, 2, tighter.hash).await, Some(pb::CharterState::InForce));
    clock.run_for(HOUR_MS);
    stands(&cluster, loosest.hash, pb::CharterState::InForce).await;
    assert_eq!(allowed(&cluster, 7, "e").await, [Ok(true); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_was_away_catches_up_and_an_edited_file_changes_nothing() {
    let (clock, mut cluster, first) = begin().await;
    cluster.stop(2).await;
    let second = version(&cluster, &[first], 2, &[(TEN, "max_amount = \"5\"")]);
    let third = version(&cluster, &[second.hash], 3, &[(TEN, "max_amount = \"4\"")]);
    take(&cluster, 0, &second.envelope).await.unwrap();
    take(&cluster, 0, &third.envelope).await.unwrap();
    // A file that says something else is refused, whatever it says.
    let (path, good) = (cluster.path("charter.toml"), cluster.charter());
    std::fs::write(&path, good.replace(TEN, "max_amount = \"1000\"")).unwrap();
    let error = limen_node::node::Node::start(&cluster.config(2), Arc::new(SystemClock)).await.unwrap_err();
    assert!(matches!(error, StartError::OtherCharter { in_force, .. } if in_force == first), "{error}");
    std::fs::write(&path, good).unwrap();
    cluster.start_again(2, clock).await;
    stands(&cluster, third.hash, pb::CharterState::InForce).await;
    assert_eq!(state(&cluster, 2, second.hash).await, Some(pb::CharterState::Past));
}

/// Without `[governance]` a development file may change from start to start; it never becomes one that counts, nor the other way round.
#[tokio::test]
async fn a_store_that_was_begun_for_development_is_taken_over_by_no_other_charter() {
    let (text, folder) = (include_str!("../../../deploy/sample/charter.toml"), tempfile::tempdir().unwrap());
    let real = text[..text.find("[governance]").unwrap()].to_owned();
    let development = real.replacen("version = 1", "version = 1\ndanger_development = true", 1);
    let edited = development.replacen("max_sessions = 16", "max_sessions = 17", 1);
    assert_ne!(development, edited);
    let charter = |text: &str| Charter::from_toml(text).unwrap();
    let options = Options::new("signer-zurich".parse().unwrap(), charter(text).cluster);
    let store = Store::open(folder.path(), options).unwrap();
    let now = || Now { wall: SystemClock.now(), uptime: Uptime(0) };
    let start = async |text: &str| charters::begin(&store, charter(text), text.to_owned(), now()).await;
    start(&development).await.unwrap();
    assert_eq!(start(&edited).await.unwrap().hash(), Charter::hash_of(&edited));
    for file in [text, &real] {
        let refused = start(file).await.unwrap_err();
        assert!(matches!(refused, StartError::OtherDevelopment { .. }), "{refused}");
    }
    assert_eq!(start(&edited).await.unwrap().hash(), Charter::hash_of(&edited));
}

/// Puts a record among those that a signer speaks of in its standing, as if everybody else had missed it.
async fn keeps_to_itself(cluster: &Cluster, index: usize, id: CharterHash, record: &pb::Envelope) {
    let bytes = record.encode_to_vec();
    let writing = cluster.node(index).shared().store.write(move |txn| txn.log_stop(id.as_bytes(), &bytes));
    assert!(writing.await.unwrap());
}

/// No message brought the version, no link began since: the peer's standing alone tells that there is one.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_nobody_passed_on_is_read_before_anything_is_allowed() {
    let (_clock, cluster, first) = begin().await;
    let tighter = version(&cluster, &[first], 2, &[(TEN, "max_amount = \"5\"")]);
    keeps_to_itself(&cluster, 0, tighter.hash, &tighter.envelope).await;
    for index in [1, 2] {
        eventually("the version", || {
            let lineage = cluster.node(index).shared().store.view().unwrap().lineage().unwrap().unwrap();
            lineage.in_force() == tighter.hash
        })
        .await;
    }
}

/// A peer that speaks of a version whose parents nobody has shown does not count, and stops nobody for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_follows_nothing_known_is_asked_for_again() {
    let (clock, cluster, _) = begin().await;
    let unknown = version(&cluster, &[CharterHash::new([5; 32])], 2, &[(TEN, "max_amount = \"5\"")]);
    keeps_to_itself(&cluster, 2, unknown.hash, &unknown.envelope).await;
    let trouble = |needed: usize| {
        let shared = cluster.node(0).shared();
        let checked = shared.standings.check(shared.peers().iter(), needed, shared.time().uptime);
        checked.err().map_or_else(String::new, |error| error.message)
    };
    eventually("the unread record", || trouble(1).contains("has stop records that were not read yet")).await;
    clock.run_for(OWED_MS + 1);
    eventually("signer 2 to count again", || trouble(1).is_empty()).await;
    let words = format!(
        "n3 has stop records that were not read yet: the version follows {}, which is not known here",
        CharterHash::new([5; 32])
    );
    eventually("signer 3 not to count, and why", || trouble(2).contains(&words)).await;
    let shared = cluster.node(0).shared();
    assert_eq!(shared.orphans.len(), 1);
    eventually("operators to see it", || shared.metrics.charter_orphans.get() == 1).await;
}

/// A word by somebody whom the charter does not know is passed over, and is heard once a version that knows them binds here.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_passed_over_under_the_old_charter_is_read_anew_under_the_next() {
    let (clock, mut cluster, first) = begin().await;
    let key = SigningKey::ed25519_from_seed(&Zeroizing::new([9; 32]));
    let enrolled = format!(
        "[[requesters]]\nid = \"late\"\npublic_key = \"{}\"\nduties = [\"request\"]\n[[people]]",
        key.public_key()
    );
    let looser = version(&cluster, &[first], 2, &[("[[people]]", &enrolled)]);
    take(&cluster, 0, &looser.envelope).await.unwrap();
    stands(&cluster, looser.hash, pb::CharterState::Waiting).await;
    cluster.stop(2).await;
    clock.run_for(HOUR_MS);
    stands(&cluster, looser.hash, pb::CharterState::InForce).await;
    cluster.start_again(2, Arc::clone(&clock) as Arc<dyn Clock>).await;
    assert_eq!(state(&cluster, 2, looser.hash).await, Some(pb::CharterState::Waiting));

    let raw = pb::Cancellation {
        version: 1,
        cluster: "test".to_owned(),
        requester: "late".to_owned(),
        intent_id: vec![8; 32].into(),
        reason: "no more".to_owned(),
    };
    let record = seal(PayloadType::Cancellation, raw.encode_to_vec(), "late", &key);
    cluster.client(0).stop(pb::StopRequest { record: Some(record.clone()), intent: None }).await.unwrap();
    let view = |index: usize| cluster.node(index).shared().store.view().unwrap();
    eventually("all that signer 1 has to be read", || {
        view(2).cursor(&"n1".parse().unwrap()).unwrap() == view(0).stop_head().unwrap()
    })
    .await;
    assert_eq!((view(0).stop_head().unwrap().length, view(2).stop_head().unwrap().length), (2, 1));
    clock.run_for(HOUR_MS);
    stands(&cluster, looser.hash, pb::CharterState::InForce).await;
    eventually("the cancellation", || view(2).stop_head().unwrap().length == 2).await;
    // What comes again is passed on again, and is no news that gives a peer more time.
    let again = cluster.node(0).shared().decisions().stop(record).await;
    assert_eq!((again.pass_on.len(), again.new), (1, false));
}

/// Every version is in one page or another, however many have one number.
#[tokio::test(flavor = "multi_thread")]
async fn versions_come_in_pages() {
    let (_clock, cluster, first) = begin().await;
    let mut all = vec![first];
    for amount in 3..7 {
        let long = format!("max_amount = \"{amount}\"\n# {}", "x".repeat(900_000));
        let one = version(&cluster, &[first], 2, &[(TEN, &long)]);
        take(&cluster, 0, &one.envelope).await.unwrap();
        all.push(one.hash);
    }
    let (mut found, mut request) = (Vec::new(), pb::ListChartersRequest { with_text: true, ..Default::default() });
    loop {
        let page = cluster.client(0).list_charters(request.clone()).await.unwrap().into_inner();
        let last = page.versions.last().unwrap();
        request = pb::ListChartersRequest { from_number: last.number, after: last.hash.clone(), ..request };
        found.extend(page.versions.iter().map(|view| CharterHash::from_slice(&view.hash).unwrap()));
        assert!(page.versions.len() < all.len(), "they do not fit into one");
        if !page.more {
            break;
        }
    }
    found.sort();
    all.sort();
    assert_eq!(found, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_veto_given_to_one_signer_holds_at_all_for_good() {
    let (clock, mut cluster, first) = begin().await;
    let looser = version(&cluster, &[first], 2, &[(TEN, "max_amount = \"20\"")]);
    take(&cluster, 0, &looser.envelope).await.unwrap();
    stands(&cluster, looser.hash, pb::CharterState::Waiting).await;
    cluster.stop(2).await;
    let veto = said(&looser.charter, Verdict::Reject).to_envelope();
    let request = pb::StopRequest { record: Some(veto.clone()), intent: None };
    assert!(!cluster.client(1).stop(request).await.unwrap().into_inner().possibly_signed);
    stands(&cluster, looser.hash, pb::CharterState::Void).await;
    cluster.start_again(2, Arc::clone(&clock) as Arc<dyn Clock>).await;
    stands(&cluster, looser.hash, pb::CharterState::Void).await;
    clock.run_for(2 * HOUR_MS);
    cluster.stop(0).await;
    cluster.start_again(0, clock).await;
    stands(&cluster, looser.hash, pb::CharterState::Void).await;
    stands(&cluster, first, pb::CharterState::InForce).await;
    // a veto may come before its version
    let early = version(&cluster, &[first], 2, &[(TEN, "max_amount = \"30\"")]);
    let veto = pb::StopRequest { record: Some(said(&early.charter, Verdict::Reject).to_envelope()), intent: None };
    cluster.client(2).stop(veto).await.unwrap();
    take(&cluster, 2, &early.envelope).await.unwrap();
    assert_eq!(state(&cluster, 2, early.hash).await, Some(pb::CharterState::Void));
    stands(&cluster, early.hash, pb::CharterState::Void).await;
    // Nobody can veto what loosens nothing, before it comes or after.
    let tighter = version(&cluster, &[first], 2, &[(TEN, "max_amount = \"5\"")]);
    let veto = pb::StopRequest { record: Some(said(&tighter.charter, Verdict::Reject).to_envelope()), intent: None };
    cluster.client(1).stop(veto).await.unwrap();
    take(&cluster, 1, &tighter.envelope).await.unwrap();
    stands(&cluster, tighter.hash, pb::CharterState::InForce).await;
    let late = pb::StopRequest { record: Some(said(&tighter.charter, Verdict::Reject).to_envelope()), intent: None };
    let status = cluster.client(0).stop(late).await.unwrap_err();
    assert_eq!(ApiError::from_status(&status).unwrap().code, Code::WrongState);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tightening_versions_after_one_stop_everything_until_they_are_joined() {
    let (_clock, cluster, first) = begin().await;
    cluster.make_key("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;
    let sessions = ("max_sessions = 8", "max_sessions = 7");
    let amount = (TEN, "max_amount = \"5\"");
    let (one, other) = (version(&cluster, &[first], 2, &[sessions]), version(&cluster, &[first], 2, &[amount]));
    take(&cluster, 0, &one.envelope).await.unwrap();
    stands(&cluster, one.hash, pb::CharterState::InForce).await;
    take(&cluster, 0, &other.envelope).await.unwrap();
    stands(&cluster, other.hash, pb::CharterState::Stuck).await;
    let (_, intent) = seal_intent(&evm_transfer("treasury", "x", 0, 1), &cluster.backend).unwrap();
    for answer in cluster.sign(&intent, &[1, 3]).await {
        assert_eq!(crate::cluster::refusal(&answer).code, "charter_fork");
    }
    let joined = version(&cluster, &[one.hash, other.hash], 3, &[sessions, amount]);
    take(&cluster, 2, &joined.envelope).await.unwrap();
    stands(&cluster, joined.hash, pb::CharterState::InForce).await;
    for answer in cluster.sign(&intent, &[1, 3]).await {
        crate::cluster::signature(&answer);
    }
}

/// A signer begins with a late version, beside a fork that is older than that: what joins the fork follows a version that it has
/// never seen, which follows others. It says so, asks for what came before its own, and judges everything in its order.
#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_begins_beside_an_old_fork_reads_what_came_before() {
    let (clock, mut cluster, first) = begin().await;
    cluster.stop(2).await;
    let (seven, six) = (("max_sessions = 8", "max_sessions = 7"), ("max_sessions = 8", "max_sessions = 6"));
    let (five, four) = ((TEN, "max_amount = \"5\""), (TEN, "max_amount = \"4\""));
    let left = version(&cluster, &[first], 2, &[seven]);
    let left_again = version(&cluster, &[left.hash], 3, &[six]);
    let right = version(&cluster, &[first], 2, &[five]);
    let right_again = version(&cluster, &[right.hash], 3, &[four]);
    let joined = version(&cluster, &[left_again.hash, right_again.hash], 4, &[six, four]);
    let late = text_after(&cluster, &[left.hash], 3, &[six]);
    for one in [&left, &left_again, &right, &right_again] {
        take(&cluster, 0, &one.envelope).await.unwrap();
    }
    stands(&cluster, right.hash, pb::CharterState::Stuck).await;
    // Nobody remembers it: a new machine in the place of the old one, which is given the version of its day.
    let early = cluster.charter();
    std::fs::remove_dir_all(cluster.path("n3")).unwrap();
    std::fs::write(cluster.path("charter.toml"), late).unwrap();
    cluster.start_again(2, Arc::clone(&clock) as Arc<dyn Clock>).await;
    std::fs::write(cluster.path("charter.toml"), early).unwrap();
    let lineage = |cluster: &Cluster| cluster.node(2).shared().store.view().unwrap().lineage().unwrap().unwrap();
    let known = |cluster: &Cluster| lineage(cluster).entries().map(|(hash, _)| *hash).collect::<Vec<_>>();
    eventually("what the others have to be read", || {
        let view = cluster.node(2).shared().store.view().unwrap();
        view.cursor(&"n1".parse().unwrap()).unwrap().length == 4
    })
    .await;
    assert_eq!(known(&cluster), [left_again.hash], "what came before it is history, as long as nothing rests on it");

    take(&cluster, 0, &joined.envelope).await.unwrap();
    eventually("the joining version in force", || lineage(&cluster).in_force() == joined.hash).await;
    let mut all = [first, left.hash, left_again.hash, right.hash, right_again.hash, joined.hash];
    all.sort();
    assert_eq!(known(&cluster), all);
    let shared = cluster.node(2).shared();
    assert!(shared.orphans.is_empty());
    eventually("no version without its parents", || shared.metrics.charter_orphans.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_or_does_not_follow_is_refused() {
    let (_clock, cluster, first) = begin().await;
    let text = text_after(&cluster, &[first], 2, &[(TEN, "max_amount = \"5\"")]);
    let unsigned = SignedCharter { text: text.clone(), approvals: Vec::new() }.to_envelope();
    assert_eq!(take(&cluster, 0, &unsigned).await, Err(Code::ApprovalsMissing));
    let other = after(&cluster, &[first], 2, &[(TEN, "max_amount = \"4\"")]);
    let of_another = SignedCharter { text: text.clone(), approvals: vec![said(&other, Verdict::Approve)] };
    assert_eq!(take(&cluster, 0, &of_another.to_envelope()).await, Err(Code::ApprovalsMissing));
    let unknown = version(&cluster, &[CharterHash::new([5; 32])], 2, &[(TEN, "max_amount = \"5\"")]);
    assert_eq!(take(&cluster, 0, &unknown.envelope).await, Err(Code::WrongState));
    let stop = cluster
        .client(0)
        .stop(pb::StopRequest { record: Some(unknown.envelope.clone()), intent: None })
        .await
        .unwrap_err();
    assert_eq!(ApiError::from_status(&stop).unwrap().code, Code::Malformed);
    assert!(cluster.node(0).shared().orphans.is_empty(), "whoever is no signer raises no alarm by an invention");
    let mixed =
        version(&cluster, &[first], 2, &[(TEN, "max_amount = \"5\""), ("max_sessions = 8", "max_sessions = 9")]);
    assert_eq!(take(&cluster, 0, &mixed.envelope).await, Err(Code::Malformed));
    for garbage in [
        pb::Envelope::default(),
        pb::Envelope { payload: vec![7; 100].into(), ..signed(&text) },
        SignedCharter { text: "no charter".to_owned(), approvals: Vec::new() }.to_envelope(),
        pb::Envelope { payload_type: "application/vnd.limen.approval.v1+protobuf".to_owned(), ..signed(&text) },
    ] {
        assert_eq!(take(&cluster, 0, &garbage).await, Err(Code::Malformed));
    }
    let stranger = pb::TakeCharterRequest { signed: Some(signed(&text)) };
    let peer = cluster.client_as(0, &cluster.machines[1]).take_charter(stranger).await.unwrap_err();
    assert_eq!(ApiError::from_status(&peer).unwrap().code, Code::NotEnrolled);
    stands(&cluster, first, pb::CharterState::InForce).await;
    eventually("nothing taken", || {
        cluster.node(0).shared().store.view().unwrap().lineage().unwrap().unwrap().entries().count() == 1
    })
    .await;
}
