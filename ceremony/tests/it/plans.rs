//! The plans that are played: the ready one of docs/ceremonies, and a key by the same people.

use std::collections::BTreeSet;

use limen_ceremony::custody::verify;
use limen_ceremony::engine::Outcome;
use limen_ceremony::rehearsal::{Cast, play, play_with};
use limen_evidence::ceremony::{Mode, Record, Session};
use limen_policy::ceremony::check::check;
use limen_policy::ceremony::{Kind, Plan};
use limen_policy::charter::Charter;
use limen_policy::lint::Severity;
use limen_wire::keys::SigningKey;

pub(crate) const GENESIS: &str = include_str!("../../../docs/ceremonies/genesis.toml");
pub(crate) const CHARTER: &str = include_str!("../../../deploy/sample/charter.toml");

/// The same people and machines, making a key.
pub(crate) fn key_plan(scheme: &str, protocol: &str) -> String {
    let head = &GENESIS[..GENESIS.find("# The charter that becomes").unwrap()];
    let head = head.replace("kind = \"genesis\"", "kind = \"key-generation\"").replace("genesis-1", "key-1");
    format!(
        "{head}[key_generation]\nkey = \"hot\"\nscheme = \"{scheme}\"\nprotocol = \"{protocol}\"\nsigners_required = 2\n\
         nodes = [\"signer-zurich\", \"signer-frankfurt\", \"signer-singapore\"]\norders = \"conductor\"\n"
    )
}

/// The ready plans of docs/ceremonies about a key that is there.
pub(crate) const READY: &[&str] = &[
    include_str!("../../../docs/ceremonies/refresh.toml"),
    include_str!("../../../docs/ceremonies/reshare.toml"),
    include_str!("../../../docs/ceremonies/destruction.toml"),
    include_str!("../../../docs/ceremonies/recovery.toml"),
    include_str!("../../../docs/ceremonies/backup.toml"),
    include_str!("../../../docs/ceremonies/kek-rotation.toml"),
    include_str!("../../../docs/ceremonies/sweep.toml"),
    include_str!("../../../docs/ceremonies/drill.toml"),
];

/// A plan for a version that follows the sample charter, and the version.
pub(crate) fn change_plan() -> (String, String) {
    let number = "number = 1\nparents = []";
    assert!(CHARTER.contains(number) && CHARTER.contains("max_sessions = 16"));
    let parent = Charter::hash_of(CHARTER);
    let version = CHARTER.replace(number, &format!("number = 2\nparents = [\"{parent}\"]"));
    let version = version.replace("max_sessions = 16", "max_sessions = 8");
    let head = &GENESIS[..GENESIS.find("# The charter that becomes").unwrap()];
    let head = head.replace("kind = \"genesis\"", "kind = \"charter-change\"").replace("genesis-1", "charter-2");
    let plan = format!(
        "{head}[charter_change]\ncharter_sha256 = \"{}\"\nparent_sha256 = \"{parent}\"\nbrings = \"conductor\"\n\
         approvers = [\"conductor\", \"zurich-operator\", \"frankfurt-operator\", \"singapore-operator\", \"witness-operator\"]\n",
        Charter::hash_of(&version)
    );
    (plan, version)
}

/// A key that nobody has had before.
fn another(seed: u8) -> String {
    SigningKey::P256(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap()).public_key().to_string()
}

/// A plan for a version in which the coordinator has another identity, which the plan pins, and the version.
pub(crate) fn rotation_plan() -> (String, String) {
    let (plan, version) = change_plan();
    let before = Charter::hash_of(&version).to_string();
    let was =
        Plan::from_toml(GENESIS).unwrap().machine(&"coordinator-1".parse().unwrap()).unwrap().public_key.to_string();
    let version = version.replace("max_sessions = 8", "max_sessions = 16").replace(&was, &another(32));
    let plan =
        plan.replace("kind = \"charter-change\"", "kind = \"identity-rotation\"").replace("charter-2", "rotation-1");
    let plan = plan.replace(&was, &another(32)).replace(&before, &Charter::hash_of(&version).to_string());
    let rotation = "[identity_rotation]\nreshare = []\n[[identity_rotation.machines]]\nid = \"coordinator-1\"\n";
    (format!("{plan}\n{rotation}before = \"{was}\"\n"), version)
}

