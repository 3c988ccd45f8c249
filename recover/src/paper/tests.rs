use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use codex32::{Codex32String, Fe};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::{MAX_SLIPS, PaperError, Slip, join, split};

const SECRET: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

fn identity() -> Identity {
    SECRET.parse().unwrap()
}

fn slips(numbers: (u8, u8)) -> Vec<Slip> {
    split(&identity(), numbers, &mut ChaCha20Rng::seed_from_u64(7)).unwrap()
}

fn refused(slips: &[Slip]) -> PaperError {
    join(slips).err().unwrap()
}

fn same(identity: &Identity) -> bool {
    identity.to_string().expose_secret() == SECRET
}

/// BIP-93's test vectors 2 and 3: the library that the slips stand on interpolates as the document says.
#[test]
fn the_library_gives_the_vectors_of_bip_93() {
    let read = |text: &str| Codex32String::from_string(text.to_owned()).unwrap();
    let (a, c) = (
        read("MS12NAMEA320ZYXWVUTSRQPNMLKJHGFEDCAXRPP870HKKQRM"),
        read("MS12NAMECACDEFGHJKLMNPQRSTUVWXYZ023FTR2GDZMPY6PN"),
    );
    let secret = Codex32String::interpolate_at(&[a, c], Fe::S).unwrap();
    assert_eq!(secret.to_string(), "MS12NAMES6XQGUZTTXKEQNJSJZV4JV3NZ5K3KWGSPHUH6EVW");
    let (s, a, c) = (
        read("ms13cashsllhdmn9m42vcsamx24zrxgs3qqjzqud4m0d6nln"),
        read("ms13casha320zyxwvutsrqpnmlkjhgfedca2a8d0zehn8a0t"),
        read("ms13cashcacdefghjklmnpqrstuvwxyz023949xq35my48dr"),
    );
    let d = Codex32String::interpolate_at(&[s, a, c], Fe::D).unwrap();
    assert_eq!(d.to_string(), "ms13cashd0wsedstcdcts64cd7wvy4m90lm28w4ffupqs7rm");
}

#[test]
fn enough_slips_give_the_identity_and_fewer_do_not() {
    for numbers in [(2, 2), (2, 3), (3, 5), (9, 16)] {
        let all = slips(numbers);
        let required = usize::from(numbers.0);
        assert_eq!(all.len(), usize::from(numbers.1));
        for window in all.windows(required) {
            assert!(same(&join(window).unwrap()), "{numbers:?}");
        }
        assert!(same(&join(&all).unwrap()));
        let given = required - 1;
        assert_eq!(refused(&all[..given]), PaperError::TooFew { required: numbers.0, given });
    }
    assert!(same(&join(&slips((1, 1))).unwrap()));
    assert_eq!(refused(&[]), PaperError::TooFew { required: 1, given: 0 });
}

/// One slip fewer than are needed goes with every secret: for each there is a polynomial through both.
#[test]
fn one_slip_fewer_is_consistent_with_any_other_identity() {
    let ours = slips((2, 3));
    let other = Codex32String::from_seed("limen", 2, ours[0].name(), Fe::S, &[0x11; 32]).unwrap();
    let made = Codex32String::interpolate_at(&[other.clone(), ours[0].codex().unwrap()], Fe::C).unwrap();
    let back = Codex32String::interpolate_at(&[made, ours[0].codex().unwrap()], Fe::S).unwrap();
    assert_eq!(back, other);
}

#[test]
fn numbers_that_are_none_are_refused() {
    for (required, total) in [(0, 1), (1, 2), (2, 1), (10, 16), (2, MAX_SLIPS + 1), (0, 0)] {
        let refused = split(&identity(), (required, total), &mut ChaCha20Rng::seed_from_u64(7)).unwrap_err();
        assert_eq!(refused, PaperError::Numbers { required, total });
    }
}

