//! EIP-191 messages (`personal_sign`).

use alloy_primitives::keccak256;
use limen_wire::effects::{Effect, sha256};

use super::Context;
use crate::payload::{Decoded, SigningInput, effects};
use crate::text;

impl Context<'_> {
    /// Reads a message of version `E`: the digest covers prefix, length and text.
    pub(crate) fn message(&self, bytes: &[u8]) -> Decoded {
        let mut preimage = format!("\x19Ethereum Signed Message:\n{}", bytes.len()).into_bytes();
        preimage.extend_from_slice(bytes);
        let mut list = vec![Effect::Message { signer: self.account.clone(), text: text::shown(bytes) }];
        // Contract accounts (Safe and others) take a signed message of 32 bytes as consent to whatever has that hash.
        if bytes.len() == 32 {
            list.push(Effect::Unknown {
                what: "32 bytes that may be the hash of a transaction of a contract account".to_owned(),
                contract: None,
                hash: sha256(bytes),
            });
        }
        Decoded {
            effects: effects(self.chain, self.account, None, list),
            signing: SigningInput::Digest(keccak256(preimage).0),
        }
    }
}
