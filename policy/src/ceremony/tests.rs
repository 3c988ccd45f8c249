use super::check::check;
use super::*;
use crate::charter::Charter;
use crate::lint::Severity;

const PLAN: &str = include_str!("../../../docs/ceremonies/genesis.toml");
const CHARTER: &str = include_str!("../../../deploy/sample/charter.toml");

const REFRESH: &str = include_str!("../../../docs/ceremonies/refresh.toml");
const RESHARE: &str = include_str!("../../../docs/ceremonies/reshare.toml");

const DESTRUCTION: &str = include_str!("../../../docs/ceremonies/destruction.toml");
const RECOVERY: &str = include_str!("../../../docs/ceremonies/recovery.toml");
const BACKUP: &str = include_str!("../../../docs/ceremonies/backup.toml");
const KEK_ROTATION: &str = include_str!("../../../docs/ceremonies/kek-rotation.toml");
const SWEEP: &str = include_str!("../../../docs/ceremonies/sweep.toml");
const DRILL: &str = include_str!("../../../docs/ceremonies/drill.toml");

const KEY_GENERATION: &str = r#"[key_generation]
key = "hot"
scheme = "ecdsa-secp256k1"
protocol = "dkls23"
signers_required = 2
nodes = ["signer-zurich", "signer-frankfurt", "signer-singapore"]
orders = "conductor"
"#;

/// The same people and machines, making a key.
fn key_plan() -> String {
    let head = &PLAN[..PLAN.find("# The charter that becomes").unwrap()];
    format!("{}{KEY_GENERATION}", head.replace("kind = \"genesis\"", "kind = \"key-generation\""))
}

