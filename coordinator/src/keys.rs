//! The life of a key: ordered, certified, active. The machine is pure; [`drive`] does what it asks.
//!
//! Every member stores its share durably and then signs the same statement. All statements together are the certificate,
//! which proves itself; so a key whose making was cut short by any crash is finished from what the members still say.

pub(crate) mod drive;
pub(crate) mod handover;
mod order;
pub(crate) mod ring;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{KeyId, NodeId};
use limen_wire::pb;
use limen_wire::statement::KeyStatement;

use crate::backups::is_awaited;

pub use handover::{HandoverPhase, HandoverRecord};
pub(crate) use order::checked as checked_order;
pub use order::{create, hand_over, list, list_told};

/// Attempts at generating one key before it counts as failed.
pub(crate) const MAX_ATTEMPTS: u32 = 4;

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyPhase {
    /// The members are making shares, or are about to.
    Ordered,
    /// The certificate exists; the members are being told.
    Certified,
    /// Enough members know: it signs.
    Active,
    /// It could not be made. The name stays used.
    Failed,
}

impl KeyPhase {
    const ALL: [Self; 4] = [Self::Ordered, Self::Certified, Self::Active, Self::Failed];

    /// The number in the store.
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Ordered => 1,
            Self::Certified => 2,
            Self::Active => 3,
            Self::Failed => 4,
        }
    }
    /// From the store's number.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.number() == number)
    }
    const fn to_wire(self) -> pb::KeyState {
        match self {
            Self::Ordered | Self::Certified => pb::KeyState::PreActive,
            Self::Active => pb::KeyState::Active,
            Self::Failed => pb::KeyState::Failed,
        }
    }
}

/// What the coordinator remembers of one key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRecord {
    /// Its name.
    pub key_id: KeyId,
    /// The signed order.
    pub order: pb::Envelope,
    /// Where it stands.
    pub phase: KeyPhase,
    /// Verified statements of members.
    pub statements: BTreeMap<NodeId, pb::Envelope>,
    /// The statement with all signatures.
    pub certificate: Option<pb::Envelope>,
    /// Members that hold the certificate.
    pub activated: BTreeSet<NodeId>,
    /// Generation sessions started.
    pub attempts: u32,
    /// Why it failed, or what the last attempt ran into.
    pub error: Option<ApiError>,
    /// Certificates of earlier epochs, oldest first.
    pub past: Vec<pb::Envelope>,
    /// The newest order of new shares.
    pub handover: Option<HandoverRecord>,
    /// The members' encrypted pieces of a key that is imported, in index order, until it is certified.
    pub pieces: Vec<Bytes>,
}

impl KeyRecord {
    /// A key that has just been ordered.
    pub fn ordered(key_id: KeyId, order: pb::Envelope) -> Self {
        Self {
            key_id,
            order,
            phase: KeyPhase::Ordered,
            statements: BTreeMap::new(),
            certificate: None,
            activated: BTreeSet::new(),
            attempts: 0,
            error: None,
            past: Vec::new(),
            handover: None,
            pieces: Vec::new(),
        }
    }

    /// What all members state in the newest certificate.
    pub fn statement(&self) -> Option<KeyStatement> {
        KeyStatement::decode(self.certificate.as_ref()?).ok()
    }

    /// As clients see it. `members` is how many nodes hold shares.
    pub fn to_wire(&self, members: usize) -> pb::Key {
        let have = self.statements.len();
        let progress = match self.phase {
            KeyPhase::Ordered if is_awaited(self.error.as_ref()) => message(self.error.as_ref()),
            KeyPhase::Ordered if self.attempts == 0 => "waiting for the members".to_owned(),
            KeyPhase::Ordered => {
                format!("attempt {}: {have} of {members} members hold a durable share", self.attempts)
            }
            KeyPhase::Certified | KeyPhase::Active if self.activated.len() < members => {
                format!("certified; {} of {members} members have the certificate", self.activated.len())
            }
            KeyPhase::Certified | KeyPhase::Active => format!("active on all {members} members"),
            KeyPhase::Failed => "failed; the name stays used".to_owned(),
        };
        let statement = self.certificate.as_ref().and_then(decode_statement);
        pb::Key {
            key_id: self.key_id.to_string(),
            state: self.phase.to_wire().into(),
            certificate: self.certificate.clone(),
            statement,
            error: self.error.as_ref().map(ApiError::to_wire),
            progress,
            handover: self.handover.as_ref().map(HandoverRecord::to_wire),
            destroyed: Vec::new(),
        }
    }
}

