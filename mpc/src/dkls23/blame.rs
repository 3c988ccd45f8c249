//! From the library's aborts to ours.

use std::collections::BTreeSet;

use dkls23::protocols::{Abort as LibAbort, AbortKind, AbortReason as Lib, PartyIndex as LibIndex};
use limen_wire::ids::PartyIndex;

use crate::blame::{Abort, AbortReason, Action, Blame};

/// Translates an abort of the library. A ban stays a ban, whatever its reason; what names nobody suspects all `others`.
pub(super) fn translate(abort: &LibAbort, others: &BTreeSet<PartyIndex>) -> Abort {
    if let AbortKind::BanCounterparty(party) = &abort.kind {
        return named(*party, others, Action::Ban, |from| AbortReason::Multiplication { from });
    }
    let replace = Action::Replace;
    match &abort.reason {
        Lib::SessionBindingMismatch { counterparty } => {
            // an honest party with a diverging set-up looks the same: never a ban
            named(*counterparty, others, Action::Retry, |from| AbortReason::SetupMismatch { from })
        }
        Lib::ProofVerificationFailed { counterparty } => {
            named(*counterparty, others, replace, |from| AbortReason::Proof { from, what: "discrete logarithm" })
        }
        Lib::CommitmentMismatch { counterparty }
        | Lib::ZeroShareDecommitFailed { counterparty }
        | Lib::ChainCodeCommitmentFailed { party: counterparty } => {
            named(*counterparty, others, replace, |from| AbortReason::Commitment { from })
        }
        Lib::MultiplicationVerificationFailed { counterparty, .. }
        | Lib::OtConsistencyCheckFailed { counterparty }
        | Lib::GammaUInconsistency { counterparty } => {
            named(*counterparty, others, replace, |from| AbortReason::Multiplication { from })
        }
        Lib::TrivialInstancePoint { counterparty } => {
            named(*counterparty, others, replace, |from| AbortReason::Malformed { from, what: "nonce point" })
        }
        Lib::PolynomialInconsistency | Lib::TrivialPublicKey | Lib::TrivialKeyShare => {
            Abort::new(Blame::suspects(others.iter().copied()), AbortReason::InconsistentShares)
        }
        Lib::SignatureVerificationFailed | Lib::ZeroDenominator => {
            Abort::new(Blame::suspects(others.iter().copied()), AbortReason::BadSignature)
        }
        // routing and state: this module sorts messages itself, so these are ours
        other => Abort::local(other.to_string()),
    }
}

fn named(
    party: LibIndex,
    others: &BTreeSet<PartyIndex>,
    action: Action,
    reason: impl Fn(PartyIndex) -> AbortReason,
) -> Abort {
    match PartyIndex::new(u16::from(party.as_u8())) {
        Ok(from) if others.contains(&from) => Abort::new(Blame::party(from, action), reason(from)),
        _ => Abort::local(format!("a check of our own contribution {party} failed")),
    }
}
