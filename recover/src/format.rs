//! The file: lines `name: value` in one order, one spelling each. `docs/recovery.md` describes it for other programs.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::str::FromStr;

use base64ct::{Base64, Encoding as _};
use limen_mpc::{KeyPublic, Point};
use limen_wire::ids::{
    CharterHash, ClusterId, CommitteeSize, Epoch, KeyId, NodeId, PartyIndex, PersonId, Protocol, Scheme, tagged_hash,
};
use limen_wire::recipient::Recipient;
use sha2::{Digest as _, Sha256};

use crate::backup::Backup;
use crate::head::{Custodian, Head, HeadError, MAX_CUSTODIANS};

/// Largest file that is read, in bytes.
pub const MAX_FILE: usize = 256 * 1024;
/// Largest encrypted piece, in bytes.
pub(crate) const MAX_PIECE: usize = 8 * 1024;
const MAX_SIGNERS: u16 = 32;
const VERSION: &str = "1";

/// Why a file was not read as a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// More bytes than any backup has.
    #[error("reading a backup: it has more than {MAX_FILE} bytes")]
    TooLong,
    /// The file is no text, or does not begin as a backup does.
    #[error("reading a backup: this is no backup of Limen, which begins with `limen-backup: 1`")]
    NotABackup,
    /// A later version of the format.
    #[error("reading a backup: it has version {0:?} of the format, and this program reads version 1: use a newer one")]
    Version(String),
    /// The bytes are not the ones that were written.
    #[error("reading a backup: the file is damaged: its bytes do not have the hash in its last line; use another copy")]
    Damaged,
    /// A line is not what stands in its place.
    #[error("reading a backup: line {line} must be `{name}: …` with {wanted}")]
    Line {
        /// Counted from one.
        line: usize,
        /// What must stand there.
        name: &'static str,
        /// Which values it can have.
        wanted: &'static str,
    },
    /// The same facts in another spelling than the one there is.
    #[error("reading a backup: it has more lines than it needs, or a value in another spelling than the one there is")]
    Spelling,
    /// The facts do not go together.
    #[error("reading a backup: its head is refused")]
    Head(#[from] HeadError),
}

/// The lines up to the last custodian.
pub(crate) fn encode_head(head: &Head) -> String {
    let Head { public, member, node, charter, custodians, commitments } = head;
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn Display| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}: {value}");
    };
    line("limen-backup", &VERSION);
    line("cluster", &public.cluster);
    line("key", &public.key);
    line("epoch", &public.epoch);
    line("scheme", &public.scheme);
    line("protocol", &public.protocol);
    line("signers_required", &public.size.signers_required());
    line("signers_total", &public.size.signers_total());
    line("member", member);
    line("node", node);
    line("charter", charter);
    line("public_key", &hex::encode(public.public_key.as_bytes()));
    line("chain_code", &hex::encode(public.chain_code));
    for share in public.verifying_shares.values() {
        line("verifying_share", &hex::encode(share.as_bytes()));
    }
    line("pieces_required", &commitments.len());
    line("pieces_total", &custodians.len());
    for commitment in commitments {
        line("commitment", &hex::encode(commitment.as_bytes()));
    }
    for Custodian { person, recipient } in custodians {
        line("custodian", &format_args!("{person} {recipient}"));
    }
    text
}

/// Reads what [`encode_head`] writes, and believes nothing of it.
pub(crate) fn decode_head(text: &str) -> Result<Head, FormatError> {
    if text.len() > MAX_FILE {
        return Err(FormatError::TooLong);
    }
    let mut lines = Lines { lines: text.lines(), number: 0 };
    let head = read_head(&mut lines)?;
    if encode_head(&head) != text {
        return Err(FormatError::Spelling);
    }
    head.check()?;
    Ok(head)
}

/// What every piece names in its plaintext.
pub(crate) fn head_hash(head: &Head) -> [u8; 32] {
    tagged_hash("limen/backup-head/v1", [encode_head(head).as_bytes()])
}

/// The whole file without its last line.
fn encode_body(head: &Head, sealed: &[Vec<u8>]) -> String {
    let mut text = encode_head(head);
    for piece in sealed {
        let _ = writeln!(text, "piece: {}", Base64::encode_string(piece));
    }
    text
}

/// The hash in the last line: what a backup is called by.
pub(crate) fn backup_hash(head: &Head, sealed: &[Vec<u8>]) -> [u8; 32] {
    Sha256::digest(encode_body(head, sealed)).into()
}

/// The whole file.
pub(crate) fn encode(head: &Head, sealed: &[Vec<u8>]) -> String {
    let body = encode_body(head, sealed);
    let hash = hex::encode(Sha256::digest(&body));
    body + "sha256: " + &hash + "\n"
}

