use limen_wire::effects::Amount;
use limen_wire::intent::Intent;
use limen_wire::keys::SigningKey;

use super::*;
use crate::check::{Attested, Held};
use crate::ledger::{Counts, Scope};

/// A development charter with three nodes, and rules for a coin and a token.
pub(crate) fn sample() -> String {
    include_str!("../../development.sample.toml").to_owned()
}

/// The same without a ceiling.
pub(crate) fn without_ceiling() -> String {
    let text = sample();
    let (start, end) = (text.find("# The most of an asset").unwrap(), text.find("# How this charter").unwrap());
    format!("{}{}", &text[..start], &text[end..])
}

fn refused(from: &str, to: &str) -> CharterError {
    let text = sample();
    assert!(text.contains(from), "the sample no longer contains {from:?}");
    Charter::from_toml(&text.replace(from, to)).expect_err("must be refused")
}

#[test]
fn former_identities_are_of_machines_that_are_there_and_do_not_come_back() {
    use crate::diff::{Direction, diff};
    let key = |seed: u8| limen_wire::keys::SigningKey::ed25519_from_seed(&[seed; 32].into()).public_key().to_string();
    let with = |node: &str, key: &str, statements: &str| {
        let table = format!(
            "\n[[former_identities]]\nnode = \"{node}\"\npublic_key = \"{key}\"\nstatements = [{statements}]\n"
        );
        Charter::from_toml(&format!("{}{table}", sample()))
    };
    let (hash, present) =
        (format!("\"{}\"", "ab".repeat(32)), Charter::from_toml(&sample()).unwrap().nodes[1].public_key.to_string());
    let good = with("signer-1", &key(1), &hash).unwrap();
    let node: NodeId = "signer-1".parse().unwrap();
    assert_eq!(good.former_identities.keys(&node, &[0xab; 32]).len(), 1);
    assert!(good.former_identities.keys(&node, &[0xac; 32]).is_empty());
    for refused in [with("signer-9", &key(1), ""), with("signer-1", &present, ""), with("signer-1", &key(1), "\"ab\"")]
    {
        assert!(matches!(refused, Err(CharterError::Invalid { place, .. }) if place == "former_identities"));
    }
    let named = with("signer-1", &key(1), "").unwrap();
    let directions = |old: &Charter, new: &Charter| -> Vec<Direction> {
        diff(old, new).iter().map(|change| change.direction).collect()
    };
    assert_eq!(directions(&Charter::from_toml(&sample()).unwrap(), &named), [Direction::Neutral]);
    assert_eq!(directions(&named, &good), [Direction::Loosens]);
    assert_eq!(directions(&good, &named), [Direction::Tightens]);
    assert_eq!(directions(&named, &Charter::from_toml(&sample()).unwrap()), [Direction::Loosens], "it could come back");
}

#[test]
fn the_sample_is_a_charter() {
    let charter = Charter::from_toml(&sample()).unwrap();
    assert_eq!(charter.cluster.as_str(), "sample");
    assert_eq!(charter.nodes.len(), 3);
    let eth = &charter.assets["eth"];
    assert_eq!(Amount::from_units("10", eth.decimals).unwrap(), Amount::from_u128(10_000_000_000_000_000_000));
    assert_eq!(charter.rules[0].amount.assets, Some(assets::Assets::One(eth.asset.clone())));
    assert_eq!(charter.roster.people.len(), 5);
    assert_eq!(charter.governance.as_ref().unwrap().quorum.to_string(), "2 of treasury and 1 of risk");
    assert_eq!(charter.bounds.max_sessions, 16);
}

