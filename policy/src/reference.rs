//! What rules can say, as a page of documentation. `docs/rule-keys.md` is this text; a test compares them, and another one
//! compares the keys here with those that the reader of charters takes.

#[cfg(test)]
mod tests;

use crate::charter::rule::Class;

/// Every key of a rule, with what it means.
pub(crate) const KEYS: [(&str, &str); 26] = [
    ("name", "1 to 64 printable characters, unique: decisions and logs say it"),
    ("allow", "the rule allows this class, if what it asks for is met"),
    ("require", "the rule allows nothing by itself, but adds what it asks for wherever another one allows"),
    ("deny", "the rule denies this class, whatever others say"),
    ("requesters", "matches only these; every one with the duty if left out"),
    ("keys", "matches only these; needed for the class `raw` in a rule that allows"),
    ("vaults", "matches only keys of these vaults"),
    ("chains", "matches only on these chains, by CAIP-2 name"),
    ("asset", "matches only this registered asset; this or `asset_group` is needed in a rule that allows"),
    ("asset_group", "matches only the assets of this group (`[asset_groups.NAME]`), whose sums are added up"),
    (
        "currency",
        "`more_than` and `max_amount` are what the assets are worth in this money (`[currencies.NAME]`), as attested",
    ),
    (
        "more_than",
        "matches only above this sum over the whole request, in units of the asset, the group or the currency",
    ),
    ("max_amount", "matches only up to this sum over the whole request; needed in a rule that allows"),
    ("names", "matches only these methods, kinds of control or primary types"),
    ("destinations", "matches only these: addresses, `book:ENTRY`, `tag:TAG`, or the word `\"anywhere\"`"),
    ("destinations_except", "matches everywhere else; in rules that require or deny"),
    (
        "entry_at_least_secs",
        "matches only destinations that have been in the address book for so long; in rules that allow",
    ),
    ("entry_less_than_secs", "matches only destinations that have not; in rules that require or deny"),
    ("hours", "matches only then: `{ days, from, until, utc_offset }`"),
    ("hours_except", "matches at any other time"),
    ("approvals", "asks for these people: `2 terminal of treasury then 1 of risk`"),
    ("not_by_requester", "the people behind the requester do not count as approvers"),
    ("credentials_for_secs", "what a credential approves counts once it has been in force for so long"),
    ("delay_secs", "asks to wait so long, on every signer's own running time"),
    ("delay_from", "`\"formula-met\"` (the approvals, the default) or `\"first-sight\"`"),
    ("checks", "asks for a pass of each of these external checkers"),
];

const CLASSES: [Class; 10] = [
    Class::Transfer,
    Class::Fee,
    Class::Allowance,
    Class::Call,
    Class::Deploy,
    Class::AuthorityChange,
    Class::Message,
    Class::TypedData,
    Class::Unknown,
    Class::Raw,
];

/// The page.
pub fn page() -> String {
    let mut text = String::from(
        "# What a rule can say\n\nGenerated from `policy/src/reference.rs` and the types of rules: \
         `cargo run -p limen-policy --example rule_keys > docs/rule-keys.md`.\n\n\
         | key | meaning |\n|---|---|\n",
    );
    for (key, meaning) in KEYS {
        text.push_str(&format!("| `{key}` | {meaning} |\n"));
    }
    text.push_str(
        "\n## Classes of effects\n\nWhere a class has no amount, no destination or no names, a rule about it cannot say any.\n\n\
         | class | amount | destination | names | a rule that allows it asks for people |\n|---|---|---|---|---|\n",
    );
    let yes = |yes: bool| if yes { "yes" } else { "" };
    for class in CLASSES {
        let (amount, to) = (yes(class.has_amount()), yes(class.has_destination()));
        let (names, people) = (yes(class.has_names()), yes(class.needs_people()));
        text.push_str(&format!("| `{}` | {amount} | {to} | {names} | {people} |\n", class.as_str()));
    }
    text
}
