//! A whole key dealt to the signers of a cluster: one public file, and one encrypted piece for each member.
//!
//! Feldman, "A practical scheme for non-interactive verifiable secret sharing" (FOCS 1987): member `j` gets the value at `j` of a polynomial
//! of degree `signers_required − 1` whose constant term is the key, and the coefficients times the generator are public, so that each
//! member checks its piece alone. What is encrypted to a member, by age, is `LMI1 ‖ hash of the public facts ‖ index ‖ scalar`: the
//! facts name cluster, key and all members, so a piece is worth nothing in any other place. `docs/import.md` has the format.

use std::fmt::{Display, Write as _};
use std::str::FromStr;

use limen_mpc::{Dealing, DealingError, DealingFacts};
use limen_wire::ids::{ClusterId, CommitteeSize, KeyId, NodeId, PartyIndex, Protocol, Scheme, tagged_hash};
use limen_wire::imported::ImportedKey;
use limen_wire::recipient::Recipient;
use rand_core::CryptoRngCore;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::curve::{self, Secret};
use crate::seal::{self, Identities, Plugins, SealError, UnsealError};
use crate::whole::WholeKey;

const PIECE_MAGIC: &[u8; 4] = b"LMI1";
/// `LMI1 ‖ hash of the facts ‖ index ‖ scalar`.
const PIECE_LEN: usize = 4 + 32 + 1 + 32;
/// Largest public file that is read, in bytes.
const MAX_FILE: usize = 16 * 1024;
const MAX_SIGNERS: u16 = 32;

/// What everyone may know of a dealing: checked, so a value of this type holds together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DealtKey {
    cluster: ClusterId,
    key: KeyId,
    scheme: Scheme,
    size: CommitteeSize,
    nodes: Vec<NodeId>,
    imported: ImportedKey,
}

/// Why a dealing was not made or not read.
#[derive(Debug, thiserror::Error)]
pub enum DealError {
    /// Not such a file, or of another version.
    #[error("reading a dealing: this is no public file of a dealing, which begins with `limen-import: 1`")]
    NotADealing,
    /// A line is not what stands in its place.
    #[error("reading a dealing: line {line} must be `{name}: …` in the one spelling that docs/import.md gives")]
    Line {
        /// Counted from one.
        line: usize,
        /// What must stand there.
        name: &'static str,
    },
    /// Bytes changed, more lines, or another spelling.
    #[error("reading a dealing: the file is damaged or not spelled as it was written: use another copy")]
    Damaged,
    /// A member comes twice.
    #[error("dealing a key: member {0} is named twice")]
    MemberTwice(NodeId),
    /// How many are required does not go with how many there are.
    #[error("dealing a key: {0}")]
    Size(String),
    /// The public facts do not hold together.
    #[error(transparent)]
    Facts(#[from] DealingError),
    /// The key is no scalar of its curve, or the generator of randomness is broken.
    #[error("dealing a key: it could not be split")]
    Split,
    /// A piece could not be encrypted.
    #[error("dealing a key: the piece of {node} could not be encrypted")]
    Seal {
        /// Whose.
        node: NodeId,
        /// Why.
        #[source]
        cause: SealError,
    },
}

/// Why a member does not take its piece.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PieceRefused {
    /// It is encrypted to another recipient.
    #[error(
        "the piece is not encrypted to the import recipient of this signer: it is another's, or was dealt to an older recipient"
    )]
    NotForThis,
    /// It does not decrypt.
    #[error("the piece does not decrypt: it is damaged or cut off ({0})")]
    Decrypt(String),
    /// It decrypts to something else.
    #[error("the piece decrypts to something that is no piece of a key")]
    Encoding,
    /// It was dealt for another cluster, key, committee or public file.
    #[error("the piece belongs to another import: another cluster, key, committee, or public file")]
    OtherImport,
    /// It is another member's.
    #[error("the piece is that of member {found}, this signer is member {expected}")]
    OtherMember {
        /// This member.
        expected: PartyIndex,
        /// Whose it is.
        found: u8,
    },
    /// It is not what the commitments say.
    #[error("the piece is wrong: {0}")]
    Wrong(DealingError),
}

/// A protocol that signs for the scheme: which one it will be is for the order to say.
const fn some_protocol(scheme: Scheme) -> Protocol {
    match scheme {
        Scheme::EcdsaSecp256k1 => Protocol::Dkls23,
        Scheme::EddsaEd25519 | Scheme::SchnorrBip340 => Protocol::Frost,
        Scheme::EcdsaP256 => Protocol::Hsm,
    }
}