#[test]
fn groups_of_assets_that_make_no_sense_are_refused() {
    let grouped = |group: &str, limit: &str| {
        let text = sample().replace("[assets.usdt]", &format!("{group}\n[assets.usdt]"));
        Charter::from_toml(&text.replace("asset = \"usdt\"\nper", &format!("{limit}\nper"))).map(drop)
    };
    let group =
        |assets: &str, decimals: u8| format!("[asset_groups.coins]\nassets = [{assets}]\ndecimals = {decimals}\n");
    let both = group("\"eth\", \"usdt\"", 18);
    let good = "asset_group = \"coins\"";
    assert_eq!(grouped(&both, good), Ok(()));
    let members: Vec<String> = (0..101).map(|_| "\"eth\"".to_owned()).collect();
    for (group, limit, why) in [
        (group("", 18), good, "1 to 100 assets make a group"),
        (group(&members.join(","), 18), good, "1 to 100 assets make a group"),
        (group("\"eth\", \"dai\"", 18), good, "asset \"dai\" is not registered"),
        (group("\"eth\", \"eth\"", 18), good, "is in it twice"),
        (group("\"eth\"", 17), good, "asset \"eth\" has 18 decimals, more than the group's"),
        (group("\"eth\"", 37), good, "more than 36 decimals"),
        (both.replace("coins", "Coins"), good, "is no tag"),
        (String::new(), good, "there is no asset group \"coins\""),
        (both.clone(), "asset = \"usdt\"\nasset_group = \"coins\"", "exclude each other"),
        (both, "", "it needs an asset or an asset_group"),
    ] {
        let error = grouped(&group, limit).unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
    }
    let many: String = (0..101).map(|n| group("\"eth\"", 18).replace("coins", &format!("g{n}"))).collect();
    assert!(grouped(&many, good).unwrap_err().to_string().contains("at most 100 are possible"));
}

#[test]
fn automatic_freezes_are_bounded_and_can_be_reached() {
    let with = |bound: &str| {
        let text = sample().replace("{ refused = 20, within_secs = 3600 }", bound);
        Charter::from_toml(&text).map(|charter| charter.governance.unwrap().automatic_freeze)
    };
    let found = with("{ refused = 1000, within_secs = 2592000 }").unwrap().unwrap();
    assert_eq!((found.refused, found.within_secs), (1000, 2_592_000));
    for (bound, why) in [
        ("{ refused = 0, within_secs = 60 }", "automatic_freeze.refused: 0 requests; 1 to 1000 are possible"),
        ("{ refused = 1001, within_secs = 60 }", "1 to 1000 are possible"),
        ("{ refused = 5, within_secs = 0 }", "automatic_freeze.within_secs: 0 seconds; 1 to 2592000 are possible"),
        ("{ refused = 5, within_secs = 2592001 }", "1 to 2592000 are possible"),
        ("{ refused = 5 }", "within_secs"),
        ("{ refused = 5, within_secs = 60, secs = 1 }", "unknown field"),
        ("{ refused = -1, within_secs = 60 }", "invalid value"),
    ] {
        let error = with(bound).unwrap_err().to_string();
        assert!(error.contains(why), "{error}, not {why}");
    }
    let narrow = sample().replace("max_denied = 10000", "max_denied = 19");
    let error = Charter::from_toml(&narrow).unwrap_err().to_string();
    assert!(error.contains("bounds.max_denied lets a signer take 19"), "{error}");
    let off = sample().replace("automatic_freeze = { refused = 20, within_secs = 3600 }\n", "");
    assert_eq!(Charter::from_toml(&off).unwrap().governance.unwrap().automatic_freeze, None);
}

#[test]
fn the_hash_names_the_exact_text() {
    let text = sample();
    let first = Charter::from_toml(&text).unwrap().hash();
    let second = Charter::from_toml(&format!("{text}\n# a remark")).unwrap().hash();
    assert_ne!(first, second);
}

#[test]
fn a_charter_is_for_development_only_if_it_says_so() {
    assert!(Charter::from_toml(&sample()).unwrap().is_development());
    for line in ["", "danger_development = false\n"] {
        let text = sample().replace("danger_development = true\n", line);
        assert!(!Charter::from_toml(&text).unwrap().is_development());
    }
}

#[test]
fn unknown_keys_and_versions_are_refused() {
    assert!(matches!(refused("cluster =", "colour = 1\ncluster ="), CharterError::Syntax(_)));
    assert_eq!(refused("version = 1", "version = 2"), CharterError::Version { found: 2 });
}

#[test]
fn one_machine_cannot_stand_for_two() {
    let charter = Charter::from_toml(&sample()).unwrap();
    let (first, second) = (charter.nodes[0].public_key.to_string(), charter.nodes[1].public_key.to_string());
    assert!(matches!(refused(&second, &first), CharterError::Invalid { .. }));
    assert!(matches!(refused("id = \"signer-2\"", "id = \"signer-1\""), CharterError::Invalid { .. }));
}

