//! A certificate: one entry under the signatures of q members of the committee.

use std::collections::BTreeSet;

use limen_wire::envelope::{self, EnvelopeError, PayloadType};
use limen_wire::ids::{CharterHash, CommitteeHash, IntentId};
use limen_wire::pb;

use super::MAX_SKEW_MS;
use super::committee::Committee;
use super::entry::{Claim, Entry};
use super::entry_wire::EntryError;

/// An entry that counts. Only [`Certificate::verify`] makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Certificate {
    entry: Entry,
    envelope: pb::Envelope,
}

/// Why an envelope is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A signature or the envelope around it.
    #[error("the ledger certificate does not count: {0}")]
    Envelope(#[from] EnvelopeError),
    /// What was signed.
    #[error("the ledger certificate does not count: {0}")]
    Entry(#[from] EntryError),
    /// Of another ledger or committee.
    #[error(
        "the certificate is of ledger {ledger} and committee {found}, this is {expected}: \
         show the certificate of the committee that the charter names"
    )]
    OtherCommittee {
        /// The ledger that it claims.
        ledger: String,
        /// The committee that it claims.
        found: CommitteeHash,
        /// The committee asked.
        expected: CommitteeHash,
    },
    /// A signature of somebody else.
    #[error("{0:?} signed the ledger entry but is no member of the committee")]
    NotMember(String),
    /// Not enough signatures.
    #[error("the ledger entry has {have} of the {need} acknowledgements that make a certificate")]
    TooFew {
        /// Found.
        have: usize,
        /// q.
        need: usize,
    },
}

/// Why a certificate does not stand for a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotCovered {
    /// The rules have changed.
    #[error("the reservation was certified under charter {found}, the charter in force is {expected}: reserve again")]
    OtherCharter {
        /// The certificate's.
        found: CharterHash,
        /// The guard's.
        expected: CharterHash,
    },
    /// Not in it.
    #[error("the certified entry {number} reserves nothing for {intent}: reserve it first")]
    NotClaimed {
        /// The entry's number.
        number: u64,
        /// The request.
        intent: IntentId,
    },
    /// Other charges than the bytes have.
    #[error("the certified entry {number} reserves other charges for {intent} than its bytes have: reserve again")]
    OtherCharges {
        /// The entry's number.
        number: u64,
        /// The request.
        intent: IntentId,
    },
    /// Too late.
    #[error("the reservation for {intent} expired at {expires_at_ms} ms, it is {now_ms} ms: reserve again")]
    Expired {
        /// The request.
        intent: IntentId,
        /// When it ended.
        expires_at_ms: u64,
        /// The guard's clock.
        now_ms: u64,
    },
    /// Too early.
    #[error(
        "the reservation was certified for {time_ms} ms, it is {now_ms} ms: the clocks differ by more than 30 seconds"
    )]
    Early {
        /// The entry's time.
        time_ms: u64,
        /// The guard's clock.
        now_ms: u64,
    },
}

impl Certificate {
    /// Verifies the signatures of at least q distinct members over exactly this entry, under their pinned keys. One bad
    /// signature refuses the whole.
    pub fn verify(envelope: &pb::Envelope, committee: &Committee) -> Result<Self, CertificateError> {
        let opened = envelope::open(envelope, PayloadType::LedgerEntry)?;
        let entry = Entry::decode(envelope.payload.clone())?;
        let ours = (committee.cluster(), committee.ledger(), committee.hash());
        if (&entry.cluster, &entry.ledger, entry.committee) != ours {
            let (ledger, found, expected) = (entry.ledger.to_string(), entry.committee, committee.hash());
            return Err(CertificateError::OtherCommittee { ledger, found, expected });
        }
        let mut signed = BTreeSet::new();
        for signer in opened.claimed_signers() {
            let key = committee.key(signer).ok_or_else(|| CertificateError::NotMember(signer.to_owned()))?;
            opened.verify(signer, key)?;
            signed.insert(signer);
        }
        let (have, need) = (signed.len(), committee.quorum());
        if have < need {
            return Err(CertificateError::TooFew { have, need });
        }
        Ok(Self { entry, envelope: envelope.clone() })
    }

    /// One that this machine has verified before it wrote it down; its signatures are not looked at again.
    pub fn kept(envelope: pb::Envelope) -> Result<Self, CertificateError> {
        let entry = Entry::decode(envelope.payload.clone())?;
        Ok(Self { entry, envelope })
    }

    /// The entry that counts.
    pub const fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The wire form.
    pub const fn envelope(&self) -> &pb::Envelope {
        &self.envelope
    }

    /// What a guard asks: does it reserve exactly these charges for this request, under this charter, at this time on the
    /// guard's clock? What the entry merely carries from numbers that were given up is not reserved.
    pub fn covers(&self, claim: &Claim, charter: &CharterHash, now_ms: u64) -> Result<(), NotCovered> {
        let (entry, intent) = (&self.entry, claim.intent);
        if entry.charter != *charter {
            return Err(NotCovered::OtherCharter { found: entry.charter, expected: *charter });
        }
        let number = entry.number;
        match entry.claims.iter().find(|reserved| reserved.intent == intent) {
            None => return Err(NotCovered::NotClaimed { number, intent }),
            Some(reserved) if reserved != claim => return Err(NotCovered::OtherCharges { number, intent }),
            Some(_) => {}
        }
        if now_ms > entry.expires_at_ms {
            return Err(NotCovered::Expired { intent, expires_at_ms: entry.expires_at_ms, now_ms });
        }
        // The entry is up to one skew ahead of its members, a member up to one skew ahead of the guard.
        if entry.time_ms > now_ms.saturating_add(MAX_SKEW_MS.saturating_mul(2)) {
            return Err(NotCovered::Early { time_ms: entry.time_ms, now_ms });
        }
        Ok(())
    }

    /// Without signatures, for the exhaustive model.
    #[cfg(test)]
    pub(super) fn assumed(entry: Entry) -> Self {
        Self { entry, envelope: pb::Envelope::default() }
    }
}
