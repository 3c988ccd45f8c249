//! What seals the shares: whether it works, looked at again and again so that people know before a signature is wanted, and
//! whether it remembers this signer's journal.
//!
//! The token keeps an anchor: how long the journal was, and its head there. A disk that was put back, or a machine that runs twice on
//! one token, finds out before a share is opened, also when no peer can tell.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limen_hsm::{Anchor, HsmError, Kind, Provider};
use limen_wire::ids::{Epoch, KeyId};

use crate::clock::Uptime;
use crate::identity::IdentityError;
use crate::ratelimit::WARNINGS;
use crate::shared::Shared;
use crate::shares;
use crate::store::{JournalAt, Store, StoreError};
use crate::vault::VaultError;

/// What the last look has found.
#[derive(Debug, Default)]
pub struct TokenWatch {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    looked: bool,
    trouble: Option<String>,
    /// Every share was opened once since it works.
    all_opened: bool,
    /// The token's anchor was compared with this journal.
    compared: bool,
    /// How long the journal was that the token remembers, and when it was told.
    anchored: Option<(u64, Uptime)>,
}

/// What has changed since the look before.
enum Change {
    Works,
    Fails,
    Same,
}

impl TokenWatch {
    /// Why shares do not open now; `None` while they do, and before the first look.
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    fn note(&self, trouble: Option<String>) -> Change {
        let mut state = self.lock();
        let failed = state.trouble.is_some();
        let change = match (&trouble, state.looked, failed) {
            (Some(_), true, true) | (None, true, false) => Change::Same,
            (Some(_), ..) => Change::Fails,
            (None, ..) => Change::Works,
        };
        // Another token may be there when it works again.
        state.all_opened &= trouble.is_none();
        (state.looked, state.trouble) = (true, trouble);
        change
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One look. What was cut off while the token was away is made up for.
pub async fn look(shared: &Arc<Shared>) {
    let (vault, identity) = (Arc::clone(&shared.vault), Arc::clone(&shared.identity));
    let looking = move || vault.provider().describe().and_then(|_| identity.look().map_err(IdentityError::into_hsm));
    let Ok(found) = tokio::task::spawn_blocking(looking).await else { return };
    shared.metrics.token_works.set(i64::from(found.is_ok()));
    match shared.token.note(found.as_ref().err().map(HsmError::to_string)) {
        Change::Works => tracing::info!("what seals the shares works"),
        Change::Fails => {
            let trouble = shared.token.trouble().unwrap_or_default();
            tracing::error!(trouble, "what seals the shares does not work: nothing is signed here until it does");
        }
        Change::Same => {}
    }
    if found.is_ok() {
        if !shared.token.lock().all_opened {
            let done = open_all(shared).await;
            shared.token.lock().all_opened = done;
        }
        if let Err(error) = confirm_left(shared).await {
            tracing::warn!(%error, "shares that wait to be read back are looked at later");
        }
        if let Err(error) = anchor(shared).await {
            tracing::warn!(%error, "the token is told of the journal later");
        }
    }
}

/// What the token remembers that this journal is not, in words.
pub(crate) fn contradiction(provider: &dyn Provider, store: &Store) -> Result<Option<String>, VaultError> {
    let Some(Anchor { sequence, head }) = provider.anchor_read()? else { return Ok(None) };
    Ok(match store.view()?.journal_at(sequence)? {
        // It went behind the checkpoint: the journal has gone on a long way since.
        JournalAt::Compacted => None,
        JournalAt::Hash(hash) if hash == head => None,
        JournalAt::Hash(_) => Some(format!("its token remembers another journal of {sequence} records")),
        JournalAt::Beyond(length) => {
            Some(format!("its token remembers {sequence} records of its journal, which has {length}"))
        }
    })
}

/// Compares the journal with what the token remembers of it, once in a boot and before the first share is opened.
pub async fn compare(shared: &Arc<Shared>) -> Result<(), VaultError> {
    if shared.anchor_every.is_none() || shared.token.lock().compared {
        return Ok(());
    }
    let (vault, store) = (Arc::clone(&shared.vault), shared.store.clone());
    let comparing = tokio::task::spawn_blocking(move || contradiction(vault.provider(), &store));
    let found = comparing.await.map_err(|_| VaultError::Store(StoreError::Stopped))??;
    if let Some(words) = found {
        shared.standings.roll_back(words, &shared.metrics);
    }
    shared.token.lock().compared = true;
    Ok(())
}

/// Tells the token of the last records before an end, if it answers: then no later start can be on an older disk.
pub async fn last_anchor(shared: &Arc<Shared>) {
    shared.token.lock().anchored = None;
    if let Err(error) = anchor(shared).await {
        tracing::warn!(%error, "the token was not told of the last records");
    }
}

/// Tells the token how long the journal is now, where that is due.
async fn anchor(shared: &Arc<Shared>) -> Result<(), VaultError> {
    let Some(every) = shared.anchor_every else { return Ok(()) };
    compare(shared).await?;
    let (now, last) = (shared.time().uptime, shared.token.lock().anchored);
    let head = shared.store.view()?.head()?;
    let is_due = last
        .is_none_or(|(length, at)| length < head.length && u128::from(now.0.saturating_sub(at.0)) >= every.as_millis());
    if !is_due || shared.standings.rolled_back().is_some() {
        return Ok(());
    }
    let (vault, to) = (Arc::clone(&shared.vault), Anchor { sequence: head.length, head: head.hash });
    let told = tokio::task::spawn_blocking(move || vault.provider().anchor_advance(&to)).await;
    match told.map_err(|_| VaultError::Store(StoreError::Stopped))? {
        Err(error) if error.kind() == Kind::AnchorBack => {
            let words = format!("its token was told of another journal while this one ran: {}", error.detail());
            shared.standings.roll_back(words, &shared.metrics);
            Ok(())
        }
        told => {
            told?;
            shared.token.lock().anchored = Some((head.length, now));
            Ok(())
        }
    }
}

/// Opens every share once, so that damage is known at the start and not when a signature is wanted. `false` if the token went away
/// meanwhile: the rest is looked at with the next look.
async fn open_all(shared: &Arc<Shared>) -> bool {
    let keys: Vec<(KeyId, Epoch)> = match shared.store.view().and_then(|view| view.keys()) {
        Ok(keys) => keys.into_iter().filter_map(|(key, row)| Some((key, Epoch(row.share?.epoch)))).collect(),
        Err(error) => {
            tracing::warn!(%error, "the shares are not looked at now");
            return false;
        }
    };
    let mut damaged = 0i64;
    for (key, epoch) in keys {
        match shared.open_share(&key, epoch).await {
            Ok(_) => {}
            Err(VaultError::Store(StoreError::Stopped)) => return false,
            Err(VaultError::Provider(error)) if error.kind().may_pass() => return false,
            // A wrapping key that is missing or another one is damage too: the token works, and this share does not open.
            Err(error) => {
                damaged = damaged.saturating_add(1);
                tracing::error!(%key, %error, "this signer's share is not usable");
            }
        }
    }
    shared.metrics.shares_damaged.set(damaged);
    true
}

/// Reads back the shares of which that was cut off.
async fn confirm_left(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let keys = shared.store.view()?.keys()?;
    for (key, row) in keys {
        for epoch in shares::unconfirmed(&row) {
            if let Err(error) = shares::confirm(shared, &key, epoch).await
                && let Some(count) = WARNINGS.pass("share_unconfirmed")
            {
                tracing::warn!(%key, %error, count, "a share could not be read back: it is tried again");
            }
        }
    }
    Ok(())
}
