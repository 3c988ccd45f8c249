use limen_mpc::{KeyPublic, Point};
use limen_wire::ids::{CommitteeSize, Protocol, Scheme};
use limen_wire::keys::PublicKey;
use limen_wire::keys::SigningKey;
use limen_wire::pb::Envelope;

use super::*;

/// The generator of edwards25519 (RFC 8032 section 5.1) and twice it.
const POINTS: [&str; 2] = [
    "5866666666666666666666666666666666666666666666666666666666666666",
    "c9a3f86aae465f0e56513864510f3997561fa2c9e85ea21dc2292309f3cd6022",
];
/// A point of order four: no prime-order point.
const TORSION: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The neutral element.
const IDENTITY: &str = "0100000000000000000000000000000000000000000000000000000000000000";

fn node(index: u8) -> NodeId {
    NodeId::new(format!("n{index}")).unwrap()
}

fn signer(index: u8) -> SigningKey {
    SigningKey::ed25519_from_seed(&zeroize::Zeroizing::new([index; 32]))
}

fn pinned(index: u8) -> PublicKey {
    signer(index).public_key()
}

fn cluster() -> ClusterId {
    ClusterId::new("test").unwrap()
}

fn facts() -> Arc<KeyFacts> {
    let public = KeyPublic {
        cluster: cluster(),
        key: KeyId::new("words").unwrap(),
        epoch: Epoch::FIRST,
        scheme: Scheme::EddsaEd25519,
        protocol: Protocol::Frost,
        size: CommitteeSize::new(2, 3).unwrap(),
        public_key: Point::ed25519(&hex::decode(POINTS[0]).unwrap()).unwrap(),
        chain_code: [7; 32],
        verifying_shares: BTreeMap::new(),
    };
    Arc::new(KeyFacts {
        public,
        nodes: (1..=3).map(node).collect(),
        me: PartyIndex::new(1).unwrap(),
        active: true,
        moved: false,
    })
}

fn commitment(first: &str, second: &str) -> Bytes {
    hex::decode([first, second].concat()).unwrap().into()
}

fn batch(boot: u8, first_index: u64, count: usize) -> pb::NonceBatch {
    pb::NonceBatch {
        version: 1,
        cluster: "test".to_owned(),
        node: "n2".to_owned(),
        key_id: "words".to_owned(),
        epoch: 1,
        boot: vec![boot; 16].into(),
        first_index,
        commitments: vec![commitment(POINTS[0], POINTS[1]); count],
    }
}

fn seal(raw: &pb::NonceBatch) -> Envelope {
    envelope::seal(PayloadType::NonceBatch, raw.encode_to_vec(), "n2", &signer(2))
}

fn check(sealed: &Envelope) -> Result<CheckedBatch, ApiError> {
    let words = |key: &KeyId| (key.as_str() == "words").then(facts);
    check_batch(&cluster(), &node(2), &pinned(2), words, sealed)
}

fn refused(change: impl FnOnce(&mut pb::NonceBatch)) -> Code {
    let mut raw = batch(9, 0, 3);
    change(&mut raw);
    match check(&seal(&raw)) {
        Ok(_) => panic!("taken: {raw:?}"),
        Err(error) => error.code,
    }
}

#[test]
fn a_batch_with_any_field_spoiled_is_refused() {
    assert!(check(&seal(&batch(9, 0, 3))).is_ok());
    assert_eq!(refused(|raw| raw.version = 2), Code::Malformed);
    assert_eq!(refused(|raw| raw.cluster = "other".to_owned()), Code::Malformed);
    assert_eq!(refused(|raw| raw.node = "n3".to_owned()), Code::Malformed);
    assert_eq!(refused(|raw| raw.key_id = "UPPER".to_owned()), Code::Malformed);
    assert_eq!(refused(|raw| raw.key_id = "strange".to_owned()), Code::UnknownKey);
    assert_eq!(refused(|raw| raw.epoch = 2), Code::Malformed);
    assert_eq!(refused(|raw| raw.boot = vec![9; 15].into()), Code::Malformed);
    assert_eq!(refused(|raw| raw.commitments = vec![Bytes::new(); limits::NONCE_BATCH + 1]), Code::Malformed);
    for bad in [
        Bytes::new(),
        commitment(POINTS[0], POINTS[1]).slice(..63),
        commitment(POINTS[0], IDENTITY),
        commitment(IDENTITY, POINTS[0]),
        commitment(POINTS[0], TORSION),
        vec![0xff; 64].into(),
    ] {
        assert_eq!(refused(|raw| raw.commitments[1] = bad.clone()), Code::Malformed, "{bad:?}");
    }
}

#[test]
fn a_batch_counts_only_under_its_owners_signature() {
    let raw = batch(9, 0, 3);
    let mut foreign = envelope::seal(PayloadType::NonceBatch, raw.encode_to_vec(), "n2", &signer(3));
    assert_eq!(check(&foreign).err().map(|error| error.code), Some(Code::BadSignature));
    foreign.signatures.clear();
    assert_eq!(check(&foreign).err().map(|error| error.code), Some(Code::BadSignature));
    let other_type = envelope::seal(PayloadType::KeyStatement, raw.encode_to_vec(), "n2", &signer(2));
    assert_eq!(check(&other_type).err().map(|error| error.code), Some(Code::Malformed));
    let mut changed = seal(&raw);
    let mut payload = changed.payload.to_vec();
    *payload.last_mut().unwrap() ^= 1;
    changed.payload = payload.into();
    assert!(check(&changed).is_err());
    let stranger = |_: &KeyId| Some(facts());
    let sealed = envelope::seal(PayloadType::NonceBatch, raw.encode_to_vec(), "n4", &signer(4));
    assert!(check_batch(&cluster(), &node(4), &pinned(4), stranger, &sealed).is_err(), "no member of the key");
}

