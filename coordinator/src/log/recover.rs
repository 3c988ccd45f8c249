//! Where a start goes on: at the longest log that most nodes hold, as far as each of them goes.
//!
//! What nodes have cosigned is the log, whatever lies on this disk. Nothing is appended before they have been heard: another
//! leaf at an index that one of them holds could never be cosigned by it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limen_evidence::merkle::TreeHash;
use limen_wire::ids::NodeId;
use limen_wire::{limits, pb};
use tokio::time::Instant;

use super::{Cosigning, together};
use crate::context::Core;
use crate::signers::CallError;
use crate::store::StoreError;

/// So many leaves are read back that one single node has alone: a keeper that crashes leaves no more behind, a liar could.
const ALONE: u64 = 4096;

/// What one node holds: its size, and its root at each of the sizes that were asked for.
struct Held {
    node: Arc<Cosigning>,
    size: u64,
    roots: Vec<Option<TreeHash>>,
}

impl Held {
    /// The root of its first so many leaves.
    fn root(&self, sizes: &[u64], size: u64) -> Option<TreeHash> {
        let place = sizes.iter().position(|one| *one == size)?;
        self.roots.get(place).copied().flatten()
    }
}

/// What this recovery knows of nodes.
#[derive(Default)]
struct Known {
    /// Their log could not be read back: the others are followed.
    left_out: BTreeSet<NodeId>,
    /// There was an alarm for each of them: one is enough.
    told: BTreeSet<NodeId>,
}

impl Known {
    fn alarm(&mut self, core: &Core, node: &NodeId, what: &str) {
        if self.told.insert(node.clone()) {
            core.metrics.log_alarms.inc();
            tracing::error!(%node, "ALARM: this node {what}");
        }
    }
}

/// Makes the log here the one that most nodes hold.
pub(super) async fn recover(core: &Arc<Core>, nodes: &[Arc<Cosigning>]) -> Result<(), StoreError> {
    let patience = Instant::now() + core.timing.rebuild_patience;
    let mut known = Known::default();
    loop {
        let (sizes, held) = hear(core, nodes).await?;
        let over = Instant::now() >= patience;
        if held.len() == nodes.len() || (over && held.len() * 2 > nodes.len()) {
            match settle(core, &sizes, &held, &mut known).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Store(error)) => return Err(error),
                Err(Trouble::Node(why)) => tracing::warn!(why, "the evidence log was not read back yet"),
            }
        }
        tokio::time::sleep(core.timing.status_interval).await;
    }
}

/// What all nodes hold that answer, with their roots at each of these sizes.
async fn hear(core: &Arc<Core>, nodes: &[Arc<Cosigning>]) -> Result<(Vec<u64>, Vec<Held>), StoreError> {
    let sizes = together(nodes.iter().map(|node| ask(Arc::clone(core), Arc::clone(node), Vec::new()))).await;
    let mut sizes: Vec<u64> = sizes.into_iter().flatten().map(|held| held.size).collect();
    sizes.push(core.store.log_size()?);
    sizes.sort_unstable();
    sizes.dedup();
    sizes.truncate(limits::LOG_ROOTS);
    let asked = nodes.iter().map(|node| ask(Arc::clone(core), Arc::clone(node), sizes.clone()));
    let held = together(asked).await.into_iter().flatten();
    // One that has grown meanwhile is asked again.
    let held = held.filter(|held| sizes.contains(&held.size)).collect();
    Ok((sizes, held))
}

async fn ask(core: Arc<Core>, node: Arc<Cosigning>, sizes: Vec<u64>) -> Option<Held> {
    let request = pb::ShowLogRequest { start: 0, most: 0, sizes };
    let answer = node.within(&core, node.port.show_log(request)).await.ok()?;
    let root = |bytes: &bytes::Bytes| <[u8; 32]>::try_from(bytes.as_ref()).ok().map(TreeHash::new);
    Some(Held { size: answer.size, roots: answer.roots.iter().map(root).collect(), node })
}

enum Trouble {
    Store(StoreError),
    Node(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        Self::Node(error.to_string())
    }
}