#[test]
fn slips_are_read_as_people_write_them() {
    let slip = &slips((2, 3))[1];
    assert_eq!(slip.place(), 'c');
    assert_eq!(slip.required(), 2);
    assert!(identity().to_public().to_string().ends_with(slip.name()));
    let capital = slip.grouped();
    for text in [capital.to_string(), capital.to_lowercase(), capital.replace(' ', "-"), capital.replace(' ', "\n  ")] {
        assert!(Slip::read(&text).unwrap() == *slip, "{text}");
    }
    assert!(!format!("{slip:?}").contains(&*slip.0));
}

#[test]
fn any_single_letter_misread_is_noticed() {
    let text = slips((2, 3))[0].0.to_string();
    for at in 0..text.len() {
        for letter in "qpzry9x8gf2tvdw0s3jn54khce6mua7lbio1".chars() {
            let mut other: Vec<char> = text.chars().collect();
            if other[at] != letter {
                other[at] = letter;
                Slip::read(&other.iter().collect::<String>()).unwrap_err();
            }
        }
    }
    assert_eq!(Slip::read(&text[..76]).unwrap_err(), PaperError::Length(76));
    assert_eq!(Slip::read(&format!("{text}qq")).unwrap_err(), PaperError::Length(79));
    assert_eq!(Slip::read("").unwrap_err(), PaperError::Length(0));
    let mixed = text.replacen('l', "L", 1);
    assert_eq!(Slip::read(&mixed).unwrap_err(), PaperError::Letter { place: 1, letter: 'L' });
    let foreign = "ms10leetsllhdmn9m42vcsamx24zrxgs3qrl7ahwvhw4fnzrhve25gvezzyqqtum9pgv99ycma";
    assert_eq!(Slip::read(foreign).unwrap_err(), PaperError::Letter { place: 3, letter: '1' });
}

#[test]
fn slips_of_two_splits_do_not_go_together() {
    let (ours, theirs) = (slips((2, 3)), split(&identity(), (2, 3), &mut ChaCha20Rng::seed_from_u64(8)).unwrap());
    let mixed = [ours[0].clone(), theirs[1].clone()];
    assert_eq!(refused(&mixed), PaperError::NotTogether(ours[0].name().to_owned()));
    let one_too_many = [ours[0].clone(), ours[1].clone(), theirs[2].clone()];
    assert_eq!(refused(&one_too_many), PaperError::NotTogether(ours[0].name().to_owned()));
    assert_eq!(refused(&[ours[0].clone(), ours[0].clone()]), PaperError::Twice('a'));
    let three = slips((3, 3));
    assert!(matches!(join(&[ours[0].clone(), three[1].clone()]), Err(PaperError::Mixed(..))));
    let other = split(&Identity::generate(), (2, 3), &mut ChaCha20Rng::seed_from_u64(8)).unwrap();
    assert!(matches!(join(&[ours[0].clone(), other[1].clone()]), Err(PaperError::Mixed(..))));
}

proptest! {
    #[test]
    fn nothing_that_is_read_panics(text in "\\PC{0,120}", letters in "[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{71}") {
        let _ = Slip::read(&text);
        let _ = Slip::read(&format!("limen1{letters}"));
    }

    /// Up to eight letters that are others, which BIP-93's checksum always finds.
    #[test]
    fn up_to_eight_letters_misread_are_noticed(changes in proptest::collection::btree_map(12..77_usize, 1..32_usize, 1..=8)) {
        let alphabet = super::ALPHABET.as_bytes();
        let mut text = slips((3, 5))[2].0.as_bytes().to_vec();
        for (at, by) in changes {
            let place = alphabet.iter().position(|letter| *letter == text[at]).unwrap();
            text[at] = alphabet[(place + by) % 32];
        }
        prop_assert_eq!(Slip::read(std::str::from_utf8(&text).unwrap()).unwrap_err(), PaperError::Mistyped);
    }
}
