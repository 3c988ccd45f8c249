//! What counts once: idempotency keys and sequence numbers as scopes of a ledger, with real guards.

use limen_policy::check::Quotes;
use limen_policy::ledger::{Body, Price, Scope, common};

use super::kit::{EACH, NOW, WITNESS, World, call};
use super::*;

/// The signer that does whatever the coordinator wants.
const CORRUPT: usize = 1;

/// The number after `base`, with what these requests claim at the prices that are attested for them.
pub(super) fn entry(world: &World, base: Option<&Certificate>, requests: &[&pb::Envelope]) -> Entry {
    let wanted: Vec<_> = requests.iter().map(|request| world.wanted(request)).collect();
    let quotes = common(wanted.iter().map(|one| (&one.demand, &one.quotes))).unwrap();
    Entry::new(body(world, base, requests, &quotes)).unwrap()
}

/// The same at any prices.
pub(super) fn body(world: &World, base: Option<&Certificate>, requests: &[&pb::Envelope], quotes: &Quotes) -> Body {
    let committee = world.charter.ledgers.values().next().unwrap();
    let mut claims: Vec<_> = requests.iter().map(|one| world.wanted(one).demand.at(quotes).unwrap()).collect();
    claims.sort_by_key(|claim| claim.intent);
    let number = base.map_or(1, |base| base.entry().number + 1);
    Body {
        cluster: committee.cluster().clone(),
        ledger: committee.ledger().clone(),
        committee: committee.hash(),
        charter: world.charter.hash(),
        number,
        base: number - 1,
        previous: base.map_or(committee.genesis(), |base| base.entry().hash()),
        time_ms: world.now_ms,
        expires_at_ms: world.now_ms + committee.lifetime_ms(),
        prices: Price::all(quotes),
        claims,
        releases: Vec::new(),
        closings: Vec::new(),
        carried: Vec::new(),
        seal: None,
    }
}

/// Shows an entry to these members and adds what the corrupt one signs: its certificate, if that makes one.
async fn certify(
    world: &World,
    entry: &Entry,
    base: Option<&Certificate>,
    request: &pb::Envelope,
    members: &[usize],
) -> Option<Certificate> {
    let corrupt = &world.machines[CORRUPT];
    let mut each = vec![entry.acknowledge(&corrupt.id, &corrupt.key)];
    for member in members {
        let shown = pb::LedgerReserveRequest { requests: vec![world.requested(request)], ..call(entry, base) };
        let answer = world.keeper(*member).reserve(shown).await.unwrap().response;
        each.extend(answer.acknowledgement);
    }
    let committee = world.charter.ledgers.values().next().unwrap();
    Certificate::verify(&limen_wire::statement::combine(&each).unwrap(), committee).ok()
}

/// Whether the two signer sets sign: {n0, n1} one request, {n1, n2} the other, where n1 signs everything.
async fn effects(world: &mut World, requests: [&pb::Envelope; 2], shown: &[pb::Envelope]) -> [bool; 2] {
    let one = world.sign_among(0, 2, requests[0], shown).await;
    let two = world.sign_among(2, 2, requests[1], shown).await;
    [one.is_ok(), two.is_ok()]
}

