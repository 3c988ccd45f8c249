//! Versions of the show's charter: each follows the one before, is signed by a quorum of it, and waits until it is in force.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use limen_policy::charter::Charter;
use limen_wire::ids::CharterHash;
use serde_json::Value;

use super::cluster::limen;
use super::conduct::{Programs, output};
use super::house::{CONDUCTOR, House};

/// Two of one group and one of the other, with their credentials in files.
pub(super) const SIGN: [&str; 3] = ["anna", CONDUCTOR, "emil"];
const WITHIN: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// A charter, and what it is called by.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) number: u32,
    pub(super) file: PathBuf,
    pub(super) text: String,
    pub(super) hash: CharterHash,
    /// Its place among the versions, as it stands in the text.
    place: String,
}

impl Version {
    /// The one that the house began with.
    pub(super) fn first(house: &House) -> Self {
        let text = house.charter_text.clone();
        let (file, hash) = (house.layout.path("charter.toml"), Charter::hash_of(&text));
        Self { number: 1, file, text, hash, place: "number = 1\nparents = []".to_owned() }
    }

    /// The next one, with a change, in a file.
    pub(super) fn next(&self, house: &House, change: impl FnOnce(String) -> String) -> Result<Self> {
        ensure!(self.text.contains(&self.place), "the charter of the show has another place among its versions");
        let number = self.number.saturating_add(1);
        let place = format!("number = {number}\nparents = [\"{}\"]", self.hash);
        let text = change(self.text.replacen(&self.place, &place, 1));
        let name = format!("charter-{number}.toml");
        house.layout.write_private(&name, text.as_bytes())?;
        let (file, hash) = (house.layout.path(&name), Charter::hash_of(&text));
        Ok(Self { number, file, text, hash, place })
    }

    /// Has a quorum sign it, one after the other; the file with all signatures.
    pub(super) async fn sign(&self, house: &House, programs: &Programs, parent: &Self) -> Result<PathBuf> {
        let mut draft = self.file.clone();
        for person in SIGN {
            let out = house.layout.path(&format!("charter-{}.{person}", self.number));
            let mut sign = programs.command(&programs.this);
            sign.args(["charter", "sign"]).arg(&draft).arg("--parent").arg(&parent.file).arg("--key");
            sign.arg(house.layout.path(&format!("people/{person}/credential.pem"))).args(["--yes", "--out"]).arg(&out);
            output(&mut sign, &format!("limen charter sign by {person}")).await?;
            draft = out;
        }
        Ok(draft)
    }

    /// Hands it in, signed, and waits until it is in force at so many signers and the coordinator.
    pub(super) async fn bring_in(
        &self,
        house: &House,
        programs: &Programs,
        (draft, signers): (&PathBuf, usize),
    ) -> Result<()> {
        limen(house, programs, CONDUCTOR, &["charter", "submit", &draft.display().to_string()]).await?;
        let (began, wanted) = (Instant::now(), format!("{} in force: {signers} of ", self.hash));
        loop {
            let mut status = programs.command(&programs.this);
            status.arg("--config").arg(house.client_config(CONDUCTOR)).args(["charter", "status"]);
            let said = output(&mut status, "limen charter status").await?;
            // The coordinator judges by it a moment later than the signers.
            let view = limen(house, programs, CONDUCTOR, &["status"]).await?;
            if said.contains(&wanted)
                && view.get("charter_hash").and_then(Value::as_str) == Some(&self.hash.to_string())
            {
                return Ok(());
            }
            if began.elapsed() > WITHIN {
                bail!("version {} of the charter is not in force within {} s: {said}", self.number, WITHIN.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
