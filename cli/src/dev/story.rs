//! What people read: what happened, with addresses, hashes and timings, and what to try next.

use std::time::Duration;

use anyhow::Result;
use limen_wire::effects::Address;
use limen_wire::freeze::{Freeze, FreezeScope};

use super::layout::{Keepers, Layout, State};
use super::people;
use super::report::{Act, Approval, Message, Report, Withdrawal};
use super::withdrawals::Payment;
use crate::output::Output;

pub(crate) fn greeting(output: Output, layout: &Layout, state: &State, keepers: Keepers) -> Result<()> {
    let size = state.size()?;
    let witnesses = match keepers.witnesses {
        0 => "no witness".to_owned(),
        1 => "1 witness".to_owned(),
        several => format!("{several} witnesses"),
    };
    output.line(&format!("Limen development cluster, {size} signers and {witnesses}, in {}", layout.root().display()));
    let keys = if state.hsm { "PINs of its tokens" } else { "software-held sealing keys" };
    output.line(&format!("  DANGER     development only: unsigned charter, {keys} and identities in plain files"));
    if state.hsm {
        output.line("  tokens     a SoftHSM2 token under each signer, behind limen-hsm-bridge, seals its shares and is its identity");
    }
    Ok(())
}

/// Who is up, and how many of them may be down.
pub(crate) fn ready(output: Output, state: &State, keepers: Keepers, seconds: f64) {
    output.line(&format!("  signers    all reachable and linked to each other ({seconds:.1} s)"));
    let names: Vec<String> = state.witnesses().map(|witness| witness.name).collect();
    let names = if names.is_empty() { String::new() } else { format!(" and {}", names.join(", ")) };
    let Keepers { signers, quorum, witnesses, .. } = keepers;
    let all = signers.saturating_add(witnesses);
    output.line(&format!(
        "  ledger     kept by {signers} signers{names}: {quorum} of {all} certify each request, any {} may be down",
        all.saturating_sub(quorum)
    ));
}

pub(crate) fn withdrawal(output: Output, payment: &Payment, done: &Withdrawal) {
    let Withdrawal { from, to, .. } = done;
    output.line(&format!("  withdrawal {} from {from} to {to}", payment.words()));
    mined(output, done);
}

fn mined(output: Output, done: &Withdrawal) {
    let Withdrawal { tx_hash, signing_seconds, seconds, .. } = done;
    let end = match done.block_number {
        Some(block) => format!("mined in block {block} after {seconds:.2} s"),
        None => "not broadcast: there is no chain".to_owned(),
    };
    output.line(&format!("             {tx_hash}"));
    output.line(&format!("             signed in {signing_seconds:.2} s, {end}"));
}

pub(crate) fn message(output: Output, message: &Message) {
    output
        .line(&format!("  message    {:?} signed under {} in {:.2} s", message.text, message.key_id, message.seconds));
    output.line(&format!("             {}", message.signature));
}

/// A large withdrawal was handed in.
pub(crate) fn asked(output: Output, payment: &Payment, from: &Address) {
    output.line(&format!("  large      {} from {from} to {}", payment.words(), payment.to));
}

/// It waits.
pub(crate) fn waits(output: Output, rule: &str, formula: &str, delay: Duration, signers: usize) {
    let delay = delay.as_secs();
    output.line(&format!("             rule {rule:?} asks for {formula}, then {delay} s; all {signers} signers wait"));
}

pub(crate) fn approves(output: Output, Approval { person, words, .. }: &Approval) {
    output.line(&format!("             {person} approves, in sight of the bytes: {words}"));
}

pub(crate) fn freezes(output: Output, person: &str, scope: &FreezeScope, signers: usize, reason: &str) {
    output.line(&format!("  freeze     {person} stops {scope} straight at {signers} signers: {reason:?}"));
}

/// A withdrawal waits for a freeze.
pub(crate) fn stopped(output: Output, payment: &Payment, signers: usize) {
    output.line(&format!(
        "             {} to {}: all {signers} signers refuse while it holds",
        payment.words(),
        payment.to
    ));
}

