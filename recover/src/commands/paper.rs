//! `paper`: a custodian's identity as slips, and slips as the identity.

use std::io::Read as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use limen_recover::age::x25519::Identity;
use limen_recover::paper::{self, Slip};
use rand_core::OsRng;
use zeroize::Zeroizing;

use super::identity::identity_file;
use crate::arguments::{Paper, Target};
use crate::files::{self, SecretFile};

pub(super) fn run(paper: &Paper) -> Result<()> {
    match paper {
        Paper::Split { identity, required, total, out } => split(identity, (*required, *total), out),
        Paper::Check { slip } => check(slip),
        Paper::Join { slips, target } => join(slips, target),
    }
}

/// Lines that are no comments.
fn lines(bytes: &[u8]) -> Result<Vec<Zeroizing<String>>> {
    let text = std::str::from_utf8(bytes).context("it is no text")?;
    let kept = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    Ok(kept.map(|line| Zeroizing::new(line.to_owned())).collect())
}

fn read(path: &Path) -> Result<Vec<Zeroizing<String>>> {
    if path.as_os_str() != "-" {
        return lines(&files::read(path)?).with_context(|| path.display().to_string());
    }
    let mut bytes = Zeroizing::new(Vec::new());
    std::io::stdin().lock().take(64 * 1024).read_to_end(&mut bytes).context("reading standard input")?;
    lines(&bytes).context("standard input")
}

fn split(file: &Path, numbers: (u8, u8), out: &Path) -> Result<()> {
    let name = file.display();
    let lines = lines(&files::read(file)?).with_context(|| name.to_string())?;
    let [line] = lines.as_slice() else { bail!("{name}: one identity is needed, here are {}", lines.len()) };
    let Ok(identity) = line.trim().parse::<Identity>() else {
        bail!(
            "{name}: no X25519 identity AGE-SECRET-KEY-1…; one of a plugin lies in its token, and one under a passphrase has to be \
             decrypted by age first"
        );
    };
    let slips = paper::split(&identity, numbers, &mut OsRng)?;
    let made = std::fs::DirBuilder::new().mode(0o700).create(out);
    made.with_context(|| format!("making the folder {} (it must not be there yet)", out.display()))?;
    let (recipient, (required, total)) = (identity.to_public().to_string(), numbers);
    for slip in &slips {
        let path = out.join(format!("{}-{}.slip", slip.name(), slip.place()));
        let text = Zeroizing::new(format!(
            "# one of {total} slips, {required} of which give the identity of\n# {recipient}\n# words: {}\n{}",
            slip.words().join(" "),
            slip.grouped().as_str()
        ));
        SecretFile::create(&path)?.write(&text)?;
        files::print(&format!("slip {} in {}: {}", slip.place(), path.display(), slip.words().join(" ")))?;
    }
    files::print(&format!(
        "{required} of these {total} give the identity of {recipient}; copy each, `check` the copy, keep them apart"
    ))
}

fn check(path: &Path) -> Result<()> {
    let (lines, name) = (read(path)?, path.display());
    if lines.is_empty() {
        bail!("{name}: no slip is there");
    }
    // On paper the letters may stand in several lines.
    let slip = Slip::read(&lines.iter().map(|line| line.as_str()).collect::<String>());
    let slip = slip.with_context(|| name.to_string())?;
    files::print(&format!(
        "slip {} of the identity whose recipient ends in {}; {} are needed; words: {}",
        slip.place(),
        slip.name(),
        slip.required(),
        slip.words().join(" ")
    ))
}

fn join(paths: &[PathBuf], target: &Target) -> Result<()> {
    // Its place is taken before anything is read, as for keys.
    let file = target.out.as_deref().map(SecretFile::create).transpose()?;
    let mut slips = Vec::new();
    for path in paths {
        let (lines, name) = (read(path)?, path.display());
        // Several lines of a file are one slip; from a keyboard each line is one.
        let texts = if path.as_os_str() == "-" {
            lines
        } else {
            vec![Zeroizing::new(lines.iter().map(|line| line.as_str()).collect())]
        };
        for text in texts {
            slips.push(Slip::read(&text).with_context(|| name.to_string())?);
        }
    }
    let identity = paper::join(&slips)?;
    let (text, recipient) = (identity_file(&identity), identity.to_public());
    match file {
        Some(file) => {
            let path = file.write(&text)?;
            files::print(&format!("the identity of {recipient} is in {}", path.display()))
        }
        None => files::print(&text),
    }
}
