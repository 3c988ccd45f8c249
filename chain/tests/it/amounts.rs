//! [`Amount`] is arithmetic written by hand: compared with alloy's `U256`.

use alloy_primitives::U256;
use limen_wire::effects::Amount;
use proptest::prelude::*;

use crate::strategies::{config, uint256};

fn amount(value: U256) -> Amount {
    Amount::from_be_bytes(value.to_be_bytes())
}

fn number(amount: Amount) -> U256 {
    U256::from_be_bytes(amount.to_be_bytes())
}

proptest! {
    #![proptest_config(config(2048, 20))]

    #[test]
    fn sums_and_products(a in uint256(), b in uint256(), factor in any::<u64>()) {
        prop_assert_eq!(amount(a).checked_add(amount(b)).map(number), a.checked_add(b));
        prop_assert_eq!(amount(a).checked_add(amount(!a)).map(number), Some(U256::MAX));
        prop_assert_eq!(amount(a).checked_mul_u64(factor).map(number), a.checked_mul(U256::from(factor)));
        // where the product just fits
        if let Some(most) = U256::MAX.checked_div(U256::from(factor)) {
            prop_assert_eq!(amount(most).checked_mul_u64(factor).map(number), Some(most * U256::from(factor)));
            if factor > 1 {
                prop_assert_eq!(amount(most + U256::ONE).checked_mul_u64(factor), None);
            }
        }
        prop_assert_eq!(amount(a).cmp(&amount(b)), a.cmp(&b));
        prop_assert_eq!(amount(a).to_u64(), u64::try_from(a).ok());
    }

    #[test]
    fn from_machine_integers(value in any::<u128>()) {
        prop_assert_eq!(number(Amount::from_u128(value)), U256::from(value));
    }

    #[test]
    fn decimal_digits(a in uint256()) {
        prop_assert_eq!(amount(a).to_string(), a.to_string());
        prop_assert_eq!(Amount::from_decimal(&a.to_string()), Some(amount(a)));
        prop_assert_eq!(format!("{:>90}", amount(a)), format!("{a:>90}"));
        let one_more = format!("{a}0");
        prop_assert_eq!(Amount::from_decimal(&one_more).map(number), a.checked_mul(U256::from(10)));
    }

    #[test]
    fn units(a in uint256(), decimals in 0..=80_u8) {
        let text = amount(a).to_units(decimals);
        prop_assert_eq!(Amount::from_units(&text, decimals), Some(amount(a)));
        let places = text.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        prop_assert!(places <= usize::from(decimals) && !text.ends_with('.') && !text.starts_with('.'));
        // one more place is refused, not rounded
        let finer = if text.contains('.') { format!("{text}{}1", "0".repeat(usize::from(decimals) - places)) } else { format!("{text}.{}1", "0".repeat(usize::from(decimals))) };
        prop_assert_eq!(Amount::from_units(&finer, decimals), None);
    }

    #[test]
    fn serialized_forms(a in uint256()) {
        let json = serde_json::to_string(&amount(a)).unwrap();
        prop_assert_eq!(&json, &format!("\"{a}\""));
        prop_assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount(a));
    }
}
