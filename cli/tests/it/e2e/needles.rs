//! Looks for secrets in any content, in every spelling in which a program could let them slip.

use std::collections::HashMap;

/// Every pattern is at least this long, so that its beginning can be looked up.
const HEAD: usize = 8;

/// Secrets of 32 bytes, in all their spellings.
#[derive(Default)]
pub(crate) struct Needles {
    by_head: HashMap<[u8; HEAD], Vec<(Vec<u8>, String)>>,
}

impl Needles {
    pub(crate) fn add(&mut self, name: &str, secret: [u8; 32]) {
        let mut reversed = secret;
        reversed.reverse();
        for (order, bytes) in [("", secret), (" reversed", reversed)] {
            for (spelling, pattern) in spellings(bytes) {
                let head = *pattern.first_chunk().unwrap();
                self.by_head.entry(head).or_default().push((pattern, format!("{name}, {spelling}{order}")));
            }
        }
    }

    /// The name and spelling of the first secret in the content.
    pub(crate) fn find(&self, content: &[u8]) -> Option<&str> {
        self.first(content).map(|(_, name)| name)
    }

    /// Where it begins.
    pub(crate) fn place(&self, content: &[u8]) -> Option<usize> {
        self.first(content).map(|(at, _)| at)
    }

    fn first(&self, content: &[u8]) -> Option<(usize, &str)> {
        content.windows(HEAD).enumerate().find_map(|(at, head)| {
            let candidates = self.by_head.get(head)?;
            let found = candidates.iter().find(|(pattern, _)| content[at..].starts_with(pattern));
            found.map(|(_, name)| (at, name.as_str()))
        })
    }
}

fn spellings(bytes: [u8; 32]) -> Vec<(&'static str, Vec<u8>)> {
    let list = |between: &str| bytes.map(|byte| byte.to_string()).join(between).into_bytes();
    let mut all = vec![
        ("raw", bytes.to_vec()),
        ("hexadecimal", hex::encode(bytes).into_bytes()),
        ("hexadecimal capitals", hex::encode_upper(bytes).into_bytes()),
        ("list", list(", ")),
        ("list", list(",")),
    ];
    for before in 0..3 {
        all.push(("base64", base64(&bytes, before, b"+/")));
        all.push(("base64url", base64(&bytes, before, b"-_")));
    }
    all
}

/// The characters of base64 that depend on these bytes alone, when this many bytes of something else go before them.
pub(crate) fn base64(bytes: &[u8], before: usize, last_two: &[u8; 2]) -> Vec<u8> {
    let digits: Vec<u8> = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(*last_two).collect();
    let shifted = [&vec![0; before], bytes].concat();
    let bit = |at: usize| usize::from(shifted[at / 8] >> (7 - at % 8) & 1);
    let (first, end) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
    (first..end).map(|place| digits[(0..6).fold(0, |value, next| value << 1 | bit(place * 6 + next))]).collect()
}

#[test]
fn a_planted_secret_is_found_in_every_spelling() {
    let secret: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 37 % 251).unwrap());
    let mut needles = Needles::default();
    needles.add("planted", secret);
    let reversed: Vec<u8> = secret.iter().rev().copied().collect();
    let planted = [
        secret.to_vec(),
        reversed.clone(),
        hex::encode(secret).into_bytes(),
        hex::encode_upper(&reversed).into_bytes(),
        format!("{secret:?}").into_bytes(),
        serde_json::to_vec(&secret).unwrap(),
        // The PEM encoder's base64 is not ours; the secret lies at each of the three places within a group.
        pem::encode(&pem::Pem::new("X", secret.to_vec())).replace('\n', "").into_bytes(),
        pem::encode(&pem::Pem::new("X", [&[1], &secret[..], &[2]].concat())).replace('\n', "").into_bytes(),
        pem::encode(&pem::Pem::new("X", [&[1, 2], &secret[..], &[3]].concat())).replace('\n', "").into_bytes(),
    ];
    for content in planted {
        let content = [b"some log line: ", &content[..], b" and more"].concat();
        assert!(needles.find(&content).is_some(), "{}", String::from_utf8_lossy(&content));
    }
    let mut other = secret;
    other[31] ^= 1;
    assert_eq!(needles.find(&other), None);
    assert_eq!(needles.find(b"short"), None);
}
