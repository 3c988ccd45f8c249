//! Past requests judged by a draft of the charter, from a file.

use limen_wire::pb;
use prost::Message as _;

use super::desk::Desk;

/// A desk whose one request was signed, and a second one that nobody can judge.
fn desk() -> Desk {
    let desk = Desk::new();
    let envelope = |file: &str| pb::Envelope::decode(desk.read(file).as_slice()).unwrap();
    let key = pb::Key { key_id: "treasury".to_owned(), certificate: Some(envelope("key.bin")), ..pb::Key::default() };
    let past = |envelope: Option<pb::Envelope>, created_at_ms: u64| pb::Request {
        intent_id: desk.intent_id().as_bytes().to_vec().into(),
        state: pb::RequestState::Signed.into(),
        envelope,
        created_at_ms,
        ..pb::Request::default()
    };
    let requests = vec![past(None, 2), past(Some(envelope("intent.bin")), 1)];
    let mut bytes = pb::ListKeysResponse { keys: vec![key] }.encode_length_delimited_to_vec();
    bytes.extend(pb::ListResponse { requests, ..Default::default() }.encode_length_delimited_to_vec());
    desk.write("past.bin", &bytes);
    let charter = String::from_utf8(desk.read("charter.toml")).unwrap();
    let draft = charter.replace("max_amount = \"1000\"", "max_amount = \"12\"");
    desk.write("draft.toml", draft.as_bytes());
    let slower = charter.replace("delay_secs = 3600", "delay_secs = 7200");
    desk.write("slower.toml", slower.as_bytes());
    desk
}

fn replay(desk: &Desk, draft: &str, from: &str) -> Vec<String> {
    let (draft, charter, from) = (desk.path(draft), desk.path("charter.toml"), desk.path(from));
    ["policy", "replay", &draft, "--charter", &charter, "--from", &from].map(str::to_owned).into()
}

#[test]
fn past_requests_are_judged_by_a_draft() {
    let desk = desk();
    let said = desk.succeeds(&replay(&desk, "draft.toml", "past.bin"));
    assert!(said.contains("signed: backend as \"order-1\", key treasury\n  it would be denied: transfer of"), "{said}");
    assert!(said.contains("skipped: it has no envelope"), "{said}");
    assert!(said.ends_with("2 requests, 1 would be decided otherwise, 1 skipped\n"), "{said}");
    let said = desk.succeeds(&replay(&desk, "slower.toml", "past.bin"));
    assert!(said.contains("it would need the approval of 1 terminal of treasury then 1 of risk"), "{said}");
    assert!(said.contains("a delay of 7200 s\n  it would no longer need"), "{said}");
    let same = desk.succeeds(&replay(&desk, "charter.toml", "past.bin"));
    assert!(same.ends_with("2 requests, 0 would be decided otherwise, 1 skipped\n"), "{same}");
    let args =
        [&["--output".to_owned(), "json".to_owned()], replay(&desk, "draft.toml", "past.bin").as_slice()].concat();
    let json: serde_json::Value = serde_json::from_str(&desk.succeeds(&args)).unwrap();
    assert_eq!(json["different"][0]["intent_id"], desk.intent_id().to_string());
    assert_eq!((&json["requests"], json["skipped"].as_array().unwrap().len()), (&serde_json::json!(2), 1));
}

#[test]
fn papers_that_do_not_hold_are_skipped_and_files_that_are_none_refused() {
    let desk = desk();
    desk.fails(&replay(&desk, "draft.toml", "nothing.bin"), "could not read");
    let good = desk.read("past.bin");
    for bytes in [&good[..good.len() - 1], &[&good[..], b"x"].concat(), b"\xff", b""] {
        desk.write("bad.bin", bytes);
        desk.fails(&replay(&desk, "draft.toml", "bad.bin"), "is no file of `limen policy replay --save`");
    }
    // Another requester's key, and another signer's: what they say is nobody's word.
    let charter = String::from_utf8(desk.read("charter.toml")).unwrap();
    let requester = desk.requester().public_key().to_string();
    let other = super::desk::signing_key(51).public_key().to_string();
    desk.write("charter.toml", charter.replace(&requester, &other).as_bytes());
    let said = desk.succeeds(&replay(&desk, "draft.toml", "past.bin"));
    assert!(said.ends_with("2 requests, 0 would be decided otherwise, 2 skipped\n"), "{said}");
    desk.write("charter.toml", charter.replace("signer-2", "signer-3").as_bytes());
    let said = desk.succeeds(&replay(&desk, "draft.toml", "past.bin"));
    assert!(said.contains("skipped: key treasury has no certificate that holds under the charter"), "{said}");
    desk.fails(&replay(&desk, "past.bin", "past.bin"), "past.bin");
}
