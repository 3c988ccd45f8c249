//! External checks at a signer: shown each time, kept never.

use limen_wire::check::Check;
use limen_wire::ids::CheckerId;

use super::*;

const ASKS: &str = r#"
[[rules]]
name = "screened"
allow = "transfer"
asset = "eth"
max_amount = "10"
destinations = "anywhere"
checks = ["screening"]

[[rules]]
name = "gas"
allow = "fee"
asset = "eth"
max_amount = "1"
"#;

fn checker() -> SigningKey {
    SigningKey::ed25519_from_seed(&[0x51; 32].into())
}

/// The rules, with a checker of ours.
fn screened(rules: &str) -> Charter {
    let text = charter_text();
    let start = text.find("id = \"screening\"").unwrap();
    let line = text[start..].lines().find(|line| line.starts_with("public_key")).unwrap();
    let text = text.replace(line, &format!("public_key = \"{}\"", checker().public_key()));
    let head = &text[..text.find("[[rules]]").unwrap()];
    Charter::from_toml(&format!("{head}{rules}")).unwrap()
}

fn bench(rules: &str) -> Bench {
    let mut bench = Bench::new();
    bench.charter = screened(rules);
    bench
}

impl Bench {
    fn finding(&self) -> Check {
        Check {
            cluster: self.charter.cluster.clone(),
            intent_id: self.examined().intent().id,
            charter: self.charter.hash(),
            checker: CheckerId::new("screening").unwrap(),
            checked_at_secs: self.now.wall.as_secs(),
            expires_at_secs: self.now.wall.as_secs() + 300,
            objection: None,
            balances: [].into(),
            prices: [].into(),
            sequences: [].into(),
        }
    }

    fn found(&mut self, change: impl FnOnce(&mut Check)) {
        let mut check = self.finding();
        change(&mut check);
        self.checks.push(check.seal(&checker()));
    }
}

#[test]
fn nothing_is_signed_before_every_check_has_passed() {
    let mut bench = bench(ASKS);
    let progress = bench.announce(&[]);
    assert_eq!((progress.statuses[0].met, progress.statuses[0].missing.as_str()), (false, "the check by screening"));
    assert_eq!(bench.refused(&[]).0, Code::ApprovalsMissing);
    bench.found(|_| {});
    assert!(bench.announce(&[]).statuses[0].met);
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
}

/// A finding is not remembered: who asks for a signature shows one that holds now.
#[test]
fn a_finding_that_was_shown_before_counts_for_nothing() {
    let mut bench = bench(ASKS);
    bench.found(|_| {});
    assert!(bench.announce(&[]).statuses[0].met);
    let kept = std::mem::take(&mut bench.checks);
    assert_eq!(bench.refused(&[]).0, Code::ApprovalsMissing);
    bench.checks = kept;
    bench.run_for(301_000);
    let (code, message) = bench.refused(&[]);
    assert_eq!(code, Code::ApprovalsMissing);
    assert!(message.contains("the check by screening"), "{message}");
}

#[test]
fn an_objection_outweighs_a_pass() {
    let mut bench = bench(ASKS);
    bench.found(|check| check.objection = Some("on a list".to_owned()));
    bench.found(|_| {});
    let (code, message) = bench.refused(&[]);
    assert_eq!(code, Code::ApprovalsMissing);
    assert!(message.contains("checker screening objects: on a list"), "{message}");
}

#[test]
fn spoiled_findings_count_for_nothing() {
    type Spoil = fn(&mut Check);
    let spoils: [Spoil; 6] = [
        |check| check.cluster = ClusterId::new("other").unwrap(),
        |check| check.intent_id = IntentId::new([1; 32]),
        |check| check.charter = limen_wire::ids::CharterHash::new([1; 32]),
        |check| check.checker = CheckerId::new("other").unwrap(),
        |check| check.checked_at_secs += 31,
        |check| (check.checked_at_secs, check.expires_at_secs) = (1, 2),
    ];
    for (which, spoil) in spoils.into_iter().enumerate() {
        let mut bench = bench(ASKS);
        bench.found(spoil);
        assert_eq!(bench.refused(&[]).0, Code::ApprovalsMissing, "case {which}");
    }
    let mut bench = bench(ASKS);
    let good = bench.finding().seal(&checker());
    for position in 0..good.payload.len() {
        let mut bytes = good.payload.to_vec();
        bytes[position] ^= 1;
        bench.checks = vec![pb::Envelope { payload: bytes.into(), ..good.clone() }, pb::Envelope::default()];
        assert!(!bench.announce(&[]).statuses[0].met, "byte {position}");
    }
    bench.checks = vec![bench.finding().seal(&SigningKey::ed25519_from_seed(&[0x52; 32].into()))];
    assert!(!bench.announce(&[]).statuses[0].met, "another key");
}

