//! This node as a member of ledger committees: it acknowledges entries, gives numbers up, and shows certificates.
//!
//! What is promised is `limen_policy::ledger`'s business; here it becomes durable before it is signed. Requests are
//! examined outside the writer's turn, noted and judged within it, by the guard that signs: whoever acknowledges an entry
//! would allow its requests but for the certificate.

mod judge;
mod keys;
mod line;
mod read;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use limen_policy::charter::Charter;
use limen_policy::ledger::{Closing, Entry, Hint, Member, Refusal};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{CommitteeHash, NodeId};
use limen_wire::{limits, pb};
use prost::Message as _;

use crate::clock::Now;
use crate::decisions::Decisions;
use crate::guard::Progress;
use crate::identity::Identity;
use crate::shared::Shared;
use crate::store::{StoreError, Txn};
use crate::{admission, approvals};
use judge::Judging;
use keys::Overseen;
pub(crate) use line::ending;
use line::{Kept, NotKept};
use read::{Read, Request};

/// A page of certificates is about half a message at most.
const PAGE_BYTES: usize = limits::GRPC_MESSAGE_BYTES / 2;

/// The ledgers that this node keeps, as far as they have been asked for since the start.
#[derive(Debug, Default)]
pub struct Ledgers {
    held: Mutex<BTreeMap<CommitteeHash, Arc<Mutex<Member>>>>,
    overseen: Overseen,
}

/// What this node keeps ledgers with, at one moment.
#[derive(Clone)]
pub struct Keeper<'a> {
    /// What it decides with.
    pub decisions: Decisions<'a>,
    /// What it has promised.
    pub ledgers: &'a Ledgers,
    /// Its name.
    pub me: &'a NodeId,
    /// Signs what it promises, once that is durable: what it cannot sign now is asked for again, and answered alike.
    pub identity: &'a Identity,
    /// Without enough of whom nothing is promised.
    pub peers: &'a dyn Peers,
}

impl std::fmt::Debug for Keeper<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("me", self.me).finish_non_exhaustive()
    }
}

/// The peers of a node that keeps ledgers.
pub trait Peers: Sync {
    /// An error unless so many of them stand well with it now.
    fn stand(&self, needed: usize) -> Result<(), ApiError>;
}

/// Of a node without peers nobody is asked: a witness is one of the `f` if its disk is an old one.
#[derive(Debug, Clone, Copy)]
pub struct NoPeers;

impl Peers for NoPeers {
    fn stand(&self, _needed: usize) -> Result<(), ApiError> {
        Ok(())
    }
}

/// What came of showing an entry.
#[derive(Debug)]
pub struct Reserved {
    /// The answer.
    pub response: pb::LedgerReserveResponse,
    /// Bad news about requests that the peers are to hear of.
    pub news: Vec<pb::Envelope>,
}

/// What the writer's turn gave.
struct Promised {
    answer: Result<Option<Entry>, Refusal>,
    head: u64,
    news: Vec<pb::Envelope>,
}

fn malformed(error: impl ToString) -> ApiError {
    ApiError::new(Code::Malformed, error.to_string())
}

fn failed(error: StoreError) -> ApiError {
    Shared::store_error(&error)
}

