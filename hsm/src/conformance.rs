//! What every provider promises, as one suite: for software, for tokens, and through the bridge.
//!
//! [`run`] takes a factory, because much of the promise is that another process, later, finds what this one left. [`Device`] keeps
//! the promises until it is told to fail: what others do then is for their tests.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test suite: a broken promise ends it, by name")]

mod device;
mod held;

pub use held::held_keys_end;
use limen_wire::ids::KekId;
use limen_wire::keys::PublicKey;

use crate::error::{HsmError, Kind};
use crate::provider::{Anchor, MAX_CONTEXT, MAX_MESSAGE, MAX_RANDOM, MAX_SECRET, Provider};
use crate::softhsm;

pub use device::{Device, Mode, serve};

/// SoftHSM2's library. `None` if it is not there and `LIMEN_OFFLINE` says that nothing can be installed; else that is a failure.
pub fn softhsm() -> Option<&'static str> {
    let found = softhsm::library();
    let offline = std::env::var_os("LIMEN_OFFLINE").is_some_and(|value| !value.is_empty());
    assert!(
        found.is_some() || offline,
        "SoftHSM is missing: install softhsm2 (`cargo xtask setup`), or set LIMEN_OFFLINE=1"
    );
    found
}

/// Opens the same device anew.
pub type Factory<'a> = &'a (dyn Fn() -> Box<dyn Provider> + 'a);

/// Every promise, against a device whose anchor and wrapping keys are fresh and which has an identity.
pub fn run(open: Factory<'_>) {
    describes_itself(&*open());
    keks_come_and_go(open);
    records_open_where_they_belong(open);
    spoiled_records_do_not_open(&*open());
    bounds_are_kept(&*open());
    the_identity_signs(open);
    randomness_differs(&*open());
    the_anchor_never_goes_back(open);
    held::keys_sign_where_they_are(open);
    many_at_once(&*open());
}

fn kek(name: &str) -> KekId {
    KekId::new(name).unwrap()
}

fn refused<T>(result: Result<T, HsmError>, kind: Kind, what: &str) {
    let error = result.err().unwrap_or_else(|| unreachable!("{what}: it was taken"));
    assert_eq!(error.kind(), kind, "{what}: {error}");
}

fn describes_itself(provider: &dyn Provider) {
    let description = provider.describe().unwrap();
    assert!(["danger_software", "pkcs11"].contains(&description.kind.as_str()), "{description:?}");
    assert!(!description.label.is_empty() && !description.firmware.is_empty(), "{description:?}");
}

fn keks_come_and_go(open: Factory<'_>) {
    let provider = open();
    let (one, two) = (kek("conformance.1"), kek("conformance.2"));
    refused(provider.seal(&one, b"", b"secret"), Kind::Missing, "sealing under a key that is not there");
    refused(provider.destroy_kek(&one), Kind::Missing, "destroying one");
    provider.create_kek(&two).unwrap();
    provider.create_kek(&one).unwrap();
    refused(provider.create_kek(&one), Kind::Exists, "making one twice");
    for provider in [provider, open()] {
        let names = provider.keks().unwrap();
        assert!(names.is_sorted(), "{names:?}");
        assert!(names.contains(&one) && names.contains(&two), "{names:?}");
    }
    let provider = open();
    let sealed = provider.seal(&one, b"c", b"secret").unwrap();
    provider.destroy_kek(&one).unwrap();
    assert!(!open().keks().unwrap().contains(&one));
    assert!(open().keks().unwrap().contains(&two), "another one stays");
    refused(provider.unseal(&one, b"c", &sealed), Kind::Missing, "opening under a destroyed key");
    provider.create_kek(&one).unwrap();
    refused(provider.unseal(&one, b"c", &sealed), Kind::DoesNotOpen, "opening under a new key of the same name");
    provider.destroy_kek(&one).unwrap();
    provider.destroy_kek(&two).unwrap();
}

fn records_open_where_they_belong(open: Factory<'_>) {
    let provider = open();
    let (one, two) = (kek("conformance.a"), kek("conformance.b"));
    provider.create_kek(&one).unwrap();
    provider.create_kek(&two).unwrap();
    for length in [1, 15, 16, 17, 31, 32, 33, 96, 1000, MAX_SECRET] {
        for context in [&b""[..], b"c", &[7; MAX_CONTEXT]] {
            let secret = vec![0x5a; length];
            let sealed = provider.seal(&one, context, &secret).unwrap();
            assert!(!sealed.windows(length.max(8)).any(|window| window == secret), "the secret stands in the record");
            assert_eq!(*provider.unseal(&one, context, &sealed).unwrap(), secret, "{length} bytes");
        }
    }
    let sealed = provider.seal(&one, b"here", b"secret").unwrap();
    assert_ne!(sealed, provider.seal(&one, b"here", b"secret").unwrap(), "each record has an IV of its own");
    assert_eq!(*open().unseal(&one, b"here", &sealed).unwrap(), b"secret", "opened anew");
    for context in [&b""[..], b"her", b"here\0", b"there"] {
        refused(provider.unseal(&one, context, &sealed), Kind::DoesNotOpen, "another context");
    }
    refused(provider.unseal(&two, b"here", &sealed), Kind::DoesNotOpen, "another key");
    refused(provider.unseal(&kek("conformance.c"), b"here", &sealed), Kind::Missing, "a key that is not there");
    // The other key's name in the head, so that only cryptography can tell.
    let at = sealed.windows(13).position(|window| window == one.as_str().as_bytes()).unwrap();
    let mut renamed = sealed.clone();
    renamed[at..at + 13].copy_from_slice(two.as_str().as_bytes());
    refused(provider.unseal(&two, b"here", &renamed), Kind::DoesNotOpen, "a record under another name");
    assert_eq!(*provider.unseal(&one, b"here", &sealed).unwrap(), b"secret", "refusals change nothing");
}

fn spoiled_records_do_not_open(provider: &dyn Provider) {
    let one = kek("conformance.a");
    let sealed = provider.seal(&one, b"c", &[0x33; 32]).unwrap();
    for at in 0..sealed.len() {
        let mut spoiled = sealed.clone();
        spoiled[at] ^= 1 << (at % 8);
        refused(provider.unseal(&one, b"c", &spoiled), Kind::DoesNotOpen, &format!("byte {at} flipped"));
    }
    for length in 0..sealed.len() {
        refused(provider.unseal(&one, b"c", &sealed[..length]), Kind::DoesNotOpen, &format!("cut to {length}"));
    }
    for more in [1, 16, 8192] {
        let longer = [sealed.as_slice(), &vec![0; more]].concat();
        refused(provider.unseal(&one, b"c", &longer), Kind::DoesNotOpen, &format!("{more} bytes more"));
    }
    assert_eq!(*provider.unseal(&one, b"c", &sealed).unwrap(), [0x33; 32], "the true one still opens");
}

fn bounds_are_kept(provider: &dyn Provider) {
    let one = kek("conformance.a");
    refused(provider.seal(&one, b"c", b""), Kind::Input, "an empty secret");
    refused(provider.seal(&one, b"c", &[0; MAX_SECRET + 1]), Kind::Input, "a long secret");
    refused(provider.seal(&one, &[0; MAX_CONTEXT + 1], b"s"), Kind::Input, "a long context");
    refused(provider.unseal(&one, &[0; MAX_CONTEXT + 1], b"s"), Kind::Input, "a long context to open with");
    refused(provider.sign_identity(&[0; MAX_MESSAGE + 1]), Kind::Input, "a long message");
    refused(provider.random(0), Kind::Input, "no bytes");
    refused(provider.random(MAX_RANDOM + 1), Kind::Input, "too many bytes");
}

fn the_identity_signs(open: Factory<'_>) {
    let provider = open();
    let key = provider.identity().unwrap();
    assert!(matches!(key, PublicKey::P256(_)));
    assert_eq!(open().identity().unwrap(), key, "opened anew");
    for number in 0..16u8 {
        let message = vec![number; usize::from(number) * 100];
        let signature = provider.sign_identity(&message).unwrap();
        // A high S does not verify here: one signature has one spelling.
        assert!(key.verify(&message, &signature), "{number}");
        assert!(!key.verify(b"another", &signature), "{number}");
    }
    let long = vec![1; MAX_MESSAGE];
    assert!(key.verify(&long, &provider.sign_identity(&long).unwrap()));
}

fn randomness_differs(provider: &dyn Provider) {
    for count in [1, 12, 32, MAX_RANDOM] {
        assert_eq!(provider.random(count).unwrap().len(), count);
    }
    assert_ne!(*provider.random(32).unwrap(), *provider.random(32).unwrap());
    let long = provider.random(MAX_RANDOM).unwrap();
    assert!(long.iter().collect::<std::collections::BTreeSet<_>>().len() > 128, "they look like a constant");
}

fn the_anchor_never_goes_back(open: Factory<'_>) {
    let provider = open();
    assert_eq!(provider.anchor_read().unwrap(), None, "the device must be fresh");
    let at = |sequence, head| Anchor { sequence, head: [head; 32] };
    refused(provider.anchor_advance(&at(0, 1)), Kind::Input, "nothing is at zero");
    for to in [at(1, 1), at(1, 1), at(2, 2), at(1000, 3), at(u64::MAX - 1, 4)] {
        provider.anchor_advance(&to).unwrap();
        assert_eq!(provider.anchor_read().unwrap(), Some(to));
        assert_eq!(open().anchor_read().unwrap(), Some(to), "opened anew");
    }
    for back in [at(u64::MAX - 1, 5), at(u64::MAX - 2, 4), at(1, 1), at(0, 0)] {
        refused(provider.anchor_advance(&back), Kind::AnchorBack, &format!("{back:?}"));
        refused(open().anchor_advance(&back), Kind::AnchorBack, &format!("{back:?}, opened anew"));
    }
    assert_eq!(provider.anchor_read().unwrap(), Some(at(u64::MAX - 1, 4)));
}

fn many_at_once(provider: &dyn Provider) {
    let one = kek("conformance.a");
    let work = |thread: u8| {
        for number in 0..25u8 {
            let secret = [thread, number, 1];
            let sealed = provider.seal(&one, &secret, &secret).unwrap();
            assert_eq!(*provider.unseal(&one, &secret, &sealed).unwrap(), secret);
            refused(provider.unseal(&one, b"other", &sealed), Kind::DoesNotOpen, "another context");
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || work(thread));
        }
    });
}
