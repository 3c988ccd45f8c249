//! Versions of the charter on their way: handed to every signer, and followed where the signers have gone.
//!
//! A coordinator decides about none of them. It judges requests beforehand by the version that most signers say is in force,
//! after checking itself that it follows from the charter that it began with.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};

use limen_policy::charter::Charter;
use limen_policy::succession::judge;
use limen_wire::charter::SignedCharter;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::CharterHash;
use limen_wire::pb;
use tokio::task::JoinSet;

use crate::context::Core;
use crate::ledger::Ledgers;
use crate::signers::{CallError, Signer};

/// Pages of versions that one signer is asked for in one go.
const PAGES: usize = 64;

impl Core {
    /// The charter by which requests are judged beforehand.
    pub fn charter(&self) -> Arc<Charter> {
        Arc::clone(&self.charter.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Hands a signed version to every signer, and says where each stands.
pub(crate) async fn submit(core: &Arc<Core>, signed: pb::Envelope) -> Result<pb::CharterStatusResponse, ApiError> {
    let opened = SignedCharter::open(&signed).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let version =
        Charter::from_toml(&opened.text).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let number = version.governance.map_or(0, |governance| governance.number);
    let request = pb::TakeCharterRequest { signed: Some(signed) };
    let give = |signer: Arc<Signer>| {
        let request = request.clone();
        async move { signer.port().take_charter(request).await.map(drop) }
    };
    Ok(everywhere(core, number, give).await)
}

/// Hands a veto to every signer, and says where each stands.
pub(crate) async fn veto(core: &Arc<Core>, record: pb::Envelope) -> pb::CharterStatusResponse {
    let request = pb::StopRequest { record: Some(record), intent: None };
    let give = |signer: Arc<Signer>| {
        let request = request.clone();
        async move { signer.port().stop(request).await.map(drop) }
    };
    everywhere(core, 0, give).await
}

/// Where each signer stands with the versions from this number on.
pub(crate) async fn status(core: &Arc<Core>, from_number: u64) -> pb::CharterStatusResponse {
    everywhere(core, from_number, |_| async { Ok(()) }).await
}

/// Does something at every signer, then asks for its versions.
async fn everywhere<F>(
    core: &Arc<Core>,
    from_number: u64,
    first: impl Fn(Arc<Signer>) -> F,
) -> pb::CharterStatusResponse
where
    F: Future<Output = Result<(), CallError>> + Send + 'static,
{
    let bound = core.timing.call_timeout;
    let mut calls = JoinSet::new();
    for (place, signer) in core.signers.all().iter().enumerate() {
        let (signer, first) = (Arc::clone(signer), first(Arc::clone(signer)));
        calls.spawn(async move {
            let done = signer.within(bound, first).await;
            let listed = match &done {
                Ok(()) => list(&signer, bound, from_number, false).await,
                Err(_) => Err(CallError::Invalid("not asked".to_owned())),
            };
            (place, answer(&signer, done.err(), listed))
        });
    }
    let answers: BTreeMap<usize, pb::SignerCharters> = calls.join_all().await.into_iter().collect();
    pb::CharterStatusResponse { signers: answers.into_values().collect() }
}

type Listed = (Vec<pb::CharterView>, bytes::Bytes);

fn answer(signer: &Signer, failed: Option<CallError>, listed: Result<Listed, CallError>) -> pb::SignerCharters {
    let node = signer.node.to_string();
    let error = match (failed, listed) {
        (None, Ok((versions, fork))) => return pb::SignerCharters { node, versions, fork, error: None },
        (Some(error), _) | (None, Err(error)) => error,
    };
    let error = match error {
        CallError::Refused(error) => error,
        other => ApiError::new(Code::TooFewSigners, other.to_string()),
    };
    let error = Some(ApiError { node: node.clone(), ..error }.to_wire());
    pb::SignerCharters { node, error, ..pb::SignerCharters::default() }
}

/// Every page of one signer's versions.
async fn list(
    signer: &Signer,
    bound: std::time::Duration,
    from_number: u64,
    with_text: bool,
) -> Result<Listed, CallError> {
    let mut request = pb::ListChartersRequest { from_number, with_text, after: bytes::Bytes::new() };
    let mut versions: Vec<pb::CharterView> = Vec::new();
    for _ in 0..PAGES {
        let page = signer.within(bound, signer.port().list_charters(request.clone())).await?;
        let last = page.versions.iter().map(|version| (version.number, version.hash.clone())).max();
        versions.extend(page.versions);
        // A page that does not lead on is the last one, whatever it says.
        match last.filter(|(number, hash)| page.more && (*number, hash) > (request.from_number, &request.after)) {
            Some((from_number, after)) => request = pb::ListChartersRequest { from_number, after, ..request },
            None => return Ok((versions, page.fork)),
        }
    }
    Err(CallError::Invalid(format!("more than {PAGES} pages of charter versions")))
}

/// Goes over to the charter that most signers say is in force, whenever that changes.
pub(crate) async fn follow(core: Arc<Core>) {
    let mut known = None;
    while !core.stop.is_cancelled() {
        let trouble = catch_up(&core).await.err();
        let pause = if trouble.is_some() { core.timing.retry_max } else { core.timing.status_interval };
        // Once for every new reason: what fails is tried again all the time.
        if let Some(reason) = trouble.as_ref().filter(|_| trouble != known) {
            tracing::warn!(reason, "the charter in force at the signers was not taken over");
        }
        known = trouble;
        tokio::select! {
            () = core.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What more than half of all signers have said last.
fn most_in_force(core: &Core) -> Option<CharterHash> {
    let mut counts: HashMap<CharterHash, usize> = HashMap::new();
    for signer in core.signers.all() {
        let said = signer.health().status.and_then(|status| CharterHash::from_slice(&status.charter_hash).ok());
        if let Some(hash) = said {
            let count = counts.entry(hash).or_default();
            *count = count.saturating_add(1);
        }
    }
    let half = core.signers.all().len() / 2;
    counts.into_iter().find(|(_, count)| *count > half).map(|(hash, _)| hash)
}

/// Takes over what most signers have in force, if it follows from the charter here.
pub(crate) async fn catch_up(core: &Arc<Core>) -> Result<(), String> {
    let Some(wanted) = most_in_force(core) else { return Ok(()) };
    let ours = core.charter();
    if ours.hash() == wanted {
        return Ok(());
    }
    let number = ours.governance.as_ref().map_or(0, |governance| governance.number);
    let mut reason = "no signer that has it answered".to_owned();
    for signer in core.signers.all() {
        let has = |status: &pb::StatusResponse| status.charter_hash.as_ref() == wanted.as_bytes();
        if !signer.health().status.as_ref().is_some_and(has) {
            continue;
        }
        let listed = list(signer, core.timing.call_timeout, number, true).await;
        let found = listed.map_err(|error| error.to_string()).and_then(|(versions, _)| replay(&ours, versions, wanted));
        match found {
            Ok(charter) => {
                tracing::info!(charter = %wanted, "the signers have a new charter in force");
                *core.charter.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(charter);
                // A ledger may have gone over to another committee: it is sealed now, not when somebody needs it.
                Ledgers::open(core);
                return Ok(());
            }
            Err(error) => reason = format!("{}: {error}", signer.node),
        }
    }
    Err(reason)
}

/// Follows the versions from the charter here to the one that is wanted, checking each as a signer does: one parent at least
/// has been followed, and the quorum of every parent has signed.
fn replay(ours: &Charter, mut versions: Vec<pb::CharterView>, wanted: CharterHash) -> Result<Charter, String> {
    versions.sort_by_key(|version| version.number);
    let mut texts: HashMap<CharterHash, Charter> = HashMap::from([(ours.hash(), ours.clone())]);
    let mut followed = BTreeSet::from([ours.hash()]);
    for signed in versions.into_iter().filter_map(|version| version.signed) {
        let opened = SignedCharter::open(&signed).map_err(|error| error.to_string())?;
        let charter = Charter::from_toml(&opened.text).map_err(|error| error.to_string())?;
        let named: Vec<CharterHash> = charter.governance.iter().flat_map(|one| &one.parents).copied().collect();
        let parents: Option<Vec<&Charter>> = named.iter().map(|parent| texts.get(parent)).collect();
        let judged = parents.is_some_and(|parents| judge(&parents, &charter, &opened.approvals).is_ok());
        if judged && named.iter().any(|parent| followed.contains(parent)) {
            followed.insert(charter.hash());
        }
        // A sibling of ours may be named by what joins both.
        texts.insert(charter.hash(), charter);
    }
    let reached = texts.remove(&wanted).filter(|charter| followed.contains(&charter.hash()));
    reached.ok_or_else(|| format!("{wanted} does not follow from {}", ours.hash()))
}
