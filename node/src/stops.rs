//! Stop records: bad news that a signer takes from whoever brings it, keeps for ever, and passes on.
//!
//! What is kept is decided by signatures alone: a coordinator, a peer and somebody at a terminal are heard alike.

pub mod exchange;
pub mod quota;

use std::sync::Arc;

use limen_policy::approval::{Facts, verify};
use limen_policy::freeze::{FreezeError, verify_freeze, verify_unfreeze};
use limen_policy::ledger::unsigned_void;
use limen_wire::approval::{Approval, SignedApproval, Verdict};
use limen_wire::envelope::{PayloadType, Unsigned};
use limen_wire::error::{ApiError, Code};
use limen_wire::freeze::{Freeze, Unfreeze};
use limen_wire::ids::{FreezeEpoch, IntentId, SliceHash};
use limen_wire::intent::{Cancellation, Intent, IntentError};
use limen_wire::pb;
use prost::Message as _;

use crate::approvals::Papers;
use crate::charters::{Door, Follows};
use crate::clock::Now;
use crate::decisions::{Decisions, Heard};
use crate::peers::Talks;
use crate::store::{StoreError, Txn};
use crate::{admission, approvals, charters, drills, freezes, peers};

/// Verdicts on one intent that has not been seen.
const SAID_AHEAD: usize = 64;
/// Of one person, so that nobody takes the places of the others.
const SAID_AHEAD_BY_ONE: usize = 8;

/// Why a record was not taken.
#[derive(Debug)]
enum NotTaken {
    /// It does not count here, and will not if it comes again.
    Refused(ApiError),
    /// It could not be kept now.
    Store(StoreError),
}

impl From<ApiError> for NotTaken {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}
impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
impl From<IntentError> for NotTaken {
    fn from(error: IntentError) -> Self {
        Self::Refused(ApiError::new(Code::Malformed, error.to_string()))
    }
}
impl From<FreezeError> for NotTaken {
    fn from(error: FreezeError) -> Self {
        let code = match &error {
            FreezeError::OtherCluster { .. } => Code::WrongCluster,
            FreezeError::NoGovernance | FreezeError::NoSay { .. } => Code::NotPermitted,
            FreezeError::NotEnrolled { .. } => Code::NotEnrolled,
            FreezeError::Signature(_) => Code::BadSignature,
        };
        Self::Refused(ApiError::new(code, error.to_string()))
    }
}

impl From<NotTaken> for Heard {
    fn from(error: NotTaken) -> Self {
        match error {
            NotTaken::Refused(error) => Self::refused(error),
            NotTaken::Store(error) => Self::later(&error),
        }
    }
}

/// Tells the peers what somebody said, so that no coordinator can keep it to itself.
pub(crate) fn tell(host: &impl Talks, news: &[pb::Envelope]) {
    for record in news {
        host.send_all(&pb::peer_message::Kind::StopRecord(record.clone()));
    }
}

/// Hears a stop record of any kind, whoever brings it.
pub(crate) async fn hear(host: &impl Follows, record: pb::Envelope) -> Heard {
    if record.payload_type == PayloadType::CharterVersion.as_str() {
        return charters::hear(host, record).await;
    }
    if record.payload_type == PayloadType::DrillRecord.as_str() {
        return drills::hear(host, record).await;
    }
    match charters::veto(host, &record).await {
        Some(heard) => heard.unwrap_or_else(Heard::refused),
        None => host.decisions().stop(record).await,
    }
}

/// Takes a stop record of any kind, and passes on what people bring. True if a last-round message may have left before it.
pub(crate) async fn take(host: &impl Talks, record: pb::Envelope, door: Door) -> Result<bool, ApiError> {
    // Versions have a door for people, which tells them what stands in their way.
    if door == Door::People && record.payload_type == PayloadType::CharterVersion.as_str() {
        let message = "a version of the charter is no stop record: hand it in by `limen charter submit`";
        return Err(ApiError::new(Code::Malformed, message));
    }
    let heard = hear(host, record).await;
    host.metrics().dropped_approvals.inc_by(heard.dropped as u64);
    if door == Door::People {
        tell(host, &heard.pass_on);
    }
    heard.answer
}

