//! What a participant says: lines of text that people can read, signed as they stand by the participant's credential.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use limen_policy::ceremony::{Mode, Plan, hides};
use limen_wire::envelope::{self, EnvelopeError, PayloadType};
use limen_wire::ids::{CeremonyId, ClusterId, PersonId, PlanHash, RecordHead};
use limen_wire::keys::PublicKey;
use limen_wire::pb;
use prost::Message as _;

/// Most lines of content in one contribution, exceptions and evidence included.
pub const MAX_FIELDS: usize = 256;
/// Longest value of a line, in bytes.
pub const MAX_VALUE: usize = 32 * 1024;

/// Longest text of what somebody says in a step, in bytes: the largest that is honest is a charter's text of 24 KiB in base64, with a few
/// exceptions. Two of them fit into an abort that shows them.
pub const MAX_STEP: usize = 40 * 1024;
/// Longest line of evidence, in bytes: whatever somebody said in a step, in its envelope, in base64.
const MAX_EVIDENCE: usize = 64 * 1024;
// Signer, signature and type take less than 1 KiB beside the text.
const _: () = assert!((MAX_STEP + 1024).div_ceil(3) * 4 <= MAX_EVIDENCE);

const STEP: &str = "limen-ceremony 1 contribution";
const ABORT: &str = "limen-ceremony 1 abort";

/// Why bytes are no contribution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAContribution {
    /// The envelope, or a signature that does not verify.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Its text.
    #[error("the text is no contribution in its one spelling: {0}")]
    Text(String),
    /// More or fewer signatures than one.
    #[error("a contribution has one signature, this has {0}")]
    Signatures(usize),
    /// The name in the text is not the name of the signature.
    #[error("{signer:?} signed what {author} is to have said")]
    OtherSigner {
        /// Who signed.
        signer: String,
        /// Who is named in the text.
        author: PersonId,
    },
    /// Not in the plan.
    #[error("{0} is nobody in the plan")]
    Stranger(PersonId),
    /// Said elsewhere. Records can be read by everybody, so whoever brings it shows nothing of its author.
    #[error("{author} said it in {what} {found}, this is {expected}: somebody brought it from there")]
    Elsewhere {
        /// Who said it.
        author: PersonId,
        /// What is not the same.
        what: &'static str,
        /// Theirs.
        found: String,
        /// Ours.
        expected: String,
    },
}

/// What is said.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// In a step.
    Step {
        /// Counted from 1.
        number: u32,
        /// Its name.
        name: String,
        /// The record so far.
        head: RecordHead,
        /// Seconds since 1970 by the author's clock; nothing is said of the time in the last step.
        at: Option<u64>,
        /// What was not as the script says, in words.
        exceptions: Vec<String>,
        /// The step's fields by name.
        fields: Vec<(String, String)>,
    },
    /// The ceremony is called off.
    Abort {
        /// The record so far.
        head: RecordHead,
        /// Why, in words.
        cause: String,
        /// Envelopes that show it to others.
        evidence: Vec<pb::Envelope>,
    },
}

/// What somebody says.
#[derive(Debug, Clone, PartialEq)]
pub struct Contribution {
    /// The cluster.
    pub cluster: ClusterId,
    /// The ceremony.
    pub ceremony: CeremonyId,
    /// Whether it counts.
    pub mode: Mode,
    /// The plan that its author has before them.
    pub plan: PlanHash,
    /// Who says it.
    pub author: PersonId,
    /// What.
    pub body: Body,
}

/// Text that makes one line: no control characters, no blanks around it.
fn is_line_of(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && !text.chars().any(hides) && text.trim() == text
}

fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_');
    (1..=100).contains(&name.len()) && name.bytes().all(plain)
}

impl Contribution {
    /// What somebody says under a plan.
    pub fn new(plan: &Plan, mode: Mode, author: PersonId, body: Body) -> Self {
        Self { cluster: plan.cluster.clone(), ceremony: plan.id.clone(), mode, plan: plan.hash(), author, body }
    }

