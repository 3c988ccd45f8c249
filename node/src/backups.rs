//! Backups of this signer's shares: made where a share is at hand, proven by their custodians before it is stated.
//!
//! The charter says whose keys are backed up, and to whom. Until all of a node's custodians have proven that they can decrypt, the node
//! signs no statement of the share, so there is no certificate and nobody uses the key. A backup whose custodians are not the
//! charter's any more is made anew from the sealed share. Start reading at [`withheld`].

pub mod listing;
pub mod proofs;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use limen_mpc::{KeyPublic, KeyShare};
use limen_policy::charter::Charter;
use limen_policy::charter::backups::BackupOrder;
use limen_recover::age::NoCallbacks;
use limen_recover::{Backup, Custodian, MakeError, Order, Plugins};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CharterHash, Epoch, KeyId, NodeId};

use crate::clock::{Millis, Uptime};
use crate::entropy;
use crate::memory::leaving_no_trace;
use crate::metrics::OfKey;
use crate::shared::Shared;
use crate::shares;
use crate::store::backups::BackupRow;
use crate::store::journal::Event;
use crate::store::rows::{KeyPhase, KeyRow, ShareRow};
use crate::store::{StoreError, Txn, View};
use crate::vault::{VaultError, decode_public};

/// Milliseconds between two tries to make a backup that could not be made: each opens the share.
const MAKE_AGAIN_MS: u64 = 60_000;
/// New proofs are asked for this often while one counts, so that a proof is never much older than what it counts for.
const ASKED_PER_AGE: u64 = 4;

/// What a signer may do for its backups, and what could not be done.
#[derive(Debug, Default)]
pub struct Backups {
    plugins: Plugins,
    troubles: Mutex<HashMap<(KeyId, Epoch), Trouble>>,
}

#[derive(Debug, Clone)]
struct Trouble {
    charter: CharterHash,
    again: Uptime,
    why: String,
}

impl Backups {
    /// With plugins of age that may be run.
    pub fn new(plugins: &[String]) -> Self {
        Self { plugins: Plugins::of(plugins), troubles: Mutex::default() }
    }

    fn trouble(&self, key: &KeyId, epoch: Epoch) -> Option<Trouble> {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.get(&(key.clone(), epoch)).cloned()
    }

    fn set_trouble(&self, (key, epoch): (&KeyId, Epoch), trouble: Option<Trouble>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(trouble) => drop(troubles.insert((key.clone(), epoch), trouble)),
            None => drop(troubles.remove(&(key.clone(), epoch))),
        }
    }

    /// Where the share is at hand. Blocks.
    fn make(&self, share: &KeyShare, order: Order) -> Result<Backup, MakeError> {
        Backup::make(share, order, &self.plugins, &NoCallbacks, &mut entropy::FromSystem)
    }
}

/// Why this signer does not state a share yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withheld {
    /// These custodians have not proven that they can decrypt.
    Unproven(Vec<String>),
    /// There is no backup to prove, and why.
    Unmade(String),
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unproven(people) => {
                write!(f, "these custodians have not proven its backup yet: {}", people.join(", "))
            }
            Self::Unmade(why) => write!(f, "its backup is not made: {why}"),
        }
    }
}

impl Withheld {
    /// To whoever wants the statement.
    pub(crate) fn to_api(&self, key: &KeyId, epoch: Epoch) -> ApiError {
        ApiError::new(Code::BackupUnproven, format!("the share of key {key}, epoch {epoch}, is not stated: {self}"))
    }
}

/// Why this share must not be stated under this charter; nothing if it may be.
pub fn withheld(
    charter: &Charter,
    me: &NodeId,
    (key, share): (&KeyId, &ShareRow),
    backup: Option<&BackupRow>,
) -> Option<Withheld> {
    let order = charter.custodians_of(key, me)?;
    let Ok(public) = decode_public(key, &share.public) else {
        return Some(Withheld::Unmade("the share's public part is damaged".to_owned()));
    };
    if !public.protocol.is_threshold() {
        return None;
    }
    if let Some(why) = too_few(&order, &public) {
        return Some(Withheld::Unmade(why));
    }
    let Some(row) = backup.filter(|row| is_by(row, &order)) else {
        return Some(Withheld::Unmade("it is about to be".to_owned()));
    };
    let missing = row.missing();
    (!missing.is_empty()).then_some(Withheld::Unproven(missing))
}

