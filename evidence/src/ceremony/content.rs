//! Whether what somebody says in a step is what the step asks for.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use limen_chain::{NoTokenKinds, Payload, decode};
use limen_policy::approval::words;
use limen_policy::ceremony::step::{Certified, NONE, SIGN};
use limen_policy::ceremony::{Machine, Plan, Rule, Step, Wanted, Which};
use limen_wire::destroyed::KeyDestroyed;
use limen_wire::effects::{ChainId, sha256};
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::handover::{EpochSwitched, statement_hash};
use limen_wire::identities::NodeKeys;
use limen_wire::ids::{NodeId, PersonId, Scheme};
use limen_wire::keys::PublicKey;
use limen_wire::pb;
use limen_wire::statement::KeyStatement;
use prost::Message as _;

use super::change;
use super::contribution::{Body, Contribution, Said};
use super::custody;
use super::transcript::Transcript;
use crate::leaf::AccountKey;

/// Which certificate, the bytes of its statement, and what they say.
pub(super) type Statement = (Which, Vec<u8>, KeyStatement);

/// The identities that a plan pins.
struct Pinned<'a> {
    plan: &'a Plan,
    /// For shares that are made in this ceremony: no former identity has part in them.
    is_new: bool,
}

impl NodeKeys for Pinned<'_> {
    fn node_key(&self, node: &NodeId) -> Option<PublicKey> {
        self.plan.machine(node).map(|machine| machine.public_key)
    }
    fn former_keys(&self, node: &NodeId, _statement: &[u8; 32]) -> Vec<PublicKey> {
        let machine = self.plan.machine(node).filter(|_| !self.is_new);
        machine.map(|machine| machine.former_keys.clone()).unwrap_or_default()
    }
}

/// Checks one contribution to the open step; answers the certificate's statement where it brings one.
pub(super) fn check(
    transcript: &Transcript<'_>,
    step: &Step,
    said: &Contribution,
) -> Result<Option<Statement>, String> {
    let Body::Step { at, exceptions, fields, .. } = &said.body else { return Ok(None) };
    let last = step.name == SIGN;
    if at.is_some() == last || (last && !exceptions.is_empty()) {
        return Err("every step but the last says when, and only those have exceptions".to_owned());
    }
    let asked = step.fields(&said.author).unwrap_or_default();
    let names = fields.iter().map(|(name, _)| name.as_str());
    if !names.eq(asked.iter().map(|field| field.name.as_str())) {
        let asked: Vec<&str> = asked.iter().map(|field| field.name.as_str()).collect();
        return Err(format!("the lines must be: {}", asked.join(", ")));
    }
    let mut statement = None;
    for (field, (_, value)) in asked.iter().zip(fields) {
        let judge = Judge { transcript, statement: statement.as_ref(), author: &said.author };
        let found = judge.value(&field.rule, value).map_err(|reason| format!("{}: {reason}", field.name))?;
        statement = statement.or(found);
    }
    Ok(statement)
}

/// Checks what only shows when everybody has said their part.
pub(super) fn together(
    transcript: &Transcript<'_>,
    step: &Step,
    said: &BTreeMap<PersonId, Said>,
) -> Result<(), String> {
    let session = transcript.session();
    let mut clocks: Vec<(u64, &PersonId)> = Vec::new();
    for (person, asked) in &step.says {
        let Some(Body::Step { fields, .. }) = said.get(person).map(|said| &said.contribution.body) else { continue };
        for (field, (_, value)) in asked.iter().zip(fields) {
            if field.rule == Rule::Clock {
                clocks.push((value.parse().unwrap_or_default(), person));
            }
        }
    }
    let approves = step.says.iter().any(|(_, asked)| asked.iter().any(|field| field.rule == Rule::Approval));
    if approves {
        change::quorum(transcript, said)?;
    }
    let window = session.plan().bounds.clock_window_secs;
    match (clocks.iter().min(), clocks.iter().max()) {
        (Some((first, one)), Some((last, other))) if last.saturating_sub(*first) > window => Err(format!(
            "NO GO: the clocks of {one} and {other} are {} s apart, {window} s are allowed: set them, or be ready together",
            last.saturating_sub(*first)
        )),
        _ => Ok(()),
    }
}

struct Judge<'a> {
    transcript: &'a Transcript<'a>,
    /// Of the same contribution.
    statement: Option<&'a Statement>,
    author: &'a PersonId,
}

fn must(holds: bool, reason: impl FnOnce() -> String) -> Result<Option<Statement>, String> {
    if holds { Ok(None) } else { Err(reason()) }
}

