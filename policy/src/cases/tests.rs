//! The packs' own tests, and what test files can get wrong.

use super::*;
use crate::packs::{BASE, PACKS};

fn base(name: &str) -> Result<String, String> {
    if name == "base.toml" { Ok(BASE.to_owned()) } else { Err("no such file".to_owned()) }
}

#[test]
fn every_pack_does_what_its_tests_say() {
    for pack in &PACKS {
        let outcomes = run(pack.tests, &base).unwrap_or_else(|error| panic!("{}: {error}", pack.name));
        let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
        assert!(failed.is_empty(), "{}: {failed:#?}", pack.name);
    }
}

/// All packs go together, and none lets anything through that it refuses alone.
#[test]
fn packs_go_together() {
    let all: Vec<String> = PACKS.iter().map(|pack| format!("\"pack:{}\"", pack.name)).collect();
    for pack in &PACKS {
        let own = format!("\"pack:{}\"", pack.name);
        let text = pack.tests.replacen(&own, &all.join(", "), 1);
        assert!(run(&text, &base).unwrap().iter().all(Outcome::passed), "{}", pack.name);
    }
}

/// Every rule and limit of a pack is what some test of it is about, or can be taken out without anybody noticing.
#[test]
fn every_allowing_rule_of_a_pack_is_tested() {
    for pack in &PACKS {
        for rule in pack.charter.split("[[rules]]").skip(1).filter(|rule| rule.contains("\nallow = ")) {
            let without = pack.charter.replacen(&format!("[[rules]]{rule}"), "", 1);
            let text = pack.tests.replacen(&format!("\"pack:{}\"", pack.name), "\"edited.toml\"", 1);
            let part = |name: &str| if name == "edited.toml" { Ok(without.clone()) } else { base(name) };
            let same = run(&text, &part).is_ok_and(|outcomes| outcomes.iter().all(Outcome::passed));
            assert!(!same, "no test of {} needs {rule}", pack.name);
        }
    }
}

#[test]
fn warm_and_cold_packs_ask_for_a_terminal() {
    for name in ["warm", "cold"] {
        let pack = crate::packs::find(name).unwrap();
        let charter = crate::charter::Charter::from_toml(&format!("{BASE}\n{}", pack.charter)).unwrap();
        let found = crate::lint::lint(&charter);
        let about_vaults: Vec<_> = found.iter().filter(|one| one.message.contains("vault")).collect();
        let alone: Vec<_> = about_vaults.iter().filter(|one| !one.place.contains("fees")).collect();
        assert!(alone.is_empty(), "{name}: {alone:?}");
        assert!(!about_vaults.iter().any(|one| one.message.contains("passkeys alone")), "{name}: {about_vaults:?}");
    }
}

const HEAD: &str =
    "charter = [\"base.toml\", \"pack:hot\"]\n[given]\nrequester = \"backend\"\nkey = \"hot\"\nchain = \"eip155:1\"\n";

#[test]
fn a_test_that_fails_says_where_and_what_came() {
    let text = format!("{HEAD}\n[[test]]\nname = \"wrong\"\ndoes = [{{ effect = \"raw\" }}]\nexpect = \"allowed\"\n");
    let outcomes = run(&text, &base).unwrap();
    assert_eq!((outcomes[0].line, outcomes[0].expected.as_deref()), (7, Some("allowed")));
    assert!(outcomes[0].judgement.to_string().contains("no rule allows the class raw"), "{:?}", outcomes[0]);
}

#[test]
fn hours_and_checks_can_be_tested() {
    let rules = "[[checkers]]\nid = \"screening\"\nmax_age_secs = 60\n\
        public_key = \"ed25519:62a611b472d89b0e5fc93c069b9f700b4c552d55bc0e87b56008ef17b6b2bebe\"\n\
        [[rules]]\nname = \"office\"\nallow = \"message\"\nchecks = [\"screening\"]\n\
        hours = { days = [\"mon\"], from = \"08:00\", until = \"18:00\", utc_offset = \"+00:00\" }\n";
    let part = |name: &str| if name == "rules.toml" { Ok(rules.to_owned()) } else { base(name) };
    let head = HEAD.replace("pack:hot", "rules.toml");
    let one = |more: &str, expect: &str| {
        let does = "does = [{ effect = \"message\" }]";
        let text = format!("{head}\n[[test]]\nname = \"x\"\n{does}\n{more}\nexpect = {expect}\n");
        run(&text, &part).unwrap().remove(0)
    };
    for (more, expect) in [
        ("at = \"mon 08:00\"\nchecks = [\"screening\"]", "\"allowed\""),
        ("at = \"mon 08:00\"", "{ needs = \"office\" }"),
        ("at = \"mon 18:00\"\nchecks = [\"screening\"]", "{ refused = \"office\" }"),
        ("at = \"sun 12:00\"\nchecks = [\"screening\"]", "{ refused = \"office\" }"),
    ] {
        let outcome = one(more, expect);
        assert!(outcome.passed(), "{more}: {outcome:?}");
    }
}

