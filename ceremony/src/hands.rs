//! What a participant's machine and its person do in a step. Every part may be done again: nothing here is said before it is signed.

mod brought;

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64ct::{Base64, Encoding as _};
use limen_client::now_secs;
use limen_policy::approval::words::words_of;
use limen_policy::ceremony::step::{Certified, NONE};
use limen_policy::ceremony::{
    Drill, Field, Handover, KeyGeneration, Kind, Mode, Plan, Rule, Scenario, Step, Wanted, hides,
};
use limen_wire::effects::sha256;
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::ids::{KeyId, NodeId, PersonId, RecordHead, Scheme};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;
use prost::Message as _;

/// How often somebody may mistype words before the ceremony is called off.
const TRIES: usize = 5;

/// What a step asks of one participant.
#[derive(Debug, Clone)]
pub struct Task {
    /// Who we are.
    pub me: PersonId,
    /// The plan.
    pub plan: Plan,
    /// Whether it counts.
    pub mode: Mode,
    /// The record before the step.
    pub head: RecordHead,
    /// The step.
    pub step: Step,
}

/// Why a step is not done: the ceremony is called off with these words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NoGo(pub String);

impl NoGo {
    fn of(what: &str, error: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {error}"))
    }
}

/// The lines that somebody says in a step.
pub type Lines = Vec<(String, String)>;

/// Does what a step asks.
pub trait Hands: Send {
    /// The lines that we say in this step; may take as long as people take.
    fn perform(&mut self, task: &Task) -> Result<Lines, NoGo>;
}

/// Where a person reads and answers.
pub trait Console: Send {
    /// Shows something.
    fn say(&mut self, text: &str);
    /// Asks for a line.
    fn ask(&mut self, question: &str) -> std::io::Result<String>;
}

/// How a machine shows that it holds its identity.
pub enum ProofOf {
    /// By its key, which is here.
    Key(Box<SigningKey>),
    /// Signed there, by `limen-node prove-identity`.
    Signature([u8; 64]),
}

/// The cluster, as one participant's own client sees it. Calls block.
pub trait Cluster: Send {
    /// Whether there is or was a key of this name.
    fn exists(&mut self, key: &KeyId) -> anyhow::Result<bool>;
    /// Orders the key, unless it is ordered already, and waits until it is made.
    fn order(&mut self, key: &KeyGeneration) -> anyhow::Result<()>;
    /// Orders new shares, unless an earlier try has, and waits until they sign.
    fn hand_over(&mut self, handover: &Handover) -> anyhow::Result<()>;
    /// The key's certificate; waits for one of a later epoch where that is what the plan wants.
    fn certificate(&mut self, wanted: &Wanted) -> anyhow::Result<pb::Envelope>;
    /// A signature over a message for people: `r ‖ s ‖ recovery id`, or 64 bytes and a zero.
    fn sign(&mut self, key: &KeyId, scheme: Scheme, message: &str) -> anyhow::Result<[u8; 65]>;
}

/// Hands of a person at a machine.
pub struct LocalHands {
    /// Where they read and answer.
    pub console: Box<dyn Console>,
    /// Machines that they speak for.
    pub machines: BTreeMap<NodeId, ProofOf>,
    /// For kinds that need it.
    pub cluster: Option<Box<dyn Cluster>>,
    /// Files of what was signed or made elsewhere, by the name of the line. Read when it is their turn.
    pub brought: BTreeMap<String, PathBuf>,
    /// Where the record is kept.
    pub folder: PathBuf,
}

impl Hands for LocalHands {
    fn perform(&mut self, task: &Task) -> Result<Lines, NoGo> {
        let fields = task.step.fields(&task.me).unwrap_or_default();
        self.console.say(&format!("step {} ({}): {}", task.step.number, task.step.name, task.step.title));
        let (mut lines, mut certificate) = (Vec::new(), None);
        for field in fields {
            let value = self.value(task, field, &mut certificate)?;
            lines.push((field.name.clone(), value));
        }
        if task.step.name == limen_policy::ceremony::step::SIGN {
            self.yes("Sign the record of everything so far? After this nobody can call it off")?;
        }
        Ok(lines)
    }
}

