//! What counts as an approval, and when there are enough.

mod assertions;
mod authenticator;
mod counting;
mod reference;
mod vectors;
mod verdicts;

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::approval::{Approval, Proof, SignedApproval, Verdict};
use limen_wire::ids::{FreezeEpoch, IntentId, SliceHash};
use limen_wire::keys::{PublicKey, SigningKey};

use super::Facts;
use crate::charter::people::{Credential, CredentialClass, CredentialKind, Group, Passkey, Person, Roster};
use authenticator::Authenticator;

const NOW: u64 = 1_790_000_000;

fn ed25519(seed: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&[seed; 32].into())
}

fn p256(seed: u8) -> SigningKey {
    SigningKey::P256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap())
}

fn facts() -> Facts {
    Facts {
        cluster: "test".parse().unwrap(),
        intent_id: IntentId::new([1; 32]),
        effects_digest: [2; 32],
        decoder_version: 1,
        slice: SliceHash::new([3; 32]),
        freeze_epoch: FreezeEpoch::new([4; 32]),
    }
}

/// An approval of [`facts`] by a person with the credential `person-kind`.
fn approval(person: &str, kind: &str) -> Approval {
    let who = (person.parse().unwrap(), format!("{person}-{kind}").parse().unwrap());
    facts().draft(who, Verdict::Approve, (NOW + 60, [5; 32]))
}

fn by_key(approval: Approval, key: &SigningKey) -> SignedApproval {
    let proof = Proof::Signature(key.sign(approval.digest().as_bytes()));
    SignedApproval { approval, proof }
}

fn passkey() -> Passkey {
    Passkey { relying_party: "example.org".to_owned(), origins: vec!["https://example.org".to_owned()] }
}

fn credential(id: &str, class: CredentialClass, kind: CredentialKind, public_key: PublicKey) -> Credential {
    Credential { id: id.parse().unwrap(), class, kind, public_key }
}

fn person(id: &str, credentials: Vec<Credential>) -> Person {
    let credentials = credentials.into_iter().map(|credential| (credential.id.clone(), credential)).collect();
    Person { id: id.parse().unwrap(), credentials }
}

fn group(id: &str, members: &[&str], synced_passkeys: bool) -> Group {
    let members: BTreeSet<_> = members.iter().map(|member| member.parse().unwrap()).collect();
    Group { id: id.parse().unwrap(), members, synced_passkeys }
}

/// Alice has a key for terminals and a passkey, Bob a P-256 key, Carol a passkey with Ed25519.
fn roster() -> Roster {
    use CredentialClass::{Console, Terminal};
    let passkey = || CredentialKind::Passkey(passkey());
    let people = [
        person(
            "alice",
            vec![
                credential("alice-token", Terminal, CredentialKind::Key, ed25519(1).public_key()),
                credential("alice-phone", Console, passkey(), Authenticator::default().public_key()),
            ],
        ),
        person("bob", vec![credential("bob-token", Terminal, CredentialKind::Key, p256(2).public_key())]),
        person("carol", vec![credential("carol-phone", Console, passkey(), ed25519(3).public_key())]),
    ];
    let groups = [group("treasury", &["alice", "bob"], true), group("risk", &["carol", "alice"], false)];
    Roster {
        people: people.into_iter().map(|person| (person.id.clone(), person)).collect(),
        groups: groups.into_iter().map(|group| (group.id.clone(), group)).collect::<BTreeMap<_, _>>(),
    }
}
