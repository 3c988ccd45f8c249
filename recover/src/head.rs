//! What a backup says in clear: whose share of which key it is, who holds pieces, and the commitments that pieces are checked by.

use std::collections::BTreeSet;

use limen_mpc::{ImportError, KeyPublic, Point};
use limen_wire::ids::{CharterHash, NodeId, PartyIndex, PersonId, Scheme};
use limen_wire::recipient::Recipient;

use sha2::{Digest as _, Sha256};

use crate::curve;
use crate::format::{self, FormatError};

/// Most custodians of one share.
pub const MAX_CUSTODIANS: usize = 16;
/// One who holds a piece of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custodian {
    /// Who.
    pub person: PersonId,
    /// To what the piece is encrypted.
    pub recipient: Recipient,
}

/// What everyone may know about a backup. Checked: it is made by [`crate::Backup::make`], [`crate::Backup::decode`] and [`Head::from_text`]
/// alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub(crate) public: KeyPublic,
    pub(crate) member: PartyIndex,
    pub(crate) node: NodeId,
    pub(crate) charter: CharterHash,
    pub(crate) custodians: Vec<Custodian>,
    pub(crate) commitments: Vec<Point>,
}

/// Why the facts of a backup do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The key's public part is inconsistent.
    #[error("the key's public part is refused")]
    Key(#[source] ImportError),
    /// The key lives in one token and has no shares.
    #[error("the key lives in one token (protocol hsm) and has no shares: its token's own backup is the only one")]
    NoShares,
    /// A key of BIP-340 is known by its x coordinate, and stands for the point with even y.
    #[error(
        "the public key has an odd y coordinate, where BIP-340 means the even one: the shares would give its negative"
    )]
    OddKey,
    /// The committee has no such member.
    #[error("member {member} is not one of the key's {total} signers")]
    NoSuchMember {
        /// Whose share it claims to be.
        member: PartyIndex,
        /// How many there are.
        total: u8,
    },
    /// The numbers of pieces are out of bounds.
    #[error("pieces_required is {required} and pieces_total {total}: they must be 1 ≤ required ≤ total ≤ 16")]
    Pieces {
        /// How many pieces give the share.
        required: usize,
        /// How many pieces there are.
        total: usize,
    },
    /// One person or one recipient comes twice: two pieces in one hand make the declared number a lie.
    #[error(
        "custodian {person} comes twice, or has the recipient of another: each piece needs a person and a recipient of its own"
    )]
    CustodianTwice {
        /// The later one.
        person: PersonId,
    },
    /// The first commitment is not the member's verifying share.
    #[error("the first commitment is not the verifying share of member {member}: the pieces would give another share")]
    OtherShare {
        /// Whose share it should be.
        member: PartyIndex,
    },
    /// A commitment is of another curve, or a custodian's piece would be zero.
    #[error("the commitments do not give a piece for custodian {person}")]
    Commitments {
        /// The first one without a piece.
        person: PersonId,
    },
}

impl Head {
    /// Reads what stands in clear in a backup, without its encrypted pieces: the lines up to the last custodian.
    pub fn from_text(text: &str) -> Result<Self, FormatError> {
        format::decode_head(text)
    }
    /// These lines.
    pub fn to_text(&self) -> String {
        format::encode_head(self)
    }
    /// The key.
    pub fn public(&self) -> &KeyPublic {
        &self.public
    }
    /// SHA-256 over all verifying shares, as the key's signers attest it (`verifying_shares_hash` of the key statement). A file in
    /// which it is another was made up: the shares in it need not be those of the signers, although they fit the public key.
    pub fn shares_hash(&self) -> [u8; 32] {
        let shares = self.public.verifying_shares.values();
        shares.fold(Sha256::new(), |hash, share| hash.chain_update(share.as_bytes())).finalize().into()
    }
    /// Whose share it is.
    pub fn member(&self) -> PartyIndex {
        self.member
    }
    /// The signer that held the share.
    pub fn node(&self) -> &NodeId {
        &self.node
    }
    /// The charter in force when the backup was made.
    pub fn charter(&self) -> &CharterHash {
        &self.charter
    }
    /// Who holds pieces: the first has piece 1.
    pub fn custodians(&self) -> &[Custodian] {
        &self.custodians
    }
    /// How many pieces give the share: one for each commitment.
    pub fn pieces_required(&self) -> usize {
        self.commitments.len()
    }
    /// Each custodian with the place of their piece, from 1.
    pub fn places(&self) -> impl Iterator<Item = (u8, &Custodian)> {
        (1..=u8::MAX).zip(&self.custodians)
    }
    /// The place and person of a custodian by name.
    pub fn place_of(&self, person: &PersonId) -> Option<u8> {
        self.places().find(|(_, custodian)| custodian.person == *person).map(|(place, _)| place)
    }
    /// The one at a place.
    pub(crate) fn at(&self, place: u8) -> Option<&Custodian> {
        self.places().find(|(other, _)| *other == place).map(|(_, custodian)| custodian)
    }
    /// The piece at a place times the generator.
    pub(crate) fn piece_point(&self, place: u8) -> Option<Point> {
        curve::piece_point(self.public.scheme, &self.commitments, place)
    }

    pub(crate) fn check(&self) -> Result<(), HeadError> {
        if !self.public.protocol.is_threshold() {
            return Err(HeadError::NoShares);
        }
        self.public.validate().map_err(HeadError::Key)?;
        let even = self.public.public_key.as_bytes().first() == Some(&2);
        if self.public.scheme == Scheme::SchnorrBip340 && !even {
            return Err(HeadError::OddKey);
        }
        let (member, total) = (self.member, self.public.size.signers_total());
        let share = self.public.verifying_share(member).ok_or(HeadError::NoSuchMember { member, total })?;
        check_pieces(self.commitments.len(), &self.custodians)?;
        if self.commitments.first() != Some(share) {
            return Err(HeadError::OtherShare { member });
        }
        for (place, custodian) in self.places() {
            let person = &custodian.person;
            self.piece_point(place).ok_or_else(|| HeadError::Commitments { person: person.clone() })?;
        }
        Ok(())
    }
}

/// The bounds of both numbers, and that nobody comes twice.
pub(crate) fn check_pieces(required: usize, custodians: &[Custodian]) -> Result<(), HeadError> {
    let total = custodians.len();
    if !(1..=total).contains(&required) || total > MAX_CUSTODIANS {
        return Err(HeadError::Pieces { required, total });
    }
    let (mut people, mut recipients) = (BTreeSet::new(), BTreeSet::new());
    for Custodian { person, recipient } in custodians {
        if !people.insert(person) || !recipients.insert(recipient) {
            return Err(HeadError::CustodianTwice { person: person.clone() });
        }
    }
    Ok(())
}
