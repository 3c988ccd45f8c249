//! Assertions made elsewhere, and the read-back words.

use std::collections::BTreeMap;

use limen_wire::approval::{Approval, Assertion, Verdict};
use serde_json::Value;

use super::{approval, passkey};
use crate::approval::webauthn::{Seen, verify};
use crate::approval::{AssertionError, words};

/// What W3C publishes as test vectors, by the end of the section's name, and what we say to each. The section says nothing of
/// who requires user verification: we do, so the vectors without it are refused for that alone.
#[test]
fn the_vectors_of_the_recommendation() {
    let file: Value = serde_json::from_str(include_str!("w3c_level3.json")).unwrap();
    let bytes = |vector: &Value, field: &str| hex::decode(vector[field].as_str().unwrap()).unwrap();
    let mut said = BTreeMap::new();
    for vector in file["vectors"].as_array().unwrap() {
        let key = vector["public_key"].as_str().unwrap().parse().unwrap();
        let challenge = bytes(vector, "challenge").try_into().unwrap();
        let mut assertion = Assertion {
            authenticator_data: bytes(vector, "authenticator_data").into(),
            client_data: bytes(vector, "client_data").into(),
            signature: bytes(vector, "signature").into(),
        };
        said.insert(vector["name"].as_str().unwrap(), verify(&assertion, &passkey(), &key, &challenge));
        // Whatever else we think of it, its signature is a good one, and no longer with a bit changed.
        let signed =
            |a: &Assertion| [a.authenticator_data.as_ref(), &limen_wire::effects::sha256(&a.client_data)].concat();
        assert!(key.verify_assertion(&signed(&assertion), &assertion.signature), "{}", vector["name"]);
        let mut data = assertion.authenticator_data.to_vec();
        data[36] ^= 1;
        assertion.authenticator_data = data.into();
        assert!(!key.verify_assertion(&signed(&assertion), &assertion.signature), "{}", vector["name"]);
    }
    let good = Ok(Seen { backup_eligible: true, sign_count: 0 });
    let expected = BTreeMap::from([
        ("none-es256", Err(AssertionError::NotVerified)),
        ("packed-self-es256", Err(AssertionError::NotVerified)),
        ("none-es256-crossOrigin", Err(AssertionError::Framed)),
        ("none-es256-topOrigin", Err(AssertionError::Framed)),
        ("none-es256-long-credential-id", good.clone()),
        ("packed-es256", good.clone()),
        ("packed-eddsa", Err(AssertionError::NotVerified)),
        ("tpm-es256", good),
        ("android-key-es256", Err(AssertionError::NotVerified)),
        ("apple-es256", Err(AssertionError::NotVerified)),
        ("fido-u2f-es256", Err(AssertionError::NotVerified)),
    ]);
    assert_eq!(said, expected);
}

#[test]
fn the_words_never_change() {
    let frozen = Approval { expires_at_secs: 1_800_000_000, ..approval("alice", "token") };
    // Computed apart from this code, from docs/approvals.md and the English list of BIP-39.
    assert_eq!(
        words::read_back(&frozen).join(" "),
        "brain stamp dinner adult lawn quarter food kit salad obvious cry choice"
    );
}

#[test]
fn other_words_for_anything_else() {
    let said = approval("alice", "token");
    let words = words::read_back(&said);
    assert!(words.iter().all(|word| !word.is_empty()));
    assert_ne!(words, words::read_back(&Approval { nonce: [6; 32], ..said.clone() }));
    assert_ne!(words, words::read_back(&Approval { verdict: Verdict::Withdraw, ..said }));
}