#[test]
fn a_node_identity_is_p256() {
    let charter = Charter::from_toml(&sample()).unwrap();
    let ed25519 = SigningKey::ed25519_from_seed(&[9; 32].into()).public_key().to_string();
    let error = refused(&charter.nodes[0].public_key.to_string(), &ed25519);
    assert!(error.to_string().contains("P-256"), "{error}");
}

#[test]
fn rules_must_say_what_they_bound() {
    for (from, to) in [
        ("max_amount = \"10\"", ""),
        ("max_amount = \"10\"", "max_amount = \"1.0000000000000000001\""),
        ("max_amount = \"10\"", "max_amount = \"-1\""),
        ("asset = \"eth\"", "asset = \"gold\""),
        ("destinations = \"anywhere\"", ""),
        ("destinations = \"anywhere\"", "destinations = []"),
        ("destinations = \"anywhere\"", "destinations = \"everywhere\""),
        ("destinations = \"anywhere\"", "destinations = [\"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293bc\"]"),
        ("requesters = [\"backend\"]", "requesters = [\"nobody\"]"),
        ("allow = \"message\"", "allow = \"message\"\nmax_amount = \"1\"\nasset = \"eth\""),
        ("allow = \"message\"\nkeys = [\"greeter\"]", "allow = \"raw\""),
    ] {
        let error = refused(from, to);
        assert!(matches!(error, CharterError::Invalid { .. }), "{from} → {to}: {error}");
    }
}

#[test]
fn verbs_and_needs_must_make_sense() {
    for (from, to, says) in [
        ("require = \"transfer\"", "require = \"transfer\"\nallow = \"transfer\"", "exactly one of"),
        ("require = \"transfer\"\n", "", "exactly one of"),
        ("more_than = \"100000\"", "more_than = \"100000\"\nmax_amount = \"100000\"", "less than max_amount"),
        ("deny = \"transfer\"", "deny = \"transfer\"\ndelay_secs = 1", "asks for nothing"),
        ("deny = \"transfer\"", "require = \"transfer\"", "it asks for nothing"),
        ("deny = \"transfer\"", "deny = \"transfer\"\nmore_than = \"1\"", "needs its asset"),
        ("deny = \"transfer\"", "deny = \"transfer\"\nnames = [\"x\"]", "names mean nothing"),
        ("deny = \"transfer\"", "deny = \"transfer\"\ndestinations = \"anywhere\"", "exclude each other"),
        ("deny = \"transfer\"", "allow = \"transfer\"\nasset = \"eth\"\nmax_amount = \"1\"", "names its destinations"),
        ("deny = \"transfer\"", "deny = \"fee\"", "destinations mean nothing"),
        ("names = [\"eip7702-delegation\"]", "names = [\"a b\"]", "without spaces"),
        ("\"book:exchange\"", "\"book:nobody\"", "no entry nobody"),
        ("\"book:exchange\"", "\"tag:nobody\"", "has the tag nobody"),
        ("\"book:exchange\"", "\"tag:No Tag\"", "is no tag"),
        ("vaults = [\"reserve\"]\nasset", "vaults = [\"attic\"]\nasset", "no vault attic"),
        ("delay_secs = 3600", "delay_secs = 99999999", "at most"),
    ] {
        let error = refused(from, to).to_string();
        assert!(error.contains(says), "{from} → {to}: {error}");
    }
}

