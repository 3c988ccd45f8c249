//! One signer's share of one epoch, in pieces under the keys of its custodians.

use std::fmt;

use age::Callbacks;
use limen_mpc::KeyShare;
use limen_wire::ids::{CharterHash, NodeId, PartyIndex, PersonId, Scheme};
use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use crate::curve::{self, Secret};
use crate::format::{self, FormatError};
use crate::head::{Custodian, Head, HeadError, check_pieces};
use crate::seal::{self, Identities, Plugins, SealError, UnsealError};

const PIECE_MAGIC: &[u8; 4] = b"LMP1";
/// `LMP1 ‖ hash of the head ‖ place ‖ scalar`.
const PIECE_LEN: usize = 4 + 32 + 1 + 32;

/// What one backup is called by: the hash in its last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupHash(pub [u8; 32]);

impl fmt::Display for BackupHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What a backup is made for, beside the share.
#[derive(Debug, Clone)]
pub struct Order {
    /// The signer whose share it is.
    pub node: NodeId,
    /// The charter in force.
    pub charter: CharterHash,
    /// Who holds pieces, 1 to 16: the first holds piece 1.
    pub custodians: Vec<Custodian>,
    /// How many pieces give the share, from 1 to the number of custodians.
    pub pieces_required: u8,
}

/// Why no backup was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// Numbers, custodians and share do not go together.
    #[error("making a backup: what was ordered is refused")]
    Head(#[from] HeadError),
    /// The share is in an encoding of another version, or the generator is broken.
    #[error("making a backup: the share could not be split")]
    Split,
    /// A piece could not be encrypted.
    #[error("making a backup: the piece of custodian {holder} could not be encrypted")]
    Seal {
        /// Whose piece.
        holder: PersonId,
        /// Why.
        #[source]
        cause: SealError,
    },
    /// An encrypted piece is longer than the format allows.
    #[error("making a backup: the encrypted piece of custodian {holder} has more than 8192 bytes")]
    TooLong {
        /// Whose piece.
        holder: PersonId,
    },
}

/// A backup: its facts go together, which says nothing yet about the encrypted pieces. [`crate::proof`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    pub(crate) head: Head,
    pub(crate) sealed: Vec<Vec<u8>>,
}