fn person(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

#[test]
fn the_sample_is_a_plan_for_the_sample_charter() {
    let plan = Plan::from_toml(PLAN).unwrap();
    assert_eq!((plan.people.len(), plan.machines.len(), plan.kind.as_str()), (5, 5, "genesis"));
    assert_eq!(plan.charter(), Some(Charter::hash_of(CHARTER)), "put the charter's new hash into the plan");
    let findings = check(&plan, Some(CHARTER));
    assert!(findings.iter().all(|finding| finding.severity == Severity::Warning), "{findings:?}");
    let shown: Vec<String> = findings.iter().map(|one| format!("{}: {}", one.place, one.message)).collect();
    assert_eq!(
        shown,
        [
            "person fiona: nothing proves that they hold their credentials",
            "role frankfurt-operator: nobody may stand in for boris: without them there is no ceremony",
            "role singapore-operator: nobody may stand in for carla: without them there is no ceremony",
        ]
    );
    assert_eq!(plan.words().split(' ').count(), 12);
}

#[test]
fn steps_come_of_the_kind_and_everybody_has_a_part_in_each() {
    let names = |text: &str| -> Vec<&str> {
        let plan = Plan::from_toml(text).unwrap();
        let attendance = Attendance::full(&plan).unwrap();
        let steps = step::steps(&plan, &attendance);
        for (place, step) in steps.iter().enumerate() {
            assert_eq!(usize::try_from(step.number).unwrap(), place + 1);
            assert!(step.says.iter().map(|(person, _)| person).eq(attendance.present()), "{}", step.name);
        }
        steps.iter().map(|step| step.name).collect()
    };
    assert_eq!(names(PLAN), ["plan", "pre-flight", "machines", "charter", "sign"]);
    let key = ["plan", "pre-flight", "read-back", "order", "certificate", "test-signature", "sign"];
    assert_eq!(names(&key_plan()), key);
    let handover = ["order", "certificate", "switched", "outstanding", "test-signature", "sign"];
    let handover = [&["plan", "pre-flight", "read-back", "present"][..], &handover[..]].concat();
    assert_eq!(names(REFRESH), handover);
    assert_eq!(names(RESHARE), handover);
    let begins = ["plan", "pre-flight", "read-back"];
    let of = |rest: &[&'static str]| [&begins[..], rest].concat();
    assert_eq!(names(DESTRUCTION), of(&["present", "emptied", "retired", "erased", "pieces", "sign"]));
    let lost = DESTRUCTION.replace("# lost = [", "lost = [");
    assert_eq!(names(&lost), of(&["present", "emptied", "retired", "erased", "lost", "pieces", "sign"]));
    let plan = Plan::from_toml(&lost).unwrap();
    let said = |name: &str| {
        let steps = step::steps(&plan, &Attendance::full(&plan).unwrap());
        let step = steps.into_iter().find(|step| step.name == name).unwrap();
        step.says.into_iter().flat_map(|(_, fields)| fields).map(|field| field.name).collect::<Vec<_>>()
    };
    assert_eq!(said("erased"), ["erased-signer-zurich", "erased-signer-frankfurt"]);
    assert_eq!(said("lost"), ["lost-signer-singapore"]);
    assert_eq!(names(RECOVERY), of(&["pieces", "recovered", "whole", "sign"]));
    assert_eq!(names(BACKUP), of(&["present", "backups", "proofs", "sign"]));
    assert_eq!(names(KEK_ROTATION), of(&["present", "rotated", "spares", "destroyed", "test-signature", "sign"]));
    assert_eq!(names(SWEEP), of(&["certificate", "destination", "test-signature", "swept", "retired", "sign"]));
    assert_eq!(names(DRILL), of(&["present", "absent", "test-signature", "back", "result", "sign"]));
}

#[test]
fn stand_ins_step_in_by_rule_only() {
    let plan = Plan::from_toml(PLAN).unwrap();
    let role = |name: &str| RoleId::new(name).unwrap();
    let without = |names: &[&str]| Attendance::without(&plan, &names.iter().map(|name| person(name)).collect());
    let full = Attendance::full(&plan).unwrap();
    assert_eq!(full.present().len(), 5);
    assert_eq!(full.acting(&role("zurich-operator")), Some(&person("anna")));
    let less = without(&["anna"]).unwrap();
    assert_eq!(less.acting(&role("zurich-operator")), Some(&person("dora")));
    assert_eq!(less.present().len(), 4);
    let vacant = without(&["boris"]).unwrap_err().to_string();
    assert!(vacant.contains("frankfurt-operator"), "{vacant}");
    assert!(matches!(without(&["anna", "dora"]), Err(AttendanceError::Vacant { .. })), "nobody else may");
    // Two are gone for whom the same person would stand in, and the roles exclude each other.
    let text = PLAN.replace("holder = \"boris\"", "holder = \"boris\"\nstand_ins = [\"dora\"]");
    let plan = Plan::from_toml(&text).unwrap();
    let gone = [person("anna"), person("boris")].into();
    assert!(matches!(Attendance::without(&plan, &gone), Err(AttendanceError::Vacant { .. })));
    let strangers = Attendance::of(&plan, [person("zoe")].into());
    assert_eq!(strangers, Err(AttendanceError::Stranger(person("zoe"))));
}

#[test]
fn two_casts_of_a_plan_have_somebody_in_common() {
    let gina = "[[people]]\nid = \"gina\"\nname = \"Gina\"\nsite = \"zurich\"\ncredential = \"ed25519:0d339d4764a5da51fb4c1faf67ddd51a0ea596092dd06801fb21528670db4ad5\"\n\n[[roles]]";
    let text = PLAN.replacen("[[roles]]", gina, 1).replacen("stand_ins = [\"dora\"]", "stand_ins = [\"gina\"]", 1);
    let text = text.replace("holder = \"boris\"", "holder = \"boris\"\nstand_ins = [\"emil\"]");
    let plan = Plan::from_toml(&text).unwrap();
    let few = Attendance::of(&plan, ["carla", "emil", "gina"].map(person).into());
    assert_eq!(few, Err(AttendanceError::Half { found: 2, holders: 5 }));
    assert!(Attendance::of(&plan, ["boris", "carla", "emil", "gina"].map(person).into()).is_ok());
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let text = PLAN
        .replace("cluster = \"sample-house\"", "cluster = \"Sample House\"")
        .replace("clock_window_secs = 600", "clock_window_secs = 0")
        .replace("holder = \"boris\"", "holder = \"zoe\"")
        .replace("disk_free_mib = 100", "disk_free_mib = 0");
    let shown: Vec<String> = Plan::from_toml(&text).unwrap_err().iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    let text =
        PLAN.replace("holder = \"boris\"", "holder = \"zoe\"").replace("operator = \"conductor\"", "operator = \"x\"");
    let shown = Plan::from_toml(&text).unwrap_err();
    assert!(shown.len() >= 3, "{shown:?}");
}

#[test]
fn plans_that_do_not_hold_together_are_refused() {
    let other = "p256:0278d348f05508cfe413e2eaaefc4cfadb261c513ff070b9732f6ca144a0751f47";
    let zurich = "p256:02bcb1e0e43f69c94f55ff987c21e5cb0395bc0cf8c55bbe0cc15670814bd5d176";
    let key = key_plan();
    for (base, from, to, why) in [
        (PLAN, "version = 1", "version = 2", "format version 2"),
        (PLAN, "title =", "colour = 1\ntitle =", "unknown field"),
        (PLAN, "kind = \"genesis\"", "kind = \"wedding\"", "\"wedding\" is not known here"),
        (
            PLAN,
            "kind = \"genesis\"",
            "kind = \"key-generation\"",
            "the tables of its own kind are needed, [key_generation], and no others; there is [genesis]",
        ),
        (PLAN, zurich, other, "one would stand for two"),
        (PLAN, "id = \"emil\"", "id = \"dora\"", "somebody stands there twice"),
        (PLAN, "holder = \"carla\"", "holder = \"boris\"", "exclude each other"),
        (PLAN, "conflicts = [[\"zurich-operator\", \"frankfurt-operator\", \"singapore-operator\"]]\n", "", ""),
        (
            PLAN,
            "operator = \"singapore-operator\"",
            "operator = \"frankfurt-operator\"",
            "may come to speak for signers",
        ),
        (PLAN, "stand_ins = [\"emil\"]", "stand_ins = [\"emil\", \"emil\"]", "stands there twice"),
        (PLAN, "[\"zurich-operator\", ", "[\"nobody\", ", "there is no role nobody"),
        (&key, "signers_required = 2", "signers_required = 1", "signers_required"),
        (&key, "signers_required = 2", "signers_required = 3", "one lost share would be the end"),
        (&key, "protocol = \"dkls23\"", "protocol = \"frost\"", "makes no threshold signatures"),
        (&key, "protocol = \"dkls23\"", "protocol = \"hsm\"", "makes no threshold signatures"),
        (&key, "\"signer-singapore\"]", "\"witness-lisbon\"]", "is no signer among the plan's machines"),
        (&key, "orders = \"conductor\"", "orders = \"nobody\"", "there is no role nobody"),
        (&key, "site = \"frankfurt\"\npublic_key", "site = \"zurich\"\npublic_key", "it would be the key"),
    ] {
        assert!(base.contains(from), "the plan no longer contains {from:?}");
        let found = Plan::from_toml(&base.replace(from, to));
        if why.is_empty() {
            assert!(found.is_ok(), "{from}: {found:?}");
            continue;
        }
        let shown = found.unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(shown.contains(why), "{from} → {to}: {shown}, not {why}");
    }
    for text in [
        PLAN.trim_end().to_owned(),
        PLAN.replace("title = \"", "title = \"\t"),
        PLAN.replace('\n', "\r\n"),
        format!("{PLAN}# \u{202e}\n"),
        format!("{PLAN}# \u{200b}\n"),
        format!("{PLAN}# \u{2028}\n"),
    ] {
        assert!(Plan::from_toml(&text).unwrap_err()[0].message.contains("control character"));
    }
    assert!(Plan::from_toml(&"#".repeat(MAX_BYTES + 1)).unwrap_err()[0].message.contains("at most"));
}

/// Whether a plan with something else in it is refused for this reason; an empty one means that it is not.
fn is_refused(base: &str, from: &str, to: &str, why: &str) {
    assert!(base.contains(from), "the plan no longer contains {from:?}");
    let found = Plan::from_toml(&base.replace(from, to));
    if why.is_empty() {
        assert!(found.is_ok(), "{from}: {found:?}");
        return;
    }
    let shown = found.unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(shown.contains(why), "{from} → {to}: {shown}, not {why}");
}

#[test]
fn plans_of_proofs_rotations_and_sweeps_are_refused_where_they_do_not_hold_together() {
    for (base, from, to, why) in [
        (BACKUP, "node = \"signer-singapore\"", "node = \"signer-zurich\"", "one backup of each member"),
        (BACKUP, "\nsha256 = \"a55f", "\nsha256 = \"", "32 bytes in lower-case"),
        (BACKUP, "[\"zurich-custodian\", ", "[\"nobody\", ", "there is no role nobody"),
        (BACKUP, "[\"zurich-custodian\", ", "[\"frankfurt-custodian\", ", "stands there twice"),
        (BACKUP, "[\"zurich-custodian\", ", "[\"zurich-operator\", ", "nobody but a custodian opens their piece"),
        (BACKUP, "in Lisbon\"\nholder = \"emil\"", "in Lisbon\"\nholder = \"anna\"", "anna stands there twice"),
        (KEK_ROTATION, "nodes = [\"signer-zurich\"]", "nodes = []", "one at least"),
        (KEK_ROTATION, "nodes = [\"signer-zurich\"]", "nodes = [\"witness-lisbon\"]", "members of the key"),
        (
            KEK_ROTATION,
            "nodes = [\"signer-zurich\"]",
            "nodes = [\"signer-zurich\", \"signer-frankfurt\"]",
            "rotate fewer at a time",
        ),
        (KEK_ROTATION, "orders = \"conductor\"", "orders = \"nobody\"", "there is no role nobody"),
        (SWEEP, "id = \"fresh\"", "id = \"hot\"", "it is the key that things are moved from"),
        (
            SWEEP,
            "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
            "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            "moved from",
        ),
        (SWEEP, "sweeper = \"conductor\"", "sweeper = \"nobody\"", "there is no role nobody"),
        (SWEEP, "[to]", "[too]", "unknown field"),
    ] {
        is_refused(base, from, to, why);
    }
}

#[test]
fn destructions_that_leave_a_key_are_refused() {
    for (base, from, to, why) in [
        (DESTRUCTION, "retired_by = \"d1", "retired_by = \"", "hexadecimal"),
        (
            DESTRUCTION,
            "# lost = [\"signer-singapore\"]",
            "lost = [\"signer-zurich\", \"signer-frankfurt\"]",
            "2 members are lost",
        ),
        (
            DESTRUCTION,
            "custodians = [\"zurich-custodian\", \"frankfurt-custodian\"]\n",
            "lost = [\"signer-singapore\"]\n",
            "name under custodians",
        ),
        (DESTRUCTION, "# lost = [\"signer-singapore\"]", "lost = [\"witness-lisbon\"]", "is no signer among"),
        (DESTRUCTION, "# lost = [\"signer-singapore\"]", "lost = [\"signer-oslo\"]", "is no signer among"),
        (DESTRUCTION, "\"frankfurt-custodian\"]", "\"zurich-custodian\"]", "stands there twice"),
    ] {
        is_refused(base, from, to, why);
    }
}

#[test]
fn plans_about_a_key_that_is_there_are_refused_where_they_do_not_hold_together() {
    for (base, from, to, why) in [
        (REFRESH, "[refresh]", "[reshare]", "missing field"),
        (REFRESH, "[key]\n", "[key_generation]\n", "unknown field"),
        (REFRESH, "kind = \"refresh\"", "kind = \"reshare\"", "there is [key], [refresh]"),
        (REFRESH, "public_key = \"0279be", "public_key = \"79be", "33 bytes in lower-case"),
        (REFRESH, "0279be667ef9dcbbac55", "0279BE667ef9dcbbac55", "lower-case"),
        (REFRESH, "shares_sha256 = \"3f", "shares_sha256 = \"", "32 bytes in lower-case"),
        (REFRESH, "epoch = 1", "epoch = 0", "count from 1"),
        (REFRESH, "signers_required = 2", "signers_required = 3", "one lost share would be the end"),
        (REFRESH, "# protocol = \"cggmp24\"", "protocol = \"frost\"", "makes no threshold signatures"),
        (REFRESH, "# protocol = \"cggmp24\"", "protocol = \"cggmp24\"", ""),
        (REFRESH, "orders = \"conductor\"", "orders = \"nobody\"", "there is no role nobody"),
        (REFRESH, "\"signer-singapore\"]", "\"witness-lisbon\"]", "is no signer among the plan's machines"),
        (RESHARE, "\"signer-lisbon\"]", "\"signer-singapore\"]", "that is a refresh"),
        (RESHARE, "\"signer-lisbon\"]", "\"signer-zurich\"]", "stands there twice"),
        (RESHARE, "site = \"lisbon\"\npublic_key", "site = \"zurich\"\npublic_key", "it would be the key"),
        (RECOVERY, "holder = \"boris\"\n\n[[machines]]", "holder = \"anna\"\n\n[[machines]]", "brought by one person"),
        (RECOVERY, "operator = \"singapore-operator\"\n", "operator = \"zurich-custodian\"\n", "must bring no piece"),
        (RECOVERY, "custodians = [\"zurich-custodian\", ", "custodians = [\"nobody\", ", "there is no role nobody"),
        // The same by standing in: one person is custodian and operator, or all custodians, once others are absent.
        (
            RECOVERY,
            "holder = \"anna\"\n\n[[roles]]\nid = \"frankfurt-custodian\"",
            "holder = \"anna\"\nstand_ins = [\"carla\"]\n\n[[roles]]\nid = \"frankfurt-custodian\"",
            "nobody may come to hold zurich-custodian and singapore-operator",
        ),
        (
            RECOVERY,
            "holder = \"boris\"\n\n[[machines]]",
            "holder = \"boris\"\nstand_ins = [\"anna\"]\n\n[[machines]]",
            "brought by one person",
        ),
        (
            RECOVERY,
            "brings no piece.\noperator = \"singapore-operator\"",
            "brings no piece.\noperator = \"zurich-operator\"",
            "nobody may come to hold zurich-custodian and zurich-operator",
        ),
        (DRILL, "scenario = \"site-loss\"", "scenario = \"restore\"", "asks no signer"),
        (DRILL, "scenario = \"site-loss\"", "scenario = \"fire\"", "unknown variant"),
        (DRILL, "absent = [\"signer-singapore\"]", "absent = []", "name the members that are off"),
        (DRILL, "absent = [", "absent = [\"signer-zurich\", ", "1 members are left, 2 are required"),
        (DRILL, "absent = [", "absent = [\"signer-singapore\", ", "each once"),
        (DRILL, "2027-05-24", "in May", "YYYY-MM-DD"),
        (DRILL, "2027-05-24", "2027-02-29", "YYYY-MM-DD"),
        (DRILL, "2027-05-24", "2028-02-29", ""),
        (DRILL, "2027-05-24", "0000-00-00", "YYYY-MM-DD"),
        (DRILL, "2027-05-24", "9999-12-31", "YYYY-MM-DD"),
        (RESHARE, "operator = \"lisbon-operator\"", "operator = \"zurich-operator\"", "may come to speak for signers"),
    ] {
        is_refused(base, from, to, why);
    }
    for plan in [REFRESH, RESHARE, DESTRUCTION, RECOVERY, BACKUP, KEK_ROTATION, SWEEP, DRILL] {
        let findings = check(&Plan::from_toml(plan).unwrap(), None);
        assert!(findings.iter().all(|finding| finding.severity == Severity::Warning), "{findings:?}");
    }
}

/// A plan for a changed charter, and the errors of both.
fn genesis_errors(change: &[(&str, &str)], plan_change: &[(&str, &str)]) -> String {
    let charter = change.iter().fold(CHARTER.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    let hash = Charter::hash_of(&charter).to_string();
    let text = PLAN.replace(&Charter::hash_of(CHARTER).to_string(), &hash);
    let text = plan_change.iter().fold(text, |text, (from, to)| text.replacen(from, to, 1));
    let findings = check(&Plan::from_toml(&text).unwrap(), Some(&charter));
    let errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|one| format!("{}: {}", one.place, one.message)).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_genesis_whose_charter_bricks_or_does_not_fit_is_refused() {
    assert_eq!(genesis_errors(&[], &[]), "");
    for (change, plan_change, why) in [
        (
            &[("version = 1", "version = 1\ndanger_development = true")][..],
            &[][..],
            "a development charter needs no genesis",
        ),
        (
            &[(
                "quorum = \"2 terminal of treasury and 1 terminal of risk\"",
                "quorum = \"3 terminal of treasury and 1 terminal of risk\"",
            )],
            &[],
            "is gone nobody can meet",
        ),
        (&[("site = \"frankfurt\"", "site = \"zurich\"")], &[], "site zurich reaches 2 signers"),
        (&[("number = 1", "number = 2")], &[], "every version but the first follows one"),
        (&[("cluster = \"sample-house\"", "cluster = \"other\"")], &[], "it is of cluster other"),
        (
            &[(
                "02bcb1e0e43f69c94f55ff987c21e5cb0395bc0cf8c55bbe0cc15670814bd5d176",
                "03bcb1e0e43f69c94f55ff987c21e5cb0395bc0cf8c55bbe0cc15670814bd5d176",
            )],
            &[],
            "the charter has a signer with key p256:03bcb1",
        ),
        (
            &[(
                "1560c86263c3d3e9ff4edb8c6b218bd45a06f41becc351967fb73d8fdd346e74",
                "0d339d4764a5da51fb4c1faf67ddd51a0ea596092dd06801fb21528670db4ad5",
            )],
            &[],
            "the credential is no terminal key of theirs",
        ),
        (&[], &[("unproven = [\"fiona\"]", "unproven = []")], "list them in genesis.unproven"),
        (&[], &[("unproven = [\"fiona\"]", "unproven = [\"fiona\", \"anna\"]")], "so they are not unproven"),
        (&[], &[("unproven = [\"fiona\"]", "unproven = [\"fiona\", \"zoe\"]")], "zoe is nobody in the charter"),
        (&[], &[("id = \"witness-lisbon\"", "id = \"witness-porto\"")], "nobody would prove its identity"),
        (&[("cluster = ", "cluster \t= ")], &[], "no other control character"),
    ] {
        let shown = genesis_errors(change, plan_change);
        assert!(shown.contains(why), "{change:?} {plan_change:?}: {shown}, not {why}");
    }
    let plan = Plan::from_toml(PLAN).unwrap();
    let other = check(&plan, Some(&CHARTER.replace("max_sessions = 16", "max_sessions = 17")));
    assert!(other.iter().any(|finding| finding.message.contains("the plan names")), "{other:?}");
    assert!(check(&plan, None).iter().any(|finding| finding.message.contains("--charter FILE")));
}
