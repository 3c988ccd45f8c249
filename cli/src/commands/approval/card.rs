//! The card: what an approver sees, made from the bytes. Text from outside is escaped, so that nothing in it can look like
//! a line of ours.

#[cfg(test)]
mod tests;

use limen_policy::charter::rule::DelayFrom;
use limen_policy::charter::vault::Tier;
use limen_policy::decide::Requirement;
use limen_wire::approval::{Approval, Verdict};
use limen_wire::effects::{Address, AllowanceChange, Amount, Asset, Effect};
use limen_wire::ids::NodeId;

use super::case::Case;

/// One line: what it is about, what it says, and whether it should alarm.
struct Line {
    label: String,
    text: String,
    alarm: bool,
}

/// Everything to be read before signing.
pub(super) struct Card {
    lines: Vec<Line>,
}

const LABEL_WIDTH: usize = 14;
const RED: &str = "\u{1b}[1;31m";
const PLAIN: &str = "\u{1b}[0m";

/// The read-back words, in rows of four.
pub(in crate::commands) fn words(words: &[&str]) -> String {
    let rows: Vec<String> = words.chunks(4).map(|row| format!("    {}", row.join(" "))).collect();
    format!("\nRead back these words; they must be the same on your other screen:\n{}\n", rows.join("\n"))
}

/// Makes the card.
pub(super) fn card(case: &Case, approval: &Approval, now_secs: u64) -> Card {
    let mut card = Card { lines: Vec::new() };
    card.request(case, now_secs);
    for (index, effect) in case.effects.list.iter().enumerate() {
        card.effect(case, index.saturating_add(1), effect);
    }
    card.rules(case, approval);
    card.verdict(case, approval, now_secs);
    card
}

impl Card {
    fn say(&mut self, label: &str, text: impl Into<String>) {
        self.lines.push(Line { label: label.to_owned(), text: text.into(), alarm: false });
    }

    fn alarm(&mut self, label: &str, text: impl Into<String>) {
        self.lines.push(Line { label: label.to_owned(), text: text.into(), alarm: true });
    }

