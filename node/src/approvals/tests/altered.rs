//! One field of an approved request changed between approval and signer: refused, field by field. A field that is new in the
//! messages does not compile here before it has a row.

use limen_chain::evm::{Eip1559Fees, Transfer, transfer};
use limen_wire::effects::{Address, Amount, ChainId};

use super::*;
use crate::decisions::{Decisions, Keys};
use crate::guard::examine;
use crate::guard::tests::facts;
use crate::recent::Recent;

const CHAIN: u64 = 31_337;

/// Every field of an intent, each changed alone.
fn intents(raw: &pb::Intent) -> Vec<(&'static str, pb::Intent)> {
    let pb::Intent {
        version,
        cluster: _,
        requester: _,
        idempotency_key: _,
        vault: _,
        key_id: _,
        path: _,
        chain: _,
        payload: _,
        expires_at_secs,
        replaces: _,
        note: _,
    } = raw;
    let base = || raw.clone();
    let digest = pb::intent::Payload::RawDigest(vec![1; 32].into());
    vec![
        ("version", pb::Intent { version: version + 1, ..base() }),
        ("cluster", pb::Intent { cluster: "other".to_owned(), ..base() }),
        ("requester", pb::Intent { requester: "security".to_owned(), ..base() }),
        ("idempotency key", pb::Intent { idempotency_key: "b".to_owned(), ..base() }),
        ("vault", pb::Intent { vault: "reserve".to_owned(), ..base() }),
        ("key", pb::Intent { key_id: "reserve".to_owned(), ..base() }),
        ("path", pb::Intent { path: vec![1], ..base() }),
        ("chain", pb::Intent { chain: "eip155:1".to_owned(), ..base() }),
        ("payload", pb::Intent { payload: Some(digest), ..base() }),
        ("no payload", pb::Intent { payload: None, ..base() }),
        ("expiry", pb::Intent { expires_at_secs: expires_at_secs + 1, ..base() }),
        ("replaces", pb::Intent { replaces: vec![1; 32].into(), ..base() }),
        ("note", pb::Intent { note: "in passing".to_owned(), ..base() }),
    ]
}

/// Every field of the transaction, each changed alone.
fn transactions(raw: &pb::Intent) -> Vec<(&'static str, pb::Intent)> {
    let address = |text: &str| Address::from_canonical(text).unwrap();
    let paid = || Transfer {
        chain: ChainId::eip155(CHAIN),
        to: address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
        amount: Amount::from_u128(9),
    };
    let fees = || Eip1559Fees { nonce: 1, gas_limit: 21_000, max_fee_per_gas: 1, max_priority_fee_per_gas: 1 };
    let Transfer { chain: _, to: _, amount: _ } = paid();
    let Eip1559Fees { nonce: _, gas_limit: _, max_fee_per_gas: _, max_priority_fee_per_gas: _ } = fees();
    let bytes =
        |paid: &Transfer, fees: &Eip1559Fees| pb::intent::Payload::EvmTransaction(transfer(paid, fees).unwrap().into());
    assert_eq!(raw.payload, Some(bytes(&paid(), &fees())), "the table starts from what was approved");
    let mallory = address("0x90F79bf6EB2c4f870365E785982E1f101E93b906");
    let edits = [
        ("chain id", Transfer { chain: ChainId::eip155(1), ..paid() }, fees()),
        ("destination", Transfer { to: mallory, ..paid() }, fees()),
        ("amount", Transfer { amount: Amount::from_u128(10), ..paid() }, fees()),
        ("nonce", paid(), Eip1559Fees { nonce: 2, ..fees() }),
        ("gas limit", paid(), Eip1559Fees { gas_limit: 21_001, ..fees() }),
        ("fee", paid(), Eip1559Fees { max_fee_per_gas: 2, ..fees() }),
        ("tip", paid(), Eip1559Fees { max_priority_fee_per_gas: 0, ..fees() }),
    ];
    let edits =
        edits.map(|(field, paid, fees)| (field, pb::Intent { payload: Some(bytes(&paid, &fees)), ..raw.clone() }));
    edits.into_iter().collect()
}

/// A bench on which the request is approved and has waited.
fn approved() -> (Bench, [pb::Envelope; 2]) {
    let mut bench = Bench::new();
    let both = [bench.says("anna", Said::Approve), bench.says("boris", Said::Approve)];
    bench.announce(&both);
    bench.run_for(60_000);
    (bench, both)
}

#[test]
fn what_was_approved_is_signed() {
    let (mut bench, both) = approved();
    assert!(matches!(bench.sign(&both), Verdict::Allowed(_)));
}

