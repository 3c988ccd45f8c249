//! Fuzz targets that run on stable Rust, as part of the tests.
//!
//! Each target first replays every file of `tests/corpus/<target>`, then mutates them for a while. Mutation is seeded, so
//! a run repeats exactly. `LIMEN_FUZZ_ITERATIONS` (default 4 000 per target) and `LIMEN_FUZZ_SEED` set how long and where; a
//! panic prints the input and where to store it, so that it is replayed from then on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, TxKind};
use limen_chain::evm::{UnsignedTransaction, attach_message_signature, attach_signature};
use limen_chain::{Payload, SigningInput, TokenKind, address, decode, parse_address};
use limen_wire::effects::{Amount, ChainId, Effect};
use limen_wire::ids::Scheme;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::support::at;

const ACCOUNT: &str = "0x9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f";

/// What a target does with any bytes: it may return, and must not panic.
type Target = fn(&[u8]);

/// Every decoder of this crate. The folder of the corpus has the same name.
const TARGETS: [(&str, Target); 8] = [
    ("evm-transaction", evm_transaction),
    ("evm-calldata", evm_calldata),
    ("evm-message", evm_message),
    ("evm-typed-data", evm_typed_data),
    ("message", message),
    ("attach-signature", attach),
    ("address", addresses),
    ("text", text),
];

/// Bytes that decoders treat specially.
const TOKENS: [&[u8]; 16] = [
    &[0x80],
    &[0xc0],
    &[0x81, 0x00],
    &[0xb8, 0x00],
    &[0xf8, 0x38],
    &[0xff; 8],
    &[0; 32],
    &[0xff; 32],
    &[0xa9, 0x05, 0x9c, 0xbb],
    &[0x23, 0xb8, 0x72, 0xdd],
    b"\"uint256\"",
    b"[]",
    b"{}",
    b"\"0x\"",
    b"null",
    b"\xe2\x80\xae",
];

fn evm_transaction(bytes: &[u8]) {
    let Ok(transaction) = UnsignedTransaction::from_signing_bytes(bytes) else { return };
    assert_eq!(transaction.to_signing_bytes(), bytes, "only canonical bytes are read");
    for chain in [1, 5, 137] {
        let payload = Payload::EvmTransaction(bytes);
        if let Ok(decoded) = decode(&payload, &ChainId::eip155(chain), &at(ACCOUNT), &|_: &ChainId, _: &_| None) {
            assert_eq!(decoded.signing, SigningInput::Digest(alloy_primitives::keccak256(bytes).0));
            assert_eq!(decoded.effects.list.last().map(Effect::class), Some("fee"));
        }
    }
}

fn evm_calldata(bytes: &[u8]) {
    let to = TxKind::Call(Address::repeat_byte(7));
    let transaction = TxEip1559 { chain_id: 1, to, input: bytes.to_vec().into(), ..Default::default() };
    let encoded = UnsignedTransaction::Eip1559(transaction).to_signing_bytes();
    for kind in [None, Some(TokenKind::Erc20), Some(TokenKind::Erc721), Some(TokenKind::Erc1155)] {
        let payload = Payload::EvmTransaction(&encoded);
        let decoded = decode(&payload, &ChainId::eip155(1), &at(ACCOUNT), &|_: &ChainId, _: &_| kind).unwrap();
        assert!(decoded.effects.list.len() >= 2, "a call has an effect besides its fee");
    }
}

fn evm_message(bytes: &[u8]) {
    let payload = Payload::EvmMessage(bytes);
    let decoded = decode(&payload, &ChainId::eip155(1), &at(ACCOUNT), &|_: &ChainId, _: &_| None).unwrap();
    let [Effect::Message { text, .. }, ..] = decoded.effects.list.as_slice() else { panic!("a message is shown") };
    let shown = match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).unwrap(),
        None => text.as_bytes().to_vec(),
    };
    assert_eq!(shown, bytes, "what is shown is what is signed");
}

fn evm_typed_data(bytes: &[u8]) {
    let payload = Payload::EvmTypedData(bytes);
    if let Ok(decoded) = decode(&payload, &ChainId::eip155(1), &at(ACCOUNT), &|_: &ChainId, _: &_| None) {
        assert!(!decoded.effects.list.is_empty());
    }
}

