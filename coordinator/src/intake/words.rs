//! Effects in words, for display only. Nobody decides by them.

use limen_policy::charter::Charter;
use limen_wire::effects::{AllowanceChange, Amount, Asset, Effect, Effects};
use limen_wire::pb;

/// All effects in words, in the order of the bytes.
pub(crate) fn views(charter: &Charter, effects: &Effects) -> Vec<pb::EffectView> {
    effects.list.iter().map(|effect| view(charter, effect)).collect()
}

/// An amount with its ticker where the charter knows the asset, else in smallest units.
fn amount_of(charter: &Charter, asset: &Asset, amount: &Amount) -> String {
    match charter.asset(asset) {
        Some(entry) => format!("{} {}", in_units(&amount.to_string(), entry.decimals), entry.symbol),
        None => format!("{amount} smallest units of {asset}"),
    }
}

/// Puts the decimal point into a number of smallest units.
fn in_units(digits: &str, decimals: u8) -> String {
    let decimals = usize::from(decimals);
    let padded = format!("{digits:0>width$}", width = decimals + 1);
    let (whole, part) = padded.split_at(padded.len() - decimals);
    match part.trim_end_matches('0') {
        "" => whole.to_owned(),
        part => format!("{whole}.{part}"),
    }
}

fn view(charter: &Charter, effect: &Effect) -> pb::EffectView {
    let mut view = pb::EffectView { class: effect.class().to_owned(), ..Default::default() };
    match effect {
        Effect::Transfer { asset, amount, from, to } => {
            view.text = format!("{} from {from} to {to}", amount_of(charter, asset, amount));
            (view.asset, view.amount) = (asset.to_string(), amount.to_string());
            (view.from, view.to) = (from.to_string(), to.to_string());
        }
        Effect::Fee { asset, max_amount, payer } => {
            view.text = format!("a fee of at most {}, paid by {payer}", amount_of(charter, asset, max_amount));
            (view.asset, view.amount) = (asset.to_string(), max_amount.to_string());
            view.from = payer.to_string();
        }
        Effect::Allowance { asset, amount, change, owner, spender, .. } => {
            let how = match change {
                AllowanceChange::Set => "may move up to",
                AllowanceChange::Increase => "may move more, by",
                AllowanceChange::Decrease => "may move less, by",
            };
            let amount_text = if *amount == Amount::MAX {
                format!("any amount of {asset}")
            } else {
                amount_of(charter, asset, amount)
            };
            view.text = format!("{spender} {how} {amount_text} of {owner}");
            (view.asset, view.amount) = (asset.to_string(), amount.to_string());
            (view.from, view.to) = (owner.to_string(), spender.to_string());
        }
        Effect::AuthorityChange { subject, to, kind } => {
            view.text = format!("control over {subject} goes to {to} ({kind})");
            (view.from, view.to) = (subject.to_string(), to.to_string());
        }
        Effect::Deploy { from, contract, code_hash, .. } => {
            view.text = format!("a new contract at {contract}, code {}", hex(code_hash));
            (view.from, view.to) = (from.to_string(), contract.to_string());
        }
        Effect::Call { contract, method } => {
            view.text = format!("calls {method} of {contract}");
            view.to = contract.to_string();
        }
        Effect::Message { signer, text } => {
            view.text = format!("a message: {text}");
            view.from = signer.to_string();
        }
        Effect::TypedData { signer, primary_type, verifying_contract, hash } => {
            let contract = verifying_contract.as_ref().map_or_else(String::new, |contract| format!(" for {contract}"));
            view.text = format!("typed data {primary_type}{contract}, hash {}", hex(hash));
            view.from = signer.to_string();
            view.to = verifying_contract.as_ref().map_or_else(String::new, ToString::to_string);
        }
        Effect::Unknown { what, hash, .. } => view.text = format!("UNKNOWN: {what}, SHA-256 {}", hex(hash)),
        Effect::Raw { digest } => view.text = format!("a bare digest that hides what it does: {}", hex(digest)),
    }
    view
}

fn hex(bytes: &[u8; 32]) -> String {
    limen_wire::ids::IntentId::new(*bytes).to_string()
}
