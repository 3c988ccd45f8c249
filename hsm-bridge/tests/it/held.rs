//! Keys that live in the token alone: which kinds each has, and what is refused.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use limen_hsm::{HeldKind, Kind, Provider as _};
use limen_hsm_bridge::config::Config;
use limen_hsm_bridge::doctor::{Weight, examine_all};
use limen_hsm_bridge::provider::Pkcs11Provider;
use limen_wire::ids::HeldId;

use crate::soft::{PIN, Soft};

const SECP256K1: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];

fn open(soft: &Soft) -> Pkcs11Provider {
    Pkcs11Provider::open(&Config::load(&soft.path("bridge.toml")).unwrap(), None).unwrap()
}

fn name(name: &str) -> HeldId {
    HeldId::new(name).unwrap()
}

fn behind_its_back(soft: &Soft) -> (Pkcs11, Session) {
    let context = Pkcs11::new(soft.module()).unwrap();
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).ok();
    let slots = context.get_slots_with_initialized_token().unwrap();
    let session = context.open_rw_session(slots[0]).unwrap();
    session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).ok();
    (context, session)
}

fn make(session: &Session, label: &str, id: &str, more: &[Attribute]) {
    let label = format!("limen/held/{label}");
    let name = [Attribute::Label(label.into_bytes()), Attribute::Id(id.as_bytes().to_vec()), Attribute::Token(true)];
    let public = [&name[..], &[Attribute::EcParams(SECP256K1.to_vec()), Attribute::Verify(true)]].concat();
    let usual = [
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Derive(false),
        Attribute::Decrypt(false),
        Attribute::SignRecover(false),
        Attribute::Unwrap(false),
    ];
    let usual: Vec<_> = usual
        .into_iter()
        .filter(|it| !more.iter().any(|more| std::mem::discriminant(more) == std::mem::discriminant(it)))
        .collect();
    let private = [&name[..], &usual, more].concat();
    session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).unwrap();
}

#[test]
fn softhsm_holds_every_kind() {
    Soft::within("held::softhsm_holds_every_kind", |soft| {
        assert_eq!(open(soft).held_kinds().unwrap(), HeldKind::ALL);
    });
}

/// This build has no Ed25519, and no build has secp256k1: a general error is how it says so.
#[test]
fn kryoptic_says_what_it_lacks() {
    Soft::within_kryoptic("held::kryoptic_says_what_it_lacks", |soft| {
        let kinds = open(soft).held_kinds().unwrap();
        assert!(kinds.contains(&HeldKind::EcdsaP256) && !kinds.contains(&HeldKind::EcdsaSecp256k1), "{kinds:?}");
        let error = open(soft).create_held(&name("k"), HeldKind::EcdsaSecp256k1).unwrap_err();
        assert_eq!(error.kind(), Kind::HeldUnsupported, "{error}");
    });
}

#[test]
fn keys_that_could_leave_or_do_more_are_refused() {
    Soft::within("held::keys_that_could_leave_or_do_more_are_refused", |soft| {
        let provider = open(soft);
        provider.make_identity().unwrap();
        let (_context, session) = behind_its_back(soft);
        let kind = HeldKind::EcdsaSecp256k1;
        for (label, more, words) in [
            ("extractable", Attribute::Extractable(true), "CKA_EXTRACTABLE"),
            ("readable", Attribute::Sensitive(false), "CKA_SENSITIVE"),
            ("public", Attribute::Private(false), "CKA_PRIVATE"),
            ("agreeing", Attribute::Derive(true), "CKA_DERIVE"),
            ("decrypting", Attribute::Decrypt(true), "CKA_DECRYPT"),
            ("unwrapping", Attribute::Unwrap(true), "CKA_UNWRAP"),
            ("silent", Attribute::Sign(false), "CKA_SIGN"),
        ] {
            make(&session, label, kind.name(), &[more]);
            for error in [
                provider.held(&name(label)).unwrap_err(),
                provider.sign_held(&name(label), kind, &[1; 32]).unwrap_err(),
            ] {
                assert_eq!(error.kind(), Kind::Dangerous, "{error}");
                assert!(error.to_string().contains(words), "{words} is missing in {error}");
            }
            assert_eq!(provider.create_held(&name(label), kind).unwrap_err().kind(), Kind::Exists);
        }
        make(&session, "strange", "rsa", &[]);
        assert_eq!(provider.held(&name("strange")).unwrap_err().kind(), Kind::HeldUnsupported);
        make(&session, "twice", kind.name(), &[]);
        make(&session, "twice", kind.name(), &[]);
        assert_eq!(provider.held(&name("twice")).unwrap_err().kind(), Kind::OtherKey);
        let findings = examine_all(&provider);
        assert!(findings.iter().any(|it| it.weight == Weight::Bad && it.what.contains("limen/held/extractable")));
        assert!(findings.iter().any(|it| it.what.contains("ecdsa-p256, ecdsa-secp256k1, eddsa-ed25519")));
    });
}

