//! Who is there, and who does what: stand-ins step in by the plan's rule, never by anybody's choice on the day.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::{PersonId, RoleId};

use super::{Plan, Role};

/// Why a ceremony cannot begin with these people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttendanceError {
    /// Not in the plan.
    #[error("{0} is nobody in the plan")]
    Stranger(PersonId),
    /// Nobody for a role.
    #[error("nobody is there for role {role}: {} and who may stand in are absent, or have a role that conflicts with it", .holder)]
    Vacant {
        /// Which role.
        role: RoleId,
        /// Who holds it.
        holder: PersonId,
    },
    /// Too few of those whom the plan names first.
    #[error(
        "{found} of {holders} role holders are there: more than half are needed, so that no two casts hold one plan apart from each other"
    )]
    Half {
        /// How many are there.
        found: usize,
        /// How many there are.
        holders: usize,
    },
    /// Nothing to do.
    #[error("{0} holds no role and stands in for nobody who is absent: leave them out")]
    Idle(PersonId),
}

/// Who is there and does what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attendance {
    present: BTreeSet<PersonId>,
    acting: BTreeMap<RoleId, PersonId>,
}

impl Attendance {
    /// Everybody who holds a role.
    pub fn full(plan: &Plan) -> Result<Self, AttendanceError> {
        Self::of(plan, plan.roles.iter().map(|role| role.holder.clone()).collect())
    }

    /// Everybody who holds a role but these, with who stands in for them.
    pub fn without(plan: &Plan, absent: &BTreeSet<PersonId>) -> Result<Self, AttendanceError> {
        let available = plan.people.iter().map(|person| person.id.clone()).filter(|id| !absent.contains(id)).collect();
        let acting = assign(plan, &available)?;
        Self::of(plan, acting.into_values().collect())
    }

    /// Exactly these people. Fails unless every role has somebody, everybody has a role, and more than half of those who hold roles by the
    /// plan are there: any two casts of a plan have somebody in common, who signs only one record.
    pub fn of(plan: &Plan, present: BTreeSet<PersonId>) -> Result<Self, AttendanceError> {
        if let Some(stranger) = present.iter().find(|id| plan.person(id).is_none()) {
            return Err(AttendanceError::Stranger(stranger.clone()));
        }
        let acting = assign(plan, &present)?;
        if let Some(idle) = present.iter().find(|id| acting.values().all(|one| one != *id)) {
            return Err(AttendanceError::Idle(idle.clone()));
        }
        let holders: BTreeSet<&PersonId> = plan.roles.iter().map(|role| &role.holder).collect();
        let found = holders.iter().filter(|holder| present.contains(**holder)).count();
        if found.saturating_mul(2) <= holders.len() {
            return Err(AttendanceError::Half { found, holders: holders.len() });
        }
        Ok(Self { present, acting })
    }

    /// Who is there.
    pub const fn present(&self) -> &BTreeSet<PersonId> {
        &self.present
    }

    /// Who does it.
    pub fn acting(&self, role: &RoleId) -> Option<&PersonId> {
        self.acting.get(role)
    }

    /// What somebody does.
    pub fn roles_of<'a>(&'a self, person: &'a PersonId) -> impl Iterator<Item = &'a RoleId> {
        self.acting.iter().filter(move |(_, acting)| *acting == person).map(|(role, _)| role)
    }
}

/// Holders first, so that whom a stand-in would be in conflict with does not depend on the order of roles.
fn assign(plan: &Plan, available: &BTreeSet<PersonId>) -> Result<BTreeMap<RoleId, PersonId>, AttendanceError> {
    let mut acting: BTreeMap<RoleId, PersonId> = BTreeMap::new();
    let held = plan.roles.iter().filter(|role| available.contains(&role.holder));
    acting.extend(held.map(|role| (role.id.clone(), role.holder.clone())));
    for role in &plan.roles {
        if acting.contains_key(&role.id) {
            continue;
        }
        let fits = |person: &&PersonId| available.contains(*person) && !conflicted(plan, &acting, role, person);
        let stand_in = role.stand_ins.iter().find(fits).cloned();
        let vacant = || AttendanceError::Vacant { role: role.id.clone(), holder: role.holder.clone() };
        acting.insert(role.id.clone(), stand_in.ok_or_else(vacant)?);
    }
    Ok(acting)
}

/// Whether somebody already does what excludes this role.
fn conflicted(plan: &Plan, acting: &BTreeMap<RoleId, PersonId>, role: &Role, person: &PersonId) -> bool {
    let does = |other: &RoleId| *other != role.id && acting.get(other) == Some(person);
    plan.conflicts.iter().any(|set| set.contains(&role.id) && set.iter().any(does))
}