    /// The exact bytes that are signed.
    pub fn to_text(&self) -> String {
        let first = if matches!(self.body, Body::Step { .. }) { STEP } else { ABORT };
        let mut out = format!(
            "{first}\ncluster {}\nceremony {}\nmode {}\nplan {}\nauthor {}\n",
            self.cluster, self.ceremony, self.mode, self.plan, self.author
        );
        let mut line = |key: &str, value: &str| out.push_str(&format!("{key} {value}\n"));
        match &self.body {
            Body::Step { number, name, head, at, exceptions, fields } => {
                line("step", &format!("{number} {name}"));
                line("head", &head.to_string());
                if let Some(at) = at {
                    line("at", &at.to_string());
                }
                for text in exceptions {
                    line("exception", text);
                }
                for (name, value) in fields {
                    line(name, value);
                }
            }
            Body::Abort { head, cause, evidence } => {
                line("head", &head.to_string());
                line("cause", cause);
                for envelope in evidence {
                    line("evidence", &Base64::encode_string(&envelope.encode_to_vec()));
                }
            }
        }
        out
    }

    /// Reads the one spelling that [`Self::to_text`] writes.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let mut lines = Lines { rest: text };
        let first = lines.line()?;
        let mut header = |key: &'static str| lines.value(key);
        let (cluster, ceremony) = (header("cluster")?, header("ceremony")?);
        let (mode, plan, author) = (header("mode")?, header("plan")?, header("author")?);
        let text_of = |error: &dyn fmt::Display| error.to_string();
        let body = match first {
            STEP if text.len() > MAX_STEP => {
                return Err(format!("{} bytes, at most {MAX_STEP} are said in a step", text.len()));
            }
            STEP => lines.step()?,
            ABORT => lines.abort()?,
            other => return Err(format!("it begins with {:?}", other.chars().take(80).collect::<String>())),
        };
        let contribution = Self {
            cluster: ClusterId::new(cluster).map_err(|error| text_of(&error))?,
            ceremony: CeremonyId::new(ceremony).map_err(|error| text_of(&error))?,
            mode: Mode::of(mode).ok_or("the mode is real or REHEARSAL")?,
            plan: plan.parse().map_err(|error| text_of(&error))?,
            author: PersonId::new(author).map_err(|error| text_of(&error))?,
            body,
        };
        // Two spellings of one thing would be two things that were said.
        if contribution.to_text() == text { Ok(contribution) } else { Err("it has another spelling".to_owned()) }
    }
}

struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    fn line(&mut self) -> Result<&'a str, String> {
        let (line, rest) = self.rest.split_once('\n').ok_or("a line is missing or does not end")?;
        self.rest = rest;
        Ok(line)
    }

    fn pair(&mut self) -> Result<(&'a str, &'a str), String> {
        let line = self.line()?;
        let shown = || line.chars().take(80).collect::<String>();
        let (key, value) = line.split_once(' ').ok_or_else(|| format!("{:?} is no name with a value", shown()))?;
        let most = if key == "evidence" { MAX_EVIDENCE } else { MAX_VALUE };
        if is_name(key) && is_line_of(value, most) {
            Ok((key, value))
        } else {
            Err(format!("{:?} is no name with a value", shown()))
        }
    }

    fn value(&mut self, key: &'static str) -> Result<&'a str, String> {
        let (found, value) = self.pair()?;
        if found == key { Ok(value) } else { Err(format!("{found} stands where {key} is needed")) }
    }

    fn step(&mut self) -> Result<Body, String> {
        let (number, name) = self.value("step")?.split_once(' ').ok_or("a step has a number and a name")?;
        let number = number.parse().map_err(|_| "a step has a number".to_owned())?;
        if !is_name(name) {
            return Err("a step has a name".to_owned());
        }
        let head = self.value("head")?.parse().map_err(|error| format!("{error}"))?;
        let (mut at, mut exceptions, mut fields) = (None, Vec::new(), Vec::new());
        while !self.rest.is_empty() {
            if exceptions.len().saturating_add(fields.len()) >= MAX_FIELDS {
                return Err(format!("more than {MAX_FIELDS} lines"));
            }
            match self.pair()? {
                ("at", value) if at.is_none() && fields.is_empty() && exceptions.is_empty() => {
                    at = Some(value.parse().map_err(|_| "a time is in seconds".to_owned())?);
                }
                ("exception", text) if fields.is_empty() => exceptions.push(text.to_owned()),
                (key, value) => fields.push((key.to_owned(), value.to_owned())),
            }
        }
        Ok(Body::Step { number, name: name.to_owned(), head, at, exceptions, fields })
    }

    fn abort(&mut self) -> Result<Body, String> {
        let head = self.value("head")?.parse().map_err(|error| format!("{error}"))?;
        let cause = self.value("cause")?.to_owned();
        let mut evidence = Vec::new();
        while !self.rest.is_empty() {
            if evidence.len() >= 4 {
                return Err("more than 4 pieces of evidence".to_owned());
            }
            let bytes = Base64::decode_vec(self.value("evidence")?).map_err(|error| error.to_string())?;
            evidence.push(pb::Envelope::decode(bytes.as_slice()).map_err(|error| error.to_string())?);
        }
        Ok(Body::Abort { head, cause, evidence })
    }
}

