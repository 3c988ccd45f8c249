//! The steps of a ceremony, derived from its plan: who says what in each, how the others check it, and what undoes it.
//!
//! In every step everybody who is there says something, if only that they have seen the steps before: each word is signed over the
//! head of the record so far, so that a step is a barrier which nobody passes with another record than the others.

mod keys;
mod losses;
mod rotations;

use limen_wire::ids::{CharterHash, KeyId, NodeId, PersonId, RoleId, Scheme};

use super::{Attendance, CharterChange, Kind, Machine, MachineKind, Plan, Wanted};
use crate::approval::words;

/// What a field of a contribution must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// This text.
    Exactly(String),
    /// One of these texts.
    OneOf(Vec<String>),
    /// Twelve words that stand in the plan's script, as somebody else has read them out: exactly these.
    Words(String),
    /// Seconds since 1970 by the author's clock, all within the plan's window.
    Clock,
    /// A number, at least this.
    AtLeast(u64),
    /// Text for people, one line.
    Text,
    /// One line that the person types: what they know and nobody else can check.
    Told,
    /// A signature by this machine's identity over [`Plan::machine_proof`], 64 bytes in hexadecimal.
    Proof {
        /// Its place among the plan's machines.
        machine: usize,
    },
    /// The text of this charter, in base64, which the ceremony's charter follows.
    Parent(CharterHash),
    /// The author's signature under the ceremony's charter as a version (`limen charter sign`), an envelope in base64; together they are the
    /// quorum that the parent asks for.
    Approval,
    /// A certificate of the key, an envelope in base64: signed by every member under the plan's keys, for what the plan says.
    Certificate(Box<Wanted>),
    /// What the certificate says, in hexadecimal or words: the same from everybody.
    Certified(Certified),
    /// This machine's signed word that it uses the new shares and no older ones, an envelope in base64; or [`NONE`].
    Switched {
        /// Its place among the plan's machines.
        machine: usize,
    },
    /// This machine's signed word that it has destroyed its shares of the key, an envelope in base64.
    Destroyed {
        /// Its place among the plan's machines.
        machine: usize,
    },
    /// What the backup of this member says in clear, in base64.
    BackupHead {
        /// Its place among the plan's backups.
        member: usize,
    },
    /// The author's signed proof that they can read their piece of this member's backup, for a nonce out of the record so far: an envelope
    /// in base64.
    BackupProof {
        /// Its place among the plan's backups.
        member: usize,
    },
    /// A signature by the key over [`Plan::test_message`], with its recovery id: 65 bytes in hexadecimal.
    TestSignature {
        /// Which key.
        key: KeyId,
        /// How it signs.
        scheme: Scheme,
    },
}

/// A part of what a certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certified {
    /// The public key, as the API writes it.
    PublicKey,
    /// SHA-256 over all verifying shares.
    Shares,
    /// Words for the statement that all members have signed.
    Words,
}

/// One line that somebody says in a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it must be.
    pub rule: Rule,
}

impl Field {
    fn new(name: impl Into<String>, rule: Rule) -> Self {
        Self { name: name.into(), rule }
    }
}

/// What is left of a step if the ceremony is aborted after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undo {
    /// Nothing: words that bind only the record that is given up.
    Nothing,
    /// What undoes it.
    By(&'static str),
    /// Cannot be undone; what to do instead.
    Cannot(&'static str),
}

impl Undo {
    /// For scripts and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "leaves nothing to undo",
            Self::By(text) | Self::Cannot(text) => text,
        }
    }
}

/// A step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Counted from 1.
    pub number: u32,
    /// One word.
    pub name: &'static str,
    /// What happens, for the printed script.
    pub title: String,
    /// Who says what; everybody who is there stands here once, many with nothing to say but that they are with the others.
    pub says: Vec<(PersonId, Vec<Field>)>,
    /// What is left of it after an abort.
    pub undo: Undo,
}

impl Step {
    /// What somebody says.
    pub fn fields(&self, person: &PersonId) -> Option<&[Field]> {
        self.says.iter().find(|(id, _)| id == person).map(|(_, fields)| fields.as_slice())
    }
}

/// What a line says where there is nothing to show.
pub const NONE: &str = "none";
/// Name of the first step, in which the plan is signed.
pub const PLAN: &str = "plan";
/// Name of the last step, in which the record is signed.
pub const SIGN: &str = "sign";

/// The first step does not know yet who else is there: people sign the plan days before.
pub fn plan_fields(plan: &Plan) -> Vec<Field> {
    vec![Field::new("plan-words", Rule::Words(plan.words()))]
}

struct Steps<'a> {
    plan: &'a Plan,
    attendance: &'a Attendance,
    list: Vec<Step>,
}

