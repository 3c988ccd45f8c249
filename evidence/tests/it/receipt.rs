//! Receipts: what verifies, and that nothing else does.

use limen_evidence::checkpoint::{Checkpoint, SignedCheckpoint};
use limen_evidence::leaf::{AccountKey, Leaf, LeafError, Signed};
use limen_evidence::merkle::InclusionProof;
use limen_evidence::receipt::{Finality, MAGIC, Receipt, ReceiptError, VERSION, Verified};
use limen_evidence::trust::Trust;
use limen_wire::ids::{ClusterId, CommitteeSize, Epoch, KeyId, PartyIndex, Protocol, Scheme, SessionId, SignerSet};
use limen_wire::pb;
use limen_wire::statement::StatementError;
use proptest::prelude::*;

use crate::keys::{cluster, node, p256};
use crate::story::{SCHEMES, Story, node_key, nodes, reordered, signed_leaf, trust};

fn story() -> Story {
    Story::new(Scheme::EcdsaSecp256k1)
}

fn verify(story: &Story) -> Result<Verified, ReceiptError> {
    let receipt = story.receipt();
    let read = Receipt::decode(&receipt.encode())?;
    assert_eq!(read, receipt);
    read.verify(&trust())
}

fn refused(spoil: impl FnOnce(&mut Story)) -> ReceiptError {
    let mut story = story();
    spoil(&mut story);
    verify(&story).expect_err("must be refused")
}

/// The field in which two parts differ.
fn mismatch(spoil: impl FnOnce(&mut Story)) -> &'static str {
    match refused(spoil) {
        ReceiptError::Mismatch { field, .. } => field,
        other => panic!("{other}"),
    }
}

fn set(indices: &[u16]) -> SignerSet {
    SignerSet::new(indices.iter().map(|index| PartyIndex::new(*index).unwrap()).collect()).unwrap()
}

#[test]
fn receipts_of_every_scheme_verify() {
    for scheme in SCHEMES {
        let story = Story::new(scheme);
        let verified = verify(&story).unwrap();
        assert_eq!(verified.finality, Finality::Final);
        assert_eq!(verified.signature, story.signature);
        assert_eq!(verified.authorizations.len(), 2);
        assert!(verified.effects_agree);
        assert_eq!((verified.max_corrupt, verified.max_corrupt_is_lowered()), (1, false));
        assert_eq!(verified.honest_at_least(), 1);
        assert_eq!(
            verified.cosigned_by.keys().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            "signer-1 signer-2 witness-1"
        );
    }
}

#[test]
fn a_receipt_that_is_not_final_yet_says_so() {
    for (cosigning, finality) in [
        (vec![0], Finality::NotYet { have: 1, need: 3 }),
        (vec![0, 3], Finality::NotYet { have: 2, need: 3 }),
        (vec![0, 1, 2, 3], Finality::Final),
    ] {
        let verified = verify(&Story { cosigning, ..story() }).unwrap();
        assert_eq!(verified.finality, finality);
    }
}

#[test]
fn every_flipped_byte_fails() {
    let trust = trust();
    for scheme in SCHEMES {
        let bytes = Story::new(scheme).receipt().encode();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut spoiled = bytes.clone();
                spoiled[at] ^= flip;
                let verdict = Receipt::decode(&spoiled).and_then(|receipt| receipt.verify(&trust));
                assert!(verdict.is_err(), "{scheme}: byte {at} of {} ^ {flip:#04x}", bytes.len());
            }
        }
    }
}

#[test]
fn every_flipped_byte_of_a_receipt_that_is_not_final_fails_too() {
    let trust = trust();
    let bytes = Story { cosigning: vec![1], attesting: vec![0, 2], ..story() }.receipt().encode();
    for at in 0..bytes.len() {
        let mut spoiled = bytes.clone();
        spoiled[at] ^= 0xff;
        assert!(Receipt::decode(&spoiled).and_then(|receipt| receipt.verify(&trust)).is_err(), "byte {at}");
    }
}

