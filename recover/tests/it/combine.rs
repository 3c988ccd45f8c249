//! From pieces to the key, and what does not go together.

use limen_mpc::KeyShare;
use limen_recover::age::{Encryptor, x25519};
use limen_recover::{Backup, CombineError, PieceError, RecoveredKey, Recovery};
use limen_wire::ids::Scheme;

use crate::house::{Dealt, Keeper, SCHEMES, back_up, deal, keepers, person};

fn files(dealt: &Dealt, members: &[usize], keepers: &[Keeper], pieces: u8) -> Vec<(String, Backup)> {
    let file = |member: &usize| (format!("{member}.backup"), back_up(&dealt.shares[*member], keepers, pieces));
    members.iter().map(file).collect()
}

fn combine(files: Vec<(String, Backup)>, keepers: &[&Keeper]) -> Result<RecoveredKey, CombineError> {
    let mut recovery = Recovery::new(files)?;
    for keeper in keepers {
        if let Some(refused) = recovery.open(&keeper.identities()).refused.pop() {
            return Err(refused);
        }
    }
    recovery.finish()
}

#[test]
fn any_enough_custodians_and_shares_give_the_key() {
    for scheme in SCHEMES {
        let (dealt, [anna, bela, carla]) = (deal("hot", 3, scheme, 2, 3), keepers());
        let all = [anna, bela, carla];
        let [anna, bela, carla] = [&all[0], &all[1], &all[2]];
        for members in [&[0, 1][..], &[0, 2], &[1, 2], &[2, 0], &[0, 1, 2]] {
            for who in [&[anna, bela][..], &[anna, carla], &[bela, carla], &[carla, bela, anna]] {
                let key = combine(files(&dealt, members, &all, 2), who).unwrap();
                assert_eq!(*key.scalar(), dealt.secret);
                assert_eq!(key.public(), dealt.shares[0].public());
                assert!(!format!("{key:?}").contains(&hex::encode(dealt.secret)));
            }
        }
    }
}

#[test]
fn a_signer_can_have_its_share_back() {
    for scheme in SCHEMES {
        let (dealt, all) = (deal("hot", 1, scheme, 2, 3), keepers());
        let mut recovery = Recovery::new(files(&dealt, &[1], &all, 2)).unwrap();
        assert!(recovery.core_shares().unwrap().is_empty());
        assert_eq!(recovery.open(&all[0].identities()).pieces, 1);
        assert_eq!(recovery.open(&all[0].identities()).pieces, 0, "the same piece counts once");
        assert_eq!(recovery.open(&all[2].identities()).pieces, 1);
        let shares = recovery.core_shares().unwrap();
        let (member, core) = shares.first_key_value().unwrap();
        assert_eq!(*member, dealt.shares[1].index());
        let share = KeyShare::import(dealt.shares[1].public().clone(), core, &[]).unwrap();
        assert_eq!(share.export_core(), dealt.shares[1].export_core());
    }
}

#[test]
fn too_few_pieces_or_shares_give_nothing_and_say_what_is_missing() {
    let (dealt, all) = (deal("hot", 1, Scheme::EcdsaSecp256k1, 2, 3), keepers());
    let refused = combine(files(&dealt, &[0, 1], &all, 2), &[&all[0]]).unwrap_err();
    assert!(matches!(refused, CombineError::TooFew { complete: 0, required: 2, .. }), "{refused}");
    assert!(refused.to_string().contains("0.backup (member 1) has 1 of 2 pieces"), "{refused}");
    let refused = combine(files(&dealt, &[0], &all, 2), &[&all[0], &all[1]]).unwrap_err();
    assert!(matches!(refused, CombineError::TooFew { complete: 1, required: 2, .. }), "{refused}");
    assert_eq!(Recovery::new([]).unwrap_err(), CombineError::NoFiles);
}

#[test]
fn other_keys_epochs_and_the_same_share_twice_are_refused_by_file() {
    let all = keepers();
    let of = |dealt: &Dealt, member: usize| back_up(&dealt.shares[member], &all, 2);
    let dealt = deal("hot", 1, Scheme::EcdsaSecp256k1, 2, 3);
    for (other, what) in [
        (deal("hot", 2, Scheme::EcdsaSecp256k1, 2, 3), "epoch"),
        (deal("cold", 1, Scheme::EcdsaSecp256k1, 2, 3), "key"),
        (deal("hot", 1, Scheme::SchnorrBip340, 2, 3), "scheme"),
        (deal("hot", 1, Scheme::EcdsaSecp256k1, 2, 4), "number of signers"),
    ] {
        let files = [("one".to_owned(), of(&dealt, 0)), ("two".to_owned(), of(&other, 1))];
        let refused = Recovery::new(files).unwrap_err();
        assert_eq!(refused, CombineError::Differ { file: "two".into(), other: "one".into(), what });
    }
    let files = [("one".to_owned(), of(&dealt, 1)), ("two".to_owned(), of(&dealt, 1))];
    let refused = Recovery::new(files).unwrap_err();
    let member = dealt.shares[1].index();
    assert_eq!(refused, CombineError::SameMember { file: "two".into(), other: "one".into(), member });
}

