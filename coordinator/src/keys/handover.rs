//! Handing a key over to new shares: ordered, certified, switched. The present shares sign until the signers switch by themselves.
//!
//! Nothing here is believed: each signer checks order, certificate and epoch itself. What the coordinator does is to bring
//! the parties together, to try again with other dealers, and to hand the certificate round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limen_wire::error::{ApiError, Code};
use limen_wire::handover::KeyHandover;
use limen_wire::ids::{Epoch, NodeId, Protocol};
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, combine};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::KeyRecord;
use super::ring::ActiveKey;
use crate::backups::{self, Waiting};
use crate::context::{Core, random_bytes};
use crate::signers::{CallError, Signer};
use crate::store::StoreError;

/// Where a handover stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HandoverPhase {
    /// New shares are being made.
    Ordered,
    /// All new members hold theirs.
    Certified,
    /// The new shares sign.
    Done,
    /// The present shares go on.
    Failed,
}

impl HandoverPhase {
    const ALL: [Self; 4] = [Self::Ordered, Self::Certified, Self::Done, Self::Failed];

    /// The number in the store.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Ordered => 1,
            Self::Certified => 2,
            Self::Done => 3,
            Self::Failed => 4,
        }
    }
    /// From the store's number.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.number() == number)
    }
    const fn to_wire(self) -> pb::HandoverState {
        match self {
            Self::Ordered => pb::HandoverState::Ordered,
            Self::Certified => pb::HandoverState::Certified,
            Self::Done => pb::HandoverState::Done,
            Self::Failed => pb::HandoverState::Failed,
        }
    }
    /// Whether nothing more comes of it.
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// What the coordinator remembers of an order of new shares.
#[derive(Debug, Clone, PartialEq)]
pub struct HandoverRecord {
    /// The signed order.
    pub order: pb::Envelope,
    /// Where it stands.
    pub phase: HandoverPhase,
    /// Sessions started.
    pub attempts: u32,
    /// The new statement with all signatures.
    pub certificate: Option<pb::Envelope>,
    /// Members that have the certificate.
    pub switched: BTreeSet<NodeId>,
    /// The lowest epoch that no attempt has taken, as far as is known.
    pub next_epoch: u64,
    /// Why it failed, or what the last attempt ran into.
    pub error: Option<ApiError>,
}

impl HandoverRecord {
    /// A handover that has just been ordered.
    pub const fn ordered(order: pb::Envelope) -> Self {
        let switched = BTreeSet::new();
        Self {
            order,
            phase: HandoverPhase::Ordered,
            attempts: 0,
            certificate: None,
            switched,
            next_epoch: 0,
            error: None,
        }
    }

    pub(super) fn to_wire(&self) -> pb::Handover {
        let members = KeyHandover::open(&self.order).map_or(0, |(order, _)| order.nodes.len());
        let progress = match self.phase {
            HandoverPhase::Ordered if backups::is_awaited(self.error.as_ref()) => super::message(self.error.as_ref()),
            HandoverPhase::Ordered if self.attempts == 0 => "waiting for holders and new members".to_owned(),
            HandoverPhase::Ordered => format!("attempt {}: new shares are being made", self.attempts),
            HandoverPhase::Certified | HandoverPhase::Done => {
                format!("{} of {members} members sign with the new shares", self.switched.len())
            }
            HandoverPhase::Failed => "failed; the present shares go on".to_owned(),
        };
        pb::Handover {
            order: Some(self.order.clone()),
            state: self.phase.to_wire().into(),
            attempts: self.attempts,
            progress,
            error: self.error.as_ref().map(ApiError::to_wire),
            next_epoch: self.next_epoch,
        }
    }
}

/// What a round of looking at the signers has found.
#[derive(Default)]
struct Found {
    /// The highest epoch that each says it has taken.
    burnt: BTreeMap<NodeId, u64>,
    /// Public shares behind the present certificate, as its hash says; empty if nobody has shown them.
    verifying_shares: Vec<bytes::Bytes>,
    /// Statements of shares that are not certified, by epoch of this order.
    pending: Vec<(NodeId, pb::Envelope)>,
    /// Shares that wait for their backups.
    waiting: Waiting,
    certificate: Option<pb::Envelope>,
}

/// What the members hold of an order already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// Not all have a share.
    Nothing,
    /// All have, and custodians have to prove the backups of some.
    Waiting,
    /// All have stated theirs.
    Certified,
    /// Another order is in this one's place.
    Replaced,
}