#[test]
fn a_cut_or_extended_receipt_fails() {
    let bytes = story().receipt().encode();
    for length in 0..bytes.len() {
        assert!(Receipt::decode(&bytes[..length]).is_err(), "{length} bytes");
    }
    for more in [&b"\n"[..], b"\0", b"\xe2\x80\x94 x AAAAAAE=\n"] {
        assert!(Receipt::decode(&[&bytes[..], more].concat()).is_err());
    }
    assert_eq!(Receipt::decode(b""), Err(ReceiptError::NotAReceipt));
    assert_eq!(Receipt::decode(b"PK\x03\x04 something else"), Err(ReceiptError::NotAReceipt));
    assert!(Receipt::decode(&vec![0; 5 * 1024 * 1024]).is_err());
}

#[test]
fn parts_of_two_valid_receipts_do_not_go_together() {
    let trust = trust();
    let mut other = story();
    other.intent.idempotency_key = "order-2".into();
    let other = rebuilt(other);
    let (a, b) = (story().receipt(), other.receipt());
    a.verify(&trust).unwrap();
    b.verify(&trust).unwrap();
    assert_eq!(a.key, b.key, "both are of one key");
    type Swap = fn(&mut Receipt, &Receipt);
    let swaps: [(&str, Swap); 8] = [
        ("intent", |a, b| a.intent = b.intent.clone()),
        ("authorizations", |a, b| a.authorizations = b.authorizations.clone()),
        ("one authorization", |a, b| a.authorizations[0] = b.authorizations[0].clone()),
        ("an authorization's leaf", |a, b| a.authorizations[1].leaf = b.authorizations[1].leaf.clone()),
        ("signature", |a, b| a.signature = b.signature.clone()),
        ("the signature's leaf", |a, b| a.signature.leaf = b.signature.leaf.clone()),
        ("checkpoint", |a, b| a.checkpoint = b.checkpoint.clone()),
        ("intent's signature", |a, b| a.intent.signatures = b.intent.signatures.clone()),
    ];
    for (part, swap) in swaps {
        for (mut into, from) in [(a.clone(), &b), (b.clone(), &a)] {
            swap(&mut into, from);
            assert!(into.verify(&trust).is_err(), "{part}");
        }
    }
    let of_other_key = Story::new(Scheme::SchnorrBip340).receipt();
    assert!(Receipt { key: of_other_key.key, ..a }.verify(&trust).is_err());
}

/// The same story told of its changed intent: signed and authorized anew.
fn rebuilt(changed: Story) -> Story {
    Story::telling(Scheme::EcdsaSecp256k1, changed.intent)
}

#[test]
fn swapped_places_in_one_receipt_fail() {
    let good = story().receipt();
    let mut swapped = good.clone();
    swapped.authorizations.swap(0, 1);
    assert!(matches!(swapped.verify(&trust()), Err(ReceiptError::Mismatch { field: "order of the log", .. })));
    let mut doubled = good.clone();
    doubled.authorizations[1] = doubled.authorizations[0].clone();
    assert!(matches!(doubled.verify(&trust()), Err(ReceiptError::Mismatch { field: "order of the log", .. })));
    let mut mixed = good;
    mixed.signature = mixed.authorizations[1].clone();
    assert!(matches!(mixed.verify(&trust()), Err(ReceiptError::Leaf(LeafError::OtherKind { .. }))));
}

#[test]
fn another_cluster_is_not_trusted() {
    let pinned: Vec<_> = nodes().iter().map(|(node, key)| (node.clone(), key.public_key())).collect();
    let members = pinned.clone().into_iter().map(|(node, _)| node);
    let other = Trust::new(ClusterId::new("other").unwrap(), pinned, members, 3, 1).unwrap();
    let error = story().receipt().verify(&other).unwrap_err();
    assert!(matches!(&error, ReceiptError::OtherCluster { part: "intent", found, .. } if found == "test"), "{error}");
    let error = refused(|story| story.statement.cluster = ClusterId::new("other").unwrap());
    assert!(matches!(error, ReceiptError::OtherCluster { part: "key statement", .. }), "{error}");
    assert_eq!(mismatch(|story| story.signature.cluster = ClusterId::new("other").unwrap()), "cluster");
    assert_eq!(mismatch(|story| story.authorizations[0].0.cluster = ClusterId::new("other").unwrap()), "cluster");
}

