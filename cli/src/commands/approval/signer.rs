//! What signs a verdict: a key in a file, in the SSH agent or on a token. Whose it is, the charter says.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use limen_policy::charter::people::{Credential, Person, Roster};
use limen_wire::ids::{CredentialId, PersonId};
use limen_wire::keys::{PublicKey, SigningKey};
use zeroize::Zeroizing;

use super::agent::Agent;
use super::check_kind;
use super::token::{Token, TokenKey};
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
    Token(Box<(Token, TokenKey)>),
}

impl Signer {
    pub(in crate::commands) fn sign(&mut self, message: &[u8]) -> Result<[u8; 64]> {
        match &mut self.source {
            Source::File(key) => Ok(key.sign(message)),
            Source::Agent(agent, key) => agent.sign(key, message),
            Source::Token(held) => Ok(held.0.sign(&held.1, message)?),
        }
    }
}

/// The key in this file, and whose it is.
pub(in crate::commands) fn from_key_file(path: &Path, roster: &Roster) -> Result<Signer> {
    from_file(path, &SignerArgs::default(), &[roster])
}

/// Finds the key and whose it is.
pub(in crate::commands) fn open(args: &SignerArgs, roster: &Roster) -> Result<Signer> {
    open_among(args, &[roster])
}

/// Finds the key and whose it is in the first of these rosters that knows it.
pub(in crate::commands) fn open_among(args: &SignerArgs, rosters: &[&Roster]) -> Result<Signer> {
    match (&args.key, &args.token.pkcs11) {
        (Some(path), _) => from_file(path, args, rosters),
        (None, Some(module)) => from_token(module, args, rosters),
        (None, None) => from_agent(args, rosters),
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

fn from_file(path: &Path, args: &SignerArgs, rosters: &[&Roster]) -> Result<Signer> {
    let key = read_key(path)?;
    let Some((person, credential)) = asked_for(&key.public_key(), args, rosters) else {
        bail!("the key in {} is no credential of anybody in the charter: {}", path.display(), key.public_key());
    };
    signer(person, credential, Source::File(Box::new(key)))
}

fn from_agent(args: &SignerArgs, rosters: &[&Roster]) -> Result<Signer> {
    let mut agent = Agent::connect()?;
    let keys = agent.keys()?;
    match the_one(&keys, |key| key, args, rosters, "the SSH agent")? {
        Some((key, person, credential)) => signer(person, credential, Source::Agent(agent, *key)),
        None => bail!(
            "none of the {} keys in the SSH agent is a credential that was asked for: ssh-add the right one",
            keys.len()
        ),
    }
}

fn from_token(module: &Path, args: &SignerArgs, rosters: &[&Roster]) -> Result<Signer> {
    let token = Token::open(module, &args.token)?;
    let keys = token.keys(&args.token)?;
    match the_one(&keys, |key| &key.public, args, rosters, "the token")? {
        Some((key, person, credential)) => {
            token.check(key)?;
            let key = key.clone();
            signer(person, credential, Source::Token(Box::new((token, key))))
        }
        None => Err(token.lacks(&keys).into()),
    }
}

/// The only key that is a credential that was asked for. Copies of one key are one.
fn the_one<'a, K>(
    keys: &'a [K],
    public: impl Fn(&K) -> &PublicKey,
    args: &SignerArgs,
    rosters: &[&'a Roster],
    holder: &str,
) -> Result<Option<(&'a K, &'a Person, &'a Credential)>> {
    let mut found: Vec<(&K, &Person, &Credential)> = Vec::new();
    for key in keys {
        if let Some((person, credential)) = asked_for(public(key), args, rosters)
            && !found.iter().any(|(_, _, before)| before.id == credential.id)
        {
            found.push((key, person, credential));
        }
    }
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|(_, _, credential)| credential.id.as_str()).collect();
        bail!("{holder} holds keys of several credentials: choose one of {} by --credential", names.join(", "));
    }
    Ok(found.pop())
}

/// Whose this key is, if it may be the one that is wanted.
fn asked_for<'a>(key: &PublicKey, args: &SignerArgs, rosters: &[&'a Roster]) -> Option<(&'a Person, &'a Credential)> {
    let people = rosters.iter().flat_map(|roster| roster.people.values());
    let mut all = people.flat_map(|person| person.credentials.values().map(move |credential| (person, credential)));
    let (person, credential) = all.find(|(_, credential)| credential.public_key == *key)?;
    args.credential.as_ref().is_none_or(|wanted| *wanted == credential.id).then_some((person, credential))
}

fn signer(person: &Person, credential: &Credential, source: Source) -> Result<Signer> {
    check_kind(person, credential)?;
    Ok(Signer { person: person.id.clone(), credential: credential.id.clone(), source })
}
