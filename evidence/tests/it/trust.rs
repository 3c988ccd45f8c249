//! Trust files.

use limen_evidence::checkpoint::CommitteeError;
use limen_evidence::trust::{Trust, TrustError};
use limen_wire::identities::NodeKeys as _;

use crate::keys::node;
use crate::story::{nodes, trust, trust_file};

fn spoiled(find: &str, put: &str) -> TrustError {
    let text = trust_file();
    assert!(text.contains(find), "{find}");
    Trust::from_toml(&text.replacen(find, put, 1)).expect_err("must be refused")
}

#[test]
fn a_trust_file_says_what_is_pinned() {
    assert_eq!(Trust::from_toml(&trust_file()), Ok(trust()));
    assert_eq!(Trust::from_toml(&trust().to_toml()), Ok(trust()), "what is written is read");
    assert_eq!(trust().node_key(&node("signer-2")), Some(nodes()[1].1.public_key()));
    assert_eq!(trust().node_key(&node("signer-9")), None);
    assert_eq!((trust().committee().quorum(), trust().committee().max_corrupt()), (3, 1));
    assert_eq!(trust().committee().members().count(), 4);
}

#[test]
fn former_identities_are_written_and_read_and_spoiled_ones_named() {
    let table = |node: &str, key: &str| {
        format!(
            "\n[[former_identities]]\nnode = \"{node}\"\npublic_key = \"{key}\"\nstatements = [\"{}\"]\n",
            "ab".repeat(32)
        )
    };
    let key = nodes()[1].1.public_key().to_string();
    let text = format!("{}{}", trust_file(), table("signer-1", &key));
    let trust = Trust::from_toml(&text).unwrap();
    assert_eq!(Trust::from_toml(&trust.to_toml()), Ok(trust.clone()), "what is written is read");
    assert_eq!(trust.former_keys(&node("signer-1"), &[0xab; 32]), [nodes()[1].1.public_key()]);
    assert!(trust.former_keys(&node("signer-1"), &[0xac; 32]).is_empty());
    assert!(trust.former_keys(&node("signer-2"), &[0xab; 32]).is_empty());
    let spoiled = Trust::from_toml(&text.replace("abab", "ABAB")).unwrap_err();
    assert!(matches!(spoiled, TrustError::Former(_)), "{spoiled}");
}

#[test]
fn every_mistake_in_a_trust_file_is_named() {
    assert_eq!(spoiled("version = 1", "version = 2"), TrustError::Version(2));
    assert!(matches!(spoiled("version = 1\n", ""), TrustError::Toml(_)));
    assert!(matches!(spoiled("quorum = 3", "quorums = 3"), TrustError::Toml(text) if text.contains("quorums")));
    assert!(matches!(spoiled("version", "comment = \"x\"\nversion"), TrustError::Toml(_)));
    assert!(matches!(spoiled("\"test\"", "\"Test\""), TrustError::Name(_)));
    assert!(matches!(spoiled("id = \"signer-1\"", "id = \"signer 1\""), TrustError::Name(_)));
    let key = spoiled("\"p256:0", "\"p256:1");
    assert!(matches!(&key, TrustError::Key { node, .. } if node.as_str() == "signer-1"), "{key}");
    assert_eq!(spoiled("id = \"signer-2\"", "id = \"signer-1\""), TrustError::Twice { node: node("signer-1") });
    let key = |index: usize| nodes()[index].1.public_key().to_string();
    assert_eq!(spoiled(&key(1), &key(0)), TrustError::Twice { node: node("signer-2") });
    assert_eq!(spoiled("\"witness-1\"", "\"witness-2\""), TrustError::Unknown { node: node("witness-2") });
    assert!(matches!(spoiled("quorum = 3", "quorum = 2"), TrustError::Committee(CommitteeError::Forks { .. })));
    assert!(matches!(
        spoiled("max_corrupt = 1", "max_corrupt = 2"),
        TrustError::Committee(CommitteeError::Forks { .. })
    ));
    assert!(matches!(spoiled("quorum = 3", "quorum = 5"), TrustError::Committee(CommitteeError::TooLarge { .. })));
    assert!(matches!(spoiled("\"signer-2\", ", "\"signer-1\", "), TrustError::Committee(CommitteeError::Twice { .. })));
    assert!(matches!(Trust::from_toml(&" ".repeat(300_000)), Err(TrustError::TooLong { found: 300_000 })));
}
