//! One test: the request that it tells of, and what the rules make of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use limen_wire::approval::{Approval, Verdict};
use limen_wire::effects::{Address, AllowanceChange, Amount, Asset, ChainId, Effect, Effects};
use limen_wire::ids::{
    ApprovalId, BookEntryId, CheckerId, CredentialId, CurrencyId, FreezeEpoch, IntentId, KeyId, LimitId, RequesterId,
    VaultId,
};
use limen_wire::intent::{Intent, Payload};

use super::file::{Expect, FileEffect, Given, Test};
use super::{CasesError, Judgement, Outcome};
use crate::approval::{Facts, Tally, Verified};
use crate::charter::Charter;
use crate::charter::hours::Day;
use crate::charter::rule::Class;
use crate::check::{Attested, Finding, Quotes, attested, price};
use crate::decide::{Decision, Evidence, InForce, When, decide};

/// The account that signs, where a test names none.
const ACCOUNT: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const DAY_SECS: u64 = 86_400;
/// 1970-01-05, a Monday.
const MONDAY: u64 = 4 * DAY_SECS;

/// Everything has been in force for so many seconds.
struct Since(u64);

impl InForce for Since {
    fn entry_secs(&self, _: &BookEntryId) -> Option<u64> {
        Some(self.0)
    }
    fn credential_secs(&self, _: &CredentialId) -> Option<u64> {
        Some(self.0)
    }
}

pub(super) fn run(charter: &Charter, given: &Given, test: &Test, line: usize) -> Result<Outcome, CasesError> {
    let bad = |reason: String| CasesError::Test { line, name: test.name.clone(), reason };
    let judgement = judge(charter, given, test).map_err(bad)?;
    let expected = missed(charter, &test.expect, &judgement).map_err(bad)?;
    Ok(Outcome { name: test.name.clone(), line, judgement, expected })
}

fn judge(charter: &Charter, given: &Given, test: &Test) -> Result<Judgement, String> {
    let word = |own: &Option<String>, general: &Option<String>| own.clone().or_else(|| general.clone());
    let intent = intent(charter, given, test)?;
    let effects = effects(charter, test, &intent, word(&test.account, &given.account))?;
    let now_secs = word(&test.at, &given.at).map_or(Ok(MONDAY), |text| moment(&text))?;
    let in_force = Since(word(&test.in_force, &given.in_force).map_or(Ok(u64::MAX), |text| duration(&text))?);
    let findings = found(charter, given, test)?;
    let when = When { now_secs, in_force: &in_force, quotes: &Quotes::of(&findings) };
    let decision = decide(charter, &intent, &effects, &when);
    if !decision.allowed {
        return Ok(Judgement::Refused(decision.reasons));
    }
    let over = over_limits(charter, test, &decision, &attested(charter, &findings))?;
    if !over.is_empty() {
        return Ok(Judgement::Refused(over));
    }
    let facts = Facts {
        cluster: charter.cluster.clone(),
        intent_id: intent.id,
        effects_digest: effects.digest(),
        decoder_version: effects.decoder_version,
        slice: decision.slice,
        freeze_epoch: FreezeEpoch::NONE,
    };
    let approvals = said(charter, test, &facts)?;
    let evidence =
        Evidence { charter, intent: &intent, facts: &facts, approvals: &approvals, findings: &findings, when };
    let waited = test.waited.as_deref().map_or(Ok(0), duration)?;
    Ok(requirements(&decision, &evidence, waited))
}

fn requirements(decision: &Decision, evidence: &Evidence<'_>, waited: u64) -> Judgement {
    let mut needs = Vec::new();
    for requirement in &decision.requirements {
        let mut lacks = |what: String| needs.push((requirement.rule.clone(), what));
        match requirement.tally(evidence) {
            Tally::Met { .. } => {}
            Tally::Wanting { missing } => lacks(missing.to_string()),
            Tally::TooMany { found } => lacks(format!("{found} approvals are more than are counted")),
            Tally::Rejected { by, reason } => return Judgement::Refused(vec![format!("{by} rejected it: {reason}")]),
        }
        if let Some(what) = requirement.unchecked(evidence) {
            lacks(what);
        }
        let left = requirement.needs.delay_secs.saturating_sub(waited);
        if left > 0 {
            lacks(format!("{left} s of its delay are left"));
        }
    }
    if needs.is_empty() { Judgement::Allowed } else { Judgement::Needs(needs) }
}

