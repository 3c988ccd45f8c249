//! The proof that a key is destroyed: its certificate, and the words of its signers that nothing of it is left with them.
//!
//! The file is text: [`HEAD`], then lines of a word and an envelope in base64 (RFC 4648 section 4), one `certificate` and one
//! `destroyed` for each signer. What it proves is what the signers say: that of each is worth as much as that signer.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use limen_wire::destroyed::KeyDestroyed;
use limen_wire::envelope::EnvelopeError;
use limen_wire::ids::{ClusterId, NodeId};
use limen_wire::intent::IntentError;
use limen_wire::pb;
use limen_wire::statement::{KeyStatement, StatementError};
use prost::Message as _;

use crate::trust::Trust;

/// The first line of a proof.
pub const HEAD: &str = "limen key destruction v1";
/// Longest proof that is read, in bytes.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Most words of one proof.
const MAX_WORDS: usize = 64;

/// Why a proof shows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestructionError {
    /// Not in its form.
    #[error("line {line} of the proof is not in its form: {why}")]
    Form {
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// Longer than [`MAX_BYTES`], or more words than signers.
    #[error("the proof is longer than any can be")]
    TooLong,
    /// The certificate of the key.
    #[error("the key's certificate: {0}")]
    Certificate(#[from] StatementError),
    /// Of another cluster.
    #[error("the proof is of cluster {found}, {expected} is trusted")]
    Cluster {
        /// Whose it is.
        found: ClusterId,
        /// Which is trusted.
        expected: ClusterId,
    },
    /// A key of one token that the trust file does not name at that signer.
    #[error("the key lives in one token, and the trust file does not say so")]
    OutsideThePromise,
    /// A signer's word.
    #[error("a signer's word: {0}")]
    Word(#[from] IntentError),
    /// Not signed by the one whose word it is to be.
    #[error("the word of {node}: {source}")]
    Signature {
        /// Whose.
        node: NodeId,
        /// What is wrong.
        source: EnvelopeError,
    },
    /// Nobody that is pinned.
    #[error("no public key is pinned for node {0}")]
    NotPinned(NodeId),
    /// About something else.
    #[error("the word of {0} is not about the key of the certificate, or stands there twice")]
    OtherKey(NodeId),
}

/// A proof as it is passed on.
#[derive(Debug, Clone, PartialEq)]
pub struct DestructionProof {
    /// The statement of all members.
    pub certificate: pb::Envelope,
    /// Signers' words.
    pub words: Vec<pb::Envelope>,
}

/// What a proof shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroyed {
    /// The key, as its certificate has it.
    pub key: KeyStatement,
    /// Who has destroyed what was held there: members, and others that held shares before.
    pub words: BTreeMap<NodeId, KeyDestroyed>,
    /// Members whose word is lacking.
    pub lacking: Vec<NodeId>,
}

impl Destroyed {
    /// Whether so few members may have a share still that they could not sign.
    pub fn is_beyond_signing(&self) -> bool {
        self.lacking.len() < usize::from(self.key.size.signers_required())
    }
}

fn envelope(line: usize, text: &str) -> Result<pb::Envelope, DestructionError> {
    let form = |why| DestructionError::Form { line, why };
    let bytes = Base64::decode_vec(text).map_err(|_| form("no base64"))?;
    pb::Envelope::decode(bytes.as_slice()).map_err(|_| form("no envelope"))
}

impl DestructionProof {
    /// The text of the file.
    pub fn encode(&self) -> String {
        let line = |word: &str, envelope: &pb::Envelope| {
            format!("{word} {}\n", Base64::encode_string(&envelope.encode_to_vec()))
        };
        let mut text = format!("{HEAD}\n{}", line("certificate", &self.certificate));
        text.extend(self.words.iter().map(|word| line("destroyed", word)));
        text
    }

    /// Reads it. Nothing is verified.
    pub fn decode(text: &str) -> Result<Self, DestructionError> {
        if text.len() > MAX_BYTES {
            return Err(DestructionError::TooLong);
        }
        let mut lines = (1..).zip(text.lines());
        let form = |line, why| DestructionError::Form { line, why };
        if lines.next().map(|(_, head)| head) != Some(HEAD) {
            return Err(form(1, "it does not begin as a proof does"));
        }
        let (number, first) = lines.next().unwrap_or((2, ""));
        let certificate = first.strip_prefix("certificate ").ok_or_else(|| form(number, "a certificate is needed"))?;
        let certificate = envelope(number, certificate)?;
        let mut words = Vec::new();
        for (number, line) in lines {
            let word = line.strip_prefix("destroyed ").ok_or_else(|| form(number, "a signer's word is needed"))?;
            if words.len() == MAX_WORDS {
                return Err(DestructionError::TooLong);
            }
            words.push(envelope(number, word)?);
        }
        Ok(Self { certificate, words })
    }

    /// Verifies it with nothing but what is pinned.
    pub fn verify(&self, trust: &Trust) -> Result<Destroyed, DestructionError> {
        let key = KeyStatement::from_certificate(&self.certificate, trust)?;
        if key.cluster != *trust.cluster() {
            return Err(DestructionError::Cluster { found: key.cluster, expected: trust.cluster().clone() });
        }
        // Every signer could state such a key, of any name.
        if !key.protocol.is_threshold() && trust.hsm_key(&key.key_id) != key.nodes.first() {
            return Err(DestructionError::OutsideThePromise);
        }
        let mut words = BTreeMap::new();
        for envelope in &self.words {
            let (word, opened) = KeyDestroyed::open(envelope)?;
            let node = word.node.clone();
            let pinned = trust.node_key(&node).ok_or_else(|| DestructionError::NotPinned(node.clone()))?;
            opened
                .verify(node.as_str(), &pinned)
                .map_err(|source| DestructionError::Signature { node: node.clone(), source })?;
            let is_of_this =
                word.cluster == key.cluster && word.key_id == key.key_id && word.public_key == key.public_key;
            if !is_of_this || words.insert(node.clone(), word).is_some() {
                return Err(DestructionError::OtherKey(node));
            }
        }
        let lacking = key.nodes.iter().filter(|node| !words.contains_key(*node)).cloned().collect();
        Ok(Destroyed { key, words, lacking })
    }
}

#[cfg(test)]
mod tests;
