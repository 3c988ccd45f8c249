use super::*;

async fn said(question: &str, room: &Room) -> Option<String> {
    answer("carla", question, "certificate", room).await.unwrap()
}

#[tokio::test]
async fn custodians_say_what_they_keep() {
    let room = Room::new(BTreeMap::new(), BTreeMap::from([("carla".to_owned(), "a piece".to_owned())]), None);
    assert_eq!(said("earlier-epochs: in one line, or `none`: ", &room).await.as_deref(), Some("a piece\n"));
}

#[tokio::test]
async fn people_answer_what_is_asked_and_type_what_another_reads_out() {
    let room = Room::new(BTreeMap::from([("plan-words".to_owned(), "from paper".to_owned())]), BTreeMap::new(), None);
    assert_eq!(said("Go (yes/no)? ", &room).await.as_deref(), Some("yes\n"));
    assert_eq!(said("earlier-epochs: in one line, or `none`: ", &room).await.as_deref(), Some("none\n"));
    assert_eq!(said("Go (yes", &room).await, None);
    let asks = |line: &str| format!("{line}: type the twelve words as anna reads them out, or `no` to call it off: ");
    assert_eq!(said(&asks("plan-words"), &room).await.as_deref(), Some("from paper\n"));
    // What stood on her screen in another step, or on another's, is not what she reads out now.
    let place = |who: &str, step: &str| (who.to_owned(), step.to_owned(), "key".to_owned());
    let stands = [
        (place("anna", "present"), "old"),
        (place("boris", "certificate"), "his"),
        (place("anna", "certificate"), "hers"),
    ];
    room.screens.send_modify(|screens| screens.extend(stands.map(|(place, words)| (place, words.to_owned()))));
    assert_eq!(said(&asks("key"), &room).await.as_deref(), Some("hers\n"));
    assert!(answer("carla", "type: or `no` to call it off: ", "certificate", &room).await.is_err());
}

#[test]
fn a_custodian_finds_the_question_in_the_command_that_is_shown() {
    let line = "proof-signer-oslo: prove your piece offline: limen-recover check BACKUP --holder anna --identity … --nonce 00ff --asked-by \
                signer-oslo --sign-as … --key …";
    assert_eq!(proof_asked_for(line), Some(("signer-oslo", "00ff")));
    assert_eq!(proof_asked_for("step 5 (proofs): each custodian decrypts their piece"), None);
}
