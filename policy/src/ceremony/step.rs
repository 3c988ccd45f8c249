//! The steps of a ceremony, derived from its plan: who says what in each, how the others check it, and what undoes it.
//!
//! In every step everybody who is there says something, if only that they have seen the steps before: each word is signed over the
//! head of the record so far, so that a step is a barrier which nobody passes with another record than the others.

use limen_wire::ids::PersonId;

use super::{Attendance, KeyGeneration, Kind, MachineKind, Plan};
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
    /// A signature by this machine's identity over [`Plan::machine_proof`], 64 bytes in hexadecimal.
    Proof {
        /// Its place among the plan's machines.
        machine: usize,
    },
    /// The new key's certificate, an envelope in base64: signed by every member under the plan's keys, for what the plan says.
    Certificate,
    /// What the certificate says, in hexadecimal or words: the same from everybody.
    Certified(Certified),
    /// A signature by the new key over [`Plan::test_message`], with its recovery id: 65 bytes in hexadecimal.
    TestSignature,
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
    /// Cannot be undone; what to do instead.
    Cannot(&'static str),
}

impl Undo {
    /// For scripts and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "leaves nothing to undo",
            Self::Cannot(instead) => instead,
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

    fn machines(&mut self) {
        let (plan, attendance) = (self.plan, self.attendance);
        let title = "Each operator shows that their machines hold the identities that the plan pins, by a signature for this plan.";
        self.add("machines", title, Undo::Nothing, |person| {
            let theirs = plan
                .machines
                .iter()
                .enumerate()
                .filter(|(_, machine)| attendance.acting(&machine.operator) == Some(person));
            let mut fields = Vec::new();
            for (place, machine) in theirs {
                let name = format!("{}-{}", machine.kind.as_str(), machine.id);
                fields.push(Field::new(name.clone(), Rule::Exactly(machine.public_key.to_string())));
                fields.push(Field::new(format!("{name}-proof"), Rule::Proof { machine: place }));
            }
            fields
        });
    }

    fn key(&mut self, key: &KeyGeneration) {
        let attendance = self.attendance;
        let orderer = |person: &PersonId| attendance.acting(&key.orders) == Some(person);
        let title = "Everybody reads the plan's words out and types what they hear.";
        let words = self.plan.words();
        self.add("read-back", title, Undo::Nothing, |_| vec![Field::new("plan-words", Rule::Words(words.clone()))]);
        let undo = Undo::Cannot(
            "CANNOT UNDO: the signers may have made the key. It has no part in any vault until a charter says so: leave it unused",
        );
        let title = format!(
            "The key {} is ordered: {} by {}, {} among {}.",
            key.key,
            key.scheme,
            key.protocol,
            key.size,
            key.nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        );
        self.add("order", title, undo, |person| match orderer(person) {
            true => vec![Field::new("ordered", Rule::Exactly(key.key.to_string()))],
            false => Vec::new(),
        });
        let title = "Everybody fetches the key's certificate by their own client, and all compare what it says.";
        self.add("certificate", title, Undo::Nothing, |_| {
            vec![
                Field::new("certificate", Rule::Certificate),
                Field::new("public-key", Rule::Certified(Certified::PublicKey)),
                Field::new("verifying-shares", Rule::Certified(Certified::Shares)),
                Field::new("statement-words", Rule::Certified(Certified::Words)),
            ]
        });
        let undo = Undo::Cannot("CANNOT UNDO: a signature over the plan's test message exists; it says nothing else");
        let title = "A signature over the plan's test message is asked for; every participant's program verifies it.";
        self.add("test-signature", title, undo, |person| match orderer(person) {
            true => vec![Field::new("test-signature", Rule::TestSignature)],
            false => Vec::new(),
        });
    }
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
            let hash = genesis.charter;
            let words = words::words_of("charter", hash.as_bytes()).join(" ");
            let title = "Everybody compares the charter that lies before them with the others', by its words.";
            steps.add("charter", title, Undo::Nothing, |_| {
                vec![
                    Field::new("charter", Rule::Exactly(hash.to_string())),
                    Field::new("charter-words", Rule::Words(words.clone())),
                ]
            });
        }
        Kind::KeyGeneration(key) => steps.key(key),
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
