//! The codec against viem, byte by byte, over seeded random payloads.

use alloy_consensus::Transaction;
use alloy_primitives::{Address, TxKind};
use limen_chain::evm::{UnsignedTransaction, attach_message_signature, attach_signature};
use limen_chain::{NoTokenKinds, Payload, address, decode};
use limen_wire::effects::{ChainId, Effect};
use limen_wire::ids::Scheme;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::strategies::{sample, secret, transaction};
use crate::support::{TestKey, digest, read};
use crate::token_calls::{TokenCall, token_call};
use crate::typed_values::typed_data;
use crate::viem::{ask, hex0x, text};

/// Payloads of each kind.
const BATCH: usize = 300;

fn fields(transaction: &UnsignedTransaction) -> Value {
    let (name, tx): (&str, &dyn Transaction) = match transaction {
        UnsignedTransaction::Legacy(tx) => ("legacy", tx),
        UnsignedTransaction::Eip2930(tx) => ("eip2930", tx),
        UnsignedTransaction::Eip1559(tx) => ("eip1559", tx),
        UnsignedTransaction::Eip4844(tx) => ("eip4844", tx),
        UnsignedTransaction::Eip7702(tx) => ("eip7702", tx),
    };
    let mut fields = json!({
        "type": name,
        "chainId": tx.chain_id(),
        "nonce": tx.nonce(),
        "gas": tx.gas_limit().to_string(),
        "value": tx.value().to_string(),
        "data": hex0x(tx.input()),
    });
    let mut set = |name: &str, value: Value| fields[name] = value;
    if let TxKind::Call(to) = tx.kind() {
        set("to", json!(to.to_checksum(None)));
    }
    if let Some(price) = tx.gas_price() {
        set("gasPrice", json!(price.to_string()));
    }
    if let Some(tip) = tx.max_priority_fee_per_gas() {
        set("maxFeePerGas", json!(tx.max_fee_per_gas().to_string()));
        set("maxPriorityFeePerGas", json!(tip.to_string()));
    }
    if let Some(list) = tx.access_list() {
        let item = |address: Address, keys: &[_]| json!({ "address": hex0x(address), "storageKeys": keys.iter().map(hex0x).collect::<Vec<_>>() });
        set("accessList", list.iter().map(|entry| item(entry.address, &entry.storage_keys)).collect());
    }
    if let Some(hashes) = tx.blob_versioned_hashes() {
        set("blobVersionedHashes", hashes.iter().map(hex0x).collect());
        set("maxFeePerBlobGas", json!(tx.max_fee_per_blob_gas().unwrap().to_string()));
    }
    if let Some(list) = tx.authorization_list() {
        let item = |entry: &alloy_eips::eip7702::SignedAuthorization| {
            json!({
                "chainId": entry.chain_id.to::<u64>(),
                "address": entry.address.to_checksum(None),
                "nonce": entry.nonce,
                "r": hex0x(entry.r().to_be_bytes::<32>()),
                "s": hex0x(entry.s().to_be_bytes::<32>()),
                "yParity": entry.y_parity(),
            })
        };
        set("authorizationList", list.iter().map(item).collect());
    }
    fields
}

#[test]
fn transactions_are_those_of_viem() {
    let cases = sample(BATCH, 10, &(transaction(), secret()));
    let mut requests = Vec::new();
    let mut ours = Vec::new();
    for ((chain, transaction), secret) in &cases {
        let key = TestKey::from_secret(*secret);
        let unsigned = transaction.to_signing_bytes();
        let decoded = read(&Payload::EvmTransaction(&unsigned), *chain, &key.address()).unwrap();
        let (r, s, id) = key.sign(&digest(&decoded));
        let signed = attach_signature(&unsigned, &key.address(), &r, &s, id).unwrap();
        requests.push(json!({
            "kind": "transaction", "fields": fields(transaction), "key": hex0x(secret), "theirs": hex0x(&signed.raw),
        }));
        ours.push((key.address(), unsigned, decoded, signed));
    }
    for ((account, unsigned, decoded, signed), viem) in ours.iter().zip(ask(&requests)) {
        assert_eq!(text(&viem, "unsigned"), hex0x(unsigned));
        assert_eq!(text(&viem, "digest"), hex0x(digest(decoded)));
        assert_eq!(text(&viem, "raw"), hex0x(&signed.raw));
        assert_eq!(text(&viem, "hash"), hex0x(signed.hash));
        assert_eq!(text(&viem, "account"), account.as_str());
        assert_eq!(text(&viem, "recovered"), account.as_str());
        let subjects: Vec<&str> = decoded.effects.list.iter().filter_map(subject).collect();
        assert_eq!(viem["authorities"], json!(subjects));
        for effect in &decoded.effects.list {
            if let Effect::Deploy { contract, .. } = effect {
                assert_eq!(text(&viem, "created"), contract.as_str());
            }
        }
    }
}