/// A file in which one custodian's encrypted piece is another.
fn with_piece(backup: &Backup, place: usize, piece: &str) -> Backup {
    let text = backup.encode();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.pop();
    let at = lines.iter().position(|line| line.starts_with("piece: ")).unwrap() + place;
    let line = format!("piece: {piece}");
    lines[at] = &line;
    crate::spoil::rehash(&lines)
}

fn piece_of(backup: &Backup, place: usize) -> String {
    let text = backup.encode();
    text.lines().filter_map(|line| line.strip_prefix("piece: ")).nth(place).unwrap().to_owned()
}

/// What a hostile maker of backups would encrypt.
fn encrypt(keeper: &Keeper, plain: &[u8]) -> String {
    use base64ct::Encoding as _;
    use std::io::Write as _;
    let recipient: x25519::Recipient = keeper.custodian().recipient.as_str().parse().unwrap();
    let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
    let mut sealed = Vec::new();
    let mut writer = encryptor.wrap_output(&mut sealed).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap();
    base64ct::Base64::encode_string(&sealed)
}

/// The plaintext of a custodian's piece, as stock age gives it.
pub(crate) fn plain(backup: &Backup, place: usize, keeper: &Keeper) -> Vec<u8> {
    use base64ct::Encoding as _;
    let sealed = base64ct::Base64::decode_vec(&piece_of(backup, place)).unwrap();
    let file = keeper.identity_file();
    let key: x25519::Identity = file.lines().last().unwrap().parse().unwrap();
    limen_recover::age::decrypt(&key, &sealed).unwrap()
}

#[test]
fn pieces_that_are_wrong_name_file_and_holder() {
    for scheme in SCHEMES {
        let (dealt, all) = (deal("hot", 1, scheme, 2, 3), keepers());
        let backup = back_up(&dealt.shares[0], &all, 2);
        let elsewhere = [
            back_up(&dealt.shares[1], &all, 2),
            back_up(&deal("hot", 2, scheme, 2, 3).shares[0], &all, 2),
            back_up(&deal("cold", 1, scheme, 2, 3).shares[0], &all, 2),
        ];
        let anna = || person("anna");
        let refused = |piece: &str| {
            let spoiled = with_piece(&backup, 0, piece);
            let mut recovery = Recovery::new([("a.backup".to_owned(), spoiled)]).unwrap();
            let refused = recovery.open(&all[0].identities()).refused.pop().unwrap();
            assert!(refused.to_string().contains("a.backup") && refused.to_string().contains("anna"), "{refused}");
            let CombineError::Piece { cause, .. } = refused else { panic!("{refused}") };
            cause
        };
        for other in &elsewhere {
            assert_eq!(refused(&piece_of(other, 0)), PieceError::OtherBackup { holder: anna() });
        }
        let right = plain(&backup, 0, &all[0]);
        assert_eq!(right.len(), 69);
        // Encrypted to anna, but bela's.
        let belas = encrypt(&all[0], &plain(&backup, 1, &all[1]));
        assert_eq!(refused(&belas), PieceError::Swapped { holder: anna(), owner: person("bela") });
        let spoiled = |at: usize, to: u8| {
            let mut plain = right.clone();
            plain[at] = to;
            refused(&encrypt(&all[0], &plain))
        };
        assert_eq!(spoiled(0, b'X'), PieceError::Encoding { holder: Some(anna()) });
        assert_eq!(spoiled(4, !right[4]), PieceError::OtherBackup { holder: anna() });
        for place in [0, 4, 255] {
            assert_eq!(spoiled(36, place), PieceError::Encoding { holder: Some(anna()) });
        }
        for (at, byte) in right.iter().enumerate().skip(37) {
            assert_eq!(spoiled(at, byte ^ 1), PieceError::Wrong { holder: anna() });
        }
        for length in [0, 1, 68, 70, 4096] {
            let mut plain = right.clone();
            plain.resize(length, 0);
            assert_eq!(refused(&encrypt(&all[0], &plain)), PieceError::Encoding { holder: Some(anna()) });
        }
        // Damaged under way.
        let sealed = piece_of(&backup, 0);
        let damaged = format!("{}AAAA{}", &sealed[..sealed.len() - 12], &sealed[sealed.len() - 8..]);
        assert!(matches!(refused(&damaged), PieceError::Decrypt { .. }));
        // For another identity: no piece of anna's, and proof that she cannot open it.
        let strange = with_piece(&backup, 0, &encrypt(&Keeper::new("anna"), &right));
        let refused = strange.open_one(&anna(), &all[0].identities()).unwrap_err();
        assert_eq!(refused, PieceError::NotForThese { holder: anna() });
    }
}

