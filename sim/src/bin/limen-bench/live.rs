//! Real processes, driven through the SDK.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use limen_client::{Client, NewKey};
use limen_sim::cluster::{Cluster, ClusterPlan};
use limen_sim::proxy::Distance;
use limen_wire::ids::{KeyId, NodeId};
use limen_wire::pb::StatusResponse;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::anew::{self, Meanwhile};
use crate::report::Results;
use crate::scenario::{Choice, Committee, Shares, intent};
use crate::spread::Spread;
use crate::{Args, pairs};

/// Longest wait for one signature.
const SIGN_WITHIN: Duration = Duration::from_secs(60);
/// Requests before measuring: connections, pools and caches settle.
const WARM_UP: u32 = 5;

/// What a key's signatures cost in a running cluster.
#[derive(Debug, Serialize)]
pub(crate) struct Live {
    pub(crate) protocol: String,
    /// What the shares lie under.
    pub(crate) shares: String,
    pub(crate) committee: String,
    pub(crate) rtt_ms: u64,
    pub(crate) presigned: bool,
    /// From the order of a key until it is active, the longest of them; safe primes are at hand before.
    pub(crate) keygen_seconds: f64,
    /// From `Submit` until the verified signature is in the caller's hands, one request after the other.
    pub(crate) latency: Option<Spread>,
    /// The same with several requests at a time.
    pub(crate) loaded: Option<Spread>,
    pub(crate) workers: u32,
    pub(crate) per_second: f64,
    pub(crate) failed: u64,
    /// The same while shares are made anew.
    pub(crate) meanwhile: Option<Meanwhile>,
    /// Processor time of all daemons together, for one signature under load.
    pub(crate) cpu_ms: f64,
    /// Session bytes sent by all signers, divided by the signers that take part.
    pub(crate) bytes_per_signer: f64,
}

/// Keys under measurement, asked in turn.
pub(crate) struct Subject {
    client: Client,
    pub(crate) keys: Vec<KeyId>,
    choice: Choice,
    numbers: Arc<AtomicU64>,
}

pub(crate) async fn measure(args: &Args, results: &mut Results) -> Result<()> {
    for rtt_ms in &args.rtt_ms {
        let all = pairs(args).flat_map(|(committee, choice)| args.shares.iter().map(move |s| (committee, choice, *s)));
        for (committee, choice, shares) in all {
            let what = format!("{choice} {committee}, shares under {shares}, round trip {rtt_ms} ms");
            eprintln!("bench: {what}");
            match measure_one(args, (committee, choice, shares), *rtt_ms).await {
                Ok(found) => results.live.push(found),
                Err(error) => results.left_out(format!("{what}: {error:#}")),
            }
        }
    }
    Ok(())
}

/// A cluster of its own for every key, so that nothing else asks for the processors.
async fn measure_one(
    args: &Args,
    (committee, choice, shares): (Committee, Choice, Shares),
    rtt_ms: u64,
) -> Result<Live> {
    let keys = anew::keys(args, choice)?;
    let key = keys.first().context("there is no key")?;
    let dir = args.results.join(format!("cluster-{choice}-{committee}-{shares}-{rtt_ms}ms"));
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("could not remove {}", dir.display()))?;
    }
    let mut plan = ClusterPlan::new(&args.bin_dir, dir, committee.total.saturating_add(anew::more_signers(args)));
    plan.more_rules = anew::committees(args, committee, &keys);
    plan.tokens = shares.plan();
    plan.distance = Distance::round_trip(Duration::from_millis(rtt_ms));
    plan.node_limits.insert("keygen_timeout_ms".to_owned(), args.keygen_timeout_secs.saturating_mul(1000).to_string());
    let presigned = choice == Choice::Cggmp24 && args.presignatures > 0;
    if presigned {
        plan.presignatures.insert(key.to_string(), args.presignatures);
        plan.node_limits.insert("presignatures".to_owned(), args.presignatures.to_string());
    }
    if choice == Choice::Cggmp24 {
        plan.node_limits.insert("prime_sets".to_owned(), "1".to_owned());
    }
    let mut cluster = Cluster::start(plan).await?;
    let subject = Subject { client: cluster.client()?, keys, choice, numbers: Arc::default() };
    wait_for_primes(args, choice, &subject.client).await?;
    let keygen_seconds = generate(args, &mut cluster, &subject, committee).await?;
    // The search that refills the pool would share the processors with what is measured.
    wait_for_primes(args, choice, &subject.client).await?;
    if presigned {
        wait_for_presignatures(args, &subject.client).await?;
    }
    let spare = args.presignatures.saturating_sub(WARM_UP);
    let requests = if presigned { args.requests.min(spare) } else { args.requests };
    eprintln!("bench: {choice} {committee}: measuring {requests} requests");
    for _ in 0..WARM_UP {
        sign(&subject).await?;
    }
    let mut latencies = Vec::new();
    for _ in 0..requests {
        latencies.push(sign(&subject).await?);
    }
    let load = if presigned { Load::default() } else { load(args, &cluster, &subject).await? };
    let meanwhile = match anew::wanted(args).filter(|_| !presigned) {
        Some(what) => Some(anew::measure(args, (&cluster, committee), &subject, what).await?),
        None => None,
    };
    let count = f64::from(u32::try_from(load.times.len()).unwrap_or(u32::MAX)).max(1.0);
    Ok(Live {
        protocol: choice.to_string(),
        shares: shares.to_string(),
        committee: committee.to_string(),
        rtt_ms,
        presigned,
        keygen_seconds,
        latency: Spread::of(latencies),
        per_second: count / load.seconds.max(f64::MIN_POSITIVE),
        workers: args.workers,
        failed: load.failed,
        meanwhile,
        cpu_ms: load.cpu_ms / count,
        bytes_per_signer: load.bytes / count / f64::from(committee.required),
        loaded: Spread::of(load.times),
    })
}

