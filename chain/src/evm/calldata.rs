//! Calls of token contracts whose meaning is known from their four-byte selector and strictly read arguments.
//!
//! What is not exactly as the standard encoder writes it is an `Unknown` effect, never an error: the chain would run it.

use alloy_primitives::{Address as EvmAddress, U256};
use limen_wire::effects::{Address, AllowanceChange, Amount, Asset, Effect, sha256};

use super::abi::{self, Word};
use super::{Context, to_address, to_amount};
use crate::tokens::TokenKind;

#[cfg(test)]
mod tests;

/// Most entries of a batch transfer that are shown one by one; a longer batch is unknown.
const MAX_BATCH: usize = 256;

/// First four bytes of Keccak-256 of the signature; a test computes each from its own.
mod selector {
    pub(super) const TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];
    pub(super) const TRANSFER_FROM: [u8; 4] = [0x23, 0xb8, 0x72, 0xdd];
    pub(super) const APPROVE: [u8; 4] = [0x09, 0x5e, 0xa7, 0xb3];
    pub(super) const INCREASE_ALLOWANCE: [u8; 4] = [0x39, 0x50, 0x93, 0x51];
    pub(super) const DECREASE_ALLOWANCE: [u8; 4] = [0xa4, 0x57, 0xc2, 0xd7];
    pub(super) const PERMIT: [u8; 4] = [0xd5, 0x05, 0xac, 0xcf];
    pub(super) const DAI_PERMIT: [u8; 4] = [0x8f, 0xcb, 0xaf, 0x0c];
    pub(super) const SAFE_TRANSFER_FROM: [u8; 4] = [0x42, 0x84, 0x2e, 0x0e];
    pub(super) const SAFE_TRANSFER_FROM_DATA: [u8; 4] = [0xb8, 0x8d, 0x4f, 0xde];
    pub(super) const SAFE_TRANSFER_FROM_1155: [u8; 4] = [0xf2, 0x42, 0x43, 0x2a];
    pub(super) const SAFE_BATCH_TRANSFER_FROM: [u8; 4] = [0x2e, 0xb2, 0xc2, 0xd6];
    pub(super) const SET_APPROVAL_FOR_ALL: [u8; 4] = [0xa2, 0x2c, 0xb4, 0x65];
}

/// `transfer(address,uint256)`.
pub(crate) fn encode_erc20_transfer(to: EvmAddress, amount: U256) -> Vec<u8> {
    let to = to.into_word();
    [selector::TRANSFER.as_slice(), to.as_slice(), &amount.to_be_bytes::<32>()].concat()
}

impl Context<'_> {
    /// Appends the effects of calling `to` with non-empty data.
    pub(super) fn calldata(&self, to: EvmAddress, input: &[u8], list: &mut Vec<Effect>) {
        let contract = to_address(to);
        let call = Call { context: self, kind: self.kinds.kind(self.chain, &contract), contract, input };
        match input.split_first_chunk::<4>().and_then(|(selector, arguments)| call.known(*selector, arguments)) {
            Some(effects) => list.extend(effects),
            None => list.push(call.unknown()),
        }
    }
}

/// A call being read.
struct Call<'a> {
    context: &'a Context<'a>,
    contract: Address,
    kind: Option<TokenKind>,
    input: &'a [u8],
}

/// What the number of a method shared by ERC-20 and ERC-721 is.
enum Reading {
    Fungible { sure: bool },
    TokenId,
}

