//! Presignatures (CGGMP24) that signers hold ready, by key, path and signer set. Each name is given out once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use limen_wire::ids::{KeyId, Protocol, SessionId};
use limen_wire::pb;
use tokio::task::JoinSet;

use super::select;
use crate::config::Presign;
use crate::context::{Core, random_bytes};
use crate::keys::ring::ActiveKey;

type Place = (KeyId, Vec<u32>);

#[derive(Debug, Default)]
struct Pool {
    /// Boots of the members when the presignatures were made: they live in memory only.
    boots: Vec<bytes::Bytes>,
    ready: VecDeque<SessionId>,
}

/// All pools.
#[derive(Debug, Default)]
pub(crate) struct PresignaturePools(Mutex<BTreeMap<Place, BTreeMap<Vec<u32>, Pool>>>);

impl PresignaturePools {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<Place, BTreeMap<Vec<u32>, Pool>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes one for this key, path and set.
    pub(crate) fn take(&self, key: &KeyId, path: &[u32], set: &[u32]) -> Option<SessionId> {
        self.with(|pools| pools.get_mut(&(key.clone(), path.to_vec()))?.get_mut(set)?.ready.pop_front())
    }

    /// Sets with at least one ready.
    pub(crate) fn ready(&self, key: &KeyId, path: &[u32]) -> Vec<Vec<u32>> {
        self.with(|pools| {
            let sets = pools.get(&(key.clone(), path.to_vec()));
            let full = sets.into_iter().flatten().filter(|(_, pool)| !pool.ready.is_empty());
            full.map(|(set, _)| set.clone()).collect()
        })
    }

    fn put(&self, place: Place, set: Vec<u32>, boots: Vec<bytes::Bytes>, id: SessionId) {
        self.with(|pools| {
            let pool = pools.entry(place).or_default().entry(set).or_default();
            if pool.boots != boots {
                *pool = Pool { boots, ready: VecDeque::new() };
            }
            pool.ready.push_back(id);
        });
    }

    /// How many lie ready for the set, dropping those of boots that are gone.
    fn count(&self, place: &Place, set: &[u32], boots: &[bytes::Bytes]) -> usize {
        self.with(|pools| {
            let Some(pool) = pools.get_mut(place).and_then(|sets| sets.get_mut(set)) else { return 0 };
            if pool.boots != boots {
                pool.ready.clear();
            }
            pool.ready.len()
        })
    }
}

/// Keeps the configured pools full, one session at a time and never while a request waits for a session: in quiet times
/// up to the target, between the requests of a busy time only while less than half of it is left.
pub(crate) async fn refill(core: Arc<Core>) {
    let wanted: Vec<Presign> = core.presign.iter().filter(|wanted| wanted.target > 0).cloned().collect();
    let mut troubles = BTreeMap::new();
    let mut seen = 0;
    while !wanted.is_empty() && !core.stop.is_cancelled() {
        let started = core.metrics.sessions_started.get();
        let quiet = std::mem::replace(&mut seen, started) == started;
        let mut made = false;
        for wish in &wanted {
            let idle = core.sessions.available_permits() == core.limits.max_running_sessions;
            let Some(key) = core.keys.find(&wish.key_id).filter(|_| idle) else { continue };
            let enough = if quiet { wish.target } else { wish.target.div_ceil(2) };
            match refill_one(&core, &key, wish, enough).await {
                Ok(more) => {
                    made |= more;
                    troubles.remove(&wish.key_id);
                }
                Err(reason) => complain(&mut troubles, &wish.key_id, reason),
            }
        }
        if !made {
            tokio::select! {
                () = core.stop.cancelled() => return,
                () = tokio::time::sleep(core.timing.status_interval) => {}
            }
        }
    }
}

/// Once for every new reason: what fails is tried again all the time.
fn complain(troubles: &mut BTreeMap<KeyId, String>, key: &KeyId, reason: String) {
    if troubles.get(key) != Some(&reason) {
        tracing::warn!(%key, reason, "no presignature was made; it is tried again");
        troubles.insert(key.clone(), reason);
    }
}

/// Makes one unless there are `enough`; says whether it did.
async fn refill_one(core: &Arc<Core>, key: &Arc<ActiveKey>, wish: &Presign, enough: usize) -> Result<bool, String> {
    if key.statement.protocol != Protocol::Cggmp24 {
        return Err(format!("a {:?} key has no presignatures", key.statement.protocol));
    }
    let committee = &key.committee;
    let found = select::reachable(&core.signers, committee);
    let Some(set) = select::choose(&found, committee.required, &Default::default()) else { return Ok(false) };
    let indices: Vec<u32> = set.iter().map(|member| member.index).collect();
    let boots: Vec<_> = set.iter().map(select::Candidate::boot).collect();
    let place = (wish.key_id.clone(), wish.path.clone());
    if core.presignatures.count(&place, &indices, &boots) >= enough {
        return Ok(false);
    }
    let id = random_bytes().map(SessionId::new).map_err(|error| error.to_string())?;
    let request = pb::PresignRequest {
        key_id: wish.key_id.to_string(),
        path: wish.path.clone(),
        session_id: id.as_bytes().to_vec().into(),
        signers: indices.clone(),
        epoch: key.statement.epoch.0,
    };
    let mut calls = JoinSet::new();
    for member in set {
        let (request, bound) = (request.clone(), core.timing.session_timeout);
        calls.spawn(async move {
            let answer = member.signer.within(bound, member.signer.port().presign(request)).await;
            let refused = match answer {
                Ok(answer) => answer.refusal.map(|refusal| refusal.message),
                Err(error) => Some(error.to_string()),
            };
            refused.map(|reason| format!("{}: {reason}", member.signer.node))
        });
    }
    let mut refused: Vec<String> = calls.join_all().await.into_iter().flatten().collect();
    if refused.is_empty() {
        core.presignatures.put(place, indices, boots, id);
        return Ok(true);
    }
    refused.sort();
    Err(refused.join("; "))
}
