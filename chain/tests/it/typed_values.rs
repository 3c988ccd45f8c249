//! Random typed data: random struct types, and values that fit them.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A member's type and a value of it.
type Typed = (String, Value);

fn hexadecimal(size: usize) -> impl Strategy<Value = Value> {
    vec(any::<u8>(), size).prop_map(|bytes| json!(format!("0x{}", hex::encode(bytes))))
}

fn number(bits: usize, signed: bool) -> impl Strategy<Value = Value> {
    (any::<[u8; 32]>(), any::<bool>(), 0..3_u8).prop_map(move |(bytes, negative, form)| {
        let magnitude = alloy_primitives::U256::from_be_bytes(bytes) >> (257 - bits);
        match form {
            0 => json!(magnitude.as_limbs()[0] % 128),
            1 if !signed => json!(format!("{magnitude:#x}")),
            _ if signed && negative && !magnitude.is_zero() => json!(format!("-{magnitude}")),
            _ => json!(magnitude.to_string()),
        }
    })
}

/// Any value of a built-in type.
fn built_in() -> BoxedStrategy<Typed> {
    prop_oneof![
        any::<bool>().prop_map(|value| ("bool".to_owned(), json!(value))),
        hexadecimal(20).prop_map(|value| ("address".to_owned(), value)),
        "\\PC{0,40}".prop_map(|value| ("string".to_owned(), json!(value))),
        (0..50_usize).prop_flat_map(hexadecimal).prop_map(|value| ("bytes".to_owned(), value)),
        (1..=32_usize).prop_flat_map(|size| hexadecimal(size).prop_map(move |value| (format!("bytes{size}"), value))),
        (1..=32_usize)
            .prop_flat_map(|size| number(size * 8, false).prop_map(move |value| (format!("uint{}", size * 8), value))),
        (1..=32_usize)
            .prop_flat_map(|size| number(size * 8, true).prop_map(move |value| (format!("int{}", size * 8), value))),
        vec(hexadecimal(20), 0..4).prop_map(|list| ("address[]".to_owned(), json!(list))),
        vec(vec(number(64, false), 2), 0..3).prop_map(|list| ("uint64[2][]".to_owned(), json!(list))),
        vec("[a-z]{0,5}", 3).prop_map(|list| ("string[3]".to_owned(), json!(list))),
    ]
    .boxed()
}

/// Struct types, the last of them primary, and a message of it. A type holds only types before it.
fn structs() -> impl Strategy<Value = (Map<String, Value>, String, Value)> {
    vec((vec(built_in(), 1..6), 0..3_u8), 1..5).prop_map(|definitions| {
        let mut types = Map::new();
        let mut last: Option<(String, Value)> = None;
        for (index, (members, nesting)) in definitions.into_iter().enumerate() {
            // names in falling order, so that sorting them matters
            let name = format!("{}Type", char::from(b'Z' - u8::try_from(index).unwrap()));
            let nested = last.take().map(|(inner, value)| match nesting {
                0 => (inner, value),
                1 => (format!("{inner}[]"), json!([value.clone(), value])),
                _ => (format!("{inner}[1][]"), json!([[value]])),
            });
            let mut object = Map::new();
            let mut definition = Vec::new();
            for (position, (kind, value)) in members.into_iter().chain(nested).enumerate() {
                let member = format!("m{position}");
                definition.push(json!({ "name": member, "type": kind }));
                object.insert(member, value);
            }
            types.insert(name.clone(), json!(definition));
            last = Some((name, Value::Object(object)));
        }
        let (primary, message) = last.unwrap();
        (types, primary, message)
    })
}

/// A domain with any of the standard members, and its type.
fn domain() -> impl Strategy<Value = (Value, Value)> {
    (any::<[bool; 5]>(), "[ -~]{0,20}", 1..1_000_000_u64, hexadecimal(20), hexadecimal(32)).prop_map(
        |(present, text, chain, contract, salt)| {
            let all = [
                ("name", "string", json!(text)),
                ("version", "string", json!("1")),
                ("chainId", "uint256", json!(chain)),
                ("verifyingContract", "address", contract),
                ("salt", "bytes32", salt),
            ];
            let chosen = all.into_iter().zip(present).filter(|(_, present)| *present).map(|(member, _)| member);
            let (mut definition, mut domain) = (Vec::new(), Map::new());
            for (name, kind, value) in chosen {
                definition.push(json!({ "name": name, "type": kind }));
                domain.insert(name.to_owned(), value);
            }
            (json!(definition), Value::Object(domain))
        },
    )
}

/// A whole request, as `eth_signTypedData_v4` takes it.
pub(crate) fn typed_data() -> impl Strategy<Value = Value> {
    (structs(), domain()).prop_map(|((mut types, primary, message), (definition, domain))| {
        types.insert("EIP712Domain".to_owned(), definition);
        json!({ "types": types, "primaryType": primary, "domain": domain, "message": message })
    })
}
