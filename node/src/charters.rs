//! The versions of the charter at this signer or witness: pinned once, then only forward.
//!
//! What is in force is a fact of the store, changed by the writer alone, in the order in which it decides: every decision
//! is made under the charter that its own transaction finds in force.

pub(crate) mod history;
mod listing;
mod veto;

use std::sync::{Arc, PoisonError, RwLock};

use limen_policy::charter::Charter;
use limen_policy::succession::{Entry, Lineage, Step, SuccessionError, judge};
use limen_wire::charter::SignedCharter;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::CharterHash;
use limen_wire::pb;
use prost::Message as _;

use crate::clock::Now;
use crate::crypto::CryptoPool;
use crate::decisions::{Decisions, Heard};
use crate::drills;
use crate::freezes::automatic;
use crate::metrics::Metrics;
use crate::node::StartError;
use crate::peers::Talks;
use crate::shared::Shared;
use crate::stops::exchange;
use crate::store::journal::Event;
use crate::store::rows::CharterRow;
use crate::store::{Store, StoreError, Txn, View};

pub use history::{Orphan, Orphans};
pub(crate) use listing::{list, view_of};
pub(crate) use veto::veto;

/// Time between two lines in the log about a version that waits for a drill.
const HELD_UP_EVERY: std::time::Duration = std::time::Duration::from_secs(600);

/// A machine that goes on from version to version: a signer or a witness.
pub trait Follows: Send + Sync {
    /// What it decides with.
    fn decisions(&self) -> Decisions<'_>;
    /// The charter in force, as far as this process has heard.
    fn held(&self) -> &RwLock<Arc<Charter>>;
    /// Counters.
    fn metrics(&self) -> &Metrics;
    /// Threads for what takes long.
    fn crypto(&self) -> &CryptoPool;
    /// Versions that were shown here and follow what is not known.
    fn orphans(&self) -> &Orphans;

