//! What people read: what happened, with addresses, hashes and timings, and what to try next.

use super::layout::Layout;
use super::report::{Message, Withdrawal};
use crate::output::Output;

pub(crate) fn greeting(output: Output, layout: &Layout, size: impl std::fmt::Display) {
    output.line(&format!("Limen development cluster, {size} signers, in {}", layout.root().display()));
    output
        .line("  DANGER     development only: unsigned charter, software-held sealing keys, identities in plain files");
}

pub(crate) fn withdrawal(output: Output, words: &str, done: &Withdrawal) {
    let Withdrawal { from, to, tx_hash, signing_seconds, seconds, .. } = done;
    output.line(&format!("  withdrawal {words} from {from} to {to}"));
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

pub(crate) fn without_chain(output: Output, missing: &[String], dev_chain: &std::path::Path) {
    output.warning("no development chain, so transactions are signed but not broadcast; missing:");
    for item in missing {
        output.warning(&format!("  {item}"));
    }
    output.warning(&format!("to get them: install Node.js with npm, then `npm ci` in {}", dev_chain.display()));
}

/// Commands that work as they stand.
pub(crate) fn next_steps(output: Output, layout: &Layout, program: &std::path::Path, key: &str) {
    let limen = format!("{} --config {}", program.display(), layout.client_config().display());
    output.line("\nThe cluster stays up. In another terminal, try:");
    for command in [
        "status".to_owned(),
        "key list".to_owned(),
        "request list".to_owned(),
        format!("submit native --key {key} --to {} --amount 0.1 --broadcast", super::chain::RECIPIENT),
        format!("simulate native --key {key} --to {} --amount 1000", super::chain::RECIPIENT),
        "sign --key messages-ed25519 'hello'".to_owned(),
    ] {
        output.line(&format!("  {limen} {command}"));
    }
    output.line("Ctrl-C stops everything; the next `up` goes on from here.");
}
