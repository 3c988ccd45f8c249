//! Real signer processes are killed at random moments of signing and of making keys.
//!
//! A round is one cluster of three signers with keys of FROST and DKLs23. Two callers ask for one signature after the other; now
//! and then another key is ordered, and all the time the shares of one key after the other are made anew. Signers, and now and
//! then the coordinator, are killed with SIGKILL, one at a time, and started again. In every eighth round there is a key of CGGMP24 instead of orders, and presignatures are made all the time. Every request must end;
//! at the end every pair of signers must still sign with every key that became active, no last message may have left twice
//! for different things, and the solver looks for a nonce that served twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use limen_client::{Client, Error, NewKey};
use limen_sim::Dice;
use limen_sim::cluster::{Cluster, ClusterPlan};
use limen_sim::faults::Found;
use limen_sim::solver::{self, Seen};
use limen_wire::ids::{KeyId, Protocol, Scheme};
use serde::Deserialize;
use tokio::task::JoinSet;

use crate::calls::{Caller, Got, KEY_END, KEY_TRY_MS, first_keys, order};

/// Kills of a round.
pub(crate) const KILLS: u64 = 50;
/// One kill in so many is the coordinator's.
const COORDINATOR_EACH: u64 = 10;
/// One round in so many makes presignatures: the primes of its key alone take minutes.
const PRESIGN_EACH: u64 = 8;
/// The same for a key of CGGMP24, with the search for its primes.
const PRESIGNED: &str = "cggmp";
const PRESIGNED_LIFE: Duration = Duration::from_secs(900);
const PRESIGNED_TRY_MS: u64 = 600_000;
const PRESIGNATURES: u32 = 16;

/// When a killed process has to be there with all its links, and how many of a round may be later: one in a hundred is the goal.
const BACK_WITHIN: Duration = Duration::from_secs(5);
const MOST_LATE: u64 = 1;

fn late(whose: &str) -> String {
    format!("{whose} back later than 5 s")
}

/// A line of a signer's trace of last messages.
#[derive(Deserialize)]
struct Line {
    session: String,
    to: u64,
    sha256: String,
    boot: String,
}

