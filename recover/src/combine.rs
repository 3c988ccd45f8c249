//! A key out of backups: pieces to shares, shares to the key, each step checked against what is public.

use std::collections::BTreeMap;
use std::fmt;

use limen_mpc::KeyPublic;
use limen_wire::ids::{PartyIndex, PersonId};
use zeroize::Zeroizing;

use crate::backup::{Backup, BackupHash, Piece, PieceError, core_share};
use crate::curve::{self, Secret};
use crate::key::RecoveredKey;
use crate::seal::Identities;

/// Why no key was made. Names the files as the caller named them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// There is nothing to combine.
    #[error("combining backups: none was given")]
    NoFiles,
    /// Two files are of different keys, clusters or epochs.
    #[error(
        "combining backups: {file} and {other} differ in their {what}; shares of different keys or epochs never go together: sort them out"
    )]
    Differ {
        /// The later file.
        file: String,
        /// The first one.
        other: String,
        /// The first fact that differs.
        what: &'static str,
    },
    /// Two files are of the same share.
    #[error(
        "combining backups: {file} and {other} are both of member {member}: give one of them, and one of another member"
    )]
    SameMember {
        /// The later file.
        file: String,
        /// The first one.
        other: String,
        /// Whose share both are of.
        member: PartyIndex,
    },
    /// A piece was refused.
    #[error("combining backups: in {file}, {cause}")]
    Piece {
        /// Where it is.
        file: String,
        /// What is wrong with it.
        cause: PieceError,
    },
    /// A piece that was decrypted elsewhere belongs to none of the files.
    #[error("combining backups: the piece in {piece} belongs to none of the backups given: {cause}")]
    NoBackup {
        /// Where the piece was.
        piece: String,
        /// What the last of the files says.
        cause: PieceError,
    },
    /// A piece came twice.
    #[error("combining backups: the piece of custodian {holder} for {file} was given twice")]
    SamePiece {
        /// For which file.
        file: String,
        /// Whose.
        holder: PersonId,
    },
    /// There are not enough shares.
    #[error("combining backups: {complete} shares of {required} are complete: {missing}")]
    TooFew {
        /// Files with enough pieces.
        complete: usize,
        /// `signers_required`.
        required: u8,
        /// What would help, in words.
        missing: String,
    },
    /// Pieces of one backup do not give its share.
    #[error("combining backups: the pieces for {file} do not give the share of member {member}")]
    Share {
        /// Which file.
        file: String,
        /// Whose share.
        member: PartyIndex,
    },
    /// The shares do not give the key.
    #[error("combining backups: the shares do not give the key")]
    Key,
}

/// A backup and what its file is called.
struct Source {
    file: String,
    backup: Backup,
    hash: BackupHash,
    pieces: BTreeMap<u8, Piece>,
}

/// Core shares by member, encoded; wiped on drop.
pub type CoreShares = BTreeMap<PartyIndex, Zeroizing<Vec<u8>>>;

/// What identities have opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Pieces that were not open before.
    pub pieces: usize,
    /// Pieces that were refused, by file and holder.
    pub refused: Vec<CombineError>,
}

/// A recovery under way: backups of one epoch of one key, and the pieces so far.
pub struct Recovery {
    sources: Vec<Source>,
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recovery({})", self.standing())
    }
}

