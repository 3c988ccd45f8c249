//! Days that are, and days that are not.

use super::day;

#[test]
fn days_are_counted_from_1970() {
    // As `date -u -d DAY +%s` has it, over 86 400.
    for (text, number) in [
        ("2000-01-01", 10_957),
        ("2000-02-29", 11_016),
        ("2026-11-23", 20_780),
        ("2100-03-01", 47_541),
        ("2199-12-31", 84_005),
    ] {
        assert_eq!(day(text), Some(number), "{text}");
    }
}

#[test]
fn what_is_no_day_of_the_calendar_is_none() {
    for text in [
        "",
        "2027-02-29",
        "2100-02-29",
        "2027-04-31",
        "2027-00-10",
        "2027-13-01",
        "2027-01-00",
        "1999-12-31",
        "2200-01-01",
        "2027-1-1",
        "2027-01-01-01",
        "+027-01-01",
        "in May",
        "２０２７-01-01",
    ] {
        assert_eq!(day(text), None, "{text}");
    }
}
