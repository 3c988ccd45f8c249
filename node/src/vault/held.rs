//! Opened shares in memory, each for a while after it was opened: then the device is asked again, however busy the key is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use limen_mpc::KeyShare;
use limen_wire::ids::KeyId;

use crate::clock::Uptime;

struct Share {
    share: Arc<KeyShare>,
    /// The moment from which it counts as gone.
    until: Uptime,
}

pub(super) struct Held {
    shares: Mutex<HashMap<KeyId, Share>>,
    millis: u64,
}

impl Held {
    pub(super) fn new(hold: Duration) -> Self {
        Self { shares: Mutex::default(), millis: u64::try_from(hold.as_millis()).unwrap_or(u64::MAX) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyId, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &KeyId, now: Uptime) -> Option<Arc<KeyShare>> {
        self.lock().get(key).filter(|held| now < held.until).map(|held| Arc::clone(&held.share))
    }

    pub(super) fn put(&self, share: KeyShare, now: Uptime) -> Arc<KeyShare> {
        let share = Arc::new(share);
        if self.millis > 0 {
            let until = Uptime(now.0.saturating_add(self.millis));
            self.lock().insert(share.public().key.clone(), Share { share: Arc::clone(&share), until });
        }
        share
    }

    /// What goes is wiped as soon as no session uses it any more.
    pub(super) fn sweep(&self, now: Uptime) {
        self.lock().retain(|_, held| now < held.until);
    }
}