/// What was expected, if something else came.
fn missed(charter: &Charter, expect: &Expect, came: &Judgement) -> Result<Option<String>, String> {
    let named = |name: &str| {
        let rule = charter.rules.iter().any(|rule| rule.name == name);
        let limit = charter.limits.values().any(|limit| limit.id.as_str() == name || limit.title() == name);
        let person = charter.roster.people.keys().any(|person| person.as_str() == name);
        let price = name.starts_with("price of ");
        match rule || limit || person || price {
            true => Ok(()),
            false => Err(format!("expect: the charter has no rule, limit or person {name:?}")),
        }
    };
    let (met, wanted) = match expect {
        Expect::Word(word) if word == "allowed" => (*came == Judgement::Allowed, "allowed".to_owned()),
        Expect::Word(word) if word == "refused" => (matches!(came, Judgement::Refused(_)), "refused".to_owned()),
        Expect::Rule(rule) => match (&rule.needs, &rule.refused) {
            (Some(name), None) => {
                named(name)?;
                let lacks = |list: &[(String, String)]| list.iter().any(|(rule, _)| rule == name);
                (
                    matches!(came, Judgement::Needs(list) if lacks(list)),
                    format!("something that rule {name:?} asks for"),
                )
            }
            (None, Some(name)) => {
                named(name)?;
                let says = |reason: &String| {
                    let own = [
                        format!("rule {name:?}"),
                        format!("limit {name} "),
                        format!("ceiling {name} "),
                        format!("{name} rejected"),
                    ];
                    own.iter().any(|words| reason.contains(words.as_str()))
                };
                (matches!(came, Judgement::Refused(list) if list.iter().any(says)), format!("refused by {name:?}"))
            }
            _ => return Err("expect: one of needs and refused is to be named".to_owned()),
        },
        Expect::Word(word) => {
            let forms = "\"allowed\", \"refused\", { needs = RULE } or { refused = RULE }";
            return Err(format!("expect = {word:?}: what can be expected is {forms}"));
        }
    };
    Ok((!met).then_some(wanted))
}

fn over_limits(
    charter: &Charter,
    test: &Test,
    decision: &Decision,
    attested: &Attested,
) -> Result<Vec<String>, String> {
    let mut spent = BTreeMap::new();
    for (name, text) in &test.spent {
        let id = LimitId::new(name.clone()).map_err(|error| format!("spent: {error}"))?;
        let limit = charter.limits.get(&id).ok_or_else(|| format!("spent: there is no limit {name}"))?;
        let (_, decimals) = charter.unit(limit);
        let amount = Amount::from_units(text, decimals);
        spent.insert(id, amount.ok_or_else(|| format!("spent: {text:?} is not an amount"))?);
    }
    let over = decision.charges.iter().filter_map(|charge| {
        let limit = charter.limits.get(&charge.limit)?;
        let max = limit.max_amount?;
        let spent = spent.get(&charge.limit).copied().unwrap_or(Amount::ZERO);
        let held = attested.get(&charge.limit).map_or(Amount::ZERO, |held| held.amount);
        let used = spent.checked_add(held);
        let fits = used.and_then(|used| used.checked_add(charge.amount)).is_some_and(|sum| sum <= max);
        let (title, used, takes) = (limit.title(), used.unwrap_or(Amount::MAX), charge.amount);
        (!fits).then(|| format!("{title} allows {max}, {used} of it is used, this request takes {takes}"))
    });
    Ok(over.collect())
}

fn intent(charter: &Charter, given: &Given, test: &Test) -> Result<Intent, String> {
    let word = |what: &str, own: &Option<String>, general: &Option<String>| {
        own.clone().or_else(|| general.clone()).ok_or_else(|| format!("{what} is needed, here or in [given]"))
    };
    let chain = word("chain", &test.chain, &given.chain)?;
    let chain = ChainId::new(chain.clone()).ok_or_else(|| format!("chain: {chain:?} is no CAIP-2 name"))?;
    let (requester, key) = (word("requester", &test.requester, &given.requester)?, word("key", &test.key, &given.key)?);
    let payload = match &test.transaction {
        Some(text) => {
            let bytes = hex::decode(text.trim_start_matches("0x"));
            Payload::EvmTransaction(bytes.map_err(|error| format!("transaction: {error}"))?.into())
        }
        None => Payload::Message(Bytes::new()),
    };
    Ok(Intent {
        id: IntentId::new([7; 32]),
        cluster: charter.cluster.clone(),
        requester: RequesterId::new(requester).map_err(|error| error.to_string())?,
        idempotency_key: "test".to_owned(),
        vault: None,
        key_id: KeyId::new(key).map_err(|error| error.to_string())?,
        path: Vec::new(),
        chain: Some(chain),
        payload,
        expires_at_secs: u64::MAX,
        replaces: None,
        note: String::new(),
    })
}