/// By somebody on the way, under the requester's signature.
#[test]
fn any_changed_field_is_refused() {
    let (bench, _) = approved();
    let original = sealed(&bench.raw);
    let table: Vec<_> = intents(&bench.raw).into_iter().chain(transactions(&bench.raw)).collect();
    for (field, altered) in table {
        assert_ne!(altered, bench.raw, "{field} is not changed");
        let key = |id: &limen_wire::ids::KeyId| (id.as_str() == "treasury").then(|| std::sync::Arc::new(facts()));
        let on_the_way = pb::Envelope { payload: altered.encode_to_vec().into(), ..original.clone() };
        assert!(
            examine(&bench.charter, &Default::default(), key, &on_the_way, bench.now).is_err(),
            "{field}, on the way"
        );
    }
}

#[test]
fn another_version_of_what_decides_is_refused() {
    for (from, to) in [
        ("delay_secs = 60", "delay_secs = 59"),
        ("max_amount = \"10\"", "max_amount = \"11\""),
        ("approvals = \"2 terminal of treasury\"", "approvals = \"1 terminal of treasury\""),
        ("not_by_requester = true\n", ""),
    ] {
        let (mut bench, both) = approved();
        bench.charter = with_rules(&RULE.replacen(from, to, 1));
        assert_eq!(bench.refused(&both).0, Code::ApprovalsMissing, "{from} → {to}");
    }
}

/// What cannot be read among approvals neither counts nor hinders what does.
#[test]
fn garbage_among_approvals_is_dropped() {
    let (mut bench, both) = approved();
    let garbage = || pb::Envelope { payload: vec![0xff; 40].into(), ..both[0].clone() };
    let other_type = pb::Envelope { payload_type: "text/plain".to_owned(), ..both[0].clone() };
    let empty = pb::Envelope { payload: Vec::new().into(), ..both[0].clone() };
    let mut signed_twice = both[0].clone();
    signed_twice.signatures = vec![pb::EnvelopeSignature::default()];
    let assertion = pb::SignedApproval {
        proof: Some(pb::signed_approval::Proof::Assertion(pb::Assertion {
            authenticator_data: vec![0; 37].into(),
            client_data: b"{".to_vec().into(),
            signature: vec![0; 8].into(),
        })),
        ..pb::SignedApproval::decode(both[0].payload.clone()).unwrap()
    };
    let assertion = pb::Envelope { payload: assertion.encode_to_vec().into(), ..both[0].clone() };
    let spoiled = [garbage(), other_type, empty, signed_twice, assertion, pb::Envelope::default()];
    let (charter, examined) = (bench.charter.clone(), bench.examined());
    let papers = Papers { approvals: &spoiled, checks: &[] };
    assert_eq!(Shown::read(&charter, &examined, None, &papers, bench.now).dropped, spoiled.len());
    assert!(matches!(bench.sign(&[spoiled.as_slice(), &both].concat()), Verdict::Allowed(_)));
}

/// What a peer passes on is read like what anybody says.
#[tokio::test]
async fn garbage_that_a_peer_passes_on_stops_nothing() {
    let (mut bench, both) = approved();
    let unknown = {
        let mut approval = bench.approval("anna", Said::Reject);
        approval.intent_id = IntentId::new([9; 32]);
        signed(approval, "anna")
    };
    let forged = {
        let mut said = SignedApproval::open(&bench.says("anna", Said::Reject)).unwrap();
        said.proof = Proof::Signature([7; 64]);
        said.to_envelope()
    };
    let garbage = pb::Envelope { payload: vec![0xff; 40].into(), ..both[0].clone() };
    {
        let (charter, recent) = (std::sync::Arc::new(bench.charter.clone()), Recent::default());
        let keys = Keys::default();
        keys.write().unwrap().insert(facts().public.key, std::sync::Arc::new(facts()));
        let (store, now) = (bench.store(), bench.now);
        let decisions = Decisions { charter, store, keys: &keys, recent: &recent, now };
        for (record, code) in [
            (garbage, Some(Code::Malformed)),
            (both[0].clone(), Some(Code::Malformed)),
            (pb::Envelope::default(), Some(Code::Malformed)),
            (forged, Some(Code::NotPermitted)),
        ] {
            let heard = decisions.stop(record).await;
            assert_eq!(heard.answer.err().map(|error| error.code), code);
            assert!(heard.pass_on.is_empty());
        }
        // A word about an intent that has not come here is kept for it, and is nothing to this one.
        assert_eq!(decisions.stop(unknown).await.answer.map_err(|error| error.code), Ok(false));
    }
    assert!(matches!(bench.sign(&[]), Verdict::Allowed(_)), "nothing was stopped");
}
