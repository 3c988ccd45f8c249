//! Published test vectors.

use alloy_consensus::{TxEip1559, TxEip2930};
use alloy_primitives::{TxKind, U256, address};
use limen_chain::evm::{UnsignedTransaction, attach_signature};
use limen_chain::{DecodeError, Payload};
use limen_wire::effects::{AllowanceChange, Amount, Asset, ChainId, Effect};

use crate::support::{TestKey, at, digest, hex32, read};

const EIP155_UNSIGNED: &str =
    "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080";

/// <https://eips.ethereum.org/EIPS/eip-155>, section "Example".
#[test]
fn eip155_example() {
    let bytes = hex::decode(EIP155_UNSIGNED).unwrap();
    let key = TestKey::from_secret([0x46; 32]);
    let account = key.address();
    assert_eq!(account, at("0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"));

    let decoded = read(&Payload::EvmTransaction(&bytes), 1, &account).unwrap();
    assert_eq!(digest(&decoded), hex32("0xdaf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53"));
    let native = Asset::Native(ChainId::eip155(1));
    assert_eq!(decoded.effects.nonce, Some(9));
    assert_eq!(
        decoded.effects.list,
        [
            Effect::Transfer {
                asset: native.clone(),
                amount: Amount::from_units("1", 18).unwrap(),
                from: account.clone(),
                to: at("0x3535353535353535353535353535353535353535"),
            },
            Effect::Fee {
                asset: native,
                max_amount: Amount::from_u128(21_000 * 20_000_000_000),
                payer: account.clone()
            },
        ]
    );

    let (r, s, id) = key.sign(&digest(&decoded));
    let signed = attach_signature(&bytes, &account, &r, &s, id).unwrap();
    assert_eq!(
        hex::encode(signed.raw),
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe537567866003e1a15d\
         3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    );
}

/// <https://eips.ethereum.org/EIPS/eip-55>, section "Test Cases": all-caps, all-lower and mixed.
#[test]
fn eip55_spelling_is_the_only_one() {
    let bytes = hex::decode(EIP155_UNSIGNED).unwrap();
    for good in [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ] {
        let spelled = limen_wire::effects::Address::from_canonical(good).unwrap();
        assert!(read(&Payload::EvmTransaction(&bytes), 1, &spelled).is_ok(), "{good}");
        assert_eq!(at(&good.to_lowercase()), spelled);
        let swapped: String = good
            .chars()
            .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
            .collect();
        for bad in [swapped.replace("0X", "0x"), good.replace("0x", ""), good.replace("0x", "0X"), format!("{good}0")] {
            let bad = limen_wire::effects::Address::from_canonical(bad).unwrap();
            let refused = read(&Payload::EvmTransaction(&bytes), 1, &bad);
            assert!(matches!(refused, Err(DecodeError::BadAccount { .. })), "{bad}");
        }
    }
}

/// A transaction with its published digest, signature and hash.
struct Published {
    transaction: UnsignedTransaction,
    signer: &'static str,
    digest: &'static str,
    r: &'static str,
    s: &'static str,
    recovery_id: u8,
    hash: &'static str,
}

impl Published {
    /// Checks digest, signature and hash; gives the signed bytes and the effects.
    fn check(self) -> (Vec<u8>, Vec<Effect>) {
        let (bytes, account) = (self.transaction.to_signing_bytes(), at(self.signer));
        let decoded = read(&Payload::EvmTransaction(&bytes), 1, &account).unwrap();
        assert_eq!(digest(&decoded), hex32(self.digest));
        let signed = attach_signature(&bytes, &account, &hex32(self.r), &hex32(self.s), self.recovery_id).unwrap();
        assert_eq!(signed.hash, hex32(self.hash));
        (signed.raw, decoded.effects.list)
    }
}

/// go-ethereum, `core/types/transaction_test.go`, `signedEip2718Tx`: digest, signature and encoding are given there.
#[test]
fn eip2930_of_go_ethereum() {
    let (raw, _) = Published {
        transaction: UnsignedTransaction::Eip2930(TxEip2930 {
            chain_id: 1,
            nonce: 3,
            gas_price: 1,
            gas_limit: 25_000,
            to: TxKind::Call(address!("b94f5374fce5edbc8e2a8697c15331677e6ebf0b")),
            value: U256::from(10),
            input: vec![0x55, 0x44].into(),
            ..Default::default()
        }),
        signer: "0x27cf7d8449c9da59189427619ba59f985cee9c0f",
        digest: "0x49b486f0ec0a60dfbbca2d30cb07c9e8ffb2a2ff41f29a1ab6737475f6ff69f3",
        r: "0xc9519f4f2b30335884581971573fadf60c6204f59a911df35ee8a540456b2660",
        s: "0x32f1e8e2c5dd761f9e4f88f41c8310aeaba26a8bfcdacfedfa12ec3862d37521",
        recovery_id: 1,
        hash: "0xd900408d8fec1ffdb3e360685f94400b2ef6e1211ac0f98abbaa140e1a73683a",
    }
    .check();
    assert_eq!(
        hex::encode(raw),
        "01f8630103018261a894b94f5374fce5edbc8e2a8697c15331677e6ebf0b0a825544c001a0c9519f4f2b30335884581971573fadf60c6204\
         f59a911df35ee8a540456b2660a032f1e8e2c5dd761f9e4f88f41c8310aeaba26a8bfcdacfedfa12ec3862d37521"
    );
}

/// Mined on mainnet: an EIP-1559 transaction that takes back an approval for a whole collection.
#[test]
fn eip1559_from_mainnet() {
    let data = "a22cb4650000000000000000000000005eee75727d804a2b13038928d36f8b188945a57a\
                0000000000000000000000000000000000000000000000000000000000000000";
    let contract = "0x6069a6c32cf691f5982febae4faf8a6f3ab2f0f6";
    let signer = "0xdd6b8b3dc6b7ad97db52f08a275ff4483e024cea";
    let (_, effects) = Published {
        transaction: UnsignedTransaction::Eip1559(TxEip1559 {
            chain_id: 1,
            nonce: 0x42,
            gas_limit: 44_386,
            max_fee_per_gas: 20_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(contract.parse().unwrap()),
            input: hex::decode(data).unwrap().into(),
            ..Default::default()
        }),
        signer,
        digest: "0x0d5688ac3897124635b6cf1bc0e29d6dfebceebdc10a54d74f2ef8b56535b682",
        r: "0x840cfc572845f5786e702984c2a582528cad4b49b2a10b9db1be7fca90058565",
        s: "0x25e7109ceb98168d95b09b18bbf6b685130e0562f233877d492b94eee0c5b6d1",
        recovery_id: 0,
        hash: "0x0ec0b6a2df4d87424e5f6ad2a654e27aaeb7dac20ae9e8385cc09087ad532ee0",
    }
    .check();
    let taken_back = Effect::Allowance {
        asset: Asset::Collection(ChainId::eip155(1), at(contract)),
        amount: Amount::ZERO,
        change: AllowanceChange::Set,
        owner: at(signer),
        spender: at("0x5eee75727d804a2b13038928d36f8b188945a57a"),
        expires_at: None,
        submit_by: None,
    };
    let fee = Amount::from_u128(44_386 * 20_000_000_000);
    let fee = Effect::Fee { asset: Asset::Native(ChainId::eip155(1)), max_amount: fee, payer: at(signer) };
    assert_eq!(effects, [taken_back, fee]);
}
