//! What a participant's machine and its person do in a step. Every part may be done again: nothing here is said before it is signed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64ct::{Base64, Encoding as _};
use limen_client::now_secs;
use limen_policy::approval::words::words_of;
use limen_policy::ceremony::step::Certified;
use limen_policy::ceremony::{Field, KeyGeneration, Kind, Plan, Rule, Step};
use limen_wire::effects::sha256;
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::ids::{KeyId, NodeId, PersonId};
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
    /// The key's certificate.
    fn certificate(&mut self, key: &KeyId) -> anyhow::Result<pb::Envelope>;
    /// A signature over a message for people: `r ‖ s ‖ recovery id`, or 64 bytes and a zero.
    fn sign(&mut self, key: &KeyGeneration, message: &str) -> anyhow::Result<[u8; 65]>;
}

/// Hands of a person at a machine.
pub struct LocalHands {
    /// Where they read and answer.
    pub console: Box<dyn Console>,
    /// Machines that they speak for.
    pub machines: BTreeMap<NodeId, ProofOf>,
    /// For kinds that need it.
    pub cluster: Option<Box<dyn Cluster>>,
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
            Rule::Proof { machine } => self.proof(&task.plan, *machine),
            Rule::Certificate => {
                let (key, cluster) = self.key(task)?;
                let envelope = cluster.certificate(&key.key).map_err(|error| NoGo::of("the certificate", error))?;
                let text = Base64::encode_string(&envelope.encode_to_vec());
                *found = Some(envelope);
                Ok(text)
            }
            Rule::Certified(part) => self.certified(task, *part, found.as_ref()),
            Rule::TestSignature => {
                let message = task.plan.test_message();
                let (key, cluster) = self.key(task)?;
                let signature = cluster.sign(&key, &message).map_err(|error| NoGo::of("the test signature", error))?;
                Ok(hex::encode(signature))
            }
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

    fn proof(&self, plan: &Plan, place: usize) -> Result<String, NoGo> {
        let machine = plan.machines.get(place).ok_or_else(|| NoGo("there is no such machine".to_owned()))?;
        match self.machines.get(&machine.id) {
            Some(ProofOf::Signature(signature)) => Ok(hex::encode(signature)),
            Some(ProofOf::Key(key)) => {
                let text = plan.machine_proof(machine);
                let message = pre_authentication_encoding(PayloadType::MachineProof.as_str(), text.as_bytes());
                Ok(hex::encode(key.sign(&message)))
            }
            None => Err(NoGo(format!("no proof of machine {} is at hand: --machine {}=FILE", machine.id, machine.id))),
        }
    }

    fn key(&mut self, task: &Task) -> Result<(KeyGeneration, &mut dyn Cluster), NoGo> {
        let Kind::KeyGeneration(key) = &task.plan.kind else {
            return Err(NoGo("this ceremony makes no key".to_owned()));
        };
        match &mut self.cluster {
            Some(cluster) => Ok((key.clone(), cluster.as_mut())),
            None => Err(NoGo("no cluster is at hand: --client FILE".to_owned())),
        }
    }

    fn unused(&mut self, task: &Task) -> Result<(), NoGo> {
        let (key, cluster) = self.key(task)?;
        match cluster.exists(&key.key).map_err(|error| NoGo::of("the cluster", error))? {
            false => Ok(()),
            true => Err(NoGo(format!("NO GO: there is a key {} already", key.key))),
        }
    }

    fn order(&mut self, task: &Task) -> Result<(), NoGo> {
        let (key, cluster) = self.key(task)?;
        cluster.order(&key).map_err(|error| NoGo::of("the order", error))
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