/// What this signer says of a request that a record cancels, for the ledgers to give back what it takes. A store that was put
/// back may have forgotten what it allowed: it says nothing before its peers have confirmed it.
pub async fn voided(
    host: &impl Talks,
    record: &pb::Envelope,
    intent: Option<&pb::Envelope>,
) -> Result<Option<pb::Envelope>, ApiError> {
    let Ok((cancellation, _)) = Cancellation::open(record) else { return Ok(None) };
    if let Err(error) = peers::stands(host, 1) {
        tracing::info!(%error, "nothing is said of what was never allowed here");
        return Ok(None);
    }
    let said = {
        let decisions = host.decisions();
        match (decisions.row(&cancellation.intent_id)?, intent) {
            (None, Some(intent)) => decisions.void_unseen(intent)?,
            _ => decisions.void(&cancellation.intent_id)?,
        }
    };
    match said {
        Some(unsigned) => Ok(Some(host.identity().seal(unsigned, host.me()).await?)),
        None => Ok(None),
    }
}

/// Tells operators how much is frozen.
fn count(host: &impl Follows) -> Result<(), StoreError> {
    let (view, metrics) = (host.decisions().store.view()?, host.metrics());
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    metrics.freezes.set(count(view.freeze_rows()?.len()));
    metrics.automatic_freezes.set(count(view.automatic_rows()?.len()));
    let made = &metrics.automatic_freezes_made;
    made.inc_by(view.automatic_made()?.saturating_sub(made.get()));
    Ok(())
}

/// Begins and ends the delays of freezes that people lift.
pub(crate) async fn lift_due(host: &impl Follows) -> Result<(), StoreError> {
    count(host)?;
    let Decisions { charter, store, now, .. } = host.decisions();
    let view = store.view()?;
    let named = view.freeze_rows()?.iter().any(|(_, row)| !row.lifters.is_empty());
    if !named && view.automatic_rows()?.iter().all(|(_, row)| row.lifters.is_empty()) {
        return Ok(());
    }
    for id in store.write(move |txn| freezes::lift_due(txn, &charter, now)).await? {
        tracing::warn!(freeze = %id, "a freeze is lifted: enough people said so, and the delay is over");
    }
    Ok(())
}

