//! How charters follow one another: who signed a version, what it may change, when it binds, and what happens when two
//! follow the same one.
//!
//! A version names its parents by hash and is signed by the quorum that each of them asks for. One that only tightens
//! binds at once; one that loosens waits out its parents' delay, and every delay that it gives up; one that does both is
//! refused, because it can be written as two (docs/adr/0008-charter-versions.md). The signatures are approvals whose
//! subject is the version instead of an intent; a rejection of it is a veto.

mod ages;
mod delays;
mod lineage;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use limen_wire::approval::{SignedApproval, Verdict};
use limen_wire::ids::{
    CharterHash, ClusterId, CommitteeHash, FreezeEpoch, IntentId, KeyId, LedgerId, NodeId, PersonId, SliceHash,
    tagged_hash,
};
use limen_wire::keys::PublicKey;

use crate::approval::{ApprovalError, Facts, Question, Tally, Verified, verify};
use crate::charter::governance::Governance;
use crate::charter::key_state::forbidden_step;
use crate::charter::{Charter, Node};
use crate::diff::{Direction, diff};
use crate::ledger::Committee;

pub use ages::{Ages, AgesAt};
pub use lineage::{Entry, Lineage, MAX_OPEN, Outlook, State, Waiting};

/// Version of the text form that approvers read.
const TEXT_VERSION: u32 = 1;
/// Changes named in a refusal.
const SHOWN: usize = 3;

/// Why a version does not follow, or a veto does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// For another cluster.
    #[error("the version is for cluster {found}, this is {expected}")]
    OtherCluster {
        /// Whose it is.
        found: ClusterId,
        /// Which this is.
        expected: ClusterId,
    },
    /// A charter without `[governance]` has no successor and follows none.
    #[error("charter {0} does not say how it changes ([governance]), so nothing follows it and it follows nothing")]
    NoGovernance(CharterHash),
    /// Not the parents that it names.
    #[error("the version follows {}, which is not known here: hand in what comes before it first", listed(.0))]
    UnknownParents(Vec<CharterHash>),
    /// Neither one more than its highest parent.
    #[error("the version has number {found}; after its parents it must be {expected}")]
    Number {
        /// Its number.
        found: u64,
        /// What it must be.
        expected: u64,
    },
    /// One is for development and the other is not.
    #[error(
        "a development charter and one that came out of a genesis do not follow each other: `danger_development` would open or close \
         doors that no quorum decides about"
    )]
    Development,
    /// The machines change.
    #[error("the list of signer nodes changes: that takes a ceremony, not a version of the charter")]
    Nodes,
    /// A signer gets another identity, and what became of the one before is not said.
    #[error(
        "{node} gets another identity: name the one before, {before}, under [[former_identities]], with the statements that it has signed \
         and that go on (`limen-node former-identity` writes both)"
    )]
    Identity {
        /// Whose.
        node: NodeId,
        /// What it was.
        before: Box<PublicKey>,
    },
    /// What a ledger has counted would be forgotten.
    #[error(
        "ledger {ledger} would begin from nothing: it stays in the charter, and if its members, keys or numbers change it says \
         follows = \"{before}\""
    )]
    Ledger {
        /// Which.
        ledger: LedgerId,
        /// Who keeps it by a parent.
        before: CommitteeHash,
    },
    /// A limit would count in another unit.
    #[error(
        "{limit} would count in another unit than what it has counted until now: give a limit of another asset, group or \
         currency another id"
    )]
    Unit {
        /// Which limit.
        limit: String,
    },
    /// It tightens and loosens.
    #[error(
        "the version loosens ({}) and tightens ({}): write two, the tightening one first, which binds at once",
        .loosens.join("; "), .tightens.join("; ")
    )]
    Mixed {
        /// Some changes that loosen.
        loosens: Vec<String>,
        /// Some that tighten.
        tightens: Vec<String>,
    },
    /// A key would come back, or end out of turn.
    #[error("key {key} {what}")]
    KeyState {
        /// Which key.
        key: KeyId,
        /// What is wrong with its next state.
        what: &'static str,
    },
    /// Not enough signatures.
    #[error("the quorum of charter {parent} has not signed: {missing}")]
    Quorum {
        /// Whose quorum.
        parent: CharterHash,
        /// What is missing, in words.
        missing: String,
    },
    /// A signature that does not count.
    #[error("a signature does not count: {0}")]
    Approval(#[from] ApprovalError),
    /// Not a rejection.
    #[error("only a rejection vetoes a version")]
    NoVeto,
    /// Somebody without a say.
    #[error("{0} is no guardian and has no part in the quorum, so cannot veto the version")]
    NoSay(PersonId),
    /// Too late, or not known.
    #[error("version {0} is in force already: what undoes it is another version")]
    InForce(CharterHash),
    /// A veto of what loosens nothing.
    #[error(
        "version {0} loosens nothing, so it waits for nobody and cannot be vetoed: what undoes it is another version"
    )]
    Tightens(CharterHash),
    /// More than are kept.
    #[error("{MAX_OPEN} signed versions lie here that are not in force: void some by a version that is adopted")]
    TooMany,
}

