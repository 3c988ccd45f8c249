mod ceilings;
mod groups;
mod moments;
mod money;
mod properties;

use limen_wire::effects::{Address, AllowanceChange, ChainId};
use limen_wire::ids::{ClusterId, IntentId, KeyId, LimitId, RequesterId};
use limen_wire::intent::Payload;

use super::*;
use crate::charter::assets::Assets;
use crate::charter::vault::Per;

/// At a moment that no rule of these tests asks for.
fn decide(charter: &Charter, intent: &Intent, effects: &Effects) -> Decision {
    super::decide(charter, intent, effects, &When::at(0))
}

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
    assert!(allowed.allowed && allowed.reasons.is_empty() && allowed.requirements.is_empty(), "{allowed:?}");
    assert_eq!(allowed.rules, ["eth", "gas"]);
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
        vec![Effect::AuthorityChange { subject: address(US), to: address(MALLORY), kind: "erc173-ownership".into() }],
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

/// A charter with these rules instead of the sample's.
fn with_rules(rules: &str) -> Charter {
    let sample = include_str!("../../development.sample.toml");
    let head = &sample[..sample.find("[[rules]]").unwrap()];
    let group = "[asset_groups.coins]\nassets = [\"eth\", \"usdt\"]\ndecimals = 18\n";
    Charter::from_toml(&format!("{head}{group}{rules}")).unwrap()
}

const ANY_ETH: &str = r#"
[[rules]]
name = "any"
allow = "transfer"
asset = "eth"
max_amount = "100"
destinations = "anywhere"
"#;

fn judged(rules: &str, key: &str, list: Vec<Effect>) -> Decision {
    decide(&with_rules(rules), &intent("backend", key), &effects(list))
}

#[test]
fn deny_beats_every_rule_that_allows() {
    let rules =
        format!("{ANY_ETH}\n[[rules]]\nname = \"not there\"\ndeny = \"transfer\"\ndestinations = [\"{MALLORY}\"]\n");
    assert!(judged(&rules, "treasury", vec![transfer(eth(), 1, ALICE)]).allowed);
    let denied = judged(&rules, "treasury", vec![transfer(eth(), 1, ALICE), transfer(eth(), 1, MALLORY)]);
    assert!(!denied.allowed && denied.reasons[0].contains("\"not there\" denies it"), "{denied:?}");
    assert!(denied.requirements.is_empty() && denied.charges.is_empty());
}

#[test]
fn a_rule_that_requires_allows_nothing_by_itself() {
    let rules = "[[rules]]\nname = \"ask\"\nrequire = \"transfer\"\napprovals = \"1 of risk\"\n";
    let denied = judged(rules, "treasury", vec![transfer(eth(), 1, ALICE)]);
    assert!(!denied.allowed && denied.reasons[0].contains("no rule allows the class transfer"), "{denied:?}");
}

#[test]
fn requirements_of_all_rules_that_match_add_up() {
    let rules = format!(
        "{ANY_ETH}approvals = \"1 of treasury\"\ndelay_secs = 60\n
        [[rules]]\nname = \"much\"\nrequire = \"transfer\"\nasset = \"eth\"\nmore_than = \"10\"\napprovals = \"1 of risk\"\n"
    );
    let rules_of = |decision: &Decision| decision.requirements.iter().map(|r| r.rule.clone()).collect::<Vec<_>>();
    let little = judged(&rules, "treasury", vec![transfer(eth(), 10 * ETHER, ALICE)]);
    assert_eq!(rules_of(&little), ["any"]);
    let much =
        judged(&rules, "treasury", vec![transfer(eth(), 5 * ETHER, ALICE), transfer(eth(), 5 * ETHER + 1, ALICE)]);
    assert!(much.allowed);
    assert_eq!(rules_of(&much), ["any", "much"], "the sum counts");
    assert_eq!(much.requirements[0].needs.delay_secs, 60);
}

