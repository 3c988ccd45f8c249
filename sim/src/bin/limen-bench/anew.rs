//! Signing while shares are made anew: for the same committee, or for one in which a signer leaves and another one comes.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use limen_client::NewShares;
use limen_sim::cluster::Cluster;
use limen_wire::ids::{Epoch, KeyId, NodeId};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use crate::Args;
use crate::live::{Subject, load};
use crate::scenario::{Choice, Committee};
use crate::spread::Spread;

/// Most keys of one cluster.
const MOST_KEYS: u64 = 16;

/// How shares are made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Anew {
    /// For the same committee, again and again.
    Refresh,
    /// For another one: a charter names one for each key, so each time it is another key.
    Reshare,
}

/// What signing costs meanwhile.
#[derive(Debug, Serialize)]
pub(crate) struct Meanwhile {
    pub(crate) what: Anew,
    /// How often in that time.
    pub(crate) times: u64,
    /// From the order until all members sign with the new shares.
    pub(crate) each: Option<Spread>,
    /// Requests meanwhile.
    pub(crate) loaded: Option<Spread>,
    pub(crate) failed: u64,
}

/// What the arguments ask for.
pub(crate) fn wanted(args: &Args) -> Option<Anew> {
    match (args.refresh, args.reshare) {
        (true, _) => Some(Anew::Refresh),
        (_, true) => Some(Anew::Reshare),
        _ => None,
    }
}

/// Signers that no key has at first.
pub(crate) fn more_signers(args: &Args) -> u8 {
    u8::from(args.reshare)
}

/// The keys under measurement: one, or as many as are handed over.
pub(crate) fn keys(args: &Args, choice: Choice) -> Result<Vec<KeyId>> {
    let many = match args.reshare {
        true => args.seconds.checked_div(args.handover_every_secs).map_or(MOST_KEYS, |times| times.clamp(1, MOST_KEYS)),
        false => 1,
    };
    let name = |place| match place {
        1 => choice.to_string(),
        _ => format!("{choice}-{place}"),
    };
    Ok((1..=many).map(|place| KeyId::new(name(place))).collect::<Result<_, _>>()?)
}

/// Everybody but the first: the last signer comes in its place.
fn others(committee: Committee) -> impl Iterator<Item = String> {
    (2..=committee.total.saturating_add(1)).map(|number| format!("signer-{number}"))
}

/// The charter's lines about them.
pub(crate) fn committees(args: &Args, committee: Committee, keys: &[KeyId]) -> String {
    let mut text = String::new();
    let nodes: Vec<String> = others(committee).map(|node| format!("\"{node}\"")).collect();
    for key in keys.iter().filter(|_| args.reshare) {
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n[[committees]]\nkey = \"{key}\"\nnodes = [{}]\nsigners_required = {}\n",
            nodes.join(", "),
            committee.required
        );
    }
    text
}

/// The same load as otherwise, and new shares at their pace beside it.
pub(crate) async fn measure(
    args: &Args,
    (cluster, committee): (&Cluster, Committee),
    subject: &Subject,
    what: Anew,
) -> Result<Meanwhile> {
    let (load, times) =
        tokio::join!(load(args, cluster, subject), hand_over(args, (cluster, committee), subject, what));
    let (load, times) = (load?, times?);
    Ok(Meanwhile {
        what,
        times: times.len() as u64,
        each: Spread::of(times),
        loaded: Spread::of(load.times),
        failed: load.failed,
    })
}

async fn hand_over(
    args: &Args,
    (cluster, committee): (&Cluster, Committee),
    subject: &Subject,
    what: Anew,
) -> Result<Vec<Duration>> {
    let client = cluster.client()?;
    let at_most = Duration::from_secs(args.keygen_timeout_secs);
    let until = Instant::now() + Duration::from_secs(args.seconds);
    let mut pace = tokio::time::interval(Duration::from_secs(args.handover_every_secs).max(Duration::from_millis(1)));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut keys: Box<dyn Iterator<Item = &KeyId> + Send> = match what {
        Anew::Refresh => Box::new(subject.keys.iter().cycle()),
        Anew::Reshare => Box::new(subject.keys.iter()),
    };
    let mut times = Vec::new();
    while Instant::now() < until {
        let Some(key) = keys.next() else { break };
        pace.tick().await;
        let info = client.list_keys(Some(key)).await?;
        let present = client.admit(info.first().context("the key is not listed")?)?;
        let nodes = match what {
            Anew::Refresh => present.nodes.clone(),
            Anew::Reshare => others(committee).map(NodeId::new).collect::<Result<_, _>>()?,
        };
        let shares = NewShares {
            first_epoch: Epoch(present.epoch.0.saturating_add(1)),
            protocol: present.protocol,
            size: present.size,
            nodes,
            present,
            expires_in: at_most,
        };
        let started = Instant::now();
        let order = client.hand_over(&shares).await?;
        client.wait_for_handover((key, &order), at_most, |_| {}).await?;
        times.push(started.elapsed());
    }
    Ok(times)
}
