//! Whether what somebody says in a step is what the step asks for.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use limen_chain::{NoTokenKinds, Payload, decode};
use limen_policy::approval::words;
use limen_policy::ceremony::step::{Certified, SIGN};
use limen_policy::ceremony::{KeyGeneration, Kind, Plan, Rule, Step};
use limen_wire::effects::{ChainId, sha256};
use limen_wire::envelope::{PayloadType, pre_authentication_encoding};
use limen_wire::ids::{Epoch, PersonId};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;
use prost::Message as _;

use super::contribution::{Body, Contribution, Said};
use super::transcript::{Session, Transcript};
use crate::leaf::AccountKey;

/// The bytes of a certificate's statement, and what they say.
type Statement = (Vec<u8>, KeyStatement);

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
        let judge = Judge { transcript, statement: statement.as_ref() };
        let found = judge.value(&field.rule, value).map_err(|reason| format!("{}: {reason}", field.name))?;
        statement = statement.or(found);
    }
    Ok(statement)
}

/// Checks what only shows when everybody has said their part.
pub(super) fn together(session: &Session, step: &Step, said: &BTreeMap<PersonId, Said>) -> Result<(), String> {
    let mut clocks: Vec<(u64, &PersonId)> = Vec::new();
    for (person, asked) in &step.says {
        let Some(Body::Step { fields, .. }) = said.get(person).map(|said| &said.contribution.body) else { continue };
        for (field, (_, value)) in asked.iter().zip(fields) {
            if field.rule == Rule::Clock {
                clocks.push((value.parse().unwrap_or_default(), person));
            }
        }
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
            Rule::Text => must(value.len() <= 1000, || "longer than 1000 bytes".to_owned()),
            Rule::Proof { machine } => self.proof(*machine, value),
            Rule::Certificate => self.certificate(value).map(Some),
            Rule::Certified(part) => self.certified(*part, value),
            Rule::TestSignature => self.test_signature(value),
        }
    }

    fn plan(&self) -> &Plan {
        self.transcript.session().plan()
    }

    fn key(&self) -> Result<&KeyGeneration, String> {
        match &self.plan().kind {
            Kind::KeyGeneration(key) => Ok(key),
            Kind::Genesis(_) => Err("a genesis makes no key".to_owned()),
        }
    }

    fn proof(&self, place: usize, value: &str) -> Result<Option<Statement>, String> {
        let plan = self.plan();
        let machine = plan.machines.get(place).ok_or("there is no such machine")?;
        let text = plan.machine_proof(machine);
        let message = pre_authentication_encoding(PayloadType::MachineProof.as_str(), text.as_bytes());
        let signature = lower_hex(value).ok_or("64 bytes in lower-case hexadecimal are needed")?;
        must(machine.public_key.verify(&message, &signature), || {
            format!(
                "the signature does not verify under {}, which the plan pins for {}",
                machine.public_key, machine.id
            )
        })
    }

    fn certificate(&self, value: &str) -> Result<Statement, String> {
        let (plan, key) = (self.plan(), self.key()?);
        let bytes = Base64::decode_vec(value).map_err(|error| error.to_string())?;
        let envelope = pb::Envelope::decode(bytes.as_slice()).map_err(|error| error.to_string())?;
        if envelope.encode_to_vec() != bytes {
            return Err("the certificate has another spelling".to_owned());
        }
        let pinned = |node: &_| plan.machine(node).map(|machine| machine.public_key);
        let statement = KeyStatement::from_certificate(&envelope, &pinned).map_err(|error| error.to_string())?;
        let same = statement.cluster == plan.cluster
            && statement.key_id == key.key
            && statement.scheme == key.scheme
            && statement.protocol == key.protocol
            && statement.size == key.size
            && statement.nodes == key.nodes
            && statement.epoch == Epoch::FIRST;
        if !same {
            return Err(
                "the certificate is for another key, committee, scheme, protocol or epoch than the plan's".to_owned()
            );
        }
        let payload = envelope.payload.to_vec();
        match self.transcript.statement() {
            Some((other, _)) if *other != payload => {
                Err("the certificate says something else than the one of somebody else".to_owned())
            }
            _ => Ok((payload, statement)),
        }
    }

    fn certified(&self, part: Certified, value: &str) -> Result<Option<Statement>, String> {
        let (payload, statement) = self.statement.ok_or("the certificate is missing")?;
        let expected = match part {
            Certified::PublicKey => hex::encode(&statement.public_key),
            Certified::Shares => hex::encode(statement.verifying_shares_hash),
            Certified::Words => words::words_of("statement", &sha256(payload)).join(" "),
        };
        must(value == expected, || format!("{value:?}, but the certificate says {expected:?}"))
    }

    fn test_signature(&self, value: &str) -> Result<Option<Statement>, String> {
        let (_, statement) = self.transcript.statement().ok_or("no certificate has been accepted")?;
        let input = test_input(self.plan(), statement)?;
        let bytes = lower_hex(value).ok_or("65 bytes in lower-case hexadecimal are needed")?;
        let (signature, recovery) = bytes.split_first_chunk::<64>().ok_or("65 bytes are needed")?;
        let [recovery] = recovery else { return Err("65 bytes are needed".to_owned()) };
        let key =
            AccountKey::new(statement.scheme, &statement.public_key).ok_or("the public key has another length")?;
        must(key.verify(&input, signature, *recovery), || {
            "the test signature does not verify under the key that the signers certified".to_owned()
        })
    }
}

/// The bytes that a key signs for the test message of a plan: as a cluster signs messages for people, by EIP-191 where the scheme takes
/// digests.
pub fn test_input(plan: &Plan, statement: &KeyStatement) -> Result<Vec<u8>, String> {
    let message = plan.test_message().into_bytes();
    let (payload, chain) = if statement.scheme.is_ecdsa() {
        (Payload::EvmMessage(&message), TEST_CHAIN.to_owned())
    } else {
        (Payload::Message(&message), ChainId::offchain().to_string())
    };
    let chain = ChainId::new(chain).ok_or("no chain")?;
    let account = limen_chain::address(&chain, statement.scheme, &statement.public_key).map_err(|e| e.to_string())?;
    let decoded = decode(&payload, &chain, &account, &NoTokenKinds).map_err(|error| error.to_string())?;
    let input = decoded.signing.for_scheme(statement.scheme).ok_or("the scheme signs no such message")?;
    Ok(input.into_owned())
}

/// Where the account of a test message over secp256k1 stands; the message names no chain.
pub const TEST_CHAIN: &str = "eip155:1";

fn lower_hex(text: &str) -> Option<Vec<u8>> {
    let bytes = hex::decode(text).ok()?;
    (hex::encode(&bytes) == text).then_some(bytes)
}
