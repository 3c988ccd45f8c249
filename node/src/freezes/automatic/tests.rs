//! Automatic freezes, from the first denied request to the last unfreeze, against real stores.

use std::sync::{Arc, PoisonError};

use limen_chain::evm::{Eip1559Fees, Transfer, transfer};
use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::error::Code;
use limen_wire::ids::PartyIndex;
use limen_wire::intent::seal_intent;
use limen_wire::pb;

use super::*;
use crate::approvals::Papers;
use crate::freezes::tests::{ASKED, HOUR_MS, Signer, intent, key, unfreeze, wait, with_carla};
use crate::guard::KeyFacts;
use crate::guard::tests::charter_text;

const IN_SAMPLE: &str = "automatic_freeze = { refused = 20, within_secs = 3600 }";

fn charter_with(bound: &str, more: &str) -> Arc<Charter> {
    let text = charter_text();
    assert!(text.contains(IN_SAMPLE));
    // Whose keys are known here is the other tests' business: they lift freezes too.
    let known = with_carla(&text.replace(IN_SAMPLE, bound));
    Arc::new(Charter::from_toml(&format!("{known}{more}")).unwrap())
}

fn three(more: &str) -> Arc<Charter> {
    charter_with("automatic_freeze = { refused = 3, within_secs = 100 }", more)
}

/// More than any rule lets through.
fn dear(name: &str) -> pb::Intent {
    let to = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
    let mut amount = [0; 32];
    amount[16] = 1;
    let moved = Transfer { chain: ChainId::eip155(31337), to, amount: Amount::from_be_bytes(amount) };
    let fees = Eip1559Fees { nonce: 7, gas_limit: 21_000, max_fee_per_gas: 1, max_priority_fee_per_gas: 1 };
    let payload = pb::intent::Payload::EvmTransaction(transfer(&moved, &fees).unwrap().into());
    pb::Intent { payload: Some(payload), ..intent(name) }
}

impl Signer {
    fn denies(&self, names: &[&str]) {
        for name in names {
            self.announce(&dear(name), &[]);
        }
    }

    fn own(&self) -> Vec<(String, AutomaticRow)> {
        let rows = self.decisions().store.view().unwrap().automatic_rows().unwrap();
        rows.into_iter().map(|(requester, row)| (requester.to_string(), row)).collect()
    }

    fn own_id(&self) -> IntentId {
        let own = self.own();
        assert_eq!(own.len(), 1, "{own:?}");
        IntentId::new(own[0].1.id)
    }

    fn counted(&self) -> usize {
        let store = self.decisions().store.clone();
        store.write_blocking(|txn| txn.denials(&"backend".parse().unwrap())).unwrap().len()
    }

    /// As a requester of another name, with another key, asks.
    fn announce_by(&self, requester: &str, seed: u8, raw: &pb::Intent) -> Vec<pb::RequirementStatus> {
        let raw = pb::Intent { requester: requester.to_owned(), ..raw.clone() };
        let envelope = seal_intent(&raw, &key(seed)).unwrap().1;
        let decisions = self.decisions();
        let examined = decisions.examine(&envelope).unwrap();
        let shown = decisions.show(&examined, &Papers::default()).unwrap();
        wait(decisions.announce(examined, envelope, shown)).unwrap().frozen
    }
}

#[test]
fn the_last_of_so_many_different_denied_requests_freezes_its_requester() {
    let mut signer = Signer::with(three(""));
    let good = intent("good");
    let epoch = signer.epoch(&good);
    signer.denies(&["a", "b", "a", "b", "b"]);
    assert!(!signer.is_frozen(&good) && signer.own().is_empty(), "two requests, shown again and again, are two");
    assert_eq!(signer.refused(&dear("b")).code, Code::PolicyDenied);
    assert_eq!(signer.counted(), 2, "nor does asking for its signature make it another one");
    signer.denies(&["c"]);
    let error = signer.refused(&good);
    assert!(error.code == Code::Frozen && error.code.retryable(), "{error}");
    let id = signer.own_id().to_string();
    for words in [&*id, "automatic", "requester:backend", "3 of its requests within 100 s", "since 1000000 s"] {
        assert!(error.message.contains(words), "{words} in {error}");
    }
    let statuses = signer.announce(&good, &[]);
    assert!(!statuses[0].met && statuses[0].missing.contains(&id), "{statuses:?}");
    let view = signer.decisions().store.view().unwrap();
    assert_eq!(view.stop_head().unwrap().length, 0, "it is no record: nobody is told of it");
    assert_eq!(signer.epoch(&good), epoch, "and approvals are not bound to it");
    assert_eq!((view.automatic_made().unwrap(), signer.counted()), (1, 0));
    signer.denies(&["d", "e", "f"]);
    assert_eq!((signer.own_id().to_string(), signer.counted()), (id, 0), "one freeze is enough");
}