pub(crate) fn identity_rotation() -> (Cast, Session) {
    let (plan, version) = rotation_plan();
    let cast = Cast::of_change(&plan, Some(&version), Some(CHARTER), [6; 32]).unwrap();
    let session = cast.session(Mode::Real, &BTreeSet::new()).unwrap();
    (cast, session)
}

/// A charter's version, signed by everybody of the plan.
pub(crate) fn charter_change() -> (Cast, Session) {
    let (plan, version) = change_plan();
    let cast = Cast::of_change(&plan, Some(&version), Some(CHARTER), [4; 32]).unwrap();
    let session = cast.session(Mode::Real, &BTreeSet::new()).unwrap();
    (cast, session)
}

/// One ceremony of every kind, with as few people as its plan lets there be.
pub(crate) fn every_kind() -> Vec<(Cast, Session)> {
    let mut all = vec![genesis(), key_generation(), charter_change(), identity_rotation()];
    all.extend(READY.iter().map(|plan| {
        let cast = Cast::of(plan, None, [9; 32]).unwrap();
        let absent = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let fewest = [&["anna", "emil"][..], &["anna"], &["emil"], &[]];
        let session = fewest.iter().find_map(|names| cast.session(Mode::Real, &absent(names)).ok()).unwrap();
        (cast, session)
    }));
    all
}

pub(crate) fn genesis() -> (Cast, Session) {
    let cast = Cast::of(GENESIS, Some(CHARTER), [1; 32]).unwrap();
    let session = cast.session(Mode::Real, &BTreeSet::new()).unwrap();
    (cast, session)
}

/// Three people, two of whose roles are held by a stand-in.
pub(crate) fn key_generation() -> (Cast, Session) {
    let cast = Cast::of(&key_plan("ecdsa-secp256k1", "dkls23"), None, [2; 32]).unwrap();
    let absent = ["anna", "emil"].map(|name| name.parse().unwrap()).into();
    let session = cast.session(Mode::Real, &absent).unwrap();
    assert_eq!(session.attendance().present().len(), 3);
    (cast, session)
}

/// The one record that all ended with.
pub(crate) fn one_record<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Record {
    let mut records = outcomes.into_iter().map(|outcome| match outcome {
        Outcome::Completed { record, .. } => record.clone(),
        Outcome::Aborted { by, cause, .. } => panic!("{by} called it off: {cause}"),
    });
    let first = records.next().unwrap();
    assert!(records.all(|record| record == first), "two records of one ceremony");
    first
}

#[test]
fn every_kind_comes_to_one_record_that_holds() {
    let keys = [
        ("ecdsa-secp256k1", "dkls23"),
        ("ecdsa-secp256k1", "cggmp24"),
        ("eddsa-ed25519", "frost"),
        ("schnorr-bip340", "frost"),
    ];
    let mut plans = vec![(GENESIS.to_owned(), Some(CHARTER), 5)];
    plans.extend(keys.map(|(scheme, protocol)| (key_plan(scheme, protocol), None, 7)));
    plans.extend(READY.iter().map(|plan| ((*plan).to_owned(), None, 0)));
    for (plan, charter, steps) in plans {
        let cast = Cast::of(&plan, charter, [7; 32]).unwrap();
        let session = cast.session(Mode::Real, &BTreeSet::new()).unwrap();
        let outcomes = play(&session, &cast).unwrap();
        assert_eq!(outcomes.len(), 5);
        let record = one_record(outcomes.values());
        let verified = verify(record.as_str().as_bytes()).unwrap();
        if steps > 0 {
            assert_eq!((verified.done.len(), verified.certified.is_some()), (steps, charter.is_none()));
        }
    }
}

