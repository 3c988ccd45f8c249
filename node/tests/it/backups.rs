//! Backups of real signers' shares: no share is stated before its custodians have proven that they can decrypt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limen_node::backups;
use limen_node::clock::{Clock, Millis, SystemClock};
use limen_node::metrics::OfKey;
use limen_node::store::journal::Event;
use limen_recover::age::secrecy::ExposeSecret as _;
use limen_recover::age::{NoCallbacks, x25519};
use limen_recover::{Backup, Challenge, Identities, Nonce, Piece};
use limen_wire::backup::BackupProof;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Protocol, Scheme};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, combine};

use crate::charters::{HOUR_MS, stands, take, version};
use crate::cluster::{Cluster, all, eventually, message_intent, person_key, requester_key, session, signature};
use crate::epochs::{Plan, THREE, all_switched, row};

const KEY: &str = "treasury";
const DAY_MS: u64 = 24 * HOUR_MS;

/// The machine's clocks, and what a test adds to both.
#[derive(Default)]
struct Shifted(AtomicU64);

impl Shifted {
    fn run_for(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Shifted {
    fn now(&self) -> Millis {
        Millis(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        SystemClock.monotonic() + Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Somebody who keeps pieces and signs for them.
struct Keeper {
    name: &'static str,
    identity: x25519::Identity,
    key: SigningKey,
}

impl Keeper {
    fn new(name: &'static str, key: SigningKey) -> Self {
        Self { name, identity: x25519::Identity::generate(), key }
    }
    fn recipient(&self) -> String {
        self.identity.to_public().to_string()
    }
    fn open(&self, backup: &Backup) -> Piece {
        let identities = self.identity.to_string();
        let identities = Identities::read(identities.expose_secret().as_bytes(), NoCallbacks).unwrap();
        backup.open_one(&self.name.parse().unwrap(), &identities).unwrap()
    }
    fn says(&self, (backup, nonce): &(Backup, [u8; 32]), asked_by: &str) -> pb::Envelope {
        let challenge = Challenge { asked_by: asked_by.parse().unwrap(), nonce: Nonce(*nonce) };
        let credential = format!("{}-terminal", self.name).parse().unwrap();
        backup.say(&self.open(backup), &challenge, (&credential, &self.key), 1_700_000_000).unwrap()
    }
}

/// A house of two custodians.
struct House {
    anna: Keeper,
    boris: Keeper,
}

impl House {
    fn new() -> Self {
        Self { anna: Keeper::new("anna", person_key()), boris: Keeper::new("boris", requester_key(8)) }
    }
    fn both(&self) -> [&Keeper; 2] {
        [&self.anna, &self.boris]
    }
    /// More of a charter: the treasury's shares go to both of them, at so many signers.
    fn charter(&self, nodes: usize, signers_required: u8) -> String {
        let mut text = format!(
            "[[people]]\nid = \"boris\"\n[[people.credentials]]\nid = \"boris-terminal\"\nclass = \"terminal\"\n\
             public_key = \"{}\"\n[[vaults]]\nid = \"deep\"\ntier = \"warm\"\nkeys = [\"{KEY}\"]\n\
             [[backups]]\nvaults = [\"deep\"]\nsigners_required = {signers_required}\npieces_required = 2\npeople_required = 2\n\
             proof_max_age_secs = 86400\n[backups.custodians]\n",
            self.boris.key.public_key()
        );
        for n in 1..=nodes {
            let custodian =
                |one: &Keeper| format!("{{ person = \"{}\", recipient = \"{}\" }}", one.name, one.recipient());
            text += &format!("n{n} = [{}, {}]\n", custodian(&self.anna), custodian(&self.boris));
        }
        text
    }
    async fn cluster(&self) -> Cluster {
        Cluster::start_with_ledger(3, 2, self.charter(3, 2)).await
    }
}

/// Calls all signers for the treasury, as often as a coordinator likes.
async fn generate(cluster: &Cluster, order: &pb::Envelope) -> Vec<pb::GenerateKeyResponse> {
    let session = session();
    let calls = (0..cluster.nodes.len()).map(|index| {
        let (mut client, order, session) = (cluster.client(index), order.clone(), session.clone());
        async move {
            let request = pb::GenerateKeyRequest {
                order: Some(order),
                session_id: session.into(),
                timeout_ms: 0,
                ..Default::default()
            };
            client.generate_key(request).await.unwrap().into_inner()
        }
    });
    all(calls).await
}

fn order(cluster: &Cluster) -> pb::Envelope {
    cluster.order(KEY, Scheme::EddsaEd25519, Protocol::Frost)
}

async fn fetch(cluster: &Cluster, index: usize, epoch: u64) -> Result<(Backup, [u8; 32]), ApiError> {
    let request = pb::FetchBackupRequest { node: String::new(), key_id: KEY.to_owned(), epoch };
    let fetched = cluster.client(index).fetch_backup(request).await;
    let fetched = fetched.map_err(|status| ApiError::from_status(&status).unwrap())?.into_inner();
    let nonce = fetched.backup.unwrap().nonce.to_vec().try_into().unwrap_or_default();
    Ok((Backup::decode(&fetched.file).unwrap(), nonce))
}

async fn hand_in(cluster: &Cluster, index: usize, proof: pb::Envelope) -> Result<pb::BackupRecord, ApiError> {
    let handed = cluster.client(index).prove_backup(pb::ProveBackupRequest { proof: Some(proof) }).await;
    handed.map(|answer| answer.into_inner().backup.unwrap()).map_err(|status| ApiError::from_status(&status).unwrap())
}

async fn prove(cluster: &Cluster, index: usize, keeper: &Keeper) -> pb::BackupRecord {
    let backup = fetch(cluster, index, 0).await.unwrap();
    hand_in(cluster, index, keeper.says(&backup, &format!("n{}", index + 1))).await.unwrap()
}

async fn prove_all(cluster: &Cluster, house: &House) {
    for index in 0..cluster.nodes.len() {
        for keeper in house.both() {
            prove(cluster, index, keeper).await;
        }
    }
}

async fn listed(cluster: &Cluster, index: usize) -> Vec<pb::BackupRecord> {
    let request = pb::ListBackupsRequest { key_id: KEY.to_owned() };
    cluster.client(index).list_backups(request).await.unwrap().into_inner().backups
}

async fn held(cluster: &Cluster, index: usize) -> pb::KeyShareRecord {
    let held = cluster.client(index).list_key_shares(pb::ListKeySharesRequest {}).await.unwrap().into_inner();
    held.shares.into_iter().find(|share| share.key_id == KEY).unwrap()
}

fn unproven(answer: &pb::GenerateKeyResponse) -> &str {
    assert_eq!(answer.statement, None, "it has left the signer");
    let refusal = answer.refusal.as_ref().unwrap();
    assert_eq!(refusal.code, "backup_unproven");
    &refusal.message
}

/// Has the key made, proven and certified.
async fn with_key(cluster: &Cluster, house: &House) -> pb::Envelope {
    let order = order(cluster);
    for answer in generate(cluster, &order).await {
        unproven(&answer);
    }
    prove_all(cluster, house).await;
    let statements: Vec<_> = generate(cluster, &order).await.into_iter().map(|one| one.statement.unwrap()).collect();
    let certificate = combine(&statements).unwrap();
    for index in 0..cluster.nodes.len() {
        let request = pb::ActivateKeyRequest { certificate: Some(certificate.clone()), order: None };
        cluster.client(index).activate_key(request).await.unwrap();
    }
    certificate
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_stated_once_every_custodian_has_proven_its_backup() {
    let house = House::new();
    let cluster = house.cluster().await;
    let order = order(&cluster);
    for answer in generate(&cluster, &order).await {
        assert!(unproven(&answer).ends_with("have not proven its backup yet: anna, boris"));
    }
    // One by one, and nothing is stated anywhere until a signer has heard both.
    for index in THREE {
        prove(&cluster, index, &house.boris).await;
        let share = held(&cluster, index).await;
        assert_eq!((share.statement, share.withheld.unwrap().custodians), (None, vec!["anna".to_owned()]));
        assert!(unproven(&generate(&cluster, &order).await[index]).ends_with(": anna"));
        assert!(row(&cluster, index).share.unwrap().statement.is_empty(), "it is not even signed");
        let record = prove(&cluster, index, &house.anna).await;
        assert_eq!(record.state(), pb::BackupState::Proven);
        assert!(record.custodians.iter().all(|one| one.proven_at_ms > 0 && !one.overdue));
        assert!(held(&cluster, index).await.statement.is_some());
    }
    let statements: Vec<_> = generate(&cluster, &order).await.into_iter().map(|one| one.statement.unwrap()).collect();
    let certificate = combine(&statements).unwrap();
    for index in THREE {
        let request = pb::ActivateKeyRequest { certificate: Some(certificate.clone()), order: None };
        cluster.client(index).activate_key(request).await.unwrap();
        let records = cluster.node(index).shared().store.view().unwrap().records().unwrap();
        let told: Vec<_> = records
            .iter()
            .filter_map(|record| match &record.event {
                Event::ShareStored { .. } => Some("stored"),
                Event::BackupMade { .. } => Some("made"),
                Event::BackupProven { .. } => Some("proven"),
                Event::ShareConfirmed { .. } => Some("stated"),
                _ => None,
            })
            .collect();
        assert_eq!(told, ["stored", "made", "proven", "proven", "stated"]);
    }
    let (_, intent) = message_intent(&cluster, KEY, "one", "hello");
    signature(&cluster.sign(&intent, &[1, 3]).await[0]);
    // What was stated is what the custodians hold.
    let attested = KeyStatement::decode(&certificate).unwrap();
    let (backup, _) = fetch(&cluster, 1, 1).await.unwrap();
    assert_eq!(backup.head().shares_hash(), attested.verifying_shares_hash);
    assert_eq!((backup.head().node().as_str(), backup.head().pieces_required()), ("n2", 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_is_wrong_blocks_the_key_and_is_told_by_its_holders_name() {
    let house = House::new();
    let cluster = house.cluster().await;
    let order = order(&cluster);
    generate(&cluster, &order).await;
    let (one, two) = (fetch(&cluster, 0, 1).await.unwrap(), fetch(&cluster, 1, 1).await.unwrap());
    prove(&cluster, 0, &house.anna).await;
    let mut corrupted = BackupProof::open(&house.boris.says(&one, "n1")).unwrap().0;
    corrupted.proof[7] ^= 1;
    let resigned = |said: &BackupProof, by: &SigningKey| said.to_unsigned().sign(said.credential.as_str(), by);
    let said = BackupProof::open(&house.boris.says(&one, "n1")).unwrap().0;
    let annas = BackupProof { proof: BackupProof::open(&house.anna.says(&one, "n1")).unwrap().0.proof, ..said.clone() };
    let stale = (one.0.clone(), [9; 32]);
    let stranger = BackupProof { person: "carla".parse().unwrap(), ..said.clone() };
    let cases = [
        ("corrupted", resigned(&corrupted, &house.boris.key), "boris has not proved"),
        ("by another piece", resigned(&annas, &house.boris.key), "boris has not proved"),
        ("by another's key", resigned(&said, &house.anna.key), "boris is not signed by their credential"),
        ("another signer's backup", house.boris.says(&two, "n1"), "boris is for another member"),
        ("for another signer", house.boris.says(&one, "n2"), "boris answers n2"),
        ("over another nonce", house.boris.says(&stale, "n1"), "boris is for another nonce"),
        ("no custodian", resigned(&stranger, &house.boris.key), "carla is by credential boris-terminal"),
    ];
    for (what, proof, words) in cases {
        let refused = hand_in(&cluster, 0, proof).await.unwrap_err();
        assert_eq!(refused.code, Code::BackupProofRefused, "{what}");
        assert!(refused.message.contains(words), "{what}: {refused}");
        assert_eq!(held(&cluster, 0).await.withheld.unwrap().custodians, ["boris"], "{what}");
    }
    assert!(unproven(&generate(&cluster, &order).await[0]).ends_with(": boris"));
    // The right one, twice.
    let proof = house.boris.says(&one, "n1");
    let first = hand_in(&cluster, 0, proof.clone()).await.unwrap();
    assert_eq!(hand_in(&cluster, 0, proof).await.unwrap(), first);
    assert!(generate(&cluster, &order).await[0].statement.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_stops_between_share_and_proofs_goes_on_where_it_was() {
    let house = House::new();
    let mut cluster = house.cluster().await;
    let order = order(&cluster);
    generate(&cluster, &order).await;
    let before = fetch(&cluster, 0, 1).await.unwrap();
    cluster.stop(0).await;
    cluster.restart(0).await;
    assert_eq!(fetch(&cluster, 0, 1).await.unwrap(), before, "the same backup waits for the same proofs");
    assert!(unproven(&generate(&cluster, &order).await[0]).ends_with(": anna, boris"));
    hand_in(&cluster, 0, house.anna.says(&before, "n1")).await.unwrap();
    cluster.stop(0).await;
    cluster.restart(0).await;
    assert!(unproven(&generate(&cluster, &order).await[0]).ends_with(": boris"));
    hand_in(&cluster, 0, house.boris.says(&before, "n1")).await.unwrap();
    cluster.stop(0).await;
    cluster.restart(0).await;
    assert!(generate(&cluster, &order).await[0].statement.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn new_shares_want_new_backups_and_those_before_are_dead() {
    let house = House::new();
    let cluster = house.cluster().await;
    with_key(&cluster, &house).await;
    let old = fetch(&cluster, 0, 1).await.unwrap();
    let plan = Plan::new(&cluster, 0, &THREE, Protocol::Frost).await;
    let withheld = plan.attempt(&cluster, (2, &[0, 1]), &THREE).await;
    for answer in &withheld {
        assert_eq!(
            (answer.statement.is_none(), answer.refusal.as_ref().unwrap().code.as_str()),
            (true, "backup_unproven")
        );
    }
    assert_eq!(held(&cluster, 0).await.withheld.unwrap().epoch, 2);
    let states: Vec<_> = listed(&cluster, 0).await.iter().map(|one| (one.epoch, one.state())).collect();
    assert_eq!(states, [(1, pb::BackupState::Proven), (2, pb::BackupState::Unproven)], "the present shares go on");
    prove_all(&cluster, &house).await;
    // Asked again, the attempt gives what was withheld.
    let certificate = plan.certified(&cluster, (2, &[0, 1]), &THREE).await;
    plan.tell(&cluster, 0, &certificate).await.unwrap();
    all_switched(&cluster, &THREE, 2).await;
    let late = hand_in(&cluster, 0, house.anna.says(&old, "n1")).await.unwrap_err();
    assert_eq!(late.code, Code::BackupProofRefused);
    assert!(late.message.contains("from before epoch 2"), "{late}");
    let gone = fetch(&cluster, 0, 1).await.unwrap_err();
    assert!(gone.message.contains("from before epoch 2"), "{gone}");
    let records = listed(&cluster, 0).await;
    assert_eq!((records[0].state(), records[1].state()), (pb::BackupState::Dead, pb::BackupState::Proven));
    assert!(records[0].trouble.contains("destroy its pieces"), "{}", records[0].trouble);
    let people: Vec<_> = records[0].custodians.iter().map(|one| one.person.as_str()).collect();
    assert_eq!(people, ["anna", "boris"], "who has pieces to destroy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custodian_who_is_replaced_has_the_backup_made_anew_before_anything_is_stated() {
    let house = House::new();
    let clock = Arc::new(Shifted::default());
    let time = Arc::clone(&clock) as Arc<dyn Clock>;
    let cluster = Cluster::start_by_under(3, 2, time, house.charter(3, 2)).await;
    let order = order(&cluster);
    generate(&cluster, &order).await;
    let old = fetch(&cluster, 0, 1).await.unwrap();
    prove(&cluster, 0, &house.anna).await;
    let next = Keeper::new("boris", requester_key(8));
    let changed = version(&cluster, &[cluster.charter_hash()], 2, &[(&house.boris.recipient(), &next.recipient())]);
    take(&cluster, 0, &changed.envelope).await.unwrap();
    stands(&cluster, changed.hash, pb::CharterState::Waiting).await;
    clock.run_for(HOUR_MS);
    stands(&cluster, changed.hash, pb::CharterState::InForce).await;
    // The last proof of the backup as it was comes too late.
    let late = hand_in(&cluster, 0, house.boris.says(&old, "n1")).await.unwrap_err();
    assert_eq!(late.code, Code::BackupProofRefused, "{late}");
    for index in THREE {
        backups::keep_up(cluster.node(index).shared()).await;
        let record = listed(&cluster, index).await.pop().unwrap();
        assert_eq!((record.state(), record.custodians.len()), (pb::BackupState::Unproven, 2));
        assert_eq!(record.custodians[1].recipient, next.recipient());
        assert!(
            unproven(&generate(&cluster, &order).await[index]).ends_with(": anna, boris"),
            "anna's proof was of the other"
        );
    }
    let house = House { boris: next, ..house };
    prove_all(&cluster, &house).await;
    assert!(generate(&cluster, &order).await.iter().all(|answer| answer.statement.is_some()));
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_grow_old_and_are_counted_and_the_key_goes_on() {
    let house = House::new();
    let clock = Arc::new(Shifted::default());
    let time = Arc::clone(&clock) as Arc<dyn Clock>;
    let cluster = Cluster::start_by_under(3, 2, time, house.charter(3, 2)).await;
    with_key(&cluster, &house).await;
    let first = fetch(&cluster, 0, 1).await.unwrap();
    let shared = cluster.node(0).shared();
    let owed = || shared.metrics.backup_proof_overdue.get_or_create(&OfKey { key: KEY.to_owned() }).get();
    backups::keep_up(shared).await;
    assert_eq!(owed(), 0);
    clock.run_for(DAY_MS + HOUR_MS);
    backups::keep_up(shared).await;
    assert_eq!(owed(), 2);
    assert!(listed(&cluster, 0).await[0].custodians.iter().all(|one| one.overdue));
    // Something new is asked for; who was on the way with the old still counts, and after another round no more.
    let second = fetch(&cluster, 0, 1).await.unwrap();
    assert_ne!(second.1, first.1);
    assert_eq!(second.0, first.0);
    let at = |made_at_secs: u64| {
        let said = BackupProof::open(&house.anna.says(&first, "n1")).unwrap().0;
        BackupProof { made_at_secs, ..said }.to_unsigned().sign("anna-terminal", &house.anna.key)
    };
    hand_in(&cluster, 0, at(4)).await.unwrap();
    hand_in(&cluster, 0, house.boris.says(&second, "n1")).await.unwrap();
    backups::keep_up(shared).await;
    assert_eq!(owed(), 0);
    clock.run_for(DAY_MS / 2);
    backups::keep_up(shared).await;
    assert!(hand_in(&cluster, 0, at(4)).await.is_ok(), "it is the very one that was taken");
    let stale = hand_in(&cluster, 0, at(5)).await.unwrap_err();
    assert!(stale.message.contains("another nonce"), "{stale}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_fewer_signers_than_the_custodians_are_counted_for_is_not_made() {
    let house = House::new();
    let cluster = Cluster::start_with_ledger(3, 2, house.charter(3, 3)).await;
    for answer in generate(&cluster, &order(&cluster)).await {
        let refusal = answer.refusal.unwrap();
        assert_eq!(refusal.code, "not_permitted");
        assert!(refusal.message.contains("count custodians for 3"), "{}", refusal.message);
    }
    // Other vaults' keys and keys of none are made as ever.
    cluster.make_key("other", Scheme::EddsaEd25519, Protocol::Frost).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_could_not_be_backed_up_here_is_not_made() {
    let house = House::new();
    let plugin = "age1limentest1qurswpc8qurswpc8qurswpc8qurswpc8qurswpc8qurswpc8qurset95ne";
    let charter = house.charter(3, 2).replace(&house.boris.recipient(), plugin);
    let cluster = Cluster::start_with_ledger(3, 2, charter).await;
    for answer in generate(&cluster, &order(&cluster)).await {
        let refusal = answer.refusal.unwrap();
        assert_eq!(refusal.code, "wrong_state");
        assert!(
            refusal.message.contains("boris") && refusal.message.contains("age-plugin-limentest"),
            "{}",
            refusal.message
        );
    }
    let view = cluster.node(0).shared().store.view().unwrap();
    assert!(view.keys().unwrap().is_empty(), "not even the name is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_proof_and_no_backup_is_refused_as_such() {
    let house = House::new();
    let cluster = house.cluster().await;
    generate(&cluster, &order(&cluster)).await;
    let one = fetch(&cluster, 0, 1).await.unwrap();
    let good = house.anna.says(&one, "n1");
    let mut cut = good.clone();
    cut.payload = cut.payload.slice(..cut.payload.len() - 3);
    let mut noise = good.clone();
    noise.payload = vec![0xff; 300].into();
    for garbage in [pb::Envelope::default(), cut, noise] {
        assert_eq!(hand_in(&cluster, 0, garbage).await.unwrap_err().code, Code::Malformed);
    }
    let nowhere = BackupProof { key: "nothing".parse().unwrap(), ..BackupProof::open(&good).unwrap().0 };
    let nowhere = nowhere.to_unsigned().sign("anna-terminal", &house.anna.key);
    assert_eq!(hand_in(&cluster, 0, nowhere).await.unwrap_err().code, Code::UnknownKey);
    for (key, epoch, code) in
        [("", 0, Code::Malformed), ("nothing", 0, Code::UnknownKey), (KEY, 7, Code::BackupProofRefused)]
    {
        let request = pb::FetchBackupRequest { node: String::new(), key_id: key.to_owned(), epoch };
        let refused = cluster.client(0).fetch_backup(request).await.unwrap_err();
        assert_eq!(ApiError::from_status(&refused).unwrap().code, code, "{key} {epoch}");
    }
    let request = pb::ListBackupsRequest { key_id: "No Key".to_owned() };
    let refused = cluster.client(0).list_backups(request).await.unwrap_err();
    assert_eq!(ApiError::from_status(&refused).unwrap().code, Code::Malformed);
    // Nobody but a coordinator asks.
    let mut peer = cluster.client_as(0, &cluster.machines[1]);
    let request = pb::ListBackupsRequest::default();
    assert!(peer.list_backups(request).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn backups_of_a_destroyed_key_are_dead() {
    let (house, clock) = (House::new(), Arc::new(Shifted::default()));
    let time = Arc::clone(&clock) as Arc<dyn Clock>;
    let cluster = Cluster::start_by_under(3, 2, time, house.charter(3, 2)).await;
    with_key(&cluster, &house).await;
    let anchor = "[[rules]]\nname = \"words\"";
    let mark = |state: &str| format!("[[keys]]\nkey = \"{KEY}\"\nstate = \"{state}\"\n{anchor}");
    let first = version(&cluster, &[cluster.charter_hash()], 2, &[(anchor, &mark("deactivated"))]);
    take(&cluster, 0, &first.envelope).await.unwrap();
    stands(&cluster, first.hash, pb::CharterState::InForce).await;
    let last = version(&cluster, &[first.hash], 3, &[(anchor, &mark("destroyed"))]);
    take(&cluster, 0, &last.envelope).await.unwrap();
    stands(&cluster, last.hash, pb::CharterState::Waiting).await;
    clock.run_for(HOUR_MS + 1);
    stands(&cluster, last.hash, pb::CharterState::InForce).await;
    cluster.linked().await;
    eventually("the key to be erased", || THREE.iter().all(|index| row(&cluster, *index).destroyed.erased)).await;
    for index in THREE {
        assert!(fetch(&cluster, index, 1).await.is_err(), "the file is gone");
        let record = listed(&cluster, index).await.pop().unwrap();
        assert_eq!(record.state(), pb::BackupState::Dead, "{record:?}");
    }
}
