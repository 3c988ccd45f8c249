//! Keys are made and used end to end.

use limen_wire::ids::{Protocol, Scheme};
use limen_wire::intent::seal_intent;

use crate::cluster::{
    Cluster, all, evm_message, evm_transfer, message_intent, raw_message, refusal, shared_nonces, signature,
};

#[tokio::test(flavor = "multi_thread")]
async fn dkls23_signs_end_to_end_and_repeats() {
    let cluster = Cluster::start(3, 2).await;
    let public = cluster.make_key("treasury", Scheme::EcdsaSecp256k1, Protocol::Dkls23).await;

    let raw = evm_transfer("treasury", "w-1", 0, 1_000);
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

async fn frost(scheme: Scheme) {
    let cluster = Cluster::start(3, 2).await;
    let public = cluster.make_key("words", scheme, Protocol::Frost).await;
    let (_, cold) = message_intent(&cluster, "words", "m-1", "two rounds");
    let answers = cluster.sign(&cold, &[1, 2]).await;
    assert_eq!(signature(&answers[0]).public_key.to_vec(), public);
    assert_eq!(signature(&answers[0]), signature(&answers[1]));

    // with a nonce of each signer shared ahead it takes one round
    let signers = [2, 3];
    let references = shared_nonces(&cluster, "words", &signers).await;
    let (_, warm) = message_intent(&cluster, "words", "m-2", "one round");
    let answers = cluster.sign_with(&warm, &signers, references.clone()).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    assert_eq!(signature(&answers[0]).public_key.to_vec(), public);
    let pool = answers[0].nonce_pool.as_ref().unwrap();
    assert!(pool.next_index > references[0].index, "it is used up");

    // a used nonce is refused by its owner and by its peer, and costs the intent no session
    let (_, again) = message_intent(&cluster, "words", "m-3", "the same nonces");
    let answers = cluster.sign_with(&again, &signers, references).await;
    assert_eq!(refusal(&answers[0]).code, "nonce_unavailable");
    assert_eq!(refusal(&answers[1]).code, "nonce_unavailable");
    let answers = cluster.sign(&again, &signers).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn frost_ed25519_signs_in_two_rounds_and_in_one() {
    frost(Scheme::EddsaEd25519).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frost_bip340_signs_in_two_rounds_and_in_one() {
    frost(Scheme::SchnorrBip340).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_run_side_by_side() {
    let cluster = std::sync::Arc::new(Cluster::start(3, 2).await);
    cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let sessions = (0..40u32).map(|n| {
        let cluster = std::sync::Arc::clone(&cluster);
        async move {
            let (_, intent) = message_intent(&cluster, "words", &format!("m-{n}"), "many");
            let signers = [[1, 2], [1, 3], [2, 3]][n as usize % 3];
            let answers = cluster.sign(&intent, &signers).await;
            assert_eq!(signature(&answers[0]), signature(&answers[1]));
        }
    });
    all(sessions).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_of_five_and_a_child_key() {
    let cluster = Cluster::start(5, 3).await;
    let parent = cluster.make_key("words", Scheme::EddsaEd25519, Protocol::Frost).await;
    let mut raw = raw_message("words", "m-1", "child");
    raw.path = vec![44, 0, 7];
    let (_, intent) = seal_intent(&raw, &cluster.backend).unwrap();
    let answers = cluster.sign(&intent, &[1, 3, 5]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[2]));
    assert_ne!(signature(&answers[0]).public_key.to_vec(), parent);
}

/// Real safe primes: minutes. `cargo test -p limen-node -- --ignored cggmp24`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "looks for real safe primes, which takes minutes of processor time per signer"]
async fn cggmp24_makes_a_key_signs_and_signs_from_a_presignature() {
    let cluster = Cluster::start_with(2, 2, "sign_timeout_ms = 120000").await;
    let public = cluster.make_key("cold", Scheme::EcdsaSecp256k1, Protocol::Cggmp24).await;
    let (_, full) = evm_message(&cluster, "cold", "m-1", "a full run");
    let answers = cluster.sign(&full, &[1, 2]).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    assert_eq!(signature(&answers[0]).public_key.to_vec(), public);

    let presignature = cluster.presign("cold", &[1, 2]).await;
    let (_, quick) = evm_message(&cluster, "cold", "m-2", "one round");
    let answers = cluster.sign_presigned(&quick, &[1, 2], &presignature).await;
    assert_eq!(signature(&answers[0]), signature(&answers[1]));
    // it is gone
    let (_, again) = evm_message(&cluster, "cold", "m-3", "the same presignature");
    let answers = cluster.sign_presigned(&again, &[1, 2], &presignature).await;
    assert_eq!(refusal(&answers[0]).code, "nonce_unavailable");
    assert_eq!(refusal(&answers[1]).code, "nonce_unavailable");
}