impl Steps<'_> {
    fn add(
        &mut self,
        name: &'static str,
        title: impl Into<String>,
        undo: Undo,
        says: impl Fn(&PersonId) -> Vec<Field>,
    ) {
        let number = u32::try_from(self.list.len()).unwrap_or(u32::MAX).saturating_add(1);
        let says = self.attendance.present().iter().map(|person| (person.clone(), says(person))).collect();
        self.list.push(Step { number, name, title: title.into(), says, undo });
    }

    fn preflight(&mut self) {
        let plan = self.plan;
        let title =
            "Everybody's machine is looked at: the program, the clock, the disk, the credential; everybody says go.";
        self.add("pre-flight", title, Undo::Nothing, |person| {
            let credential = plan.person(person).map(|one| one.credential.to_string()).unwrap_or_default();
            let mut fields = vec![
                Field::new("software", Rule::OneOf(plan.software.iter().cloned().collect())),
                Field::new("release", Rule::Text),
                Field::new("device", Rule::Text),
                Field::new("clock", Rule::Clock),
                Field::new("disk-free-mib", Rule::AtLeast(plan.bounds.disk_free_mib)),
                Field::new("credential", Rule::Exactly(credential)),
            ];
            if let Kind::KeyGeneration(key) = &plan.kind {
                // A key that was there before would be certified like the new one.
                fields.push(Field::new("key-unused", Rule::Exactly(key.key.to_string())));
            }
            fields.push(Field::new("go", Rule::Exactly("yes".to_owned())));
            fields
        });
    }

    fn charter(&mut self, hash: CharterHash) {
        let title = "Everybody compares the charter that lies before them with the others', by its words.";
        self.version("charter", title, Undo::Nothing, hash);
    }

    fn charter_change(&mut self, change: &CharterChange) {
        self.charter(change.charter);
        let attendance = self.attendance;
        let title =
            "The charter in force is brought; every program sees that the version follows it, and by which quorum.";
        self.for_role("parent", title, Undo::Nothing, &change.brings, || {
            vec![Field::new("parent", Rule::Parent(change.parent))]
        });
        let undo = "CANNOT UNDO: signatures under the version may exist. Whoever has enough of them can hand it in; while it waits, those who \
                    have a say veto it, afterwards another version undoes it";
        let title = "Those who have a say sign the version; every program counts the quorum of the charter in force.";
        self.add("approvals", title, Undo::Cannot(undo), |person| {
            match change.approvers.iter().any(|role| attendance.acting(role) == Some(person)) {
                true => vec![Field::new("approval", Rule::Approval)],
                false => Vec::new(),
            }
        });
    }

    fn machines(&mut self) {
        let title = "Each operator shows that their machines hold the identities that the plan pins, by a signature for this plan.";
        let all: Vec<NodeId> = self.plan.machines.iter().map(|machine| machine.id.clone()).collect();
        self.identities("machines", title, &all);
    }

    /// Machines show that they hold the identities that the plan pins.
    fn identities(&mut self, name: &'static str, title: &str, nodes: &[NodeId]) {
        self.for_nodes(name, title, Undo::Nothing, nodes, |place, machine| {
            let name = format!("{}-{}", machine.kind.as_str(), machine.id);
            let key = Field::new(name.clone(), Rule::Exactly(machine.public_key.to_string()));
            vec![key, Field::new(format!("{name}-proof"), Rule::Proof { machine: place })]
        });
    }

    /// A version of the charter by its hash and words.
    fn version(&mut self, name: &'static str, title: &str, undo: Undo, hash: CharterHash) {
        let words = words::words_of("charter", hash.as_bytes()).join(" ");
        self.add(name, title, undo, |_| {
            vec![
                Field::new("charter", Rule::Exactly(hash.to_string())),
                Field::new("charter-words", Rule::Words(words.clone())),
            ]
        });
    }

    /// Whoever speaks for these machines says something of each.
    fn for_nodes(
        &mut self,
        name: &'static str,
        title: impl Into<String>,
        undo: Undo,
        nodes: &[NodeId],
        fields: impl Fn(usize, &Machine) -> Vec<Field>,
    ) {
        let (plan, attendance) = (self.plan, self.attendance);
        self.add(name, title, undo, |person| {
            let theirs = plan.machines.iter().enumerate().filter(|(_, machine)| {
                nodes.contains(&machine.id) && attendance.acting(&machine.operator) == Some(person)
            });
            theirs.flat_map(|(place, machine)| fields(place, machine)).collect()
        });
    }

    /// Whoever has this role says something.
    fn for_role(
        &mut self,
        name: &'static str,
        title: impl Into<String>,
        undo: Undo,
        role: &RoleId,
        fields: impl Fn() -> Vec<Field>,
    ) {
        let attendance = self.attendance;
        self.add(name, title, undo, |person| match attendance.acting(role) == Some(person) {
            true => fields(),
            false => Vec::new(),
        });
    }
}

/// A line that the person types of a machine.
fn told(what: &'static str) -> impl Fn(usize, &Machine) -> Vec<Field> {
    move |_, machine| vec![Field::new(format!("{what}-{}", machine.id), Rule::Told)]
}

/// All steps of the plan with these people.
pub fn steps(plan: &Plan, attendance: &Attendance) -> Vec<Step> {
    let mut steps = Steps { plan, attendance, list: Vec::new() };
    let fields = plan_fields(plan);
    let title = "Everybody has read the printed script, and signs the plan's hash.";
    steps.add(PLAN, title, Undo::Nothing, |_| fields.clone());
    steps.preflight();
    match &plan.kind {
        Kind::Genesis(genesis) => {
            steps.machines();
            steps.charter(genesis.charter);
        }
        Kind::CharterChange(change) => {
            steps.read_back();
            steps.charter_change(change);
        }
        Kind::IdentityRotation(rotation) => steps.identity_rotation(rotation),
        Kind::Backup(backup) => steps.backup(backup),
        Kind::KekRotation(rotation) => steps.kek_rotation(rotation),
        Kind::Sweep(sweep) => steps.sweep(sweep),
        Kind::KeyGeneration(key) => steps.key_generation(key),
        Kind::Refresh(handover) | Kind::Reshare(handover) => steps.handover(handover),
        Kind::Destruction(destruction) => steps.destruction(destruction),
        Kind::Recovery(recovery) => steps.recovery(recovery),
        Kind::Drill(drill) => steps.drill(drill),
    }
    let title = "Everybody signs the record. After this nobody can call it off.";
    steps.add(SIGN, title, Undo::Cannot("CANNOT UNDO: the record is final when all have signed"), |_| Vec::new());
    steps.list
}

/// How a machine's kind is written in a step.
impl std::fmt::Display for MachineKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
