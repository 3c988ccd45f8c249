//! What is known of the end of a key, and `limen key destroyed-proof`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use limen_client::KeyInfo;
use limen_evidence::destroyed::DestructionProof;
use limen_wire::destroyed::KeyDestroyed;
use limen_wire::ids::KeyId;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;
use serde_json::json;

use super::Session;

/// Who says that they have destroyed the key. Nothing of it is verified here.
pub(super) fn by(info: &KeyInfo) -> BTreeSet<String> {
    let words = info.destroyed.iter().filter_map(|word| KeyDestroyed::open(word).ok());
    words.map(|(word, _)| word.node.to_string()).collect()
}

/// The state in words; of a destroyed key with how many of its members say so.
pub(super) fn state(info: &KeyInfo, key: Option<&KeyStatement>) -> String {
    let word = info.state_word();
    match key.filter(|_| info.state == pb::KeyState::Destroyed) {
        Some(key) => {
            let by = by(info);
            let done = key.nodes.iter().filter(|node| by.contains(node.as_str())).count();
            format!("{word}, by {done} of {} signers", key.nodes.len())
        }
        None => word.to_owned(),
    }
}

/// Refuses the address of a key from which nothing could be moved on in the ordinary way.
pub(super) async fn check_payable(session: &Session, key: &KeyId) -> Result<()> {
    let infos = session.client.list_keys(Some(key)).await?;
    let told = infos.iter().find(|info| info.key_id == *key);
    let out_of_use = |info: &&KeyInfo| {
        matches!(info.state, pb::KeyState::Deactivated | pb::KeyState::Compromised | pb::KeyState::Destroyed)
    };
    match told.filter(out_of_use) {
        Some(info) => bail!("key {key} is {}: nothing is to be paid to it", info.state_word()),
        None => Ok(()),
    }
}

/// Writes the proof.
pub(super) async fn write(session: &Session, key: &KeyId, out: &Path) -> Result<()> {
    let infos = session.client.list_keys(Some(key)).await?;
    let Some(info) = infos.into_iter().find(|info| info.key_id == *key) else {
        session.client.key(key).await?;
        bail!("there is no key {key}");
    };
    let state = state(&info, session.client.admit(&info).ok().as_ref());
    if info.destroyed.is_empty() {
        bail!("no signer has said that key {key} is destroyed: it is {}", info.state_word());
    }
    let Some(certificate) = info.certificate else { bail!("key {key} has no certificate") };
    let words = info.destroyed.len();
    let text = DestructionProof { certificate, words: info.destroyed }.encode();
    let failed = || format!("could not write {}", out.display());
    // Never over another one: the file may be the only copy.
    let written =
        File::create_new(out).and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.with_context(failed)?;
    let json = json!({ "key_id": key.as_str(), "file": out.display().to_string(), "words": words });
    session
        .output
        .result(&json, || format!("{}: key {key}, {state}; not verified: `limen verify destruction`", out.display()))
}