#[test]
fn in_doubt_a_rule_that_asks_or_denies_matches() {
    let typed = || Effect::TypedData {
        signer: address(US),
        primary_type: "Order".into(),
        verifying_contract: None,
        hash: [0; 32],
    };
    let allow = "[[rules]]\nname = \"orders\"\nallow = \"typed-data\"\ndestinations = \"anywhere\"\n";
    assert!(!judged(allow, "treasury", vec![typed()]).allowed, "nobody says which contract");
    let deny = format!("[[rules]]\nname = \"no\"\ndeny = \"typed-data\"\ndestinations = [\"{ALICE}\"]\n");
    let denied = judged(&deny, "treasury", vec![typed()]);
    assert!(denied.reasons.iter().any(|reason| reason.contains("\"no\" denies it")), "{denied:?}");
    let rules = format!("{ANY_ETH}\n[[rules]]\nname = \"theirs\"\ndeny = \"transfer\"\n");
    let huge = || Effect::Transfer { asset: eth(), amount: Amount::MAX, from: address(MALLORY), to: address(ALICE) };
    let denied = judged(&rules, "treasury", vec![huge(), huge()]);
    assert!(denied.reasons.iter().any(|reason| reason.contains("\"theirs\" denies it")), "{denied:?}");
}

#[test]
fn control_can_be_handed_over_with_approvals_only() {
    let to_mallory = |kind: &str| {
        vec![Effect::AuthorityChange { subject: address(US), to: address(MALLORY), kind: kind.to_owned() }]
    };
    let allowed = decision(to_mallory("eip7702-delegation"));
    assert!(allowed.allowed, "{allowed:?}");
    assert_eq!(
        allowed.requirements[0].needs.approvals.as_ref().unwrap().to_string(),
        "2 terminal of treasury then 1 of risk"
    );
    let denied = decision(to_mallory("eip7702-delegation-all-chains"));
    assert!(denied.reasons[0].contains("does not name eip7702-delegation-all-chains"), "{denied:?}");
    for class in ["authority-change", "unknown"] {
        let rules = format!("[[rules]]\nname = \"x\"\nallow = \"{class}\"\ndestinations = \"anywhere\"\n");
        let sample = include_str!("../../development.sample.toml");
        let head = &sample[..sample.find("[[rules]]").unwrap()];
        let error = Charter::from_toml(&format!("{head}{rules}")).unwrap_err();
        assert!(error.to_string().contains("approvals are needed"), "{error}");
    }
}

#[test]
fn the_vault_follows_from_the_key() {
    let list = || vec![transfer(eth(), 1, ALICE)];
    let reserve = decide(&charter(), &intent("backend", "reserve"), &effects(list()));
    assert_eq!(reserve.rules, ["reserve to venues"]);
    assert_eq!(reserve.requirements[0].needs.delay_secs, 86_400);
    let mut lying = intent("backend", "treasury");
    lying.vault = Some(VaultId::new("reserve").unwrap());
    let denied = decide(&charter(), &lying, &effects(list()));
    assert!(denied.reasons[0].contains("does not belong to it"), "{denied:?}");
    lying.key_id = KeyId::new("reserve").unwrap();
    assert!(decide(&charter(), &lying, &effects(list())).allowed);
}

#[test]
fn the_address_book_is_good_on_its_own_chain_only() {
    let here = decide(&charter(), &intent("backend", "reserve"), &effects(vec![transfer(eth(), 1, MALLORY)]));
    assert!(here.reasons.iter().any(|reason| reason.contains("pays nobody else")), "{here:?}");
    let mut elsewhere = effects(vec![transfer(eth(), 1, ALICE)]);
    elsewhere.chain = ChainId::eip155(1);
    let denied = decide(&charter(), &intent("backend", "reserve"), &elsewhere);
    assert!(denied.reasons.iter().any(|reason| reason.contains("pays nobody else")), "{denied:?}");
}

