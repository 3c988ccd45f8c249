//! Where the guard meets the journal: decision and record in one transaction.

use limen_policy::charter::Charter;
use limen_policy::decide::Charge;
use limen_policy::freeze::Freezes;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Epoch, IntentId, KeyId, LimitId, NodeId, RequesterId, SessionId};
use limen_wire::intent::Cancellation;
use limen_wire::pb;
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::approvals::{self, Shown};
use crate::clock::{Millis, Now};
use crate::freezes::automatic;
use crate::guard::{
    self, Ban, Examined, ExaminedHandover, ExaminedOrder, FirstSight, HandoverVerdict, InForce, JournalView, KeyEpochs,
    KeygenVerdict, KnownIntent, Meter, PresignCall, PresignToken, SignCall, SignToken, Verdict,
};
use crate::store::journal::Event;
use crate::store::log::{MissingLeaves, PendingLeaf};
use crate::store::rows::{
    ClaimKey, Delays, DestroyedRow, EpochsRow, IntentRow, KeyPhase, KeyRow, LiveIntent, RequesterTag, StoredSignature,
    Tally,
};
use crate::store::{StoreError, Txn};

/// Stop records of one requester for intents that have not been seen here. They are kept for ever, and nodes that are no
/// members of a key have them too, so this is the number of a lifetime.
pub const STOPS_AHEAD: u64 = 100_000;

impl JournalView for Txn<'_> {
    type Error = StoreError;

    fn in_force(&self) -> Result<InForce, StoreError> {
        Txn::in_force(self)
    }

    fn intent(&self, id: &IntentId) -> Result<Option<KnownIntent>, StoreError> {
        let known = |row: IntentRow| KnownIntent {
            sessions: row.sessions(),
            allowed: row.allowed,
            life_ends: row.life_ends(),
            ended: row.live.is_none(),
            nonce_claim: row.live.as_ref().and_then(|live| live.nonce_claim),
            metered: row
                .live
                .iter()
                .flat_map(|live| &live.metered)
                .filter_map(|id| LimitId::new(id.clone()).ok())
                .collect(),
            requester: row.requester,
            result: row.result,
        };
        Ok(Txn::intent(self, id)?.map(|(_, row)| known(row)))
    }

    fn holder(&self, claim: ClaimKey) -> Result<Option<IntentId>, StoreError> {
        let Some(sequence) = self.claim(claim)? else { return Ok(None) };
        let row = self.intent_at(sequence)?;
        let row = row.ok_or_else(|| StoreError::Damaged(format!("claim without intent {sequence}")))?;
        Ok(Some(row.intent_id()))
    }

    fn session_seen(&self, session: &SessionId) -> Result<bool, StoreError> {
        Txn::session_seen(self, session)
    }

    fn stopped(&self, intent: &IntentId, requester: &RequesterId) -> Result<bool, StoreError> {
        let marked = || Ok(Txn::intent(self, intent)?.is_some_and(|(_, row)| row.stopped));
        if Txn::stopped(self, intent, requester.as_str())? { Ok(true) } else { marked() }
    }

    fn freezes(&self) -> Result<Freezes, StoreError> {
        Txn::freezes(self)
    }

    fn counted(&self, tally: Tally, requester: &RequesterId) -> Result<u64, StoreError> {
        self.tally(tally, requester.as_str())
    }

    fn meter(&self, charge: &Charge) -> Result<Meter, StoreError> {
        Txn::meter(self, charge.limit.as_str(), &charge.subject)
    }
    fn missing_leaves(&self) -> Result<MissingLeaves, StoreError> {
        Txn::missing_leaves(self)
    }
    fn ban(&self, peer: &NodeId) -> Result<Option<Ban>, StoreError> {
        let Some(row) = Txn::ban(self, peer)? else { return Ok(None) };
        let name = |name: &str| KeyId::new(name).map_err(|error| StoreError::Damaged(format!("a ban: {error}")));
        let tainted = row.tainted.iter().map(|(key, epoch)| Ok((name(key)?, Epoch(*epoch))));
        let tainted = tainted.collect::<Result<_, StoreError>>()?;
        Ok(Some(Ban { session: SessionId::new(row.session), tainted }))
    }

    fn key_names(&self) -> Result<usize, StoreError> {
        Txn::key_names(self)
    }

    fn key_epochs(&self, key: &KeyId) -> Result<Option<KeyEpochs>, StoreError> {
        let Some(row) = self.key(key)? else { return Ok(None) };
        let certified = pb::Envelope::decode(row.certificate.as_slice()).ok().map(|envelope| envelope.payload.to_vec());
        let pending = row.epochs.pending.get(&row.epochs.burnt);
        Ok(Some(KeyEpochs {
            in_force: row.in_force().zip(certified),
            signs: row.phase == KeyPhase::Active,
            is_making: matches!(row.phase, KeyPhase::Generating | KeyPhase::Pending | KeyPhase::Failed),
            burnt: Epoch(row.epochs.burnt),
            pending: pending.map(|share| (IntentId::new(share.order_id), Epoch(share.epoch))),
        }))
    }

    fn key_order(&self, key: &KeyId) -> Result<Option<(IntentId, bool)>, StoreError> {
        let made = |row: &KeyRow| row.share.is_some() || !row.certificate.is_empty() || row.epochs.burnt > 0;
        Ok(self.key(key)?.map(|row| (IntentId::new(row.order_id), made(&row))))
    }
}