/// So many are read, and no more: what counts must be among them.
#[test]
fn a_flood_of_findings_is_cut_off() {
    let mut bench = bench(ASKS);
    bench.checks = vec![pb::Envelope::default(); limits::EXTERNAL_CHECKS];
    bench.found(|_| {});
    assert!(!bench.announce(&[]).statuses[0].met);
    bench.checks.remove(0);
    assert!(bench.announce(&[]).statuses[0].met);
    let (charter, examined) = (bench.charter.clone(), bench.examined());
    bench.checks = vec![pb::Envelope::default(); 1000];
    let papers = Papers { approvals: &[], checks: &bench.checks };
    assert_eq!(Shown::read(&charter, &examined, None, &papers, bench.now).dropped, 1000);
}

/// A delay runs while the check is still out; both are needed in the end.
#[test]
fn no_delay_waits_for_a_check() {
    let delayed = ASKS.replacen("checks = ", "delay_secs = 60\nchecks = ", 1);
    let mut bench = bench(&delayed);
    bench.announce(&[]);
    bench.run_for(60_000);
    bench.found(|_| {});
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
}

/// Hours: what was examined a moment ago is decided anew.
#[test]
fn a_decision_is_as_old_as_the_moment_it_is_used_in() {
    let office = "hours = { from = \"00:00\", until = \"13:47\", utc_offset = \"+00:00\" }";
    let rules = ASKS.replacen("checks = [\"screening\"]", office, 1);
    let bench = bench(&rules);
    // WALL is 1970-01-12 13:46:40.
    let examined = bench.examined();
    assert!(examined.decision().allowed, "{:?}", examined.decision());
    let later = Now { wall: Millis(WALL.0 + 20_000), ..bench.now };
    let examined = examined.at(&bench.charter, later);
    assert!(!examined.decision().allowed);
    assert!(examined.at(&bench.charter, bench.now).decision().allowed);
}

/// Since when a credential is in force is not known: where that matters, what it approves does not count.
#[test]
fn credentials_of_unknown_age_do_not_count_where_age_matters() {
    let seasoned = RULE.replacen("delay_secs = 60", "credentials_for_secs = 1", 1);
    let mut bench = bench(&seasoned);
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    assert_eq!(bench.refused(&both).0, Code::ApprovalsMissing);
    let no = [bench.says("anna", Said::Reject)];
    assert!(bench.announce(&no).rejected.is_some(), "a no counts from whatever credential");
}

const OFFICE: &str = "hours = { from = \"00:00\", until = \"13:47\", utc_offset = \"+00:00\" }\napprovals = ";

/// A no is heard while the rules sleep, and approvals and delays outlast the night.
#[test]
fn what_is_said_out_of_hours_is_kept() {
    let rules = RULE.replacen("approvals = ", OFFICE, 1);
    let mut bench = bench(&rules);
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    assert!(bench.announce(&both).statuses[0].met);
    bench.run_for(30_000);
    assert_eq!(bench.refused(&[]).0, Code::PolicyDenied, "the office is closed");
    bench.now.wall = WALL;
    bench.now.uptime.0 += 30_000;
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)), "the delay went on");
    let mut bench = self::bench(&rules);
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    bench.announce(&both);
    bench.run_for(30_000);
    bench.announce(&[bench.says("dora", Said::Reject)]);
    bench.now.wall = WALL;
    bench.now.uptime.0 += 60_000;
    assert_eq!(bench.refused(&[]).0, Code::Rejected);
    // Who takes it back at night and approves anew is waited for anew, whoever shows both at once, or one after the other.
    for together in [true, false] {
        let mut bench = self::bench(&rules);
        let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
        bench.announce(&both);
        bench.run_for(30_000);
        let withdrawal = bench.approval("boris", Said::Withdraw);
        let preceding = Some(withdrawal.digest());
        let back = signed(withdrawal, "boris");
        let anew = signed(Approval { preceding, ..bench.approval("boris", Said::Approve) }, "boris");
        if together {
            bench.announce(&[back, anew]);
        } else {
            bench.announce(&[back]);
            bench.announce(&[anew]);
        }
        bench.now.wall = WALL;
        bench.now.uptime.0 += 30_000;
        assert_eq!(bench.refused(&[]).0, Code::TimeLocked);
    }
}

