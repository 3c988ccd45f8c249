//! Leaves of the evidence log: what they say, and what becomes of a signer whose leaves are missing from it.

use limen_chain::DerivationPath;
use limen_evidence::leaf::{Signed, SignedAuthorization};

use super::*;

fn after(view: &FakeView, uptime: u64, patience_ms: u64) -> Verdict<SignToken> {
    let call = SignCall { leaf_patience_ms: patience_ms, ..call(1) };
    let (nobody, nothing) = (Progress::default(), Reservations::default());
    let time = Now { wall: NOW, uptime: Uptime(uptime) };
    let Ok(verdict) = admit_sign(view, &charter(), examined(&transfer(5, "a")), call, (&nobody, &nothing), time);
    verdict
}

fn view(count: u64, oldest: Option<u64>) -> FakeView {
    let missing = MissingLeaves { count, oldest: oldest.map(Uptime) };
    FakeView { missing, ..FakeView::knowing(&examined(&transfer(5, "a"))) }
}

#[test]
fn a_leaf_may_be_missing_for_its_time_and_not_a_millisecond_longer() {
    let allowed = |verdict| matches!(verdict, Verdict::Allowed(_));
    let one = view(1, Some(5_000));
    assert!(allowed(after(&one, 64_999, LEAF_PATIENCE_MS)));
    assert_eq!(refused(after(&one, 65_000, LEAF_PATIENCE_MS)), Code::LeafMissing);
    assert_eq!(refused(after(&one, u64::MAX, LEAF_PATIENCE_MS)), Code::LeafMissing);
    assert_eq!(refused(after(&one, 7_000, 2_000)), Code::LeafMissing, "by another patience");
    assert!(allowed(after(&one, 4_000, LEAF_PATIENCE_MS)), "a crash has taken some running time");
    assert!(allowed(after(&view(0, None), u64::MAX, LEAF_PATIENCE_MS)), "it goes on once the log has it");
}

#[test]
fn leaves_that_wait_are_bounded() {
    assert!(matches!(after(&view(PENDING_LEAVES - 1, Some(0)), 0, LEAF_PATIENCE_MS), Verdict::Allowed(_)));
    assert_eq!(refused(after(&view(PENDING_LEAVES, Some(0)), 0, LEAF_PATIENCE_MS)), Code::LeafMissing);
}

#[test]
fn the_leaf_of_a_permission_says_what_was_allowed() {
    let raw = pb::Intent { path: vec![4, 7], ..transfer(5, "a") };
    let examined = examined(&raw);
    let (effects, slice) = (examined.effects_digest, examined.decision.slice);
    let view = FakeView::knowing(&examined);
    let Verdict::Allowed(token) = admit(&view, examined, call(9), NOW) else { panic!("allowed") };
    let leaf = token.authorization(NOW).unwrap();
    assert_eq!((leaf.cluster.as_str(), leaf.node.as_str(), leaf.key.as_str()), ("sample", "signer-1", "treasury"));
    assert_eq!((leaf.effects, leaf.slice, leaf.decoder_version), (effects, *slice.as_bytes(), 1));
    assert_eq!((leaf.charter, leaf.requester_key), (charter().hash(), key(1).public_key()));
    assert_eq!((leaf.session, leaf.signers.parties().len()), (SessionId::new([9; 32]), 2));
    assert_eq!((leaf.epoch, leaf.path.clone()), (Epoch::FIRST, DerivationPath::new(vec![4, 7]).unwrap()));
    assert_eq!((leaf.max_corrupt, leaf.allowed_at_ms, leaf.certificate), (1, NOW.0, None));
    assert_eq!(token.record().effects, leaf.effects);
    // What the journal's transaction keeps is enough: body and signature are the leaf.
    let signed = leaf.clone().sign(&key(3));
    let kept = [&leaf.to_body()[..], &key(3).sign(&leaf.to_message())].concat();
    assert_eq!(signed.encode(), kept);
    assert_eq!(SignedAuthorization::decode(&kept).unwrap().verify(&key(3).public_key()), Some(&leaf));
}

#[test]
fn the_leaf_of_a_signature_is_the_same_at_every_participant() {
    let examined = examined(&transfer(5, "a"));
    let input = examined.input().ecdsa_digest().unwrap();
    let view = FakeView::knowing(&examined);
    let Verdict::Allowed(token) = admit(&view, examined, call(9), NOW) else { panic!("allowed") };
    let stored = StoredSignature { signature: vec![7; 64], recovery_id: 1, session: vec![9; 32], signers: vec![1, 2] };
    let leaf = token.signature_leaf(&stored).unwrap();
    assert_eq!((leaf.signed, leaf.signature, leaf.recovery_id), (Signed::Digest(input), [7; 64], 1));
    assert_eq!(leaf.account_key.as_bytes(), token.examined().public_key());
    assert_eq!(leaf.session, *token.session());
    let torn = StoredSignature { signature: vec![7; 63], ..stored };
    assert_eq!(token.signature_leaf(&torn), None);
}