impl DealtKey {
    /// Checks the facts: of a file, or of an order. `nodes` are the members in index order.
    pub fn new(
        (cluster, key): (ClusterId, KeyId),
        scheme: Scheme,
        (size, nodes): (CommitteeSize, Vec<NodeId>),
        imported: ImportedKey,
    ) -> Result<Self, DealError> {
        let dealt = Self { cluster, key, scheme, size, nodes, imported };
        let mut seen = std::collections::BTreeSet::new();
        if let Some(twice) = dealt.nodes.iter().find(|node| !seen.insert(*node)) {
            return Err(DealError::MemberTwice(twice.clone()));
        }
        if dealt.nodes.len() != usize::from(size.signers_total()) {
            return Err(DealError::Size(format!("{} members are named for {size}", dealt.nodes.len())));
        }
        dealt.dealing(some_protocol(scheme))?;
        Ok(dealt)
    }

    /// Splits a whole key among members with their import recipients, in index order; gives the public facts and a piece for each.
    /// `rng` must be the operating system's generator or one seeded by it; age draws its own randomness from the operating system.
    pub fn deal(
        whole: &WholeKey,
        chain_code: [u8; 32],
        name: (ClusterId, KeyId),
        (required, members): (u16, &[(NodeId, Recipient)]),
        rng: &mut dyn CryptoRngCore,
    ) -> Result<(Self, Vec<Vec<u8>>), DealError> {
        let total = u16::try_from(members.len()).unwrap_or(u16::MAX);
        let size = CommitteeSize::new(required, total).map_err(|error| DealError::Size(error.to_string()))?;
        let (scheme, count) = (whole.scheme(), size.signers_total());
        let split =
            curve::split(scheme, whole.secret(), size.signers_required(), count, rng).ok_or(DealError::Split)?;
        let public_key = split.commitments.first().ok_or(DealError::Split)?.to_key(scheme).to_vec();
        let commitments = split.commitments.iter().map(|point| point.as_bytes().to_vec()).collect();
        let nodes = members.iter().map(|(node, _)| node.clone()).collect();
        let imported = ImportedKey { public_key, chain_code, commitments };
        let dealt = Self::new(name, scheme, (size, nodes), imported)?;
        let hash = dealt.hash();
        let mut sealed = Vec::with_capacity(members.len());
        for ((place, (node, recipient)), piece) in (1..=u8::MAX).zip(members).zip(&split.pieces) {
            let plain = encode_piece(&hash, place, piece);
            let piece = seal::seal(recipient, &plain, &Plugins::none(), age::NoCallbacks);
            sealed.push(piece.map_err(|cause| DealError::Seal { node: node.clone(), cause })?);
        }
        Ok((dealt, sealed))
    }

