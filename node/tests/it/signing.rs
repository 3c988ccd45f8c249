//! Keys are made and used end to end.

use limen_wire::ids::{Protocol, Scheme};
use limen_wire::intent::seal_intent;

use crate::cluster::{Cluster, evm_message, evm_transfer, refusal, signature};

#[tokio::test(flavor = "multi_thread")]
async fn dkls23_signs_end_to_end_and_repeats() {
    let cluster = Cluster::start(3, 2).await;
    let public = cluster.make_key("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;

    let raw = evm_transfer(&cluster, "treasury", "w-1", 0, 1_000);
    let (_, intent) = seal_intent(&raw, &cluster.backend).unwrap();
    let answers = cluster.sign(&intent, &[1, 3]).await;
    let first = signature(&answers[0]);
    assert_eq!(first, signature(&answers[1]));
    assert_eq!(first.public_key.to_vec(), public);
    assert_eq!(first.signers, [1, 3]);
    assert!(!first.signed_transaction.is_empty());

    // the same request again: the stored answer, also through another set and session
    let again = cluster.sign(&intent, &[1, 3]).await;
    assert_eq!(signature(&again[0]), first);
    // signer 2 took no part: with 1, which repeats, it waits in vain, so the answer comes from 1 alone
    let (_, other) = evm_message(&cluster, "treasury", "w-1", "another thing");
    let conflict = cluster.sign(&other, &[1, 3]).await;
    assert_eq!(refusal(&conflict[0]).code, "idempotency_conflict");
    assert_eq!(refusal(&conflict[1]).code, "idempotency_conflict");
}