#[test]
fn every_leaf_speaks_of_the_intent() {
    let other = KeyId::new("other").unwrap();
    assert_eq!(mismatch(|story| story.signature.intent = limen_wire::ids::IntentId::new([1; 32])), "intent id");
    assert_eq!(mismatch(|story| story.signature.key = other.clone()), "key");
    for at in 0..2 {
        let change = |spoil: fn(&mut limen_evidence::leaf::Authorization)| {
            mismatch(|story| spoil(&mut story.authorizations[at].0))
        };
        assert_eq!(change(|leaf| leaf.intent = limen_wire::ids::IntentId::new([1; 32])), "intent id");
        assert_eq!(change(|leaf| leaf.key = KeyId::new("other").unwrap()), "key");
        assert_eq!(change(|leaf| leaf.path = limen_chain::DerivationPath::new(vec![0, 8]).unwrap()), "path");
        assert_eq!(change(|leaf| leaf.session = SessionId::new([1; 32])), "session");
        assert_eq!(change(|leaf| leaf.signers = set(&[1, 2])), "signers");
        assert_eq!(change(|leaf| leaf.epoch = Epoch(5)), "epoch");
    }
    assert_eq!(mismatch(|story| story.authorizations[1].0.requester_key = p256(9).public_key()), "requester's key");
    let effects = "effects, read by one decoder under one charter";
    assert_eq!(mismatch(|story| story.authorizations[1].0.effects = [0; 32]), effects);
}

#[test]
fn the_key_is_the_one_that_its_members_attest() {
    assert_eq!(mismatch(|story| story.statement.key_id = KeyId::new("other").unwrap()), "key");
    assert_eq!(mismatch(|story| story.statement.epoch = Epoch(5)), "epoch");
    assert_eq!(mismatch(|story| story.statement.chain_code = [1; 32]), "public key");
    let three = |story: &mut Story| story.statement.size = CommitteeSize::new(3, 3).unwrap();
    assert_eq!(mismatch(three), "number of signers");
    let scheme = |story: &mut Story| {
        story.statement = Story::new(Scheme::SchnorrBip340).statement;
    };
    assert_eq!(mismatch(scheme), "scheme");
    let error = refused(|story| story.attesting = vec![1]);
    assert!(matches!(error, ReceiptError::Key(StatementError::TooFew { have: 1, need: 2, .. })), "{error}");
    let error = refused(|story| story.attesting = vec![0, 1, 3]);
    assert!(matches!(error, ReceiptError::Key(StatementError::NotMember { .. })), "{error}");
    assert!(verify(&Story { attesting: vec![1, 2], ..story() }).is_ok(), "signers_required members are enough");
}

/// Every signer could state such a key, of any name.
#[test]
fn a_key_in_one_token_is_believed_only_where_it_is_pinned() {
    let alone = |story: &mut Story| {
        story.statement.protocol = Protocol::Hsm;
        story.statement.size = CommitteeSize::ALONE;
        story.statement.nodes.truncate(1);
        story.statement.chain_code = [0; 32];
        story.attesting = vec![0];
    };
    let error = refused(alone);
    assert!(matches!(error, ReceiptError::OutsideThePromise { .. }), "{error}");
    let pinned =
        |node: usize| trust().with_hsm_keys([(story().statement.key_id, story().statement.nodes[node].clone())]);
    let mut other = story();
    alone(&mut other);
    let error = other.receipt().verify(&pinned(1)).unwrap_err();
    assert!(matches!(error, ReceiptError::OutsideThePromise { .. }), "of another signer: {error}");
    let error = other.receipt().verify(&pinned(0)).unwrap_err();
    assert!(!matches!(error, ReceiptError::OutsideThePromise { .. }), "what two signers signed is none of it: {error}");
    let error = story().receipt().verify(&pinned(0)).unwrap_err();
    assert!(matches!(error, ReceiptError::OutsideThePromise { .. }), "a threshold key of a pinned name: {error}");
    let file = pinned(0).to_toml();
    assert_eq!(Trust::from_toml(&file), Ok(pinned(0)), "{file}");
}

