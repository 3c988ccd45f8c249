//! The check of a receipt: from what is pinned to the signature, nothing believed on the way.

use std::collections::{BTreeMap, BTreeSet};

use limen_chain::{NoTokenKinds, Point, derive_public};
use limen_wire::effects::{Address, ChainId, Effects};
use limen_wire::ids::{NodeId, PartyIndex};
use limen_wire::intent::Intent;
use limen_wire::statement::KeyStatement;

use super::{Receipt, ReceiptError};
use crate::checkpoint::{Checkpoint, Cosignatures, log_origin};
use crate::leaf::{AccountKey, Authorization, Signature, Signed, SignedAuthorization};
use crate::trust::Trust;

/// Whether the log can still be shown otherwise to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finality {
    /// A quorum of the committee has cosigned: no other log of that size can become final.
    Final,
    /// Fewer have: ask for a newer receipt.
    NotYet {
        /// Members that have cosigned.
        have: usize,
        /// Members needed.
        need: usize,
    },
}

/// What a receipt proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What was asked for.
    pub intent: Intent,
    /// What the bytes do, as decoded here without any charter's registry of assets.
    pub effects: Effects,
    /// Whether that is what every authorization recorded; where it is not, reading the bytes takes the charter, or another
    /// release of the decoder.
    pub effects_agree: bool,
    /// The key, as its members attest it.
    pub key: KeyStatement,
    /// The account that signed.
    pub account: Address,
    /// The signature.
    pub signature: Signature,
    /// What the participants recorded, in the order of the log.
    pub authorizations: Vec<Authorization>,
    /// The checkpoint that all of it is in.
    pub checkpoint: Checkpoint,
    /// Who cosigned it, with the time that each names, in seconds since 1970.
    pub cosigned_by: BTreeMap<NodeId, u64>,
    /// Whether the checkpoint is final.
    pub finality: Finality,
    /// `f`: how many signers of the key may be corrupt, by the charter of the most cautious participant.
    pub max_corrupt: u8,
}

impl Verified {
    /// Whether the charter reckons with fewer corrupt signers than `signers_required − 1`.
    pub const fn max_corrupt_is_lowered(&self) -> bool {
        self.max_corrupt < self.key.size.signers_required().saturating_sub(1)
    }
    /// Whether the key lives in one token: then whoever held that or its signer could sign alone.
    pub const fn is_outside_the_promise(&self) -> bool {
        !self.key.protocol.is_threshold()
    }
    /// How many of the authorizations are by honest signers at least, while no more than `f` are corrupt.
    /// None of a key that lives in one token: its one signer was believed.
    pub fn honest_at_least(&self) -> usize {
        if self.is_outside_the_promise() {
            return 0;
        }
        self.authorizations.len().saturating_sub(usize::from(self.max_corrupt))
    }
}

impl Receipt {
    /// Verifies everything under what is pinned. Cheap checks come first.
    pub fn verify(&self, trust: &Trust) -> Result<Verified, ReceiptError> {
        let (intent, opened) = Intent::open(&self.intent)?;
        same_cluster(trust, "intent", intent.cluster.as_str(), trust.cluster().as_str())?;
        let signature = Signature::decode(&self.signature.leaf)?;
        check_signature_leaf(&intent, &signature)?;
        let leaves: Result<Vec<_>, _> =
            self.authorizations.iter().map(|logged| SignedAuthorization::decode(&logged.leaf)).collect();
        let leaves = leaves?;
        for leaf in &leaves {
            check_authorization(&intent, &signature, leaf.unverified())?;
        }
        let checkpoint = self.checkpoint.checkpoint();
        same_cluster(trust, "checkpoint", checkpoint.origin(), &log_origin(trust.cluster()))?;
        self.check_places()?;
        for logged in self.authorizations.iter().chain([&self.signature]) {
            let not_in_log = |source| ReceiptError::NotInLog { index: logged.index, source };
            logged.verify(checkpoint).map_err(not_in_log)?;
        }
        let cosignatures = self.check_cosigners(trust)?;

        let key = self.check_key(trust, &signature)?;
        let max_corrupt = check_participants(&key, &leaves)?;
        let (account, effects) = check_signature(&intent, &key, &signature)?;
        let requester_key = leaves.first().map(|leaf| leaf.unverified().requester_key);
        let requester = intent.requester.as_str();
        let signed = requester_key.is_some_and(|key| opened.verify(requester, &key).is_ok());
        if !signed || opened.claimed_signers().count() != 1 {
            return Err(ReceiptError::Requester);
        }
        let authorizations = check_signed(trust, &leaves)?;
        let digest = effects.digest();
        Ok(Verified {
            effects_agree: authorizations.iter().all(|leaf| leaf.effects == digest),
            intent,
            effects,
            key,
            account,
            signature,
            authorizations,
            checkpoint: checkpoint.clone(),
            finality: if cosignatures.is_final() {
                Finality::Final
            } else {
                Finality::NotYet { have: cosignatures.by.len(), need: cosignatures.quorum }
            },
            cosigned_by: cosignatures.by,
            max_corrupt,
        })
    }

