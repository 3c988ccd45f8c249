use alloy_primitives::{B256, keccak256};
use limen_wire::effects::ChainId;

use super::*;
use crate::tokens::{NoTokenKinds, TokenKinds as _};

const SIGNATURES: [(&str, [u8; 4]); 12] = [
    ("transfer(address,uint256)", selector::TRANSFER),
    ("transferFrom(address,address,uint256)", selector::TRANSFER_FROM),
    ("approve(address,uint256)", selector::APPROVE),
    ("increaseAllowance(address,uint256)", selector::INCREASE_ALLOWANCE),
    ("decreaseAllowance(address,uint256)", selector::DECREASE_ALLOWANCE),
    ("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)", selector::PERMIT),
    ("permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)", selector::DAI_PERMIT),
    ("safeTransferFrom(address,address,uint256)", selector::SAFE_TRANSFER_FROM),
    ("safeTransferFrom(address,address,uint256,bytes)", selector::SAFE_TRANSFER_FROM_DATA),
    ("safeTransferFrom(address,address,uint256,uint256,bytes)", selector::SAFE_TRANSFER_FROM_1155),
    ("safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)", selector::SAFE_BATCH_TRANSFER_FROM),
    ("setApprovalForAll(address,bool)", selector::SET_APPROVAL_FOR_ALL),
];

#[test]
fn selectors_are_the_hashes_of_their_signatures() {
    for (signature, selector) in SIGNATURES {
        assert_eq!(keccak256(signature)[..4], selector, "{signature}");
    }
}

/// The classes of what a call does.
fn classes(kind: Option<TokenKind>, input: &[u8]) -> Vec<&'static str> {
    let chain = ChainId::eip155(1);
    let account = to_address(EvmAddress::repeat_byte(9));
    let kinds = move |_: &ChainId, _: &Address| kind;
    let context = Context::new("test", &chain, &account, &kinds).unwrap();
    let mut list = Vec::new();
    context.calldata(EvmAddress::repeat_byte(7), input, &mut list);
    list.iter().map(Effect::class).collect()
}

fn call(selector: [u8; 4], words: &[B256]) -> Vec<u8> {
    [selector.as_slice(), &words.concat()].concat()
}

fn number(value: u64) -> B256 {
    U256::from(value).into()
}

fn who(byte: u8) -> B256 {
    EvmAddress::repeat_byte(byte).into_word()
}

#[test]
fn a_standard_that_lacks_the_method_makes_it_unknown() {
    use TokenKind::{Erc20, Erc721, Erc1155};
    let all = [None, Some(Erc20), Some(Erc721), Some(Erc1155)];
    let read = |input: &[u8]| all.map(|kind| classes(kind, input).join("+"));
    let two = [who(1), number(5)];
    let three = [who(1), who(2), number(5)];
    assert_eq!(read(&call(selector::TRANSFER, &two)), ["transfer", "transfer", "unknown", "unknown"]);
    assert_eq!(read(&call(selector::APPROVE, &two)), ["allowance+unknown", "allowance", "allowance", "unknown"]);
    assert_eq!(read(&call(selector::INCREASE_ALLOWANCE, &two)), ["allowance", "allowance", "unknown", "unknown"]);
    assert_eq!(read(&call(selector::TRANSFER_FROM, &three)), ["transfer+unknown", "transfer", "transfer", "unknown"]);
    assert_eq!(read(&call(selector::SAFE_TRANSFER_FROM, &three)), ["transfer", "unknown", "transfer", "unknown"]);
    let all_tokens = call(selector::SET_APPROVAL_FOR_ALL, &[who(1), number(1)]);
    assert_eq!(read(&all_tokens), ["allowance", "unknown", "allowance", "allowance"]);
}

#[test]
fn dirty_short_and_long_arguments_are_unknown() {
    let mut dirty = who(1);
    dirty[0] = 1;
    let mut high = who(1);
    high[11] = 1;
    let good = call(selector::TRANSFER, &[who(1), number(5)]);
    assert_eq!(classes(None, &good), ["transfer"]);
    for bad in [
        call(selector::TRANSFER, &[dirty, number(5)]),
        call(selector::TRANSFER, &[high, number(5)]),
        call(selector::TRANSFER, &[who(1)]),
        call(selector::TRANSFER, &[who(1), number(5), number(0)]),
        [good.as_slice(), &[0]].concat(),
        good[..good.len() - 1].to_vec(),
        good[..4].to_vec(),
        good[..3].to_vec(),
        vec![0],
        call(selector::SET_APPROVAL_FOR_ALL, &[who(1), number(2)]),
        call([0xde, 0xad, 0xbe, 0xef], &[who(1), number(5)]),
    ] {
        assert_eq!(classes(None, &bad), ["unknown"], "{}", hex::encode(bad));
    }
}

/// `safeTransferFrom(address,address,uint256,bytes)` with these words from the offset of the bytes on.
fn with_tail(tail: &[B256]) -> Vec<u8> {
    call(selector::SAFE_TRANSFER_FROM_DATA, &[&[who(1), who(2), number(5)], tail].concat())
}

#[test]
fn tails_must_be_where_the_standard_encoder_puts_them() {
    let word = |text: &str| B256::right_padding_from(text.as_bytes());
    assert_eq!(classes(None, &with_tail(&[number(128), number(0)])), ["transfer"]);
    assert_eq!(classes(None, &with_tail(&[number(128), number(3), word("abc")])), ["transfer", "unknown"]);
    for bad in [
        // points into the head, beyond the end, or leaves a gap
        with_tail(&[number(96), number(0)]),
        with_tail(&[number(160), number(0)]),
        with_tail(&[number(160), number(0), number(0)]),
        with_tail(&[B256::repeat_byte(0xff), number(0)]),
        // length beyond the end, dirty padding, words behind
        with_tail(&[number(128), number(33), word("abc")]),
        with_tail(&[number(128), B256::repeat_byte(0xff), word("abc")]),
        with_tail(&[number(128), number(3), word("abcd")]),
        with_tail(&[number(128), number(0), number(0)]),
        with_tail(&[number(128)]),
    ] {
        assert_eq!(classes(None, &bad), ["unknown"], "{}", hex::encode(bad));
    }
}

#[test]
fn batches_are_whole_and_bounded() {
    let batch = |ids: u64, amounts: u64| {
        let head = [who(1), who(2), number(160), number(192 + 32 * ids), number(224 + 32 * (ids + amounts))];
        let list = |count: u64| std::iter::once(number(count)).chain((0..count).map(number));
        let words: Vec<B256> = head.into_iter().chain(list(ids)).chain(list(amounts)).chain([number(0)]).collect();
        classes(None, &call(selector::SAFE_BATCH_TRANSFER_FROM, &words))
    };
    assert_eq!(batch(2, 2), ["transfer", "transfer"]);
    assert_eq!(batch(256, 256).len(), 256);
    for (ids, amounts) in [(0, 0), (2, 1), (1, 2), (257, 257)] {
        assert_eq!(batch(ids, amounts), ["unknown"], "{ids} ids, {amounts} amounts");
    }
}

#[test]
fn no_registry_knows_no_kind() {
    let chain = ChainId::eip155(1);
    assert_eq!(NoTokenKinds.kind(&chain, &to_address(EvmAddress::ZERO)), None);
}
