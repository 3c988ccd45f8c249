use super::*;

fn orphan(version: u8) -> Orphan {
    Orphan { version: CharterHash::new([version; 32]), missing: vec![CharterHash::new([99; 32])] }
}

/// A peer that invents one version after the other takes no place but its own, and none once it stops.
#[test]
fn each_peer_holds_up_its_own_records_only() {
    let (orphans, liar, honest) = (Orphans::default(), NodeId::new("a").unwrap(), NodeId::new("b").unwrap());
    orphans.note(&honest, orphan(200));
    for version in 0..100 {
        orphans.note(&liar, orphan(version));
        assert_eq!(orphans.len(), 2);
    }
    orphans.note(&liar, orphan(200));
    orphans.forget(&CharterHash::new([99; 32]));
    assert_eq!(orphans.len(), 2, "that is another one");
    orphans.pass(&liar);
    assert_eq!(orphans.len(), 1);
    orphans.note(&liar, orphan(200));
    orphans.forget(&CharterHash::new([200; 32]));
    assert!(orphans.is_empty(), "it was taken, whoever showed it");
}
