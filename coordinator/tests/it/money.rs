//! Limits in money at the real desk: it waits for prices, proposes at the highest, and starts anew when they have gone by.

use limen_coordinator::intake;
use limen_coordinator::lifecycle::{Record, State};
use limen_policy::check::price;
use limen_wire::check::Check;
use limen_wire::effects::{Asset, ChainId};
use limen_wire::error::Code;
use limen_wire::pb;

use crate::checks::{found, sealed};
use crate::world::{CHAIN, Running, START_SECS, World, until};

/// One unit is worth so many dollars, as the checker says of this request for so many seconds.
fn priced(world: &World, record: &Record, dollars: &str, (at_secs, secs): (u64, u64)) -> pb::Envelope {
    let eth = Asset::Native(ChainId::new(CHAIN).unwrap());
    let prices = [((eth, "usd".parse().unwrap()), price(dollars, 18, 2).unwrap())].into();
    sealed(&Check { prices, expires_at_secs: at_secs + secs, ..found(world, record, at_secs) })
}

async fn submitted(running: &Running, world: &World, name: &str) -> Record {
    let (entry, _) = running.submit(&world.transfer(name)).await.unwrap();
    running.in_state(&entry.record.id, State::AwaitingApproval).await
}

/// Each request moves one unit and a little for its fee.
#[tokio::test]
async fn a_request_waits_for_its_price_and_is_reserved_at_it() {
    let world = World::in_money("7600");
    let (_disk, running) = world.with_key().await;
    let mut reserved = 0;
    for (name, dollars) in [("one", "2500"), ("two", "2500"), ("three", "2500"), ("four", "2500")] {
        let record = submitted(&running, &world, name).await;
        let says = |record: &Record| {
            let told = record.opinions.values().flat_map(|opinion| &opinion.requirements);
            told.filter(|status| status.missing.contains("is worth in usd is not attested")).count()
        };
        running.until(&record.id, |one| says(one) >= 2).await;
        intake::approve(&running.core, priced(&world, &record, dollars, (START_SECS, 300))).await.unwrap();
        let end = running.until(&record.id, |one| one.state == State::Signed || one.state == State::Reserved).await;
        if end.state == State::Reserved {
            let error = running.until(&record.id, |one| one.error.is_some()).await.error.unwrap();
            assert_eq!(error.code, Code::LimitReached, "{error:?}");
            assert!(error.message.contains("more than the bound 760000"), "in cents: {}", error.message);
        } else {
            reserved += 1;
        }
    }
    assert_eq!((reserved, world.intents_signed()), (3, 3));
}

/// What is handed in for several at once counts at the highest price of any that share an entry, and all of them are certified
/// in the end.
#[tokio::test]
async fn requests_at_several_prices_are_all_reserved() {
    let world = World::in_money("1000000");
    let (_disk, running) = world.with_key().await;
    let mut records = Vec::new();
    for number in 0..4 {
        records.push(submitted(&running, &world, &format!("r-{number}")).await);
    }
    for (number, record) in records.iter().enumerate() {
        let dollars = format!("{}.5", 2000 + number);
        intake::approve(&running.core, priced(&world, record, &dollars, (START_SECS, 300))).await.unwrap();
    }
    until("four signatures", || world.intents_signed() == 4).await;
}

/// Members that were not shown a price that counts acknowledge nothing: the request goes on once there is a new one.
#[tokio::test]
async fn a_price_that_has_gone_by_is_asked_for_anew() {
    let world = World::in_money("7600");
    let (_disk, running) = world.with_key().await;
    (0..2).for_each(|member| world.set_down(member, true));
    let record = submitted(&running, &world, "one").await;
    intake::approve(&running.core, priced(&world, &record, "2500", (START_SECS, 10))).await.unwrap();
    running.in_state(&record.id, State::Reserved).await;
    world.advance(11);
    (0..2).for_each(|member| world.set_down(member, false));
    let says = |one: &Record| {
        let mut told = one.opinions.values().flat_map(|opinion| &opinion.requirements);
        told.any(|status| status.missing.contains("is worth in usd is not attested"))
    };
    running.until(&record.id, |one| one.state == State::AwaitingApproval && says(one)).await;
    assert_eq!(world.intents_signed(), 0);
    intake::approve(&running.core, priced(&world, &record, "2600", (START_SECS + 11, 40))).await.unwrap();
    running.in_state(&record.id, State::Signed).await;
}
