//! The keys of the story: one for transactions, one for messages.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use limen_client::{Client, KeyInfo, NewKey};
use limen_wire::ids::{CommitteeSize, KeyId, NodeId, Protocol, Scheme};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::output::Output;

/// CGGMP24 looks for safe primes of 1536 bits first, on as many cores as there are signers or fewer.
const MADE_WITHIN: Duration = Duration::from_secs(1800);

/// Makes the key where there is none, and gives the statement that its signers attest.
pub(crate) async fn ensure(
    client: &Client,
    output: Output,
    (scheme, protocol): (Scheme, Protocol),
    size: CommitteeSize,
    nodes: Vec<NodeId>,
) -> Result<KeyStatement> {
    let known = client.list_keys(None).await?;
    let (key_id, there) = choose(&known, name(scheme, protocol))?;
    let started = Instant::now();
    if !there {
        output.line(&format!("  key        {key_id}: {size} by {protocol}; no machine will ever hold it whole"));
        let key = NewKey { key_id: key_id.clone(), scheme, protocol, size, nodes, expires_in: MADE_WITHIN };
        client.create_key(&key).await.with_context(|| format!("key {key_id} was not ordered"))?;
    }
    let mut told = HashSet::new();
    let statement = client
        .wait_for_key(&key_id, MADE_WITHIN, |info| {
            if !info.progress.is_empty() && info.state != pb::KeyState::Active && told.insert(info.progress.clone()) {
                output.line(&format!("             {}", info.progress));
            }
        })
        .await
        .with_context(|| format!("key {key_id} was not made"))?;
    let words = if there { "attested by its signers" } else { "made and attested by its signers" };
    output.line(&format!("  key        {key_id} {words} ({:.1} s)", started.elapsed().as_secs_f64()));
    Ok(statement)
}

/// The name's first form that is not of a key that failed: names are never used twice.
fn choose(known: &[KeyInfo], name: String) -> Result<(KeyId, bool)> {
    let forms = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}-{number}")));
    for form in forms {
        let key_id = KeyId::new(form)?;
        match known.iter().find(|info| info.key_id == key_id) {
            None => return Ok((key_id, false)),
            Some(info) if info.state != pb::KeyState::Failed => return Ok((key_id, true)),
            Some(_) => {}
        }
    }
    bail!("no name is left for a key")
}

fn name(scheme: Scheme, protocol: Protocol) -> String {
    match scheme {
        Scheme::EcdsaSecp256k1 if protocol == Protocol::Dkls23 => "treasury".to_owned(),
        Scheme::EcdsaSecp256k1 => format!("treasury-{protocol}"),
        Scheme::EddsaEd25519 => "messages-ed25519".to_owned(),
        Scheme::SchnorrBip340 => "messages-bip340".to_owned(),
    }
}
