//! Freezes: whose word stops something, what it stops, and when enough people have lifted it.
//!
//! One guardian freezes alone. The set of freezes only grows; a freeze is *live* until every signer for itself has seen
//! enough people lift exactly it and waited. Nothing here depends on the order in which records arrive.
//!
//! A signer's own freeze of a requester is no record and concerns nobody else: it stops what that signer would sign, and
//! approvals are not bound to it.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::effects::{Address, Asset, Effect, Effects};
use limen_wire::envelope::{EnvelopeError, Opened};
use limen_wire::freeze::{Freeze, FreezeScope, Unfreeze};
use limen_wire::ids::{ClusterId, CredentialId, FreezeEpoch, GroupId, IntentId, PersonId, RequesterId};
use limen_wire::intent::Intent;

use crate::approval::assign;
use crate::charter::Charter;
use crate::charter::governance::Governance;
use crate::charter::people::{Credential, CredentialClass, CredentialKind, Roster};
use crate::formula::Leaf;

/// Why nobody has to heed a freeze or an unfreeze.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FreezeError {
    /// For another cluster.
    #[error("it is for cluster {found}, this is {expected}")]
    OtherCluster {
        /// Whose cluster it names.
        found: ClusterId,
        /// Which this is.
        expected: ClusterId,
    },
    /// The charter names no guardians.
    #[error("the charter says nothing about governance: it has no guardians")]
    NoGovernance,
    /// Somebody without a say.
    #[error("{person} is not in {needed}: the charter gives them no say in this")]
    NoSay {
        /// Who.
        person: PersonId,
        /// Where they would have to be.
        needed: String,
    },
    /// No credential of theirs, or one that cannot sign an envelope.
    #[error("{credential} is no bare key that the charter enrols for {person}")]
    NotEnrolled {
        /// Whose.
        person: PersonId,
        /// Which.
        credential: CredentialId,
    },
    /// The signature.
    #[error(transparent)]
    Signature(#[from] EnvelopeError),
}

/// Whether a freeze is a guardian's, proved by a credential of theirs.
pub fn verify_freeze(charter: &Charter, freeze: &Freeze, opened: &Opened<'_>) -> Result<(), FreezeError> {
    let governance = governance(charter, &freeze.cluster)?;
    has_say(charter, &freeze.person, &[&governance.guardians])?;
    proved(charter, &freeze.person, &freeze.credential, opened)
}

/// Whether an unfreeze is of somebody whom the charter asks about it, proved by a credential of theirs.
pub fn verify_unfreeze(charter: &Charter, unfreeze: &Unfreeze, opened: &Opened<'_>) -> Result<(), FreezeError> {
    let governance = governance(charter, &unfreeze.cluster)?;
    let groups: Vec<&GroupId> = governance.unfreeze.leaves().into_iter().map(|leaf| &leaf.group).collect();
    has_say(charter, &unfreeze.person, &groups)?;
    proved(charter, &unfreeze.person, &unfreeze.credential, opened)
}

fn governance<'a>(charter: &'a Charter, cluster: &ClusterId) -> Result<&'a Governance, FreezeError> {
    if *cluster != charter.cluster {
        return Err(FreezeError::OtherCluster { found: cluster.clone(), expected: charter.cluster.clone() });
    }
    charter.governance.as_ref().ok_or(FreezeError::NoGovernance)
}

fn has_say(charter: &Charter, person: &PersonId, groups: &[&GroupId]) -> Result<(), FreezeError> {
    let member = |id: &&GroupId| charter.roster.groups.get(*id).is_some_and(|group| group.members.contains(person));
    if groups.iter().any(member) {
        return Ok(());
    }
    let names: BTreeSet<&str> = groups.iter().map(|id| id.as_str()).collect();
    let needed = format!("group {}", names.into_iter().collect::<Vec<_>>().join(" or "));
    Err(FreezeError::NoSay { person: person.clone(), needed })
}

fn proved(
    charter: &Charter,
    person: &PersonId,
    credential: &CredentialId,
    opened: &Opened<'_>,
) -> Result<(), FreezeError> {
    let unknown = || FreezeError::NotEnrolled { person: person.clone(), credential: credential.clone() };
    let enrolled = bare_key(&charter.roster, person, credential).ok_or_else(unknown)?;
    Ok(opened.verify(credential.as_str(), &enrolled.public_key)?)
}

fn bare_key<'a>(roster: &'a Roster, person: &PersonId, credential: &CredentialId) -> Option<&'a Credential> {
    let found = roster.people.get(person)?.credentials.get(credential)?;
    matches!(found.kind, CredentialKind::Key).then_some(found)
}

/// Who has said that a freeze may be lifted, each with the credentials by which they said so.
pub type Lifters = BTreeMap<PersonId, BTreeSet<CredentialId>>;

