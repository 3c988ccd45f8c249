//! A signer with a share of a key: made and kept as the daemon does it, step by step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use limen_hsm::DangerSoftware;
use limen_mpc::{DerivationPath, KeyShare, Output, Seed, Session, SessionParams, SignInput, SignMode};
use limen_node::clock::Millis;
use limen_node::store::journal::Event;
use limen_node::store::rows::{DestroyedRow, EpochsRow, KeyPhase, KeyRow, ShareRow};
use limen_node::store::{Store, View};
use limen_node::vault::{Group, Vault};
use limen_wire::ids::{
    ClusterId, CommitteeSize, Epoch, IntentId, KeyId, NodeId, PartyIndex, Protocol, Scheme, SessionId, SignerSet,
    tagged_hash,
};

use super::opening::open_disk;
use crate::disk::{Disk, Tape};
use crate::{Mesh, Weather};

/// Whose disks they are.
pub(super) fn node() -> NodeId {
    NodeId::new("signer-1").expect("a name")
}

fn cluster() -> ClusterId {
    ClusterId::new("sim").expect("a name")
}

fn key() -> KeyId {
    KeyId::new("campaign-key").expect("a name")
}

fn params(session: [u8; 32], signers: SignerSet) -> SessionParams {
    SessionParams {
        cluster: cluster(),
        key: key(),
        epoch: Epoch::FIRST,
        scheme: Scheme::EddsaEd25519,
        protocol: Protocol::Frost,
        size: size(),
        signers,
        session: SessionId::new(session),
        intent: IntentId::new([0; 32]),
    }
}

fn size() -> CommitteeSize {
    CommitteeSize::new(2, 3).expect("a committee")
}

fn party(index: u16) -> PartyIndex {
    PartyIndex::new(index).expect("an index")
}

fn run(parties: Vec<(PartyIndex, Session, limen_mpc::Step)>) -> Vec<(PartyIndex, Output)> {
    let mut mesh = Mesh::start(1, Weather::CALM, parties);
    mesh.run();
    mesh.into_outputs().unwrap_or_default()
}

/// Shares of a 2-of-3 FROST key, made once.
pub(super) fn shares() -> &'static BTreeMap<PartyIndex, Arc<KeyShare>> {
    static SHARES: OnceLock<BTreeMap<PartyIndex, Arc<KeyShare>>> = OnceLock::new();
    SHARES.get_or_init(|| {
        let all = SignerSet::all(size());
        let started = all.parties().iter().map(|member| {
            let seed = Seed::new(tagged_hash("limen campaign key seed", [&[member.as_u8()][..]]));
            let (session, step) = Session::keygen(params([1; 32], all.clone()), *member, seed).expect("a session");
            (*member, session, step)
        });
        let shares = run(started.collect()).into_iter().filter_map(|(member, output)| match output {
            Output::Key(share) => Some((member, Arc::from(share))),
            _ => None,
        });
        shares.collect()
    })
}

/// Whether a share makes a signature that verifies, together with another signer's.
pub(super) fn signs(share: KeyShare) -> bool {
    let (public, mine) = (share.public().clone(), Arc::new(share));
    let set = SignerSet::new(vec![party(1), party(2)]).expect("a set");
    let input = SignInput::Message(b"campaign".to_vec());
    let path = DerivationPath::default();
    let started = set.parties().iter().map(|member| {
        let share = if *member == party(1) { Arc::clone(&mine) } else { Arc::clone(&shares()[member]) };
        let seed = Seed::new(tagged_hash("limen campaign sign seed", [&[member.as_u8()][..]]));
        let session = params([2; 32], set.clone());
        let (session, step) = Session::sign(session, *member, share, &path, &input, SignMode::Full, seed).expect("it");
        (*member, session, step)
    });
    let outputs = run(started.collect());
    let Some((_, Output::Signature(signature))) = outputs.first() else { return false };
    signature.verify(&public.public_key, &input).is_ok()
}

/// The files of the software provider, in a folder of their own that goes with this.
pub(super) struct Provider {
    folder: PathBuf,
}

impl Provider {
    /// With a fresh key file.
    pub(super) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("limen-campaign-{}-{name}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok();
        std::fs::create_dir_all(&folder).expect("a folder");
        let made = Self { folder };
        write(&made.key_file(), "5a".repeat(32).as_bytes());
        made
    }

