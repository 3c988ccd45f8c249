//! Peers that failed a consistency check in this boot: no further protocol step runs with them, from the very next one.
//!
//! A failed check of the oblivious-transfer extension tells the peer one bit of set-up that all sessions with it share
//! (trust rests on at most one such bit). The durable ban is read when a session is admitted, which is too late for the
//! sessions that already run: so steps with a peer take turns, and each looks here first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limen_mpc::{Abort, Action, Blame};
use limen_wire::ids::{NodeId, PartyIndex};

/// Who is quarantined, and whose turn it is.
#[derive(Debug, Default)]
pub struct Quarantine {
    held: Mutex<BTreeSet<NodeId>>,
    turns: Mutex<BTreeMap<NodeId, Arc<Mutex<()>>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Quarantine {
    /// Runs a step of a session with these members, unless one of them is quarantined: then says which.
    ///
    /// `judge` names the party that the step's outcome bans. With `in_turn`, steps with a common member never run at the
    /// same time, so that no second check of a peer is under way when the first one fails.
    pub fn step<T>(
        &self,
        members: &[(NodeId, PartyIndex)],
        in_turn: bool,
        step: impl FnOnce() -> T,
        judge: impl FnOnce(&T) -> Option<PartyIndex>,
    ) -> Result<T, PartyIndex> {
        let turns: Vec<_> = if in_turn { self.turns(members) } else { Vec::new() };
        let _turns: Vec<_> = turns.iter().map(|turn| lock(turn)).collect();
        if let Some((_, party)) = members.iter().find(|(node, _)| lock(&self.held).contains(node)) {
            return Err(*party);
        }
        let outcome = step();
        if let Some(party) = judge(&outcome)
            && let Some((node, _)) = members.iter().find(|(_, index)| *index == party)
        {
            lock(&self.held).insert(node.clone());
        }
        Ok(outcome)
    }

    /// In the order of names: two sessions never wait for each other.
    fn turns(&self, members: &[(NodeId, PartyIndex)]) -> Vec<Arc<Mutex<()>>> {
        let names: BTreeSet<&NodeId> = members.iter().map(|(node, _)| node).collect();
        let mut turns = lock(&self.turns);
        names.into_iter().map(|node| Arc::clone(turns.entry(node.clone()).or_default())).collect()
    }
}

/// The party that this abort bans.
pub(super) fn banned_by(abort: &Abort) -> Option<PartyIndex> {
    match &abort.blame {
        Blame::Party { party, action: Action::Ban } => Some(*party),
        Blame::Party { .. } | Blame::Nobody | Blame::Suspects(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn member(index: u16) -> (NodeId, PartyIndex) {
        (NodeId::new(format!("signer-{index}")).unwrap(), PartyIndex::new(index).unwrap())
    }

    #[test]
    fn of_many_parallel_checks_only_the_first_failure_runs() {
        let quarantine = Arc::new(Quarantine::default());
        let ran = Arc::new(AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..64 {
                let (quarantine, ran) = (Arc::clone(&quarantine), Arc::clone(&ran));
                scope.spawn(move || {
                    let failing = || ran.fetch_add(1, Ordering::SeqCst);
                    let _ = quarantine.step(&[member(2)], true, failing, |_| Some(member(2).1));
                });
            }
        });
        assert_eq!(ran.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn others_go_on() {
        let quarantine = Quarantine::default();
        quarantine.step(&[member(2), member(3)], true, || (), |()| Some(member(2).1)).unwrap();
        assert_eq!(quarantine.step(&[member(2)], true, || (), |()| None), Err(member(2).1));
        assert_eq!(quarantine.step(&[member(3), member(2)], false, || (), |()| None), Err(member(2).1));
        assert_eq!(quarantine.step(&[member(3)], true, || (), |()| None), Ok(()));
    }
}