#[test]
fn a_version_is_signed_by_the_quorum_of_the_charter_that_it_follows_or_by_nobody() {
    let (plan, version) = change_plan();
    let errors = |plan: &str, version: &str| -> Vec<String> {
        let findings = check(&Plan::from_toml(plan).unwrap(), Some(version));
        let errors = findings.into_iter().filter(|one| one.severity == Severity::Error);
        errors.map(|one| one.message).collect()
    };
    assert_eq!(errors(&plan, &version), Vec::<String>::new());
    let other = plan.replace(&Charter::hash_of(CHARTER).to_string(), &"ab".repeat(32));
    assert!(errors(&other, &version)[0].contains("does not follow"));
    assert!(errors(&plan, CHARTER)[0].contains("the plan names"));
    // One alone is no quorum: everything holds, and together it is not enough.
    let from = plan.find("approvers = ").unwrap();
    let alone = format!("{}approvers = [\"zurich-operator\"]\n", &plan[..from]);
    let cast = Cast::of_change(&alone, Some(&version), Some(CHARTER), [4; 32]).unwrap();
    let session = cast.session(Mode::Real, &BTreeSet::new()).unwrap();
    for outcome in play(&session, &cast).unwrap().values() {
        let Outcome::Aborted { cause, .. } = outcome else { panic!("completed") };
        assert!(cause.contains("NO GO: the quorum of charter"), "{cause}");
    }
}

#[test]
fn a_version_that_changes_another_identity_on_the_quiet_is_refused() {
    let (plan, version) = rotation_plan();
    let errors = |plan: &str, version: &str| -> Vec<String> {
        let findings = check(&Plan::from_toml(plan).unwrap(), Some(version));
        let errors = findings.into_iter().filter(|one| one.severity == Severity::Error);
        errors.map(|one| one.message).collect()
    };
    assert_eq!(errors(&plan, &version), Vec::<String>::new());
    // The witness's changes too, and the plan says nothing of that.
    let witness = Plan::from_toml(GENESIS).unwrap().machine(&"witness-lisbon".parse().unwrap()).unwrap().public_key;
    let other = version.replace(&witness.to_string(), &another(31));
    let quiet = plan.replace(&Charter::hash_of(&version).to_string(), &Charter::hash_of(&other).to_string());
    let cast = Cast::of_change(&quiet, Some(&other), Some(CHARTER), [6; 32]).unwrap();
    let session = cast.session(Mode::Real, &BTreeSet::new()).unwrap();
    for outcome in play(&session, &cast).unwrap().values() {
        let Outcome::Aborted { cause, .. } = outcome else { panic!("completed") };
        assert!(cause.contains("changes the identity of witness-lisbon, which the plan does not name"), "{cause}");
    }
    // Nobody would take a version that changes a signer's and does not name the one before.
    let signer = plan.replace("id = \"coordinator-1\"\nbefore", "id = \"signer-zurich\"\nbefore");
    let found = errors(&signer, &version);
    assert!(found.iter().any(|one| one.contains("under [[former_identities]]: nobody would take it")), "{found:?}");
    let was = Plan::from_toml(&signer).unwrap();
    let Kind::IdentityRotation(rotation) = &was.kind else { panic!("another kind") };
    let table = format!(
        "\n[[former_identities]]\nnode = \"signer-zurich\"\npublic_key = \"{}\"\nstatements = []\n",
        rotation.replaced[0].1
    );
    let naming = format!("{version}{table}");
    let plan_of = signer.replace(&Charter::hash_of(&version).to_string(), &Charter::hash_of(&naming).to_string());
    assert_eq!(errors(&plan_of, &naming), Vec::<String>::new());
    let same = plan.replace("before = \"p256:03", "before = \"p256:02");
    let cast = Cast::of_change(&same, Some(&version), Some(CHARTER), [6; 32]).unwrap();
    let session = cast.session(Mode::Real, &BTreeSet::new()).unwrap();
    let outcomes = play(&session, &cast).unwrap();
    assert!(
        outcomes.values().all(
            |one| matches!(one, Outcome::Aborted { cause, .. } if cause.contains("does not go from the one before"))
        )
    );
}

