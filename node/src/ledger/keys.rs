//! Keys of which this node holds no share: witnesses, and signers outside a key's committee, judge requests too.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use limen_mpc::{KeyPublic, Point};
use limen_policy::charter::Charter;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{KeyId, PartyIndex};
use limen_wire::statement::KeyStatement;
use limen_wire::{limits, pb};

use crate::guard::KeyFacts;

/// An index beyond every committee: charters have at most 32 nodes.
const NO_SHARE: u16 = 255;

/// Facts of certified keys, in memory: the certificate comes again with every request.
#[derive(Debug, Default)]
pub(super) struct Overseen(RwLock<HashMap<KeyId, Arc<KeyFacts>>>);

impl Overseen {
    pub(super) fn find(&self, key: &KeyId) -> Option<Arc<KeyFacts>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Learns a key from its certificate: the signatures of all its members under their pinned keys.
    pub(super) fn learn(
        &self,
        charter: &Charter,
        certificate: &pb::Envelope,
        is_held: impl FnOnce(&KeyId) -> bool,
    ) -> Result<(), ApiError> {
        let malformed = |error: String| ApiError::new(Code::Malformed, error);
        let key = KeyStatement::decode(certificate).map_err(|error| malformed(error.to_string()))?.key_id;
        if is_held(&key) || self.find(&key).is_some() {
            return Ok(());
        }
        let statement = KeyStatement::from_certificate(certificate, &|node| charter.node_key(node))
            .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
        // One signer's word is enough for a key in its token: only the charter can say that there is one.
        charter
            .check_held(&statement.key_id, statement.protocol, statement.scheme, &statement.nodes)
            .map_err(|error| ApiError::new(Code::HsmKeyRefused, error.to_string()))?;
        let facts = facts(statement)?;
        let mut overseen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if overseen.len() >= limits::KEY_SHARES {
            return Err(ApiError::new(Code::Overloaded, "this node oversees as many keys as it can"));
        }
        overseen.insert(key, Arc::new(facts));
        Ok(())
    }
}

pub(super) fn facts(statement: KeyStatement) -> Result<KeyFacts, ApiError> {
    let public_key = Point::of_key(statement.scheme, &statement.public_key);
    let public_key = public_key.map_err(|error| ApiError::new(Code::Malformed, error.to_string()))?;
    let me = PartyIndex::new(NO_SHARE).map_err(|error| ApiError::new(Code::Internal, error.to_string()))?;
    let public = KeyPublic {
        cluster: statement.cluster,
        key: statement.key_id,
        epoch: statement.epoch,
        scheme: statement.scheme,
        protocol: statement.protocol,
        size: statement.size,
        public_key,
        chain_code: statement.chain_code,
        verifying_shares: BTreeMap::new(),
    };
    Ok(KeyFacts { public, nodes: statement.nodes, me, active: true })
}