#[test]
fn a_bad_piece_keeps_nobody_from_recovering_by_others() {
    let (dealt, all) = (deal("hot", 1, Scheme::EcdsaSecp256k1, 2, 3), keepers());
    let mut files = files(&dealt, &[0, 1], &all, 2);
    for (_, backup) in &mut files {
        // The first is no file of age at all, so everybody stumbles over it.
        *backup = with_piece(backup, 0, "bm90aGluZw==");
    }
    let mut recovery = Recovery::new(files).unwrap();
    for keeper in &all[1..] {
        let opened = recovery.open(&keeper.identities());
        assert_eq!((opened.pieces, opened.refused.len()), (2, 2));
        assert!(opened.refused.iter().all(|refused| refused.to_string().contains("custodian anna")));
    }
    assert_eq!(*recovery.finish().unwrap().scalar(), dealt.secret);
}

#[test]
fn pieces_that_were_decrypted_elsewhere_are_taken_once_and_for_their_own_backup() {
    let (dealt, all) = (deal("hot", 1, Scheme::EddsaEd25519, 2, 3), keepers());
    let files = files(&dealt, &[0, 1], &all, 2);
    let pieces: Vec<Vec<u8>> =
        files.iter().flat_map(|(_, backup)| (0..2).map(|place| plain(backup, place, &all[place]))).collect();
    let mut recovery = Recovery::new(files).unwrap();
    for piece in &pieces {
        recovery.take("piece", piece).unwrap();
    }
    let again = recovery.take("piece", &pieces[3]).unwrap_err();
    assert_eq!(again, CombineError::SamePiece { file: "1.backup".into(), holder: person("bela") });
    let other = back_up(&dealt.shares[2], &all, 2);
    let refused = recovery.take("stray", &plain(&other, 0, &all[0])).unwrap_err();
    assert!(matches!(refused, CombineError::NoBackup { .. }) && refused.to_string().contains("stray"), "{refused}");
    let mut wrong = pieces[0].clone();
    wrong[68] ^= 1;
    let refused = recovery.take("piece", &wrong).unwrap_err();
    let cause = PieceError::Wrong { holder: person("anna") };
    assert_eq!(refused, CombineError::Piece { file: "0.backup".into(), cause });
    recovery.take("piece", b"garbage").unwrap_err();
    assert_eq!(*recovery.finish().unwrap().scalar(), dealt.secret);
}

#[test]
fn every_byte_of_an_encrypted_piece_counts() {
    use base64ct::{Base64, Encoding as _};
    let (dealt, all) = (deal("hot", 1, Scheme::EcdsaSecp256k1, 2, 3), keepers());
    let backup = back_up(&dealt.shares[0], &all, 2);
    let sealed = Base64::decode_vec(&piece_of(&backup, 0)).unwrap();
    let opens = |sealed: &[u8]| {
        let spoiled = with_piece(&backup, 0, &Base64::encode_string(sealed));
        spoiled.open_one(&person("anna"), &all[0].identities()).is_ok()
    };
    assert!(opens(&sealed));
    for at in 0..sealed.len() {
        let mut spoiled = sealed.clone();
        spoiled[at] ^= 1;
        assert!(!opens(&spoiled), "byte {at}");
        assert!(at == 0 || !opens(&sealed[..at]), "cut at {at}");
    }
    assert!(!opens(&[&sealed[..], &[0]].concat()));
}

proptest::proptest! {
    #[test]
    fn garbage_in_the_place_of_a_piece_never_panics(
        head in proptest::bool::ANY, bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 1..400)
    ) {
        use base64ct::{Base64, Encoding as _};
        let (dealt, all) = (deal("hot", 1, Scheme::EddsaEd25519, 2, 2), keepers());
        let backup = back_up(&dealt.shares[0], &all, 1);
        let start: &[u8] = if head { b"age-encryption.org/v1\n-> X25519 " } else { b"" };
        let spoiled = with_piece(&backup, 0, &Base64::encode_string(&[start, &bytes].concat()));
        proptest::prop_assert!(spoiled.open_one(&person("anna"), &all[0].identities()).is_err());
        proptest::prop_assert!(backup.take(&bytes).is_err());
    }
}
