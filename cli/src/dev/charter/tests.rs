use limen_policy::lint::lint;
use limen_wire::effects::{Address, ChainId};
use limen_wire::ids::{CommitteeSize, KeyId, Protocol, VaultId};

use super::*;
use crate::dev::acts::{EXCHANGE, LIMIT_A_PLACE, NOWHERE_ELSE, TO_KNOWN_PLACES};
use crate::dev::identities;
use crate::dev::keys::Vault;

fn of(required: u16, total: u16) -> Charter {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::open(folder.path()).unwrap();
    let state = State::load_or_make(&layout, Some(total), Some(required), false).unwrap();
    let identities = identities::prepare(&layout, &state).unwrap();
    prepare(&layout, &state, &identities).unwrap()
}

#[test]
fn lint_finds_nothing_whatever_the_size() {
    for (required, total) in [(2, 2), (2, 3), (3, 5), (2, 6), (9, 17)] {
        let charter = of(required, total);
        assert_eq!(lint(&charter), [], "{required} of {total}");
        let keepers = Keepers::of(CommitteeSize::new(required, total).unwrap());
        assert_eq!(charter.witnesses.len(), usize::from(keepers.witnesses));
        let (_, committee) = charter.ledgers.iter().next().unwrap();
        assert!(committee.stays_available_with_f_down());
    }
}

#[test]
fn the_house_knows_what_the_story_speaks_of() {
    let charter = of(2, 3);
    let rule = |name: &str| charter.rules.iter().any(|rule| rule.name == name);
    assert!(rule(TO_KNOWN_PLACES) && rule(NOWHERE_ELSE));
    assert!(charter.limits.keys().any(|limit| limit.as_str() == LIMIT_A_PLACE));
    let book = charter.book.entries().map(|entry| (entry.chain.clone(), entry.address.clone()));
    let exchange = (ChainId::eip155(CHAIN_NUMBER), Address::from_canonical(EXCHANGE).unwrap());
    assert_eq!(book.collect::<Vec<_>>(), [exchange]);
    let vault_of = |key: &str| charter.vaults.of_key(&KeyId::new(key).unwrap()).map(|vault| vault.id.clone());
    for (vault, protocol) in
        [(Vault::Hot, Protocol::Dkls23), (Vault::Hot, Protocol::Cggmp24), (Vault::Cold, Protocol::Dkls23)]
    {
        for name in vault.key_names(protocol) {
            assert_eq!(vault_of(&name), Some(VaultId::new(vault.as_str()).unwrap()), "{name}");
        }
    }
}
