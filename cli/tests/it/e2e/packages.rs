//! Packages from npm and PyPI that some tests need.

/// What was found. What is missing fails the test, unless `LIMEN_OFFLINE` says that nothing can be installed here
/// (`cargo xtask test --offline` sets it); then there is nothing, and the error stream says so.
pub(crate) fn or_offline<T>(found: Option<T>, what: &str) -> Option<T> {
    if found.is_none() {
        let offline = std::env::var_os("LIMEN_OFFLINE").is_some_and(|value| !value.is_empty());
        assert!(offline, "{what} is missing: run `cargo xtask setup`, or set LIMEN_OFFLINE=1 to do without");
        eprintln!("skipped: {what} is missing, and LIMEN_OFFLINE is set");
    }
    found
}
