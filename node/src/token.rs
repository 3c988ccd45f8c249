//! Whether what seals the shares works: looked at again and again, so that people know before a signature is wanted.

use std::sync::{Arc, Mutex, PoisonError};

use limen_hsm::HsmError;
use limen_wire::ids::KeyId;

use crate::keygen;
use crate::shared::Shared;
use crate::store::StoreError;
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
        self.state.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone()
    }

    fn note(&self, trouble: Option<String>) -> Change {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = state.trouble.is_some();
        let change = match (&trouble, state.looked, failed) {
            (Some(_), true, true) | (None, true, false) => Change::Same,
            (Some(_), ..) => Change::Fails,
            (None, ..) => Change::Works,
        };
        *state = State { looked: true, trouble };
        change
    }
}

/// One look. What was cut off while the token was away is made up for.
pub async fn look(shared: &Arc<Shared>) {
    let vault = Arc::clone(&shared.vault);
    let Ok(found) = tokio::task::spawn_blocking(move || vault.describe()).await else { return };
    shared.metrics.token_works.set(i64::from(found.is_ok()));
    match shared.token.note(found.as_ref().err().map(in_words)) {
        Change::Works => {
            tracing::info!("what seals the shares works");
            open_all(shared).await;
        }
        Change::Fails => {
            let trouble = shared.token.trouble().unwrap_or_default();
            tracing::error!(trouble, "what seals the shares does not work: nothing is signed here until it does");
        }
        Change::Same => {}
    }
    if found.is_ok()
        && let Err(error) = confirm_left(shared).await
    {
        tracing::warn!(%error, "shares that wait to be read back are looked at later");
    }
}

fn in_words(error: &HsmError) -> String {
    format!("{error} [{}]; {}", error.kind().code(), error.kind().remedy())
}

/// Opens every share once, so that damage is known at the start and not when a signature is wanted.
async fn open_all(shared: &Arc<Shared>) {
    let keys: Vec<KeyId> = match shared.store.view().and_then(|view| view.keys()) {
        Ok(keys) => keys.into_iter().filter(|(_, row)| row.share.is_some()).map(|(key, _)| key).collect(),
        Err(error) => return tracing::warn!(%error, "the shares are not looked at now"),
    };
    let mut damaged = 0i64;
    for key in keys {
        match shared.open_share(&key).await {
            Ok(_) => {}
            // It has gone again: the next look that finds it working comes back here.
            Err(VaultError::Provider(_) | VaultError::Store(StoreError::Stopped)) => return,
            Err(error) => {
                damaged = damaged.saturating_add(1);
                tracing::error!(%key, %error, "this signer's share is not usable");
            }
        }
    }
    shared.metrics.shares_damaged.set(damaged);
}

/// Reads back the shares of which that was cut off.
async fn confirm_left(shared: &Arc<Shared>) -> Result<(), VaultError> {
    let keys = shared.store.view()?.keys()?;
    for (key, row) in keys {
        if row.share.is_some_and(|share| share.statement.is_empty()) {
            keygen::confirm(shared, &key).await?;
        }
    }
    Ok(())
}
