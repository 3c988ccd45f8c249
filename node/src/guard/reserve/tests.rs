//! Shares of limits and the keys that have none.

use limen_wire::effects::Amount;
use limen_wire::ids::{CommitteeSize, Protocol};

use super::*;
use crate::guard::tests::{charter, examined, facts, transfer};

const NOW: Now = Now { wall: Millis(1_000_000_000), uptime: Uptime(5_000) };

/// The same request by a key that lives in this signer's token.
fn held() -> Examined {
    let mut examined = examined(&transfer(5, "a"));
    let mut facts = facts();
    (facts.public.protocol, facts.public.size) = (Protocol::Hsm, CommitteeSize::ALONE);
    facts.nodes.truncate(1);
    examined.key = facts.into();
    examined
}

/// The sample's limit of which a part is set aside.
fn charge() -> Charge {
    Charge { limit: "reserve-ever".parse().unwrap(), subject: "somewhere".to_owned(), amount: Amount::from_u128(1) }
}

#[test]
fn a_key_in_one_token_has_no_part_of_what_is_set_aside() {
    let (charter, meter) = (charter(), Meter::default());
    assert!(charter.limits[&charge().limit].split_amount > Amount::ZERO);
    let by = |examined: &Examined, missing: Option<&str>| {
        uncertified(&charter, examined, &charge(), (&meter, NOW.uptime), missing.map(str::to_owned))
    };
    by(&examined(&transfer(5, "a")), None).unwrap();
    for (missing, says) in [(None, "no ledger certifies limit reserve-ever"), (Some("none came"), "none came")] {
        let error = by(&held(), missing).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (Code::ReservationMissing, says));
    }
}

/// The guard does not rest on whoever read the charter.
#[test]
fn a_key_in_one_token_signs_nothing_without_claims() {
    let charter = charter();
    assert_eq!(charter.claims_ledger, None);
    let known = |metered| KnownIntent {
        sessions: 0,
        allowed: false,
        life_ends: None,
        ended: false,
        requester: crate::store::rows::RequesterTag::of("backend"),
        result: None,
        nonce_claim: None,
        metered,
    };
    let cover = |mut examined: Examined, metered| {
        examined.decision.charges = vec![charge()];
        let view = crate::guard::tests::noted(&examined);
        let papers = (&Attested::default(), &Reservations::default());
        super::cover(&view, &charter, &examined, &known(metered), papers, NOW).unwrap()
    };
    let ordinary = || examined(&transfer(5, "a"));
    assert_eq!(cover(ordinary(), [].into()).unwrap().metered, [charge()]);
    assert_eq!(cover(ordinary(), [charge().limit].into()).unwrap(), Cover::default(), "taken over before");
    for metered in [[].into(), [charge().limit].into()] {
        let error = cover(held(), metered).unwrap_err();
        assert_eq!(error.code, Code::ReservationMissing);
        assert!(error.message.contains("treasury lives in one token"), "{}", error.message);
    }
}