impl Backup {
    /// Splits a share among custodians and encrypts each piece to its custodian. `rng` must be the operating system's generator or
    /// one seeded by it; age draws its own randomness from the operating system. `plugins` may be run, and no others, whatever
    /// the order's recipients say; `callbacks` serve them.
    pub fn make<C: Callbacks>(
        share: &KeyShare,
        order: Order,
        plugins: &Plugins,
        callbacks: &C,
        rng: &mut dyn CryptoRngCore,
    ) -> Result<Self, MakeError> {
        let Order { node, charter, custodians, pieces_required } = order;
        check_pieces(usize::from(pieces_required), &custodians)?;
        for Custodian { person, recipient } in &custodians {
            // before anything is split, let alone run
            plugins.check(recipient).map_err(|cause| MakeError::Seal { holder: person.clone(), cause })?;
        }
        let public = share.public().clone();
        let core = share.export_core();
        let secret = core_scalar(public.scheme, share.index(), &core).ok_or(MakeError::Split)?;
        let count = u8::try_from(custodians.len()).map_err(|_| MakeError::Split)?;
        let split = curve::split(public.scheme, &secret, pieces_required, count, rng).ok_or(MakeError::Split)?;
        let head = Head { public, member: share.index(), node, charter, custodians, commitments: split.commitments };
        head.check()?;
        let hash = format::head_hash(&head);
        let mut sealed = Vec::with_capacity(head.custodians.len());
        for ((place, custodian), piece) in head.places().zip(&split.pieces) {
            let holder = custodian.person.clone();
            let plain = encode_piece(&hash, place, piece);
            let piece = seal::seal(&custodian.recipient, &plain, plugins, callbacks.clone())
                .map_err(|cause| MakeError::Seal { holder: holder.clone(), cause })?;
            if piece.len() > format::MAX_PIECE {
                return Err(MakeError::TooLong { holder });
            }
            sealed.push(piece);
        }
        Ok(Self { head, sealed })
    }
    /// Reads a file of [`Self::encode`], and believes nothing of it.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        format::decode(bytes)
    }
    /// The file: text, byte by byte as in `docs/recovery.md`. Nothing in it is secret but the pieces, which are encrypted.
    pub fn encode(&self) -> String {
        format::encode(&self.head, &self.sealed)
    }
    /// What it says in clear.
    pub fn head(&self) -> &Head {
        &self.head
    }
    /// What it is called by.
    pub fn hash(&self) -> BackupHash {
        BackupHash(format::backup_hash(&self.head, &self.sealed))
    }
    /// Decrypts the pieces that are for these identities and checks each against its commitment. Others are left out. One that does
    /// not decrypt, or decrypts to something wrong, is an error that names its holder, and keeps nobody from the others.
    pub fn open(&self, identities: &Identities) -> Vec<Result<Piece, PieceError>> {
        let open = |((place, custodian), sealed): ((u8, &Custodian), &Vec<u8>)| {
            let holder = custodian.person.clone();
            match seal::unseal(identities, sealed, PIECE_LEN) {
                Ok(plain) => Some(self.check(Some(place), &plain)),
                Err(UnsealError::NotForThese) => None,
                Err(UnsealError::Failed(cause)) => Some(Err(PieceError::Decrypt { holder, cause })),
            }
        };
        self.head.places().zip(&self.sealed).filter_map(open).collect()
    }
    /// A custodian's piece. An error if it is not for these identities, unlike in [`Self::open`].
    pub fn open_one(&self, holder: &PersonId, identities: &Identities) -> Result<Piece, PieceError> {
        let place = self.head.place_of(holder).ok_or_else(|| PieceError::NoCustodian { holder: holder.clone() })?;
        let sealed = self.sealed.get(usize::from(place).saturating_sub(1));
        let sealed = sealed.ok_or_else(|| PieceError::NoCustodian { holder: holder.clone() })?;
        let plain = seal::unseal(identities, sealed, PIECE_LEN).map_err(|error| match error {
            UnsealError::NotForThese => PieceError::NotForThese { holder: holder.clone() },
            UnsealError::Failed(cause) => PieceError::Decrypt { holder: holder.clone(), cause },
        })?;
        self.check(Some(place), &plain)
    }
    /// A piece that was decrypted elsewhere, by `age --decrypt`.
    pub fn take(&self, plain: &[u8]) -> Result<Piece, PieceError> {
        self.check(None, plain)
    }

    fn check(&self, place: Option<u8>, plain: &[u8]) -> Result<Piece, PieceError> {
        let holder = place.and_then(|place| self.head.at(place)).map(|custodian| custodian.person.clone());
        let decoded = decode_piece(plain).ok_or_else(|| PieceError::Encoding { holder: holder.clone() })?;
        let custodian = self.head.at(decoded.place).ok_or_else(|| PieceError::Encoding { holder: holder.clone() })?;
        let holder = holder.unwrap_or_else(|| custodian.person.clone());
        if *decoded.head != format::head_hash(&self.head) {
            return Err(PieceError::OtherBackup { holder });
        }
        if place.is_some_and(|place| place != decoded.place) {
            return Err(PieceError::Swapped { holder, owner: custodian.person.clone() });
        }
        let point = curve::public_point(self.head.public.scheme, &decoded.scalar);
        if point.is_none() || point != self.head.piece_point(decoded.place) {
            return Err(PieceError::Wrong { holder });
        }
        Ok(Piece {
            backup: self.hash(),
            scheme: self.head.public.scheme,
            place: decoded.place,
            holder,
            scalar: decoded.scalar,
        })
    }
}

/// A custodian's piece of one share, checked against its commitment. Unprintable, wiped on drop.
pub struct Piece {
    pub(crate) backup: BackupHash,
    pub(crate) scheme: Scheme,
    pub(crate) place: u8,
    pub(crate) holder: PersonId,
    pub(crate) scalar: Secret,
}

