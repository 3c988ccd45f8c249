//! What keeps its time from one charter to the next, and what begins anew.

use super::*;

const SAMPLE: &str = include_str!("../../../development.sample.toml");

fn charter(edits: &[(&str, &str)]) -> Charter {
    let mut text = SAMPLE.to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    Charter::from_toml(&text).unwrap()
}

fn entry_secs(ages: &Ages, now_ms: u64, id: &str) -> Option<u64> {
    ages.at(now_ms).entry_secs(&id.parse().unwrap())
}

fn credential_secs(ages: &Ages, now_ms: u64, id: &str) -> Option<u64> {
    ages.at(now_ms).credential_secs(&id.parse().unwrap())
}

#[test]
fn nothing_is_known_before_a_charter_is() {
    assert_eq!(entry_secs(&Ages::default(), u64::MAX, "exchange"), None);
    assert_eq!(credential_secs(&Ages::default(), u64::MAX, "anna-terminal"), None);
    assert!(!Ages::default().are_of(charter(&[]).hash()));
}

#[test]
fn what_stays_keeps_its_time_and_what_changes_begins_anew() {
    let first = Ages::default().follow(&charter(&[]), 1_000);
    assert_eq!(entry_secs(&first, 11_999, "exchange"), Some(10));
    assert_eq!(entry_secs(&first, 0, "exchange"), Some(0), "before it was there it is as new");
    assert_eq!(entry_secs(&first, 11_000, "nobody"), None);

    let other = charter(&[("max_sessions = 16", "max_sessions = 8")]);
    let kept = first.follow(&other, 50_000);
    assert!(kept.are_of(other.hash()) && !kept.are_of(charter(&[]).hash()));
    assert_eq!(entry_secs(&kept, 61_000, "exchange"), Some(60));
    assert_eq!(credential_secs(&kept, 61_000, "anna-terminal"), Some(60));
    assert_eq!(kept.follow(&other, 70_000), kept, "a charter that is in force does not come into force again");

    let tagged = kept.follow(&charter(&[("tags = [\"venue\"]", "tags = [\"venue\", \"more\"]")]), 61_000);
    assert_eq!(entry_secs(&tagged, 61_000, "exchange"), Some(0));
    assert_eq!(credential_secs(&tagged, 61_000, "anna-terminal"), Some(60));
    // and back again is a change as well
    assert_eq!(entry_secs(&tagged.follow(&other, 62_000), 63_000, "exchange"), Some(1));
}

#[test]
fn a_credential_that_changes_class_or_owner_is_new_and_one_that_was_away_too() {
    let first = Ages::default().follow(&charter(&[]), 0);
    let text = SAMPLE.replace("id = \"anna\"\n", "id = \"anne\"\n").replace("\"anna\"", "\"anne\"");
    let anne = first.follow(&Charter::from_toml(&text).unwrap(), 5_000);
    assert_eq!(credential_secs(&anne, 6_000, "anna-terminal"), Some(1));
    assert_eq!(credential_secs(&anne, 6_000, "boris-terminal"), Some(6));

    let renamed = first.follow(&charter(&[("\"anna-terminal\"", "\"anna-other\"")]), 5_000);
    assert_eq!(credential_secs(&renamed, 6_000, "anna-terminal"), None);
    assert_eq!(credential_secs(&renamed.follow(&charter(&[]), 7_000), 9_000, "anna-terminal"), Some(2));
}