/// A thief who fills all places for requests that wait for people does not hide those that are denied.
#[test]
fn requests_that_wait_take_no_place_of_those_that_are_denied() {
    let mut charter = (*three(ASKED)).clone();
    charter.bounds.max_denied = 3;
    let mut signer = Signer::with(Arc::new(charter));
    for name in ["a", "b", "c"] {
        assert!(!signer.announce(&intent(name), &[])[0].met, "it waits for people");
    }
    let (raw, decisions) = (intent("d"), signer.decisions());
    let envelope = seal_intent(&raw, &key(1)).unwrap().1;
    let examined = decisions.examine(&envelope).unwrap();
    let shown = decisions.show(&examined, &Papers::default()).unwrap();
    assert_eq!(wait(decisions.announce(examined, envelope, shown)).unwrap_err().code, Code::Overloaded);
    signer.denies(&["x", "y", "z"]);
    assert!(signer.is_frozen(&intent("a")));
    assert_eq!(signer.own().len(), 1);
}

#[test]
fn requests_count_for_so_long_on_the_running_time() {
    let mut signer = Signer::with(three(""));
    signer.denies(&["a"]);
    signer.run_for(50_000);
    signer.denies(&["b"]);
    signer.run_for(50_000);
    signer.denies(&["c"]);
    assert!(signer.own().is_empty(), "the first counts no more: it was 100 s ago");
    assert_eq!(signer.counted(), 2);
    signer.run_for(49_999);
    signer.denies(&["d"]);
    assert_eq!(signer.own().len(), 1, "b, c and d came within 100 s");
}

#[test]
fn no_wall_clock_spreads_them() {
    let mut signer = Signer::with(three(""));
    for (name, step) in [("a", 10_000_000), ("b", 20_000_000), ("c", 5_000_000)] {
        signer.now.wall.0 += step;
        signer.denies(&[name]);
    }
    assert_eq!(signer.own().len(), 1);
    let mut back = Signer::with(three(""));
    for (name, step) in [("a", 1_000), ("b", 2_000), ("c", 3_000)] {
        back.now.wall.0 -= step;
        back.denies(&[name]);
    }
    assert_eq!(back.own().len(), 1);
}

#[test]
fn a_process_that_ends_forgets_neither_count_nor_freeze() {
    let mut signer = Signer::with(three(""));
    signer.denies(&["a"]);
    signer.restart();
    signer.denies(&["a", "b"]);
    // Running time that was never durable: after the crash the node is younger than what it remembers would have become.
    signer.run_for(90_000);
    signer.restart();
    signer.run_for(90_000);
    signer.denies(&["c"]);
    let id = signer.own_id();
    signer.restart();
    assert_eq!(signer.own_id(), id);
    assert!(signer.is_frozen(&intent("good")));
}

#[test]
fn what_may_yet_be_allowed_is_not_counted() {
    let noon = "[[rules]]\nname = \"noon\"\ndeny = \"transfer\"\nhours = { from = \"13:00\", until = \"14:00\", utc_offset = \"+00:00\" }\n";
    let mut signer = Signer::with(three(noon));
    for name in ["a", "b", "c", "d"] {
        signer.announce(&intent(name), &[]);
        assert_eq!(signer.refused(&intent(name)).code, Code::PolicyDenied, "it is a quarter to two");
    }
    assert_eq!(signer.counted(), 0, "what only the hour denies");
    let mut signer = Signer::with(three(ASKED));
    for name in ["a", "b", "c", "d"] {
        assert_eq!(signer.refused(&intent(name)).code, Code::ApprovalsMissing);
    }
    assert_eq!(signer.counted(), 0, "what people have to allow");
    signer.denies(&["e", "f", "g"]);
    assert_eq!(signer.own().len(), 1, "what nobody can allow");
}

#[test]
fn nobody_else_brings_it_about() {
    let signer = Signer::with(three(""));
    for name in ["a", "b", "c", "d"] {
        let forged = seal_intent(&dear(name), &key(9)).unwrap().1;
        assert_eq!(signer.decisions().examine(&forged).unwrap_err().code, Code::BadSignature);
    }
    assert_eq!(signer.counted(), 0);
}

#[test]
fn other_requesters_go_on() {
    let other = key(0x77).public_key();
    let more = format!(
        "[[requesters]]\nid = \"other\"\npublic_key = \"{other}\"\nduties = [\"request\"]\n\
         [[rules]]\nname = \"theirs\"\nallow = \"transfer\"\nrequesters = [\"other\"]\nasset = \"eth\"\nmax_amount = \"1\"\n\
         destinations = \"anywhere\"\n"
    );
    let signer = Signer::with(three(&more));
    signer.denies(&["a", "b"]);
    signer.announce_by("other", 0x77, &dear("c"));
    assert!(signer.own().is_empty(), "each is counted alone");
    signer.denies(&["d"]);
    assert_eq!(signer.own()[0].0, "backend");
    assert!(signer.announce_by("other", 0x77, &intent("good")).is_empty());
    assert_eq!(signer.announce(&intent("good"), &[]).len(), 1);
}