    fn key_file(&self) -> PathBuf {
        self.folder.join("wrap.key")
    }

    /// As the daemon opens it.
    pub(super) fn open(&self) -> Result<DangerSoftware, limen_hsm::HsmError> {
        DangerSoftware::open(&self.key_file(), true)
    }

    /// Every file of it.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let beside = std::fs::read_dir(self.folder.join("wrap.key.d")).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = beside.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        files.push(self.key_file());
        files.sort();
        files
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Writes a file that only its owner reads.
pub(super) fn write(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file =
        std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path).expect("a file");
    file.write_all(bytes).expect("a file");
}

fn put(store: &Store, row: KeyRow, events: Vec<Event>) {
    let written = store.write_blocking(move |txn| {
        txn.put_key(&key(), &row)?;
        events.into_iter().try_for_each(|event| txn.append(Millis(1), event))
    });
    written.expect("a write");
}

fn vault(provider: DangerSoftware, store: &Store) -> Vault {
    Vault::new(cluster(), node(), Arc::new(provider), store.clone(), Duration::ZERO)
}

/// The life of a key until it signs, each step as `limen_node::keygen` writes it.
pub(super) fn live(store: &Store, provider: &Provider) {
    let vault = vault(provider.open().expect("a provider"), store);
    let blank = |phase| KeyRow {
        phase,
        order: vec![1; 200],
        order_id: [2; 32],
        attempts: 1,
        share: None,
        certificate: Vec::new(),
        epochs: EpochsRow::default(),
        destroyed: DestroyedRow::default(),
    };
    let begun = Event::Session { key: key().to_string(), session: [1; 32], purpose: "keygen".to_owned() };
    put(store, blank(KeyPhase::Generating), vec![begun]);
    let sealed =
        vault.seal(&shares()[&party(1)], &Group::common(&cluster(), &node(), Epoch::FIRST), 7).expect("a sealed share");
    let (public, sealed_hash) = (sealed.public.clone(), sealed.hash());
    let mut row = blank(KeyPhase::Pending);
    row.share = Some(ShareRow {
        epoch: Epoch::FIRST.0,
        nodes: vec![node()],
        order_id: [2; 32],
        handover: Vec::new(),
        generation: 7,
        public,
        statement: Vec::new(),
        was_whole: false,
    });
    let pending = row.clone();
    let stored = store.write_blocking(move |txn| {
        sealed.put(txn, &key(), Epoch::FIRST)?;
        txn.put_key(&key(), &pending)?;
        let event = Event::ShareStored { key: key().to_string(), epoch: Epoch::FIRST.0, generation: 7, sealed_hash };
        txn.append(Millis(2), event)
    });
    stored.expect("a write");
    row.share.iter_mut().for_each(|share| share.statement = vec![3; 300]);
    put(store, row.clone(), vec![Event::ShareConfirmed { key: key().to_string(), statement: [4; 32] }]);
    (row.phase, row.certificate) = (KeyPhase::Active, vec![5; 900]);
    put(store, row, vec![Event::KeyActive { key: key().to_string(), certificate: [6; 32] }]);
}

/// The share as a start reads it back; `None` if the store knows of none.
pub(super) fn read(store: &Store, view: &View, provider: &Provider) -> Result<Option<KeyShare>, String> {
    let provider = provider.open().map_err(|error| error.to_string())?;
    let Some(row) = view.key(&key()).map_err(|error| error.to_string())?.and_then(|row| row.share) else {
        return Ok(None);
    };
    vault(provider, store).read(view, &key(), &row).map(Some).map_err(|error| error.to_string())
}

/// A recording of a new store in which a key is made, and the provider that goes with it.
pub(super) fn story(number: u64) -> (Provider, Tape) {
    let provider = Provider::new(&format!("story-{number}"));
    // A new file comes into its place whole, so that no disk begins emptier than this.
    let blank = Disk::default();
    drop(open_disk(blank.clone(), &node(), true).expect("a store"));
    let (disk, tape) = Disk::recorded(blank.seen());
    let store = open_disk(disk, &node(), true).expect("a store");
    live(&store, &provider);
    drop(store);
    let tape = tape.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    (provider, tape)
}
