//! Keys that live in one token: what a charter may say of them, and what it then says of orders and keys.

use limen_wire::ids::{ClusterId, CommitteeSize, IntentId, RequesterId};
use limen_wire::intent::KeyGeneration;

use super::*;
use crate::charter::tests::sample;
use crate::diff::{Direction, diff};
use crate::key_order::{self, KeyOrderError};

/// The sample with the key that it shows, for real: its vault's limits are all certified then.
fn marked() -> String {
    let text = sample()
        .replace("keys = [\"reserve\"]", "keys = [\"reserve\", \"old-reserve\"]")
        .replace(SPLIT, "ledger = \"main\"\n");
    let start = text.find("# [[hsm_keys]]").unwrap();
    let end = start + text[start..].find("\n\n").unwrap();
    format!("{}{}{}", &text[..start], text[start..end].replace("# ", ""), &text[end..])
}

const SPLIT: &str = "split_amount = \"5000\"\nsplit_count = 100\n";

/// A ledger that the key's own signer keeps.
const ALONE: &str = "ledger = \"alone\"\n[[ledgers]]\nid = \"alone\"\nmembers = [\"signer-1\"]\nquorum = 1\ncorrupt = 0\n\n# With a currency";

/// A limit on all vaults, which no ledger keeps.
const UNCERTIFIED: &str = "window_secs = 86400\nmax_amount = \"250000\"\n";

fn key(name: &str) -> KeyId {
    KeyId::new(name).unwrap()
}

fn nodes(names: &[&str]) -> Vec<NodeId> {
    names.iter().map(|name| NodeId::new(*name).unwrap()).collect()
}

#[test]
fn a_marked_key_is_read() {
    let charter = Charter::from_toml(&marked()).unwrap();
    let known =
        HeldKey { id: key("old-reserve"), node: nodes(&["signer-1"]).remove(0), scheme: Scheme::EcdsaSecp256k1 };
    assert_eq!(charter.hsm_keys.into_values().collect::<Vec<_>>(), [known]);
    assert!(Charter::from_toml(&sample()).unwrap().hsm_keys.is_empty());
}

#[test]
fn a_p256_key_is_marked_like_another_and_no_protocol_of_several_signers_has_it() {
    let text = marked().replace("scheme = \"ecdsa-secp256k1\"", "scheme = \"ecdsa-p256\"");
    let charter = Charter::from_toml(&text).unwrap();
    let check =
        |protocol, scheme, members: &[&str]| charter.check_held(&key("old-reserve"), protocol, scheme, &nodes(members));
    assert_eq!(check(Protocol::Hsm, Scheme::EcdsaP256, &["signer-1"]), Ok(()));
    let other = check(Protocol::Hsm, Scheme::EcdsaSecp256k1, &["signer-1"]).unwrap_err();
    let (expected, found) = (Scheme::EcdsaP256, Scheme::EcdsaSecp256k1);
    assert_eq!(other, HeldKeyError::OtherScheme { key: key("old-reserve"), expected, found });
    let all = ["signer-1", "signer-2", "signer-3"];
    for protocol in [Protocol::Dkls23, Protocol::Cggmp24, Protocol::Frost] {
        assert_eq!(check(protocol, Scheme::EcdsaP256, &all), Err(HeldKeyError::Marked(key("old-reserve"))));
    }
    let before = Charter::from_toml(&marked()).unwrap();
    assert!(diff(&before, &charter).iter().any(|change| change.direction == Direction::Loosens), "another scheme");
}

#[test]
fn what_may_not_be_marked_so_is_refused() {
    let mark = "[[hsm_keys]]\nid = \"old-reserve\"";
    let many: String = (0..256)
        .map(|n| format!("[[hsm_keys]]\nid = \"k{n}\"\nnode = \"signer-1\"\nscheme = \"eddsa-ed25519\"\noutside_the_promise = true\n"))
        .collect();
    for (from, to, says) in [
        ("outside_the_promise = true", "", "outside_the_promise = true"),
        ("outside_the_promise = true", "outside_the_promise = false", "signs alone"),
        ("node = \"signer-1\"\nscheme", "node = \"signer-9\"\nscheme", "there is no signer node signer-9"),
        ("node = \"signer-1\"\nscheme", "node = \"witness-1\"\nscheme", "there is no signer node witness-1"),
        ("scheme = \"ecdsa-secp256k1\"", "scheme = \"schnorr-bip340\"", "no token makes schnorr-bip340"),
        ("scheme = \"ecdsa-secp256k1\"", "scheme = \"rsa\"", "rsa"),
        ("scheme = \"ecdsa-secp256k1\"", "scheme = \"ecdsa-secp256k1\"\ncolour = 1", "colour"),
        ("tier = \"cold\"", "tier = \"warm\"", "vault reserve is not cold: only a cold vault may have it"),
        ("tier = \"cold\"", "tier = \"hot\"", "vault reserve is not cold: only a cold vault may have it"),
        (", \"old-reserve\"]", "]", "belongs to no vault: only a cold vault may have it"),
        (
            "ledger = \"main\"\n\n# With a currency",
            "\n# With a currency",
            "limit reserve-ever bounds its vault and names no ledger",
        ),
        (
            "vaults = [\"reserve\"]\nwindow_secs = 86400\nmax_amount = \"250000\"\nledger = \"main\"\n",
            UNCERTIFIED,
            "limit reserve-usd-a-day bounds its vault",
        ),
        ("corrupt = 1\n", "corrupt = 0\n", "the ledger of claims has `corrupt = 0`"),
        (
            "ledger = \"main\"\n\n# With a currency",
            ALONE,
            "limit reserve-ever bounds its vault and names ledger alone, which has",
        ),
        (mark, &format!("{many}{mark}"), "at most 256"),
        (
            mark,
            &format!("{mark}\nnode = \"signer-2\"\nscheme = \"eddsa-ed25519\"\noutside_the_promise = true\n{mark}"),
            "named twice",
        ),
    ] {
        let text = marked();
        assert!(text.contains(from), "{from}");
        let error = Charter::from_toml(&text.replacen(from, to, 1)).expect_err(says).to_string();
        assert!(error.contains(says), "{from} → {to}: {error}");
    }
}

