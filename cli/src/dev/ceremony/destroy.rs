//! The end of a key: two versions of the charter that people sign, one after the other, and what signers say of it afterwards.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use limen_wire::ids::CharterHash;
use serde_json::Value;

use super::cluster::limen;
use super::conduct::{Programs, output};
use super::house::{CONDUCTOR, House};
use super::versions::Version;
use crate::dev::layout::Layout;

const WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// What was proven of the end of a key.
pub(super) struct End {
    /// The version of the charter that destroyed it.
    pub(super) by: CharterHash,
    /// Members who say, signed, that they have erased it.
    pub(super) destroyed: usize,
    /// Members who do not.
    pub(super) lacking: Vec<String>,
}

/// Where the words of the signers lie that have erased a key.
pub(super) fn proof(layout: &Layout, key: &str) -> PathBuf {
    layout.path(&format!("{key}.destroyed"))
}

/// Retires the key, then destroys it, at so many signers; the proof is verified with what people pin, and nothing else.
pub(super) async fn destroy(
    house: &House,
    programs: &Programs,
    (key, signers): (&str, usize),
    present: &Version,
) -> Result<End> {
    let retire = |text: String| text + &format!("\n[[keys]]\nkey = \"{key}\"\nstate = \"deactivated\"\n");
    let retired = present.next(house, retire)?;
    retired.bring_in(house, programs, (&retired.sign(house, programs, present).await?, signers)).await?;
    let refused = limen(house, programs, CONDUCTOR, &["sign", "--key", key, "a word after the end"]).await;
    let refused = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(refused.contains("key_retired"), "a key that was retired was not refused as one: {refused:?}");
    let last = retired.next(house, |text| text.replace("state = \"deactivated\"", "state = \"destroyed\""))?;
    last.bring_in(house, programs, (&last.sign(house, programs, &retired).await?, signers)).await?;
    let began = Instant::now();
    loop {
        let shown = limen(house, programs, CONDUCTOR, &["key", "show", key]).await?;
        let said = shown.get("destroyed_by").and_then(Value::as_array).map_or(0, Vec::len);
        if said >= signers {
            break;
        }
        ensure!(
            began.elapsed() < WITHIN,
            "{said} of {signers} signers say within {} s that they have erased {key}",
            WITHIN.as_secs()
        );
        tokio::time::sleep(LOOK).await;
    }
    prove(house, programs, key, last.hash).await
}

/// The signed words of the signers, read by another process that knows the first charter's keys alone.
async fn prove(house: &House, programs: &Programs, key: &str, by: CharterHash) -> Result<End> {
    let first = Version::first(house);
    let (proof, trust) = (proof(&house.layout, key), house.layout.path("trust.toml"));
    let (proof, trust) = (proof.display().to_string(), trust.display().to_string());
    limen(house, programs, CONDUCTOR, &["key", "destroyed-proof", key, "--out", &proof]).await?;
    let mut pinned = programs.command(&programs.this);
    let pinned = output(pinned.args(["charter", "trust"]).arg(&first.file), "limen charter trust").await?;
    std::fs::write(&trust, pinned).with_context(|| format!("writing {trust}"))?;
    let verified = limen(house, programs, CONDUCTOR, &["verify", "destruction", &proof, "--trust", &trust]).await?;
    ensure!(verified.get("beyond_signing") == Some(&Value::Bool(true)), "enough members are left to sign: {verified}");
    let list =
        |field: &str| verified.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default().to_vec();
    let lacking = list("lacking").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    Ok(End { by, destroyed: list("destroyed").len(), lacking })
}
