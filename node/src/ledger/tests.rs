//! Members and guards over real stores, with a coordinator that does as the test says.

mod ceilings;
mod handover;
mod kit;
mod money;
mod once;
mod releases;
mod versions;

use limen_policy::ledger::{Certificate, Committee};
use limen_wire::envelope::{PayloadType, seal};
use limen_wire::ids::IntentId;

use super::*;
use kit::{Carrier, WITNESS, World, call};

fn envelopes(certificate: &Certificate) -> Vec<pb::Envelope> {
    vec![certificate.envelope().clone()]
}

/// Tries to sign with every set of two until nothing fits; gives how many requests got two signers.
async fn signed_in_all(world: &mut World, carrier: &mut Carrier, requests: u64, certified: bool) -> u64 {
    let mut signed = 0;
    for number in 0..requests {
        let request = world.request(if certified { number } else { 1_000_000 + number });
        let reservations = match certified {
            true => world.reserve(carrier, &request).await.map(|one| envelopes(&one)).unwrap_or_default(),
            false => Vec::new(),
        };
        // The corrupt third signs everything: one honest signer is enough.
        let honest = [(number % 2) as usize, 1 - (number % 2) as usize];
        for signer in honest {
            if world.sign(signer, &request, &reservations).await.is_ok() {
                signed += 1;
                break;
            }
        }
    }
    signed
}