/// Notes an intent at first sight; later sights change nothing. Gives the time of first sight.
pub fn note(
    txn: &mut Txn<'_>,
    charter: &Charter,
    examined: &Examined,
    envelope: &pb::Envelope,
    time: Now,
) -> Result<Result<u64, ApiError>, StoreError> {
    let (intent, now) = (examined.intent(), time.wall);
    let in_force = Txn::in_force(txn)?;
    if in_force.hash != examined.charter() {
        return Ok(Err(guard::charter_changed(&in_force)));
    }
    match guard::first_sight(txn, charter, examined, now)? {
        FirstSight::Refused(error) => return Ok(Err(error)),
        FirstSight::Known => {
            let row = Txn::intent(txn, &intent.id)?;
            return Ok(Ok(row.map_or(now.0, |(_, row)| row.first_seen_ms)));
        }
        FirstSight::New => {}
    }
    let counted = examined.counted_as();
    let row = IntentRow {
        id: *intent.id.as_bytes(),
        first_seen_ms: now.0,
        requester: RequesterTag::of(intent.requester.as_str()),
        allowed: false,
        stopped: Txn::stopped(txn, &intent.id, intent.requester.as_str())?,
        result: None,
        live: Some(LiveIntent {
            envelope: envelope.encode_to_vec(),
            requester: intent.requester.to_string(),
            counted,
            expires_at_secs: intent.expires_at_secs,
            sessions: 0,
            nonce_claim: examined.nonce_claim(),
            first_seen_uptime: time.uptime.0,
            approvals: Vec::new(),
            delays: Delays::new(),
            rejected: None,
            metered: Vec::new(),
        }),
    };
    let sequence = txn.add_intent(&row)?;
    txn.put_claim(examined.idempotency_claim(), sequence)?;
    if let Some(tally) = counted {
        txn.count_up(tally, intent.requester.as_str())?;
    }
    automatic::count(txn, charter, examined, time)?;
    if row.stopped {
        txn.count_down(Tally::StopsAhead, intent.requester.as_str())?;
    }
    txn.append(now, Event::FirstSeen { intent: row.id })?;
    Ok(Ok(now.0))
}

/// What was decided, and what the peers are to hear of it.
#[derive(Debug)]
pub struct Decided {
    /// The decision.
    pub verdict: Verdict<SignToken>,
    /// Rejections and withdrawals that are held from now on.
    pub news: Vec<pb::Envelope>,
}

