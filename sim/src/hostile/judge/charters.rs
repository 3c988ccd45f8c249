//! Which version of the charter may be in force at a signer, and since when.

use std::collections::{BTreeMap, BTreeSet};

use super::{Judge, Rank, Release, Violation, broken};
use crate::hostile::plan::{Place, Plan};

/// What one signer was handed: times are its true running time in milliseconds.
#[derive(Debug, Default)]
struct Seen {
    /// Since when it could know a version that those have signed who have to.
    whole: BTreeMap<usize, u64>,
    /// Versions of those that it says it has taken.
    taken: BTreeSet<usize>,
    /// Versions that somebody with a say has vetoed.
    vetoed: BTreeSet<usize>,
    /// What is in force.
    in_force: usize,
    /// That and everything that it rests on, and what was in force before.
    line: BTreeSet<usize>,
    /// What should not have come into force.
    wrong: Option<String>,
}

/// What every signer was handed.
#[derive(Debug, Default)]
pub(super) struct Charters {
    seen: BTreeMap<u8, Seen>,
}

fn place(plan: &Plan, version: usize) -> &Place {
    &plan.versions[version].place
}

/// A version and everything that it rests on.
fn ancestors(plan: &Plan, version: usize) -> BTreeSet<usize> {
    let mut all = BTreeSet::from([version]);
    // A version's parents have lower numbers.
    for one in (0..=version).rev() {
        if all.contains(&one) {
            all.extend(&place(plan, one).parents);
        }
    }
    all
}

impl Seen {
    /// Whether somebody with a say, or a version in force here, has done away with it.
    fn is_void(&self, plan: &Plan, version: usize) -> bool {
        self.vetoed.contains(&version) || self.line.iter().any(|one| place(plan, *one).voids.contains(&version))
    }

    /// Versions that were taken and stand in nobody's line yet.
    fn open<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = usize> + 'a {
        self.taken.iter().copied().filter(|one| !self.line.contains(one) && !self.is_void(plan, *one))
    }

    /// Why a version may not come into force after what is.
    fn forbids(&self, plan: &Plan, version: usize, uptime: u64) -> Option<String> {
        let place = place(plan, version);
        let Some(since) = self.whole.get(&version) else {
            return Some("the quorum before it has not signed it".into());
        };
        if self.is_void(plan, version) {
            return Some("it is vetoed or void".into());
        }
        let binds = |parent: &usize| *parent == self.in_force || self.forbids(plan, *parent, uptime).is_none();
        if !place.parents.iter().any(binds) {
            return Some("nothing that it follows was in force".into());
        }
        let waits = place.waits_secs?;
        let waited = uptime - since;
        if waited < waits * 1000 {
            return Some(format!("it loosens, and has waited {waited} ms of {waits} s"));
        }
        let joined = ancestors(plan, version);
        let beside = |other: &usize| {
            let parents = &plan.versions[*other].place.parents;
            *other != version && !joined.contains(other) && parents.iter().any(|parent| place.parents.contains(parent))
        };
        self.open(plan).find(beside).map(|other| format!("it loosens, and its sibling {other} is signed too"))
    }
}

impl Judge {
    /// Whether a signer has been handed a version that is neither in force there nor what that rests on.
    pub(super) fn version_may_wait(&self, signer: u8) -> bool {
        let stands = |seen: &Seen, version: &usize| ancestors(&self.plan, seen.in_force).contains(version);
        self.charters.seen.get(&signer).is_some_and(|seen| !seen.whole.keys().all(|version| stands(seen, version)))
    }

    fn seen(&mut self, signer: u8) -> &mut Seen {
        self.charters.seen.entry(signer).or_insert_with(|| Seen { line: BTreeSet::from([0]), ..Seen::default() })
    }

    /// A signer was handed a version that those have signed who have to.
    pub(crate) fn version_shown(&mut self, signer: u8, version: usize, uptime: u64) {
        self.seen(signer).whole.entry(version).or_insert(uptime);
    }

    /// It says that it has taken it.
    pub(crate) fn version_taken(&mut self, signer: u8, version: usize) {
        self.seen(signer).taken.insert(version);
    }

    /// A signer was handed a veto by somebody with a say. What loosens nothing cannot be vetoed.
    pub(crate) fn version_vetoed(&mut self, signer: u8, version: usize) {
        let waits = place(&self.plan, version).waits_secs.is_some();
        let seen = self.seen(signer);
        if waits && !seen.line.contains(&version) {
            seen.vetoed.insert(version);
        }
    }

    /// Another version is in force at a signer.
    pub(crate) fn version_in_force(&mut self, signer: u8, version: usize, uptime: u64) {
        let (plan, old) = (self.plan.clone(), self.standings.is_put_back(signer));
        let seen = self.seen(signer);
        let why = if seen.line.contains(&version) {
            (!old).then(|| "it was in force before".to_owned())
        } else {
            seen.forbids(&plan, version, uptime)
        };
        if let Some(why) = why {
            seen.wrong.get_or_insert(format!("version {version} is in force at signer {signer}: {why}"));
        }
        seen.in_force = version;
        seen.line.extend(ancestors(&plan, version));
    }

    pub(super) fn judge_charter(&self, release: &Release) -> Result<(), Violation> {
        let (signer, version) = (release.signer, release.moment.version);
        let Some(seen) = self.charters.seen.get(&signer).filter(|_| self.plan.live.is_some()) else { return Ok(()) };
        if let Some(wrong) = &seen.wrong {
            return broken(Rank::Charter, wrong.clone());
        }
        for other in seen.open(&self.plan) {
            let place = place(&self.plan, other);
            let beside = place.parents.iter().any(|parent| seen.line.contains(parent));
            if place.waits_secs.is_none() && beside {
                let what =
                    format!("signer {signer} decides under version {version} and has taken {other}, which tightens");
                return broken(Rank::Charter, what);
            }
        }
        Ok(())
    }
}