#[test]
fn people_credentials_and_groups_must_make_sense() {
    let boris = "class = \"terminal\"\npublic_key = \"ed25519:";
    let sample_text = sample();
    let start = sample_text.find("id = \"boris-terminal\"").unwrap();
    let key = sample_text[start..].lines().find(|line| line.starts_with("public_key")).unwrap();
    let anna = sample_text[sample_text.find(boris).unwrap()..].lines().nth(1).unwrap().to_owned();
    for (from, to, says) in [
        (key, anna.as_str(), "has the public key"),
        ("id = \"boris\"", "id = \"anna\"", "named twice"),
        ("id = \"boris-terminal\"", "id = \"anna-terminal\"", "another credential is called"),
        ("id = \"anna-passkey\"", "id = \"anna-passkey\"\nclass = \"terminal\"", "does not show what it signs"),
        ("class = \"console\"\n", "", "class is needed"),
        ("[\"https://console.example\"]", "[\"http://console.example\"]", "no https origin"),
        ("[\"https://console.example\"]", "[\"https://evilconsole.example\"]", "no https origin"),
        ("[\"https://console.example\"]", "[\"https://console.example.evil\"]", "no https origin"),
        ("[\"https://console.example\"]", "[]", "1 to 8 are needed"),
        ("relying_party = \"console.example\"", "relying_party = \"Console\"", "lower-case host name"),
        ("members = [\"carla\"]", "members = [\"nobody\"]", "no person nobody"),
        ("members = [\"carla\"]", "members = [\"carla\", \"carla\"]", "named twice"),
        ("members = [\"carla\"]", "members = []", "nobody is in it"),
        ("people = [\"dora\"]", "people = [\"nobody\"]", "no person nobody"),
    ] {
        let error = refused(from, to).to_string();
        assert!(error.contains(says), "{from} → {to}: {error}");
    }
}

#[test]
fn vaults_limits_and_governance_must_make_sense() {
    let vault = "[[vaults]]\nid = \"other\"\ntier = \"hot\"\nkeys = [\"reserve\"]\n\n[[address_book]]";
    for (from, to, says) in [
        ("[[address_book]]", vault, "is in vault reserve already"),
        ("id = \"usdt-a-day\"", "id = \"reserve-ever\"", "named twice"),
        ("window_secs = 86400\n", "", "either window_secs"),
        ("window_secs = 86400\n", "window_secs = 0\n", "either window_secs"),
        ("lifetime = true\n", "lifetime = true\nwindow_secs = 1\n", "either window_secs"),
        ("split_amount = \"5000\"", "split_amount = \"5001\"", "are parts of"),
        ("split_count = 100", "split_count = 101", "are parts of"),
        ("lifetime = true\nmax_amount = \"5000\"\nmax_count = 100", "lifetime = true", "limits nothing"),
        ("asset = \"usdt\"\nper", "asset = \"gold\"\nper", "not registered"),
        ("quorum = \"2 of treasury and 1 of risk\"", "quorum = \"2 of nobody\"", "no group nobody"),
        ("quorum = \"2 of treasury and 1 of risk\"", "quorum = \"4 of treasury\"", "3 are in it"),
        ("quorum = \"2 of treasury and 1 of risk\"", "quorum = \"two\"", "cannot be read"),
        ("guardians = \"risk\"", "guardians = \"nobody\"", "no group nobody"),
        ("number = 1", "number = 0", "counted from 1"),
        ("number = 1", "number = 2", "parents is needed"),
        (
            "parents = []",
            "parents = [\"0000000000000000000000000000000000000000000000000000000000000000\"]",
            "no parents",
        ),
        ("voids = []", "voids = [\"00\"]", "charter hash"),
    ] {
        let error = refused(from, to).to_string();
        assert!(error.contains(says), "{from} → {to}: {error}");
    }
}