/// A number in its one spelling.
fn number(value: &str) -> Option<u64> {
    value.parse::<u64>().ok().filter(|number| number.to_string() == value)
}

impl Judge<'_> {
    fn value(&self, rule: &Rule, value: &str) -> Result<Option<Statement>, String> {
        match rule {
            Rule::Exactly(text) | Rule::Words(text) => must(value == text, || format!("{value:?}, not {text:?}")),
            Rule::OneOf(texts) => must(texts.iter().any(|text| text == value), || {
                format!("{value} is none of those that the plan allows: {}", texts.join(", "))
            }),
            Rule::Clock => must(number(value).is_some(), || format!("{value:?} is no time in seconds")),
            Rule::AtLeast(least) => must(number(value).is_some_and(|found| found >= *least), || {
                format!("NO GO: {value:?}, at least {least} is needed")
            }),
            Rule::Text | Rule::Told => must(value.len() <= 1000, || "longer than 1000 bytes".to_owned()),
            Rule::Proof { machine } => self.proof(*machine, value),
            Rule::Parent(hash) => change::parent(self.transcript.session(), *hash, value).map(|_| None),
            Rule::Approval => change::approval(self.transcript, self.author, value).map(|_| None),
            Rule::Certificate(wanted) => self.certificate(wanted, value).map(Some),
            Rule::Certified(part) => self.certified(*part, value),
            Rule::Switched { machine } => self.switched(*machine, value),
            Rule::Destroyed { machine } => self.destroyed(*machine, value),
            Rule::BackupHead { member } => custody::head(self.transcript, *member, value).map(|()| None),
            Rule::BackupProof { member } => custody::proof(self.transcript, self.author, *member, value).map(|()| None),
            Rule::TestSignature { .. } => self.test_signature(value),
        }
    }

    fn plan(&self) -> &Plan {
        self.transcript.session().plan()
    }

    fn machine(&self, place: usize) -> Result<&Machine, String> {
        self.plan().machines.get(place).ok_or_else(|| "there is no such machine".to_owned())
    }

    fn proof(&self, place: usize, value: &str) -> Result<Option<Statement>, String> {
        let plan = self.plan();
        let machine = self.machine(place)?;
        let text = plan.machine_proof(machine, self.transcript.session().mode());
        let message = pre_authentication_encoding(PayloadType::MachineProof.as_str(), text.as_bytes());
        let signature = lower_hex(value).ok_or("64 bytes in lower-case hexadecimal are needed")?;
        must(machine.public_key.verify(&message, &signature), || {
            format!(
                "the signature does not verify under {}, which the plan pins for {}",
                machine.public_key, machine.id
            )
        })
    }

    fn certificate(&self, wanted: &Wanted, value: &str) -> Result<Statement, String> {
        let plan = self.plan();
        let envelope = envelope_of(value)?;
        let pinned = Pinned { plan, is_new: wanted.which == Which::New };
        let statement = KeyStatement::from_certificate(&envelope, &pinned).map_err(|error| error.to_string())?;
        if let Some(what) = wanted.differs(&plan.cluster, &statement) {
            return Err(format!("the certificate is for another {what} than the plan's"));
        }
        let payload = envelope.payload.to_vec();
        match self.transcript.statement(wanted.which) {
            Some((_, other, _)) if *other != payload => {
                return Err("the certificate says something else than the one of somebody else".to_owned());
            }
            _ => {}
        }
        if let (Which::New, Some((_, _, before))) = (wanted.which, self.transcript.statement(Which::Present)) {
            let same = statement.public_key == before.public_key && statement.chain_code == before.chain_code;
            if !same || statement.verifying_shares_hash == before.verifying_shares_hash {
                return Err(
                    "the certificate is for another public key or chain code than before, or for the same shares"
                        .to_owned(),
                );
            }
        }
        Ok((wanted.which, payload, statement))
    }

    fn certified(&self, part: Certified, value: &str) -> Result<Option<Statement>, String> {
        let (_, payload, statement) = self.statement.ok_or("the certificate is missing")?;
        let expected = match part {
            Certified::PublicKey => hex::encode(&statement.public_key),
            Certified::Shares => hex::encode(statement.verifying_shares_hash),
            Certified::Words => words::words_of("statement", &sha256(payload)).join(" "),
        };
        must(value == expected, || format!("{value:?}, but the certificate says {expected:?}"))
    }

    fn switched(&self, place: usize, value: &str) -> Result<Option<Statement>, String> {
        if value == NONE {
            return Ok(None);
        }
        let (_, payload, statement) =
            self.transcript.statement(Which::New).ok_or("no certificate has been accepted")?;
        let machine = self.machine(place)?;
        let envelope = envelope_of(value)?;
        let (word, opened) = EpochSwitched::open(&envelope).map_err(|error| error.to_string())?;
        let is_it = word.cluster == statement.cluster
            && word.node == machine.id
            && word.key_id == statement.key_id
            && word.epoch == statement.epoch
            && word.statement_hash == statement_hash(payload)
            && opened.claimed_signers().eq([machine.id.as_str()]);
        if !is_it {
            return Err("the word is of another node, key, epoch or certificate".to_owned());
        }
        opened.verify(machine.id.as_str(), &machine.public_key).map(|()| None).map_err(|error| error.to_string())
    }

    /// A machine's word of what its charter had it do. It says so once and for ever, so no moment stands in it; under which version, too, it
    /// may say: who was off when the key was destroyed hears of it with a later one.
    fn destroyed(&self, place: usize, value: &str) -> Result<Option<Statement>, String> {
        let (plan, machine) = (self.plan(), self.machine(place)?);
        let key = plan.kind.known().ok_or("the plan is about no key")?;
        let envelope = envelope_of(value)?;
        let (word, opened) = KeyDestroyed::open(&envelope).map_err(|error| error.to_string())?;
        let facts = [
            (word.cluster == plan.cluster, "cluster"),
            (word.node == machine.id && opened.claimed_signers().eq([machine.id.as_str()]), "machine"),
            (word.key_id == key.id, "key"),
            (word.public_key == key.public_key, "public key"),
        ];
        if let Some((_, what)) = facts.into_iter().find(|(same, _)| !same) {
            return Err(format!("the word is of another {what}"));
        }
        if !word.epochs.contains(&key.epoch) {
            return Err(format!("the word says nothing of the share of epoch {}, which the plan names", key.epoch.0));
        }
        opened.verify(machine.id.as_str(), &machine.public_key).map(|()| None).map_err(|error| error.to_string())
    }

    fn test_signature(&self, value: &str) -> Result<Option<Statement>, String> {
        // Where no signer is asked, the plan's own word of the key is what everybody has signed.
        let (scheme, public_key) = match (self.transcript.statement(Which::New), self.plan().kind.known()) {
            (Some((_, _, statement)), _) => (statement.scheme, &statement.public_key),
            (None, Some(known)) => (known.scheme, &known.public_key),
            (None, None) => return Err("no certificate has been accepted".to_owned()),
        };
        let message = self.plan().test_message(self.transcript.session().mode(), self.transcript.head());
        let input = test_input(&message, scheme, public_key)?;
        let bytes = lower_hex(value).ok_or("65 bytes in lower-case hexadecimal are needed")?;
        let (signature, recovery) = bytes.split_first_chunk::<64>().ok_or("65 bytes are needed")?;
        let [recovery] = recovery else { return Err("65 bytes are needed".to_owned()) };
        let key = AccountKey::new(scheme, public_key).ok_or("the public key has another length")?;
        must(key.verify(&input, signature, *recovery), || {
            "the test signature does not verify under the public key".to_owned()
        })
    }
}

