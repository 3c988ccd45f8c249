use super::*;

fn plays(campaign: Campaign, rounds: impl IntoIterator<Item = u64>) -> Found {
    let mut found = Found::default();
    rounds.into_iter().for_each(|round| found.add(round, campaign.round(round)));
    assert_eq!(found.violations, Vec::<String>::new());
    found
}

#[test]
fn names_are_names() {
    for (name, campaign) in Campaign::ALL {
        assert_eq!((Campaign::named(name), campaign.name()), (Some(campaign), name));
    }
    assert_eq!(Campaign::named("other"), None);
}

#[test]
fn a_power_cut_at_any_point_leaves_what_was_told() {
    let found = plays(Campaign::CrashPoints, [0, crash::SHORT - 1]);
    assert!(found.tried > 500 && found.outcomes["one commit further"] > 10, "{found:?}");
}

#[test]
fn a_disk_that_fails_stops_the_signer_and_costs_nothing() {
    let found = plays(Campaign::Disk, [0]);
    assert!(found.outcomes["ENOSPC: stopped and restarted"] > 2, "{found:?}");
}

#[test]
fn a_bit_that_turns_over_is_damage_or_nothing() {
    let found = plays(Campaign::Bitrot, 0..8);
    let refused = |(what, count): (&String, &u64)| if what.contains("refused: engine") { *count } else { 0 };
    assert!(found.outcomes.iter().map(refused).sum::<u64>() > 50, "{found:?}");
}

#[test]
fn disks_that_are_put_back_are_noticed_within_a_round() {
    let found = plays(Campaign::Rollback, 0..8);
    assert_eq!(found.outcomes["noticed within a round, and refuses"], found.tried);
}

#[test]
fn a_panic_is_a_finding_with_its_words() {
    assert_eq!(caught(|| panic!("lost")), Err::<(), _>("lost".to_owned()));
    let words = format!("{} lost", 2);
    assert_eq!(caught(|| panic!("{words}")), Err::<(), _>(words));
}