fn message(bytes: &[u8]) {
    let account = address(&ChainId::offchain(), Scheme::EddsaEd25519, &[1; 32]).unwrap();
    let decoded = decode(&Payload::Message(bytes), &ChainId::offchain(), &account, &|_: &ChainId, _: &_| None).unwrap();
    assert_eq!(decoded.signing, SigningInput::Message(bytes.to_vec()));
}

/// `r ‖ s ‖ recovery id ‖ unsigned bytes`.
fn attach(bytes: &[u8]) {
    let Some((r, rest)) = bytes.split_first_chunk::<32>() else { return };
    let Some((s, rest)) = rest.split_first_chunk::<32>() else { return };
    let Some((id, unsigned)) = rest.split_first() else { return };
    let _ = attach_signature(unsigned, &at(ACCOUNT), r, s, *id);
    let _ = attach_message_signature(r, &at(ACCOUNT), r, s, *id);
}

fn addresses(bytes: &[u8]) {
    for scheme in [Scheme::EcdsaSecp256k1, Scheme::EddsaEd25519, Scheme::SchnorrBip340] {
        for chain in [ChainId::eip155(1), ChainId::offchain()] {
            let _ = address(&chain, scheme, bytes);
        }
    }
}

fn text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(address) = parse_address(text) {
        assert_eq!(parse_address(address.as_str()).as_ref(), Ok(&address));
    }
    if let Some(amount) = Amount::from_decimal(text) {
        assert_eq!(Amount::from_decimal(&amount.to_string()), Some(amount));
    }
    for decimals in [0, 6, 18, 255] {
        if let Some(amount) = Amount::from_units(text, decimals) {
            assert_eq!(Amount::from_units(&amount.to_units(decimals), decimals), Some(amount));
        }
    }
    if let Some(chain) = ChainId::new(text) {
        assert_eq!(chain.eip155_number().map(ChainId::eip155), chain.eip155_number().map(|_| chain));
    }
}

#[test]
fn evm_transaction_target() {
    run("evm-transaction");
}

#[test]
fn evm_calldata_target() {
    run("evm-calldata");
}

#[test]
fn evm_typed_data_target() {
    run("evm-typed-data");
}

#[test]
fn attach_signature_target() {
    run("attach-signature");
}

#[test]
fn message_and_text_targets() {
    for name in ["evm-message", "message", "address", "text"] {
        run(name);
    }
}

fn run(name: &str) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    let corpus = corpus(name);
    for input in &corpus {
        attempt(name, target, input);
    }
    let mut random = ChaCha8Rng::seed_from_u64(setting("LIMEN_FUZZ_SEED", 1));
    for _ in 0..setting("LIMEN_FUZZ_ITERATIONS", 4_000) {
        attempt(name, target, &mutate(&mut random, &corpus));
    }
}

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name} must be a number, found {value:?}")),
        Err(_) => default,
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has at least one file", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn attempt(name: &str, target: Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_err() {
        panic!("target {name} panicked; store these bytes as a file in tests/corpus/{name}:\n{}", hex::encode(input));
    }
}

/// One to eight small changes to one file of the corpus.
fn mutate(random: &mut ChaCha8Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[below(random, corpus.len())].clone();
    for _ in 0..=below(random, 8) {
        let at = below(random, bytes.len() + 1);
        let to = at + below(random, bytes.len() - at + 1).min(64);
        match below(random, 8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << below(random, 8),
            1 if at < bytes.len() => bytes[at] = random.next_u32().to_le_bytes()[0],
            2 => drop(bytes.drain(at..to)),
            3 => drop(bytes.splice(at..at, TOKENS[below(random, TOKENS.len())].iter().copied())),
            4 => {
                let again = bytes[at..to].to_vec();
                drop(bytes.splice(at..at, again));
            }
            5 => {
                let other = &corpus[below(random, corpus.len())];
                let from = below(random, other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            6 => bytes[at..to].fill(0),
            _ => {
                let token = TOKENS[below(random, TOKENS.len())];
                let end = (at + token.len()).min(bytes.len());
                drop(bytes.splice(at..end, token.iter().copied()));
            }
        }
        bytes.truncate(16 * 1024);
    }
    bytes
}

fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    usize::try_from(random.next_u64() % bound as u64).unwrap()
}