#[test]
fn ceilings_can_be_tested() {
    let rules = "[[vaults]]\nid = \"hot\"\ntier = \"hot\"\nkeys = [\"hot\"]\n\
        [[checkers]]\nid = \"watch\"\nmax_age_secs = 60\nbalances_of = [\"hot\"]\n\
        public_key = \"ed25519:62a611b472d89b0e5fc93c069b9f700b4c552d55bc0e87b56008ef17b6b2bebe\"\n\
        [[address_book]]\nid = \"hot\"\nchain = \"eip155:1\"\nvault = \"hot\"\n\
        address = \"0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65\"\n\
        [[ceilings]]\nid = \"hot-eth\"\nvault = \"hot\"\nasset = \"eth\"\nmax_balance = \"100\"\n\
        [[ledgers]]\nid = \"main\"\nmembers = [\"signer-1\", \"signer-2\", \"signer-3\"]\nquorum = 3\ncorrupt = 1\n\
        [[rules]]\nname = \"refill\"\nallow = \"transfer\"\nasset = \"eth\"\nmax_amount = \"90\"\ndestinations = [\"book:hot\"]\n";
    let claimed = format!("claims = \"main\"\n{BASE}");
    let part = |name: &str| Ok(if name == "rules.toml" { rules.to_owned() } else { claimed.clone() });
    let head = HEAD.replace("pack:hot", "rules.toml").replace("key = \"hot\"", "key = \"cold\"");
    let head = format!("{head}balances = {{ hot = {{ eth = \"60\" }} }}\n");
    let one = |more: &str, expect: &str| {
        let does = "does = [{ effect = \"transfer\", asset = \"eth\", amount = \"30\", to = \"book:hot\" }]";
        run(&format!("{head}\n[[test]]\nname = \"x\"\n{does}\n{more}\nexpect = {expect}\n"), &part)
    };
    for (more, expect) in [
        ("", "\"allowed\""),
        ("spent = { hot-eth = \"10\" }", "\"allowed\""),
        ("spent = { hot-eth = \"10.1\" }", "{ refused = \"hot-eth\" }"),
        ("balances = { hot = { eth = \"70\" } }", "\"allowed\""),
        ("balances = { hot = { eth = \"70.1\" } }", "{ refused = \"hot-eth\" }"),
        ("balances = { }", "{ needs = \"ceiling hot-eth\" }"),
        ("balances = { hot = { usdt = \"1\" } }", "{ needs = \"ceiling hot-eth\" }"),
    ] {
        let outcome = one(more, expect).unwrap().remove(0);
        assert!(outcome.passed(), "{more}: {outcome:?}");
    }
    for (more, says) in [
        ("balances = { attic = { eth = \"1\" } }", "no checker attests what vault attic holds"),
        ("balances = { hot = { dai = \"1\" } }", "\"dai\" is not registered"),
        ("balances = { hot = { eth = \"much\" } }", "is not an amount"),
    ] {
        let error = one(more, "\"allowed\"").unwrap_err().to_string();
        assert!(error.contains(says), "{more}: {error}");
    }
}