impl LocalHands {
    fn value(&mut self, task: &Task, field: &Field, found: &mut Option<pb::Envelope>) -> Result<String, NoGo> {
        match &field.rule {
            Rule::Exactly(_) if field.name == "go" => {
                self.yes("Is everything on your side as the script says? Go").map(|()| "yes".to_owned())
            }
            Rule::Exactly(text) if field.name == "key-unused" => self.unused(task).map(|()| text.clone()),
            Rule::Exactly(text) if field.name == "ordered" => self.order(task).map(|()| text.clone()),
            Rule::Exactly(text) => Ok(text.clone()),
            Rule::OneOf(_) => software(),
            Rule::Words(expected) => self.words(task, &field.name, expected),
            Rule::Clock => Ok(now_secs().to_string()),
            Rule::AtLeast(_) => self.disk_free_mib().map(|free| free.to_string()),
            Rule::Text if field.name == "release" => Ok(env!("CARGO_PKG_VERSION").to_owned()),
            Rule::Text => Ok(device()),
            Rule::Told => self.told(&field.name),
            Rule::Proof { machine } => self.proof(task, *machine),
            Rule::Parent(_) => self.bring(&field.name).map(|text| Base64::encode_string(&text)),
            Rule::Approval => self.approval(task, &field.name),
            Rule::Certificate(wanted) => {
                let certificate = self.cluster()?.certificate(wanted);
                let envelope = certificate.map_err(|error| NoGo::of("the certificate", format!("{error:#}")))?;
                let text = Base64::encode_string(&envelope.encode_to_vec());
                *found = Some(envelope);
                Ok(text)
            }
            Rule::Certified(part) => self.certified(task, *part, found.as_ref()),
            Rule::Switched { .. } if !self.brought.contains_key(&field.name) => Ok(NONE.to_owned()),
            Rule::Switched { .. } => self.line(&field.name),
            Rule::Destroyed { machine } => self.destroyed(task, *machine, &field.name),
            Rule::BackupHead { member } => self.head_of(task, *member, &field.name),
            Rule::BackupProof { member } => self.proof_of_piece(task, *member, &field.name),
            Rule::TestSignature { key, scheme } => {
                let message = task.plan.test_message(task.mode, task.head);
                // From an offline machine, where the key is not in the cluster's hands.
                if self.brought.contains_key(&field.name) {
                    let what = format!("have the key sign this message: {message}");
                    return self.made_now(&field.name, &what).map(|text| text.trim().to_owned());
                }
                if let Kind::Recovery(_) | Kind::Drill(Drill { scenario: Scenario::Restore, .. }) = &task.plan.kind {
                    let line = &field.name;
                    return Err(NoGo(format!(
                        "the signature of the offline machine is not at hand: --bring {line}=FILE"
                    )));
                }
                let signature = self.cluster()?.sign(key, *scheme, &message);
                let signature = signature.map_err(|error| NoGo::of("the test signature", format!("{error:#}")))?;
                Ok(hex::encode(signature))
            }
        }
    }

    /// What only the person knows, in one line.
    fn told(&mut self, name: &str) -> Result<String, NoGo> {
        loop {
            let question = format!("{name}: in one line, or `{NONE}`: ");
            let answer = self.console.ask(&question).map_err(|error| NoGo::of("no answer", error))?;
            let answer = answer.trim();
            if !answer.is_empty() && answer.len() <= 1000 && !answer.chars().any(hides) {
                return Ok(answer.to_owned());
            }
            self.console.say("one line of up to 1000 bytes, without control characters");
        }
    }

    fn yes(&mut self, question: &str) -> Result<(), NoGo> {
        loop {
            let answer =
                self.console.ask(&format!("{question} (yes/no)? ")).map_err(|error| NoGo::of("no answer", error))?;
            match answer.trim() {
                "yes" => return Ok(()),
                "no" => return Err(NoGo(format!("NO GO: answered no to {question:?}"))),
                _ => self.console.say("yes or no, written out"),
            }
        }
    }