#[test]
fn a_p256_keys_receipt_verifies_where_the_key_is_pinned() {
    let story = Story::held();
    let trust = trust().with_hsm_keys([(story.statement.key_id.clone(), story.statement.nodes[0].clone())]);
    let digest =
        pb::Intent { payload: Some(pb::intent::Payload::RawDigest(vec![7; 32].into())), ..story.intent.clone() };
    for story in [story, Story::telling_of_held(digest)] {
        let receipt = story.receipt();
        let bytes = receipt.encode();
        let verified = Receipt::decode(&bytes).unwrap().verify(&trust).unwrap();
        assert!(verified.is_outside_the_promise());
        assert_eq!((&verified.signature, verified.honest_at_least()), (&story.signature, 0));
        for at in 0..bytes.len() {
            let mut spoiled = bytes.clone();
            spoiled[at] ^= 0x20;
            let verdict = Receipt::decode(&spoiled).and_then(|receipt| receipt.verify(&trust));
            assert!(verdict.is_err(), "byte {at}");
        }
        // The statement binds the scheme: its own signer may state the same bytes as another curve's, and it is another key.
        let mut other = story;
        other.statement.scheme = Scheme::EcdsaSecp256k1;
        assert!(other.receipt().verify(&trust).is_err());
    }
}

#[test]
fn the_statement_has_one_order_of_signatures() {
    let mut receipt = story().receipt();
    receipt.key.signatures.reverse();
    assert!(matches!(receipt.verify(&trust()), Err(ReceiptError::Mismatch { field: "order of names", .. })));
}

#[test]
fn envelopes_have_one_encoding() {
    let receipt = story().receipt();
    let bytes = receipt.encode();
    let (good, other) = (prost::Message::encode_to_vec(&receipt.intent), reordered(&receipt.intent));
    assert_eq!(good.len(), other.len());
    let at = bytes.windows(good.len()).position(|window| window == good).unwrap();
    let mut spoiled = bytes;
    spoiled.splice(at..at + good.len(), other);
    assert!(matches!(Receipt::decode(&spoiled), Err(ReceiptError::Malformed(_))));
}

#[test]
fn the_requester_asked_for_it() {
    assert_eq!(refused(|story| story.requester = p256(9)), ReceiptError::Requester, "another key than signers name");
    let mut receipt = story().receipt();
    let mut second = receipt.intent.signatures[0].clone();
    second.signer = "mallory".into();
    receipt.intent.signatures.push(second);
    assert_eq!(receipt.verify(&trust()), Err(ReceiptError::Requester), "a second signature");
    receipt.intent.signatures.clear();
    assert_eq!(receipt.verify(&trust()), Err(ReceiptError::Requester), "none");
}

#[test]
fn every_leaf_is_in_the_log() {
    let good = story().receipt();
    for at in 0..3 {
        let mut receipt = good.clone();
        let logged = if at < 2 { &mut receipt.authorizations[at] } else { &mut receipt.signature };
        let index = logged.index;
        let mut path = logged.proof.path().to_vec();
        path.pop();
        logged.proof = InclusionProof::new(path).unwrap();
        let error = receipt.verify(&trust()).unwrap_err();
        assert!(matches!(error, ReceiptError::NotInLog { index: found, .. } if found == index), "{error}");
    }
}

#[test]
fn authorizations_are_signed_by_their_nodes() {
    for at in 0..2 {
        let error = refused(|story| story.authorizations[at].1 = node_key(1));
        let who = if at == 0 { "signer-1" } else { "signer-3" };
        assert_eq!(error, ReceiptError::Unsigned { node: node(who) });
    }
    // pinned anew since: whoever does not pin the node's key of that time cannot check it
    let pinned = nodes().map(|(node, key)| (node, key.public_key())).into_iter().enumerate();
    let pinned: Vec<_> =
        pinned.map(|(at, (node, key))| (node, if at == 2 { p256(30).public_key() } else { key })).collect();
    let members: Vec<_> = pinned.iter().map(|(node, _)| node.clone()).collect();
    let trust = Trust::new(cluster(), pinned, members, 3, 1).unwrap();
    let receipt = Story { attesting: vec![0, 1], ..story() }.receipt();
    assert_eq!(receipt.verify(&trust), Err(ReceiptError::Unsigned { node: node("signer-3") }));
}