impl Decisions<'_> {
    /// Takes a stop record, whoever brings it.
    pub async fn stop(&self, record: pb::Envelope) -> Heard {
        let kind = record.payload_type.as_str();
        let taken = if kind == PayloadType::Approval.as_str() {
            self.hear(record).await
        } else if kind == PayloadType::Freeze.as_str() {
            self.freeze(record).await
        } else if kind == PayloadType::Unfreeze.as_str() {
            self.unfreeze(record).await
        } else {
            self.cancel(record).await
        };
        taken.unwrap_or_else(Heard::from)
    }

    /// "Not allowed by me, and voided durably": this node's word on a request that it has never allowed and never will, since its
    /// requester has cancelled it, or nothing but a tombstone is left of it. `None` where that is not so, or the request is not
    /// known here.
    pub fn void(&self, id: &IntentId) -> Result<Option<Unsigned>, ApiError> {
        let voided = self.row(id)?.is_some_and(|row| !row.allowed && (row.stopped || row.live.is_none()));
        Ok(voided.then(|| unsigned_void(&self.charter.cluster, id)))
    }

    /// The same of a request that has never come here. Whose it is its bytes tell, of which its id is the hash: a cancellation by
    /// anybody else stops nothing.
    pub fn void_unseen(&self, intent: &pb::Envelope) -> Result<Option<Unsigned>, ApiError> {
        let Ok((intent, _)) = Intent::open(intent) else { return Ok(None) };
        let internal = |error: StoreError| ApiError::new(Code::Internal, error.to_string());
        let view = self.store.view().map_err(internal)?;
        let unseen = view.intent(&intent.id).map_err(internal)?.is_none();
        let stopped = view.stop(&intent.id, intent.requester.as_str()).map_err(internal)?.is_some();
        Ok((unseen && stopped).then(|| unsigned_void(&self.charter.cluster, &intent.id)))
    }

    /// A guardian's freeze: at once.
    async fn freeze(&self, record: pb::Envelope) -> Result<Heard, NotTaken> {
        let (freeze, opened) = Freeze::open(&record)?;
        verify_freeze(&self.charter, &freeze, &opened)?;
        let (charter, bytes, now) = (Arc::clone(&self.charter), record.encode_to_vec(), self.now);
        let (id, scope, person) = (freeze.id, freeze.scope.clone(), freeze.person.clone());
        let taking = self.store.write(move |txn| freezes::take_freeze(txn, &charter, &freeze, &bytes, now));
        let new = taking.await??;
        if new {
            tracing::warn!(freeze = %id, %scope, %person, "FROZEN: nothing that this touches is signed");
        }
        Ok(Heard::kept(if new { vec![record] } else { Vec::new() }, false))
    }

    /// Somebody's word that freezes may be lifted.
    async fn unfreeze(&self, record: pb::Envelope) -> Result<Heard, NotTaken> {
        let (unfreeze, opened) = Unfreeze::open(&record)?;
        verify_unfreeze(&self.charter, &unfreeze, &opened)?;
        let (charter, bytes, now) = (Arc::clone(&self.charter), record.encode_to_vec(), self.now);
        let (person, named) = (unfreeze.person.clone(), unfreeze.freezes.clone());
        let taking = self.store.write(move |txn| freezes::take_unfreeze(txn, &charter, &unfreeze, &bytes, now));
        let new = taking.await??;
        if new {
            tracing::info!(%person, freezes = ?named, "somebody says that these freezes may be lifted");
        }
        Ok(Heard::kept(if new { vec![record] } else { Vec::new() }, false))
    }

    /// A rejection or a withdrawal.
    async fn hear(&self, record: pb::Envelope) -> Result<Heard, NotTaken> {
        let signed = SignedApproval::open(&record)?;
        if signed.approval.verdict == Verdict::Approve {
            return Err(ApiError::new(Code::Malformed, "an approval stops nothing: it comes with its intent").into());
        }
        let id = signed.approval.intent_id;
        let Some((_, row)) = self.store.view()?.intent(&id)? else { return self.hear_ahead(signed, record).await };
        let ended = || ApiError::new(Code::UnknownRequest, format!("intent {id} is not waiting here"));
        let (allowed, live) = (row.allowed, row.live.ok_or_else(ended)?);
        let envelope = pb::Envelope::decode(live.envelope.as_slice()).unwrap_or_default();
        let examined = match self.examine(&envelope) {
            // Whoever only keeps ledgers hears it when the request comes with its key again.
            Err(error) if error.code == Code::UnknownKey => return self.hear_ahead(signed, record).await,
            examined => examined?,
        };
        let shown = self.show(&examined, &Papers { approvals: &[record], checks: &[] })?;
        if shown.dropped > 0 {
            let who = &signed.approval.person;
            let message = format!("what {who} says of intent {id} does not count: forged, or nobody asks them");
            let refused = Heard::refused(ApiError::new(Code::NotPermitted, message));
            return Ok(Heard { dropped: shown.dropped, ..refused });
        }
        let (charter, now) = (Arc::clone(&self.charter), self.now);
        let said = signed.approval.digest();
        let settling = self.store.write(move |txn| {
            let progress = approvals::settle(txn, &charter, &examined, shown, now)?;
            Ok((progress.news, progress.rejected.is_some() || txn.stop_known(said.as_bytes())?))
        });
        let (news, heard) = settling.await?;
        if !heard {
            let message = format!("{} has said too much about intent {id} for more to be kept", signed.approval.person);
            return Err(ApiError::new(Code::Overloaded, message).into());
        }
        Ok(Heard::kept(news, allowed))
    }

    /// Keeps what a person says of an intent that has not come here: it is heard when the intent comes.
    async fn hear_ahead(&self, signed: SignedApproval, record: pb::Envelope) -> Result<Heard, NotTaken> {
        let now = self.now;
        // Bad news holds whatever its person believed, but for cluster and intent.
        let believed = Facts {
            cluster: self.charter.cluster.clone(),
            intent_id: signed.approval.intent_id,
            effects_digest: [0; 32],
            decoder_version: 0,
            slice: SliceHash::new([0; 32]),
            freeze_epoch: FreezeEpoch::NONE,
        };
        verify(&signed, &self.charter.roster, &believed, now.wall.as_secs())
            .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
        let bytes = record.encode_to_vec();
        let taking = self.store.write(move |txn| take_ahead(txn, &signed.approval, bytes, now));
        let new = taking.await??;
        Ok(Heard::kept(if new { vec![record] } else { Vec::new() }, false))
    }

    /// A cancellation: signed by the intent's own requester.
    async fn cancel(&self, record: pb::Envelope) -> Result<Heard, NotTaken> {
        let (cancellation, opened) = Cancellation::open(&record)?;
        if cancellation.cluster != self.charter.cluster {
            let message = format!("the stop record is for {}", cancellation.cluster);
            return Err(ApiError::new(Code::WrongCluster, message).into());
        }
        let requester = self.charter.requesters.get(&cancellation.requester).ok_or_else(|| {
            ApiError::new(Code::NotEnrolled, format!("requester {} is not in the charter", cancellation.requester))
        })?;
        opened
            .verify(cancellation.requester.as_str(), &requester.public_key)
            .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
        let (bytes, now) = (record.encode_to_vec(), self.now.wall);
        let taking = self.store.write(move |txn| {
            let name = *cancellation.id.as_bytes();
            let known = txn.stop_known(&name)?;
            let taken = admission::stop(txn, &cancellation, &bytes, now)?;
            Ok((taken, !known && txn.stop_known(&name)?))
        });
        let heard = match taking.await {
            Ok((Ok(possibly_signed), new)) => Heard { new, ..Heard::kept(Vec::new(), possibly_signed) },
            Ok((Err(error), _)) => Heard::refused(error),
            Err(error) => Heard::later(&error),
        };
        // Passed on whatever becomes of it here: every signer decides for itself.
        Ok(Heard { pass_on: vec![record], ..heard })
    }
}

