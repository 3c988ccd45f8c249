//! Prints `docs/rule-keys.md`: `cargo run -p limen-policy --example rule_keys > docs/rule-keys.md`.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

fn main() {
    print!("{}", limen_policy::reference::page());
}
