//! Who keeps backups: what a charter may say of them, how it changes, and what is odd about it.

use super::*;
use crate::charter::CharterError;
use crate::charter::tests::sample;
use crate::diff::{Change, Direction, diff};
use crate::lint::lint;

/// The sample with the backups that it shows, for real.
pub(crate) fn backed_up() -> String {
    let text = sample();
    let start = text.find("# [[backups]]").unwrap();
    let end = start + text[start..].find("\n\n").unwrap();
    format!("{}{}{}", &text[..start], text[start..end].replace("# ", ""), &text[end..])
}

fn read(text: &str) -> Charter {
    Charter::from_toml(text).unwrap()
}

fn edited(from: &str, to: &str) -> String {
    let text = backed_up();
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

fn refused(text: &str) -> String {
    match Charter::from_toml(text) {
        Ok(_) => panic!("it was read:\n{text}"),
        Err(error @ CharterError::Syntax(_)) => error.to_string(),
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains("backups of vaults"), "{said}");
            said
        }
    }
}

/// The line of one custodian at the first node.
fn line(person: &str) -> String {
    let text = backed_up();
    let line = text.lines().find(|line| line.starts_with(&format!("  {{ person = \"{person}\""))).unwrap();
    format!("{line}\n")
}

fn recipient(person: &str) -> String {
    let line = line(person);
    line[line.find("age1").unwrap()..].split('"').next().unwrap().to_owned()
}

/// The sample's lines for one node.
fn node(number: u8) -> String {
    let text = backed_up();
    let start = text.find(&format!("\"signer-{number}\" = [")).unwrap();
    text[start..start + text[start..].find("]\n").unwrap() + 2].to_owned()
}

