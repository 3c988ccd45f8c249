use super::kit::*;
use crate::ledger::*;

const TWO_OF_THREE: Signers = Signers { total: 3, required: 2, corrupt: 1 };

fn bound(value: u64) -> Bound {
    Bound { amount: amount(value), count: value }
}

fn charged(number: u64, value: u64) -> Claim {
    Claim { intent: id(number), replaces: None, charges: Charges::from([(daily(), amount(value))]) }
}

fn spent(claim: Claim, now_ms: u64) -> Spent {
    Spent { claim, expires_at_ms: now_ms + LIFETIME }
}

#[test]
fn shares_of_all_honest_signers_make_at_most_the_whole() {
    for total in 1..=9 {
        for required in 1..=total {
            for corrupt in 0..=total {
                let signers = Signers { total, required, corrupt };
                let share = signers.share(bound(1000)).amount.to_u64().unwrap();
                if corrupt >= required {
                    assert_eq!(share, 0, "{signers:?}");
                } else {
                    assert_eq!(share, 1000 * (required - corrupt) / (total - corrupt), "{signers:?}");
                }
            }
        }
    }
    let huge = Bound { amount: limen_wire::effects::Amount::MAX, count: u64::MAX };
    let all = Signers { total: 3, required: 3, corrupt: 0 };
    assert_eq!(all.share(huge), huge);
    assert_eq!(Signers { total: 0, required: 0, corrupt: 0 }.share(huge), bound(0));
    assert_eq!(Signers { total: 1, required: 2, corrupt: 0 }.share(huge), bound(0));
}

#[test]
fn a_signer_counts_its_own_signatures_over_the_window() {
    let limit = window(WINDOW_SECS, bound(0), bound(200));
    let limit = |scope: &Scope| (*scope == daily()).then(|| (limit.clone(), TWO_OF_THREE));
    let mut own = Uncertified::default();
    let fits = |own: &Uncertified, claim: &Claim, now| own.fits(claim, now, TWO_OF_THREE, &limit);
    assert_eq!(fits(&own, &charged(1, 100), NOW), Ok(()));
    assert!(matches!(fits(&own, &charged(1, 101), NOW), Err(NeedsCertificate::Misfit(Misfit::Amount { .. }))));
    own.record(spent(charged(1, 100), NOW));
    assert_eq!(fits(&own, &charged(1, 100), NOW), Ok(()), "a repeat counts once");
    assert!(fits(&own, &charged(2, 1), NOW).is_err());
    let until = NOW + LIFETIME + WINDOW_SECS * 1000 + 2 * MAX_SKEW_MS;
    assert!(fits(&own, &charged(2, 1), until - 1).is_err());
    assert_eq!(fits(&own, &charged(2, 1), until), Ok(()));
    let mut unknown = charged(3, 1);
    unknown.charges = Charges::from([(Scope::Limit { name: "x".into(), subject: String::new() }, amount(1))]);
    assert!(matches!(fits(&own, &unknown, NOW), Err(NeedsCertificate::Misfit(Misfit::UnknownLimit(_)))));
}

#[test]
fn same_nonce_on_two_signer_sets() {
    // Two transactions with one nonce, one shown to signers 0 and 1, the other to 1 and 2, where 1 is corrupt. Without a
    // certificate no honest signer would see both, so none takes it; the ledger certifies one.
    let claims = [spending(1, 10, &[nonce(5)], None), spending(2, 10, &[nonce(5)], None)];
    let limit = window(WINDOW_SECS, bound(100), bound(100));
    let refused = Uncertified::default().fits(&claims[0], NOW, TWO_OF_THREE, &|_| Some((limit.clone(), TWO_OF_THREE)));
    assert!(matches!(refused, Err(NeedsCertificate::CountsOnce { .. })));
    let committee = committee();
    let guard = Guard::new(&claims, 100, 10);
    let mut nodes = Node::all(&committee);
    let first = entry(&committee, None, NOW, &claims[..1]);
    let second = entry(&committee, None, NOW, &claims[1..]);
    let base = run(&mut nodes[..3], &first, None, NOW, &guard).unwrap();
    // At the same number: the honest members are bound. At the next: the nonce is held.
    let both: Vec<_> = nodes[..3].iter_mut().filter_map(|n| n.acknowledge(&second, None, NOW, &guard).ok()).collect();
    assert!(both.is_empty());
    let later = entry(&committee, Some(&base), NOW, &claims[1..]);
    let refused = run(&mut nodes, &later, Some(&base), NOW, &guard).unwrap_err();
    assert!(matches!(refused, Refusal::Misfit(Misfit::Held { .. })));
    // Where any two sets share an honest signer, that one by itself is enough.
    let three_of_four = Signers { total: 4, required: 3, corrupt: 1 };
    assert!(three_of_four.any_two_sets_share_an_honest_signer());
    assert_eq!(
        Uncertified::default().fits(&claims[0], NOW, three_of_four, &|_| Some((limit.clone(), three_of_four))),
        Ok(())
    );
}

#[test]
fn certified_and_fallback_modes_added_up() {
    // One limit of 300 a day, 100 of it without a certificate. The coordinator uses the committee up, then every signer set
    // without it; signer 2 is corrupt and takes part in anything.
    let total = 300;
    let limit = window(WINDOW_SECS, bound(200), bound(100));
    let committee = committee();
    let claims: Vec<Claim> = (0..60).map(|number| charged(number, 10)).collect();
    let guard = Guard::new(&claims, 200, 200);
    let mut nodes = Node::all(&committee);
    let (mut signed, mut base) = (0, None);
    for claim in &claims {
        let next = entry(&committee, base.as_ref(), NOW, std::slice::from_ref(claim));
        if let Ok(certificate) = run(&mut nodes[..3], &next, base.as_ref(), NOW, &guard) {
            certificate.covers(claim, &CHARTER, NOW).unwrap();
            base = Some(certificate);
            signed += 10;
        }
    }
    assert_eq!(signed, 200);
    let mut honest = [Uncertified::default(), Uncertified::default()];
    for (round, claim) in claims.iter().enumerate().skip(20) {
        // Sets {0, 2}, {1, 2} and {0, 1} in turn.
        let takes_part: &[usize] = [&[0][..], &[1], &[0, 1]][round % 3];
        let fits =
            |own: &Uncertified| own.fits(claim, NOW, TWO_OF_THREE, &|_| Some((limit.clone(), TWO_OF_THREE))).is_ok();
        if takes_part.iter().all(|signer| fits(&honest[*signer])) {
            takes_part.iter().for_each(|signer| honest[*signer].record(spent(claim.clone(), NOW)));
            signed += 10;
        }
    }
    assert!(signed > 250 && signed <= total, "{signed}");
}
