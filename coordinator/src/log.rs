//! The evidence log, as the coordinator keeps it: leaves come from the signers, cosignatures from them and the witnesses.
//!
//! The keeper is believed nothing and can lose nothing: every node holds all leaves, a start goes on from what most of them
//! hold, and a leaf that a crash has swallowed is handed in again by the signer that made it.

mod keeper;
mod port;
mod receipt;
mod recover;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use limen_evidence::checkpoint::Cosigner;
use limen_wire::ids::NodeId;
use limen_wire::keys::PublicKey;
use tokio::task::JoinSet;

use crate::context::Core;
use crate::signers::CallError;

pub use port::{EvidencePort, GrpcEvidencePort};
pub(crate) use receipt::receipt;

/// Time between two looks at the nodes: there is one checkpoint a second at most.
const ROUND: Duration = Duration::from_secs(1);

/// The ways to all nodes that cosign; none at a coordinator that does not keep the log.
pub type Ports = BTreeMap<NodeId, Arc<dyn EvidencePort>>;

/// A node that cosigns.
struct Cosigning {
    id: NodeId,
    key: PublicKey,
    cosigner: Cosigner,
    port: Arc<dyn EvidencePort>,
}

impl Cosigning {
    async fn within<T>(&self, core: &Core, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        let bound = core.timing.call_timeout;
        tokio::time::timeout(bound, call).await.unwrap_or(Err(CallError::Timeout(bound)))
    }
}

/// What all of these give, side by side, in any order.
async fn together<F>(work: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (mut tasks, mut done): (JoinSet<F::Output>, _) = (work.collect(), Vec::new());
    while let Some(one) = tasks.join_next().await {
        done.extend(one.ok());
    }
    done
}

/// Keeps the log from here on, if this coordinator does.
pub(crate) fn open(core: &Arc<Core>) {
    let charter = core.charter();
    let node = |machine: &limen_policy::charter::Node| {
        let cosigner = Cosigner::of_node(&charter.cluster, &machine.id, machine.public_key).ok()?;
        let port = Arc::clone(core.log.get(&machine.id)?);
        Some(Arc::new(Cosigning { id: machine.id.clone(), key: machine.public_key, cosigner, port }))
    };
    let nodes: Vec<Arc<Cosigning>> = charter.machines().filter_map(node).collect();
    if nodes.is_empty() {
        return;
    }
    let (stop, work) = (core.stop.clone(), keeper::run(Arc::clone(core), nodes));
    core.tasks.spawn(async move {
        if let Some(Err(error)) = stop.run_until_cancelled(work).await {
            tracing::error!(%error, "the evidence log stands still");
        }
    });
}
