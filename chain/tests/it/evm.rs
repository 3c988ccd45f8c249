//! Effects, refusals, builders and signatures of EVM payloads.

use alloy_consensus::{TxEip1559, TxEip2930, TxEip4844, TxEip7702};
use alloy_eips::eip2930::AccessListItem;
use alloy_eips::eip7702::Authorization;
use alloy_primitives::{Address as EvmAddress, B256, Signature, TxKind, U256};
use limen_chain::evm::{
    Eip1559Fees, TokenTransfer, Transfer, UnsignedTransaction, attach_signature, token_transfer, transfer,
};
use limen_chain::{
    AddressError, AttachError, BuildError, DecodeError, NoTokenKinds, Payload, SigningInput, address, decode,
};
use limen_wire::effects::{Amount, Asset, ChainId, Effect, sha256};
use limen_wire::ids::Scheme;

use crate::support::{TestKey, at, digest, read};

const TO: &str = "0x3535353535353535353535353535353535353535";

fn account() -> limen_wire::effects::Address {
    TestKey::from_secret([0x46; 32]).address()
}

fn native() -> Asset {
    Asset::Native(ChainId::eip155(1))
}

fn effects(transaction: UnsignedTransaction) -> Result<Vec<Effect>, DecodeError> {
    let bytes = transaction.to_signing_bytes();
    read(&Payload::EvmTransaction(&bytes), 1, &account()).map(|decoded| decoded.effects.list)
}

fn fee(amount: Amount) -> Effect {
    Effect::Fee { asset: native(), max_amount: amount, payer: account() }
}

fn sent(amount: u128, to: &str) -> Effect {
    Effect::Transfer { asset: native(), amount: Amount::from_u128(amount), from: account(), to: at(to) }
}

const FEES: Eip1559Fees = Eip1559Fees { nonce: 3, gas_limit: 60_000, max_fee_per_gas: 30, max_priority_fee_per_gas: 2 };

#[test]
fn built_transfers_are_read_back() {
    let chain = ChainId::eip155(1);
    let wanted = Transfer { chain: chain.clone(), to: at(TO), amount: Amount::from_u128(77) };
    let bytes = transfer(&wanted, &FEES).unwrap();
    let decoded = read(&Payload::EvmTransaction(&bytes), 1, &account()).unwrap();
    assert_eq!(decoded.effects.nonce, Some(3));
    assert_eq!(decoded.effects.list, [sent(77, TO), fee(Amount::from_u128(1_800_000))]);

    let token = at("0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48");
    let wanted = TokenTransfer { chain: chain.clone(), token: token.clone(), to: at(TO), amount: Amount::MAX };
    let bytes = token_transfer(&wanted, &FEES).unwrap();
    let moved =
        Effect::Transfer { asset: Asset::Erc20(chain, token), amount: Amount::MAX, from: account(), to: at(TO) };
    let decoded = read(&Payload::EvmTransaction(&bytes), 1, &account()).unwrap();
    assert_eq!(decoded.effects.list, [moved, fee(Amount::from_u128(1_800_000))]);
}

#[test]
fn builders_refuse_what_signers_would() {
    let wanted = |chain: &str, to: &str| Transfer {
        chain: ChainId::new(chain).unwrap(),
        to: limen_wire::effects::Address::from_canonical(to).unwrap(),
        amount: Amount::ZERO,
    };
    let refused = transfer(&wanted("bip122:000000000019d6689c085ae165831e93", TO), &FEES);
    assert!(matches!(refused, Err(BuildError::NotEvm { .. })));
    let refused = transfer(&wanted("eip155:1", "0xde709f2102306220921060314715629080E2FB77"), &FEES);
    assert!(matches!(refused, Err(BuildError::BadAddress { what: "destination", .. })));
    let fees = Eip1559Fees { max_priority_fee_per_gas: 31, ..FEES };
    assert!(matches!(transfer(&wanted("eip155:1", TO), &fees), Err(BuildError::TipAboveCap { .. })));
}

