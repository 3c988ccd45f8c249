//! People and time between a request and its signature: real signers, a real coordinator, kill -9 in between.

use std::time::Duration;

use limen_chain::Payload as ChainPayload;
use limen_client::{RequestState, SignedIntent};
use limen_policy::charter::Charter;
use limen_policy::decide::{When, decide};
use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::effects::{Address, ChainId};
use limen_wire::error::Code;
use limen_wire::ids::{CredentialId, FreezeEpoch, KeyId, PersonId};
use limen_wire::intent::Payload;
use limen_wire::keys::SigningKey;
use limen_wire::pb;

use super::cluster::{COORDINATOR, Cluster, PATIENCE, signer};

const RULE: &str = r#"
[[rules]]
name = "messages"
allow = "message"
approvals = "2 terminal of treasury"
delay_secs = 2

[groups.treasury]
members = ["anna", "boris"]
"#;

fn key_of(person: &str) -> SigningKey {
    let seed = if person == "anna" { 0x61 } else { 0x62 };
    SigningKey::ed25519_from_seed(&[seed; 32].into())
}

/// The development charter, with people who approve messages.
fn with_people(text: &str) -> String {
    let (head, _) = text.split_once("[[rules]]\nname = \"messages\"").unwrap();
    let mut text = format!("{head}{RULE}");
    for person in ["anna", "boris"] {
        let key = key_of(person).public_key();
        text.push_str(&format!(
            "\n[[people]]\nid = \"{person}\"\n[[people.credentials]]\nid = \"{person}-terminal\"\nclass = \"terminal\"\n\
             public_key = \"{key}\"\n"
        ));
    }
    text
}

struct Desk {
    charter: Charter,
    account: Address,
    chain: ChainId,
}

impl Desk {
    async fn new(cluster: &Cluster, key: &KeyId) -> Self {
        let text = std::fs::read_to_string(cluster.path().join("charter.toml")).unwrap();
        let chain = ChainId::eip155(31337);
        let account = cluster.client.address(key, &[], &chain).await.unwrap();
        Self { charter: Charter::from_toml(&text).unwrap(), account, chain }
    }

    /// What a person says of an intent, from its bytes and the charter alone.
    fn says(&self, person: &str, said: Verdict, intent: &SignedIntent) -> pb::Envelope {
        let intent = intent.intent();
        let Payload::EvmMessage(text) = &intent.payload else { panic!("not a message") };
        let kinds = |_: &ChainId, _: &Address| None;
        let decoded = limen_chain::decode(&ChainPayload::EvmMessage(text), &self.chain, &self.account, &kinds).unwrap();
        let approval = Approval {
            cluster: intent.cluster.clone(),
            intent_id: intent.id,
            effects_digest: decoded.effects.digest(),
            decoder_version: decoded.effects.decoder_version,
            slice: decide(&self.charter, intent, &decoded.effects, &When::at(1)).slice,
            freeze_epoch: FreezeEpoch::NONE,
            person: PersonId::new(person).unwrap(),
            credential: CredentialId::new(format!("{person}-terminal")).unwrap(),
            preceding: None,
            expires_at_secs: intent.expires_at_secs,
            verdict: said,
            reason: if said == Verdict::Reject { "who is this for?".to_owned() } else { String::new() },
            nonce: [7; 32],
        };
        let proof = Proof::Signature(key_of(person).sign(approval.digest().as_bytes()));
        SignedApproval { approval, proof }.to_envelope()
    }
}

#[tokio::test]
async fn a_request_waits_for_people_and_for_time_whoever_dies_meanwhile() {
    let mut cluster = Cluster::start_under(3, 2, with_people).await;
    let key = cluster.make_ecdsa_key().await;
    let desk = Desk::new(&cluster, &key).await;
    let intent = cluster.message(&key, "to-be-approved");
    cluster.client.submit(&intent).await.unwrap();
    let request = cluster.in_state(intent.id(), RequestState::AwaitingApproval).await;
    let status = request.signer_decisions.iter().flat_map(|one| &one.requirements).next().unwrap();
    assert_eq!((status.met, status.missing.as_str()), (false, "2 more terminal of treasury"));

    cluster.client.approve(&desk.says("anna", Verdict::Approve, &intent)).await.unwrap();
    // An approval of another request is worth nothing here.
    let other = cluster.message(&key, "something-else");
    let error = cluster.client.approve(&desk.says("boris", Verdict::Approve, &other)).await.unwrap_err();
    assert_eq!(error.code(), "unknown_request", "{error}");
    // Whoever holds what anna said may die: the coordinator, then a signer.
    cluster.kill(COORDINATOR);
    cluster.start_one(COORDINATOR);
    cluster.kill(&signer(1));
    cluster.client.approve(&desk.says("boris", Verdict::Approve, &intent)).await.unwrap();
    cluster.in_state(intent.id(), RequestState::TimeLocked).await;
    cluster.start_one(&signer(1));
    cluster.in_state(intent.id(), RequestState::Signed).await;
    cluster.client.sign(&intent, PATIENCE).await.unwrap_or_else(|error| panic!("{error}; {}", cluster.logs()));
}

#[tokio::test]
async fn one_no_ends_a_request_at_every_signer() {
    let cluster = Cluster::start_under(3, 2, with_people).await;
    let key = cluster.make_ecdsa_key().await;
    let desk = Desk::new(&cluster, &key).await;
    let intent = cluster.message(&key, "to-be-rejected");
    cluster.client.submit(&intent).await.unwrap();
    cluster.in_state(intent.id(), RequestState::AwaitingApproval).await;
    cluster.client.approve(&desk.says("anna", Verdict::Approve, &intent)).await.unwrap();
    cluster.client.approve(&desk.says("boris", Verdict::Reject, &intent)).await.unwrap();
    let request = cluster.in_state(intent.id(), RequestState::Rejected).await;
    let error = request.error.unwrap();
    assert_eq!(error.code, Code::Rejected);
    assert!(error.message.contains("boris rejected it: who is this for?"), "{error}");
    let late = tokio::time::timeout(Duration::from_secs(60), cluster.client.sign(&intent, PATIENCE)).await.unwrap();
    assert_eq!(late.unwrap_err().code(), "rejected");
}
