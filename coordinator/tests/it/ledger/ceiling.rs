//! What may flow into a vault, through a running desk: by what is attested for each request, and by what was let in before.

use limen_coordinator::intake;
use limen_coordinator::lifecycle::State;
use limen_wire::check::Check;
use limen_wire::effects::{Amount, Asset, ChainId};
use limen_wire::error::Code;
use limen_wire::ids::IntentId;

use crate::world::{Running, START_SECS, World, identity};

/// The number of the key of the one who knows what the vault holds.
const WATCH: u8 = 121;
const ETH: u128 = 1_000_000_000_000_000_000;

/// The vault may hold three; each transfer of these tests brings one.
fn shop() -> World {
    World::with_claims(&format!(
        "max_amount = \"100\"\n\
         [[vaults]]\nid = \"shop\"\ntier = \"hot\"\nkeys = [\"till\"]\n\
         [[checkers]]\nid = \"watch\"\npublic_key = \"{}\"\nmax_age_secs = 600\nbalances_of = [\"shop\"]\n\
         [[address_book]]\nid = \"till\"\nchain = \"eip155:31337\"\nvault = \"shop\"\n\
         address = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"\n\
         [[ceilings]]\nid = \"shop-eth\"\nvault = \"shop\"\nasset = \"eth\"\n\
         max_balance = \"3\"",
        identity(WATCH).public_key()
    ))
}

async fn refill(world: &World, running: &Running, (name, nonce): (&str, u64), held: u128) -> IntentId {
    let (entry, _) = running.submit(&world.transfer_at(name, 1, nonce)).await.unwrap();
    let id = entry.record.id;
    // Nothing is attested for it yet, so there is no room.
    let waiting = running.in_state(&id, State::Reserved).await;
    assert_eq!(waiting.error.unwrap().code, Code::LimitReached);
    let told = Check {
        cluster: world.charter.cluster.clone(),
        intent_id: id,
        charter: world.charter.hash(),
        checker: "watch".parse().unwrap(),
        checked_at_secs: START_SECS,
        expires_at_secs: START_SECS + 300,
        objection: None,
        balances: [(("shop".parse().unwrap(), Asset::Native(ChainId::eip155(31337))), Amount::from_u128(held))].into(),
        prices: [].into(),
        sequences: [].into(),
    };
    intake::approve(&running.core, told.seal(&identity(WATCH))).await.unwrap();
    id
}

#[tokio::test]
async fn a_desk_lets_in_what_a_vault_has_room_for_and_nothing_unattested() {
    let world = shop();
    let (_disk, running) = world.with_key().await;
    let first = refill(&world, &running, ("one", 0), 2 * ETH).await;
    running.in_state(&first, State::Signed).await;
    // One was let in: of what is attested it may not have arrived yet.
    let second = refill(&world, &running, ("two", 1), ETH).await;
    running.in_state(&second, State::Signed).await;
    let third = refill(&world, &running, ("three", 2), 1).await;
    world.advance(61);
    let ended = running.in_state(&third, State::Expired).await;
    assert_eq!((ended.sessions, world.intents_signed()), (0, 2), "it waited for room until it expired");
}
