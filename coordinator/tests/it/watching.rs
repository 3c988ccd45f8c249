//! Lists and watches.

use limen_coordinator::lifecycle::State;
use limen_coordinator::watch;
use limen_wire::error::Code;
use limen_wire::pb;
use tokio_stream::StreamExt as _;

use crate::world::{PATIENCE, World};

fn request(page_size: u32, cursor: &str) -> pb::ListRequest {
    pb::ListRequest { page_size, cursor: cursor.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn pages_follow_each_other_by_opaque_cursors() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(running.submit(&world.transfer(&format!("n{number}"))).await.unwrap().0.record.id);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = watch::list(&running.core, request(2, &cursor)).unwrap();
        seen.extend(page.requests.iter().map(|request| request.intent_id.to_vec()));
        cursor = page.next_cursor;
        if cursor.is_empty() {
            break;
        }
    }
    let newest_first: Vec<_> = ids.iter().rev().map(|id| id.as_bytes().to_vec()).collect();
    assert_eq!(seen, newest_first);
}

#[tokio::test]
async fn a_cursor_holds_for_its_filter_and_pages_are_bounded() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    for number in 0..3 {
        running.submit(&world.transfer(&format!("n{number}"))).await.unwrap();
    }
    let page = watch::list(&running.core, request(1, "")).unwrap();
    let other = pb::ListRequest { key_id: "treasury".to_owned(), ..request(1, &page.next_cursor) };
    for bad in [other, request(1, "00"), request(1, "zz"), request(201, ""), request(1, &"0".repeat(34))] {
        assert_eq!(watch::list(&running.core, bad).unwrap_err().code, Code::Malformed);
    }
    let signed = pb::ListRequest { states: vec![99], ..request(1, "") };
    assert_eq!(watch::list(&running.core, signed).unwrap_err().code, Code::Malformed);
}

#[tokio::test]
async fn a_watch_shows_the_present_state_and_every_change_after_it() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let (entry, _) = running.submit(&world.transfer("one")).await.unwrap();
    let only = pb::WatchRequest { intent_id: entry.record.id.as_bytes().to_vec().into(), after_sequence: 0 };
    let mut changes = watch::watch(&running.core, only).unwrap();
    let mut last = 0;
    loop {
        let change = tokio::time::timeout(PATIENCE, changes.next()).await.unwrap().unwrap().unwrap();
        assert!(change.sequence > last);
        last = change.sequence;
        if change.request.unwrap().state == i32::from(pb::RequestState::Signed) {
            break;
        }
    }
}

#[tokio::test]
async fn a_watch_resumes_after_a_restart_from_its_last_sequence() {
    let world = World::new(3);
    let (disk, running) = world.with_key().await;
    let (first, _) = running.submit(&world.transfer("one")).await.unwrap();
    running.in_state(&first.record.id, State::Signed).await;
    let seen = running.core.store.sequence().unwrap();
    let (second, _) = running.submit(&world.transfer("two")).await.unwrap();
    running.in_state(&second.record.id, State::Signed).await;
    let disk = running.stop(&disk).await;
    let running = world.start(&disk).await;
    let all = pb::WatchRequest { intent_id: Default::default(), after_sequence: seen };
    let mut changes = watch::watch(&running.core, all).unwrap();
    let change = loop {
        let change = tokio::time::timeout(PATIENCE, changes.next()).await.unwrap().unwrap().unwrap();
        assert!(change.sequence > seen);
        let request = change.request.unwrap();
        if request.intent_id.as_ref() == second.record.id.as_bytes() {
            break request;
        }
    };
    assert_eq!(change.state, i32::from(pb::RequestState::Signed));
}

#[tokio::test]
async fn a_watcher_that_does_not_read_gets_the_present_state_when_it_does() {
    let world = World::new(3);
    let (_disk, running) = world.with_key().await;
    let all = pb::WatchRequest { intent_id: Default::default(), after_sequence: 0 };
    let mut changes = watch::watch(&running.core, all).unwrap();
    let mut waiting = std::collections::BTreeSet::new();
    for number in 0..600 {
        let (entry, _) = running.submit(&world.transfer(&format!("n{number}"))).await.unwrap();
        waiting.insert(entry.record.id.as_bytes().to_vec());
    }
    while !waiting.is_empty() {
        let change = tokio::time::timeout(PATIENCE, changes.next()).await.unwrap().unwrap().unwrap();
        let request = change.request.unwrap();
        if request.state == i32::from(pb::RequestState::Signed) {
            waiting.remove(request.intent_id.as_ref());
        }
    }
}
