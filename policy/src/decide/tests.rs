use limen_wire::effects::{AllowanceChange, ChainId};
use limen_wire::ids::{ClusterId, IntentId, KeyId, RequesterId};
use limen_wire::intent::Payload;
use proptest::prelude::*;

use super::*;

const ALICE: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const MALLORY: &str = "0x90F79bf6EB2c4f870365E785982E1f101E93b906";
const US: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

fn charter() -> Charter {
    Charter::from_toml(include_str!("../../development.sample.toml")).unwrap()
}

fn address(text: &str) -> Address {
    Address::from_canonical(text).unwrap()
}

fn eth() -> Asset {
    Asset::Native(ChainId::eip155(31337))
}

fn token() -> Asset {
    charter().assets["usdt"].asset.clone()
}

fn transfer(asset: Asset, amount: u128, to: &str) -> Effect {
    Effect::Transfer { asset, amount: Amount::from_u128(amount), from: address(US), to: address(to) }
}

fn fee(amount: u128) -> Effect {
    Effect::Fee { asset: eth(), max_amount: Amount::from_u128(amount), payer: address(US) }
}

fn effects(list: Vec<Effect>) -> Effects {
    Effects { decoder_version: 1, chain: ChainId::eip155(31337), account: address(US), nonce: Some(0), list }
}

fn intent(requester: &str, key: &str) -> Intent {
    Intent {
        id: IntentId::new([1; 32]),
        cluster: ClusterId::new("sample").unwrap(),
        requester: RequesterId::new(requester).unwrap(),
        idempotency_key: "a".to_owned(),
        vault: None,
        key_id: KeyId::new(key).unwrap(),
        path: vec![],
        chain: Some(ChainId::eip155(31337)),
        payload: Payload::Message(bytes_of(b"")),
        expires_at_secs: 1,
        replaces: None,
        note: String::new(),
    }
}

fn bytes_of(bytes: &'static [u8]) -> bytes::Bytes {
    bytes::Bytes::from_static(bytes)
}

fn decision(list: Vec<Effect>) -> Decision {
    decide(&charter(), &intent("backend", "treasury"), &effects(list))
}

const ETHER: u128 = 1_000_000_000_000_000_000;

#[test]
fn what_a_rule_names_is_allowed_up_to_its_bound() {
    let allowed = decision(vec![transfer(eth(), 10 * ETHER, ALICE), fee(ETHER / 100)]);
    assert_eq!(allowed, Decision { allowed: true, rules: vec!["eth".into(), "gas".into()], reasons: vec![] });
    let denied = decision(vec![transfer(eth(), 10 * ETHER + 1, ALICE), fee(ETHER / 100)]);
    assert!(!denied.allowed);
    assert!(denied.reasons[0].contains("at most 10000000000000000000"), "{:?}", denied.reasons);
}

#[test]
fn a_request_cannot_get_past_a_bound_by_splitting_itself_up() {
    assert!(!decision(vec![transfer(eth(), 6 * ETHER, ALICE), transfer(eth(), 6 * ETHER, MALLORY)]).allowed);
    let huge = Effect::Transfer { asset: eth(), amount: Amount::MAX, from: address(US), to: address(ALICE) };
    assert!(!decision(vec![huge.clone(), huge]).allowed);
}

#[test]
fn destinations_hold() {
    assert!(decision(vec![transfer(token(), 5_000_000, ALICE)]).allowed);
    let denied = decision(vec![transfer(token(), 5_000_000, MALLORY)]);
    assert!(denied.reasons[0].contains(MALLORY), "{:?}", denied.reasons);
}

#[test]
fn other_peoples_assets_are_not_ours_to_move() {
    let theirs = Effect::Transfer { asset: eth(), amount: Amount::from_u128(1), from: address(ALICE), to: address(US) };
    assert!(!decision(vec![theirs]).allowed);
}

#[test]
fn the_fee_has_its_own_bound() {
    assert!(!decision(vec![transfer(eth(), 1, ALICE), fee(ETHER)]).allowed);
}

#[test]
fn what_no_rule_names_is_denied() {
    let asset = token();
    let cases = [
        vec![],
        vec![Effect::Unknown { what: "calldata".into(), hash: [0; 32], contract: None }],
        vec![Effect::Raw { digest: [0; 32] }],
        vec![Effect::AuthorityChange { subject: address(US), to: address(MALLORY), kind: "eip7702-delegation".into() }],
        vec![Effect::Deploy { from: address(US), contract: address(ALICE), code_hash: [0; 32] }],
        vec![Effect::Allowance {
            asset,
            amount: Amount::MAX,
            change: AllowanceChange::Set,
            owner: address(US),
            spender: address(MALLORY),
            expires_at: None,
            submit_by: None,
        }],
        vec![transfer(Asset::Erc20(ChainId::eip155(31337), address(MALLORY)), 1, ALICE)],
        vec![transfer(Asset::Native(ChainId::eip155(1)), 1, ALICE)],
    ];
    for list in cases {
        let what = format!("{list:?}");
        assert!(!decision(list).allowed, "{what}");
    }
    // One unknown among allowed effects denies the whole.
    assert!(
        !decision(vec![transfer(eth(), 1, ALICE), Effect::Unknown { what: "x".into(), hash: [0; 32], contract: None }])
            .allowed
    );
}

#[test]
fn requesters_and_keys_hold() {
    let list = effects(vec![transfer(eth(), 1, ALICE)]);
    assert!(!decide(&charter(), &intent("nobody", "treasury"), &list).allowed);
    assert!(
        !decide(&charter(), &intent("security", "treasury"), &list).allowed,
        "a duty for keys is none for requests"
    );
    let message = effects(vec![Effect::Message { signer: address(US), text: "hello".into() }]);
    assert!(decide(&charter(), &intent("backend", "greeter"), &message).allowed);
    assert!(!decide(&charter(), &intent("backend", "treasury"), &message).allowed);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Neither the order of rules nor that of effects changes whether something is allowed, nor by which rules.
    #[test]
    fn order_never_matters(
        amounts in proptest::collection::vec((0u128..12 * ETHER, 0usize..3, 0usize..2), 0..6),
        rules in Just((0..charter().rules.len()).collect::<Vec<_>>()).prop_shuffle(),
        seed in any::<u64>(),
    ) {
        let list: Vec<_> = amounts.iter().map(|(amount, what, to)| match what {
            0 => transfer(eth(), *amount, [ALICE, MALLORY][*to]),
            1 => transfer(token(), *amount % 10_000_000, [ALICE, MALLORY][*to]),
            _ => fee(*amount / 1000),
        }).collect();
        let first = decision(list.clone());
        let mut shuffled = charter();
        shuffled.rules = rules.iter().map(|i| charter().rules[*i].clone()).collect();
        let mut other = list;
        if !other.is_empty() {
            let middle = usize::try_from(seed).unwrap_or(0) % other.len();
            other.rotate_left(middle);
        }
        let second = decide(&shuffled, &intent("backend", "treasury"), &effects(other));
        prop_assert_eq!(first.allowed, second.allowed);
        prop_assert_eq!(first.rules, second.rules);
    }

    /// Raising an amount never turns a denial into an allowance.
    #[test]
    fn more_is_never_allowed_where_less_is_not(amount in 0u128..20 * ETHER, more in 0u128..20 * ETHER) {
        let small = decision(vec![transfer(eth(), amount, ALICE)]).allowed;
        let large = decision(vec![transfer(eth(), amount + more, ALICE)]).allowed;
        prop_assert!(small || !large);
    }
}