pub(crate) async fn play(number: u64, bin_dir: &Path, dir: &Path) -> Result<Found> {
    let (mut found, mut dice) = (Found::default(), Dice::new(number));
    let mut plan = ClusterPlan::new(bin_dir, dir, 3);
    (plan.trace_partials, plan.seed) = (true, number);
    let presigns = number % PRESIGN_EACH == PRESIGN_EACH - 1;
    let try_ms = if presigns { PRESIGNED_TRY_MS } else { KEY_TRY_MS };
    plan.node_limits.insert("keygen_timeout_ms".to_owned(), try_ms.to_string());
    if presigns {
        plan.presignatures.insert(PRESIGNED.to_owned(), PRESIGNATURES);
    }
    let mut cluster = Cluster::start(plan).await?;
    let client = cluster.client()?;
    let mut keys = first_keys(&mut cluster, &client).await?;
    if presigns {
        keys.push((presigned_key(&mut cluster, &client).await?, Scheme::EcdsaSecp256k1));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let caller =
        Caller { client: client.clone(), keys: keys.clone(), numbers: Arc::default(), stop: Arc::clone(&stop) };
    let mut callers = JoinSet::new();
    for _ in 0..2 {
        let caller = caller.clone();
        callers.spawn(async move { caller.ask().await });
    }
    callers.spawn(caller.clone().refresh());
    let mut ordered = Vec::new();
    for kill in 0..KILLS {
        if kill % 5 == 2 && !presigns {
            let key = KeyId::new(format!("late-{kill}"))?;
            let order = order(&mut cluster, &key, (Scheme::EddsaEd25519, Protocol::Frost))?;
            let client = client.clone();
            ordered.push(tokio::spawn(async move {
                let made = client.create_key(&order).await;
                let made = match made {
                    Ok(_) => client.wait_for_key(&order.key_id, KEY_END, |_| {}).await.map(drop),
                    Err(error) => Err(error),
                };
                (order.key_id, made)
            }));
        }
        kill_one(&mut cluster, &mut dice, &mut found).await?;
    }
    stop.store(true, Ordering::Relaxed);
    let mut seen = Vec::new();
    while let Some(got) = callers.join_next().await {
        let Got { seen: signatures, outcomes, hanging } = got?;
        outcomes.into_iter().for_each(|(what, count)| *found.outcomes.entry(what).or_default() += count);
        found.violations.extend(hanging);
        seen.extend(signatures);
    }
    for made in ordered {
        match made.await? {
            (key, Ok(())) => keys.push((key, Scheme::EddsaEd25519)),
            (_, Err(Error::Api(_))) => *found.outcomes.entry("keys: failed, told so".to_owned()).or_default() += 1,
            (key, Err(error)) => found.violations.push(format!("key {key} has no end: {error}")),
        }
    }
    seen.extend(every_pair(&mut cluster, &Caller { keys, ..caller }, &mut found).await?);
    drop(cluster);
    traces(dir, &mut found)?;
    count(&mut found);
    let findings = solver::solve(&seen);
    found.violations.extend(findings.into_iter().map(|finding| format!("{finding:?}")));
    Ok(found)
}

async fn presigned_key(cluster: &mut Cluster, client: &Client) -> Result<KeyId> {
    let key = KeyId::new(PRESIGNED)?;
    let asked = order(cluster, &key, (Scheme::EcdsaSecp256k1, Protocol::Cggmp24))?;
    client.create_key(&NewKey { expires_in: PRESIGNED_LIFE, ..asked }).await?;
    client.wait_for_key(&key, PRESIGNED_LIFE, |_| {}).await?;
    Ok(key)
}

async fn kill_one(cluster: &mut Cluster, dice: &mut Dice, found: &mut Found) -> Result<()> {
    tokio::time::sleep(Duration::from_millis(dice.below(300))).await;
    let (a_coordinator, victim) = (dice.below(COORDINATOR_EACH) == 0, dice.index(3).unwrap_or(0));
    let daemon =
        if a_coordinator { cluster.coordinator() } else { cluster.signers().get_mut(victim).context("a signer")? };
    daemon.kill()?;
    tokio::time::sleep(Duration::from_millis(dice.below(100))).await;
    let started = Instant::now();
    daemon.restart()?;
    cluster.wait_until_ready().await?;
    found.tried += 1;
    let took = started.elapsed();
    let whose = if a_coordinator { "coordinators" } else { "signers" };
    let word = if took <= BACK_WITHIN { format!("{whose} back within 5 s") } else { late(whose) };
    *found.outcomes.entry(word).or_default() += 1;
    Ok(())
}

/// With one signer down after the other the two that are left sign with every key: no share is lost.
async fn every_pair(cluster: &mut Cluster, caller: &Caller, found: &mut Found) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for down in 0..3 {
        cluster.signers().get_mut(down).context("a signer")?.kill()?;
        for (key, scheme) in &caller.keys {
            let mut got = Got::default();
            caller.one(key, *scheme, &mut got).await;
            if got.seen.is_empty() {
                let what =
                    format!("without signer {down} key {key} does not sign: {:?} {:?}", got.outcomes, got.hanging);
                found.violations.push(what);
            }
            *found.outcomes.entry("pairs that sign".to_owned()).or_default() += got.seen.len() as u64;
            seen.extend(got.seen);
        }
        cluster.signers().get_mut(down).context("a signer")?.restart()?;
        cluster.wait_until_ready().await?;
    }
    Ok(seen)
}

/// Who was back too late, and whether there was anything to break.
fn count(found: &mut Found) {
    let late: u64 = ["signers", "coordinators"].iter().filter_map(|whose| found.outcomes.get(&late(whose))).sum();
    if late > MOST_LATE {
        found.violations.push(format!("{late} of {KILLS} processes were back later than {BACK_WITHIN:?}"));
    }
    // Refreshes want all signers at once: on a busy machine a round may see none end well.
    for what in ["last messages", "requests: signed", "refreshes: "] {
        if !found.outcomes.keys().any(|outcome| outcome.starts_with(what)) {
            found.violations.push(format!("nothing was tried: no {what}"));
        }
    }
}

/// Of a session every signer lets one last message go to each receiver, and in one life of its process.
fn traces(dir: &Path, found: &mut Found) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path: PathBuf = entry?.path();
        if path.extension().is_none_or(|extension| extension != "partials") {
            continue;
        }
        let mut sessions: BTreeMap<(String, u64), (String, String)> = BTreeMap::new();
        for line in std::fs::read_to_string(&path)?.lines() {
            // The last line of a process that was killed may be cut off.
            let Ok(Line { session, to, sha256, boot }) = serde_json::from_str::<Line>(line) else { continue };
            *found.outcomes.entry("last messages".to_owned()).or_default() += 1;
            let said = sessions.entry((session.clone(), to)).or_insert_with(|| (sha256.clone(), boot.clone()));
            if *said != (sha256, boot) {
                found.violations.push(format!("{}: session {session} let two last messages go", path.display()));
            }
        }
    }
    Ok(())
}
