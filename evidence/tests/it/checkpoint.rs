//! Notes and checkpoints: published examples, one encoding, and the rules of the text.

use limen_evidence::checkpoint::{
    Checkpoint, CheckpointError, CosignatureError, Cosigner, Note, NoteError, NoteSignature, P256_TYPE,
    SignedCheckpoint, View,
};
use limen_evidence::merkle::{ConsistencyProof, TreeHash, empty_root, leaf_hash};
use limen_wire::effects::sha256;
use limen_wire::keys::PublicKey;

use crate::keys::{cluster, ed25519, p256};

/// A checkpoint of a staging log of the certificate-transparency community, cosigned by four public witnesses.
const PUBLISHED: &str = "arche2025h1.staging.ct.transparency.dev
1432088532
U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=

— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQFX6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=
— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lefwhUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=
— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==
— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==
— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aVCIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==
— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyOUvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==
";

/// The verifier keys that those witnesses publish.
const WITNESSES: [&str; 4] = [
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
];

/// A cosigner out of a verifier key of type 0x04.
fn cosigner(verifier_key: &str) -> Cosigner {
    let mut parts = verifier_key.splitn(3, '+');
    let name = parts.next().unwrap();
    let blob = base64(parts.nth(1).unwrap());
    assert_eq!(blob[0], 0x04);
    Cosigner::new(name, PublicKey::from_ed25519_bytes(&blob[1..]).unwrap()).unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    let line = format!("\u{2014} x {text}");
    let signature = NoteSignature::parse(&line).unwrap();
    [&signature.key_id()[..], signature.signature()].concat()
}

#[test]
fn public_cosignatures_verify() {
    let signed = SignedCheckpoint::parse(PUBLISHED.as_bytes()).unwrap();
    let text = signed.checkpoint().to_text();
    for verifier_key in WITNESSES {
        let cosigner = cosigner(verifier_key);
        assert_eq!(cosigner.verifier_key(), verifier_key);
        let line = signed.signatures().iter().find(|line| cosigner.claims(line)).unwrap();
        assert_eq!(cosigner.verify(&text, line), Ok(0x6a12_2120));
        let name = cosigner.name().to_owned();
        assert_eq!(cosigner.verify(&text.replace("532", "533"), line), Err(CosignatureError::Bad { name }));
    }
}

#[test]
fn what_is_read_is_written_again() {
    let signed = SignedCheckpoint::parse(PUBLISHED.as_bytes()).unwrap();
    assert_eq!(signed.to_note(), PUBLISHED);
    assert_eq!(signed.checkpoint().origin(), "arche2025h1.staging.ct.transparency.dev");
    assert_eq!(signed.checkpoint().size(), 1_432_088_532);
    let extended = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nmore\nand more\n";
    let checkpoint = Checkpoint::parse(extended).unwrap();
    assert_eq!(checkpoint.extensions(), ["more", "and more"]);
    assert_eq!(checkpoint.to_text(), extended);
}

#[test]
fn a_checkpoint_has_one_encoding() {
    let line = |text: &str| match Checkpoint::parse(text) {
        Err(CheckpointError::Line { line, .. }) => line,
        other => panic!("{text:?}: {other:?}"),
    };
    const ROOT: &str = "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=";
    assert!(Checkpoint::parse(&format!("o\n1\n{ROOT}\n")).is_ok());
    for size in ["", "01", "+1", "-1", " 1", "1 ", "1e3", "4611686018427387905", "18446744073709551616", "0x1"] {
        assert_eq!(line(&format!("o\n{size}\n{ROOT}\n")), 2, "{size}");
    }
    let roots = [
        "",
        "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro",
        "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Rp=",
        "U7WM79jrzyhGZ5_GUBTpM7NzwdyfFx61t3RovgcC4Ro=",
        " U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=",
        "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Q==",
    ];
    for root in roots {
        assert_eq!(line(&format!("o\n1\n{root}\n")), 3, "{root}");
    }
    assert_eq!(line(&format!("\n1\n{ROOT}\n")), 1, "no origin");
    assert_eq!(line(&format!("o\n1\n{ROOT}\n\nmore\n")), 4, "an empty extension");
    assert_eq!(line(&format!("o\n1\n{ROOT}\nmore\n\n")), 5, "an empty extension at the end");
    assert_eq!(line(&format!("o\n0\n{ROOT}\n")), 3, "the empty tree has one root");
    let text = |text: &str| Checkpoint::parse(text).unwrap_err();
    assert_eq!(text(&format!("o\n1\n{ROOT}")), NoteError::Text.into(), "an end of line is missing");
    assert_eq!(text(&format!("o\r\n1\n{ROOT}\n")), NoteError::Characters.into());
}