/// A freeze was there before the story.
pub(crate) fn lifts(output: Output, freeze: &Freeze, people: &[&str]) {
    let Freeze { scope, person, reason, .. } = freeze;
    let lifters = people.join(" and ");
    output.line(&format!("  unfreeze   {lifters} lift what {person} froze before: {scope}, {reason:?}"));
}

/// What came of an act.
pub(crate) fn act(output: Output, act: &Act) {
    match act {
        Act::LimitReached { limit, bound, asked, left, .. } => {
            output.line(&format!(
                "  limit      {asked} ETH more to the same place, but limit {limit:?} has {left} of {bound} ETH left"
            ));
            output.line("             waited for room, signed by nobody, cancelled");
        }
        Act::Approved { delay_secs, waited_seconds, withdrawal, .. } => {
            output.line(&format!(
                "             time lock of {delay_secs} s on every signer's own clock; waited {waited_seconds:.2} s"
            ));
            mined(output, withdrawal);
        }
        Act::Refused { rule, asked, to, said, .. } => {
            output.line(&format!("  refused    {asked} from the cold vault to {to}"));
            output.line(&format!(
                "             rule {rule:?} denies it, say the coordinator and all {} signers",
                said.len()
            ));
        }
        Act::Frozen { lifted_by, delay_secs, waited_seconds, withdrawal, .. } => {
            let lifters = lifted_by.join(" and ");
            output.line(&format!("  unfreeze   {lifters} lift it, {delay_secs} s pass at every signer; waited {waited_seconds:.2} s, and it went on by itself"));
            mined(output, withdrawal);
        }
    }
}

/// One line about everything.
pub(crate) fn summary(output: Output, report: &Report, seconds: f64) {
    let waited = report.acts.iter().filter(|act| matches!(act, Act::Approved { .. } | Act::Frozen { .. })).count();
    let signed = report.withdrawals.len().saturating_add(waited);
    let not = report.acts.len().saturating_sub(waited);
    output.line(&format!(
        "  done       {signed} withdrawals and {} message signed, {not} refused as the rules say; {seconds:.1} s",
        report.messages.len()
    ));
}

pub(crate) fn without_chain(output: Output, missing: &[String], dev_chain: &std::path::Path) {
    output.warning("no development chain, so transactions are signed but not broadcast; missing:");
    for item in missing {
        output.warning(&format!("  {item}"));
    }
    output.warning(&format!("to get them: install Node.js with npm, then `npm ci` in {}", dev_chain.display()));
}

/// Commands that work as they stand.
pub(crate) fn next_steps(output: Output, layout: &Layout, program: &std::path::Path, (hot, cold): (&str, &str)) {
    let limen = format!("{} --config {}", program.display(), layout.client_config().display());
    let (charter, key) = (layout.path(super::charter::FILE), |person| layout.path(&people::key_file(person)));
    let as_person = |person| format!("--charter {} --key {}", charter.display(), key(person).display());
    let (recipient, exchange) = (super::chain::RECIPIENT, super::acts::EXCHANGE);
    output.line("\nThe cluster stays up. In another terminal, try:");
    for command in [
        "status".to_owned(),
        "key list".to_owned(),
        "request list".to_owned(),
        format!("submit native --key {hot} --to {recipient} --amount 0.1 --broadcast"),
        format!("simulate native --key {cold} --to {recipient} --amount 1"),
        "sign --key messages-ed25519 'hello'".to_owned(),
        format!("submit native --key {cold} --to {exchange} --amount 30 --no-wait"),
        format!("approve INTENT_ID {}", as_person("anna")),
        format!("approve INTENT_ID {}", as_person("dora")),
        format!("freeze vault:hot --reason 'who is that?' {}", as_person("carla")),
        "freezes".to_owned(),
        format!("unfreeze FREEZE_ID {}", as_person("anna")),
        format!("unfreeze FREEZE_ID {}", as_person("dora")),
    ] {
        output.line(&format!("  {limen} {command}"));
    }
    let pid_file = layout.path("run/signer-2.pid");
    output.line(&format!(
        "Any one signer or witness may be away, as by `kill -STOP $(cat {})`; -CONT brings it back.",
        pid_file.display()
    ));
    output.line("Ctrl-C stops everything; the next `up` goes on from here.");
}