/// The same by what is committed, with what has kept the backup from being made.
pub(crate) fn withheld_now(
    shared: &Shared,
    view: &View,
    key: &KeyId,
    share: &ShareRow,
) -> Result<Option<Withheld>, StoreError> {
    let epoch = Epoch(share.epoch);
    let backup = view.backup(key, epoch)?;
    let why = withheld(&shared.charter(), &shared.me, (key, share), backup.as_ref());
    Ok(why.map(|why| match (why, shared.backups.trouble(key, epoch)) {
        (Withheld::Unmade(_), Some(trouble)) => Withheld::Unmade(trouble.why),
        (why, _) => why,
    }))
}

/// Custodians are counted for keys that need so many signers.
fn too_few(order: &BackupOrder<'_>, public: &KeyPublic) -> Option<String> {
    let (found, needed) = (public.size.signers_required(), order.signers_required);
    (found < needed)
        .then(|| format!("{found} signers can use the key, and the charter's custodians are counted for {needed}"))
}

/// Whether a backup is what the charter asks for now; places do not matter.
fn is_by(row: &BackupRow, order: &BackupOrder<'_>) -> bool {
    let wanted: BTreeSet<_> =
        order.custodians.iter().map(|custodian| (custodian.person.as_str(), custodian.recipient.as_str())).collect();
    row.pieces_required == order.pieces_required && row.people() == wanted
}

/// What is to be made of this node's share of a key, if the charter wants a backup of it.
fn order_of(charter: &Charter, me: &NodeId, public: &KeyPublic) -> Option<Result<Order, String>> {
    let order = charter.custodians_of(&public.key, me)?;
    if !public.protocol.is_threshold() {
        return None;
    }
    if let Some(why) = too_few(&order, public) {
        return Some(Err(why));
    }
    let custodian = |one: &limen_policy::charter::backups::Custodian| Custodian {
        person: one.person.clone(),
        recipient: one.recipient.clone(),
    };
    Some(Ok(Order {
        node: me.clone(),
        charter: order.charter,
        custodians: order.custodians.iter().map(custodian).collect(),
        pieces_required: order.pieces_required,
    }))
}

/// Refuses to make a share that could not be backed up here, before its session.
pub(crate) fn check(shared: &Shared, key: &KeyId) -> Result<(), ApiError> {
    let charter = shared.charter();
    let custodians = charter.custodians_of(key, &shared.me).map(|order| order.custodians).unwrap_or_default();
    for custodian in custodians {
        if let Err(refused) = shared.backups.plugins.check(&custodian.recipient) {
            let person = &custodian.person;
            let message = format!("shares of key {key} could not be backed up to {person}: {refused} (backup_plugins)");
            return Err(ApiError::new(Code::WrongState, message));
        }
    }
    Ok(())
}

/// A backup that is not stored yet.
pub(crate) struct Made {
    row: BackupRow,
    file: Vec<u8>,
}

impl Made {
    fn of(backup: &Backup, now: Millis) -> Self {
        let head = backup.head();
        let custodians = head.custodians().iter();
        let row = BackupRow {
            hash: backup.hash().0,
            charter: *head.charter().as_bytes(),
            made_ms: now.0,
            custodians: custodians.map(|one| (one.person.to_string(), one.recipient.to_string())).collect(),
            pieces_required: u8::try_from(head.pieces_required()).unwrap_or(u8::MAX),
            nonce: *entropy::random(),
            nonce_ms: now.0,
            nonce_before: None,
            proofs: std::collections::BTreeMap::new(),
        };
        Self { row, file: backup.encode().into_bytes() }
    }

    /// With the share, or in the place of a backup that has other custodians.
    pub(crate) fn put(&self, txn: &mut Txn<'_>, key: &KeyId, epoch: Epoch, now: Millis) -> Result<(), StoreError> {
        txn.put_backup(key, epoch, &self.row)?;
        txn.put_backup_file(key, epoch, &self.file)?;
        let (backup, charter) = (self.row.hash, self.row.charter);
        txn.append(now, Event::BackupMade { key: key.to_string(), epoch: epoch.0, backup, charter })
    }
}