fn message(error: Option<&ApiError>) -> String {
    error.map(|error| error.message.clone()).unwrap_or_default()
}

fn decode_statement(certificate: &pb::Envelope) -> Option<pb::KeyStatement> {
    use prost::Message as _;
    pb::KeyStatement::decode(certificate.payload.as_ref()).ok()
}

/// What can happen to a key.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyEvent {
    /// A generation session is about to start.
    AttemptStarted,
    /// A member's verified statement.
    Statement(NodeId, pb::Envelope),
    /// The attempt ended without all statements.
    AttemptFailed(ApiError),
    /// All members hold their shares, and custodians have to prove the backups of some.
    Waiting(ApiError),
    /// The members' statements, combined and verified.
    Certified(pb::Envelope),
    /// A member holds the certificate.
    Activated(NodeId),
    /// It cannot be made any more.
    GivenUp(ApiError),
}

/// Applies one event; `true` if the record changed.
pub fn step(record: &mut KeyRecord, event: KeyEvent, required: usize) -> bool {
    let before = record.clone();
    match (record.phase, event) {
        (KeyPhase::Ordered, KeyEvent::AttemptStarted) => record.attempts = record.attempts.saturating_add(1),
        (KeyPhase::Ordered, KeyEvent::Statement(node, statement)) => {
            record.statements.insert(node, statement);
        }
        (KeyPhase::Ordered, KeyEvent::AttemptFailed(error)) => {
            let last = record.attempts >= MAX_ATTEMPTS || is_final(error.code);
            record.error = Some(error);
            if last {
                record.phase = KeyPhase::Failed;
                record.pieces.clear();
            }
        }
        (KeyPhase::Ordered, KeyEvent::Waiting(error)) => record.error = Some(error),
        (KeyPhase::Ordered, KeyEvent::GivenUp(error)) => {
            record.error = Some(error);
            record.phase = KeyPhase::Failed;
            record.pieces.clear();
        }
        // A certificate outlives every failure: all members hold a durable share, whatever we had thought.
        (KeyPhase::Ordered | KeyPhase::Failed, KeyEvent::Certified(certificate)) => {
            record.certificate = Some(certificate);
            record.pieces.clear();
            record.error = None;
            record.phase = KeyPhase::Certified;
        }
        (KeyPhase::Certified | KeyPhase::Active, KeyEvent::Activated(node)) => {
            record.activated.insert(node);
            if record.activated.len() >= required {
                record.phase = KeyPhase::Active;
            }
        }
        _ => {}
    }
    *record != before
}

/// Whether another attempt would end the same way.
const fn is_final(code: Code) -> bool {
    // A signer that has seen the session, or has stored its share in another one meanwhile, answers the next attempt.
    !code.retryable() && !matches!(code, Code::SessionDead | Code::KeyExists | Code::Internal)
}

/// Whether a statement is about exactly this key order.
pub(crate) fn fits(statement: &KeyStatement, order: &limen_wire::intent::KeyGeneration) -> bool {
    statement.cluster == order.cluster
        && statement.key_id == order.key_id
        && statement.scheme == order.scheme
        && statement.protocol == order.protocol
        && statement.size == order.size
        && statement.nodes == order.nodes
        && statement.generation_id == order.id
        && statement.was_whole == order.imported.is_some()
        && order.imported.as_ref().is_none_or(|imported| {
            imported.public_key == statement.public_key && imported.chain_code == statement.chain_code
        })
}