impl Recovery {
    /// Begins with backups, each with the name that errors call it by. They must be of one epoch of one key and of different members.
    pub fn new(files: impl IntoIterator<Item = (String, Backup)>) -> Result<Self, CombineError> {
        let mut sources: Vec<Source> = Vec::new();
        for (file, backup) in files {
            if let Some(first) = sources.first()
                && let Some(what) = difference(first.backup.head().public(), backup.head().public())
            {
                return Err(CombineError::Differ { file, other: first.file.clone(), what });
            }
            let member = backup.head().member();
            if let Some(same) = sources.iter().find(|source| source.backup.head().member() == member) {
                return Err(CombineError::SameMember { file, other: same.file.clone(), member });
            }
            sources.push(Source { file, hash: backup.hash(), backup, pieces: BTreeMap::new() });
        }
        if sources.is_empty() { Err(CombineError::NoFiles) } else { Ok(Self { sources }) }
    }
    /// Opens every piece that is for these identities, in all files. A bad piece is told and left out: others may be enough.
    pub fn open(&mut self, identities: &Identities) -> Opened {
        let mut opened = Opened { pieces: 0, refused: Vec::new() };
        for source in &mut self.sources {
            for piece in source.backup.open(identities) {
                match piece {
                    Ok(piece) => opened.pieces += usize::from(source.pieces.insert(piece.place, piece).is_none()),
                    Err(cause) => opened.refused.push(CombineError::Piece { file: source.file.clone(), cause }),
                }
            }
        }
        opened
    }
    /// Takes a piece that was decrypted elsewhere; `name` is what errors call it by.
    pub fn take(&mut self, name: &str, plain: &[u8]) -> Result<(), CombineError> {
        let mut refused = None;
        for source in &mut self.sources {
            match source.backup.take(plain) {
                Ok(piece) if source.pieces.contains_key(&piece.place) => {
                    return Err(CombineError::SamePiece { file: source.file.clone(), holder: piece.holder });
                }
                Ok(piece) => {
                    source.pieces.insert(piece.place, piece);
                    return Ok(());
                }
                Err(cause @ PieceError::Wrong { .. }) => {
                    return Err(CombineError::Piece { file: source.file.clone(), cause });
                }
                Err(cause) => refused = Some(cause),
            }
        }
        let cause = refused.ok_or(CombineError::NoFiles)?;
        Err(CombineError::NoBackup { piece: name.to_owned(), cause })
    }
    /// How many pieces each file has and needs, in words.
    pub fn standing(&self) -> String {
        let words = self.sources.iter().map(|source| {
            let head = source.backup.head();
            let (have, required) = (source.pieces.len(), head.pieces_required());
            format!("{} (member {}) has {have} of {required} pieces", source.file, head.member())
        });
        words.collect::<Vec<_>>().join("; ")
    }
    /// Makes the key, if the pieces so far are enough.
    pub fn finish(self) -> Result<RecoveredKey, CombineError> {
        let standing = self.standing();
        let public = self.sources.first().ok_or(CombineError::NoFiles)?.backup.head().public().clone();
        let required = public.size.signers_required();
        let mut shares: Vec<(u8, Secret)> = Vec::new();
        for source in &self.sources {
            if source.pieces.len() >= source.backup.head().pieces_required() {
                shares.push((source.backup.head().member().as_u8(), source.share(&public)?));
            }
        }
        let complete = shares.len();
        if complete < usize::from(required) {
            return Err(CombineError::TooFew { complete, required, missing: standing });
        }
        let values: Vec<(u8, &[u8; 32])> = shares.iter().map(|(member, share)| (*member, &**share)).collect();
        let secret = curve::join(public.scheme, &values).ok_or(CombineError::Key)?;
        if curve::public_point(public.scheme, &secret) != Some(public.public_key) {
            return Err(CombineError::Key);
        }
        Ok(RecoveredKey::whole(public, secret))
    }
    /// The core shares that are complete, in the encoding that [`limen_mpc::KeyShare::import`] takes: for a signer that
    /// gets its share back, where its protocol needs no set-up beside it.
    pub fn core_shares(&self) -> Result<CoreShares, CombineError> {
        let complete = self.sources.iter().filter(|s| s.pieces.len() >= s.backup.head().pieces_required());
        let core = |source: &Source| {
            let head = source.backup.head();
            let scalar = source.share(head.public())?;
            Ok((head.member(), core_share(head.public().scheme, head.member(), &scalar)))
        };
        complete.map(core).collect()
    }
}

impl Source {
    /// The share, checked against its verifying share.
    fn share(&self, public: &KeyPublic) -> Result<Secret, CombineError> {
        let member = self.backup.head().member();
        let wrong = || CombineError::Share { file: self.file.clone(), member };
        if self.pieces.values().any(|piece| piece.backup != self.hash) {
            return Err(wrong());
        }
        let values: Vec<(u8, &[u8; 32])> = self.pieces.iter().map(|(place, piece)| (*place, &*piece.scalar)).collect();
        let share = curve::join(public.scheme, &values).ok_or_else(wrong)?;
        let point = curve::public_point(public.scheme, &share);
        if point.is_some() && point.as_ref() == public.verifying_share(member) { Ok(share) } else { Err(wrong()) }
    }
}

/// The first fact in which two public parts differ.
fn difference(one: &KeyPublic, other: &KeyPublic) -> Option<&'static str> {
    let facts = [
        (one.cluster == other.cluster, "cluster"),
        (one.key == other.key, "key"),
        (one.epoch == other.epoch, "epoch"),
        (one.scheme == other.scheme, "scheme"),
        (one.protocol == other.protocol, "protocol"),
        (one.size == other.size, "number of signers"),
        (one.public_key == other.public_key, "public key"),
        (one.chain_code == other.chain_code, "chain code"),
        (one.verifying_shares == other.verifying_shares, "verifying shares"),
    ];
    facts.into_iter().find(|(same, _)| !same).map(|(_, what)| what)
}
