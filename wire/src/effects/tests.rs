use super::*;

fn address(tail: char) -> Address {
    Address::from_canonical(format!("0x{}", tail.to_string().repeat(40))).unwrap()
}

fn one_of_each() -> Vec<Effect> {
    let chain = ChainId::eip155(1);
    let native = Asset::Native(chain.clone());
    let (a, b) = (address('a'), address('b'));
    let amount = Amount::from_u128(7);
    let allowance = |change, expires_at, submit_by| Effect::Allowance {
        asset: Asset::Erc20(chain.clone(), a.clone()),
        amount,
        change,
        owner: a.clone(),
        spender: b.clone(),
        expires_at,
        submit_by,
    };
    let transfer = |asset: Asset| Effect::Transfer { asset, amount, from: a.clone(), to: b.clone() };
    vec![
        transfer(native.clone()),
        Effect::Transfer { asset: native.clone(), amount, from: b.clone(), to: a.clone() },
        transfer(Asset::Native(ChainId::eip155(2))),
        transfer(Asset::Erc20(chain.clone(), a.clone())),
        transfer(Asset::Erc721(chain.clone(), a.clone(), amount)),
        transfer(Asset::Erc1155(chain.clone(), a.clone(), amount)),
        transfer(Asset::Erc1155(chain.clone(), a.clone(), Amount::ZERO)),
        transfer(Asset::Collection(chain.clone(), a.clone())),
        Effect::Fee { asset: native, max_amount: amount, payer: a.clone() },
        allowance(AllowanceChange::Set, None, None),
        allowance(AllowanceChange::Increase, None, None),
        allowance(AllowanceChange::Decrease, None, None),
        allowance(AllowanceChange::Set, Some(0), None),
        allowance(AllowanceChange::Set, None, Some(0)),
        allowance(AllowanceChange::Set, Some(0), Some(1)),
        Effect::AuthorityChange { subject: a.clone(), to: b.clone(), kind: "k".into() },
        Effect::AuthorityChange { subject: b.clone(), to: a.clone(), kind: "k".into() },
        Effect::Deploy { from: a.clone(), contract: b.clone(), code_hash: [1; 32] },
        Effect::Call { contract: a.clone(), method: "m()".into() },
        Effect::Message { signer: a.clone(), text: "m()".into() },
        Effect::TypedData { signer: a.clone(), primary_type: "T".into(), verifying_contract: None, hash: [2; 32] },
        Effect::TypedData {
            signer: a.clone(),
            primary_type: "T".into(),
            verifying_contract: Some(b.clone()),
            hash: [2; 32],
        },
        Effect::Unknown { what: "T".into(), contract: None, hash: [2; 32] },
        Effect::Unknown { what: "T".into(), contract: Some(b), hash: [2; 32] },
        Effect::Raw { digest: [2; 32] },
    ]
}

fn effects(list: Vec<Effect>) -> Effects {
    Effects { decoder_version: 1, chain: ChainId::eip155(1), account: address('a'), nonce: None, list }
}

#[test]
fn every_difference_changes_the_digest() {
    let all = one_of_each();
    let mut digests = std::collections::BTreeSet::new();
    for effect in &all {
        assert!(digests.insert(effects(vec![effect.clone()]).digest()), "{effect:?}");
    }
    assert!(digests.insert(effects(vec![]).digest()));
    assert!(digests.insert(effects(all.clone()).digest()));
    assert!(digests.insert(effects(all.iter().rev().cloned().collect()).digest()), "order counts");
    assert!(digests.insert(Effects { decoder_version: 2, ..effects(vec![]) }.digest()));
    assert!(digests.insert(Effects { chain: ChainId::eip155(2), ..effects(vec![]) }.digest()));
    assert!(digests.insert(Effects { account: address('b'), ..effects(vec![]) }.digest()));
    assert!(digests.insert(Effects { nonce: Some(0), ..effects(vec![]) }.digest()));
    assert!(digests.insert(Effects { nonce: Some(1), ..effects(vec![]) }.digest()));
}