    /// The person types what somebody else reads out: words that stood on their own screen would compare nothing.
    fn words(&mut self, task: &Task, name: &str, expected: &str) -> Result<String, NoGo> {
        let others: Vec<&PersonId> = task.step.says.iter().map(|(person, _)| person).collect();
        let place = others.iter().position(|person| **person == task.me).unwrap_or_default();
        let before = place.checked_sub(1).and_then(|place| others.get(place)).or_else(|| others.last());
        let reader = before.map(ToString::to_string).unwrap_or_default();
        self.console.say(&format!("{name}, to be read out when it is your turn: {expected}"));
        for _ in 0..TRIES {
            let question =
                format!("{name}: type the twelve words as {reader} reads them out, or `no` to call it off: ");
            let typed = self.console.ask(&question).map_err(|error| NoGo::of("no answer", error))?;
            let typed = typed.split_whitespace().collect::<Vec<_>>().join(" ");
            if typed == expected {
                return Ok(typed);
            }
            if typed == "no" {
                return Err(NoGo(format!("NO GO: {} says that {name} are not those that others read", task.me)));
            }
            self.console.say("those are other words than the ones here");
        }
        Err(NoGo(format!("NO GO: {name} did not compare after {TRIES} tries at {}", task.me)))
    }

    fn disk_free_mib(&self) -> Result<u64, NoGo> {
        let stat = rustix::fs::statvfs(&self.folder).map_err(|error| NoGo::of("the disk", error))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize) / (1024 * 1024))
    }

    fn proof(&self, task: &Task, place: usize) -> Result<String, NoGo> {
        let machine = task.plan.machines.get(place).ok_or_else(|| NoGo("there is no such machine".to_owned()))?;
        match self.machines.get(&machine.id) {
            Some(ProofOf::Signature(signature)) => Ok(hex::encode(signature)),
            Some(ProofOf::Key(key)) => {
                let text = task.plan.machine_proof(machine, task.mode);
                let message = pre_authentication_encoding(PayloadType::MachineProof.as_str(), text.as_bytes());
                Ok(hex::encode(key.sign(&message)))
            }
            None => Err(NoGo(format!("no proof of machine {} is at hand: --machine {}=FILE", machine.id, machine.id))),
        }
    }

    fn cluster(&mut self) -> Result<&mut dyn Cluster, NoGo> {
        match &mut self.cluster {
            Some(cluster) => Ok(cluster.as_mut()),
            None => Err(NoGo("no cluster is at hand: --client FILE".to_owned())),
        }
    }

    fn unused(&mut self, task: &Task) -> Result<(), NoGo> {
        let Kind::KeyGeneration(key) = &task.plan.kind else {
            return Err(NoGo("this ceremony makes no key".to_owned()));
        };
        match self.cluster()?.exists(&key.key).map_err(|error| NoGo::of("the cluster", format!("{error:#}")))? {
            false => Ok(()),
            true => Err(NoGo(format!("NO GO: there is a key {} already", key.key))),
        }
    }

    fn order(&mut self, task: &Task) -> Result<(), NoGo> {
        let cluster = self.cluster()?;
        let ordered = match &task.plan.kind {
            Kind::KeyGeneration(key) => cluster.order(key),
            Kind::Refresh(handover) | Kind::Reshare(handover) => cluster.hand_over(handover),
            _ => return Err(NoGo("this ceremony orders nothing".to_owned())),
        };
        ordered.map_err(|error| NoGo::of("the order", format!("{error:#}")))
    }

    fn certified(&mut self, task: &Task, part: Certified, found: Option<&pb::Envelope>) -> Result<String, NoGo> {
        let envelope = found.ok_or_else(|| NoGo("the certificate is missing".to_owned()))?;
        let statement = KeyStatement::decode(envelope).map_err(|error| NoGo::of("the certificate", error))?;
        match part {
            Certified::PublicKey => Ok(hex::encode(&statement.public_key)),
            Certified::Shares => Ok(hex::encode(statement.verifying_shares_hash)),
            Certified::Words => {
                let words = words_of("statement", &sha256(&envelope.payload)).join(" ");
                self.words(task, "the words of the key's certificate", &words)
            }
        }
    }
}

/// SHA-256 of the program that runs.
pub fn software() -> Result<String, NoGo> {
    // The file that was started, also if another lies in its place since.
    let bytes = std::fs::read("/proc/self/exe").or_else(|_| std::fs::read(std::env::current_exe()?));
    Ok(hex::encode(sha256(&bytes.map_err(|error| NoGo::of("the program's own file", error))?)))
}

/// What runs below the program.
fn device() -> String {
    let uname = rustix::system::uname();
    let part = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    format!("{} {} {}", part(uname.sysname()), part(uname.release()), part(uname.machine()))
}