#[test]
fn a_call_with_value_shows_value_and_call() {
    let call = TxEip1559 {
        chain_id: 1,
        to: TxKind::Call(EvmAddress::repeat_byte(0x35)),
        value: U256::from(5),
        input: vec![1, 2, 3, 4, 5].into(),
        ..Default::default()
    };
    let unknown = Effect::Unknown {
        what: "a call with selector 0x01020304 and 5 bytes in all".to_owned(),
        contract: Some(at(TO)),
        hash: sha256(&[1, 2, 3, 4, 5]),
    };
    assert_eq!(effects(UnsignedTransaction::Eip1559(call)), Ok(vec![sent(5, TO), unknown, fee(Amount::ZERO)]));
}

#[test]
fn a_call_of_nothing_with_nothing_is_still_a_transfer() {
    let call = TxEip1559 { chain_id: 1, to: TxKind::Call(EvmAddress::repeat_byte(0x35)), ..Default::default() };
    assert_eq!(effects(UnsignedTransaction::Eip1559(call)), Ok(vec![sent(0, TO), fee(Amount::ZERO)]));
}

/// Known creations: <https://etherscan.io/address/0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0>, nonces 0 and 1.
#[test]
fn a_creation_shows_where_the_contract_will_live() {
    let creator = at("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0");
    for (nonce, contract) in
        [(0, "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"), (1, "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8")]
    {
        let creation = TxEip2930 {
            chain_id: 1,
            nonce,
            to: TxKind::Create,
            value: U256::from(9),
            input: vec![0xfe].into(),
            ..Default::default()
        };
        let bytes = UnsignedTransaction::Eip2930(creation).to_signing_bytes();
        let list = read(&Payload::EvmTransaction(&bytes), 1, &creator).unwrap().effects.list;
        let endowed =
            Effect::Transfer { asset: native(), amount: Amount::from_u128(9), from: creator.clone(), to: at(contract) };
        let deployed = Effect::Deploy { from: creator.clone(), contract: at(contract), code_hash: sha256(&[0xfe]) };
        assert_eq!(list[..2], [endowed, deployed]);
    }
}

#[test]
fn the_greatest_fee_counts_gas_and_blobs_and_never_overflows() {
    let blobs = |count: usize| TxEip4844 {
        chain_id: 1,
        gas_limit: u64::MAX,
        max_fee_per_gas: u128::MAX,
        max_fee_per_blob_gas: u128::MAX,
        blob_versioned_hashes: vec![B256::with_last_byte(1) | B256::new([1; 32]); count],
        ..Default::default()
    };
    let list = effects(UnsignedTransaction::Eip4844(blobs(2))).unwrap();
    let gas = U256::from(u64::MAX) * U256::from(u128::MAX);
    let blob_gas = U256::from(2 * 131_072) * U256::from(u128::MAX);
    assert_eq!(list.last(), Some(&fee(Amount::from_be_bytes((gas + blob_gas).to_be_bytes()))));
    assert_eq!(list.iter().map(Effect::class).collect::<Vec<_>>(), ["transfer", "unknown", "fee"]);

    for count in [0, 17] {
        let refused = effects(UnsignedTransaction::Eip4844(blobs(count)));
        assert!(matches!(refused, Err(DecodeError::BadCount { what: "blobs", .. })), "{count}");
    }
    let mut other_version = blobs(1);
    other_version.blob_versioned_hashes = vec![B256::repeat_byte(2)];
    assert!(matches!(effects(UnsignedTransaction::Eip4844(other_version)), Err(DecodeError::Malformed { .. })));
}

#[test]
fn access_lists_are_bounded() {
    let with = |addresses: usize, keys: usize| {
        let item = AccessListItem { address: EvmAddress::ZERO, storage_keys: vec![B256::ZERO; keys] };
        effects(UnsignedTransaction::Eip2930(TxEip2930 {
            chain_id: 1,
            to: TxKind::Call(EvmAddress::ZERO),
            access_list: vec![item; addresses].into(),
            ..Default::default()
        }))
    };
    assert!(with(1024, 2).is_ok());
    assert!(matches!(with(1025, 0), Err(DecodeError::BadCount { what: "access list addresses", .. })));
    // 4 097 keys do not fit the limit on bytes: the first limit met is enough
    assert!(with(1, 4097).is_err());
}

