//! What is made is read again, and what cannot be kept is not made.

use limen_recover::age::{NoCallbacks, x25519};
use limen_recover::{Backup, BadRecipient, HeadError, MakeError, PieceError, Plugins, Recipient, SealError};
use limen_wire::ids::Scheme;

use crate::house::{Keeper, SCHEMES, back_up, deal, keepers, order, party, person, rng};

#[test]
fn a_backup_is_read_as_it_was_written_and_shows_whose_it_is() {
    for scheme in SCHEMES {
        let (dealt, keepers) = (deal("hot", 4, scheme, 2, 3), keepers());
        let backup = back_up(&dealt.shares[1], &keepers, 2);
        let text = backup.encode();
        assert!(text.len() < 4096, "{}", text.len());
        let read = Backup::decode(text.as_bytes()).unwrap();
        assert_eq!(read, backup);
        assert_eq!(read.hash(), backup.hash());
        assert!(text.ends_with(&format!("sha256: {}\n", backup.hash())));
        let head = read.head();
        assert_eq!(head.public(), dealt.shares[1].public());
        assert_eq!((head.member(), head.node().as_str()), (party(2), "signer-2"));
        assert_eq!((head.pieces_required(), head.custodians().len()), (2, 3));
        for keeper in &keepers {
            assert_eq!(keeper.open(&read).holder(), &keeper.person());
            assert_eq!(read.open(&keeper.identities()).len(), 1);
        }
    }
}

#[test]
fn no_secret_stands_in_a_backup() {
    for scheme in SCHEMES {
        let dealt = deal("hot", 1, scheme, 2, 3);
        let text = back_up(&dealt.shares[0], &keepers(), 2).encode();
        let core = dealt.shares[0].export_core();
        assert!(!text.contains(&hex::encode(&core[6..])));
        assert!(!text.contains(&hex::encode(dealt.secret)));
    }
}

#[test]
fn orders_that_cannot_be_kept_are_refused() {
    let (dealt, keepers) = (deal("hot", 1, Scheme::EddsaEd25519, 2, 3), keepers());
    let share = &dealt.shares[0];
    let make = |change: &dyn Fn(&mut limen_recover::Order)| {
        let mut order = order(share.index(), &keepers, 2);
        change(&mut order);
        Backup::make(share, order, &Plugins::none(), &NoCallbacks, &mut rng(1)).unwrap_err()
    };
    for pieces in [0, 4, 255] {
        let refused = make(&|order| order.pieces_required = pieces);
        assert!(matches!(refused, MakeError::Head(HeadError::Pieces { total: 3, .. })), "{refused}");
    }
    let nobody = make(&|order| order.custodians.clear());
    assert!(matches!(nobody, MakeError::Head(HeadError::Pieces { total: 0, .. })), "{nobody}");
    let crowd = make(&|order| order.custodians = vec![keepers[0].custodian(); 17]);
    assert!(matches!(crowd, MakeError::Head(HeadError::Pieces { total: 17, .. })), "{crowd}");
    let twice = make(&|order| order.custodians[2].person = person("anna"));
    assert!(matches!(&twice, MakeError::Head(HeadError::CustodianTwice { person }) if person.as_str() == "anna"));
    let one_key = make(&|order| order.custodians[2].recipient = order.custodians[0].recipient.clone());
    assert!(matches!(&one_key, MakeError::Head(HeadError::CustodianTwice { person }) if person.as_str() == "carla"));
    // Mistyped is refused where it is read.
    let right = keepers[1].custodian().recipient.to_string();
    let mut wrong = right.clone();
    wrong.replace_range(20..21, if &right[20..21] == "q" { "p" } else { "q" });
    for mistyped in ["age1nonsense", &wrong] {
        assert!(matches!(Recipient::new(mistyped), Err(BadRecipient::Mistyped(_))));
    }
}

/// A recipient of this plugin.
fn of_plugin(name: &str) -> Recipient {
    Recipient::new(&crate::house::bech32(&format!("age1{name}"), &[7; 32])).unwrap()
}

#[test]
fn no_plugin_is_run_that_was_not_allowed_by_name() {
    let (dealt, keepers) = (deal("hot", 1, Scheme::EddsaEd25519, 2, 3), keepers());
    let share = &dealt.shares[0];
    let make = |plugins: &Plugins| {
        let mut order = order(share.index(), &keepers, 2);
        order.custodians[1].recipient = of_plugin("limentest");
        Backup::make(share, order, plugins, &NoCallbacks, &mut rng(1)).unwrap_err()
    };
    for plugins in [Plugins::none(), Plugins::of(["other", "limentes", "limentest2", "age-plugin-limentest"])] {
        let refused = make(&plugins);
        let MakeError::Seal { holder, cause: SealError::NotAllowed { plugin, .. } } = &refused else {
            panic!("{refused}")
        };
        assert_eq!((holder.as_str(), plugin.as_str()), ("bela", "limentest"));
    }
    // Allowed, and not installed: told by the custodian's name.
    let refused = make(&Plugins::of(["limentest"]));
    assert!(
        matches!(&refused, MakeError::Seal { holder, cause: SealError::Encrypt { .. } } if holder.as_str() == "bela")
    );
}

/// What the check of recipients is for: without it the maker of a backup falls over.
#[test]
fn recipients_at_which_age_panics_are_refused_where_they_are_read() {
    for text in crate::house::low_order() {
        let key: x25519::Recipient = text.parse().unwrap();
        std::panic::catch_unwind(|| limen_recover::age::encrypt(&key, b"x").map(drop)).unwrap_err();
        assert!(matches!(Recipient::new(&text), Err(BadRecipient::LowOrder(_))), "{text}");
    }
    // All that are left share a secret: nothing but points of low order gives zero.
    let (dealt, keepers) = (deal("hot", 1, Scheme::EddsaEd25519, 2, 3), keepers());
    for byte in 2..60 {
        let mut order = order(dealt.shares[0].index(), &keepers, 2);
        order.custodians[0].recipient = Recipient::new(&crate::house::bech32("age", &[byte; 32])).unwrap();
        Backup::make(&dealt.shares[0], order, &Plugins::none(), &NoCallbacks, &mut rng(1)).unwrap();
    }
}

#[test]
fn one_of_one_and_sixteen_of_sixteen_are_kept() {
    let dealt = deal("hot", 1, Scheme::EcdsaSecp256k1, 2, 2);
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];
    let crowd = names.map(Keeper::new);
    for (keepers, required) in [(&crowd[..1], 1), (&crowd[..], 1), (&crowd[..], 16)] {
        let backup = back_up(&dealt.shares[0], keepers, required);
        assert_eq!(Backup::decode(backup.encode().as_bytes()).unwrap(), backup);
        assert!(keepers.iter().all(|keeper| keeper.open(&backup).backup() == backup.hash()));
    }
}

#[test]
fn a_stranger_opens_nothing() {
    let (dealt, keepers, stranger) = (deal("hot", 1, Scheme::EcdsaSecp256k1, 2, 3), keepers(), Keeper::new("anna"));
    let backup = back_up(&dealt.shares[0], &keepers, 2);
    assert!(backup.open(&stranger.identities()).is_empty());
    let refused = backup.open_one(&person("anna"), &stranger.identities()).unwrap_err();
    assert_eq!(refused, PieceError::NotForThese { holder: person("anna") });
    let refused = backup.open_one(&person("dora"), &stranger.identities()).unwrap_err();
    assert_eq!(refused, PieceError::NoCustodian { holder: person("dora") });
}