#[test]
fn a_note_has_one_encoding() {
    let error = |note: &str| Note::parse(note.as_bytes()).unwrap_err();
    let good = "text\n\n\u{2014} name AAAAAAE=\n";
    assert_eq!(Note::parse(good.as_bytes()).unwrap().to_string(), good);
    assert_eq!(error("text\n\n\u{2014} name AAAAAAE="), NoteError::NoSignatures, "the last line is not ended");
    assert_eq!(error("text\n\u{2014} name AAAAAAE=\n"), NoteError::NoSignatures, "no empty line");
    assert_eq!(error("text\n\n"), NoteError::NoSignatures);
    assert_eq!(error("\n\n\u{2014} name AAAAAAE=\n"), NoteError::Text, "no text");
    let lines = [
        "- name AAAAAAE=",
        "\u{2014}name AAAAAAE=",
        "\u{2014}  AAAAAAE=",
        "\u{2014} na+me AAAAAAE=",
        "\u{2014} na\u{a0}me AAAAAAE=",
        "\u{2014} name  AAAAAAE=",
        "\u{2014} name AAAAAAE= ",
        "\u{2014} name AAAAAAE",
        "\u{2014} name AAAAAAF=",
        "\u{2014} name AAAAAA==",
        "\u{2014} name",
    ];
    for line in lines {
        assert_eq!(error(&format!("text\n\n{line}\n")), NoteError::SignatureLine { line: 1 }, "{line}");
        let second = format!("{good}{line}\n");
        assert_eq!(error(&second), NoteError::SignatureLine { line: 2 }, "{line}");
    }
    assert_eq!(error("te\txt\n\n\u{2014} name AAAAAAE=\n"), NoteError::Characters);
    assert_eq!(Note::parse(b"\xff\n\n\xe2\x80\x94 name AAAAAAE=\n"), Err(NoteError::Characters));
    assert!(Note::parse("a\n\nb\n\n\u{2014} name AAAAAAE=\n".as_bytes()).unwrap().text() == "a\n\nb\n");
}

#[test]
fn notes_are_bounded() {
    let line = "\u{2014} name AAAAAAE=\n";
    let with = |count| format!("text\n\n{}", line.repeat(count));
    assert!(Note::parse(with(64).as_bytes()).is_ok());
    let what = "signatures";
    assert_eq!(Note::parse(with(65).as_bytes()), Err(NoteError::TooLarge { what, found: 65, limit: 64 }));
    let long = format!("{}\n\n{line}", "x".repeat(64 * 1024));
    assert!(matches!(Note::parse(long.as_bytes()), Err(NoteError::TooLarge { what: "bytes", .. })));
    let signatures = vec![NoteSignature::parse(line.trim_end()).unwrap(); 65];
    assert!(Note::new("text\n".to_owned(), signatures).is_err());
    assert_eq!(Note::new("text\n".to_owned(), Vec::new()), Err(NoteError::NoSignatures));
}

#[test]
fn every_flipped_byte_of_a_cosigned_checkpoint_fails() {
    for key in [p256(7), ed25519(7)] {
        let checkpoint = Checkpoint::new(&cluster(), 5, leaf_hash(b"root")).unwrap();
        let view = View::empty(checkpoint.origin());
        let followed = view.follow(0, &ConsistencyProof::default(), &checkpoint).unwrap();
        let signed = followed.cosign("limen/test/node/a", &key, 1_700_000_000).unwrap();
        let note = SignedCheckpoint::new(checkpoint, vec![signed]).unwrap().to_note().into_bytes();
        let cosigner = Cosigner::new("limen/test/node/a", key.public_key()).unwrap();
        let verifies = |note: &[u8]| {
            let signed = SignedCheckpoint::parse(note).ok()?;
            cosigner.verify(&signed.checkpoint().to_text(), &signed.signatures()[0]).ok()
        };
        assert_eq!(verifies(&note), Some(1_700_000_000));
        for at in 0..note.len() {
            for flip in [0x01, 0x02, 0x10, 0x20, 0x80, 0xff] {
                let mut spoiled = note.clone();
                spoiled[at] ^= flip;
                assert_eq!(verifies(&spoiled), None, "byte {at} ^ {flip:#04x}");
            }
        }
    }
}