const MONEY: &str = r#"
[[rules]]
name = "payments"
allow = "transfer"
asset = "eth"
currency = "usd"
max_amount = "1000"
destinations = "anywhere"

[[rules]]
name = "two look"
require = "transfer"
asset = "eth"
currency = "usd"
more_than = "100"
approvals = "2 terminal of treasury"

[[rules]]
name = "gas"
allow = "fee"
asset = "eth"
max_amount = "1"
"#;

/// The rules in money, with prices of ours.
fn money() -> Bench {
    money_and("")
}

fn money_and(more: &str) -> Bench {
    let text = charter_text();
    let start = text.find("id = \"rates\"").unwrap();
    let line = text[start..].lines().find(|line| line.starts_with("public_key")).unwrap();
    let text = text.replace(line, &format!("public_key = \"{}\"", checker().public_key()));
    let mut bench = Bench::new();
    bench.charter = Charter::from_toml(&format!("{}{MONEY}{more}", &text[..text.find("[[rules]]").unwrap()])).unwrap();
    bench
}

impl Bench {
    /// The smallest unit of the coin is worth so many cents; the request moves nine.
    fn quoted(&mut self, cents: u128, change: impl FnOnce(&mut Check)) {
        let eth = self.charter.assets["eth"].asset.clone();
        let price = limen_wire::check::Price { value: limen_wire::effects::Amount::from_u128(cents), scale: 0 };
        self.found(|check| {
            check.checker = CheckerId::new("rates").unwrap();
            check.prices = [((eth, "usd".parse().unwrap()), price)].into();
            change(check);
        });
    }
}

#[test]
fn what_it_is_worth_at_a_fresh_price_decides() {
    let mut bench = money();
    let (code, message) = bench.refused(&[]);
    assert_eq!(code, Code::ApprovalsMissing);
    assert!(message.contains("what eip155:31337/slip44:60 is worth in usd, attested by rates"), "{message}");
    bench.quoted(1_111, |_| {});
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));

    let mut bench = money();
    bench.quoted(1_112, |_| {});
    let (code, message) = bench.refused(&[]);
    assert!(code == Code::ApprovalsMissing && message.contains("two look"), "{message}");
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    assert!(matches!(bench.sign(&both), Verdict::Allowed(_)));

    let mut bench = money();
    bench.quoted(11_112, |_| {});
    bench.quoted(1, |_| {});
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    assert_eq!(bench.refused(&both).0, Code::PolicyDenied, "the highest price counts");
}

/// A coordinator that chooses the price does not choose who is heard.
#[test]
fn a_no_counts_at_whatever_price_is_shown() {
    for cents in [1, 1_111, 1_112] {
        let mut bench = money();
        bench.quoted(cents, |_| {});
        let no = bench.says("anna", Said::Reject);
        assert_eq!(bench.refused(&[no]).0, Code::Rejected, "{cents}");
        assert_eq!(bench.refused(&[]).0, Code::Rejected, "it is for good");
    }
    // Nor does one that was said before any price was shown get lost.
    let mut bench = money();
    let no = bench.says("anna", Said::Reject);
    assert_eq!(bench.refused(&[no]).0, Code::Rejected);
    bench.quoted(1, |_| {});
    assert_eq!(bench.refused(&[]).0, Code::Rejected);
}

const WAITS: &str = r#"
[[rules]]
name = "waits"
require = "transfer"
approvals = "1 terminal of treasury"
delay_secs = 60
"#;

