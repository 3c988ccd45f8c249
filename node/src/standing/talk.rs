//! Asking peers how they stand, telling them how we do, and listening.

use bytes::Bytes;
use limen_wire::envelope::{PayloadType, Unsigned};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::NodeId;
use limen_wire::keys::PublicKey;
use limen_wire::pb;
use limen_wire::pb::peer_message::Kind;
use limen_wire::standing::{ChainHead, JournalHead, Standing};
use prost::Message as _;

use super::{Standings, Word, logs};
use crate::clock::Uptime;
use crate::decisions::Decisions;
use crate::entropy;
use crate::peers::Talks;
use crate::shared::Shared;
use crate::stops::exchange;
use crate::store::journal::Head;
use crate::store::{JournalAt, StoreError};

fn failed(error: StoreError) -> ApiError {
    Shared::store_error(&error)
}

const fn chain(head: Head) -> ChainHead {
    ChainHead { length: head.length, hash: head.hash }
}

/// A question for a peer, of whose stop records so many have been read.
pub fn question(standings: &Standings, peer: &NodeId, now: Uptime, read: u64) -> pb::StandingCall {
    let nonce = *entropy::random::<32>();
    standings.asked(peer, nonce, now, read);
    pb::StandingCall { nonce: Bytes::copy_from_slice(&nonce) }
}

/// Asks every peer, and tells operators who counts.
pub(crate) fn ask(host: &impl Talks) {
    let (now, peers) = (host.decisions().now.uptime, host.peers());
    for node in &peers {
        // Nothing read is the safe guess: a store that does not answer is told of elsewhere.
        let read = host.decisions().store.view().and_then(|view| view.cursor(node)).map_or(0, |cursor| cursor.length);
        host.send(node, Kind::StandingCall(question(host.standings(), node, now, read)));
    }
    let well = host.standings().shown(peers.iter(), now).iter().filter(|one| one.trouble.is_none()).count();
    host.metrics().standing.set(i64::try_from(well).unwrap_or(i64::MAX));
}

/// Answers a peer's question.
pub(crate) async fn answer(host: &impl Talks, from: &NodeId, call: &pb::StandingCall) -> Result<(), ApiError> {
    let nonce = <[u8; 32]>::try_from(call.nonce.as_ref());
    let nonce = nonce.map_err(|_| ApiError::new(Code::Malformed, "a question for standing has no 32 random bytes"))?;
    let head = host.decisions().store.view().and_then(|view| view.head()).map_err(failed)?;
    let journal = own_head(host, from, chain(head)).await?;
    let standing = {
        // After the first signature, so that as little as possible grows old while the second is made.
        let Decisions { charter, store, now, .. } = host.decisions();
        let view = store.view().map_err(failed)?;
        let stops = view.stop_head().map_err(failed)?;
        Standing {
            cluster: charter.cluster.clone(),
            node: host.me().clone(),
            receiver: from.clone(),
            nonce,
            clock_ms: now.wall.0,
            charter: charter.hash(),
            stops: ChainHead { length: stops.length, hash: stops.hash },
            journal,
            remembered: view.remembered(from).map_err(failed)?,
            ledgers: Vec::new(),
            log: logs::told(&view)?,
            other_log: host.standings().has_other_log(from),
        }
    };
    let unsigned = Unsigned::new(PayloadType::Standing, standing.to_payload());
    host.send(from, Kind::Standing(host.identity().seal(unsigned, host.me()).await?));
    Ok(())
}

/// Our journal for a peer to keep. A store that was put back must not overwrite what the peer remembers of the better one: it
/// gets nothing before it has confirmed.
async fn own_head(host: &impl Talks, peer: &NodeId, head: ChainHead) -> Result<Option<pb::Envelope>, ApiError> {
    let standings = host.standings();
    if !standings.is_confirmed(peer) || standings.rolled_back().is_some() {
        return Ok(None);
    }
    standings.tell(head);
    let head = JournalHead { cluster: host.charter().cluster.clone(), node: host.me().clone(), head };
    Ok(Some(host.identity().seal(Unsigned::new(PayloadType::JournalHead, head.to_payload()), host.me()).await?))
}

