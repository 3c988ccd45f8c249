use super::json::Json;
use super::value;
use alloy_primitives::U256;

fn text(text: &str) -> Json {
    Json::Text(text.to_owned())
}

#[test]
fn signed_numbers_are_twos_complement_within_their_width() {
    let word = |digits: &str, bits| value::int(&text(digits), bits).ok();
    assert_eq!(word("127", 8), Some(U256::from(127)));
    assert_eq!(word("-1", 8), Some(U256::MAX));
    assert_eq!(word("-128", 8), Some(U256::MAX - U256::from(127)));
    for bad in ["128", "-129", "-0", "-00", "--1", "-", "-0x1", "+1", "1.0", "0x80"] {
        assert_eq!(word(bad, 8), None, "{bad}");
    }
    let least = "-57896044618658097711785492504343953926634992332820282019728792003956564819968";
    assert_eq!(word(least, 256), Some(U256::ONE << 255));
    assert_eq!(word(least.trim_start_matches('-'), 256), None);
}

#[test]
fn unsigned_numbers_fit_their_width() {
    let word = |digits: &str, bits| value::uint(&text(digits), bits).ok();
    assert_eq!(word("255", 8), Some(U256::from(255)));
    assert_eq!(word("0xfF", 8), Some(U256::from(255)));
    assert_eq!(word("0x0000ff", 8), Some(U256::from(255)));
    assert_eq!(word("0", 8), Some(U256::ZERO));
    for bad in ["256", "0x100", "-1", "00", "1_0", "0xg", "0X1", ""] {
        assert_eq!(word(bad, 8), None, "{bad}");
    }
    assert_eq!(word(&format!("0x{}", "f".repeat(64)), 256), Some(U256::MAX));
    assert_eq!(word(&format!("0x{}", "0".repeat(65)), 256), None);
}
