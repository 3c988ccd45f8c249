//! Backups of shares, on their way between signers and custodians. Nothing here is believed: pieces are encrypted, and each signer
//! judges proofs itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use limen_wire::backup::BackupProof;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{IntentId, NodeId};
use limen_wire::{limits, pb};
use prost::Message as _;
use tokio::task::JoinSet;

use crate::context::Core;
use crate::signers::{CallError, Signer};

fn unanswered(signer: &Signer, error: CallError) -> ApiError {
    let node = signer.node.to_string();
    match error {
        CallError::Refused(error) => ApiError { node, ..error },
        other => ApiError { code: Code::TooFewSigners, message: format!("{node} {other}"), node },
    }
}

fn named<'a>(core: &'a Core, node: &str) -> Result<&'a Arc<Signer>, ApiError> {
    let id = NodeId::new(node).map_err(|error| ApiError::new(Code::Malformed, format!("node: {error}")))?;
    core.signers.find(&id).ok_or_else(|| ApiError::new(Code::Malformed, format!("{id} is no signer of this cluster")))
}

/// What all signers say of their backups.
pub async fn list(core: &Core, request: pb::ListBackupsRequest) -> Result<pb::ListBackupsResponse, ApiError> {
    core.check_serving()?;
    let (mut calls, bound) = (JoinSet::new(), core.timing.call_timeout);
    for signer in core.signers.all().iter().cloned() {
        let request = request.clone();
        calls.spawn(async move {
            let answer = signer.within(bound, signer.port().list_backups(request)).await;
            (signer, answer)
        });
    }
    let mut listed = pb::ListBackupsResponse::default();
    while let Some(Ok((signer, answer))) = calls.join_next().await {
        match answer {
            // Each speaks for itself alone.
            Ok(answer) => {
                let own = answer.backups.into_iter().filter(|one| one.node == signer.node.as_str());
                listed.backups.extend(own);
            }
            Err(CallError::Refused(error)) if error.code == Code::Malformed => return Err(error),
            Err(error) => listed.missing.push(format!("{}: {error}", signer.node)),
        }
    }
    listed.missing.sort();
    listed
        .backups
        .sort_by(|one, other| (&one.key_id, one.epoch, &one.node).cmp(&(&other.key_id, other.epoch, &other.node)));
    if listed.encoded_len() > limits::GRPC_MESSAGE_BYTES / 2 {
        let message = format!("there are {} backups, too many for one answer: ask for one key", listed.backups.len());
        return Err(ApiError::new(Code::Overloaded, message));
    }
    Ok(listed)
}

/// One signer's backup.
pub async fn fetch(core: &Core, request: pb::FetchBackupRequest) -> Result<pb::FetchBackupResponse, ApiError> {
    core.check_serving()?;
    let signer = named(core, &request.node)?;
    let answer = signer.within(core.timing.call_timeout, signer.port().fetch_backup(request)).await;
    answer.map_err(|error| unanswered(signer, error))
}

/// Hands a proof to the signer that asked for it.
pub async fn prove(core: &Core, request: pb::ProveBackupRequest) -> Result<pb::ProveBackupResponse, ApiError> {
    core.check_serving()?;
    let envelope = request.proof.clone().unwrap_or_default();
    let (said, _) = BackupProof::open(&envelope).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let signer = named(core, said.asked_by.as_str())?;
    let answer = signer.within(core.timing.call_timeout, signer.port().prove_backup(request)).await;
    let answer = answer.map_err(|error| unanswered(signer, error))?;
    tracing::info!(key = %said.key, epoch = %said.epoch, node = %signer.node, person = %said.person, "a backup is proven");
    // Orders that wait for it ask again.
    core.proofs.send_modify(|count| *count = count.wrapping_add(1));
    Ok(answer)
}

/// What the members of an order say of shares that they hold and do not state yet.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    shares: BTreeMap<NodeId, pb::WithheldShare>,
    answered: std::collections::BTreeSet<NodeId>,
}

impl Waiting {
    /// A signer's answer: its share of this key, made under this order, if it withholds one.
    pub(crate) fn note(&mut self, node: &NodeId, order: &IntentId, share: Option<&pb::KeyShareRecord>) {
        self.answered.insert(node.clone());
        let withheld = share.and_then(|share| share.withheld.as_ref());
        if let Some(withheld) = withheld.filter(|share| share.order_id == order.as_bytes().as_slice()) {
            self.shares.insert(node.clone(), withheld.clone());
        }
    }

    /// The generation that all who withhold one are of; nothing if they differ.
    pub(crate) fn epoch(&self) -> Option<u64> {
        let mut epochs = self.shares.values().map(|share| share.epoch);
        let first = epochs.next()?;
        epochs.all(|epoch| epoch == first).then_some(first)
    }

    /// Whether nobody withholds one.
    pub(crate) fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    /// Why an order waits although every member holds its share: `open` have not stated theirs. Nothing if one of them has none. One that
    /// does not answer now counts as holding one if `all_held`, which was found out before.
    pub(crate) fn words<'a>(&self, open: impl Iterator<Item = &'a NodeId>, all_held: bool) -> Option<ApiError> {
        let mut words = Vec::new();
        for node in open {
            words.push(match self.shares.get(node) {
                Some(share) if share.custodians.is_empty() => {
                    format!("{node}: its backup is not made ({})", share.trouble)
                }
                Some(share) => format!("{node}: {}", share.custodians.join(", ")),
                None if all_held && !self.answered.contains(node) => format!("{node}: does not answer"),
                None => return None,
            });
        }
        let message = format!("waiting for backup proofs: {}", words.join("; "));
        (!words.is_empty()).then(|| ApiError::new(Code::BackupUnproven, message))
    }
}

/// Whether what an order ran into last is that custodians have to prove.
pub(crate) fn is_awaited(error: Option<&ApiError>) -> bool {
    error.is_some_and(|error| error.code == Code::BackupUnproven)
}

/// Until a custodian has proven something, a signer has come, or it is time to ask again.
pub(crate) async fn next_proof(core: &Core, proofs: &mut tokio::sync::watch::Receiver<u64>) {
    let mut changes = core.signers.changes();
    tokio::select! {
        changed = proofs.changed() => if changed.is_err() { core.stop.cancelled().await },
        _ = changes.changed() => {}
        () = tokio::time::sleep(core.timing.ask_interval) => {}
    }
}