/// Decides on signing and, if it is allowed, records that: session, claim on the account's number, journal.
pub fn sign(
    txn: &mut Txn<'_>,
    charter: &Charter,
    examined: Examined,
    call: SignCall,
    (envelope, mut shown): (&pb::Envelope, Shown),
    time: Now,
) -> Result<Decided, StoreError> {
    let (id, now) = (examined.intent().id, time.wall);
    let examined = examined.under(charter, &Txn::freezes(txn)?);
    if Txn::intent(txn, &id)?.is_none()
        && let Err(error) = note(txn, charter, &examined, envelope, time)?
    {
        return Ok(Decided { verdict: Verdict::Refused(error), news: Vec::new() });
    }
    let reservations = std::mem::take(&mut shown.reservations);
    let progress = approvals::settle(txn, charter, &examined, shown, time)?;
    let nonce_claim = examined.nonce_claim();
    let verdict = guard::admit_sign(txn, charter, examined, call, (&progress, &reservations), time)?;
    if let Verdict::Allowed(token) = &verdict {
        let (sequence, mut row) =
            Txn::intent(txn, &id)?.ok_or_else(|| StoreError::Damaged(format!("intent {id} vanished")))?;
        row.allowed = true;
        // What a share takes over once is charged once, however many sessions it takes.
        let life_ends = row.life_ends().unwrap_or(time.uptime).0.saturating_add(reservations.session_ms());
        spend(txn, charter, token.metered(), life_ends.saturating_sub(time.uptime.0), time)?;
        if let Some(live) = &mut row.live {
            // People or another charter allow it now.
            if let Some(tally) = live.counted.take() {
                txn.count_down(tally, &live.requester)?;
            }
            live.sessions = live.sessions.saturating_add(1);
            live.metered.extend(token.metered().iter().map(|charge| charge.limit.to_string()));
        }
        txn.put_intent(sequence, &row)?;
        txn.put_session(token.session(), sequence)?;
        if let Some(claim) = nonce_claim {
            txn.put_claim(claim, sequence)?;
        }
        txn.append(now, Event::Allowed(Box::new(token.record())))?;
        let leaf = token.authorization(now);
        let leaf =
            leaf.ok_or_else(|| StoreError::Damaged(format!("no leaf tells of the permission of intent {id}")))?;
        txn.add_leaf(&pending(charter, token, (leaf.to_body(), false), time))?;
    }
    Ok(Decided { verdict, news: progress.news })
}

/// A leaf that must come into the log, cosigned by as many nodes as the key needs signers, or as make the log final: a key
/// that needs many must not stop all others when one of them is away. Of a key in one token another node must know too.
fn pending(charter: &Charter, token: &SignToken, (bytes, whole): (Vec<u8>, bool), time: Now) -> PendingLeaf {
    let quorum = u8::try_from(charter.log_committee().quorum).unwrap_or(u8::MAX);
    let required = token.key().public.size.signers_required().max(2).min(quorum);
    PendingLeaf { bytes, whole, since: time.uptime.0, required }
}

/// The leaf of a signature that this permission led to; `None` if these bytes are none.
pub fn signature_leaf(
    charter: &Charter,
    token: &SignToken,
    stored: &StoredSignature,
    time: Now,
) -> Option<PendingLeaf> {
    Some(pending(charter, token, (token.signature_leaf(stored)?.encode(), true), time))
}

/// Counts what was allowed against the limits.
fn spend(txn: &mut Txn<'_>, charter: &Charter, charges: &[Charge], life_ms: u64, now: Now) -> Result<(), StoreError> {
    for charge in charges {
        let Some(limit) = charter.limits.get(&charge.limit) else { continue };
        let mut meter = Txn::meter(txn, charge.limit.as_str(), &charge.subject)?;
        meter.add(limit, charge.amount, life_ms, now.uptime);
        txn.put_meter(charge.limit.as_str(), &charge.subject, &meter)?;
        txn.put_uptime(now.uptime)?;
    }
    Ok(())
}

/// Keeps the signature of a session that this signer took part in: a repeat gets it without another session.
pub fn keep(
    txn: &mut Txn<'_>,
    id: IntentId,
    (stored, leaf): (StoredSignature, Option<PendingLeaf>),
    now: Millis,
) -> Result<(), StoreError> {
    leaf.map_or(Ok(()), |leaf| txn.add_leaf(&leaf))?;
    let Some((sequence, mut row)) = Txn::intent(txn, &id)? else { return Ok(()) };
    let session = <[u8; 32]>::try_from(stored.session.as_slice()).unwrap_or_default();
    let signature_hash = Sha256::digest(&stored.signature).into();
    row.result.get_or_insert(stored);
    txn.put_intent(sequence, &row)?;
    txn.append(now, Event::Signed { intent: *id.as_bytes(), session, signature_hash })
}

