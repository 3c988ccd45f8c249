//! Keys of which this node holds no share: witnesses, and signers outside a key's committee, judge requests too.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use limen_mpc::{KeyPublic, Point};
use limen_policy::charter::Charter;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{Epoch, KeyId, PartyIndex};
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
        let shown = KeyStatement::decode(certificate).map_err(|error| malformed(error.to_string()))?;
        let (key, known) = (shown.key_id.clone(), self.find(&shown.key_id));
        if is_held(&key) || known.as_ref().is_some_and(|known| known.public.epoch >= shown.epoch) {
            return Ok(());
        }
        let moved = match known {
            Some(known) => known.moved || check_successor(charter, &known, &shown)?,
            None => shown.epoch > Epoch::FIRST,
        };
        let statement = KeyStatement::from_certificate(certificate, charter)
            .map_err(|error| ApiError::new(Code::BadSignature, error.to_string()))?;
        // One signer's word is enough for a key in its token: only the charter can say that there is one.
        charter
            .check_held(&statement.key_id, statement.protocol, statement.scheme, &statement.nodes)
            .map_err(|error| ApiError::new(Code::HsmKeyRefused, error.to_string()))?;
        let facts = KeyFacts { moved, ..facts(statement)? };
        let mut overseen = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if overseen.len() >= limits::KEY_SHARES {
            return Err(ApiError::new(Code::Overloaded, "this node oversees as many keys as it can"));
        }
        overseen.insert(key, Arc::new(facts));
        Ok(())
    }
}

/// New shares of a key that is known are for its members, or for those whom the charter names: a few corrupt nodes could certify
/// anything among themselves, and whose words count of what was never allowed hangs on who the members are. `true` if they are others.
fn check_successor(charter: &Charter, known: &KeyFacts, shown: &KeyStatement) -> Result<bool, ApiError> {
    let refuse = |what: &str| {
        let message = format!("epoch {} of key {} is {what}", shown.epoch, shown.key_id);
        Err(ApiError::new(Code::WrongState, message))
    };
    let public = &known.public;
    let public_key = public.public_key.to_key(public.scheme);
    if (public.scheme, public_key, public.chain_code) != (shown.scheme, shown.public_key.as_slice(), shown.chain_code) {
        return refuse("about another public key");
    }
    let is_same = known.nodes == shown.nodes && public.size == shown.size;
    let named = charter.committees.get(&shown.key_id);
    if is_same || named.is_some_and(|named| named.nodes == shown.nodes && named.size == shown.size) {
        return Ok(!is_same);
    }
    refuse("for a committee that the charter does not name")
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
    Ok(KeyFacts { public, nodes: statement.nodes, me, active: true, moved: false })
}