fn authorized(authorization: alloy_eips::eip7702::SignedAuthorization) -> Effect {
    let transaction = TxEip7702 { chain_id: 1, authorization_list: vec![authorization], ..Default::default() };
    let list = effects(UnsignedTransaction::Eip7702(transaction)).unwrap();
    list.into_iter().find(|effect| !matches!(effect.class(), "transfer" | "fee")).unwrap()
}

#[test]
fn authorisations_name_whose_code_changes() {
    let authority = TestKey::from_secret([3; 32]);
    let sign = |chain: u64| {
        let authorization =
            Authorization { chain_id: U256::from(chain), address: EvmAddress::repeat_byte(0x35), nonce: 1 };
        let (r, s, id) = authority.sign(&authorization.signature_hash().0);
        (authorization, U256::from_be_bytes(r), U256::from_be_bytes(s), id == 1)
    };
    for (chain, kind) in [(1, "eip7702-delegation"), (0, "eip7702-delegation-all-chains")] {
        let (authorization, r, s, odd) = sign(chain);
        let expected = Effect::AuthorityChange { subject: authority.address(), to: at(TO), kind: kind.to_owned() };
        assert_eq!(authorized(authorization.into_signed(Signature::new(r, s, odd))), expected);
    }
    // another chain; s in the upper half; nobody's signature
    let (elsewhere, r, s, odd) = sign(2);
    assert_eq!(authorized(elsewhere.into_signed(Signature::new(r, s, odd))).class(), "unknown");
    let order = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
    let (high, r, s, odd) = sign(1);
    assert_eq!(authorized(high.into_signed(Signature::new(r, order - s, !odd))).class(), "unknown");
    let (nobody, ..) = sign(1);
    assert_eq!(authorized(nobody.into_signed(Signature::new(U256::ZERO, U256::ONE, false))).class(), "unknown");
}

#[test]
fn an_authorisation_list_is_one_to_sixty_four() {
    let authorization = Authorization { chain_id: U256::ONE, address: EvmAddress::ZERO, nonce: 0 }
        .into_signed(Signature::new(U256::ONE, U256::ONE, false));
    for (count, fits) in [(0, false), (1, true), (64, true), (65, false)] {
        let authorization_list = vec![authorization.clone(); count];
        let list =
            effects(UnsignedTransaction::Eip7702(TxEip7702 { chain_id: 1, authorization_list, ..Default::default() }));
        assert_eq!(list.is_ok(), fits, "{count}");
    }
}

#[test]
fn unreadable_transactions_are_refused_with_the_reason() {
    let refused = |text: &str| read(&Payload::EvmTransaction(&hex::decode(text).unwrap()), 1, &account()).unwrap_err();
    assert!(matches!(refused(""), DecodeError::Malformed { .. }));
    for (bytes, found) in [("00c0", 0), ("05c0", 5), ("06c0", 6), ("7fc0", 0x7f), ("80", 0x80), ("bf", 0xbf)] {
        assert_eq!(refused(bytes), DecodeError::UnknownType { found });
    }
    // legacy without EIP-155 fields, and with chain id zero
    let without = "e9098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080";
    assert_eq!(refused(without), DecodeError::NoChainId);
    let zero = "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080808080";
    assert_eq!(refused(zero), DecodeError::NoChainId);
    // the two zeros behind the chain id are not zero: a signed transaction in disguise
    let signed = "ec098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080010102";
    assert!(matches!(refused(signed), DecodeError::Malformed { .. }));
    // a nonce with a leading zero, and a list length in long form
    let zeros = "ed82000904a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080";
    assert!(matches!(refused(zeros), DecodeError::Malformed { .. }));
    let long = "f82c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a764000080018080";
    assert!(matches!(refused(long), DecodeError::Malformed { .. }));
}