#[test]
fn money_can_be_tested() {
    let rules = "[currencies.usd]\ndecimals = 2\n\
        [[checkers]]\nid = \"rates\"\nmax_age_secs = 60\nprices_in = [\"usd\"]\n\
        public_key = \"ed25519:62a611b472d89b0e5fc93c069b9f700b4c552d55bc0e87b56008ef17b6b2bebe\"\n\
        [[rules]]\nname = \"pay\"\nallow = \"transfer\"\nasset = \"eth\"\ncurrency = \"usd\"\nmax_amount = \"5000\"\n\
        destinations = \"anywhere\"\n";
    let part = |name: &str| if name == "rules.toml" { Ok(rules.to_owned()) } else { base(name) };
    let head = HEAD.replace("pack:hot", "rules.toml");
    let one = |more: &str, expect: &str| {
        let does = "does = [{ effect = \"transfer\", asset = \"eth\", amount = \"2\", to = \"book:exchange\" }]";
        run(&format!("{head}\n[[test]]\nname = \"x\"\n{does}\n{more}\nexpect = {expect}\n"), &part)
    };
    for (more, expect) in [
        ("prices = { usd = { eth = \"2500\" } }", "\"allowed\""),
        ("prices = { usd = { eth = \"2500.000000000000000001\" } }", "{ refused = \"pay\" }"),
        ("prices = { usd = { usdt = \"1\" } }", "{ needs = \"price of eip155:1/slip44:60 in usd\" }"),
        ("", "{ needs = \"price of eip155:1/slip44:60 in usd\" }"),
    ] {
        let outcome = one(more, expect).unwrap().remove(0);
        assert!(outcome.passed(), "{more}: {outcome:?}");
    }
    for (more, says) in [
        ("prices = { chf = { eth = \"1\" } }", "there is no currency chf"),
        ("prices = { usd = { dai = \"1\" } }", "\"dai\" is not registered"),
        ("prices = { usd = { eth = \"0\" } }", "is no price"),
        ("prices = { usd = { eth = \"much\" } }", "is no price"),
    ] {
        let error = one(more, "\"allowed\"").unwrap_err().to_string();
        assert!(error.contains(says), "{more}: {error}");
    }
}

#[test]
fn limits_in_money_can_be_tested() {
    let rules = "[currencies.usd]\ndecimals = 2\n\
        [[checkers]]\nid = \"rates\"\nmax_age_secs = 60\nprices_in = [\"usd\"]\n\
        public_key = \"ed25519:62a611b472d89b0e5fc93c069b9f700b4c552d55bc0e87b56008ef17b6b2bebe\"\n\
        [[limits]]\nid = \"a-day\"\nasset = \"eth\"\ncurrency = \"usd\"\nper = \"all\"\nwindow_secs = 86400\n\
        max_amount = \"9000\"\nsplit_amount = \"9000\"\n\
        [[rules]]\nname = \"pay\"\nallow = \"transfer\"\nasset = \"eth\"\nmax_amount = \"5000\"\ndestinations = \"anywhere\"\n";
    let part = |name: &str| if name == "rules.toml" { Ok(rules.to_owned()) } else { base(name) };
    let head = HEAD.replace("pack:hot", "rules.toml");
    for (more, expect) in [
        ("prices = { usd = { eth = \"2500\" } }", "\"allowed\""),
        ("prices = { usd = { eth = \"2500\" } }\nspent = { a-day = \"4000\" }", "\"allowed\""),
        ("prices = { usd = { eth = \"2500\" } }\nspent = { a-day = \"4000.01\" }", "{ refused = \"a-day\" }"),
        ("prices = { usd = { eth = \"4500.01\" } }", "{ refused = \"a-day\" }"),
        ("", "{ needs = \"price of eip155:1/slip44:60 in usd\" }"),
    ] {
        let does = "does = [{ effect = \"transfer\", asset = \"eth\", amount = \"2\", to = \"book:exchange\" }]";
        let text = format!("{head}\n[[test]]\nname = \"x\"\n{does}\n{more}\nexpect = {expect}\n");
        let outcome = run(&text, &part).unwrap().remove(0);
        assert!(outcome.passed(), "{more}: {outcome:?}");
    }
}