fn subject(effect: &Effect) -> Option<&str> {
    match effect {
        Effect::AuthorityChange { subject, .. } => Some(subject.as_str()),
        _ => None,
    }
}

#[test]
fn calls_encoded_by_viem_are_read() {
    let cases = sample(BATCH, 11, &token_call());
    let requests: Vec<Value> = cases
        .iter()
        .map(|call| json!({ "kind": "call", "signature": call.signature, "args": call.arguments }))
        .collect();
    for (call, viem) in cases.iter().zip(ask(&requests)) {
        let data = hex::decode(text(&viem, "data").trim_start_matches("0x")).unwrap();
        assert_eq!(call.read(data), call.expected(), "{}", call.signature);
    }
    let seen: std::collections::BTreeSet<_> = cases.iter().map(|call| call.signature).collect();
    assert_eq!(seen.len(), TokenCall::METHODS, "every method came up");
}

#[test]
fn messages_have_the_digest_of_viem() {
    let cases = sample(BATCH, 12, &(prop::collection::vec(any::<u8>(), 0..200), secret()));
    let mut requests = Vec::new();
    let mut ours = Vec::new();
    for (message, secret) in &cases {
        let key = TestKey::from_secret(*secret);
        let decoded = read(&Payload::EvmMessage(message), 1, &key.address()).unwrap();
        let signature = signature(&key, digest(&decoded));
        requests.push(json!({ "kind": "message", "raw": hex0x(message), "signature": signature }));
        ours.push((key.address(), digest(&decoded)));
    }
    for ((account, digest), viem) in ours.iter().zip(ask(&requests)) {
        assert_eq!(text(&viem, "digest"), hex0x(digest));
        assert_eq!(text(&viem, "recovered"), account.as_str());
    }
}

#[test]
fn typed_data_has_the_digest_of_viem() {
    let cases = sample(BATCH, 13, &(typed_data(), secret()));
    let mut requests = Vec::new();
    let mut ours = Vec::new();
    for (data, secret) in &cases {
        let key = TestKey::from_secret(*secret);
        let text = data.to_string();
        let chain = data["domain"]["chainId"].as_u64().unwrap_or(1);
        let payload = Payload::EvmTypedData(text.as_bytes());
        let decoded = decode(&payload, &ChainId::eip155(chain), &key.address(), &NoTokenKinds)
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
        let signature = signature(&key, digest(&decoded));
        requests.push(json!({ "kind": "typed", "data": text, "signature": signature }));
        ours.push((key.address(), digest(&decoded), text));
    }
    for ((account, digest, data), viem) in ours.iter().zip(ask(&requests)) {
        assert_eq!(text(&viem, "digest"), hex0x(digest), "{data}");
        assert_eq!(text(&viem, "recovered"), account.as_str());
    }
}

fn signature(key: &TestKey, digest: [u8; 32]) -> String {
    let (r, s, id) = key.sign(&digest);
    hex0x(attach_message_signature(&digest, &key.address(), &r, &s, id).unwrap())
}

#[test]
fn addresses_are_those_of_viem() {
    let keys: Vec<TestKey> = sample(BATCH, 14, &secret()).into_iter().map(TestKey::from_secret).collect();
    let requests: Vec<Value> =
        keys.iter().map(|key| json!({ "kind": "address", "publicKey": hex0x(key.public(false)) })).collect();
    for (key, viem) in keys.iter().zip(ask(&requests)) {
        assert_eq!(text(&viem, "address"), key.address().as_str());
        let long = address(&ChainId::eip155(7), Scheme::EcdsaSecp256k1, &key.public(false)).unwrap();
        assert_eq!(long, key.address(), "both forms of a key have one address");
    }
}
