//! BIP-340 end to end: a key by FROST, a message, and what other people's libraries say to the signature.

use std::process::Command;

use limen_client::{NewIntent, Signed};
use limen_wire::error::Code;
use limen_wire::ids::{KeyId, Protocol, Scheme};
use limen_wire::intent::Payload;

use super::cluster::{Cluster, PATIENCE, repository};
use super::story::viem;

#[tokio::test]
async fn bip_340_signatures_verify_elsewhere() {
    let cluster = Cluster::start(3, 2).await;
    // Of half of all keys that parties make together the y coordinate is odd at first: several, so that some are.
    for number in 1..=4 {
        let key = cluster.make_key(&format!("schnorr-{number}"), Scheme::SchnorrBip340, Protocol::Frost).await;
        let public_key = cluster.client.key(&key).await.unwrap().public_key;
        let message = format!("message {number}").into_bytes();
        let signed = sign(&cluster, NewIntent::message(key.clone(), message.clone())).await;
        assert_eq!(signed.public_key, public_key);
        check(&signed, &message);
        let message = format!("message {number} of a child").into_bytes();
        let child = sign(&cluster, NewIntent::message(key.clone(), message.clone()).path(vec![0, 7])).await;
        assert_ne!(child.public_key, public_key);
        check(&child, &message);
    }
    a_bare_digest_is_denied(&cluster, KeyId::new("schnorr-1").unwrap()).await;
}

async fn sign(cluster: &Cluster, intent: NewIntent) -> Signed {
    let intent = cluster.client.sign_intent(intent).unwrap();
    let signed = cluster.client.sign(&intent, PATIENCE).await;
    signed.unwrap_or_else(|error| panic!("{error}; {}", cluster.logs()))
}

/// Nobody can read what a digest stands for: no rule of the development charter allows one. Sent as a message it is one too, and
/// bytes that nobody can read may be a transaction.
async fn a_bare_digest_is_denied(cluster: &Cluster, key: KeyId) {
    let digest = NewIntent::new(key.clone(), None, Payload::RawDigest([7; 32]));
    let messages = [vec![7; 32], vec![1, 0, 1, 3]].map(|bytes| NewIntent::message(key.clone(), bytes));
    for intent in messages.into_iter().chain([digest]) {
        let intent = cluster.client.sign_intent(intent).unwrap();
        let error = cluster.client.sign(&intent, PATIENCE).await.unwrap_err();
        assert_eq!(error.api().unwrap().code, Code::PolicyDenied, "{error}");
    }
}

/// k256 and, where npm has brought it, noble-curves.
fn check(signed: &Signed, message: &[u8]) {
    let key = k256::schnorr::VerifyingKey::from_bytes(&signed.public_key).unwrap();
    let signature = k256::schnorr::Signature::try_from(&signed.signature[..]).unwrap();
    key.verify_raw(message, &signature).unwrap();
    let Some(folder) = viem() else { return };
    let output = Command::new("node")
        .arg(repository().join("cli/tests/it/e2e/schnorr.mjs"))
        .arg(folder)
        .args([hex::encode(&signed.public_key), hex::encode(message), hex::encode(signed.signature)])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