/// Approvals are kept for ever: the encoding under them may not move by accident.
#[test]
fn digest_is_frozen() {
    assert_eq!(
        hex::encode(effects(one_of_each()).digest()),
        "c363cf97b731eff0a59341255c575174df7c214588232fc1119446563fac4493"
    );
}

#[test]
fn chain_ids_have_one_spelling() {
    assert_eq!(ChainId::new("eip155:1").unwrap().eip155_number(), Some(1));
    for bad in ["eip155:01", "eip155:0x1", "eip155:18446744073709551616", "eip155:-1", "bip122:1", "limen:offchain"] {
        assert_eq!(ChainId::new(bad).and_then(|chain| chain.eip155_number()), None, "{bad}");
    }
    for bad in ["", "eip155", "eip155:", ":1", "EIP155:1", "ei:1", "eip155eip:1", "eip155:1 ", "eip155:1/x"] {
        assert_eq!(ChainId::new(bad), None, "{bad}");
    }
    assert!(ChainId::try_from("eip155:1 ".to_owned()).is_err());
    assert!(ChainId::offchain().is_offchain() && ChainId::new(ChainId::offchain().as_str()).is_some());
}

#[test]
fn amounts_are_read_and_written_in_units() {
    let read = |text, decimals| Amount::from_units(text, decimals).map(|amount| amount.to_string());
    assert_eq!(read("1.5", 18).as_deref(), Some("1500000000000000000"));
    assert_eq!(read("1_000.25", 2).as_deref(), Some("100025"));
    assert_eq!(read("0", 0).as_deref(), Some("0"));
    for bad in ["", ".", "1.", ".5", "_1", "1.2_5", "1.2.3", "-1", "+1", "1e3", " 1", "1,5", "1.234", "0x10"] {
        assert_eq!(read(bad, 2), None, "{bad:?}");
    }
    let most = "115792089237316195423570985008687907853269984665640564039457584007913129639935";
    assert_eq!(Amount::from_decimal(most), Some(Amount::MAX));
    assert_eq!(Amount::MAX.to_string(), most);
    assert_eq!(
        Amount::from_decimal("115792089237316195423570985008687907853269984665640564039457584007913129639936"),
        None
    );
    assert_eq!(Amount::from_u128(1_500_000).to_units(6), "1.5");
    assert_eq!(Amount::from_u128(1).to_units(18), "0.000000000000000001");
    assert_eq!(Amount::from_u128(u128::from(u64::MAX)).to_u64(), Some(u64::MAX));
    assert_eq!(Amount::from_u128(u128::from(u64::MAX) + 1).to_u64(), None);
}

#[test]
fn amounts_are_divided_with_a_remainder() {
    assert_eq!(Amount::from_u128(17).checked_div_rem_u64(5), Some((Amount::from_u128(3), 2)));
    assert_eq!(Amount::MAX.checked_div_rem_u64(1), Some((Amount::MAX, 0)));
    assert_eq!(Amount::from_u128(1).checked_div_rem_u64(0), None);
    let (quotient, rest) = Amount::MAX.checked_div_rem_u64(u64::MAX).unwrap();
    let product = quotient.checked_mul_u64(u64::MAX).unwrap();
    assert_eq!(product.checked_add(Amount::from_u128(rest.into())), Some(Amount::MAX));
}

#[test]
fn a_difference_undoes_a_sum_and_is_never_negative() {
    let numbers = [0, 1, 255, 256, 65_535, u128::MAX].map(Amount::from_u128);
    for a in numbers.into_iter().chain([Amount::MAX]) {
        for b in numbers {
            match a.checked_add(b) {
                Some(sum) => assert_eq!((sum.checked_sub(b), sum.checked_sub(a)), (Some(a), Some(b))),
                None => assert_eq!(a.checked_sub(b).and_then(|rest| rest.checked_add(b)), Some(a)),
            }
            assert_eq!(a.checked_sub(b).is_some(), a >= b);
        }
    }
}