/// Takes a stop record whose signature holds. True if a last-round message may have left before it.
///
/// A record for an intent that has not been seen waits for it, and then counts only if it is of the intent's requester.
pub fn stop(
    txn: &mut Txn<'_>,
    cancellation: &Cancellation,
    record: &[u8],
    now: Millis,
) -> Result<Result<bool, ApiError>, StoreError> {
    let (id, requester) = (cancellation.intent_id, cancellation.requester.as_str());
    let event = Event::Stopped { intent: *id.as_bytes(), record: *cancellation.id.as_bytes() };
    let Some((sequence, mut row)) = Txn::intent(txn, &id)? else {
        if Txn::stopped(txn, &id, requester)? {
            return Ok(Ok(false));
        }
        if txn.tally(Tally::StopsAhead, requester)? >= STOPS_AHEAD {
            let message = format!("{requester} has stopped too many requests that this signer has never seen");
            return Ok(Err(ApiError::new(Code::Overloaded, message)));
        }
        txn.count_up(Tally::StopsAhead, requester)?;
        txn.put_stop(&id, requester, record)?;
        txn.log_stop(cancellation.id.as_bytes(), record)?;
        txn.append(now, event)?;
        return Ok(Ok(false));
    };
    // A tombstone starts no session: there is nothing left to stop.
    let Some(live) = &row.live else { return Ok(Ok(row.allowed)) };
    if live.requester != requester {
        return Ok(Err(ApiError::new(Code::NotPermitted, "only the requester of an intent cancels it")));
    }
    if !row.stopped {
        row.stopped = true;
        txn.put_stop(&id, requester, record)?;
        txn.log_stop(cancellation.id.as_bytes(), record)?;
        txn.append(now, event)?;
        txn.put_intent(sequence, &row)?;
    }
    Ok(Ok(row.allowed))
}

/// Decides on key generation and, if it is allowed, takes the name and records the session.
pub fn keygen(
    txn: &mut Txn<'_>,
    charter: &Charter,
    examined: ExaminedOrder,
    envelope: &pb::Envelope,
    session: SessionId,
    now: Millis,
) -> Result<KeygenVerdict, StoreError> {
    let verdict = guard::admit_keygen(txn, charter, examined, session, now)?;
    if let KeygenVerdict::Allowed(token) = &verdict {
        let key = &token.order().key_id;
        let attempts = txn.key(key)?.map_or(0, |row| row.attempts);
        let row = KeyRow {
            phase: KeyPhase::Generating,
            order: envelope.encode_to_vec(),
            order_id: *token.order().id.as_bytes(),
            attempts: attempts.saturating_add(1),
            share: None,
            certificate: Vec::new(),
            epochs: EpochsRow::default(),
            destroyed: DestroyedRow::default(),
        };
        txn.put_key(key, &row)?;
        txn.put_session(&session, 0)?;
        let (key, session) = (key.to_string(), *session.as_bytes());
        txn.append(now, Event::Session { key, session, purpose: "keygen".to_owned() })?;
    }
    Ok(verdict)
}

/// Decides on an attempt to hand a key over and, if it is allowed, takes its epoch and records the session.
pub fn handover(
    txn: &mut Txn<'_>,
    charter: &Charter,
    examined: ExaminedHandover,
    (session, no_standing): (SessionId, Option<ApiError>),
    now: Millis,
) -> Result<HandoverVerdict, StoreError> {
    let verdict = guard::admit_handover(txn, charter, examined, (session, no_standing), now)?;
    if let HandoverVerdict::Allowed(token) = &verdict {
        let (key, order) = (token.key(), *token.order().id.as_bytes());
        let away = || KeyRow {
            phase: KeyPhase::Away,
            order: Vec::new(),
            order_id: order,
            attempts: 0,
            share: None,
            certificate: Vec::new(),
            epochs: EpochsRow::default(),
            destroyed: DestroyedRow::default(),
        };
        let mut row = txn.key(key)?.unwrap_or_else(away);
        row.epochs.burnt = token.epoch().0;
        txn.put_key(key, &row)?;
        txn.put_session(&session, 0)?;
        let (key, epoch, session) = (key.to_string(), token.epoch().0, *session.as_bytes());
        txn.append(now, Event::EpochTaken { key, epoch, session, order })?;
    }
    Ok(verdict)
}

/// Decides on presigning and, if it is allowed, records the session.
pub fn presign(
    txn: &mut Txn<'_>,
    charter: &Charter,
    call: PresignCall,
    now: Millis,
) -> Result<Verdict<PresignToken>, StoreError> {
    let verdict = guard::admit_presign(txn, charter, call)?;
    if let Verdict::Allowed(token) = &verdict {
        txn.put_session(token.session(), 0)?;
        let (key, session) = (token.key().public.key.to_string(), *token.session().as_bytes());
        txn.append(now, Event::Session { key, session, purpose: "presign".to_owned() })?;
    }
    Ok(verdict)
}

#[cfg(test)]
mod tests;
