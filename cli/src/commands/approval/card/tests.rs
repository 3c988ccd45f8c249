//! What a card shows, and what it does not let pass.

use super::{grouped, plain, span, words};

#[test]
fn addresses_are_full_and_grouped() {
    let address = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC".to_owned().try_into().unwrap();
    assert_eq!(grouped(&address), "0x 3C44 CdDd B6a9 00fa 2b58 5dd2 99e0 3d12 FA42 93BC");
    let other = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq".to_owned().try_into().unwrap();
    assert_eq!(grouped(&other).replace(' ', ""), "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq");
}

#[test]
fn text_from_outside_cannot_move_hide_or_reorder() {
    assert_eq!(plain("rent \u{1b}[2J\u{202e}\u{200b}\r"), r"rent \u{1b}[2J\u{202e}\u{200b}\r");
    assert_eq!(plain("Miete für Büro"), "Miete für Büro");
}

#[test]
fn a_key_in_one_token_is_marked() {
    let text = super::outside_the_promise(&"signer-1".parse().unwrap());
    assert!(text.contains("OUTSIDE THE PROMISE") && text.contains("signer-1") && text.contains("alone"), "{text}");
}

#[test]
fn spans_are_short() {
    assert_eq!(span(0), "0 s");
    assert_eq!(span(59), "59 s");
    assert_eq!(span(3600), "1 h");
    assert_eq!(span(90_061), "1 d 1 h");
}

#[test]
fn words_stand_in_rows_of_four() {
    let text = words(&["a", "b", "c", "d", "e"]);
    assert!(text.contains("    a b c d\n    e\n"), "{text}");
}
