//! A closing: a member gives numbers up and says what it had acknowledged at them.

use limen_wire::envelope::{self, EnvelopeError, PayloadType, Unsigned};
use limen_wire::ids::{CommitteeHash, EntryHash, IdError, NodeId};
use limen_wire::keys::SigningKey;
use limen_wire::pb;
use prost::Message as _;

use super::committee::Committee;

/// "From `after` to `through` I acknowledged these and nothing else that counts, and I will acknowledge no more."
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Closing {
    /// The last number whose certificate the member knows.
    pub after: u64,
    /// The last number given up.
    pub through: u64,
    /// Entries that reserve or release, acknowledged after `after` and not after `through`, in increasing order.
    pub acknowledged: Vec<(u64, EntryHash)>,
    /// The successor in the last seal acknowledged in that range. An earlier one cannot be certified any more: the later
    /// seal was acknowledged on the strength of closings that do not name it.
    pub successor: Option<CommitteeHash>,
}

/// Why a closing does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClosingError {
    /// The envelope.
    #[error("the closing does not count: {0}")]
    Envelope(#[from] EnvelopeError),
    /// A hash.
    #[error("the closing is not well formed: {0}")]
    Id(#[from] IdError),
    /// Anything else.
    #[error("the closing is not well formed: {0}")]
    Shape(&'static str),
    /// Of another ledger or committee.
    #[error("the closing is of another ledger or committee than {0}")]
    OtherCommittee(CommitteeHash),
    /// Not exactly one signature of a member.
    #[error("a closing has one signature, of a member of the committee; found {0:?}")]
    NotMember(Vec<String>),
}

impl Closing {
    /// The member's statement, to be signed by it. Only for a closing that [`super::Member`] answered with.
    pub fn unsigned(&self, committee: &Committee) -> Unsigned {
        let named = |(number, hash): &(u64, EntryHash)| pb::LedgerNamed {
            number: *number,
            hash: hash.as_bytes().to_vec().into(),
        };
        let payload = pb::LedgerClosing {
            version: 1,
            cluster: committee.cluster().to_string(),
            ledger: committee.ledger().to_string(),
            committee: committee.hash().as_bytes().to_vec().into(),
            after: self.after,
            through: self.through,
            acknowledged: self.acknowledged.iter().map(named).collect(),
            successor: self.successor.map(|hash| hash.as_bytes().to_vec().into()).unwrap_or_default(),
        };
        Unsigned::new(PayloadType::LedgerClosing, payload.encode_to_vec())
    }

    /// The member's signed statement.
    pub fn sign(&self, committee: &Committee, member: &NodeId, key: &SigningKey) -> pb::Envelope {
        self.unsigned(committee).sign(member.as_str(), key)
    }

    /// Verifies one member's statement. Returns who made it.
    pub fn verify<'a>(envelope: &pb::Envelope, committee: &'a Committee) -> Result<(&'a NodeId, Self), ClosingError> {
        let opened = envelope::open(envelope, PayloadType::LedgerClosing)?;
        let signers: Vec<&str> = opened.claimed_signers().collect();
        let member = committee.members().iter().find(|member| signers.as_slice() == [member.id.as_str()]);
        let member = member
            .ok_or_else(|| ClosingError::NotMember(signers.iter().map(|signer| (*signer).to_owned()).collect()))?;
        opened.verify(member.id.as_str(), &member.public_key)?;
        let raw: pb::LedgerClosing = opened.decode("closing")?;
        Ok((&member.id, Self::read(raw, committee)?))
    }

    fn read(raw: pb::LedgerClosing, committee: &Committee) -> Result<Self, ClosingError> {
        if raw.version != 1 {
            return Err(ClosingError::Shape("its version is not known here; 1 is"));
        }
        let ours = raw.cluster == committee.cluster().as_str()
            && raw.ledger == committee.ledger().as_str()
            && raw.committee.as_ref() == committee.hash().as_bytes();
        if !ours {
            return Err(ClosingError::OtherCommittee(committee.hash()));
        }
        let mut acknowledged = Vec::with_capacity(raw.acknowledged.len());
        for named in raw.acknowledged {
            let before = acknowledged.last().map_or(raw.after, |(number, _)| *number);
            if named.number <= before || named.number > raw.through {
                return Err(ClosingError::Shape("what was acknowledged lies in increasing order after `after`"));
            }
            acknowledged.push((named.number, EntryHash::from_slice(&named.hash)?));
        }
        let successor = match raw.successor.len() {
            0 => None,
            _ => Some(CommitteeHash::from_slice(&raw.successor)?),
        };
        Ok(Self { after: raw.after, through: raw.through, acknowledged, successor })
    }
}
