//! Reading one signer's memory, page by page, however long it is and whatever it holds.

use std::sync::Arc;

use limen_wire::{limits, pb};

use super::{Books, keys, requests};
use crate::context::Core;
use crate::signers::{CallError, Signer};
use crate::store::StoreError;

/// Pages that are read without a pause.
const PAGES: usize = 64;
/// Invalid records after which a signer is read no further: one can be an accident, so many are not.
const FAULTS: usize = 1000;
/// Requests without bytes that are kept of one signer: as many as a cluster is built for.
const TOMBSTONES: u64 = 10_000_000;

/// How reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Everything was seen.
    Read,
    /// It shows what no honest signer can.
    GivenUp,
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0}")]
    Fault(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads one signer.
pub(super) struct Reader {
    signer: Arc<Signer>,
    has_keys: bool,
    /// Sequence number of the last record seen.
    after: u64,
    taken: u64,
    tombstones: u64,
    waiting: u64,
    faults: usize,
}

impl Reader {
    pub(super) const fn new(signer: Arc<Signer>) -> Self {
        Self { signer, has_keys: false, after: 0, taken: 0, tombstones: 0, waiting: 0, faults: 0 }
    }

    /// Reads the keys; a signer that does not answer is asked again by [`Self::run`].
    pub(super) async fn keys(&mut self, core: &Arc<Core>, books: &Books) -> Result<(), StoreError> {
        match self.read_keys(core, books).await {
            Err(Trouble::Store(error)) => Err(error),
            // It is said when the pages are read: the same call comes first there.
            Err(Trouble::Call(_) | Trouble::Fault(_)) | Ok(()) => Ok(()),
        }
    }

    /// Reads until everything has been seen, or the signer is found to lie.
    pub(super) async fn run(mut self, core: &Arc<Core>, books: &Books) -> Result<End, StoreError> {
        loop {
            match self.round(core, books).await {
                Ok(true) => return self.done(core).await,
                Ok(false) => {}
                Err(Trouble::Call(error @ CallError::Invalid(_))) => return Ok(self.given_up(core, &error.to_string())),
                Err(Trouble::Call(error)) => {
                    tracing::warn!(node = %self.signer.node, %error, "its memory cannot be read yet");
                }
                Err(Trouble::Fault(why)) => return Ok(self.given_up(core, &why)),
                Err(Trouble::Store(error)) => {
                    tracing::error!(node = %self.signer.node, %error, "rebuilding from this signer stopped");
                    return Err(error);
                }
            }
            self.pause(core).await;
        }
    }

    /// Until it may have come back; one that can be reached is read in pages with a pause between, not in a storm.
    async fn pause(&self, core: &Core) {
        let mut changes = core.signers.changes();
        let away = !self.signer.is_reachable();
        tokio::select! {
            _ = changes.changed(), if away => {}
            () = tokio::time::sleep(core.timing.status_interval) => {}
        }
    }

    async fn done(self, core: &Core) -> Result<End, StoreError> {
        let Self { signer, taken, tombstones, waiting, .. } = self;
        tracing::info!(node = %signer.node, requests = taken, without_bytes = tombstones, "memory read");
        if waiting == 0 {
            core.store.signer_read(signer.node.clone()).await?;
        } else {
            tracing::warn!(node = %signer.node, requests = waiting, "requests for keys that are not certified were left out; it is read again at the next start");
        }
        Ok(End::Read)
    }

    fn given_up(&self, core: &Core, why: &str) -> End {
        core.metrics.signer_given_up(&self.signer.node);
        tracing::error!(node = %self.signer.node, why, "ALARM: this signer shows what no honest signer can; its memory is read no further");
        End::GivenUp
    }

    /// Some pages; true at the end.
    async fn round(&mut self, core: &Arc<Core>, books: &Books) -> Result<bool, Trouble> {
        for _ in 0..PAGES {
            if !self.signer.is_reachable() {
                return Ok(false);
            }
            self.read_keys(core, books).await?;
            if !self.page(core, books).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn read_keys(&mut self, core: &Arc<Core>, books: &Books) -> Result<(), Trouble> {
        if self.has_keys {
            return Ok(());
        }
        let shares = self.signer.key_shares(core.timing.call_timeout).await?;
        let _alone = books.lock().await;
        for share in &shares {
            if let Err(error) = keys::take_over(core, &self.signer, share).await? {
                self.drop_record(core, true, &format!("a key without a valid order: {error}"))?;
            }
        }
        self.has_keys = true;
        Ok(())
    }

    /// Takes over one page; true if there are more.
    async fn page(&mut self, core: &Arc<Core>, books: &Books) -> Result<bool, Trouble> {
        let page_size = u32::try_from(limits::INTENT_PAGE).unwrap_or(u32::MAX);
        let request = pb::ListIntentsRequest { after_sequence: self.after, page_size };
        let page = self.signer.within(core.timing.call_timeout, self.signer.port().list_intents(request)).await?;
        let records = page.intents;
        if records.len() > limits::INTENT_PAGE {
            return Err(Trouble::Fault(format!(
                "a page of {} records where {page_size} were asked for",
                records.len()
            )));
        }
        if page.more && records.is_empty() {
            return Err(Trouble::Fault("an empty page that says that there is more".to_owned()));
        }
        let _alone = books.lock().await;
        for record in records {
            self.record(core, record).await?;
        }
        Ok(page.more)
    }

    async fn record(&mut self, core: &Arc<Core>, record: pb::IntentRecord) -> Result<(), Trouble> {
        if record.sequence <= self.after {
            return Err(Trouble::Fault(format!("record {} comes after record {}", record.sequence, self.after)));
        }
        self.after = record.sequence;
        match requests::take_over(core, &self.signer.node, record).await? {
            requests::Taken::Over => self.taken = self.taken.saturating_add(1),
            requests::Taken::Tombstone => self.tombstones = self.tombstones.saturating_add(1),
            requests::Taken::WaitsForKey(key) => {
                self.waiting = self.waiting.saturating_add(1);
                self.drop_record(core, false, &format!("key {key} is not certified"))?;
            }
            requests::Taken::Outdated(error) => self.drop_record(core, false, &error.to_string())?,
            requests::Taken::Invalid(why) => self.drop_record(core, true, &why)?,
        }
        if self.tombstones > TOMBSTONES {
            return Err(Trouble::Fault(format!("it remembers more than {TOMBSTONES} requests without their bytes")));
        }
        Ok(())
    }

    fn drop_record(&mut self, core: &Core, fault: bool, why: &str) -> Result<(), Trouble> {
        core.metrics.record_dropped(&self.signer.node);
        tracing::warn!(node = %self.signer.node, sequence = self.after, why, "a record of this signer is dropped");
        self.faults = self.faults.saturating_add(usize::from(fault));
        if self.faults >= FAULTS {
            return Err(Trouble::Fault(format!("{FAULTS} of its records are invalid; the last: {why}")));
        }
        Ok(())
    }
}
