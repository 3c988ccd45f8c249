//! A receipt's one encoding.

use limen_wire::{limits, pb};
use prost::Message as _;

use super::{LoggedLeaf, Receipt, ReceiptError};
use crate::checkpoint::{MAX_NOTE_BYTES, SignedCheckpoint};
use crate::codec::{Malformed, Reader, put_blob};
use crate::leaf;
use crate::merkle::{InclusionProof, TreeHash};

/// How a receipt begins.
pub const MAGIC: [u8; 8] = *b"LIMENRCT";
/// Version of the encoding: the byte after [`MAGIC`].
pub const VERSION: u8 = 1;
/// Most bytes of a receipt.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;
/// Most bytes of an envelope: the payload, its type and its signatures.
const MAX_ENVELOPE_BYTES: usize = limits::ENVELOPE_PAYLOAD_BYTES + 16 * 1024;

impl Receipt {
    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        put_blob(&mut out, &self.intent.encode_to_vec());
        put_blob(&mut out, &self.key.encode_to_vec());
        // a session has at most 32 participants
        out.push(u8::try_from(self.authorizations.len()).unwrap_or(u8::MAX));
        self.authorizations.iter().for_each(|leaf| put_leaf(&mut out, leaf));
        put_leaf(&mut out, &self.signature);
        put_blob(&mut out, self.checkpoint.to_note().as_bytes());
        out
    }

    /// Reads a file. What it returns is well formed and not yet verified.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > MAX_BYTES {
            return Err(Malformed::Field { field: "receipt", form: "at most 4 MiB long" }.into());
        }
        let mut reader = Reader::new(bytes);
        let head = reader.array::<9>("magic").map_err(|_| ReceiptError::NotAReceipt)?;
        let (magic, version) = (head.first_chunk::<8>(), head.last());
        if magic != Some(&MAGIC) || version != Some(&VERSION) {
            return Err(ReceiptError::NotAReceipt);
        }
        let intent = envelope(&mut reader, "intent")?;
        let key = envelope(&mut reader, "key")?;
        let count = reader.u8("authorizations")?;
        let authorizations: Result<Vec<_>, _> = (0..count).map(|_| logged_leaf(&mut reader)).collect();
        let (authorizations, signature) = (authorizations?, logged_leaf(&mut reader)?);
        let checkpoint = SignedCheckpoint::parse(reader.blob("checkpoint", MAX_NOTE_BYTES)?)?;
        reader.end()?;
        Ok(Self { intent, key, authorizations, signature, checkpoint })
    }
}

/// Protocol buffers have many encodings of one message: only the one that encoding gives is taken.
fn envelope(reader: &mut Reader<'_>, field: &'static str) -> Result<pb::Envelope, Malformed> {
    let bytes = reader.blob(field, MAX_ENVELOPE_BYTES)?;
    let envelope = pb::Envelope::decode(bytes).ok().filter(|envelope| envelope.encode_to_vec() == bytes);
    envelope.ok_or(Malformed::Field { field, form: "an envelope in its canonical encoding" })
}

fn put_leaf(out: &mut Vec<u8>, logged: &LoggedLeaf) {
    out.extend_from_slice(&logged.index.to_be_bytes());
    put_blob(out, &logged.leaf);
    // a proof has at most 63 hashes
    out.push(u8::try_from(logged.proof.path().len()).unwrap_or(u8::MAX));
    logged.proof.path().iter().for_each(|hash| out.extend_from_slice(hash.as_bytes()));
}

fn logged_leaf(reader: &mut Reader<'_>) -> Result<LoggedLeaf, Malformed> {
    let index = reader.u64("index")?;
    let leaf = reader.blob("leaf", leaf::MAX_BYTES)?.to_vec();
    let count = reader.u8("proof")?;
    let path: Result<Vec<_>, _> = (0..count).map(|_| reader.array("proof").map(TreeHash::new)).collect();
    let proof = InclusionProof::new(path?);
    let proof = proof.map_err(|_| Malformed::Field { field: "proof", form: "at most 63 hashes" })?;
    Ok(LoggedLeaf { index, leaf, proof })
}
