//! Opened shares in memory, each for a while after it was opened: then the device is asked again, however busy the key is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use limen_mpc::KeyShare;
use limen_wire::ids::{Epoch, KeyId};

use crate::clock::Uptime;

struct Share {
    share: Arc<KeyShare>,
    /// When it was opened.
    at: Uptime,
}

pub(super) struct Held {
    shares: Mutex<HashMap<(KeyId, Epoch), Share>>,
    millis: u64,
}

impl Held {
    pub(super) fn new(hold: Duration) -> Self {
        Self { shares: Mutex::default(), millis: u64::try_from(hold.as_millis()).unwrap_or(u64::MAX) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(KeyId, Epoch), Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lasts(&self, at: Uptime, now: Uptime) -> bool {
        now.0.saturating_sub(at.0) < self.millis
    }

    /// The share and when it was opened.
    pub(super) fn get(&self, key: &KeyId, epoch: Epoch, now: Uptime) -> Option<(Arc<KeyShare>, Uptime)> {
        let shares = self.lock();
        let held = shares.get(&(key.clone(), epoch)).filter(|held| self.lasts(held.at, now))?;
        Some((Arc::clone(&held.share), held.at))
    }

    /// Keeps a share that was opened then; one that is here from before stays only if it is the younger one.
    pub(super) fn put(&self, share: &Arc<KeyShare>, at: Uptime) {
        if self.millis == 0 {
            return;
        }
        let key = (share.public().key.clone(), share.public().epoch);
        let mut shares = self.lock();
        if shares.get(&key).is_none_or(|held| held.at < at) {
            shares.insert(key, Share { share: Arc::clone(share), at });
        }
    }

    /// Drops shares of a key that are of earlier epochs.
    pub(super) fn forget_before(&self, key: &KeyId, epoch: Epoch) {
        self.lock().retain(|(of, generation), _| of != key || *generation >= epoch);
    }

    /// What goes is wiped as soon as no session uses it any more.
    pub(super) fn sweep(&self, now: Uptime) {
        self.lock().retain(|_, held| self.lasts(held.at, now));
    }
}