impl Call<'_> {
    /// The effects, if selector and arguments are known and fit the contract's standard.
    fn known(&self, selector: [u8; 4], arguments: &[u8]) -> Option<Vec<Effect>> {
        match selector {
            selector::TRANSFER => self.transfer(arguments),
            selector::TRANSFER_FROM => self.transfer_from(arguments),
            selector::APPROVE => self.approve(arguments),
            selector::INCREASE_ALLOWANCE => self.change_allowance(arguments, AllowanceChange::Increase),
            selector::DECREASE_ALLOWANCE => self.change_allowance(arguments, AllowanceChange::Decrease),
            selector::PERMIT => self.permit(arguments),
            selector::DAI_PERMIT => self.dai_permit(arguments),
            selector::SAFE_TRANSFER_FROM => self.safe_transfer_from(arguments),
            selector::SAFE_TRANSFER_FROM_DATA => self.safe_transfer_from_data(arguments),
            selector::SAFE_TRANSFER_FROM_1155 => self.safe_transfer_from_1155(arguments),
            selector::SAFE_BATCH_TRANSFER_FROM => self.safe_batch_transfer_from(arguments),
            selector::SET_APPROVAL_FOR_ALL => self.set_approval_for_all(arguments),
            _ => None,
        }
    }

    fn unknown(&self) -> Effect {
        let what = match self.input.first_chunk::<4>() {
            Some(selector) => {
                format!("a call with selector 0x{} and {} bytes in all", hex::encode(selector), self.input.len())
            }
            None => format!("a call with {} bytes, too few for a selector", self.input.len()),
        };
        Effect::Unknown { what, contract: Some(self.contract.clone()), hash: sha256(self.input) }
    }

    fn transfer(&self, arguments: &[u8]) -> Option<Vec<Effect>> {
        self.may_be(&[TokenKind::Erc20])?;
        let [to, amount] = abi::words(arguments)?;
        Some(vec![self.moves(self.erc20(), to_amount(abi::uint(amount)), self.context.account.clone(), address(to)?)])
    }

    fn transfer_from(&self, arguments: &[u8]) -> Option<Vec<Effect>> {
        let [from, to, number] = abi::words(arguments)?;
        let (from, to, number) = (address(from)?, address(to)?, to_amount(abi::uint(number)));
        self.shared_with_erc721(|reading| match reading {
            Reading::Fungible { .. } => self.moves(self.erc20(), number, from, to),
            Reading::TokenId => self.moves(self.erc721(number), one(), from, to),
        })
    }

    fn approve(&self, arguments: &[u8]) -> Option<Vec<Effect>> {
        let [spender, number] = abi::words(arguments)?;
        let (spender, number) = (address(spender)?, to_amount(abi::uint(number)));
        self.shared_with_erc721(|reading| match reading {
            Reading::Fungible { .. } => self.allows(self.erc20(), number, AllowanceChange::Set, spender),
            Reading::TokenId => self.allows(self.erc721(number), one(), AllowanceChange::Set, spender),
        })
    }

    fn change_allowance(&self, arguments: &[u8], change: AllowanceChange) -> Option<Vec<Effect>> {
        self.may_be(&[TokenKind::Erc20])?;
        let [spender, amount] = abi::words(arguments)?;
        Some(vec![self.allows(self.erc20(), to_amount(abi::uint(amount)), change, address(spender)?)])
    }

    /// `permit(owner, spender, value, deadline, v, r, s)` (EIP-2612), put on chain for an owner who signed it.
    fn permit(&self, arguments: &[u8]) -> Option<Vec<Effect>> {
        self.may_be(&[TokenKind::Erc20])?;
        let [owner, spender, amount, deadline, v, _r, _s] = abi::words(arguments)?;
        abi::uint8(v)?;
        Some(vec![self.permits(owner, spender, to_amount(abi::uint(amount)), deadline)?])
    }

    /// `permit(holder, spender, nonce, expiry, allowed, v, r, s)`, as the DAI contract has it: all or nothing.
    fn dai_permit(&self, arguments: &[u8]) -> Option<Vec<Effect>> {
        self.may_be(&[TokenKind::Erc20])?;
        let [holder, spender, _nonce, expiry, allowed, v, _r, _s] = abi::words(arguments)?;
        abi::uint8(v)?;
        let amount = if abi::boolean(allowed)? { Amount::MAX } else { Amount::ZERO };
        // the DAI contract reads an expiry of zero as "never"
        let never = [0xff; 32];
        let expiry = if abi::uint(expiry).is_zero() { &never } else { expiry };
        Some(vec![self.permits(holder, spender, amount, expiry)?])
    }

    fn safe_transfer_from(&self, arguments: &[u8]) -> Option<Vec<Effect>> {
        self.may_be(&[TokenKind::Erc721])?;
        let [from, to, token] = abi::words(arguments)?;
        Some(vec![self.moves(self.erc721(to_amount(abi::uint(token))), one(), address(from)?, address(to)?)])
    }

    fn safe_transfer_from_data(&self, arguments: &[u8]) -> Option<Vec<Effect>> {
        self.may_be(&[TokenKind::Erc721])?;
        let ([from, to, token, data], mut tails) = abi::heads(arguments)?;
        let data = tails.bytes(data)?;
        tails.end()?;
        let moved = self.moves(self.erc721(to_amount(abi::uint(token))), one(), address(from)?, address(to)?);
        Some([moved].into_iter().chain(handed_over(address(to)?, data)).collect())
    }

    fn safe_transfer_from_1155(&self, arguments: &[u8]) -> Option<Vec<Effect>> {
        self.may_be(&[TokenKind::Erc1155])?;
        let ([from, to, token, amount, data], mut tails) = abi::heads(arguments)?;
        let data = tails.bytes(data)?;
        tails.end()?;
        let moved = self.moves(self.erc1155(token), to_amount(abi::uint(amount)), address(from)?, address(to)?);
        Some([moved].into_iter().chain(handed_over(address(to)?, data)).collect())
    }

    fn safe_batch_transfer_from(&self, arguments: &[u8]) -> Option<Vec<Effect>> {
        self.may_be(&[TokenKind::Erc1155])?;
        let ([from, to, tokens, amounts, data], mut tails) = abi::heads(arguments)?;
        let (tokens, amounts, data) = (tails.array(tokens)?, tails.array(amounts)?, tails.bytes(data)?);
        tails.end()?;
        if tokens.len() != amounts.len() || !(1..=MAX_BATCH).contains(&tokens.len()) {
            return None;
        }
        let (from, to) = (address(from)?, address(to)?);
        let moved = tokens.iter().zip(amounts).map(|(token, amount)| {
            self.moves(self.erc1155(token), to_amount(abi::uint(amount)), from.clone(), to.clone())
        });
        Some(moved.chain(handed_over(to.clone(), data)).collect())
    }

    fn set_approval_for_all(&self, arguments: &[u8]) -> Option<Vec<Effect>> {
        self.may_be(&[TokenKind::Erc721, TokenKind::Erc1155])?;
        let [operator, approved] = abi::words(arguments)?;
        let amount = if abi::boolean(approved)? { Amount::MAX } else { Amount::ZERO };
        let asset = Asset::Collection(self.context.chain.clone(), self.contract.clone());
        Some(vec![self.allows(asset, amount, AllowanceChange::Set, address(operator)?)])
    }

    /// None if the contract is known to follow another standard than these.
    fn may_be(&self, kinds: &[TokenKind]) -> Option<()> {
        self.kind.is_none_or(|kind| kinds.contains(&kind)).then_some(())
    }

    /// A method that ERC-20 and ERC-721 spell alike. When nobody has said which of them the contract follows, the number is
    /// shown as an amount, and that this is not sure is an effect of its own.
    fn shared_with_erc721(&self, effect: impl FnOnce(Reading) -> Effect) -> Option<Vec<Effect>> {
        let reading = match self.kind {
            Some(TokenKind::Erc20) => Reading::Fungible { sure: true },
            None => Reading::Fungible { sure: false },
            Some(TokenKind::Erc721) => Reading::TokenId,
            Some(TokenKind::Erc1155) => return None,
        };
        let doubt = matches!(reading, Reading::Fungible { sure: false }).then(|| Effect::Unknown {
            what: "whether the contract is ERC-20 or ERC-721: the amount could be a token id".to_owned(),
            contract: Some(self.contract.clone()),
            hash: sha256(self.input),
        });
        Some([effect(reading)].into_iter().chain(doubt).collect())
    }

    fn moves(&self, asset: Asset, amount: Amount, from: Address, to: Address) -> Effect {
        Effect::Transfer { asset, amount, from, to }
    }

    fn allows(&self, asset: Asset, amount: Amount, change: AllowanceChange, spender: Address) -> Effect {
        let owner = self.context.account.clone();
        Effect::Allowance { asset, amount, change, owner, spender, expires_at: None, submit_by: None }
    }

    fn permits(&self, owner: &Word, spender: &Word, amount: Amount, deadline: &Word) -> Option<Effect> {
        Some(Effect::Allowance {
            asset: self.erc20(),
            amount,
            change: AllowanceChange::Set,
            owner: address(owner)?,
            spender: address(spender)?,
            expires_at: None,
            submit_by: to_amount(abi::uint(deadline)).to_u64(),
        })
    }

    fn erc20(&self) -> Asset {
        Asset::Erc20(self.context.chain.clone(), self.contract.clone())
    }

    fn erc721(&self, token: Amount) -> Asset {
        Asset::Erc721(self.context.chain.clone(), self.contract.clone(), token)
    }

    fn erc1155(&self, token: &Word) -> Asset {
        Asset::Erc1155(self.context.chain.clone(), self.contract.clone(), to_amount(abi::uint(token)))
    }
}

fn address(word: &Word) -> Option<Address> {
    abi::address(word).map(to_address)
}

fn one() -> Amount {
    Amount::from_u128(1)
}

/// Data that the receiver of a token is called with: it may act on it.
fn handed_over(receiver: Address, data: &[u8]) -> Option<Effect> {
    (!data.is_empty()).then(|| Effect::Unknown {
        what: format!("{} bytes handed to the receiver of the token", data.len()),
        contract: Some(receiver),
        hash: sha256(data),
    })
}
