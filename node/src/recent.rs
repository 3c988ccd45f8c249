//! Intents examined a moment ago. A coordinator shows an intent to every signer and asks some of them for its signature
//! next, in the same bytes: what depends on these bytes, the charter and the key alone is computed once. So is since when
//! what the charter names is in force.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limen_policy::succession::Ages;
use limen_wire::ids::{CharterHash, tagged_hash};
use limen_wire::pb;
use prost::Message as _;

use crate::guard::{Examined, KeyFacts};

/// Intents remembered.
const MOST: usize = 512;
/// Longer envelopes are examined anew each time.
const BYTES: usize = 16 * 1024;

/// The memory. What is remembered belongs to one charter; a key's facts are compared at each use.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    examined: HashMap<[u8; 32], Examined>,
    order: VecDeque<[u8; 32]>,
    ages: Arc<Ages>,
}

/// The name of an envelope: all its bytes, signatures included.
pub struct Name([u8; 32]);

impl Recent {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name under which an envelope is remembered for a charter; none if it is too long for that.
    pub fn name(charter: CharterHash, envelope: &pb::Envelope) -> Option<Name> {
        let bytes = envelope.encode_to_vec();
        (bytes.len() <= BYTES).then(|| Name(tagged_hash("limen node examined v1", [&charter.as_bytes()[..], &bytes])))
    }

    /// What was found before, if the key is still what it was. `key` looks a key up by name.
    pub fn get(
        &self,
        name: &Name,
        key: impl FnOnce(&limen_wire::ids::KeyId) -> Option<Arc<KeyFacts>>,
    ) -> Option<Examined> {
        let found = self.lock().examined.get(&name.0).cloned()?;
        let now = key(&found.intent().key_id)?;
        (*now == *found.key()).then_some(found)
    }

    /// Since when what this charter names is in force, as read by `read` if it is not remembered. A store that does not know
    /// it for this very charter knows nothing of it.
    pub fn ages<E>(&self, charter: CharterHash, read: impl FnOnce() -> Result<Ages, E>) -> Result<Arc<Ages>, E> {
        let held = Arc::clone(&self.lock().ages);
        if held.are_of(charter) {
            return Ok(held);
        }
        let found = Arc::new(read()?);
        if !found.are_of(charter) {
            return Ok(Arc::default());
        }
        self.lock().ages = Arc::clone(&found);
        Ok(found)
    }

    /// Remembers; the oldest goes.
    pub fn put(&self, name: Name, examined: Examined) {
        let mut inner = self.lock();
        if inner.examined.insert(name.0, examined).is_none() {
            inner.order.push_back(name.0);
        }
        if inner.order.len() > MOST
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.examined.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
