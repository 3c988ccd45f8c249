//! What a live freeze means for one intent.

use limen_policy::charter::Charter;
use limen_policy::freeze::{Freezes, Live, Touching};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{FreezeEpoch, IntentId};
use limen_wire::pb;

use super::Examined;

/// Freezes that one answer names.
const NAMED: usize = 8;

impl Examined {
    /// What of these freezes touches it.
    pub fn touching<'f>(&self, charter: &Charter, freezes: &'f Freezes) -> Touching<'f> {
        freezes.touching(charter, &self.intent, &self.decoded.effects)
    }

    /// The same under these freezes: approvals are bound to them.
    #[must_use]
    pub fn under(mut self, charter: &Charter, freezes: &Freezes) -> Self {
        self.freeze_epoch = self.touching(charter, freezes).epoch;
        self
    }

    /// What approvals of it are bound to.
    pub const fn freeze_epoch(&self) -> FreezeEpoch {
        self.freeze_epoch
    }
}

fn words((id, freeze): &(IntentId, &Live)) -> String {
    format!("freeze {id} of {} by {}: {}", freeze.scope, freeze.person, freeze.reason)
}

/// Refuses what a live freeze touches.
pub(super) fn check_freezes(charter: &Charter, examined: &Examined, freezes: &Freezes) -> Result<(), ApiError> {
    let touching = examined.touching(charter, freezes);
    if touching.live.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = touching.live.iter().take(NAMED).map(words).collect();
    Err(ApiError::new(Code::Frozen, named.join("; ")))
}

/// The live freezes that touch it, as things that have to be met first.
pub fn frozen(charter: &Charter, examined: &Examined, freezes: &Freezes) -> Vec<pb::RequirementStatus> {
    let touching = examined.touching(charter, freezes);
    let status = |one: &(IntentId, &Live)| pb::RequirementStatus {
        rule: format!("freeze {}", one.0),
        missing: words(one),
        ..pb::RequirementStatus::default()
    };
    touching.live.iter().take(NAMED).map(status).collect()
}
