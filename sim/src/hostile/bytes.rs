//! Transactions as their owners mean them, encoded here: the signers' decoders have no part in it.

use sha3::{Digest as _, Keccak256};

use super::plan::{DESTINATIONS, FEE, TOKEN, UNIT};
use super::program::{Draft, Kind};

/// The chain that every simulated transaction is for.
pub(crate) const CHAIN: u64 = 31_337;

/// Bytes to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Payload {
    /// An unsigned EIP-1559 transaction.
    Transaction(Vec<u8>),
    /// A text (EIP-191).
    Text(Vec<u8>),
}

impl Payload {
    /// What a signature of them is over.
    pub(crate) fn digest(&self) -> [u8; 32] {
        match self {
            Self::Transaction(bytes) => Keccak256::digest(bytes).into(),
            Self::Text(text) => {
                let head = format!("\x19Ethereum Signed Message:\n{}", text.len());
                Keccak256::digest([head.as_bytes(), text].concat()).into()
            }
        }
    }
}

/// What a draft comes to.
pub(crate) fn payload(draft: &Draft) -> Payload {
    let amount = draft.units * UNIT;
    let to = address(DESTINATIONS[draft.to]);
    match draft.kind {
        Kind::Native => Payload::Transaction(transaction(draft.nonce, &to, amount, &[])),
        Kind::Token => Payload::Transaction(transaction(
            draft.nonce,
            &address(TOKEN),
            0,
            &call([0xa9, 0x05, 0x9c, 0xbb], &to, amount),
        )),
        Kind::Allowance => Payload::Transaction(transaction(
            draft.nonce,
            &address(TOKEN),
            0,
            &call([0x09, 0x5e, 0xa7, 0xb3], &to, amount),
        )),
        Kind::Unknown => {
            let data = [&[0xde, 0xad, 0xbe, 0xef][..], &amount.to_be_bytes()].concat();
            Payload::Transaction(transaction(draft.nonce, &to, 0, &data))
        }
        Kind::Delegatecall => Payload::Transaction(transaction(draft.nonce, &to, 0, &takeover())),
        Kind::Message => Payload::Text(format!("greeting {} to {}", draft.units, draft.to).into_bytes()),
    }
}

/// An unsigned EIP-1559 transaction that costs [`FEE`] at most.
pub(crate) fn transaction(nonce: u64, to: &[u8], value: u128, data: &[u8]) -> Vec<u8> {
    let fields = [
        number(CHAIN.into()),
        number(nonce.into()),
        number(1),
        number(1),
        number(FEE),
        string(to),
        number(value),
        string(data),
        vec![0xc0],
    ];
    let body = fields.concat();
    [vec![2], header(0xc0, body.len()), body].concat()
}

/// `execTransaction` of a Safe as it was called in the Bybit loss (21 February 2025): operation 1, so that the code at
/// `0x96221423681A6d52E184D440a8eFCEbB105C7242` runs with the Safe's storage. `transfer(address,uint256)` there writes the
/// address into the first slot, which holds the Safe's own implementation.
fn takeover() -> Vec<u8> {
    let word = |number: u128| [&[0; 16][..], &number.to_be_bytes()].concat();
    let padded = |bytes: &[u8]| [&[0; 12][..], bytes].concat();
    let inner = call([0xa9, 0x05, 0x9c, 0xbb], &address("0xbDd077f651EBe7f7b3cE16fe5F2b025BE2969516"), 0);
    let mut data = vec![0x6a, 0x76, 0x12, 0x02];
    data.extend(padded(&address("0x96221423681A6d52E184D440a8eFCEbB105C7242")));
    // No value; the data's place; operation 1; 45 746 gas; no refund; the signatures' place.
    for number in [0, 320, 1, 45_746, 0, 0, 0, 0] {
        data.extend(word(number));
    }
    data.extend(word(448));
    data.extend(word(inner.len() as u128));
    data.extend(&inner);
    data.extend([0; 28]);
    data.extend(word(0));
    data
}

/// A call of a method with an address and an amount.
fn call(selector: [u8; 4], to: &[u8], amount: u128) -> Vec<u8> {
    let mut data = selector.to_vec();
    data.extend([0; 12]);
    data.extend(to);
    data.extend([0; 16]);
    data.extend(amount.to_be_bytes());
    data
}

/// The twenty bytes of an address.
pub(crate) fn address(text: &str) -> Vec<u8> {
    let digits = text.trim_start_matches("0x").as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(pair), 16).unwrap_or(0);
    digits.map(byte).collect()
}

fn header(kind: u8, length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(short) if short <= 55 => vec![kind + short],
        _ => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            let count = u8::try_from(bytes.len()).unwrap_or(8);
            [vec![kind + 55 + count], bytes].concat()
        }
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    match bytes {
        [byte] if *byte < 0x80 => vec![*byte],
        _ => [header(0x80, bytes.len()), bytes.to_vec()].concat(),
    }
}

fn number(value: u128) -> Vec<u8> {
    string(&value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect::<Vec<_>>())
}
