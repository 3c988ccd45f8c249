//! Random calls of token contracts, with the effects that they must have.

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, TxKind, U256, address};
use limen_chain::evm::UnsignedTransaction;
use limen_chain::{Payload, TokenKind};
use limen_wire::effects::{AllowanceChange, Amount, Asset, ChainId, Effect};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::strategies::{evm_address, uint256};
use crate::support::{at, read_with};

const CONTRACT: Address = address!("a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48");
const ACCOUNT: Address = address!("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed");
const CHAIN: u64 = 1;

/// A call by signature and arguments, as an encoder takes them; integers are text with the prefix `int:`.
#[derive(Debug, Clone)]
pub(crate) struct TokenCall {
    pub(crate) signature: &'static str,
    pub(crate) arguments: Vec<Value>,
    kind: Option<TokenKind>,
    effects: Vec<Effect>,
    /// Whether the contract's standard is in doubt.
    doubt: bool,
}

impl TokenCall {
    /// How many methods [`token_call`] draws from.
    pub(crate) const METHODS: usize = 12;

    /// The effects of a transaction with these data, without the fee.
    pub(crate) fn read(&self, data: Vec<u8>) -> Vec<Effect> {
        read_call(data, self.kind)
    }

    /// What [`Self::read`] must give for this call.
    pub(crate) fn expected(&self) -> Vec<Effect> {
        let mut effects = self.effects.clone();
        if self.doubt {
            effects.push(Effect::Unknown { what: String::new(), contract: Some(name(CONTRACT)), hash: [0; 32] });
        }
        effects
    }
}

/// Reads a call to the test contract. Unknown effects keep their place but lose their words and hash.
pub(crate) fn read_call(data: Vec<u8>, kind: Option<TokenKind>) -> Vec<Effect> {
    let transaction = UnsignedTransaction::Eip1559(TxEip1559 {
        chain_id: CHAIN,
        gas_limit: 1,
        to: TxKind::Call(CONTRACT),
        input: data.into(),
        ..Default::default()
    });
    let bytes = transaction.to_signing_bytes();
    let decoded =
        read_with(&Payload::EvmTransaction(&bytes), CHAIN, &name(ACCOUNT), &|_: &ChainId, _: &_| kind).unwrap();
    let mut list = decoded.effects.list;
    assert_eq!(list.pop().unwrap().class(), "fee");
    for effect in &mut list {
        if let Effect::Unknown { what, hash, .. } = effect {
            assert!(!what.is_empty());
            (*what, *hash) = (String::new(), [0; 32]);
        }
    }
    list
}

fn name(address: Address) -> limen_wire::effects::Address {
    at(&address.to_string())
}

fn amount(value: U256) -> Amount {
    Amount::from_be_bytes(value.to_be_bytes())
}

fn int(value: U256) -> Value {
    json!(format!("int:{value}"))
}

fn ints(values: &[U256]) -> Value {
    values.iter().map(|value| int(*value)).collect()
}

fn hex0x(bytes: &[u8]) -> Value {
    json!(format!("0x{}", hex::encode(bytes)))
}

fn erc20() -> Asset {
    Asset::Erc20(ChainId::eip155(CHAIN), name(CONTRACT))
}

fn erc721(token: U256) -> Asset {
    Asset::Erc721(ChainId::eip155(CHAIN), name(CONTRACT), amount(token))
}

fn erc1155(token: U256) -> Asset {
    Asset::Erc1155(ChainId::eip155(CHAIN), name(CONTRACT), amount(token))
}

fn moves(asset: Asset, amount: Amount, from: Address, to: Address) -> Effect {
    Effect::Transfer { asset, amount, from: name(from), to: name(to) }
}

fn allows(
    asset: Asset,
    amount: Amount,
    change: AllowanceChange,
    owner: Address,
    spender: Address,
    by: Option<U256>,
) -> Effect {
    Effect::Allowance {
        asset,
        amount,
        change,
        owner: name(owner),
        spender: name(spender),
        expires_at: None,
        submit_by: by.and_then(|by| u64::try_from(by).ok()),
    }
}

fn handed(to: Address, data: &[u8]) -> Vec<Effect> {
    let unknown = Effect::Unknown { what: String::new(), contract: Some(name(to)), hash: [0; 32] };
    if data.is_empty() { vec![] } else { vec![unknown] }
}

/// Two addresses, two numbers, bytes, a batch of ids and amounts, and a flag: each method takes what it needs.
type Arguments = (Address, Address, U256, U256, Vec<u8>, Vec<(U256, U256)>, bool);

