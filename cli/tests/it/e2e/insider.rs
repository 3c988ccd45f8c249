//! Somebody with the coordinator's disk in hand: what they write there gets no signature and is noticed (insider at the
//! coordinator, docs/threat-model.md). Real processes; the disk is edited as its format is, checksums and all.

use std::path::{Path, PathBuf};
use std::time::Instant;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use sha2::{Digest as _, Sha256};

use super::cluster::{COORDINATOR, Cluster, PATIENCE, signer};
use super::receipts::{copy, receipt, sign};

const REQUESTS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("requests");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const LOG_TILES: TableDefinition<'_, (u8, u64), &[u8]> = TableDefinition::new("log_tiles");

fn data(cluster: &Cluster) -> PathBuf {
    cluster.path().join(COORDINATOR).join("data")
}

fn store(data: &Path) -> Database {
    let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    Database::open(files.into_iter().find(|file| file.extension().is_some_and(|e| e == "redb")).unwrap()).unwrap()
}

/// Other words of the same length in the one request that has them, under a checksum that fits.
fn edit_request(data: &Path, from: &[u8], to: &[u8]) {
    let db = store(data);
    let rows = db.begin_read().unwrap().open_table(REQUESTS).unwrap();
    let (id, mut row) = rows
        .iter()
        .unwrap()
        .map(|row| row.map(|(id, row)| (*id.value(), row.value().to_vec())).unwrap())
        .find(|(_, row)| row.windows(from.len()).any(|words| words == from))
        .expect("the request is on the disk");
    drop(rows);
    while let Some(at) = row.windows(from.len()).position(|words| words == from) {
        row[at..at + to.len()].copy_from_slice(to);
    }
    let sum = Sha256::digest(&row[8..]);
    row[..8].copy_from_slice(&sum[..8]);
    let write = db.begin_write().unwrap();
    write.open_table(REQUESTS).unwrap().insert(&id, row.as_slice()).unwrap();
    write.commit().unwrap();
}

/// Another first leaf, and the tree to it.
fn fork_log(data: &Path) {
    let db = store(data);
    let write = db.begin_write().unwrap();
    {
        let (mut log, mut tiles) = (write.open_table(LOG).unwrap(), write.open_table(LOG_TILES).unwrap());
        let spoil = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[7] ^= 1;
            bytes
        };
        let leaf = spoil(log.get(0).unwrap().unwrap().value());
        log.insert(0, leaf.as_slice()).unwrap();
        let tile = spoil(tiles.get((0, 0)).unwrap().unwrap().value());
        tiles.insert((0, 0), tile.as_slice()).unwrap();
    }
    write.commit().unwrap();
}

async fn logged(cluster: &Cluster, words: &str) {
    let started = Instant::now();
    let file = cluster.path().join("logs").join(format!("{COORDINATOR}.log"));
    while !std::fs::read_to_string(&file).unwrap().contains(words) {
        assert!(started.elapsed() < PATIENCE, "{words:?} was not logged; {}", cluster.logs());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn insider_at_the_coordinator() {
    let mut cluster = Cluster::start(3, 2).await;
    let key = cluster.make_ecdsa_key().await;
    let first = sign(&cluster, &key, "first").await;
    receipt(&cluster, first).await;
    let (data, snapshot) = (data(&cluster), cluster.path().join("snapshot"));

    // An edited request: its requester has never signed these words.
    cluster.kill(&signer(2));
    cluster.kill(&signer(3));
    let intent = cluster.message(&key, "pay-alice-100");
    cluster.client.submit(&intent).await.unwrap();
    cluster.kill(COORDINATOR);
    copy(&data, &snapshot);
    edit_request(&data, b"pay-alice-100", b"pay-mally-999");
    for name in [COORDINATOR, &signer(2), &signer(3)] {
        cluster.start_one(name);
    }
    logged(&cluster, "ALARM: the store holds other bytes than its requester has signed").await;
    let shown = cluster.client.watch(Some(intent.id())).next().await.unwrap_err();
    assert!(matches!(&shown, limen_client::Error::Untrue(_)), "its requester is shown other bytes: {shown}");
    cluster.wait_linked().await;
    let second = sign(&cluster, &key, "second").await;
    receipt(&cluster, second).await;
    let log = std::fs::read_to_string(cluster.path().join("logs").join(format!("{COORDINATOR}.log"))).unwrap();
    let of_it = format!("intent={}", intent.id());
    assert!(!log.lines().any(|line| line.contains(&of_it) && line.contains("to=\"signed\"")), "{log}");

    // A snapshot put back: the nodes have cosigned more than it knows, and know that the request was not theirs to lose.
    cluster.kill(COORDINATOR);
    std::fs::remove_dir_all(&data).unwrap();
    copy(&snapshot, &data);
    cluster.start_one(COORDINATOR);
    logged(&cluster, "ALARM: the nodes have cosigned a longer log").await;

    // A forked log: nobody follows it.
    cluster.kill(COORDINATOR);
    fork_log(&data);
    cluster.start_one(COORDINATOR);
    logged(&cluster, "ALARM: the log on this disk is not the one that the nodes have cosigned").await;
    cluster.wait_linked().await;
    let last = sign(&cluster, &key, "last").await;
    // What came after the snapshot this coordinator does not know any more: its signers and the log do.
    for id in [first, last] {
        receipt(&cluster, id).await;
    }
}