/// Nobody else signs along, so an old disk of the one signer must not decide alone what counts once.
#[test]
fn a_charter_without_claims_has_no_such_key() {
    let text = marked().replace("claims = \"main\"\n", "");
    // Ceilings ask for a ledger of claims too.
    let (before, ceilings) = text.split_once("# The most of an asset").unwrap();
    let after = ceilings.find("# How this charter").unwrap();
    let text = format!("{before}{}", &ceilings[after..]);
    let error = Charter::from_toml(&text).unwrap_err().to_string();
    assert!(error.contains("old-reserve") && error.contains("name a ledger in claims"), "{error}");
    let marks = text.find("[[hsm_keys]]").unwrap();
    let end = marks + text[marks..].find("\n\n").unwrap();
    Charter::from_toml(&format!("{}{}", &text[..marks], &text[end..])).unwrap();
}

#[test]
fn keys_are_what_the_charter_says_of_them() {
    let charter = Charter::from_toml(&marked()).unwrap();
    let check = |name: &str, protocol, scheme, members: &[&str]| {
        charter.check_held(&key(name), protocol, scheme, &nodes(members))
    };
    let (ecdsa, eddsa, all) = (Scheme::EcdsaSecp256k1, Scheme::EddsaEd25519, ["signer-1", "signer-2", "signer-3"]);
    assert_eq!(check("old-reserve", Protocol::Hsm, ecdsa, &["signer-1"]), Ok(()));
    assert_eq!(check("reserve", Protocol::Dkls23, ecdsa, &all), Ok(()));
    let refused = |name, protocol, scheme, members| check(name, protocol, scheme, members).unwrap_err();
    assert_eq!(refused("reserve", Protocol::Hsm, ecdsa, &["signer-1"]), HeldKeyError::Unmarked(key("reserve")));
    assert_eq!(refused("old-reserve", Protocol::Dkls23, ecdsa, &all), HeldKeyError::Marked(key("old-reserve")));
    for members in [&["signer-2"][..], &["signer-1", "signer-2"], &[]] {
        assert!(matches!(refused("old-reserve", Protocol::Hsm, ecdsa, members), HeldKeyError::OtherNode { .. }));
    }
    assert!(matches!(refused("old-reserve", Protocol::Hsm, eddsa, &["signer-1"]), HeldKeyError::OtherScheme { .. }));
}

#[test]
fn an_order_says_what_the_charter_says() {
    let charter = Charter::from_toml(&marked()).unwrap();
    let order = |name: &str, protocol, members: &[&str]| KeyGeneration {
        id: IntentId::new([1; 32]),
        cluster: ClusterId::new("sample").unwrap(),
        requester: RequesterId::new("security").unwrap(),
        key_id: key(name),
        scheme: Scheme::EcdsaSecp256k1,
        protocol,
        size: if protocol == Protocol::Hsm { CommitteeSize::ALONE } else { CommitteeSize::new(2, 3).unwrap() },
        nodes: nodes(members),
        expires_at_secs: 1,
        imported: None,
    };
    let all = ["signer-1", "signer-2", "signer-3"];
    key_order::check(&charter, &order("old-reserve", Protocol::Hsm, &["signer-1"])).unwrap();
    key_order::check(&charter, &order("reserve", Protocol::Dkls23, &all)).unwrap();
    for order in [
        order("old-reserve", Protocol::Hsm, &["signer-2"]),
        order("reserve", Protocol::Hsm, &["signer-1"]),
        order("old-reserve", Protocol::Cggmp24, &all),
    ] {
        assert!(matches!(key_order::check(&charter, &order), Err(KeyOrderError::Held(_))), "{order:?}");
    }
}

#[test]
fn a_key_more_loosens_and_a_key_less_tightens() {
    let with = Charter::from_toml(&marked()).unwrap();
    let text = sample().replace("keys = [\"reserve\"]", "keys = [\"reserve\", \"old-reserve\"]");
    let without = Charter::from_toml(&text.replace(SPLIT, "ledger = \"main\"\n")).unwrap();
    let directions = |old: &Charter, new: &Charter| diff(old, new).iter().map(|one| one.direction).collect::<Vec<_>>();
    let more = diff(&without, &with);
    assert!(more.iter().all(|one| one.direction == Direction::Loosens), "{more:?}");
    assert!(more.iter().any(|one| one.sentence.contains("outside the cluster's promise")), "{more:?}");
    assert_eq!(directions(&with, &without), [Direction::Tightens]);
    for (from, to) in [
        ("node = \"signer-1\"\nscheme", "node = \"signer-2\"\nscheme"),
        ("scheme = \"ecdsa-secp256k1\"", "scheme = \"eddsa-ed25519\""),
    ] {
        let other = Charter::from_toml(&marked().replacen(from, to, 1)).unwrap();
        assert_eq!(directions(&with, &other), [Direction::Loosens], "{to}");
        assert_eq!(directions(&other, &with), [Direction::Loosens], "{from}");
    }
}
