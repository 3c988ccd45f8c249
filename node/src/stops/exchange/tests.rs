use limen_wire::ids::ClusterId;

use super::*;
use crate::store::Options;

fn store(folder: &tempfile::TempDir) -> Store {
    let owner = (NodeId::new("signer-1").unwrap(), ClusterId::new("sample").unwrap());
    Store::open(folder.path(), Options::new(owner.0, owner.1)).unwrap()
}

/// A store with so many records of so many bytes each.
fn filled(folder: &tempfile::TempDir, count: u16, bytes: usize) -> Store {
    let store = store(folder);
    let fill = store.write_blocking(move |txn| {
        for number in 0..count {
            let mut id = [7; 32];
            id[..2].copy_from_slice(&number.to_be_bytes());
            let record = pb::Envelope { payload: vec![1; bytes].into(), ..pb::Envelope::default() };
            assert!(txn.log_stop(&id, &record.encode_to_vec())?);
            assert!(!txn.log_stop(&id, b"again")?, "each once");
        }
        Ok(())
    });
    fill.unwrap();
    store
}

fn asked(head: &StopHead) -> pb::StopsAfter {
    pb::StopsAfter { length: head.length, head: head.hash.to_vec().into() }
}

fn read(page: &pb::StopsPage) -> StopHead {
    let length = page.after + page.records.len() as u64;
    StopHead { length, hash: page.head.as_ref().try_into().unwrap() }
}

#[test]
fn pages_are_bounded_in_number_and_lead_to_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder, 600, 10);
    let (mut head, mut sizes) = (StopHead::default(), Vec::new());
    while let Some(page) = page(&store, &asked(&head)).unwrap() {
        assert_eq!((page.after, page.length), (head.length, 600));
        sizes.push(page.records.len());
        head = read(&page);
    }
    assert_eq!(sizes, [256, 256, 88]);
    assert_eq!(head, store.view().unwrap().stop_head().unwrap());
}

#[test]
fn pages_are_bounded_in_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder, 5, PAGE_BYTES / 2);
    let first = page(&store, &asked(&StopHead::default())).unwrap().unwrap();
    assert_eq!(first.records.len(), 1, "two are a little more than a page");
}

#[test]
fn whoever_has_read_another_store_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder, 3, 10);
    let newest = store.view().unwrap().stop_head().unwrap();
    assert_eq!(page(&store, &asked(&newest)).unwrap(), None);
    for strange in [
        StopHead { hash: [9; 32], ..newest },
        StopHead { length: 2, ..newest },
        StopHead { length: 4, ..newest },
        StopHead { length: u64::MAX, ..newest },
    ] {
        let page = page(&store, &asked(&strange)).unwrap().unwrap();
        assert_eq!((page.after, page.records.len()), (0, 3), "{strange:?}");
    }
    let short = pb::StopsAfter { length: 3, head: vec![1; 5].into() };
    assert_eq!(page(&store, &short).unwrap().unwrap().after, 0);
}

#[test]
fn a_cursor_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let peer = NodeId::new("signer-2").unwrap();
    let cursor = StopHead::default().after(&[1; 32]);
    let (named, opened) = (peer.clone(), store(&folder));
    assert_eq!(opened.view().unwrap().cursor(&peer).unwrap(), StopHead::default());
    opened.write_blocking(move |txn| txn.put_cursor(&named, &cursor)).unwrap();
    drop(opened);
    assert_eq!(store(&folder).view().unwrap().cursor(&peer).unwrap(), cursor);
}

#[test]
fn the_longest_record_of_a_drill_goes_in_one_message() {
    let folder = tempfile::tempdir().unwrap();
    let store = filled(&folder, 2, limits::DRILL_RECORD_BYTES);
    let page = page(&store, &asked(&StopHead::default())).unwrap().unwrap();
    assert_eq!((page.records.len(), page.length), (1, 2));
    assert!(page.encoded_len() < limits::GRPC_MESSAGE_BYTES);
}

#[test]
fn what_was_passed_over_is_noted_with_its_first_moment_until_everything_is_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, cursor) = (NodeId::new("signer-2").unwrap(), StopHead::default().after(&[1; 32]));
    let (named, opened) = (peer.clone(), store(&folder));
    assert_eq!(opened.view().unwrap().read_anew_secs().unwrap(), None);
    let noting = opened.write_blocking(move |txn| {
        txn.put_cursor(&named, &cursor)?;
        [700, 500, 600].into_iter().try_for_each(|secs| txn.read_anew_from(secs))
    });
    noting.unwrap();
    drop(opened);
    let opened = store(&folder);
    assert_eq!(opened.view().unwrap().read_anew_secs().unwrap(), Some(500), "a process that ends forgets nothing");
    opened.write_blocking(|txn| txn.forget_cursors()).unwrap();
    let view = opened.view().unwrap();
    assert_eq!((view.read_anew_secs().unwrap(), view.cursor(&peer).unwrap()), (None, StopHead::default()));
}
