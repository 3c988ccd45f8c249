use limen_wire::effects::Amount;
use limen_wire::keys::SigningKey;

use super::*;

/// A development charter with three nodes, and rules for a coin and a token.
pub(crate) fn sample() -> String {
    include_str!("../../development.sample.toml").to_owned()
}

fn refused(from: &str, to: &str) -> CharterError {
    let text = sample();
    assert!(text.contains(from), "the sample no longer contains {from:?}");
    Charter::from_toml(&text.replace(from, to)).expect_err("must be refused")
}

#[test]
fn the_sample_is_a_charter() {
    let charter = Charter::from_toml(&sample()).unwrap();
    assert_eq!(charter.cluster.as_str(), "sample");
    assert_eq!(charter.nodes.len(), 3);
    let eth = &charter.assets["eth"];
    assert_eq!(Amount::from_units("10", eth.decimals).unwrap(), Amount::from_u128(10_000_000_000_000_000_000));
    assert!(matches!(&charter.rules[0].subject, Subject::Transfer(bound) if bound.asset == eth.asset));
    assert_eq!(charter.bounds.max_sessions, 16);
}

#[test]
fn the_hash_names_the_exact_text() {
    let text = sample();
    let first = Charter::from_toml(&text).unwrap().hash();
    let second = Charter::from_toml(&format!("{text}\n# a remark")).unwrap().hash();
    assert_ne!(first, second);
}

#[test]
fn a_charter_that_does_not_own_up_is_refused() {
    assert_eq!(refused("danger_development = true", ""), CharterError::NotDevelopment);
    assert_eq!(refused("danger_development = true", "danger_development = false"), CharterError::NotDevelopment);
}

#[test]
fn unknown_keys_and_versions_are_refused() {
    assert!(matches!(refused("cluster =", "colour = 1\ncluster ="), CharterError::Syntax(_)));
    assert_eq!(refused("version = 1", "version = 2"), CharterError::Version { found: 2 });
}

#[test]
fn one_machine_cannot_stand_for_two() {
    let charter = Charter::from_toml(&sample()).unwrap();
    let (first, second) = (charter.nodes[0].public_key.to_string(), charter.nodes[1].public_key.to_string());
    assert!(matches!(refused(&second, &first), CharterError::Invalid { .. }));
    assert!(matches!(refused("id = \"signer-2\"", "id = \"signer-1\""), CharterError::Invalid { .. }));
}

#[test]
fn a_node_identity_is_p256() {
    let charter = Charter::from_toml(&sample()).unwrap();
    let ed25519 = SigningKey::ed25519_from_seed(&[9; 32].into()).public_key().to_string();
    let error = refused(&charter.nodes[0].public_key.to_string(), &ed25519);
    assert!(error.to_string().contains("P-256"), "{error}");
}

#[test]
fn rules_must_say_what_they_bound() {
    for (from, to) in [
        ("max_amount = \"10\"", ""),
        ("max_amount = \"10\"", "max_amount = \"1.0000000000000000001\""),
        ("max_amount = \"10\"", "max_amount = \"-1\""),
        ("asset = \"eth\"", "asset = \"gold\""),
        ("destinations = \"anywhere\"", ""),
        ("destinations = \"anywhere\"", "destinations = []"),
        ("destinations = \"anywhere\"", "destinations = \"everywhere\""),
        ("destinations = \"anywhere\"", "destinations = [\"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293bc\"]"),
        ("requesters = [\"backend\"]", "requesters = [\"nobody\"]"),
        ("allow = \"message\"", "allow = \"message\"\nmax_amount = \"1\"\nasset = \"eth\""),
        ("allow = \"message\"\nkeys = [\"greeter\"]", "allow = \"raw\""),
    ] {
        let error = refused(from, to);
        assert!(matches!(error, CharterError::Invalid { .. }), "{from} → {to}: {error}");
    }
}

#[test]
fn a_charter_of_any_length_is_not_parsed() {
    let text = format!("#{}", " ".repeat(MAX_BYTES));
    assert!(matches!(Charter::from_toml(&text), Err(CharterError::TooLarge { .. })));
}

#[test]
fn indices_follow_the_list_of_members() {
    let node = |id: &str| NodeId::new(id).unwrap();
    let members = [node("b"), node("a")];
    assert_eq!(index_in(&members, &node("b")).unwrap().as_u8(), 1);
    assert_eq!(index_in(&members, &node("a")).unwrap().as_u8(), 2);
    assert!(index_in(&members, &node("c")).is_none());
}
