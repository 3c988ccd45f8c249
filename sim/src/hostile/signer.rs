//! An honest signer: the node's own decisions and store, on a clock, a disk and with keys of ours.

mod faulty;
mod process;
mod waiting;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use limen_node::charters::{Follows as _, Orphans};
use limen_node::clock::{Clock, Millis, Now, Running, Uptime};
use limen_node::crypto::CryptoPool;
use limen_node::decisions::{Decisions, Keys};
use limen_node::guard::KeyFacts;
use limen_node::identity::Identity;
use limen_node::ledger::{Keeper, Ledgers, NoPeers};
use limen_node::log::{Follower, LogAlarm};
use limen_node::peers::{self, Talk};
use limen_node::recent::Recent;
use limen_node::standing::Standings;
use limen_node::store::{Options, Store, StoreError, compaction};
use limen_node::{charters, freezes, upkeep};
use limen_policy::charter::Charter;
use limen_wire::error::ApiError;
use limen_wire::ids::{ClusterId, IntentId, NodeId, RequesterId};
use limen_wire::pb;

use crate::Dice;
use crate::disk::{Disk, Image};
pub(crate) use faulty::Recording;
use faulty::{Faulty, Promised};
pub(crate) use process::Process;
pub(crate) use waiting::wait;

/// Wall time and running time that only steps of the program move.
#[derive(Debug, Default)]
struct Dial {
    wall: AtomicU64,
    running: AtomicU64,
}

impl Clock for Dial {
    fn now(&self) -> Millis {
        Millis(self.wall.load(Ordering::Relaxed))
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.running.load(Ordering::Relaxed))
    }
}

/// The versions of the charter as files, of which every machine is given one at its start.
pub(crate) struct Files {
    /// Parsed, in order.
    pub charters: Vec<Arc<Charter>>,
    /// Their texts.
    pub texts: Vec<String>,
    /// They follow one another. If not, a machine takes whatever file it is given.
    pub live: bool,
}

/// A disk as it was, to be put back one day, and how far the journal on it goes.
struct OldDisk {
    image: Image,
    records: u64,
}

/// One signer, or a witness.
pub(crate) struct Signer {
    disk: Disk,
    old: Option<OldDisk>,
    keys: Arc<Keys>,
    dial: Arc<Dial>,
    files: Arc<Files>,
    process: Option<Process>,
    node: NodeId,
    identity: &'static Identity,
    boots: u64,
    /// A write failed: the daemon would have ended itself.
    dead: Arc<AtomicBool>,
    faulty: Faulty,
    recording: Option<Recording>,
    promised: Promised,
    /// How long it has truly been running, over all starts, in milliseconds.
    pub true_uptime: u64,
}

impl Signer {
    /// With an empty store that has been opened once. `facts` are of the one key; a witness has no share of it.
    pub(crate) fn new(
        node: NodeId,
        identity: &'static Identity,
        facts: Option<KeyFacts>,
        files: Arc<Files>,
        wall_ms: u64,
    ) -> Self {
        let dial = Dial { wall: AtomicU64::new(wall_ms), running: AtomicU64::new(0) };
        let keys = facts.map(|facts| (facts.public.key.clone(), Arc::new(facts))).into_iter().collect();
        Self {
            disk: Disk::holding(blank(&node)),
            old: None,
            keys: Arc::new(RwLock::new(keys)),
            dial: Arc::new(dial),
            files,
            process: None,
            node,
            identity,
            boots: 0,
            dead: Arc::default(),
            faulty: Faulty::default(),
            recording: None,
            promised: Promised::default(),
            true_uptime: 0,
        }
    }

