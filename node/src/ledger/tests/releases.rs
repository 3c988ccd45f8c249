//! Amounts that are given back, and those that are not.

use limen_policy::ledger::{Body, void};
use limen_wire::statement::combine;

use super::kit::{World, call};
use super::once::entry;
use super::*;

/// Cancels a request at the honest signers; what they say of it.
async fn cancelled(world: &World, id: &IntentId, honest: &[usize]) -> Vec<pb::Envelope> {
    let mut said = Vec::new();
    for signer in honest {
        let keeper = world.keeper(*signer);
        assert!(keeper.decisions.void(id).unwrap().is_none(), "nothing has stopped it yet");
        keeper.decisions.stop(world.cancellation(id)).await.answer.unwrap();
        if let Some(unsigned) = keeper.decisions.void(id).unwrap() {
            said.push(keeper.identity.seal(unsigned, keeper.me).await.unwrap());
        }
    }
    said
}

/// Signer 0 has allowed the request and signed it with corrupt signer 1 in secret; the coordinator wants the amount back.
#[tokio::test(flavor = "multi_thread")]
async fn hidden_signature_then_release() {
    let mut world = World::claiming(1);
    let mut carrier = world.carrier();
    let request = world.request(1);
    let base = world.reserve(&mut carrier, &request).await.unwrap();
    assert!(world.sign_among(0, 2, &request, &[base.envelope().clone()]).await.is_ok());
    let id = world.claim(&request).intent;
    let corrupt = void(&world.charter.cluster, &id, &world.machines[1].id, &world.machines[1].key);
    let mut said = cancelled(&world, &id, &[0, 2]).await;
    assert_eq!(said.len(), 1, "who has allowed it does not say otherwise");
    said.push(corrupt);
    let evidence = combine(&said).unwrap();
    let next = entry(&world, Some(&base), &[&world.request(2)]);
    let body = Body { claims: Vec::new(), releases: vec![evidence.clone()], ..Body::clone(&next) };
    let release = Entry::new(body).unwrap();
    for member in [0, 2, WITNESS] {
        let shown =
            pb::LedgerReserveRequest { requests: vec![world.requested(&request)], ..call(&release, Some(&base)) };
        let refusal = world.keeper(member).reserve(shown).await.unwrap().response.refusal.unwrap();
        assert!(refusal.error.unwrap().message.contains("2 of the 3 signers"), "{member}");
    }
    carrier.sequencer.release(evidence);
    assert!(world.reserve(&mut carrier, &world.request(2)).await.is_none(), "it counts on");
}

/// A signer that was down while the request lived says that it never will allow it, once it is shown whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_signer_that_never_saw_a_request_voids_it_too() {
    let mut world = World::claiming(1);
    let mut carrier = world.carrier();
    let request = world.request(1);
    world.machines[2].down = true;
    world.reserve(&mut carrier, &request).await.unwrap();
    world.machines[2].down = false;
    let id = world.claim(&request).intent;
    let keeper = world.keeper(2);
    let unseen = |intent: &pb::Envelope| keeper.decisions.void_unseen(intent).unwrap();
    assert!(unseen(&request).is_none(), "nobody has cancelled it");
    keeper.decisions.stop(world.cancellation(&id)).await.answer.unwrap();
    assert!(keeper.decisions.void(&id).unwrap().is_none());
    assert!(unseen(&world.request(2)).is_none(), "another one is not cancelled");
    // Of others' bytes under the same signature it says nothing: they are another request, or none.
    let mut raw = pb::Intent::decode(request.payload.clone()).unwrap();
    raw.requester = "somebody".to_owned();
    let theirs = pb::Envelope { payload: raw.encode_to_vec().into(), ..request.clone() };
    assert!(unseen(&theirs).is_none());
    assert!(unseen(&pb::Envelope::default()).is_none());
    let own = unseen(&request).unwrap();
    let mut said = cancelled(&world, &id, &[0, 1]).await;
    said.push(keeper.identity.seal(own, keeper.me).await.unwrap());
    // It keeps its word.
    world.now_ms += 1;
    let refused = world.sign(2, &request, &[]).await.unwrap_err();
    assert_eq!(refused.code, limen_wire::error::Code::Stopped, "{refused}");
    carrier.sequencer.release(combine(&said).unwrap());
    carrier.work(&mut world).await;
    assert!(world.reserve(&mut carrier, &world.request(2)).await.is_some(), "there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_signer_has_allowed_is_given_back() {
    let mut world = World::claiming(1);
    let mut carrier = world.carrier();
    let (one, two) = (world.request(1), world.request(2));
    let held = world.reserve(&mut carrier, &one).await.unwrap();
    assert!(world.reserve(&mut carrier, &two).await.is_none());
    let id = world.claim(&one).intent;
    let said = cancelled(&world, &id, &[0, 1, 2]).await;
    assert_eq!(said.len(), 3);
    // One that names another request releases nothing of this one.
    carrier.sequencer.release(combine(&said).unwrap());
    carrier.work(&mut world).await;
    let certificate = world.reserve(&mut carrier, &two).await.expect("there is room again");
    assert!(world.sign(0, &two, &[certificate.envelope().clone()]).await.is_ok());
    // It is never allowed any more, whatever was certified, and its name stays taken while its number is free.
    for signer in [0, 1, 2] {
        let error = world.sign(signer, &one, &[held.envelope().clone()]).await.unwrap_err();
        assert_eq!(error.code, Code::Stopped);
    }
    world.now_ms = certificate.entry().expires_at_ms + 3_600_000 + 60_000;
    assert!(world.reserve(&mut carrier, &world.transfer("r-1", 9, 1_000, None)).await.is_none());
    assert!(world.reserve(&mut carrier, &world.transfer("other", 1, 1_000, None)).await.is_some());
}