#[test]
fn witnesses_and_ledgers_must_make_sense() {
    let sample_text = sample();
    let witness =
        &sample_text[sample_text.find("[[witnesses]]").unwrap()..sample_text.find("# Who certifies").unwrap()];
    for (from, to, says) in [
        ("quorum = 3", "quorum = 2", "2q − N must be more than f"),
        ("quorum = 3", "quorum = 5", "cannot come together"),
        ("corrupt = 1\nreservation", "corrupt = 2\nreservation", "2q − N must be more than f"),
        ("\"signer-3\", \"witness-1\"]", "\"signer-3\", \"signer-3\"]", "in the ledger committee twice"),
        ("\"signer-3\", \"witness-1\"]", "\"signer-3\", \"nobody\"]", "no signer node or witness nobody"),
        ("\"signer-3\", \"witness-1\"]", "\"signer-3\"]", "it keeps no ledger"),
        ("reservation_secs = 300\n", "reservation_secs = 59\n", "60 to 86400"),
        ("reservation_secs = 300\n", "reservation_secs = 86401\n", "60 to 86400"),
        ("id = \"witness-1\"", "id = \"signer-1\"", "same id"),
        ("id = \"witness-1\"", "id = \"coordinator-1\"", "same id"),
        ("ledger = \"main\"", "ledger = \"other\"", "no ledger other"),
        ("claims = \"main\"", "claims = \"other\"", "in claims: there is no ledger other"),
        ("claims = \"main\"", "claims = \"no name\"", "in claims: "),
        ("window_secs = 86400\n", "window_secs = 2678401\n", "1 to 2678400 seconds"),
        (witness, "", "no signer node or witness witness-1"),
    ] {
        let error = refused(from, to).to_string();
        assert!(error.contains(says), "{from} → {to}: {error}");
    }
    let twice = "[[ledgers]]\nid = \"main\"\nmembers = [\"signer-1\"]\nquorum = 1\ncorrupt = 0\n\n[[coordinators]]";
    assert!(refused("[[coordinators]]", twice).to_string().contains("named twice"));
    let charter = Charter::from_toml(&sample_text.replace("window_secs = 86400\n", "window_secs = 2678400\n")).unwrap();
    assert_eq!(charter.witnesses[0].id.as_str(), "witness-1");
    assert!(charter.node(&charter.witnesses[0].id).is_none(), "a witness is in no key committee");
    assert!(charter.machine(&charter.witnesses[0].id).is_some() && charter.machine(&charter.nodes[0].id).is_some());
    let committee = charter.ledgers.values().next().unwrap();
    assert_eq!((committee.members().len(), committee.quorum(), committee.may_be_down()), (4, 3, 1));
    assert_eq!(committee.lifetime_ms(), 300_000);
}

#[test]
fn a_limit_is_divided_once() {
    let aside = "ledger = \"main\"\nsplit_amount = \"200000\"\nsplit_count = 100\n";
    let charter = Charter::from_toml(&sample().replacen("ledger = \"main\"\n", aside, 1)).unwrap();
    let limit = |name: &str| charter.limits[&LimitId::new(name).unwrap()].clone();
    let usdt = limit("usdt-a-day");
    let units = |text: &str| Amount::from_units(text, 6).unwrap();
    let divided = usdt.divided().unwrap().unwrap();
    assert_eq!((divided.certified.amount, divided.certified.count), (units("800000"), 400));
    assert_eq!((divided.uncertified.amount, divided.uncertified.count), (units("200000"), 100));
    assert_eq!(divided.counts, Counts::Window(86_400_000));
    assert!(limit("reserve-ever").divided().is_none(), "no ledger keeps it");
    let ever = vault::Limit { window_secs: None, ..usdt.clone() };
    assert_eq!(ever.divided().unwrap().unwrap(), crate::ledger::Limit { counts: Counts::Ever, ..divided });
    let unbounded = vault::Limit { max_count: None, split_count: 0, ..usdt.clone() };
    assert_eq!(unbounded.divided().unwrap().unwrap().certified.count, u64::MAX);
    let counted = vault::Limit { max_amount: None, split_amount: Amount::ZERO, ..usdt };
    assert_eq!(counted.divided().unwrap().unwrap().certified.amount, Amount::MAX);

    let (main, other) = (LedgerId::new("main").unwrap(), LedgerId::new("other").unwrap());
    let scope = |name: &str| Scope::Limit { name: name.to_owned(), subject: String::new() };
    assert_eq!(charter.ledger_limit(&main, &scope("usdt-a-day")), Some(divided));
    // What passes and what lasts are counted apart.
    let lasting = Scope::Lasting { name: "usdt-a-day".to_owned(), subject: String::new() };
    assert_eq!(charter.ledger_limit(&main, &lasting), None);
    assert_eq!(charter.ledger_limit(&main, &scope("hot-usdt")), None);
    assert_eq!(charter.ledger_limit(&other, &scope("usdt-a-day")), None);
    assert_eq!(charter.ledger_limit(&main, &scope("reserve-ever")), None);
    assert_eq!(charter.ledger_limit(&main, &scope("nothing")), None);
}

