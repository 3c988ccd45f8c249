//! What signs: a key in a file, in the SSH agent or on a token. Whose it is, the charter says.

use std::path::Path;

use anyhow::Result;
use limen_policy::charter::people::{Credential, Person, Roster};
use limen_terminal::{Key, KeyArgs, Owners, find};
use limen_wire::envelope::PayloadType;
use limen_wire::ids::{CredentialId, PersonId};
use limen_wire::keys::PublicKey;
use limen_wire::pb;

use super::check_kind;
use crate::args::SignerArgs;

/// A person's key that can sign, with its enrolled name.
pub(in crate::commands) struct Signer {
    pub(in crate::commands) person: PersonId,
    pub(in crate::commands) credential: CredentialId,
    key: Key,
}

impl Signer {
    pub(in crate::commands) fn sign(&mut self, message: &[u8]) -> Result<[u8; 64]> {
        self.key.sign(message)
    }

    /// An envelope in the credential's name.
    pub(in crate::commands) fn seal(&mut self, kind: PayloadType, payload: Vec<u8>) -> Result<pb::Envelope> {
        self.key.seal(kind, payload, self.credential.as_str())
    }
}

/// The key in this file, and whose it is.
pub(in crate::commands) fn from_key_file(path: &Path, roster: &Roster) -> Result<Signer> {
    let held = KeyArgs { key: Some(path.to_owned()), ..KeyArgs::default() };
    open(&SignerArgs { held, credential: None }, roster)
}

/// Finds the key and whose it is.
pub(in crate::commands) fn open(args: &SignerArgs, roster: &Roster) -> Result<Signer> {
    open_among(args, &[roster])
}

/// Finds the key and whose it is in the first of these rosters that knows it.
pub(in crate::commands) fn open_among(args: &SignerArgs, rosters: &[&Roster]) -> Result<Signer> {
    let owners = Owners {
        of: &|key| {
            let (person, credential) = credential_of(key, rosters)?;
            let wanted = args.credential.as_ref().is_none_or(|wanted| *wanted == credential.id);
            wanted.then(|| (credential.id.to_string(), (person, credential)))
        },
        none: "credential of anybody in the charter",
        several: ["credentials", "--credential"],
    };
    let ((person, credential), key) = find(&args.held, &owners)?;
    check_kind(person, credential)?;
    Ok(Signer { person: person.id.clone(), credential: credential.id.clone(), key })
}

/// Whose this key is.
fn credential_of<'a>(key: &PublicKey, rosters: &[&'a Roster]) -> Option<(&'a Person, &'a Credential)> {
    let people = rosters.iter().flat_map(|roster| roster.people.values());
    let mut all = people.flat_map(|person| person.credentials.values().map(move |credential| (person, credential)));
    all.find(|(_, credential)| credential.public_key == *key)
}