    /// The process, if it runs.
    pub(crate) const fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// What it decides with, if it runs.
    pub(crate) fn decisions(&self) -> Option<Decisions<'_>> {
        self.process.as_ref().map(Process::decisions)
    }

    /// What it keeps ledgers with, if it runs.
    pub(crate) fn keeper(&self) -> Option<Keeper<'_>> {
        let (decisions, ledgers) = (self.decisions()?, &self.process.as_ref()?.ledgers);
        Some(Keeper { decisions, ledgers, me: &self.node, identity: self.identity, peers: &NoPeers })
    }

    /// Follows the evidence log that somebody shows it, if it runs.
    pub(crate) fn follow(&self, request: pb::FollowRequest) -> Option<Result<pb::FollowResponse, ApiError>> {
        let process = self.process.as_ref()?;
        let Decisions { charter, store, now, .. } = process.decisions();
        let follower =
            Follower { charter, store, me: &process.me, identity: process.identity, metrics: process.metrics(), now };
        Some(wait(follower.follow(request)))
    }

    /// Asks its peers what a daemon asks every few seconds.
    pub(crate) fn ask_peers(&self) {
        let Some(process) = &self.process else { return };
        self.kept(peers::ask_for_records(process));
        peers::ask_for_standing(process);
    }

    /// What it has said since the last time.
    pub(crate) fn said(&self) -> Vec<(NodeId, Talk)> {
        let said = self.process.as_ref().map(|process| &process.said);
        said.map(|said| std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner))).unwrap_or_default()
    }

    /// Until everything that it has queued for its disk is there.
    pub(crate) fn flush(&self) {
        let Some(decisions) = self.decisions() else { return };
        self.kept(decisions.store.write_blocking(|_| Ok(())));
    }

    /// Keeps a copy of its disk; how far the journal on it goes.
    pub(crate) fn keep_disk(&mut self) -> Option<u64> {
        let records = self.kept(self.decisions()?.store.view().and_then(|view| view.head()))?.length;
        self.old = Some(OldDisk { image: self.disk.durable(), records });
        Some(records)
    }

    /// How far the journal on the kept disk goes.
    pub(crate) fn kept_records(&self) -> Option<u64> {
        self.old.as_ref().map(|old| old.records)
    }

    /// Its power fails, and the kept disk is put in.
    pub(crate) fn put_back(&mut self) {
        self.process = None;
        if let Some(old) = self.old.take() {
            self.promised = Promised::default();
            self.insert(old.image);
        }
    }

    /// Its word that a request which it never allowed is cancelled here, if that is so.
    pub(crate) fn void(&self, id: &IntentId) -> Option<pb::Envelope> {
        let unsigned = self.decisions()?.void(id).ok().flatten()?;
        wait(self.identity.seal(unsigned, &self.node)).ok()
    }

    /// Which version of the charter is in force here, if it runs.
    pub(crate) fn version(&self) -> Option<usize> {
        let in_force = self.process.as_ref()?.charter().hash();
        self.files.charters.iter().position(|charter| charter.hash() == in_force)
    }

    /// What its clock says, in milliseconds since 1970.
    pub(crate) fn wall_ms(&self) -> u64 {
        self.dial.now().0
    }

    /// Its own time.
    pub(crate) fn wall_secs(&self) -> u64 {
        self.dial.now().as_secs()
    }

    /// Time passes; it runs on only in a running process.
    pub(crate) fn pass(&mut self, millis: u64) {
        self.dial.wall.fetch_add(millis, Ordering::Relaxed);
        if self.process.is_some() {
            self.dial.running.fetch_add(millis, Ordering::Relaxed);
            self.true_uptime += millis;
        }
    }

    /// Somebody turns its wall clock.
    pub(crate) fn turn(&self, seconds: i64) {
        let wall = self.dial.wall.load(Ordering::Relaxed);
        self.dial.wall.store(wall.saturating_add_signed(seconds.saturating_mul(1000)), Ordering::Relaxed);
    }

    /// Starts, as the daemon does, with this version's file; `false` if it refuses that, or runs.
    pub(crate) fn start(&mut self, version: usize) -> bool {
        if self.process.is_some() {
            return false;
        }
        self.boots += 1;
        self.dead.store(false, Ordering::Relaxed);
        let started = self.prepare(version);
        let Some(Some((store, running, charter))) = self.kept(started) else { return false };
        self.process = Some(Process {
            me: self.node.clone(),
            identity: self.identity,
            keys: Arc::clone(&self.keys),
            store,
            recent: Recent::default(),
            running,
            held: RwLock::new(charter),
            ledgers: Ledgers::default(),
            standings: Standings::default(),
            log_alarm: LogAlarm::default(),
            orphans: Orphans::default(),
            crypto: CryptoPool::none(),
            said: Mutex::default(),
        });
        self.consider();
        true
    }

    /// Opens the store, and notes there that a process runs and under which charter; `None` if the file is refused.
    fn prepare(&self, version: usize) -> Result<Option<(Store, Running, Arc<Charter>)>, StoreError> {
        let store = open(&self.disk, &self.node, self.boots, &self.dead)?;
        let before = store.view()?.uptime()?;
        let clock: Arc<dyn Clock> = Arc::<Dial>::clone(&self.dial);
        let running = Running::new(clock, before);
        let (mut boot, now) = ([0; 16], running.now());
        let file = &self.files.charters[version];
        let charter = if self.files.live {
            let begun = charters::begin(&store, Charter::clone(file), self.files.texts[version].clone(), now);
            match wait(begun) {
                Ok(in_force) => Arc::new(in_force),
                Err(_) => return Ok(None),
            }
        } else {
            Arc::clone(file)
        };
        let known = store.view()?.lineage()?;
        let other = known.is_none_or(|lineage| lineage.in_force() != charter.hash());
        boot[..8].copy_from_slice(&self.boots.to_be_bytes());
        let pinned = other.then(|| Charter::clone(&charter));
        store.write_blocking(move |txn| {
            upkeep::boot_record(txn, boot, now.wall)?;
            pinned.map_or(Ok(()), |charter| charters::pin(txn, &charter, String::new(), now))
        })?;
        Ok(Some((store, running, charter)))
    }

    /// Puts versions in force whose moment has come.
    pub(crate) fn consider(&self) {
        if let Some(process) = self.process.as_ref().filter(|_| self.files.live) {
            self.kept(wait(charters::consider(process)));
        }
    }

    /// Ends: in order, or by a power cut that takes any part of what was not synced.
    pub(crate) fn kill(&mut self, power: Option<&mut Dice>) {
        let Some(process) = self.process.take() else { return };
        let left = power.map(|dice| self.disk.after_power_cut(dice));
        drop(process);
        if let Some(left) = left {
            self.insert(left);
        }
    }

    /// Its disk is taken away: what a signer without memory is like.
    pub(crate) fn wipe(&mut self) {
        self.promised = Promised::default();
        self.insert(blank(&self.node));
    }

    /// Notes how long it has been running.
    pub(crate) fn tick(&self) {
        let Some(decisions) = self.decisions() else { return };
        let uptime: Uptime = decisions.now.uptime;
        self.kept(decisions.store.write_blocking(move |txn| txn.put_uptime(uptime)));
    }

    /// Ends the freezes that people have lifted, if their delay has run.
    pub(crate) fn lift(&self) {
        let Some(decisions) = self.decisions() else { return };
        let named = decisions.store.view().and_then(|view| {
            let by_people = view.freeze_rows()?.iter().any(|(_, row)| !row.lifters.is_empty());
            Ok(by_people || view.automatic_rows()?.iter().any(|(_, row)| !row.lifters.is_empty()))
        });
        if self.kept(named) == Some(true) {
            let (charter, now) = (Arc::clone(&decisions.charter), decisions.now);
            self.kept(decisions.store.write_blocking(move |txn| freezes::lift_due(txn, &charter, now)));
        }
    }

    /// Whom it has frozen by itself, by which freeze, if it runs.
    pub(crate) fn own_freezes(&self) -> Option<Vec<(RequesterId, IntentId)>> {
        let rows = self.kept(self.decisions()?.store.view().and_then(|view| view.automatic_rows()))?;
        Some(rows.into_iter().map(|(requester, row)| (requester, IntentId::new(row.id))).collect())
    }

    /// Whether it has noted a request, if it runs.
    pub(crate) fn holds(&self, id: &IntentId) -> bool {
        let Some(decisions) = self.decisions() else { return false };
        self.kept(decisions.store.view().and_then(|view| view.intent(id))).flatten().is_some()
    }

    /// Forgets what has ended and was seen longer ago than this.
    pub(crate) fn compact(&self, seconds: u64) {
        let Some(decisions) = self.decisions() else { return };
        let Now { wall, .. } = decisions.now;
        let before = wall.minus(Duration::from_secs(seconds));
        self.kept(decisions.store.write_blocking(move |txn| compaction::step(txn, before, wall)));
    }
}

