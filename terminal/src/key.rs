//! A key that can sign, wherever it lies.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use limen_wire::envelope::{self, PayloadType, pre_authentication_encoding};
use limen_wire::keys::{PublicKey, SigningKey};
use limen_wire::pb;
use zeroize::Zeroizing;

use crate::agent::Agent;
use crate::args::KeyArgs;
use crate::token::{Token, TokenKey};

/// A key that can sign.
pub struct Key(Source);

enum Source {
    File(Box<SigningKey>),
    Agent(Agent, PublicKey),
    Token(Box<(Token, TokenKey)>),
}

impl Key {
    /// An envelope in this name.
    pub fn seal(&mut self, kind: PayloadType, payload: Vec<u8>, name: &str) -> Result<pb::Envelope> {
        let signature = self.sign(&pre_authentication_encoding(kind.as_str(), &payload))?;
        Ok(envelope::attach(kind, payload, name, &signature))
    }

    /// Signs; may ask the person.
    pub fn sign(&mut self, message: &[u8]) -> Result<[u8; 64]> {
        match &mut self.0 {
            Source::File(key) => Ok(key.sign(message)),
            Source::Agent(agent, key) => agent.sign(key, message),
            Source::Token(held) => Ok(held.0.sign(&held.1, message)?),
        }
    }
}

/// Whose keys are looked for.
pub struct Owners<'a, W> {
    /// Whose a key is, and under which name, if it may be the one that is wanted.
    pub of: &'a dyn Fn(&PublicKey) -> Option<(String, W)>,
    /// What a key of nobody's is not.
    pub none: &'static str,
    /// What they are called, and how one is chosen.
    pub several: [&'static str; 2],
}

/// Finds the key of one of these owners.
pub fn find<W>(args: &KeyArgs, owners: &Owners<'_, W>) -> Result<(W, Key)> {
    match (&args.key, &args.token.pkcs11) {
        (Some(path), _) => from_file(path, owners),
        (None, Some(module)) => from_token(module, args, owners),
        (None, None) => from_agent(owners),
    }
}

/// A private key that nobody else can read.
fn read_key(path: &Path) -> Result<SigningKey> {
    let failed = || format!("could not read the key in {}", path.display());
    let mode = std::fs::metadata(path).with_context(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!("the key in {} can be read by others (mode {mode:o}): chmod 600 it", path.display());
    }
    let pem = Zeroizing::new(std::fs::read_to_string(path).with_context(failed)?);
    SigningKey::from_pkcs8_pem(&pem).with_context(failed)
}

fn from_file<W>(path: &Path, owners: &Owners<'_, W>) -> Result<(W, Key)> {
    let key = read_key(path)?;
    match (owners.of)(&key.public_key()) {
        Some((_, whose)) => Ok((whose, Key(Source::File(Box::new(key))))),
        None => bail!("the key in {} is no {}: {}", path.display(), owners.none, key.public_key()),
    }
}

fn from_agent<W>(owners: &Owners<'_, W>) -> Result<(W, Key)> {
    let mut agent = Agent::connect()?;
    let keys = agent.keys()?;
    match the_one(&keys, |key| key, owners, "the SSH agent")? {
        Some((key, whose)) => Ok((whose, Key(Source::Agent(agent, *key)))),
        None => bail!(
            "none of the {} keys in the SSH agent is a {} that was asked for: ssh-add the right one",
            keys.len(),
            owners.none
        ),
    }
}

fn from_token<W>(module: &Path, args: &KeyArgs, owners: &Owners<'_, W>) -> Result<(W, Key)> {
    let token = Token::open(module, &args.token)?;
    let keys = token.keys(&args.token)?;
    match the_one(&keys, |key| &key.public, owners, "the token")? {
        Some((key, whose)) => {
            token.check(key)?;
            let key = key.clone();
            Ok((whose, Key(Source::Token(Box::new((token, key))))))
        }
        None => Err(token.lacks(&keys).into()),
    }
}

/// The only key that was asked for. Copies of one key are one.
fn the_one<'a, K, W>(
    keys: &'a [K],
    public: impl Fn(&K) -> &PublicKey,
    owners: &Owners<'_, W>,
    holder: &str,
) -> Result<Option<(&'a K, W)>> {
    let mut found: Vec<(String, &K, W)> = Vec::new();
    for key in keys {
        if let Some((name, whose)) = (owners.of)(public(key))
            && !found.iter().any(|(before, ..)| *before == name)
        {
            found.push((name, key, whose));
        }
    }
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
        let [what, flag] = owners.several;
        bail!("{holder} holds keys of several {what}: choose one of {} by {flag}", names.join(", "));
    }
    Ok(found.pop().map(|(_, key, whose)| (key, whose)))
}