#[test]
fn sizes_and_kinds_are_checked_first() {
    let long = vec![0; 128 * 1024 + 1];
    for payload in [Payload::EvmTransaction(&long), Payload::EvmMessage(&long), Payload::Message(&long)] {
        assert!(matches!(read(&payload, 1, &account()), Err(DecodeError::TooLong { .. })));
    }
    let offchain = |payload: &Payload<'_>| decode(payload, &ChainId::offchain(), &account(), &NoTokenKinds);
    for payload in [Payload::EvmTransaction(&[]), Payload::EvmMessage(&[]), Payload::EvmTypedData(&[])] {
        assert!(matches!(offchain(&payload), Err(DecodeError::WrongChainKind { .. })));
    }
    assert!(matches!(read(&Payload::Message(b"x"), 1, &account()), Err(DecodeError::WrongChainKind { .. })));
    assert!(matches!(read(&Payload::EvmMessage(b"x"), 0, &account()), Err(DecodeError::WrongChainKind { .. })));
    let raw = read(&Payload::RawDigest([5; 32]), 1, &account()).unwrap();
    assert_eq!(raw.effects.list, [Effect::Raw { digest: [5; 32] }]);
    assert_eq!(raw.signing, SigningInput::Digest([5; 32]));
}

/// Ed25519 and BIP-340 sign messages as they are: the bytes of a transaction, or of what is hashed of one, are messages too.
#[test]
fn a_message_of_a_key_without_a_chain_may_be_a_transaction() {
    let list = |bytes: &[u8]| {
        let account = address(&ChainId::offchain(), Scheme::EddsaEd25519, &[1; 32]).unwrap();
        let none = |_: &ChainId, _: &_| None;
        let decoded = decode(&Payload::Message(bytes), &ChainId::offchain(), &account, &none).unwrap();
        assert_eq!(decoded.signing, SigningInput::Message(bytes.to_vec()));
        decoded.effects
    };
    assert_eq!(list("good day,\n0x".as_bytes()).list.len(), 1);
    for digest in [[7; 32], *b"thirty-two characters of a text."] {
        let effects = list(&digest);
        assert!(
            matches!(effects.list.as_slice(), [Effect::Message { .. }, Effect::Raw { digest: found }] if *found == digest)
        );
        assert!(effects.is_bare(), "the same signature as that of the bare digest");
    }
    for unread in [&[1, 0, 1, 3, 0xff][..], b"\0text", &[0xc0; 64]] {
        let effects = list(unread);
        assert!(matches!(effects.list.as_slice(), [Effect::Message { .. }, Effect::Unknown { .. }]), "{unread:?}");
    }
}

fn shown(bytes: &[u8]) -> Vec<Effect> {
    read(&Payload::EvmMessage(bytes), 1, &account()).unwrap().effects.list
}

#[test]
fn messages_show_all_that_they_hold() {
    let text = |bytes: &[u8]| match shown(bytes).first() {
        Some(Effect::Message { text, .. }) => text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text("Grüße,\n1 ETH".as_bytes()), "Grüße,\n1 ETH");
    assert_eq!(text(b""), "");
    assert_eq!(text(b"\xff"), "0xff");
    assert_eq!(text(b"0xff"), "0x30786666", "text that looks like hexadecimal is not taken for it");
    for hidden in ["a\rb", "a\u{202e}b", "a\u{200b}b", "a\u{2028}b", "\u{feff}", "a\tb", "\u{e0041}"] {
        assert_eq!(text(hidden.as_bytes()), format!("0x{}", hex::encode(hidden)));
    }
    // what a contract account takes as consent to a hash
    assert_eq!(shown(&[b'a'; 32]).iter().map(Effect::class).collect::<Vec<_>>(), ["message", "unknown"]);
}