#[test]
fn every_request_claims_what_counts_once_where_the_charter_says_so() {
    use limen_wire::effects::{Address, ChainId, Effects};
    let (request, with) = (intent(), Charter::from_toml(&sample()).unwrap());
    let chain = ChainId::eip155(1);
    let account = Address::from_canonical("0x70997970C51812dc3A010C7d01b50e0d17dc79C8").unwrap();
    let does = |nonce| Effects {
        decoder_version: Effects::DECODER_VERSION,
        chain: chain.clone(),
        account: account.clone(),
        nonce,
        list: Vec::new(),
    };
    let scopes = |charter: &Charter, effects: &Effects| -> Vec<(String, Vec<Scope>)> {
        let demands = charter.demands(&request, effects).unwrap().into_iter();
        demands.map(|(ledger, demand)| (ledger.to_string(), demand.sums.into_keys().collect())).collect()
    };
    let key = Scope::Idempotency { requester: request.requester.clone(), key: request.idempotency_key.clone() };
    let nonce = Scope::Nonce { chain: chain.clone(), account: account.clone(), number: 7 };
    assert_eq!(scopes(&with, &does(Some(7))), [("main".to_owned(), vec![key.clone(), nonce])]);
    assert_eq!(scopes(&with, &does(None)), [("main".to_owned(), vec![key])], "a message burns no number");
    let without = Charter::from_toml(&without_ceiling().replace("claims = \"main\"\n", "")).unwrap();
    assert!(scopes(&without, &does(Some(7))).is_empty());
}

fn intent() -> Intent {
    Intent {
        id: limen_wire::ids::IntentId::new([1; 32]),
        cluster: ClusterId::new("sample").unwrap(),
        requester: RequesterId::new("backend").unwrap(),
        idempotency_key: "a".to_owned(),
        vault: None,
        key_id: limen_wire::ids::KeyId::new("treasury").unwrap(),
        path: vec![],
        chain: None,
        payload: limen_wire::intent::Payload::Message(Vec::new().into()),
        expires_at_secs: 1,
        replaces: None,
        note: String::new(),
    }
}

#[test]
fn a_charter_of_any_length_is_not_parsed() {
    let text = format!("#{}", " ".repeat(MAX_BYTES));
    assert!(matches!(Charter::from_toml(&text), Err(CharterError::TooLarge { .. })));
}

#[test]
fn indices_follow_the_list_of_members() {
    let node = |id: &str| NodeId::new(id).unwrap();
    let members = [node("b"), node("a")];
    assert_eq!(index_in(&members, &node("b")).unwrap().as_u8(), 1);
    assert_eq!(index_in(&members, &node("a")).unwrap().as_u8(), 2);
    assert!(index_in(&members, &node("c")).is_none());
}

#[test]
fn a_ceiling_is_a_limit_of_what_flows_into_a_vault() {
    let charter = Charter::from_toml(&sample()).unwrap();
    let ceiling = &charter.limits[&LimitId::new("hot-usdt").unwrap()];
    let hot = ceiling.ceiling_of.clone().unwrap();
    assert_eq!((hot.as_str(), ceiling.title().as_str()), ("hot", "ceiling hot-usdt"));
    assert_eq!((ceiling.max_amount, ceiling.window_secs), (Amount::from_units("100000", 6), None));
    assert_eq!(ceiling.ledger, charter.claims_ledger);
    assert_eq!(charter.attesters(&hot).map(|one| one.id.as_str()).collect::<Vec<_>>(), ["balance-watch"]);
    let (ours, other) = ("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8");
    let is_of = |address: &str| charter.book.is_of(&Address::from_canonical(address).unwrap(), &hot);
    assert!(is_of(ours) && !is_of(other));
}

#[test]
fn ceilings_must_make_sense() {
    let whole = &sample()[sample().find("[[ceilings]]").unwrap()..sample().find("# How this charter").unwrap()];
    let other = whole.replace("hot-usdt", "other");
    let many: String = (0..101).map(|n| whole.replace("hot-usdt", &format!("c{n}"))).collect();
    for (from, to, says) in [
        ("vault = \"hot\"\nasset = \"usdt\"", "vault = \"attic\"\nasset = \"usdt\"", "there is no vault attic"),
        ("vault = \"hot\"\nasset = \"usdt\"", "vault = \"reserve\"\nasset = \"usdt\"", "nobody attests what the vault"),
        ("asset = \"usdt\"\nmax_balance", "asset = \"dai\"\nmax_balance", "\"dai\" is not registered"),
        ("asset = \"usdt\"\nmax_balance", "max_balance", "it needs an asset or an asset_group"),
        ("max_balance = \"100000\"", "max_balance = \"0.0000001\"", "is not an amount"),
        ("claims = \"main\"\n", "", "name one in claims"),
        ("balances_of = [\"hot\"]", "balances_of = [\"attic\"]", "there is no vault attic"),
        ("balances_of = [\"hot\"]", "", "nobody attests what the vault holds"),
        ("vault = \"hot\"\n\n# So much", "vault = \"attic\"\n\n# So much", "there is no vault attic"),
        ("id = \"hot-usdt\"", "id = \"usdt-a-day\"", "a limit or another ceiling has the same name"),
        ("name = \"gas\"", "name = \"ceiling hot-usdt\"", "a ceiling is called so"),
        (whole, &format!("{whole}{whole}"), "a limit or another ceiling has the same name"),
        (whole, &many, "at most 100 are possible"),
    ] {
        let error = refused(from, to).to_string();
        assert!(error.contains(says), "{from} → {to}: {error}");
    }
    assert!(Charter::from_toml(&sample().replace(whole, &format!("{whole}{other}"))).is_ok());
}