    /// The charter in force, as far as this process has heard. The store has the last word.
    fn charter(&self) -> Arc<Charter> {
        Arc::clone(&self.held().read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes over to a charter that came into force.
    fn put_charter(&self, charter: Charter) {
        let mut in_force = self.held().write().unwrap_or_else(PoisonError::into_inner);
        // Two that saw different moments may come in any order.
        if number(&charter) > number(&in_force) {
            self.metrics().charter_number.set(i64::try_from(number(&charter)).unwrap_or(i64::MAX));
            *in_force = Arc::new(charter);
        }
    }
}

fn number(charter: &Charter) -> u64 {
    charter.governance.as_ref().map_or(0, |governance| governance.number)
}

impl Follows for Shared {
    fn decisions(&self) -> Decisions<'_> {
        Self::decisions(self)
    }
    fn held(&self) -> &RwLock<Arc<Charter>> {
        &self.in_force
    }
    fn metrics(&self) -> &Metrics {
        &self.metrics
    }
    fn crypto(&self) -> &CryptoPool {
        &self.crypto
    }
    fn orphans(&self) -> &Orphans {
        &self.orphans
    }
}

/// The charter that a store says is in force; `None` for a new store.
pub fn known(store: &Store) -> Result<Option<Charter>, StoreError> {
    let view = store.view()?;
    view.lineage()?.map(|lineage| charter_of(&view, lineage.in_force())).transpose()
}

/// The charter in force at a start: that of the store, or the file's where the store has none.
///
/// A file that is neither what this signer began with nor what it has taken since is refused: an edited file changes nothing.
pub async fn begin(store: &Store, file: Charter, text: String, time: Now) -> Result<Charter, StartError> {
    let known = {
        let view = store.view()?;
        match view.lineage()? {
            None => None,
            Some(lineage) => {
                let in_force = charter_of(&view, lineage.in_force())?;
                Some((lineage.entry(&file.hash()).is_some(), in_force))
            }
        }
    };
    match known {
        Some((true, in_force)) => return Ok(in_force),
        Some((false, in_force)) if in_force.governance.is_some() => {
            return Err(StartError::OtherCharter { file: file.hash(), in_force: in_force.hash() });
        }
        Some((false, before)) if before.is_development() != file.is_development() => {
            return Err(StartError::OtherDevelopment { file: file.hash(), in_force: before.hash() });
        }
        Some((false, before)) => {
            let (before, now) = (before.hash().to_string(), file.hash().to_string());
            tracing::warn!(
                before,
                now,
                "the charter is not the one of the last start, and says nothing of how it changes"
            );
        }
        None => {}
    }
    let pinned = file.clone();
    store.write(move |txn| pin(txn, &pinned, text, time)).await?;
    Ok(file)
}

/// Makes this the charter with which the signer begins.
pub fn pin(txn: &mut Txn<'_>, charter: &Charter, text: String, time: Now) -> Result<(), StoreError> {
    txn.put_charter(charter.hash(), &CharterRow { text, signed: Vec::new(), veto: None })?;
    txn.put_lineage(&Lineage::new(charter.hash(), Entry::new(charter, Step::AtOnce, time.uptime.0)))?;
    settle(txn, charter, time)?;
    txn.append(time.wall, Event::Charter { hash: *charter.hash().as_bytes() })
}

/// Notes that what this charter names is in force from now on, where it has not been before, and forgets whom it does not.
fn settle(txn: &mut Txn<'_>, charter: &Charter, time: Now) -> Result<(), StoreError> {
    automatic::forget_strangers(txn, charter)?;
    let ages = txn.ages()?.follow(charter, time.uptime.0);
    txn.put_ages(&ages)?;
    // What an age counts from is never later than what a restart goes on from.
    txn.put_uptime(time.uptime)
}

fn charter_of(view: &View, hash: CharterHash) -> Result<Charter, StoreError> {
    parse(hash, view.charter(hash)?)
}

fn read(txn: &Txn<'_>, hash: CharterHash) -> Result<Charter, StoreError> {
    parse(hash, txn.charter(hash)?)
}

fn parse(hash: CharterHash, row: Option<CharterRow>) -> Result<Charter, StoreError> {
    let row = row.ok_or_else(|| StoreError::Damaged(format!("charter {hash} is not there")))?;
    Charter::from_toml(&row.text).map_err(|error| StoreError::Damaged(format!("charter {hash}: {error}")))
}

fn refusal(error: &SuccessionError) -> ApiError {
    let code = match error {
        SuccessionError::OtherCluster { .. } => Code::WrongCluster,
        SuccessionError::Quorum { .. } => Code::ApprovalsMissing,
        SuccessionError::Approval(_) => Code::BadSignature,
        SuccessionError::NoSay(_) => Code::NotPermitted,
        SuccessionError::TooMany => Code::Overloaded,
        SuccessionError::UnknownParents(_) | SuccessionError::InForce(_) | SuccessionError::Tightens(_) => {
            Code::WrongState
        }
        SuccessionError::NoGovernance(_)
        | SuccessionError::Number { .. }
        | SuccessionError::Nodes
        | SuccessionError::Identity { .. }
        | SuccessionError::Ledger { .. }
        | SuccessionError::Unit { .. }
        | SuccessionError::KeyState { .. }
        | SuccessionError::Mixed { .. }
        | SuccessionError::Development
        | SuccessionError::NoVeto => Code::Malformed,
    };
    ApiError::new(code, error.to_string())
}

fn failed(error: StoreError) -> ApiError {
    Shared::store_error(&error)
}

/// What a signed version is, as this signer judged it.
struct Judged {
    charter: Charter,
    step: Step,
    row: CharterRow,
    /// What an overdue drill stands in the way of.
    raises: Option<String>,
}

/// A version that was not taken.
#[derive(Debug)]
pub(crate) struct NotTaken {
    error: ApiError,
    /// It may be once this signer knows or can write more.
    again: bool,
    /// What it follows is not known here.
    orphan: Option<Orphan>,
}

impl From<ApiError> for NotTaken {
    fn from(error: ApiError) -> Self {
        Self { error, again: false, orphan: None }
    }
}
impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> Self {
        Self { error: failed(error), again: true, orphan: None }
    }
}
impl From<SuccessionError> for NotTaken {
    fn from(error: SuccessionError) -> Self {
        Self { again: false, error: refusal(&error), orphan: None }
    }
}
impl From<NotTaken> for ApiError {
    fn from(not_taken: NotTaken) -> Self {
        not_taken.error
    }
}

