//! EIP-712: the published example, permits, and what is refused.

use limen_chain::{DecodeError, Payload};
use limen_wire::effects::{AllowanceChange, Amount, Asset, ChainId, Effect};
use serde_json::{Value, json};

use crate::support::{TestKey, at, digest, hex32, read};

const TOKEN: &str = "0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48";
const SPENDER: &str = "0x1111111111111111111111111111111111111111";
const PERMIT2: &str = "0x000000000022d473030f116ddee9f6b43ac78ba3";

/// The example of EIP-712 itself, with the private key `keccak256("cow")`.
fn mail() -> Value {
    json!({
        "types": {
            "EIP712Domain": [
                { "name": "name", "type": "string" }, { "name": "version", "type": "string" },
                { "name": "chainId", "type": "uint256" }, { "name": "verifyingContract", "type": "address" },
            ],
            "Person": [{ "name": "name", "type": "string" }, { "name": "wallet", "type": "address" }],
            "Mail": [
                { "name": "from", "type": "Person" }, { "name": "to", "type": "Person" }, { "name": "contents", "type": "string" },
            ],
        },
        "primaryType": "Mail",
        "domain": {
            "name": "Ether Mail", "version": "1", "chainId": 1, "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
        },
        "message": {
            "from": { "name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826" },
            "to": { "name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB" },
            "contents": "Hello, Bob!",
        },
    })
}

fn cow() -> TestKey {
    TestKey::from_secret(hex32("0xc85ef7d79691fe79573b1a7064c19c1a9819ebdbd1faaab1a8ec92344438aaf4"))
}

fn effects(data: &Value) -> Vec<Effect> {
    read(&Payload::EvmTypedData(data.to_string().as_bytes()), 1, &cow().address()).unwrap().effects.list
}

