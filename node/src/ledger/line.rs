//! The committees of one ledger, each of which follows another: whose numbers a call is about, and what it starts from.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limen_policy::charter::Charter;
use limen_policy::ledger::{Certificate, Change, Committee, Durable, Entry, Member};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CommitteeHash, LedgerId, NodeId};
use limen_wire::pb;
use prost::Message as _;

use super::{Ledgers, failed, malformed};
use crate::clock::Now;
use crate::store::{Store, StoreError, Txn, View};

/// Most committees of one ledger, from the first to the charter's own.
pub(super) const MOST: usize = 64;
/// How few may be left before it is said.
pub(super) const FEW: usize = 8;

/// One committee's part of a ledger, with this node's part in it.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) committee: Arc<Committee>,
    /// The committee before, from whose seal it starts.
    pub(super) before: Option<Arc<Committee>>,
    /// The committee that follows by the charter: nothing is reserved here any more.
    pub(super) successor: Option<CommitteeHash>,
    member: Arc<Mutex<Member>>,
}

/// Why a ledger is not kept.
#[derive(Debug, Clone)]
pub(super) enum NotKept {
    /// It does not know how the committee before ended: that one's certificates are to be shown first.
    Unsealed { error: ApiError, before: Option<Arc<Committee>> },
    /// This node has no part in it, but knows who kept it before.
    Stranger { error: ApiError, before: Option<Arc<Committee>> },
    /// Anything else.
    Error(ApiError),
}

impl From<NotKept> for ApiError {
    fn from(error: NotKept) -> Self {
        match error {
            NotKept::Unsealed { error, .. } | NotKept::Stranger { error, .. } | NotKept::Error(error) => error,
        }
    }
}

impl From<ApiError> for NotKept {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl From<StoreError> for NotKept {
    fn from(error: StoreError) -> Self {
        Self::Error(failed(error))
    }
}

impl Kept {
    pub(super) fn id(&self) -> &LedgerId {
        self.committee.ledger()
    }

    /// Taken in the writer's turn, or to look: nobody holds it while waiting.
    pub(super) fn member(&self) -> MutexGuard<'_, Member> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, txn: &mut Txn<'_>, changes: &[Change], now: Now) -> Result<(), StoreError> {
        match changes {
            [] => Ok(()),
            _ => txn.put_ledger(&self.committee, changes, now.wall),
        }
    }
}

/// The committee of this hash as an earlier version of the charter names it.
fn in_charters(
    charter: &Charter,
    ledger: &LedgerId,
    wanted: CommitteeHash,
    view: &View,
) -> Result<Option<Arc<Committee>>, NotKept> {
    let parents = |charter: &Charter| charter.governance.as_ref().map(|one| one.parents.clone()).unwrap_or_default();
    let (mut next, mut seen) = (parents(charter), BTreeSet::new());
    while let Some(version) = next.pop() {
        let row = if seen.insert(version) { view.charter(version)? } else { None };
        let Some(earlier) = row.and_then(|row| Charter::from_toml(&row.text).ok()) else { continue };
        if let Some(found) = earlier.ledgers.get(ledger).filter(|committee| committee.hash() == wanted) {
            return Ok(Some(Arc::clone(found)));
        }
        next.extend(parents(&earlier));
    }
    Ok(None)
}

/// The committees of a ledger, from the charter's own back to the first or as far as they are known here.
struct Line(Vec<Arc<Committee>>);

