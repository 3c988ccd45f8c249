//! Steps of the kinds in which what keeps a key, or where things lie, is looked at or exchanged.

use sha2::{Digest as _, Sha256};

use super::{Field, Rule, Steps, Undo, told};
use crate::approval::words;
use crate::ceremony::{Backup, IdentityRotation, KekRotation, MemberBackup, Sweep};

impl Steps<'_> {
    pub(super) fn backup(&mut self, backup: &Backup) {
        self.read_back();
        self.present(&backup.key);
        let of = |node: &_| backup.members.iter().position(|one| one.node == *node);
        let title = "Who speaks for a member brings what its backup says in clear; every program sees that it is of the certified shares.";
        self.for_nodes("backups", title, Undo::Nothing, &backup.key.nodes, |_, machine| {
            let field = |member| Field::new(format!("backup-{}", machine.id), Rule::BackupHead { member });
            of(&machine.id).map(field).into_iter().collect()
        });
        let undo = Undo::By(
            "the proofs show nothing of the pieces; whatever decrypted one is put away as its custodian puts it away",
        );
        let title = "Each custodian decrypts their piece of each backup offline and brings a proof of it, signed, for this moment of this record.";
        let attendance = self.attendance;
        self.add("proofs", title, undo, |person| {
            let theirs = |one: &MemberBackup| one.custodians.iter().any(|role| attendance.acting(role) == Some(person));
            let members = backup.members.iter().enumerate().filter(|(_, one)| theirs(one));
            members
                .map(|(member, one)| Field::new(format!("proof-{}", one.node), Rule::BackupProof { member }))
                .collect()
        });
    }

    pub(super) fn kek_rotation(&mut self, rotation: &KekRotation) {
        let (key, nodes) = (&rotation.key, &rotation.nodes);
        self.read_back();
        self.present(key);
        let undo =
            Undo::By("the wrapping keys from before are still there and open what they sealed: go on under a new plan");
        let title = "New wrapping keys are made and wrap every share (limen-node rotate-wrapping-keys); who speaks for a member says their labels and slots.";
        self.for_nodes("rotated", title, undo, nodes, told("labels"));
        let undo = Undo::By("new wrapping keys are destroyed at the spare tokens; those from before serve there still");
        let title = "The new wrapping keys are brought to every token that steps in for a member's own; who speaks for it says to which, or none.";
        self.for_nodes("spares", title, undo, nodes, told("spare-tokens"));
        let undo = "CANNOT UNDO: wrapping keys from before are destroyed. A token that lacks the new ones opens nothing: a member that stays \
                    without any is as lost, and the key is to be reshared without it";
        let title = "The wrapping keys from before are destroyed (limen-node destroy-old-wrapping-keys); the member's identity signs that they are.";
        self.for_nodes("destroyed", title, Undo::Cannot(undo), nodes, |place, machine| {
            vec![Field::new(format!("destroyed-{}", machine.id), Rule::Proof { machine: place })]
        });
        self.test_signature(&rotation.orders, &key.id, key.scheme);
    }

    pub(super) fn identity_rotation(&mut self, rotation: &IdentityRotation) {
        self.read_back();
        let nodes: Vec<_> = rotation.replaced.iter().map(|(node, _)| node.clone()).collect();
        let title =
            "Machines show that they hold their new identities, which the plan pins, by a signature for this plan.";
        self.identities("identities", title, &nodes);
        self.charter_change(&rotation.change);
        let keys: Vec<String> = rotation.reshare.iter().map(ToString::to_string).collect();
        let keys = if keys.is_empty() { "no key".to_owned() } else { keys.join(", ") };
        let undo = Undo::Cannot(
            "CANNOT UNDO: old identities may be destroyed. Until the version is in force their machines cannot speak",
        );
        let title = format!(
            "What became of the old identities is said. Machines held shares of {keys}: these are to be reshared."
        );
        self.for_nodes("old-identities", title, undo, &nodes, told("old-identity"));
    }

    pub(super) fn sweep(&mut self, sweep: &Sweep) {
        let (from, to) = (&sweep.key, &sweep.to);
        self.read_back();
        let title = format!(
            "Everybody fetches the certificate of key {}, to which things go, by their own client, and all compare: epoch {}, the plan's public key.",
            to.id, to.epoch.0
        );
        self.certificate("certificate", title, &sweep.wanted());
        let compared = words::words_of("public key", &Sha256::digest(&to.public_key).into()).join(" ");
        let title = format!(
            "Everybody reads out the words of key {}'s public key, and says at which address things arrive, as their own client shows it.",
            to.id
        );
        self.add("destination", title, Undo::Nothing, |_| {
            vec![Field::new("destination-words", Rule::Words(compared.clone())), Field::new("address", Rule::Told)]
        });
        self.test_signature(&sweep.sweeper, &to.id, to.scheme);
        let undo = Undo::Cannot(
            "CANNOT UNDO: things may have been moved. They lie under the new key, which signs: its members send them on",
        );
        let title = format!(
            "What lies under key {} is moved; who moves it says the transactions, all others what they saw arrive.",
            from.id
        );
        let attendance = self.attendance;
        self.add("swept", title, undo, |person| match attendance.acting(&sweep.sweeper) == Some(person) {
            true => vec![Field::new("transactions", Rule::Told), Field::new("left", Rule::Told)],
            false => vec![Field::new("saw", Rule::Told)],
        });
        let undo = Undo::By("another version of the charter, as far as the state of the key lets one follow");
        let title = "Everybody compares the version of the charter that takes the old key out of use, which is in force everywhere, by its words.";
        self.version("retired", title, undo, sweep.retired_by);
    }
}
