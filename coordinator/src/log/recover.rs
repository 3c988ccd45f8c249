//! Where a start goes on: at the log that most nodes hold.
//!
//! What nodes have cosigned is the log, whatever lies on this disk. Nothing is appended before they have been heard: another
//! leaf at an index that one of them holds could never be cosigned by it.

use std::sync::Arc;

use limen_evidence::merkle::TreeHash;
use limen_wire::{limits, pb};
use tokio::time::Instant;

use super::{Cosigning, together};
use crate::context::Core;
use crate::signers::CallError;
use crate::store::StoreError;

/// What one node holds: its size, and its root at each of the sizes that were asked for.
struct Held {
    node: Arc<Cosigning>,
    size: u64,
    roots: Vec<Option<TreeHash>>,
}

/// Whether two logs agree as far as both go.
fn agree(a: &Held, b: &Held, sizes: &[u64]) -> bool {
    let place = sizes.iter().position(|size| *size == a.size.min(b.size));
    let at = |held: &Held| held.roots.get(place?).copied().flatten();
    at(a).is_some() && at(a) == at(b)
}

/// Makes the log here the one that most nodes hold.
pub(super) async fn recover(core: &Arc<Core>, nodes: &[Arc<Cosigning>]) -> Result<(), StoreError> {
    let patience = Instant::now() + core.timing.rebuild_patience;
    loop {
        let (sizes, held) = hear(core, nodes).await?;
        let over = Instant::now() >= patience;
        if held.len() == nodes.len() || (over && held.len() * 2 > nodes.len()) {
            match settle(core, &sizes, &held).await {
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
    let held = together(asked).await.into_iter().flatten().collect();
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

/// Takes over the longest log of the largest group that agrees.
async fn settle(core: &Core, sizes: &[u64], held: &[Held]) -> Result<(), Trouble> {
    let own = core.store.log_size()?;
    let friends = |one: &Held| held.iter().filter(|other| agree(one, other, sizes)).count();
    let best = held.iter().max_by_key(|one| (friends(one), one.size));
    let Some(best) = best else { return Ok(()) };
    for other in held.iter().filter(|other| !agree(best, other, sizes)) {
        core.metrics.log_alarms.inc();
        tracing::error!(node = %other.node.id, "ALARM: this node holds another log than most: its own has been forked");
    }
    let common = own.min(best.size);
    let theirs =
        sizes.iter().position(|size| *size == common).and_then(|place| best.roots.get(place).copied().flatten());
    let theirs = theirs.ok_or_else(|| Trouble::Node(format!("{} answers otherwise than before", best.node.id)))?;
    if core.store.log_root(common)? != theirs {
        core.metrics.log_alarms.inc();
        tracing::error!("ALARM: the log on this disk is not the one that the nodes have cosigned; theirs is read back");
        core.store.forget_log().await?;
    } else if own < best.size && own > 0 {
        core.metrics.log_alarms.inc();
        let (here, there) = (own, best.size);
        tracing::error!(
            here,
            there,
            "ALARM: the nodes have cosigned a longer log: this disk was put back; theirs is read back"
        );
    }
    read_back(core, best).await
}

async fn read_back(core: &Core, best: &Held) -> Result<(), Trouble> {
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
    let size = core.store.log_size()?;
    if size > before {
        tracing::info!(node = %best.node.id, leaves = size - before, "evidence log read back");
    }
    let request = pb::ShowLogRequest { start: 0, most: 0, sizes: vec![best.size] };
    let answer = best.node.within(core, best.node.port.show_log(request)).await?;
    let root = core.store.log_root(best.size)?;
    if answer.roots.first().map(AsRef::as_ref) != Some(root.as_bytes().as_slice()) {
        core.store.forget_log().await?;
        return Err(Trouble::Node(format!("{} shows leaves that do not give its root", best.node.id)));
    }
    Ok(())
}
