use serde_json::json;

use super::*;

#[test]
fn dead_and_earlier_backups_are_not_asked_for() {
    let record = |epoch: u64, state: &str| json!({ "epoch": epoch, "state": state });
    let listed =
        json!({ "backups": [record(1, "proven"), record(2, "dead"), record(3, "unproven"), record(3, "proven")] });
    let states: Vec<&str> = fresh(&listed, 1).into_iter().map(|one| text(one, "state")).collect();
    assert_eq!(states, ["unproven", "proven"]);
    assert!(fresh(&json!({}), 0).is_empty());
}

#[test]
fn a_custodian_owes_what_is_not_proven() {
    let record = json!({ "custodians": [
        { "person": "anna", "proven_at_ms": 0 },
        { "person": "emil", "proven_at_ms": 5 },
    ] });
    assert!(owes(&record, "anna"));
    assert!(!owes(&record, "emil") && !owes(&record, "boris"));
}