#[test]
fn limits_count_transfers_allowances_and_fees_by_their_subject() {
    let rules = format!("{ANY_ETH}\n[[rules]]\nname = \"gas\"\nallow = \"fee\"\nasset = \"eth\"\nmax_amount = \"1\"\n");
    let mut charter = with_rules(&rules);
    let limit = |per, max_amount: u128| Limit {
        id: LimitId::new("l").unwrap(),
        assets: Assets::One(eth()),
        currency: None,
        per,
        vaults: BTreeSet::new(),
        requesters: BTreeSet::new(),
        window_secs: Some(60),
        max_amount: Some(Amount::from_u128(max_amount)),
        max_count: None,
        split_amount: Amount::ZERO,
        split_count: 0,
        ceiling_of: None,
        ledger: None,
    };
    let list = || vec![transfer(eth(), 5, ALICE), transfer(eth(), 7, MALLORY), fee(100)];
    let mut charges = |per, max| {
        charter.limits = BTreeMap::from([(LimitId::new("l").unwrap(), limit(per, max))]);
        let decision = decide(&charter, &intent("backend", "treasury"), &effects(list()));
        let shown = decision.charges.iter().map(|one| format!("{}:{}", one.subject, one.amount)).collect::<Vec<_>>();
        (decision, shown)
    };
    assert_eq!(charges(Per::All, 112).1, [":112"]);
    assert_eq!(charges(Per::Key, 112).1, ["treasury:112"]);
    assert_eq!(charges(Per::Vault, 112).1, [":112"]);
    assert_eq!(charges(Per::Requester, 112).1, ["backend:112"]);
    assert_eq!(charges(Per::Destination, 7).1, [format!("{ALICE}:5"), format!("{MALLORY}:7")]);
    let (too_much, charged) = charges(Per::All, 111);
    assert!(!too_much.allowed && charged.is_empty());
    assert!(too_much.reasons[0].contains("allows at most 111, this request alone takes 112"), "{too_much:?}");
}

#[test]
fn limits_hold_for_the_vaults_and_requesters_that_they_name() {
    let charged = |requester: &str, key: &str| {
        let list = effects(vec![transfer(eth(), 1, ALICE)]);
        decide(&charter(), &intent(requester, key), &list).charges.len()
    };
    assert_eq!(charged("backend", "reserve"), 1);
    assert_eq!(charged("backend", "treasury"), 0);
    let usdt = decision(vec![transfer(token(), 5_000_000, ALICE)]);
    assert_eq!(usdt.charges[0].limit.as_str(), "usdt-a-day");
}

/// An approval is good for the slice that was consulted: everything in it is hashed, and nothing else.
#[test]
fn the_slice_changes_with_what_was_consulted_only() {
    let slice = |charter: &Charter, key: &str| {
        let list = effects(vec![transfer(eth(), 1, ALICE)]);
        decide(charter, &intent("backend", key), &list).slice
    };
    let sample = include_str!("../../development.sample.toml");
    let edited = |from: &str, to: &str| {
        assert!(sample.contains(from), "{from}");
        Charter::from_toml(&sample.replacen(from, to, 1)).unwrap()
    };
    let before = slice(&charter(), "reserve");
    for (from, to) in [
        (
            "approvals = \"2 terminal of treasury\"\ndelay_secs = 86400",
            "approvals = \"2 terminal of treasury\"\ndelay_secs = 1",
        ),
        ("approvals = \"2 terminal of treasury\"\ndelay", "approvals = \"1 terminal of treasury\"\ndelay"),
        ("members = [\"anna\", \"boris\", \"dora\"]", "members = [\"anna\", \"boris\"]"),
        ("id = \"boris-terminal\"", "id = \"boris-other\""),
        ("people = [\"dora\"]", "people = [\"anna\"]"),
        ("max_amount = \"5000\"", "max_amount = \"6000\""),
        ("max_amount = \"1000\"\ndest", "max_amount = \"999\"\ndest"),
    ] {
        assert_ne!(slice(&edited(from, to), "reserve"), before, "{from} → {to}");
    }
    for (from, to) in [
        ("max_amount = \"0.05\"", "max_amount = \"0.06\""),
        ("id = \"carla-service\"", "id = \"carla-other\""),
        (
            "id = \"exchange\"",
            "id = \"extra\"\nchain = \"eip155:1\"\naddress = \"0x90F79bf6EB2c4f870365E785982E1f101E93b906\"\n\n[[address_book]]\nid = \"exchange\"",
        ),
    ] {
        assert_eq!(slice(&edited(from, to), "reserve"), before, "{from} → {to}");
    }
}
