//! Who keeps backups: the custodians of each signer's shares of a vault's keys, and what they have to prove.

use std::collections::BTreeMap;

use limen_wire::ids::{CharterHash, CredentialId, KeyId, NodeId, PersonId};
use limen_wire::keys::PublicKey;
use limen_wire::paths::{Fewest, Holding, fewest_people};
use limen_wire::recipient::Recipient;

use super::Charter;
use super::people::{CredentialClass, CredentialKind};

/// One who keeps a piece of a share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custodian {
    /// Who: a person of the charter with a terminal credential.
    pub person: PersonId,
    /// To what their piece is encrypted.
    pub recipient: Recipient,
}

/// How the keys of a vault are backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backups {
    /// The fewest shares that give any of its keys: none is made for fewer signers.
    pub signers_required: u8,
    /// How many custodians of a node give its share.
    pub pieces_required: u8,
    /// How few people may have a key at least, counted over all nodes.
    pub people_required: usize,
    /// For how long a custodian's proof counts, in seconds.
    pub proof_max_age_secs: u64,
    /// The custodians at each signer node, in the order of their pieces: the first has piece 1.
    pub custodians: BTreeMap<NodeId, Vec<Custodian>>,
}

/// What a signer needs to back its share of a key up, and to judge the proofs of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupOrder<'a> {
    /// The charter that says so.
    pub charter: CharterHash,
    /// Who gets pieces: the first has piece 1.
    pub custodians: &'a [Custodian],
    /// How many pieces give the share.
    pub pieces_required: u8,
    /// A key that fewer signers can use is not to be backed up by this: its custodians were counted for so many.
    pub signers_required: u8,
    /// For how long a custodian's proof counts, in seconds.
    pub proof_max_age_secs: u64,
}

impl Backups {
    /// The smallest number of people who together have a key that [`Self::signers_required`] signers can use.
    pub fn fewest_people(&self) -> Fewest {
        let mut holdings = Vec::with_capacity(self.custodians.len());
        for (share, custodians) in (1..).zip(self.custodians.values()) {
            let people = custodians.iter().map(|custodian| &custodian.person).collect();
            holdings.push(Holding { share, people, pieces_required: self.pieces_required.into() });
        }
        fewest_people(&holdings, self.signers_required.into())
    }

    /// How many shares the custodians give whom `is_there` knows.
    pub fn shares_of(&self, is_there: impl Fn(&PersonId) -> bool) -> usize {
        let enough = |custodians: &&Vec<Custodian>| {
            let there = custodians.iter().filter(|custodian| is_there(&custodian.person)).count();
            there >= usize::from(self.pieces_required)
        };
        self.custodians.values().filter(enough).count()
    }
}

impl Charter {
    /// Who gets pieces of this node's share of a key. Nothing if the key's vault has no backups, the key is in no vault or lives in
    /// a token, or the node is no signer.
    pub fn custodians_of(&self, key: &KeyId, node: &NodeId) -> Option<BackupOrder<'_>> {
        let backups = self.backups_of(key)?;
        Some(BackupOrder {
            charter: self.hash,
            custodians: backups.custodians.get(node)?,
            pieces_required: backups.pieces_required,
            signers_required: backups.signers_required,
            proof_max_age_secs: backups.proof_max_age_secs,
        })
    }

    /// How a key is backed up. Nothing if its vault has no backups, or if it is in no vault or lives in a token.
    pub fn backups_of(&self, key: &KeyId) -> Option<&Backups> {
        if self.hsm_keys.contains_key(key) {
            return None;
        }
        self.backups.get(&self.vaults.of_key(key)?.id)
    }

    /// The key by which a person signs proofs in the name of this credential: a terminal one of theirs that is a bare key.
    pub fn custodian_key(&self, person: &PersonId, credential: &CredentialId) -> Option<PublicKey> {
        let credential = self.roster.people.get(person)?.credentials.get(credential)?;
        let signs = credential.class == CredentialClass::Terminal && credential.kind == CredentialKind::Key;
        signs.then_some(credential.public_key)
    }
}

#[cfg(test)]
mod tests;