/// Whether another attempt may end otherwise.
const fn may_pass(code: Code) -> bool {
    code.retryable() || matches!(code, Code::SessionDead | Code::KeyExists | Code::Internal | Code::PeerBanned)
}

struct Driver {
    core: Arc<Core>,
    record: KeyRecord,
    handover: HandoverRecord,
    order: KeyHandover,
    present: KeyStatement,
    /// Holders that were in attempts that failed: others deal first.
    tried: Vec<BTreeSet<NodeId>>,
    proofs: watch::Receiver<u64>,
}

/// Starts the driver of a stored handover that has not ended.
pub(crate) fn spawn(core: &Arc<Core>, record: KeyRecord) {
    let Some(handover) = record.handover.clone().filter(|handover| !handover.phase.is_end()) else { return };
    let (Ok((order, _)), Some(present)) = (KeyHandover::open(&handover.order), record.statement()) else { return };
    let (tried, proofs) = (Vec::new(), core.proofs.subscribe());
    let mut driver = Driver { core: Arc::clone(core), record, handover, order, present, tried, proofs };
    let stop = core.stop.clone();
    core.tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            result = driver.run() => if let Err(error) = result {
                tracing::error!(key = %driver.record.key_id, %error, "a handover stands still");
            }
        }
    });
}

impl Driver {
    async fn run(&mut self) -> Result<(), StoreError> {
        while self.handover.phase == HandoverPhase::Ordered {
            let found = self.look().await;
            match self.take_up(&found).await? {
                Held::Nothing => {}
                Held::Certified => break,
                // People may take days, which the order's expiry does not count: its shares are made.
                Held::Waiting => {
                    backups::next_proof(&self.core, &mut self.proofs).await;
                    continue;
                }
                Held::Replaced => return Ok(()),
            }
            if self.order.expires_at_secs < self.core.clock.now_secs() {
                let words = "the order expired before all new members had their shares";
                self.give_up(ApiError::new(Code::Expired, words)).await?;
                break;
            }
            self.await_members().await;
            let found = self.look().await;
            self.attempt(found).await?;
            if self.handover.phase == HandoverPhase::Ordered {
                tokio::time::sleep(self.core.timing.retry_max).await;
            }
        }
        while self.handover.phase == HandoverPhase::Certified {
            self.hand_round().await?;
        }
        Ok(())
    }

    /// Takes what an earlier attempt has finished without us, which is on the members' disks, or waits to be proven there. An order that
    /// waits can be replaced by another one.
    async fn take_up(&mut self, found: &Found) -> Result<Held, StoreError> {
        let core = Arc::clone(&self.core);
        let _ordering = core.ordering.lock().await;
        let stored = core.store.key(&self.record.key_id)?.and_then(|record| record.handover);
        if stored.is_none_or(|stored| stored.order != self.handover.order) {
            tracing::info!(key = %self.record.key_id, "an order of new shares that waited was replaced by another one");
            return Ok(Held::Replaced);
        }
        if self.finish(found).await? {
            return Ok(Held::Certified);
        }
        let awaited = self.awaited(found);
        let (held, was_awaited) = (awaited.is_some(), backups::is_awaited(self.handover.error.as_ref()));
        if awaited != self.handover.error && (held || was_awaited) {
            self.handover.error = awaited;
            self.save().await?;
        }
        Ok(if held { Held::Waiting } else { Held::Nothing })
    }

    /// What keeps new members that hold their shares of one attempt from stating them; nothing while one has none.
    fn awaited(&self, found: &Found) -> Option<ApiError> {
        let stated = |node: &NodeId| found.pending.iter().any(|(known, _)| known == node);
        let open = self.order.nodes.iter().filter(|node| !stated(node));
        let awaited = found.waiting.words(open, backups::is_awaited(self.handover.error.as_ref()))?;
        let epoch = found.waiting.epoch();
        let of_one = found.pending.iter().all(|(_, statement)| {
            KeyStatement::decode(statement).is_ok_and(|said| epoch.is_none_or(|epoch| said.epoch.0 == epoch))
        });
        (of_one && (epoch.is_some() || found.waiting.is_empty())).then_some(awaited)
    }

    async fn save(&mut self) -> Result<(), StoreError> {
        self.record.handover = Some(self.handover.clone());
        self.core.store.update_key(self.record.clone()).await
    }

    async fn give_up(&mut self, error: ApiError) -> Result<(), StoreError> {
        tracing::error!(key = %self.record.key_id, %error, "a handover failed; the present shares go on");
        (self.handover.phase, self.handover.error) = (HandoverPhase::Failed, Some(error));
        self.core.metrics.handed_over("failed");
        self.save().await
    }