    /// For a terminal: alarms in red if it has colours, and with a mark in any case.
    pub(super) fn text(&self, colour: bool) -> String {
        let line = |line: &Line| {
            let (on, off) = if line.alarm && colour { (RED, PLAIN) } else { ("", "") };
            let mark = if line.alarm { "! " } else { "" };
            let indent = format!("\n{:LABEL_WIDTH$}| ", "");
            let text = line.text.replace('\n', &indent);
            format!("{:LABEL_WIDTH$}{on}{mark}{text}{off}", line.label)
        };
        self.lines.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn request(&mut self, case: &Case, now_secs: u64) {
        let intent = &case.intent;
        self.say("intent", intent.id.to_string());
        self.say("cluster", intent.cluster.to_string());
        self.say("asked by", format!("{} as {:?}", intent.requester, intent.idempotency_key));
        if !intent.note.is_empty() {
            self.say("why", format!("{:?}, says the requester", intent.note));
        }
        let path: String = intent.path.iter().map(|step| format!("/{step}")).collect();
        let vault = case.charter.vaults.of_key(&intent.key_id);
        let vault = vault.map_or_else(String::new, |vault| format!(", vault {} ({})", vault.id, tier(vault.tier)));
        self.say("key", format!("{} m{path}{vault}", intent.key_id));
        if let Some(key) = case.charter.hsm_keys.get(&intent.key_id) {
            self.alarm("", outside_the_promise(&key.node));
        }
        self.say("account", grouped(&case.effects.account));
        let nonce = case.effects.nonce.map_or_else(String::new, |nonce| format!(", number {nonce}"));
        self.say("on", format!("{}{nonce}", case.effects.chain));
        if let Some(replaced) = intent.replaces {
            self.say("replaces", replaced.to_string());
        }
        let expires = "intent ends";
        match intent.expires_at_secs.checked_sub(now_secs) {
            Some(left) if left > 0 => self.say(expires, format!("in {}", span(left))),
            _ => self.alarm(expires, "it has expired"),
        }
    }

    fn effect(&mut self, case: &Case, number: usize, effect: &Effect) {
        let label = format!("{number} {}", effect.class());
        match effect {
            Effect::Transfer { asset, amount, from, to } => {
                self.amount(case, &label, "", asset, amount);
                self.say("  from", place(case, from));
                self.say("  to", place(case, to));
            }
            Effect::Fee { asset, max_amount, payer } => {
                self.amount(case, &label, "at most ", asset, max_amount);
                self.say("  paid by", place(case, payer));
            }
            Effect::Allowance { asset, amount, change, owner, spender, expires_at, submit_by } => {
                let how = match change {
                    AllowanceChange::Set => "somebody else may move up to ",
                    AllowanceChange::Increase => "somebody else may move more, by ",
                    AllowanceChange::Decrease => "somebody else may move less, by ",
                };
                self.amount(case, &label, how, asset, amount);
                self.say("  of", place(case, owner));
                self.say("  spender", place(case, spender));
                let ends = expires_at.map_or_else(|| "never".to_owned(), |at| format!("at {at} seconds"));
                self.say("  ends", ends);
                submit_by.iter().for_each(|at| self.say("  usable", format!("until {at} seconds")));
            }
            Effect::AuthorityChange { subject, to, kind } => {
                self.alarm(&label, format!("control changes hands: {}", plain(kind)));
                self.say("  over", place(case, subject));
                self.say("  goes to", place(case, to));
            }
            Effect::Deploy { from, contract, code_hash } => {
                self.say(&label, format!("a new contract, code SHA-256 {}", hex::encode(code_hash)));
                self.say("  by", place(case, from));
                self.say("  at", place(case, contract));
            }
            other => self.saying(case, &label, other),
        }
    }

    /// Effects that move nothing by themselves.
    fn saying(&mut self, case: &Case, label: &str, effect: &Effect) {
        match effect {
            Effect::Call { contract, method } => {
                self.say(label, plain(method));
                self.say("  of", place(case, contract));
            }
            Effect::Message { signer, text } => {
                self.say(label, text.lines().map(plain).collect::<Vec<_>>().join("\n"));
                self.say("  signed by", place(case, signer));
            }
            Effect::TypedData { signer, primary_type, verifying_contract, hash } => {
                self.alarm(label, format!("{} of unknown meaning, hash {}", plain(primary_type), hex::encode(hash)));
                self.say("  signed by", place(case, signer));
                verifying_contract.iter().for_each(|contract| self.say("  for", place(case, contract)));
            }
            Effect::Unknown { what, contract, hash } => {
                self.alarm(label, format!("UNKNOWN: {}, SHA-256 {}", plain(what), hex::encode(hash)));
                contract.iter().for_each(|contract| self.say("  sent to", place(case, contract)));
            }
            Effect::Raw { digest } => {
                self.alarm(label, format!("UNKNOWN: a bare digest hides what it does: {}", hex::encode(digest)));
            }
            other => self.alarm(label, format!("{other:?}")),
        }
    }

    fn amount(&mut self, case: &Case, label: &str, how: &str, asset: &Asset, amount: &Amount) {
        match case.charter.asset(asset) {
            Some(entry) if *amount == Amount::MAX => self.alarm(label, format!("{how}UNLIMITED {}", entry.symbol)),
            None if *amount == Amount::MAX => self.alarm(label, format!("{how}UNLIMITED {asset}")),
            Some(entry) => self.say(label, format!("{how}{} {}", amount.to_units(entry.decimals), entry.symbol)),
            None => {
                let text = format!("{how}{amount} smallest units of {asset}, an asset UNKNOWN to the charter");
                self.alarm(label, text);
            }
        }
    }

    fn rules(&mut self, case: &Case, approval: &Approval) {
        self.say("charter", case.charter.hash().to_string());
        if !case.decision.allowed {
            self.alarm("rules", format!("DENIED: {}", case.decision.reasons.join("; ")));
        }
        let asking = case.decision.requirements.iter().filter(|requirement| requirement.needs.approvals.is_some());
        if case.decision.allowed && asking.count() == 0 {
            self.alarm("rules", "no rule asks for anybody's approval");
        }
        for requirement in &case.decision.requirements {
            self.say("rule", format!("{:?} asks for {}", requirement.rule, needs(requirement)));
            if let Some(why) = counts_not(case, approval, requirement) {
                self.alarm("", format!("you do not count for it: {why}"));
            }
        }
    }

    fn verdict(&mut self, case: &Case, approval: &Approval, now_secs: u64) {
        if let Some(seen) = &case.preceding {
            let (said, who) = (seen.approval().verdict.as_str(), &seen.approval().person);
            self.say("after", format!("{said} by {who}, {}", seen.id()));
        }
        let who = format!("{} with {}", approval.person, approval.credential);
        let left = || span(approval.expires_at_secs.saturating_sub(now_secs));
        let (label, text) = match (approval.verdict, approval.reason.as_str()) {
            (Verdict::Approve, _) => ("you approve", format!("as {who}, for {}", left())),
            (Verdict::Reject, reason) => ("you reject", format!("as {who}: {reason:?}. This ends the intent.")),
            (Verdict::Withdraw, "") => ("you withdraw", format!("what you approved, as {who}")),
            (Verdict::Withdraw, reason) => ("you withdraw", format!("what you approved, as {who}: {reason:?}")),
        };
        self.say(label, text);
    }
}

/// What an approver must know of a key that lives in one token.
fn outside_the_promise(node: &NodeId) -> String {
    format!(
        "OUTSIDE THE PROMISE: this key lives in one token, at {node}; whoever holds that token or its signer signs alone, \
         whatever anybody approves"
    )
}

/// Why this person's approval adds nothing to what a rule asks for.
fn counts_not(case: &Case, approval: &Approval, requirement: &Requirement) -> Option<&'static str> {
    let formula = requirement.needs.approvals.as_ref()?;
    let groups = formula.leaves().into_iter().filter_map(|leaf| case.charter.roster.groups.get(&leaf.group));
    if !groups.into_iter().any(|group| group.members.contains(&approval.person)) {
        return Some("you are in none of its groups");
    }
    let requester = case.charter.requesters.get(&case.intent.requester)?;
    let asks = requirement.needs.not_by_requester && requester.people.contains(&approval.person);
    asks.then_some("you are one of the people behind the requester")
}