fn address(charter: &Charter, text: &str) -> Result<Address, String> {
    if let Some(name) = text.strip_prefix("book:") {
        let id = BookEntryId::new(name).map_err(|error| error.to_string())?;
        let entry = charter.book.entry(&id).ok_or_else(|| format!("the address book has no entry {name}"))?;
        return Ok(entry.address.clone());
    }
    limen_chain::parse_address(text).map_err(|error| format!("{text:?}: {error}"))
}

fn effects(charter: &Charter, test: &Test, intent: &Intent, account: Option<String>) -> Result<Effects, String> {
    let account = address(charter, account.as_deref().unwrap_or(ACCOUNT))?;
    let chain = intent.chain.clone().unwrap_or_else(ChainId::offchain);
    if let Payload::EvmTransaction(bytes) = &intent.payload {
        if !test.does.is_empty() {
            return Err("does and transaction exclude each other".to_owned());
        }
        let kinds = |chain: &ChainId, contract: &Address| charter.token_kind(chain, contract);
        let payload = limen_chain::Payload::EvmTransaction(bytes);
        let decoded = limen_chain::decode(&payload, &chain, &account, &kinds);
        return decoded.map(|decoded| decoded.effects).map_err(|error| format!("transaction: {error}"));
    }
    let list = test.does.iter().map(|raw| effect(charter, raw, &account)).collect::<Result<_, _>>()?;
    // As a transaction of the account would do it.
    Ok(Effects { decoder_version: 1, chain, account, nonce: Some(0), list })
}

fn effect(charter: &Charter, raw: &FileEffect, us: &Address) -> Result<Effect, String> {
    let to = || raw.to.as_ref().map(|text| address(charter, text)).transpose();
    let there = || to()?.ok_or_else(|| "to is needed for this effect".to_owned());
    let name = || raw.name.clone().ok_or_else(|| "name is needed for this effect".to_owned());
    let from = || us.clone();
    Ok(match raw.effect {
        Class::Transfer => {
            let (asset, amount) = amount(charter, raw)?;
            Effect::Transfer { asset, amount, from: from(), to: there()? }
        }
        Class::Fee => {
            let (asset, max_amount) = amount(charter, raw)?;
            Effect::Fee { asset, max_amount, payer: from() }
        }
        Class::Allowance => {
            let (asset, amount) = amount(charter, raw)?;
            let (change, expires_at, submit_by) = (AllowanceChange::Set, None, None);
            Effect::Allowance { asset, amount, change, owner: from(), spender: there()?, expires_at, submit_by }
        }
        Class::Call => Effect::Call { contract: there()?, method: name()? },
        Class::Deploy => Effect::Deploy { from: from(), contract: there()?, code_hash: [0; 32] },
        Class::AuthorityChange => Effect::AuthorityChange { subject: from(), to: there()?, kind: name()? },
        Class::Message => Effect::Message { signer: from(), text: raw.name.clone().unwrap_or_default() },
        Class::TypedData => {
            let (primary_type, verifying_contract) = (name()?, to()?);
            Effect::TypedData { signer: from(), primary_type, verifying_contract, hash: [0; 32] }
        }
        Class::Unknown => {
            Effect::Unknown { what: raw.name.clone().unwrap_or_default(), hash: [0; 32], contract: to()? }
        }
        Class::Raw => Effect::Raw { digest: [0; 32] },
    })
}

fn amount(charter: &Charter, raw: &FileEffect) -> Result<(Asset, Amount), String> {
    let name = raw.asset.as_ref().ok_or("asset is needed for this effect")?;
    units(charter, name, raw.amount.as_ref().ok_or("amount is needed for this effect")?)
}

/// So many units of a registered asset.
fn units(charter: &Charter, name: &str, text: &str) -> Result<(Asset, Amount), String> {
    let entry = charter.assets.get(name).ok_or_else(|| format!("asset {name:?} is not registered"))?;
    let amount = Amount::from_units(text, entry.decimals);
    Ok((entry.asset.clone(), amount.ok_or_else(|| format!("{text:?} is not an amount"))?))
}

