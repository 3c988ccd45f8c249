//! Random payloads. Chain ids and nonces stay below 2^53, which is what JavaScript libraries take.

use alloy_consensus::{TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_eips::eip7702::{Authorization, SignedAuthorization};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use limen_chain::evm::UnsignedTransaction;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngSeed, TestRunner};

use crate::support::TestKey;

/// The same cases in every run.
pub(crate) fn config(cases: u32, seed: u64) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..ProptestConfig::default() }
}

/// `count` values, the same in every run.
pub(crate) fn sample<S: Strategy>(count: usize, seed: u64, strategy: &S) -> Vec<S::Value> {
    let mut runner = TestRunner::new(config(1, seed));
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

const JS_SAFE: u64 = 1 << 53;

fn safe_number() -> impl Strategy<Value = u64> {
    prop_oneof![0..200_u64, 0..JS_SAFE]
}

pub(crate) fn chain_id() -> impl Strategy<Value = u64> {
    prop_oneof![1..200_u64, 1..JS_SAFE]
}

pub(crate) fn evm_address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::new)
}

pub(crate) fn uint256() -> impl Strategy<Value = U256> {
    prop_oneof![
        Just(U256::ZERO),
        (0..1000_u64).prop_map(U256::from),
        any::<u128>().prop_map(U256::from),
        any::<[u8; 32]>().prop_map(U256::from_be_bytes),
        Just(U256::MAX),
    ]
}

fn destination() -> impl Strategy<Value = TxKind> {
    prop_oneof![1 => Just(TxKind::Create), 6 => evm_address().prop_map(TxKind::Call)]
}

fn input() -> impl Strategy<Value = Bytes> {
    prop_oneof![Just(Vec::new()), prop::collection::vec(any::<u8>(), 0..5), prop::collection::vec(any::<u8>(), 0..300)]
        .prop_map(Bytes::from)
}

fn access_list() -> impl Strategy<Value = AccessList> {
    let item = (evm_address(), prop::collection::vec(any::<[u8; 32]>().prop_map(B256::new), 0..4))
        .prop_map(|(address, storage_keys)| AccessListItem { address, storage_keys });
    prop::collection::vec(item, 0..4).prop_map(AccessList)
}

/// `(cap, tip)` with `1 ≤ cap` and `tip ≤ cap`, in wei per gas.
fn fees() -> impl Strategy<Value = (u128, u128)> {
    prop_oneof![1..1_000_000_000_000_u128, 1..=u128::MAX].prop_flat_map(|cap| (Just(cap), 0..=cap))
}

/// An authorisation signed by a key that stands beside it, for this chain or for all.
pub(crate) fn authorization(chain_id: u64) -> impl Strategy<Value = SignedAuthorization> {
    (prop_oneof![Just(0), Just(chain_id)], evm_address(), safe_number(), secret()).prop_map(
        |(chain, address, nonce, secret)| {
            let authorization = Authorization { chain_id: U256::from(chain), address, nonce };
            let (r, s, id) = TestKey::from_secret(secret).sign(&authorization.signature_hash().0);
            authorization.into_signed(Signature::new(U256::from_be_bytes(r), U256::from_be_bytes(s), id == 1))
        },
    )
}

/// A valid secp256k1 secret.
pub(crate) fn secret() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 31]>().prop_map(|tail| {
        let mut secret = [1; 32];
        secret[1..].copy_from_slice(&tail);
        secret
    })
}

/// A transaction of any type, with its chain's number.
pub(crate) fn transaction() -> impl Strategy<Value = (u64, UnsignedTransaction)> {
    (chain_id(), 0..5_u8).prop_flat_map(|(chain_id, kind)| (Just(chain_id), transaction_of(chain_id, kind)))
}