#[tokio::test(flavor = "multi_thread")]
async fn certified_and_split_together_never_exceed_the_limit() {
    let mut world = World::new(10, 4);
    let mut carrier = world.carrier();
    let certified = signed_in_all(&mut world, &mut carrier, 12, true).await;
    assert!(certified >= 6, "{certified} of the six that the ledger certifies");
    let split = signed_in_all(&mut world, &mut carrier, 12, false).await;
    assert_eq!(certified + split, 10);
    // And nothing more, in whatever order it is tried.
    assert_eq!(signed_in_all(&mut world, &mut carrier, 12, false).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_is_charged_once() {
    let mut world = World::new(2, 0);
    let mut carrier = world.carrier();
    let (first, second, third) = (world.request(1), world.request(2), world.request(3));
    for _ in 0..5 {
        let certificate = world.reserve(&mut carrier, &first).await.expect("it counts once");
        assert!(world.sign(0, &first, &envelopes(&certificate)).await.is_ok());
    }
    assert!(world.reserve(&mut carrier, &second).await.is_some());
    assert!(world.reserve(&mut carrier, &third).await.is_none());

    // A share counts it once too, also beside a reservation.
    let mut world = World::new(2, 2);
    for _ in 0..3 {
        let token = world.sign(0, &first, &[]).await.unwrap();
        assert_eq!(token.record().evidence.certificate, None);
    }
    assert_eq!(world.sign(0, &world.request(2), &[]).await.unwrap_err().code, Code::ReservationMissing);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_certificate_of_the_right_ledger_charter_request_and_time_counts() {
    let mut world = World::new(10, 0);
    let mut carrier = world.carrier();
    let (request, other) = (world.request(1), world.request(2));
    let good = world.reserve(&mut carrier, &request).await.unwrap();
    let committee = Arc::clone(world.charter.ledgers.values().next().unwrap());
    assert_eq!(committee.ledger().as_str(), "main");
    let acknowledged = |entry: &Entry, members: &[usize]| {
        let each: Vec<_> = members
            .iter()
            .map(|index| entry.acknowledge(&world.machines[*index].id, &world.machines[*index].key))
            .collect();
        limen_wire::statement::combine(&each).unwrap()
    };
    let body = || limen_policy::ledger::Body::clone(good.entry());
    let with = |change: &dyn Fn(&mut limen_policy::ledger::Body)| {
        let mut body = body();
        change(&mut body);
        acknowledged(&Entry::new(body).unwrap(), &[0, 1, 2])
    };
    let mut forged = good.envelope().clone();
    forged.signatures[0].signature = bytes::Bytes::from(vec![1; 64]);
    let elsewhere = world.charter.ledgers.values().nth(1).unwrap().clone();
    let spoiled = [
        ("forged", forged, "does not"),
        ("too few", acknowledged(good.entry(), &[0, WITNESS]), "2 of the 3"),
        (
            "other ledger",
            with(&|body| {
                body.ledger = elsewhere.ledger().clone();
                body.committee = elsewhere.hash();
                body.previous = elsewhere.genesis();
            }),
            "is of ledger other",
        ),
        ("other charter", with(&|body| body.charter = limen_wire::ids::CharterHash::new([1; 32])), "under charter"),
        (
            "other amount",
            with(&|body| {
                body.claims[0].charges.values_mut().for_each(|amount| *amount = limen_wire::effects::Amount::ZERO);
            }),
            "other charges",
        ),
        (
            "not yet",
            with(&|body| {
                body.time_ms += 90_000;
                body.expires_at_ms += 90_000;
            }),
            "more than 30 seconds",
        ),
        ("too late", with(&|body| body.expires_at_ms = body.time_ms), "expired"),
        ("ends in the session", with(&|body| body.expires_at_ms = body.time_ms + 9_999), "expired"),
    ];
    for (what, envelope, says) in spoiled {
        for signer in 0..3 {
            let error = world.sign(signer, &request, std::slice::from_ref(&envelope)).await.unwrap_err();
            assert_eq!(error.code, Code::ReservationMissing, "{what}");
            assert!(error.message.contains(says), "{what}: {}", error.message);
        }
    }
    let error = world.sign(0, &other, &envelopes(&good)).await.unwrap_err();
    assert!(error.message.contains("reserves nothing for"), "{}", error.message);
    assert!(world.sign(0, &request, &[]).await.unwrap_err().message.contains("no certificate of ledger main"));
    let token = world.sign(0, &request, &envelopes(&good)).await.unwrap();
    assert_eq!(token.record().evidence.certificate, Some(*good.entry().hash().as_bytes()));
    assert!(token.metered().is_empty());
}

/// A request that was allowed under a reservation that has ended starts no session any more: its amount ages out.
#[tokio::test(flavor = "multi_thread")]
async fn held_reservation() {
    let mut world = World::new(1, 0);
    let mut carrier = world.carrier();
    let request = world.request(1);
    let certificate = world.reserve(&mut carrier, &request).await.unwrap();
    assert!(world.sign(0, &request, &envelopes(&certificate)).await.is_ok());
    world.now_ms = certificate.entry().expires_at_ms + 1;
    assert_eq!(world.sign(0, &request, &envelopes(&certificate)).await.unwrap_err().code, Code::ReservationMissing);
    // Reserved anew it goes on, and counts from then on.
    let again = world.reserve(&mut carrier, &request).await.unwrap();
    assert!(again.entry().number > certificate.entry().number);
    assert!(world.sign(0, &request, &envelopes(&again)).await.is_ok());
    world.now_ms = certificate.entry().expires_at_ms + 3_600_000 + 60_000;
    assert!(world.reserve(&mut carrier, &world.request(2)).await.is_none(), "it still counts");
    world.now_ms = again.entry().expires_at_ms + 3_600_000 + 60_000;
    assert!(world.reserve(&mut carrier, &world.request(2)).await.is_some(), "it has aged out");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_one_machine_may_be_down_and_no_two() {
    for down in 0..=WITNESS {
        let mut world = World::new(10, 0);
        let mut carrier = world.carrier();
        world.machines[down].down = true;
        for number in 0..3 {
            let request = world.request(number);
            let certificate = world.reserve(&mut carrier, &request).await.expect("three are enough");
            for signer in (0..3).filter(|signer| *signer != down) {
                assert!(world.sign(signer, &request, &envelopes(&certificate)).await.is_ok());
            }
        }
        // Who was away learns what it missed, and another may go.
        world.machines[down].down = false;
        world.machines[(down + 1) % 4].down = true;
        assert!(world.reserve(&mut carrier, &world.request(7)).await.is_some(), "{down}");
        world.machines[(down + 2) % 4].down = true;
        assert!(world.reserve(&mut carrier, &world.request(8)).await.is_none(), "two are too few");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_survives_a_kill() {
    let mut world = World::new(10, 0);
    let mut carrier = world.carrier();
    let (one, two) = (world.request(1), world.request(2));
    world.reserve(&mut carrier, &one).await.unwrap();
    let base = carrier.certified.last().unwrap().clone();
    let entry = |claims| {
        let time_ms = world.now_ms;
        let body = limen_policy::ledger::Body {
            number: 2,
            base: 1,
            previous: base.entry().hash(),
            time_ms,
            expires_at_ms: time_ms + 60_000,
            claims,
            ..limen_policy::ledger::Body::clone(base.entry())
        };
        Entry::new(body).unwrap()
    };
    let (first, second) = (entry(vec![world.claim(&one)]), entry(vec![world.claim(&two)]));
    let shown = |entry: &Entry| pb::LedgerReserveRequest {
        requests: vec![world.requested(&one), world.requested(&two)],
        ..call(entry, Some(&base))
    };
    let (first, second) = ((shown(&first), first), (shown(&second), second));
    for member in [0, WITNESS] {
        let before = world.keeper(member).reserve(first.0.clone()).await.unwrap().response;
        assert!(before.acknowledgement.is_some());
        world.restart(member);
        let again = world.keeper(member).reserve(first.0.clone()).await.unwrap().response;
        assert_eq!(again.acknowledgement.unwrap().payload, before.acknowledgement.unwrap().payload);
        assert_eq!(again.head, 1, "the certificate that it had learned is on the disk");
        let other = world.keeper(member).reserve(second.0.clone()).await.unwrap().response;
        assert!(other.acknowledgement.is_none(), "one value at each number, whatever happened in between");
        assert_eq!(other.refusal.unwrap().hint(), pb::LedgerHint::Bound);
    }
    // Given up is given up, also after a kill.
    let closed = world
        .keeper(1)
        .close(pb::LedgerCloseRequest { ledger: "main".to_owned(), through: 2, committee: None })
        .await
        .unwrap();
    assert!(closed.closing.is_some());
    world.restart(1);
    let answer = world.keeper(1).reserve(first.0.clone()).await.unwrap().response;
    assert_eq!(answer.refusal.unwrap().hint(), pb::LedgerHint::Bound);
    // The next coordinator knows nothing, finds the number split, settles it, and goes on.
    let mut next = world.carrier();
    let three = world.request(3);
    assert!(world.reserve(&mut next, &three).await.is_some());
    let settled = next.certified.iter().find(|one| one.entry().settles()).unwrap();
    assert!(settled.entry().carried.contains(&first.1) && !settled.entry().carried.contains(&second.1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_racing_requests_never_exceed_the_limit() {
    let mut world = World::new(7, 0);
    let (mut one, mut two) = (world.carrier(), world.carrier());
    for number in 0..1_000 {
        let request = world.request(number);
        one.submit(&world, &request);
        two.submit(&world, &world.request(999 - number));
    }
    // Two coordinators at once, each with all of them.
    for _ in 0..6 {
        one.work(&mut world).await;
        two.work(&mut world).await;
    }
    let certified = one.certified.iter().chain(&two.certified);
    let intents: std::collections::BTreeSet<IntentId> =
        certified.flat_map(|one| one.entry().claims.iter().map(|claim| claim.intent)).collect();
    assert_eq!(intents.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guard_would_not_allow_is_not_reserved() {
    let mut world = World::new(10, 0);
    let request = world.request(1);
    let claim = world.claim(&request);
    let mut carrier = world.carrier();
    let unfit = |answer: pb::LedgerReserveResponse| {
        let refusal = answer.refusal.unwrap();
        assert_eq!(refusal.hint(), pb::LedgerHint::Unfit);
        assert_eq!(refusal.intent_id.as_ref(), claim.intent.as_bytes());
        refusal.error.unwrap().message
    };
    let charter = Arc::clone(&world.charter);
    let main = charter.ledgers.keys().next().unwrap().clone();
    carrier.submit(&world, &request);
    let outputs = carrier.sequencer.tick(world.now_ms, &|scope, _| charter.ledger_limit(&main, scope));
    let Some(limen_policy::ledger::Output::Propose { entry, .. }) = outputs.first() else { panic!("{outputs:?}") };
    // Nobody has shown it the request, and a witness does not know the key.
    let answer = world.keeper(0).reserve(call(entry, None)).await.unwrap().response;
    assert!(unfit(answer).contains("was not shown here"));
    let bare = pb::LedgerRequested { key_certificate: None, ..world.requested(&request) };
    let shown = |requested| pb::LedgerReserveRequest { requests: vec![requested], ..call(entry, None) };
    let answer = world.keeper(WITNESS).reserve(shown(bare)).await.unwrap().response;
    assert!(unfit(answer).contains("no share of key hot"));
    // A certificate that not all members have signed teaches nothing.
    let mut short = world.requested(&request);
    short.key_certificate.as_mut().unwrap().signatures.pop();
    let answer = world.keeper(WITNESS).reserve(shown(short)).await.unwrap().response;
    assert!(unfit(answer).contains("2 of the 3 signatures"));
    // Too late for the request itself.
    let good = shown(world.requested(&request));
    let dated = {
        let body = limen_policy::ledger::Body::clone(entry);
        let time_ms = kit::NOW + 100_000_000;
        Entry::new(limen_policy::ledger::Body { time_ms, expires_at_ms: time_ms + 60_000, ..body }).unwrap()
    };
    assert!(world.keeper(1).reserve(good.clone()).await.unwrap().response.acknowledgement.is_some());
    world.now_ms = kit::NOW + 100_000_000;
    let late = pb::LedgerReserveRequest { entry: dated.payload().clone(), ..good };
    assert!(unfit(world.keeper(0).reserve(late).await.unwrap().response).contains("expired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_make_no_sense_are_refused() {
    let mut world = World::new(10, 0);
    let mut carrier = world.carrier();
    let certificate = world.reserve(&mut carrier, &world.request(1)).await.unwrap();
    let ask = |ledger: &str| pb::LedgerReserveRequest { ledger: ledger.to_owned(), ..Default::default() };
    let code = |answer: Result<Reserved, ApiError>| answer.map(|one| one.response).unwrap_err().code;
    assert_eq!(code(world.keeper(0).reserve(ask("nothing")).await), Code::NotPermitted);
    assert_eq!(code(world.keeper(0).reserve(ask("no name")).await), Code::Malformed);
    let many =
        |count| pb::LedgerReserveRequest { certificates: vec![certificate.envelope().clone(); count], ..ask("main") };
    assert!(world.keeper(0).reserve(many(limits::LEDGER_PAGE)).await.is_ok());
    assert_eq!(code(world.keeper(0).reserve(many(limits::LEDGER_PAGE + 1)).await), Code::Malformed);
    let many = |count| pb::LedgerReserveRequest { requests: vec![Default::default(); count], ..ask("main") };
    assert!(world.keeper(0).reserve(many(limits::LEDGER_REQUESTS)).await.is_ok());
    assert_eq!(code(world.keeper(0).reserve(many(limits::LEDGER_REQUESTS + 1)).await), Code::Malformed);
    let junk = pb::LedgerReserveRequest { entry: vec![1, 2, 3].into(), ..ask("main") };
    assert_eq!(code(world.keeper(0).reserve(junk).await), Code::Malformed);
    let unsigned = pb::Envelope { signatures: Vec::new(), ..certificate.envelope().clone() };
    let forged = pb::LedgerReserveRequest { certificates: vec![unsigned], ..ask("main") };
    assert_eq!(code(world.keeper(0).reserve(forged).await), Code::Malformed);
    let baseless = call(certificate.entry(), Some(&certificate));
    assert_eq!(code(world.keeper(0).reserve(baseless).await), Code::Malformed, "it does not stand on itself");
    // A seal under a key that is no member's is not one either.
    let stranger = seal(PayloadType::LedgerEntry, certificate.entry().payload().to_vec(), "n0", &world.machines[1].key);
    let forged = pb::LedgerReserveRequest { certificates: vec![stranger], ..ask("main") };
    assert_eq!(code(world.keeper(0).reserve(forged).await), Code::Malformed);
    // Pages go on where they are asked to.
    let show = |after| pb::LedgerShowRequest { ledger: "main".to_owned(), after, committee: None };
    let page = world.keeper(0).show(show(0)).await.unwrap();
    assert_eq!((page.certificates.len(), page.head), (1, 1));
    assert!(world.keeper(0).show(show(1)).await.unwrap().certificates.is_empty());
}

/// What another committee has counted is not known, so nothing is promised in its place.
#[tokio::test(flavor = "multi_thread")]
async fn another_committee_does_not_start_from_nothing() {
    let mut world = World::new(10, 0);
    let mut carrier = world.carrier();
    world.reserve(&mut carrier, &world.request(1)).await.unwrap();
    let changed = world.text.replacen("quorum = 3", "quorum = 4", 1);
    world.charter = Arc::new(Charter::from_toml(&changed).unwrap());
    let ask = || pb::LedgerReserveRequest { ledger: "main".to_owned(), ..Default::default() };
    for _ in 0..2 {
        let error = world.keeper(0).reserve(ask()).await.unwrap_err();
        assert_eq!(error.code, Code::WrongState);
        assert!(error.message.contains("does not follow it"), "{}", error.message);
        world.restart(0);
    }
    assert!(world.keeper(0).reserve(pb::LedgerReserveRequest { ledger: "other".to_owned(), ..ask() }).await.is_ok());
}