fn listed(hashes: &[CharterHash]) -> String {
    hashes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// When a version binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Step {
    /// It loosens nothing.
    AtOnce,
    /// It loosens something.
    After {
        /// The longest delay of its parents, and of what it gives up of theirs, in seconds of a signer's running time since
        /// it first held the signed version.
        secs: u64,
    },
}

/// What approvals of a version are about, in the place of an intent's id: [`tagged_hash`] with domain
/// `limen charter version v1` over cluster and hash.
pub fn subject(cluster: &ClusterId, version: CharterHash) -> IntentId {
    IntentId::new(tagged_hash("limen charter version v1", [cluster.as_str().as_bytes(), version.as_bytes()]))
}

/// What approvals of a version must hold for: its hash stands for the effects, its parents for the slice of the charter.
pub fn facts(version: &Charter) -> Facts {
    let parents = version.governance.iter().flat_map(|governance| &governance.parents);
    Facts {
        cluster: version.cluster.clone(),
        intent_id: subject(&version.cluster, version.hash()),
        effects_digest: *version.hash().as_bytes(),
        decoder_version: TEXT_VERSION,
        slice: SliceHash::new(tagged_hash("limen charter parents v1", parents.map(|hash| hash.as_bytes().as_slice()))),
        freeze_epoch: FreezeEpoch::NONE,
    }
}

/// Judges a version against the charters that it follows: may it, and when does it bind?
///
/// Approvals have no age here: what a quorum has signed stays signed, and is undone by a veto or by a version that voids it.
pub fn judge(parents: &[&Charter], version: &Charter, approvals: &[SignedApproval]) -> Result<Step, SuccessionError> {
    let step = follows(parents, version)?;
    for parent in parents {
        check_quorum(parent, version, approvals)?;
    }
    Ok(step)
}

/// The part of [`judge`] that needs no signatures: for whoever writes a version.
pub fn follows(parents: &[&Charter], version: &Charter) -> Result<Step, SuccessionError> {
    let governance = governance(version)?;
    let named: BTreeSet<_> = governance.parents.iter().copied().collect();
    let given: BTreeSet<_> = parents.iter().map(|parent| parent.hash()).collect();
    if named.is_empty() || named != given {
        return Err(SuccessionError::UnknownParents(governance.parents.clone()));
    }
    let mut step = Step::AtOnce;
    let mut highest = 0;
    for parent in parents {
        let before = self::governance(parent)?;
        highest = highest.max(before.number);
        if loosens(parent, version)? {
            let delay = before.loosening_delay_secs.max(delays::given_up(parent, version));
            let secs = match step {
                Step::AtOnce => delay,
                Step::After { secs } => secs.max(delay),
            };
            step = Step::After { secs };
        }
    }
    let expected = highest.saturating_add(1);
    if governance.number != expected {
        return Err(SuccessionError::Number { found: governance.number, expected });
    }
    ledgers_go_on(parents, version)?;
    units_stay(parents, version)?;
    key_states_go_on(parents, version)?;
    Ok(step)
}

/// What signers and ledgers have counted under a limit's name is in its unit.
fn units_stay(parents: &[&Charter], version: &Charter) -> Result<(), SuccessionError> {
    for before in parents.iter().flat_map(|parent| parent.limits.values()) {
        let Some(after) = version.limits.get(&before.id) else { continue };
        let same = before.currency == after.currency
            && (before.currency.is_some() || before.assets.is_same_unit(&after.assets));
        if !same {
            return Err(SuccessionError::Unit { limit: after.title() });
        }
    }
    Ok(())
}

/// No key comes back that must not, and none is destroyed that was in use.
fn key_states_go_on(parents: &[&Charter], version: &Charter) -> Result<(), SuccessionError> {
    let keys = parents.iter().copied().chain([version]).flat_map(|charter| charter.key_marks.keys());
    for key in keys {
        let before: Vec<_> = parents.iter().map(|parent| parent.key_state(key)).collect();
        if let Some(what) = forbidden_step(&before, version.key_state(key)) {
            return Err(SuccessionError::KeyState { key: key.clone(), what });
        }
    }
    Ok(())
}

