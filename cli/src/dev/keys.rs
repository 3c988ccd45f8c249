//! The keys of the story: one for each vault, one for messages.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use limen_client::{Client, KeyInfo, NewKey};
use limen_wire::ids::{CommitteeSize, KeyId, NodeId, Protocol, Scheme};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::output::Output;

/// How many names a key may use up: names are never used twice, not even those of keys that failed.
const NAMES: u8 = 3;

/// A vault of the charter, which names the keys that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vault {
    Hot,
    Cold,
}

impl Vault {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Cold => "cold",
        }
    }

    /// The names that its key may have.
    pub(crate) fn key_names(self, protocol: Protocol) -> Vec<String> {
        match protocol {
            Protocol::Cggmp24 => names(&format!("{}-{protocol}", self.as_str())),
            Protocol::Dkls23 | Protocol::Frost | Protocol::Hsm => names(self.as_str()),
        }
    }
}

/// The names that the key for messages may have.
pub(crate) fn message_key_names() -> Vec<String> {
    names("messages-ed25519")
}

fn names(first: &str) -> Vec<String> {
    std::iter::once(first.to_owned()).chain((2..=NAMES).map(|number| format!("{first}-{number}"))).collect()
}

/// CGGMP24 looks for safe primes of 1536 bits first, on as many cores as there are signers or fewer.
const MADE_WITHIN: Duration = Duration::from_secs(1800);

/// Makes the key where there is none, and gives the statement that its signers attest.
pub(crate) async fn ensure(
    client: &Client,
    output: Output,
    names: Vec<String>,
    (scheme, protocol): (Scheme, Protocol),
    size: CommitteeSize,
    nodes: Vec<NodeId>,
) -> Result<KeyStatement> {
    let known = client.list_keys(None).await?;
    let (key_id, there) = choose(&known, names)?;
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

/// The first of the names that is not of a key that failed.
fn choose(known: &[KeyInfo], names: Vec<String>) -> Result<(KeyId, bool)> {
    for name in names {
        let key_id = KeyId::new(name)?;
        match known.iter().find(|info| info.key_id == key_id) {
            None => return Ok((key_id, false)),
            Some(info) if info.state != pb::KeyState::Failed => return Ok((key_id, true)),
            Some(_) => {}
        }
    }
    bail!("{NAMES} keys have failed and no name is left for another: delete the folder to begin anew")
}