/// The bytes that a key signs for a test message: as a cluster signs messages for people, by EIP-191 where the scheme takes
/// digests.
pub fn test_input(message: &str, scheme: Scheme, public_key: &[u8]) -> Result<Vec<u8>, String> {
    let (payload, chain) = if scheme.is_ecdsa() {
        (Payload::EvmMessage(message.as_bytes()), TEST_CHAIN.to_owned())
    } else {
        (Payload::Message(message.as_bytes()), ChainId::offchain().to_string())
    };
    let chain = ChainId::new(chain).ok_or("no chain")?;
    let account = limen_chain::address(&chain, scheme, public_key).map_err(|e| e.to_string())?;
    let decoded = decode(&payload, &chain, &account, &NoTokenKinds).map_err(|error| error.to_string())?;
    let input = decoded.signing.for_scheme(scheme).ok_or("the scheme signs no such message")?;
    Ok(input.into_owned())
}

/// Where the account of a test message over secp256k1 stands; the message names no chain.
pub const TEST_CHAIN: &str = "eip155:1";

/// An envelope in base64, in its one spelling.
pub(super) fn envelope_of(value: &str) -> Result<pb::Envelope, String> {
    let bytes = Base64::decode_vec(value).map_err(|error| error.to_string())?;
    let envelope = pb::Envelope::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
    if envelope.encode_to_vec() == bytes { Ok(envelope) } else { Err("the envelope has another spelling".to_owned()) }
}

fn lower_hex(text: &str) -> Option<Vec<u8>> {
    let bytes = hex::decode(text).ok()?;
    (hex::encode(&bytes) == text).then_some(bytes)
}