#[test]
fn a_p256_cosignature_is_what_the_documentation_says() {
    let key = p256(9);
    let checkpoint = Checkpoint::new(&cluster(), 0, empty_root()).unwrap();
    let followed = View::empty("limen/test/log").follow(0, &ConsistencyProof::default(), &checkpoint).unwrap();
    let line = followed.cosign("limen/test/node/a", &key, 1_700_000_000).unwrap();
    let text = "limen/test/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    assert_eq!(checkpoint.to_text(), text);
    let message = format!("limen/cosignature-p256/v1\ntime 1700000000\n{text}");
    assert_eq!(line.signature(), [&1_700_000_000_u64.to_be_bytes()[..], &key.sign(message.as_bytes())].concat());
    let public = key.public_key().to_bytes();
    let preimage = [b"limen/test/node/a\n\xff", P256_TYPE.as_bytes(), &public].concat();
    assert_eq!(line.key_id(), sha256(&preimage)[..4]);
    let verifier_key = Cosigner::new("limen/test/node/a", key.public_key()).unwrap().verifier_key();
    assert!(verifier_key.starts_with(&format!("limen/test/node/a+{}+/2xpbWVu", hex::encode(line.key_id()))));
}

#[test]
fn one_kind_of_cosignature_never_passes_for_another() {
    let checkpoint = Checkpoint::new(&cluster(), 3, TreeHash::new([3; 32])).unwrap();
    let text = checkpoint.to_text();
    let key = p256(4);
    let cosigner = Cosigner::new("n", key.public_key()).unwrap();
    let with = |message: &str| {
        let blob = [&9_u64.to_be_bytes()[..], &key.sign(message.as_bytes())].concat();
        cosigner.verify(&text, &NoteSignature::new("n", cosigner.key_id(), blob).unwrap())
    };
    assert_eq!(with(&format!("{P256_TYPE}\ntime 9\n{text}")), Ok(9));
    for message in [
        format!("cosignature/v1\ntime 9\n{text}"),
        format!("{P256_TYPE}\ntime 8\n{text}"),
        format!("{P256_TYPE}\ntime 09\n{text}"),
        text.clone(),
    ] {
        assert_eq!(with(&message), Err(CosignatureError::Bad { name: "n".to_owned() }), "{message}");
    }
}

#[test]
fn a_cosignature_without_time_or_of_another_length_is_refused() {
    let key = p256(4);
    let cosigner = Cosigner::new("n", key.public_key()).unwrap();
    let verify =
        |blob: &[u8]| cosigner.verify("o\n", &NoteSignature::new("n", cosigner.key_id(), blob.to_vec()).unwrap());
    let signed = |secs: u64| {
        let signature = key.sign(format!("{P256_TYPE}\ntime {secs}\no\n").as_bytes());
        [&secs.to_be_bytes()[..], &signature].concat()
    };
    assert_eq!(verify(&signed(1)), Ok(1));
    for secs in [0, 1 << 63, u64::MAX] {
        assert_eq!(verify(&signed(secs)), Err(CosignatureError::Time { secs }));
    }
    let good = signed(1);
    for blob in [&good[..71], &good[8..], &[&good[..], &[0]].concat()] {
        assert_eq!(verify(blob), Err(CosignatureError::Shape { name: "n".to_owned() }));
    }
    let other = NoteSignature::new("m", cosigner.key_id(), good).unwrap();
    assert_eq!(cosigner.verify("o\n", &other), Err(CosignatureError::Bad { name: "n".to_owned() }));
}