#[test]
fn only_participants_authorize_and_each_once() {
    let outsider = |story: &mut Story| {
        story.authorizations[1].0.node = node("signer-2");
        story.authorizations[1].1 = node_key(1);
    };
    assert_eq!(refused(outsider), ReceiptError::NotParticipant { node: node("signer-2") }, "not in the session");
    let stranger = |story: &mut Story| {
        story.authorizations[1].0.node = node("witness-1");
        story.authorizations[1].1 = node_key(3);
    };
    assert_eq!(refused(stranger), ReceiptError::NotParticipant { node: node("witness-1") }, "no member of the key");
    let twice = |story: &mut Story| {
        story.authorizations[1].0 = story.authorizations[0].0.clone();
        story.authorizations[1].1 = node_key(0);
    };
    assert_eq!(refused(twice), ReceiptError::NotParticipant { node: node("signer-1") }, "twice");
}

#[test]
fn as_many_authorize_as_must_be_honest() {
    let one_left = |max_corrupt| {
        let mut story = story();
        story.authorizations.pop();
        story.authorizations[0].0.max_corrupt = max_corrupt;
        verify(&story)
    };
    let verified = one_left(1).unwrap();
    assert_eq!(
        (verified.authorizations.len(), verified.honest_at_least()),
        (1, 0),
        "and that one may be the corrupt one"
    );
    assert_eq!(one_left(0), Err(ReceiptError::TooFewAuthorizations { have: 1, need: 2 }));
    let none = refused(|story| story.authorizations.clear());
    assert_eq!(none, ReceiptError::TooFewAuthorizations { have: 0, need: 2 });
}

#[test]
fn a_lowered_f_is_shown() {
    let lowered = |a, b| {
        let mut story = story();
        story.authorizations[0].0.max_corrupt = a;
        story.authorizations[1].0.max_corrupt = b;
        verify(&story)
            .map(|verified| (verified.max_corrupt, verified.max_corrupt_is_lowered(), verified.honest_at_least()))
    };
    assert_eq!(lowered(0, 0), Ok((0, true, 2)));
    assert_eq!(lowered(0, 1), Ok((1, false, 1)), "the most cautious one counts");
    let error = ReceiptError::MaxCorrupt { node: node("signer-3"), max_corrupt: 2, required: 2 };
    assert_eq!(lowered(1, 2), Err(error));
}

#[test]
fn nobody_authorizes_what_has_expired() {
    let story = story();
    let expiry_ms = story.intent.expires_at_secs * 1000;
    let at = |ms| refused(|story| story.authorizations[1].0.allowed_at_ms = ms);
    assert_eq!(at(expiry_ms), ReceiptError::Late { node: node("signer-3") });
    let mut last_moment = self::story();
    last_moment.authorizations[1].0.allowed_at_ms = expiry_ms - 1;
    verify(&last_moment).unwrap();
}

#[test]
fn the_signature_is_over_exactly_the_bytes_of_the_intent() {
    assert_eq!(mismatch(|story| story.signature.signed = Signed::Digest([1; 32])), "bytes signed");
    let other_key = |story: &mut Story| {
        story.signature.account_key = AccountKey::new(Scheme::EcdsaSecp256k1, &story.statement.public_key).unwrap();
    };
    assert_eq!(mismatch(other_key), "public key");
    assert_eq!(refused(|story| story.signature.recovery_id ^= 1), ReceiptError::Signature);
    assert_eq!(refused(|story| story.signature.signature[40] ^= 1), ReceiptError::Signature);
}

#[test]
fn effects_that_need_a_charter_to_be_read_are_said_to_be_so() {
    let mut story = story();
    for (leaf, _) in &mut story.authorizations {
        leaf.effects = [7; 32];
    }
    assert!(!verify(&story).unwrap().effects_agree);
    // another charter or decoder may read the same bytes otherwise
    story.authorizations[1].0.effects = [8; 32];
    story.authorizations[1].0.decoder_version = 99;
    assert!(!verify(&story).unwrap().effects_agree);
}

