use limen_hsm::conformance::{Device, Mode};
use limen_wire::ids::{Epoch, KekId};

use super::sealed::{Place, open, rewrap, seal};
use super::*;

fn names() -> (ClusterId, NodeId, KeyId) {
    (ClusterId::new("test").unwrap(), NodeId::new("n1").unwrap(), KeyId::new("k").unwrap())
}

fn kek(name: &str) -> KekId {
    KekId::new(name).unwrap()
}

/// A device with the wrapping keys `one` and `two`.
fn device(byte: u8) -> (tempfile::TempDir, Device) {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::open(&folder.path().join("wrap.key"), byte);
    device.create_kek(&kek("one")).unwrap();
    device.create_kek(&kek("two")).unwrap();
    (folder, device)
}

fn refused(provider: &dyn Provider, place: &Place<'_>, record: &[u8]) -> Kind {
    open(provider, place, record).map(|secret| secret.len()).unwrap_err().kind()
}

#[test]
fn a_sealed_record_opens_only_in_its_own_place_and_generation() {
    let (_folder, device) = device(0xab);
    let (cluster, node, key) = names();
    let place = Place { cluster: &cluster, node: &node, key: &key, epoch: Epoch(1), purpose: "core", generation: 7 };
    let sealed = seal(&device, &kek("one"), &place, b"secret").unwrap();
    assert_eq!(open(&device, &place, &sealed).unwrap().as_slice(), b"secret");
    assert_ne!(sealed, seal(&device, &kek("one"), &place, b"secret").unwrap(), "each has a data key of its own");
    assert_eq!(open(&device, &place, &seal(&device, &kek("one"), &place, b"").unwrap()).unwrap().len(), 0);

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
    for (number, place) in moved.iter().enumerate() {
        assert_eq!(refused(&device, place, &sealed), Kind::DoesNotOpen, "{number}");
        // The device itself refuses too, when the record lies about its generation.
        let mut lying = sealed.clone();
        lying[4..12].copy_from_slice(&place.generation.to_be_bytes());
        assert_eq!(refused(&device, place, &lying), Kind::DoesNotOpen, "{number}");
    }
}

#[test]
fn every_byte_of_a_sealed_record_counts() {
    let (_folder, device) = device(0xab);
    let (cluster, node, key) = names();
    let place = Place { cluster: &cluster, node: &node, key: &key, epoch: Epoch(1), purpose: "core", generation: 7 };
    let sealed = seal(&device, &kek("one"), &place, b"secret").unwrap();
    for at in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        // Within the name of the wrapping key it may read as one that is not there.
        let kind = refused(&device, &place, &damaged);
        assert!(kind == Kind::DoesNotOpen || (kind == Kind::Missing && (13..16).contains(&at)), "byte {at}: {kind:?}");
    }
    for length in 0..sealed.len() {
        assert_eq!(refused(&device, &place, &sealed[..length]), Kind::DoesNotOpen, "cut to {length}");
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    assert_eq!(refused(&device, &place, &longer), Kind::DoesNotOpen, "a byte more");
}

#[test]
fn another_device_opens_nothing_and_a_destroyed_wrapping_key_neither() {
    let (_first, here) = device(0xab);
    let (_second, there) = device(0xcd);
    let (cluster, node, key) = names();
    let place = Place { cluster: &cluster, node: &node, key: &key, epoch: Epoch(1), purpose: "core", generation: 7 };
    let sealed = seal(&here, &kek("one"), &place, b"secret").unwrap();
    assert_eq!(refused(&there, &place, &sealed), Kind::DoesNotOpen);
    let moved = rewrap(&here, &place, &sealed, &kek("two")).unwrap();
    assert_eq!(open(&here, &place, &moved).unwrap().as_slice(), b"secret");
    // What the record seals is not touched; only its data key is wrapped anew.
    assert_eq!(moved[moved.len() - 34..], sealed[sealed.len() - 34..]);
    let elsewhere = Place { generation: 8, ..place };
    assert_eq!(rewrap(&here, &elsewhere, &sealed, &kek("two")).unwrap_err().kind(), Kind::DoesNotOpen);
    here.destroy_kek(&kek("one")).unwrap();
    assert_eq!(refused(&here, &place, &sealed), Kind::Missing);
    assert_eq!(open(&here, &place, &moved).unwrap().as_slice(), b"secret");
}

#[test]
fn keys_of_cold_vaults_have_wrapping_keys_of_their_own() {
    let (_, node, _) = names();
    let charter = crate::guard::tests::charter();
    let group = |node: &str, key: &str, epoch| {
        let (node, key) = (NodeId::new(node).unwrap(), KeyId::new(key).unwrap());
        Group::of(&charter, &node, &key, Epoch(epoch))
    };
    assert_eq!(group("n1", "hot", 1), group("n1", "elsewhere", 1));
    assert_ne!(group("n1", "hot", 1), group("n1", "hot", 2));
    assert_ne!(group("n1", "hot", 1), group("n2", "hot", 1));
    assert_ne!(group("n1", "reserve", 1), group("n1", "hot", 1));
    assert_ne!(group("n1", "reserve", 1), group("n1", "reserve", 2));
    let (_folder, device) = device(0xab);
    for group in [group("n1", "hot", 1), Group::of(&charter, &node, &KeyId::new("reserve").unwrap(), Epoch(u64::MAX))] {
        let first = super::wrapping::current_or_new(&device, &group).unwrap();
        assert!(first.as_str().ends_with(".r1"), "{first}");
        assert_eq!(super::wrapping::current_or_new(&device, &group).unwrap(), first, "made once");
    }
    let long = "n".repeat(64);
    let name = super::wrapping::current_or_new(&device, &group(&long, "reserve", u64::MAX)).unwrap();
    assert!(name.as_str().len() <= 96, "{name}");
}

#[test]
fn what_a_device_refuses_is_told_by_its_code_and_remedy() {
    let (_folder, device) = device(0xab);
    let (cluster, node, key) = names();
    let place = Place { cluster: &cluster, node: &node, key: &key, epoch: Epoch(1), purpose: "core", generation: 7 };
    let sealed = seal(&device, &kek("one"), &place, b"secret").unwrap();
    for kind in [Kind::Gone, Kind::PinLocked, Kind::TimedOut, Kind::Unreachable, Kind::OtherKey, Kind::NotLoggedIn] {
        device.set(Mode::Refuses(kind));
        let error = open(&device, &place, &sealed).map(|secret| secret.len()).unwrap_err();
        assert_eq!(error.kind(), kind);
        let told = VaultError::Provider(error).to_api();
        assert_eq!(told.code, Code::HsmUnavailable);
        assert!(told.message.contains(kind.code()) && told.message.contains(kind.remedy()), "{}", told.message);
        assert!(told.code.retryable());
    }
    device.set(Mode::Works);
    assert_eq!(open(&device, &place, &sealed).unwrap().as_slice(), b"secret", "it resumes");
    let damaged = VaultError::Sealed { key, purpose: "core" }.to_api();
    assert_eq!((damaged.code, damaged.code.retryable()), (Code::ShareDamaged, false));
}