fn arguments() -> impl Strategy<Value = Arguments> {
    (
        evm_address(),
        evm_address(),
        uint256(),
        uint256(),
        prop::collection::vec(any::<u8>(), 0..70),
        prop::collection::vec((uint256(), uint256()), 1..5),
        any::<bool>(),
    )
}

/// A call of any method that is known.
pub(crate) fn token_call() -> impl Strategy<Value = TokenCall> {
    (0..TokenCall::METHODS, 0..2_u8, arguments()).prop_map(|(method, known, arguments)| {
        if method < 6 { fungible(method, known == 1, arguments) } else { other(method, arguments) }
    })
}

fn fungible(method: usize, known: bool, (a, b, x, y, _, _, flag): Arguments) -> TokenCall {
    let doubt = !known && method < 2;
    let kind = known.then_some(TokenKind::Erc20);
    let (sa, sb) = (json!(a.to_checksum(None)), json!(b.to_checksum(None)));
    let word = hex0x(&[7; 32]);
    let (signature, arguments, effect) = match method {
        0 => ("transferFrom(address,address,uint256)", vec![sa, sb, int(x)], moves(erc20(), amount(x), a, b)),
        1 => (
            "approve(address,uint256)",
            vec![sa, int(x)],
            allows(erc20(), amount(x), AllowanceChange::Set, ACCOUNT, a, None),
        ),
        2 => ("transfer(address,uint256)", vec![sa, int(x)], moves(erc20(), amount(x), ACCOUNT, a)),
        3 => (
            "increaseAllowance(address,uint256)",
            vec![sa, int(x)],
            allows(erc20(), amount(x), AllowanceChange::Increase, ACCOUNT, a, None),
        ),
        4 => (
            "permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
            vec![sa, sb, int(x), int(y), json!(27), word.clone(), word],
            allows(erc20(), amount(x), AllowanceChange::Set, a, b, Some(y)),
        ),
        _ => {
            let most = if flag { Amount::MAX } else { Amount::ZERO };
            let by = if y.is_zero() { U256::MAX } else { y };
            (
                "permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)",
                vec![sa, sb, int(x), int(y), json!(flag), json!(28), word.clone(), word],
                allows(erc20(), most, AllowanceChange::Set, a, b, Some(by)),
            )
        }
    };
    TokenCall { signature, arguments, kind, effects: vec![effect], doubt }
}

fn other(method: usize, (a, b, x, y, data, batch, flag): Arguments) -> TokenCall {
    let (sa, sb) = (json!(a.to_checksum(None)), json!(b.to_checksum(None)));
    let one = Amount::from_u128(1);
    let nft = Some(TokenKind::Erc721);
    let multi = Some(TokenKind::Erc1155);
    let (signature, arguments, kind, effects) = match method {
        6 => (
            "decreaseAllowance(address,uint256)",
            vec![sa, int(x)],
            None,
            vec![allows(erc20(), amount(x), AllowanceChange::Decrease, ACCOUNT, a, None)],
        ),
        7 => {
            ("safeTransferFrom(address,address,uint256)", vec![sa, sb, int(x)], nft, vec![moves(erc721(x), one, a, b)])
        }
        8 => (
            "safeTransferFrom(address,address,uint256,bytes)",
            vec![sa, sb, int(x), hex0x(&data)],
            nft,
            [vec![moves(erc721(x), one, a, b)], handed(b, &data)].concat(),
        ),
        9 => (
            "safeTransferFrom(address,address,uint256,uint256,bytes)",
            vec![sa, sb, int(x), int(y), hex0x(&data)],
            multi,
            [vec![moves(erc1155(x), amount(y), a, b)], handed(b, &data)].concat(),
        ),
        10 => {
            let (ids, amounts): (Vec<_>, Vec<_>) = batch.iter().copied().unzip();
            let moved = batch.iter().map(|(id, many)| moves(erc1155(*id), amount(*many), a, b)).collect();
            (
                "safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
                vec![sa, sb, ints(&ids), ints(&amounts), hex0x(&data)],
                multi,
                [moved, handed(b, &data)].concat(),
            )
        }
        _ => {
            let most = if flag { Amount::MAX } else { Amount::ZERO };
            let all = Asset::Collection(ChainId::eip155(CHAIN), name(CONTRACT));
            (
                "setApprovalForAll(address,bool)",
                vec![sa, json!(flag)],
                nft,
                vec![allows(all, most, AllowanceChange::Set, ACCOUNT, a, None)],
            )
        }
    };
    TokenCall { signature, arguments, kind, effects, doubt: false }
}
