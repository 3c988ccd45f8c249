use super::*;

#[test]
fn nothing_is_written_after_a_write_that_failed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let (mut journal, _) = Journal::open(&path, "head\n").unwrap();
    // A handle that can only read fails as a full disk does.
    let writable = std::mem::replace(&mut journal.file, File::open(&path).unwrap());
    let envelope = pb::Envelope::default();
    journal.append(&envelope).unwrap_err();
    journal.file = writable;
    let refused = journal.append(&envelope).unwrap_err();
    assert!(
        matches!(&refused, JournalError::Io { source, .. } if source.to_string().contains("an earlier write failed"))
    );
    drop(journal);
    let (mut journal, found) = Journal::open(&path, "head\n").unwrap();
    assert!(found.is_empty());
    journal.append(&envelope).unwrap();
}
