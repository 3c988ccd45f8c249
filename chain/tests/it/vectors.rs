//! Published test vectors.

use limen_chain::evm::attach_signature;
use limen_chain::{DecodeError, Payload};
use limen_wire::effects::{Amount, Asset, ChainId, Effect};

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
