//! Listing and watching.
//!
//! A watcher that keeps up gets every change from memory. One that falls behind is sent back to the store and gets, for
//! each request that changed meanwhile, its present state: the queue per watcher is bounded, nothing that matters is lost.

use std::sync::Arc;

use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{IntentId, KeyId, tagged_hash};
use limen_wire::{limits, pb};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::context::{Core, store_failed};
use crate::lifecycle::State;
use crate::store::{Entry, Filter};

/// Changes read from the store at a time.
const CATCH_UP: usize = 200;
/// Changes that wait for one watcher's connection.
const QUEUE: usize = 64;

fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::Malformed, message)
}

/// A page of requests, newest first.
pub fn list(core: &Core, request: pb::ListRequest) -> Result<pb::ListResponse, ApiError> {
    core.check_serving()?;
    let size = match usize::try_from(request.page_size).unwrap_or(usize::MAX) {
        0 => 50,
        size if size <= limits::PAGE => size,
        size => return Err(malformed(format!("field page_size: {size}, at most {} is allowed", limits::PAGE))),
    };
    let filter = filter(&request)?;
    let below = match request.cursor.as_str() {
        "" => None,
        cursor => Some(read_cursor(cursor, &filter).ok_or_else(|| {
            malformed("field cursor: not a cursor of this coordinator for this filter; start again without one")
        })?),
    };
    let page = core.store.list(below, size, &filter).map_err(store_failed)?;
    Ok(pb::ListResponse {
        requests: page.entries.iter().map(|entry| entry.record.to_wire()).collect(),
        next_cursor: page.next.map_or_else(String::new, |next| cursor(next, &filter)),
    })
}

fn filter(request: &pb::ListRequest) -> Result<Filter, ApiError> {
    if request.states.len() > State::ALL.len() {
        return Err(malformed("field states: more states than there are"));
    }
    let state = |number: &i32| State::from_number(*number).ok_or_else(|| malformed(format!("field states: {number}")));
    let key_id = match request.key_id.as_str() {
        "" => None,
        text => Some(KeyId::new(text).map_err(|error| malformed(error.to_string()))?),
    };
    Ok(Filter { states: request.states.iter().map(state).collect::<Result<_, _>>()?, key_id })
}

/// A cursor holds for its filter only: format, place, and eight bytes of the filter's hash.
fn cursor(next: u64, filter: &Filter) -> String {
    let mut bytes = [0u8; 32];
    bytes[0] = 1;
    bytes[1..9].copy_from_slice(&next.to_be_bytes());
    bytes[9..17].copy_from_slice(&filter_hash(filter));
    IntentId::new(bytes).to_string().chars().take(34).collect()
}

fn read_cursor(text: &str, filter: &Filter) -> Option<u64> {
    let bytes = format!("{text:0<64}").parse::<IntentId>().ok()?;
    let (place, hash) = (bytes.as_bytes().get(1..9)?, bytes.as_bytes().get(9..17)?);
    let next = u64::from_be_bytes(place.try_into().ok()?);
    (text.len() == 34 && bytes.as_bytes().first() == Some(&1) && hash == filter_hash(filter)).then_some(next)
}

fn filter_hash(filter: &Filter) -> [u8; 8] {
    let states: Vec<u8> = filter.states.iter().flat_map(|state| (state.to_wire() as i32).to_be_bytes()).collect();
    let key = filter.key_id.as_ref().map_or("", |key| key.as_str());
    let hash = tagged_hash("limen list cursor", [states.as_slice(), key.as_bytes()]);
    let mut short = [0; 8];
    short.copy_from_slice(&hash[..8]);
    short
}

/// What a watch sends.
pub type Changes = ReceiverStream<Result<pb::WatchResponse, Status>>;

/// Follows one request or all.
pub fn watch(core: &Arc<Core>, request: pb::WatchRequest) -> Result<Changes, ApiError> {
    core.check_serving()?;
    let only = match request.intent_id.len() {
        0 => None,
        _ => Some(IntentId::from_slice(&request.intent_id).map_err(|error| malformed(error.to_string()))?),
    };
    let place = Arc::clone(&core.watches).try_acquire_owned();
    let place = place.map_err(|_| ApiError::new(Code::Overloaded, "too many watches are open"))?;
    // Subscribed before the first look into the store: nothing falls between the two.
    let live = core.store.subscribe();
    let mut start = request.after_sequence;
    let mut present = None;
    if start == 0 {
        start = core.store.sequence().map_err(store_failed)?;
        if let Some(id) = &only {
            let entry = core.store.request(id).map_err(store_failed)?;
            let unknown = || ApiError::new(Code::UnknownRequest, format!("there is no request {id}"));
            let entry = entry.ok_or_else(unknown)?;
            start = start.max(entry.sequence);
            present = Some(entry);
        }
    }
    let (sender, receiver) = mpsc::channel(QUEUE);
    let watcher = Watcher { core: Arc::clone(core), only, seen: start, sender };
    core.tasks.spawn(async move {
        let _place = place;
        watcher.run(live, present).await;
    });
    Ok(ReceiverStream::new(receiver))
}

struct Watcher {
    core: Arc<Core>,
    only: Option<IntentId>,
    seen: u64,
    sender: mpsc::Sender<Result<pb::WatchResponse, Status>>,
}

impl Watcher {
    async fn run(mut self, mut live: tokio::sync::broadcast::Receiver<crate::store::Changed>, present: Option<Entry>) {
        if let Some(entry) = present
            && self.send(&entry).await.is_none()
        {
            return;
        }
        if self.catch_up().await.is_none() {
            return;
        }
        let (stop, sender) = (self.core.stop.clone(), self.sender.clone());
        loop {
            let changed = tokio::select! {
                () = stop.cancelled() => return self.close(&ApiError::new(Code::ShuttingDown, "the coordinator is stopping")),
                () = sender.closed() => return,
                changed = live.recv() => changed,
            };
            let sent = match changed {
                Ok(changed) => self.pass_on(&changed.entry).await,
                Err(RecvError::Lagged(_)) => self.catch_up().await,
                Err(RecvError::Closed) => None,
            };
            if sent.is_none() {
                return;
            }
        }
    }

    async fn pass_on(&mut self, entry: &Entry) -> Option<()> {
        if entry.sequence <= self.seen {
            return Some(());
        }
        self.seen = entry.sequence;
        self.send(entry).await
    }

    /// Sends what the store holds beyond the last change seen.
    async fn catch_up(&mut self) -> Option<()> {
        loop {
            match self.core.store.changed_after(self.seen, CATCH_UP) {
                Ok(entries) if entries.is_empty() => return Some(()),
                Ok(entries) => {
                    for entry in &entries {
                        self.pass_on(entry).await?;
                    }
                }
                Err(error) => {
                    self.close(&store_failed(error));
                    return None;
                }
            }
        }
    }

    async fn send(&self, entry: &Entry) -> Option<()> {
        if self.only.is_some_and(|only| only != entry.record.id) {
            return Some(());
        }
        let response = pb::WatchResponse { sequence: entry.sequence, request: Some(entry.record.to_wire()) };
        self.sender.send(Ok(response)).await.ok()
    }

    /// A slow watcher may miss the reason; it sees the end of the stream and resumes.
    fn close(&self, error: &ApiError) {
        drop(self.sender.try_send(Err(error.clone().into())));
    }
}
