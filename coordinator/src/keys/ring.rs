//! The keys that sign, ready for use.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use limen_policy::charter::Charter;
use limen_wire::ids::{KeyId, NodeId};
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
        let statement = KeyStatement::from_certificate(certificate, &|node: &NodeId| charter.node_key(node))?;
        let committee = Committee {
            members: statement.nodes.clone(),
            required: usize::from(statement.size.signers_required()),
            max_sessions: charter.bounds.max_sessions,
        };
        Ok(Self { statement, committee, certificate: certificate.clone() })
    }
}

/// All keys that sign.
#[derive(Debug, Default)]
pub struct KeyRing(RwLock<BTreeMap<KeyId, Arc<ActiveKey>>>);

impl KeyRing {
    /// Takes a key in.
    pub fn insert(&self, key: ActiveKey) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.statement.key_id.clone(), Arc::new(key));
    }
    /// The key of this name.
    pub fn find(&self, id: &KeyId) -> Option<Arc<ActiveKey>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}
