//! Opened shares in memory, each for a while after it was opened: then the device is asked again, however busy the key is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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
    /// Every share that was opened, as long as anybody has it.
    opened: Mutex<HashMap<KeyId, Vec<Weak<KeyShare>>>>,
    millis: u64,
}

impl Held {
    pub(super) fn new(hold: Duration) -> Self {
        let millis = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX);
        Self { shares: Mutex::default(), opened: Mutex::default(), millis }
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

    /// A share that was opened now, remembered as long as anybody has it.
    pub(super) fn watched(&self, share: KeyShare) -> Arc<KeyShare> {
        let share = Arc::new(share);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let of_key = opened.entry(share.public().key.clone()).or_default();
        of_key.retain(|other| other.strong_count() > 0);
        of_key.push(Arc::downgrade(&share));
        share
    }

    /// Whether anybody has a share of the key.
    pub(super) fn is_in_use(&self, key: &KeyId) -> bool {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.get(key).is_some_and(|shares| shares.iter().any(|share| share.strong_count() > 0))
    }

    /// Drops shares of a key.
    pub(super) fn forget(&self, key: &KeyId) {
        self.lock().retain(|(of, _), _| of != key);
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