/// Every ledger of a parent is kept by the same committee, or by one that follows that of a parent.
fn ledgers_go_on(parents: &[&Charter], version: &Charter) -> Result<(), SuccessionError> {
    for (id, before) in parents.iter().flat_map(|parent| &parent.ledgers) {
        let kept =
            |hash: CommitteeHash| parents.iter().any(|one| one.ledgers.get(id).is_some_and(|c| c.hash() == hash));
        let goes_on = |next: &Arc<Committee>| kept(next.hash()) || next.predecessor().is_some_and(kept);
        if !version.ledgers.get(id).is_some_and(goes_on) {
            return Err(SuccessionError::Ledger { ledger: id.clone(), before: before.hash() });
        }
    }
    Ok(())
}

fn governance(charter: &Charter) -> Result<&Governance, SuccessionError> {
    charter.governance.as_ref().ok_or_else(|| SuccessionError::NoGovernance(charter.hash()))
}

/// Whether it loosens anything; refuses what does both, and what no version may change.
fn loosens(parent: &Charter, version: &Charter) -> Result<bool, SuccessionError> {
    if parent.cluster != version.cluster {
        let (found, expected) = (version.cluster.clone(), parent.cluster.clone());
        return Err(SuccessionError::OtherCluster { found, expected });
    }
    if parent.is_development() != version.is_development() {
        return Err(SuccessionError::Development);
    }
    let names = |charter: &Charter| -> Vec<_> { charter.nodes.iter().map(|node| node.id.clone()).collect() };
    if names(parent) != names(version) {
        return Err(SuccessionError::Nodes);
    }
    identities_go_on(parent, version)?;
    let changes = diff(parent, version);
    let shown = |direction| -> Vec<String> {
        let all = changes.iter().filter(|change| change.direction == direction);
        all.take(SHOWN).map(|change| change.sentence.clone()).collect()
    };
    let (loosens, tightens) = (shown(Direction::Loosens), shown(Direction::Tightens));
    if !loosens.is_empty() && !tightens.is_empty() {
        return Err(SuccessionError::Mixed { loosens, tightens });
    }
    Ok(!loosens.is_empty())
}

/// No signer's identity goes without being named as what it was: a certificate stays one, and the key does not come back.
fn identities_go_on(parent: &Charter, version: &Charter) -> Result<(), SuccessionError> {
    for Node { id, public_key: before, .. } in &parent.nodes {
        let is_former = || version.former_identities.iter().any(|one| one.node == *id && one.public_key == *before);
        if version.node_key(id) != Some(*before) && !is_former() {
            return Err(SuccessionError::Identity { node: id.clone(), before: Box::new(*before) });
        }
    }
    Ok(())
}

/// Whether what the people signed meets the parent's quorum. A signature that does not verify under this parent does not
/// count, and is named if it would have been needed.
fn check_quorum(parent: &Charter, version: &Charter, approvals: &[SignedApproval]) -> Result<(), SuccessionError> {
    let (facts, nobody) = (facts(version), BTreeSet::new());
    let mut spoiled = None;
    let verified: Vec<Verified> = approvals
        .iter()
        .filter_map(|signed| verify(signed, &parent.roster, &facts, 0).map_err(|error| spoiled = Some(error)).ok())
        .collect();
    let formula = &governance(parent)?.quorum;
    let question = Question { formula, roster: &parent.roster, excluded: &nobody, facts: &facts, now_secs: 0 };
    let missing = match question.tally(&verified) {
        Tally::Met { .. } => return Ok(()),
        Tally::Wanting { missing } => match spoiled {
            Some(error) => format!("{missing}, and {error}"),
            None => missing.to_string(),
        },
        Tally::Rejected { by, reason } => format!("{by} rejected it: {reason}"),
        Tally::TooMany { found } => format!("{found} approvals are more than are counted"),
    };
    Err(SuccessionError::Quorum { parent: parent.hash(), missing })
}

/// Checks a veto: a rejection of the version by a guardian of one of these charters, or by somebody of that charter's quorum.
/// They are its parents, and what stood before those a short while ago ([`Lineage::heard`]).
pub fn check_veto(heard: &[&Charter], version: &Charter, signed: &SignedApproval) -> Result<PersonId, SuccessionError> {
    if signed.approval.verdict != Verdict::Reject {
        return Err(SuccessionError::NoVeto);
    }
    let facts = facts(version);
    let person = &signed.approval.person;
    let mut reason = SuccessionError::NoSay(person.clone());
    for parent in heard {
        let governance = governance(parent)?;
        let leaves = governance.quorum.leaves();
        let mut groups = leaves.iter().map(|leaf| &leaf.group).chain([&governance.guardians]);
        let in_group = |group| parent.roster.groups.get(group).is_some_and(|group| group.members.contains(person));
        match verify(signed, &parent.roster, &facts, 0) {
            Ok(_) if groups.any(in_group) => return Ok(person.clone()),
            Ok(_) => {}
            Err(error) => reason = error.into(),
        }
    }
    Err(reason)
}
