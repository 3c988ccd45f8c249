//! People, credentials and groups in the text form.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::{CredentialId, GroupId, PersonId};
use serde::Deserialize;

use super::{invalid, key, name};
use crate::charter::CharterError;
use crate::charter::people::{Credential, CredentialClass, CredentialKind, Group, Passkey, Person, Roster};

/// Most people in a charter.
const MAX_PEOPLE: usize = 1000;
/// Most credentials of one person.
const MAX_CREDENTIALS: usize = 16;
/// Most groups in a charter.
const MAX_GROUPS: usize = 256;
/// Most origins of one passkey.
const MAX_ORIGINS: usize = 8;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilePerson {
    id: String,
    #[serde(default)]
    credentials: Vec<FileCredential>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCredential {
    id: String,
    public_key: String,
    /// `terminal` or `console`; left out for passkeys, which are always `console`.
    #[serde(default)]
    class: Option<CredentialClass>,
    #[serde(default)]
    passkey: Option<FilePasskey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePasskey {
    relying_party: String,
    origins: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileGroup {
    members: Vec<String>,
    #[serde(default)]
    synced_passkeys: bool,
}

pub(super) fn read(people: Vec<FilePerson>, groups: BTreeMap<String, FileGroup>) -> Result<Roster, CharterError> {
    if people.len() > MAX_PEOPLE {
        return Err(invalid("people", format!("{} people, at most {MAX_PEOPLE} are possible", people.len())));
    }
    if groups.len() > MAX_GROUPS {
        return Err(invalid("groups", format!("{} groups, at most {MAX_GROUPS} are possible", groups.len())));
    }
    let mut roster = Roster::default();
    let (mut ids, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for raw in people {
        let person = person(raw)?;
        let place = format!("person {:?}", person.id.as_str());
        for credential in person.credentials.values() {
            if !ids.insert(credential.id.clone()) {
                return Err(invalid(&place, format!("another credential is called {}", credential.id)));
            }
            // One key under two names would let one person stand for two.
            if !keys.insert(credential.public_key.to_string()) {
                return Err(invalid(&place, format!("another credential has the public key of {}", credential.id)));
            }
        }
        if roster.people.insert(person.id.clone(), person).is_some() {
            return Err(invalid(place, "named twice"));
        }
    }
    for (id, raw) in groups {
        let place = format!("group {id:?}");
        let id = name(&place, GroupId::new(id))?;
        let members = known(&place, raw.members, &roster)?;
        if members.is_empty() {
            return Err(invalid(place, "nobody is in it"));
        }
        roster.groups.insert(id.clone(), Group { id, members, synced_passkeys: raw.synced_passkeys });
    }
    Ok(roster)
}

/// A set of people by name, all of them enrolled and each named once.
pub(super) fn known(place: &str, names: Vec<String>, roster: &Roster) -> Result<BTreeSet<PersonId>, CharterError> {
    let mut people = BTreeSet::new();
    for id in names {
        let id = name(place, PersonId::new(id))?;
        if !roster.people.contains_key(&id) {
            return Err(invalid(place, format!("there is no person {id}")));
        }
        if !people.insert(id.clone()) {
            return Err(invalid(place, format!("{id} is named twice")));
        }
    }
    Ok(people)
}

fn person(raw: FilePerson) -> Result<Person, CharterError> {
    let place = format!("person {:?}", raw.id);
    let id = name(&place, PersonId::new(raw.id))?;
    if raw.credentials.len() > MAX_CREDENTIALS {
        let found = raw.credentials.len();
        return Err(invalid(place, format!("{found} credentials, at most {MAX_CREDENTIALS} are possible")));
    }
    let mut credentials = BTreeMap::new();
    for raw in raw.credentials {
        let credential = credential(&place, raw)?;
        if let Some(double) = credentials.insert(credential.id.clone(), credential) {
            return Err(invalid(place, format!("credential {} is named twice", double.id)));
        }
    }
    Ok(Person { id, credentials })
}

fn credential(person: &str, raw: FileCredential) -> Result<Credential, CharterError> {
    let place = format!("{person}, credential {:?}", raw.id);
    let id = name(&place, CredentialId::new(raw.id))?;
    let public_key = key(&place, &raw.public_key)?;
    let (class, kind) = match (raw.passkey, raw.class) {
        // What a browser shows is what its page chose to show.
        (Some(_), Some(CredentialClass::Terminal)) => {
            return Err(invalid(place, "a passkey is of class \"console\": it does not show what it signs"));
        }
        (Some(raw), _) => (CredentialClass::Console, CredentialKind::Passkey(passkey(&place, raw)?)),
        (None, Some(class)) => (class, CredentialKind::Key),
        (None, None) => return Err(invalid(place, "class is needed: \"terminal\" or \"console\"")),
    };
    Ok(Credential { id, class, kind, public_key })
}

fn passkey(place: &str, raw: FilePasskey) -> Result<Passkey, CharterError> {
    let host = |text: &str| {
        (1..=253).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
    };
    if !host(&raw.relying_party) {
        return Err(invalid(place, "relying_party must be a lower-case host name such as console.example"));
    }
    if raw.origins.is_empty() || raw.origins.len() > MAX_ORIGINS {
        return Err(invalid(place, format!("origins: 1 to {MAX_ORIGINS} are needed")));
    }
    for origin in &raw.origins {
        let local = raw.relying_party == "localhost" && origin.starts_with("http://localhost");
        let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://").filter(|_| local));
        let name = rest.map(|rest| rest.split_once(':').map_or(rest, |(name, _)| name));
        let below = |name: &str| name == raw.relying_party || name.ends_with(&format!(".{}", raw.relying_party));
        if !name.is_some_and(|name| host(name) && below(name)) {
            let reason = format!("{origin:?} is no https origin of the relying party {}", raw.relying_party);
            return Err(invalid(place, reason));
        }
    }
    Ok(Passkey { relying_party: raw.relying_party, origins: raw.origins })
}