fn pools() -> Nonces {
    Nonces::new(cluster(), node(1), [1; 16], Arc::new(Metrics::default()))
}

fn known(pools: &Nonces, boot: u8, index: u64) -> bool {
    let reference = Reference { signer: PartyIndex::new(2).unwrap(), boot: [boot; 16], index };
    pools.check(&facts(), false, &[reference]).is_ok()
}

#[test]
fn a_new_boot_ends_the_older_one_and_kept_commitments_are_bounded() {
    let pools = pools();
    pools.keep(check(&seal(&batch(9, 0, 3))).unwrap());
    assert!(known(&pools, 9, 2) && !known(&pools, 9, 3) && !known(&pools, 8, 2));
    pools.keep(check(&seal(&batch(8, 5, 1))).unwrap());
    assert!(known(&pools, 8, 5) && !known(&pools, 9, 2), "the older boot is over");
    for step in 0..4 {
        let first = step * limits::NONCE_BATCH as u64;
        pools.keep(check(&seal(&batch(7, first, limits::NONCE_BATCH))).unwrap());
    }
    assert!(!known(&pools, 7, KEPT as u64 - 1) && known(&pools, 7, KEPT as u64), "the oldest go first");
}

#[test]
fn numbers_at_the_end_of_their_range_do_no_harm() {
    let pools = pools();
    pools.keep(check(&seal(&batch(9, u64::MAX - 1, 3))).unwrap());
    assert!(known(&pools, 9, u64::MAX));
}

#[test]
fn bare_digests_never_use_nonces_shared_ahead() {
    let pools = pools();
    pools.keep(check(&seal(&batch(9, 0, 3))).unwrap());
    let reference = Reference { signer: PartyIndex::new(2).unwrap(), boot: [9; 16], index: 0 };
    let refusal = pools.check(&facts(), true, &[reference]).unwrap_err();
    assert_eq!(refusal.code, Code::NonceUnavailable);
}

/// A share of a fresh 2-of-3 key, made by three parties in memory.
fn share() -> limen_mpc::KeyShare {
    use limen_mpc::{Output, Received, Seed, Session, SessionParams};
    use limen_wire::ids::{IntentId, SessionId};
    let size = CommitteeSize::new(2, 3).unwrap();
    let params = SessionParams {
        cluster: cluster(),
        key: KeyId::new("words").unwrap(),
        epoch: Epoch::FIRST,
        scheme: Scheme::EddsaEd25519,
        protocol: Protocol::Frost,
        size,
        signers: SignerSet::new((1..=3).map(|index| PartyIndex::new(index).unwrap()).collect::<Vec<_>>()).unwrap(),
        session: SessionId::new([4; 32]),
        intent: IntentId::new([5; 32]),
    };
    let party = |index: u8| PartyIndex::new(index.into()).unwrap();
    let mut waiting = std::collections::VecDeque::new();
    let mut sessions: Vec<Session> = (1..=3)
        .map(|index| {
            let (session, step) = Session::keygen(params.clone(), party(index), Seed::new([index; 32])).unwrap();
            waiting.extend(step.send);
            session
        })
        .collect();
    while let Some(frame) = waiting.pop_front() {
        for index in
            (1..=3).filter(|index| frame.to.is_none_or(|to| to.as_u8() == *index) && frame.from.as_u8() != *index)
        {
            let session = &mut sessions[usize::from(index) - 1];
            let Ok(Received::Step(step)) = session.receive(frame.from, frame.clone()) else { continue };
            waiting.extend(step.send);
            if let Some(Output::Key(share)) = step.done
                && index == 1
            {
                return *share;
            }
        }
    }
    panic!("no key was made")
}

#[test]
fn a_pool_that_is_passed_over_is_made_anew_under_new_numbers() {
    let (pools, key) = (pools(), KeyId::new("words").unwrap());
    let share = share();
    let facts = KeyFacts { public: share.public().clone(), ..KeyFacts::clone(&facts()) };
    let fresh = |seed| limen_mpc::nonce_batch(&share, 4, limen_mpc::Seed::new([seed; 32])).unwrap();
    let add = |pairs| pools.add(&facts, pools.number(&facts, pairs).0, 4);
    assert!(add(fresh(1)));
    let numbers = || pools.pool(&key).map(|pool| (pool.next_index, pool.end_index)).unwrap();
    for _ in 1..PASSED_OVER {
        pools.pass_over(&key);
    }
    assert_eq!((numbers(), pools.wanted(&key, 4)), ((0, 4), 0), "some two-round sessions are normal");
    pools.pass_over(&key);
    assert_eq!((numbers(), pools.wanted(&key, 4)), ((4, 4), 4), "all pairs are dropped");
    let (late, _) = pools.number(&facts, fresh(3));
    assert!(add(fresh(2)));
    assert!(!pools.add(&facts, late, 4), "its numbers were given to others while it was signed");
    assert_eq!(numbers(), (4, 8), "no number comes twice");
}