/// Hears a version among the stop records of a peer.
pub(crate) async fn hear(host: &impl Follows, envelope: pb::Envelope) -> Heard {
    match take(host, envelope.clone(), Door::Peers).await {
        Ok(taken) => Heard::kept(if taken.new { vec![envelope] } else { Vec::new() }, false),
        Err(NotTaken { error, again, orphan }) => Heard { again, orphan, ..Heard::refused(error) },
    }
}

/// Takes a version from whoever brings it, and passes it on.
pub(crate) async fn take_and_tell(host: &impl Talks, envelope: pb::Envelope) -> Result<CharterHash, ApiError> {
    let taken = take(host, envelope.clone(), Door::People).await?;
    if taken.new {
        host.send_all(&pb::peer_message::Kind::CharterVersion(envelope));
    }
    Ok(taken.hash)
}

/// A version that this signer has.
pub(crate) struct Taken {
    hash: CharterHash,
    new: bool,
}

/// Who brings a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Somebody who wants it taken: told at once what stands in its way.
    People,
    /// A node that has taken it: what stands in its way keeps it from coming into force, and from nothing else.
    Peers,
}

/// Takes a signed version: judged against what it follows, kept, bound at once if it loosens nothing.
pub(crate) async fn take(host: &impl Follows, envelope: pb::Envelope, door: Door) -> Result<Taken, NotTaken> {
    let malformed = |error: String| ApiError::new(Code::Malformed, error);
    let signed = SignedCharter::open(&envelope).map_err(|error| malformed(error.to_string()))?;
    let charter = Charter::from_toml(&signed.text).map_err(|error| malformed(error.to_string()))?;
    let hash = charter.hash();
    let Decisions { store, now: time, .. } = host.decisions();
    let view = store.view()?;
    if view.lineage()?.is_some_and(|lineage| lineage.entry(&hash).is_some()) {
        host.orphans().forget(&hash);
        return Ok(Taken { hash, new: false });
    }
    // What follows something that this machine has never known, and comes no later than what it has, is from before its time.
    let before = number(&charter) <= number(&host.charter());
    let parents = match parents_of(&view, &charter)? {
        Ok(parents) => parents,
        Err(missing) => {
            let orphan = (!before).then(|| Orphan { version: hash, missing: missing.clone() });
            return Err(NotTaken { again: !before, orphan, ..SuccessionError::UnknownParents(missing).into() });
        }
    };
    // Whatever is found of it now, it waits for nothing.
    host.orphans().forget(&hash);
    let row = CharterRow { text: signed.text, signed: envelope.encode_to_vec(), veto: None };
    let lost = |_| ApiError::new(Code::Internal, "judging a version of the charter was cut off");
    let judging = move || {
        let parents: Vec<_> = parents.iter().collect();
        let step = judge(&parents, &charter, &signed.approvals)?;
        let raises = drills::first_raise(&parents, &charter);
        Ok(Judged { charter, step, row, raises })
    };
    let judged: Result<Judged, SuccessionError> = host.crypto().run(judging).await.map_err(lost)?;
    let judged = judged?;
    if door == Door::People {
        drills::check_at_door(host, judged.raises.as_deref())?;
    }
    let new = store.write(move |txn| keep(txn, &judged, time)).await??;
    if new {
        tracing::warn!(charter = %hash, "a signed version of the charter was taken");
    }
    consider(host).await?;
    Ok(Taken { hash, new })
}

/// What a version follows, or what of that is not known here.
fn parents_of(view: &View, charter: &Charter) -> Result<Result<Vec<Charter>, Vec<CharterHash>>, StoreError> {
    let named = charter.governance.iter().flat_map(|governance| &governance.parents);
    let (mut parents, mut missing) = (Vec::new(), Vec::new());
    for parent in named {
        match view.charter(*parent)? {
            None => missing.push(*parent),
            row => parents.push(parse(*parent, row)?),
        }
    }
    Ok(if missing.is_empty() { Ok(parents) } else { Err(missing) })
}