/// A transaction of the type 0 (legacy) to 4.
fn transaction_of(chain_id: u64, kind: u8) -> BoxedStrategy<UnsignedTransaction> {
    match kind {
        0 => (common(), destination()).prop_map(move |(common, to)| legacy(chain_id, common, to)).boxed(),
        1 => (common(), destination()).prop_map(move |(common, to)| eip2930(chain_id, common, to)).boxed(),
        2 => (common(), destination()).prop_map(move |(common, to)| eip1559(chain_id, common, to)).boxed(),
        3 => (common(), prop::collection::vec(blob_hash(), 1..6), 1..=u128::MAX)
            .prop_map(move |(common, hashes, blob_fee)| eip4844(chain_id, common, hashes, blob_fee))
            .boxed(),
        _ => (common(), prop::collection::vec(authorization(chain_id), 1..4))
            .prop_map(move |(common, authorizations)| eip7702(chain_id, common, authorizations))
            .boxed(),
    }
}

/// What all types have, drawn at once.
#[derive(Debug, Clone)]
struct Common {
    nonce: u64,
    gas_limit: u64,
    max_fee_per_gas: u128,
    max_priority_fee_per_gas: u128,
    to: Address,
    value: U256,
    access_list: AccessList,
    input: Bytes,
}

fn common() -> impl Strategy<Value = Common> {
    let fields = (safe_number(), 1..=u64::MAX, fees(), evm_address(), uint256(), access_list(), input());
    fields.prop_map(|(nonce, gas_limit, (cap, tip), to, value, access_list, input)| Common {
        nonce,
        gas_limit,
        max_fee_per_gas: cap,
        max_priority_fee_per_gas: tip,
        to,
        value,
        access_list,
        input,
    })
}

fn legacy(chain_id: u64, common: Common, to: TxKind) -> UnsignedTransaction {
    let Common { nonce, gas_limit, max_fee_per_gas: gas_price, value, input, .. } = common;
    UnsignedTransaction::Legacy(TxLegacy { chain_id: Some(chain_id), nonce, gas_price, gas_limit, to, value, input })
}

fn eip2930(chain_id: u64, common: Common, to: TxKind) -> UnsignedTransaction {
    let Common { nonce, gas_limit, max_fee_per_gas: gas_price, value, access_list, input, .. } = common;
    let transaction = TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
    UnsignedTransaction::Eip2930(transaction)
}

fn eip1559(chain_id: u64, common: Common, to: TxKind) -> UnsignedTransaction {
    UnsignedTransaction::Eip1559(TxEip1559 {
        chain_id,
        nonce: common.nonce,
        gas_limit: common.gas_limit,
        max_fee_per_gas: common.max_fee_per_gas,
        max_priority_fee_per_gas: common.max_priority_fee_per_gas,
        to,
        value: common.value,
        access_list: common.access_list,
        input: common.input,
    })
}

fn eip4844(chain_id: u64, common: Common, hashes: Vec<B256>, blob_fee: u128) -> UnsignedTransaction {
    UnsignedTransaction::Eip4844(TxEip4844 {
        chain_id,
        nonce: common.nonce,
        gas_limit: common.gas_limit,
        max_fee_per_gas: common.max_fee_per_gas,
        max_priority_fee_per_gas: common.max_priority_fee_per_gas,
        to: common.to,
        value: common.value,
        access_list: common.access_list,
        blob_versioned_hashes: hashes,
        max_fee_per_blob_gas: blob_fee,
        input: common.input,
    })
}

fn eip7702(chain_id: u64, common: Common, authorization_list: Vec<SignedAuthorization>) -> UnsignedTransaction {
    UnsignedTransaction::Eip7702(TxEip7702 {
        chain_id,
        nonce: common.nonce,
        gas_limit: common.gas_limit,
        max_fee_per_gas: common.max_fee_per_gas,
        max_priority_fee_per_gas: common.max_priority_fee_per_gas,
        to: common.to,
        value: common.value,
        access_list: common.access_list,
        authorization_list,
        input: common.input,
    })
}

fn blob_hash() -> impl Strategy<Value = B256> {
    any::<[u8; 32]>().prop_map(|mut hash| {
        hash[0] = 1;
        B256::new(hash)
    })
}