/// What a vault holds takes room from its ceiling, for all requests together as much as for the worst of them.
#[test]
fn a_ceiling_has_room_for_what_is_attested() {
    let charter = Charter::from_toml(&sample()).unwrap();
    let (main, id) = (LedgerId::new("main").unwrap(), LimitId::new("hot-usdt").unwrap());
    let scope = Scope::Lasting { name: "hot-usdt".to_owned(), subject: String::new() };
    let units = |text: &str| Amount::from_units(text, 6).unwrap();
    let told = |text: &str| Attested::from([(id.clone(), Held { amount: units(text), ..Held::default() })]);
    let room = |all: &[Option<Attested>]| {
        charter.ledger_room(&main, &scope, all.iter().map(Option::as_ref)).unwrap().certified.amount
    };
    assert_eq!(room(&[Some(told("30000"))]), units("70000"));
    assert_eq!(room(&[Some(told("30000")), Some(told("99999.9")), Some(told("0"))]), units("0.1"));
    assert_eq!(room(&[Some(told("100000.000001"))]), Amount::ZERO);
    assert_eq!(room(&[Some(told("0")), None]), Amount::ZERO);
    assert_eq!(room(&[Some(Attested::new())]), Amount::ZERO);
    // Other limits have the room that they have.
    let day = Scope::Limit { name: "usdt-a-day".to_owned(), subject: String::new() };
    assert_eq!(charter.ledger_room(&main, &day, [None].into_iter()), charter.ledger_limit(&main, &day));
}

#[test]
fn money_must_make_sense() {
    let money = "currency = \"usd\"\nmore_than = \"10000\"";
    let many: String = (0..16).map(|n| format!("[currencies.c{n}]\ndecimals = 2\n")).collect();
    for (from, to, says) in [
        ("currency = \"usd\"", "currency = \"chf\"", "there is no currency chf"),
        ("currency = \"usd\"", "currency = \"U S\"", "currency"),
        (money, "currency = \"usd\"", "currency means nothing without"),
        (money, "currency = \"usd\"\nmore_than = \"0.001\"", "at most 2 places"),
        ("asset = \"usdt\"\ncurrency = \"usd\"", "currency = \"usd\"", "an amount needs its asset"),
        ("[currencies.usd]\ndecimals = 2", "[currencies.usd]\ndecimals = 37", "more than 36 decimals"),
        ("[currencies.usd]", &format!("{many}[currencies.usd]"), "at most 16 are possible"),
        ("prices_in = [\"usd\"]", "prices_in = [\"chf\"]", "there is no currency chf"),
        ("prices_in = [\"usd\"]", "", "nobody attests prices: name usd in prices_in"),
        ("currency = \"usd\"\nvaults", "currency = \"chf\"\nvaults", "there is no currency chf"),
        ("max_amount = \"250000\"", "max_count = 1", "currency means nothing without max_amount"),
        ("max_amount = \"250000\"", "max_amount = \"250000.001\"", "at most 2 places"),
        ("max_balance", "currency = \"usd\"\nmax_balance", "unknown field"),
        ("allow = \"message\"", "allow = \"message\"\ncurrency = \"usd\"", "currency means nothing without"),
    ] {
        let error = refused(from, to).to_string();
        assert!(error.contains(says), "{from} → {to}: {error}");
    }
}
