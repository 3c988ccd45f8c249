//! Everything that a verdict is about, found out from papers that are not believed.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use limen_client::decode_intent;
use limen_policy::approval::{Facts, Verified, verify};
use limen_policy::charter::{self, Charter};
use limen_policy::decide::{Decision, When, decide};
use limen_wire::approval::{SignedApproval, Verdict};
use limen_wire::effects::{Address, ChainId, Effects};
use limen_wire::ids::FreezeEpoch;
use limen_wire::intent::Intent;
use limen_wire::statement::KeyStatement;
use limen_wire::{limits, pb};
use prost::Message as _;

use super::papers::Papers;
use crate::args::CaseArgs;

/// An intent with all that this machine found out about it by itself.
pub(super) struct Case {
    pub(super) charter: Charter,
    pub(super) intent: Intent,
    pub(super) effects: Effects,
    pub(super) decision: Decision,
    pub(super) facts: Facts,
    /// What the person has seen before, verified.
    pub(super) preceding: Option<Verified>,
    /// Whether anybody has said what is frozen; a rejection holds without.
    pub(super) freezes_known: bool,
    /// A rejection that the cluster shows, verified.
    pub(super) rejected: Option<Verified>,
}

/// Checks everything.
pub(super) fn load(args: &CaseArgs, papers: Papers, now_secs: u64) -> Result<Case> {
    let text = String::from_utf8(read(&args.charter, charter::MAX_BYTES)?)
        .with_context(|| format!("{} is not text", args.charter.display()))?;
    let charter = Charter::from_toml(&text).with_context(|| format!("{} is refused", args.charter.display()))?;
    let Papers { intent: (from, envelope), certificate: (proof, certified), freeze_epoch, said } = papers;
    let intent = intent(&envelope, &charter).with_context(|| format!("the intent in {from} is refused"))?;
    let key =
        certificate(&certified, &charter, &intent).with_context(|| format!("the certificate in {proof} is refused"))?;
    let kinds = |chain: &ChainId, contract: &Address| charter.token_kind(chain, contract);
    let effects = decode_intent(&intent, &key, &kinds).context("the intent's bytes cannot be read")?.effects;
    let decision = decide(&charter, &intent, &effects, &When::advice(now_secs));
    let named = (!args.freezes.is_empty()).then(|| FreezeEpoch::of(args.freezes.iter().copied()));
    let own_freezes = args.freeze_epoch.or(named);
    let freezes = own_freezes.or(freeze_epoch);
    let facts = Facts {
        cluster: charter.cluster.clone(),
        intent_id: intent.id,
        effects_digest: effects.digest(),
        decoder_version: effects.decoder_version,
        slice: decision.slice,
        freeze_epoch: freezes.unwrap_or_else(|| FreezeEpoch::of([])),
    };
    // What does not verify was said by nobody.
    let heard = said.iter().filter_map(|signed| verify(signed, &charter.roster, &facts, now_secs).ok());
    let (no, mut heard): (Vec<_>, Vec<_>) = heard.partition(|one| one.approval().verdict == Verdict::Reject);
    let no: Vec<_> = no.into_iter().filter(|one| decision.gives_a_say(&charter, &one.approval().person)).collect();
    let preceding = match args.after.as_deref() {
        Some(path) => Some(
            preceding(path, &charter, &facts, now_secs)
                .with_context(|| format!("the approval in {} cannot be followed", path.display()))?,
        ),
        None => heard.pop(),
    };
    let (rejected, freezes_known) = (no.into_iter().next(), freezes.is_some());
    Ok(Case { preceding, freezes_known, rejected, charter, intent, effects, decision, facts })
}

fn intent(envelope: &pb::Envelope, charter: &Charter) -> Result<Intent> {
    let (intent, opened) = Intent::open(envelope)?;
    if intent.cluster != charter.cluster {
        bail!("it is for cluster {}, the charter is {}'s", intent.cluster, charter.cluster);
    }
    let requester = charter.requesters.get(&intent.requester);
    let requester = requester.ok_or_else(|| anyhow!("requester {} is not in the charter", intent.requester))?;
    opened.verify(intent.requester.as_str(), &requester.public_key)?;
    Ok(intent)
}

/// The key's certificate by all its members, under the keys that the charter pins.
fn certificate(envelope: &pb::Envelope, charter: &Charter, intent: &Intent) -> Result<KeyStatement> {
    let statement = KeyStatement::from_certificate(envelope, charter)?;
    if statement.key_id != intent.key_id || statement.cluster != intent.cluster {
        let (found, cluster) = (&statement.key_id, &statement.cluster);
        bail!("it is for key {found} of cluster {cluster}, the intent for {} of {}", intent.key_id, intent.cluster);
    }
    charter.check_held(&statement.key_id, statement.protocol, statement.scheme, &statement.nodes)?;
    Ok(statement)
}

fn preceding(path: &Path, charter: &Charter, facts: &Facts, now_secs: u64) -> Result<Verified> {
    let seen = verify(&SignedApproval::open(&envelope(path)?)?, &charter.roster, facts, now_secs)?;
    if seen.approval().verdict == Verdict::Reject {
        bail!("{} has rejected the intent: {:?}", seen.approval().person, seen.approval().reason);
    }
    Ok(seen)
}

pub(in crate::commands) fn envelope(path: &Path) -> Result<pb::Envelope> {
    // An envelope's payload is the greatest part of it.
    let bytes = read(path, limits::ENVELOPE_PAYLOAD_BYTES.saturating_mul(2))?;
    pb::Envelope::decode(bytes.as_slice()).with_context(|| format!("{} holds no envelope", path.display()))
}

fn read(path: &Path, limit: usize) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    if bytes.len() > limit {
        bail!("{} has {} bytes, more than the {limit} allowed", path.display(), bytes.len());
    }
    Ok(bytes)
}

/// Writes what was signed into a new file, so that none is overwritten.
pub(in crate::commands) fn write(path: &Path, signed: &pb::Envelope) -> Result<()> {
    let failed = || format!("could not write {}: name a new file", path.display());
    let mut file = std::fs::File::create_new(path).with_context(failed)?;
    file.write_all(&signed.encode_to_vec()).and_then(|()| file.sync_all()).with_context(failed)
}
