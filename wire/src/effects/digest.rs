//! The digest of effects: what an approval is a signature over, next to the intent.
//!
//! Every part is length-prefixed by [`tagged_hash`], each class has a fixed list of fields after its own word, and the
//! number of effects is part of the input. So two different values never share an input.

use super::{Address, AllowanceChange, Asset, Effect, Effects};
use crate::ids::tagged_hash;

const EFFECTS_DOMAIN: &str = "limen/effects/v1";
const EFFECT_DOMAIN: &str = "limen/effect/v1";
const ASSET_DOMAIN: &str = "limen/asset/v1";

impl Effects {
    /// SHA-256 over the canonical encoding of all fields; equal exactly for equal effects.
    pub fn digest(&self) -> [u8; 32] {
        let version = self.decoder_version.to_be_bytes();
        let nonce = optional(self.nonce);
        let count = (self.list.len() as u64).to_be_bytes();
        let each: Vec<[u8; 32]> = self.list.iter().map(effect).collect();
        let head: [&[u8]; 5] =
            [&version, self.chain.as_str().as_bytes(), self.account.as_str().as_bytes(), &nonce, &count];
        tagged_hash(EFFECTS_DOMAIN, head.into_iter().chain(each.iter().map(<[u8; 32]>::as_slice)))
    }
}

fn effect(effect: &Effect) -> [u8; 32] {
    let hash = |fields: &[&[u8]]| {
        tagged_hash(EFFECT_DOMAIN, std::iter::once(effect.class().as_bytes()).chain(fields.iter().copied()))
    };
    match effect {
        Effect::Transfer { asset, amount, from, to } => {
            hash(&[&self::asset(asset), &amount.to_be_bytes(), from.as_str().as_bytes(), to.as_str().as_bytes()])
        }
        Effect::Fee { asset, max_amount, payer } => {
            hash(&[&self::asset(asset), &max_amount.to_be_bytes(), payer.as_str().as_bytes()])
        }
        Effect::Allowance { asset, amount, change, owner, spender, expires_at, submit_by } => hash(&[
            &self::asset(asset),
            &amount.to_be_bytes(),
            change_word(*change),
            owner.as_str().as_bytes(),
            spender.as_str().as_bytes(),
            &optional(*expires_at),
            &optional(*submit_by),
        ]),
        Effect::AuthorityChange { subject, to, kind } => {
            hash(&[subject.as_str().as_bytes(), to.as_str().as_bytes(), kind.as_bytes()])
        }
        Effect::Deploy { from, contract, code_hash } => {
            hash(&[from.as_str().as_bytes(), contract.as_str().as_bytes(), code_hash])
        }
        Effect::Call { contract, method } => hash(&[contract.as_str().as_bytes(), method.as_bytes()]),
        Effect::Message { signer, text } => hash(&[signer.as_str().as_bytes(), text.as_bytes()]),
        Effect::TypedData { signer, primary_type, verifying_contract, hash: signing_hash } => hash(&[
            signer.as_str().as_bytes(),
            primary_type.as_bytes(),
            optional_address(verifying_contract.as_ref()),
            signing_hash,
        ]),
        Effect::Unknown { what, contract, hash: bytes_hash } => {
            hash(&[what.as_bytes(), optional_address(contract.as_ref()), bytes_hash])
        }
        Effect::Raw { digest } => hash(&[digest]),
    }
}

fn asset(asset: &Asset) -> [u8; 32] {
    let hash = |fields: &[&[u8]]| tagged_hash(ASSET_DOMAIN, fields.iter().copied());
    match asset {
        Asset::Native(chain) => hash(&[b"native", chain.as_str().as_bytes()]),
        Asset::Erc20(chain, contract) => hash(&[b"erc20", chain.as_str().as_bytes(), contract.as_str().as_bytes()]),
        Asset::Erc721(chain, contract, token) => {
            hash(&[b"erc721", chain.as_str().as_bytes(), contract.as_str().as_bytes(), &token.to_be_bytes()])
        }
        Asset::Erc1155(chain, contract, token) => {
            hash(&[b"erc1155", chain.as_str().as_bytes(), contract.as_str().as_bytes(), &token.to_be_bytes()])
        }
        Asset::Collection(chain, contract) => hash(&[b"nft", chain.as_str().as_bytes(), contract.as_str().as_bytes()]),
    }
}

const fn change_word(change: AllowanceChange) -> &'static [u8] {
    match change {
        AllowanceChange::Set => b"set",
        AllowanceChange::Increase => b"increase",
        AllowanceChange::Decrease => b"decrease",
    }
}

/// Empty for none: an address never is.
fn optional_address(address: Option<&Address>) -> &[u8] {
    address.map_or(b"", |address| address.as_str().as_bytes())
}

/// Empty for none, else eight big-endian bytes.
fn optional(value: Option<u64>) -> Vec<u8> {
    value.map_or_else(Vec::new, |value| value.to_be_bytes().to_vec())
}