#[tokio::test(flavor = "multi_thread")]
async fn same_nonce_on_two_signer_sets() {
    let pair = |world: &World| [world.transfer("a", 7, 1_000, None), world.transfer("b", 7, 1_000, None)];
    // Each signer alone notices nothing: without the ledger this attack has two effects.
    let mut naive = World::new(10, 10);
    let requests = pair(&naive);
    assert_eq!(effects(&mut naive, [&requests[0], &requests[1]], &[]).await, [true; 2]);

    // Whoever of the honest members is shown the first one first, one of the two has an effect and the other none.
    let honest = [0, 2, WITNESS];
    for shown_first in 1..8usize {
        let first: Vec<usize> = (0..3).filter(|bit| shown_first & (1 << bit) != 0).map(|bit| honest[bit]).collect();
        let mut world = World::claiming(10);
        let requests = pair(&world);
        let [a, b] = [&requests[0], &requests[1]];
        let one = certify(&world, &entry(&world, None, &[a]), None, a, &first).await;
        let two = certify(&world, &entry(&world, None, &[b]), None, b, &honest).await;
        assert_eq!(one.is_some(), two.is_none(), "{first:?}: one of them has the number of the ledger");
        // The other asks at the next number of the ledger.
        let other = if one.is_some() { b } else { a };
        let base = one.or(two).unwrap();
        let late = entry(&world, Some(&base), &[other]);
        assert!(certify(&world, &late, Some(&base), other, &honest).await.is_none(), "{first:?}");
        let allowed = effects(&mut world, [a, b], &[base.envelope().clone()]).await;
        assert_eq!(allowed, [other == b, other == a], "{first:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_racing_requests_on_one_idempotency_key_have_one_effect() {
    let mut world = World::claiming(2_000);
    let (mut one, mut two) = (world.carrier(), world.carrier());
    let requests: Vec<_> = (0..1_000).map(|number| world.transfer("the-same", number, 1_000, None)).collect();
    for (request, last) in requests.iter().zip(requests.iter().rev()) {
        one.submit(&world, request);
        two.submit(&world, last);
    }
    for _ in 0..3 {
        one.work(&mut world).await;
        two.work(&mut world).await;
    }
    let certified = || one.certified.iter().chain(&two.certified);
    let intents: std::collections::BTreeSet<IntentId> =
        certified().flat_map(|one| one.entry().claims.iter().map(|claim| claim.intent)).collect();
    assert_eq!(intents.len(), 1);
    let shown: Vec<_> = certified().map(|one| one.envelope().clone()).collect();
    let mut signed = 0;
    for request in requests.iter().take(40).chain(requests.iter().rev().take(40)) {
        signed += usize::from(world.sign(0, request, &shown).await.is_ok());
    }
    assert_eq!(signed, 1, "the winner is among those that came first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_takes_its_number_over_and_counts_as_the_larger() {
    let mut world = World::claiming(2);
    let mut carrier = world.carrier();
    let first = world.transfer("first", 7, 1_000, None);
    let held = world.reserve(&mut carrier, &first).await.unwrap();
    assert!(world.sign(0, &first, &[held.envelope().clone()]).await.is_ok());
    let id = world.claim(&first).intent;
    // Twice as much as the first: beside it the limit would not hold it.
    let larger = u128::from(2 * EACH - 21_000);
    assert!(world.reserve(&mut carrier, &world.transfer("rival", 7, larger, None)).await.is_none());
    assert!(world.reserve(&mut carrier, &world.transfer("elsewhere", 8, larger, Some(id))).await.is_none());
    let second = world.transfer("second", 7, larger, Some(id));
    let taken = world.reserve(&mut carrier, &second).await.expect("only one of the two can take effect");
    assert!(world.sign(2, &second, &[taken.envelope().clone()]).await.is_ok());
    assert!(world.reserve(&mut carrier, &world.request(1)).await.is_none(), "the larger one fills the limit");
    // The number has gone on: the first one does not get it back.
    world.now_ms = held.entry().expires_at_ms + 1;
    let known = carrier.certified.len();
    world.reserve(&mut carrier, &first).await;
    assert_eq!(carrier.certified.len(), known);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_without_a_certificate_of_what_counts_once() {
    let mut world = World::claiming(10);
    let mut carrier = world.carrier();
    let message = pb::intent::Payload::EvmMessage(b"hello".as_slice().into());
    for request in [world.request(1), world.seal("m", message, None)] {
        let error = world.sign(0, &request, &[]).await.unwrap_err();
        assert_eq!(error.code, Code::ReservationMissing);
        assert!(error.message.contains("no certificate of ledger main"), "{}", error.message);
        let good = world.reserve(&mut carrier, &request).await.unwrap();
        // Exactly these claims: one less, or another number, does not stand for them.
        for index in 0..good.entry().claims[0].charges.len() {
            let mut body = Body::clone(good.entry());
            let scope = body.claims[0].charges.keys().nth(index).unwrap().clone();
            let amount = body.claims[0].charges.remove(&scope).unwrap();
            if let Scope::Nonce { chain, account, number } = scope {
                let other = Scope::Nonce { chain, account, number: number + 1 };
                body.claims[0].charges.insert(other, amount);
            } else if body.claims[0].charges.is_empty() {
                let name = "eth".to_owned();
                body.claims[0].charges.insert(Scope::Limit { name, subject: String::new() }, amount);
            }
            let spoiled = Entry::new(body).unwrap();
            let each: Vec<_> =
                world.machines.iter().take(4).map(|member| spoiled.acknowledge(&member.id, &member.key)).collect();
            let envelope = limen_wire::statement::combine(&each).unwrap();
            let error = world.sign(0, &request, &[envelope]).await.unwrap_err();
            assert!(error.message.contains("other charges"), "{index}: {}", error.message);
        }
        let token = world.sign(0, &request, &[good.envelope().clone()]).await.unwrap();
        assert_eq!(token.record().evidence.certificate, Some(*good.entry().hash().as_bytes()));
        // Its own part of the limit has nothing to do with it, and a reservation that has ended stands for nothing.
        world.now_ms = good.entry().expires_at_ms + 1;
        assert!(world.sign(0, &request, &[good.envelope().clone()]).await.is_err());
        world.now_ms = NOW;
    }
}
