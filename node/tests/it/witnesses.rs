//! What signers bring a witness, whole and spoiled.

use limen_node::store::stops::StopHead;
use limen_policy::charter::Charter;
use limen_wire::error::ApiError;
use limen_wire::pb;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::charters::{self, text_after};
use crate::cluster::PATIENCE;
use crate::ledger::World;
use crate::stops::freeze;

/// How many freezes stop something at the witness, as its operator sees it.
async fn freezes(world: &World) -> String {
    metric(world, "limen_node_freezes ").await
}

/// What stands behind this in the witness's metrics.
pub(crate) async fn metric(world: &World, name: &str) -> String {
    let address = world.running.as_ref().unwrap().metrics_address().unwrap();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut text = String::new();
    socket.read_to_string(&mut text).await.unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned()
}

fn page(records: &[&pb::Envelope], head: StopHead) -> pb::StopsPage {
    let records = records.iter().map(|record| (*record).clone()).collect();
    pb::StopsPage { after: 0, records, length: head.length, head: head.hash.to_vec().into() }
}

/// Every byte of a page is what its hash says, and every record proves itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_page_tells_a_witness_nothing() {
    let mut world = World::start().await;
    // Only the test speaks to it.
    for index in 0..3 {
        world.cluster.stop(index).await;
    }
    let ((first, one), (second, two)) = (freeze("cluster", 1), freeze("key:treasury", 2));
    let head = StopHead::default().after(first.as_bytes()).after(second.as_bytes());
    let good = page(&[&one, &two], head);
    let mut spoiled = Vec::new();
    for place in 0..32 {
        let mut bytes = head.hash.to_vec();
        bytes[place] ^= 1;
        spoiled.push((format!("byte {place} of the head"), pb::StopsPage { head: bytes.into(), ..good.clone() }));
    }
    for place in 0..one.payload.len() {
        let mut bytes = one.payload.to_vec();
        bytes[place] ^= 1;
        let record = pb::Envelope { payload: bytes.into(), ..one.clone() };
        spoiled.push((format!("byte {place} of a record"), page(&[&record, &two], head)));
    }
    let renamed = pb::Envelope { payload_type: two.payload_type.replace("freeze", "unfreeze"), ..two.clone() };
    let many = pb::StopsPage { records: vec![one.clone(); 257], length: 257, ..good.clone() };
    for (what, page) in [
        ("a short head", pb::StopsPage { head: head.hash[..31].to_vec().into(), ..good.clone() }),
        ("fewer than there are", pb::StopsPage { length: 1, ..good.clone() }),
        ("one left out", page(&[&two], head)),
        ("the last left out", page(&[&one], head)),
        ("another order", page(&[&two, &one], head)),
        ("one twice", page(&[&one, &one, &two], StopHead { length: 3, ..head })),
        ("another kind", page(&[&one, &renamed], head)),
        ("no record", page(&[&one, &pb::Envelope::default()], head)),
        ("too many", many),
        ("nothing at all", pb::StopsPage { records: Vec::new(), ..good.clone() }),
    ] {
        spoiled.push((what.to_owned(), page));
    }
    let mut signer = world.hears(&world.cluster.machines[0]);
    let read = |answer: pb::HearResponse| answer.read.unwrap().length;
    for (what, page) in spoiled {
        let refused = signer.hear(pb::HearRequest { page: Some(page), ..Default::default() }).await;
        let error = refused.map(|_| ()).expect_err(&what);
        assert_eq!(ApiError::from_status(&error).unwrap().code.as_str(), "malformed", "{what}");
        assert_eq!(read(signer.hear(pb::HearRequest::default()).await.unwrap().into_inner()), 0, "{what}");
    }
    // What answers another question is passed over.
    let later = pb::StopsPage { after: 1, ..good.clone() };
    let answer = signer.hear(pb::HearRequest { page: Some(later), ..Default::default() }).await.unwrap();
    assert_eq!(read(answer.into_inner()), 0);
    // The hash is of what is said; who says it is asked of each record.
    let forged = |record: &pb::Envelope| {
        let mut record = record.clone();
        let mut signature = record.signatures[0].signature.to_vec();
        signature[5] ^= 1;
        record.signatures[0].signature = signature.into();
        record
    };
    let (one_forged, two_forged) = (forged(&one), forged(&two));
    let lies = pb::HearRequest { page: Some(page(&[&one_forged, &two_forged], head)), ..Default::default() };
    assert_eq!(read(signer.hear(lies).await.unwrap().into_inner()), 2);
    assert_eq!(freezes(&world).await, "0");
    let mut other = world.hears(&world.cluster.machines[1]);
    let truth = pb::HearRequest { page: Some(good), ..Default::default() };
    assert_eq!(read(other.hear(truth).await.unwrap().into_inner()), 2);
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
    let counting = async {
        while freezes(&world).await != "2" {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, counting).await.expect("another signer brings what the first kept back");
}

/// A witness that begins with a late version is brought what came before it, once something rests on that.
#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_begins_beside_an_old_fork_is_brought_what_came_before() {
    let mut world = World::start().await;
    let first = Charter::from_toml(&world.cluster.charter()).unwrap().hash();
    let (seven, six) = (("max_sessions = 8", "max_sessions = 7"), ("max_sessions = 8", "max_sessions = 6"));
    let less = ("max_amount = \"10\"", "max_amount = \"5\"");
    let left = charters::version(&world.cluster, &[first], 2, &[seven]);
    let left_again = charters::version(&world.cluster, &[left.hash], 3, &[six]);
    let right = charters::version(&world.cluster, &[first], 2, &[less]);
    let joined = charters::version(&world.cluster, &[left_again.hash, right.hash], 4, &[six, less]);
    let late = text_after(&world.cluster, &[left.hash], 3, &[six]);
    world.running.take().unwrap().stop().await;
    let early = world.cluster.charter();
    std::fs::remove_dir_all(world.cluster.path("w1")).unwrap();
    std::fs::write(world.cluster.path("charter.toml"), late).unwrap();
    world.running = Some(world.start_again().await);
    std::fs::write(world.cluster.path("charter.toml"), early).unwrap();
    for one in [&left, &left_again, &right, &joined] {
        charters::take(&world.cluster, 0, &one.envelope).await.unwrap();
    }
    world.witness_has("the joining version", |has| has.charter.as_ref() == joined.hash.as_bytes()).await;
}
