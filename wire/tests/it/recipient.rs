//! Recipients of age: which text is one.

use limen_wire::recipient::{BadRecipient, Recipient};

/// The example key of the age format's own documentation.
const X25519: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
/// A recipient of a plugin, from that plugin's documentation (age-plugin-yubikey).
const PLUGIN: &str = "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt";

/// BIP-173, written apart from the code under test.
pub(crate) fn bech32(prefix: &str, bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let digit = |bits: &[u8]| (0..5).fold(0, |sum, at| sum << 1 | bits.get(at).copied().unwrap_or(0));
    let digits: Vec<u8> = bits.chunks(5).map(digit).collect();
    let mut all: Vec<u8> = prefix.bytes().map(|b| b >> 5).chain([0]).chain(prefix.bytes().map(|b| b & 31)).collect();
    all.extend(&digits);
    all.extend([0; 6]);
    let mut sum: u32 = 1;
    for value in all {
        let top = sum >> 25;
        sum = (sum & 0x1ff_ffff) << 5 ^ u32::from(value);
        for (at, term) in [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3].iter().enumerate() {
            if top >> at & 1 == 1 {
                sum ^= term;
            }
        }
    }
    sum ^= 1;
    let check = (0..6).map(|at| u8::try_from(sum >> (5 * (5 - at)) & 31).unwrap());
    let word: String = digits.into_iter().chain(check).map(|digit| char::from(ALPHABET[usize::from(digit)])).collect();
    format!("{prefix}1{word}")
}

#[test]
fn recipients_are_read_and_say_which_plugin_encrypts_to_them() {
    let key = Recipient::new(X25519).unwrap();
    assert_eq!((key.as_str(), key.plugin()), (X25519, None));
    let token = Recipient::new(PLUGIN).unwrap();
    assert_eq!(token.plugin(), Some("yubikey"));
    let odd = Recipient::new(&bech32("age1a1b", &[1, 2, 3])).unwrap();
    assert_eq!(odd.plugin(), Some("a1b"), "the last 1 separates");
    let back: Recipient = serde_json::from_str(&serde_json::to_string(&token).unwrap()).unwrap();
    assert_eq!(back, token);
    for seed in 2u8..40 {
        Recipient::new(&bech32("age", &[seed; 32])).unwrap();
    }
}

#[test]
fn a_letter_that_is_another_is_noticed() {
    for right in [X25519, PLUGIN] {
        for at in 4..right.len() {
            for letter in ["q", "p", "7", "2"] {
                let wrong = format!("{}{letter}{}", &right[..at], &right[at + 1..]);
                if wrong != right {
                    assert!(matches!(Recipient::new(&wrong), Err(BadRecipient::Mistyped(_))), "{wrong}");
                }
            }
        }
        assert!(matches!(Recipient::new(&right[..right.len() - 1]), Err(BadRecipient::Mistyped(_))));
    }
    for text in
        ["", "age1", "age", "age2x", "age1 x", "age1x\n", "AGE1X", "age1ä", &format!("age1{}", "q".repeat(1100))]
    {
        Recipient::new(text).unwrap_err();
    }
    assert!(
        matches!(Recipient::new(&bech32("age1", &[5; 32])), Err(BadRecipient::Spelling(_))),
        "a plugin without a name"
    );
}

fn number(low: u8, middle: u8, high: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    (bytes[0], bytes[31]) = (low, high);
    bytes
}

#[test]
fn keys_of_low_order_and_second_spellings_of_keys_are_refused() {
    let hex = |text: &str| <[u8; 32]>::try_from(hex::decode(text).unwrap()).unwrap();
    let low = [
        number(0, 0, 0),
        number(1, 0, 0),
        number(0xec, 0xff, 0x7f),
        hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ];
    for key in low {
        let text = bech32("age", &key);
        assert_eq!(Recipient::new(&text), Err(BadRecipient::LowOrder(text)));
        // A plugin's recipient is the plugin's business.
        Recipient::new(&bech32("age1x", &key)).unwrap();
        // The same with the bit that X25519 ignores.
        let mut high = key;
        high[31] |= 0x80;
        assert!(matches!(Recipient::new(&bech32("age", &high)), Err(BadRecipient::NoKey(_))));
    }
    // p and p + 1 are 0 and 1; 2^255 − 1 is 18
    for low in [0xed, 0xee, 0xff] {
        assert!(matches!(Recipient::new(&bech32("age", &number(low, 0xff, 0x7f))), Err(BadRecipient::NoKey(_))));
    }
    for len in [0, 31, 33, 64] {
        assert!(matches!(Recipient::new(&bech32("age", &vec![9; len])), Err(BadRecipient::NoKey(_))), "{len}");
    }
}
