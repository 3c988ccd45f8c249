//! What tokens and their libraries do to whoever trusts them: each trap met, and got out of.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use limen_hsm::{Kind, Provider as _};
use limen_hsm_bridge::config::Config;
use limen_hsm_bridge::doctor::{Weight, examine_all};
use limen_hsm_bridge::provider::Pkcs11Provider;
use limen_wire::ids::KekId;

use crate::soft::{PIN, Soft, kek};

fn open(soft: &Soft) -> Pkcs11Provider {
    Pkcs11Provider::open(&Config::load(&soft.path("bridge.toml")).unwrap(), None).unwrap()
}

/// A second context on the same library, as another part of the process would have one.
fn behind_its_back(soft: &Soft) -> (Pkcs11, Session) {
    let context = Pkcs11::new(soft.module()).unwrap();
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).ok();
    let slots = context.get_slots_with_initialized_token().unwrap();
    let session = context.open_rw_session(slots[0]).unwrap();
    session.login(UserType::User, Some(&AuthPin::new(PIN.into()))).ok();
    (context, session)
}

#[test]
fn logged_out_behind_its_back() {
    Soft::within("traps::logged_out_behind_its_back", |soft| {
        let provider = open(soft);
        provider.make_identity().unwrap();
        provider.create_kek(&kek()).unwrap();
        provider.anchor_advance(&limen_hsm::Anchor { sequence: 3, head: [3; 32] }).unwrap();
        let sealed = provider.seal(&kek(), b"c", b"secret").unwrap();
        let before = provider.describe().unwrap().generation;
        // Whoever logs out at any session logs everybody out; handles that were found before are dead then.
        let log_out = || behind_its_back(soft).1.logout().unwrap();
        log_out();
        assert_eq!(provider.unseal(&kek(), b"c", &sealed).unwrap().as_slice(), b"secret");
        log_out();
        assert_eq!(
            provider.unseal(&kek(), b"other", &sealed).unwrap_err().kind(),
            Kind::DoesNotOpen,
            "and still no more"
        );
        log_out();
        provider.seal(&kek(), b"c", b"secret").unwrap();
        log_out();
        provider.sign_identity(b"message").unwrap();
        log_out();
        assert_eq!(provider.keks().unwrap(), [kek()], "not an empty list");
        log_out();
        assert_eq!(provider.anchor_read().unwrap().unwrap().sequence, 3, "not a fresh anchor");
        log_out();
        provider.create_kek(&KekId::new("second").unwrap()).unwrap();
        assert!(provider.describe().unwrap().generation >= before + 6);
        log_out();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(provider.unseal(&kek(), b"c", &sealed).unwrap().as_slice(), b"secret"));
            }
        });
    });
}

/// Kryoptic says `GENERAL_ERROR` where SoftHSM says that a handle is invalid.
#[test]
fn logged_out_behind_its_back_at_kryoptic() {
    Soft::within_kryoptic("traps::logged_out_behind_its_back_at_kryoptic", |soft| {
        let provider = open(soft);
        provider.create_kek(&kek()).unwrap();
        let sealed = provider.seal(&kek(), b"c", b"secret").unwrap();
        behind_its_back(soft).1.logout().unwrap();
        assert_eq!(provider.unseal(&kek(), b"c", &sealed).unwrap().as_slice(), b"secret");
        behind_its_back(soft).1.logout().unwrap();
        assert_eq!(provider.unseal(&kek(), b"other", &sealed).unwrap_err().kind(), Kind::DoesNotOpen);
        behind_its_back(soft).1.logout().unwrap();
        assert_eq!(provider.keks().unwrap(), [kek()]);
    });
}

