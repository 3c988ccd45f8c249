//! An honest signer: the node's own decisions and store, on a clock, a disk and with keys of ours.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use limen_node::clock::{Clock, Millis, Now, Running, Uptime};
use limen_node::decisions::{Decisions, Keys};
use limen_node::guard::KeyFacts;
use limen_node::ledger::{Keeper, Ledgers, NoPeers};
use limen_node::recent::Recent;
use limen_node::store::{Options, Store, compaction};
use limen_node::{charters, freezes, upkeep};
use limen_policy::charter::Charter;
use limen_wire::ids::{ClusterId, IntentId, NodeId};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use redb::Builder;

use super::disk::Disk;
use crate::Dice;

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

/// A process that runs.
struct Process {
    store: Store,
    recent: Recent,
    running: Running,
    charter: Arc<Charter>,
    version: usize,
    ledgers: Ledgers,
}

/// One signer, or a witness.
pub(crate) struct Signer {
    disk: Disk,
    keys: Keys,
    dial: Arc<Dial>,
    process: Option<Process>,
    node: NodeId,
    identity: &'static SigningKey,
    boots: u64,
    /// How long it has truly been running, over all starts, in milliseconds.
    pub true_uptime: u64,
}

impl Signer {
    /// With an empty store that has been opened once. `facts` are of the one key; a witness has no share of it.
    pub(crate) fn new(node: NodeId, identity: &'static SigningKey, facts: Option<KeyFacts>, wall_ms: u64) -> Self {
        let dial = Dial { wall: AtomicU64::new(wall_ms), running: AtomicU64::new(0) };
        let keys = facts.map(|facts| (facts.public.key.clone(), Arc::new(facts))).into_iter().collect();
        Self {
            disk: blank(&node),
            keys: RwLock::new(keys),
            dial: Arc::new(dial),
            process: None,
            node,
            identity,
            boots: 0,
            true_uptime: 0,
        }
    }

    /// What it decides with, if it runs.
    pub(crate) fn decisions(&self) -> Option<Decisions<'_>> {
        let process = self.process.as_ref()?;
        let Process { store, recent, charter, .. } = process;
        Some(Decisions { charter: Arc::clone(charter), store, keys: &self.keys, recent, now: process.running.now() })
    }

    /// What it keeps ledgers with, if it runs. Nobody plays standing: every machine stands well.
    pub(crate) fn keeper(&self) -> Option<Keeper<'_>> {
        let (decisions, ledgers) = (self.decisions()?, &self.process.as_ref()?.ledgers);
        Some(Keeper { decisions, ledgers, me: &self.node, identity: self.identity, peers: &NoPeers })
    }

    /// Its word that a request which it never allowed is cancelled here, if that is so.
    pub(crate) fn void(&self, id: &IntentId) -> Option<pb::Envelope> {
        self.decisions()?.void(id, &self.node, self.identity).ok().flatten()
    }

    /// Under which version of the charter it runs.
    pub(crate) fn version(&self) -> Option<usize> {
        self.process.as_ref().map(|process| process.version)
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

    /// Starts, as the daemon does.
    pub(crate) fn start(&mut self, charter: &Arc<Charter>, version: usize) {
        if self.process.is_some() {
            return;
        }
        let store = open(&self.disk, &self.node);
        let before = store.view().expect("a view").uptime().expect("an uptime");
        let clock: Arc<dyn Clock> = Arc::<Dial>::clone(&self.dial);
        let running = Running::new(clock, before);
        let (mut boot, now) = ([0; 16], running.now());
        let known = store.view().expect("a view").lineage().expect("a lineage");
        let other = known.is_none_or(|lineage| lineage.in_force() != charter.hash());
        self.boots += 1;
        boot[..8].copy_from_slice(&self.boots.to_be_bytes());
        let pinned = other.then(|| Charter::clone(charter));
        let starting = store.write_blocking(move |txn| {
            upkeep::boot_record(txn, boot, now.wall)?;
            pinned.map_or(Ok(()), |charter| charters::pin(txn, &charter, String::new(), now))
        });
        starting.expect("a boot record");
        let (recent, charter, ledgers) = (Recent::default(), Arc::clone(charter), Ledgers::default());
        self.process = Some(Process { store, recent, running, charter, version, ledgers });
    }

    /// Ends: in order, or by a power cut that takes any part of what was not synced.
    pub(crate) fn kill(&mut self, power: Option<&mut Dice>) {
        let Some(process) = self.process.take() else { return };
        let left = power.map(|dice| self.disk.after_power_cut(dice));
        drop(process);
        if let Some(left) = left {
            self.disk = left;
        }
    }

    /// Its disk is taken away: what a signer without memory is like.
    pub(crate) fn wipe(&mut self) {
        self.disk = blank(&self.node);
    }

    /// Notes how long it has been running.
    pub(crate) fn tick(&self) {
        let Some(decisions) = self.decisions() else { return };
        let uptime: Uptime = decisions.now.uptime;
        decisions.store.write_blocking(move |txn| txn.put_uptime(uptime)).expect("a write");
    }

    /// Ends the freezes that people have lifted, if their delay has run.
    pub(crate) fn lift(&self) {
        let Some(decisions) = self.decisions() else { return };
        let frozen = decisions.store.view().and_then(|view| view.freeze_rows()).expect("freezes");
        if frozen.iter().any(|(_, row)| !row.lifters.is_empty()) {
            let (charter, now) = (Arc::clone(&decisions.charter), decisions.now);
            decisions.store.write_blocking(move |txn| freezes::lift_due(txn, &charter, now)).expect("a write");
        }
    }

    /// Forgets what has ended and was seen longer ago than this.
    pub(crate) fn compact(&self, seconds: u64) {
        let Some(decisions) = self.decisions() else { return };
        let Now { wall, .. } = decisions.now;
        let before = wall.minus(Duration::from_secs(seconds));
        decisions.store.write_blocking(move |txn| compaction::step(txn, before, wall)).expect("a write");
    }
}

/// The name of the signer with this index.
pub(crate) fn node(index: u8) -> NodeId {
    NodeId::new(format!("signer-{index}")).expect("a name")
}

fn open(disk: &Disk, node: &NodeId) -> Store {
    let mut options = Options::new(node.clone(), ClusterId::new("sim").expect("a name"));
    options.on_fatal = Box::new(|error| panic!("a simulated store failed: {error}"));
    let db = Builder::new().set_cache_size(4 << 20).create_with_backend(disk.clone()).expect("a database");
    Store::start(db, options).expect("a store")
}

/// A disk with a store that has just been made: made once for each name, for all runs.
fn blank(node: &NodeId) -> Disk {
    static BLANK: OnceLock<Mutex<HashMap<NodeId, Disk>>> = OnceLock::new();
    let mut made = BLANK.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let disk = made.entry(node.clone()).or_insert_with(|| {
        let disk = Disk::default();
        drop(open(&disk, node));
        disk
    });
    disk.copy()
}

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future that only the store's writer keeps waiting.
pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Parked(std::thread::current())));
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}
