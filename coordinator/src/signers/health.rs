//! Looking after the signers' health.

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use limen_wire::pb;
use tokio_util::sync::CancellationToken;

use super::Signer;
use crate::config::Timing;

/// What is known of a signer's health.
#[derive(Debug, Clone)]
pub struct Health {
    /// It answered the last call. A signer that was never asked counts as reachable: asking finds out.
    pub reachable: bool,
    /// Smoothed round trip in microseconds; 0 if unknown.
    pub round_trip_us: u64,
    /// What it last said of itself.
    pub status: Option<pb::StatusResponse>,
    /// Why it is not reachable.
    pub error: String,
}

impl Default for Health {
    fn default() -> Self {
        Self { reachable: true, round_trip_us: 0, status: None, error: String::new() }
    }
}

impl Health {
    /// Weight of the newest measurement: 1/4, so that one slow answer does not move a signer out of its set.
    fn measured(&mut self, micros: u64) {
        self.round_trip_us = match self.round_trip_us {
            0 => micros.max(1),
            old => (old.saturating_mul(3).saturating_add(micros) / 4).max(1),
        };
    }

    /// Whether it can talk to that node directly, as far as it has said.
    pub fn linked(&self, node: &str) -> bool {
        let peers = self.status.as_ref().map_or(&[][..], |status| &status.peers);
        peers.iter().all(|peer| peer.node != node || peer.connected)
    }

    /// The nodes that it will not sit with.
    pub fn banned(&self) -> &[String] {
        self.status.as_ref().map_or(&[], |status| &status.banned_peers)
    }
}

impl Signer {
    /// Asks the signer how it is, again and again, until told to stop. `observe` sees every answer.
    pub async fn watch_health(
        self: Arc<Self>,
        timing: Timing,
        stop: CancellationToken,
        observe: impl Fn(&Self, &pb::StatusResponse) + Send + Sync,
    ) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.look(timing, &observe) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(timing.status_interval) => {}
            }
        }
    }

    async fn look(&self, timing: Timing, observe: &(impl Fn(&Self, &pb::StatusResponse) + Send + Sync)) {
        let started = Instant::now();
        match self.within(timing.status_timeout, self.port.status()).await {
            Ok(status) => {
                let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                observe(self, &status);
                self.seen(status, micros);
            }
            Err(error) => self.mark_down(&error.to_string()),
        }
    }

    fn seen(&self, status: pb::StatusResponse, micros: u64) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let links = |status: &pb::StatusResponse| -> Vec<_> {
            status.peers.iter().map(|peer| (peer.node.clone(), peer.connected)).collect()
        };
        let other = |old: &pb::StatusResponse| {
            old.boot != status.boot || old.banned_peers != status.banned_peers || links(old) != links(&status)
        };
        let came = !health.reachable || health.status.is_none();
        let news = came || health.status.as_ref().is_none_or(other);
        health.measured(micros);
        health.reachable = true;
        health.error.clear();
        health.status = Some(status);
        drop(health);
        if came {
            tracing::info!(node = %self.node, "signer is reachable");
        }
        if news {
            self.notify();
        }
    }
}
