//! Whom signers had to freeze by themselves, whom they might, and until when.

use std::collections::{BTreeMap, BTreeSet};

use limen_wire::ids::IntentId;

use super::{Judge, Moment, Rank, Release, Violation, broken};
use crate::hostile::plan::{Automatic, BOARD};
use crate::hostile::program::{Draft, Label};

/// A request that the rules deny, when a signer noted it.
#[derive(Debug, Clone, Copy)]
struct Denial {
    /// How long the signer had truly been running, in milliseconds.
    uptime: u64,
    /// How often it had been started.
    boot: u32,
    /// Nothing speaks against counting it: no version of the charter was waiting.
    certain: bool,
}

/// What one signer holds against one requester.
#[derive(Debug, Default)]
struct Against {
    denials: Vec<Denial>,
    /// It has to have frozen the requester, and has not said so yet.
    due: bool,
    /// It says that it has, and not yet that it has lifted that.
    listed: bool,
    /// Every freeze that it has ever made, and after how long a time of running.
    made: Vec<(IntentId, u64)>,
}

/// All signers' own freezes. Times are true running time in milliseconds.
#[derive(Debug, Default)]
pub(super) struct OwnFreezes {
    against: BTreeMap<(u8, usize), Against>,
    sighted: BTreeSet<(u8, Label)>,
    lifted: BTreeMap<(u8, IntentId), BTreeMap<usize, u64>>,
    boots: BTreeMap<u8, u32>,
    versions: BTreeMap<u8, usize>,
}

impl OwnFreezes {
    pub(super) fn boots(&mut self, signer: u8) {
        *self.boots.entry(signer).or_default() += 1;
    }

    fn boot(&self, signer: u8) -> u32 {
        self.boots.get(&signer).copied().unwrap_or(0)
    }

    /// Whether both of the board have said that it may be lifted, and the delay has run since.
    fn is_over(&self, signer: u8, (id, since): &(IntentId, u64), delay_ms: u64, uptime: u64) -> bool {
        let words = self.lifted.get(&(signer, *id));
        let all = BOARD.map(|person| words.and_then(|words| words.get(&person)));
        let [Some(one), Some(other)] = all else { return false };
        uptime >= *one.max(other).max(since) + delay_ms
    }
}

impl Against {
    /// How many denied requests a signer must count at least: those that truly came within the time. A crash makes its own time
    /// shorter, never longer.
    fn at_least(&self, within_ms: u64, uptime: u64) -> usize {
        self.denials.iter().filter(|one| one.certain && uptime - one.uptime < within_ms).count()
    }

    /// How many it may count at most: since it has been started it knows the time exactly.
    fn at_most(&self, within_ms: u64, uptime: u64, boot: u32) -> usize {
        self.denials.iter().filter(|one| one.boot < boot || uptime - one.uptime < within_ms).count()
    }
}

impl Judge {
    /// A signer that may freeze by itself holds a request.
    pub(crate) fn sighted(&mut self, signer: u8, request: Label, moment: Moment) {
        let Some(Automatic { refused, within_secs }) = self.plan.automatic else { return };
        if !self.own.sighted.insert((signer, request)) || self.allows(request, moment.version) != Some(false) {
            return;
        }
        let Some(requester) = self.requester(request) else { return };
        let (boot, certain) = (self.own.boot(signer), !self.version_may_wait(signer));
        let against = self.own.against.entry((signer, requester)).or_default();
        if against.listed {
            return;
        }
        against.denials.push(Denial { uptime: moment.uptime, boot, certain });
        against.due |= against.at_least(within_secs * 1000, moment.uptime) >= refused as usize;
    }

    /// A signer runs under this version of the charter: under another one counting begins anew.
    pub(crate) fn runs_under(&mut self, signer: u8, version: usize) {
        if self.own.versions.insert(signer, version).unwrap_or(0) != version {
            let of = self.own.against.iter_mut().filter(|((counts, _), _)| *counts == signer);
            of.for_each(|(_, against)| against.denials.clear());
        }
    }

    /// A signer says that it has frozen a requester by itself. Was there a reason?
    pub(crate) fn froze(
        &mut self,
        signer: u8,
        requester: usize,
        id: IntentId,
        moment: Moment,
    ) -> Result<(), Violation> {
        let Some(Automatic { refused, within_secs }) = self.plan.automatic else {
            return broken(Rank::Reasonless, format!("signer {signer} freezes by itself, and nobody wants that"));
        };
        let (boot, old) = (self.own.boot(signer), self.standings.is_put_back(signer));
        let against = self.own.against.entry((signer, requester)).or_default();
        let counted = against.at_most(within_secs * 1000, moment.uptime, boot);
        against.denials.clear();
        (against.due, against.listed) = (false, true);
        against.made.push((id, moment.uptime));
        // An old disk counts what it had counted; nothing is signed with it any more.
        if counted < refused as usize && !old {
            let what = format!("signer {signer} has frozen r{requester} after {counted} denied requests of {refused}");
            return broken(Rank::Reasonless, what);
        }
        Ok(())
    }

    /// A signer says that it has lifted it: counting begins from nothing.
    pub(crate) fn thawed(&mut self, signer: u8, requester: usize) {
        let against = self.own.against.entry((signer, requester)).or_default();
        against.listed = false;
    }

    /// A signer was handed the word of somebody of the board that this may be lifted.
    pub(crate) fn own_lifted(&mut self, signer: u8, id: IntentId, person: usize, uptime: u64) {
        self.own.lifted.entry((signer, id)).or_default().entry(person).or_insert(uptime);
    }

    /// No honest participant may have frozen the requester by itself, unless that was lifted.
    pub(super) fn judge_own_freezes(&self, release: &Release, draft: &Draft) -> Result<(), Violation> {
        let (signer, uptime) = (release.signer, release.moment.uptime);
        let Some(against) = self.own.against.get(&(signer, draft.requester)) else { return Ok(()) };
        let delay_ms = self.plan.lift_delay_secs * 1000;
        let lives = |made: &(IntentId, u64)| !self.own.is_over(signer, made, delay_ms, uptime);
        if against.due || against.made.iter().any(lives) {
            return broken(Rank::Frozen, format!("signer {signer} has to have frozen r{} by itself", draft.requester));
        }
        Ok(())
    }

    /// A signer refuses a request because of a freeze that is none of its own: has it ever been handed one?
    pub(crate) fn says_frozen(&self, signer: u8, request: Label) -> Result<(), Violation> {
        let Some(requester) = self.requester(request) else { return Ok(()) };
        // What an old disk stops may have been lifted since.
        if self.freezes.may_stop(signer, requester) || self.standings.is_put_back(signer) {
            return Ok(());
        }
        broken(Rank::Reasonless, format!("signer {signer} stops i{request}, and nobody has frozen it"))
    }
}
