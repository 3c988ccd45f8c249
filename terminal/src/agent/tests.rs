//! Agents that answer what no agent should.

use std::io::{Cursor, Read, Result, Write};

use limen_wire::keys::SigningKey;

use super::{Agent, string};

/// Takes every question and plays a tape.
struct Tape(Cursor<Vec<u8>>);

impl Read for Tape {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.0.read(buffer)
    }
}
impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

fn agent(answer: &[u8]) -> Agent<Tape> {
    Agent { stream: Tape(Cursor::new(string(answer).unwrap())) }
}

fn key() -> SigningKey {
    SigningKey::ed25519_from_seed(&[1; 32].into())
}

fn list(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| string(part).unwrap()).collect()
}

fn identities(count: u32, blobs: &[&[u8]]) -> Vec<u8> {
    let each: Vec<u8> = blobs.iter().flat_map(|blob| list(&[blob, b"comment"])).collect();
    [&[12], count.to_be_bytes().as_slice(), &each].concat()
}

fn signature(kind: &[u8], bytes: &[u8]) -> Vec<u8> {
    [vec![14], list(&[&list(&[kind, bytes])])].concat()
}

#[test]
fn keys_of_other_kinds_are_passed_over() {
    let public = key().public_key();
    let (good, other) = (list(&[b"ssh-ed25519", &public.to_bytes()]), list(&[b"ssh-rsa", b"x", b"y"]));
    assert_eq!(agent(&identities(2, &[&other, &good])).keys().unwrap(), [public]);
    assert!(agent(&identities(0, &[])).keys().unwrap().is_empty());
}

fn p256_key() -> SigningKey {
    SigningKey::P256(p256::ecdsa::SigningKey::from_slice(&[2; 32]).unwrap())
}

/// A positive number in its one spelling.
fn mpint(bytes: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    if digits[0] & 0x80 == 0 { digits } else { [vec![0], digits].concat() }
}

#[test]
fn p256_signatures_come_back_with_low_s() {
    let (key, public) = (p256_key(), p256_key().public_key());
    let blob = super::write_key(&public).unwrap();
    assert_eq!(agent(&identities(1, &[&blob])).keys().unwrap(), [public]);
    let good = key.sign(b"message");
    let (r, s) = p256::ecdsa::Signature::from_slice(&good).unwrap().split_scalars();
    let high = p256::ecdsa::Signature::from_scalars(r, -*s).unwrap().to_bytes();
    for bytes in [good.as_slice(), &high] {
        let body = list(&[&mpint(&bytes[..32]), &mpint(&bytes[32..])]);
        assert_eq!(agent(&signature(b"ecdsa-sha2-nistp256", &body)).sign(&public, b"message").unwrap(), good);
    }
    let (r, s) = (mpint(&good[..32]), mpint(&good[32..]));
    for body in [
        list(&[&r]),
        list(&[&r, &s, b"x"]),
        list(&[&r, &[]]),
        list(&[&r, &[0]]),
        list(&[&r, &[0; 33]]),
        list(&[&r, &[1; 33]]),
        list(&[&r, &[0xff; 32]]),
        list(&[&[vec![0], r.clone()].concat(), &s]),
        good.to_vec(),
    ] {
        assert!(agent(&signature(b"ecdsa-sha2-nistp256", &body)).sign(&public, b"message").is_err(), "{body:?}");
    }
    let body = list(&[&r, &s]);
    assert!(agent(&signature(b"ssh-ed25519", &body)).sign(&public, b"message").is_err());
}

#[test]
fn nonsense_instead_of_keys_is_refused() {
    let public = key().public_key().to_bytes();
    let good = list(&[b"ssh-ed25519", &public]);
    let long = list(&[b"ssh-ed25519", &public, b"more"]);
    let weak = list(&[b"ssh-ed25519", &[0; 32]]);
    for answer in [
        identities(2, &[&good]),
        identities(u32::MAX, &[&good]),
        identities(0, &[&good]),
        identities(1, &[&long]),
        identities(1, &[&weak]),
        identities(1, &[&list(&[b"ecdsa-sha2-nistp256", b"nistp256", &[4; 65]])]),
        identities(1, &[b"\0\0\0\x7fssh"]),
        vec![5],
        vec![14],
        vec![12],
        vec![],
    ] {
        assert!(agent(&answer).keys().is_err(), "{answer:?}");
    }
    let mut endless = Agent { stream: Tape(Cursor::new(vec![0xff; 8])) };
    assert!(endless.keys().unwrap_err().to_string().contains("4294967295"));
}

#[test]
fn only_a_signature_that_verifies_is_taken() {
    let public = key().public_key();
    let good = key().sign(b"message");
    assert_eq!(agent(&signature(b"ssh-ed25519", &good)).sign(&public, b"message").unwrap(), good);
    let mut wrong = good;
    wrong[0] ^= 1;
    for answer in [
        signature(b"ssh-ed25519", &wrong),
        signature(b"ssh-ed25519", &good[..63]),
        signature(b"ssh-ed448", &good),
        [signature(b"ssh-ed25519", &good), vec![0]].concat(),
        vec![5],
        vec![12, 0, 0, 0, 0],
    ] {
        assert!(agent(&answer).sign(&public, b"message").is_err(), "{answer:?}");
    }
    assert!(agent(&signature(b"ssh-ed25519", &good)).sign(&public, b"another message").is_err());
}