    fn among(&self, nodes: &[NodeId]) -> Vec<Arc<Signer>> {
        self.core.signers.among(nodes).cloned().collect()
    }

    /// Old and new members, each once.
    fn everybody(&self) -> Vec<Arc<Signer>> {
        let leaving = self.present.nodes.iter().filter(|node| !self.order.nodes.contains(node));
        let nodes: Vec<NodeId> = self.order.nodes.iter().chain(leaving).cloned().collect();
        self.among(&nodes)
    }

    /// All new members and enough holders have to be there, with links among them.
    async fn await_members(&self) {
        let mut changes = self.core.signers.changes();
        while self.dealers().is_none() && self.order.expires_at_secs >= self.core.clock.now_secs() {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(self.core.timing.status_interval) => {}
            }
        }
    }

    /// Who deals: as many holders as sign, those first that stay and have not been in an attempt that failed. `None` while parties
    /// are missing.
    fn dealers(&self) -> Option<Vec<NodeId>> {
        let members = self.among(&self.order.nodes);
        if members.len() != self.order.nodes.len() {
            return None;
        }
        let linked = |signer: &Arc<Signer>, others: &[Arc<Signer>]| {
            let health = signer.health();
            health.reachable && others.iter().all(|other| health.linked(other.node.as_str()))
        };
        if !members.iter().all(|signer| linked(signer, &members)) {
            return None;
        }
        let mut holders: Vec<_> = self.among(&self.present.nodes);
        holders.retain(|signer| linked(signer, &members));
        let strikes = |node: &NodeId| self.tried.iter().filter(|set| set.contains(node)).count();
        holders.sort_by_key(|signer| (strikes(&signer.node), !self.order.nodes.contains(&signer.node)));
        let required = usize::from(self.present.size.signers_required());
        let chosen: BTreeSet<_> = holders.iter().take(required).map(|signer| signer.node.clone()).collect();
        let in_order: Vec<_> = self.present.nodes.iter().filter(|node| chosen.contains(*node)).cloned().collect();
        (in_order.len() == required).then_some(in_order)
    }

    /// Asks everybody what they hold.
    async fn look(&self) -> Found {
        let mut calls = JoinSet::new();
        for signer in self.everybody() {
            let bound = self.core.timing.call_timeout;
            calls.spawn(async move {
                let answer = signer.key_shares(bound).await;
                (signer, answer)
            });
        }
        let mut found = Found::default();
        while let Some(Ok((signer, answer))) = calls.join_next().await {
            let of_key = |share: &pb::KeyShareRecord| share.key_id == self.record.key_id.as_str();
            let Ok(shares) = answer else { continue };
            let share = shares.into_iter().find(of_key);
            found.waiting.note(&signer.node, &self.order.id, share.as_ref());
            if let Some(share) = share {
                self.note(&mut found, &signer, share);
            }
        }
        found
    }

    fn note(&self, found: &mut Found, signer: &Signer, share: pb::KeyShareRecord) {
        found.burnt.insert(signer.node.clone(), share.burnt_epoch);
        let hash = share.verifying_shares.iter().fold(Sha256::new(), |hash, share| hash.chain_update(share));
        if <[u8; 32]>::from(hash.finalize()) == self.present.verifying_shares_hash {
            found.verifying_shares = share.verifying_shares;
        }
        if let Some(statement) = share.pending
            && self.is_statement_of(signer, &statement)
        {
            found.pending.push((signer.node.clone(), statement));
        }
        if let Some(certificate) = share.certificate
            && let Ok(key) = ActiveKey::from_certificate(&certificate, &self.core.charter())
            && self.fits(&key.statement)
        {
            found.certificate = Some(certificate);
        }
    }

    fn fits(&self, statement: &KeyStatement) -> bool {
        statement.generation_id == self.order.id
            && statement.key_id == self.order.key_id
            && statement.nodes == self.order.nodes
            && statement.size == self.order.size
            && statement.protocol == self.order.protocol
            && statement.public_key == self.present.public_key
            && statement.chain_code == self.present.chain_code
            && statement.was_whole == self.present.was_whole
            && self.order.allows(statement.epoch)
    }

    /// Whether a statement is this member's, signed, and about this order.
    fn is_statement_of(&self, signer: &Signer, statement: &pb::Envelope) -> bool {
        let opened = limen_wire::envelope::open(statement, limen_wire::envelope::PayloadType::KeyStatement);
        let signed = opened.is_ok_and(|opened| opened.verify(signer.node.as_str(), &signer.public_key).is_ok());
        signed && KeyStatement::decode(statement).is_ok_and(|said| self.fits(&said))
    }

    /// Takes what is complete already; `true` if it is.
    async fn finish(&mut self, found: &Found) -> Result<bool, StoreError> {
        let combined = || {
            let statements: Vec<_> = found.pending.iter().map(|(_, statement)| statement.clone()).collect();
            combine(&statements)
        };
        let Some(certificate) = found.certificate.clone().or_else(combined) else { return Ok(false) };
        match ActiveKey::from_certificate(&certificate, &self.core.charter()) {
            Ok(key) if self.fits(&key.statement) => {
                tracing::info!(key = %self.record.key_id, epoch = %key.statement.epoch, "new shares certified");
                (self.handover.phase, self.handover.error) = (HandoverPhase::Certified, None);
                self.handover.certificate = Some(certificate);
                self.save().await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The lowest number that all who take part can take. Who does not take part has no say, and a number beyond what the order
    /// allows is not believed: an attempt shows whether it is true.
    fn next_epoch(&self, found: &Found, dealers: &[NodeId]) -> Epoch {
        let most = self.order.first_epoch.0.saturating_add(limen_wire::limits::HANDOVER_ATTEMPTS);
        let takes_part = |node: &NodeId| self.order.nodes.contains(node) || dealers.contains(node);
        let burnt = found.burnt.iter().filter(|(node, burnt)| takes_part(node) && **burnt <= most);
        let highest = burnt.map(|(_, burnt)| *burnt).max().unwrap_or_default().max(self.present.epoch.0);
        // What this driver has tried is taken, whatever anybody says.
        Epoch(highest.saturating_add(1).max(self.order.first_epoch.0).max(self.handover.next_epoch))
    }

    async fn attempt(&mut self, found: Found) -> Result<(), StoreError> {
        let (Some(dealers), Ok(session)) = (self.dealers(), random_bytes::<32>()) else { return Ok(()) };
        if found.verifying_shares.is_empty() {
            let words = "no holder has shown the public shares behind the present certificate";
            self.handover.error = Some(ApiError::new(Code::SessionAborted, words));
            return self.save().await;
        }
        let epoch = self.next_epoch(&found, &dealers);
        self.handover.next_epoch = epoch.0;
        if !self.order.allows(epoch) {
            let words = format!("the epochs that the order allows are used up, the next one is {epoch}: order it anew");
            return self.give_up(ApiError::new(Code::EpochTaken, words)).await;
        }
        self.handover.attempts = self.handover.attempts.saturating_add(1);
        self.handover.next_epoch = epoch.0.saturating_add(1);
        self.save().await?;
        let timing = &self.core.timing;
        let bound = match self.order.protocol {
            Protocol::Cggmp24 => timing.keygen_timeout.saturating_add(timing.primes_timeout),
            Protocol::Dkls23 | Protocol::Frost | Protocol::Hsm => timing.keygen_timeout,
        };
        let request = pb::HandOverKeyRequest {
            order: Some(self.handover.order.clone()),
            session_id: session.to_vec().into(),
            timeout_ms: u32::try_from(bound.as_millis()).unwrap_or(u32::MAX),
            epoch: epoch.0,
            dealers: dealers.iter().map(ToString::to_string).collect(),
            certificate: self.record.certificate.clone(),
            verifying_shares: found.verifying_shares,
        };
        let mut calls = JoinSet::new();
        for signer in self.everybody() {
            if !self.order.nodes.contains(&signer.node) && !dealers.contains(&signer.node) {
                continue;
            }
            let request = request.clone();
            calls.spawn(async move {
                let answer = signer.within(bound, signer.port().hand_over_key(request)).await;
                (signer, answer)
            });
        }
        self.collect(calls, dealers).await
    }

    async fn collect(
        &mut self,
        mut calls: JoinSet<(Arc<Signer>, Result<pb::HandOverKeyResponse, CallError>)>,
        dealers: Vec<NodeId>,
    ) -> Result<(), StoreError> {
        let (mut found, mut failure, mut is_final) = (Found::default(), None::<ApiError>, false);
        while let Some(Ok((signer, answer))) = calls.join_next().await {
            match self.answer(&signer, answer) {
                Ok(Some(statement)) => found.pending.push((signer.node.clone(), statement)),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(key = %self.record.key_id, node = %signer.node, %error, "no new share");
                    // Another holder can deal in the place of one that refuses; nobody can take a new member's.
                    is_final |= self.order.nodes.contains(&signer.node) && !may_pass(error.code);
                    // A final refusal says more than the time-outs that it causes at the others.
                    let says_more = |known: &ApiError| {
                        known.code.retryable() && (error.code != Code::BackupUnproven || known.code == error.code)
                    };
                    if failure.as_ref().is_none_or(says_more) {
                        failure = Some(error);
                    }
                }
            }
        }
        if self.finish(&found).await? {
            return Ok(());
        }
        let held = self.look().await;
        if self.take_up(&held).await? != Held::Nothing {
            return Ok(());
        }
        let missing = || ApiError::new(Code::SessionAborted, "some new members have no share");
        let error = failure.unwrap_or_else(missing);
        self.tried.push(dealers.into_iter().collect());
        if is_final {
            return self.give_up(error).await;
        }
        self.handover.error = Some(error);
        self.save().await
    }

    /// The statement in a signer's answer; none of one that gets no share.
    fn answer(
        &self,
        signer: &Signer,
        answer: Result<pb::HandOverKeyResponse, CallError>,
    ) -> Result<Option<pb::Envelope>, ApiError> {
        let node = signer.node.to_string();
        let bad = |message: &str| ApiError { code: Code::Internal, message: message.to_owned(), node: node.clone() };
        match answer {
            Ok(pb::HandOverKeyResponse { refusal: Some(error), .. }) => {
                Err(ApiError { node: node.clone(), ..ApiError::from_wire(&error) })
            }
            Ok(pb::HandOverKeyResponse { statement: Some(statement), .. }) => {
                let is_ours = self.is_statement_of(signer, &statement);
                is_ours.then_some(Some(statement)).ok_or_else(|| bad("its statement is about another order"))
            }
            Ok(_) if self.order.nodes.contains(&signer.node) => Err(bad("an empty answer")),
            Ok(_) => Ok(None),
            Err(CallError::Refused(error)) => Err(ApiError { node: node.clone(), ..error }),
            Err(error) => Err(ApiError { code: Code::SessionAborted, message: error.to_string(), node: node.clone() }),
        }
    }

    /// Hands the certificate to everybody who lacks it, once; called again until all new members sign with the new shares.
    async fn hand_round(&mut self) -> Result<(), StoreError> {
        let mut changes = self.core.signers.changes();
        let mut calls = JoinSet::new();
        for signer in self.everybody() {
            if self.handover.switched.contains(&signer.node) || !signer.is_reachable() {
                continue;
            }
            let (certificate, order) = (self.handover.certificate.clone(), Some(self.handover.order.clone()));
            let bound = self.core.timing.call_timeout;
            calls.spawn(async move {
                let call = signer.port().activate_key(pb::ActivateKeyRequest { certificate, order });
                let answer = signer.within(bound, call).await;
                (signer.node.clone(), answer)
            });
        }
        while let Some(Ok((node, answer))) = calls.join_next().await {
            match answer {
                Ok(_) => self.switched(node).await?,
                Err(error) => tracing::warn!(key = %self.record.key_id, %node, %error, "has not switched yet"),
            }
        }
        // The members pass it on among themselves. One that is lost must not stand in the way of the order that replaces it.
        if self.handover.switched.len() >= usize::from(self.order.size.signers_required()) {
            self.handover.phase = HandoverPhase::Done;
            self.core.metrics.handed_over("done");
            tracing::info!(key = %self.record.key_id, switched = self.handover.switched.len(), "new shares sign");
            return self.save().await;
        }
        if self.handover.phase == HandoverPhase::Certified {
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(self.core.timing.retry_max) => {}
            }
        }
        Ok(())
    }

    async fn switched(&mut self, node: NodeId) -> Result<(), StoreError> {
        // From the first one on the present shares are too few sooner or later: sessions are about the new ones.
        self.take_into_use();
        if self.order.nodes.contains(&node) {
            self.handover.switched.insert(node);
        }
        self.save().await
    }

    fn take_into_use(&mut self) {
        let Some(certificate) = self.handover.certificate.clone() else { return };
        if self.record.certificate.as_ref() == Some(&certificate) {
            return;
        }
        if let Ok(key) = ActiveKey::from_certificate(&certificate, &self.core.charter()) {
            self.core.keys.insert(key);
            self.record.past.extend(self.record.certificate.replace(certificate));
            self.record.activated = self.order.nodes.iter().cloned().collect();
        }
    }
}