/// Kryoptic counts wrong PINs and locks. One try is spent here, by us; the rest stay for people.
#[test]
fn a_token_that_locks_is_not_locked_by_us() {
    Soft::within_kryoptic("traps::a_token_that_locks_is_not_locked_by_us", |soft| {
        soft.write_pin("wrong pin");
        for _ in 0..4 {
            let provider = open(soft);
            for _ in 0..8 {
                assert_eq!(provider.random(8).unwrap_err().kind(), Kind::PinWrong);
            }
        }
        soft.write_pin(PIN);
        let mark = crate::soft::names(&soft.path("state")).into_iter().find(|name| name.starts_with("pin-refused-"));
        std::fs::remove_file(soft.path("state").join(mark.unwrap())).unwrap();
        open(soft).random(8).unwrap();
        // What others spend is seen: a token that says it is locked is not asked.
        let context = Pkcs11::new(soft.module()).unwrap();
        let slot = context.get_slots_with_initialized_token().unwrap()[0];
        let session = context.open_rw_session(slot).unwrap();
        session.logout().ok();
        for _ in 0..12 {
            session.login(UserType::User, Some(&AuthPin::new("wrong".into()))).unwrap_err();
        }
        assert_eq!(open(soft).random(8).unwrap_err().kind(), Kind::PinLocked);
    });
}

/// `C_Finalize` counts for the whole process.
#[test]
fn finalized_behind_its_back() {
    Soft::within("traps::finalized_behind_its_back", |soft| {
        let provider = open(soft);
        provider.create_kek(&kek()).unwrap();
        let sealed = provider.seal(&kek(), b"c", b"secret").unwrap();
        Pkcs11::new(soft.module()).unwrap().finalize().unwrap();
        assert_eq!(provider.unseal(&kek(), b"c", &sealed).unwrap().as_slice(), b"secret");
    });
}

#[test]
fn keys_that_could_leave_the_token_are_refused() {
    Soft::within("traps::keys_that_could_leave_the_token_are_refused", |soft| {
        let provider = open(soft);
        provider.make_identity().unwrap();
        provider.create_kek(&kek()).unwrap();
        assert!(
            examine_all(&provider).iter().all(|finding| finding.weight != Weight::Bad),
            "{:?}",
            examine_all(&provider)
        );
        let (_context, session) = behind_its_back(soft);
        let template = |name: &str, weak: Attribute| {
            let mut template = vec![
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Encrypt(true),
                Attribute::Decrypt(true),
                Attribute::Wrap(false),
                Attribute::Label(format!("limen/kek/{name}").into_bytes()),
                Attribute::Id(b"aes-256-gcm".to_vec()),
            ];
            template.retain(|attribute| std::mem::discriminant(attribute) != std::mem::discriminant(&weak));
            template.push(weak);
            template
        };
        for (name, weak, words) in [
            ("extractable", Attribute::Extractable(true), "CKA_EXTRACTABLE"),
            ("readable", Attribute::Sensitive(false), "CKA_SENSITIVE"),
            ("public", Attribute::Private(false), "CKA_PRIVATE"),
            ("wrapping", Attribute::Wrap(true), "CKA_WRAP"),
        ] {
            let template = [template(name, weak), vec![Attribute::ValueLen(32.into())]].concat();
            session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
            let name = KekId::new(name).unwrap();
            let error = provider.seal(&name, b"c", b"s").unwrap_err();
            assert_eq!(error.kind(), Kind::Dangerous, "{error}");
            assert!(error.to_string().contains(words), "{words} is missing in {error}");
        }
        // One that was made outside, whatever it says of itself now.
        let value = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Value(vec![7; 32]),
        ];
        session.create_object(&[&value[..], &template("brought", Attribute::Wrap(false))].concat()).unwrap();
        let error = provider.seal(&KekId::new("brought").unwrap(), b"c", b"s").unwrap_err();
        assert_eq!(error.kind(), Kind::Dangerous);
        assert!(error.to_string().contains("CKA_LOCAL"), "{error}");
        let bad: Vec<_> = examine_all(&provider).into_iter().filter(|finding| finding.weight == Weight::Bad).collect();
        for name in ["extractable", "readable", "public", "wrapping", "brought"] {
            assert!(bad.iter().any(|finding| finding.what.contains(&format!("limen/kek/{name}"))), "{name}: {bad:?}");
        }
        provider.seal(&kek(), b"c", b"s").unwrap();
    });
}

