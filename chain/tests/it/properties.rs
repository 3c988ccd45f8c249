//! What holds for every payload.

use alloy_consensus::Transaction as _;
use alloy_primitives::{Bytes, TxKind, U256};
use limen_chain::evm::{UnsignedTransaction, attach_signature};
use limen_chain::{AttachError, DecodeError, Payload};
use limen_wire::effects::{Amount, Effect};
use proptest::prelude::*;

use crate::strategies::{authorization, config, secret, transaction};
use crate::support::{TestKey, digest, read};

/// Runs a change on the transaction inside, whatever its type.
macro_rules! each {
    ($transaction:expr, $tx:ident => $change:expr) => {
        match &mut $transaction {
            UnsignedTransaction::Legacy($tx) => $change,
            UnsignedTransaction::Eip2930($tx) => $change,
            UnsignedTransaction::Eip1559($tx) => $change,
            UnsignedTransaction::Eip4844($tx) => $change,
            UnsignedTransaction::Eip7702($tx) => $change,
        }
    };
}

/// One change of one field that an approver must be able to see, or `None` if this type has no such field.
fn change(transaction: &UnsignedTransaction, which: usize) -> Option<UnsignedTransaction> {
    let mut changed = transaction.clone();
    match which {
        0 => each!(changed, tx => tx.nonce ^= 1),
        1 => each!(changed, tx => tx.gas_limit ^= 1),
        2 => each!(changed, tx => tx.value ^= U256::ONE),
        3 => each!(changed, tx => tx.input = flipped(&tx.input)),
        4 => each!(changed, tx => tx.input = [tx.input.as_ref(), &[0]].concat().into()),
        5 => change_destination(&mut changed),
        6 => change_price(&mut changed),
        _ => change_list(&mut changed, which == 7)?,
    }
    Some(changed)
}

fn change_destination(transaction: &mut UnsignedTransaction) {
    match transaction {
        UnsignedTransaction::Legacy(tx) => tx.to = other(tx.to),
        UnsignedTransaction::Eip2930(tx) => tx.to = other(tx.to),
        UnsignedTransaction::Eip1559(tx) => tx.to = other(tx.to),
        UnsignedTransaction::Eip4844(tx) => tx.to.0[19] ^= 1,
        UnsignedTransaction::Eip7702(tx) => tx.to.0[19] ^= 1,
    }
}

fn change_price(transaction: &mut UnsignedTransaction) {
    match transaction {
        UnsignedTransaction::Legacy(tx) => tx.gas_price ^= 1,
        UnsignedTransaction::Eip2930(tx) => tx.gas_price ^= 1,
        UnsignedTransaction::Eip1559(tx) => tx.max_fee_per_gas ^= 1,
        UnsignedTransaction::Eip4844(tx) => tx.max_fee_per_gas ^= 1,
        UnsignedTransaction::Eip7702(tx) => tx.max_fee_per_gas ^= 1,
    }
}

/// Blobs and their fee, or authorisations.
fn change_list(transaction: &mut UnsignedTransaction, entries: bool) -> Option<()> {
    match transaction {
        UnsignedTransaction::Eip4844(tx) if entries => tx.blob_versioned_hashes[0].0[31] ^= 1,
        UnsignedTransaction::Eip4844(tx) => tx.max_fee_per_blob_gas ^= 1,
        UnsignedTransaction::Eip7702(tx) if entries => drop(tx.authorization_list.pop()),
        _ => return None,
    }
    Some(())
}

const CHANGES: usize = 9;

fn flipped(input: &Bytes) -> Bytes {
    let mut input = input.to_vec();
    match input.last_mut() {
        Some(last) => *last ^= 1,
        None => input.push(1),
    }
    input.into()
}

fn other(to: TxKind) -> TxKind {
    match to {
        TxKind::Create => TxKind::Call(alloy_primitives::Address::ZERO),
        TxKind::Call(mut to) => {
            to.0[0] ^= 1;
            TxKind::Call(to)
        }
    }
}

