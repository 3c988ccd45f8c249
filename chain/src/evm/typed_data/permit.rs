//! Permits: typed data that lets somebody else move tokens.
//!
//! A permit is known by its full type definition, its domain naming chain and contract, and nothing less. The Permit2 forms
//! count only for the one contract that Uniswap deployed at the same address on every chain.

use alloy_primitives::{Address as EvmAddress, U256, address};
use limen_wire::effects::{Address, AllowanceChange, Amount, Asset, Effect};

use super::json::{Json, Object};
use super::{TypedData, value};
use crate::evm::{Context, to_address, to_amount};
use crate::tokens::TokenKind;

/// <https://github.com/Uniswap/permit2>.
const PERMIT2: EvmAddress = address!("000000000022D473030F116dDEE9F6B43aC78BA3");

/// EIP-2612.
const PERMIT: &str = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)";
/// As the DAI contract has it.
const DAI_PERMIT: &str = "Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)";
/// EIP-4494.
const NFT_PERMIT: &str = "Permit(address spender,uint256 tokenId,uint256 nonce,uint256 deadline)";
const PERMIT_SINGLE: &str = "PermitSingle(PermitDetails details,address spender,uint256 sigDeadline)\
     PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)";
const PERMIT_BATCH: &str = "PermitBatch(PermitDetails[] details,address spender,uint256 sigDeadline)\
     PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)";
const PERMIT_TRANSFER: &str = "PermitTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline)\
     TokenPermissions(address token,uint256 amount)";

impl Context<'_> {
    /// The allowances, if this is a permit that we know.
    pub(super) fn permit(&self, data: &TypedData) -> Option<Vec<Effect>> {
        data.chain_id?;
        let contract = data.verifying_contract?;
        let known = self.kinds.kind(self.chain, &to_address(contract));
        let may_be = |kind| known.is_none_or(|known| known == kind);
        let message = &data.message;
        match data.definition.as_str() {
            PERMIT if may_be(TokenKind::Erc20) => self.erc2612(contract, message),
            DAI_PERMIT if may_be(TokenKind::Erc20) => self.dai(contract, message),
            NFT_PERMIT if may_be(TokenKind::Erc721) => self.erc4494(contract, message),
            PERMIT_SINGLE if contract == PERMIT2 => self.permit2(message),
            PERMIT_BATCH if contract == PERMIT2 => self.permit2(message),
            PERMIT_TRANSFER if contract == PERMIT2 => self.permit2_transfer(message),
            _ => None,
        }
    }

    fn erc2612(&self, token: EvmAddress, message: &Object) -> Option<Vec<Effect>> {
        let allowance = Allowance {
            asset: self.token(token),
            amount: to_amount(uint(message, "value")?),
            owner: account(message, "owner")?,
            spender: account(message, "spender")?,
            expires_at: None,
            submit_by: uint(message, "deadline")?,
        };
        Some(vec![allowance.effect()])
    }

    fn dai(&self, token: EvmAddress, message: &Object) -> Option<Vec<Effect>> {
        let expiry = uint(message, "expiry")?;
        let allowed = value::boolean(message.get("allowed")?).ok()?;
        let allowance = Allowance {
            asset: self.token(token),
            amount: if allowed { Amount::MAX } else { Amount::ZERO },
            owner: account(message, "holder")?,
            spender: account(message, "spender")?,
            expires_at: None,
            // zero means never
            submit_by: if expiry.is_zero() { U256::MAX } else { expiry },
        };
        Some(vec![allowance.effect()])
    }

    fn erc4494(&self, contract: EvmAddress, message: &Object) -> Option<Vec<Effect>> {
        let token = to_amount(uint(message, "tokenId")?);
        let allowance = Allowance {
            asset: Asset::Erc721(self.chain.clone(), to_address(contract), token),
            amount: Amount::from_u128(1),
            owner: self.account.clone(),
            spender: account(message, "spender")?,
            expires_at: None,
            submit_by: uint(message, "deadline")?,
        };
        Some(vec![allowance.effect()])
    }

    /// `PermitSingle` has one object of details, `PermitBatch` a list of them.
    fn permit2(&self, message: &Object) -> Option<Vec<Effect>> {
        let (spender, submit_by) = (account(message, "spender")?, uint(message, "sigDeadline")?);
        let details = match message.get("details")? {
            Json::List(items) => items.iter().collect(),
            one => vec![one],
        };
        let effects = details.into_iter().map(|details| {
            let Json::Object(details) = details else { return None };
            let amount = uint(details, "amount")?;
            // Permit2 takes the greatest 160-bit number as "without limit"
            let unlimited = amount.bit_len() == 160 && amount.count_ones() == 160;
            let allowance = Allowance {
                asset: self.token(value::address(details.get("token")?).ok()?),
                amount: if unlimited { Amount::MAX } else { to_amount(amount) },
                owner: self.account.clone(),
                spender: spender.clone(),
                expires_at: Some(uint(details, "expiration")?),
                submit_by,
            };
            Some(allowance.effect())
        });
        effects.collect::<Option<Vec<_>>>().filter(|effects| !effects.is_empty())
    }

    fn permit2_transfer(&self, message: &Object) -> Option<Vec<Effect>> {
        let Json::Object(permitted) = message.get("permitted")? else { return None };
        let allowance = Allowance {
            asset: self.token(value::address(permitted.get("token")?).ok()?),
            amount: to_amount(uint(permitted, "amount")?),
            owner: self.account.clone(),
            spender: account(message, "spender")?,
            expires_at: None,
            submit_by: uint(message, "deadline")?,
        };
        Some(vec![allowance.effect()])
    }

    fn token(&self, contract: EvmAddress) -> Asset {
        Asset::Erc20(self.chain.clone(), to_address(contract))
    }
}

struct Allowance {
    asset: Asset,
    amount: Amount,
    owner: Address,
    spender: Address,
    expires_at: Option<U256>,
    submit_by: U256,
}

impl Allowance {
    /// Times beyond 64 bits are never reached.
    fn effect(self) -> Effect {
        Effect::Allowance {
            asset: self.asset,
            amount: self.amount,
            change: AllowanceChange::Set,
            owner: self.owner,
            spender: self.spender,
            expires_at: self.expires_at.and_then(|time| u64::try_from(time).ok()),
            submit_by: u64::try_from(self.submit_by).ok(),
        }
    }
}

/// A number that the encoder has already checked against its declared width.
fn uint(object: &Object, name: &str) -> Option<U256> {
    value::uint(object.get(name)?, 256).ok()
}

fn account(object: &Object, name: &str) -> Option<Address> {
    value::address(object.get(name)?).ok().map(to_address)
}