/// Reads a file and believes nothing of it.
pub(crate) fn decode(bytes: &[u8]) -> Result<Backup, FormatError> {
    if bytes.len() > MAX_FILE {
        return Err(FormatError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| FormatError::NotABackup)?;
    let version = text.lines().next().and_then(|line| line.strip_prefix("limen-backup: "));
    match version.ok_or(FormatError::NotABackup)? {
        VERSION => {}
        other => return Err(FormatError::Version(other.chars().take(20).collect())),
    }
    check_hash(text)?;
    let mut lines = Lines { lines: text.lines(), number: 0 };
    let head = read_head(&mut lines)?;
    let mut sealed = Vec::new();
    for _ in &head.custodians {
        sealed.push(lines.take("piece", "base64 of at most 8192 bytes", |value| {
            Base64::decode_vec(value).ok().filter(|piece| !piece.is_empty() && piece.len() <= MAX_PIECE)
        })?);
    }
    if encode(&head, &sealed) != text {
        return Err(FormatError::Spelling);
    }
    head.check()?;
    Ok(Backup { head, sealed })
}

fn check_hash(text: &str) -> Result<(), FormatError> {
    let (body, last) = text.rfind("sha256: ").and_then(|at| text.split_at_checked(at)).ok_or(FormatError::Damaged)?;
    let expected = format!("sha256: {}\n", hex::encode(Sha256::digest(body)));
    if last == expected { Ok(()) } else { Err(FormatError::Damaged) }
}

/// Lines that are taken one by one, by name.
struct Lines<'a> {
    lines: std::str::Lines<'a>,
    number: usize,
}

impl<'a> Lines<'a> {
    fn take<T>(
        &mut self,
        name: &'static str,
        wanted: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, FormatError> {
        self.number += 1;
        let value = self.lines.next().and_then(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.and_then(read).ok_or(FormatError::Line { line: self.number, name, wanted })
    }
    fn parse<T: FromStr>(&mut self, name: &'static str, wanted: &'static str) -> Result<T, FormatError> {
        self.take(name, wanted, |value| value.parse().ok())
    }
    fn count(&mut self, name: &'static str, wanted: &'static str, most: u16) -> Result<u16, FormatError> {
        self.take(name, wanted, |value| value.parse().ok().filter(|count| (1..=most).contains(count)))
    }
    fn point(&mut self, name: &'static str, scheme: Scheme) -> Result<Point, FormatError> {
        self.take(name, "a point of the scheme's curve, compressed, in hexadecimal", |value| point(scheme, value))
    }
}

fn point(scheme: Scheme, value: &str) -> Option<Point> {
    let bytes = hex::decode(value).ok()?;
    match scheme {
        Scheme::EcdsaSecp256k1 | Scheme::SchnorrBip340 => Point::secp256k1(&bytes),
        Scheme::EddsaEd25519 => Point::ed25519(&bytes),
        Scheme::EcdsaP256 => Point::p256(&bytes),
    }
    .ok()
}

fn read_head(lines: &mut Lines<'_>) -> Result<Head, FormatError> {
    const NAME: &str = "a name";
    let _version: String = lines.parse("limen-backup", "the version")?;
    let cluster: ClusterId = lines.parse("cluster", NAME)?;
    let key: KeyId = lines.parse("key", NAME)?;
    let epoch = Epoch(lines.parse("epoch", "a number below 2^64")?);
    let scheme: Scheme = lines.parse("scheme", "a scheme that Limen knows")?;
    let protocol: Protocol = lines.parse("protocol", "a protocol that Limen knows")?;
    let required = lines.count("signers_required", "a number from 2 to 32", MAX_SIGNERS)?;
    let total = lines.count("signers_total", "a number from signers_required to 32", MAX_SIGNERS)?;
    let size = CommitteeSize::of(protocol, required, total).map_err(|_| FormatError::Line {
        line: lines.number,
        name: "signers_total",
        wanted: "a number that goes with signers_required and protocol",
    })?;
    let member = lines.count("member", "a number from 1 to signers_total", total)?;
    let node: NodeId = lines.parse("node", NAME)?;
    let charter: CharterHash = lines.parse("charter", "32 bytes in hexadecimal")?;
    let public_key = lines.point("public_key", scheme)?;
    let chain_code = lines.take("chain_code", "32 bytes in hexadecimal", |value| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(value, &mut bytes).ok().map(|()| bytes)
    })?;
    let mut verifying_shares = BTreeMap::new();
    for party in (1..=total).map(PartyIndex::new) {
        let party = party.map_err(|_| FormatError::Spelling)?;
        verifying_shares.insert(party, lines.point("verifying_share", scheme)?);
    }
    let public = KeyPublic { cluster, key, epoch, scheme, protocol, size, public_key, chain_code, verifying_shares };
    let member = PartyIndex::new(member).map_err(|_| FormatError::Spelling)?;
    let most = u16::try_from(MAX_CUSTODIANS).unwrap_or(u16::MAX);
    let pieces_required = lines.count("pieces_required", "a number from 1 to pieces_total", most)?;
    let pieces_total = lines.count("pieces_total", "a number from pieces_required to 16", most)?;
    let commitments: Result<_, _> = (0..pieces_required).map(|_| lines.point("commitment", scheme)).collect();
    let commitments = commitments?;
    let custodians: Result<_, _> = (0..pieces_total).map(|_| read_custodian(lines)).collect();
    Ok(Head { public, member, node, charter, custodians: custodians?, commitments })
}

fn read_custodian(lines: &mut Lines<'_>) -> Result<Custodian, FormatError> {
    lines.take(
        "custodian",
        "a name, a blank and a recipient of age that is not mistyped and no key of low order",
        |value| {
            let (person, recipient) = value.split_once(' ')?;
            Some(Custodian { person: PersonId::new(person).ok()?, recipient: Recipient::new(recipient).ok()? })
        },
    )
}
