//! What signers owe each other: every stop record and every version of the charter that one has and the other lacks, whoever
//! was down when it came.
//!
//! Each keeps its records in the order in which it took them, under a running hash, and asks every peer now and then for what
//! comes after what it has read of that peer's. Pages are bounded; where the hash is another one, reading begins anew.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use limen_policy::charter::Charter;
use limen_wire::approval::SignedApproval;
use limen_wire::charter::SignedCharter;
use limen_wire::envelope::{self, PayloadType};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::NodeId;
use limen_wire::pb::peer_message::Kind;
use limen_wire::standing::ChainHead;
use limen_wire::{limits, pb};
use prost::Message as _;

use crate::charters::{Follows, history};
use crate::decisions::Decisions;
use crate::peers::Talks;
use crate::shared::Shared;
use crate::stops;
use crate::store::stops::StopHead;
use crate::store::{Store, StoreError};

/// Bytes of the records of one page.
const PAGE_BYTES: usize = 1 << 20;
/// Seconds for which what was passed over waits at least until everything is read anew: peers whose records are for later cost no more
/// than that.
pub const ANEW_REST_SECS: u64 = 6 * 3600;

/// The question for what a peer has and we have not read.
pub fn question(store: &Store, peer: &NodeId) -> Result<pb::StopsAfter, StoreError> {
    let read = store.view()?.cursor(peer)?;
    Ok(pb::StopsAfter { length: read.length, head: Bytes::copy_from_slice(&read.hash) })
}

/// Asks every peer.
pub(crate) fn ask(host: &impl Talks) -> Result<(), StoreError> {
    for node in &host.peers() {
        host.send(node, Kind::StopsAfter(question(host.decisions().store, node)?));
    }
    history::ask(host)
}

/// Answers a peer's question; says nothing if it has read everything.
pub(crate) fn answer(host: &impl Talks, from: &NodeId, question: &pb::StopsAfter) -> Result<(), ApiError> {
    if let Some(page) = page(host.decisions().store, question).map_err(|error| Shared::store_error(&error))? {
        host.send(from, Kind::StopsPage(page));
    }
    Ok(())
}

pub(crate) fn page(store: &Store, question: &pb::StopsAfter) -> Result<Option<pb::StopsPage>, StoreError> {
    let view = store.view()?;
    let newest = view.stop_head()?;
    let known = view.stop_head_at(question.length)?.filter(|head| head.hash[..] == question.head[..]);
    // Whoever has read what we do not have has read it of another store: it begins anew.
    let after = known.unwrap_or_default();
    if known == Some(newest) {
        return Ok(None);
    }
    let rows = view.stops_after(after.length, limits::STOPS_PAGE, PAGE_BYTES)?;
    let head = rows.last().map_or(after.hash, |row| row.hash);
    let records = rows.iter().map(|row| pb::Envelope::decode(row.envelope.as_slice()));
    let records = records.collect::<Result<_, _>>().map_err(|error| StoreError::Damaged(error.to_string()))?;
    let head = Bytes::copy_from_slice(&head);
    Ok(Some(pb::StopsPage { after: after.length, records, length: newest.length, head }))
}

/// The name under which a record is kept; `None` if it is none.
fn record_id(record: &pb::Envelope) -> Option<[u8; 32]> {
    if record.payload_type == PayloadType::CharterVersion.as_str() {
        return SignedCharter::open(record).ok().map(|signed| *Charter::hash_of(&signed.text).as_bytes());
    }
    if record.payload_type == PayloadType::Approval.as_str() {
        return SignedApproval::open(record).ok().map(|signed| *signed.approval.digest().as_bytes());
    }
    let kinds = [PayloadType::Cancellation, PayloadType::Freeze, PayloadType::Unfreeze, PayloadType::DrillRecord];
    let kind = kinds.into_iter().find(|kind| record.payload_type == kind.as_str())?;
    envelope::open(record, kind).ok().map(|opened| *opened.id().as_bytes())
}