fn keep(txn: &mut Txn<'_>, judged: &Judged, time: Now) -> Result<Result<bool, SuccessionError>, StoreError> {
    let mut lineage = txn.lineage()?;
    let hash = judged.charter.hash();
    match lineage.add(hash, Entry::new(&judged.charter, judged.step, time.uptime.0)) {
        Ok(true) => {}
        other => return Ok(other),
    }
    // Somebody's no may have come before the version itself.
    let veto = veto::said_ahead(txn, &lineage, (hash, &judged.charter))?;
    if veto.is_some() {
        tracing::warn!(charter = %hash, "it was vetoed before it came");
        lineage.veto(hash).ok();
    }
    txn.put_charter(hash, &CharterRow { veto, ..judged.row.clone() })?;
    txn.put_lineage(&lineage)?;
    // Versions go the way of bad news: what a peer has and this signer lacks is read before anything is allowed.
    txn.log_stop(hash.as_bytes(), &judged.row.signed)?;
    // What a delay counts from is never later than what a restart goes on from.
    txn.put_uptime(time.uptime)?;
    txn.append(time.wall, Event::CharterSigned { hash: *hash.as_bytes() })?;
    Ok(Ok(true))
}

/// Binds every version whose moment has come. Cheap while there is none.
pub async fn consider(host: &impl Follows) -> Result<(), StoreError> {
    let Decisions { store, now, .. } = host.decisions();
    let before = store.view()?;
    let due = before.lineage()?.and_then(|lineage| Some((lineage.in_force(), lineage.outlook(now.uptime.0).adopt?)));
    if let Some((in_force, version)) = due {
        let in_force = charter_of(&before, in_force)?;
        let held = |id: &_| before.drill(id);
        match drills::holds_up(&in_force, || charter_of(&before, version), held, now.wall)? {
            None => store.write(move |txn| bind(txn, now)).await?,
            Some(words) => {
                if let Some(count) = crate::ratelimit::WARNINGS.pass_every("drill_holds_up", HELD_UP_EVERY) {
                    tracing::warn!(%version, words, count, "a version of the charter waits for a drill");
                }
            }
        }
    }
    exchange::read_anew(host).await?;
    let view = store.view()?;
    drills::watch(host, &view)?;
    let Some(lineage) = view.lineage()? else { return Ok(()) };
    let outlook = lineage.outlook(now.uptime.0);
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    host.metrics().charter_waiting.set(count(outlook.waiting.len()));
    host.metrics().charter_stuck.set(count(outlook.stuck.len()));
    host.metrics().charter_orphans.set(count(host.orphans().len()));
    if let Some(sibling) = outlook.fork
        && let Some(count) = crate::ratelimit::WARNINGS.pass("charter_fork")
    {
        let in_force = lineage.in_force();
        tracing::error!(%in_force, %sibling, count, "two signed versions follow the same charter: nothing is allowed until one joins both");
    }
    if lineage.in_force() != host.charter().hash() {
        let charter = charter_of(&view, lineage.in_force())?;
        tracing::warn!(charter = %charter.hash(), "a version of the charter came into force");
        host.put_charter(charter);
    }
    Ok(())
}

fn bind(txn: &mut Txn<'_>, time: Now) -> Result<(), StoreError> {
    let mut lineage = txn.lineage()?;
    // One after the other: each may make the next one due.
    while let Some(version) = lineage.outlook(time.uptime.0).adopt {
        let in_force = read(txn, lineage.in_force())?;
        if drills::holds_up(&in_force, || read(txn, version), |id| txn.drill(id), time.wall)?.is_some() {
            break;
        }
        if veto::said_ahead(txn, &lineage, (version, &read(txn, version)?))?.is_some() {
            lineage.veto(version).ok();
            continue;
        }
        lineage.adopt(version);
        settle(txn, &read(txn, version)?, time)?;
        // Whom it enrols may have said something that was passed over until now.
        txn.forget_cursors()?;
        txn.append(time.wall, Event::Charter { hash: *version.as_bytes() })?;
    }
    txn.put_lineage(&lineage)
}

impl Shared {
    /// The charter in force, as far as this process has heard. The store has the last word.
    pub fn charter(&self) -> Arc<Charter> {
        Follows::charter(self)
    }
}
