//! To whom a charter lets a key go, and what it then says of orders.

use limen_wire::handover::{KeyHandover, statement_hash};
use limen_wire::ids::{ClusterId, Epoch, IntentId, Protocol, RequesterId, Scheme};
use limen_wire::statement::KeyStatement;

use super::*;
use crate::charter::Charter;
use crate::charter::tests::sample;
use crate::diff::{Direction, diff};
use crate::key_order::{KeyOrderError, check_handover};

const TO_TWO: &str =
    "\n[[committees]]\nkey = \"treasury\"\nnodes = [\"signer-1\", \"signer-3\"]\nsigners_required = 2\n";

fn nodes(names: &[&str]) -> Vec<NodeId> {
    names.iter().map(|name| NodeId::new(*name).unwrap()).collect()
}

fn read(more: &str) -> Result<Charter, crate::charter::CharterError> {
    Charter::from_toml(&format!("{}{more}", sample()))
}

#[test]
fn a_committee_is_read() {
    let size = CommitteeSize::new(2, 2).unwrap();
    let known = KeyCommittee { key: KeyId::new("treasury").unwrap(), nodes: nodes(&["signer-1", "signer-3"]), size };
    assert_eq!(read(TO_TWO).unwrap().committees.into_values().collect::<Vec<_>>(), [known]);
    assert!(read("").unwrap().committees.is_empty());
}

#[test]
fn what_is_no_committee_is_refused() {
    let many: String = (0..256).map(|n| TO_TWO.replace("treasury", &format!("k{n}"))).collect();
    for (from, to, says) in [
        ("signer-3", "signer-9", "signer-9 is no signer node"),
        ("signer-3", "witness-1", "witness-1 is no signer node"),
        ("\"signer-1\", \"signer-3\"", "\"signer-3\", \"signer-1\"", "out of the charter's order"),
        ("signer-3", "signer-1", "named twice"),
        ("signer-3", "Signer", "Signer"),
        ("\"treasury\"", "\"\"", "committee of key"),
        ("= 2", "= 1", "found 1"),
        ("= 2", "= 3", "found 3"),
        ("= 2", "= 2\ncolour = 1", "colour"),
        ("\n[[", &format!("{TO_TWO}\n[["), "named twice"),
        ("\n[[", &format!("{many}\n[["), "at most 256"),
    ] {
        assert!(TO_TWO.contains(from), "{from}");
        let error = read(&TO_TWO.replacen(from, to, 1)).expect_err(says).to_string();
        assert!(error.contains(says), "{from} → {to}: {error}");
    }
}

#[test]
fn one_place_that_reaches_the_threshold_is_refused() {
    // The sample has signer-1 there.
    for (what, line) in [("site", "site = \"zurich\""), ("account", "account = \"own-rack\"")] {
        let text = sample().replacen("id = \"signer-3\"\n", &format!("id = \"signer-3\"\n{line}\n"), 1);
        Charter::from_toml(&text).unwrap();
        let error = Charter::from_toml(&format!("{text}{TO_TWO}")).unwrap_err().to_string();
        assert!(error.contains(&format!("{what} ")) && error.contains("alone holds as many"), "{error}");
    }
}

#[test]
fn a_key_that_may_go_elsewhere_loosens() {
    let (none, two) = (read("").unwrap(), read(TO_TWO).unwrap());
    let other = read(&TO_TWO.replace("signer-3", "signer-2")).unwrap();
    let directions =
        |old: &Charter, new: &Charter| diff(old, new).iter().map(|change| change.direction).collect::<Vec<_>>();
    assert_eq!(directions(&none, &two), [Direction::Loosens]);
    assert_eq!(directions(&two, &other), [Direction::Loosens]);
    assert_eq!(directions(&two, &none), [Direction::Tightens]);
    let sentence = &diff(&none, &two)[0].sentence;
    assert_eq!(sentence, "key treasury may be handed over to signer-1, signer-3, 2-of-2");
}

fn order() -> KeyHandover {
    KeyHandover {
        id: IntentId::new([1; 32]),
        cluster: ClusterId::new("test").unwrap(),
        requester: RequesterId::new("ops").unwrap(),
        key_id: KeyId::new("treasury").unwrap(),
        first_epoch: Epoch(2),
        protocol: Protocol::Dkls23,
        size: CommitteeSize::new(2, 3).unwrap(),
        nodes: nodes(&["signer-1", "signer-2", "signer-3"]),
        expires_at_secs: 1,
        present: [0; 32],
    }
}