    /// Each leaf once, authorizations in the order of the log and the signature after them.
    fn check_places(&self) -> Result<(), ReceiptError> {
        let mut places = self.authorizations.iter().chain([&self.signature]).map(|logged| logged.index);
        let mut before = places.next();
        for index in places {
            if before >= Some(index) {
                let (part, other) = ("a leaf", "the one after it");
                return Err(ReceiptError::Mismatch { part, other, field: "order of the log" });
            }
            before = Some(index);
        }
        Ok(())
    }

    /// One encoding: only members, each once, sorted by name. At least one, or nothing vouches for the log at all.
    fn check_cosigners(&self, trust: &Trust) -> Result<Cosignatures, ReceiptError> {
        let cosignatures = trust.committee().count(&self.checkpoint)?;
        let names: Vec<&str> = self.checkpoint.signatures().iter().map(|line| line.name()).collect();
        let sorted = names.iter().zip(names.iter().skip(1)).all(|(before, after)| before < after);
        if cosignatures.surplus > 0 || !sorted {
            return Err(ReceiptError::Cosigners);
        }
        Ok(cosignatures)
    }

    fn check_key(&self, trust: &Trust, signature: &Signature) -> Result<KeyStatement, ReceiptError> {
        let key = KeyStatement::from_attestation(&self.key, trust)?;
        let names: Vec<&str> = self.key.signatures.iter().map(|signature| signature.signer.as_str()).collect();
        let sorted = names.iter().zip(names.iter().skip(1)).all(|(before, after)| before < after);
        same_cluster(trust, "key statement", key.cluster.as_str(), trust.cluster().as_str())?;
        let differ = |field| Err(ReceiptError::Mismatch { part: "key statement", other: "signature", field });
        if !sorted {
            return differ("order of names");
        }
        if key.key_id != signature.key {
            return differ("key");
        }
        let alone = trust.hsm_key(&key.key_id);
        if key.protocol.is_threshold() == alone.is_some() || alone.is_some_and(|node| key.nodes != [node.clone()]) {
            return Err(ReceiptError::OutsideThePromise { key: key.key_id });
        }
        if key.epoch != signature.epoch {
            return differ("epoch");
        }
        if key.scheme != signature.account_key.scheme() {
            return differ("scheme");
        }
        if signature.signers.len() != usize::from(key.size.signers_required()) {
            return differ("number of signers");
        }
        Ok(key)
    }
}

fn same_cluster(trust: &Trust, part: &'static str, found: &str, expected: &str) -> Result<(), ReceiptError> {
    if found == expected {
        return Ok(());
    }
    let found = found.chars().take(200).collect();
    Err(ReceiptError::OtherCluster { part, found, expected: trust.cluster().clone() })
}

fn check_signature_leaf(intent: &Intent, signature: &Signature) -> Result<(), ReceiptError> {
    let differ = |field| Err(ReceiptError::Mismatch { part: "signature", other: "intent", field });
    if signature.cluster != intent.cluster {
        return differ("cluster");
    }
    if signature.intent != intent.id {
        return differ("intent id");
    }
    if signature.key != intent.key_id {
        return differ("key");
    }
    Ok(())
}

fn check_authorization(intent: &Intent, signature: &Signature, leaf: &Authorization) -> Result<(), ReceiptError> {
    let differ = |other, field| Err(ReceiptError::Mismatch { part: "authorization", other, field });
    if leaf.cluster != intent.cluster {
        return differ("intent", "cluster");
    }
    if leaf.intent != intent.id {
        return differ("intent", "intent id");
    }
    if leaf.key != intent.key_id {
        return differ("intent", "key");
    }
    if leaf.path.steps() != intent.path {
        return differ("intent", "path");
    }
    if leaf.session != signature.session {
        return differ("signature", "session");
    }
    if leaf.signers != signature.signers {
        return differ("signature", "signers");
    }
    if leaf.epoch != signature.epoch {
        return differ("signature", "epoch");
    }
    // What the guard refuses: whole seconds, and the moment of expiry itself is too late.
    if leaf.allowed_at_ms / 1000 >= intent.expires_at_secs {
        return Err(ReceiptError::Late { node: leaf.node.clone() });
    }
    Ok(())
}