impl Keeper<'_> {
    /// Notes requests, learns certificates, and acknowledges an entry if it may.
    pub async fn reserve(&self, request: pb::LedgerReserveRequest) -> Result<Reserved, ApiError> {
        let kept = match self.kept(&request.ledger, request.committee.clone()).await {
            Ok(kept) => kept,
            Err(NotKept::Unsealed { error, .. }) => {
                let refusal = Some(self.unsealed(error));
                let response = pb::LedgerReserveResponse { refusal, ..pb::LedgerReserveResponse::default() };
                return Ok(Reserved { response, news: Vec::new() });
            }
            Err(error) => return Err(error.into()),
        };
        let read = self.read(&kept, request)?;
        if read.proposal.is_some() {
            self.stands(&kept)?;
        }
        let base = read.proposal.as_ref().map_or(0, |proposal| proposal.entry().base);
        let (charter, now, turn) = (Arc::clone(&self.decisions.charter), self.decisions.now, kept.clone());
        let promising = self.decisions.store.write(move |txn| promise(txn, &charter, &turn, read, now));
        let Promised { answer, head, news } = promising.await.map_err(failed)?;
        let mut response = pb::LedgerReserveResponse { head, ..pb::LedgerReserveResponse::default() };
        match answer {
            Ok(Some(entry)) => {
                response.acknowledgement = Some(self.identity.seal(entry.unsigned(), self.me).await?);
            }
            Ok(None) => {}
            Err(refusal) => response.refusal = Some(self.refusal(&kept, base, &refusal)?),
        }
        Ok(Reserved { response, news })
    }

    /// Gives numbers up.
    pub async fn close(&self, request: pb::LedgerCloseRequest) -> Result<pb::LedgerCloseResponse, ApiError> {
        let kept = match self.kept(&request.ledger, request.committee).await {
            Ok(kept) => kept,
            Err(NotKept::Unsealed { error, .. }) => {
                let refusal = Some(self.unsealed(error));
                return Ok(pb::LedgerCloseResponse { refusal, ..pb::LedgerCloseResponse::default() });
            }
            Err(error) => return Err(error.into()),
        };
        self.stands(&kept)?;
        let (through, now, turn) = (request.through, self.decisions.now, kept.clone());
        let closing = self.decisions.store.write(move |txn| {
            let mut member = turn.member();
            let answer = match member.close(through) {
                Ok(step) => {
                    turn.write(txn, step.changes(), now)?;
                    let closing = member.commit(step);
                    let named = named(&member, &closing);
                    Ok((closing, named))
                }
                Err(refusal) => Err(refusal),
            };
            Ok((answer, member.durable().head.number))
        });
        let (answer, head) = closing.await.map_err(failed)?;
        let mut response = pb::LedgerCloseResponse { head, ..pb::LedgerCloseResponse::default() };
        match answer {
            Ok((closing, entries)) => {
                response.closing = Some(self.identity.seal(closing.unsigned(&kept.committee), self.me).await?);
                response.entries = entries;
            }
            Err(refusal) => response.refusal = Some(self.refusal(&kept, through, &refusal)?),
        }
        Ok(response)
    }

    /// A page of certificates; none where the committee before is not sealed yet.
    pub async fn show(&self, request: pb::LedgerShowRequest) -> Result<pb::LedgerShowResponse, ApiError> {
        let kept = match self.kept(&request.ledger, request.committee).await {
            Ok(kept) => kept,
            Err(NotKept::Unsealed { before, .. } | NotKept::Stranger { before: before @ Some(_), .. }) => {
                let before = before.map(|before| before.to_wire());
                return Ok(pb::LedgerShowResponse { before, ..pb::LedgerShowResponse::default() });
            }
            Err(error) => return Err(error.into()),
        };
        let head = kept.member().durable().head.number;
        let before = kept.before.as_ref().map(|before| before.to_wire());
        Ok(pb::LedgerShowResponse { certificates: self.page(&kept, request.after)?, head, before })
    }

    /// As many peers stand well with this node as may be corrupt, by the charter or in the committee that is being ended:
    /// whichever are more.
    fn stands(&self, kept: &Kept) -> Result<(), ApiError> {
        let named = self.decisions.charter.ledgers.values().map(|committee| committee.corrupt());
        self.peers.stand(named.chain([kept.committee.corrupt()]).max().unwrap_or_default())
    }

    fn unsealed(&self, error: ApiError) -> pb::LedgerRefusal {
        let error = ApiError { node: self.me.to_string(), ..error };
        let mut told = pb::LedgerRefusal { error: Some(error.to_wire()), ..pb::LedgerRefusal::default() };
        told.set_hint(pb::LedgerHint::Unsealed);
        told
    }

    fn page(&self, kept: &Kept, after: u64) -> Result<Vec<pb::Envelope>, ApiError> {
        let view = self.decisions.store.view().map_err(failed)?;
        let mut page = view.certificates(&kept.committee, after, limits::LEDGER_PAGE).map_err(failed)?;
        let mut bytes = 0usize;
        let mut fits = |envelope: &pb::Envelope| {
            bytes = bytes.saturating_add(envelope.encoded_len());
            bytes <= PAGE_BYTES
        };
        // The first always fits: an envelope is an eighth of this.
        let some = page.iter().map_while(|envelope| Some(envelope).filter(|one| fits(one))).count();
        page.truncate(some.max(1));
        Ok(page)
    }

    /// A refusal with what helps to go on.
    fn refusal(&self, kept: &Kept, base: u64, refusal: &Refusal) -> Result<pb::LedgerRefusal, ApiError> {
        if matches!(refusal, Refusal::Forked { .. }) {
            tracing::error!(ledger = %kept.id(), %refusal, "ALARM: the ledger has forked");
        }
        let code = match refusal {
            Refusal::Misfit(_) => Code::LimitReached,
            _ => Code::WrongState,
        };
        let error = ApiError { node: self.me.to_string(), ..ApiError::new(code, refusal.to_string()) };
        let mut told = pb::LedgerRefusal { error: Some(error.to_wire()), ..pb::LedgerRefusal::default() };
        match Hint::of(refusal, Vec::new) {
            Hint::Behind { head } => {
                told.set_hint(pb::LedgerHint::Behind);
                told.number = head;
            }
            Hint::Certified(_) => {
                told.set_hint(pb::LedgerHint::Certified);
                told.certificates = self.page(kept, base)?;
            }
            Hint::Bound { through } => {
                told.set_hint(pb::LedgerHint::Bound);
                told.number = through;
            }
            Hint::Unfit(intent) => {
                told.set_hint(pb::LedgerHint::Unfit);
                told.intent_id = Bytes::copy_from_slice(intent.as_bytes());
            }
            Hint::Stale => told.set_hint(pb::LedgerHint::Stale),
            Hint::Other => {}
        }
        Ok(told)
    }

    async fn kept(&self, ledger: &str, committee: Option<pb::LedgerCommittee>) -> Result<Kept, NotKept> {
        let Decisions { charter, store, now, .. } = &self.decisions;
        self.ledgers.kept((charter, store, self.me), (ledger, committee), *now).await
    }
}

