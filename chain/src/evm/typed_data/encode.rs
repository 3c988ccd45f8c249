//! `hashStruct` and `encodeData` (EIP-712).

use std::collections::BTreeMap;

use alloy_primitives::{B256, U256, keccak256};

use super::Refusal;
use super::json::{Json, Object, cut};
use super::schema::{Schema, Type};
use super::value;

/// Hashes values against their types. Each level of a value costs one level of JSON, so the depth is bounded.
pub(super) struct Encoder<'a> {
    schema: &'a Schema,
    type_hashes: BTreeMap<String, B256>,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(schema: &'a Schema) -> Self {
        Self { schema, type_hashes: BTreeMap::new() }
    }

    /// `keccak256(typeHash ‖ encodeData(value))`. The value must have exactly the members of the type.
    pub(super) fn hash_struct(&mut self, name: &str, object: &Object) -> Result<[u8; 32], Refusal> {
        let members = self.schema.members(name)?;
        if let Some(extra) = object.keys().find(|key| !members.iter().any(|member| member.name == **key)) {
            return Err(format!("{:?} is not a member of {name}", cut(extra)));
        }
        let mut preimage = self.type_hash(name)?.to_vec();
        for member in members {
            let value = object.get(&member.name).ok_or_else(|| format!("{:?} of {name} is missing", member.name))?;
            let word =
                self.word(&member.kind, value).map_err(|why| format!("{}.{}: {why}", cut(name), cut(&member.name)));
            preimage.extend_from_slice(&word?);
        }
        Ok(keccak256(preimage).0)
    }

    fn type_hash(&mut self, name: &str) -> Result<B256, Refusal> {
        if let Some(hash) = self.type_hashes.get(name) {
            return Ok(*hash);
        }
        let hash = keccak256(self.schema.encode_type(name)?);
        self.type_hashes.insert(name.to_owned(), hash);
        Ok(hash)
    }

    fn word(&mut self, kind: &Type, json: &Json) -> Result<[u8; 32], Refusal> {
        Ok(match kind {
            Type::Bool => U256::from(value::boolean(json)?).to_be_bytes(),
            Type::Address => value::address(json)?.into_word().0,
            Type::Text => keccak256(value::text(json)?).0,
            Type::Bytes => keccak256(value::bytes(json)?).0,
            Type::FixedBytes(size) => {
                let bytes = value::bytes(json)?;
                if bytes.len() != *size {
                    return Err(format!("{} bytes where there must be {size}", bytes.len()));
                }
                B256::right_padding_from(&bytes).0
            }
            Type::Uint(bits) => value::uint(json, *bits)?.to_be_bytes(),
            Type::Int(bits) => value::int(json, *bits)?.to_be_bytes(),
            Type::Array(element, length) => self.array(element, *length, json)?,
            Type::Struct(name) => match json {
                Json::Object(object) => self.hash_struct(name, object)?,
                _ => return Err(format!("a {} must be an object", cut(name))),
            },
        })
    }

    fn array(&mut self, element: &Type, length: Option<usize>, json: &Json) -> Result<[u8; 32], Refusal> {
        let Json::List(items) = json else {
            return Err("an array must be a list".to_owned());
        };
        if length.is_some_and(|length| length != items.len()) {
            return Err(format!("{} elements do not fit the array's fixed length", items.len()));
        }
        let mut preimage = Vec::new();
        for item in items {
            preimage.extend_from_slice(&self.word(element, item)?);
        }
        Ok(keccak256(preimage).0)
    }
}
