//! Freezes that signers make by themselves, as each of them lists them, and what people say about lifting them.

use limen_wire::ids::IntentId;

use super::Stage;
use crate::hostile::judge::Violation;
use crate::hostile::program::{Label, LiftOwn};

/// A freeze that a signer has made by itself.
struct Own {
    signer: u8,
    requester: usize,
    id: IntentId,
    /// The signer lists it no more.
    gone: bool,
}

/// All that there ever were, in their order.
#[derive(Default)]
pub(super) struct OwnFreezes {
    made: Vec<Own>,
    /// A signer has refused what nobody has frozen.
    reasonless: Option<Violation>,
}

impl Stage {
    /// A signer was shown a request: the judge hears whether it has noted it.
    pub(super) fn sighted(&mut self, signer: u8, request: Label) {
        if self.plan.automatic.is_none() || signer > self.plan.honest() {
            return;
        }
        let Some(id) = self.asked.get(&request).map(|asked| asked.id) else { return };
        let Some(moment) = self.moment(signer) else { return };
        if self.signer(signer).is_some_and(|one| one.holds(&id)) {
            self.judge.sighted(signer, request, moment);
        }
    }

    /// A signer refuses a request because of a freeze.
    pub(super) fn says_frozen(&mut self, signer: u8, request: Label) {
        let Some(requester) = self.judge.requester(request) else { return };
        if self.own.made.iter().any(|own| !own.gone && (own.signer, own.requester) == (signer, requester)) {
            self.count("own freeze: refuses");
        } else if let Err(violation) = self.judge.says_frozen(signer, request)
            && self.flaw.is_none()
        {
            self.own.reasonless.get_or_insert(violation);
        }
    }

    /// Tells the judge whom signers have frozen by themselves now.
    pub(super) fn look_at_own_freezes(&mut self) -> Result<(), Violation> {
        if let Some(violation) = self.own.reasonless.take() {
            return Err(violation);
        }
        if self.plan.automatic.is_none() {
            return Ok(());
        }
        for signer in 1..=self.plan.honest() {
            let Some(moment) = self.moment(signer) else { continue };
            self.judge.runs_under(signer, moment.version);
            let Some(listed) = self.signer(signer).and_then(|one| one.own_freezes()) else { continue };
            for own in self.own.made.iter_mut().filter(|own| own.signer == signer && !own.gone) {
                if listed.iter().all(|(_, id)| *id != own.id) {
                    own.gone = true;
                    *self.counts.entry("own freeze: lifted").or_default() += 1;
                    self.trace.push(format!("    signer {signer} has lifted its own freeze of r{}", own.requester));
                    self.judge.thawed(signer, own.requester);
                }
            }
            for (name, id) in listed {
                if self.own.made.iter().any(|own| own.id == id) {
                    continue;
                }
                let requester = name.as_str().trim_start_matches('r').parse().unwrap_or(usize::MAX);
                self.own.made.push(Own { signer, requester, id, gone: false });
                self.count("own freeze: made");
                self.note(format!("    signer {signer} has frozen {name} by itself"));
                let reasonless = self.judge.froze(signer, requester, id, moment);
                if self.flaw.is_none() {
                    reasonless?;
                }
            }
        }
        Ok(())
    }

    /// Somebody's word is handed in that what signers have frozen by themselves may be lifted: the last freeze of each, or the
    /// one before.
    pub(super) fn lift_own(&mut self, lift: LiftOwn) {
        let LiftOwn { signer, requester, person, old, forged } = lift;
        let mut ids: Vec<IntentId> = Vec::new();
        for maker in 1..=self.plan.honest() {
            let own = self.own.made.iter().rev().filter(|own| (own.signer, own.requester) == (maker, requester));
            ids.extend(own.map(|own| own.id).nth(old.into()));
        }
        self.lift_these(signer, person, (Vec::new(), ids), forged);
    }
}
