//! The people of a development cluster, whose keys lie in files here, and what they do: approve, freeze, lift.
//!
//! They say it exactly as `limen approve`, `limen freeze` and `limen unfreeze` do.

use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use limen_client::{Client, Request, Signers};
use limen_policy::charter::Charter;
use limen_wire::freeze::{Freeze, FreezeScope};
use limen_wire::ids::IntentId;
use limen_wire::pb;

use super::charter;
use super::layout::Layout;
use crate::commands::approval::{self, Said};
use crate::commands::stop;

/// Everybody; the house's rules say who is in which group.
pub(crate) const PEOPLE: [&str; 4] = ["anna", "boris", "carla", "dora"];

/// Where a person's key lies in the cluster's folder.
pub(crate) fn key_file(person: &str) -> String {
    format!("people/{person}.pem")
}

/// The name of a person's one credential.
pub(crate) fn credential(person: &str) -> String {
    format!("{person}-terminal")
}

/// Who is at their desks.
pub(crate) struct People<'a> {
    layout: &'a Layout,
    charter: &'a Charter,
    client: &'a Client,
    signers: Signers,
}

impl<'a> People<'a> {
    pub(crate) const fn new(layout: &'a Layout, charter: &'a Charter, client: &'a Client, signers: Signers) -> Self {
        Self { layout, charter, client, signers }
    }

    fn key_of(&self, person: &str) -> PathBuf {
        self.layout.path(&key_file(person))
    }

    /// Approves a request as this person.
    pub(crate) async fn approve(&self, person: &str, id: IntentId) -> Result<(Request, Said)> {
        let charter = self.layout.path(charter::FILE);
        let said = approval::approve_with_key(self.client, id, charter, &self.key_of(person)).await;
        said.with_context(|| format!("{person} could not approve {id}"))
    }

    /// Freezes as this person, straight at the signers; gives the freeze and how many hold it.
    pub(crate) async fn freeze(&self, person: &str, scope: FreezeScope, reason: &str) -> Result<(IntentId, usize)> {
        let (id, record) = stop::freeze_with_key(self.charter, &self.key_of(person), scope, reason)?;
        Ok((id, self.hand_in(&record).await.with_context(|| format!("{person} could not freeze"))?))
    }

    /// Says as each of these people that the freezes may be lifted.
    pub(crate) async fn unfreeze(&self, people: &[&str], freezes: &[IntentId], reason: &str) -> Result<()> {
        for person in people {
            let record = stop::unfreeze_with_key(self.charter, &self.key_of(person), freezes.to_vec(), reason)?;
            self.hand_in(&record).await.with_context(|| format!("{person} could not lift the freeze"))?;
        }
        Ok(())
    }

    /// Every live freeze that some signer knows, with its words, and how many signers hold it.
    pub(crate) async fn freezes(&self) -> Result<Vec<(Freeze, usize)>> {
        let answers = self.signers.freezes().await;
        if let Some((node, Err(error))) = answers.iter().find(|(_, answer)| answer.is_err()) {
            bail!("{node} does not say what is frozen: {error}");
        }
        Ok(stop::held_freezes(answers))
    }

    async fn hand_in(&self, record: &pb::Envelope) -> Result<usize> {
        let answers = self.signers.hand_in(record).await;
        let holders = answers.iter().filter(|(_, answer)| answer.is_ok()).count();
        match answers.into_iter().find_map(|(node, answer)| Some((node, answer.err()?))) {
            Some((node, error)) if holders == 0 => {
                Err(anyhow!(error).context(format!("no signer took it, not {node}")))
            }
            _ => Ok(holders),
        }
    }
}