#[test]
fn a_restore_that_is_drilled_asks_no_signer() {
    let plan = READY.last().unwrap().replace("scenario = \"site-loss\"", "scenario = \"restore\"");
    let plan = plan.replace("absent = [\"signer-singapore\"]\n", "");
    let cast = Cast::of(&plan, None, [7; 32]).unwrap();
    let session = cast.session(Mode::Real, &BTreeSet::new()).unwrap();
    assert!(session.steps().iter().all(|step| step.name != "present"));
    let record = one_record(play(&session, &cast).unwrap().values());
    assert!(verify(record.as_str().as_bytes()).is_ok());
}

/// What the record turns on, said wrongly by whoever's turn it is.
#[test]
fn what_is_not_so_ends_every_kind_in_its_step_for_all() {
    for (cast, session) in every_kind() {
        for (step, field) in [
            ("present", "public-key"),
            ("certificate", "verifying-shares"),
            ("switched", "switched-signer-zurich"),
            ("parent", "parent"),
            ("approvals", "approval"),
            ("retired", "charter"),
            ("identities", "coordinator-coordinator-1-proof"),
            ("backups", "backup-signer-zurich"),
            ("proofs", "proof-signer-frankfurt"),
            ("destroyed", "destroyed-signer-zurich"),
            ("destination", "destination-words"),
            ("erased", "erased-signer-zurich"),
            ("test-signature", "test-signature"),
            ("recovered", "test-signature"),
            ("whole", "was-whole"),
            ("result", "next-due"),
        ] {
            let asks = |one: &&limen_policy::ceremony::Step| {
                one.name == step && one.says.iter().any(|(_, fields)| fields.iter().any(|one| one.name == field))
            };
            let Some(asked) = session.steps().iter().find(asks) else { continue };
            // In that step, as long as the line is not one of an earlier step too.
            let steps = session.steps().iter().take_while(|one| one.number < asked.number);
            let before = steps.flat_map(|one| one.says.iter().flat_map(|(_, fields)| fields));
            let before = before.filter(|one| one.name == field).count();
            let said = std::cell::Cell::new(0);
            let outcomes = play_with(&session, &cast, &|name, value| {
                said.set(said.get() + usize::from(name == field));
                if name != field || said.get() <= before {
                    return value;
                }
                // Another character in the middle, of the same alphabet.
                let (at, mut text) = (value.len() / 2, value.into_bytes());
                text[at] = if text[at] == b'0' { b'1' } else { b'0' };
                String::from_utf8(text).unwrap()
            });
            for outcome in outcomes.unwrap().values() {
                let Outcome::Aborted { cause, record, .. } = outcome else { panic!("{step} {field}: completed") };
                assert!(cause.contains(&format!("{field}: ")), "{step} {field}: {cause}");
                let done = verify(record.as_str().as_bytes()).unwrap().done.len();
                assert_eq!(done + 1, usize::try_from(asked.number).unwrap(), "{step} {field}: {cause}");
            }
        }
    }
}

#[test]
fn stand_ins_take_part_and_those_whom_they_stand_in_for_do_not() {
    let cast = Cast::of(GENESIS, Some(CHARTER), [3; 32]).unwrap();
    let absent = BTreeSet::from(["anna".parse().unwrap()]);
    let session = cast.session(Mode::Real, &absent).unwrap();
    let outcomes = play(&session, &cast).unwrap();
    assert_eq!(outcomes.len(), 4);
    let record = one_record(outcomes.values());
    assert!(record.as_str().contains("\npresent boris carla dora emil\n"));
}

#[test]
fn a_participant_with_other_software_ends_every_kind_for_all_with_the_cause() {
    for (cast, session) in every_kind() {
        let cast = cast.measured("cd".repeat(32));
        for (person, outcome) in play(&session, &cast).unwrap() {
            let Outcome::Aborted { cause, record, .. } = outcome else { panic!("{person} completed it") };
            assert!(cause.contains("software") && cause.contains("none of those that the plan allows"), "{cause}");
            assert!(verify(record.as_str().as_bytes()).is_ok());
        }
    }
}
