use limen_hsm::Kind;
use limen_hsm::files::{Replace, private_folder, read, remove, write};

#[test]
fn a_file_is_replaced_only_where_that_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, b"one", Replace::No).unwrap();
    assert_eq!(write(&path, b"two", Replace::No).unwrap_err().kind(), Kind::Exists);
    assert_eq!(read(&path, 99).unwrap().unwrap(), b"one");
    write(&path, b"two", Replace::Yes).unwrap();
    assert_eq!(read(&path, 99).unwrap().unwrap(), b"two");
    assert_eq!(read(&path, 2).unwrap().unwrap(), b"tw", "no more than asked for");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    remove(&path).unwrap();
    assert_eq!(remove(&path).unwrap_err().kind(), Kind::Missing);
    assert_eq!(read(&path, 99).unwrap(), None);
    let nowhere = folder.path().join("none").join("file");
    assert_eq!(write(&nowhere, b"x", Replace::Yes).unwrap_err().kind(), Kind::File);
}

#[test]
fn a_folder_is_made_private_with_all_above_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a").join("b");
    private_folder(&path).unwrap();
    private_folder(&path).unwrap();
    std::fs::write(folder.path().join("file"), b"").unwrap();
    assert_eq!(private_folder(&folder.path().join("file")).unwrap_err().kind(), Kind::File);
}