/// False if it is known, or the intent has come meanwhile: then the peers hear it from whoever keeps it.
fn take_ahead(
    txn: &mut Txn<'_>,
    approval: &Approval,
    bytes: Vec<u8>,
    now: Now,
) -> Result<Result<bool, ApiError>, StoreError> {
    let (id, intent) = (approval.digest(), approval.intent_id);
    if txn.stop_known(id.as_bytes())? {
        return Ok(Ok(false));
    }
    let mut said = txn.said_ahead(&intent)?;
    let theirs = |said: &&Vec<u8>| {
        let signed = pb::Envelope::decode(said.as_slice()).ok().and_then(|record| SignedApproval::open(&record).ok());
        signed.is_some_and(|signed| signed.approval.person == approval.person)
    };
    if said.iter().filter(theirs).count() >= SAID_AHEAD_BY_ONE {
        let message = format!("{} has said enough about intent {intent}, which has not come here", approval.person);
        return Ok(Err(ApiError::new(Code::Overloaded, message)));
    }
    if said.len() >= SAID_AHEAD {
        let message = format!("more than {SAID_AHEAD} verdicts wait for intent {intent}, which has not come here");
        return Ok(Err(ApiError::new(Code::Overloaded, message)));
    }
    if let Err(error) = freezes::count_said(txn, &approval.person)? {
        return Ok(Err(error));
    }
    txn.log_stop(id.as_bytes(), &bytes)?;
    let event = crate::store::journal::Event::Approval { intent: *intent.as_bytes(), approval: *id.as_bytes() };
    txn.append(now.wall, event)?;
    said.push(bytes);
    txn.put_said_ahead(&intent, &said)?;
    Ok(Ok(true))
}