/// As a kill between the token's call and everything after it leaves it: the key is there, and nothing here knows it.
#[test]
fn a_key_whose_making_was_cut_off_is_the_only_one_of_its_name() {
    Soft::within("held::a_key_whose_making_was_cut_off_is_the_only_one_of_its_name", |soft| {
        let kind = HeldKind::EcdsaSecp256k1;
        let key = open(soft).create_held(&name("k"), kind).unwrap();
        std::fs::remove_file(soft.path("state/held-k.public")).unwrap();
        assert_eq!(open(soft).create_held(&name("k"), kind).unwrap_err().kind(), Kind::Exists);
        assert_eq!(open(soft).held(&name("k")).unwrap(), key);
        assert!(soft.path("state/held-k.public").exists(), "and now it is known");
    });
}

#[test]
fn another_key_of_the_same_name_is_refused_and_a_lost_one_is_not_made_anew() {
    Soft::within("held::another_key_of_the_same_name_is_refused_and_a_lost_one_is_not_made_anew", |soft| {
        let kind = HeldKind::EcdsaSecp256k1;
        open(soft).create_held(&name("k"), kind).unwrap();
        let known = std::fs::read(soft.path("state/held-k.public")).unwrap();
        open(soft).destroy_held(&name("k")).unwrap();
        open(soft).create_held(&name("k"), kind).unwrap();
        std::fs::write(soft.path("state/held-k.public"), &known).unwrap();
        assert_eq!(open(soft).held(&name("k")).unwrap_err().kind(), Kind::OtherKey);
        assert_eq!(open(soft).sign_held(&name("k"), kind, &[1; 32]).unwrap_err().kind(), Kind::OtherKey);
        open(soft).destroy_held(&name("k")).unwrap();
        std::fs::write(soft.path("state/held-k.public"), &known).unwrap();
        for error in [
            open(soft).create_held(&name("k"), kind).unwrap_err(),
            open(soft).held(&name("k")).unwrap_err(),
            open(soft).held_names().unwrap_err(),
        ] {
            assert_eq!(error.kind(), Kind::Gone, "{error}");
        }
    });
}

#[test]
fn logged_out_behind_its_back() {
    Soft::within("held::logged_out_behind_its_back", |soft| {
        let (provider, kind) = (open(soft), HeldKind::EddsaEd25519);
        let key = provider.create_held(&name("k"), kind).unwrap();
        behind_its_back(soft).1.logout().unwrap();
        assert!(key.verify(b"m", &provider.sign_held(&name("k"), kind, b"m").unwrap()));
        behind_its_back(soft).1.logout().unwrap();
        assert_eq!(provider.held(&name("k")).unwrap(), key);
        behind_its_back(soft).1.logout().unwrap();
        assert_eq!(provider.held_names().unwrap(), [name("k")], "not an empty list");
        behind_its_back(soft).1.logout().unwrap();
        assert_eq!(provider.create_held(&name("k"), kind).unwrap_err().kind(), Kind::Exists);
        behind_its_back(soft).1.logout().unwrap();
        assert_eq!(provider.held_kinds().unwrap(), HeldKind::ALL);
    });
}

/// By the people at the bridge, who must mean it.
#[test]
fn people_list_and_destroy_held_keys_by_command() {
    let Some(soft) = Soft::new() else { return };
    soft.init();
    {
        let _daemon = soft.daemon();
        for held in ["one", "two"] {
            soft.client().create_held(&name(held), HeldKind::EcdsaP256).unwrap();
        }
    }
    let said = |args: &[&str]| {
        let done = soft.run(args);
        (done.status.success(), format!("{}{}", text(&done.stdout), text(&done.stderr)))
    };
    let (_, listed) = said(&["held"]);
    assert!(listed.contains("one ecdsa-p256 0") && listed.contains("two ecdsa-p256 0"), "{listed}");
    let known = std::fs::read(soft.path("state/held-one.public")).unwrap();
    std::fs::write(soft.path("state/held-one.public"), "nonsense").unwrap();
    let (done, listed) = said(&["held"]);
    assert!(!done && listed.contains("one: could not") && listed.contains("two ecdsa-p256 0"), "{listed}");
    std::fs::write(soft.path("state/held-one.public"), known).unwrap();
    for (args, words) in [
        (&["destroy-held", "one"][..], "--confirm"),
        (&["destroy-held", "one", "--confirm", "two"], "nothing was destroyed"),
        (&["destroy-held", "three", "--confirm", "three"], "object_missing"),
    ] {
        let (done, answer) = said(args);
        assert!(!done && answer.contains(words), "{args:?}: {answer}");
    }
    let (done, answer) = said(&["destroy-held", "one", "--confirm", "one"]);
    assert!(done && answer.contains("one is destroyed"), "{answer}");
    let (_, listed) = said(&["held"]);
    assert!(!listed.contains("one ecdsa") && listed.contains("two ecdsa-p256 0"), "{listed}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
