use limen_hsm::DangerSoftware;
use limen_wire::ids::Epoch;

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
    let refused = |wrong: &DangerSoftware| match Vault::open(cluster.clone(), node.clone(), wrong, &store) {
        Err(VaultError::Provider(error)) => error.kind(),
        other => unreachable!("{other:?}"),
    };
    assert_eq!(refused(&wrong), Kind::Missing, "a device without the wrapping key");
    wrong.create_kek(&wrapping_key().unwrap()).unwrap();
    assert_eq!(refused(&wrong), Kind::DoesNotOpen, "another key of the same name");
    let other = NodeId::new("n2").unwrap();
    let refused = Vault::open(cluster, other, &right, &store);
    assert!(
        matches!(refused, Err(VaultError::Provider(error)) if error.kind() == Kind::DoesNotOpen),
        "a store moved to another node"
    );
}

/// What a store holds that was made before the software provider's keys had names: `nonce ‖ ciphertext ‖ tag` under its key file.
#[test]
fn a_store_from_before_wrapping_keys_had_names_opens() {
    use aes_gcm::aead::{Aead as _, Payload};
    use aes_gcm::{Aes256Gcm, KeyInit as _};
    let (cluster, node, _) = names();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), crate::store::Options::new(node.clone(), cluster.clone())).unwrap();
    let context = format!("limen node data key v1\0{cluster}\0{node}");
    let cipher = Aes256Gcm::new_from_slice(&[0xab; 32]).unwrap();
    let sealed = cipher.encrypt(&[7; 12].into(), Payload { msg: &[9; 32], aad: context.as_bytes() }).unwrap();
    store.write_blocking(move |txn| txn.put_meta(META_DATA_KEY, &[&[7; 12][..], &sealed].concat())).unwrap();
    let (_folder, path) = key_file(&"ab".repeat(32), 0o600);
    let vault = Vault::open(cluster, node, &DangerSoftware::open(&path, true).unwrap(), &store).unwrap();
    let (cluster, node, key) = names();
    let place = Place { cluster: &cluster, node: &node, key: &key, epoch: Epoch(1), purpose: "core", generation: 7 };
    let record = DataKey::new(&[9; 32]).unwrap().seal(&place, b"secret").unwrap();
    assert_eq!(vault.data_key.open(&place, &record).unwrap().as_slice(), b"secret");
}