fn id(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

fn key(name: &str) -> KeyId {
    KeyId::new(name).unwrap()
}

#[test]
fn a_signer_reads_who_gets_pieces_of_its_share() {
    let charter = read(&backed_up());
    let order = charter.custodians_of(&key("reserve"), &id("signer-2")).unwrap();
    let names: Vec<&str> = order.custodians.iter().map(|custodian| custodian.person.as_str()).collect();
    assert_eq!(names, ["anna", "boris", "erik"]);
    assert_eq!(order.custodians[2].recipient.as_str(), recipient("erik"));
    assert_eq!((order.pieces_required, order.signers_required), (2, 2));
    assert_eq!((order.proof_max_age_secs, order.charter), (7_776_000, charter.hash()));
    // a key of no vault, of one without backups, at no signer
    assert_eq!(charter.custodians_of(&key("treasury"), &id("signer-2")), None);
    assert_eq!(charter.custodians_of(&key("hot"), &id("signer-2")), None);
    assert_eq!(charter.custodians_of(&key("reserve"), &id("witness-1")), None);
    assert!(read(&sample()).backups.is_empty());
    // a key in a token has no share
    let mut held = charter.clone();
    let mark = super::super::held::HeldKey {
        id: key("reserve"),
        node: id("signer-2"),
        scheme: limen_wire::ids::Scheme::EcdsaSecp256k1,
    };
    held.hsm_keys.insert(key("reserve"), mark);
    assert_eq!(held.custodians_of(&key("reserve"), &id("signer-2")), None);
}

#[test]
fn nodes_may_have_custodians_of_their_own_and_sections_several_vaults() {
    let text = edited(&line("erik"), "");
    assert_ne!(text, backed_up());
    let charter = read(&text);
    let of = |node| charter.custodians_of(&key("reserve"), &id(node)).unwrap().custodians.len();
    assert_eq!((of("signer-1"), of("signer-3")), (2, 3));
    let charter = read(&edited("vaults = [\"reserve\"]\nsigners", "vaults = [\"reserve\", \"hot\"]\nsigners"));
    assert_eq!(charter.backups.len(), 2);
    assert!(charter.custodians_of(&key("hot"), &id("signer-1")).is_some());
    assert_eq!(read(&edited("signers_required = 2\n", "")), {
        let mut same = read(&backed_up());
        same.hash = Charter::hash_of(&edited("signers_required = 2\n", ""));
        same
    });
}

#[test]
fn custodians_sign_proofs_by_a_terminal_of_theirs() {
    let charter = read(&backed_up());
    let key_of = |person: &str, credential: &str| {
        charter.custodian_key(&PersonId::new(person).unwrap(), &CredentialId::new(credential).unwrap())
    };
    assert!(key_of("anna", "anna-terminal").is_some());
    for (person, credential) in [
        ("anna", "anna-passkey"),
        ("anna", "boris-terminal"),
        ("carla", "carla-service"),
        ("nobody", "anna-terminal"),
        ("anna", "nothing"),
    ] {
        assert_eq!(key_of(person, credential), None, "{person} {credential}");
    }
}

#[test]
fn backups_that_are_none_are_refused() {
    let (anna, boris) = (line("anna"), line("boris"));
    let low = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z";
    let crowd = format!("\"signer-1\" = [\n{}]\n", anna.repeat(17));
    let section = backed_up();
    let section = &section[section.find("[[backups]]").unwrap()..];
    let section = &section[..section.find("\n\n").unwrap()];
    for (from, to, says) in [
        ("vaults = [\"reserve\"]\nsigners", "vaults = []\nsigners", "at least one is needed"),
        ("vaults = [\"reserve\"]\nsigners", "vaults = [\"attic\"]\nsigners", "there is no vault attic"),
        ("vaults = [\"reserve\"]\nsigners", "vaults = [\"reserve\", \"reserve\"]\nsigners", "named twice"),
        (section, &format!("{section}\n{section}"), "named twice"),
        ("signers_required = 2", "signers_required = 1", "signers_required: 2 to 3"),
        ("signers_required = 2", "signers_required = 4", "signers_required: 2 to 3"),
        ("pieces_required = 2", "pieces_required = 0", "pieces_required: 1 to 3"),
        ("pieces_required = 2", "pieces_required = 4", "pieces_required: 1 to 3"),
        ("people_required = 2", "people_required = 1", "nobody alone"),
        ("people_required = 2", "people_required = 0", "nobody alone"),
        ("people_required = 2", "people_required = 3", "2 people together have a key that 2 signers can use"),
        ("pieces_required = 2", "pieces_required = 1", "1 people together have a key"),
        ("proof_max_age_secs = 7776000", "proof_max_age_secs = 86399", "proof_max_age_secs: 86400 to 31622400"),
        ("proof_max_age_secs = 7776000", "proof_max_age_secs = 31622401", "proof_max_age_secs: 86400 to 31622400"),
        ("proof_max_age_secs = 7776000\n", "", "proof_max_age_secs"),
        ("\"signer-3\" = [", "\"signer-4\" = [", "there is no signer node signer-4"),
        ("\"signer-3\" = [", "\"witness-1\" = [", "there is no signer node witness-1"),
        (&node(3), "", "signer node signer-3 has no custodians"),
        (&node(1), "\"signer-1\" = []\n", "0 custodians; 1 to 16"),
        (&node(1), &crowd, "17 custodians; 1 to 16"),
        (
            &node(1),
            &format!("\"signer-1\" = [\n{anna}]\n"),
            "pieces_required: 1 to 1 are possible, as many as node signer-1",
        ),
        (&boris, &anna, "anna comes twice"),
        (&boris, &boris.replace(&recipient("boris"), &recipient("anna")), "boris and anna have one recipient"),
        (&anna, &anna.replace("anna", "nobody"), "there is no person nobody"),
        (&anna, &anna.replace("anna", "carla"), "carla has no credential of class \"terminal\""),
        (&anna, &anna.replace("age1", "age2"), "custodian anna"),
        (&anna, &anna.replace(&recipient("anna"), low), "low order"),
        (&anna, &anna.replace("person", "colour = 1, person"), "colour"),
        ("people_required = 2", "people_required = 2\ncolour = 1", "colour"),
    ] {
        let said = refused(&edited(from, to));
        assert!(said.contains(says), "{from} → {to}: {said}");
    }
    // a recipient of boris at one node that is anna's at another
    let second = node(2).replace(&recipient("boris"), &recipient("anna")).replace(&anna, "");
    assert!(refused(&edited(&node(2), &second)).contains("boris and anna have one recipient"));
}

/// Counted over all nodes: whoever keeps pieces at two of them is one path to two shares.
#[test]
fn people_are_counted_over_all_nodes() {
    let dora = |text: &str| text.replace("erik", "dora").replace(&recipient("erik"), &other_recipient());
    // anna and boris alone have signer-1 and signer-2, whoever else there is
    let text = edited(&node(3), &dora(&node(3)));
    assert!(refused(&text.replace("people_required = 2", "people_required = 3")).contains("2 people together"));
    // for keys that three signers are needed for all three nodes count
    let alone = format!("\"signer-3\" = [\n{}]\n", dora(&line("erik")));
    let one = edited(&node(3), &alone).replace("pieces_required = 2", "pieces_required = 1");
    assert!(refused(&one).contains("1 people together"));
    let three = one.replace("signers_required = 2", "signers_required = 3");
    read(&three);
    assert!(refused(&three.replace("people_required = 2", "people_required = 3")).contains("2 people together"));
}

fn other_recipient() -> String {
    // the recipient of the age format's own documentation
    "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p".to_owned()
}

fn directions(changes: &[Change]) -> Vec<Direction> {
    changes.iter().map(|change| change.direction).collect()
}

#[test]
fn more_that_is_required_tightens_and_everything_else_loosens() {
    use Direction::{Loosens, Neutral, Tightens};
    let base = read(&backed_up());
    let both = |text: &str| {
        let other = read(text);
        (diff(&base, &other), diff(&other, &base))
    };
    for (from, to) in [
        ("pieces_required = 2", "pieces_required = 3"),
        ("signers_required = 2", "signers_required = 3"),
        ("proof_max_age_secs = 7776000", "proof_max_age_secs = 86400"),
    ] {
        let (forth, back) = both(&edited(from, to));
        assert_eq!((directions(&forth), directions(&back)), (vec![Tightens], vec![Loosens]), "{to}");
        assert!(forth[0].sentence.contains("of the backups of vault reserve"), "{forth:?}");
    }
    let strict = edited("pieces_required = 2", "pieces_required = 3");
    let people = strict.replace("people_required = 2", "people_required = 3");
    let (two, three) = (read(&strict), read(&people));
    assert_eq!(directions(&diff(&two, &three)), [Tightens]);
    assert_eq!(directions(&diff(&three, &two)), [Loosens]);
    // who comes, goes, or has another recipient
    let dora = line("anna").replace("anna", "dora").replace(&recipient("anna"), &other_recipient());
    let (come, go) = both(&edited(&line("anna"), &format!("{}{dora}", line("anna"))));
    assert_eq!((directions(&come), directions(&go)), (vec![Loosens], vec![Loosens]));
    let says = format!("dora gets pieces of the shares of vault reserve at signer-1, as {}", other_recipient());
    assert_eq!(come[0].sentence, says);
    assert_eq!(go[0].sentence, "dora keeps no pieces of the shares of vault reserve at signer-1 any more");
    let (forth, back) = both(&edited(&recipient("anna"), &other_recipient()));
    assert_eq!((directions(&forth), directions(&back)), (vec![Loosens], vec![Loosens]));
    assert!(
        forth[0]
            .sentence
            .starts_with("the recipient of anna for the shares of vault reserve at signer-1 changes from age1")
    );
    let swapped = format!("{}{}", line("boris"), line("anna"));
    let (forth, _) = both(&edited(&format!("{}{}", line("anna"), line("boris")), &swapped));
    assert_eq!(directions(&forth), [Neutral]);
    // beginning and ending
    let (ends, begins) = both(&sample());
    assert_eq!(directions(&ends), [Loosens]);
    assert_eq!(ends[0].sentence, "backups of vault reserve is gone");
    assert!(begins.len() == 10 && begins.iter().all(|one| one.direction == Loosens), "{begins:?}");
    assert!(
        begins
            .iter()
            .any(|one| one.sentence.starts_with("erik gets pieces of the shares of vault reserve at signer-3"))
    );
}

#[test]
fn lint_tells_who_asks_and_who_must_not_be_away() {
    let found = |text: &str| -> Vec<String> {
        let all = lint(&read(text));
        let ours = all.into_iter().filter(|one| one.place == "backups of vault reserve");
        ours.map(|one| format!("{:?}: {}", one.severity, one.message)).collect()
    };
    assert_eq!(found(&backed_up()), Vec::<String>::new());
    let dora = line("anna").replace("anna", "dora").replace(&recipient("anna"), &other_recipient());
    let near = found(&edited(&line("anna"), &format!("{}{dora}", line("anna"))));
    assert_eq!(near, ["Warning: dora keeps pieces and is behind requester backend: let somebody else keep them"]);
    let all = found(&edited("pieces_required = 2", "pieces_required = 3"));
    for person in ["anna", "boris", "erik"] {
        let gone = format!("Error: if {person} is gone fewer than 2 shares come back: no key does");
        assert!(all.contains(&gone), "{all:#?}");
    }
    let needed = "Warning: every custodian of signer-2 is needed: if one is gone its share does not come back";
    assert!(all.iter().any(|one| one == needed), "{all:#?}");
    // two nodes are enough without a third
    let one = found(&edited(&line("erik"), ""));
    assert_eq!(one, [needed.replace("signer-2", "signer-1")]);
}

#[test]
fn keys_are_not_ordered_for_fewer_signers_than_custodians_are_counted_for() {
    use crate::key_order::{self, KeyOrderError};
    use limen_wire::ids::{ClusterId, CommitteeSize, IntentId, Protocol, RequesterId, Scheme};
    use limen_wire::intent::KeyGeneration;

    let charter = read(&edited("signers_required = 2\npieces", "signers_required = 3\npieces"));
    let requester = charter.requesters.values().find(|one| one.duties.contains(&crate::charter::Duty::Keys)).unwrap();
    let order = |name: &str, required: u16| KeyGeneration {
        id: IntentId::new([0; 32]),
        cluster: ClusterId::new(charter.cluster.as_str()).unwrap(),
        requester: RequesterId::new(requester.id.as_str()).unwrap(),
        key_id: key(name),
        scheme: Scheme::EddsaEd25519,
        protocol: Protocol::Frost,
        size: CommitteeSize::new(required, 3).unwrap(),
        nodes: ["signer-1", "signer-2", "signer-3"].map(id).to_vec(),
        expires_at_secs: 1,
        imported: None,
    };
    let refused = key_order::check(&charter, &order("reserve", 2)).unwrap_err();
    assert_eq!(refused, KeyOrderError::TooFewForBackups { key: key("reserve"), found: 2, needed: 3 });
    key_order::check(&charter, &order("reserve", 3)).unwrap();
    // Vaults without backups have nobody to count.
    key_order::check(&charter, &order("hot", 2)).unwrap();
}