fn present(charter: &Charter) -> KeyStatement {
    let KeyHandover { key_id, size, nodes, .. } = order();
    KeyStatement {
        cluster: charter.cluster.clone(),
        key_id,
        scheme: Scheme::EcdsaSecp256k1,
        protocol: Protocol::Dkls23,
        epoch: Epoch::FIRST,
        size,
        nodes,
        public_key: vec![2; 33],
        chain_code: [3; 32],
        verifying_shares_hash: [4; 32],
        generation_id: IntentId::new([5; 32]),
        was_whole: false,
    }
}

/// An order of somebody who may order keys.
fn fitting(charter: &Charter) -> KeyHandover {
    let may = |one: &&crate::charter::Requester| one.duties.contains(&crate::charter::Duty::Keys);
    let requester = charter.requesters.iter().find(|(_, one)| may(one)).unwrap().0.clone();
    let present = statement_hash(&present(charter).to_payload());
    KeyHandover { cluster: charter.cluster.clone(), requester, present, ..order() }
}

#[test]
fn a_key_goes_to_the_people_it_has_or_to_whom_the_charter_names() {
    let charter = read(TO_TWO).unwrap();
    let (present, refresh) = (present(&charter), fitting(&charter));
    check_handover(&charter, &refresh, &present).unwrap();
    check_handover(&charter, &KeyHandover { protocol: Protocol::Cggmp24, ..refresh.clone() }, &present).unwrap();
    let two = CommitteeSize::new(2, 2).unwrap();
    let named = KeyHandover { nodes: nodes(&["signer-1", "signer-3"]), size: two, ..refresh.clone() };
    check_handover(&charter, &named, &present).unwrap();
    let elsewhere = [
        KeyHandover { nodes: nodes(&["signer-1", "signer-2"]), size: two, ..refresh.clone() },
        KeyHandover { size: CommitteeSize::new(3, 3).unwrap(), ..refresh },
        KeyHandover { key_id: KeyId::new("other").unwrap(), ..named.clone() },
    ];
    for order in elsewhere {
        let present = KeyStatement { key_id: order.key_id.clone(), ..present.clone() };
        let order = KeyHandover { present: statement_hash(&present.to_payload()), ..order };
        let error = check_handover(&charter, &order, &present).unwrap_err();
        assert!(matches!(error, KeyOrderError::NotThisCommittee { .. }), "{error}");
    }
    let error = check_handover(&read("").unwrap(), &named, &present).unwrap_err().to_string();
    assert!(error.contains("2-of-2 of signer-1, signer-3 is neither"), "{error}");
}

#[test]
fn every_other_check_of_an_order_is_met() {
    let charter = read("").unwrap();
    let (present, order) = (present(&charter), fitting(&charter));
    let refused = |order: KeyHandover, present: KeyStatement| check_handover(&charter, &order, &present).unwrap_err();
    let elsewhere = ClusterId::new("elsewhere").unwrap();
    let other = KeyHandover { cluster: elsewhere.clone(), ..order.clone() };
    assert!(matches!(refused(other, present.clone()), KeyOrderError::WrongCluster { .. }));
    let other = KeyStatement { cluster: elsewhere, ..present.clone() };
    assert!(matches!(refused(order.clone(), other), KeyOrderError::WrongCluster { .. }));
    let stranger = KeyHandover { requester: RequesterId::new("stranger").unwrap(), ..order.clone() };
    assert!(matches!(refused(stranger, present.clone()), KeyOrderError::NotPermitted(_)));
    let other = KeyStatement { key_id: KeyId::new("other").unwrap(), ..present.clone() };
    assert!(matches!(refused(order.clone(), other), KeyOrderError::OtherKey { .. }));
    let frost = KeyHandover { protocol: Protocol::Frost, ..order.clone() };
    assert!(matches!(refused(frost, present.clone()), KeyOrderError::Protocol { .. }));
    let held = KeyStatement { protocol: Protocol::Hsm, ..present.clone() };
    let for_held = KeyHandover { present: statement_hash(&held.to_payload()), ..order.clone() };
    assert!(matches!(refused(for_held, held), KeyOrderError::Protocol { .. }));
    // Another key of the same name, or other holders of it.
    let swapped = KeyStatement { public_key: vec![3; 33], ..present.clone() };
    assert!(matches!(refused(order.clone(), swapped), KeyOrderError::OtherPresent { .. }));
    let moved = KeyStatement { nodes: nodes(&["signer-1", "signer-3"]), ..present.clone() };
    assert!(matches!(refused(order.clone(), moved), KeyOrderError::OtherPresent { .. }));
    let unknown = KeyHandover { nodes: nodes(&["signer-1", "signer-2", "signer-9"]), ..order };
    assert!(matches!(refused(unknown, present), KeyOrderError::UnknownNode(_)));
}