proptest! {
    #![proptest_config(config(512, 1))]

    #[test]
    fn what_is_encoded_is_decoded((_, transaction) in transaction()) {
        let bytes = transaction.to_signing_bytes();
        prop_assert_eq!(UnsignedTransaction::from_signing_bytes(&bytes), Ok(transaction));
    }

    #[test]
    fn every_transaction_shows_value_and_fee((chain, transaction) in transaction(), secret in secret()) {
        let account = TestKey::from_secret(secret).address();
        let decoded = read(&Payload::EvmTransaction(&transaction.to_signing_bytes()), chain, &account).unwrap();
        prop_assert_eq!(digest(&decoded), alloy_primitives::keccak256(transaction.to_signing_bytes()).0);
        let (value, nonce) = common(&transaction);
        prop_assert_eq!(decoded.effects.nonce, Some(nonce));
        let native: Vec<_> = decoded.effects.list.iter().filter_map(|effect| match effect {
            Effect::Transfer { asset, amount, .. } if asset.to_string().ends_with("/slip44:60") => Some(*amount),
            _ => None,
        }).collect();
        if value.is_zero() {
            prop_assert!(native.iter().all(|amount| *amount == Amount::ZERO));
        } else {
            prop_assert_eq!(native, vec![Amount::from_be_bytes(value.to_be_bytes())]);
        }
        prop_assert_eq!(decoded.effects.list.iter().filter(|effect| effect.class() == "fee").count(), 1);
        prop_assert!(decoded.effects.list.len() >= 2, "a transaction does something besides paying");
    }

    #[test]
    fn a_changed_field_changes_the_effects((chain, transaction) in transaction(), which in 0..CHANGES) {
        let Some(changed) = change(&transaction, which) else { return Ok(()) };
        let account = TestKey::from_secret([7; 32]).address();
        let before = read(&Payload::EvmTransaction(&transaction.to_signing_bytes()), chain, &account).unwrap();
        match read(&Payload::EvmTransaction(&changed.to_signing_bytes()), chain, &account) {
            Ok(after) => {
                prop_assert_ne!(&before.effects, &after.effects);
                prop_assert_ne!(before.effects.digest(), after.effects.digest());
            }
            // an authorisation list may not become empty
            Err(error) => {
                let list_empty = matches!(error, DecodeError::BadCount { .. });
                prop_assert!(list_empty);
            }
        }
    }

    #[test]
    fn another_chain_is_refused((chain, transaction) in transaction()) {
        let account = TestKey::from_secret([7; 32]).address();
        let bytes = transaction.to_signing_bytes();
        let refused = read(&Payload::EvmTransaction(&bytes), chain ^ 1 << 60, &account);
        let is_other_chain = matches!(refused, Err(DecodeError::OtherChain { .. }));
        prop_assert!(is_other_chain);
    }

    #[test]
    fn changed_bytes_are_refused_or_canonical(
        (chain, transaction) in transaction(),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        how in 0..3,
    ) {
        let mut bytes = transaction.to_signing_bytes();
        let at = position.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => { bytes.remove(at); }
        }
        let account = TestKey::from_secret([7; 32]).address();
        if read(&Payload::EvmTransaction(&bytes), chain, &account).is_ok() {
            prop_assert_eq!(UnsignedTransaction::from_signing_bytes(&bytes).unwrap().to_signing_bytes(), bytes);
        }
    }

    #[test]
    fn bytes_behind_or_missing_are_refused((chain, transaction) in transaction(), tail in prop::collection::vec(any::<u8>(), 1..9)) {
        let account = TestKey::from_secret([7; 32]).address();
        let bytes = transaction.to_signing_bytes();
        let longer = [bytes.as_slice(), &tail].concat();
        prop_assert!(read(&Payload::EvmTransaction(&longer), chain, &account).is_err());
        prop_assert!(read(&Payload::EvmTransaction(&bytes[..bytes.len() - 1]), chain, &account).is_err());
    }

    #[test]
    fn only_the_account_can_sign((chain, transaction) in transaction(), secret in secret()) {
        let key = TestKey::from_secret(secret);
        let account = key.address();
        let bytes = transaction.to_signing_bytes();
        let decoded = read(&Payload::EvmTransaction(&bytes), chain, &account).unwrap();
        let (r, s, id) = key.sign(&digest(&decoded));
        let signed = attach_signature(&bytes, &account, &r, &s, id).unwrap();
        prop_assert_eq!(signed.hash, alloy_primitives::keccak256(&signed.raw).0);
        // a signed transaction is not something to sign
        prop_assert!(read(&Payload::EvmTransaction(&signed.raw), chain, &account).is_err());
        let wrong_id = attach_signature(&bytes, &account, &r, &s, id ^ 1);
        let refused = matches!(wrong_id, Err(AttachError::OtherSigner { .. }));
        prop_assert!(refused);
        let other = TestKey::from_secret([7; 32]);
        let (r, s, id) = other.sign(&digest(&decoded));
        let by_other = attach_signature(&bytes, &account, &r, &s, id);
        let refused = matches!(by_other, Err(AttachError::OtherSigner { .. }));
        prop_assert!(refused);
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let account = TestKey::from_secret([7; 32]).address();
        for payload in [Payload::EvmTransaction(&bytes), Payload::EvmMessage(&bytes), Payload::EvmTypedData(&bytes), Payload::Message(&bytes)] {
            let _ = read(&payload, 1, &account);
        }
    }

    #[test]
    fn authorisations_change_whose_code_runs(authorization in authorization(5)) {
        let transaction = alloy_consensus::TxEip7702 {
            chain_id: 5,
            authorization_list: vec![authorization.clone()],
            ..Default::default()
        };
        let account = TestKey::from_secret([7; 32]).address();
        let bytes = UnsignedTransaction::Eip7702(transaction).to_signing_bytes();
        let decoded = read(&Payload::EvmTransaction(&bytes), 5, &account).unwrap();
        let found = decoded.effects.list.iter().find_map(|effect| match effect {
            Effect::AuthorityChange { to, kind, .. } => Some((to.clone(), kind.clone())),
            _ => None,
        });
        let kind = if authorization.chain_id.is_zero() { "eip7702-delegation-all-chains" } else { "eip7702-delegation" };
        prop_assert_eq!(found, Some((crate::support::at(&authorization.address.to_string()), kind.to_owned())));
    }
}

fn common(transaction: &UnsignedTransaction) -> (U256, u64) {
    match transaction {
        UnsignedTransaction::Legacy(tx) => (tx.value(), tx.nonce()),
        UnsignedTransaction::Eip2930(tx) => (tx.value(), tx.nonce()),
        UnsignedTransaction::Eip1559(tx) => (tx.value(), tx.nonce()),
        UnsignedTransaction::Eip4844(tx) => (tx.value(), tx.nonce()),
        UnsignedTransaction::Eip7702(tx) => (tx.value(), tx.nonce()),
    }
}
