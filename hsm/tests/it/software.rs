use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use limen_hsm::{Anchor, DangerSoftware, Kind, Provider, conformance};
use limen_wire::ids::KekId;

fn key_file(folder: &Path, text: &str, mode: u32) -> PathBuf {
    let path = folder.join("wrap.key");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn kek() -> KekId {
    KekId::new("vault").unwrap()
}

#[test]
fn software_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let path = key_file(folder.path(), &"ab".repeat(32), 0o600);
    conformance::run(&|| Box::new(DangerSoftware::open(&path, true).unwrap()));
}

#[test]
fn a_held_key_ends_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let path = key_file(folder.path(), &"ab".repeat(32), 0o600);
    let open = || DangerSoftware::open(&path, true).unwrap();
    conformance::held_keys_end(&|| Box::new(open()), &|name| open().destroy_held(name));
}

#[test]
fn it_is_for_development_only_and_shows_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = key_file(folder.path(), &"ab".repeat(32), 0o600);
    assert_eq!(DangerSoftware::open(&path, false).unwrap_err().kind(), Kind::NotDevelopment);
    let provider = DangerSoftware::open(&path, true).unwrap();
    assert!(!provider.describe().unwrap().hardware);
    assert!(!format!("{provider:?}").contains("ab"));
}

#[test]
fn an_exposed_or_wrong_key_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |text: &str, mode| DangerSoftware::open(&key_file(folder.path(), text, mode), true).unwrap_err();
    let exposed = refusal(&"ab".repeat(32), 0o644);
    assert_eq!(exposed.kind(), Kind::Exposed);
    assert!(exposed.to_string().contains("644"), "{exposed}");
    for text in ["", "abcd", &"zz".repeat(32), &"ab".repeat(33)] {
        assert_eq!(refusal(text, 0o600).kind(), Kind::File, "{text}");
    }
    let absent = DangerSoftware::open(&folder.path().join("none"), true).unwrap_err();
    assert_eq!(absent.kind(), Kind::File);
}

#[test]
fn files_of_another_key_or_place_or_time_do_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = key_file(folder.path(), &"ab".repeat(32), 0o600);
    let provider = DangerSoftware::open(&path, true).unwrap();
    provider.create_kek(&kek()).unwrap();
    let sealed = provider.seal(&kek(), b"c", b"secret").unwrap();
    provider.anchor_advance(&Anchor { sequence: 5, head: [5; 32] }).unwrap();
    let keys = folder.path().join("wrap.key.d");
    assert_eq!(std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o700);

    key_file(folder.path(), &"cd".repeat(32), 0o600);
    let other = DangerSoftware::open(&path, true).unwrap();
    assert_eq!(other.unseal(&kek(), b"c", &sealed).unwrap_err().kind(), Kind::DoesNotOpen);
    assert_eq!(other.anchor_read().unwrap_err().kind(), Kind::DoesNotOpen, "an anchor that does not open is no anchor");
    assert_eq!(other.anchor_advance(&Anchor { sequence: 9, head: [9; 32] }).unwrap_err().kind(), Kind::DoesNotOpen);

    // One wrapping key's file under another's name.
    std::fs::copy(keys.join("kek-vault"), keys.join("kek-moved")).unwrap();
    let moved = KekId::new("moved").unwrap();
    assert_eq!(provider.seal(&moved, b"c", b"s").unwrap_err().kind(), Kind::DoesNotOpen);
    std::fs::write(keys.join("kek-vault"), b"torn").unwrap();
    assert_eq!(provider.unseal(&kek(), b"c", &sealed).unwrap_err().kind(), Kind::DoesNotOpen);
}

#[test]
fn an_open_folder_of_keys_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = key_file(folder.path(), &"ab".repeat(32), 0o600);
    let keys = folder.path().join("wrap.key.d");
    std::fs::create_dir(&keys).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o750)).unwrap();
    let provider = DangerSoftware::open(&path, true).unwrap();
    assert_eq!(provider.create_kek(&kek()).unwrap_err().kind(), Kind::Exposed);
}
