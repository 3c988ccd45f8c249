//! Steps of the kinds in which a key ends, comes back, or is played to be lost.

use limen_wire::ids::{NodeId, PersonId, RoleId};

use super::{Field, Rule, Steps, Undo, told};
use crate::ceremony::{Destruction, Drill, Recovery, Scenario};

impl Steps<'_> {
    pub(super) fn destruction(&mut self, destruction: &Destruction) {
        let key = &destruction.key;
        self.read_back();
        self.present(key);
        let title = format!("Everybody says what lies under key {} and where it went, or none.", key.id);
        self.add("emptied", title, Undo::Nothing, |_| vec![Field::new("sweep", Rule::Told)]);
        let title = "Everybody compares the version of the charter that destroys the key, which is in force everywhere, by its words.";
        self.version(
            "retired",
            title,
            Undo::Cannot("CANNOT UNDO: a key that is destroyed stays so"),
            destruction.retired_by,
        );
        let undo = "CANNOT UNDO: members have erased their shares. Unless signers_required of them still have theirs, only backups bring \
                    the key back";
        let title = "Each member has erased its shares of the key, of all epochs, with their wrapping keys; its own signed word of that is brought.";
        let there: Vec<NodeId> = key.nodes.iter().filter(|node| !destruction.lost.contains(node)).cloned().collect();
        self.for_nodes("erased", title, Undo::Cannot(undo), &there, |place, machine| {
            vec![Field::new(format!("erased-{}", machine.id), Rule::Destroyed { machine: place })]
        });
        if !destruction.lost.is_empty() {
            let title = "Who speaks for a member that is lost says how, and what keeps what lay on it from being read.";
            self.for_nodes("lost", title, Undo::Nothing, &destruction.lost, told("lost"));
        }
        let undo =
            "CANNOT UNDO: pieces of backups may be destroyed; count what is left before anything else is destroyed";
        let title = "Custodians destroy their pieces of all backups of the key, of all epochs, and say how.";
        self.for_roles("pieces", title, Undo::Cannot(undo), &destruction.custodians, "pieces-destroyed");
    }

    pub(super) fn recovery(&mut self, recovery: &Recovery) {
        let key = &recovery.key;
        self.read_back();
        let title = "Custodians say which pieces of which backups, by the hashes that these are called by, they bring to the offline machine.";
        self.for_roles("pieces", title, Undo::By("custodians take their pieces back"), &recovery.custodians, "pieces");
        let undo = "CANNOT UNDO: the key was whole on one machine, and that machine is the key. Sweep what lies under it to a new key, \
                    whatever becomes of the machine";
        let title = format!(
            "The key {} is made whole on the offline machine, and signs the ceremony's test message there.",
            key.id
        );
        self.for_role("recovered", title, Undo::Cannot(undo), &recovery.operator, || {
            vec![Field::new("test-signature", Rule::TestSignature { key: key.id.clone(), scheme: key.scheme })]
        });
        let attendance = self.attendance;
        let does = |person: &PersonId| attendance.acting(&recovery.operator) == Some(person);
        let undo = "CANNOT UNDO: the key was once whole, and may lie where it was brought to";
        let title = "What became of the whole key: exported to where, imported by whom, or destroyed how; everybody says what they saw.";
        self.add("whole", title, Undo::Cannot(undo), |person| match does(person) {
            true => vec![Field::new("was-whole", Rule::Exactly("yes".to_owned())), Field::new("became", Rule::Told)],
            false => vec![Field::new("saw", Rule::Told)],
        });
    }

    pub(super) fn drill(&mut self, drill: &Drill) {
        let key = &drill.key;
        self.read_back();
        if drill.scenario != Scenario::Restore {
            self.present(key);
        }
        let title = format!(
            "Drill {}: these are off from now on, and who speaks for them says how: {}.",
            drill.scenario.as_str(),
            {
                let absent: Vec<&str> = drill.absent.iter().map(NodeId::as_str).collect();
                if absent.is_empty() { "none, no signer is asked at all".to_owned() } else { absent.join(", ") }
            }
        );
        let undo = Undo::By("start the machines again");
        self.for_nodes("absent", title, undo, &drill.absent, told("off"));
        self.test_signature(&drill.operator, &key.id, key.scheme);
        let title = "Everything is as before the drill: machines are started, what was restored is destroyed.";
        self.for_nodes("back", title, Undo::Nothing, &drill.absent, told("on"));
        let title =
            "Everybody says what they noted. The drill has passed: the signature verified. The next one has a day.";
        self.add("result", title, Undo::Nothing, |_| {
            vec![
                Field::new("noted", Rule::Told),
                Field::new("drill", Rule::Exactly(format!("{} passed", drill.scenario.as_str()))),
                Field::new("next-due", Rule::Exactly(drill.next_due.clone())),
            ]
        });
    }

    /// Whoever has these roles says something for each of them.
    fn for_roles(&mut self, name: &'static str, title: &str, undo: Undo, roles: &[RoleId], what: &str) {
        let attendance = self.attendance;
        self.add(name, title, undo, |person| {
            let theirs = roles.iter().filter(|role| attendance.acting(role) == Some(person));
            theirs.map(|role| Field::new(format!("{role}-{what}"), Rule::Told)).collect()
        });
    }
}
