//! Steps of the kinds that are about one key.

use limen_wire::ids::{CommitteeSize, KeyId, NodeId, Protocol, RoleId, Scheme};

use super::{Certified, Field, Rule, Steps, Undo};
use crate::ceremony::{Handover, KeyGeneration, KnownKey, Wanted};

/// A committee for people.
fn among(protocol: Protocol, size: CommitteeSize, nodes: &[NodeId]) -> String {
    let nodes: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
    format!("by {protocol}, {size} among {}", nodes.join(", "))
}

impl Steps<'_> {
    pub(super) fn key_generation(&mut self, key: &KeyGeneration) {
        self.read_back();
        let undo = "CANNOT UNDO: the signers may have made the key. It has no part in any vault until a charter says so: leave it unused";
        let made = among(key.protocol, key.size, &key.nodes);
        self.order(format!("The key {} is ordered: {} {made}.", key.key, key.scheme), undo, &key.orders, &key.key);
        let title = "Everybody fetches the key's certificate by their own client, and all compare what it says.";
        self.certificate("certificate", title, &key.wanted());
        self.test_signature(&key.orders, &key.key, key.scheme);
    }

    pub(super) fn handover(&mut self, handover: &Handover) {
        let key = &handover.key;
        self.read_back();
        self.present(key);
        let undo = "CANNOT UNDO: the signers may have switched to new shares, and erase the old ones. The public key is the same, and the key \
                    signs: look at what `limen key show` says, and hold the rest of the ceremony under a new plan that names that";
        let title = format!(
            "New shares are ordered for key {}, which has those of epoch {} {}: {}.",
            key.id,
            key.epoch.0,
            among(key.protocol, key.size, &key.nodes),
            among(handover.protocol, handover.size, &handover.nodes)
        );
        self.order(title, undo, &handover.orders, &key.id);
        let title = "Everybody fetches the certificate of the new shares by their own client, and all compare: a later epoch, the same key.";
        self.certificate("certificate", title, &handover.wanted());
        self.switched(handover);
        let title = "Everybody says which backups and copies of shares of earlier epochs they still know of: enough of them are the key.";
        self.add("outstanding", title, Undo::Nothing, |_| vec![Field::new("earlier-epochs", Rule::Told)]);
        self.test_signature(&handover.orders, &key.id, key.scheme);
    }

    pub(super) fn read_back(&mut self) {
        let title = "Everybody reads the plan's words out and types what they hear.";
        let words = self.plan.words();
        self.add("read-back", title, Undo::Nothing, |_| vec![Field::new("plan-words", Rule::Words(words.clone()))]);
    }

    /// The key as it is before.
    pub(super) fn present(&mut self, key: &KnownKey) {
        let title = format!(
            "Everybody fetches the present certificate of key {} by their own client, and all compare: epoch {}, the plan's public key.",
            key.id, key.epoch.0
        );
        self.certificate("present", title, &key.wanted());
    }

    fn order(&mut self, title: String, undo: &'static str, role: &RoleId, key: &KeyId) {
        let fields = || vec![Field::new("ordered", Rule::Exactly(key.to_string()))];
        self.for_role("order", title, Undo::Cannot(undo), role, fields);
    }

    pub(super) fn certificate(&mut self, name: &'static str, title: impl Into<String>, wanted: &Wanted) {
        self.add(name, title, Undo::Nothing, |_| {
            vec![
                Field::new("certificate", Rule::Certificate(Box::new(wanted.clone()))),
                Field::new("public-key", Rule::Certified(Certified::PublicKey)),
                Field::new("verifying-shares", Rule::Certified(Certified::Shares)),
                Field::new("statement-words", Rule::Certified(Certified::Words)),
            ]
        });
    }

    /// Who speaks for a new member brings its word, where they have it.
    fn switched(&mut self, handover: &Handover) {
        let title = "Who speaks for a member brings its signed word that it uses the new shares, where they have it.";
        self.for_nodes("switched", title, Undo::Nothing, &handover.nodes, |place, machine| {
            vec![Field::new(format!("switched-{}", machine.id), Rule::Switched { machine: place })]
        });
    }

    pub(super) fn test_signature(&mut self, role: &RoleId, key: &KeyId, scheme: Scheme) {
        let undo =
            Undo::Cannot("CANNOT UNDO: a signature over the ceremony's test message exists; it says nothing else");
        let title = format!(
            "A signature by key {key} over the ceremony's test message is asked for; every participant's program verifies it."
        );
        self.for_role("test-signature", title, undo, role, || {
            vec![Field::new("test-signature", Rule::TestSignature { key: key.clone(), scheme })]
        });
    }
}
