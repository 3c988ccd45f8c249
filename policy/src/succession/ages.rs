//! Since when what a charter names stands as it does now, on one signer's running time.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use limen_wire::ids::{BookEntryId, CharterHash, CredentialId, tagged_hash};
use serde::{Deserialize, Serialize};

use crate::charter::Charter;
use crate::decide::InForce;

/// For every entry of the address book and every credential of the charter in force: what it is, and since when it is that.
///
/// A signer keeps them with its versions of the charter and takes them along from one to the next. Knowing nothing is the
/// default, and safe: what has no time here is new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ages {
    charter: Option<CharterHash>,
    entries: BTreeMap<BookEntryId, Since>,
    credentials: BTreeMap<CredentialId, Since>,
}

/// Hash of the thing itself, and the running time in milliseconds at which it came into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Since {
    is: [u8; 32],
    since_ms: u64,
}

impl Ages {
    /// Whether they are those of this charter.
    pub fn are_of(&self, charter: CharterHash) -> bool {
        self.charter == Some(charter)
    }

    /// The same under the charter that comes into force now: what is in it unchanged keeps its time, what is new or
    /// changed in any part begins anew, and what is gone is forgotten, so that it is new if it ever comes back.
    #[must_use]
    pub fn follow(&self, charter: &Charter, now_ms: u64) -> Self {
        if self.are_of(charter.hash()) {
            return self.clone();
        }
        let entries = charter.book.entries().map(|entry| (entry.id.clone(), fingerprint(entry)));
        let people = charter.roster.people.values();
        let credentials = people.flat_map(|person| {
            // The same key in another person's hands is another credential.
            person.credentials.values().map(|one| (one.id.clone(), fingerprint(&(&person.id, one))))
        });
        Self {
            charter: Some(charter.hash()),
            entries: carried(&self.entries, entries, now_ms),
            credentials: carried(&self.credentials, credentials, now_ms),
        }
    }

    /// What they are at this running time.
    pub const fn at(&self, now_ms: u64) -> AgesAt<'_> {
        AgesAt { ages: self, now_ms }
    }
}

/// What cannot be hashed has no fingerprint, so it has no time either.
fn fingerprint(thing: &impl Serialize) -> Option<[u8; 32]> {
    let bytes = postcard::to_stdvec(thing).ok()?;
    Some(tagged_hash("limen charter part v1", [bytes.as_slice()]))
}

fn carried<K: Ord>(
    before: &BTreeMap<K, Since>,
    now: impl Iterator<Item = (K, Option<[u8; 32]>)>,
    now_ms: u64,
) -> BTreeMap<K, Since> {
    let since = |id: &K, is: [u8; 32]| {
        let same = before.get(id).filter(|since| since.is == is);
        Since { is, since_ms: same.map_or(now_ms, |since| since.since_ms) }
    };
    now.filter_map(|(id, is)| Some((since(&id, is?), id))).map(|(since, id)| (id, since)).collect()
}

/// [`Ages`] at one moment.
#[derive(Debug, Clone, Copy)]
pub struct AgesAt<'a> {
    ages: &'a Ages,
    now_ms: u64,
}

impl AgesAt<'_> {
    fn secs(&self, since: Option<&Since>) -> Option<u64> {
        since.map(|since| self.now_ms.saturating_sub(since.since_ms) / 1000)
    }
}

impl InForce for AgesAt<'_> {
    fn entry_secs(&self, entry: &BookEntryId) -> Option<u64> {
        self.secs(self.ages.entries.get(entry))
    }
    fn credential_secs(&self, credential: &CredentialId) -> Option<u64> {
        self.secs(self.ages.credentials.get(credential))
    }
}