/// The name of the signer with this index.
pub(crate) fn node(index: u8) -> NodeId {
    NodeId::new(format!("signer-{index}")).expect("a name")
}

/// What it draws is different at every machine and start, and the same in every run.
fn open(disk: &Disk, node: &NodeId, boots: u64, dead: &Arc<AtomicBool>) -> Result<Store, StoreError> {
    let mut options = Options::new(node.clone(), ClusterId::new("sim").expect("a name"));
    let seed = node.as_str().bytes().fold(boots, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let dice = Mutex::new(Dice::new(seed));
    options.draw = Box::new(move || {
        let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
        let words: [u64; 4] = std::array::from_fn(|_| dice.throw());
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).zip(words).for_each(|(place, word)| place.copy_from_slice(&word.to_be_bytes()));
        bytes
    });
    let (broken, dead, marked) = (disk.clone(), Arc::clone(dead), disk.clone());
    options.on_fatal = Box::new(move |error| {
        assert!(broken.struck(), "a simulated store failed: {error}");
        dead.store(true, Ordering::Relaxed);
    });
    options.on_commit = Box::new(move |_| marked.mark());
    (options.check, options.cache) = (false, 4 << 20);
    Store::open_on(disk.clone(), options)
}

/// What is on a disk with a store that has just been made: made once for each name, for all runs.
pub(crate) fn blank(node: &NodeId) -> Image {
    static BLANK: OnceLock<Mutex<HashMap<NodeId, Image>>> = OnceLock::new();
    let mut made = BLANK.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let image = made.entry(node.clone()).or_insert_with(|| {
        let disk = Disk::default();
        drop(open(&disk, node, 0, &Arc::default()).expect("a store"));
        disk.seen()
    });
    image.clone()
}