fn needs(requirement: &Requirement) -> String {
    if let Some(fact) = &requirement.fact {
        return format!("a checker's word on {fact}");
    }
    let needs = &requirement.needs;
    let formula = needs.approvals.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
    let from = match needs.delay_from {
        DelayFrom::FormulaMet => "after the last approval",
        DelayFrom::FirstSight => "from first sight",
    };
    match needs.delay_secs {
        0 => formula,
        secs => format!("{formula}, and {} {from}", span(secs)),
    }
}

/// An address in full, grouped for the eye, with what the charter calls it.
fn place(case: &Case, address: &Address) -> String {
    let names: Vec<String> =
        case.charter.book.at(&case.effects.chain, address).map(|entry| format!("{:?}", entry.id.as_str())).collect();
    let name = match names.as_slice() {
        [] if *address == case.effects.account => "this account".to_owned(),
        [] => "not in the address book".to_owned(),
        names => names.join(", "),
    };
    format!("{}  ({name})", grouped(address))
}

/// Groups of four, the prefix `0x` for itself.
fn grouped(address: &Address) -> String {
    let text = address.as_str();
    let (prefix, digits) = text.strip_prefix("0x").map_or(("", text), |digits| ("0x ", digits));
    let letters: Vec<char> = digits.chars().collect();
    let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
    format!("{prefix}{}", groups.join(" "))
}

/// Without anything that moves the cursor, hides or reorders.
fn plain(text: &str) -> String {
    text.escape_debug().to_string()
}

const fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::Hot => "hot",
        Tier::Warm => "warm",
        Tier::Cold => "cold",
    }
}

pub(crate) fn span(secs: u64) -> String {
    let (days, hours, minutes, rest) = (secs / 86400, secs / 3600 % 24, secs / 60 % 60, secs % 60);
    let parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0).take(2);
    let text: Vec<String> = parts.map(|(count, unit)| format!("{count} {unit}")).collect();
    if text.is_empty() { "0 s".to_owned() } else { text.join(" ") }
}