#[test]
fn enough_people_and_a_delay_lift_it_and_counting_begins_anew() {
    let mut signer = Signer::with(three(""));
    let good = intent("good");
    signer.denies(&["a", "b", "c"]);
    let first = signer.own_id();
    signer.hears(&unfreeze("anna", &[first])).unwrap();
    assert_eq!(signer.run_for(2 * HOUR_MS), 0, "one of two is not enough, however long it takes");
    // Somebody whom nobody asks, and another freeze's name, lift nothing.
    assert_eq!(signer.hears(&unfreeze("carla", &[first])).unwrap_err().code, Code::NotPermitted);
    signer.hears(&unfreeze("boris", &[IntentId::new([1; 32])])).unwrap();
    assert_eq!(signer.run_for(2 * HOUR_MS), 0);
    signer.hears(&unfreeze("boris", &[first])).unwrap();
    signer.run_for(HOUR_MS / 2);
    signer.restart();
    assert_eq!(signer.run_for(HOUR_MS - 1), 0, "time that was not durable is waited again");
    assert!(signer.is_frozen(&good));
    signer.now.wall.0 += 10 * HOUR_MS;
    assert_eq!(signer.run_for(0), 0, "the wall clock counts for nothing");
    signer.now.wall.0 -= 10 * HOUR_MS;
    assert_eq!(signer.run_for(1), 1);
    assert!(!signer.is_frozen(&good));
    assert!(signer.decisions().store.view().unwrap().freezes().unwrap().lifted.is_empty());

    signer.denies(&["a", "d", "e"]);
    assert!(signer.own().is_empty(), "what counted before counts no more");
    signer.denies(&["f"]);
    let again = signer.own_id();
    assert_ne!(first, again);
    for record in [unfreeze("anna", &[first]), unfreeze("boris", &[first])] {
        signer.hears(&record).unwrap();
    }
    assert_eq!(signer.run_for(10 * HOUR_MS), 0, "old words lift no new freeze");
}

/// Every signer counts what it is shown, and one word of two people lifts what all of them froze.
#[test]
fn one_unfreeze_names_the_freezes_of_several_signers() {
    let mut signers = [Signer::with(three("")), Signer::with(three("")), Signer::with(three(""))];
    for (signer, shown) in signers.iter().zip([&["a", "b", "c"][..], &["a", "b", "c", "d"], &["c", "d"]]) {
        signer.denies(shown);
    }
    let ids = [signers[0].own_id(), signers[1].own_id()];
    assert!(ids[0] != ids[1] && signers[2].own().is_empty());
    let words = [unfreeze("anna", &ids), unfreeze("boris", &ids)];
    for signer in &mut signers {
        assert!(words.iter().all(|record| signer.hears(record).is_ok()));
        signer.run_for(HOUR_MS);
        assert!(signer.own().is_empty());
    }
}

#[test]
fn a_freeze_outlives_versions_of_the_charter_and_ends_with_its_requester() {
    let mut signer = Signer::with(three(""));
    signer.denies(&["a", "b"]);
    signer.charter = charter_with("automatic_freeze = { refused = 2, within_secs = 100 }", "");
    assert!(signer.own().is_empty(), "a version alone freezes nobody");
    signer.denies(&["c"]);
    assert!(signer.own().is_empty(), "what other rules have denied says nothing");
    signer.denies(&["d"]);
    assert_eq!(signer.own()[0].1.refused, 2);
    signer.charter = charter_with("", "");
    assert!(signer.is_frozen(&intent("good")), "a charter that freezes nobody by itself lifts nothing");
    signer.denies(&["e", "f", "g"]);
    assert_eq!((signer.own().len(), signer.counted()), (1, 0));
    let gone = with_carla(&charter_text().replace("\"backend\"", "\"frontend\""));
    signer.charter = Arc::new(Charter::from_toml(&gone).unwrap());
    assert!(signer.own().is_empty(), "nothing is kept of whom the charter does not name");
    signer.charter = charter_with("", "");
    signer.denies(&["h", "i", "j"]);
    assert_eq!((signer.own().len(), signer.counted()), (0, 0), "off where the charter does not say it");
}

/// Nobody could see or lift what a witness froze.
#[test]
fn whoever_only_keeps_ledgers_freezes_nobody() {
    let signer = Signer::with(three(""));
    for facts in signer.keys.write().unwrap_or_else(PoisonError::into_inner).values_mut() {
        let stranger = KeyFacts { me: PartyIndex::new(255).unwrap(), ..KeyFacts::clone(facts) };
        *facts = Arc::new(stranger);
    }
    signer.denies(&["a", "b", "c", "d"]);
    assert_eq!((signer.own().len(), signer.counted()), (0, 0));
}

/// A freeze is made in the very transaction that notes the last request, and of the store's own randomness.
#[test]
fn the_denial_and_the_freeze_are_one_transaction() {
    let signer = Signer::with(three(""));
    signer.denies(&["a", "b"]);
    let decisions = signer.decisions();
    let before = decisions.store.view().unwrap();
    signer.denies(&["c"]);
    let records = decisions.store.view().unwrap().records().unwrap();
    let tail: Vec<_> = records.iter().rev().take(2).map(|record| &record.event).collect();
    let made = |event: &Event| matches!(event, Event::FrozenByItself { requester, .. } if requester == "backend");
    assert!(tail.iter().any(|event| made(event)), "{tail:?}");
    assert!(before.automatic_rows().unwrap().is_empty());
}
