//! Prints `docs/errors.md`: `cargo run -p limen-wire --example error_table > docs/errors.md`.
#![allow(clippy::print_stdout, reason = "this program prints")]

fn main() {
    print!("{}", limen_wire::error::table_as_markdown());
}