fn refusal(text: &str) -> String {
    match read(&Payload::EvmTypedData(text.as_bytes()), 1, &cow().address()) {
        Err(DecodeError::Malformed { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn eip712_mail_example() {
    let account = cow().address();
    assert_eq!(account, at("0xcd2a3d9f938e13cd947ec05abc7fe734df8dd826"));
    let decoded = read(&Payload::EvmTypedData(mail().to_string().as_bytes()), 1, &account).unwrap();
    let hash = hex32("0xbe609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2");
    assert_eq!(digest(&decoded), hash);
    let verifying_contract = Some(at("0xcccccccccccccccccccccccccccccccccccccccc"));
    let shown = Effect::TypedData { signer: account, primary_type: "Mail".to_owned(), verifying_contract, hash };
    assert_eq!(decoded.effects.list, [shown]);

    let (r, s, id) = cow().sign(&hash);
    assert_eq!(r, hex32("0x4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d"));
    assert_eq!(s, hex32("0x07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b91562"));
    assert_eq!(id + 27, 28);
}

/// A permit of the given primary type, with a standard domain of the contract.
fn permit(contract: &str, primary: &str, types: Value, message: Value) -> Value {
    let mut data = mail();
    let domain_type = data["types"]["EIP712Domain"].take();
    data["types"] = types;
    data["types"]["EIP712Domain"] = domain_type;
    data["primaryType"] = json!(primary);
    data["domain"]["verifyingContract"] = json!(contract);
    data["message"] = message;
    data
}

fn members(list: &[(&str, &str)]) -> Value {
    list.iter().map(|(kind, name)| json!({ "type": kind, "name": name })).collect()
}

fn erc2612() -> Value {
    let types = json!({ "Permit": members(&[
        ("address", "owner"), ("address", "spender"), ("uint256", "value"), ("uint256", "nonce"), ("uint256", "deadline"),
    ]) });
    let owner = cow().address().to_string();
    let message = json!({ "owner": owner, "spender": SPENDER, "value": "1000", "nonce": 0, "deadline": 1_700_000_000 });
    permit(TOKEN, "Permit", types, message)
}

fn allowance(amount: Amount, expires_at: Option<u64>, submit_by: Option<u64>) -> Effect {
    Effect::Allowance {
        asset: Asset::Erc20(ChainId::eip155(1), at(TOKEN)),
        amount,
        change: AllowanceChange::Set,
        owner: cow().address(),
        spender: at(SPENDER),
        expires_at,
        submit_by,
    }
}

#[test]
fn permits_are_allowances() {
    assert_eq!(effects(&erc2612()), [allowance(Amount::from_u128(1000), None, Some(1_700_000_000))]);

    let types = json!({ "Permit": members(&[
        ("address", "holder"), ("address", "spender"), ("uint256", "nonce"), ("uint256", "expiry"), ("bool", "allowed"),
    ]) });
    let message =
        json!({ "holder": cow().address().to_string(), "spender": SPENDER, "nonce": 0, "expiry": 0, "allowed": true });
    let dai = permit(TOKEN, "Permit", types, message);
    assert_eq!(effects(&dai), [allowance(Amount::MAX, None, None)]);
}

fn permit_single(contract: &str, amount: &str) -> Value {
    let types = json!({
        "PermitSingle": members(&[("PermitDetails", "details"), ("address", "spender"), ("uint256", "sigDeadline")]),
        "PermitDetails": members(&[("address", "token"), ("uint160", "amount"), ("uint48", "expiration"), ("uint48", "nonce")]),
    });
    let details = json!({ "token": TOKEN, "amount": amount, "expiration": 9, "nonce": 0 });
    permit(contract, "PermitSingle", types, json!({ "details": details, "spender": SPENDER, "sigDeadline": 8 }))
}

#[test]
fn permit2_is_an_allowance_of_its_one_contract_only() {
    assert_eq!(effects(&permit_single(PERMIT2, "5")), [allowance(Amount::from_u128(5), Some(9), Some(8))]);
    let most = "1461501637330902918203684832716283019655932542975";
    assert_eq!(effects(&permit_single(PERMIT2, most)), [allowance(Amount::MAX, Some(9), Some(8))]);
    let elsewhere: Vec<_> = effects(&permit_single(TOKEN, "5")).iter().map(Effect::class).collect();
    assert_eq!(elsewhere, ["typed-data"]);
}

/// S5 for permits: what an approver agrees to cannot change behind the same effects.
#[test]
fn every_meaningful_field_of_a_permit_changes_the_effects() {
    let before = [effects(&erc2612()), effects(&permit_single(PERMIT2, "5"))];
    let changes = [
        (0, "/message/owner", json!(SPENDER)),
        (0, "/message/spender", json!(TOKEN)),
        (0, "/message/value", json!("1001")),
        (0, "/message/deadline", json!(1_700_000_001)),
        (0, "/domain/verifyingContract", json!(SPENDER)),
        (0, "/types/Permit/2/type", json!("uint128")),
        (0, "/primaryType", json!("Permit2")),
        (1, "/message/details/token", json!(SPENDER)),
        (1, "/message/details/amount", json!(6)),
        (1, "/message/details/expiration", json!(10)),
        (1, "/message/spender", json!(TOKEN)),
        (1, "/message/sigDeadline", json!(9)),
        (1, "/domain/verifyingContract", json!(SPENDER)),
    ];
    for (which, pointer, value) in changes {
        let mut data = if which == 0 { erc2612() } else { permit_single(PERMIT2, "5") };
        let same_shape = data["types"]["Permit"].clone();
        data["types"]["Permit2"] = if same_shape.is_null() { json!([]) } else { same_shape };
        *data.pointer_mut(pointer).unwrap() = value;
        assert_ne!(effects(&data), before[which], "{pointer}");
    }
}

#[test]
fn permit2_batch_and_transfer() {
    let types = json!({
        "PermitBatch": members(&[("PermitDetails[]", "details"), ("address", "spender"), ("uint256", "sigDeadline")]),
        "PermitDetails": members(&[("address", "token"), ("uint160", "amount"), ("uint48", "expiration"), ("uint48", "nonce")]),
    });
    let details = |amount| json!({ "token": TOKEN, "amount": amount, "expiration": 9, "nonce": 0 });
    let message = json!({ "details": [details(1), details(2)], "spender": SPENDER, "sigDeadline": 8 });
    let batch = permit(PERMIT2, "PermitBatch", types, message);
    let expected = [1, 2].map(|amount| allowance(Amount::from_u128(amount), Some(9), Some(8)));
    assert_eq!(effects(&batch), expected);

    let types = json!({
        "PermitTransferFrom": members(&[
            ("TokenPermissions", "permitted"), ("address", "spender"), ("uint256", "nonce"), ("uint256", "deadline"),
        ]),
        "TokenPermissions": members(&[("address", "token"), ("uint256", "amount")]),
    });
    let permitted = json!({ "token": TOKEN, "amount": "3" });
    let message = json!({ "permitted": permitted, "spender": SPENDER, "nonce": 0, "deadline": 8 });
    let once = permit(PERMIT2, "PermitTransferFrom", types, message);
    assert_eq!(effects(&once), [allowance(Amount::from_u128(3), None, Some(8))]);
}

#[test]
fn the_domain_must_name_this_chain() {
    for chain in [json!(2), json!("2"), json!("0x2"), json!("0")] {
        let mut data = erc2612();
        data["domain"]["chainId"] = chain;
        let refused = read(&Payload::EvmTypedData(data.to_string().as_bytes()), 1, &cow().address());
        assert!(matches!(refused, Err(DecodeError::OtherChain { .. })), "{refused:?}");
    }
    // without a chain it is no permit, and says so
    let mut data = erc2612();
    data["domain"].as_object_mut().unwrap().remove("chainId");
    data["types"]["EIP712Domain"].as_array_mut().unwrap().remove(2);
    assert_eq!(effects(&data).iter().map(Effect::class).collect::<Vec<_>>(), ["typed-data", "unknown"]);
}

#[test]
fn what_readers_disagree_about_is_refused() {
    let with = |pointer: &str, value: Value| {
        let mut data = erc2612();
        *data.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        refusal(&data.to_string())
    };
    for (pointer, value) in [
        ("/message/value", json!(-1)),
        ("/message/value", json!(1.5)),
        ("/message/value", json!(1e3)),
        ("/message/value", json!(9_007_199_254_740_992_u64)),
        ("/message/value", json!("01")),
        ("/message/value", json!("+1")),
        ("/message/value", json!("0x")),
        ("/message/value", json!("")),
        ("/message/value", json!(" 1")),
        ("/message/value", json!("115792089237316195423570985008687907853269984665640564039457584007913129639936")),
        ("/message/value", json!(null)),
        ("/message/value", json!(true)),
        ("/message/value", json!([1])),
        ("/message/owner", json!("0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD82")),
        ("/message/owner", json!("0xcD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826")),
        ("/message/owner", json!("CD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826")),
        ("/message/owner", json!(1)),
        ("/message", json!([])),
        ("/primaryType", json!("Nothing")),
        ("/primaryType", json!("EIP712Domain")),
        ("/types/Permit/0/type", json!("uint")),
        ("/types/Permit/0/type", json!("uint255")),
        ("/types/Permit/0/type", json!("uint08")),
        ("/types/Permit/0/type", json!("uint264")),
        ("/types/Permit/0/type", json!("bytes33")),
        ("/types/Permit/0/type", json!("bytes0")),
        ("/types/Permit/0/type", json!("Nothing")),
        ("/types/Permit/0/type", json!("address[")),
        ("/types/Permit/0/type", json!("address[01]")),
        ("/types/Permit/0/type", json!("address[]]")),
        ("/types/Permit/0/type", json!("address[][][][][][][][][]")),
        ("/types/Permit/0/name", json!("spender")),
        ("/types/Permit/0/name", json!("own er")),
        ("/types/Permit/0/name", json!("")),
        ("/types/Permit", json!({})),
        ("/types/EIP712Domain/0/name", json!("label")),
        ("/types/EIP712Domain/2/type", json!("uint8")),
        ("/types", json!({})),
        ("/domain/chainId", json!("one")),
    ] {
        let shown = value.to_string();
        assert!(!with(pointer, value).is_empty(), "{pointer} {shown}");
    }
}

#[test]
fn extra_missing_and_double_names_are_refused() {
    let mut extra = erc2612();
    extra["message"]["memo"] = json!("hidden");
    assert!(refusal(&extra.to_string()).contains("memo"));
    let mut extra = erc2612();
    extra["metadata"] = json!({});
    assert!(refusal(&extra.to_string()).contains("metadata"));
    let mut missing = erc2612();
    missing["message"].as_object_mut().unwrap().remove("nonce");
    assert!(refusal(&missing.to_string()).contains("nonce"));
    let double = erc2612().to_string().replacen("\"nonce\":0", "\"nonce\":0,\"nonce\":0", 1);
    assert!(refusal(&double).contains("twice"));
    assert!(refusal(&format!("{} {{}}", erc2612())).contains("trailing"));
}

#[test]
fn size_and_nesting_are_bounded() {
    let long = vec![b' '; limen_chain::evm::MAX_TYPED_DATA_BYTES + 1];
    let refused = read(&Payload::EvmTypedData(&long), 1, &cow().address());
    assert!(matches!(refused, Err(DecodeError::TooLong { .. })), "{refused:?}");
    assert!(refusal(&"[".repeat(30_000)).contains("recursion"));

    // a type that holds itself is legal; its values end where the JSON ends
    let types = json!({ "Node": members(&[("Node[]", "children")]) });
    let mut message = json!({ "children": [] });
    for _ in 0..50 {
        message = json!({ "children": [message] });
    }
    assert_eq!(effects(&permit(TOKEN, "Node", types, message)).len(), 1);
}
