//! What a charter may say of drills, when they are due, how they change, and what an overdue one stands in the way of.

use super::*;
use crate::charter::CharterError;
use crate::charter::tests::sample;
use crate::diff::{Direction, diff, raises};

const DRILL: &str = "\n[[drills]]\nid = \"lost-site\"\nscenario = \"site-loss\"\nkey = \"shadow\"\npublic_key = \"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\"\nevery_days = 90\ngrace_days = 14\nfrom = \"2027-01-01\"\n";
const POINT: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
const PINNED: &str = "public_key = \"0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\"\n";
/// No point of Ed25519 or secp256k1 has these 32 bytes.
const NO_POINT: &str = "0200000000000000000000000000000000000000000000000000000000000000";
const FROM: u64 = 1_798_761_600;

fn read(more: &str) -> Result<Charter, CharterError> {
    Charter::from_toml(&format!("{}{more}", sample()))
}

fn drilled() -> Charter {
    read(DRILL).unwrap()
}

#[test]
fn a_drill_is_read() {
    let charter = drilled();
    let key = KeyId::new("shadow").unwrap();
    let drill = charter.drill_of(Scenario::SiteLoss, &key).unwrap();
    assert_eq!((drill.id.as_str(), drill.every_days, drill.grace_days, drill.from_secs), ("lost-site", 90, 14, FROM));
    assert_eq!(hex::encode(&drill.public_key), POINT);
    let x_only = read(&DRILL.replace("0279be", "79be")).unwrap();
    assert_eq!(x_only.drills.values().next().unwrap().public_key.len(), 32);
    assert_eq!(charter.drill_of(Scenario::Restore, &key), None);
    assert_eq!(charter.drill_of(Scenario::SiteLoss, &KeyId::new("treasury").unwrap()), None);
}

#[test]
fn what_is_no_drill_is_refused() {
    let many: String =
        (0..33).map(|n| DRILL.replace("shadow", &format!("k{n}")).replace("lost", &format!("n{n}"))).collect();
    for (from, to, says) in [
        ("site-loss", "fire", "unknown variant"),
        ("\"lost-site\"", "\"Lost\"", "Lost"),
        ("\"shadow\"", "\"\"", "key id"),
        ("public_key", "pubkey", "unknown field `pubkey`"),
        (PINNED, "", "missing field `public_key`"),
        (POINT, "", "public_key: as `limen key show` prints it"),
        ("0279be", "0279BE", "public_key: as"),
        ("0279be", "0579be", "public_key: as"),
        ("0279be", "000279be", "public_key: as"),
        ("0279be", "02 79be", "public_key: as"),
        (POINT, NO_POINT, "public_key: as"),
        ("every_days = 90", "every_days = 0", "every_days: 1 to 1100"),
        ("every_days = 90", "every_days = 1101", "every_days: 1 to 1100"),
        ("grace_days = 14", "grace_days = 367", "grace_days: 0 to 366"),
        ("grace_days = 14", "grace_days = -1", "-1"),
        ("2027-01-01", "2027-02-29", "YYYY-MM-DD"),
        ("from = \"2027-01-01\"\n", "", "missing field `from`"),
        ("every_days", "due = 1\nevery_days", "unknown field `due`"),
        (DRILL, &format!("{DRILL}{DRILL}"), "another drill plays site-loss with key shadow"),
        (DRILL, &format!("{DRILL}{}", DRILL.replace("shadow", "other")), "named twice"),
        (DRILL, many.as_str(), "at most 32"),
    ] {
        assert!(DRILL.contains(from), "{from}");
        let error = read(&DRILL.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(says), "{to}: {error}");
    }
}

#[test]
fn one_is_due_from_its_first_day_on_and_then_so_long_after_the_last() {
    let charter = drilled();
    let drill = charter.drills.values().next().unwrap();
    let day = DAY_SECS;
    assert_eq!(drill.due_secs(None), FROM);
    assert_eq!(drill.blocks_secs(None), FROM + 14 * day);
    assert_eq!(drill.due_secs(Some(FROM - 91 * day)), FROM, "none is due before its first day");
    assert_eq!(drill.due_secs(Some(FROM - day)), FROM + 89 * day);
    assert_eq!(drill.blocks_secs(Some(FROM)), FROM + 104 * day);
    assert_eq!(drill.blocks_secs(Some(u64::MAX)), u64::MAX);
}

#[test]
fn a_drill_that_is_rarer_later_or_gone_loosens_and_its_opposite_tightens() {
    let only = |old: &Charter, new: &Charter, direction| {
        let changes = diff(old, new);
        assert!(!changes.is_empty() && changes.iter().all(|one| one.direction == direction), "{changes:?}");
        assert!(raises(old, new).is_empty(), "drills are no leave for requests");
    };
    let (none, before) = (read("").unwrap(), drilled());
    only(&none, &before, Direction::Tightens);
    only(&before, &none, Direction::Loosens);
    for (from, to) in
        [("every_days = 90", "every_days = 91"), ("grace_days = 14", "grace_days = 15"), ("2027-01-01", "2027-01-02")]
    {
        let after = read(&DRILL.replace(from, to)).unwrap();
        only(&before, &after, Direction::Loosens);
        only(&after, &before, Direction::Tightens);
    }
    for (from, to) in [("site-loss", "restore"), ("\"shadow\"", "\"other\""), ("0279be", "0379be")] {
        let after = read(&DRILL.replace(from, to)).unwrap();
        only(&before, &after, Direction::Loosens);
        only(&after, &before, Direction::Loosens);
    }
}

/// What an overdue drill stands in the way of, and what gets a cluster going again.
#[test]
fn what_gives_requests_more_leave_is_told_from_who_keeps_keys() {
    let before = drilled();
    let after = |from: &str, to: &str| {
        let text = format!("{}{DRILL}", sample());
        assert!(text.contains(from), "{from}");
        Charter::from_toml(&text.replacen(from, to, 1)).unwrap()
    };
    for (from, to) in [
        ("max_amount = \"1000000\"", "max_amount = \"1000001\""),
        ("max_sessions = 16", "max_sessions = 17"),
        ("loosening_delay_secs = 86400", "loosening_delay_secs = 86399"),
        ("until = \"18:00\"", "until = \"19:00\""),
    ] {
        assert!(!raises(&before, &after(from, to)).is_empty(), "{to}");
    }
    for (from, to) in [
        ("members = [\"anna\", \"boris\", \"dora\"]", "members = [\"anna\", \"boris\"]"),
        ("every_days = 90", "every_days = 91"),
        (DRILL, ""),
    ] {
        let after = after(from, to);
        assert!(raises(&before, &after).is_empty() && raises(&after, &before).is_empty(), "{to}");
    }
    let lower = after("max_amount = \"1000000\"", "max_amount = \"999999\"");
    assert!(raises(&before, &lower).is_empty() && !raises(&lower, &before).is_empty());
    let suspended = after("# The rules.", "[[keys]]\nkey = \"treasury\"\nstate = \"suspended\"\n# The rules.");
    assert!(!diff(&suspended, &before).is_empty() && raises(&suspended, &before).is_empty());
}