/// A contribution with the signature under it: it verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// What.
    pub contribution: Contribution,
    /// Under its text.
    pub signature: [u8; 64],
}

impl Said {
    /// Checks form and signature by the key that the plan has for the author, and that it was said in a ceremony of the plan's cluster and
    /// name. Whether it was said to this very plan, and fits what others said, is another question.
    pub fn open(envelope: &pb::Envelope, plan: &Plan) -> Result<Self, NotAContribution> {
        let said = Self::open_by(envelope, &|person| plan.person(person).map(|person| person.credential))?;
        let of = &said.contribution;
        for (what, found, expected) in [
            ("cluster", of.cluster.as_str(), plan.cluster.as_str()),
            ("ceremony", of.ceremony.as_str(), plan.id.as_str()),
        ] {
            if found != expected {
                let (author, found, expected) = (of.author.clone(), found.to_owned(), expected.to_owned());
                return Err(NotAContribution::Elsewhere { author, what, found, expected });
            }
        }
        Ok(said)
    }

    /// The same for other keys.
    pub fn open_by(
        envelope: &pb::Envelope,
        key: &dyn Fn(&PersonId) -> Option<PublicKey>,
    ) -> Result<Self, NotAContribution> {
        let opened = envelope::open(envelope, PayloadType::Ceremony)?;
        let text = std::str::from_utf8(opened.payload()).map_err(|error| NotAContribution::Text(error.to_string()))?;
        let contribution = Contribution::from_text(text).map_err(NotAContribution::Text)?;
        let [signature] = envelope.signatures.as_slice() else {
            return Err(NotAContribution::Signatures(envelope.signatures.len()));
        };
        let author = contribution.author.clone();
        if signature.signer != author.as_str() {
            return Err(NotAContribution::OtherSigner { signer: signature.signer.clone(), author });
        }
        let key = key(&author).ok_or_else(|| NotAContribution::Stranger(author.clone()))?;
        opened.verify(author.as_str(), &key)?;
        let bad = |_| EnvelopeError::BadSignature { signer: author.to_string() };
        let signature = <[u8; 64]>::try_from(signature.signature.as_ref()).map_err(bad)?;
        Ok(Self { contribution, signature })
    }

    /// The envelope again.
    pub fn to_envelope(&self) -> pb::Envelope {
        sign(&self.contribution, &self.signature)
    }
}

/// The envelope of a contribution with a signature over its message.
pub fn sign(contribution: &Contribution, signature: &[u8; 64]) -> pb::Envelope {
    let payload = contribution.to_text().into_bytes();
    envelope::attach(PayloadType::Ceremony, payload, contribution.author.as_str(), signature)
}
