//! The one place of the SDK that asks the machine for the time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 on this machine's clock; only expiries are made from it, and signers judge those by their own.
#[expect(clippy::disallowed_methods, reason = "the SDK is an outermost driver: expiries start from the caller's clock")]
pub fn now_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