#[test]
fn all_participants_read_the_same_under_one_charter() {
    let mut story = story();
    story.statement.size = CommitteeSize::new(3, 3).unwrap();
    let mut third = story.authorizations[1].0.clone();
    third.node = node("signer-2");
    story.authorizations.push((third, node_key(1)));
    story.signature.signers = set(&[1, 2, 3]);
    story.authorizations.iter_mut().for_each(|(leaf, _)| leaf.signers = set(&[1, 2, 3]));
    story.authorizations[0].0.charter = limen_wire::ids::CharterHash::new([9; 32]);
    assert_eq!(verify(&story).unwrap().authorizations.len(), 3);
    // the second and the third stand under one charter, the first under another
    story.authorizations[2].0.effects = [0; 32];
    let error = verify(&story).unwrap_err();
    assert!(matches!(&error, ReceiptError::Mismatch { field, .. } if field.starts_with("effects")), "{error}");
}

#[test]
fn cosignatures_are_of_members_each_once_and_in_order() {
    for cosigning in [vec![1, 0], vec![0, 0], vec![3, 0, 1], vec![0, 1, 1, 3]] {
        let error = verify(&Story { cosigning: cosigning.clone(), ..story() }).unwrap_err();
        assert_eq!(error, ReceiptError::Cosigners, "{cosigning:?}");
    }
    let pinned: Vec<_> = nodes().iter().map(|(node, key)| (node.clone(), key.public_key())).collect();
    let members = [node("signer-1"), node("signer-2"), node("signer-3")];
    let without_witness = Trust::new(cluster(), pinned, members, 3, 1).unwrap();
    assert_eq!(story().receipt().verify(&without_witness), Err(ReceiptError::Cosigners), "the witness is no member");
}

#[test]
fn the_checkpoint_is_of_this_cluster() {
    let text = story().receipt().checkpoint.to_note();
    let bytes = story().receipt().encode();
    let note_at = bytes.len() - text.len();
    for origin in ["limen/tess/log", "test"] {
        let other = text.replacen("limen/test/log", origin, 1);
        let mut spoiled = bytes[..note_at - 4].to_vec();
        spoiled.extend(u32::try_from(other.len()).unwrap().to_be_bytes());
        spoiled.extend(other.as_bytes());
        let error = Receipt::decode(&spoiled).unwrap().verify(&trust()).unwrap_err();
        assert!(matches!(error, ReceiptError::OtherCluster { part: "checkpoint", .. }), "{error}");
    }
}

#[test]
fn leaves_in_a_receipt_are_the_logs_own_bytes() {
    let receipt = story().receipt();
    assert_eq!(signed_leaf(&receipt, 0).encode(), receipt.authorizations[0].leaf);
}

proptest! {
    #[test]
    fn no_bytes_end_in_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), cut in 0..3_000_usize, at in 0..3_000_usize) {
        let trust = trust();
        let judge = |bytes: &[u8]| Receipt::decode(bytes).and_then(|receipt| receipt.verify(&trust));
        prop_assert!(judge(&bytes).is_err());
        let head = [&MAGIC[..], &[VERSION], &bytes].concat();
        prop_assert!(judge(&head).is_err());
        // a good receipt with a piece replaced
        let good = story().receipt().encode();
        let (from, to) = (at.min(good.len()), (at + cut).min(good.len()));
        let mut spliced = good.clone();
        spliced.splice(from..to, bytes.iter().copied());
        prop_assert_eq!(judge(&spliced).is_ok(), spliced == good);
        let _ = Leaf::decode(&bytes);
        let _ = SignedCheckpoint::parse(&bytes);
    }

    #[test]
    fn no_text_ends_in_a_panic(text in "[a-z0-9 =+/\u{2014}\n]{0,300}") {
        if let Ok(note) = SignedCheckpoint::parse(text.as_bytes()) {
            prop_assert_eq!(note.to_note(), text.clone());
        }
        if let Ok(checkpoint) = Checkpoint::parse(&text) {
            prop_assert_eq!(checkpoint.to_text(), text);
        }
    }
}
