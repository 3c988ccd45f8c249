//! EIP-712 typed data, as `eth_signTypedData_v4` takes it.
//!
//! The JSON is read strictly: what other readers could take for something else is refused. That is duplicate names, names
//! that are not in the type, missing names, `null`, numbers beyond 2^53 − 1 that are not in quotes, `uint` and `int`
//! without a width, and values out of range.

mod encode;
mod json;
mod permit;
mod schema;
mod value;

#[cfg(test)]
mod tests;

use alloy_primitives::{Address as EvmAddress, U256, keccak256};
use limen_wire::effects::{Effect, sha256};

use self::encode::Encoder;
use self::json::{Json, Object};
use self::schema::Schema;
use super::{Context, to_address};
use crate::error::DecodeError;
use crate::payload::{Decoded, SigningInput, effects};

const KIND: &str = "EVM typed data";
/// The name of the domain's type.
const DOMAIN: &str = "EIP712Domain";
/// Most bytes of the JSON text.
pub const MAX_BYTES: usize = 64 * 1024;

/// Why the text was refused.
type Refusal = String;

impl Context<'_> {
    /// Reads typed data: a known permit becomes an allowance, everything else is shown by its hash.
    pub(crate) fn typed_data(&self, bytes: &[u8]) -> Result<Decoded, DecodeError> {
        let data = TypedData::parse(bytes).map_err(|why| DecodeError::Malformed { kind: KIND, why })?;
        if let Some(found) = data.chain_id {
            let number = u64::try_from(found).map_err(|_| DecodeError::Malformed {
                kind: KIND,
                why: "the domain's chainId does not fit 64 bits".to_owned(),
            })?;
            self.check_chain(number)?;
        }
        let list = self.permit(&data).unwrap_or_else(|| self.by_hash(&data));
        Ok(Decoded {
            effects: effects(self.chain, self.account, None, list),
            signing: SigningInput::Digest(data.signing_hash),
        })
    }

    fn by_hash(&self, data: &TypedData) -> Vec<Effect> {
        let shown = Effect::TypedData {
            signer: self.account.clone(),
            primary_type: data.primary_type.clone(),
            verifying_contract: data.verifying_contract.map(to_address),
            hash: data.signing_hash,
        };
        let everywhere = data.chain_id.is_none().then(|| Effect::Unknown {
            what: "typed data that names no chain: it may count on any".to_owned(),
            contract: data.verifying_contract.map(to_address),
            hash: sha256(&data.signing_hash),
        });
        [shown].into_iter().chain(everywhere).collect()
    }
}

/// Typed data that has been read and hashed.
struct TypedData {
    primary_type: String,
    /// `encodeType` of the primary type: its full definition.
    definition: String,
    message: Object,
    chain_id: Option<U256>,
    verifying_contract: Option<EvmAddress>,
    signing_hash: [u8; 32],
}

impl TypedData {
    fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let Json::Object(mut top) = json::parse(bytes)? else {
            return Err("the text is not a JSON object".to_owned());
        };
        let mut take = |name: &str| top.remove(name).ok_or_else(|| format!("{name:?} is missing"));
        let (types, primary_type, domain, message) =
            (take("types")?, take("primaryType")?, take("domain")?, take("message")?);
        if let Some(name) = top.keys().next() {
            return Err(format!("{:?} is not a part of typed data", json::cut(name)));
        }
        let (Json::Object(domain), Json::Object(message), Json::Text(primary_type)) = (domain, message, primary_type)
        else {
            return Err("\"domain\" and \"message\" must be objects, \"primaryType\" must be text".to_owned());
        };
        if primary_type == DOMAIN {
            return Err("the domain alone is not a message".to_owned());
        }
        let schema = Schema::parse(types)?;
        schema.check_domain(DOMAIN)?;
        let mut encoder = Encoder::new(&schema);
        let separator = encoder.hash_struct(DOMAIN, &domain)?;
        let message_hash = encoder.hash_struct(&primary_type, &message)?;
        let preimage = [b"\x19\x01".as_slice(), &separator, &message_hash].concat();
        Ok(Self {
            definition: schema.encode_type(&primary_type)?,
            primary_type,
            message,
            chain_id: domain.get("chainId").map(|id| value::uint(id, 256)).transpose()?,
            verifying_contract: domain.get("verifyingContract").map(value::address).transpose()?,
            signing_hash: keccak256(preimage).0,
        })
    }
}