#[test]
fn signatures_that_chains_refuse_are_not_attached() {
    let key = TestKey::from_secret([0x46; 32]);
    let wanted = Transfer { chain: ChainId::eip155(1), to: at(TO), amount: Amount::ZERO };
    let bytes = transfer(&wanted, &FEES).unwrap();
    let (r, s, id) = key.sign(&digest(&read(&Payload::EvmTransaction(&bytes), 1, &account()).unwrap()));
    assert!(attach_signature(&bytes, &account(), &r, &s, id).is_ok());
    let refused = |r: &[u8; 32], s: &[u8; 32], id: u8| attach_signature(&bytes, &account(), r, s, id).unwrap_err();
    assert_eq!(refused(&r, &s, 2), AttachError::RecoveryId { found: 2 });
    let order = U256::from_str_radix("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16).unwrap();
    let high = (order - U256::from_be_bytes(s)).to_be_bytes();
    assert_eq!(refused(&r, &high, id ^ 1), AttachError::HighS);
    for (r, s) in [([0; 32], s), (r, [0; 32]), ([0xff; 32], s), (r, [0xff; 32])] {
        assert!(matches!(refused(&r, &s, id), AttachError::OtherSigner { .. }));
    }
    let nobody = limen_wire::effects::Address::from_canonical("someone").unwrap();
    assert!(matches!(attach_signature(&bytes, &nobody, &r, &s, id), Err(AttachError::BadAccount { .. })));
    assert!(matches!(attach_signature(&bytes[1..], &account(), &r, &s, id), Err(AttachError::Unsigned(_))));
}

#[test]
fn addresses_fit_scheme_and_chain() {
    let key = TestKey::from_secret([1; 32]).public(true);
    let offchain = |scheme, key: &[u8]| address(&ChainId::offchain(), scheme, key).map(|address| address.to_string());
    assert_eq!(offchain(Scheme::EcdsaSecp256k1, &key), Ok(hex::encode(&key)));
    assert_eq!(offchain(Scheme::SchnorrBip340, &key[1..]), Ok(hex::encode(&key[1..])));
    assert_eq!(offchain(Scheme::EddsaEd25519, &[7; 32]), Ok("07".repeat(32)));
    for (scheme, bad) in [
        (Scheme::EcdsaSecp256k1, &key[1..]),
        (Scheme::EcdsaSecp256k1, &[0xff; 33]),
        (Scheme::EcdsaSecp256k1, &[5; 33]),
        (Scheme::EcdsaSecp256k1, &[]),
        (Scheme::SchnorrBip340, &key),
        (Scheme::SchnorrBip340, &[0xff; 32]),
        (Scheme::EddsaEd25519, &[7; 31]),
        (Scheme::EcdsaP256, &key[1..]),
        (Scheme::EcdsaP256, &[0xff; 33]),
    ] {
        assert!(matches!(offchain(scheme, bad), Err(AddressError::BadKey { .. })), "{scheme} {bad:02x?}");
    }
    for (chain, scheme) in [("eip155:1", Scheme::EddsaEd25519), ("solana:mainnet", Scheme::EddsaEd25519)] {
        let refused = address(&ChainId::new(chain).unwrap(), scheme, &[7; 32]);
        assert!(matches!(refused, Err(AddressError::WrongScheme { .. })));
    }
}

/// The generator of P-256 (SP 800-186 section 3.2.1.3), compressed.
const P256: &str = "036b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";

#[test]
fn p256_keys_have_no_chain_and_sign_messages_and_digests_only() {
    let key = hex::decode(P256).unwrap();
    let account = address(&ChainId::offchain(), Scheme::EcdsaP256, &key).unwrap();
    assert_eq!(account.as_str(), P256);
    for chain in ["eip155:1", "eip155:31337", "solana:mainnet"] {
        let chain = ChainId::new(chain).unwrap();
        let refused = address(&chain, Scheme::EcdsaP256, &key).unwrap_err();
        assert_eq!(refused, AddressError::WrongScheme { scheme: Scheme::EcdsaP256, chain });
    }
    let decoded = |payload: &Payload<'_>| decode(payload, &ChainId::offchain(), &account, &NoTokenKinds);
    for payload in [Payload::EvmTransaction(&[2]), Payload::EvmMessage(b"x"), Payload::EvmTypedData(b"{}")] {
        assert!(matches!(decoded(&payload), Err(DecodeError::WrongChainKind { .. })));
    }
    // FIPS 180-4's example: SHA-256 of "abc".
    let hash = hex::decode("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad").unwrap();
    let message = decoded(&Payload::Message(b"abc")).unwrap().signing;
    assert_eq!(message.for_scheme(Scheme::EcdsaP256).as_deref(), Some(hash.as_slice()));
    assert_eq!(message.for_scheme(Scheme::EcdsaSecp256k1), None);
    let digest = decoded(&Payload::RawDigest([5; 32])).unwrap().signing;
    assert_eq!(digest.for_scheme(Scheme::EcdsaP256).as_deref(), Some(&[5; 32][..]));
}
