//! An authenticator and a browser in software, that lie on request.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use limen_wire::approval::{Approval, Assertion, Proof, SignedApproval};
use limen_wire::effects::sha256;
use limen_wire::keys::{PublicKey, SigningKey};
use p256::ecdsa::signature::Signer as _;

/// User present and verified.
pub(super) const PRESENT: u8 = 0x05;
pub(super) const BACKUP_ELIGIBLE: u8 = 0x08;

/// A P-256 passkey with everything that it puts into an assertion.
pub(super) struct Authenticator {
    pub(super) key: p256::ecdsa::SigningKey,
    pub(super) relying_party: String,
    pub(super) flags: u8,
    pub(super) count: u32,
    /// Behind the counter.
    pub(super) tail: Vec<u8>,
}

impl Default for Authenticator {
    fn default() -> Self {
        Self {
            key: p256::ecdsa::SigningKey::from_slice(&[9; 32]).unwrap(),
            relying_party: "example.org".to_owned(),
            flags: PRESENT,
            count: 7,
            tail: Vec::new(),
        }
    }
}

/// Client data as browsers write it (section 5.8.1.1).
pub(super) fn client_data(challenge: &[u8]) -> String {
    let challenge = Base64UrlUnpadded::encode_string(challenge);
    format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"https://example.org","crossOrigin":false}}"#)
}

impl Authenticator {
    pub(super) fn public_key(&self) -> PublicKey {
        SigningKey::P256(self.key.clone()).public_key()
    }

    pub(super) fn data(&self) -> Vec<u8> {
        let head = sha256(self.relying_party.as_bytes());
        [head.as_slice(), &[self.flags], &self.count.to_be_bytes(), &self.tail].concat()
    }

    pub(super) fn assert(&self, client_data: &str) -> Assertion {
        let data = self.data();
        let signature: p256::ecdsa::Signature =
            self.key.sign(&[data.as_slice(), &sha256(client_data.as_bytes())].concat());
        Assertion {
            authenticator_data: data.into(),
            client_data: client_data.as_bytes().to_vec().into(),
            signature: signature.to_der().as_bytes().to_vec().into(),
        }
    }

    pub(super) fn approve(&self, approval: Approval) -> SignedApproval {
        let proof = Proof::Assertion(self.assert(&client_data(approval.digest().as_bytes())));
        SignedApproval { approval, proof }
    }
}