async fn generate(args: &Args, cluster: &mut Cluster, subject: &Subject, committee: Committee) -> Result<f64> {
    let names = cluster.signers().iter().take(committee.total.into()).map(|daemon| NodeId::new(daemon.name()));
    let nodes: Vec<NodeId> = names.collect::<Result<_, _>>()?;
    let at_most = Duration::from_secs(args.keygen_timeout_secs);
    let mut seconds: f64 = 0.0;
    for key in &subject.keys {
        let order = NewKey {
            key_id: key.clone(),
            scheme: subject.choice.scheme(),
            protocol: subject.choice.protocol(),
            size: committee.size()?,
            nodes: nodes.clone(),
            expires_in: at_most,
        };
        let started = Instant::now();
        subject.client.create_key(&order).await?;
        subject.client.wait_for_key(key, at_most, |_| {}).await?;
        seconds = seconds.max(started.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

/// Until every signer has its safe primes at hand and searches no more.
async fn wait_for_primes(args: &Args, choice: Choice, client: &Client) -> Result<()> {
    if choice != Choice::Cggmp24 {
        return Ok(());
    }
    wait_for(args, client, "the safe primes were not found", |all| all.iter().all(|status| status.prime_sets > 0)).await
}

async fn wait_for_presignatures(args: &Args, client: &Client) -> Result<()> {
    wait_for(args, client, "the presignatures were not made", |all| {
        all.iter().any(|status| status.presignatures >= args.presignatures)
    })
    .await
}

async fn wait_for(
    args: &Args,
    client: &Client,
    otherwise: &str,
    done: impl Fn(&[StatusResponse]) -> bool,
) -> Result<()> {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(args.keygen_timeout_secs) {
        let view = client.status().await?;
        let told: Vec<_> = view.signers.iter().filter_map(|signer| signer.status.clone()).collect();
        if told.len() == view.signers.len() && done(&told) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    bail!("{otherwise} in time")
}

async fn sign(subject: &Subject) -> Result<Duration> {
    let number = subject.numbers.fetch_add(1, Ordering::Relaxed);
    let turn = usize::try_from(number)?.checked_rem(subject.keys.len()).unwrap_or_default();
    let key = subject.keys.get(turn).context("there is no key")?;
    let signed = subject.client.sign_intent(intent(subject.choice, key, number)?)?;
    let started = Instant::now();
    subject.client.sign(&signed, SIGN_WITHIN).await?;
    Ok(started.elapsed())
}

/// What happened under load.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) times: Vec<Duration>,
    pub(crate) failed: u64,
    seconds: f64,
    cpu_ms: f64,
    bytes: f64,
}

pub(crate) async fn load(args: &Args, cluster: &Cluster, subject: &Subject) -> Result<Load> {
    let before = cluster.usage().await?;
    let started = Instant::now();
    let until = started + Duration::from_secs(args.seconds);
    let mut workers = JoinSet::new();
    for _ in 0..args.workers {
        let subject = Subject {
            client: cluster.client()?,
            keys: subject.keys.clone(),
            choice: subject.choice,
            numbers: Arc::clone(&subject.numbers),
        };
        workers.spawn(async move {
            let (mut times, mut failed) = (Vec::new(), 0_u64);
            while Instant::now() < until {
                match sign(&subject).await {
                    Ok(time) => times.push(time),
                    Err(error) => {
                        failed = failed.saturating_add(1);
                        eprintln!("bench: a request failed: {error:#}");
                    }
                }
            }
            (times, failed)
        });
    }
    let mut load = Load::default();
    while let Some(worker) = workers.join_next().await {
        let (times, failed) = worker?;
        load.times.extend(times);
        load.failed = load.failed.saturating_add(failed);
    }
    load.seconds = started.elapsed().as_secs_f64();
    let used = cluster.usage().await?.since(&before);
    load.cpu_ms = used.cpu.as_secs_f64() * 1000.0;
    load.bytes = f64::from(u32::try_from(used.bytes_sent).unwrap_or(u32::MAX));
    Ok(load)
}
