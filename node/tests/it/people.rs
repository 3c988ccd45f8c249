//! What people of a test's charter say about an intent, over what a signer itself makes of it.

use limen_wire::approval::{Proof, SignedApproval, Verdict};
use limen_wire::keys::SigningKey;
use limen_wire::pb;

use crate::cluster::Cluster;

/// `person` says yes with `person`-terminal, under the charter that the first signer has in force.
pub(crate) fn approves(cluster: &Cluster, intent: &pb::Envelope, person: &str, key: &SigningKey) -> pb::Envelope {
    let decisions = cluster.node(0).shared().decisions();
    let facts = limen_node::guard::facts(&decisions.charter, &decisions.examine(intent).unwrap());
    let who = (person.parse().unwrap(), format!("{person}-terminal").parse().unwrap());
    let approval = facts.draft(who, Verdict::Approve, (u64::MAX, [1; 32]));
    let proof = Proof::Signature(key.sign(approval.digest().as_bytes()));
    SignedApproval { approval, proof }.to_envelope()
}
