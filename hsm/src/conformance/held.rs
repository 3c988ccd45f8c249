//! Keys that live in the device.

use limen_wire::ids::HeldId;

use super::{Factory, refused};
use crate::error::{HsmError, Kind};
use crate::held::{HeldKind, HeldPublic};
use crate::provider::{MAX_MESSAGE, Provider};

fn name(name: &str) -> HeldId {
    HeldId::new(name).unwrap()
}

/// Kinds that the device lacks are the ones that it says it lacks, and it refuses them by name.
pub(super) fn keys_sign_where_they_are(open: Factory<'_>) {
    let kinds = open().held_kinds().unwrap();
    assert!(kinds.is_sorted() && kinds.contains(&HeldKind::EcdsaP256), "{kinds:?}");
    let nobody = name("conformance.nobody");
    refused(open().held(&nobody), Kind::Missing, "a held key that is not there");
    refused(open().sign_held(&nobody, HeldKind::EcdsaP256, &[1; 32]), Kind::Missing, "signing with it");
    for kind in HeldKind::ALL {
        if kinds.contains(&kind) {
            a_kind_is_held(open, kind);
        } else {
            let lacking = name(&format!("conformance.{kind}"));
            refused(open().create_held(&lacking, kind), Kind::HeldUnsupported, "a kind that it says it lacks");
            refused(open().held(&lacking), Kind::Missing, "a kind that it lacks, afterwards");
        }
    }
}

fn a_kind_is_held(open: Factory<'_>, kind: HeldKind) {
    let (one, two) = (name(&format!("conformance.{kind}.1")), name(&format!("conformance.{kind}.2")));
    let provider = open();
    let key = provider.create_held(&one, kind).unwrap();
    assert_eq!(key.kind(), kind);
    refused(provider.create_held(&one, kind), Kind::Exists, "making one twice");
    for other in HeldKind::ALL.into_iter().filter(|other| *other != kind) {
        // A kind that the device lacks may be refused as that, but never made.
        let error = provider.create_held(&one, other).unwrap_err();
        assert!([Kind::Exists, Kind::HeldUnsupported].contains(&error.kind()), "{error}");
        let input = if other.takes_digest() { &[1; 32][..] } else { b"m" };
        refused(provider.sign_held(&one, other, input), Kind::OtherKey, "signing as another kind");
    }
    let other = provider.create_held(&two, kind).unwrap();
    assert_ne!(other, key, "each is its own");
    let names = open().held_names().unwrap();
    assert!(names.is_sorted() && names.contains(&one) && names.contains(&two), "{names:?}");
    for provider in [provider, open()] {
        assert_eq!(provider.held(&one).unwrap(), key);
        it_signs(&*provider, &one, (&key, &other));
    }
    assert!(!open().keks().unwrap().iter().any(|kek| kek.as_str() == one.as_str()), "it is no wrapping key");
}

/// What whoever has the device can do, and no signer can ask for: `destroy` ends a held key.
pub fn held_keys_end(open: Factory<'_>, destroy: &dyn Fn(&HeldId) -> Result<(), HsmError>) {
    refused(destroy(&name("conformance.nobody")), Kind::Missing, "destroying what is not there");
    let (one, two, kind) = (name("conformance.one"), name("conformance.two"), HeldKind::EcdsaP256);
    let first = open().create_held(&one, kind).unwrap();
    let other = open().create_held(&two, kind).unwrap();
    destroy(&one).unwrap();
    refused(open().held(&one), Kind::Missing, "a destroyed key");
    refused(open().sign_held(&one, kind, &[1; 32]), Kind::Missing, "signing with it");
    assert_eq!(open().held_names().unwrap(), std::slice::from_ref(&two));
    assert_eq!(open().held(&two).unwrap(), other, "another one stays");
    assert_ne!(open().create_held(&one, kind).unwrap(), first, "a new key of an old name is a new key");
    destroy(&one).unwrap();
    destroy(&two).unwrap();
}

fn it_signs(provider: &dyn Provider, held: &HeldId, (key, other): (&HeldPublic, &HeldPublic)) {
    let kind = key.kind();
    for number in 0..8u8 {
        let input = if kind.takes_digest() { vec![number; 32] } else { vec![number; usize::from(number) * 100] };
        let signature = provider.sign_held(held, kind, &input).unwrap();
        assert!(key.verify(&input, &signature), "{kind} {number}");
        assert!(!other.verify(&input, &signature), "under another key");
        assert!(!key.verify(&[9; 32], &signature), "over something else");
    }
    let most = if kind.takes_digest() { 32 } else { MAX_MESSAGE };
    let long = vec![5; most];
    assert!(key.verify(&long, &provider.sign_held(held, kind, &long).unwrap()));
    refused(provider.sign_held(held, kind, &vec![5; most + 1]), Kind::Input, "too much to sign");
    if kind.takes_digest() {
        refused(provider.sign_held(held, kind, &[5; 31]), Kind::Input, "a short digest");
    }
}