impl Line {
    fn read(charter: &Charter, ledger: &LedgerId, view: &View) -> Result<Self, NotKept> {
        let stranger = || not_permitted(format!("the charter has no ledger {ledger}"));
        let mut line = vec![Arc::clone(charter.ledgers.get(ledger).ok_or_else(stranger)?)];
        while let Some(before) = line.last().and_then(|last| last.predecessor()) {
            if line.len() >= MOST {
                return Err(used_up(ledger).into());
            }
            let Some(row) = view.ledger(ledger, &before)? else {
                // It has kept nothing here yet.
                let Some(committee) = in_charters(charter, ledger, before, view)? else { break };
                line.push(committee);
                continue;
            };
            let damaged = |what: String| failed(StoreError::Damaged(what));
            let raw = pb::LedgerCommittee::decode(row.committee.as_slice()).map_err(|e| damaged(e.to_string()))?;
            let whose = (charter.cluster.clone(), ledger.clone());
            let committee = Committee::from_wire(raw, whose).map_err(|error| damaged(error.to_string()))?;
            if committee.hash() != before {
                return Err(damaged(format!("a committee of ledger {ledger} is another one than its row says")).into());
            }
            line.push(Arc::new(committee));
        }
        Ok(Self(line))
    }

    fn place(&self, hash: CommitteeHash) -> Option<usize> {
        self.0.iter().position(|committee| committee.hash() == hash)
    }

    /// What was kept here under this name must go on: nobody starts from nothing beside it.
    fn takes_all_over(&self, view: &View) -> Result<(), NotKept> {
        let Some(own) = self.0.first() else { return Ok(()) };
        let kept = view.ledger_committees(own.ledger())?;
        let ends = self.0.last().is_some_and(|first| first.predecessor().is_none());
        match kept.into_iter().find(|hash| ends && self.place(*hash).is_none()) {
            Some(stray) => Err(another_committee(own.ledger(), &stray).into()),
            None => Ok(()),
        }
    }

    /// A member as the disk remembers it; if it remembers nothing, as the committee before has left things.
    fn load(&self, view: &View, place: usize) -> Result<Member, NotKept> {
        let damaged = |what: String| failed(StoreError::Damaged(what));
        let Some(committee) = self.0.get(place) else {
            return Err(damaged("a ledger's line of committees is shorter than was read".to_owned()).into());
        };
        let mut durable = match committee.predecessor() {
            None => Durable::genesis(committee),
            Some(_) => self.succeed(view, place)?,
        };
        for envelope in view.certificates(committee, 0, usize::MAX)? {
            let certificate = Certificate::kept(envelope).map_err(|error| damaged(error.to_string()))?;
            durable.apply(&Change::Learned(certificate));
        }
        if let Some(row) = view.ledger(committee.ledger(), &committee.hash())? {
            durable.apply(&Change::Closed { through: row.closed_through });
        }
        for payload in view.promises(committee)? {
            let entry = Entry::decode(payload.into()).map_err(|error| damaged(error.to_string()))?;
            durable.apply(&Change::Acknowledged(entry));
        }
        Ok(Member::new(Arc::clone(committee), durable))
    }

    /// The start of a committee that follows another one, from its predecessor's seal and book.
    fn succeed(&self, view: &View, place: usize) -> Result<Durable, NotKept> {
        let (committee, older) = (self.0.get(place), place.saturating_add(1));
        let (Some(committee), Some(before)) = (committee, self.0.get(older)) else {
            return Err(self.unsealed(None));
        };
        let last = view.last_certificate(before)?;
        let seal = last.and_then(|envelope| Certificate::kept(envelope).ok());
        let seal = seal.filter(|seal| seal.entry().seal.is_some_and(|seal| seal.successor == committee.hash()));
        // Asked for again and again until then, and reading everything takes its time.
        if seal.is_none() {
            return Err(self.unsealed(Some(before)));
        }
        let past = self.load(view, older)?;
        let start = seal.and_then(|seal| Durable::succeed(committee, &seal, past.durable().book.clone()));
        start.ok_or_else(|| self.unsealed(Some(before)))
    }

    fn unsealed(&self, before: Option<&Arc<Committee>>) -> NotKept {
        let ledger = self.0.first().map(|own| own.ledger().to_string()).unwrap_or_default();
        let message =
            format!("ledger {ledger} is being handed over: how it ended under the committee before is not known here");
        NotKept::Unsealed { error: ApiError::new(Code::WrongState, message), before: before.map(Arc::clone) }
    }
}