/// The bytes of the entries that a closing names.
fn named(member: &Member, closing: &Closing) -> Vec<Bytes> {
    let acknowledged = &member.durable().acknowledged;
    let named = closing.acknowledged.iter().filter_map(|(number, _)| acknowledged.get(number));
    named.map(|entry| entry.payload().clone()).collect()
}

/// The writer's turn: note, learn, judge, promise.
fn promise(txn: &mut Txn<'_>, charter: &Charter, kept: &Kept, read: Read, now: Now) -> Result<Promised, StoreError> {
    let Read { certificates, requests, proposal, claimed } = read;
    let (mut progress, mut news) = (BTreeMap::new(), Vec::new());
    let freezes = Txn::freezes(txn)?;
    for Request { examined, envelope, said } in requests {
        let id = examined.intent().id;
        // What cannot be noted is not known either, and is judged so.
        if admission::note(txn, charter, &examined, &envelope, now)?.is_ok() {
            let examined = examined.under(charter, &freezes);
            let settled: Progress = approvals::settle(txn, charter, &examined, said, now)?;
            news.extend(settled.news.iter().cloned());
            progress.insert(id, settled);
        }
    }
    let mut member = kept.member();
    for certificate in &certificates {
        match member.learn(certificate) {
            Ok(step) => {
                kept.write(txn, step.changes(), now)?;
                member.commit(step);
            }
            Err(refusal) => {
                return Ok(Promised { answer: Err(refusal), head: member.durable().head.number, news });
            }
        }
    }
    let answer = match proposal {
        None => Ok(None),
        Some(proposal) => {
            let judge = Judging::of(txn, (charter, kept), proposal.entry(), (&claimed, progress), now)?;
            match member.acknowledge(&proposal, now.wall.0, &judge) {
                Ok(step) => {
                    kept.write(txn, step.changes(), now)?;
                    Ok(Some(member.commit(step)))
                }
                Err(refusal) => Err(refusal),
            }
        }
    };
    Ok(Promised { answer, head: member.durable().head.number, news })
}

#[cfg(test)]
mod tests;
