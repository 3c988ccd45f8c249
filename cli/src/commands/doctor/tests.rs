use limen_wire::pb::{PeerHealth, SignerHealth, StatusResponse, WitnessHealth};

use super::*;

const NOW: u64 = 1_800_000_000;

fn config() -> ClientConfig {
    toml::from_str(include_str!("../../../../deploy/sample/client.toml")).unwrap()
}

fn peer(node: &str) -> PeerHealth {
    PeerHealth { node: node.to_owned(), connected: true, round_trip_us: 900, standing: true, trouble: String::new() }
}

fn view() -> ClusterView {
    let names: Vec<String> = config().nodes.iter().map(|node| node.id.to_string()).collect();
    let signer = |name: &String| {
        let status = StatusResponse {
            node: name.clone(),
            version: "1".to_owned(),
            charter_hash: vec![7; 32].into(),
            clock_ms: NOW * 1000,
            peers: names.iter().filter(|other| *other != name).map(|other| peer(other)).collect(),
            log_size: 20,
            ..StatusResponse::default()
        };
        SignerHealth { node: name.clone(), reachable: true, status: Some(status), ..SignerHealth::default() }
    };
    ClusterView {
        cluster: config().cluster.to_string(),
        version: "1".to_owned(),
        charter_hash: vec![7; 32].into(),
        signers: names.iter().map(signer).collect(),
        witnesses: vec![WitnessHealth { node: "w".to_owned(), reachable: true, ..WitnessHealth::default() }],
        ..ClusterView::default()
    }
}

fn found(edit: impl FnOnce(&mut ClusterView)) -> Vec<Finding> {
    let mut view = view();
    edit(&mut view);
    let findings = cluster::judge(&view, &config(), NOW);
    findings.into_iter().filter(|finding| finding.weight != Weight::Ok).collect()
}

/// Exactly one thing is found, of this weight, with a remedy.
#[track_caller]
fn finds(weight: Weight, check: &str, words: &str, edit: impl FnOnce(&mut StatusResponse)) {
    let found = found(|view| edit(view.signers[1].status.as_mut().unwrap()));
    let [one] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((one.weight, one.check.as_str()), (weight, &*format!("signer-frankfurt {check}")));
    assert!(one.what.contains(words) && !one.remedy.is_empty(), "{one:?}");
}

#[test]
fn a_cluster_that_is_well_has_no_finding() {
    assert_eq!(found(|_| {}), []);
}

#[test]
fn each_trouble_is_one_line_that_names_its_place() {
    finds(Weight::Bad, "charter", "0909090909090909", |status| status.charter_hash = vec![9; 32].into());
    finds(Weight::Bad, "store", "PUT BACK: signer-zurich", |status| status.rolled_back = "signer-zurich says".into());
    finds(Weight::Bad, "token", "NO TOKEN: the device is gone", |status| {
        status.token_trouble = "the device is gone".into();
    });
    finds(Weight::Bad, "log", "ANOTHER LOG", |status| status.log_alarm = "root".to_owned());
    finds(Weight::Bad, "clock", "31 s", |status| status.clock_ms -= 31_000);
    finds(Weight::Warn, "clock", "6 s", |status| status.clock_ms += 6_000);
    finds(Weight::Warn, "freezes", "2 by people, 1 by itself", |status| {
        status.freezes = 2;
        status.automatic_freezes = vec!["backend".to_owned()];
    });
    finds(Weight::Warn, "links", "not linked to signer-zurich", |status| status.peers[0].connected = false);
    finds(Weight::Warn, "standing", "signer-zurich: stale", |status| {
        status.peers[0].standing = false;
        status.peers[0].trouble = "stale".to_owned();
    });
    finds(Weight::Bad, "standing", "nobody", |status| status.peers.iter_mut().for_each(|peer| peer.standing = false));
    finds(Weight::Bad, "peers", "hot signer-zurich", |status| status.banned_peers = vec!["hot signer-zurich".into()]);
    finds(Weight::Warn, "drills", "drill lost-site OVERDUE for 0 days", |status| {
        let (drill, due_ms, blocks_ms) = ("lost-site".to_owned(), NOW * 1000, u64::MAX);
        status.drills = vec![limen_wire::pb::DrillState { drill, due_ms, blocks_ms, ..Default::default() }];
    });
    finds(Weight::Warn, "ledgers", "12 committees", |status| status.ledgers_ending = vec!["12 committees".into()]);
}

#[test]
fn what_concerns_the_whole_is_said_once() {
    let down = found(|view| {
        view.signers[2].reachable = false;
        view.signers[2].error = "refused".to_owned();
    });
    let lines: Vec<_> = down.iter().map(|one| (one.weight, one.check.as_str())).collect();
    assert_eq!(lines, [(Weight::Warn, "enough signers"), (Weight::Bad, "signer-singapore")]);
    let lost = found(|view| view.signers.iter_mut().skip(1).for_each(|signer| signer.reachable = false));
    assert_eq!((lost[0].weight, lost[0].check.as_str()), (Weight::Bad, "enough signers"));
    let other = found(|view| view.cluster = "elsewhere".to_owned());
    assert!(other[0].what.contains("elsewhere") && other.len() == 1, "{other:?}");
    let fewer = found(|view| view.signers.truncate(2));
    assert!(fewer.iter().any(|one| one.weight == Weight::Bad && one.what.contains("knows no signer-singapore")));
    let lag = found(|view| view.signers[0].status.as_mut().unwrap().log_size = 5000);
    assert_eq!(lag.len(), 2, "{lag:?}");
    let witness = found(|view| view.witnesses[0].reachable = false);
    assert!(witness.len() == 1 && witness[0].weight == Weight::Bad, "{witness:?}");
}

#[test]
fn what_others_say_does_not_move_the_cursor() {
    let bold = found(|view| {
        view.signers[0].reachable = false;
        view.signers[0].error = "\u{1b}[2Jfine\nok  all well".to_owned();
    });
    assert!(bold.iter().all(|one| !one.line().contains(['\u{1b}', '\n'])), "{bold:?}");
}