/// A token that was swapped for another of the same label, whose key has the same name.
#[test]
fn another_key_of_the_same_name_is_refused() {
    Soft::within("traps::another_key_of_the_same_name_is_refused", |soft| {
        open(soft).create_kek(&kek()).unwrap();
        let known = std::fs::read(soft.path("state/known-vault.sealed")).unwrap();
        open(soft).destroy_kek(&kek()).unwrap();
        assert!(!soft.path("state/known-vault.sealed").exists());
        open(soft).create_kek(&kek()).unwrap();
        std::fs::write(soft.path("state/known-vault.sealed"), known).unwrap();
        let error = open(soft).seal(&kek(), b"c", b"s").unwrap_err();
        assert_eq!(error.kind(), Kind::OtherKey, "{error}");
        assert_eq!(open(soft).describe().unwrap_err().kind(), Kind::OtherKey);
    });
}

#[test]
fn two_keys_of_one_name_are_refused() {
    Soft::within("traps::two_keys_of_one_name_are_refused", |soft| {
        open(soft).create_kek(&kek()).unwrap();
        let (_context, session) = behind_its_back(soft);
        let label = Attribute::Label(b"limen/kek/vault".to_vec());
        session
            .generate_key(&Mechanism::AesKeyGen, &[Attribute::Token(true), label, Attribute::ValueLen(32.into())])
            .unwrap();
        assert_eq!(open(soft).seal(&kek(), b"c", b"s").unwrap_err().kind(), Kind::OtherKey);
    });
}

#[test]
fn wrapping_keys_are_bounded_for_tokens_that_hold_few() {
    Soft::within("traps::wrapping_keys_are_bounded_for_tokens_that_hold_few", |soft| {
        soft.configure(&["node1"], "[limits]\nkeks = 2");
        let provider = open(soft);
        for name in ["one", "two"] {
            provider.create_kek(&KekId::new(name).unwrap()).unwrap();
        }
        let error = provider.create_kek(&kek()).unwrap_err();
        assert_eq!(error.kind(), Kind::Full, "{error}");
        provider.destroy_kek(&KekId::new("one").unwrap()).unwrap();
        provider.create_kek(&kek()).unwrap();
    });
}

#[test]
fn a_mechanism_is_never_silently_another() {
    Soft::within("traps::a_mechanism_is_never_silently_another", |soft| {
        open(soft).describe().unwrap();
        soft.configure(&["node1"], "[sealing]\nmechanism = \"aes-256-cbc-hmac-sha256\"");
        let error = open(soft).create_kek(&kek()).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsupported);
        assert!(error.to_string().contains("aes-256-gcm was found before"), "{error}");
        std::fs::write(soft.path("state/mechanism"), "rot13").unwrap();
        assert_eq!(open(soft).describe().unwrap_err().kind(), Kind::Unsupported);
    });
}

#[test]
fn a_token_is_found_by_serial_and_slot_too() {
    Soft::within("traps::a_token_is_found_by_serial_and_slot_too", |soft| {
        let serial = open(soft).describe().unwrap().serial;
        soft.configure(&[&serial], "");
        assert_eq!(open(soft).describe().unwrap().label, "node1");
        let slot = Pkcs11::new(soft.module()).unwrap().get_slots_with_initialized_token().unwrap()[0].id();
        let text = std::fs::read_to_string(soft.path("bridge.toml")).unwrap();
        let by_slot = |slot: u64| text.replace(&format!("token = \"{serial}\""), &format!("slot = {slot}"));
        std::fs::write(soft.path("bridge.toml"), by_slot(slot)).unwrap();
        assert_eq!(open(soft).describe().unwrap().label, "node1");
        std::fs::write(soft.path("bridge.toml"), by_slot(slot + 999_999)).unwrap();
        assert_eq!(open(soft).describe().unwrap_err().kind(), Kind::Gone);
        soft.configure(&["another"], "");
        let error = open(soft).describe().unwrap_err();
        assert_eq!(error.kind(), Kind::Gone);
        assert!(error.to_string().contains("\"node1\" (serial"), "what is there is named: {error}");
    });
}
