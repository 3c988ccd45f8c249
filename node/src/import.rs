//! Taking in a key that was dealt outside: the piece that came with the order, opened and checked before anything is noted.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use limen_mpc::Dealing;
use limen_recover::DealtKey;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{KeyId, PartyIndex};
use limen_wire::intent::KeyGeneration;
use limen_wire::limits;
use zeroize::Zeroizing;

use crate::memory::leaving_no_trace;
use crate::shared::Shared;
use crate::shares;

/// This member's share of an imported key, checked against what the order commits to.
pub(crate) struct Dealt {
    pub(crate) dealing: Dealing,
    pub(crate) share: Zeroizing<[u8; 32]>,
    _alone: Alone,
}

/// Names of keys whose pieces are being taken in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Importing(Arc<Mutex<BTreeSet<KeyId>>>);

impl Importing {
    /// Keeps others from the name as long as the answer lives; `None` if somebody has it.
    fn enter(&self, key: &KeyId) -> Option<Alone> {
        let entered = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        entered.then(|| Alone { all: self.clone(), key: key.clone() })
    }
}

/// Every session makes its own set-up for the same shares. Were two to overlap here, this member could keep the one's set-up where
/// others keep the other's, and nothing in their statements would tell.
#[derive(Debug)]
struct Alone {
    all: Importing,
    key: KeyId,
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

fn malformed(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(Code::Malformed, error.to_string())
}

/// Opens this member's piece; `None` for a key that is made here.
pub(crate) async fn open(
    shared: &Arc<Shared>,
    order: &KeyGeneration,
    me: PartyIndex,
    piece: &[u8],
) -> Result<Option<Dealt>, ApiError> {
    let Some(imported) = order.imported.clone() else {
        return if piece.is_empty() {
            Ok(None)
        } else {
            Err(malformed("a piece came with an order that imports nothing"))
        };
    };
    if piece.is_empty() || piece.len() > limits::IMPORT_PIECE_BYTES {
        let most = limits::IMPORT_PIECE_BYTES;
        return Err(malformed(format!("an import needs this member's piece, 1 to {most} bytes; {} came", piece.len())));
    }
    let busy = || {
        let message =
            format!("key {} is being imported by another session at this signer: it is tried again", order.key_id);
        ApiError::new(Code::Overloaded, message)
    };
    let alone = shared.importing.enter(&order.key_id).ok_or_else(busy)?;
    let name = (order.cluster.clone(), order.key_id.clone());
    let dealt = DealtKey::new(name, order.scheme, (order.size, order.nodes.clone()), imported).map_err(malformed)?;
    let dealing = dealt.dealing(order.protocol).map_err(malformed)?;
    let (vault, piece) = (Arc::clone(&shared.vault), piece.to_vec());
    let opened = tokio::task::spawn_blocking(move || {
        leaving_no_trace(|| {
            let identities = vault.import_identities().map_err(|error| shares::vault_error(&error))?;
            dealt.open(me, &identities, &piece).map_err(malformed)
        })
    });
    let stopping = |_| ApiError::new(Code::ShuttingDown, "this signer is stopping");
    let share = opened.await.map_err(stopping)??;
    Ok(Some(Dealt { dealing, share, _alone: alone }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_session_at_a_time_has_a_name() {
        let (all, key) = (Importing::default(), |name| KeyId::new(name).unwrap());
        let first = all.enter(&key("old")).unwrap();
        assert!(all.enter(&key("old")).is_none() && all.enter(&key("other")).is_some());
        drop(first);
        assert!(all.enter(&key("old")).is_some());
    }
}