/// Backs a share up where it is at hand, if the charter says so. A backup that cannot be made now is made from the sealed share later:
/// the share is never lost for it. Blocks.
pub(crate) fn make(shared: &Shared, share: &KeyShare) -> Option<Made> {
    let (charter, public) = (shared.charter(), share.public());
    let (key, epoch) = (&public.key, public.epoch);
    let order = order_of(&charter, &shared.me, public)?;
    let made = order.and_then(|order| shared.backups.make(share, order).map_err(|error| in_full(&error)));
    match made {
        Ok(backup) => {
            shared.backups.set_trouble((key, epoch), None);
            Some(Made::of(&backup, shared.now()))
        }
        Err(why) => {
            tracing::error!(%key, %epoch, why, "a share could not be backed up: it is tried again");
            let again = Uptime(shared.time().uptime.0.saturating_add(MAKE_AGAIN_MS));
            shared.backups.set_trouble((key, epoch), Some(Trouble { charter: charter.hash(), again, why }));
            None
        }
    }
}

fn in_full(error: &MakeError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        words = format!("{words}: {next}");
        cause = next.source();
    }
    words
}

/// The shares that sign, or may come to: all others' backups are dead.
pub(crate) fn living(row: &KeyRow) -> impl Iterator<Item = &ShareRow> {
    let in_force = row.in_force();
    let burnt = row.epochs.burnt;
    let may_come = move |share: &&ShareRow| {
        let is_later = in_force.is_none_or(|known| Epoch(share.epoch) > known);
        is_later && (share.epoch == burnt || !share.statement.is_empty())
    };
    let shares = row.share.iter().chain(row.epochs.pending.values().filter(may_come));
    shares.filter(|_| row.phase != KeyPhase::Destroyed)
}

/// Why a backup of this epoch is of no use any more.
pub(crate) fn over(row: &KeyRow, epoch: Epoch) -> Option<String> {
    if living(row).any(|share| share.epoch == epoch.0) {
        return None;
    }
    Some(match row.in_force() {
        _ if row.phase == KeyPhase::Destroyed => "the key is destroyed: destroy its pieces".to_owned(),
        Some(in_force) if epoch < in_force => {
            format!(
                "it is from before epoch {in_force}: the shares of epoch {in_force} are in force, destroy its pieces"
            )
        }
        _ => format!("its share never came to sign, epoch {} was taken later: destroy its pieces", row.epochs.burnt),
    })
}

/// What is due for a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Make,
    State,
    AskAnew,
}

/// Looks at every share here: makes backups that lack or have other custodians, states what is proven, asks for new proofs in time,
/// and counts those that are overdue. Run every few seconds.
pub async fn keep_up(shared: &Arc<Shared>) {
    let all = match shared.store.view().and_then(|view| due(shared, &view)) {
        Ok(all) => all,
        Err(error) => return tracing::debug!(%error, "backups are looked at later"),
    };
    for (key, epoch, due) in all {
        let done = match due {
            Due::Make => make_anew(shared, &key, epoch).await,
            Due::State => shares::confirm(shared, &key, epoch).await,
            Due::AskAnew => ask_anew(shared, &key, epoch).await.map_err(VaultError::Store),
        };
        if let Err(error) = done {
            let again = Uptime(shared.time().uptime.0.saturating_add(MAKE_AGAIN_MS));
            let trouble = Trouble { charter: shared.charter().hash(), again, why: error.to_string() };
            shared.backups.set_trouble((&key, epoch), Some(trouble));
            tracing::warn!(%key, %epoch, %error, ?due, "what a backup wants is tried again");
        }
    }
}