/// What people are to have said, each in sight of what was said before.
fn said(charter: &Charter, test: &Test, facts: &Facts) -> Result<Vec<Verified>, String> {
    let approve = test.approvals.iter().map(|credential| (credential, Verdict::Approve));
    let reject = test.rejected_by.iter().map(|credential| (credential, Verdict::Reject));
    let mut before: Option<ApprovalId> = None;
    approve
        .chain(reject)
        .map(|(name, verdict)| {
            let id = CredentialId::new(name.clone()).map_err(|error| format!("approvals: {error}"))?;
            let found = charter.roster.credential(&id);
            let (person, credential) = found.ok_or_else(|| format!("approvals: there is no credential {name}"))?;
            let reason = if verdict == Verdict::Reject { "no".to_owned() } else { String::new() };
            let draft = facts.clone().draft((person.id.clone(), id), verdict, (u64::MAX, [0; 32]));
            let approval = Approval { preceding: before, reason, ..draft };
            let said = Verified::unproved(approval, credential.class, false);
            before = Some(said.id());
            Ok(said)
        })
        .collect()
}

fn found(charter: &Charter, given: &Given, test: &Test) -> Result<Vec<Finding>, String> {
    let one = |name: &String| {
        let id = CheckerId::new(name.clone()).map_err(|error| format!("checks: {error}"))?;
        let known = charter.checkers.contains_key(&id);
        known
            .then(|| Finding::unproved(id, [].into(), [].into()))
            .ok_or_else(|| format!("checks: there is no checker {name}"))
    };
    let balances = test.balances.as_ref().or(given.balances.as_ref()).into_iter().flatten();
    let prices = test.prices.as_ref().or(given.prices.as_ref()).into_iter().flatten();
    let balances = balances.map(|(vault, held)| told(charter, vault, held));
    let prices = prices.map(|(currency, prices)| quoted(charter, currency, prices));
    test.checks.iter().map(one).chain(balances).chain(prices).collect()
}

/// What somebody says that things are worth who may.
fn quoted(charter: &Charter, currency: &str, prices: &BTreeMap<String, String>) -> Result<Finding, String> {
    let id = CurrencyId::new(currency).map_err(|error| format!("prices: {error}"))?;
    let currency = charter.currencies.get(&id).ok_or_else(|| format!("prices: there is no currency {id}"))?;
    let pricer = charter.pricers(&id).next().ok_or_else(|| format!("prices: no checker attests prices in {id}"))?;
    let one = |(name, text): (&String, &String)| {
        let entry = charter.assets.get(name).ok_or_else(|| format!("prices: asset {name:?} is not registered"))?;
        let price = price(text, entry.decimals, currency.decimals);
        Ok::<_, String>((
            (entry.asset.clone(), id.clone()),
            price.ok_or_else(|| format!("prices: {text:?} is no price"))?,
        ))
    };
    Ok(Finding::unproved(pricer.id.clone(), [].into(), prices.iter().map(one).collect::<Result<_, _>>()?))
}

/// What somebody tells of a vault who may.
fn told(charter: &Charter, vault: &str, held: &BTreeMap<String, String>) -> Result<Finding, String> {
    let id = VaultId::new(vault).map_err(|error| format!("balances: {error}"))?;
    let attester = charter.attesters(&id).next();
    let attester = attester.ok_or_else(|| format!("balances: no checker attests what vault {id} holds"))?;
    let one = |(name, text): (&String, &String)| {
        let (asset, amount) = units(charter, name, text).map_err(|error| format!("balances: {error}"))?;
        Ok::<_, String>(((id.clone(), asset), amount))
    };
    Ok(Finding::unproved(attester.id.clone(), held.iter().map(one).collect::<Result<_, _>>()?, [].into()))
}

/// `mon 10:00` as seconds since 1970, in UTC.
fn moment(text: &str) -> Result<u64, String> {
    let bad = || format!("at = {text:?}: a moment is written \"mon 10:00\", in UTC");
    let (day, time) = text.split_once(' ').ok_or_else(bad)?;
    let day = (0u64..).zip(Day::ALL).find(|(_, known)| known.as_str() == day).map(|(day, _)| day).ok_or_else(bad)?;
    let (hours, minutes) = time.split_once(':').ok_or_else(bad)?;
    let number = |text: &str, below: u64| text.parse::<u64>().ok().filter(|number| *number < below).ok_or_else(bad);
    let (hours, minutes) = (number(hours, 24)?, number(minutes, 60)?);
    Ok([day.saturating_mul(DAY_SECS), hours.saturating_mul(3600), minutes.saturating_mul(60)]
        .into_iter()
        .fold(MONDAY, u64::saturating_add))
}

/// `90s`, `15m`, `24h` or `2d` in seconds.
fn duration(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?}: a time is written 90s, 15m, 24h or 2d");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => DAY_SECS,
        _ => return Err(bad()),
    };
    let number = text.get(..text.len().saturating_sub(1)).and_then(|digits| digits.parse::<u64>().ok());
    number.and_then(|number| number.checked_mul(unit)).ok_or_else(bad)
}
