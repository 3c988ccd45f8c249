//! The book under ceilings beside a vault that fills up: refills are held back, arrive late, or come to nothing.

use std::collections::BTreeMap;

use limen_wire::effects::{Address, Amount, ChainId};
use limen_wire::ids::{LedgerId, LimitId};
use proptest::prelude::*;

use super::kit::*;
use crate::charter::Charter;
use crate::check::{Attested, Held};
use crate::ledger::*;

/// The sample's ceiling, in the smallest unit.
const MOST: u64 = 100_000_000_000;
/// Longer than anything that is forgotten is kept.
const AGES_MS: u64 = 1000 * (MAX_WINDOW_SECS + 86_400);

fn scope() -> Scope {
    Scope::Lasting { name: "hot-usdt".to_owned(), subject: String::new() }
}

fn payer(account: u8) -> (ChainId, Address) {
    (ChainId::eip155(1), Address::from_canonical(format!("0x{account}")).unwrap())
}

/// What happens.
#[derive(Debug, Clone)]
enum Event {
    /// Refills of these amounts are asked for in one entry, each from one of two accounts and with the state of the chain that
    /// the watch read so many states ago.
    Asked(Vec<(u64, u8, usize)>),
    /// The next transaction of an account arrives, or fails there.
    Arrives(u8, bool),
    /// The vault pays so much.
    Pays(u64),
    /// Time goes by.
    Ages,
}

fn event() -> impl Strategy<Value = Event> {
    let refill = (0..MOST / 3, 0..2u8, prop_oneof![3 => Just(0usize), 1 => 0..6usize]);
    prop_oneof![
        4 => proptest::collection::vec(refill, 1..4).prop_map(Event::Asked),
        4 => (0..2u8, any::<bool>()).prop_map(|(account, fails)| Event::Arrives(account, fails)),
        2 => (0..MOST).prop_map(Event::Pays),
        1 => Just(Event::Ages),
    ]
}

/// The chain as it truly is.
#[derive(Debug, Clone, Default)]
struct Chain {
    holds: u64,
    next: [u64; 2],
}

impl Chain {
    fn seen(&self) -> Held {
        let passed = (0..2u8).map(|account| (payer(account), self.next[usize::from(account)])).collect();
        Held { amount: amount(self.holds), passed }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_held_back_the_vault_stays_below_its_ceiling(events in proptest::collection::vec(event(), 1..60)) {
        let charter = Charter::from_toml(include_str!("../../../development.sample.toml")).unwrap();
        let (main, id) = (LedgerId::new("main").unwrap(), LimitId::new("hot-usdt").unwrap());
        let (committee, mut book) = (committee(), Book::default());
        let (mut now_ms, mut number) = (NOW, 0);
        let (mut states, mut signed, mut given) = (vec![Chain::default()], [const { Vec::<u64>::new() }; 2], 0);
        for event in events {
            let mut chain = states.last().unwrap().clone();
            match event {
                Event::Ages => now_ms += AGES_MS,
                Event::Pays(most) => chain.holds -= most.min(chain.holds),
                Event::Arrives(account, fails) => {
                    let account = usize::from(account);
                    if let Some(refill) = signed[account].get(usize::try_from(chain.next[account]).unwrap()) {
                        chain.next[account] += 1;
                        chain.holds += if fails { 0 } else { *refill };
                    }
                }
                Event::Asked(refills) => {
                    let mut told = BTreeMap::new();
                    let mut next = [signed[0].len() as u64, signed[1].len() as u64];
                    let mut claims = Vec::new();
                    for (takes, account, ago) in &refills {
                        number += 1;
                        let (chain_id, from) = payer(*account);
                        let nonce = &mut next[usize::from(*account)];
                        let spends = Scope::Nonce { chain: chain_id, account: from, number: *nonce };
                        *nonce += 1;
                        let charges = [(scope(), amount(*takes)), (spends, Amount::ZERO)].into();
                        let claim = Claim { charges, ..claim(number, 0) };
                        let seen = states[states.len().saturating_sub(1 + ago)].seen();
                        told.insert(claim.intent, Attested::from([(id.clone(), seen)]));
                        claims.push(claim);
                    }
                    let room = |scope: &Scope, claims: &[Claim]| {
                        let counted = claims.iter().filter(|claim| claim.charges.contains_key(scope));
                        charter.ledger_room(&main, scope, counted.map(|claim| told.get(&claim.intent)))
                    };
                    if book.fits(&claims, now_ms, &room).is_ok() {
                        book.apply(&entry(&committee, None, now_ms, &claims));
                        for (takes, account, _) in &refills {
                            signed[usize::from(*account)].push(*takes);
                        }
                        given += refills.len();
                    } else if refills.iter().all(|(_, _, ago)| *ago == 0) {
                        // With the present state it is refused only where it could come to too much.
                        let asked: u64 = refills.iter().map(|(takes, _, _)| takes).sum();
                        prop_assert!(chain.holds + held_back(&chain, &signed) + asked > MOST);
                    }
                }
            }
            prop_assert!(chain.holds + held_back(&chain, &signed) <= MOST, "after {} refills", given);
            states.push(chain);
        }
    }
}

/// All that is signed and can still arrive.
fn held_back(chain: &Chain, signed: &[Vec<u64>; 2]) -> u64 {
    let waits = |(refills, next): (&Vec<u64>, &u64)| refills.iter().skip(usize::try_from(*next).unwrap()).sum::<u64>();
    signed.iter().zip(&chain.next).map(waits).sum()
}

#[test]
fn of_two_attestations_the_worse_counts() {
    let held = |most: u64, passed: &[(u8, u64)]| Held {
        amount: amount(most),
        passed: passed.iter().map(|(account, next)| (payer(*account), *next)).collect(),
    };
    let (one, other) = (held(5, &[(0, 7), (1, 3)]), held(4, &[(0, 6), (2, 9)]));
    assert_eq!(one.clone().or_worse(&other), held(5, &[(0, 6)]));
    assert_eq!(other.or_worse(&one), held(5, &[(0, 6)]));
}