/// Who authorized: distinct participants, enough of them, of one mind about the requester. Returns the largest `f` among them.
fn check_participants(key: &KeyStatement, leaves: &[SignedAuthorization]) -> Result<u8, ReceiptError> {
    let required = key.size.signers_required();
    let mut seen = BTreeSet::new();
    let mut readings = BTreeMap::new();
    let mut max_corrupt = 0;
    let first = leaves.first().map(SignedAuthorization::unverified);
    for leaf in leaves.iter().map(SignedAuthorization::unverified) {
        let node = || leaf.node.clone();
        let index = key.nodes.iter().zip(1..).find(|(member, _)| **member == leaf.node).map(|(_, index)| index);
        let index = index.and_then(|index| PartyIndex::new(index).ok());
        if !index.is_some_and(|index| leaf.signers.contains(index) && seen.insert(index)) {
            return Err(ReceiptError::NotParticipant { node: node() });
        }
        if leaf.max_corrupt >= required {
            return Err(ReceiptError::MaxCorrupt { node: node(), max_corrupt: leaf.max_corrupt, required });
        }
        max_corrupt = leaf.max_corrupt.max(max_corrupt);
        let differ =
            |field| Err(ReceiptError::Mismatch { part: "one participant's authorization", other: "another's", field });
        if first.is_some_and(|first| first.requester_key != leaf.requester_key) {
            return differ("requester's key");
        }
        let reading = readings.entry((leaf.charter, leaf.decoder_version)).or_insert(leaf.effects);
        if *reading != leaf.effects {
            return differ("effects, read by one decoder under one charter");
        }
    }
    let need = usize::from(required.saturating_sub(max_corrupt)).max(1);
    if leaves.len() < need {
        return Err(ReceiptError::TooFewAuthorizations { have: leaves.len(), need });
    }
    Ok(max_corrupt)
}

/// Recomputes what was signed from the intent's bytes, and verifies the signature over it under the derived key.
fn check_signature(
    intent: &Intent,
    key: &KeyStatement,
    signature: &Signature,
) -> Result<(Address, Effects), ReceiptError> {
    let differ = |field| ReceiptError::Mismatch { part: "signature", other: "intent", field };
    let public_key = account_key(key, &intent.path)?;
    if public_key != signature.account_key.as_bytes() {
        return Err(differ("public key"));
    }
    let chain = intent.chain.clone().unwrap_or_else(ChainId::offchain);
    let account = limen_chain::address(&chain, key.scheme, &public_key)?;
    let decoded = limen_chain::decode(&(&intent.payload).into(), &chain, &account, &NoTokenKinds)?;
    if Signed::of(&decoded.signing) != signature.signed {
        return Err(differ("bytes signed"));
    }
    let message = decoded.signing.for_scheme(key.scheme).ok_or(ReceiptError::Signature)?;
    let account_key = AccountKey::new(key.scheme, &public_key).ok_or(ReceiptError::Signature)?;
    if !account_key.verify(&message, &signature.signature, signature.recovery_id) {
        return Err(ReceiptError::Signature);
    }
    Ok((account, decoded.effects))
}

/// The account's public key: the key's own, or its child along the path.
fn account_key(key: &KeyStatement, path: &[u32]) -> Result<Vec<u8>, ReceiptError> {
    let point = Point::of_key(key.scheme, &key.public_key)?;
    let path = limen_chain::DerivationPath::new(path.to_vec())?;
    let child = derive_public(&point, &key.chain_code, &path)?;
    Ok(child.public_key.to_key(key.scheme).to_vec())
}

fn check_signed(trust: &Trust, leaves: &[SignedAuthorization]) -> Result<Vec<Authorization>, ReceiptError> {
    let verified = |leaf: &SignedAuthorization| {
        let node = &leaf.unverified().node;
        let key = trust.node_key(node);
        key.and_then(|key| leaf.verify(&key).cloned()).ok_or_else(|| ReceiptError::Unsigned { node: node.clone() })
    };
    leaves.iter().map(verified).collect()
}
