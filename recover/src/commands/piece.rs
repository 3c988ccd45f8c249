//! `check` and `verify`: whether a custodian's piece decrypts, for themselves and for others.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use limen_recover::{Backup, Challenge, Nonce, Piece, PieceError, Proof};
use limen_wire::ids::PersonId;
use prost::Message as _;

use crate::arguments::{CheckArguments, Signed};
use crate::files;

pub(super) fn check(arguments: &CheckArguments) -> Result<()> {
    let path = &arguments.file;
    let backup = files::backup(path)?;
    let holder = PersonId::new(&*arguments.holder)?;
    let nonce = arguments.nonce.as_deref().map(str::parse::<Nonce>).transpose()?;
    let piece = match &arguments.piece {
        Some(piece) => backup.take(&files::read(piece)?).with_context(|| piece.display().to_string())?,
        None => open_one(&backup, path, &holder, &arguments.identities)?,
    };
    if *piece.holder() != holder {
        bail!("{}: that is the piece of {}, not of {holder}", path.display(), piece.holder());
    }
    let (hash, required) = (backup.hash(), backup.head().pieces_required());
    files::print(&format!("piece of {holder} decrypts, and is the one that backup {hash} commits to"))?;
    files::print(&format!("{required} such pieces, and the shares that `show` prints, say that it gives the share"))?;
    let Some(nonce) = nonce else { return Ok(()) };
    files::print(&format!("proof of {holder}: {}", piece.prove(&nonce)?))?;
    match &arguments.signed {
        Some(signed) => files::print(&format!("signed proof of {holder}: {}", say(&backup, &piece, nonce, signed)?)),
        None => Ok(()),
    }
}

/// The proof under the custodian's own signature, in hexadecimal.
fn say(backup: &Backup, piece: &Piece, nonce: Nonce, signed: &Signed) -> Result<String> {
    let Signed { sign_as, key, asked_by } = signed;
    let key = files::signing_key(key)?;
    let challenge = Challenge { asked_by: asked_by.clone(), nonce };
    Ok(hex::encode(backup.say(piece, &challenge, (sign_as, &key), files::now_secs()?)?.encode_to_vec()))
}

fn open_one(backup: &Backup, path: &Path, holder: &PersonId, identities: &[PathBuf]) -> Result<Piece> {
    let mut outcomes = Vec::new();
    for identity in identities {
        // One file that is none keeps nobody from the others.
        let said = match files::identities(identity).map(|identities| backup.open_one(holder, &identities)) {
            Ok(Ok(piece)) => return Ok(piece),
            Ok(Err(PieceError::NotForThese { .. })) => format!("{}: the piece is not for it", identity.display()),
            Ok(Err(refused)) => format!("{}: {refused}", identity.display()),
            Err(unread) => format!("{unread:#}"),
        };
        files::tell(&format!("left out: {said}"));
        outcomes.push(said);
    }
    bail!(
        "{}: the piece of {holder} is not encrypted to these identities, or they could not be used; its custodians are {}; {}",
        path.display(),
        names(backup),
        outcomes.join("; ")
    )
}

fn names(backup: &Backup) -> String {
    let names: Vec<&str> = backup.head().custodians().iter().map(|custodian| custodian.person.as_str()).collect();
    names.join(", ")
}

pub(super) fn verify(path: &Path, holder: &str, nonce: &str, proof: &str) -> Result<()> {
    let backup = files::backup(path)?;
    let (holder, nonce, proof) = (PersonId::new(holder)?, nonce.parse::<Nonce>()?, proof.parse::<Proof>()?);
    backup.verify_proof(&holder, &nonce, &proof).with_context(|| path.display().to_string())?;
    let required = backup.head().pieces_required();
    files::print(&format!("whoever made this knows the piece of {holder} in backup {}", backup.hash()))?;
    files::print(&format!("{required} such proofs, and the shares that `show` prints, say that it gives the share"))
}
