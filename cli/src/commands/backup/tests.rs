use super::*;

fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proof");
    std::fs::write(&file, text).unwrap();
    (folder, file)
}

#[test]
fn proofs_are_found_in_what_the_offline_tool_prints_and_alone() {
    let proof = pb::Envelope { payload_type: "x".to_owned(), ..pb::Envelope::default() };
    let hex = hex::encode(proof.encode_to_vec());
    let printed = format!("piece of anna decrypts\nproof of anna: 00\nsigned proof of anna: {hex}\n");
    for text in [printed, hex.clone(), format!("{hex}\n")] {
        let (_folder, file) = written(&text);
        assert_eq!(in_file(&file).unwrap(), std::slice::from_ref(&proof));
    }
    let two = format!("signed proof of anna: {hex}\n").repeat(2);
    let (_folder, file) = written(&two);
    assert_eq!(in_file(&file).unwrap().len(), 2);
}

#[test]
fn what_is_no_proof_is_told() {
    for text in ["", "hello", "ff", "signed proof of anna: xyz", "proof of anna: 00"] {
        let (_folder, file) = written(text);
        match in_file(&file) {
            Ok(proofs) => assert_eq!(proofs, [pb::Envelope::default()], "{text}: the signer will refuse it"),
            Err(error) => assert!(error.to_string().contains("no signed proof"), "{text}: {error:#}"),
        }
    }
    let (_folder, file) = written(&"0".repeat(70_000));
    assert!(in_file(&file).unwrap_err().to_string().contains("fewer than"));
}