fn due(shared: &Shared, view: &View) -> Result<Vec<(KeyId, Epoch, Due)>, StoreError> {
    let (charter, now) = (shared.charter(), shared.time());
    let mut all = Vec::new();
    shared.metrics.backup_proof_overdue.clear();
    for (key, row) in view.keys()? {
        let mut overdue: Option<i64> = None;
        for share in living(&row) {
            let epoch = Epoch(share.epoch);
            let backup = view.backup(&key, epoch)?;
            if let Some(backup) = &backup {
                let late = listing::overdue(&charter, &shared.me, &key, backup, now.wall);
                overdue = Some(overdue.unwrap_or_default().saturating_add(late));
            }
            let waits = |trouble: &Trouble| trouble.charter == charter.hash() && trouble.again > now.uptime;
            if shared.backups.trouble(&key, epoch).as_ref().is_some_and(waits) {
                continue;
            }
            let is_open = shares::unconfirmed(&row).contains(&epoch);
            if let Some(due) = due_of(shared, &charter, (&key, share), backup.as_ref(), is_open) {
                all.push((key.clone(), epoch, due));
            }
        }
        if let Some(overdue) = overdue {
            shared.metrics.backup_proof_overdue.get_or_create(&OfKey { key: key.to_string() }).set(overdue);
        }
    }
    Ok(all)
}

fn due_of(
    shared: &Shared,
    charter: &Charter,
    (key, share): (&KeyId, &ShareRow),
    backup: Option<&BackupRow>,
    is_open: bool,
) -> Option<Due> {
    let public = decode_public(key, &share.public).ok()?;
    let order = charter.custodians_of(key, &shared.me).filter(|_| public.protocol.is_threshold());
    let Some(order) = order else {
        // The charter asks for no backup any more.
        return (is_open && backup.is_some()).then_some(Due::State);
    };
    if too_few(&order, &public).is_some() {
        return None;
    }
    let Some(row) = backup.filter(|row| is_by(row, &order)) else { return Some(Due::Make) };
    if is_open {
        return row.missing().is_empty().then_some(Due::State);
    }
    let age_ms = shared.now().0.saturating_sub(row.nonce_ms);
    let round_ms = order.proof_max_age_secs.saturating_mul(1000) / ASKED_PER_AGE;
    (age_ms > round_ms && row.missing().is_empty()).then_some(Due::AskAnew)
}

/// Backs a share up from what is sealed.
async fn make_anew(shared: &Arc<Shared>, key: &KeyId, epoch: Epoch) -> Result<(), VaultError> {
    let stopped = |_| VaultError::Store(StoreError::Stopped);
    let place = Arc::clone(&shared.openings).acquire_owned().await;
    let place = place.map_err(|_| VaultError::Store(StoreError::Stopped))?;
    let (task, name) = (Arc::clone(shared), key.clone());
    let making = tokio::task::spawn_blocking(move || {
        let _place = place;
        leaving_no_trace(|| -> Result<_, VaultError> {
            let view = task.store.view()?;
            let row = view.key(&name)?.ok_or_else(|| VaultError::NoShare(name.clone()))?;
            let share = row.share_at(epoch).ok_or_else(|| VaultError::NoShare(name.clone()))?;
            let opened = task.vault.read(&view, &name, share)?;
            Ok(make(&task, &opened).map(|made| (made, share.generation)))
        })
    });
    let Some((made, generation)) = making.await.map_err(stopped)?? else { return Ok(()) };
    let (name, now) = (key.clone(), shared.now());
    let kept = shared.store.write(move |txn| {
        let row = txn.key(&name)?;
        let share = row.as_ref().and_then(|row| living(row).find(|share| share.epoch == epoch.0));
        if share.is_some_and(|share| share.generation == generation) {
            made.put(txn, &name, epoch, now)?;
        }
        Ok(())
    });
    kept.await?;
    tracing::info!(%key, %epoch, "a share was backed up anew: its custodians have to prove it");
    Ok(())
}

/// Draws what the next proofs have to be over. Those over what was asked before still count.
async fn ask_anew(shared: &Shared, key: &KeyId, epoch: Epoch) -> Result<(), StoreError> {
    let (name, now) = (key.clone(), shared.now());
    let asked = shared.store.write(move |txn| {
        let Some(mut row) = txn.backup(&name, epoch)? else { return Ok(()) };
        let nonce = txn.draw();
        row.nonce_before = Some(std::mem::replace(&mut row.nonce, nonce));
        row.nonce_ms = now.0;
        txn.put_backup(&name, epoch, &row)
    });
    asked.await
}
