//! What signs a verdict: a key file, or a key that the SSH agent holds. Whose it is, the charter says.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use limen_policy::charter::people::{Credential, Person, Roster};
use limen_wire::ids::{CredentialId, PersonId};
use limen_wire::keys::{PublicKey, SigningKey};
use zeroize::Zeroizing;

use super::agent::Agent;
use super::check_kind;
use crate::args::SignerArgs;

/// A key that can sign, with its enrolled name.
pub(in crate::commands) struct Signer {
    pub(in crate::commands) person: PersonId,
    pub(in crate::commands) credential: CredentialId,
    source: Source,
}

enum Source {
    File(Box<SigningKey>),
    Agent(Agent, PublicKey),
}

impl Signer {
    pub(in crate::commands) fn sign(&mut self, message: &[u8]) -> Result<[u8; 64]> {
        match &mut self.source {
            Source::File(key) => Ok(key.sign(message)),
            Source::Agent(agent, key) => agent.sign(key, message),
        }
    }
}

/// The key in this file, and whose it is.
pub(in crate::commands) fn from_key_file(path: &Path, roster: &Roster) -> Result<Signer> {
    let args = SignerArgs { key: Some(path.to_owned()), ssh_agent: false, credential: None };
    open(&args, roster)
}

/// Finds the key and whose it is.
pub(in crate::commands) fn open(args: &SignerArgs, roster: &Roster) -> Result<Signer> {
    match &args.key {
        Some(path) => from_file(path, args, roster),
        None => from_agent(args, roster),
    }
}

/// A private key that nobody else can read.
pub(in crate::commands) fn read_key(path: &Path) -> Result<SigningKey> {
    let failed = || format!("could not read the key in {}", path.display());
    let mode = std::fs::metadata(path).with_context(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!("the key in {} can be read by others (mode {mode:o}): chmod 600 it", path.display());
    }
    let pem = Zeroizing::new(std::fs::read_to_string(path).with_context(failed)?);
    SigningKey::from_pkcs8_pem(&pem).with_context(failed)
}

fn from_file(path: &Path, args: &SignerArgs, roster: &Roster) -> Result<Signer> {
    let key = read_key(path)?;
    let found = enrolled(&key.public_key(), roster);
    let Some((person, credential)) = found.filter(|(_, credential)| is_asked_for(credential, args)) else {
        bail!("the key in {} is no credential of anybody in the charter: {}", path.display(), key.public_key());
    };
    signer(person, credential, Source::File(Box::new(key)))
}

fn from_agent(args: &SignerArgs, roster: &Roster) -> Result<Signer> {
    let mut agent = Agent::connect()?;
    let keys = agent.keys()?;
    let enrolled = keys.iter().filter_map(|key| enrolled(key, roster));
    let found: Vec<_> = enrolled.filter(|(_, credential)| is_asked_for(credential, args)).collect();
    match found.as_slice() {
        [(person, credential)] => signer(person, credential, Source::Agent(agent, credential.public_key)),
        [] => bail!(
            "none of the {} keys in the SSH agent is a credential that was asked for: ssh-add the right one",
            keys.len()
        ),
        several => {
            let names: Vec<&str> = several.iter().map(|(_, credential)| credential.id.as_str()).collect();
            bail!("the SSH agent holds keys of several credentials: choose one of {} by --credential", names.join(", "))
        }
    }
}

fn enrolled<'a>(key: &PublicKey, roster: &'a Roster) -> Option<(&'a Person, &'a Credential)> {
    let all = roster.people.values().flat_map(|person| person.credentials.values().map(move |c| (person, c)));
    all.into_iter().find(|(_, credential)| credential.public_key == *key)
}

fn is_asked_for(credential: &Credential, args: &SignerArgs) -> bool {
    args.credential.as_ref().is_none_or(|wanted| *wanted == credential.id)
}

fn signer(person: &Person, credential: &Credential, source: Source) -> Result<Signer> {
    check_kind(person, credential)?;
    Ok(Signer { person: person.id.clone(), credential: credential.id.clone(), source })
}
