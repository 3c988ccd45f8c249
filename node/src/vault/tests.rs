use limen_wire::ids::Epoch;

use super::provider::{DangerSoftware, ProviderError};
use super::sealed::{DataKey, Place};
use super::*;

fn names() -> (ClusterId, NodeId, KeyId) {
    (ClusterId::new("test").unwrap(), NodeId::new("n1").unwrap(), KeyId::new("k").unwrap())
}

fn key_file(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrap.key");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

#[test]
fn a_sealed_record_opens_only_in_its_own_place_and_generation() {
    let (cluster, node, key) = names();
    let data_key = DataKey::new(&[9; 32]).unwrap();
    let place = Place { cluster: &cluster, node: &node, key: &key, epoch: Epoch(1), purpose: "core", generation: 7 };
    let sealed = data_key.seal(&place, b"secret").unwrap();
    assert_eq!(data_key.open(&place, &sealed).unwrap().as_slice(), b"secret");

    let (other_cluster, other_node, other_key) =
        (ClusterId::new("prod").unwrap(), NodeId::new("n2").unwrap(), KeyId::new("k2").unwrap());
    let moved = [
        Place { cluster: &other_cluster, ..place },
        Place { node: &other_node, ..place },
        Place { key: &other_key, ..place },
        Place { epoch: Epoch(2), ..place },
        Place { purpose: "set-up", ..place },
        Place { generation: 8, ..place },
    ];
    assert!(moved.iter().all(|place| data_key.open(place, &sealed).is_none()));
    assert!(DataKey::new(&[8; 32]).unwrap().open(&place, &sealed).is_none(), "another key");
    for position in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[position] ^= 1;
        assert!(data_key.open(&place, &damaged).is_none(), "byte {position}");
    }
    for length in 0..sealed.len() {
        assert!(data_key.open(&place, &sealed[..length]).is_none(), "cut to {length}");
    }
}

#[test]
fn the_software_provider_is_for_development_only() {
    let (_folder, path) = key_file(&"ab".repeat(32), 0o600);
    assert!(matches!(DangerSoftware::open(&path, false), Err(ProviderError::NotDevelopment)));
    let provider = DangerSoftware::open(&path, true).unwrap();
    let sealed = provider.seal(b"here", b"secret").unwrap();
    assert_eq!(provider.unseal(b"here", &sealed).unwrap().as_slice(), b"secret");
    assert!(provider.unseal(b"there", &sealed).is_err());
    assert!(!provider.describe().hardware);
    assert!(!format!("{provider:?}").contains("ab"));
}

#[test]
fn an_exposed_or_wrong_key_file_is_refused() {
    let (_folder, path) = key_file(&"ab".repeat(32), 0o644);
    assert!(matches!(DangerSoftware::open(&path, true), Err(ProviderError::Exposed { mode: 0o644, .. })));
    for text in ["", "abcd", &"zz".repeat(32), &"ab".repeat(33)] {
        let (_folder, path) = key_file(text, 0o600);
        assert!(matches!(DangerSoftware::open(&path, true), Err(ProviderError::Content { .. })), "{text}");
    }
}

#[test]
fn the_vault_opens_only_under_the_key_that_made_it() {
    let (cluster, node, _) = names();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), crate::store::Options::new(node.clone(), cluster.clone())).unwrap();
    let (_first, path) = key_file(&"ab".repeat(32), 0o600);
    let right = DangerSoftware::open(&path, true).unwrap();
    Vault::open(cluster.clone(), node.clone(), &right, &store).unwrap();
    Vault::open(cluster.clone(), node.clone(), &right, &store).unwrap();
    let (_second, path) = key_file(&"cd".repeat(32), 0o600);
    let wrong = DangerSoftware::open(&path, true).unwrap();
    let refused = Vault::open(cluster.clone(), node, &wrong, &store);
    assert!(matches!(refused, Err(VaultError::Provider(ProviderError::Opened))));
    let other = NodeId::new("n2").unwrap();
    let refused = Vault::open(cluster, other, &right, &store);
    assert!(matches!(refused, Err(VaultError::Provider(ProviderError::Opened))), "a store moved to another node");
}
