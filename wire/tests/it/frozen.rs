//! Encodings that live longer than any release: a change here strands signatures and stores.

use limen_wire::error::Code;
use limen_wire::ids::tagged_hash;
use limen_wire::intent;
use limen_wire::keys::SigningKey;

#[test]
fn an_intent_keeps_its_bytes_and_id() {
    let key = SigningKey::ed25519_from_seed(&[1; 32].into());
    let (id, envelope) = intent::seal_intent(&crate::intent::sample(), &key).unwrap();
    let payload = "08011204746573741a05616c69636522076f726465722d312a03686f74320874726561737572793a020007\
                   42086569703135353a31520202c0f00180a4a7da0682020472656e74";
    assert_eq!(hex::encode(&envelope.payload), payload);
    // Computed apart from this code, from the DSSE specification and SHA-256 alone.
    assert_eq!(id.to_string(), "548ce003a75ce76fd644315efa48977e340489d192b7714be82ed861983b75fd");
}

#[test]
fn the_tagged_hash_keeps_its_layout() {
    let mut preimage = Vec::new();
    for part in [b"domain".as_slice(), b"a", b""] {
        preimage.extend_from_slice(&(part.len() as u64).to_be_bytes());
        preimage.extend_from_slice(part);
    }
    assert_eq!(tagged_hash("domain", [b"a".as_slice(), b""]), limen_wire::effects::sha256(&preimage));
    assert_ne!(tagged_hash("domain", [b"ab".as_slice()]), tagged_hash("domain", [b"a".as_slice(), b"b"]));
}

#[test]
fn error_codes_are_distinct_words() {
    let words: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(words.len(), Code::ALL.len());
    for code in Code::ALL {
        assert_eq!(Code::from_code(code.as_str()), Some(*code));
        assert!(code.remedy().ends_with('.'), "{code:?} needs a remedy in a sentence");
    }
}

#[test]
fn the_page_of_errors_is_that_of_the_table() {
    let page = include_str!("../../../docs/errors.md");
    let made = limen_wire::error::table_as_markdown();
    assert!(page == made, "run `cargo run -p limen-wire --example error_table > docs/errors.md`");
}