/// Whoever chooses which price is shown does not choose when a delay begins: it counts from the moment at which all rules that
/// match have their approvals, and has to be waited out after that.
#[test]
fn no_delay_runs_out_at_one_price_before_a_rule_is_met_that_matches_at_another() {
    const LOW: u128 = 1;
    const HIGH: u128 = 1_112;
    let shown = |bench: &mut Bench, cents| {
        bench.checks.clear();
        bench.quoted(cents, |_| {});
    };
    let begun = |people: &[&str]| {
        let mut bench = money_and(WAITS);
        shown(&mut bench, LOW);
        let said: Vec<_> = people.iter().map(|person| bench.says(person, Said::Approve)).collect();
        assert!(bench.announce(&said).statuses.iter().all(|status| status.met));
        bench
    };
    // Both have approved all the time: the price may move.
    let mut bench = begun(&["anna", "boris"]);
    bench.run_for(60_000);
    shown(&mut bench, HIGH);
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
    // At the low price nobody asks for the second one, who comes when the delay is nearly over.
    let mut bench = begun(&["anna"]);
    bench.run_for(59_000);
    bench.announce(&[bench.says("boris", Said::Approve)]);
    bench.run_for(1_000);
    shown(&mut bench, HIGH);
    assert_eq!(bench.refused(&[]).0, Code::TimeLocked);
    shown(&mut bench, LOW);
    assert_eq!(bench.refused(&[]).0, Code::TimeLocked, "it has begun anew, whatever is shown now");
    bench.run_for(59_999);
    assert_eq!(bench.refused(&[]).0, Code::TimeLocked);
    bench.run_for(1);
    shown(&mut bench, HIGH);
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
    // Somebody who takes back what nobody asks for now is missed later.
    let mut bench = begun(&["anna", "boris"]);
    bench.run_for(30_000);
    let withdrawal = bench.approval("boris", Said::Withdraw);
    let preceding = Some(withdrawal.digest());
    bench.announce(&[signed(withdrawal, "boris")]);
    bench.announce(&[signed(Approval { preceding, ..bench.approval("boris", Said::Approve) }, "boris")]);
    bench.run_for(30_000);
    shown(&mut bench, HIGH);
    assert_eq!(bench.refused(&[]).0, Code::TimeLocked);
    // While none is shown nothing is signed, and what runs goes on.
    let mut bench = begun(&["anna"]);
    bench.run_for(30_000);
    bench.checks.clear();
    bench.announce(&[]);
    assert_eq!(bench.refused(&[]).0, Code::ApprovalsMissing);
    bench.run_for(30_000);
    shown(&mut bench, HIGH);
    assert_eq!(bench.refused(&[]).0, Code::ApprovalsMissing, "the second one has not come");
    let mut bench = begun(&["anna"]);
    bench.run_for(30_000);
    bench.checks.clear();
    bench.announce(&[]);
    bench.run_for(30_000);
    shown(&mut bench, LOW);
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
    // Where the price stays low the rule has no say.
    let mut bench = begun(&["anna"]);
    bench.run_for(60_000);
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
}

/// Approvals outlast a price that has grown old, and nothing is signed until there is another one.
#[test]
fn a_price_that_is_spoiled_or_old_is_none() {
    type Spoil = fn(&mut Check);
    let spoils: [Spoil; 8] = [
        |check| check.cluster = ClusterId::new("other").unwrap(),
        |check| check.intent_id = IntentId::new([1; 32]),
        |check| check.charter = limen_wire::ids::CharterHash::new([1; 32]),
        |check| check.checker = CheckerId::new("screening").unwrap(),
        |check| check.checked_at_secs += 31,
        |check| check.checked_at_secs -= 120,
        |check| check.prices.clear(),
        |check| {
            let price = *check.prices.values().next().unwrap();
            let other = limen_wire::effects::Asset::Native(limen_wire::effects::ChainId::eip155(1));
            check.prices = [((other, "usd".parse().unwrap()), price)].into();
        },
    ];
    for (which, spoil) in spoils.into_iter().enumerate() {
        let mut bench = money();
        bench.quoted(1, spoil);
        let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
        let (code, message) = bench.refused(&both);
        assert!(code == Code::ApprovalsMissing && message.contains("is worth in usd"), "case {which}: {message}");
    }
    let mut bench = money();
    bench.quoted(5_000, |_| {});
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    assert!(bench.announce(&both).check().is_ok());
    bench.run_for(121_000);
    assert_eq!(bench.refused(&[]).0, Code::ApprovalsMissing);
    bench.quoted(5_000, |_| {});
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)));
}