impl Ledgers {
    /// A ledger that the charter has this node keep, with what was promised before; under the charter's own committee, or
    /// under one before it that `shown` defines. A definition that is new here is remembered.
    pub(super) async fn kept(
        &self,
        (charter, store, me): (&Charter, &Store, &NodeId),
        (ledger, shown): (&str, Option<pb::LedgerCommittee>),
        now: Now,
    ) -> Result<Kept, NotKept> {
        let id = LedgerId::new(ledger).map_err(malformed)?;
        let mut line = Line::read(charter, &id, &store.view()?)?;
        let place = match shown {
            None => 0,
            Some(raw) => {
                let whose = (charter.cluster.clone(), id.clone());
                let committee = Arc::new(Committee::from_wire(raw, whose).map_err(malformed)?);
                match line.place(committee.hash()) {
                    Some(place) => place,
                    None => line.extend(store, committee, now).await?,
                }
            }
        };
        let is_kept = |committee: &Arc<Committee>| committee.key(me.as_str()).is_some();
        let own = line.0.first().is_some_and(is_kept);
        let before = line.0.get(place.saturating_add(1)).map(Arc::clone);
        let Some(committee) = line.0.get(place).filter(|committee| own || is_kept(committee)).map(Arc::clone) else {
            let error = not_permitted(format!("this node does not keep ledger {id}"));
            return Err(NotKept::Stranger { error, before });
        };
        let successor = place.checked_sub(1).and_then(|next| line.0.get(next)).map(|next| next.hash());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let member = match held.get(&committee.hash()) {
            Some(member) => Arc::clone(member),
            None => {
                let view = store.view()?;
                line.takes_all_over(&view)?;
                let member = Arc::new(Mutex::new(line.load(&view, place)?));
                held.insert(committee.hash(), Arc::clone(&member));
                // What has been taken over need not be held twice.
                if let Some(before) = &before {
                    held.remove(&before.hash());
                }
                member
            }
        };
        drop(held);
        Ok(Kept { committee, before, successor, member })
    }
}

impl Line {
    /// Takes up a committee that the first of the line is known to follow.
    async fn extend(&mut self, store: &Store, committee: Arc<Committee>, now: Now) -> Result<usize, NotKept> {
        let place = self.0.len();
        let follows = self.0.last().and_then(|last| last.predecessor());
        if place >= MOST {
            return Err(used_up(committee.ledger()).into());
        }
        if follows != Some(committee.hash()) {
            let message = "no committee that is known here, and no ledger of the charter, follows the one shown";
            return Err(not_permitted(message.to_owned()).into());
        }
        let row = Arc::clone(&committee);
        store.write(move |txn| txn.put_ledger(&row, &[], now.wall)).await?;
        self.0.push(committee);
        Ok(place)
    }
}

/// The ledgers of the charter that this node keeps and of whose committees few are left, in words.
pub(crate) fn ending(charter: &Charter, view: &View) -> Result<Vec<String>, StoreError> {
    let mut words = Vec::new();
    for (ledger, committee) in &charter.ledgers {
        let kept = view.ledger_committees(ledger)?;
        // Its own row comes with its first promise.
        let had = kept.len().saturating_add(usize::from(!kept.is_empty() && !kept.contains(&committee.hash())));
        let left = MOST.saturating_sub(had);
        if left <= FEW {
            words.push(format!("ledger {ledger} has had {had} committees, {left} more can follow"));
        }
    }
    Ok(words)
}

fn used_up(ledger: &LedgerId) -> ApiError {
    let message = format!(
        "ledger {ledger} has had {MOST} committees, and no other can follow: a version of the charter has to give its limits a \
         ledger of another name; what counted in this one has then to age out by itself"
    );
    ApiError::new(Code::WrongState, message)
}

fn not_permitted(message: String) -> ApiError {
    ApiError::new(Code::NotPermitted, message)
}

fn another_committee(ledger: &LedgerId, kept: &CommitteeHash) -> ApiError {
    let message = format!(
        "ledger {ledger} was kept by committee {kept} here, and the charter's does not follow it: a version of the charter \
         has to say follows = \"{kept}\" at the ledger"
    );
    ApiError::new(Code::WrongState, message)
}
