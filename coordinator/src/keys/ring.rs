//! The keys that sign, ready for use.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use limen_policy::charter::Charter;
use limen_wire::ids::{Epoch, KeyId};
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, StatementError};

use crate::lifecycle::Committee;

/// A key with a verified certificate.
#[derive(Debug)]
pub struct ActiveKey {
    /// What all members state.
    pub statement: KeyStatement,
    /// Who signs with it.
    pub committee: Committee,
    /// The statement with the signatures of all members.
    pub certificate: pb::Envelope,
}

impl ActiveKey {
    /// Verifies a certificate under the pinned keys.
    pub fn from_certificate(certificate: &pb::Envelope, charter: &Charter) -> Result<Self, StatementError> {
        let statement = KeyStatement::from_certificate(certificate, charter)?;
        let committee = Committee {
            members: statement.nodes.clone(),
            required: usize::from(statement.size.signers_required()),
            max_sessions: charter.bounds.max_sessions,
        };
        Ok(Self { statement, committee, certificate: certificate.clone() })
    }
}

/// All keys that sign, and the earlier epochs of each: what was signed with them is proved by them.
#[derive(Debug, Default)]
pub struct KeyRing(RwLock<BTreeMap<KeyId, BTreeMap<Epoch, Arc<ActiveKey>>>>);

impl KeyRing {
    /// Takes a key's epoch in.
    pub fn insert(&self, key: ActiveKey) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.entry(key.statement.key_id.clone()).or_default().insert(key.statement.epoch, Arc::new(key));
    }
    /// The key of this name, as it signs now.
    pub fn find(&self, id: &KeyId) -> Option<Arc<ActiveKey>> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(id)?.last_key_value().map(|(_, key)| Arc::clone(key))
    }
    /// The epoch in which each key signs now.
    pub fn epochs(&self) -> Vec<(KeyId, Epoch)> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().filter_map(|(id, epochs)| Some((id.clone(), *epochs.last_key_value()?.0))).collect()
    }
    /// The key of this name as it signed in an epoch.
    pub fn find_at(&self, id: &KeyId, epoch: Epoch) -> Option<Arc<ActiveKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id)?.get(&epoch).cloned()
    }
}