/// Takes a peer's answer.
pub async fn hear(host: &impl Talks, from: &NodeId, said: pb::Envelope) -> Result<(), ApiError> {
    let malformed = |error: String| ApiError::new(Code::Malformed, error);
    let (standing, opened) = Standing::open(&said).map_err(|error| malformed(error.to_string()))?;
    let unknown = || ApiError::new(Code::NotEnrolled, format!("{from} is not in the charter"));
    let Decisions { charter, store, now, .. } = host.decisions();
    let pinned = charter.node_key(from).ok_or_else(unknown)?;
    opened.verify(from.as_str(), &pinned).map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
    if standing.cluster != charter.cluster || standing.node != *from || standing.receiver != *host.me() {
        return Err(malformed("the standing is of or for somebody else".to_owned()));
    }
    let standings = host.standings();
    let asked = standings.answered(from, &standing.nonce);
    let (asked, read_then) =
        asked.ok_or_else(|| malformed("the standing answers no question of this signer".to_owned()))?;
    if let Some(words) = contradiction(host, from, standing.remembered.clone()).await? {
        standings.roll_back(words, host.metrics());
        return Ok(());
    }
    standings.confirmed(from);
    logs::compare(host, from, &standing)?;
    remember(host, from, standing.journal.clone())?;
    let read = store.view().and_then(|view| view.cursor(from)).map_err(failed)?;
    let skew_ms = standing.clock_ms.abs_diff(now.wall.0);
    let read = ChainHead { length: read.length, hash: read.hash };
    // An answer takes its time to be signed, and more may have been read of the peer since: that is none of fewer records.
    let is_overtaken = (read_then..read.length).contains(&standing.stops.length);
    let stops = if is_overtaken { read } else { standing.stops };
    let word = Word { asked, skew_ms, stops, charter: standing.charter };
    if standings.heard(from, word, read, now.uptime) {
        host.send(from, Kind::StopsAfter(exchange::question(store, from).map_err(failed)?));
    }
    Ok(())
}

/// What a peer proves to have been in our journal and is not.
async fn contradiction(
    host: &impl Talks,
    from: &NodeId,
    remembered: Option<pb::Envelope>,
) -> Result<Option<String>, ApiError> {
    let Some(remembered) = remembered else { return Ok(None) };
    let (ours, opened) =
        JournalHead::open(&remembered).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    // Only our own word counts against us, and it does whatever our identity was when we gave it: the store is the same.
    let charter = host.charter();
    let by = |key: &PublicKey| opened.verify(host.me().as_str(), key);
    let said = by(&host.identity().public_key());
    if !charter.former_identities.of(host.me()).any(|former| by(&former).is_ok()) {
        said.map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
    }
    if ours.node != *host.me() || ours.cluster != charter.cluster {
        return Err(ApiError::new(Code::Malformed, "a journal head of somebody else"));
    }
    if host.standings().was_told(&ours.head) {
        return Ok(None);
    }
    let (store, length) = (host.decisions().store.clone(), ours.head.length);
    let looking = host.crypto().aside(move || store.view()?.journal_at(length)).await;
    let found = looking.map_err(|error| ApiError::new(Code::Internal, error.to_string()))?.map_err(failed)?;
    Ok(match found {
        JournalAt::Hash(hash) if hash == ours.head.hash => None,
        JournalAt::Compacted => None,
        JournalAt::Hash(_) => Some(format!("{from} remembers another record {length} of its journal")),
        JournalAt::Beyond(own) => {
            Some(format!("{from} remembers {length} records of its journal, which now has {own}"))
        }
    })
}

/// Keeps the longest journal that a peer has ever shown of itself.
fn remember(host: &impl Talks, from: &NodeId, journal: Option<pb::Envelope>) -> Result<(), ApiError> {
    let Some(journal) = journal else { return Ok(()) };
    let unknown = || ApiError::new(Code::NotEnrolled, format!("{from} is not in the charter"));
    let charter = host.charter();
    let pinned = charter.node_key(from).ok_or_else(unknown)?;
    let (theirs, opened) =
        JournalHead::open(&journal).map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    opened.verify(from.as_str(), &pinned).map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
    if theirs.node != *from || theirs.cluster != charter.cluster {
        return Err(ApiError::new(Code::Malformed, "a journal head of somebody else"));
    }
    let (peer, bytes, length) = (from.clone(), journal.encode_to_vec(), theirs.head.length);
    host.decisions().store.write_later(move |txn| txn.remember(&peer, length, &bytes)).map_err(failed)
}
