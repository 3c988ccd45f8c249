//! What each command does.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use limen_recover::{Backup, Cost, KeystoreRandomness, Nonce, Piece, PieceError, Proof, RecoveredKey, Recovery};
use limen_wire::ids::PersonId;
use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

use crate::arguments::{Command, Form, Sources, Target};
use crate::files;

pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Show { files } => files.iter().try_for_each(|file| show(file)),
        Command::Check { file, holder, identities, piece, nonce } => {
            check(&file, &holder, (&identities, piece.as_deref()), nonce.as_deref())
        }
        Command::Verify { file, holder, nonce, proof } => verify(&file, &holder, &nonce, &proof),
        Command::Combine { sources, export, target, password_file } => {
            combine(&sources, export, &target, password_file.as_deref())
        }
        Command::SignSweep { sources, message } => sign_sweep(&sources, &message),
    }
}

fn show(path: &Path) -> Result<()> {
    let backup = files::backup(path)?;
    let (head, public) = (backup.head(), backup.head().public());
    let (required, total) = (public.size.signers_required(), public.size.signers_total());
    let lines = [
        format!("{}: backup {}", path.display(), backup.hash()),
        format!(
            "  key        {} of cluster {}, epoch {}, {} by {}",
            public.key, public.cluster, public.epoch, public.scheme, public.protocol
        ),
        format!("  public key {}", hex::encode(public.public_key.to_key(public.scheme))),
        format!("  chain code {}", hex::encode(public.chain_code)),
        format!("  all shares {} (as `limen key show` says, or the file is made up)", hex::encode(head.shares_hash())),
        format!(
            "  share      of member {} ({}); {required} of {total} shares give the key",
            head.member(),
            head.node()
        ),
        format!("  charter    {}", head.charter()),
        format!("  pieces     {} of {} give the share", head.pieces_required(), head.custodians().len()),
    ];
    lines.iter().try_for_each(|line| files::print(line))?;
    let custodian = |(place, custodian): (u8, &limen_recover::Custodian)| {
        files::print(&format!("  piece {place:<4} {} {}", custodian.person, custodian.recipient))
    };
    head.places().try_for_each(custodian)
}

fn check(
    path: &Path,
    holder: &str,
    (identities, piece): (&[PathBuf], Option<&Path>),
    nonce: Option<&str>,
) -> Result<()> {
    let backup = files::backup(path)?;
    let (holder, nonce) = (PersonId::new(holder)?, nonce.map(str::parse::<Nonce>).transpose()?);
    let piece = match piece {
        Some(piece) => backup.take(&files::read(piece)?).with_context(|| piece.display().to_string())?,
        None => open_one(&backup, path, &holder, identities)?,
    };
    if *piece.holder() != holder {
        bail!("{}: that is the piece of {}, not of {holder}", path.display(), piece.holder());
    }
    let (hash, required) = (backup.hash(), backup.head().pieces_required());
    files::print(&format!("piece of {holder} decrypts, and is the one that backup {hash} commits to"))?;
    files::print(&format!("{required} such pieces, and the shares that `show` prints, say that it gives the share"))?;
    match nonce {
        Some(nonce) => files::print(&format!("proof of {holder}: {}", piece.prove(&nonce)?)),
        None => Ok(()),
    }
}

fn open_one(backup: &Backup, path: &Path, holder: &PersonId, identities: &[PathBuf]) -> Result<Piece> {
    for identity in identities {
        match backup.open_one(holder, &files::identities(identity)?) {
            Err(PieceError::NotForThese { .. }) => {}
            piece => return piece.with_context(|| path.display().to_string()),
        }
    }
    bail!(
        "{}: the piece of {holder} is not encrypted to these identities; its custodians are {}",
        path.display(),
        names(backup)
    )
}

fn names(backup: &Backup) -> String {
    let names: Vec<&str> = backup.head().custodians().iter().map(|custodian| custodian.person.as_str()).collect();
    names.join(", ")
}

fn verify(path: &Path, holder: &str, nonce: &str, proof: &str) -> Result<()> {
    let backup = files::backup(path)?;
    let (holder, nonce, proof) = (PersonId::new(holder)?, nonce.parse::<Nonce>()?, proof.parse::<Proof>()?);
    backup.verify_proof(&holder, &nonce, &proof).with_context(|| path.display().to_string())?;
    let required = backup.head().pieces_required();
    files::print(&format!("whoever made this knows the piece of {holder} in backup {}", backup.hash()))?;
    files::print(&format!("{required} such proofs, and the shares that `show` prints, say that it gives the share"))
}

fn recover(sources: &Sources) -> Result<RecoveredKey> {
    let named = |path: &PathBuf| Ok((path.display().to_string(), files::backup(path)?));
    let backups: Result<Vec<_>> = sources.files.iter().map(named).collect();
    let mut recovery = Recovery::new(backups?)?;
    for path in &sources.identities {
        let opened = recovery.open(&files::identities(path)?);
        for refused in &opened.refused {
            files::tell(&format!("left out: {refused}"));
        }
        if opened.pieces == 0 {
            files::tell(&format!("{}: it opened no piece that was not open already", path.display()));
        }
    }
    for path in &sources.pieces {
        // As with identities: the others may be enough.
        if let Err(refused) = recovery.take(&path.display().to_string(), &files::read(path)?) {
            files::tell(&format!("left out: {refused}"));
        }
    }
    Ok(recovery.finish()?)
}

fn combine(sources: &Sources, form: Form, target: &Target, password_file: Option<&Path>) -> Result<()> {
    if password_file.is_some() && form != Form::Keystore {
        bail!("--password-file is for --export keystore: no other form is encrypted, and nothing was exported");
    }
    let key = recover(sources)?;
    let secret = match form {
        Form::Xprv => key.xprv()?,
        Form::Wif => key.wif()?,
        Form::Keystore => keystore(&key, password_file.context("a keystore needs --password-file")?)?,
        Form::Pkcs8 => key.pkcs8_pem()?,
        Form::Scalar => key.scalar_hex(),
    };
    let secret = secret.trim_end();
    match &target.out {
        Some(path) => {
            files::write_secret(path, secret)?;
            let public = key.public();
            let name = hex::encode(public.public_key.to_key(public.scheme));
            files::print(&format!("key {} with public key {name} is in {}", public.key, path.display()))
        }
        None => files::print(secret),
    }
}

fn keystore(key: &RecoveredKey, password_file: &Path) -> Result<Zeroizing<String>> {
    let password = files::read(password_file)?;
    let line = password.strip_suffix(b"\n").unwrap_or(&password);
    let password = line.strip_suffix(b"\r").unwrap_or(line);
    if password.is_empty() {
        bail!("{}: the password is empty", password_file.display());
    }
    let mut randomness = KeystoreRandomness { salt: [0; 32], iv: [0; 16], id: [0; 16] };
    let KeystoreRandomness { salt, iv, id } = &mut randomness;
    for bytes in [&mut salt[..], &mut iv[..], &mut id[..]] {
        OsRng.try_fill_bytes(bytes).context("asking the operating system for randomness")?;
    }
    Ok(key.keystore(password, Cost::STANDARD, &randomness)?)
}

fn sign_sweep(sources: &Sources, message: &Path) -> Result<()> {
    let message = files::read(message)?;
    files::print(&hex::encode(recover(sources)?.sign_sweep(&message)?))
}