/// How far a page led.
pub(crate) struct Progress {
    start: StopHead,
    end: StopHead,
    /// There was something among it that was not known here.
    news: bool,
}

/// Reads a peer's page and asks for the next one.
pub(crate) async fn read(host: &impl Talks, from: &NodeId, page: pb::StopsPage) -> Result<(), ApiError> {
    let length = page.length;
    let taken = take_in(host, from, page).await;
    host.standings().unread(from, taken.as_ref().err().map(|error| error.message.clone()));
    let Some(Progress { start, end, news }) = taken? else { return Ok(()) };
    let chain = ChainHead { length: end.length, hash: end.hash };
    host.standings().read(from, chain, news, host.decisions().now.uptime);
    if end.length < length && end.length > start.length {
        let more = pb::StopsAfter { length: end.length, head: Bytes::copy_from_slice(&end.hash) };
        host.send(from, Kind::StopsAfter(more));
    }
    Ok(())
}

/// Reads a signer's page: takes what counts, passes over what does not, and notes how far it got. `None` if the page is none of
/// what comes next.
pub(crate) async fn take_in(
    host: &impl Follows,
    from: &NodeId,
    page: pb::StopsPage,
) -> Result<Option<Progress>, ApiError> {
    let wrong = |what: &str| Err(ApiError::new(Code::Malformed, format!("a page of stop records {what}")));
    if page.records.len() > limits::STOPS_PAGE {
        return wrong("has too many");
    }
    let Decisions { store, .. } = host.decisions();
    let read = store.view().and_then(|view| view.cursor(from)).map_err(|error| Shared::store_error(&error))?;
    let start = match page.after {
        0 => StopHead::default(),
        after if after == read.length => read,
        // An answer to a question that was asked twice.
        _ => return Ok(None),
    };
    let ids: Option<Vec<[u8; 32]>> = page.records.iter().map(record_id).collect();
    let Some(ids) = ids else { return wrong("holds something else") };
    let end = ids.iter().fold(start, |head, id| head.after(id));
    if page.head[..] != end.hash[..] || end.length > page.length {
        return wrong("does not give the hash that it names");
    }
    let (mut news, mut later) = (false, None::<u64>);
    for record in page.records {
        let heard = stops::hear(host, record).await;
        news |= heard.new;
        later = later.into_iter().chain(heard.counts_from_secs).min();
        match heard.answer {
            Ok(_) => {}
            // The page is asked for again.
            Err(error) if heard.again => {
                if let Some(orphan) = heard.orphan {
                    host.orphans().note(from, orphan);
                }
                return Err(error);
            }
            Err(error) => tracing::debug!(peer = %from, %error, "passed over a stop record of a peer"),
        }
    }
    host.orphans().pass(from);
    let (peer, now) = (from.clone(), host.decisions().now.wall.as_secs());
    let noting = store.write(move |txn| {
        // What stands behind it is read now, whatever it is; it itself comes again.
        later.map_or(Ok(()), |secs| txn.read_anew_from(secs.max(now.saturating_add(ANEW_REST_SECS))))?;
        txn.move_cursor(&peer, &read, &end)
    });
    // Meanwhile somebody may have had everything read anew: this page, too, comes again then.
    let moved = noting.await.map_err(|error| Shared::store_error(&error))?;
    Ok(moved.then_some(Progress { start, end, news }))
}

/// Has every peer's records read anew once something of them may count that was passed over. Cheap while there is none.
pub(crate) async fn read_anew(host: &impl Follows) -> Result<(), StoreError> {
    let Decisions { store, now, .. } = host.decisions();
    if store.view()?.read_anew_secs()?.is_none_or(|secs| secs > now.wall.as_secs()) {
        return Ok(());
    }
    tracing::info!("the peers' records are read anew: something was passed over that may count now");
    store.write(|txn| txn.forget_cursors()).await
}