/// Real bytes can be judged as well: here a plain transfer of 1 wei.
#[test]
fn a_transaction_is_decoded() {
    let raw = "02ea0180010182520894 3c44cdddb6a900fa2b585dd299e03d12fa4293bc 01 80 c0".replace(' ', "");
    let raw = raw.replacen("02ea", "02df", 1);
    let text = format!("{HEAD}\n[[test]]\nname = \"x\"\ntransaction = \"0x{raw}\"\nexpect = \"allowed\"\n");
    let outcome = run(&text, &base).unwrap().remove(0);
    assert!(outcome.passed(), "{outcome:?}");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_line() {
    let does = "does = [{ effect = \"raw\" }]\n";
    for (more, says) in [
        ("expect = \"perhaps\"", "what can be expected is"),
        ("expect = { needs = \"nothing\" }", "no rule, limit or person \"nothing\""),
        ("expect = { }", "one of needs and refused"),
        ("approvals = [\"nobody\"]\nexpect = \"allowed\"", ""),
        ("at = \"someday\"\nexpect = \"refused\"", "a moment is written"),
        ("at = \"mon 24:00\"\nexpect = \"refused\"", "a moment is written"),
        ("in_force = \"1w\"\nexpect = \"refused\"", "a time is written"),
        ("key = \"A b\"\nexpect = \"refused\"", "key id"),
        ("chain = \"x\"\nexpect = \"refused\"", "CAIP-2"),
        ("account = \"book:nobody\"\nexpect = \"refused\"", "no entry nobody"),
        ("transaction = \"zz\"\nexpect = \"refused\"", "transaction:"),
        ("transaction = \"02\"\nexpect = \"refused\"", "exclude each other"),
    ] {
        let text = format!("{HEAD}\n[[test]]\nname = \"x\"\n{does}{more}\n");
        match run(&text, &base) {
            Err(error @ CasesError::Test { line: 7, .. }) => {
                assert!(error.to_string().contains(says), "{more}: {error}");
            }
            Ok(outcomes) if says.is_empty() => assert!(!outcomes[0].passed()),
            other => panic!("{more}: {other:?}"),
        }
    }
    for (effect, says) in [
        ("{ effect = \"transfer\", asset = \"eth\", amount = \"1\" }", "to is needed"),
        ("{ effect = \"transfer\", asset = \"gold\", amount = \"1\" }", "not registered"),
        ("{ effect = \"transfer\", asset = \"eth\", amount = \"-1\" }", "not an amount"),
        ("{ effect = \"transfer\", asset = \"eth\" }", "amount is needed"),
        ("{ effect = \"fee\", amount = \"1\" }", "asset is needed"),
        ("{ effect = \"call\", to = \"book:exchange\" }", "name is needed"),
        ("{ effect = \"call\", to = \"0x12\", name = \"x\" }", "0x12"),
    ] {
        let text = format!("{HEAD}\n[[test]]\nname = \"x\"\ndoes = [{effect}]\nexpect = \"refused\"\n");
        let error = run(&text, &base).unwrap_err().to_string();
        assert!(error.contains(says) && error.starts_with("line 7, test \"x\""), "{effect}: {error}");
    }
    let small = "does = [{ effect = \"transfer\", asset = \"eth\", amount = \"0.1\", to = \"book:exchange\" }]";
    for (more, says) in [
        ("spent = { nothing = \"1\" }", "no limit nothing"),
        ("spent = { hot-a-day = \"x\" }", "not an amount"),
        ("waited = \"soon\"", "a time is written"),
        ("approvals = [\"nobody\"]", "no credential nobody"),
        ("checks = [\"nobody\"]", "no checker nobody"),
    ] {
        let text = format!("{HEAD}\n[[test]]\nname = \"x\"\n{small}\n{more}\nexpect = \"refused\"\n");
        let error = run(&text, &base).unwrap_err().to_string();
        assert!(error.contains(says), "{more}: {error}");
    }
}

#[test]
fn files_that_are_no_tests() {
    let parts = |text: &str| run(text, &base).unwrap_err().to_string();
    assert!(parts("charter = []\nx = 1").contains("line 2"), "{}", parts("charter = []\nx = 1"));
    assert!(parts("charter = [\"base.toml\"]").contains("0 tests"));
    let test = "[[test]]\nname = \"x\"\nexpect = \"refused\"\n";
    assert!(parts(&format!("charter = [\"other.toml\"]\n{test}")).contains("no such file"));
    assert!(parts(&format!("charter = [\"pack:lukewarm\"]\n{test}")).contains("there are hot, warm, cold"));
    assert!(parts(&format!("charter = [\"pack:hot\"]\n{test}")).contains("made of pack:hot is refused"));
    let long = format!("#{}", " ".repeat(MAX_BYTES));
    assert!(parts(&long).contains("at most"));
}
