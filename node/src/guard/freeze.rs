//! What a live freeze means for one intent.

use limen_policy::charter::Charter;
use limen_policy::freeze::{Automatic, Freezes, Live, Touching};
use limen_wire::error::{ApiError, Code};
use limen_wire::ids::{FreezeEpoch, IntentId};
use limen_wire::pb;

use super::Examined;
use super::state::state_code;

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

fn own_words(Automatic { id, refused, within_secs, since_ms }: &Automatic, examined: &Examined) -> String {
    let (requester, since) = (&examined.intent.requester, since_ms / 1000);
    format!(
        "automatic freeze {id} of requester:{requester} by this signer itself, since {since} s: the rules denied {refused} of \
         its requests within {within_secs} s"
    )
}

/// The freezes that touch it, as far as one answer names them: by name, with what is to be read of each.
fn named(charter: &Charter, examined: &Examined, freezes: &Freezes) -> Vec<(IntentId, String)> {
    let Touching { live, automatic, .. } = examined.touching(charter, freezes);
    let own = automatic.map(|own| (own.id, own_words(own, examined)));
    own.into_iter().chain(live.iter().map(|one| (one.0, words(one)))).take(NAMED).collect()
}

/// Refuses what a live freeze touches.
pub(super) fn check_freezes(charter: &Charter, examined: &Examined, freezes: &Freezes) -> Result<(), ApiError> {
    let named: Vec<String> = named(charter, examined, freezes).into_iter().map(|(_, words)| words).collect();
    if named.is_empty() { Ok(()) } else { Err(ApiError::new(Code::Frozen, named.join("; "))) }
}

/// The live freezes that touch it, and that its key is suspended, as things that have to be met first.
pub fn frozen(charter: &Charter, examined: &Examined, freezes: &Freezes) -> Vec<pb::RequirementStatus> {
    let status = |(id, missing): (IntentId, String)| pb::RequirementStatus {
        rule: format!("freeze {id}"),
        missing,
        ..pb::RequirementStatus::default()
    };
    let suspended = charter.check_key_state(&examined.intent.key_id, &examined.decoded.effects).err();
    let suspended = suspended.filter(|error| state_code(error) == Code::KeySuspended).map(|error| {
        let rule = format!("state of key {}", examined.intent.key_id);
        pb::RequirementStatus { rule, missing: error.to_string(), ..pb::RequirementStatus::default() }
    });
    named(charter, examined, freezes).into_iter().map(status).chain(suspended).collect()
}
