//! `combine` and `sign-sweep`: the key made whole.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use limen_mpc::DerivationPath;
use limen_recover::{CombineError, Cost, KeystoreRandomness, RecoveredKey, Recovery};
use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

use crate::arguments::{Form, Sources, Target};
use crate::files::{self, SecretFile};

/// The key at `path` out of what `sources` open. What cannot be used is told and left out: the others may be enough.
fn recover(sources: &Sources, path: &DerivationPath) -> Result<RecoveredKey> {
    let named = |path: &PathBuf| Ok((path.display().to_string(), files::backup(path)?));
    let backups: Result<Vec<_>> = sources.files.iter().map(named).collect();
    let mut recovery = Recovery::new(backups?)?;
    let mut outcomes = Vec::new();
    for path in &sources.identities {
        let said = open(&mut recovery, path);
        outcomes.extend(said.iter().map(|said| format!("{}: {said}", path.display())));
    }
    for path in &sources.pieces {
        let name = path.display().to_string();
        let taken = files::read(path).and_then(|plain| Ok(recovery.take(&name, &plain)?));
        outcomes.push(match taken {
            Ok(()) => format!("{name}: taken"),
            Err(refused) => {
                files::tell(&format!("left out: {refused:#}"));
                format!("{name}: {refused:#}")
            }
        });
    }
    match recovery.finish() {
        Ok(key) => Ok(key.child(path)?),
        Err(error @ CombineError::TooFew { .. }) => bail!("{error}; what was given: {}", outcomes.join("; ")),
        Err(error) => Err(error.into()),
    }
}

/// What happened with an identity file.
fn open(recovery: &mut Recovery, path: &Path) -> Vec<String> {
    let identities = match files::identities(path) {
        Ok(identities) => identities,
        Err(unread) => {
            files::tell(&format!("left out: {unread:#}"));
            return vec![format!("not used: {unread:#}")];
        }
    };
    let opened = recovery.open(&identities);
    let mut outcomes = Vec::new();
    for refused in &opened.refused {
        files::tell(&format!("left out: {refused}"));
        outcomes.push(refused.to_string());
    }
    if opened.pieces == 0 {
        files::tell(&format!("{}: it opened no piece that was not open already", path.display()));
    }
    outcomes.push(format!("it opened {} pieces", opened.pieces));
    outcomes
}

pub(super) fn combine(
    sources: &Sources,
    (form, path): (Form, &DerivationPath),
    target: &Target,
    password_file: Option<&Path>,
) -> Result<()> {
    if password_file.is_some() && form != Form::Keystore {
        bail!("--password-file is for --export keystore: no other form is encrypted, and nothing was exported");
    }
    // before anybody is asked for anything, and before there is a secret that would have nowhere to go
    let out = target.out.as_deref().map(SecretFile::create).transpose()?;
    let password = password_file.map(read_password).transpose()?;
    let key = recover(sources, path)?;
    let secret = match form {
        Form::Xprv => key.xprv()?,
        Form::Wif => key.wif()?,
        Form::Keystore => keystore(&key, &password.context("a keystore needs --password-file")?)?,
        Form::Pkcs8 => key.pkcs8_pem()?,
        Form::Scalar => key.scalar_hex(),
    };
    let secret = secret.trim_end();
    let Some(out) = out else { return files::print(secret) };
    let name = hex::encode(key.public_key().to_key(key.public().scheme));
    let file = out.write(secret)?;
    files::print(&format!("key {} at {path} with public key {name} is in {}", key.public().key, file.display()))
}

fn read_password(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let password = files::read(path)?;
    let line = password.strip_suffix(b"\n").unwrap_or(&password);
    let password = line.strip_suffix(b"\r").unwrap_or(line);
    if password.is_empty() {
        bail!("{}: the password is empty", path.display());
    }
    Ok(Zeroizing::new(password.to_vec()))
}

fn keystore(key: &RecoveredKey, password: &[u8]) -> Result<Zeroizing<String>> {
    let mut randomness = KeystoreRandomness { salt: [0; 32], iv: [0; 16], id: [0; 16] };
    let KeystoreRandomness { salt, iv, id } = &mut randomness;
    for bytes in [&mut salt[..], &mut iv[..], &mut id[..]] {
        OsRng.try_fill_bytes(bytes).context("asking the operating system for randomness")?;
    }
    Ok(key.keystore(password, Cost::STANDARD, &randomness)?)
}

pub(super) fn sign_sweep(sources: &Sources, path: &DerivationPath, message: &Path) -> Result<()> {
    let message = files::read(message)?;
    files::print(&hex::encode(recover(sources, path)?.sign_sweep(&message)?))
}