    /// The cluster that the key comes into.
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }
    /// Its name there.
    pub fn key(&self) -> &KeyId {
        &self.key
    }
    /// What it signs.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
    /// How many of the members must take part.
    pub fn size(&self) -> CommitteeSize {
        self.size
    }
    /// The members in index order.
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }
    /// Public key, chain code and commitments, as an order has them.
    pub fn imported(&self) -> &ImportedKey {
        &self.imported
    }
    /// The dealing as sessions of a protocol take it.
    pub fn dealing(&self, protocol: Protocol) -> Result<Dealing, DealingError> {
        let ImportedKey { public_key, chain_code, commitments } = self.imported.clone();
        Dealing::new(&DealingFacts {
            cluster: self.cluster.clone(),
            key: self.key.clone(),
            scheme: self.scheme,
            protocol,
            size: self.size,
            public_key,
            chain_code,
            commitments,
        })
    }
    /// Hash over all facts: what each piece names.
    pub fn hash(&self) -> [u8; 32] {
        tagged_hash("limen/import-public/v1", [self.facts().as_bytes()])
    }

    /// Decrypts a member's piece and checks everything about it; gives the member's share.
    pub fn open(&self, member: PartyIndex, identities: &Identities, sealed: &[u8]) -> Result<Secret, PieceRefused> {
        let plain = seal::unseal(identities, sealed, PIECE_LEN).map_err(|error| match error {
            UnsealError::NotForThese => PieceRefused::NotForThis,
            UnsealError::Failed(cause) => PieceRefused::Decrypt(cause),
        })?;
        let rest = plain.strip_prefix(&PIECE_MAGIC[..]).ok_or(PieceRefused::Encoding)?;
        let (hash, rest) = rest.split_first_chunk::<32>().ok_or(PieceRefused::Encoding)?;
        let (found, scalar) = rest.split_first().ok_or(PieceRefused::Encoding)?;
        let scalar = Zeroizing::new(<[u8; 32]>::try_from(scalar).map_err(|_| PieceRefused::Encoding)?);
        if *hash != self.hash() {
            return Err(PieceRefused::OtherImport);
        }
        if *found != member.as_u8() {
            return Err(PieceRefused::OtherMember { expected: member, found: *found });
        }
        let dealing = self.dealing(some_protocol(self.scheme)).map_err(PieceRefused::Wrong)?;
        dealing.check_share(member, &scalar).map_err(PieceRefused::Wrong)?;
        Ok(scalar)
    }

    fn facts(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: &dyn Display| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}: {value}");
        };
        line("limen-import", &1);
        line("cluster", &self.cluster);
        line("key", &self.key);
        line("scheme", &self.scheme);
        line("signers_required", &self.size.signers_required());
        line("signers_total", &self.size.signers_total());
        for node in &self.nodes {
            line("member", node);
        }
        line("public_key", &hex::encode(&self.imported.public_key));
        line("chain_code", &hex::encode(self.imported.chain_code));
        for commitment in &self.imported.commitments {
            line("commitment", &hex::encode(commitment));
        }
        text
    }

    /// The public file: text, byte by byte as in `docs/import.md`.
    pub fn encode(&self) -> String {
        let facts = self.facts();
        let hash = hex::encode(Sha256::digest(&facts));
        facts + "sha256: " + &hash + "\n"
    }

    /// Reads a public file and believes nothing of it.
    pub fn decode(bytes: &[u8]) -> Result<Self, DealError> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_FILE);
        let text = text.filter(|text| text.starts_with("limen-import: 1\n")).ok_or(DealError::NotADealing)?;
        let mut lines = Lines { lines: text.lines(), number: 0 };
        let _version: u8 = lines.parse("limen-import")?;
        let name = (lines.parse("cluster")?, lines.parse("key")?);
        let scheme: Scheme = lines.parse("scheme")?;
        let required: u16 = lines.parse("signers_required")?;
        let total: u16 = lines.parse("signers_total")?;
        if total > MAX_SIGNERS {
            return Err(DealError::Size(format!("{total} signers, at most {MAX_SIGNERS} are possible")));
        }
        let size = CommitteeSize::new(required, total).map_err(|error| DealError::Size(error.to_string()))?;
        let nodes = (0..total).map(|_| lines.parse("member")).collect::<Result<_, _>>()?;
        let imported = ImportedKey {
            public_key: lines.bytes("public_key")?,
            chain_code: lines.bytes("chain_code")?.try_into().map_err(|_| lines.bad("chain_code"))?,
            commitments: (0..required).map(|_| lines.bytes("commitment")).collect::<Result<_, _>>()?,
        };
        let dealt = Self::new(name, scheme, (size, nodes), imported)?;
        if dealt.encode() == text { Ok(dealt) } else { Err(DealError::Damaged) }
    }
}

/// Lines that are taken one by one, by name.
struct Lines<'a> {
    lines: std::str::Lines<'a>,
    number: usize,
}

impl<'a> Lines<'a> {
    fn bad(&self, name: &'static str) -> DealError {
        DealError::Line { line: self.number, name }
    }
    fn take(&mut self, name: &'static str) -> Result<&'a str, DealError> {
        self.number = self.number.saturating_add(1);
        let value = self.lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.ok_or_else(|| self.bad(name))
    }
    fn parse<T: FromStr>(&mut self, name: &'static str) -> Result<T, DealError> {
        self.take(name)?.parse().map_err(|_| self.bad(name))
    }
    fn bytes(&mut self, name: &'static str) -> Result<Vec<u8>, DealError> {
        hex::decode(self.take(name)?).map_err(|_| self.bad(name))
    }
}

fn encode_piece(hash: &[u8; 32], place: u8, scalar: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(PIECE_LEN));
    bytes.extend_from_slice(PIECE_MAGIC);
    bytes.extend_from_slice(hash);
    bytes.push(place);
    bytes.extend_from_slice(scalar);
    bytes
}

#[cfg(test)]
mod tests;
