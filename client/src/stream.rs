//! Following changes, across lost connections.

use std::collections::BTreeMap;

use bytes::Bytes;
use limen_wire::ids::IntentId;
use limen_wire::pb;
use limen_wire::pb::custody_client::CustodyClient;
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::error::Error;
use crate::request::Request;
use crate::retry::Retry;

/// Most requests whose newest version is remembered, so that a resumed stream tells nothing twice.
const REMEMBERED: usize = 10_000;

/// Changes of one request or of all. Resumes by itself after a lost connection, from the last sequence number.
pub struct Watch {
    custody: CustodyClient<Channel>,
    retry: Retry,
    intent: Option<IntentId>,
    after: u64,
    versions: BTreeMap<IntentId, u64>,
    stream: Option<Streaming<pb::WatchResponse>>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("intent", &self.intent).field("after", &self.after).finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) const fn new(
        custody: CustodyClient<Channel>,
        retry: Retry,
        intent: Option<IntentId>,
        after: u64,
    ) -> Self {
        Self { custody, retry, intent, after, versions: BTreeMap::new(), stream: None }
    }

    /// The sequence number to resume from in a later call or process.
    pub const fn sequence(&self) -> u64 {
        self.after
    }

    /// The next change. Fails when the coordinator could not be reached for the retry policy's whole deadline.
    pub async fn next(&mut self) -> Result<Request, Error> {
        let mut quiet_since = Instant::now();
        let mut failures = 0u32;
        loop {
            let event = match self.stream.as_mut() {
                Some(stream) => stream.next().await,
                None => {
                    self.stream = Some(self.open().await?);
                    continue;
                }
            };
            match event {
                Some(Ok(change)) => {
                    failures = 0;
                    quiet_since = Instant::now();
                    if let Some(request) = self.take(change)? {
                        return Ok(request);
                    }
                }
                Some(Err(_)) | None => {
                    // The server restarts, or the connection is gone: open again, slower each time.
                    self.stream = None;
                    failures = failures.saturating_add(1);
                    if failures > 1 && quiet_since.elapsed() > self.retry.deadline {
                        return Err(Error::Unreachable {
                            call: "Watch",
                            attempts: failures,
                            waited: quiet_since.elapsed(),
                            last: "the stream ends again and again".to_owned(),
                        });
                    }
                    tokio::time::sleep(self.retry.pause(failures)).await;
                }
            }
        }
    }

    /// `None` if this version was told before.
    fn take(&mut self, change: pb::WatchResponse) -> Result<Option<Request>, Error> {
        self.after = self.after.max(change.sequence);
        let request = Request::from_wire(change.request)?;
        if self.versions.get(&request.id()).is_some_and(|version| *version >= request.version) {
            return Ok(None);
        }
        if self.versions.len() >= REMEMBERED {
            self.versions.clear();
        }
        self.versions.insert(request.id(), request.version);
        Ok(Some(request))
    }

    async fn open(&self) -> Result<Streaming<pb::WatchResponse>, Error> {
        let intent_id = self.intent.map(|id| Bytes::copy_from_slice(id.as_bytes())).unwrap_or_default();
        let question = pb::WatchRequest { intent_id, after_sequence: self.after };
        let attempt = || {
            let (mut custody, question) = (self.custody.clone(), question.clone());
            async move { Ok::<_, Status>(custody.watch(question).await?.into_inner()) }
        };
        self.retry.run("Watch", attempt).await
    }
}
