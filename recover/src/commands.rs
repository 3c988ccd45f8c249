//! What each command does.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use limen_recover::{Backup, Cost, KeystoreRandomness, Nonce, Piece, Proof, RecoveredKey, Recovery};
use limen_wire::ids::PersonId;
use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

use crate::arguments::{Command, Form, Sources, Target};
use crate::files;

pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Show { files } => files.iter().try_for_each(|file| show(file)),
        Command::Check { file, identities, nonce } => check(&file, &identities, nonce.as_deref()),
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

fn check(path: &Path, identities: &[PathBuf], nonce: Option<&str>) -> Result<()> {
    let backup = files::backup(path)?;
    let nonce: Option<Nonce> = nonce.map(str::parse).transpose()?;
    let (mut found, mut refused) = (false, Vec::new());
    for identity in identities {
        for piece in backup.open(&files::identities(identity)?) {
            found = true;
            match piece {
                Ok(piece) => tell_proof(&backup, &piece, nonce.as_ref())?,
                Err(error) => refused.push(error.to_string()),
            }
        }
    }
    if !refused.is_empty() {
        bail!("{}: {}", path.display(), refused.join("; "));
    }
    if !found {
        bail!(
            "{}: none of its pieces is encrypted to these identities; its custodians are {}",
            path.display(),
            names(&backup)
        );
    }
    Ok(())
}

fn tell_proof(backup: &Backup, piece: &Piece, nonce: Option<&Nonce>) -> Result<()> {
    let (holder, hash) = (piece.holder(), backup.hash());
    files::print(&format!("piece of {holder} decrypts, and is the one that backup {hash} commits to"))?;
    match nonce {
        Some(nonce) => files::print(&format!("proof of {holder}: {}", piece.prove(nonce)?)),
        None => Ok(()),
    }
}

fn names(backup: &Backup) -> String {
    let names: Vec<&str> = backup.head().custodians().iter().map(|custodian| custodian.person.as_str()).collect();
    names.join(", ")
}

fn verify(path: &Path, holder: &str, nonce: &str, proof: &str) -> Result<()> {
    let backup = files::backup(path)?;
    let (holder, nonce, proof) = (PersonId::new(holder)?, nonce.parse::<Nonce>()?, proof.parse::<Proof>()?);
    backup.verify_proof(&holder, &nonce, &proof).with_context(|| path.display().to_string())?;
    files::print(&format!("{holder} holds a piece of backup {} that decrypts", backup.hash()))
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
        recovery.take(&path.display().to_string(), &files::read(path)?)?;
    }
    Ok(recovery.finish()?)
}

fn combine(sources: &Sources, form: Form, target: &Target, password_file: Option<&Path>) -> Result<()> {
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
