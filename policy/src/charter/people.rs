//! People, their credentials, and groups of people.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::{CredentialId, GroupId, PersonId};
use limen_wire::keys::PublicKey;
use serde::Serialize;

/// What a credential's signature says about what its owner saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialClass {
    /// A passkey in a browser: proves the person, not what the page showed.
    Console,
    /// A key on another machine, which renders the effects from the bytes itself.
    Terminal,
}

impl CredentialClass {
    /// The word in charters and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Terminal => "terminal",
        }
    }
}

/// How a credential proves itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum CredentialKind {
    /// A bare key that signs the approval digest.
    Key,
    /// A WebAuthn authenticator (W3C Web Authentication, level 3): the digest is the challenge.
    Passkey(Passkey),
}

/// What a passkey's assertion must say besides the challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Passkey {
    /// The relying party id: its SHA-256 stands in the authenticator data.
    pub relying_party: String,
    /// The origins that may ask, for example `https://console.example`.
    pub origins: Vec<String>,
}

/// One thing that a person signs with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// Its name, unique in the charter.
    pub id: CredentialId,
    /// Its class: a passkey is always [`CredentialClass::Console`].
    pub class: CredentialClass,
    /// How it proves itself.
    pub kind: CredentialKind,
    /// The key that verifies; unique in the charter.
    pub public_key: PublicKey,
}

/// Somebody who approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    /// Their name.
    pub id: PersonId,
    /// What they sign with, by name.
    pub credentials: BTreeMap<CredentialId, Credential>,
}

/// People who can stand for each other in a formula.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Its name.
    pub id: GroupId,
    /// Who is in it.
    pub members: BTreeSet<PersonId>,
    /// Whether passkeys that leave their authenticator count (WebAuthn flag "backup eligible").
    pub synced_passkeys: bool,
}

/// Everybody who can approve, and how they are grouped.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Roster {
    /// People by name.
    pub people: BTreeMap<PersonId, Person>,
    /// Groups by name; every member is among the people.
    pub groups: BTreeMap<GroupId, Group>,
}

impl Roster {
    /// A credential and its owner.
    pub fn credential(&self, id: &CredentialId) -> Option<(&Person, &Credential)> {
        self.people.values().find_map(|person| person.credentials.get(id).map(|credential| (person, credential)))
    }
}