/// The nodes whose logs are one log: from the shortest size to the longest, of those that go so far, the largest group that
/// agrees there. Of groups of one size it is the one that this disk agrees with, else that of the first node by name.
fn keep<'a>(core: &Core, sizes: &[u64], mut running: Vec<&'a Held>) -> Result<Vec<&'a Held>, StoreError> {
    let own = core.store.log_size()?;
    running.sort_by(|one, other| one.node.id.cmp(&other.node.id));
    for size in sizes {
        let here = if *size <= own { Some(core.store.log_root(*size)?) } else { None };
        let reach = running.iter().filter(|one| one.size >= *size);
        let roots: Vec<TreeHash> = reach.filter_map(|one| one.root(sizes, *size)).collect();
        let mut groups: BTreeMap<TreeHash, usize> = BTreeMap::new();
        for root in &roots {
            *groups.entry(*root).or_default() += 1;
        }
        // The last of the greatest is taken: from the back, that is the first by name.
        let best = roots.iter().rev().max_by_key(|root| (groups.get(*root).copied(), here == Some(**root)));
        running.retain(|one| one.size < *size || (best.is_some() && one.root(sizes, *size) == best.copied()));
    }
    Ok(running)
}

/// Takes over the longest log of those that are kept.
async fn settle(core: &Core, sizes: &[u64], held: &[Held], known: &mut Known) -> Result<(), Trouble> {
    if held.iter().all(|one| known.left_out.contains(&one.node.id)) {
        // Nobody else is there: they are tried again.
        known.left_out.clear();
    }
    let heard: Vec<&Held> = held.iter().filter(|one| !known.left_out.contains(&one.node.id)).collect();
    let kept = keep(core, sizes, heard.clone())?;
    let names: BTreeSet<&NodeId> = kept.iter().map(|one| &one.node.id).collect();
    for other in heard.iter().filter(|one| !names.contains(&one.node.id)) {
        known.alarm(core, &other.node.id, "holds another log than most: its own has been forked");
    }
    let best = kept.iter().copied().max_by_key(|one| one.size);
    let best = best.ok_or_else(|| Trouble::Node("no node says what it holds".to_owned()))?;
    let others = kept.iter().filter(|one| one.node.id != best.node.id).map(|one| one.size).max().unwrap_or(0);
    let taken = take_over(core, sizes, best, others, known).await;
    if matches!(taken, Err(Trouble::Node(_))) {
        known.left_out.insert(best.node.id.clone());
    }
    taken
}

/// Makes the log here the one of this node. `others` is how far other nodes go with it.
async fn take_over(core: &Core, sizes: &[u64], best: &Held, others: u64, known: &mut Known) -> Result<(), Trouble> {
    let own = core.store.log_size()?;
    let common = own.min(best.size);
    let roots = best.root(sizes, common).zip(best.root(sizes, best.size));
    let (theirs, root) = roots.ok_or_else(|| Trouble::Node(format!("{} does not say its root", best.node.id)))?;
    let agrees = core.store.log_root(common)? == theirs;
    let sure = if agrees { others.max(own) } else { others };
    if best.size.saturating_sub(sure) > ALONE {
        known.alarm(core, &best.node.id, "alone holds a much longer log than all others: it is not followed");
        return Err(Trouble::Node(format!("{} alone holds {} leaves, {sure} are known", best.node.id, best.size)));
    }
    if !agrees {
        core.metrics.log_alarms.inc();
        tracing::error!("ALARM: the log on this disk is not the one that the nodes have cosigned; theirs is read back");
        core.store.forget_log().await?;
    } else if own < best.size && own > 0 && known.left_out.is_empty() {
        core.metrics.log_alarms.inc();
        let (here, there) = (own, best.size);
        tracing::error!(
            here,
            there,
            "ALARM: the nodes have cosigned a longer log: this disk was put back; theirs is read back"
        );
    }
    let read = read_back(core, best, root).await;
    if read.is_err() && core.store.log_size()? > sure {
        // Nobody else can say whether these leaves are right.
        core.store.forget_log().await?;
    }
    read
}

/// Reads the leaves that are lacking here; they must give this root.
async fn read_back(core: &Core, best: &Held, root: TreeHash) -> Result<(), Trouble> {
    let before = core.store.log_size()?;
    loop {
        let start = core.store.log_size()?;
        if start >= best.size {
            break;
        }
        let most = (best.size - start).min(limits::LOG_PAGE as u64);
        let request = pb::ShowLogRequest { start, most: u32::try_from(most).unwrap_or(u32::MAX), sizes: Vec::new() };
        let leaves = best.node.within(core, best.node.port.show_log(request)).await?.leaves;
        if leaves.is_empty() || leaves.len() as u64 > most {
            return Err(Trouble::Node(format!("{} does not show the leaves that it holds", best.node.id)));
        }
        core.store.append_log(leaves).await?;
    }
    if core.store.log_root(best.size)? != root {
        core.store.forget_log().await?;
        return Err(Trouble::Node(format!("{} shows leaves that do not give its root", best.node.id)));
    }
    let size = core.store.log_size()?;
    if size > before {
        tracing::info!(node = %best.node.id, leaves = size - before, "evidence log read back");
    }
    Ok(())
}
