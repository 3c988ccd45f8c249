//! Leaves of the evidence log: what a permission and its signature leave behind, and when none is given for lack of them.

use limen_evidence::leaf::{AccountKey, Authorization, Digests, Signature, Signed, authorization::MAX_DIGESTS};
use limen_wire::error::{ApiError, Code};

use super::{JournalView, SignCall, SignToken};
use crate::clock::{Millis, Uptime};
use crate::store::rows::StoredSignature;

/// Milliseconds of running time after which an own leaf that is not in a log with enough cosignatures ends all permissions.
pub const LEAF_PATIENCE_MS: u64 = 60_000;
/// Own leaves that may wait for the log; with more, nothing is allowed.
pub const PENDING_LEAVES: u64 = 65_536;

/// Refuses while the log lacks a leaf of this signer's own for too long: somebody may be hiding what was allowed.
pub(super) fn check_leaves<V: JournalView>(
    view: &V,
    call: &SignCall,
    now: Uptime,
) -> Result<Option<ApiError>, V::Error> {
    let missing = view.missing_leaves()?;
    let refuse = |message| Ok(Some(ApiError::new(Code::LeafMissing, message)));
    if missing.count >= PENDING_LEAVES {
        return refuse(format!("{} leaves of this signer's own wait for the log, as many as may", missing.count));
    }
    let waited = missing.oldest.map_or(0, |since| now.0.saturating_sub(since.0));
    if waited < call.leaf_patience_ms || missing.count == 0 {
        return Ok(None);
    }
    let (waited, bound) = (waited / 1000, call.leaf_patience_ms / 1000);
    refuse(format!(
        "{} leaves of this signer's own are in no log that enough nodes have cosigned, the oldest for {waited} s; {bound} s are allowed",
        missing.count
    ))
}

impl SignToken {
    /// The authorization leaf of this permission, still without this signer's signature. `None` if this signer is no
    /// member of the key, for which the guard makes no token.
    pub fn authorization(&self, now: Millis) -> Option<Authorization> {
        let (examined, key) = (self.examined(), self.key());
        let intent = examined.intent();
        let evidence = self.record().evidence;
        let mut approvals = evidence.approvals;
        approvals.sort_unstable();
        approvals.truncate(MAX_DIGESTS);
        Some(Authorization {
            cluster: key.public.cluster.clone(),
            node: key.node_at(key.me)?.clone(),
            intent: intent.id,
            requester_key: examined.requester_key,
            effects: examined.effects_digest,
            decoder_version: examined.decoded.effects.decoder_version,
            charter: examined.charter(),
            slice: *examined.decision().slice.as_bytes(),
            freeze_epoch: *examined.freeze_epoch().as_bytes(),
            approvals: Digests::new(approvals)?,
            certificate: evidence.certificate,
            session: *self.session(),
            signers: self.call().signers.clone(),
            key: intent.key_id.clone(),
            epoch: key.public.epoch,
            path: self.path().clone(),
            max_corrupt: key.public.size.signers_required().saturating_sub(1),
            allowed_at_ms: now.0,
        })
    }

    /// The leaf of the signature that this permission led to. `None` if these bytes are no signature of the key's scheme.
    pub fn signature_leaf(&self, stored: &StoredSignature) -> Option<Signature> {
        let (examined, public) = (self.examined(), &self.key().public);
        Some(Signature {
            cluster: public.cluster.clone(),
            intent: examined.intent().id,
            key: public.key.clone(),
            epoch: public.epoch,
            account_key: AccountKey::new(public.scheme, &examined.public_key())?,
            // Of the payload, as who verifies a receipt computes it: not every scheme signs a message as it is.
            signed: Signed::of(&examined.decoded.signing),
            signature: stored.signature.as_slice().try_into().ok()?,
            recovery_id: stored.recovery_id,
            session: *self.session(),
            signers: self.call().signers.clone(),
        })
    }
}
