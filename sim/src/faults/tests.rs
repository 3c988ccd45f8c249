use super::*;

#[test]
fn names_are_names() {
    for (name, campaign) in Campaign::ALL {
        assert_eq!((Campaign::named(name), campaign.name()), (Some(campaign), name));
    }
    assert_eq!(Campaign::named("other"), None);
}
