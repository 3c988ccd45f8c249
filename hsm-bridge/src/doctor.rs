//! What a token is, what it can do, and what on it is dangerous. Nothing that it holds is changed.

use std::fmt;

use cryptoki::mechanism::MechanismType;
use cryptoki::object::ObjectClass;
use limen_hsm::{HsmError, Mechanism};

use crate::provider::{Pkcs11Provider, Token, examine, kinds};
use crate::token::{Fail, Open, module, objects};

/// What Limen uses, where it is there.
const MECHANISMS: &[(&str, MechanismType)] = &[
    ("AES key generation", MechanismType::AES_KEY_GEN),
    ("AES-GCM", MechanismType::AES_GCM),
    ("AES-CBC with padding", MechanismType::AES_CBC_PAD),
    ("generic secret generation", MechanismType::GENERIC_SECRET_KEY_GEN),
    ("HMAC-SHA-256", MechanismType::SHA256_HMAC),
    ("EC key generation", MechanismType::ECC_KEY_PAIR_GEN),
    ("ECDSA on a digest", MechanismType::ECDSA),
];

/// How a finding counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// The daemon refuses it, or lacks it.
    Bad,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it counts.
    pub weight: Weight,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.weight {
            Weight::Good => "good",
            Weight::Note => "note",
            Weight::Bad => "BAD ",
        };
        write!(f, "{mark}  {}", self.what)
    }
}

fn finding(weight: Weight, what: impl Into<String>) -> Finding {
    Finding { weight, what: what.into() }
}

/// Examines every token of a provider.
pub fn examine_all(provider: &Pkcs11Provider) -> Vec<Finding> {
    let mut findings = Vec::new();
    for token in provider.tokens() {
        findings.push(finding(Weight::Note, token.name()));
        let examined = token.workers().run("examine the token", examine_one);
        match examined {
            Ok(found) => findings.extend(found),
            Err(error) => findings.push(finding(Weight::Bad, error.to_string())),
        }
        findings.extend(keys_work(token));
    }
    findings
}

fn examine_one(open: &mut Open<'_>) -> Result<Vec<Finding>, Fail> {
    let mut findings = about(open)?;
    let mut floors = 0;
    for mechanism in Mechanism::ALL {
        match examine(open, mechanism) {
            Ok(()) => {
                floors += 1;
                findings.push(finding(Weight::Good, format!("seals by {} and opens nothing else", mechanism.name())));
            }
            Err(wrong) => {
                findings.push(finding(Weight::Note, format!("does not seal by {}: {wrong}", mechanism.name())));
            }
        }
    }
    if floors == 0 {
        findings.push(finding(Weight::Bad, "meets neither floor for sealing: this token cannot be used"));
    }
    match open.identity() {
        Ok(identity) => findings.push(finding(Weight::Good, format!("holds the identity {}", identity.public))),
        Err(Fail::Absent(_)) => {
            findings.push(finding(Weight::Bad, "holds no identity: make it with `limen-hsm-bridge init`"));
        }
        Err(Fail::Said(error)) => findings.push(finding(Weight::Bad, error.to_string())),
        Err(other) => return Err(other),
    }
    let kinds: Vec<_> = kinds(open)?.into_iter().map(limen_hsm::HeldKind::name).collect();
    findings.push(finding(Weight::Note, format!("could hold keys that live in it alone: {}", kinds.join(", "))));
    findings.extend(dangers(open)?);
    Ok(findings)
}

fn about(open: &Open<'_>) -> Result<Vec<Finding>, Fail> {
    let (slot, info) = module::find(&open.login.module.context, &open.login.wanted)?;
    let mut findings = Vec::new();
    match info {
        Some(info) => {
            let what = format!(
                "{:?}, serial {:?}, {} {}, firmware {}",
                info.label(),
                info.serial_number(),
                info.manufacturer_id(),
                info.model(),
                info.firmware_version()
            );
            findings.push(finding(Weight::Note, what));
            let room = |free: Option<usize>| free.map_or("does not say".to_owned(), |free| format!("{free} bytes"));
            let what = format!("room for private objects: {}", room(info.free_private_memory()));
            findings.push(finding(Weight::Note, what));
        }
        None => findings.push(finding(Weight::Note, "cannot be asked who it is: it was found by its slot")),
    }
    let hardware = open.login.module.context.get_slot_info(slot).is_ok_and(|slot| slot.hardware_slot());
    findings.push(match hardware {
        true => finding(Weight::Good, "says that it is hardware, which nothing proves"),
        false => finding(Weight::Note, "says that it is software: its keys are files somewhere"),
    });
    let known = open.login.module.context.get_mechanism_list(slot)?;
    for (name, mechanism) in MECHANISMS {
        let there = if known.contains(mechanism) { "has" } else { "lacks" };
        findings.push(finding(Weight::Note, format!("{there} {name}")));
    }
    Ok(findings)
}

/// Every key on the token. Ours must not be able to leave it; others are only told of.
fn dangers(open: &Open<'_>) -> Result<Vec<Finding>, Fail> {
    let mut findings = Vec::new();
    for class in [ObjectClass::SECRET_KEY, ObjectClass::PRIVATE_KEY] {
        for (key, label) in objects::labels(open.session, class)? {
            let dangers = objects::dangers(open.session, key)?;
            let weight = match (dangers.is_empty(), label.starts_with("limen/")) {
                (true, _) => Weight::Good,
                (false, true) => Weight::Bad,
                (false, false) => Weight::Note,
            };
            let said = if dangers.is_empty() { "cannot leave the token".to_owned() } else { dangers.join(", ") };
            findings.push(finding(weight, format!("key {label:?}: {said}")));
        }
    }
    Ok(findings)
}

/// Every wrapping key opens its known record.
fn keys_work(token: &Token) -> Vec<Finding> {
    let keks = match token.keks() {
        Ok(keks) => keks,
        Err(error) => return vec![finding(Weight::Bad, error.to_string())],
    };
    let count = keks.len();
    let works = |result: Result<(), HsmError>, kek| match result {
        Ok(()) => finding(Weight::Good, format!("wrapping key {kek} opens its known record")),
        Err(error) => finding(Weight::Bad, error.to_string()),
    };
    let mut findings: Vec<_> = keks.iter().map(|kek| works(token.prove(kek), kek)).collect();
    findings.push(finding(Weight::Note, format!("{count} wrapping keys of {} that are allowed", token.most_keks())));
    findings
}
