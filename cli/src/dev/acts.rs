//! What the story shows beside payments that are signed at once: a limit, approvals and a time lock, a refusal, a freeze.
//!
//! Each act checks that it went as the rules say: a signature that came too early, or at all, fails `up`.

mod frozen;
mod large;
mod limit;
mod refused;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use limen_client::{Client, Request, now_secs};
use limen_policy::charter::Charter;
use limen_policy::charter::rule::Rule;
use limen_wire::effects::Address;
use limen_wire::ids::IntentId;

use super::people::People;
use super::withdrawals::Account;
use crate::output::Output;

pub(crate) use frozen::{frozen, thaw};
pub(crate) use large::large;
pub(crate) use limit::limit;
pub(crate) use refused::refused;

/// Anvil's fourth account, which the address book knows as `exchange`.
pub(crate) const EXCHANGE: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
/// The limit that the story reaches.
pub(crate) const LIMIT_A_PLACE: &str = "hot-a-place-a-minute";
/// The rule under which the cold vault pays.
pub(crate) const TO_KNOWN_PLACES: &str = "cold: to known places";
/// The rule by which it does not.
pub(crate) const NOWHERE_ELSE: &str = "cold: nowhere else";

/// How long machines may take for one step.
const WITHIN: Duration = Duration::from_secs(60);

/// Who plays, and where.
pub(crate) struct Stage<'a> {
    pub(crate) output: Output,
    pub(crate) client: &'a Client,
    pub(crate) charter: &'a Charter,
    pub(crate) people: People<'a>,
    pub(crate) hot: Account<'a>,
    pub(crate) cold: Account<'a>,
    /// New with each run, so that what earlier runs paid is no part of its limit.
    pub(crate) customer: Address,
}

/// An address that nobody has.
pub(crate) fn new_customer() -> Result<Address> {
    let mut bytes = [0; 20];
    getrandom::getrandom(&mut bytes).context("the machine gave no randomness")?;
    Ok(limen_chain::parse_address(&format!("0x{}", hex::encode(bytes)))?)
}

impl Stage<'_> {
    fn signers(&self) -> usize {
        self.charter.nodes.len()
    }

    fn rule(&self, name: &str) -> Result<&Rule> {
        let rule = self.charter.rules.iter().find(|rule| rule.name == name);
        rule.with_context(|| format!("the charter has no rule {name:?}: somebody has changed it"))
    }

    /// Follows a request until it is as wanted. Another end than that, or none in time, is an error.
    async fn until(&self, id: IntentId, what: &str, wanted: impl Fn(&Request) -> bool) -> Result<Request> {
        let follow = async {
            let mut watch = self.client.watch(Some(id));
            loop {
                let request = watch.next().await?;
                if wanted(&request) {
                    return Ok(request);
                }
                if request.state.is_end() {
                    bail!("request {id} should be {what}, but it is {}", told(&request));
                }
            }
        };
        match tokio::time::timeout(WITHIN, follow).await {
            Ok(found) => found,
            Err(_) => {
                let request = self.client.get(id).await?;
                bail!("request {id} should be {what} within {} s, but it is {}", WITHIN.as_secs(), told(&request));
            }
        }
    }
}

/// State and error.
fn told(request: &Request) -> String {
    let error = request.error.as_ref().map(|error| format!(": {error}"));
    format!("{}{}", request.state, error.unwrap_or_default())
}

/// The signers for whom a rule still lacks people, with what they say is missing.
fn lacking(request: &Request, rule: &str) -> Vec<(String, String)> {
    let requirements = request.requirements(now_secs().saturating_mul(1000));
    let asked = requirements.into_iter().filter(|asked| asked.rule == rule);
    let unmet = asked.flat_map(|asked| asked.signers).filter(|(_, progress)| !progress.met);
    unmet.map(|(signer, progress)| (signer, progress.missing)).collect()
}