/// Whether these are enough people to lift a freeze, as the charter stands now: who has left, or whose credential has gone,
/// no longer counts.
pub fn enough_to_lift(charter: &Charter, lifters: &Lifters) -> bool {
    let Some(governance) = &charter.governance else { return false };
    let roster = &charter.roster;
    let fits = |person: &PersonId, credentials: &BTreeSet<CredentialId>, leaf: &Leaf| {
        let in_group = roster.groups.get(&leaf.group).is_some_and(|group| group.members.contains(person));
        let suits = |id: &CredentialId| {
            bare_key(roster, person, id).is_some_and(|one| !leaf.terminal || one.class == CredentialClass::Terminal)
        };
        in_group && credentials.iter().any(suits)
    };
    governance.unfreeze.ways().unwrap_or_default().iter().any(|way| {
        let need: Vec<usize> = way.iter().map(|staged| staged.leaf.count.into()).collect();
        let able = lifters.iter().map(|(person, credentials)| {
            let bits = way.iter().enumerate().filter(|(_, staged)| fits(person, credentials, &staged.leaf));
            bits.filter_map(|(leaf, _)| 1u32.checked_shl(u32::try_from(leaf).ok()?)).fold(0, |all, bit| all | bit)
        });
        let taken = assign(&able.collect::<Vec<_>>(), &need);
        !way.is_empty() && taken.iter().zip(&need).all(|(people, need)| people.len() >= *need)
    })
}

/// A live freeze.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// What it stops.
    pub scope: FreezeScope,
    /// Whose word it is.
    pub person: PersonId,
    /// Why.
    pub reason: String,
}

/// A signer's own freeze of a requester, of whom it has denied so many requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Automatic {
    /// Random: what an unfreeze names.
    pub id: IntentId,
    /// How many requests were denied.
    pub refused: u32,
    /// Within how many seconds of the signer's running time.
    pub within_secs: u64,
    /// Milliseconds since 1970 at which the signer made it.
    pub since_ms: u64,
}

/// Every freeze that a signer holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freezes {
    /// Those that stop something, by id.
    pub live: BTreeMap<IntentId, Live>,
    /// Those that were lifted.
    pub lifted: BTreeMap<FreezeScope, BTreeSet<IntentId>>,
    /// Its own.
    pub automatic: BTreeMap<RequesterId, Automatic>,
}

/// What touches one intent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touching<'a> {
    /// The freezes that stop it, by id.
    pub live: Vec<(IntentId, &'a Live)>,
    /// The signer's own freeze of whoever asks.
    pub automatic: Option<&'a Automatic>,
    /// What approvals of it are bound to: it changes when a freeze comes, and again when it goes.
    pub epoch: FreezeEpoch,
}

impl Freezes {
    /// Picks what touches an intent.
    pub fn touching(&self, charter: &Charter, intent: &Intent, effects: &Effects) -> Touching<'_> {
        let touched = |scope: &FreezeScope| touches(charter, intent, effects, scope);
        let live: Vec<(IntentId, &Live)> =
            self.live.iter().filter(|(_, one)| touched(&one.scope)).map(|(id, one)| (*id, one)).collect();
        let lifted = self.lifted.iter().filter(|(scope, _)| touched(scope)).flat_map(|(_, ids)| ids);
        let epoch = FreezeEpoch::with_lifted(live.iter().map(|(id, _)| *id), lifted.copied());
        Touching { live, automatic: self.automatic.get(&intent.requester), epoch }
    }
}

/// Whether a scope takes an intent in. In doubt it does: what nobody can read, bare digests and handed-over control may move
/// any asset of their chain to anybody.
pub fn touches(charter: &Charter, intent: &Intent, effects: &Effects, scope: &FreezeScope) -> bool {
    let any = |touched: &dyn Fn(&Effect) -> bool| effects.list.iter().any(touched);
    match scope {
        FreezeScope::Cluster => true,
        FreezeScope::Vault(vault) => {
            let of_key = charter.vaults.of_key(&intent.key_id).map(|vault| &vault.id);
            of_key == Some(vault) || intent.vault.as_ref() == Some(vault)
        }
        FreezeScope::Key(key) => intent.key_id == *key,
        FreezeScope::Requester(requester) => intent.requester == *requester,
        FreezeScope::Chain(chain) => effects.chain == *chain || any(&|effect| is_anywhere(effects, effect)),
        FreezeScope::Asset(asset) => {
            let here = effects.chain == *asset.chain();
            any(&|effect| is_anywhere(effects, effect) || (here && is_opaque(effect)) || moves(effect, asset))
        }
        FreezeScope::Destination(address) => any(&|effect| is_opaque(effect) || reaches(effect, address)),
    }
}

/// A digest says not even which chain it is for; nor do unread bytes of a key that is for no chain.
fn is_anywhere(effects: &Effects, effect: &Effect) -> bool {
    match effect {
        Effect::Raw { .. } => true,
        Effect::Unknown { .. } => effects.chain.is_offchain(),
        _ => false,
    }
}

/// Whoever signs it cannot say what it moves.
const fn is_opaque(effect: &Effect) -> bool {
    match effect {
        Effect::Unknown { .. }
        | Effect::Raw { .. }
        | Effect::AuthorityChange { .. }
        | Effect::TypedData { .. }
        | Effect::Deploy { .. } => true,
        Effect::Transfer { .. }
        | Effect::Fee { .. }
        | Effect::Allowance { .. }
        | Effect::Call { .. }
        | Effect::Message { .. } => false,
    }
}

fn moves(effect: &Effect, frozen: &Asset) -> bool {
    match effect {
        Effect::Transfer { asset, .. } | Effect::Fee { asset, .. } | Effect::Allowance { asset, .. } => {
            let contract = asset.contract();
            asset == frozen || (contract.is_some() && contract == frozen.contract() && asset.chain() == frozen.chain())
        }
        _ => false,
    }
}

fn reaches(effect: &Effect, address: &Address) -> bool {
    match effect {
        Effect::Transfer { to, .. } => to == address,
        Effect::Allowance { spender, .. } => spender == address,
        Effect::Call { contract, .. } => contract == address,
        _ => false,
    }
}
