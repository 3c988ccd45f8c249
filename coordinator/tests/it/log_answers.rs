//! What nodes answer to the log's keeper, spoiled field by field: it counts for nothing, and the others are enough.

use bytes::Bytes;
use limen_coordinator::store::NoteKind;
use limen_wire::pb;

use crate::disk::Disk;
use crate::ledger::WITNESS;
use crate::log::{FakeNode, Spoil, authorization, cosigned, leaves, sign, signature, world};
use crate::world::{World, until};

/// A cosignature with another byte in its signature: the last line of a note ends with it, in base64.
fn flipped(note: &Bytes) -> Bytes {
    let mut note = note.to_vec();
    let place = note.len() - 12;
    note[place] = if note[place] == b'A' { b'B' } else { b'A' };
    note.into()
}

fn is_cosigned(answer: &pb::FollowResponse) -> bool {
    !answer.cosigned.is_empty()
}

#[tokio::test]
async fn a_node_whose_answers_are_spoiled_cosigns_nothing() {
    let spoils: [(&str, Spoil); 10] = [
        ("one leaf more than it was shown", |_, answer| pb::FollowResponse { size: answer.size + 1, ..answer }),
        ("beyond all numbers", |_, answer| pb::FollowResponse { size: u64::MAX, ..answer }),
        ("fewer leaves than it has taken", |_, answer| pb::FollowResponse { size: 0, ..answer }),
        ("no cosignature", |_, answer| pb::FollowResponse { cosigned: Bytes::new(), ..answer }),
        ("garbage", |_, answer| pb::FollowResponse { cosigned: Bytes::from_static(b"garbage"), ..answer }),
        ("of a smaller log", |node, answer| match is_cosigned(&answer) {
            true => pb::FollowResponse { cosigned: node.cosign(&node.held()[..1]), ..answer },
            false => answer,
        }),
        ("in another's name", |node, answer| match is_cosigned(&answer) {
            true => pb::FollowResponse { cosigned: FakeNode::named("signer-9", 3).cosign(&node.held()), ..answer },
            false => answer,
        }),
        ("under another's key", |node, answer| match is_cosigned(&answer) {
            true => pb::FollowResponse { cosigned: FakeNode::named("signer-3", 1).cosign(&node.held()), ..answer },
            false => answer,
        }),
        ("cut off", |_, mut answer| {
            answer.cosigned.truncate(answer.cosigned.len().saturating_sub(9));
            answer
        }),
        ("another byte of the signature", |_, mut answer| {
            if is_cosigned(&answer) {
                answer.cosigned = flipped(&answer.cosigned);
            }
            answer
        }),
    ];
    let (world, disk) = (world(), Disk::default());
    let running = world.start(&disk).await;
    let cosigners = || {
        let note = running.core.store.note(NoteKind::Newest).unwrap();
        note.map_or(0, |note| note.signatures().len())
    };
    for (number, (what, spoil)) in (1u8..).zip(spoils) {
        *world.log[2].spoils.lock().unwrap() = Some(spoil);
        sign(&world, number);
        cosigned(&running, u64::from(number) * 3).await;
        assert_eq!(cosigners(), 2, "{what}");
    }
    *world.log[2].spoils.lock().unwrap() = None;
    until("it counts again", || cosigners() == 3).await;
    running.stop(&disk).await;
}

#[tokio::test]
async fn no_spoiled_leaf_comes_into_the_log() {
    let (world, disk) = (world(), Disk::default());
    let own = authorization(3, 9, 3);
    for place in 0..own.len() {
        let mut spoiled = own.to_vec();
        spoiled[place] ^= 1;
        world.log[2].hands_in(spoiled.into());
    }
    sign(&world, 1);
    let running = world.start(&disk).await;
    cosigned(&running, 3).await;
    let good = [authorization(1, 1, 1), authorization(2, 1, 2), signature(1)];
    assert!(leaves(&running).iter().all(|leaf| good.contains(leaf)));
    // Without a byte changed it comes in.
    world.log[2].hands_in(own.clone());
    until("the leaf as it was", || leaves(&running).contains(&own)).await;
    running.stop(&disk).await;
}

/// A witness makes no leaves: not its own, and not those that a signer has truly made.
#[tokio::test]
async fn leaves_that_a_witness_hands_in_are_not_taken() {
    let mut nodes: Vec<_> = (1..=3).map(|number| FakeNode::named(&format!("signer-{number}"), number)).collect();
    nodes.push(FakeNode::named("witness-1", WITNESS));
    let (world, disk) = (World { log: nodes, ..World::with_ledger("max_count = 5") }, Disk::default());
    for leaf in [authorization(1, 9, 1), authorization(2, 9, 2), signature(9), authorization(3, 9, WITNESS)] {
        world.log[3].hands_in(leaf);
    }
    sign(&world, 1);
    let running = world.start(&disk).await;
    let refused = || running.core.metrics.text(&running.core).contains("leaves_refused_total{node=\"witness-1\"} ");
    until("what the witness says is refused", refused).await;
    cosigned(&running, 3).await;
    assert_eq!(leaves(&running).len(), 3);
    // In a signer's own hand the same bytes are its word.
    world.log[0].hands_in(authorization(1, 9, 1));
    until("the signer's own", || leaves(&running).contains(&authorization(1, 9, 1))).await;
    running.stop(&disk).await;
}