impl Piece {
    /// Whose it is.
    pub fn holder(&self) -> &PersonId {
        &self.holder
    }
    /// Of which backup.
    pub fn backup(&self) -> BackupHash {
        self.backup
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({} of {}, secret redacted)", self.place, self.backup)
    }
}

/// Why a piece was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// The backup has no such custodian.
    #[error("{holder} is not among the custodians of this backup")]
    NoCustodian {
        /// Who was asked for.
        holder: PersonId,
    },
    /// The identities are not the custodian's.
    #[error("the piece of custodian {holder} is not encrypted to any of these identities")]
    NotForThese {
        /// Whose piece.
        holder: PersonId,
    },
    /// It does not decrypt.
    #[error("the piece of custodian {holder} does not decrypt: {cause}")]
    Decrypt {
        /// Whose piece.
        holder: PersonId,
        /// What age says.
        cause: String,
    },
    /// What it decrypts to is no piece.
    #[error("the piece of custodian {} decrypts to something that is no piece of a share", .holder.as_ref().map_or("(unknown)", PersonId::as_str))]
    Encoding {
        /// Whose piece, if that is known.
        holder: Option<PersonId>,
    },
    /// It belongs to another backup: another key, epoch, member, or set of custodians.
    #[error(
        "the piece of custodian {holder} belongs to another backup (another key, epoch, member or set of custodians)"
    )]
    OtherBackup {
        /// Whose piece.
        holder: PersonId,
    },
    /// It stands in another custodian's place.
    #[error("in the place of custodian {holder}'s piece stands that of {owner}")]
    Swapped {
        /// Whose should be there.
        holder: PersonId,
        /// Whose is.
        owner: PersonId,
    },
    /// It is not what its commitment says.
    #[error("the piece of custodian {holder} is wrong: it is not the one that the backup commits to")]
    Wrong {
        /// Whose piece.
        holder: PersonId,
    },
}

/// A piece's plaintext, apart.
struct Decoded<'a> {
    head: &'a [u8; 32],
    place: u8,
    scalar: Secret,
}

fn encode_piece(head: &[u8; 32], place: u8, scalar: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PIECE_LEN));
    bytes.extend_from_slice(PIECE_MAGIC);
    bytes.extend_from_slice(head);
    bytes.push(place);
    bytes.extend_from_slice(scalar);
    bytes
}

fn decode_piece(plain: &[u8]) -> Option<Decoded<'_>> {
    let (magic, rest) = plain.split_first_chunk::<4>()?;
    let (head, rest) = rest.split_first_chunk::<32>()?;
    let (place, scalar) = rest.split_first()?;
    let scalar = Zeroizing::new(<[u8; 32]>::try_from(scalar).ok()?);
    (magic == PIECE_MAGIC).then_some(Decoded { head, place: *place, scalar })
}

/// The scalar in `LMC1 ‖ scheme ‖ index ‖ scalar`, the encoding of [`KeyShare::export_core`].
fn core_scalar(scheme: Scheme, member: PartyIndex, core: &[u8]) -> Option<Secret> {
    let scalar = core.strip_prefix(&core_prefix(scheme, member)[..])?;
    Some(Zeroizing::new(<[u8; 32]>::try_from(scalar).ok()?))
}

/// A core share in the encoding that [`KeyShare::import`] takes.
pub(crate) fn core_share(scheme: Scheme, member: PartyIndex, scalar: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let mut core = Zeroizing::new(Vec::with_capacity(38));
    core.extend_from_slice(&core_prefix(scheme, member));
    core.extend_from_slice(scalar);
    core
}

fn core_prefix(scheme: Scheme, member: PartyIndex) -> [u8; 6] {
    let code = match scheme {
        Scheme::EcdsaSecp256k1 => 1,
        Scheme::EddsaEd25519 => 2,
        Scheme::SchnorrBip340 => 3,
        Scheme::EcdsaP256 => 4,
    };
    [b'L', b'M', b'C', b'1', code, member.as_u8()]
}
