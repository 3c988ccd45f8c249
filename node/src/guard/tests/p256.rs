//! P-256 keys, which only tokens hold: what their guard takes, and what it says was signed.

use limen_evidence::leaf::Signed;
use limen_wire::effects::sha256;

use super::*;

/// The generator of P-256 (SP 800-186 section 3.2.1.3), compressed: a public key like any other.
const P256: &str = "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
/// The generator of edwards25519 (RFC 8032 section 5.1).
const ED25519: &str = "5866666666666666666666666666666666666666666666666666666666666666";

fn held() -> KeyFacts {
    let point = Point::p256(&hex::decode(P256).unwrap()).unwrap();
    let public = KeyPublic {
        scheme: Scheme::EcdsaP256,
        protocol: Protocol::Hsm,
        size: CommitteeSize::ALONE,
        public_key: point,
        chain_code: [0; 32],
        verifying_shares: BTreeMap::from([(PartyIndex::new(1).unwrap(), point)]),
        ..facts().public
    };
    public.validate().unwrap();
    KeyFacts { public, nodes: vec![NodeId::new("signer-1").unwrap()], ..facts() }
}

fn of(payload: pb::intent::Payload) -> pb::Intent {
    let chain = String::new();
    pb::Intent { chain, payload: Some(payload), ..transfer(5, "a") }
}

fn examine_by(facts: KeyFacts, raw: &pb::Intent) -> Result<Examined, ApiError> {
    examine(&charter(), &Arc::default(), |_| Some(Arc::new(facts)), &sealed(raw), MOMENT)
}

#[test]
fn transactions_and_whatever_else_belongs_to_a_chain_are_refused() {
    let refused = |raw: &pb::Intent| examine_by(held(), raw).unwrap_err();
    let error = refused(&transfer(5, "a"));
    assert_eq!(error.code, Code::WrongScheme);
    assert!(error.message.contains("ecdsa-p256 keys have no address on chain eip155:31337"), "{error:?}");
    let digest = pb::intent::Payload::RawDigest(vec![5; 32].into());
    for payload in [pb::intent::Payload::EvmMessage(b"hello".as_slice().into()), digest] {
        let on_chain = pb::Intent { payload: Some(payload), ..transfer(5, "a") };
        assert_eq!(refused(&on_chain).code, Code::WrongScheme);
    }
    let child = pb::Intent { path: vec![1], ..of(pb::intent::Payload::Message(b"hello".as_slice().into())) };
    assert_eq!(refused(&child).code, Code::NoChildKeys);
}

#[test]
fn a_message_is_signed_by_its_hash_and_told_as_a_message() {
    let raw = of(pb::intent::Payload::Message(b"hello".as_slice().into()));
    let examined = examine_by(held(), &raw).unwrap();
    assert_eq!(examined.input().ecdsa_digest(), Some(sha256(b"hello")));
    assert_eq!(examined.account().as_str(), P256);
    let digest = examine_by(held(), &of(pb::intent::Payload::RawDigest(vec![5; 32].into()))).unwrap();
    assert_eq!(digest.input().ecdsa_digest(), Some([5; 32]));
    assert!(digest.effects().is_bare() && !examined.effects().is_bare());
}

/// Who verifies a receipt computes it of the payload: a digest stays one where the scheme takes it for a message.
#[test]
fn a_signature_leaf_tells_what_the_payload_says_was_signed() {
    let threshold = KeyPublic {
        scheme: Scheme::EddsaEd25519,
        protocol: Protocol::Frost,
        public_key: Point::ed25519(&hex::decode(ED25519).unwrap()).unwrap(),
        ..facts().public
    };
    let ed25519 = || KeyFacts { public: threshold.clone(), ..facts() };
    let digest = of(pb::intent::Payload::RawDigest(vec![5; 32].into()));
    let message = of(pb::intent::Payload::Message(b"hello".as_slice().into()));
    for (raw, signed) in [(digest, Signed::Digest([5; 32])), (message, Signed::Message(sha256(b"hello")))] {
        let mut examined = examine_by(ed25519(), &raw).unwrap();
        examined.decision.allowed = true;
        let view = FakeView::knowing(&examined);
        let Verdict::Allowed(token) = admit(&view, examined, call(9), NOW) else { panic!("allowed") };
        let stored =
            StoredSignature { signature: vec![7; 64], recovery_id: 0, session: vec![9; 32], signers: vec![1, 2] };
        assert_eq!(token.signature_leaf(&stored).unwrap().signed, signed);
    }
}
