//! Peers that failed a consistency check in this boot: no further protocol step runs with them, from the very next one.
//!
//! A failed check of the oblivious-transfer extension tells the peer one bit of set-up that all sessions with it share
//! (trust rests on at most one such bit). The durable ban is read when a session is admitted, which is too late for the
//! sessions that already run: so steps with a peer take turns, and each looks here first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limen_mpc::{Abort, Action, Blame};
use limen_wire::ids::{NodeId, PartyIndex, SessionId};

use crate::guard::Lifted;

/// Who is quarantined, and whose turn it is.
#[derive(Debug, Default)]
pub struct Quarantine {
    /// By peer, the sessions in which it failed: as lifted bans are named.
    held: Mutex<BTreeMap<NodeId, BTreeSet<SessionId>>>,
    turns: Mutex<BTreeMap<(NodeId, SetUp), Turn>>,
}

/// Which set-up the steps of a session work with: a check that fails tells something of that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SetUp {
    /// One that signs.
    InUse,
    /// One that the session makes. Its steps take long, and those of the set-up in use do not wait for them.
    New,
}

type Turn = Arc<Mutex<()>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Quarantine {
    /// Runs a step of a session with these members, unless one of them is quarantined for anything that was not lifted when the session
    /// was permitted: then says which.
    ///
    /// `judge` names the party that the step's outcome bans. With a set-up to go in turn for, steps of such with a common member never
    /// run at the same time, so that no second check of a peer is under way when the first one fails.
    pub fn step<T>(
        &self,
        (session, members): (&SessionId, &[(NodeId, PartyIndex)]),
        lifted: &Lifted,
        in_turn: Option<SetUp>,
        step: impl FnOnce() -> T,
        judge: impl FnOnce(&T) -> Option<PartyIndex>,
    ) -> Result<T, PartyIndex> {
        let turns = in_turn.map_or_else(Vec::new, |set_up| self.turns(members, set_up));
        let _turns: Vec<_> = turns.iter().map(|turn| lock(turn)).collect();
        if let Some((_, party)) = members.iter().find(|(node, _)| self.holds(node, lifted)) {
            return Err(*party);
        }
        let outcome = step();
        if let Some(party) = judge(&outcome)
            && let Some((node, _)) = members.iter().find(|(_, index)| *index == party)
        {
            lock(&self.held).entry(node.clone()).or_default().insert(*session);
        }
        Ok(outcome)
    }

    fn holds(&self, node: &NodeId, lifted: &Lifted) -> bool {
        lock(&self.held).get(node).is_some_and(|failed| !failed.is_subset(lifted))
    }

    /// In the order of names: two sessions never wait for each other.
    fn turns(&self, members: &[(NodeId, PartyIndex)], set_up: SetUp) -> Vec<Turn> {
        let names: BTreeSet<&NodeId> = members.iter().map(|(node, _)| node).collect();
        let mut turns = lock(&self.turns);
        names.into_iter().map(|node| Arc::clone(turns.entry((node.clone(), set_up)).or_default())).collect()
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

    fn session(byte: u8) -> SessionId {
        SessionId::new([byte; 32])
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
                    let _ = quarantine.step(
                        (&session(1), &[member(2)]),
                        &Lifted::new(),
                        Some(SetUp::InUse),
                        failing,
                        |_| Some(member(2).1),
                    );
                });
            }
        });
        assert_eq!(ran.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn others_go_on() {
        let (quarantine, none) = (Quarantine::default(), Lifted::new());
        let with = |members: &[(NodeId, PartyIndex)], in_turn, bans: Option<PartyIndex>| {
            quarantine.step((&session(1), members), &none, in_turn, || (), |()| bans)
        };
        with(&[member(2), member(3)], Some(SetUp::InUse), Some(member(2).1)).unwrap();
        assert_eq!(with(&[member(2)], Some(SetUp::InUse), None), Err(member(2).1));
        assert_eq!(with(&[member(3), member(2)], None, None), Err(member(2).1));
        assert_eq!(with(&[member(3)], Some(SetUp::InUse), None), Ok(()));
    }

    #[test]
    fn whoever_signs_waits_for_no_making_and_sees_its_end() {
        let (quarantine, none) = (Quarantine::default(), Lifted::new());
        let members = [member(2)];
        let sign = || quarantine.step((&session(2), &members), &none, Some(SetUp::InUse), || (), |()| None);
        let meanwhile = quarantine.step((&session(1), &members), &none, Some(SetUp::New), sign, |_| Some(member(2).1));
        assert_eq!(meanwhile, Ok(Ok(())));
        assert_eq!(sign(), Err(member(2).1));
    }

    #[test]
    fn what_was_lifted_holds_nobody_up_and_what_comes_after_does() {
        let quarantine = Quarantine::default();
        let (members, bans) = ([member(2)], |()| Some(member(2).1));
        let lifted = Lifted::from([session(1)]);
        quarantine.step((&session(1), &members), &Lifted::new(), Some(SetUp::InUse), || (), |()| bans(())).unwrap();
        assert_eq!(quarantine.step((&session(2), &members), &lifted, Some(SetUp::InUse), || (), |()| None), Ok(()));
        assert_eq!(
            quarantine.step((&session(3), &members), &Lifted::new(), Some(SetUp::InUse), || (), |()| None),
            Err(member(2).1)
        );
        quarantine.step((&session(4), &members), &lifted, Some(SetUp::InUse), || (), |()| bans(())).unwrap();
        assert_eq!(
            quarantine.step((&session(5), &members), &lifted, Some(SetUp::InUse), || (), |()| None),
            Err(member(2).1)
        );
    }
}
