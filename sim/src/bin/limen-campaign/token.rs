//! The tokens of real signer processes go away, fall silent, are pulled, replaced or locked.
//!
//! A round is one cluster of three signers whose shares lie under SoftHSM2 tokens and are opened for each session. Of three tokens
//! two at a time fail, and a signature is wanted that was not asked for before. Both signers have to refuse it by name, and nobody
//! may sign it; then the tokens heal, and the same request has to come to its signature without anybody's help.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use limen_client::{Client, Error, SignedIntent};
use limen_sim::Dice;
use limen_sim::cluster::{Cluster, ClusterPlan, TokenFault, TokenPlan};
use limen_sim::faults::Found;
use limen_sim::solver;
use limen_wire::ids::{KeyId, Scheme};
use tokio::time::Instant;

use crate::calls::{Got, KEY_TRY_MS, PATIENCE, first_keys, intent, seen};

/// Faults of a round, two at a time.
pub(crate) const FAULTS: u64 = 50;
/// A call to a token that says nothing.
const TIMEOUT_MS: u32 = 400;
const REFUSED: &str = "hsm_unavailable";
/// How often is looked whether something has happened.
const PAUSE: Duration = Duration::from_millis(20);

/// Two signers, and what happens to their tokens.
type Faults = [(usize, TokenFault); 2];

pub(crate) async fn play(number: u64, bin_dir: &Path, dir: &Path) -> Result<Found> {
    let (mut found, mut dice) = (Found::default(), Dice::new(number));
    let mut plan = ClusterPlan::new(bin_dir, dir, 3);
    (plan.seed, plan.tokens) = (number, Some(TokenPlan { hold_secs: 0, timeout_ms: TIMEOUT_MS }));
    plan.node_limits.insert("keygen_timeout_ms".to_owned(), KEY_TRY_MS.to_string());
    plan.timing.insert("retry_max_ms".to_owned(), "200".to_owned());
    let mut cluster = Cluster::start(plan).await?;
    let client = cluster.client()?;
    let keys = first_keys(&mut cluster, &client).await?;
    let mut got = Got::default();
    for pair in 0..FAULTS / 2 {
        let (key, scheme) = keys.get(dice.index(keys.len()).unwrap_or(0)).context("a key")?;
        let faults = draw(&mut dice);
        one(&mut cluster, &client, (key, *scheme, pair), faults, &mut found, &mut got).await?;
    }
    drop(cluster);
    found.violations.extend(solver::solve(&got.seen).into_iter().map(|finding| format!("{finding:?}")));
    Ok(found)
}

fn draw(dice: &mut Dice) -> Faults {
    let healthy = dice.index(3).unwrap_or(0);
    let mut kind = || TokenFault::ALL.get(dice.index(TokenFault::ALL.len()).unwrap_or(0)).copied();
    let [a, b] = [kind(), kind()].map(|kind| kind.unwrap_or(TokenFault::Killed));
    [((healthy + 1) % 3, a), ((healthy + 2) % 3, b)]
}

async fn one(
    cluster: &mut Cluster,
    client: &Client,
    (key, scheme, number): (&KeyId, Scheme, u64),
    faults: Faults,
    found: &mut Found,
    got: &mut Got,
) -> Result<()> {
    let before = refusals(cluster, &faults).await?;
    for (signer, fault) in faults {
        cluster.bridges().get_mut(signer).context("a bridge")?.suffer(fault)?;
        *found.outcomes.entry(format!("tokens {fault:?}").to_lowercase()).or_default() += 1;
        found.tried += 1;
    }
    let (asked, message) = intent(key, scheme, number)?;
    let signed = Arc::new(client.sign_intent(asked)?);
    let answer = tokio::spawn(ask(client.clone(), Arc::clone(&signed)));
    let started = Instant::now();
    while !answer.is_finished() {
        let now = refusals(cluster, &faults).await?;
        if now.iter().zip(&before).all(|(now, before)| now > before) {
            break;
        }
        if started.elapsed() > PATIENCE {
            found.violations.push(format!("pair {number}, {faults:?}: not refused by name: {before:?} to {now:?}"));
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    if answer.is_finished() {
        found.violations.push(format!("pair {number}, {faults:?}: it has come to an end: {:?}", answer.await?.err()));
        return heal(cluster, &faults);
    }
    heal(cluster, &faults)?;
    while !answer.is_finished() {
        for (signer, _) in faults {
            cluster.bridges().get_mut(signer).context("a bridge")?.supervise()?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    match answer.await? {
        Ok((public_key, signature)) => got.seen.extend(seen(scheme, &public_key, message, signature)),
        Err(error) => found.violations.push(format!("pair {number}, {faults:?}: did not go on: {error}")),
    }
    *found.outcomes.entry("requests that went on".to_owned()).or_default() += 1;
    Ok(())
}

async fn ask(client: Client, signed: Arc<SignedIntent>) -> Result<(Vec<u8>, [u8; 64]), Error> {
    client.sign(&signed, PATIENCE * 2).await.map(|signed| (signed.public_key.to_vec(), signed.signature))
}

async fn refusals(cluster: &mut Cluster, faults: &Faults) -> Result<Vec<u64>> {
    let mut all = Vec::new();
    for (signer, _) in faults {
        all.push(cluster.signers().get(*signer).context("a signer")?.refusals(REFUSED).await?);
    }
    Ok(all)
}

fn heal(cluster: &mut Cluster, faults: &Faults) -> Result<()> {
    for (signer, _) in faults {
        cluster.bridges().get_mut(*signer).context("a bridge")?.heal()?;
    }
    Ok(())
}
